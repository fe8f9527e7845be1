"""/api/exercise and /api/expression: texts that are never lost, verdicts as HTML, nothing given away."""

import asyncio
import json
import threading
from typing import Any

import httpx
import pytest

from nn2llm.app import api_exercises
from nn2llm.app.server import build_guarded_app

from .conftest import CHANGES, FIRST, RULES

EXERCISES = r"""
- name: gradient-step
  kind: implement
  title: One step *downhill*
  minutes: 8
  difficulty: 2
  functions: [step]
  checks: [check_step]
  returns: true
  task: "Write `step(w)`, one step along $-w$."
  hints: ["Look at **w**.", "Subtract.", "almostline `w - 1`"]
- name: choose
  kind: decide
  title: Choose
  minutes: 3
  difficulty: 1
  task: Choose well.
  fields:
    - name: rate
      kind: choice
      label: "Which **one**?"
      options:
        - {value: a, text: "the first", why: "secretwhy of $a$"}
        - {value: b, text: "the second", why: "secretwhy of b"}
      answer: a
    - {name: miss, kind: number, label: "How many?", answer: 117, unit: tokens}
    - {name: words, kind: text, label: "Why?"}
  hints: [One., Two., Three.]
- name: derive-it
  kind: derive
  title: Derive
  minutes: 3
  difficulty: 1
  task: Derive.
  fields:
    - name: slope
      kind: expression
      label: "The slope"
      answer: "2*w*x"
      symbols: {x: {shape: n, about: inputs}, w: {about: "the *slope*"}}
  hints: [One., Two., Three.]
"""
AT = "/api/exercise/first-lesson/gradient-step"
FORM = "/api/exercise/first-lesson/choose"


class Grader:
    """Says what it is told to, in place of the process that grades."""

    def __init__(self) -> None:
        self.says: dict[str, Any] = {"status": "passed", "message": "All **good**."}
        self.jobs: list[Any] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.warmed = threading.Event()

    def warm(self) -> None:
        self.warmed.set()

    def grade(self, job: Any) -> dict[str, Any]:
        self.jobs.append(job)
        assert self.go_on.wait(30)
        empty = {"exercise": job.exercise, "seed": 1, "elapsed_s": 0.1, "checks": [], "error": None}
        return {**empty, "printed": "", "cut": False, **self.says}


@pytest.fixture
def grader(site, lessons):
    folder = lessons / "00_beginning/01_first_lesson"
    (folder / "exercises.yaml").write_text(EXERCISES)
    (folder / "lesson.md").write_text(FIRST + "\n## Your turn\n\n<!-- exercise: gradient-step -->\n")
    (folder / "exercise.py").write_text('import torch\n\n\ndef step(w):\n    """One step."""\n    ...\n')
    (folder / "solution.py").write_text("def step(w):\n    return w - 1\n")
    made = Grader()
    site.exercises.service = made
    return made


def check_of(**more: Any) -> dict[str, Any]:
    blank = {"name": "check_step", "title": "Goes `down`", "status": "failed", "evidence": None}
    return {**blank, "diagnosis": None, "field": None, **more}


def test_untouched_it_has_the_starter_and_gives_nothing_away(ask, site, grader, monkeypatch):
    monkeypatch.setattr("nn2llm.app.state._WARM_GRADER_AFTER_S", 0.0)
    answer = ask("GET", AT)
    state = answer.json()
    assert state["text"] == 'import torch\n\n\ndef step(w):\n    """One step."""\n    ...\n'
    assert (state["version"], state["status"], state["last"], state["attempts"]) == ("", "new", None, [])
    assert not site.exercises.files.path("first-lesson", "gradient-step").exists()
    page = ask("GET", "/lesson/first-lesson").text
    for text in (answer.text, ask("GET", FORM).text, page):
        assert "almostline" not in text
        assert "secretwhy" not in text
        assert '"answer"' not in text
    assert 'id="exercise-gradient-step"' in page
    data = json.loads(page.split('id="lesson-data">')[1].split("</script>")[0])
    assert [one["name"] for one in data["exercises"]] == ["gradient-step", "choose", "derive-it"]
    assert data["exercises"][1]["fields"][1] == {
        "name": "miss", "kind": "number", "unit": "tokens", "min_words": None,
    }  # fmt: skip
    assert grader.warmed.wait(30)


def test_a_save_that_began_from_an_old_version_writes_nothing_and_shows_both(ask, site, grader):
    first = ask("POST", f"{AT}/save", json={"text": "mine", "base": ""}).json()["version"]
    path = site.exercises.files.path("first-lesson", "gradient-step")
    path.write_text("theirs")
    refused = ask("POST", f"{AT}/save", json={"text": "mine again", "base": first})
    assert refused.status_code == 409
    assert "another editor" in refused.json()["error"]
    disk = refused.json()["disk"]
    assert (disk["text"], disk["version"]) == ("theirs", ask("GET", f"{AT}/version").json()["version"])
    assert disk["changed_at"].endswith("+00:00")
    assert path.read_text() == "theirs"
    assert ask("POST", f"{AT}/check", json={"text": "mine again", "base": first}).status_code == 409
    assert grader.jobs == []
    kept = ask("POST", f"{AT}/save", json={"text": "mine again", "base": disk["version"]})
    assert kept.status_code == 200
    assert path.read_text() == "mine again"
    assert "theirs" in [
        old.read_text() for old in site.exercises.files.history("first-lesson", "gradient-step")
    ]


def test_a_check_saves_grades_records_and_says_it_in_html(ask, site, grader):
    grader.says = {
        "status": "failed",
        "message": "Not **yet**.",
        "checks": [
            check_of(diagnosis="You added $w$.", evidence={"lines": ["`None` came"], "arrays": []}),
            check_of(name="check_b", title="", status="not run"),
        ],
    }
    before = ask("GET", f"{AT}/version").json()
    answer = ask("POST", f"{AT}/check", json={"text": "def step(w): return w", "base": ""}).json()
    verdict, state = answer["verdict"], answer["state"]
    assert grader.jobs[0].text == site.exercises.files.path("first-lesson", "gradient-step").read_text()
    assert verdict["message_html"] == "<p>Not <strong>yet</strong>.</p>\n"
    assert verdict["checks"][0]["title_html"] == "Goes <code>down</code>"
    assert '<span class="math" data-tex="w">' in verdict["checks"][0]["diagnosis_html"]
    assert verdict["checks"][0]["evidence"]["lines_html"] == ["<code>None</code> came"]
    assert verdict["checks"][1]["diagnosis_html"] is None
    assert verdict["checks"][1]["title_html"] == "check_b"
    assert (state["status"], state["last_is_current"]) == ("tried", True)
    assert [one["status"] for one in state["attempts"]] == ["failed"]
    after = ask("GET", f"{AT}/version").json()
    assert after["version"] != before["version"]
    assert after["mark"] == state["mark"] != before["mark"]
    ask("POST", f"{AT}/save", json={"text": "def step(w): return 1", "base": after["version"]})
    again = ask("GET", AT).json()
    assert again["last"]["message"] == "Not **yet**."
    assert again["last_is_current"] is False


def test_hints_come_one_after_another_and_the_solution_counts(ask, grader):
    hints = [ask("POST", f"{AT}/hint", json={}).json()["state"]["hints"] for _ in range(4)]
    assert [len(seen) for seen in hints] == [1, 2, 3, 3]
    assert hints[0] == ["<p>Look at <strong>w</strong>.</p>\n"]
    shown = ask("POST", f"{AT}/solution", json={}).json()
    assert "return" in shown["solution_html"]
    assert shown["state"]["solution_seen"] is True
    passed = ask("POST", f"{AT}/check", json={"text": "def step(w): return w - 1", "base": ""}).json()[
        "state"
    ]
    assert (passed["status"], passed["unaided"]) == ("passed", False)


def test_reset_and_restore_bring_texts_back(ask, grader):
    ask("POST", f"{AT}/check", json={"text": "one = 1", "base": ""})
    state = ask("GET", AT).json()
    ask("POST", f"{AT}/save", json={"text": "two = 2", "base": state["version"]})
    assert "..." in ask("POST", f"{AT}/reset", json={}).json()["state"]["text"]
    attempt = state["attempts"][0]["id"]
    assert ask("POST", f"{AT}/restore", json={"attempt": attempt}).json()["state"]["text"] == "one = 1"
    missing = ask("POST", f"{AT}/restore", json={"attempt": "none"})
    assert missing.status_code == 404
    assert "attempt" in missing.json()["error"]


def test_an_exercise_that_comes_back_has_a_file_and_records_of_its_own(ask, site, grader):
    ask("POST", f"{AT}/check", json={"text": "def step(w): return w - 1", "base": ""})
    state = ask("GET", f"{AT}-again").json()
    assert (state["status"], state["version"], state["attempts"]) == ("new", "", [])
    assert "..." in state["text"]
    ask("POST", f"{AT}-again/check", json={"text": "again = 1", "base": ""})
    assert site.exercises.files.path("first-lesson", "gradient-step-again").read_text() == "again = 1"
    assert ask("GET", AT).json()["text"] == "def step(w): return w - 1"


def test_prepare_begins_the_file_for_another_editor(ask, site, grader):
    state = ask("POST", f"{AT}/prepare", json={}).json()["state"]
    assert site.exercises.files.path("first-lesson", "gradient-step").read_text() == state["text"]
    assert state["version"] != ""


def test_a_form_is_written_as_assignments_and_read_back(ask, site, grader):
    saved = ask("POST", f"{FORM}/save", json={"fields": {"rate": "b", "miss": None}, "base": ""})
    path = site.exercises.files.path("first-lesson", "choose")
    assert saved.status_code == 200
    assert 'rate = "b"' in path.read_text()
    assert "miss = ..." in path.read_text()
    assert ask("GET", FORM).json()["values"] == {"rate": "b"}
    path.write_text('rate = "a"\nmiss = 117.5\n')
    assert ask("GET", FORM).json()["values"] == {"rate": "a", "miss": 117.5}


@pytest.mark.parametrize(
    "words",
    ['a\n"quoted"', "it's \\ two \\n", '"""', "a\nb", "ends in \\", "…−η 🙂", "{x}\n'''", 'a\n"""', "# no"],
)
def test_a_learners_own_words_come_back_as_they_were_typed(ask, grader, words):
    saved = ask("POST", f"{FORM}/save", json={"fields": {"words": words}, "base": ""})
    assert saved.status_code == 200
    state = ask("GET", FORM).json()
    assert (state["values"], state["form_error"]) == ({"words": words}, None)


def test_control_characters_are_left_out_of_a_form(ask, grader):
    ask("POST", f"{FORM}/save", json={"fields": {"words": "a\x00b\rc\x1bd\te"}, "base": ""})
    assert ask("GET", FORM).json()["values"] == {"words": "ab\ncd\te"}


def test_chosen_options_explain_themselves_after_a_check_alone(ask, grader):
    grader.says = {
        "status": "failed",
        "message": "No.",
        "checks": [check_of(name="rate", field="rate", diagnosis="why")],
    }
    body = {"fields": {"rate": "a", "miss": 3}, "base": ""}
    verdict = ask("POST", f"{FORM}/check", json=body).json()["verdict"]
    assert list(verdict["whys"]["rate"]) == ["a"]
    assert "secretwhy of" in verdict["whys"]["rate"]["a"]
    assert verdict["checks"][0]["diagnosis_html"] is None  # it would say the same again
    assert ask("GET", FORM).json()["last"]["whys"] == verdict["whys"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rate = (", "Line 1 is not Python yet"),
        ('rat = "a"', "Did you mean 'rate'?"),
        ("rate = print()", "Line 1 of your file: `rate` must be a plain value"),
        ("import os", "Only lines like `name = value` belong in this file"),
    ],
)
def test_a_form_spoilt_by_hand_says_what_is_wrong(ask, site, grader, text, words):
    ask("POST", f"{FORM}/prepare", json={})
    site.exercises.files.path("first-lesson", "choose").write_text(text)
    state = ask("GET", FORM).json()
    assert words in state["form_error"]
    assert state["values"] is None


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        (f"{AT}/save", {"base": ""}, 400, "'text'"),
        (f"{AT}/save", {"text": "x"}, 400, "'base'"),
        (f"{AT}/save", {"text": "x" * 200_001, "base": ""}, 413, "200,001 characters is too long"),
        (f"{FORM}/save", {"fields": {"rat": "a"}, "base": ""}, 400, "'rat'"),
        (f"{FORM}/save", {"fields": {"rate": 3}, "base": ""}, 400, "'rate' cannot be 3"),
        (f"{FORM}/save", {"fields": {"miss": True}, "base": ""}, 400, "'miss' cannot be True"),
        (f"{FORM}/save", {"text": "x", "base": ""}, 400, "'fields'"),
        ("/api/exercise/first-lesson/nothing/hint", {}, 404, "no exercise 'nothing'"),
        ("/api/exercise/no-lesson/choose/hint", {}, 404, "no lesson 'no-lesson'"),
        ("/api/exercise/torn-lesson/choose/hint", {}, 404, "no exercise 'choose'"),
        ("/api/expression", {"text": "x" * 501, "slug": "a", "name": "b", "field": "c"}, 413, "501"),
        (
            "/api/expression",
            {"text": "x", "slug": "first-lesson", "name": "choose", "field": "rate"},
            404,
            "no such expression",
        ),
    ],
)
def test_what_cannot_be_taken_is_refused_in_a_sentence(ask, grader, path, body, status, words):
    answer = ask("POST", path, json=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_whatever_learners_code_says_can_be_sent(ask, grader):
    grader.says = {
        "status": "failed",
        "message": "\ud800 <script>alert(1)</script> [x](javascript:alert)",
        "printed": "\udfff",
        "elapsed_s": float("nan"),
    }
    answer = ask("POST", f"{AT}/check", json={"text": "x = '\\ud800'", "base": ""})
    assert answer.status_code == 200
    assert "<script>" not in answer.json()["verdict"]["message_html"]
    assert "href" not in answer.json()["verdict"]["message_html"]
    assert ask("GET", AT).status_code == 200


def test_one_check_at_a_time_and_the_pages_go_on(site, grader):
    """While a check waits, a second one of that exercise is refused; others and the pages are answered."""
    grader.go_on.clear()
    app = build_guarded_app(site, RULES, with_kernels=False)

    async def run() -> tuple[int, ...]:
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8731") as client:

            def post(path: str, body: Any) -> Any:
                return client.post(path, headers=CHANGES, json=body)

            first = asyncio.create_task(post(f"{AT}/check", {"text": "a", "base": ""}))
            async with asyncio.timeout(30):
                while not grader.jobs:
                    await asyncio.sleep(0.01)
            second = await post(f"{AT}/check", {"text": "a", "base": ""})
            assert "being checked already" in second.json()["error"]
            page = await client.get("/lesson/first-lesson", headers=CHANGES)
            state = await client.get(AT, headers=CHANGES)
            grader.go_on.set()
            done = await first
            after = await post(f"{AT}/check", {"text": "b", "base": done.json()["state"]["version"]})
            return (
                second.status_code,
                page.status_code,
                state.status_code,
                done.status_code,
                after.status_code,
            )

    assert asyncio.run(run()) == (409, 200, 200, 200, 200)
    assert len(grader.jobs) == 2


def test_a_check_whose_page_went_away_still_makes_room(site, grader):
    grader.go_on.clear()
    app = build_guarded_app(site, RULES, with_kernels=False)

    async def run() -> None:
        transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8731") as client:
            task = asyncio.create_task(
                client.post(f"{AT}/check", headers=CHANGES, json={"text": "a", "base": ""})
            )
            async with asyncio.timeout(30):
                while not grader.jobs:
                    await asyncio.sleep(0.01)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                assert site.checks_running
                grader.go_on.set()
                while site.checks_running:
                    await asyncio.sleep(0.01)

    asyncio.run(run())
    assert [one.status for one in site.store.exercises.attempts("first-lesson", "gradient-step")] == [
        "passed"
    ]


def test_a_formula_is_drawn_or_says_where_it_stops(ask, grader):
    ask_for = {"slug": "first-lesson", "name": "derive-it", "field": "slope"}
    good = ask("POST", "/api/expression", json={"text": "2*w*x", **ask_for}).json()
    assert good["error"] is None
    assert "w" in good["tex"]
    bad = ask("POST", "/api/expression", json={"text": "2*(w", **ask_for}).json()
    assert bad["tex"] is None
    assert "bracket" in bad["error_html"]
    assert 0 <= bad["position"] <= 4
    assert api_exercises.MAX_EXPRESSION >= 200


@pytest.mark.parametrize(
    "verdict",
    [
        {},
        {"checks": 5},
        {"checks": [5], "message": "x"},
        {"message": {"a": 1}, "checks": []},
        {"part": 5, "message": "x"},
        {"checks": [{"name": "a", "field": ["x"]}], "message": "x"},
        {"checks": [check_of(evidence={"lines": 5})]},
        {"status": "passed", "checks": [check_of()]},
    ],
)
def test_a_verdict_from_an_import_that_is_none_leaves_the_exercise_open(ask, grader, verdict):
    blank = {"exercise": "x", "status": "failed", "message": "", "seed": 1, "elapsed_s": 0.1, "checks": []}
    blank |= {"error": None, "printed": "", "cut": False}
    shared = {"slug": "first-lesson", "name": "gradient-step"}
    for said, is_shown in ((verdict and blank | verdict, False), (blank, True)):
        at = f"2026-01-01T00:00:0{int(is_shown)}+00:00"
        row = {**shared, "id": f"a{is_shown}", "at": at, "status": "failed", "text": "x"}
        tables = {
            "attempts": [{**row, "verdict": json.dumps(said)}],
            "exercises": [{**shared, "passed_at": None, "solution_seen_at": None, "hints_seen": 1}],
        }
        body = {"format": "nn2llm-course", "version": 3, "tables": tables}
        assert ask("POST", "/api/import", json=body).status_code == 200
        answer = ask("GET", AT)
        assert answer.status_code == 200
        assert (answer.json()["last"] is not None) == is_shown
