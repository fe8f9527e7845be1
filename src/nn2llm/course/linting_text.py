"""What a linter finds in a lesson by reading: strange files, links that lead nowhere, sources, terms.

Read loader.py before; what a page needs to open is checked there. Used by linting.py.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from nn2llm.core.errors import LessonError
from nn2llm.course.glossary import find_definitions
from nn2llm.course.lesson import (
    Cell,
    Course,
    Equation,
    Fold,
    Lesson,
    LessonProblem,
    Prose,
    suggest,
    walk_blocks,
)
from nn2llm.course.loader import load_lesson
from nn2llm.course.markup import find_term, mask_code
from nn2llm.course.rendering import render_lesson

__all__ = ["LESSON_FILES", "find_text_problems", "find_text_remarks", "find_unwritten_problems"]

LESSON_FILES = (
    "lesson.md", "exercises.yaml", "exercise.py", "checks.py", "mistakes.py", "accepted.py", "solution.py",
    "quiz.yaml", "figures.py",
)  # fmt: skip

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(\s*<?([^)>\s]+)>?[^)]*\)")
_NUMBER = re.compile(r"\b(\d+\.(?:\d+|C))\b")
_ADDRESS = re.compile(r"https?://[^\s,)]+\.[^\s,)]+")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)
_ID = re.compile(r'\sid="([^"]+)"')
_SHELF = re.compile(r"\b(book|manual|press|publisher|edition|chapter|isbn|shipped)\b", re.IGNORECASE)
"""What stands in a source that is on paper, or came with Python: it needs no address."""
_UNWRITTEN = ("Three sentences of ours.", "(1) this, (2) that, (3) a third, (4) a fourth point")
"""Of skeleton.py."""
_LEAST_DEFINITION = 4
"""Words of the sentence that defines a term."""


def find_text_problems(lesson: Lesson, course: Course) -> list[LessonProblem]:
    """Unknown files, broken links, sources that cannot be found, terms without a definition."""
    return [
        *_find_strange_files(lesson),
        *_find_bad_links(lesson, course),
        *_find_bad_sources(lesson),
        *_find_bad_terms(lesson),
    ]


def _problem(path: Path, line: int, message: str) -> LessonProblem:
    return LessonProblem(path=path, line=line, message=message)


def _header_line(lesson: Lesson, course: Course, field: str) -> int:
    return course.headers[lesson.slug].lines.get(field, 1) if lesson.slug in course.headers else 1


def _find_strange_files(lesson: Lesson) -> list[LessonProblem]:
    """A file that is none of the format's, and that no file of the lesson names."""
    texts = ""
    for name in LESSON_FILES:
        try:
            texts += (lesson.folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
    problems = []
    for path in sorted(lesson.folder.rglob("*")):
        place = path.relative_to(lesson.folder)
        if path.is_dir() or "__pycache__" in place.parts or place.as_posix() in LESSON_FILES:
            continue
        if re.search(rf"(?<![\w.-]){re.escape(path.name)}(?![\w-])", texts):
            continue
        near = suggest(path.name, LESSON_FILES)
        problems.append(
            _problem(
                path, 0, f"No file of the lesson names {path.name!r}.{near} Use it, rename it or remove it."
            )
        )
    return problems


def find_unwritten_problems(lesson: Lesson) -> list[LessonProblem]:
    """Sections that have nothing but a comment, and what the skeleton says in the author's place."""
    problems = [
        _problem(
            lesson.path,
            section.line,
            f"Nothing stands under {section.title!r}. Write it, or remove the heading.",
        )
        for section in lesson.sections
        if not section.blocks
    ]
    for block in walk_blocks(lesson.blocks):
        if isinstance(block, Prose):
            problems += [
                _problem(
                    lesson.path,
                    block.line + block.markdown.count("\n", 0, block.markdown.index(words)),
                    f"{words!r} comes from `nn2llm lesson new`. Write your own.",
                )
                for words in _UNWRITTEN
                if words in block.markdown
            ]
    return problems


def _find_bad_links(lesson: Lesson, course: Course) -> list[LessonProblem]:
    problems = []
    by_folder = {entry.folder.resolve(): entry for entry in course.entries}
    own: set[str] | None = None
    for block in walk_blocks(lesson.blocks):
        if isinstance(block, Fold):
            text = block.summary
        elif isinstance(block, Prose):
            text = block.markdown
        else:
            continue
        for match in _LINK.finditer(mask_code(text, math=False)):
            words, address = match.groups()
            line = block.line + text.count("\n", 0, match.start())
            if _ELSEWHERE.match(address):
                continue
            path, _, anchor = address.partition("#")
            if not path:
                own = _find_anchors(lesson) if own is None else own
                if anchor not in own:
                    message = f"The link #{anchor} leads nowhere on this page.{suggest(anchor, own)} Mend it."
                    problems.append(_problem(lesson.path, line, message))
                continue
            target = (lesson.folder / path).resolve()
            folder = target.parent if target.name == "lesson.md" else target
            entry = by_folder.get(folder)
            if entry is None:
                if not target.exists():
                    places = [item.as_posix() for item in _relative_places(lesson.folder, by_folder)]
                    message = f"The link {address!r} leads to no lesson.{suggest(path, places)} Mend it."
                    problems.append(_problem(lesson.path, line, message))
                continue
            said = _NUMBER.search(words)
            if said and said[1] != entry.number:
                message = f"The link says {said[1]}, and leads to {entry.number} ({entry.title}). Mend one."
                problems.append(_problem(lesson.path, line, message))
            if anchor and course.is_ready(entry.slug):
                try:
                    there = _find_anchors(load_lesson(entry))
                except LessonError:
                    continue  # that lesson's problems say it
                if anchor not in there:
                    message = (
                        f"Lesson {entry.number} has no place #{anchor}.{suggest(anchor, there)} Mend it."
                    )
                    problems.append(_problem(lesson.path, line, message))
    return problems


def _relative_places(folder: Path, folders: Iterable[Path]) -> list[Path]:
    topic, course = folder.resolve().parent, folder.resolve().parent.parent
    places = []
    for place in folders:
        if place.parent == topic:
            places.append(Path("..") / place.name / "lesson.md")
        elif place.is_relative_to(course):
            places.append(Path("../..") / place.relative_to(course) / "lesson.md")
    return places


def _find_anchors(lesson: Lesson) -> set[str]:
    return set(_ID.findall(render_lesson(lesson).html))


def _find_bad_sources(lesson: Lesson) -> list[LessonProblem]:
    """A source has a title and an address, or names a book or manual: who, what, when."""
    problems = []
    lines = lesson.path.read_text(encoding="utf-8-sig").splitlines()
    for source in lesson.sources:
        title = _ADDRESS.sub("", source).strip(" :,;.()<>")
        line = next((number for number, text in enumerate(lines, start=1) if source[:40] in text), 1)
        if not re.search(r"[^\W\d_]{3}", title):
            message = f"The source {source!r} has no title. Write 'Author or title: what, address'."
        elif "http" in source and not _ADDRESS.search(source):
            message = f"The source {source!r} has a broken address. Write it in full, with https://."
        elif not _ADDRESS.search(source) and not _SHELF.search(title):
            message = f"The source {source!r} has no address. Add it; of a book, name its press and year."
        else:
            continue
        problems.append(_problem(lesson.path, line, message))
    return problems


def _find_bad_terms(lesson: Lesson) -> list[LessonProblem]:
    problems = []
    for entry in find_definitions(lesson):
        if len(entry.definition.split()) < _LEAST_DEFINITION:
            line = _find_line(lesson, entry.term)
            message = (
                f"The glossary would say of {entry.term!r}: {entry.definition!r}. Define it in that sentence."
            )
            problems.append(_problem(lesson.path, line, message))
    return problems


def _find_line(lesson: Lesson, term: str) -> int:
    for block in walk_blocks(lesson.blocks):
        if isinstance(block, Prose) and (match := find_term(term, block.markdown)):
            return block.line + block.markdown.count("\n", 0, match.start())
    return 1


# What is no fault for sure: for the author to look at.

_MOST_REMARKS = 5


def find_text_remarks(lesson: Lesson, course: Course) -> list[str]:
    """Words used before they are taught, terms defined twice, equations without a number."""
    remarks = []
    needed = _find_ancestors(lesson, course)
    known = {term.lower() for term in lesson.terms}
    text = "\n".join(
        mask_code(_LINK.sub("", block.markdown))
        for block in lesson.blocks  # not in folds: the core path
        if isinstance(block, Prose)
    )
    strange = []
    for slug, header in course.headers.items():
        if slug == lesson.slug:
            continue
        entry = course.lesson(slug)
        for term in header.terms:
            if term.lower() in known:
                if entry.slug in needed:
                    remarks.append(
                        f"{lesson.entry.number}: {term!r} is a term of lesson {entry.number} already."
                    )
            elif slug not in needed and len(term) > 3 and _uses(term, text):
                strange.append(f"{term!r} ({entry.number})")
    if strange:
        shown = ", ".join(strange[:_MOST_REMARKS])
        remarks.append(
            f"{lesson.entry.number} uses terms that lessons define which it does not need: {shown}. "
            "Define them, link them, or add the lesson to needs."
        )
    if any(isinstance(block, Equation) and block.number is None for block in lesson.blocks):
        unnumbered = sum(isinstance(b, Equation) and b.number is None for b in lesson.blocks)
        if unnumbered > 3:
            remarks.append(f"{lesson.entry.number}: {unnumbered} displayed equations have no number.")
    if not any(isinstance(block, Cell) for block in walk_blocks(lesson.blocks)):
        remarks.append(f"{lesson.entry.number} has no cell that runs.")
    return remarks


def _uses(term: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(term)}s?(?!\w)", text, re.IGNORECASE) is not None


def _find_ancestors(lesson: Lesson, course: Course) -> set[str]:
    found: set[str] = set()
    queue = list(lesson.entry.needs)
    while queue:
        slug = queue.pop()
        if slug not in found:
            found.add(slug)
            queue += course.lesson(slug).needs
    return found
