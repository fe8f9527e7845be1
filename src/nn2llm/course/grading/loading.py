"""The lesson's side of a grading: exercise, checks and reference, loaded before the learner's text.

Read namespaces.py before. Used by running.py, in the child process. Whatever is wrong here is the lesson's
fault and said so: `GraderError` is never the learner's.
"""

import ast
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn2llm.core.errors import LessonError
from nn2llm.course.exercises.model import Exercise, find_exercise

__all__ = ["Grader", "GraderError", "load_grader", "title_of"]

Check = Callable[[Any, Any], None]


class GraderError(LessonError):
    """checks.py or solution.py is broken: the learner's text was not judged."""


@dataclass(frozen=True, slots=True)
class Grader:
    """What judges one exercise."""

    exercise: Exercise
    folder: Path
    checks: dict[str, Check]
    reference: dict[str, Any]
    modules: tuple[types.ModuleType, ...]
    """checks.py, solution.py and the reference's module: what the learner's code must leave alone."""


@contextmanager
def lesson_path(folder: Path) -> Iterator[None]:
    """The lesson's own modules (`figures.py`) can be imported; afterwards they are forgotten again."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules.get(name), "__file__", None)
            if isinstance(file, str) and Path(file).parent == folder:
                del sys.modules[name]  # the next lesson has a figures.py of its own


@contextmanager
def keep_modules() -> Iterator[None]:
    """Put back what the learner's text takes out of sys.modules."""
    modules, before = sys.modules, dict(sys.modules)
    try:
        yield
    finally:
        sys.modules = modules
        for name, module in before.items():
            modules.setdefault(name, module)


def load_grader(folder: Path, name: str) -> Grader:
    """Everything that judges the exercise of that name.

    Raises:
        LessonError: there is no such exercise, or exercises.yaml is broken.
        GraderError: checks.py or solution.py cannot be loaded, or lacks a name.
    """
    exercise = find_exercise(folder, name)
    modules: list[types.ModuleType] = []
    checks: dict[str, Check] = {}
    if exercise.checks:
        module = _run_file(folder / "checks.py", "nn2llm_lesson_checks")
        modules.append(module)
        for check in exercise.checks:
            if not callable(found := vars(module).get(check)):
                raise GraderError(f"{folder / 'checks.py'}: has no function {check!r}, which {name} names.")
            checks[check] = found
    reference: dict[str, Any] = {}
    if (folder / "solution.py").is_file():
        module = _run_file(folder / "solution.py", "nn2llm_lesson_solution")
        modules.append(module)
        reference.update((key, value) for key, value in vars(module).items() if not key.startswith("_"))
    if exercise.reference is not None:
        module, symbol, value = _import_symbol(exercise.reference)
        modules.append(module)
        reference[symbol] = value
        if len(exercise.functions) == 1:
            reference[exercise.functions[0]] = value
    for function in exercise.functions:
        if function not in reference:
            raise GraderError(
                f"{folder / 'solution.py'}: has no {function!r}, which the exercise {name} needs."
            )
    return Grader(exercise, folder, checks, reference, tuple(modules))


def _run_file(path: Path, name: str) -> types.ModuleType:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise GraderError(f"{path}: cannot be read ({error.strerror}).") from None
    module = types.ModuleType(name)
    module.__file__ = str(path)
    # dataclasses and pickle look their module up by name
    sys.modules[name] = module
    try:
        exec(compile(text, str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:  # an exit() of the author's is not the learner's
        line = find_line(error, str(path))
        raise GraderError(f"{path}:{line}: {type(error).__name__}: {error}") from error
    return module


def find_line(error: BaseException, path: str) -> int:
    """The deepest line of that file in the traceback; 0 where it is not in it."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno or 0
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _import_symbol(reference: str) -> tuple[types.ModuleType, str, Any]:
    name, _, symbol = reference.partition(":")
    try:
        module = importlib.import_module(name)
        value: Any = module
        for part in symbol.split("."):
            value = getattr(value, part)
    except Exception as error:
        raise GraderError(f"The reference {reference!r} cannot be imported: {error}") from error
    return module, symbol.split(".")[-1], value


def title_of(name: str, check: Callable[..., Any] | None) -> str:
    """The first line of a check's docstring; else its name in words."""
    doc = (getattr(check, "__doc__", None) or "").strip()
    return doc.splitlines()[0].strip() if doc else name.removeprefix("check_").replace("_", " ").capitalize()


def find_placeholders(text: str, functions: tuple[str, ...]) -> dict[str, int]:
    """{function: line} of those in which `...` still stands for code, or whose body is empty."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, int] = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name in functions:
            line = _find_dots(node) or _find_empty(node)
            if line:
                found[node.name] = line
    return found


def _find_dots(node: ast.AST) -> int:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Constant) and child.value is Ellipsis:
            return child.lineno
        if isinstance(child, ast.Subscript):  # x[..., 0] is meant
            line = _find_dots(child.value) if not isinstance(child.value, ast.Constant) else 0
        elif isinstance(child, (ast.arguments, ast.arg)):  # tuple[int, ...]
            line = 0
        else:
            line = _find_dots(child)
        if line:
            return line
    return 0


def _find_empty(node: ast.AST) -> int:
    body = getattr(node, "body", [])
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    if all(isinstance(statement, ast.Pass) for statement in body):
        return int(getattr(node, "lineno", 0))
    return 0
