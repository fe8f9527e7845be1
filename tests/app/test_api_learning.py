"""Questions and reviews over HTTP: answers kept and explained, the review, the pages, the road's states."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nn2llm.app.road import LEGEND, build_road, judge_lesson
from nn2llm.app.state import Site
from nn2llm.course.records_exercises import AGAIN

QUIZ = """\
- id: jam
  concept: fruit
  kind: choice
  place: before
  see: "#the-answer"
  text: What is $m$?
  options:
    - {text: "a **jam**", why: "Of $x$ oranges.", right: true}
    - {text: "<b>bread</b>", why: "That goes under it."}
- id: how-many
  concept: counting
  kind: number
  text: How many?
  answer: 3
  why: Three of them.
- id: coming
  concept: waiting
  kind: choice
  see: coming-lesson#any
  text: When?
  review: false
  options:
    - {text: soon, why: "Yes.", right: true}
    - {text: never, why: "No."}
"""
EXERCISES = """\
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
- name: extra
  kind: decide
  title: More
  minutes: 3
  difficulty: 1
  task: More.
  core: false
  fields:
    - {name: size, kind: number, label: How large?, answer: 3}
  hints: [a, b, c]
"""
FIRST = "/api/quiz/first-lesson"


@pytest.fixture(autouse=True)
def clock(site: Site, lessons: Path, monkeypatch: pytest.MonkeyPatch):
    """The lesson has questions and exercises, and time stands still."""
    monkeypatch.setattr(site, "warm_grader", lambda: None)  # nothing is graded here
    folder = lessons / "00_beginning/01_first_lesson"
    (folder / "quiz.yaml").write_text(QUIZ, encoding="utf-8")
    (folder / "exercises.yaml").write_text(EXERCISES, encoding="utf-8")
    text = (folder / "lesson.md").read_text()
    (folder / "lesson.md").write_text(text + "\n## Your turn\n\n<!-- exercise: fit -->\n\n<!-- quiz -->\n")
    moment = [datetime(2026, 3, 2, 9, 0, tzinfo=UTC)]
    site.store.clock = lambda: moment[0]
    site.store.reviews.fuzzing = False

    def go_on(**kwargs: float) -> None:
        moment[0] += timedelta(**kwargs)

    return go_on


def test_the_page_asks_and_does_not_tell(ask):
    page = ask("GET", "/lesson/first-lesson").text
    assert page.count('class="question"') == 3
    assert "&lt;b&gt;bread&lt;/b&gt;" in page
    for secret in ("goes under it", "Three of them", "oranges."):
        assert secret not in page.replace("A jam of oranges.", "")
    assert "/lesson/first-lesson/answers#question-jam" in page


def test_a_right_answer_is_kept_and_explained(ask):
    said = ask("POST", f"{FIRST}/jam", json={"answer": 0}).json()
    assert said == {
        "right": True,
        "rights": [True, False],
        "whys": ['Of <span class="math" data-tex="x">x</span> oranges.', "That goes under it."],
        "why": "",
        "expected": "",
        "see": None,
        "first_right": True,
    }
    kept = ask("GET", FIRST).json()
    assert list(kept["questions"]) == ["jam"]
    assert kept["questions"]["jam"]["answer"] == 0


def test_a_wrong_answer_says_where_to_read_and_the_first_one_counts(ask, site: Site):
    said = ask("POST", f"{FIRST}/jam", json={"answer": 1}).json()
    assert (said["right"], said["see"]) == (False, {"url": "#the-answer", "title": "0.1 The first <lesson>"})
    said = ask("POST", f"{FIRST}/jam", json={"answer": 0}).json()
    assert (said["right"], said["first_right"]) == (True, False)
    record = site.store.quiz.answers("first-lesson")["jam"]
    assert (record.first_right, record.last_right, record.times) == (False, True, 2)
    coming = ask("POST", f"{FIRST}/coming", json={"answer": 1}).json()
    assert coming["see"] == {"url": "/lesson/coming-lesson", "title": "1.1 Coming (coming)"}


def test_a_lesson_is_named_by_its_number_too(ask):
    assert ask("POST", "/api/quiz/0.1/how-many", json={"answer": " 3,0 "}).status_code == 400
    assert ask("POST", "/api/quiz/0.1/how-many", json={"answer": "3.0"}).json()["right"] is True
    assert ask("GET", "/api/quiz/0.1").json()["slug"] == "first-lesson"


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        (f"{FIRST}/jam", {"answer": 7}, 400, "Send the number of one of the options"),
        (f"{FIRST}/jam", {}, 400, "holds no answer"),
        (f"{FIRST}/jam", {"answer": "x" * 2000}, 400, "too long"),
        (f"{FIRST}/jam", {"answer": 0, "review": "yes"}, 400, "'review'"),
        (f"{FIRST}/how-many", {"answer": "many"}, 400, "which is no number. Type one like"),
        (f"{FIRST}/jelly", {"answer": 0}, 404, "has no question 'jelly'"),
        ("/api/quiz/nowhere/jam", {"answer": 0}, 404, "There is no lesson 'nowhere'"),
        ("/api/quiz/coming-lesson/jam", {"answer": 0}, 404, "has no question 'jam'"),
    ],
)
def test_what_is_no_answer_is_said_and_kept_nowhere(ask, site: Site, path, body, status, says):
    answer = ask("POST", path, json=body)
    assert answer.status_code == status
    assert says in answer.json()["error"]
    assert site.store.quiz.all() == {}
    assert site.store.reviews.cards() == []


def test_an_answer_needs_the_page_that_sends_it(ask):
    from .conftest import COOKIE, OWN

    assert ask("POST", f"{FIRST}/jam", headers={**OWN, **COOKIE}, json={"answer": 0}).status_code == 403


def test_a_question_that_changed_is_asked_again(ask, site: Site):
    site.store.quiz.record_answer("first-lesson", "jam", 5, True)
    site.store.quiz.record_answer("first-lesson", "gone", 0, True)
    assert ask("GET", FIRST).json()["questions"] == {}


# The review


def test_an_answer_comes_back_in_the_review(ask, site: Site, clock):
    ask("POST", f"{FIRST}/jam", json={"answer": 1})
    ask("POST", f"{FIRST}/coming", json={"answer": 1})  # review: false
    assert "nothing is due; next tomorrow" in ask("GET", "/").text
    assert "Nothing is due; next tomorrow." in ask("GET", "/review").text
    clock(days=1)
    due = ask("GET", "/api/review").json()
    assert (due["due"], [one["id"] for one in due["questions"]]) == (1, ["jam"])
    assert "1-minute review</a> <span>1 question is due." in ask("GET", "/").text
    page = ask("GET", "/review").text
    assert page.count('class="question"') == 1
    assert "from 0.1 The first &lt;lesson&gt;" in page
    assert "goes under it" not in page


def test_an_answer_in_the_review_counts_once_and_only_there(ask, site: Site, clock):
    ask("POST", f"{FIRST}/jam", json={"answer": 1})
    clock(days=1)
    said = ask("POST", f"{FIRST}/jam", json={"answer": 0, "review": True}).json()
    assert said["right"] is True
    assert "first_right" not in said
    card = site.store.reviews.card("first-lesson", "jam")
    assert card is not None
    assert (card.right, card.reviews) == (True, 1)
    ask("POST", f"{FIRST}/jam", json={"answer": 1, "review": True})  # sent twice
    assert site.store.reviews.card("first-lesson", "jam") == card
    assert site.store.quiz.answers("first-lesson")["jam"].times == 1


def test_answering_again_in_the_lesson_moves_no_review(ask, site: Site, clock):
    ask("POST", f"{FIRST}/jam", json={"answer": 1})
    before = site.store.reviews.card("first-lesson", "jam")
    clock(days=1)
    ask("POST", f"{FIRST}/jam", json={"answer": 0})
    assert site.store.reviews.card("first-lesson", "jam") == before


def test_before_the_first_answer_home_says_nothing_and_the_page_how_it_begins(ask):
    assert "review-panel" not in ask("GET", "/").text
    assert "Answer one to begin" in ask("GET", "/review").text


def test_an_exercise_comes_back_on_a_page_of_its_own(ask, site: Site, clock):
    site.store.exercises.record_attempt("first-lesson", "fit", status="passed", text="", verdict={})
    clock(days=7)
    (one,) = ask("GET", "/api/review").json()["exercises"]
    assert one["url"] == "/review/first-lesson/fit-again"
    assert "An exercise has come back" in ask("GET", "/").text
    page = ask("GET", one["url"]).text
    assert 'data-exercise="fit-again"' in page
    assert 'data-exercise="fit"' not in page
    assert ask("GET", "/review/first-lesson/fit").status_code == 404
    assert ask("GET", "/review/first-lesson/other-again").status_code == 404
    assert ask("GET", "/review/nowhere/fit-again").status_code == 404


# Without JavaScript


def test_the_answers_have_a_page_of_their_own(ask):
    page = ask("GET", "/lesson/first-lesson/answers").text
    assert page.count('<details class="answer">') == 3
    assert "That goes under it." in page
    assert "<b>3</b>. Three of them." in page
    assert ask("GET", "/lesson/nowhere/answers").status_code == 404
    assert "no questions yet" in ask("GET", "/lesson/coming-lesson/answers").text


# The road


def find_stone(site: Site):
    stone = build_road(site.shelf.course, site.store).lessons["first-lesson"]
    assert judge_lesson(site.shelf.course, site.store, stone.entry) == stone
    return stone


def test_read_done_helped_and_remembered_are_four_things(ask, site: Site, clock):
    stone = find_stone(site)
    assert (stone.state, stone.done, stone.remembered) == ("ready", "no", False)
    assert (stone.num_exercises, stone.num_done, stone.marks) == (1, 0, ())  # extra is not core
    site.store.exercises.record_attempt("first-lesson", "extra", status="passed", text="", verdict={})
    assert find_stone(site).done == "no"
    site.store.exercises.record_attempt("first-lesson", "fit", status="passed", text="", verdict={})
    assert (find_stone(site).done, find_stone(site).words) == ("unaided", "done unaided")
    site.store.set_read("first-lesson")
    for name in ("jam", "how-many"):
        site.store.reviews.begin("first-lesson", name, False)
    clock(days=8)
    for name in ("jam", "how-many"):
        site.store.reviews.rate("first-lesson", name, True)
    assert find_stone(site).remembered is False
    site.store.exercises.record_attempt("first-lesson", "fit" + AGAIN, status="passed", text="", verdict={})
    assert find_stone(site).words == "read, done unaided, remembered"
    for path in ("/", "/map", "/lesson/first-lesson"):
        page = ask("GET", path).text
        assert "★" in page, path
        assert "done unaided" in page, path
        assert "remembered" in page, path
    home, plan = ask("GET", "/").text, ask("GET", "/map").text
    for sign, word, meaning in LEGEND:
        assert f"{sign}</span> {word}</dt><dd>{meaning}" in home
    assert LEGEND[-1][2] in plan


def test_a_solution_seen_before_is_said(ask, site: Site, clock):
    site.store.exercises.see_solution("first-lesson", "fit")
    clock(minutes=1)
    site.store.exercises.record_attempt("first-lesson", "fit", status="passed", text="", verdict={})
    stone = find_stone(site)
    assert (stone.done, stone.marks) == ("with solution", (("◇", "done with solution"),))
    assert "done with solution" in ask("GET", "/lesson/first-lesson").text


def test_some_of_the_exercises_are_counted(ask, site: Site, lessons: Path):
    path = lessons / "00_beginning/01_first_lesson/exercises.yaml"
    path.write_text(EXERCISES.replace("  core: false\n", ""))
    site.store.exercises.record_attempt("first-lesson", "fit", status="passed", text="", verdict={})
    assert find_stone(site).words == "1 of 2 exercises done"
    assert "1 of 2 exercises done" in ask("GET", "/lesson/first-lesson").text


# A question that stands on a checkpoint's page

CHECKPOINT = """---
number: "0.C"
slug: checkpoint-0
title: "Checkpoint"
minutes: 12
difficulty: 1
---

## What you know

<!-- quiz: mixed 2 -->
"""


def test_a_checkpoint_asks_afresh_and_counts_for_itself(ask, site: Site, lessons: Path, clock):
    folder = lessons / "00_beginning/checkpoint"
    folder.mkdir()
    (folder / "lesson.md").write_text(CHECKPOINT, encoding="utf-8")
    ask("POST", f"{FIRST}/how-many", json={"answer": 4})
    clock(days=2)
    page = ask("GET", "/lesson/checkpoint-0").text
    assert page.count('data-lesson="first-lesson"') == 2
    assert ask("GET", f"{FIRST}?page=checkpoint-0").json()["questions"] == {}  # not answered here yet
    body = {"answer": 3, "page": "checkpoint-0"}
    said = ask("POST", f"{FIRST}/how-many", json=body).json()
    assert (said["right"], said["first_right"]) == (True, True)
    assert said["sitting"]["num_right"] == 1
    assert list(ask("GET", f"{FIRST}?page=checkpoint-0").json()["questions"]) == ["how-many"]
    # in the lesson the first answer is still the one that counts; the review has moved on
    assert site.store.quiz.answers("first-lesson")["how-many"].first_right is False
    card = site.store.reviews.card("first-lesson", "how-many")
    assert card is not None
    assert (card.right, card.reviews) == (True, 1)


def test_a_page_that_is_none_changes_nothing(ask):
    said = ask("POST", f"{FIRST}/jam", json={"answer": 0, "page": "nowhere"}).json()
    assert said["first_right"] is True
    assert "sitting" not in said


PREDICT = """\
- id: predict
  concept: shapes
  kind: predict
  cell: fit
  text: Which shape?
  answer: (3,)
  review: false
  why: One number for each.
"""


@pytest.fixture
def with_prediction(lessons: Path) -> None:
    path = lessons / "00_beginning/01_first_lesson/quiz.yaml"
    path.write_text(QUIZ + PREDICT, encoding="utf-8")


@pytest.mark.usefixtures("with_prediction")
def test_half_a_surrogate_pair_in_an_answer_does_not_break_the_lesson(ask) -> None:
    asked = ask("POST", f"{FIRST}/how-many", content=b'{"answer": "3\\ud800"}')
    assert asked.status_code in (200, 400)
    assert ask("POST", f"{FIRST}/predict", content=b'{"answer": "a\\ud800"}').json()["right"] is False
    assert ask("GET", FIRST).json()["questions"]["predict"]["answer"] == "a?"


@pytest.mark.usefixtures("with_prediction")
def test_an_imported_answer_with_half_a_surrogate_pair_can_be_sent(ask) -> None:
    row = {"slug": "first-lesson", "question": "predict", "first_right": 0, "last_right": 0, "times": 1}
    row |= {"first_at": "2026-01-01T00:00:00+00:00", "at": "2026-01-01T00:00:00+00:00"}
    tables = {"quiz_answers": [{**row, "last_answer": '"a\\ud800"'}]}
    body = {"format": "nn2llm-course", "version": 3, "tables": tables}
    assert ask("POST", "/api/import", json=body).status_code == 200
    assert ask("GET", FIRST).json()["questions"]["predict"]["answer"] == "a?"
