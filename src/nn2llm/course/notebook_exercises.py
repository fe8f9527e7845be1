"""Exercises and questions in notebooks: the task, a cell to write in, a cell that checks; answers in folds.

Read exercises/model.py and quiz_places.py before. Used by notebook.py.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nn2llm.core.errors import LessonError
from nn2llm.course.exercises.model import Exercise, build_starter, find_exercise
from nn2llm.course.quizzes import Question

__all__ = ["ExerciseCells", "build_exercise_cells", "format_questions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExerciseCells:
    """One exercise, as the cells of a notebook."""

    task: str
    """Markdown."""
    starter: str
    """Empty for a form, whose answers stand in the check itself."""
    check: str


def build_exercise_cells(folder: Path, slug: str, name: str) -> ExerciseCells | None:
    """The cells of that exercise; None where it is not written yet, or cannot be read."""
    try:
        exercise = find_exercise(folder, name)
        starter = "" if exercise.is_form else build_starter(folder, exercise).rstrip()
    except LessonError:
        return None
    return ExerciseCells(task=_format_task(exercise), starter=starter, check=_format_check(slug, exercise))


def _format_task(exercise: Exercise) -> str:
    dots = "●" * exercise.difficulty + "○" * (5 - exercise.difficulty)
    parts = [f"**Exercise: {exercise.title}** ({dots}, {exercise.minutes} min)", exercise.task]
    for field in exercise.fields:
        lines = [f"`{field.name}`: {field.label}"]
        if field.options:
            lines += ["", *(f"- `{option.value}`: {option.text}" for option in field.options)]
        if field.symbols:
            names = ", ".join(
                f"`{symbol.name}`" + (f" ({symbol.about})" if symbol.about else "")
                for symbol in field.symbols
            )
            lines[0] = f"{lines[0].rstrip('.')}. You may use {names}."
        if field.unit:
            lines[0] += f" (in {field.unit})"
        parts.append("\n".join(lines))
    hints = "\n".join(f"{number}. {hint}" for number, hint in enumerate(exercise.hints, start=1))
    if hints:
        parts.append(f"<details>\n<summary>Three hints</summary>\n\n{hints}\n\n</details>")
    return "\n\n".join(parts)


def _format_check(slug: str, exercise: Exercise) -> str:
    place = json.dumps(f"{slug}/{exercise.name}")
    head = "from nn2llm.course.cells import check\n\n"
    if not exercise.is_form:
        return f"{head}check({place}, {', '.join(exercise.functions)})"
    lines = []
    for field in exercise.fields:
        kinds = {
            "expression": "an expression in quotes",
            "choice": f"one of {', '.join(option.value for option in field.options)}, in quotes",
            "multiple": f"a list of {', '.join(option.value for option in field.options)}",
            "number": "a number",
            "text": "your own words, in quotes",
        }
        lines.append(f"    {field.name}=...,  # {kinds[field.kind]}")
    return "\n".join([f"{head}check(", f"    {place},", *lines, ")"])


def format_questions(questions: Sequence[Question]) -> str:
    """Each question with its options; below it a fold with the answers and their reasons."""
    parts = []
    for number, question in enumerate(questions, start=1):
        label = f"**Question {number}.** " if len(questions) > 1 else "**Question.** "
        lines = [label + question.text]
        if question.options:
            lines += ["", *(f"{at}. {item.text}" for at, item in enumerate(question.options, start=1))]
        answers = [
            f"{at}. {'**Right.** ' if item.right else ''}{item.why}"
            for at, item in enumerate(question.options, start=1)
        ] or [f"{question.shown_answer}. {question.why}".strip()]
        fold = "\n".join(answers)
        parts.append(
            "\n".join(lines) + f"\n\n<details>\n<summary>The answer</summary>\n\n{fold}\n\n</details>"
        )
    return "\n\n".join(parts)
