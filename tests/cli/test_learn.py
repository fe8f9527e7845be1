"""`nn2llm learn`: progress, a link into the running course, notebooks."""

import json
import re
from pathlib import Path

import pytest

from nn2llm.app.running import Address
from nn2llm.cli.main import main
from nn2llm.course.store import Store


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path / "home"))


def test_status_of_a_newcomer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", "status"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"\[ \] 1\.6   Your first end-to-end ML model.*  \(\d+ min, 0 of \d exercises\)", said)
    assert "0 of" in said
    assert "spent" not in said
    assert "Next:" in said


def test_status_after_some_reading(capsys: pytest.CaptureFixture[str]) -> None:
    store = Store()
    store.mark_opened("linear-regression")
    store.add_time("linear-regression", 4000)
    assert main(["learn", "status"]) == 0
    said = capsys.readouterr().out
    assert "[-] 1.6" in said
    assert "begun, 1 h 07 min spent, 0 of" in said
    assert "Go on with 1.6" in said
    store.set_read("linear-regression")
    store.close()
    assert main(["learn", "status", "--all"]) == 0
    said = capsys.readouterr().out
    assert "[x] 1.6" in said
    assert "[ ] 9.1" in said


def test_open_says_how_to_start_the_course(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", "open", "1.6"]) == 2
    assert "Start it with `nn2llm start`" in capsys.readouterr().err
    assert main(["learn", "open", "1.66"]) == 1
    assert "There is no lesson '1.66'. Did you mean" in capsys.readouterr().err


def test_open_leads_into_the_running_course(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = Address(host="127.0.0.1", port=9, token="secret")
    opened: list[str] = []
    monkeypatch.setattr("nn2llm.app.running.find_running", lambda home: address)
    monkeypatch.setattr("nn2llm.app.running.has_screen", lambda: True)
    monkeypatch.setattr("webbrowser.open", lambda link: opened.append(link) or True)
    assert main(["learn", "open", "1.6", "--no-browser"]) == 0
    link = "http://127.0.0.1:9/lesson/linear-regression?token=secret"
    assert link in capsys.readouterr().out
    assert opened == []
    assert main(["learn", "open", "linear-regression"]) == 0
    assert len(opened) == 1
    # once, and without the token: others see the browser's command line
    assert opened[0].startswith("http://127.0.0.1:9/lesson/linear-regression?token=once.")
    assert "secret" not in opened[0]


def test_notebooks_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", "notebook", "1.6", "linear-regression", "--out", "books"]) == 0
    path = tmp_path / "books" / "01_06_linear_regression.ipynb"
    assert [line for line in capsys.readouterr().out.splitlines() if "ipynb" in line] == [
        "books/01_06_linear_regression.ipynb"
    ]
    assert json.loads(path.read_text(encoding="utf-8"))["metadata"]["nn2llm"]["number"] == "1.6"
    assert main(["learn", "notebook", "--all"]) == 0
    assert (tmp_path / "notebooks" / path.name).is_file()


@pytest.mark.parametrize("arguments", [[], ["1.6", "--all"]])
def test_notebook_wants_lessons_or_all(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", "notebook", *arguments]) == 2
    assert "--all, one of the two" in capsys.readouterr().err


def test_a_missing_package_is_named(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "yaml" else object())
    assert main(["learn", "status"]) == 2
    assert "not installed: yaml." in capsys.readouterr().err
