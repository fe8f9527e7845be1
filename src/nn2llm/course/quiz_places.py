"""Which questions stand where in a lesson, and what is wrong between quiz.yaml and lesson.md.

Read after quizzes.py. Used by loader.py and quiz_rendering.py.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from nn2llm.core.errors import LessonError
from nn2llm.course.checkpoints import parse_mixed
from nn2llm.course.front_matter import ProblemList
from nn2llm.course.lesson import (
    Block,
    Cell,
    Course,
    Fold,
    Heading,
    Lesson,
    LessonProblem,
    Placeholder,
    SyllabusLesson,
    suggest,
    walk_blocks,
)
from nn2llm.course.quizzes import QUIZ_FILE, Question, load_questions, read_quiz

__all__ = ["BEFORE_TITLE", "check_lesson_quiz", "find_see_problems", "place_questions"]

_ANCHOR = re.compile(r'\bid="([^"]+)"')

BEFORE_TITLE = "before you start"
"""The section whose bare placeholder shows the questions that open the lesson."""


def place_questions(
    blocks: tuple[Block, ...], questions: tuple[Question, ...]
) -> dict[int, tuple[Question, ...]]:
    """The questions of each placeholder, by the placeholder's line.

    `<!-- quiz: one two -->` shows these. A bare one shows, of those that no other names, the ones of place
    `before` in the section "Before you start"; elsewhere the last bare one shows all that are left.
    """
    by_id = {question.id: question for question in questions}
    placed: dict[int, tuple[Question, ...]] = {}
    bare: list[tuple[Placeholder, bool]] = []
    taken: set[str] = set()
    for place, opening in _walk_places(blocks):
        if place.name is None:
            bare.append((place, opening))
        elif parse_mixed(place) is None:
            placed[place.line] = tuple(by_id[name] for name in place.name.split() if name in by_id)
            taken |= {question.id for question in placed[place.line]}
    left = [question for question in questions if question.id not in taken]
    opening_place = next((place for place, opening in bare if opening), None)
    closing_place = next((place for place, opening in reversed(bare) if not opening), None)
    for place, _ in bare:
        placed[place.line] = ()
    if opening_place is not None:
        placed[opening_place.line] = tuple(question for question in left if question.place == "before")
        left = [question for question in left if question.place != "before"]
    if closing_place is not None:
        placed[closing_place.line] = tuple(left)
    return placed


def _walk_places(blocks: tuple[Block, ...]) -> Iterable[tuple[Placeholder, bool]]:
    """Each placeholder of a quiz, and whether it stands in the section "Before you start"."""
    opening = False
    for block in blocks:
        if isinstance(block, Heading):
            opening = block.title.strip().casefold() == BEFORE_TITLE
        inner = walk_blocks(block.blocks) if isinstance(block, Fold) else (block,)
        for one in inner:
            if isinstance(one, Placeholder) and one.kind == "quiz":
                yield one, opening


def check_lesson_quiz(folder: Path, blocks: tuple[Block, ...], problems: ProblemList) -> None:
    """Add to `problems` (of lesson.md) what is wrong in quiz.yaml, and between the two.

    All of it leaves the lesson open. Where there is no quiz.yaml, a bare placeholder says that questions are
    coming.
    """
    path = folder / QUIZ_FILE
    quiz_problems = ProblemList(path)
    questions = read_quiz(path, quiz_problems)
    _check_places(blocks, questions, path.is_file(), problems, quiz_problems)
    problems.found += quiz_problems.found


def _check_places(
    blocks: tuple[Block, ...],
    questions: tuple[Question, ...],
    written: bool,
    text_problems: ProblemList,
    quiz_problems: ProblemList,
) -> None:
    ids = {question.id for question in questions}
    placed = place_questions(blocks, questions)
    seen: dict[str, int] = {}
    for place, _ in _walk_places(blocks):
        if parse_mixed(place) is not None:
            continue
        for name in (place.name or "").split():
            if name not in ids:
                text_problems.add(
                    place.line,
                    f"There is no question {name!r}.{suggest(name, ids)} Name the ids of quiz.yaml.",
                )
            elif name in seen:
                text_problems.add(
                    place.line,
                    f"The question {name!r} stands at line {seen[name]} already. Show each once.",
                )
            seen.setdefault(name, place.line)
        if place.name is None and written and not placed.get(place.line):
            text_problems.add(
                place.line, "This placeholder shows no question: each has its place. Name some, or remove it."
            )
    cells = {block.id for block in walk_blocks(blocks) if isinstance(block, Cell)}
    shown = {question.id for some in placed.values() for question in some}
    named = set(seen)
    for question in questions:
        if question.id not in shown:
            quiz_problems.add(
                question.line,
                f"The question {question.id!r} stands nowhere. Write <!-- quiz: {question.id} --> where it "
                "belongs in lesson.md.",
            )
        elif question.place == "inline" and question.id not in named:
            quiz_problems.add(
                question.line,
                f"The question {question.id!r} has place: inline, but no placeholder names it. "
                f"Write <!-- quiz: {question.id} --> where it belongs.",
            )
        if question.cell is not None and question.cell not in cells:
            quiz_problems.add(
                question.line,
                f"The question {question.id!r} is about the cell {question.cell!r}, which is not in "
                f"lesson.md.{suggest(question.cell, cells)} Name a cell's id.",
            )


def find_see_problems(course: Course, load: Callable[[SyllabusLesson], Lesson]) -> list[LessonProblem]:
    """Every `see` in the course that points nowhere. `load` reads a lesson; of one that is coming, or broken,
    the places are not known."""
    from nn2llm.course.rendering import render_lesson  # late: it stands on this file

    anchors: dict[str, frozenset[str] | None] = {}

    def find_anchors(slug: str) -> frozenset[str] | None:
        if slug not in anchors:
            try:
                page = render_lesson(load(course.lesson(slug))).html
                anchors[slug] = frozenset(_ANCHOR.findall(page))
            except LessonError:
                anchors[slug] = None
        return anchors[slug]

    found = []
    known = [entry.slug for entry in course.entries]
    for entry in course.entries:
        problems = ProblemList(entry.folder / QUIZ_FILE)
        for question in load_questions(entry.folder):
            target, _, anchor = (question.see or "").partition("#")
            target = target or entry.slug
            if target not in known:
                problems.add(
                    question.line,
                    f"see of {question.id!r} leads to {target!r}, which is no lesson."
                    f"{suggest(target, known)} Take a slug of syllabus.yaml.",
                )
                continue
            places = find_anchors(target) if anchor else None
            if places is not None and anchor not in places:
                problems.add(
                    question.line,
                    f"see of {question.id!r} leads to {question.see!r}, but {target} has no place {anchor!r}."
                    f"{suggest(anchor, places)} Take the anchor of a heading.",
                )
        found += problems.found
    return found
