"""Faults planted in graders, and in the answers that prove them: the linter names each."""

from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from nn2llm.course.exercises.problems import read_exercise_files
from nn2llm.course.grading.limits import GradingJob
from nn2llm.course.linting_graders import Grader, find_grader_problems

from .exercises.sample import CHECKS, EXERCISES, FILES, write_sample

DOUBLE, MEAN, SLOPE, CHOICE = (f"- name: {part}" for part in f"\n{EXERCISES}".split("\n- name: ")[1:])


class HereGrader:
    """The same grading, in this process: quicker, and nothing here is hostile."""

    def grade(self, job: GradingJob) -> dict[str, Any]:
        from nn2llm.course.grading.running import run_job

        verdicts: list[dict[str, Any]] = []
        run_job(job, verdicts.append)
        return verdicts[0]


def lint(folder: Path) -> list[str]:
    report = read_exercise_files(folder)
    assert not report.broken, report.problems
    found = find_grader_problems(folder, report, HereGrader(), seeds=(1,))
    return [str(problem).removeprefix(f"{folder}/") for problem in found]


def plant(folder: Path, exercise: str, name: str, good: str, bad: str) -> list[str]:
    """Lint the sample with only this exercise, and with `good` replaced in one of its files."""
    words = exercise.split("\n", 1)[0].removeprefix("- name: ")
    files = {"exercises.yaml": exercise, "checks.py": CHECKS}
    for file, word in (("mistakes.py", "mistake"), ("accepted.py", "accepted")):
        files[file] = "\n\n\n".join(
            part
            for part in FILES[file].replace(f"\n{word}(", f"\n\n\n{word}(").split("\n\n\n")
            if f'{word}("' not in part or f'{word}("{words}"' in part
        )
    text = files.get(name, FILES[name])
    assert good in text, text
    files[name] = text.replace(good, bad, 1)
    write_sample(folder, **{key.replace(".", "_"): value for key, value in files.items()})
    return lint(folder)


@pytest.mark.parametrize("exercise", [DOUBLE, MEAN, SLOPE, CHOICE])
def test_the_sample_is_clean(tmp_path: Path, exercise: str) -> None:
    assert plant(tmp_path, exercise, "solution.py", "import math", "import math") == []


FAULTS = [
    (DOUBLE, "exercise.py", "    ...", "    return x + x", "The starter of 'double-it' ends as 'passed'"),
    (DOUBLE, "exercise.py", "    ...", "    raise ValueError('write')", "of 'double-it' ends as 'error'"),
    (DOUBLE, "exercise.py", "    ...", "    ...\n\n\n1 / 0", ""),  # never runs
    (MEAN, "exercise.py", "(count(values) + 1)", "count(values)", "of 'mend-the-mean' ends as 'passed'"),
    (MEAN, "exercise.py", "sum(values) /", "... #", "of 'mend-the-mean' ends as 'unfinished', not 'failed'"),
    (DOUBLE, "solution.py", "2 * x", "3 * x", "The accepted answer 'adding' to 'double-it' does not pass"),
    (DOUBLE, "accepted.py", "x / 0.5", "x / 0.25", "accepted.py:15: The accepted answer 'a shift of the"),
    (DOUBLE, "accepted.py", "x + x", "x + y", "does not pass: Line 6 raises `NameError`: name 'y' is not"),
    (DOUBLE, "mistakes.py", "return x + TWO", "return x * TWO", "This mistake in 'double-it' passes."),
    (DOUBLE, "mistakes.py", "return x + TWO", "return x + y", "ends as 'error' (Line"),
    (DOUBLE, "mistakes.py", "return x + TWO", "...", "ends as 'unfinished'"),
    (
        DOUBLE,
        "mistakes.py",
        '"added 2"',
        '"added two"',
        "'You added 2: multiply instead.', nowhere 'added two'",
    ),
    (DOUBLE, "mistakes.py", '"added 2"', '"instead"', ""),
    (
        DOUBLE,
        "mistakes.py",
        "return -2 * x",
        "return x**3 - 7",
        "), nowhere 'its sign'. A suspect says so and is not named",
    ),
    (
        DOUBLE,
        "checks.py",
        "lambda x: x + 2",
        "lambda x: x**2",
        "told no diagnosis (The check “Any number is doubled” fails",
    ),
    (MEAN, "mistakes.py", '"check_mean"', '"check_spread"', "caught by 'check_mean', not by 'check_spread'"),
    (DOUBLE, "checks.py", "=generator()", "=generatr()", "The grader of this exercise is broken"),
    (DOUBLE, "checks.py", "import torch", "import torhc", "The grader of this exercise is broken"),
    (SLOPE, "exercises.yaml", "is: x,", "is: 3*x,", "nowhere 'forgot the 2'"),
    (SLOPE, "mistakes.py", 'slope="x")', 'slope="x+x")', "This mistake in 'derive-the-slope' passes."),
    (
        SLOPE,
        "accepted.py",
        'slope="x*2"',
        'slope="x*3"',
        "'turned round' to 'derive-the-slope' does not pass",
    ),
    (CHOICE, "exercises.yaml", "It is worse.", "It is not so good.", "nowhere 'worse'"),
]


@pytest.mark.parametrize(("exercise", "name", "good", "bad", "says"), FAULTS)
def test_a_planted_fault_is_named(
    tmp_path: Path, exercise: str, name: str, good: str, bad: str, says: str
) -> None:
    found = plant(tmp_path, exercise, name, good, bad)
    if not says:
        assert found == []
    else:
        assert any(says in problem for problem in found), found


def test_a_diagnosis_that_belongs_to_another_mistake_is_named(tmp_path: Path) -> None:
    found = plant(
        tmp_path,
        DOUBLE,
        "checks.py",
        '"You added 2: multiply instead."',
        '"You added 2, or squared it; its sign is right."',
    )
    assert [problem.partition(":")[0] for problem in found] == ["mistakes.py"]
    assert "which belongs to the mistake at line" in found[0]


def test_a_diagnosis_that_changes_with_the_seed_is_named(tmp_path: Path) -> None:
    class Fickle(HereGrader):
        def grade(self, job: GradingJob) -> dict[str, Any]:
            verdict = super().grade(job)
            if job.seed == 2 and verdict["checks"][0]["diagnosis"]:
                verdict["checks"][0]["diagnosis"] = "Something else, with its sign, squared it, added 2."
            return verdict

    plant(tmp_path, DOUBLE, "solution.py", "import math", "import math")
    found = find_grader_problems(tmp_path, read_exercise_files(tmp_path), Fickle())
    assert any(
        "one thing with one seed and another with the next" in str(problem) for problem in found
    ) or any("which belongs to the mistake" in str(problem) for problem in found)


def test_what_cannot_be_read_is_not_graded(tmp_path: Path) -> None:
    write_sample(tmp_path, checks_py=None)
    assert find_grader_problems(tmp_path, read_exercise_files(tmp_path), HereGrader()) == []


def test_answers_are_graded_several_at_once(tmp_path: Path) -> None:
    both = Barrier(2, timeout=30)  # broken unless two are graded at the same time

    class Pair:
        def grade(self, job: GradingJob) -> dict[str, Any]:
            both.wait()
            checks = [{"name": "check_double", "status": "passed", "diagnosis": None}]
            return {"status": "passed", "message": "Fine.", "seed": job.seed, "checks": checks}

    plant(tmp_path, DOUBLE, "solution.py", "import math", "import math")
    heard: list[str] = []
    found = find_grader_problems(
        tmp_path,
        read_exercise_files(tmp_path),
        EvenStarter(Pair()),
        jobs=2,
        seeds=(1, 2),
        on_exercise=lambda exercise: heard.append(exercise.name),
    )
    assert all("passes." in str(problem) or "starter" in str(problem).lower() for problem in found)
    assert heard == ["double-it"]


class EvenStarter:
    """The starter is graded once, alone: it waits for nobody."""

    def __init__(self, inner: Grader) -> None:
        self.inner = inner

    def grade(self, job: GradingJob) -> dict[str, Any]:
        if "..." in job.text:
            return {"status": "unfinished", "message": "Not written.", "seed": job.seed, "checks": []}
        return self.inner.grade(job)


def test_where_all_accepted_answers_fail_the_solution_is_named_once(tmp_path: Path) -> None:
    (problem,) = (
        text
        for text in plant(tmp_path, DOUBLE, "solution.py", "2 * x", "3 * x")
        if not text.startswith("mistakes.py")
    )
    assert problem.startswith("solution.py:")
    assert "'double-it' passes alone; all 3 accepted answers fail" in problem


def test_a_solution_that_fails_is_named_at_its_line_and_nothing_else(tmp_path: Path) -> None:
    (problem,) = plant(tmp_path, DOUBLE, "solution.py", "2 * x", "2 * y")
    assert problem.startswith("solution.py:")
    assert "name 'y' is not defined" in problem
