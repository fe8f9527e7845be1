"""What ends a topic: its checkpoint, a folder in the format of a lesson.

`lessons/01_foundations/checkpoint/` holds lesson.md (number "1.C", slug checkpoint-1), exercises.yaml,
quiz.yaml and the rest as a lesson does: pages, kernels and grading take it as one. It is none of the lessons
of the course. `<!-- quiz: mixed 6 -->` in it asks six questions of the topic's lessons, chosen for this
learner (sittings.py). One task comes without scaffold, on new data, and one has a planted bug.

Read after lesson.py. Used by loader.py, search.py, the static site and `nn2llm lesson new`.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

from nn2llm.core.errors import LessonError
from nn2llm.core.files import write_bytes_atomic
from nn2llm.course.front_matter import ProblemList
from nn2llm.course.lesson import (
    Course,
    Lesson,
    LessonHeader,
    LessonProblem,
    Placeholder,
    SyllabusLesson,
    Topic,
    suggest,
    walk_blocks,
)

__all__ = [
    "CHECKPOINT_FOLDER",
    "find_checkpoint_problems",
    "is_checkpoint",
    "keep_known_needs",
    "list_checkpoints",
    "list_pages",
    "parse_mixed",
    "write_checkpoint_skeleton",
]

CHECKPOINT_FOLDER = "checkpoint"
_MIXED = re.compile(r"mixed\s+(\d{1,2})")
_GOAL = "Find out what you can do without help: mixed questions, a task on new data, a planted bug."


def is_checkpoint(entry: SyllabusLesson) -> bool:
    """Whether it ends a topic instead of being a lesson of it."""
    return entry.number.endswith(".C")


def list_checkpoints(topics: Iterable[Topic]) -> dict[int, SyllabusLesson]:
    """By topic, where its checkpoint stands or will stand.

    A topic of one lesson has nothing to mix: it has one only where somebody wrote it.
    """
    found = {}
    for topic in topics:
        if not topic.lessons:
            continue
        folder = topic.lessons[0].folder.parent / CHECKPOINT_FOLDER
        if len(topic.lessons) > 1 or (folder / "lesson.md").is_file():
            found[topic.number] = SyllabusLesson(
                number=f"{topic.number}.C",
                slug=f"checkpoint-{topic.number}",
                title=f"Checkpoint: {topic.title}",
                goal=_GOAL,
                topic=topic.number,
                folder=folder,
                needs=tuple(lesson.slug for lesson in topic.lessons),
            )
    return found


def list_pages(course: Course) -> list[SyllabusLesson]:
    """What has a page for everybody: each lesson, and the checkpoints that are written, in course order."""
    return [entry for entry in course.entries if not is_checkpoint(entry) or course.is_ready(entry.slug)]


def keep_known_needs(
    entry: SyllabusLesson, header: LessonHeader | None, known: Iterable[str], problems: list[LessonProblem]
) -> tuple[str, ...]:
    """The needs of a checkpoint: its own where it is written. Those that are no lesson become problems."""
    known = list(known)
    if header is None or not header.needs:
        return entry.needs
    for need in header.needs:
        if need not in known:
            problems.append(
                LessonProblem(
                    path=entry.folder / "lesson.md",
                    line=header.lines.get("needs", 1),
                    message=f"It needs {need!r}, unknown.{suggest(need, known)} Take a slug of the syllabus.",
                )
            )
    return tuple(dict.fromkeys(need for need in header.needs if need in known))


def parse_mixed(place: Placeholder) -> int | None:
    """How many questions of the topic's lessons stand there; None where it is no such place."""
    match = _MIXED.fullmatch((place.name or "").strip()) if place.kind == "quiz" else None
    return int(match[1]) if match else None


def find_checkpoint_problems(lesson: Lesson, kinds: Iterable[str]) -> list[LessonProblem]:
    """What a checkpoint lacks; `kinds` are those of its exercises. Of a lesson: mixed questions."""
    problems = ProblemList(lesson.path)
    places = [block for block in walk_blocks(lesson.blocks) if isinstance(block, Placeholder)]
    mixed = [place for place in places if parse_mixed(place) is not None]
    if not is_checkpoint(lesson.entry):
        for place in mixed:
            problems.add(
                place.line,
                "Mixed questions belong to a checkpoint. Name questions of this lesson's quiz.yaml.",
            )
        return problems.found
    if not mixed:
        problems.add(0, "This checkpoint asks no mixed questions. Write '<!-- quiz: mixed 6 -->'.")
    for place in mixed:
        if not 2 <= (parse_mixed(place) or 0) <= 12:
            problems.add(place.line, f"{parse_mixed(place)} mixed questions; ask from 2 to 12.")
    if len(mixed) > 1:
        problems.add(mixed[1].line, "A checkpoint has one place for mixed questions. Ask more there.")
    given = set(kinds)
    for kind, what in (("implement", "task without scaffold"), ("repair", "planted bug")):
        if kind not in given:
            problems.add(0, f"This checkpoint has no {what}: add an exercise of kind {kind!r}.")
    return problems.found


_BODY = """
<!-- Nothing new is taught here. The reader finds out what of the topic they can do without help. -->

## What you know
<!-- tour -->

<!-- One or two sentences: what these questions are about. They are taken from the topic's lessons. -->

<!-- quiz: mixed 6 -->

## A task without scaffold

<!-- New data, no hints in the text: exercises.yaml has an exercise of kind implement, whose starter in
exercise.py is the signature and its docstring alone. -->

<!-- exercise: from-nothing -->

## A planted bug

<!-- Code that runs and is wrong, as it happens in real work: an exercise of kind repair. -->

<!-- exercise: find-the-bug -->
"""


def write_checkpoint_skeleton(entry: SyllabusLesson) -> Path:
    """Write lesson.md of a checkpoint that is not written yet; returns its path.

    Raises:
        LessonError: if it is there already.
        StorageError: if it cannot be written.
    """
    path = entry.folder / "lesson.md"
    if path.exists():
        raise LessonError(f"{entry.title} is there already: {path}. Edit it, or move it away first.")
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
    ]
    write_bytes_atomic(path, ("\n".join(lines) + "\n" + _BODY).encode())
    return path
