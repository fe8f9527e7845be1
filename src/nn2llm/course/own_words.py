"""The reader's own words: the section "In one breath", as data.

    ## In one breath

    Write three sentences first: …

    <details>
    <summary>Ours, to compare</summary>

    Our sentences.

    Did you say: (1) prediction and loss, (2) slope and step against it, (3) …, (4) …?

    </details>

On the live page the fold opens after the reader has written theirs (frontend/src/lesson/words.ts), and the
four points become ticks; without JavaScript, and in the static site, it is a fold like any other. What is
written in each lesson becomes the explanation from end to end (outcomes.py).
Read after lesson.py. Used by rendering.py, the lesson page and the linter.
"""

import re
from dataclasses import dataclass

from nn2llm.course.lesson import Fold, Lesson, LessonProblem, Prose, Section
from nn2llm.course.markup import mask_code

__all__ = ["NUM_POINTS", "OwnWords", "find_own_words", "find_words_in_section", "find_words_problems"]

NUM_POINTS = 4
_TITLE = "in one breath"
_SUMMARY = "ours, to compare"
_POINT = re.compile(r"\((\d)\)(?=\s)")
_TAIL = re.compile(r"[\s,;.?!]+(?:and)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnWords:
    """What the page needs of the section."""

    section: str
    """Its anchor."""
    fold: Fold
    """Ours."""
    points: tuple[str, ...]
    """Markdown, in order: what the reader ticks."""
    points_block: Prose | None
    """The text that holds them."""


def find_own_words(lesson: Lesson) -> OwnWords | None:
    """The section of a lesson where the reader writes; None where it has none."""
    return next((words for words in map(find_words_in_section, lesson.sections) if words), None)


def find_words_in_section(section: Section) -> OwnWords | None:
    """The same of one section; None where it is another, or has no fold "Ours, to compare"."""
    if _fold(section.title) != _TITLE:
        return None
    fold = next(
        (block for block in section.blocks if isinstance(block, Fold) and _fold(block.summary) == _SUMMARY),
        None,
    )
    if fold is None:
        return None
    for block in reversed(fold.blocks):
        if isinstance(block, Prose) and (points := _split_points(_last_paragraph(block.markdown))):
            return OwnWords(section=section.id, fold=fold, points=points, points_block=block)
    return OwnWords(section=section.id, fold=fold, points=(), points_block=None)


def find_words_problems(lesson: Lesson) -> list[LessonProblem]:
    """What the section lacks, for the author."""

    def say(line: int, message: str) -> list[LessonProblem]:
        return [LessonProblem(path=lesson.path, line=line, message=message)]

    section = next((one for one in lesson.sections if _fold(one.title) == _TITLE), None)
    if section is None:
        return say(
            0, "There is no section '## In one breath'. Write it: the reader's three sentences, then ours."
        )
    words = find_words_in_section(section)
    if words is None:
        return say(
            section.line,
            "'In one breath' has no fold 'Ours, to compare'. Write <details> with that <summary>, so that "
            "readers write theirs first.",
        )
    if len(words.points) != NUM_POINTS:
        return say(
            words.fold.line,
            f"'Ours, to compare' has {len(words.points)} points to tick, not {NUM_POINTS}. Let its last "
            "paragraph ask 'Did you say: (1) …, (2) …, (3) …, (4) …?'.",
        )
    return []


def _fold(text: str) -> str:
    return " ".join(text.lower().split())


def _last_paragraph(markdown: str) -> str:
    return re.split(r"\n\s*\n", markdown.strip())[-1]


def _split_points(paragraph: str) -> tuple[str, ...]:
    """`… (1) one, (2) two?` as its points; nothing where they do not count up from 1."""
    masked = mask_code(paragraph)  # of equal length: a (1) in code or mathematics is no point
    marks = [
        match
        for match in _POINT.finditer(masked)
        if match.start() == 0 or masked[match.start() - 1].isspace()
    ]
    if not marks or [int(match[1]) for match in marks] != list(range(1, len(marks) + 1)):
        return ()
    ends = [*(match.start() for match in marks[1:]), len(paragraph)]
    points = [paragraph[match.end() : end] for match, end in zip(marks, ends, strict=True)]
    return tuple(_TAIL.sub("", " ".join(point.split())) for point in points)
