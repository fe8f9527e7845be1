"""One object for everything that a learner does at an exercise: the page, the terminal and notebooks use it.

Read model.py and files.py before. What is graded is always what stands on disk; every check is recorded. The
grading itself runs in another process (course/grading/service.py).
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn2llm.core.errors import LessonError, Nn2llmError, StorageError
from nn2llm.course.exercises.files import FileState, LearnerFiles
from nn2llm.course.exercises.model import (
    Exercise,
    build_starter,
    find_exercise,
    load_exercises,
    read_solution,
)
from nn2llm.course.exercises.records import Field
from nn2llm.course.grading.limits import GradingJob, Limits
from nn2llm.course.lesson import Course, SyllabusLesson
from nn2llm.course.records_exercises import AGAIN, ExerciseState

if TYPE_CHECKING:
    from nn2llm.course.grading.service import GradingService
    from nn2llm.course.store import Store

__all__ = ["Exercises", "Task"]

_SHOWN_ATTEMPTS = 50

# Without one of these words, code has no way to a file: what changed it was an editor.
_REACHES_FILES = re.compile(
    r"\b(open|os|io|pathlib|Path|shutil|subprocess|exec|eval|compile|importlib|__\w+__|sys|ctypes|tempfile|"
    r"save\w*|tofile|memmap|globals|getattr|vars|inspect|fileinput|linecache|mmap)\b"
)


@dataclass(frozen=True, slots=True)
class Task:
    """An exercise of a lesson, under the name that its file and records have."""

    entry: SyllabusLesson
    exercise: Exercise
    name: str
    """`gradient-step`, or `gradient-step-again` where it has come back blank."""

    @property
    def slug(self) -> str:
        """Of the lesson."""
        return self.entry.slug

    @property
    def folder(self) -> Path:
        """Of the lesson."""
        return self.entry.folder


class Exercises:
    """The exercises of a course for one learner. May be used from several threads."""

    def __init__(
        self,
        course: Course | Callable[[], Course],
        store: "Store",
        home: Path,
        service: "GradingService",
    ) -> None:
        self._course = course
        self.store, self.home, self.service = store, home, service
        self.files = LearnerFiles(home)

    @property
    def course(self) -> Course:
        """As it is now: an author may be at work on it."""
        return self._course() if callable(self._course) else self._course

    def find(self, slug: str, name: str) -> Task:
        """The exercise of that lesson (slug or number) and name.

        Raises:
            LessonError: if there is none, or exercises.yaml is broken.
        """
        entry = self.course.lesson(slug)
        plain = name.removesuffix(AGAIN)
        if plain != name and (exercise := find_exercise(entry.folder, plain)).returns:
            return Task(entry, exercise, name)
        return Task(entry, find_exercise(entry.folder, name), name)

    def list_tasks(self, slug: str) -> list[Task]:
        """The exercises of a lesson, in order.

        Raises:
            LessonError: if there is no such lesson, or its exercises.yaml is broken.
        """
        entry = self.course.lesson(slug)
        return [Task(entry, exercise, exercise.name) for exercise in load_exercises(entry.folder)]

    # What the learner sees

    def state(self, slug: str, name: str) -> dict[str, Any]:
        """Everything about one exercise, as JSON: what is asked, the learner's text, and how it stands.

        Answers, suspects and hints not yet seen are left out. A file that is not there yet is not made: its
        text is the starter's, or after it was deleted the one kept last.
        """
        task = self.find(slug, name)
        disk = self.files.read(task.slug, task.name)
        record = self.store.exercises.state(task.slug, task.name)
        exercise = task.exercise
        return {
            "slug": task.slug,
            "number": task.entry.number,
            **_describe(task, record),
            "text": disk.text if disk.exists else self._first_text(task),
            "version": disk.version,
            "exists": disk.exists,
            "path": str(disk.path),
            "status": record.status,
            "unaided": record.unaided,
            "solution_seen": record.solution_seen_at is not None,
            "passed_at": record.passed_at,
            "hints_seen": record.hints_seen,
            "hints": list(exercise.hints[: record.hints_seen]),
            "attempts": [
                {"id": item.id, "at": item.at, "status": item.status, "message": item.message}
                for item in self.store.exercises.attempts(task.slug, task.name)[-_SHOWN_ATTEMPTS:]
            ],
            "last": record.last_verdict,
        }

    def version(self, slug: str, name: str) -> str:
        """Of the file on disk; empty where there is none."""
        task = self.find(slug, name)
        return self.files.read(task.slug, task.name).version

    def prepare(self, slug: str, name: str) -> FileState:
        """The learner's file, begun with the starter where there is none (or with the text kept last)."""
        task = self.find(slug, name)
        disk = self.files.read(task.slug, task.name)
        if disk.exists:
            return disk
        return self.files.write(task.slug, task.name, self._first_text(task), base="")

    def starter(self, task: Task) -> str:
        """What the learner begins with."""
        return build_starter(task.folder, task.exercise)

    def _first_text(self, task: Task) -> str:
        kept = self.files.latest(task.slug, task.name)
        return kept if kept is not None else self.starter(task)

    # What the learner does

    def save(self, slug: str, name: str, text: str, base: str | None) -> FileState:
        """Write the learner's text, made from version `base` of the file.

        Raises:
            FileConflict: if the file has changed since; its `disk` has what is there.
        """
        task = self.find(slug, name)
        return self.files.write(task.slug, task.name, text, base)

    def check(
        self,
        slug: str,
        name: str,
        text: str | None = None,
        base: str | None = None,
        *,
        seed: int | None = None,
    ) -> dict[str, Any]:
        """Grade what is on disk (after saving `text`, where it is given) and record the attempt.

        The verdict (grading/evidence.py) carries besides: `version`, the version graded; `attempt`, its id;
        `part`, a sentence where the code joined the learner's own GPT.

        Raises:
            FileConflict: if `text` cannot be saved, because the file has changed since `base`.
        """
        task = self.find(slug, name)
        if text is not None:
            disk = self.files.write(task.slug, task.name, text, base)
        else:
            disk = self.prepare(slug, name)
        self.files.remember(disk)
        verdict = self._grade(task, disk.text, seed)
        sentences = [str(verdict.get("message", "")), *self._restore(task, disk)]
        verdict["message"] = " ".join(sentence for sentence in sentences if sentence)
        verdict["version"] = disk.version
        return self._record(task, disk.text, verdict)

    def check_text(self, slug: str, name: str, text: str) -> dict[str, Any]:
        """Grade and record a text that is not the learner's file, which stays as it is."""
        task = self.find(slug, name)
        return self._record(task, text, self._grade(task, text, None))

    def _grade(self, task: Task, text: str, seed: int | None) -> dict[str, Any]:
        return self.service.grade(
            GradingJob(
                lesson_folder=str(task.folder.resolve()),
                exercise=task.exercise.name,
                text=text,
                seed=secrets.randbelow(2**31) if seed is None else seed,
                limits=Limits().changed(_whole(task.exercise.limits)) if task.exercise.limits else None,
            )
        )

    def _record(self, task: Task, text: str, verdict: dict[str, Any]) -> dict[str, Any]:
        """Keep the attempt, and code that passed as a part of the learner's GPT."""
        if verdict.get("status") == "passed" and task.exercise.part and task.name == task.exercise.name:
            verdict["part"] = self._adopt(task, text)
        try:
            verdict["attempt"] = self.store.exercises.record_attempt(
                task.slug, task.name, status=str(verdict["status"]), text=text, verdict=dict(verdict)
            )
        except StorageError as error:  # a verdict that cannot be kept is still worth showing
            verdict["message"] += f" It could not be recorded: {error}"
        return verdict

    def _restore(self, task: Task, graded: FileState) -> list[str]:
        """Put the file back if the code itself changed or deleted it; says so."""
        try:
            now = self.files.read(task.slug, task.name)
        except Nn2llmError as error:
            return [f"Your file cannot be read any more: {error}"]
        if now.version == graded.version:
            return []
        if now.exists and (self.files.wrote(now) or not _REACHES_FILES.search(graded.text)):
            return []  # the learner typed on while it ran
        self.files.write(task.slug, task.name, graded.text, base=None)
        if not now.exists:
            return ["Your file was deleted while your code ran; it is back as it was."]
        return [
            "Your file was changed while your code ran; it is back as it was, the other text is in .history."
        ]

    def _adopt(self, task: Task, text: str) -> str:
        from nn2llm.course.mygpt import adopt_part

        part = task.exercise.part
        assert part is not None
        try:
            adopt_part(self.home, part, text, slug=task.slug, exercise=task.exercise.name)
        except Nn2llmError as error:
            return f"It did not join your own GPT: {error}"
        return f"Your code is now a part of your own GPT: {part}."

    def hint(self, slug: str, name: str) -> tuple[int, str]:
        """The next hint, as (number from 1, Markdown); after the last one that one again."""
        task = self.find(slug, name)
        hints = task.exercise.hints
        if not hints:
            raise LessonError(f"The exercise {name!r} has no hints. Ask for the solution.")
        number = min(self.store.exercises.hints_seen(task.slug, task.name) + 1, len(hints))
        self.store.exercises.see_hint(task.slug, task.name, number)
        return number, hints[number - 1]

    def solution(self, slug: str, name: str) -> str:
        """A right answer as a whole file; that it was seen is recorded."""
        task = self.find(slug, name)
        text = read_solution(task.folder, task.exercise)
        self.store.exercises.see_solution(task.slug, task.name)
        return text

    def reset(self, slug: str, name: str) -> FileState:
        """Back to the starter; the learner's text stays in `.history`."""
        task = self.find(slug, name)
        return self.files.write(task.slug, task.name, build_starter(task.folder, task.exercise), base=None)

    def bring_back(self, slug: str, name: str) -> FileState:
        """The text that was overwritten last, as by a reset; the present one stays in `.history`.

        Raises:
            LessonError: if nothing was overwritten yet.
        """
        task = self.find(slug, name)
        text = self.files.overwritten(task.slug, task.name)
        if text is None:
            raise LessonError(f"Nothing of {name!r} was overwritten yet, so nothing can be brought back.")
        return self.files.write(task.slug, task.name, text, base=None)

    def restore(self, slug: str, name: str, attempt: str) -> FileState:
        """Back to the text of that attempt; the present one stays in `.history`.

        Raises:
            LessonError: if this exercise has no such attempt.
        """
        task = self.find(slug, name)
        found = {item.id: item for item in self.store.exercises.attempts(task.slug, task.name)}.get(attempt)
        if found is None:
            raise LessonError(f"There is no attempt {attempt!r} of {name!r}. Choose one of its list.")
        return self.files.write(task.slug, task.name, found.text, base=None)


def _whole(limits: dict[str, float]) -> dict[str, Any]:
    return {name: int(value) if name == "memory_mb" else value for name, value in limits.items()}


def _describe(task: Task, record: ExerciseState) -> dict[str, Any]:
    exercise = task.exercise
    return {
        "name": task.name,
        "again": task.name != exercise.name,
        "kind": exercise.kind,
        "title": exercise.title,
        "minutes": exercise.minutes,
        "difficulty": exercise.difficulty,
        "task": exercise.task,
        "functions": list(exercise.functions),
        "fields": [_describe_field(item) for item in exercise.fields],
        "checks": list(exercise.checks),
        "num_hints": len(exercise.hints),
        "part": exercise.part,
        "returns": exercise.returns,
        "core": exercise.core,
    }


def _describe_field(field: Field) -> dict[str, Any]:
    """Without what would give the answer away."""
    return {
        "name": field.name,
        "kind": field.kind,
        "label": field.label,
        "unit": field.unit,
        "min_words": field.min_words,
        "forbid": list(field.forbid),
        "symbols": [{"name": s.name, "shape": list(s.shape), "about": s.about} for s in field.symbols],
        "options": [{"value": option.value, "text": option.text} for option in field.options],
    }
