"""Results of a lesson's cells, kept while nothing that they depend on has changed; and what is wrong in them.

Read running.py before. Used by the static site and the linter. A result is good for as long as the cells, the
other files of the lesson, the code of nn2llm that cells can reach and the versions of Python, torch, numpy
and matplotlib are the same; then a second build runs nothing.
"""

import hashlib
import json
import platform
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path

import nn2llm
from nn2llm.core.errors import DataError
from nn2llm.core.files import read_json, write_json_atomic
from nn2llm.core.home import get_home
from nn2llm.course.checks import QuotedNumber, find_quoted_numbers
from nn2llm.course.kernels.pool import WARM_IMPORTS
from nn2llm.course.kernels.protocol import VERIFY_MIME
from nn2llm.course.lesson import Cell, Lesson, LessonProblem
from nn2llm.course.running import CellResult, run_cells

__all__ = [
    "compute_fingerprint",
    "find_result_problems",
    "get_results",
    "load_results",
    "print_of",
    "save_results",
]

_VERSION = 1
# What a cell cannot reach: these change often and change no result.
_OUT_OF_REACH = ("app", "cli", "lessons", "course")
_IN_REACH = ("course/cells.py", "course/figures", "course/kernels/inside")
# Of the lesson's folder: its text, whose cells count one by one, and what the graders and quizzes read.
_NOT_FOR_CELLS = (
    "lesson.md", "exercises.yaml", "exercise.py", "checks.py", "mistakes.py", "accepted.py", "solution.py",
    "quiz.yaml",
)  # fmt: skip
_PACKAGES = ("torch", "numpy", "matplotlib")
_NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?%?")


def get_results(
    lesson: Lesson, *, home: Path | None = None, on_cell: Callable[[Cell], None] = lambda cell: None
) -> dict[str, CellResult]:
    """The result of each cell by its id: kept ones where they still hold, else the cells run now.

    Results of a run in which a cell failed unexpectedly are not kept.
    """
    home = home or get_home()
    kept = load_results(lesson, home=home)
    if kept is not None:
        return kept
    fresh = run_cells(lesson, home=home, warm_imports=WARM_IMPORTS, on_cell=on_cell)
    if not any(_judge_end(lesson, cell, fresh.get(cell.id)) for cell in lesson.cells):
        save_results(lesson, fresh, home=home)
    return fresh


def load_results(lesson: Lesson, *, home: Path | None = None) -> dict[str, CellResult] | None:
    """The kept results; None where there are none that still hold."""
    try:
        found = read_json(_path_of(lesson, home or get_home()))
        return {
            name: CellResult(**{**values, "outputs": tuple(values["outputs"])})
            for name, values in found["cells"].items()
        }
    except (DataError, OSError, KeyError, TypeError, AttributeError):
        return None


def save_results(lesson: Lesson, results: dict[str, CellResult], *, home: Path | None = None) -> None:
    """Keep the results, in place of earlier ones of this lesson.

    Raises:
        StorageError: if they cannot be written.
    """
    path = _path_of(lesson, home or get_home())
    write_json_atomic(path, {"cells": {name: asdict(result) for name, result in results.items()}})
    for older in path.parent.glob(f"{lesson.slug}-*.json"):
        if older != path and len(older.name) == len(path.name):
            older.unlink(missing_ok=True)


def _path_of(lesson: Lesson, home: Path) -> Path:
    return home / "results" / f"{lesson.slug}-{compute_fingerprint(lesson)[:20]}.json"


def compute_fingerprint(lesson: Lesson) -> str:
    """Changes when the lesson's cells may give something else than before."""
    digest = hashlib.sha256(f"{_VERSION} {_fingerprint_of_code()}".encode())
    for cell in lesson.cells:
        digest.update(json.dumps([cell.id, cell.kind, cell.eq, cell.code]).encode())
    for path in sorted(path for path in lesson.folder.rglob("*") if path.is_file()):
        if path.name not in _NOT_FOR_CELLS and "__pycache__" not in path.parts:
            digest.update(path.relative_to(lesson.folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@cache
def _fingerprint_of_code() -> str:
    root = Path(nn2llm.__file__).parent
    digest = hashlib.sha256(f"{sys.version} {platform.machine()}".encode())
    for name in _PACKAGES:
        try:
            digest.update(f"{name} {metadata.version(name)}".encode())
        except metadata.PackageNotFoundError:
            continue
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root).as_posix()
        if not place.startswith(_OUT_OF_REACH) or place.startswith(_IN_REACH):
            digest.update(place.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


# What is wrong in results.


def find_result_problems(
    lesson: Lesson, results: dict[str, CellResult], *, numbers: bool = True
) -> list[LessonProblem]:
    """Cells that failed, checks without a verdict, and (with `numbers`) quoted numbers not printed."""
    problems = [
        problem
        for cell in lesson.cells
        if (problem := _judge_end(lesson, cell, results.get(cell.id)) or _judge_check(lesson, cell, results))
    ]
    if numbers:
        for quoted in find_quoted_numbers(lesson.blocks):
            result = results.get(quoted.cell)
            if result is not None and result.status == "done" and not _is_printed(quoted, result):
                problems.append(
                    LessonProblem(
                        path=lesson.path, line=quoted.line, message=_say_not_printed(quoted, result)
                    )
                )
    return sorted(problems, key=lambda problem: problem.line)


def _judge_end(lesson: Lesson, cell: Cell, result: CellResult | None) -> LessonProblem | None:
    """The cell did not end as it was meant to."""

    def problem(message: str, line: int = 0) -> LessonProblem:
        return LessonProblem(path=lesson.path, line=line or cell.line, message=message)

    if result is None:
        return problem(f"Cell {cell.id!r} did not run: its kernel had ended. Mend the cells above it.")
    error = result.error
    if cell.raises is not None:
        if error is not None and error["name"] == cell.raises and result.status == "error":
            return None
        ended = f"ended with {error['name']}" if error is not None else "ended well"
        return problem(f"Cell {cell.id!r} is to raise {cell.raises}, but {ended}. Mend it, or raises=.")
    if result.status == "done":
        return None
    if error is None:
        return problem(f"Cell {cell.id!r} failed without saying why. Run it on its page.")
    what = error["name"] + (f": {error['message'].splitlines()[0]}" if error["message"] else "")
    frames = [frame for frame in error.get("frames", []) if frame.get("cell") == cell.id and frame["line"]]
    line = cell.line + frames[-1]["line"] - 1 if frames else cell.line
    remedy = "Shorten it."
    if result.status == "error":
        # what is checked, or shown as a figure, is never meant to fail
        runs = cell.kind in ("code", "slow")
        remedy = f'Mend it, or mark it raises="{error["name"]}".' if runs else "Mend it."
    return problem(f"Cell {cell.id!r} failed with {what}{'' if what[-1] in '.!?' else '.'} {remedy}", line)


def _judge_check(lesson: Lesson, cell: Cell, results: dict[str, CellResult]) -> LessonProblem | None:
    if cell.kind != "verify":
        return None
    verdicts = [
        output["data"][VERIFY_MIME]
        for output in results[cell.id].outputs
        if output["kind"] == "display" and VERIFY_MIME in output["data"]
    ]
    if verdicts and any(verdict["eq"] == cell.eq for verdict in verdicts):
        return None
    other = f" of ({verdicts[0]['eq']})" if verdicts else ""
    message = f"Cell {cell.id!r} shows {'a verdict' + other if verdicts else 'no verdict'}. "
    return LessonProblem(
        path=lesson.path, line=cell.line, message=message + f"End it with verify(…) of ({cell.eq})."
    )


def print_of(result: CellResult) -> str:
    """All that a cell printed or showed as plain text."""
    return "\n".join(
        output["text"] if output["kind"] == "stream" else str(output["data"].get("text/plain", ""))
        for output in result.outputs
        if output["kind"] != "error"
    )


def _is_printed(quoted: QuotedNumber, result: CellResult) -> bool:
    """Digit by digit; thousands' commas do not count, and a number without a sign may be printed with one."""
    wanted = _normalise(quoted.text)
    signed = wanted[0] == "-"
    printed = {_normalise(match.group()) for match in _NUMBER.finditer(print_of(result))}
    return wanted in printed if signed else wanted in {number.lstrip("-") for number in printed}


def _normalise(number: str) -> str:
    return number.replace("−", "-").replace(",", "").lstrip("+")


def _say_not_printed(quoted: QuotedNumber, result: CellResult) -> str:
    value = float(_normalise(quoted.text).rstrip("%") or 0)
    printed = sorted(
        {match.group() for match in _NUMBER.finditer(print_of(result))},
        key=lambda number: abs(abs(float(_normalise(number).rstrip("%"))) - abs(value)),
    )
    nearest = f"; the nearest that it prints is {printed[0]}" if printed else ", which prints no number"
    return f"{quoted.text} is quoted from cell {quoted.cell!r}{nearest}. Mend the text or the cell."
