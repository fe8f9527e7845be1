"""What a lesson and the course are made of: plain records, without behaviour.

Read first in this room. Built by loader.py, syllabus.py and parsing.py; read by rendering.py, the kernels,
the pages and the exporters. Sentences of a lesson stay Markdown here; rendering.py makes pages of them.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from nn2llm.core.errors import LessonError

__all__ = [
    "Block",
    "Cell",
    "CellKind",
    "Course",
    "Equation",
    "EquationKind",
    "Fold",
    "Heading",
    "Lesson",
    "LessonHeader",
    "LessonProblem",
    "Placeholder",
    "Prose",
    "RenderedLesson",
    "Route",
    "Section",
    "SyllabusLesson",
    "Topic",
    "suggest",
    "walk_blocks",
]

CellKind = Literal["code", "verify", "figure", "slow"]
EquationKind = Literal["definition", "derived", "quoted"]
Route = Literal["tour", "core", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyllabusLesson:
    """One of the 81 lessons, written or coming."""

    number: str
    """As in `1.6`: the topic's number, then the lesson's in it."""
    slug: str
    """Its name in addresses, progress and `needs`; never changes."""
    title: str
    goal: str
    """What the learner can do or explain after it."""
    topic: int
    folder: Path
    """Where lesson.md stands, or will stand."""
    needs: tuple[str, ...] = ()
    """Slugs of the lessons to have read before: the lesson's own where it is written, else as planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A part of the course."""

    number: int
    title: str
    about: str
    lessons: tuple[SyllabusLesson, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonProblem:
    """Something wrong in a lesson, for its author: where, what, and what to do."""

    path: Path
    line: int
    """Counted from 1; 0 where the whole file or folder is meant."""
    message: str
    fatal: bool = False
    """The lesson cannot be shown. Other problems leave it open."""

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        return f"{place}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonHeader:
    """The front matter of lesson.md."""

    number: str
    slug: str
    title: str
    minutes: int
    """Of the core route."""
    difficulty: int
    """1 to 5."""
    needs: tuple[str, ...] = ()
    teaches: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    lines: dict[str, int] = field(default_factory=dict)
    """The line of each field in the file."""
    body_line: int = 1
    """The line after the closing `---`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """`## Heading`: a section begins. Smaller headings stay in the prose."""

    title: str
    """Markdown: may hold code and mathematics."""
    id: str
    """The anchor, unique in the lesson."""
    line: int
    tour: bool = False
    """The whole section is on the tour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prose:
    """Markdown between the other blocks: paragraphs, lists, tables, static code."""

    markdown: str
    line: int
    tour: bool = False
    """The first paragraph (list, table) of it is on the tour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Python that runs. `code` and `slow` cells share the learner's names; the others stand alone."""

    id: str
    kind: CellKind
    code: str
    line: int
    """Of its first line of code in lesson.md."""
    eq: str | None = None
    """The equation that a verify cell checks."""
    seconds: float | None = None
    """How long a slow cell takes, roughly."""
    title: str | None = None
    raises: str | None = None
    """The class of the error in which the cell is meant to end."""
    tour: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Equation:
    """A displayed equation. Without a number it is not marked and cannot be referred to."""

    tex: str
    """Without `\\tag`."""
    number: str | None
    """As in `1.6.2`."""
    kind: EquationKind | None
    line: int
    tour: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholder:
    """Where an exercise or the quiz stands."""

    kind: Literal["exercise", "quiz"]
    name: str | None
    """Of the exercise."""
    line: int
    tour: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """`<details>`: only the full route opens it; any reader can."""

    summary: str
    """Markdown."""
    blocks: "tuple[Block, ...]"
    line: int
    tour: bool = False


Block: TypeAlias = Heading | Prose | Cell | Equation | Placeholder | Fold


def walk_blocks(blocks: "tuple[Block, ...]") -> Iterator[Block]:
    """Every block in reading order; a fold comes before what it holds."""
    for block in blocks:
        yield block
        if isinstance(block, Fold):
            yield from walk_blocks(block.blocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and the blocks under it; what stands before the first heading is `start`, untitled."""

    id: str
    title: str
    line: int
    tour: bool
    blocks: tuple[Block, ...]
    """Without the heading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A whole lesson, parsed. Its front matter's fields, and its text as blocks."""

    entry: SyllabusLesson
    folder: Path
    title: str
    minutes: int
    difficulty: int
    needs: tuple[str, ...]
    teaches: tuple[str, ...]
    terms: tuple[str, ...]
    sources: tuple[str, ...]
    blocks: tuple[Block, ...]
    problems: tuple[LessonProblem, ...] = ()
    """What is wrong but leaves it open."""

    @property
    def slug(self) -> str:
        """Its name in addresses and in the learner's records."""
        return self.entry.slug

    @property
    def path(self) -> Path:
        """The lesson's text."""
        return self.folder / "lesson.md"

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells in reading order, those inside folds too."""
        return tuple(block for block in walk_blocks(self.blocks) if isinstance(block, Cell))

    @property
    def equations(self) -> tuple[Equation, ...]:
        """All displayed equations in reading order."""
        return tuple(block for block in walk_blocks(self.blocks) if isinstance(block, Equation))

    @property
    def places(self) -> tuple[Placeholder, ...]:
        """Where exercises and questions stand, in reading order."""
        return tuple(block for block in walk_blocks(self.blocks) if isinstance(block, Placeholder))

    @property
    def sections(self) -> tuple[Section, ...]:
        """The blocks under each heading."""
        sections: list[Section] = []
        heading: Heading | None = None
        blocks: list[Block] = []

        def close() -> None:
            if heading is not None:
                sections.append(
                    Section(
                        id=heading.id,
                        title=heading.title,
                        line=heading.line,
                        tour=heading.tour,
                        blocks=tuple(blocks),
                    )
                )
            elif blocks:
                sections.append(
                    Section(id="start", title="", line=blocks[0].line, tour=False, blocks=tuple(blocks))
                )

        for block in self.blocks:
            if isinstance(block, Heading):
                close()
                heading, blocks = block, []
            else:
                blocks.append(block)
        close()
        return tuple(sections)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedLesson:
    """A lesson as HTML that can be read without JavaScript."""

    html: str
    outline: tuple[tuple[int, str, str], ...]
    """(level 2 or 3, id, title as plain text)."""
    words: int
    """Of the core route, code and equations left out."""


@dataclass(slots=True, kw_only=True)
class Course:
    """The syllabus and what is known of each lesson without reading its text."""

    title: str
    about: str
    outcome: str
    """What the learner will be able to do at the end."""
    folder: Path
    """Of all lessons."""
    topics: tuple[Topic, ...]
    headers: dict[str, LessonHeader]
    """The front matter of each lesson that is written, by slug."""
    problems: list[LessonProblem]
    """Seen while loading. Problems inside a lesson's text: `loader.find_problems`."""
    broken: dict[str, LessonProblem] = field(default_factory=dict)
    """Lessons that are written but cannot be shown, by slug."""
    checkpoints: dict[int, SyllabusLesson] = field(default_factory=dict)
    """By topic: what ends it, written or coming. They are none of the lessons (course/checkpoints.py)."""

    @property
    def lessons(self) -> tuple[SyllabusLesson, ...]:
        """All lessons in the order of the course."""
        return tuple(lesson for topic in self.topics for lesson in topic.lessons)

    @property
    def entries(self) -> tuple[SyllabusLesson, ...]:
        """All lessons, and after those of a topic its checkpoint: everything that has a folder."""
        entries: list[SyllabusLesson] = []
        for topic in self.topics:
            entries += topic.lessons
            if topic.number in self.checkpoints:
                entries.append(self.checkpoints[topic.number])
        return tuple(entries)

    def lesson(self, slug_or_number: str) -> SyllabusLesson:
        """The lesson of that slug (`linear-regression`) or number (`1.6`), or checkpoint (`1.C`).

        Raises:
            LessonError: if there is none.
        """
        for lesson in self.entries:
            if slug_or_number in (lesson.slug, lesson.number):
                return lesson
        names = [name for lesson in self.entries for name in (lesson.slug, lesson.number)]
        raise LessonError(
            f"There is no lesson {slug_or_number!r}.{suggest(slug_or_number, names)} "
            "A lesson is named by its number or slug, like 1.6 or linear-regression."
        )

    def is_ready(self, slug: str) -> bool:
        """Whether that lesson is written and can be opened; its text may still prove to be broken."""
        return slug in self.headers and slug not in self.broken

    def neighbours(
        self, slug: str, *, checkpoints: bool = False
    ) -> tuple[SyllabusLesson | None, SyllabusLesson | None]:
        """The lessons before and after, written or coming; None at the ends.

        With `checkpoints`, those that are written count too; one that is asked for always does.
        """
        asked = self.lesson(slug)
        lessons = tuple(
            entry
            for entry in self.entries
            if entry == asked
            or self.checkpoints.get(entry.topic) != entry
            or (checkpoints and self.is_ready(entry.slug))
        )
        at = lessons.index(asked)
        return (
            lessons[at - 1] if at else None,
            lessons[at + 1] if at + 1 < len(lessons) else None,
        )


def suggest(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` where a known word is close to `word`, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
