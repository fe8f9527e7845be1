"""The exercises of one lesson, from its folder: what is asked, starters, solutions, answers known.

The face of this folder for others: read records.py for what it gives. Used by the pages, the grader's child
process, the terminal, notebooks and the linter. Nothing here runs a lesson's code or imports torch.
"""

from pathlib import Path

from nn2llm.core.errors import LessonError
from nn2llm.course.exercises.answers import read_answer_file, require_answers
from nn2llm.course.exercises.reading import read_exercises
from nn2llm.course.exercises.records import (
    CODE_KINDS,
    Answer,
    Exercise,
    ExerciseKind,
    Field,
    FieldKind,
    Option,
    Suspect,
    Symbol,
)
from nn2llm.course.exercises.texts import build_starter as _build_starter
from nn2llm.course.exercises.texts import read_solution as _read_solution
from nn2llm.course.front_matter import ProblemList
from nn2llm.course.lesson import suggest

__all__ = [
    "CODE_KINDS",
    "Answer",
    "Exercise",
    "ExerciseKind",
    "Field",
    "FieldKind",
    "Option",
    "Suspect",
    "Symbol",
    "build_starter",
    "find_exercise",
    "load_exercises",
    "read_answers",
    "read_solution",
]


def load_exercises(folder: Path) -> tuple[Exercise, ...]:
    """The exercises of the lesson in `folder`, in the order of exercises.yaml; () where it has none.

    Raises:
        LessonError: `path:line: …`, for the first thing wrong in exercises.yaml.
    """
    path = folder / "exercises.yaml"
    if not path.is_file():
        return ()
    problems = ProblemList(path)
    exercises = read_exercises(path, problems)
    if problems.fatal is not None:
        raise LessonError(str(problems.fatal))
    return exercises


def find_exercise(folder: Path, name: str) -> Exercise:
    """The exercise of that name.

    Raises:
        LessonError: if the lesson has none, or exercises.yaml is broken.
    """
    exercises = load_exercises(folder)
    for exercise in exercises:
        if exercise.name == name:
            return exercise
    names = [exercise.name for exercise in exercises]
    if not names:
        raise LessonError(f"There is no exercise {name!r}: this lesson has none yet. Choose another lesson.")
    hint = suggest(name, names) or f" It has {', '.join(names)}."
    raise LessonError(f"There is no exercise {name!r} in this lesson.{hint}")


def build_starter(folder: Path, exercise: Exercise) -> str:
    """The file that a learner begins with: code with `...`, or a form with a line for each field.

    Raises:
        LessonError: if exercise.py is missing, is not Python, or lacks a function.
    """
    return _build_starter(folder, exercise, _list_functions(folder))


def read_solution(folder: Path, exercise: Exercise) -> str:
    """A right answer as a whole file, to show and to grade.

    Raises:
        LessonError: if solution.py or the reference cannot be read.
    """
    return _read_solution(folder, exercise, _list_functions(folder))


def _list_functions(folder: Path) -> frozenset[str]:
    return frozenset(name for exercise in load_exercises(folder) for name in exercise.functions)


def read_answers(folder: Path, exercise: Exercise) -> tuple[list[Answer], list[Answer]]:
    """What accepted.py and mistakes.py have for this exercise.

    Raises:
        LessonError: `path:line: …`, for the first thing wrong in these files.
    """
    exercises = {item.name: item for item in load_exercises(folder)}
    found = []
    for word in ("accepted", "mistake"):
        problems = ProblemList(folder / ("accepted.py" if word == "accepted" else "mistakes.py"))
        answers = read_answer_file(folder, word, exercises, problems)
        require_answers(problems)
        found.append([answer for answer in answers if answer.exercise == exercise.name])
    return found[0], found[1]
