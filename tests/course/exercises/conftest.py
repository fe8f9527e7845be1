"""A course of one lesson with exercises of each kind, and a grader that only looks at the text."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nn2llm.course.exercises.service import Exercises
from nn2llm.course.grading.limits import GradingJob
from nn2llm.course.lesson import Course
from nn2llm.course.loader import load_course
from nn2llm.course.store import Store
from tests.course.conftest import SYLLABUS

from .sample import write_sample

LESSON = """\
---
number: "1.1"
slug: tensors
title: Tensors
minutes: 5
difficulty: 1
---

## Your turn

<!-- exercise: double-it -->

<!-- exercise: mend-the-mean -->

<!-- exercise: derive-the-slope -->

<!-- exercise: which-one -->
"""


class FakeGrader:
    """Passes a text that has no `...` and no `WRONG`; `during` happens while it grades."""

    def __init__(self) -> None:
        self.jobs: list[GradingJob] = []
        self.during: Callable[[], None] = lambda: None
        self.warmed = self.closed = False

    def grade(self, job: GradingJob) -> dict[str, Any]:
        self.jobs.append(job)
        self.during()
        status = "unfinished" if "..." in job.text else "failed" if "WRONG" in job.text else "passed"
        return {
            "exercise": job.exercise, "status": status, "message": f"It is {status}.", "seed": job.seed,
            "elapsed_s": 0.1, "checks": [], "error": None, "printed": "", "cut": False,
        }  # fmt: skip

    def warm(self) -> None:
        self.warmed = True

    def close(self) -> None:
        self.closed = True


def write_course(folder: Path) -> Course:
    """The syllabus of tests/course, and lesson 1.1 with its exercises."""
    place = write_sample(folder / "01_foundations" / "01_tensors")
    (folder / "syllabus.yaml").write_text(SYLLABUS, encoding="utf-8")
    (place / "lesson.md").write_text(LESSON, encoding="utf-8")
    return load_course(folder)


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return write_course(tmp_path / "lessons")


@pytest.fixture
def grader() -> FakeGrader:
    return FakeGrader()


@pytest.fixture
def exercises(course: Course, grader: FakeGrader, tmp_path: Path) -> Iterator[Exercises]:
    store = Store(tmp_path / "home" / "course.db")
    yield Exercises(course, store, tmp_path / "home", grader)  # type: ignore[arg-type]
    store.close()
