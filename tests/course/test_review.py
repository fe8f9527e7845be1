"""The review: what is due, in which order, when the next comes, and what counts as remembered."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.course.lesson import SyllabusLesson
from nn2llm.course.loader import load_course
from nn2llm.course.quizzes import Question
from nn2llm.course.records_exercises import AGAIN
from nn2llm.course.review import (
    MOST_QUESTIONS,
    ReviewQuestion,
    _mix,
    build_review,
    end_of_day,
    find_remembered,
    list_exercises,
    say_day,
)
from nn2llm.course.store import Store

MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def write_quiz(folder: Path, *concepts: str, review: str = "") -> None:
    """Questions q0, q1, … of these concepts."""
    (folder / "quiz.yaml").write_text(
        "".join(
            f"- id: q{number}\n  concept: {concept}\n  kind: number\n  text: How many?\n  answer: 1\n{review}"
            for number, concept in enumerate(concepts)
        ),
        encoding="utf-8",
    )


EXERCISE = """\
- name: fit
  kind: decide
  title: Fit it
  minutes: 3
  difficulty: 1
  task: Fit.
  returns: true
  fields:
    - {name: size, kind: number, label: How large?, answer: 3}
  hints: [a, b, c]
"""


class World:
    """A course of two lessons with questions, and a clock that stands still until it is told to go on."""

    def __init__(self, lessons: Path, write_lesson: Any, home: Path) -> None:
        self.now = MONDAY
        self.first = write_lesson("tensors", "## A\n\n<!-- quiz -->\n").parent
        self.second = write_lesson("gradient-descent", "## A\n\n<!-- quiz -->\n").parent
        write_quiz(self.first, "shape", "shape", "axis")
        write_quiz(self.second, "slope", "rate")
        self.course = load_course(lessons)
        self.store = Store(home / "course.db", lambda: self.now)
        self.store.reviews.fuzzing = False

    def build(self, **kwargs: Any) -> Any:
        return build_review(self.course, self.store, zone=UTC, **kwargs)

    def names(self) -> list[str]:
        return [f"{one.entry.slug[0]}-{one.question.id}" for one in self.build().questions]


@pytest.fixture
def world(lessons: Path, write_lesson: Any, tmp_path: Path) -> Any:
    made = World(lessons, write_lesson, tmp_path / "home")
    yield made
    made.store.close()


def test_nothing_is_said_before_the_first_answer(world: World):
    review = world.build()
    assert (review.begun, review.num_due, review.questions, review.next_at) == (False, 0, (), None)


def test_what_was_answered_comes_back_on_its_day(world: World):
    world.store.reviews.begin("tensors", "q0", True)
    world.store.reviews.begin("tensors", "q2", False)
    review = world.build()
    assert (review.begun, review.num_due, review.num_next) == (True, 0, 1)
    assert review.next_at == MONDAY + timedelta(days=1)
    world.now = datetime(2026, 3, 3, 0, 5, tzinfo=UTC)  # before the hour, on the day
    assert world.names() == ["t-q2"]
    world.now = datetime(2026, 3, 4, 0, 5, tzinfo=UTC)
    assert world.names() == ["t-q2", "t-q0"]  # the one overdue, and harder, first
    assert world.build().minutes == 1


def test_a_review_taken_before_the_hour_counts_as_whole_days(world: World):
    """A question due at nine and answered at five past midnight grows as much as one answered at nine."""
    gaps = []
    for hour in (0, 9):
        world.now = MONDAY
        name = f"q{hour and 2}"
        world.store.reviews.begin("tensors", name, True)
        world.now = (MONDAY + timedelta(days=2)).replace(hour=hour)
        card = world.store.reviews.rate("tensors", name, True)
        gaps.append(card.due - (MONDAY + timedelta(days=2)))
    assert gaps[0] == gaps[1]


def test_what_a_lesson_no_longer_asks_is_not_reviewed(world: World):
    for name in ("q0", "gone"):
        world.store.reviews.begin("tensors", name, False)
    world.store.reviews.begin("no-such-lesson", "q0", False)
    world.now += timedelta(days=3)
    assert world.names() == ["t-q0"]
    write_quiz(world.first, "shape", review="  review: false\n")
    assert world.names() == []


def test_lessons_take_turns_and_concepts_do_not_meet(world: World):
    for slug, names in (("tensors", ("q0", "q1", "q2")), ("gradient-descent", ("q0", "q1"))):
        for name in names:
            world.store.reviews.begin(slug, name, False)
    world.now += timedelta(days=2)
    order = world.names()
    assert [name[0] for name in order] == ["t", "g", "t", "g", "t"]
    assert len(set(order)) == 5


def test_at_most_eight_and_the_rest_is_counted(world: World):
    write_quiz(world.first, *(f"c{number}" for number in range(12)))
    for number in range(12):
        world.store.reviews.begin("tensors", f"q{number}", number % 2 == 0)
    world.now += timedelta(days=9)
    review = world.build()
    assert (len(review.questions), review.num_due, review.minutes) == (MOST_QUESTIONS, 12, 3)
    assert {f"q{number}" for number in (1, 3, 5, 7, 9, 11)} <= {one.question.id for one in review.questions}


def make_items(pairs: list[tuple[int, int]]) -> list[ReviewQuestion]:
    return [
        ReviewQuestion(
            entry=SyllabusLesson(
                number=f"1.{lesson}", slug=f"l{lesson}", title="", goal="", topic=1, folder=Path()
            ),
            question=Question(
                id=f"q{number}", concept=f"c{concept}", kind="number", place="end", text="t", answer=1.0
            ),
            due=MONDAY,
            difficulty=5.0,
        )
        for number, (lesson, concept) in enumerate(pairs)
    ]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=MOST_QUESTIONS))
@settings(deadline=None, max_examples=150)
def test_one_concept_follows_itself_only_where_there_is_no_other_way(pairs: list[tuple[int, int]]):
    items = make_items(pairs)
    order = _mix(items)
    assert sorted(one.question.id for one in order) == sorted(one.question.id for one in items)
    concepts = [one.question.concept for one in order]
    most = max((concepts.count(one) for one in concepts), default=0)
    meetings = sum(a == b for a, b in pairwise(concepts))
    # arranged as well as can be: the commonest concept needs one other between each two of its own
    assert meetings == max(0, most - 1 - (len(concepts) - most))


# The exercise that comes back


def test_a_short_exercise_comes_back_a_week_after_it_passed(world: World):
    (world.first / "exercises.yaml").write_text(EXERCISE, encoding="utf-8")
    world.store.exercises.record_attempt("tensors", "fit", status="passed", text="", verdict={})
    world.store.exercises.record_attempt("tensors", "not-listed", status="passed", text="", verdict={})
    review = world.build()
    assert (review.begun, review.exercises) == (False, ())
    assert review.next_at == MONDAY + timedelta(days=7)
    world.now += timedelta(days=7)
    (one,) = world.build().exercises
    assert (one.name, one.exercise.title, one.entry.slug) == ("fit-again", "Fit it", "tensors")
    world.store.exercises.record_attempt("tensors", one.name, status="passed", text="", verdict={})
    assert world.build().exercises == ()


def test_an_exercise_that_does_not_return_stays_away(world: World):
    (world.first / "exercises.yaml").write_text(EXERCISE.replace("returns: true", "returns: false"))
    world.store.exercises.record_attempt("tensors", "fit", status="passed", text="", verdict={})
    world.now += timedelta(days=30)
    assert world.build().exercises == ()


def test_broken_exercises_stop_no_review(world: World):
    (world.first / "exercises.yaml").write_text("- [", encoding="utf-8")
    world.store.exercises.record_attempt("tensors", "fit", status="passed", text="", verdict={})
    world.store.reviews.begin("tensors", "q0", False)
    world.now += timedelta(days=30)
    assert list_exercises(world.course.lesson("tensors")) == ()
    assert world.names() == ["t-q0"]


# Remembered


def test_remembered_is_a_week_later_and_everything_right(world: World):
    names = ("q0", "q1", "q2")
    for name in names:
        world.store.reviews.begin("tensors", name, name != "q1")
    assert find_remembered(world.course, world.store) == frozenset()  # right a moment ago is not remembered
    world.now = MONDAY + timedelta(days=3)
    for name in names:
        world.store.reviews.rate("tensors", name, True)
    assert find_remembered(world.course, world.store) == frozenset()  # nor after three days
    world.now = MONDAY + timedelta(days=8)
    for name in names[:2]:
        world.store.reviews.rate("tensors", name, True)
    assert find_remembered(world.course, world.store) == frozenset()  # one was not asked again
    world.store.reviews.rate("tensors", "q2", True)
    assert find_remembered(world.course, world.store) == {"tensors"}
    world.now = MONDAY + timedelta(days=40)
    world.store.reviews.rate("tensors", "q0", False)
    assert find_remembered(world.course, world.store) == frozenset()  # forgotten again


def test_remembered_needs_the_exercise_that_returns(world: World):
    (world.second / "exercises.yaml").write_text(EXERCISE, encoding="utf-8")
    for name in ("q0", "q1"):
        world.store.reviews.begin("gradient-descent", name, True)
    world.now = MONDAY + timedelta(days=8)
    for name in ("q0", "q1"):
        world.store.reviews.rate("gradient-descent", name, True)
    assert find_remembered(world.course, world.store) == frozenset()
    world.store.exercises.record_attempt(
        "gradient-descent", "fit" + AGAIN, status="passed", text="", verdict={}
    )
    assert find_remembered(world.course, world.store) == {"gradient-descent"}


# Days, as the learner's calendar has them


@pytest.mark.parametrize(
    ("away", "words"),
    [
        (timedelta(hours=-30), "today"),
        (timedelta(hours=14), "today"),
        (timedelta(hours=15), "tomorrow"),
        (timedelta(days=2), "on Wednesday"),
        (timedelta(days=6), "on Sunday"),
        (timedelta(days=7), "on 9 March"),
        (timedelta(days=365), "on 2 March 2027"),
    ],
)
def test_days_in_words(away: timedelta, words: str):
    assert say_day(MONDAY + away, MONDAY, UTC) == words


def test_a_day_ends_where_the_learner_lives():
    auckland = ZoneInfo("Pacific/Auckland")  # UTC+13 in March
    moment = datetime(2026, 3, 2, 10, 59, tzinfo=UTC)  # 23:59 there
    assert end_of_day(moment, auckland) == datetime(2026, 3, 2, 11, 0, tzinfo=UTC)
    assert say_day(moment + timedelta(minutes=2), moment, auckland) == "tomorrow"
    assert end_of_day(moment, UTC) == datetime(2026, 3, 3, tzinfo=UTC)
