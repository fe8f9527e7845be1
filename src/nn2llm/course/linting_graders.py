"""The graders of a lesson, proved by its answers: the starter fails, right ones pass, mistakes are named.

Read exercises/problems.py before. Used by linting.py. Each answer is graded exactly like a learner's file, in
the grading process, with three seeds: what holds for one draw of random numbers may not hold for the next.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from nn2llm.core.errors import LessonError
from nn2llm.course.exercises.model import Answer, Exercise, build_starter, read_solution
from nn2llm.course.exercises.problems import ExerciseReport
from nn2llm.course.exercises.source import read_source
from nn2llm.course.grading.limits import GradingJob, Limits
from nn2llm.course.lesson import LessonProblem

__all__ = ["SEEDS", "Grader", "find_grader_problems"]

SEEDS = (1, 2, 3)


class Grader(Protocol):
    """What grading/service.py's GradingService does."""

    def grade(self, job: GradingJob) -> dict[str, Any]:
        """A verdict, always."""
        ...


@dataclass(frozen=True, slots=True)
class _Trial:
    """One text to grade, and where it stands."""

    exercise: Exercise
    text: str
    path: Path
    line: int
    label: str
    """How messages begin, as in `The accepted answer 'a loop' to 'double-it'`."""


def find_grader_problems(
    folder: Path,
    report: ExerciseReport,
    grader: Grader,
    *,
    jobs: int = 1,
    seeds: Sequence[int] = SEEDS,
    on_exercise: Callable[[Exercise], None] = lambda exercise: None,
) -> list[LessonProblem]:
    """What the graders of the lesson in `folder` judge wrongly.

    Args:
        folder: of the lesson.
        report: what its files hold; a broken one is left out, its problems are said already.
        grader: where answers are judged.
        jobs: how many at once.
        seeds: of the random numbers; each answer is graded with each.
        on_exercise: hears of each exercise before it is graded.
    """
    if report.broken:
        return []
    problems: list[LessonProblem] = []
    with ThreadPoolExecutor(max_workers=jobs) as pool:

        def grade(trial: _Trial, num_seeds: int = len(seeds)) -> list[dict[str, Any]]:
            jobs = (_make_job(folder, trial, seed) for seed in seeds[:num_seeds])
            return list(pool.map(grader.grade, jobs))

        for exercise in report.exercises:
            on_exercise(exercise)
            problems += _Judge(folder, report, exercise, grade).judge()
    return problems


def _make_job(folder: Path, trial: _Trial, seed: int) -> GradingJob:
    limits = trial.exercise.limits
    changes = {name: int(value) if name == "memory_mb" else value for name, value in limits.items()}
    return GradingJob(
        lesson_folder=str(folder.resolve()),
        exercise=trial.exercise.name,
        text=trial.text,
        seed=seed,
        limits=Limits().changed(changes) if changes else None,
    )


class _Judge:
    """Judges the graders of one exercise."""

    def __init__(
        self,
        folder: Path,
        report: ExerciseReport,
        exercise: Exercise,
        grade: Callable[..., list[dict[str, Any]]],
    ) -> None:
        self.folder, self.exercise, self.grade = folder, exercise, grade
        self.accepted = [answer for answer in report.accepted if answer.exercise == exercise.name]
        self.mistakes = [answer for answer in report.mistakes if answer.exercise == exercise.name]

    def judge(self) -> Iterator[LessonProblem]:
        exercise = self.exercise
        yaml = self.folder / "exercises.yaml"
        try:
            solution = read_solution(self.folder, exercise)
            starter = build_starter(self.folder, exercise)
        except LessonError as error:
            yield _problem(yaml, exercise.line, str(error))
            return
        trial = _Trial(
            exercise, solution, *self._find_line("solution.py"), f"The solution of {exercise.name!r}"
        )
        verdicts = self.grade(trial)
        broken = next((v for v in verdicts if _is_broken(v)), None)
        if broken is not None:  # every other answer would say the same
            yield _problem(yaml, exercise.line, f"{exercise.name!r}: {broken['message']}")
            return
        problems = list(_judge_right(trial, verdicts))
        if problems:  # the answers are compared with it: all else would follow from that
            yield from problems
            return
        begin = _Trial(
            exercise, starter, *self._find_line("exercise.py"), f"The starter of {exercise.name!r}"
        )
        yield from _judge_starter(begin, self.grade(begin, 1)[0])
        for answer in self.accepted:
            label = f"The accepted answer {answer.label!r} to {exercise.name!r}"
            answered = _Trial(exercise, answer.text, self.folder / "accepted.py", answer.line, label)
            problems += _judge_right(answered, self.grade(answered))
        if len(problems) == len(self.accepted) > 1:
            yield _problem(
                trial.path,
                trial.line,
                f"{trial.label} passes alone; all {len(problems)} accepted answers fail, so look here first. "
                f"{problems[0].message}",
            )
            return
        yield from problems
        for answer in self.mistakes:
            label = f"This mistake in {exercise.name!r}"
            trial = _Trial(exercise, answer.text, self.folder / "mistakes.py", answer.line, label)
            yield from self._judge_mistake(answer, trial)

    def _find_line(self, file: str) -> tuple[Path, int]:
        """Where the exercise's code stands in that file; a form's answer stands in exercises.yaml."""
        try:
            piece = read_source(self.folder / file).find(self.exercise.functions[0])
        except (LessonError, IndexError):
            piece = None
        if piece is None:
            return self.folder / "exercises.yaml", self.exercise.line
        return self.folder / file, piece.line

    def _judge_mistake(self, answer: Answer, trial: _Trial) -> Iterator[LessonProblem]:
        """It is caught, first by the check named, with its words, and told nothing of another mistake."""
        diagnoses = set()
        for verdict in self.grade(trial):
            complaint = self._find_complaint(answer, verdict)
            if complaint:
                yield _problem(trial.path, trial.line, f"{trial.label} {complaint} (seed {verdict['seed']}).")
                return
            diagnoses.add(tuple(check.get("diagnosis") for check in verdict["checks"]))
        if len(diagnoses) > 1:
            yield _problem(
                trial.path,
                trial.line,
                f"{trial.label} is told one thing with one seed and another with the next: "
                f"{_list_diagnoses(diagnoses)}. Make the suspects differ from each other at every draw.",
            )

    def _find_complaint(self, answer: Answer, verdict: dict[str, Any]) -> str:
        status = verdict["status"]
        if status == "passed":
            return "passes. Make the check tell it from a right answer"
        if status != "failed":
            said = _describe(verdict)
            return f"ends as {status!r} ({said}), which counts as no mistake. Let it run and be wrong"
        failed = [check for check in verdict["checks"] if check["status"] == "failed"]
        wanted = answer.field or answer.check
        first = [check for check in failed if wanted in (check.get("field"), check["name"])]
        if not first or (answer.field is None and failed[0] is not first[0]):
            caught = " and ".join(repr(check.get("field") or check["name"]) for check in failed) or "nothing"
            return f"is caught by {caught}, not by {wanted!r}. Mend check=, or the order of the checks"
        said = _fold(" ".join([verdict["message"], *_sentences(first[0])]))
        if _fold(answer.says) not in said:
            diagnosis = first[0].get("diagnosis")
            got = f"is told {diagnosis!r}" if diagnosis else f"is told no diagnosis ({_describe(verdict)})"
            return f"{got}, nowhere {answer.says!r}. {self._say_remedy(answer)}"
        diagnosis = _fold(first[0].get("diagnosis") or "")
        for other in self.mistakes:
            words = _fold(other.says)
            if (
                other is not answer
                and (other.check, other.field) == (answer.check, answer.field)
                and words in diagnosis
                and words not in _fold(answer.says)
                and _fold(answer.says) not in words
            ):
                return (
                    f"is told {first[0]['diagnosis']!r}, which belongs to the mistake at line {other.line}. "
                    "Give each its own words"
                )
        return ""

    def _say_remedy(self, answer: Answer) -> str:
        try:
            written = _fold((self.folder / "checks.py").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            written = ""
        written += " ".join(
            _fold(suspect.says) for field in self.exercise.fields for suspect in field.suspects
        )
        if _fold(answer.says) not in written:
            return "Add a suspect, or mend says="
        return (
            "A suspect says so and is not named: it raises, has other numbers, those of another suspect, or "
            "only zeros and whole ones. Mend it"
        )


def _problem(path: Path, line: int, message: str) -> LessonProblem:
    return LessonProblem(path=path, line=line, message=message)


def _is_broken(verdict: dict[str, Any]) -> bool:
    """The grader's own fault, not the answer's."""
    return str(verdict["message"]).startswith(("The grader ", "The checker "))


def _judge_right(trial: _Trial, verdicts: list[dict[str, Any]]) -> Iterator[LessonProblem]:
    for verdict in verdicts:
        if verdict["status"] != "passed":
            yield _problem(
                trial.path,
                trial.line,
                f"{trial.label} does not pass: {_describe(verdict)} (seed {verdict['seed']}). "
                "Mend the check, or the answer.",
            )
            return
        told = [check["diagnosis"] for check in verdict["checks"] if check.get("diagnosis")]
        if told:
            yield _problem(trial.path, trial.line, f"{trial.label} passes, and yet is told {told[0]!r}.")
            return


def _judge_starter(trial: _Trial, verdict: dict[str, Any]) -> Iterator[LessonProblem]:
    status = verdict["status"]
    if trial.exercise.kind == "repair":
        if status != "failed":
            yield _problem(
                trial.path,
                trial.line,
                f"{trial.label} ends as {status!r}, not 'failed': {_describe(verdict)}. "
                "Code to repair runs, and is wrong.",
            )
    elif status not in ("unfinished", "failed"):
        yield _problem(
            trial.path,
            trial.line,
            f"{trial.label} ends as {status!r}, not 'unfinished': {_describe(verdict)}. "
            "Leave `...` where the learner writes.",
        )


def _describe(verdict: dict[str, Any]) -> str:
    text = str(verdict["message"]).rstrip(".")
    error = verdict.get("error")
    if error and error["name"] not in text:
        text += f" ({error['name']}: {error['message'].splitlines()[0] if error['message'] else ''})"
    return text


def _sentences(check: dict[str, Any]) -> list[str]:
    evidence = check.get("evidence") or {}
    return [check.get("diagnosis") or "", *(evidence.get("lines") or ())]


def _fold(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("`", "")).strip().casefold()


def _list_diagnoses(diagnoses: set[tuple[str | None, ...]]) -> str:
    texts = sorted(" / ".join(item or "nothing" for item in group) or "nothing" for group in diagnoses)
    return "; ".join(repr(text) for text in texts)
