"""A real server and a real Chromium. Where there is no Chromium the tests are skipped, and say so."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.course.learning_course import write_learning_course

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

LIMIT_S = 90.0
"""No single step of a test takes longer, on a machine that does other things too."""

SYLLABUS = """\
title: "A small course"
about: "About it."
outcome: "What you can do."
topics:
  - number: 1
    name: foundations
    title: "Foundations"
    about: "The base."
    lessons:
"""
NAMES = ("first", "second", "third", "fourth", "fifth")


@dataclass
class Server:
    """`nn2llm start --no-browser` as a process of its own."""

    home: Path
    runs: Path
    arguments: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    link: str = ""

    def start(self, *, days_later: float = 0) -> None:
        """Start it and wait for its link; its records think that it is so many days later."""
        environment = {**os.environ, "NN2LLM_HOME": str(self.home), "NN2LLM_RUNS": str(self.runs)}
        environment["NN2LLM_TEST_DAYS_LATER"] = str(days_later)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nn2llm", "start", "--no-browser", *self.arguments],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "token=" in line:
                self.link = line.strip()
                return
        raise AssertionError(f"the server did not start: {''.join(said)}")

    @property
    def base(self) -> str:
        """Its address without the token."""
        return self.link.split("/?")[0]

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it and wait for its end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server over a home of its own; ended with the test."""
    servers: list[Server] = []

    def start(*arguments: str) -> Server:
        server = Server(tmp_path / "home", tmp_path / "runs", list(arguments))
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def open_context(browser: "Browser") -> Iterator[Callable[..., "BrowserContext"]]:
    """A fresh profile: no cookie, no storage. What a page logs as an error fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_one(**options: Any) -> "BrowserContext":
        context = browser.new_context(**options)
        context.set_default_timeout(LIMIT_S * 1000)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on("console", lambda message: _note(message, complaints))
        contexts.append(context)
        return context

    yield open_one
    for context in contexts:
        context.close()
    assert not complaints, complaints


def _note(message: Any, complaints: list[str]) -> None:
    # a server that is away is part of some tests; Chromium logs each refused connection
    if message.type == "error" and "ERR_CONNECTION" not in message.text and "WebSocket" not in message.text:
        complaints.append(message.text)


@pytest.fixture
def small_course(tmp_path: Path) -> Callable[..., Path]:
    """Write a course whose lessons have these cells: name of a cell → its code."""

    def write(cells: dict[str, str], *, num_lessons: int = 1) -> Path:
        folder = tmp_path / "lessons"
        folder.mkdir()
        entries = []
        for i, name in enumerate(NAMES[:num_lessons], start=1):
            entries.append(
                f'      - {{number: "1.{i}", slug: {name}, title: "The {name}", goal: "Learn.", needs: []}}\n'
            )
            lesson = folder / "01_foundations" / f"{i:02d}_{name}"
            lesson.mkdir(parents=True)
            fences = "\n\n".join(f'```python id="{cell}"\n{code}\n```' for cell, code in cells.items())
            (lesson / "lesson.md").write_text(
                f'---\nnumber: "1.{i}"\nslug: {name}\ntitle: The {name}\nminutes: 5\ndifficulty: 1\n'
                "needs: []\nteaches: []\nterms: []\nsources: []\n---\n\n"
                f"## The question\n\nRun it.\n\n{fences}\n",
                encoding="utf-8",
            )
        (folder / "syllabus.yaml").write_text(SYLLABUS + "".join(entries), encoding="utf-8")
        return folder

    return write


@pytest.fixture
def learning_course(tmp_path: Path) -> Path:
    """A course with exercises, quizzes, own words and a checkpoint."""
    return write_learning_course(tmp_path / "lessons")


class Cell:
    """A cell of an open lesson page, worked with as a reader does."""

    def __init__(self, page: "Page", name: str) -> None:
        self.page = page
        self.box = page.locator(f'.cell[data-cell="{name}"]')

    def type(self, code: str) -> None:
        """Replace its code."""
        self.box.scroll_into_view_if_needed()
        editor = self.box.locator(".cm-content")
        editor.click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(code)

    @property
    def code(self) -> str:
        """What its editor shows."""
        return "\n".join(self.box.locator(".cm-line").all_inner_texts()).replace("\u200b", "").rstrip("\n")

    def run(self, until: str = "done") -> None:
        """Press Run; wait for this state."""
        self.box.evaluate("box => box.dataset.status = 'asked'")  # else the end of an earlier run would do
        self.box.locator(".run-button").click()
        self.wait(until)

    def stop(self, until: str = "stopped") -> None:
        """Press Stop; wait for this state."""
        self.box.locator(".stop-button").click()
        self.wait(until)

    def wait(self, state: str) -> None:
        """Wait until it is running, done, stopped, or ended in an error."""
        self.page.wait_for_selector(f'{self.selector}[data-status="{state}"]')

    def wait_for_output(self, text: str) -> None:
        """Wait until its outputs hold this text."""
        self.box.locator(".cell-outputs").get_by_text(text).first.wait_for()

    @property
    def selector(self) -> str:
        """For the page."""
        return f'.cell[data-cell="{self.box.get_attribute("data-cell")}"]'

    @property
    def output(self) -> str:
        """All its outputs as text."""
        return self.box.locator(".cell-outputs").inner_text()


@pytest.fixture
def cell() -> Callable[["Page", str], Cell]:
    """The cell of that name on a page."""
    return Cell


def wait_until(check: Callable[[], bool], what: str) -> None:
    """Ask again until it holds.

    Raises:
        AssertionError: if it does not within the limit.
    """
    end = time.monotonic() + LIMIT_S
    while not check():
        assert time.monotonic() < end, f"never happened: {what}"
        time.sleep(0.05)


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[[Callable[[], bool], str], None]:
    """Ask again until it holds; a test fails where it never does."""
    return wait_until
