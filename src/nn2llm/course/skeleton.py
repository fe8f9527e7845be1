"""A new lesson: its folder, lesson.md with the ten parts as headings, and its other files, begun as comments.

Read syllabus.py before. Used by `nn2llm lesson new`. What makes a lesson good: LESSONS.md. The linter says of
a file that is only begun that nothing is written yet.
"""

import json
from pathlib import Path

from nn2llm.core.errors import LessonError
from nn2llm.core.files import write_bytes_atomic
from nn2llm.course.checkpoints import is_checkpoint, write_checkpoint_skeleton
from nn2llm.course.lesson import Course, SyllabusLesson
from nn2llm.course.skeleton_files import write_files

__all__ = ["PARTS", "write_skeleton"]

PARTS: tuple[tuple[str, bool, str], ...] = (
    ("Before you start", False, "Two quick questions on what this lesson needs; a wrong answer links there."),
    (
        "The question",
        True,
        "What could we not do before? Best shown: a cell that fails, a figure that surprises.",
    ),
    ("The idea", True, "Plain words, one picture to push on, a small example with real numbers, by hand."),
    (
        "The mathematics",
        False,
        "Every symbol with its shape, no step missing; each derived equation is checked.",
    ),
    ("The code", False, "The shortest honest implementation in cells, then what a practitioner would call."),
    ("What goes wrong", False, "The classic mistakes, run: the symptom that readers will meet."),
    (
        "In real models",
        False,
        "What GPT-2/3, Llama, Qwen, InstructGPT chose, in three sentences with sources.",
    ),
    (
        "Your turn",
        False,
        "One to three graded exercises: the first in five minutes, one that decides something.",
    ),
    ("Check yourself", False, "Questions on understanding, not recall; one predicts a number or a shape."),
    ("In one breath", True, "The reader writes three sentences first; then ours; then where this goes next."),
)
"""(heading, on the tour, what belongs there)."""

OURS = "Ours, to compare"
_OURS = "Three sentences of ours.\n\nDid you say: (1) this, (2) that, (3) a third, (4) a fourth point?"


def write_skeleton(course: Course, entry: SyllabusLesson) -> Path:
    """Write the files of a lesson that is not written yet; returns the path of its lesson.md.

    Files beside lesson.md that are there already stay.

    Raises:
        LessonError: if lesson.md is there already.
        StorageError: if it cannot be written.
    """
    if is_checkpoint(entry):
        path = write_checkpoint_skeleton(entry)
        write_files(entry.folder)
        return path
    path = entry.folder / "lesson.md"
    if path.exists():
        raise LessonError(f"Lesson {entry.number} is there already: {path}. Edit it, or move it away first.")
    lines = [
        "---",
        f'number: "{entry.number}"',
        f"slug: {entry.slug}",
        f"title: {json.dumps(entry.title, ensure_ascii=False)}",
        "minutes: 40",
        "difficulty: 3",
        f"needs: [{', '.join(entry.needs)}]",
        "teaches: []",
        "terms: []",
        "sources: []",
        "---",
        "",
        f"<!-- {entry.goal.replace('--', '—')} -->",
    ]
    for title, on_tour, what in PARTS:
        lines += ["", f"## {title}", *(["<!-- tour -->"] if on_tour else []), "", f"<!-- {what} -->"]
        if title in ("Before you start", "Check yourself"):
            lines += ["", "<!-- quiz -->"]
        if title == "In one breath":
            lines += ["", "<details>", f"<summary>{OURS}</summary>", "", _OURS, "", "</details>"]
    write_bytes_atomic(path, ("\n".join(lines) + "\n").encode())
    write_files(entry.folder)
    return path
