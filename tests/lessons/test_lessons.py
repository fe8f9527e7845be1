"""Every lesson that comes with nn2llm: its graders judge rightly, its checks hold, its cells run.

What `make test` runs: files and graders of all lessons, their verify cells, and the other cells of those that
changed lately (by git: not committed, or in a commit of the last 14 days; without git: all). These are graded
with three seeds, the others with one. `make lessons` runs everything of all.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from nn2llm.course.grading.service import GradingService
from nn2llm.course.lesson import SyllabusLesson
from nn2llm.course.linting import lint_lessons
from nn2llm.course.linting_cells import find_prediction_problems, judge_times
from nn2llm.course.linting_graders import SEEDS
from nn2llm.course.loader import load_course, load_lesson
from nn2llm.course.results import find_result_problems
from nn2llm.course.running import run_cells

ROOT = Path(__file__).parents[2]
LATELY = "14.days.ago"

COURSE = load_course()
WRITTEN = [entry for entry in COURSE.entries if COURSE.is_ready(entry.slug)]


def name(entry: SyllabusLesson) -> str:
    return f"{entry.number}-{entry.slug}"


@cache
def changed_lately() -> frozenset[Path] | None:
    """Files under lessons/ that git says changed; None where it cannot say."""
    commands = (
        ["git", "log", f"--since={LATELY}", "--name-only", "--format=", "--", str(COURSE.folder)],
        ["git", "status", "--porcelain", "--untracked-files=all", "--", str(COURSE.folder)],
    )
    found: set[Path] = set()
    for command in commands:
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        names = (line[3:] if command[1] == "status" else line for line in done.stdout.splitlines())
        found |= {ROOT / line.rpartition(" -> ")[2].strip('"') for line in names if line.strip()}
    # a clone without history says nothing about the past
    shallow = subprocess.run(
        ["git", "rev-parse", "--is-shallow-repository"], cwd=ROOT, capture_output=True, text=True
    )
    return None if shallow.stdout.strip() != "false" else frozenset(found)


def has_changed(entry: SyllabusLesson) -> bool:
    files = changed_lately()
    return files is None or any(path.is_relative_to(entry.folder) for path in files)


def test_lessons_are_found() -> None:
    assert "linear-regression" in {entry.slug for entry in WRITTEN}
    assert COURSE.problems == []


@pytest.fixture(scope="module")
def service() -> Iterator[GradingService]:
    """One for all lessons: it takes longer to start than an answer to grade."""
    with GradingService() as service:
        yield service


@pytest.mark.parametrize("entry", WRITTEN, ids=name)
def test_files_are_whole_and_graders_judge_rightly(
    entry: SyllabusLesson, service: GradingService, tmp_path: Path
) -> None:
    seeds = SEEDS if has_changed(entry) else SEEDS[:1]
    report = lint_lessons(
        COURSE, {entry.slug}, run_cells=False, jobs=2, seeds=seeds, home=tmp_path, grader=service
    )
    assert [str(problem) for problem in report.problems] == []
    assert report.num_graded == report.rows[0].exercises


@pytest.mark.parametrize("entry", WRITTEN, ids=name)
def test_cells_run_and_their_checks_hold(entry: SyllabusLesson, tmp_path: Path) -> None:
    lesson = load_lesson(entry)
    if not has_changed(entry):
        lesson = replace(lesson, blocks=tuple(cell for cell in lesson.cells if cell.kind == "verify"))
    results = run_cells(lesson, home=tmp_path, warm_imports=("torch", "numpy", "matplotlib.pyplot"))
    problems = find_result_problems(lesson, results, numbers=False)
    problems += find_prediction_problems(lesson, results) + judge_times(lesson, results)[0]
    assert [str(problem) for problem in problems] == []
