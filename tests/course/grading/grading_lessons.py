"""A lesson with one exercise in a temporary folder, and its verdicts, for the tests of the checks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from nn2llm.course.grading.limits import GradingJob
from nn2llm.course.grading.running import run_job
from nn2llm.course.grading.session import CheckFailed, Session, new_session

STEP = """
import torch


def gradient_step(w, b, x, y, learning_rate):
    \"\"\"One step.\"\"\"
    error = w * x + b - y
    slope_w = 2 * (error * x).mean()
    slope_b = 2 * error.mean()
    return w - learning_rate * slope_w, b - learning_rate * slope_b
"""

STEP_CHECKS = """
import torch

from nn2llm.course.grading import generator, same


def added(w, b, x, y, learning_rate):
    error = w * x + b - y
    return w + learning_rate * 2 * (error * x).mean(), b + learning_rate * 2 * error.mean()


def check_one_step(learner, reference):
    \"\"\"One step moves w and b against their slopes.\"\"\"
    g = generator()
    x, y = torch.randn(2, 20, generator=g)
    same(learner.gradient_step, reference.gradient_step, 0.1, 0.5, x, y, learning_rate=0.02,
         suspects={"You added the slope; subtract it.": added})


def check_single_pair(learner, reference):
    \"\"\"One pair is enough.\"\"\"
    x, y = torch.randn(2, 1, generator=generator())
    same(learner.gradient_step, reference.gradient_step, 0.3, 0.2, x, y, 0.5)
"""

STEP_MISTAKES = """
from nn2llm.course.grading import mistake


@mistake("gradient-step", check="check_one_step", says="added the slope", why="The sign is forgotten.")
def gradient_step(w, b, x, y, learning_rate):
    error = w * x + b - y
    return w + learning_rate * 2 * (error * x).mean(), b + learning_rate * 2 * error.mean()
"""

STARTER = """
import torch


def gradient_step(w, b, x, y, learning_rate):
    \"\"\"One step.\"\"\"
    ...
"""


def write_lesson(
    folder: Path,
    *,
    functions: list[str] | None = None,
    checks: str = STEP_CHECKS,
    solution: str = STEP,
    starter: str = STARTER,
    mistakes: str = STEP_MISTAKES,
    names: list[str] | None = None,
    **more: Any,
) -> Path:
    """A folder with the exercise `gradient-step`, of kind implement unless `more` says otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    entry = {
        "name": "gradient-step",
        "kind": "implement",
        "title": "One step",
        "minutes": 5,
        "difficulty": 2,
        "task": "Move both.",
        "functions": ["gradient_step"] if functions is None else functions,
        "checks": ["check_one_step", "check_single_pair"] if names is None else names,
        "hints": ["Look.", "Do.", "Almost."],
        **more,
    }
    entry = {key: value for key, value in entry.items() if value != []}
    (folder / "exercises.yaml").write_text(yaml.safe_dump([entry]), encoding="utf-8")
    for name, text in (
        ("checks.py", checks),
        ("solution.py", solution),
        ("exercise.py", starter),
        ("mistakes.py", mistakes),
    ):
        if text:
            (folder / name).write_text(dedent(text), encoding="utf-8")
    return folder


def grade(folder: Path, text: str, *, seed: int = 3) -> dict[str, Any]:
    """The verdict on a text, in this process."""
    verdicts: list[dict[str, Any]] = []
    job = GradingJob(lesson_folder=str(folder), exercise="gradient-step", text=dedent(text), seed=seed)
    run_job(job, verdicts.append)
    assert len(verdicts) == 1
    return verdicts[0]


def failed(verdict: dict[str, Any]) -> dict[str, Any]:
    """The check that failed, the first and only one."""
    found = [check for check in verdict["checks"] if check["status"] == "failed"]
    assert len(found) == 1
    return found[0]


@contextmanager
def grading(seed: int = 0) -> Iterator[Session]:
    """A grading under way, for calling same() and its kin."""
    with new_session(seed) as session:
        session.begin("check")
        yield session


def failure(call: Callable[[], None]) -> CheckFailed:
    """What a call of same() fails with."""
    with grading(), pytest.raises(CheckFailed) as caught:
        call()
    return caught.value
