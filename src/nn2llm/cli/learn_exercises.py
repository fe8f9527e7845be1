"""`nn2llm learn check | hint | solution | reset`: exercises in the terminal, in the files of the page.

Read course/exercises/service.py, which does the work. Watching is in learn_watch.py, how a verdict looks in
learn_verdict.py. Used by learn.py.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from nn2llm.core.errors import ConfigError

if TYPE_CHECKING:
    from nn2llm.course.exercises.service import Exercises, Task

__all__ = [
    "Check",
    "Hint",
    "Reset",
    "Solution",
    "check",
    "hint",
    "list_begun",
    "open_exercises",
    "reset",
    "solution",
]

_Lesson = Annotated[Positional[str], arg(metavar="LESSON")]
_Name = Annotated[Positional[str], arg(metavar="EXERCISE")]
_Folder = Annotated[Path | None, arg(metavar="FOLDER")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Check your answer: what was called, what came back, what was expected. Exit code 0 if all passed."""

    lesson: _Lesson
    """Its number or slug, as in 1.6 or linear-regression."""
    exercise: Annotated[Positional[str], arg(metavar="EXERCISE")] = ""
    """Its name, as in gradient-step. Default: all of the lesson that you have begun."""
    diagnosis: bool = False
    """Say what the mistake is, where the checks are sure of it."""
    lessons: _Folder = None
    """Folder of lessons instead of those that come with nn2llm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hint:
    """Show the next of an exercise's three hints."""

    lesson: _Lesson
    """Its number or slug."""
    exercise: _Name
    """Its name."""
    lessons: _Folder = None
    """Folder of lessons instead of those that come with nn2llm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Solution:
    """Show a solution. An exercise passed after that does not count as done unaided."""

    lesson: _Lesson
    """Its number or slug."""
    exercise: _Name
    """Its name."""
    lessons: _Folder = None
    """Folder of lessons instead of those that come with nn2llm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reset:
    """Begin an exercise again: its file becomes the starter. What you wrote is kept in .history beside it."""

    lesson: _Lesson
    """Its number or slug."""
    exercise: _Name
    """Its name."""
    yes: bool = False
    """Do not ask."""
    back: bool = False
    """The other way: bring back what you had before the last reset, or whatever was overwritten last."""
    lessons: _Folder = None
    """Folder of lessons instead of those that come with nn2llm."""


@contextmanager
def open_exercises(lessons: Path | None) -> "Iterator[Exercises]":
    """The learner's exercises, with a grader that ends when the block does."""
    from nn2llm.core.home import get_home
    from nn2llm.course.exercises.service import Exercises
    from nn2llm.course.grading.service import GradingService
    from nn2llm.course.loader import load_course
    from nn2llm.course.store import Store

    course = load_course(lessons)
    store = Store()
    service = GradingService()
    try:
        if store.trouble:
            print(store.trouble, file=sys.stderr)
        yield Exercises(course, store, get_home(), service)
    finally:
        service.close()
        store.close()


def list_begun(exercises: "Exercises", lesson: str, name: str) -> "tuple[list[Task], bool]":
    """What is to be checked, and whether it had been begun before; starters are written where nothing was.

    Raises:
        LessonError: if the lesson or exercise does not exist, or the lesson has no exercises.
    """
    if name:
        tasks = [exercises.find(lesson, name)]
        begun = [task for task in tasks if exercises.files.read(task.slug, task.name).exists]
    else:
        tasks = exercises.list_tasks(lesson)
        if not tasks:
            entry = exercises.course.lesson(lesson)
            raise ConfigError(f"Lesson {entry.number} has no exercises yet. Choose another lesson.")
        begun = [task for task in tasks if exercises.files.read(task.slug, task.name).exists]
    if begun:
        return begun, True
    for task in tasks:
        exercises.prepare(task.slug, task.name)
    return tasks, False


def check(command: Check) -> int:
    """Grade and print; 0 if all that was checked has passed."""
    from nn2llm.cli.learn_verdict import has_diagnosis, make_console, print_verdict, say_path

    console = make_console()
    with open_exercises(command.lessons) as exercises:
        tasks, begun = list_begun(exercises, command.lesson, command.exercise)
        if not begun:
            print("Nothing is begun here yet. Edit these files, then check again:")
            for task in tasks:
                path = exercises.files.path(task.slug, task.name)
                print(f"  {say_path(path)}  ({task.exercise.title}, {task.exercise.minutes} min)")
            return 1
        exercises.service.warm()
        verdicts = []
        for number, task in enumerate(tasks):
            if number:
                print()
            verdict = exercises.check(task.slug, task.name)
            verdicts.append(verdict)
            path = exercises.files.path(task.slug, task.name)
            print_verdict(console, verdict, title=task.exercise.title, path=path, diagnosis=command.diagnosis)
            if verdict["status"] != "passed":
                more = f"nn2llm learn hint {task.entry.number} {task.name}"
                if has_diagnosis(verdict) and not command.diagnosis:
                    print(f"  --diagnosis says what it is; a hint: {more}")
                else:
                    print(f"  A hint: {more}")
        passed = sum(verdict["status"] == "passed" for verdict in verdicts)
        if len(verdicts) > 1:
            print(f"\n{passed} of {len(verdicts)} passed.")
    return 0 if passed == len(verdicts) else 1


def hint(command: Hint) -> int:
    """Print the next hint."""
    from nn2llm.cli.learn_verdict import make_console, print_sentence

    with open_exercises(command.lessons) as exercises:
        task = exercises.find(command.lesson, command.exercise)
        number, text = exercises.hint(task.slug, task.name)
        total = len(task.exercise.hints)
    print_sentence(make_console(), f"Hint {number} of {total}: {text}", indent="")
    if number == total:
        print(f"That was the last. The solution: nn2llm learn solution {task.entry.number} {task.name}")
    return 0


def solution(command: Solution) -> int:
    """Print a solution; what is said about it goes to stderr, so that the code can be piped."""
    with open_exercises(command.lessons) as exercises:
        task = exercises.find(command.lesson, command.exercise)
        passed = exercises.store.exercises.state(task.slug, task.name).passed_at is not None
        text = exercises.solution(task.slug, task.name)
    print(text, end="")
    if not passed:
        print("Seen: when you pass it now, it counts as passed with the solution.", file=sys.stderr)
    return 0


def reset(command: Reset) -> int:
    """Write the starter again, after asking; or bring back what was overwritten last."""
    from nn2llm.cli.learn_verdict import say_path

    with open_exercises(command.lessons) as exercises:
        task = exercises.find(command.lesson, command.exercise)
        path = exercises.files.path(task.slug, task.name)
        if command.back:
            exercises.bring_back(task.slug, task.name)
            print(f"{say_path(path)} is as it was before; what stood there now is kept in .history.")
            return 0
        if path.exists() and not command.yes:
            if not sys.stdin.isatty():
                raise ConfigError(
                    f"This would replace {path}. Say --yes; what you wrote is kept in .history."
                )
            answer = input(
                f"Replace {say_path(path)} by the starter? What you wrote is kept in .history. [y/N] "
            )
            if answer.strip().lower() not in ("y", "yes"):
                print("Left as it is.")
                return 1
        state = exercises.reset(task.slug, task.name)
    print(f"{say_path(state.path)} is the starter again.")
    print(f"To have yours back: nn2llm learn reset {task.entry.number} {task.name} --back")
    return 0
