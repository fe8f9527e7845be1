"""The page of what the learner can show, their own words, checkpoints and the portfolio, over HTTP."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from nn2llm.app.state import Site
from tests.course.learning_course import write_learning_course
from tests.course.test_outcomes import measure, write_evidence, write_run

Ask = Callable[..., httpx.Response]
SLUG = "checkpoint-1"
NASTY = '<script>alert("x")</script>'


@pytest.fixture
def lessons(tmp_path: Path) -> Path:
    """The course with a checkpoint, in the place of this folder's small one."""
    return write_learning_course(tmp_path / "lessons")


@pytest.fixture(autouse=True)
def no_grader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is graded here: opening a page need not start the process that would."""
    monkeypatch.setattr(Site, "warm_grader", lambda site: None)


# --- own words ----------------------------------------------------------------------------------------------


def test_own_words_are_kept_with_their_points(ask: Ask) -> None:
    assert ask("GET", "/api/words/means").json() == {"text": "", "points": []}
    body = {"text": "Means divide.", "points": [True, False, True, True]}
    assert ask("POST", "/api/words/1.2", json=body).json() == {"slug": "means", "saved": True}
    assert ask("GET", "/api/words/means").json() == body
    assert ask("GET", "/api/words/sums").json() == {"text": "", "points": []}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"points": []}, 400, "The field 'text' is missing"),
        ({"text": "x" * 20_001}, 413, "20,001 characters are too long for three sentences"),
        ({"text": "x", "points": [1, 0]}, 400, "true or false"),
        ({"text": "x", "points": [True] * 13}, 400, "at most 12"),
        ({"text": "x", "points": "all"}, 400, "The field 'points'"),
    ],
)
def test_words_that_are_none_are_refused(ask: Ask, body: Any, status: int, says: str) -> None:
    answer = ask("POST", "/api/words/means", json=body)
    assert (answer.status_code, says in answer.json()["error"]) == (status, True)
    assert ask("GET", "/api/words/means").json()["text"] == ""


def test_words_of_no_lesson_are_not_found(ask: Ask) -> None:
    assert ask("GET", "/api/words/meens").status_code == 404
    assert ask("POST", "/api/words/meens", json={"text": "x"}).status_code == 404


# --- the page -----------------------------------------------------------------------------------------------


def test_with_nothing_the_page_says_what_is_missing(ask: Ask) -> None:
    page = ask("GET", "/outcomes").text
    assert page.count('data-state="missing"') == 4
    assert page.count("Nothing yet") == 4
    assert "Your words, lesson by lesson" not in page
    assert 'name="model"' not in page
    assert '<a href="/outcomes" aria-current="page">' in page


def test_what_is_there_is_shown_and_the_best_model_is_marked(ask: Ask, site: Site, tmp_path: Path) -> None:
    write_run(tmp_path / "runs/better", [measure(20, 1.1)])
    write_run(tmp_path / "runs/worse", [measure(10, 1.2)])
    write_evidence(tmp_path / "runs/lora")
    write_evidence(tmp_path / "runs/torn", n=0)
    site.store.words.set("means", f"{NASTY} divide", [True, True])
    page = ask("GET", "/outcomes").text
    assert 'value="better" autocomplete="off" checked>' in page
    assert 'value="worse" autocomplete="off">' in page
    assert "stopped at step 10 of 20" in page
    assert "0.210 (0.170 to 0.250)" in page
    assert "n is 0. Write how many items" in page
    assert "2 of our 2 points" in page
    assert NASTY not in page
    assert "&lt;script&gt;alert" in page


def test_what_is_typed_or_chosen_is_kept_and_judged(ask: Ask, tmp_path: Path) -> None:
    write_run(tmp_path / "runs/better", [measure(20, 1.1)])
    write_run(tmp_path / "runs/worse", [measure(20, 1.2)])
    answer = ask("POST", "/api/outcomes/model", json={"name": "worse"}).json()
    said = {promise["key"]: promise for promise in answer["promises"]}
    assert said["train"]["summary"] == "worse: 1.200 bits a byte on text it has not read."
    assert said["train"]["state_words"] == "evidence below"
    assert 'value="worse" autocomplete="off" checked>' in ask("GET", "/outcomes").text
    ask("POST", "/api/outcomes/critique", json={"title": NASTY, "claim": "So it is."})
    answer = ask("POST", "/api/outcomes/critique", json={"doubts": "All."}).json()
    assert answer["promises"][3]["state"] == "begun"
    page = ask("GET", "/outcomes").text
    assert NASTY not in page
    assert "So it is.</textarea>" in page
    assert "All.</textarea>" in page


@pytest.mark.parametrize(
    ("kind", "body"), [("sitting", {"x": "y"}), ("critique", {"x": "y"}), ("explanation", {"text": 7})]
)
def test_what_is_no_evidence_is_refused(ask: Ask, site: Site, kind: str, body: Any) -> None:
    assert ask("POST", f"/api/outcomes/{kind}", json=body).status_code == 400
    assert site.store.evidence.all() == {}


# --- the portfolio ------------------------------------------------------------------------------------------


def test_the_portfolio_can_be_saved_as_either_file(ask: Ask, site: Site) -> None:
    site.store.words.set("means", "Means divide.", [])
    for kind, media in (("html", "text/html"), ("md", "text/markdown")):
        answer = ask("GET", f"/outcomes/portfolio.{kind}")
        assert answer.headers["content-type"].startswith(media)
        assert answer.headers["content-disposition"] == f'attachment; filename="portfolio.{kind}"'
        assert "Means divide." in answer.text
    assert ask("GET", "/outcomes/portfolio.pdf").status_code == 404


def test_it_is_written_into_the_home_folder_and_changes_are_not_lost(ask: Ask, site: Site) -> None:
    answer = ask("POST", "/api/portfolio", json={})
    folder = site.home / "portfolio"
    assert answer.json() == {"paths": [str(folder / "portfolio.html"), str(folder / "portfolio.md")]}
    (folder / "portfolio.md").write_text("my own")
    answer = ask("POST", "/api/portfolio", json={})
    assert answer.status_code == 409
    assert "was changed since it was written" in answer.json()["error"]
    assert (folder / "portfolio.md").read_text() == "my own"
    assert ask("POST", "/api/portfolio", json={"overwrite": True}).status_code == 200
    assert (folder / "portfolio.md").read_text().startswith("# What I can show")


# --- checkpoints --------------------------------------------------------------------------------------------


def read_questions(page: str) -> list[tuple[str, str]]:
    return [(slug, name) for name, slug in re.findall(r'data-question="([^"]+)" data-lesson="([^"]+)"', page)]


def test_home_and_map_have_the_checkpoint_at_the_end_of_its_topic(ask: Ask) -> None:
    home = ask("GET", "/").text
    assert home.index("1.2</span>") < home.index("1.C</span> Checkpoint") < home.index("2.1</span>")
    assert home.count('class="checkpoint is-ready"') == 1
    assert f'href="/lesson/{SLUG}">1.C Checkpoint</a> <span class="soft">(ready)' in ask("GET", "/map").text


def test_the_map_draws_it_as_a_diamond_that_says_how_it_stands(ask: Ask) -> None:
    def title() -> str:
        page = ask("GET", "/map").text
        (found,) = re.findall(
            rf'href="/lesson/{SLUG}" class="stop (is-\w+)"><title>([^<]*)</title><path', page
        )
        return " ".join(found)

    assert title() == "is-ready 1.C Checkpoint: Foundations (ready)"
    slug, question = read_questions(ask("GET", f"/lesson/{SLUG}").text)[0]
    ask("POST", f"/api/quiz/{slug}/{question}", json={"answer": 0, "page": SLUG})
    assert title() == "is-started 1.C Checkpoint: Foundations (begun, not passed yet)"


def test_home_leads_to_the_learners_own_gpt_and_to_the_review(ask: Ask) -> None:
    home = ask("GET", "/").text
    assert '<a href="/mygpt">Your own GPT</a>' in home
    assert '<a href="/review">Review</a>' in home
    assert ask("GET", "/mygpt").status_code == ask("GET", "/review").status_code == 200


def test_its_page_asks_its_questions_and_says_how_it_stands(ask: Ask) -> None:
    page = ask("GET", f"/lesson/{SLUG}").text
    asked = read_questions(page)
    assert len(asked) == 4
    assert asked[3] == (SLUG, "last")
    assert "4 questions. You pass with 4 right at the first try." in page
    assert read_questions(ask("GET", "/lesson/1.C").text) == asked  # they stay
    assert 'href="/lesson/means"' in page
    assert f'href="/lesson/{SLUG}"' in ask("GET", "/lesson/means").text
    assert "data-sitting" not in ask("GET", "/lesson/means").text


def test_answers_on_its_page_count_in_the_sitting_and_a_lost_one_is_taken_again(ask: Ask, site: Site) -> None:
    asked = read_questions(ask("GET", f"/lesson/{SLUG}").text)
    right = {"order": 1}
    for slug, name in asked:
        wrong = 1 - right.get(name, 0)
        answer = ask("POST", f"/api/quiz/{slug}/{name}", json={"answer": wrong, "page": SLUG}).json()
        assert (answer["right"], answer["first_right"]) == (False, False)
    answer = ask("GET", f"/api/checkpoint/{SLUG}").json()
    assert (answer["state"], answer["num_right"], answer["can_take_again"]) == ("begun", 0, True)
    assert set(answer["answers"]) == {"/".join(one) for one in asked}
    said = ask("POST", f"/api/checkpoint/{SLUG}/again", json={}).json()
    assert (said["number"], said["num_answered"], said["answers"]) == (2, 0, {})
    again = read_questions(ask("GET", f"/lesson/{SLUG}").text)
    assert set(again) != set(asked)
    # what was wrong in a sitting before is not answered in this one
    for slug, name in again:
        found = ask("GET", f"/api/quiz/{slug}?page={SLUG}").json()["questions"]
        assert name not in found
    for slug, name in again:
        ask("POST", f"/api/quiz/{slug}/{name}", json={"answer": right.get(name, 0), "page": SLUG})
    answer = ask("GET", f"/api/checkpoint/{SLUG}").json()
    assert (answer["state"], answer["num_right"]) == ("begun", 4)  # its exercises are still to do
    for name in ("from-nothing", "find-the-bug"):
        site.store.exercises.record_attempt(SLUG, name, status="passed", text="", verdict={})
    assert ask("GET", f"/api/checkpoint/{SLUG}").json()["state"] == "passed"
    assert 'class="checkpoint is-passed"' in ask("GET", "/").text
    assert "Checkpoint: Foundations" in ask("GET", "/outcomes/portfolio.html").text


def test_a_sitting_that_goes_on_is_not_taken_again(ask: Ask) -> None:
    ask("GET", f"/lesson/{SLUG}")
    answer = ask("POST", f"/api/checkpoint/{SLUG}/again", json={})
    assert (answer.status_code, "4 questions are not answered yet" in answer.text) == (409, True)


def test_a_lesson_is_no_checkpoint(ask: Ask) -> None:
    for method, path in (("GET", "/api/checkpoint/means"), ("POST", "/api/checkpoint/means/again")):
        answer = ask(method, path, **({"json": {}} if method == "POST" else {}))
        assert answer.status_code == 404
        assert "is a lesson, not a checkpoint" in answer.json()["error"]


def test_everything_goes_out_and_comes_in_again(ask: Ask, site: Site, tmp_path: Path) -> None:
    from nn2llm.course.store import Store

    ask("GET", f"/lesson/{SLUG}")
    ask("POST", "/api/words/means", json={"text": "Means divide.", "points": [True]})
    ask("POST", "/api/outcomes/explanation", json={"text": "From end to end."})
    held = json.loads(ask("GET", "/api/export").text)
    other = Store(tmp_path / "other.db")
    try:
        other.import_json(held)
        assert other.words.get("means").text == "Means divide."
        assert other.evidence.all().keys() == site.store.evidence.all().keys()
    finally:
        other.close()
