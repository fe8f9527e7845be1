"""The three-minute review: which questions are due, in which order, and when the next ones come.

Read after quizzes.py and records_reviews.py. Used by home, the review page, the road and `learn status`.
The records hold UTC; what is due on a day is due from that day's first hour where the learner lives.
Source for mixing the lessons: Rohrer, Taylor 2007, https://doi.org/10.1007/s11251-007-9015-8
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from nn2llm.core.errors import LessonError
from nn2llm.course.exercises.model import load_exercises
from nn2llm.course.quizzes import Question, load_questions
from nn2llm.course.records_exercises import AGAIN
from nn2llm.course.records_reviews import RETURN_AFTER, ReviewCard

if TYPE_CHECKING:
    from nn2llm.course.exercises.records import Exercise
    from nn2llm.course.lesson import Course, SyllabusLesson
    from nn2llm.course.store import Store

__all__ = [
    "MOST_QUESTIONS",
    "Review",
    "ReviewExercise",
    "ReviewQuestion",
    "build_review",
    "end_of_day",
    "find_remembered",
    "list_exercises",
    "say_day",
]

MOST_QUESTIONS = 8
"""About three minutes."""

_MINUTES_PER_QUESTION = 0.4
_NEARLY_A_WEEK = RETURN_AFTER - timedelta(hours=12)  # the same hour is not asked for, only a week


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewQuestion:
    """A question that is due."""

    entry: "SyllabusLesson"
    question: Question
    due: datetime
    difficulty: float
    """Of FSRS, from 1 to 10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewExercise:
    """A short exercise that has come back blank."""

    entry: "SyllabusLesson"
    exercise: "Exercise"

    @property
    def name(self) -> str:
        """What it is called the second time: its file and records are its own."""
        return self.exercise.name + AGAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a review would hold now."""

    questions: tuple[ReviewQuestion, ...]
    """In the order in which they are asked; `MOST_QUESTIONS` at most."""
    num_due: int
    """Questions that are due in all."""
    exercises: tuple[ReviewExercise, ...]
    """That have come back; the review offers the first."""
    next_at: datetime | None
    """When something is due next, of what is not due now; None: nothing waits."""
    num_next: int
    """Questions due on that day."""
    begun: bool
    """Whether the learner has any card: without one nothing is said of reviews."""

    @property
    def minutes(self) -> int:
        """How long its questions take."""
        return max(1, round(len(self.questions) * _MINUTES_PER_QUESTION))


def build_review(
    course: "Course", store: "Store", *, zone: tzinfo | None = None, limit: int = MOST_QUESTIONS
) -> Review:
    """The review as of the store's clock. `zone` is where the learner lives; None: as this machine says.

    The longest overdue and the hardest come first; then lessons take turns, and two questions on one concept
    follow each other only where there is no other way. Questions that a lesson no longer has are left out.
    """
    now = store.clock()
    until = end_of_day(now, zone)
    due: list[ReviewQuestion] = []
    coming: list[datetime] = []
    cards = store.reviews.cards()
    for card in cards:
        found = _find_question(course, card.slug, card.question)
        if found is None:
            continue
        if card.due < until:
            entry, question = found
            due.append(
                ReviewQuestion(entry=entry, question=question, due=card.due, difficulty=card.difficulty)
            )
        else:
            coming.append(card.due)
    due.sort(key=lambda item: (-_weigh(item, now), item.entry.slug, item.question.id))
    exercises: list[ReviewExercise] = []
    for slug, name, at in store.reviews.coming_returns():
        exercise = _find_return(course, slug, name)
        if exercise is not None and at < until:
            exercises.append(exercise)
        elif exercise is not None:
            coming.append(at)
    first = min(coming, default=None)
    return Review(
        questions=tuple(_mix(due[:limit])),
        num_due=len(due),
        exercises=tuple(exercises),
        next_at=first,
        num_next=0 if first is None else sum(at < end_of_day(first, zone) for at in coming),
        begun=bool(cards) or bool(exercises),
    )


def find_remembered(course: "Course", store: "Store") -> frozenset[str]:
    """The lessons that still sit: when each question was last answered, a week or later after the first time,
    it was right, and every exercise that returns has passed again.

    A lesson without questions that come back is never remembered: nothing shows it.
    """
    by_slug: dict[str, dict[str, ReviewCard]] = {}
    for card in store.reviews.cards():
        by_slug.setdefault(card.slug, {})[card.question] = card
    states = store.exercises.states() if by_slug else {}
    found = set()
    for slug, cards in by_slug.items():
        try:
            entry = course.lesson(slug)
        except LessonError:
            continue
        asked = [cards.get(question.id) for question in load_questions(entry.folder) if question.review]
        again = [(slug, one.name + AGAIN) for one in list_exercises(entry) if one.returns]
        if (
            asked
            and all(card is not None and _sits(card) for card in asked)
            and all(key in states and states[key].status == "passed" for key in again)
        ):
            found.add(slug)
    return frozenset(found)


def _sits(card: ReviewCard) -> bool:
    return card.right and card.rated_at - card.began_at >= _NEARLY_A_WEEK


def _find_question(course: "Course", slug: str, name: str) -> "tuple[SyllabusLesson, Question] | None":
    try:
        entry = course.lesson(slug)
    except LessonError:
        return None
    for question in load_questions(entry.folder):
        if question.id == name and question.review:
            return entry, question
    return None


def _find_return(course: "Course", slug: str, name: str) -> ReviewExercise | None:
    try:
        entry = course.lesson(slug)
    except LessonError:
        return None
    for exercise in list_exercises(entry):
        if exercise.name == name and exercise.returns:
            return ReviewExercise(entry=entry, exercise=exercise)
    return None


def list_exercises(entry: "SyllabusLesson") -> "tuple[Exercise, ...]":
    """The exercises of a lesson, kept in memory while exercises.yaml is the same; () where it is broken."""
    path = entry.folder / "exercises.yaml"
    try:
        status = path.stat()
    except OSError:
        return ()
    return _load_exercises(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _load_exercises(path: Path, changed_ns: int, size: int) -> "tuple[Exercise, ...]":
    try:
        return load_exercises(path.parent)
    except LessonError:
        return ()  # its author sees why; the others are shown


def _weigh(item: ReviewQuestion, now: datetime) -> float:
    """A day overdue counts like a point of difficulty."""
    return (now - item.due) / timedelta(days=1) + item.difficulty


def _mix(items: Sequence[ReviewQuestion]) -> list[ReviewQuestion]:
    """In turns: no concept and no lesson twice in a row, else no concept, else as they come."""
    for by_lesson in (True, False):
        order = _arrange(list(items), None, by_lesson)
        if order is not None:
            return order
    # one concept has more than half: spread it as far as it goes
    order = []
    rest = list(items)
    while rest:
        counts = [item.question.concept for item in rest]
        last = order[-1].question.concept if order else None
        others = [item for item in rest if item.question.concept != last] or rest
        best = max(others, key=lambda item: counts.count(item.question.concept))
        rest.remove(best)
        order.append(best)
    return order


def _arrange(
    rest: list[ReviewQuestion], last: ReviewQuestion | None, by_lesson: bool
) -> list[ReviewQuestion] | None:
    """The first order, in the sense of `rest`, in which no two neighbours are alike; None: there is none."""
    if not rest:
        return []
    for kind in ("concept", "lesson") if by_lesson else ("concept",):
        keys = [item.question.concept if kind == "concept" else item.entry.slug for item in rest]
        room = (len(rest) + 1) // 2
        if any(keys.count(key) > room for key in set(keys)):
            return None  # whatever follows, two of them meet
    for item in rest:
        if last is not None and (
            item.question.concept == last.question.concept
            or (by_lesson and item.entry.slug == last.entry.slug)
        ):
            continue
        following = _arrange([other for other in rest if other is not item], item, by_lesson)
        if following is not None:
            return [item, *following]
    return None


def end_of_day(moment: datetime, zone: tzinfo | None = None) -> datetime:
    """The midnight after `moment`, where the learner lives; in UTC."""
    local = moment.astimezone(zone)
    midnight = datetime(local.year, local.month, local.day, tzinfo=zone) + timedelta(days=1)
    return midnight.astimezone(UTC)


def say_day(moment: datetime, now: datetime, zone: tzinfo | None = None) -> str:
    """`today`, `tomorrow`, `on Tuesday`, `on 3 March`, `on 3 March 2027`, by the learner's calendar."""
    day, today = moment.astimezone(zone).date(), now.astimezone(zone).date()
    away = (day - today).days
    if away <= 0:
        return "today"
    if away == 1:
        return "tomorrow"
    if away < 7:
        return f"on {day:%A}"
    return f"on {day.day} {day:%B}" + ("" if day.year == today.year else f" {day.year}")
