"""`nn2llm learn check | watch | hint | solution | reset | status`: exercises in the terminal."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from nn2llm.cli.learn_verdict import has_diagnosis, print_diagnosis, print_sentence, print_verdict
from nn2llm.cli.learn_watch import Watcher, run_watch
from nn2llm.cli.main import main
from nn2llm.core.errors import StorageError
from nn2llm.course.exercises.service import Exercises
from nn2llm.course.lesson import Course
from nn2llm.course.store import Store
from tests.course.exercises.conftest import FakeGrader, write_course

RIGHT = "def double(x):\n    return 2 * x\n"


@pytest.fixture(autouse=True)
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path / "home"))
    return write_course(tmp_path / "lessons")


@pytest.fixture
def grader(monkeypatch: pytest.MonkeyPatch) -> FakeGrader:
    fake = FakeGrader()
    monkeypatch.setattr("nn2llm.course.grading.service.GradingService", lambda: fake)
    return fake


def learn(*arguments: str) -> int:
    return main(["learn", *arguments, "--lessons", "lessons"])


def file(name: str) -> Path:
    return Path("home/exercises/tensors") / name


def test_check_begins_all_and_says_where_the_files_are(
    grader: FakeGrader, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learn("check", "1.1") == 1
    said = capsys.readouterr().out
    assert "home/exercises/tensors/double_it.py  (Double a number, 5 min)" in said
    assert grader.jobs == []
    assert file("which_one.py").is_file()
    assert learn("check", "tensors") == 1
    said = capsys.readouterr().out
    assert said.startswith("NOT FINISHED  double-it: Double a number")
    assert "0 of 4 passed" not in said  # what is to be repaired has no `...`
    assert "1 of 4 passed." in said
    assert grader.closed


def test_check_of_one_has_its_exit_code(grader: FakeGrader, capsys: pytest.CaptureFixture[str]) -> None:
    file("").mkdir(parents=True)
    file("double_it.py").write_text("WRONG", encoding="utf-8")
    assert learn("check", "1.1", "double-it") == 1
    said = capsys.readouterr().out
    assert "FAILED" in said
    assert "A hint: nn2llm learn hint 1.1 double-it" in said
    file("double_it.py").write_text(RIGHT, encoding="utf-8")
    assert learn("check", "1.1") == 0
    assert "PASSED  double-it" in capsys.readouterr().out
    assert learn("check", "1.1", "double") == 1
    assert (
        "There is no exercise 'double' in this lesson. Did you mean 'double-it'?" in capsys.readouterr().err
    )
    assert learn("check", "0.1") == 2
    assert "Lesson 0.1 has no exercises yet." in capsys.readouterr().err


def test_hints_solution_status_and_reset(grader: FakeGrader, capsys: pytest.CaptureFixture[str]) -> None:
    assert learn("hint", "1.1", "double-it") == 0
    assert capsys.readouterr().out == "Hint 1 of 3: Look at x.\n"
    learn("hint", "1.1", "double-it")
    learn("hint", "1.1", "double-it")
    assert "The solution: nn2llm learn solution 1.1 double-it" in capsys.readouterr().out
    assert learn("solution", "1.1", "double-it") == 0
    captured = capsys.readouterr()
    assert captured.out.endswith("return 2 * x\n")
    assert "counts as passed with the solution" in captured.err
    assert learn("check", "1.1", "which-one") == 1
    file("double_it.py").write_text(RIGHT, encoding="utf-8")
    assert learn("check", "1.1", "double-it") == 0
    capsys.readouterr()
    assert learn("status", "1.1") == 0
    said = capsys.readouterr().out
    for words in (
        "double-it                  done with solution",
        "which-one                  begun",
        "not begun",
    ):
        assert words in said
    assert "home/exercises/tensors/double_it.py" in said
    assert learn("status") == 0
    assert "1 of 3 exercises" in capsys.readouterr().out
    assert learn("reset", "1.1", "double-it") == 2  # no terminal to ask on
    assert "Say --yes" in capsys.readouterr().err
    assert file("double_it.py").read_text(encoding="utf-8") == RIGHT
    assert learn("reset", "1.1", "double-it", "--yes") == 0
    assert "..." in file("double_it.py").read_text(encoding="utf-8")
    (kept,) = [path for path in file(".history/double_it").iterdir() if path.name[0].isdigit()]
    assert kept.read_text(encoding="utf-8") == RIGHT
    assert "To have yours back: nn2llm learn reset 1.1 double-it --back" in capsys.readouterr().out
    assert learn("reset", "1.1", "double-it", "--back") == 0
    assert file("double_it.py").read_text(encoding="utf-8") == RIGHT
    assert learn("reset", "1.1", "which-one", "--back") == 1
    assert "Nothing of 'which-one' was overwritten yet" in capsys.readouterr().err


VERDICT = {
    "exercise": "add", "status": "failed", "elapsed_s": 0.12, "message": "The check “Adds” fails: it is 2.",
    "checks": [
        {"name": "a", "title": "Adds", "status": "failed", "diagnosis": "You added 1.", "field": None,
         "evidence": {"called": "f(x=1)", "returned": "\x1b[2J2", "expected": "1", "lines": ["It is 2."],
                      "difference": "largest difference 1",
                      "arrays": [{"label": label, "shape": [2, 2], "dtype": "float32",
                                  "values": [["1", "-20.5"], ["3", "…"]], "marked": [[0, 1]]}
                                 for label in ("returned", "expected")]}},
        {"name": "b", "title": "Subtracts", "status": "not run", "evidence": None, "diagnosis": None},
    ],
    "error": None, "printed": "one\n" * 30, "cut": False, "warnings": ["careful"],
}  # fmt: skip


def show(verdict: dict[str, object], *, width: int = 100, diagnosis: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False, soft_wrap=True)
    print_verdict(console, verdict, title="Add", path="/far/away.py", diagnosis=diagnosis)
    return out.getvalue()


def test_a_verdict_shows_evidence_first_and_the_diagnosis_when_asked() -> None:
    said = show(VERDICT)
    assert said.startswith("FAILED  add: Add  (0.1 s)\n  The check “Adds” fails: it is 2.\n  failed  Adds\n")
    assert "      called   f(x=1)\n      returned \ufffd[2J2\n      expected 1\n" in said
    assert said.count("It is 2.") == 0  # it stands in the message
    assert "returned: float32 (2, 2)   expected: float32 (2, 2)\n" in said
    assert "      1  -20.5*" in said
    assert "  not run Subtracts\n" in said
    assert "    | … 10 more lines" in said
    assert "Warning: careful" in said
    assert "You added 1" not in said
    assert said.endswith("  /far/away.py\n")
    assert "What it is: You added 1." in show(VERDICT, diagnosis=True)
    narrow = show(VERDICT, width=40)
    assert "returned: float32 (2, 2)\n" in narrow
    out = io.StringIO()
    print_diagnosis(Console(file=out), {"status": "failed", "checks": []})
    assert "not one of the mistakes" in out.getvalue()


def test_what_it_is_says_nothing_of_unfinished_work_and_that_a_mistake_is_unknown() -> None:
    unfinished = VERDICT | {"status": "unfinished"}
    assert not has_diagnosis(unfinished)
    assert "What it is: nothing yet. Finish it first." in show(unfinished, diagnosis=True)
    unknown = VERDICT | {"checks": [{**check, "diagnosis": None} for check in VERDICT["checks"]]}
    assert "not one of the mistakes that this exercise knows" in show(unknown, diagnosis=True)


def test_mathematics_is_spelled_and_a_terminal_breaks_between_words() -> None:
    verdict = VERDICT | {"message": "The slope along $w$ is " + "very " * 12 + "far off."}
    assert "The slope along w is very" in show(verdict)
    out = io.StringIO()
    console = Console(file=out, width=40, soft_wrap=True, force_terminal=True, no_color=True)
    print_sentence(console, verdict["message"])
    lines = out.getvalue().splitlines()
    assert len(lines) > 1
    assert all(line.startswith("  ") and len(line) <= 40 for line in lines)


def test_an_error_shows_the_learners_lines() -> None:
    code = [[1, "def f(x):", False], [2, "    return y", True]]
    error = {"name": "NameError", "message": "no y", "line": 2,
             "frames": [{"line": 2, "function": "f", "code": code}]}  # fmt: skip
    said = show({**VERDICT, "status": "error", "error": error})
    assert (
        "      line 2, in f:\n          1  def f(x):\n      >   2      return y\n      NameError: no y\n"
        in said
    )
    assert said.endswith("/far/away.py:2\n")


class Watched:
    """A watcher whose words are kept."""

    def __init__(self, exercises: Exercises, names: tuple[str, ...] = ("double-it",)) -> None:
        self.out = io.StringIO()
        console = Console(file=self.out, width=200, highlight=False, markup=False, soft_wrap=True)
        self.watcher = Watcher(exercises, [exercises.find("1.1", name) for name in names], console)

    def take(self) -> str:
        said = self.out.getvalue()
        self.out.truncate(0)
        self.out.seek(0)
        return said


@pytest.fixture
def watched(course: Course, grader: FakeGrader, tmp_path: Path) -> Iterator[Watched]:
    store = Store()
    yield Watched(Exercises(course, store, tmp_path / "home", grader))  # type: ignore[arg-type]
    store.close()


def test_watch_checks_what_was_saved(watched: Watched, grader: FakeGrader) -> None:
    watched.watcher.begin()
    assert "NOT FINISHED" in watched.take()
    assert not watched.watcher.step()
    file("double_it.py").write_text(RIGHT, encoding="utf-8")
    assert watched.watcher.step()
    assert "PASSED" in watched.take()
    assert not watched.watcher.step()
    os.utime(file("double_it.py"), (1, 1))  # saved without a change
    assert not watched.watcher.step()
    assert len(grader.jobs) == 2


def test_watch_survives_a_file_that_goes_or_is_no_text(watched: Watched, grader: FakeGrader) -> None:
    watched.watcher.begin()
    watched.take()
    path = file("double_it.py")
    text = path.read_text(encoding="utf-8")
    path.unlink()
    assert not watched.watcher.step()
    assert "is gone. Save it again, or press r" in watched.take()
    assert not watched.watcher.step()
    assert watched.take() == ""
    assert watched.watcher.press("r")
    assert path.read_text(encoding="utf-8") == text
    assert "NOT FINISHED" in watched.take()
    path.write_bytes(b"\xff")
    assert not watched.watcher.step()
    assert "is not UTF-8" in watched.take()
    path.write_text(RIGHT, encoding="utf-8")
    assert watched.watcher.step()
    path.unlink()
    watched.watcher.step()
    path.write_text(RIGHT, encoding="utf-8")
    assert watched.watcher.step()  # back by another way
    watched.watcher.exercises.store.exercises.record_attempt = _refuse  # type: ignore[method-assign]
    path.write_text(RIGHT + "#\n", encoding="utf-8")
    assert watched.watcher.step()
    assert "could not be recorded: full." in watched.take()


def _refuse(*values: object, **more: object) -> str:
    raise StorageError("full.")


def test_watch_listens_to_keys(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    assert watched.watcher.press("d")  # nothing to say yet
    watched.watcher.begin()
    watched.take()
    keys = iter(["d", "h", "x", "", "q"])
    monkeypatch.setattr("nn2llm.cli.learn_watch._key_waits", lambda seconds: True)
    run_watch(watched.watcher, lambda: next(keys))
    said = watched.take()
    assert "What it is: nothing yet. Finish it first." in said
    assert "Hint 1 of 3: Look at x." in said
    run_watch(watched.watcher, lambda: None)  # no more keys can come


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C as a signal")
def test_watch_ends_cleanly_with_ctrl_c(tmp_path: Path) -> None:
    """The real command with the real grader: a wrong answer, a right one saved, Ctrl-C."""
    path = tmp_path / file("double_it.py")
    path.parent.mkdir(parents=True)
    path.write_text("def double(x):\n    return x**2\n", encoding="utf-8")
    out = tmp_path / "out.txt"
    command = [sys.executable, "-m", "nn2llm", "learn", "watch", "1.1", "double-it", "--lessons", "lessons"]
    with open(out, "w") as file_out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file_out, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    try:
        wait_for(out, "Watching; Ctrl-C ends it.")
        assert "FAILED  double-it" in out.read_text(encoding="utf-8")
        path.write_text(RIGHT, encoding="utf-8")
        wait_for(out, "PASSED  double-it")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    said = out.read_text(encoding="utf-8")
    assert "No longer watching." in said
    assert "Traceback" not in said


def wait_for(path: Path, words: str) -> None:
    deadline = time.monotonic() + 60
    while words not in path.read_text(encoding="utf-8"):
        assert time.monotonic() < deadline, path.read_text(encoding="utf-8")
        time.sleep(0.05)
