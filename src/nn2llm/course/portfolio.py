"""The learner's portfolio: what they can show, as one HTML file and one of Markdown, to keep or to send.

Everything in it was written by the learner or measured by a run (outcomes.py). Their text is escaped: in a
portfolio it is only ever text. The HTML stands alone: no script, no picture, nothing is loaded.
Read outcomes.py before. portfolio_html.py and portfolio_markdown.py write the two files. Used by
`nn2llm learn portfolio` and the page /outcomes.
"""

import hashlib
import platform
import re
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from nn2llm import __version__
from nn2llm.core.errors import ConfigError
from nn2llm.core.files import storage_errors, write_bytes_atomic
from nn2llm.core.home import get_home
from nn2llm.course.lesson import Course, SyllabusLesson
from nn2llm.course.outcomes import ExerciseCount, Outcomes, build_outcomes, count_exercises

if TYPE_CHECKING:
    from nn2llm.course.store import Store

__all__ = ["Contents", "OwnPart", "Portfolio", "build_portfolio", "gather_contents", "write_portfolio"]

_MARK = re.compile(r"\n<!-- nn2llm portfolio ([0-9a-f]{64}) -->\n$")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPart:
    """A part of the learner's own GPT."""

    name: str
    lesson: str
    """The lesson it is from, as `4.4 Implementing …`; empty where it was written by hand."""
    day: str
    """YYYY-MM-DD; empty: unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the portfolio says, before it is HTML or Markdown."""

    course: str
    outcomes: Outcomes
    num_lessons: int
    num_read: int
    exercises: tuple[ExerciseCount, ...]
    checkpoints: tuple[tuple[SyllabusLesson, str], ...]
    """Those passed, and the day."""
    parts: tuple[OwnPart, ...]
    day: str
    """When it was written."""
    versions: tuple[tuple[str, str], ...]

    @property
    def title(self) -> str:
        """What stands at the top."""
        name = " ".join(self.outcomes.learner.split())
        return f"{name}: what I can show" if name else "What I can show"


@dataclass(frozen=True, slots=True, kw_only=True)
class Portfolio:
    """The two files."""

    html: str
    markdown: str


def gather_contents(
    course: Course,
    store: "Store",
    *,
    runs: Path | None = None,
    home: Path | None = None,
    learner: str | None = None,
) -> Contents:
    """All that the portfolio says. `learner` stands for the name that was kept, where it is given."""
    from nn2llm.course.sittings import list_passed_checkpoints

    outcomes = build_outcomes(course, store, runs)
    if learner is not None:
        outcomes = replace(outcomes, learner=learner)
    progress = store.progress()
    return Contents(
        course=course.title,
        outcomes=outcomes,
        num_lessons=len(course.lessons),
        num_read=sum(
            slug in progress and progress[slug].read for slug in (one.slug for one in course.lessons)
        ),
        exercises=count_exercises(course, store),
        checkpoints=list_passed_checkpoints(course, store),
        parts=_list_parts(course, home or get_home()),
        day=store.now()[:10],
        versions=_list_versions(),
    )


def build_portfolio(
    course: Course,
    store: "Store",
    *,
    runs: Path | None = None,
    home: Path | None = None,
    learner: str | None = None,
) -> Portfolio:
    """Both files as text, each with a last line that says what it was when written."""
    from nn2llm.course.portfolio_html import write_html
    from nn2llm.course.portfolio_markdown import write_markdown

    contents = gather_contents(course, store, runs=runs, home=home, learner=learner)
    return Portfolio(html=_sign(write_html(contents)), markdown=_sign(write_markdown(contents)))


def write_portfolio(portfolio: Portfolio, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write portfolio.html and portfolio.md into `folder`; returns their paths.

    Files that are as they were once written are replaced; what was changed since is kept.

    Raises:
        ConfigError: if one of them was changed and `overwrite` is not set; then nothing is written.
        StorageError: if the disk does not take them.
    """
    files = {folder / "portfolio.html": portfolio.html, folder / "portfolio.md": portfolio.markdown}
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, not a folder. Choose another folder.")
    if not overwrite:
        for path in files:
            if path.exists() and not _is_as_written(path):
                raise ConfigError(
                    f"{path} was changed since it was written, or is not ours. Move it away, choose another "
                    "folder, or overwrite it on purpose (--overwrite)."
                )
    for path, text in files.items():
        write_bytes_atomic(path, text.encode())
    return list(files)


def _sign(text: str) -> str:
    text = text.rstrip("\n")
    return f"{text}\n<!-- nn2llm portfolio {hashlib.sha256(text.encode()).hexdigest()} -->\n"


def _is_as_written(path: Path) -> bool:
    with storage_errors(path):
        text = path.read_text(encoding="utf-8", errors="replace")
    mark = _MARK.search(text)
    return mark is not None and hashlib.sha256(text[: mark.start()].encode()).hexdigest() == mark[1]


def _list_parts(course: Course, home: Path) -> tuple[OwnPart, ...]:
    from nn2llm.course.mygpt import read_parts

    lessons = {entry.slug: f"{entry.number} {entry.title}" for entry in course.entries}
    return tuple(
        OwnPart(
            name=part.part.title,
            lesson=lessons.get(part.source.slug or "", ""),
            day=(part.adopted_at or "")[:10],
        )
        for part in read_parts(home).values()
    )


def _list_versions() -> tuple[tuple[str, str], ...]:
    versions = [("nn2llm", __version__), ("Python", platform.python_version())]
    for name in ("torch", "numpy"):
        try:
            versions.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(versions)
