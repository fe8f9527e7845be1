"""Whole files from a lesson's pieces: what the learner starts from, and the solution to show.

Read source.py before. Used by model.py.
"""

import ast
import textwrap
from importlib.util import find_spec
from pathlib import Path

import nn2llm
from nn2llm.core.errors import LessonError
from nn2llm.course.exercises.records import Exercise, Field
from nn2llm.course.exercises.source import Piece, Source, join_pieces, read_source
from nn2llm.course.lesson import suggest
from nn2llm.course.markup import spell_math

__all__ = ["build_form", "build_starter", "find_definition", "format_value", "read_solution", "solve_fields"]


def build_starter(folder: Path, exercise: Exercise, listed: frozenset[str] = frozenset()) -> str:
    """The file that a learner begins with.

    Args:
        folder: of the lesson.
        exercise: one of it.
        listed: functions of all its exercises, which are no helpers.

    Raises:
        LessonError: if exercise.py is missing, is not Python, or lacks a function.
    """
    if exercise.is_form:
        return build_form(exercise, {})
    source = read_source(folder / "exercise.py")
    return _assemble(source, [find_definition(source, name) for name in exercise.functions], listed)


def find_definition(source: Source, name: str) -> Piece:
    """That function or class of the file.

    Raises:
        LessonError: if it is not there.
    """
    piece = source.find(name)
    if piece is None or not piece.is_definition:
        known = [name for piece in source.pieces if piece.is_definition for name in piece.names]
        raise LessonError(
            f"{source.path}: has no {name!r}.{suggest(name, known)} Define it, or mend the name."
        )
    return piece


def _assemble(source: Source, definitions: list[Piece], listed: frozenset[str]) -> str:
    names = {name for piece in definitions for name in piece.names}
    helpers = source.helpers(definitions, without=listed - names)
    wanted = [piece for piece in source.pieces if piece in helpers or piece in definitions]
    return join_pieces(
        (piece.text for piece in source.imports), ((piece.text, piece.is_definition) for piece in wanted)
    )


def build_form(exercise: Exercise, values: dict[str, object]) -> str:
    """The file of a form: one assignment a field, `...` without a value; comments say what is asked."""
    parts = []
    for field in exercise.fields:
        lines = _comment(field.label)
        for option in field.options:
            lines += _comment(f"{option.value}: {option.text}", indent="  ")
        for words in _how_to_answer(field):
            lines += _comment(words)
        value = format_value(values[field.name]) if field.name in values else "..."
        parts.append("\n".join([*lines, f"{field.name} = {value}"]))
    return "\n\n".join(parts) + "\n"


def _comment(markdown: str, *, indent: str = "") -> list[str]:
    """Lines of a comment, whatever stands in the text: mathematics in letters, no line left uncommented."""
    return textwrap.wrap(
        " ".join(spell_math(markdown).split()),
        width=88,
        initial_indent=f"# {indent}",
        subsequent_indent=f"# {indent}{indent}",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _how_to_answer(field: Field) -> list[str]:
    if field.kind == "expression":
        names = ", ".join(
            symbol.name + (f" ({symbol.about})" if symbol.about else "") for symbol in field.symbols
        )
        first = field.symbols[0].name if field.symbols else "x"
        return [f'An expression in quotes, like "3*({first} - 1)". It may use {names}.']
    if field.kind == "choice":
        return [f'One of them in quotes, like "{field.options[0].value}".'] if field.options else []
    if field.kind == "multiple":
        return [f'All that hold, like ["{field.options[0].value}"].'] if field.options else []
    if field.kind == "number":
        return [f"A number{f', in {field.unit}' if field.unit else ''}."]
    words = f" Write {field.min_words} words or more." if field.min_words else ""
    return [f"Your own words, in quotes.{words}"]


def format_value(value: object) -> str:
    """A literal as Python writes it, with double quotes."""
    if isinstance(value, str):
        if "\n" in value:
            return '"""' + value.replace("\\", "\\\\").replace('"', '\\"') + '"""'
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(format_value(item) for item in value)}]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value)


def read_solution(folder: Path, exercise: Exercise, listed: frozenset[str] = frozenset()) -> str:
    """A right answer, as a whole file.

    Code comes from solution.py, or, for a `reference` of the library, from that module's source.

    Raises:
        LessonError: if it cannot be found.
    """
    if exercise.is_form:
        return build_form(exercise, solve_fields(exercise))
    if exercise.reference is None:
        source = read_source(folder / "solution.py")
        return _assemble(source, [find_definition(source, name) for name in exercise.functions], listed)
    module, _, symbol = exercise.reference.partition(":")
    text = _assemble(*_find_symbol(module, symbol), frozenset())
    rest = [name for name in exercise.functions if name != symbol]
    if len(exercise.functions) == 1 and rest:
        return f"{text}\n\n{rest[0]} = {symbol}\n"
    if rest:  # the other functions are the lesson's own
        source = read_source(folder / "solution.py")
        text += "\n\n" + _assemble(source, [find_definition(source, name) for name in rest], listed)
    return text


def _find_symbol(module: str, symbol: str) -> tuple[Source, list[Piece]]:
    """Where it is defined, through the imports that hand it on."""
    for _ in range(5):
        source = read_source(find_module(module))
        piece = source.find(symbol)
        node = piece.node if piece is not None else None
        if not isinstance(node, ast.ImportFrom) or node.level or node.module is None:
            break
        symbol = next(alias.name for alias in node.names if symbol in (alias.asname, alias.name))
        module = node.module
    return source, [find_definition(source, symbol)]


def solve_fields(exercise: Exercise) -> dict[str, object]:
    """Right values of a form's fields, by name. Words are never judged, so that any stand in for them."""
    return {
        item.name: item.answer if item.answer is not None else " ".join(["word"] * max(item.min_words, 1))
        for item in exercise.fields
        if item.answer is not None or item.kind == "text"
    }


def find_module(name: str) -> Path:
    """The file of a module, without importing it where it is one of ours: pages must not import torch.

    Raises:
        LessonError: if there is none.
    """
    if name.partition(".")[0] == "nn2llm":
        place = Path(nn2llm.__file__).parent.joinpath(*name.split(".")[1:])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                return path
    else:
        try:
            spec = find_spec(name)
        except (ImportError, ValueError):
            spec = None
        if spec is not None and spec.origin is not None and spec.origin.endswith(".py"):
            return Path(spec.origin)
    raise LessonError(f"There is no module {name!r} whose source can be read. Mend the exercise's reference.")
