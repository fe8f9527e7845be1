"""Which questions a checkpoint mixes: those of a topic's lessons that this learner knows least.

Read quizzes.py before. Used by sittings.py, which keeps the choice.
"""

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from nn2llm.core.errors import LessonError
from nn2llm.course.lesson import Course
from nn2llm.course.quizzes import Question, load_questions

if TYPE_CHECKING:
    from nn2llm.course.store import Store

__all__ = ["Reference", "choose_mixed", "find_question"]

_JUST_SEEN = timedelta(days=1)
Reference = tuple[str, str]
"""A question: slug of its lesson, and its id."""


def choose_mixed(
    course: Course,
    store: "Store",
    topic: int,
    count: int,
    *,
    earlier: Iterable[Reference] = (),
    seed: str = "",
) -> tuple[Reference, ...]:
    """`count` questions of a topic's lessons for this learner, or fewer where there are no more concepts.

    Those that were wrong last come first, then those never answered, then the others; among equals one of a
    lesson that has given fewer so far, then by chance (the same for one `seed`).
    """
    now, before = store.clock(), set(earlier)
    answers, cards = store.quiz.all(), {(card.slug, card.question): card for card in store.reviews.cards()}
    chance = random.Random(seed)
    pool: list[tuple[tuple[bool, bool, int], float, Reference, str]] = []
    for slug, question in _list_questions(course, topic):
        reference = (slug, question.id)
        answer, card = answers.get(reference), cards.get(reference)
        right, seen = None, None
        if answer is not None:
            right, seen = answer.last_right, _read_moment(answer.at)
        if card is not None and (seen is None or card.rated_at >= seen):
            right, seen = card.right, card.rated_at
        knowing = 1 if right is None else 2 if right else 0
        recent = seen is not None and now - seen < _JUST_SEEN
        pool.append(((reference in before, recent, knowing), chance.random(), reference, question.concept))
    chosen: list[Reference] = []
    concepts: set[str] = set()
    while len(chosen) < count:
        left = [one for one in pool if one[3] not in concepts]
        if not left:
            break
        given = [slug for slug, _ in chosen]
        best = min(left, key=lambda one: (one[0], given.count(one[2][0]), one[1]))
        chosen.append(best[2])
        concepts.add(best[3])
    return tuple(chosen)


def _list_questions(course: Course, topic: int) -> list[tuple[str, Question]]:
    """What can be asked on another page: not what opens a lesson, nor what needs one of its cells."""
    lessons = next((one.lessons for one in course.topics if one.number == topic), ())
    return [
        (entry.slug, question)
        for entry in lessons
        if course.is_ready(entry.slug)
        for question in load_questions(entry.folder)
        if question.place != "before" and question.cell is None
    ]


def _read_moment(text: str) -> datetime | None:
    from nn2llm.course.records_moments import read_moment

    try:
        return read_moment(text)
    except ValueError:
        return None


def find_question(course: Course, reference: Reference) -> Question | None:
    """The question as it stands in its lesson now; None where it has gone."""
    try:
        folder: Path = course.lesson(reference[0]).folder
    except LessonError:
        return None
    return next((one for one in load_questions(folder) if one.id == reference[1]), None)
