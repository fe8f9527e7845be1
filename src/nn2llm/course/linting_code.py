"""What a linter finds in exercises before any is graded: names that are not defined, signatures, doubles.

Read exercises/problems.py before, which says what is missing. Used by linting.py. Each of these would only
show as a wrong verdict later, far from its cause: a suspect that raises is never named, a check with one
argument breaks the grader, a suspect that is right tells a learner off for a right answer. Runs no code of a
lesson; expressions are compared in numbers.
"""

import ast
import builtins
import symtable
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from nn2llm.core.errors import LessonError, Nn2llmError
from nn2llm.course.exercises.records import Exercise, Field
from nn2llm.course.exercises.source import read_source
from nn2llm.course.lesson import LessonProblem

__all__ = ["find_code_problems"]

_MODULE_NAMES = {*dir(builtins), "__name__", "__file__", "__doc__", "__spec__"}


def find_code_problems(folder: Path, exercises: Iterable[Exercise]) -> list[LessonProblem]:
    """Problems of the lesson in `folder`; files that cannot be read are left out, they are said already."""
    exercises = tuple(exercises)
    return [
        *_find_undefined(folder),
        *_find_bad_checks(folder, exercises),
        *_find_bad_signatures(folder, exercises),
        *(problem for exercise in exercises for problem in _find_bad_fields(folder, exercise)),
    ]


def _problem(path: Path, line: int, message: str) -> LessonProblem:
    return LessonProblem(path=path, line=line, message=message)


def _find_definition(folder: Path, file: str, name: str) -> Any:
    """The node of that function or class; None where it cannot be had."""
    try:
        piece = read_source(folder / file).find(name)
    except LessonError:
        return None
    return piece.node if piece is not None and piece.is_definition else None


# Names


def _find_undefined(folder: Path) -> Iterator[LessonProblem]:
    """Names that checks.py and solution.py use and define nowhere."""
    for file in ("checks.py", "solution.py"):
        path = folder / file
        try:
            text = path.read_text(encoding="utf-8-sig")
            tree, table = ast.parse(text), symtable.symtable(text, file, "exec")
        except (OSError, ValueError, SyntaxError):
            continue
        if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
            continue
        known = _MODULE_NAMES | {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_assigned() or symbol.is_imported()
        }
        unknown = {name for scope in _walk(table) for name in _read_globals(scope)} - known
        seen: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in unknown and node.id not in seen:
                seen.add(node.id)
                yield _problem(path, node.lineno, f"{node.id} is not defined. Mend the name, or import it.")


def _walk(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _walk(child)


def _read_globals(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        outer = symbol.is_global() or table.get_type() == "module"
        if outer and symbol.is_referenced() and not symbol.is_assigned():
            yield symbol.get_name()


# Signatures


def _find_bad_checks(folder: Path, exercises: tuple[Exercise, ...]) -> Iterator[LessonProblem]:
    for name in dict.fromkeys(name for exercise in exercises for name in exercise.checks):
        node = _find_definition(folder, "checks.py", name)
        if isinstance(node, ast.FunctionDef) and len(_parameters(node)) != 2:
            message = (
                f"{name} takes {', '.join(_parameters(node)) or 'nothing'}. Write {name}(learner, reference)."
            )
            yield _problem(folder / "checks.py", node.lineno, message)


def _find_bad_signatures(folder: Path, exercises: tuple[Exercise, ...]) -> Iterator[LessonProblem]:
    """A starter asks for the solution's arguments, and both for those of the part that the code becomes."""
    for exercise in exercises:
        wanted = _read_part(exercise)
        for name in exercise.functions:
            nodes = {file: _find_definition(folder, file, name) for file in ("exercise.py", "solution.py")}
            found = {
                file: _parameters(node) for file, node in nodes.items() if isinstance(node, ast.FunctionDef)
            }
            if name in wanted:
                for file, parameters in found.items():
                    if parameters != wanted[name]:
                        yield _problem(
                            folder / file,
                            nodes[file].lineno,
                            f"The part {exercise.part!r} is called with ({', '.join(wanted[name])}), "
                            f"{name} here takes ({', '.join(parameters)}). Take those, in this order.",
                        )
            elif len(found) == 2 and len({tuple(parameters) for parameters in found.values()}) == 2:
                yield _problem(
                    folder / "solution.py",
                    nodes["solution.py"].lineno,
                    f"{name}({', '.join(found['solution.py'])}) is {name}({', '.join(found['exercise.py'])}) "
                    "in exercise.py. Give both the same arguments.",
                )


def _parameters(node: ast.FunctionDef) -> list[str]:
    arguments = node.args
    stars = [f"*{item.arg}" for item in (arguments.vararg,) if item is not None]
    return [item.arg for item in (*arguments.posonlyargs, *arguments.args)] + stars + [
        item.arg for item in arguments.kwonlyargs
    ]  # fmt: skip


def _read_part(exercise: Exercise) -> dict[str, list[str]]:
    """Function → its arguments, of the part that the exercise becomes; {} where it is none."""
    from nn2llm.models.parts import find_part

    if exercise.part is None:
        return {}
    try:
        part = find_part(exercise.part)
    except Nn2llmError:
        return {}
    tree = ast.parse("".join(f"def {signature}: ...\n" for signature in part.signatures))
    return {node.name: _parameters(node) for node in tree.body if isinstance(node, ast.FunctionDef)}


# Fields


def _find_bad_fields(folder: Path, exercise: Exercise) -> Iterator[LessonProblem]:
    path = folder / "exercises.yaml"
    for field in exercise.fields:
        if field.kind == "expression":
            said = _judge_expressions(field)
        elif field.kind == "number" and field.answer is not None:
            said = _judge_numbers(field)
        else:
            continue
        yield from (_problem(path, field.line, f"{exercise.name!r}: {message}") for message in said)


def _judge_expressions(field: Field) -> Iterator[str]:
    from nn2llm.course.grading.expressions import ExpressionError, compare_expressions, parse_expression

    texts = [("answer", str(field.answer or ""))]
    texts += [("suspect", str(suspect.value)) for suspect in field.suspects]
    good = True
    for what, text in texts if field.symbols else ():
        try:
            parse_expression(text, field.symbols, forbid=() if what == "suspect" else field.forbid)
        except ExpressionError as error:
            good = False
            why = str(error).rstrip(".")
            yield f"the {what} {text!r} of {field.name!r} is no expression: {why}. Mend it."
    if not good or not field.symbols or field.answer is None:
        return

    def agree(left: str, right: str) -> bool:
        try:
            return bool(compare_expressions(left, right, field.symbols, atol=field.atol).right)
        except LessonError:
            return False  # not defined where its letters are drawn

    yield from _judge_suspects(field, agree)


def _judge_numbers(field: Field) -> Iterator[str]:
    def agree(left: float, right: float) -> bool:
        reach = (field.atol or 0.0) + (field.rtol or 0.0) * abs(field.answer)
        return abs(left - right) <= max(reach, 1e-9 * abs(right))

    yield from _judge_suspects(field, agree)


def _judge_suspects(field: Field, agree: Callable[[Any, Any], bool]) -> Iterator[str]:
    for suspect in field.suspects:
        if agree(suspect.value, field.answer):
            yield (
                f"the suspect {_show(suspect.value)} of {field.name!r} is as good as the answer, so that "
                "it is never named. Mend it, or remove it."
            )
    for one, other in combinations(field.suspects, 2):
        if one.says != other.says and agree(other.value, one.value):
            yield (
                f"the suspects {_show(one.value)} and {_show(other.value)} of {field.name!r} are the same, "
                "so that neither is named. Keep one."
            )


def _show(value: str | float) -> str:
    return repr(value) if isinstance(value, str) else f"{value:g}"
