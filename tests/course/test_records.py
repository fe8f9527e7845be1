"""Exercises, answers, reviews, words and evidence in the learner's records: kept, merged, migrated."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nn2llm.core.errors import DataError
from nn2llm.course.records_exercises import AGAIN, ExerciseState
from nn2llm.course.records_words import Words
from nn2llm.course.store import Store
from nn2llm.course.store_schema import MIGRATIONS


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def add(self, **kwargs: float) -> None:
        self.at += timedelta(**kwargs)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Any:
    made = Store(tmp_path / "course.db", clock)
    made.reviews.fuzzing = False
    yield made
    made.close()


def fill(store: Store, clock: Clock) -> None:
    store.exercises.record_attempt("a", "fit", status="failed", text="x", verdict={"message": "No."})
    clock.add(minutes=1)
    store.exercises.see_hint("a", "fit", 2)
    store.exercises.record_attempt("a", "fit", status="passed", text="y", verdict={"message": "Yes."})
    store.exercises.see_solution("a", "fit")
    store.quiz.record_answer("a", "why", [0, 2], False)
    store.reviews.begin("a", "why", False)
    store.words.set("a", "Small steps \ud800.", [True, False])
    store.evidence.set("critique", {"text": "é"})


# Exercises


def test_an_exercise_that_was_never_touched_is_new(store: Store):
    assert store.exercises.state("a", "fit") == ExerciseState()
    assert store.exercises.attempts("a", "fit") == []
    assert store.exercises.attempt("nothing") is None
    assert store.exercises.states() == {}


def test_attempts_are_kept_in_order_with_text_and_verdict(store: Store, clock: Clock):
    for status, text in (("failed", "one"), ("error", "two"), ("passed", "three")):
        store.exercises.record_attempt("a", "fit", status=status, text=text, verdict={"message": text})
    kept = store.exercises.attempts("a", "fit")
    assert [(one.status, one.text, one.message) for one in kept] == [
        ("failed", "one", "one"),
        ("error", "two", "two"),
        ("passed", "three", "three"),
    ]
    assert store.exercises.attempt(kept[1].id) == kept[1]
    state = store.exercises.state("a", "fit")
    assert (state.status, state.attempts, state.last_verdict) == ("passed", 3, {"message": "three"})
    assert state.passed_at == "2026-03-02T09:00:00.000+00:00"
    assert state.unaided


@pytest.mark.parametrize(("seen_first", "unaided"), [(True, False), (False, True)])
def test_a_solution_seen_after_the_pass_does_not_take_unaided_away(
    seen_first: bool, unaided: bool, store: Store, clock: Clock
):
    if seen_first:
        store.exercises.see_solution("a", "fit")
        clock.add(days=1)
    store.exercises.record_attempt("a", "fit", status="passed", text="", verdict={})
    clock.add(days=1)
    store.exercises.see_solution("a", "fit")
    store.exercises.record_attempt("a", "fit", status="passed", text="", verdict={})  # a later pass
    assert store.exercises.state("a", "fit").unaided is unaided


def test_hints_only_go_up_and_alone_are_no_attempt(store: Store):
    for number in (1, 3, 2):
        store.exercises.see_hint("a", "fit", number)
    state = store.exercises.state("a", "fit")
    assert (state.hints_seen, state.status, store.exercises.hints_seen("a", "fit")) == (3, "new", 3)


def test_of_many_attempts_the_newest_and_those_that_passed_stay(store: Store, clock: Clock):
    store.exercises.record_attempt("a", "fit", status="passed", text="first", verdict={})
    for number in range(210):
        clock.add(seconds=1)
        store.exercises.record_attempt("a", "fit", status="failed", text=str(number), verdict={})
    texts = [one.text for one in store.exercises.attempts("a", "fit")]
    assert texts == ["first", *map(str, range(10, 210))]


# Answers


def test_the_first_answer_counts_and_the_last_is_shown(store: Store, clock: Clock):
    store.quiz.record_answer("a", "why", 1, False)
    clock.add(hours=1)
    store.quiz.record_answer("a", "why", 0, True)
    (answer,) = store.quiz.answers("a").values()
    assert (answer.first_right, answer.last_right, answer.last_answer, answer.times) == (False, True, 0, 2)
    assert (answer.first_at[11:16], answer.at[11:16]) == ("09:00", "10:00")
    assert store.quiz.answers("b") == {}
    assert list(store.quiz.all()) == [("a", "why")]


# Reviews


def test_a_right_answer_comes_back_in_days_and_a_wrong_one_tomorrow(store: Store, clock: Clock):
    store.reviews.begin("a", "right", True)
    store.reviews.begin("a", "wrong", False)
    assert store.reviews.due() == []
    right, wrong = store.reviews.card("a", "right"), store.reviews.card("a", "wrong")
    assert right is not None
    assert wrong is not None
    assert right.due - clock.at == timedelta(days=2)  # FSRS-6: the first stability of "good" is 2.3065 days
    assert wrong.due - clock.at == timedelta(days=1)  # and of "again" 0.212: one day is the least
    clock.add(days=1)
    assert [card.question for card in store.reviews.due()] == ["wrong"]
    clock.add(days=1)
    assert [card.question for card in store.reviews.due(limit=1)] == ["wrong"]
    assert len(store.reviews.due()) == 2


def test_trying_again_in_the_lesson_moves_no_day(store: Store, clock: Clock):
    store.reviews.begin("a", "why", False)
    before = store.reviews.card("a", "why")
    clock.add(hours=1)
    store.reviews.begin("a", "why", True)
    assert store.reviews.card("a", "why") == before


def test_the_gaps_grow_while_it_is_right_and_shrink_when_it_is_wrong(store: Store, clock: Clock):
    store.reviews.begin("a", "why", True)
    gaps = []
    for right in (True, True, True, False):
        card = store.reviews.card("a", "why")
        assert card is not None
        clock.at = card.due
        card = store.reviews.rate("a", "why", right)
        gaps.append((card.due - clock.at).days)
        assert (card.right, card.rated_at) == (right, clock.at)
    assert gaps[0] < gaps[1] < gaps[2]
    assert gaps[3] < gaps[0]
    card = store.reviews.card("a", "why")
    assert card is not None
    assert card.reviews == 4
    assert card.began_at == datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def test_a_card_that_cannot_be_read_is_asked_as_if_it_were_new(store: Store, clock: Clock):
    store.reviews.begin("a", "why", True)
    for said in ("no JSON", "[]", '{"card_id": "x"}', "[" * 100_000):
        store.write("UPDATE reviews SET card = ?", (said,))
        assert store.reviews.rate("a", "why", True).due - clock.at == timedelta(days=2)
    store.write("UPDATE reviews SET due = 'never'")
    assert store.reviews.cards() == []


def test_an_exercise_returns_a_week_after_it_passed_until_it_passes_again(store: Store, clock: Clock):
    store.exercises.record_attempt("a", "fit", status="passed", text="", verdict={})
    store.exercises.record_attempt("a", "other", status="failed", text="", verdict={})
    clock.add(days=6, hours=23)
    assert store.reviews.exercise_returns() == []
    assert [name for _, name, _ in store.reviews.coming_returns()] == ["fit"]
    clock.add(hours=1)
    assert store.reviews.exercise_returns() == [("a", "fit", clock.at)]
    store.exercises.record_attempt("a", "fit" + AGAIN, status="failed", text="", verdict={})
    assert len(store.reviews.exercise_returns()) == 1
    store.exercises.record_attempt("a", "fit" + AGAIN, status="passed", text="", verdict={})
    assert store.reviews.exercise_returns() == []


# Words and evidence


def test_words_and_evidence_are_kept(store: Store, clock: Clock):
    assert store.words.get("a") == Words()
    assert store.evidence.get("critique") is None
    fill(store, clock)
    store.words.set("a", "More words.", [True, True])
    assert store.words.get("a").text == "More words."
    assert store.words.get("a").points == (True, True)
    assert store.evidence.get("critique") == {"text": "é", "changed_at": store.now()}
    store.evidence.remove("critique")
    assert store.evidence.all() == {}


# Migration, export, import


def test_a_database_of_version_2_becomes_version_3_with_all_it_holds(tmp_path: Path):
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    for steps in MIGRATIONS[:2]:
        for step in steps:
            connection.execute(step)
    connection.execute("INSERT INTO notes VALUES ('a', 'old note', '2026-01-02')")
    connection.execute("PRAGMA user_version = 2")
    connection.commit()
    connection.close()
    store = Store(path)
    assert store.trouble is None
    assert store.notes("a") == "old note"
    assert store.exercises.states() == {}
    store.quiz.record_answer("a", "why", 0, True)
    store.close()
    again = Store(path)
    assert again.quiz.answers("a")["why"].first_right
    again.close()


def test_all_is_there_after_export_and_import(store: Store, clock: Clock, tmp_path: Path):
    fill(store, clock)
    exported = json.loads(json.dumps(store.export_json()))
    assert exported["version"] == 3
    other = Store(tmp_path / "other.db", clock)
    assert "7 of 7 records" in other.import_json(exported)
    assert other.export_json()["tables"] == exported["tables"]
    assert other.exercises.states() == store.exercises.states()
    assert other.words.all() == store.words.all()
    assert "0 of 7 records" in other.import_json(exported)  # a second time changes nothing
    other.close()


def test_an_export_of_version_2_is_still_taken(store: Store):
    note = {"slug": "a", "text": "old", "changed_at": "2026-01-01"}
    said = store.import_json({"format": "nn2llm-course", "version": 2, "tables": {"notes": [note]}})
    assert "1 of 1 records" in said


def test_what_two_machines_know_becomes_one(store: Store, clock: Clock, tmp_path: Path):
    """There: answered wrong first, solution seen. Here: later, right, passed. Both orders of import agree."""
    other = Store(tmp_path / "other.db", clock)
    other.reviews.fuzzing = False
    other.quiz.record_answer("a", "why", 1, False)
    other.reviews.begin("a", "why", False)
    other.exercises.see_solution("a", "fit")
    other.exercises.see_hint("a", "fit", 3)
    other.words.set("a", "there", [False])
    clock.add(days=3)
    store.quiz.record_answer("a", "why", 0, True)
    store.reviews.begin("a", "why", True)
    store.reviews.rate("a", "why", True)
    store.exercises.record_attempt("a", "fit", status="passed", text="y", verdict={})
    store.words.set("a", "here", [True])
    here, there = store.export_json(), other.export_json()
    store.import_json(there)
    other.import_json(here)
    assert store.export_json()["tables"] == other.export_json()["tables"]
    state = store.exercises.state("a", "fit")
    assert (state.status, state.unaided, state.hints_seen) == ("passed", False, 3)
    answer = store.quiz.answers("a")["why"]
    assert (answer.first_right, answer.last_right, answer.last_answer) == (False, True, 0)
    card = store.reviews.card("a", "why")
    assert card is not None
    assert (card.right, card.reviews, card.rated_at - card.began_at) == (True, 1, timedelta(days=3))
    assert store.words.get("a").text == "here"
    other.close()


def test_moments_are_kept_as_written_here(store: Store, clock: Clock):
    fill(store, clock)
    data = store.export_json()
    data["tables"]["reviews"][0] |= {"due": "2026-03-01T10:00:00+02:00", "rated_at": "2026-03-08"}
    store.import_json(data)
    assert [card.due for card in store.reviews.due()] == [datetime(2026, 3, 1, 8, 0, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("reviews", {"due": "soon"}),
        ("reviews", {"due": "0001-01-01T00:00:00+14:00"}),  # before the calendar's beginning in UTC
        ("reviews", {"card": "[]"}),
        ("reviews", {"num_reviews": -1}),
        ("quiz_answers", {"times": 2.5}),
        ("quiz_answers", {"first_right": True}),
        ("quiz_answers", {"last_answer": "{"}),
        ("exercises", {"hints_seen": 10**7}),
        ("exercises", {"passed_at": ""}),
        ("attempts", {"verdict": "5"}),
        ("attempts", {"status": None}),
        ("attempts", {"at": None}),
        ("words", {"points": "{}"}),
        ("evidence", {"data": "[" * 100_000}),
    ],
)
def test_a_record_that_is_none_is_refused_and_changes_nothing(
    table: str, change: dict[str, Any], store: Store, clock: Clock
):
    fill(store, clock)
    before = store.export_json()
    hostile = json.loads(json.dumps(before))
    hostile["tables"][table][0] |= change
    with pytest.raises(DataError, match=f"A record of the export's {table} has {next(iter(change))} = "):
        store.import_json(hostile)
    assert store.export_json()["tables"] == before["tables"]
