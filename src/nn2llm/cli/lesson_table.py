"""The table at the end of `nn2llm lesson lint`: what each lesson holds, and the sums. Used by lesson.py."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nn2llm.course.linting import LessonCounts

__all__ = ["print_table"]

_HEADS = (
    "",
    "def.",
    "derived",
    "quoted",
    "exercises",
    "accepted",
    "mistakes",
    "questions",
    "cells",
    "seconds",
)
_TITLE_WIDTH = 40


def print_table(rows: "Sequence[LessonCounts]") -> None:
    """One line a lesson and one of sums; equations by kind. Nothing where no lesson was read."""
    if not rows:
        return
    lines = [_HEADS, *(_format(row) for row in rows)]
    if len(rows) > 1:
        lines.append(_sum(rows))
    widths = [max(len(line[at]) for line in lines) for at in range(len(_HEADS))]
    print()
    for line in lines:
        print(
            "  ".join(
                [
                    f"{line[0]:<{widths[0]}}",
                    *(f"{text:>{width}}" for text, width in zip(line[1:], widths[1:], strict=True)),
                ]
            )
        )
    print()


def _format(row: "LessonCounts") -> tuple[str, ...]:
    title = f"{row.number:<5}{row.title}"
    numbers = (*row.equations.values(), row.exercises, row.accepted, row.mistakes, row.questions, row.cells)
    seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
    if len(title) > _TITLE_WIDTH:
        title = title[: _TITLE_WIDTH - 1] + "…"
    return (title, *(str(number) if number else "-" for number in numbers), seconds)


def _sum(rows: "Sequence[LessonCounts]") -> tuple[str, ...]:
    columns = zip(
        *(
            (*row.equations.values(), row.exercises, row.accepted, row.mistakes, row.questions, row.cells)
            for row in rows
        ),
        strict=True,
    )
    run = [row.seconds for row in rows if row.seconds is not None]
    seconds = f"{sum(run):.1f}" if run else ""
    return (f"{len(rows)} lessons", *(str(sum(column)) for column in columns), seconds)
