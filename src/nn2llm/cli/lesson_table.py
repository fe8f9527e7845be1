"""The table at the end of `nn2llm lesson lint`: what each lesson holds, and the sums. Used by lesson.py."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from nn2llm.course.linting import LessonCounts

__all__ = ["format_table", "print_table"]

_HEADS = (
    ("", ""),
    ("equations", "def."),
    ("", "der."),
    ("", "quo."),
    ("exer-", "cises"),
    ("accep-", "ted"),
    ("mis-", "takes"),
    ("ques-", "tions"),
    ("", "cells"),
    ("", "sec."),
)
"""Two lines each: ten words do not stand side by side in 80 columns. Equations: defined, derived, quoted."""
_LEAST_TITLE, _MOST_TITLE = 14, 44
_PIPE_WIDTH = 100


def print_table(rows: "Sequence[LessonCounts]") -> None:
    """Print it as wide as the terminal allows; in a file or pipe up to 100 columns."""
    console = Console()
    width = console.width if console.is_terminal else _PIPE_WIDTH
    for line in format_table(rows, width):
        print(line)


def format_table(rows: "Sequence[LessonCounts]", width: int) -> list[str]:
    """One line a lesson and one of sums; equations by kind. Nothing where no lesson was read.

    Titles are cut so that lines have at most `width` characters, where that leaves enough of them.
    """
    if not rows:
        return []
    lines = [*zip(*_HEADS, strict=True), *(_format(row) for row in rows)]
    if len(rows) > 1:
        lines.append(_sum(rows))
    # what stands over a group of columns may be wider than the first of them
    widths = [max(len(line[at]) for line in lines[1:]) for at in range(len(_HEADS))]
    widths[1:] = [max(width, len(lines[0][at])) if at > 3 else width for at, width in enumerate(widths) if at]
    room = width - sum(widths[1:]) - 2 * (len(widths) - 1)
    widths[0] = min(widths[0], _MOST_TITLE, max(room, _LEAST_TITLE))
    table = [
        "  ".join([f"{_cut(line[0], widths[0]):<{widths[0]}}", *map(str.rjust, line[1:], widths[1:])])
        for line in lines[1:]
    ]
    group = sum(widths[1:4]) + 4
    above = f"{'':{widths[0]}}  {_HEADS[1][0]:^{group}}  "
    above += "  ".join(map(str.rjust, lines[0][4:], widths[4:]))
    return ["", above.rstrip(), *(line.rstrip() for line in table), ""]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def _count(row: "LessonCounts") -> tuple[int, ...]:
    return (*row.equations.values(), row.exercises, row.accepted, row.mistakes, row.questions, row.cells)


def _format(row: "LessonCounts") -> tuple[str, ...]:
    seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
    return (
        f"{row.number:<5}{row.title}",
        *(str(number) if number else "-" for number in _count(row)),
        seconds,
    )


def _sum(rows: "Sequence[LessonCounts]") -> tuple[str, ...]:
    columns = zip(*(_count(row) for row in rows), strict=True)
    run = [row.seconds for row in rows if row.seconds is not None]
    seconds = f"{sum(run):.1f}" if run else ""
    return (f"{len(rows)} lessons", *(str(sum(column)) for column in columns), seconds)
