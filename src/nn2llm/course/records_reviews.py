"""When each question comes back: one card of the FSRS scheduler a question.

Read after records_file.py. `store.reviews`; used by course/review.py and the road.
Source: Ye, Su, Cao 2022, "A Stochastic Shortest Path Algorithm for Optimizing Spaced Repetition Scheduling",
https://doi.org/10.1145/3534678.3539081; https://github.com/open-spaced-repetition/py-fsrs
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nn2llm.course.records_exercises import AGAIN
from nn2llm.course.records_file import RecordFile
from nn2llm.course.records_moments import read_moment, write_moment

if TYPE_CHECKING:
    from fsrs import Card, Scheduler

__all__ = ["RETURN_AFTER", "ReviewCard", "ReviewRecords"]

RETURN_AFTER = timedelta(days=7)
"""A short exercise comes back blank this long after it was passed."""

_LONGEST_DAYS = 365
"""A question comes back once a year at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewCard:
    """One question in the review."""

    slug: str
    question: str
    began_at: datetime
    """When it was first answered."""
    due: datetime
    rated_at: datetime
    """When it was answered last in a review, or first in the lesson."""
    right: bool
    """Whether it was, then."""
    reviews: int
    """How often it was answered in a review; 0: in the lesson alone."""
    difficulty: float
    """Of FSRS, from 1 to 10."""


class ReviewRecords:
    """`store.reviews`."""

    def __init__(self, file: RecordFile) -> None:
        self._file = file
        self.fuzzing = True
        """Whether a day or two are added at random, so that what was learnt together does not come together
        for ever. A test turns it off."""

    def begin(self, slug: str, question: str, right: bool) -> None:
        """The question was answered in its lesson: it joins the review, once."""
        now = self._file.clock()
        self._keep(slug, question, _rate(None, right, now, self.fuzzing), right, now, reviews=0)

    def rate(self, slug: str, question: str, right: bool, at: datetime | None = None) -> ReviewCard:
        """The question was answered in a review; returns the card with its next day."""
        now = at or self._file.clock()
        rows = self._file.read(
            "SELECT card FROM reviews WHERE slug = ? AND question = ?",
            (slug, question),
        )
        card = _read_card(rows[0][0]) if rows else None
        # A review takes what is due later the same day: FSRS counts whole days, and would call that early.
        moment = card.due if card is not None and now < card.due < now + timedelta(days=1) else now
        self._keep(slug, question, _rate(card, right, moment, self.fuzzing), right, now, reviews=1)
        found = self.card(slug, question)
        assert found is not None
        return found

    def card(self, slug: str, question: str) -> ReviewCard | None:
        """The question's card; None: it was never answered."""
        found = self._find("WHERE slug = ? AND question = ?", (slug, question))
        return found[0] if found else None

    def cards(self) -> list[ReviewCard]:
        """All, the one due first at the beginning."""
        return self._find("", ())

    def due(self, now: datetime | None = None, limit: int | None = None) -> list[ReviewCard]:
        """What is due, the longest overdue first. course/review.py makes a review of it."""
        moment = write_moment(now or self._file.clock())
        return self._find("WHERE due <= ?", (moment,))[:limit]

    def exercise_returns(self, now: datetime | None = None) -> list[tuple[str, str, datetime]]:
        """Lesson, name and day of every exercise passed a week ago and not once more since.

        Of the exercises, not only of those marked `returns`: the records do not know the lessons.
        """
        moment = now or self._file.clock()
        return [entry for entry in self.coming_returns() if entry[2] <= moment]

    def coming_returns(self) -> list[tuple[str, str, datetime]]:
        """As `exercise_returns`, also those whose day is still to come; the first day first."""
        passed = {
            (slug, name): at
            for slug, name, at in self._file.read(
                "SELECT slug, name, passed_at FROM exercises WHERE passed_at IS NOT NULL"
            )
        }
        waiting = [
            (slug, name, read_moment(at) + RETURN_AFTER)
            for (slug, name), at in passed.items()
            if not name.endswith(AGAIN) and (slug, name + AGAIN) not in passed
        ]
        return sorted(waiting, key=lambda entry: (entry[2], entry[0], entry[1]))

    def _keep(
        self, slug: str, question: str, card: "Card", right: bool, now: datetime, *, reviews: int
    ) -> None:
        at = write_moment(now)
        said = json.dumps(card.to_dict())
        ending = (
            "UPDATE SET card = excluded.card, due = excluded.due, rated_at = excluded.rated_at,"
            " last_right = excluded.last_right, num_reviews = num_reviews + 1"
            if reviews
            else "NOTHING"
        )
        self._file.write(
            "INSERT INTO reviews (slug, question, card, began_at, due, rated_at, last_right, num_reviews)"
            f" VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (slug, question) DO {ending}",
            (slug, question, said, at, write_moment(card.due), at, int(right), reviews),
        )

    def _find(self, where: str, values: tuple[str, ...]) -> list[ReviewCard]:
        rows = self._file.read(
            "SELECT slug, question, card, began_at, due, rated_at, last_right, num_reviews"
            f" FROM reviews {where} ORDER BY due, slug, question",
            values,
        )
        return [card for row in rows if (card := _make_card(row)) is not None]


def _make_card(row: tuple[Any, ...]) -> ReviewCard | None:
    """A row as a card; None where its moments cannot be read, so that the page still opens."""
    slug, question, said, began_at, due, rated_at, right, reviews = row
    card = _read_card(said)
    with suppress(ValueError, TypeError):
        return ReviewCard(
            slug=slug,
            question=question,
            began_at=read_moment(began_at),
            due=read_moment(due),
            rated_at=read_moment(rated_at),
            right=bool(right),
            reviews=reviews,
            difficulty=5.0 if card is None or card.difficulty is None else card.difficulty,
        )
    return None


@lru_cache(maxsize=2)
def _scheduler(fuzzing: bool) -> "Scheduler":
    from fsrs import Scheduler  # late: the first page needs no scheduler

    # No steps of minutes: whoever answers a question in a lesson meets it again on another day.
    return Scheduler(
        learning_steps=(), relearning_steps=(), maximum_interval=_LONGEST_DAYS, enable_fuzzing=fuzzing
    )


def _rate(card: "Card | None", right: bool, now: datetime, fuzzing: bool) -> "Card":
    from fsrs import Card, Rating

    rating = Rating.Good if right else Rating.Again
    # card_id is FSRS's own name for a card; ours are known by lesson and question
    return _scheduler(fuzzing).review_card(card or Card(card_id=0, due=now), rating, now)[0]


def _read_card(text: str) -> "Card | None":
    """What FSRS knows of a question; None where it cannot be read: it is then asked as if it were new."""
    from fsrs import Card

    try:
        held: Any = json.loads(text)
        return Card.from_dict(held)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None
