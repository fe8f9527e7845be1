"""Full-text search over lessons, terms and the syllabus, while the learner types.

Read after glossary.py. Used by the search page and the search box. The index is an SQLite FTS5 table
in NN2LLM_HOME/search.db; it is built anew when the text of any lesson, or INDEX_VERSION here, has changed.
Source of the query language and ranking: https://www.sqlite.org/fts5.html
"""

import hashlib
import html
import os
import re
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nn2llm.core.errors import LessonError
from nn2llm.core.files import storage_errors
from nn2llm.core.home import get_home
from nn2llm.course.checkpoints import list_pages
from nn2llm.course.glossary import find_definitions
from nn2llm.course.lesson import Block, Course, Equation, Fold, Lesson, Placeholder, Prose
from nn2llm.course.loader import load_lesson
from nn2llm.course.markup import to_plain_text

__all__ = ["SearchHit", "SearchIndex"]

INDEX_VERSION = 2
_MOST_CHARACTERS = 200
_MOST_WORDS = 12
_BEGIN, _END = "\x02", "\x03"  # around found words in a snippet; escaping leaves them alone
_SUFFIXES = ("ing", "ies", "ed", "es", "s")

Kind = Literal["section", "term", "lesson"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """One place found."""

    kind: Kind
    """A section of a lesson, a term's definition, or a lesson by its title and goal (written or coming)."""
    slug: str
    number: str
    title: str
    """Of the lesson."""
    heading: str
    """Of the section, or the term; empty for a lesson."""
    anchor: str
    """In the lesson's page; empty: its top."""
    snippet: str
    """HTML: escaped text with `<mark>` around what was found."""
    ready: bool
    """Whether the lesson can be opened."""


class SearchIndex:
    """The index of one course. Safe to use from several threads.

    Raises:
        StorageError: if the index cannot be written.
    """

    def __init__(self, course: Course, path: Path | None = None) -> None:
        self.course = course
        self.path = path or get_home() / "search.db"
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._stamp: tuple[object, ...] | None = None

    def search(self, query: str, *, limit: int = 20) -> tuple[SearchHit, ...]:
        """The best places for `query`; its last word may be half typed. Empty where it holds no word."""
        match = _build_match(query)
        numbered = self._find_by_number(query.strip().strip("()"))
        if match is None or limit < 1:
            return numbered[: max(limit, 0)]
        with self._lock:
            try:
                found = self._find(match, limit)
            except sqlite3.DatabaseError:  # the file was damaged after it was opened: build it anew, once
                self._let_go()
                with storage_errors(self.path):
                    self.path.unlink(missing_ok=True)
                found = self._find(match, limit)
        return (*numbered, *(hit for hit in found if hit not in numbered))[:limit]

    def prepare(self) -> None:
        """Build the index if it is not up to date, so that the first search need not wait for it."""
        with self._lock:
            self._open()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._stamp = None

    def _find(self, match: str, limit: int) -> list[SearchHit]:
        rows = self._open().execute(
            "SELECT kind, slug, number, title, heading, anchor,"
            f" snippet(pages, 6, '{_BEGIN}', '{_END}', '…', 24)"
            # a word in a heading counts eight times one in the text
            " FROM pages WHERE pages MATCH ? ORDER BY bm25(pages, 0, 0, 0, 0, 8, 0, 1) LIMIT ?",
            (match, limit),
        )
        return [self._make_hit(*row) for row in rows]

    def _make_hit(
        self, kind: Kind, slug: str, number: str, title: str, heading: str, anchor: str, snippet: str
    ) -> SearchHit:
        marked = html.escape(snippet).replace(_BEGIN, "<mark>").replace(_END, "</mark>")
        return SearchHit(
            kind=kind,
            slug=slug,
            number=number,
            title=title,
            heading="" if kind == "lesson" else heading,
            anchor=anchor,
            snippet=marked,
            ready=self.course.is_ready(slug),
        )

    def _find_by_number(self, text: str) -> tuple[SearchHit, ...]:
        """`1.6` is a lesson, `1.6.2` an equation, `1.C` a checkpoint."""
        if not re.fullmatch(r"\d+\.(\d+(\.\d+)?|[cC])", text):
            return ()
        text = text.upper()
        number = ".".join(text.split(".")[:2])
        for entry in list_pages(self.course):
            if entry.number == number:
                anchor = f"eq-{text}" if text != number else ""
                return (self._make_hit("lesson", entry.slug, number, entry.title, "", anchor, entry.goal),)
        return ()

    def _open(self) -> sqlite3.Connection:
        """The connection to an index that is up to date. The lock is held."""
        paths = [self.course.folder / "syllabus.yaml"]
        paths += [entry.folder / "lesson.md" for entry in self.course.entries]
        stamp = tuple(_stat(path) for path in paths)
        if self._connection is not None and stamp == self._stamp:
            return self._connection
        digest = hashlib.sha256(f"version {INDEX_VERSION}".encode())
        for path in paths:
            data = path.read_bytes() if path.is_file() else b""
            digest.update(f"\n{path.relative_to(self.course.folder)} {len(data)}\n".encode() + data)
        digest.update(repr(sorted(self.course.headers)).encode())
        key = digest.hexdigest()
        self._let_go()
        connection = _open_index(self.path, key)
        if connection is None:
            self._build(key)
            connection = _open_index(self.path, key)
        if connection is None:  # another process has put its own there: work without a file
            connection = sqlite3.connect(":memory:", check_same_thread=False)
            self._fill(connection, key)
        self._connection, self._stamp = connection, stamp
        return connection

    def _build(self, key: str) -> None:
        """Write the index beside its place, then move it there: nobody meets half of one."""
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.{threading.get_ident()}.partial")
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial.unlink(missing_ok=True)
            try:
                connection = sqlite3.connect(partial)
                try:
                    connection.execute("PRAGMA journal_mode = OFF")
                    self._fill(connection, key)
                finally:
                    connection.close()
                os.replace(partial, self.path)
            except sqlite3.OperationalError as error:
                raise OSError(str(error)) from error
            except PermissionError:
                pass  # Windows, while another process has it open: this one works without a file
            finally:
                partial.unlink(missing_ok=True)

    def _fill(self, connection: sqlite3.Connection, key: str) -> None:
        with connection:
            connection.execute(
                "CREATE VIRTUAL TABLE pages USING fts5(kind UNINDEXED, slug UNINDEXED, number UNINDEXED,"
                " title UNINDEXED, heading, anchor UNINDEXED, body,"
                " tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3')"
            )
            connection.execute("CREATE TABLE built (key TEXT)")
            for row in self.make_rows():
                connection.execute("INSERT INTO pages VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            connection.execute("INSERT INTO built VALUES (?)", (key,))

    def make_rows(self) -> list[tuple[str, ...]]:
        """(kind, slug, number, title, heading, anchor, words) of every place that can be found."""
        rows: list[tuple[str, ...]] = []
        for entry in list_pages(self.course):
            place = (entry.slug, entry.number, entry.title)
            rows.append(("lesson", *place, entry.title, "", entry.goal))
            if not self.course.is_ready(entry.slug):
                continue
            try:
                lesson = load_lesson(entry)
            except LessonError:
                continue
            rows += [("section", *place, *section) for section in _make_sections(lesson)]
            rows += [
                ("term", *place, item.term, item.anchor, item.definition) for item in find_definitions(lesson)
            ]
        return [tuple(_encodable(text) for text in row) for row in rows]


def _make_sections(lesson: Lesson) -> list[tuple[str, str, str]]:
    """(heading, anchor, words) of each section."""
    return [
        (to_plain_text(section.title), section.id, " ".join(_collect_words(section.blocks)))
        for section in lesson.sections
    ]


def _collect_words(blocks: tuple[Block, ...]) -> list[str]:
    words: list[str] = []
    for block in blocks:
        match block:
            case Prose():
                words.append(to_plain_text(block.markdown))
            case Fold():
                words += [
                    to_plain_text(block.summary).removeprefix("Deeper: "),
                    *_collect_words(block.blocks),
                ]
            case Equation(number=str() as number):
                words.append(f"({number})")
            case Placeholder(kind="exercise", name=str() as name):
                words.append(name)
            case _:
                pass
    return words


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _open_index(path: Path, key: str) -> sqlite3.Connection | None:
    """The index at `path` if it is whole and of that key."""
    if not path.is_file():
        return None
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
    try:
        row = connection.execute("SELECT key FROM built").fetchone()
        if row is not None and row[0] == key:
            return connection
    except sqlite3.DatabaseError:
        pass  # not an index: build it anew
    connection.close()
    return None


def _build_match(query: str) -> str | None:
    """FTS5 for pages with every word or its beginning. Nothing in the query is taken as syntax."""
    words = re.findall(r"\w+", query[:_MOST_CHARACTERS].casefold())
    parts: list[str] = []
    for word in words[:_MOST_WORDS]:
        if not any(character.isalnum() for character in word):
            continue  # a lone _ has no token
        forms = [word]
        for suffix in _SUFFIXES:  # gradients finds gradient, fitted finds fit by its beginning
            if word.endswith(suffix) and len(word) - len(suffix) >= 4:
                forms.append(word.removesuffix(suffix))
                break
        either = " OR ".join(f'"{form}"*' for form in forms)
        parts.append(f"({either})")
    return " AND ".join(parts) or None
