"""A Python file in pieces: its imports, definitions and constants as they were typed, found by ast alone.

Used by texts.py and answers.py: files of a lesson are cut up and put together without running them.
"""

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nn2llm.core.errors import LessonError

__all__ = ["Piece", "Source", "cut_source", "join_pieces", "read_source"]


@dataclass(frozen=True, slots=True)
class Piece:
    """One statement at the top of a file, with the comments right above it."""

    node: ast.stmt
    names: tuple[str, ...]
    """What it defines."""
    text: str
    line: int
    """Of its first line of code, decorators included."""

    @property
    def is_import(self) -> bool:
        """Whether it imports something."""
        return isinstance(self.node, ast.Import | ast.ImportFrom)

    @property
    def is_definition(self) -> bool:
        """Whether it is a function or a class."""
        return isinstance(self.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)

    def used_names(self) -> set[str]:
        """Names that it reads, at any depth."""
        return {node.id for node in ast.walk(self.node) if isinstance(node, ast.Name)} - (
            set() if self.is_definition else set(self.names)
        )

    def without_decorator(self, name: str) -> str:
        """Its text without the decorators `@name` and `@name(…)`."""
        decorators = getattr(self.node, "decorator_list", [])
        lines = self.text.split("\n")
        first = self.line - (len(lines) - (self._end - self.line) - 1)  # the line of the first comment
        for decorator in decorators:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(called, ast.Name) and called.id == name:
                for number in range(decorator.lineno, (decorator.end_lineno or decorator.lineno) + 1):
                    lines[number - first] = "\0"
        return "\n".join(line for line in lines if line != "\0")

    @property
    def _end(self) -> int:
        return self.node.end_lineno or self.node.lineno


@dataclass(slots=True)
class Source:
    """A file in pieces."""

    path: Path
    pieces: list[Piece] = field(default_factory=list)

    def find(self, name: str) -> Piece | None:
        """The definition or constant of that name; the last one, as in Python."""
        return next((piece for piece in reversed(self.pieces) if name in piece.names), None)

    @property
    def imports(self) -> list[Piece]:
        """Its imports, in order."""
        return [piece for piece in self.pieces if piece.is_import]

    def helpers(self, wanted: Iterable[Piece], *, without: Iterable[str] = ()) -> list[Piece]:
        """Definitions and constants that `wanted` needs, directly or not, in the order of the file.

        Names in `without`, imports, and what is among `wanted` are left out.
        """
        left_out = set(without)
        chosen: list[Piece] = list(wanted)
        found: list[Piece] = []
        queue = [name for piece in chosen for name in piece.used_names()]
        while queue:
            name = queue.pop()
            if name in left_out:
                continue
            left_out.add(name)
            for piece in self.pieces:  # a constant may be built up in several statements
                if name in piece.names and not piece.is_import and piece not in chosen:
                    chosen.append(piece)
                    found.append(piece)
                    queue += piece.used_names()
        return [piece for piece in self.pieces if piece in found]


def read_source(path: Path) -> Source:
    """The file in pieces.

    Raises:
        LessonError: if it is missing, or is not Python; says where.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise LessonError(f"{path}: this file is missing. Write it.") from error
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise LessonError(f"{path}: could not be read ({what}). Save it as UTF-8.") from error
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise LessonError(f"{path}{line}: this is not Python ({what}). Mend that line.") from error
    return Source(path, _cut(text, tree))


def cut_source(text: str) -> Source:
    """The pieces of a text that is no file, and that ran as Python already.

    Raises:
        SyntaxError: if it is not Python.
    """
    return Source(Path("<text>"), _cut(text, ast.parse(text)))


def _cut(text: str, tree: ast.Module) -> list[Piece]:
    lines = text.split("\n")
    pieces = []
    end_before = 0
    for node in tree.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            end_before = node.end_lineno or node.lineno
            continue  # a docstring, or a text that nobody reads
        line = min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", []))])
        first = line
        while first - 2 >= end_before and lines[first - 2].startswith("#"):
            first -= 1
        end = node.end_lineno or node.lineno
        pieces.append(Piece(node, _names(node), "\n".join(lines[first - 1 : end]), line))
        end_before = end
    return pieces


def _names(node: ast.stmt) -> tuple[str, ...]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return (node.name,)
    if isinstance(node, ast.Import | ast.ImportFrom):
        return tuple(alias.asname or alias.name.partition(".")[0] for alias in node.names)
    return tuple(
        inner.id
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
    )


def join_pieces(imports: Iterable[str], rest: Iterable[tuple[str, bool]]) -> str:
    """A file: imports (each once), then `rest` as (text, is a definition), spaced as Python files are."""
    head = sorted(dict.fromkeys(imports), key=lambda text: not text.startswith("from __future__"))
    text = "\n".join(head)
    spaced = False  # the piece above is a definition
    for piece, is_definition in rest:
        if text:
            text += "\n\n\n" if is_definition or spaced else "\n\n" if text == "\n".join(head) else "\n"
        text += piece.strip("\n")
        spaced = is_definition
    return text + "\n"
