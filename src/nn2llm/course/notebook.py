"""A lesson as a Jupyter notebook: the same text and cells, for Jupyter, VS Code and Colab.

Read notebook_text.py and notebook_cells.py before. Used by `nn2llm learn notebook`. A notebook needs nn2llm
installed, and nothing beside it: the lesson's figures.py comes with nn2llm. Figures and checks begin with
`%%alone`, which runs them with names of their own. Cells carry the lesson's ids, so that two exports of one
lesson are the same file.
Source of the format: https://nbformat.readthedocs.io/en/stable/format_description.html
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nn2llm import __version__
from nn2llm.core.errors import ConfigError
from nn2llm.core.files import write_bytes_atomic
from nn2llm.course.lesson import (
    Block,
    Cell,
    Course,
    Equation,
    Fold,
    Heading,
    Lesson,
    Placeholder,
    Prose,
    SyllabusLesson,
    walk_blocks,
)
from nn2llm.course.loader import load_lesson
from nn2llm.course.markup import find_sentence, find_term, to_plain_text
from nn2llm.course.notebook_exercises import build_exercise_cells, format_questions
from nn2llm.course.notebook_text import (
    format_equation,
    format_lesson_link,
    format_markdown,
    format_placeholder,
)
from nn2llm.course.quiz_places import place_questions
from nn2llm.course.quizzes import load_questions

__all__ = ["build_notebook", "name_notebook", "write_notebooks"]

_BEGIN = """\
# Run this cell first: it finds the figures and checks of this lesson.
try:
    from nn2llm.course.notebook_cells import begin_notebook
except ImportError as error:
    import sys

    raise ImportError(
        f"nn2llm is not installed for {{sys.executable}}: install it as the text above says, "
        "choose that Python as the kernel, and run this cell again."
    ) from error

begin_notebook("{slug}")"""

_INSTALL = """\
**Before you begin.** The cells need nn2llm. On your own machine: `make start` (or `python start.py`) in the \
folder of nn2llm installs it into `.venv`; choose that Python as the kernel of this notebook. In Colab: \
upload the folder, then run `%pip install "./nn2llm[course]"` in a cell of its own. The live page of this \
lesson opens with `nn2llm start`."""


def name_notebook(entry: SyllabusLesson) -> str:
    """`01_06_linear_regression.ipynb`: by the alphabet they stand in the order of the course."""
    return f"{entry.topic:02d}_{entry.folder.name}.ipynb"


def write_notebooks(
    course: Course, entries: Sequence[SyllabusLesson], out: Path, *, overwrite: bool = False
) -> tuple[Path, ...]:
    """Write the notebooks of these lessons into `out`; returns their paths.

    A notebook that somebody worked in is left alone: all are looked at before the first is written.

    Raises:
        LessonError: if a lesson is not written yet or is broken.
        ConfigError: if a notebook of that name was changed since it was written, or is not ours.
        StorageError: if one cannot be written.
    """
    lessons = [load_lesson(entry) for entry in entries]
    targets = {lesson.slug: out / name_notebook(lesson.entry) for lesson in lessons}
    if not overwrite:
        for target in targets.values():
            _refuse_changed(target)
    there = {
        entry.slug: name_notebook(entry)
        for entry in course.lessons
        if entry.slug in targets or (out / name_notebook(entry)).is_file()
    }
    for lesson in lessons:
        text = json.dumps(build_notebook(lesson, course, notebooks=there), indent=1, ensure_ascii=False)
        write_bytes_atomic(targets[lesson.slug], (text + "\n").encode())
    return tuple(targets.values())


def _refuse_changed(target: Path) -> None:
    if not target.exists():
        return
    try:
        found = json.loads(target.read_text(encoding="utf-8"))
        ours = found["metadata"]["nn2llm"]["digest"] == _digest(found["cells"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        ours = False
    if not ours:
        raise ConfigError(
            f"{target} has changed since it was written, and is left as it is. "
            "Choose another folder with --out, or take --overwrite to lose the changes."
        )


def _digest(cells: list[dict[str, Any]]) -> str:
    """Of what a reader can change: running cells changes nothing of it."""
    texts = [
        (cell["cell_type"], source if isinstance(source := cell["source"], str) else "".join(source))
        for cell in cells
    ]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def build_notebook(lesson: Lesson, course: Course, *, notebooks: Mapping[str, str]) -> dict[str, Any]:
    """The notebook as JSON (format 4.5), without outputs. `notebooks`: file names to link to, by slug."""
    writer = _Writer(lesson, notebooks)
    writer.add_text(_write_head(lesson, course, notebooks))
    writer.add_text(_INSTALL)
    writer.add_code("begin", _BEGIN.format(slug=lesson.slug))
    writer.add_blocks(lesson.blocks)
    writer.end_text()
    writer.add_text(_write_terms(lesson, notebooks))
    if lesson.sources:
        writer.add_text("\n".join(["## Sources", "", *(f"- {source}" for source in lesson.sources)]))
    writer.add_text(_write_neighbours(lesson, course, notebooks))
    return {
        "cells": writer.cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "nn2llm": {
                "lesson": lesson.slug,
                "number": lesson.entry.number,
                "version": __version__,
                "digest": _digest(writer.cells),
            },
            "title": f"{lesson.entry.number} {lesson.title}",
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


class _Writer:
    """Gathers cells. Prose and equations between two cells, and under one heading, are one text."""

    def __init__(self, lesson: Lesson, notebooks: Mapping[str, str]) -> None:
        self.lesson = lesson
        self.notebooks = notebooks
        self.cells: list[dict[str, Any]] = []
        self.questions = place_questions(lesson.blocks, load_questions(lesson.folder))
        self._waiting: list[str] = []
        self._num_texts = 0

    def add_text(self, text: str) -> None:
        """One Markdown cell."""
        if text.strip():
            self._num_texts += 1
            self.cells.append(
                {
                    "cell_type": "markdown",
                    "id": f"text-{self._num_texts}-{self.lesson.slug}"[:64],
                    "metadata": {},
                    "source": text.strip(),
                }
            )

    def add_code(self, name: str, code: str, tags: Sequence[str] = (), **metadata: Any) -> None:
        """One code cell; `name` is unique among them."""
        self.cells.append(
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"cell-{name}"[:64],
                "metadata": {**({"tags": list(tags)} if tags else {}), **metadata},
                "outputs": [],
                "source": code,
            }
        )

    def end_text(self) -> None:
        """What was gathered becomes a cell."""
        self.add_text("\n\n".join(self._waiting))
        self._waiting = []

    def add_blocks(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            match block:
                case Heading():
                    self.end_text()
                    self._waiting.append(f"## {self.format(block.title)}")
                case Cell():
                    self.add_cell(block)
                case Fold():
                    self.add_fold(block)
                case Placeholder() if block.kind == "exercise":
                    self.add_exercise(block)
                case _:
                    self._waiting.append(self.format_block(block))

    def add_cell(self, cell: Cell) -> None:
        if cell.title:
            self._waiting.append(f"*{cell.title}*")
        if cell.kind == "slow":
            time = f": about {cell.seconds:.0f} seconds" if cell.seconds else ""
            self._waiting.append(f"*The next cell is slow{time}.*")
        if cell.raises:
            self._waiting.append(f"*The next cell is meant to end in a {cell.raises}.*")
        self.end_text()
        code = cell.code
        if cell.kind in ("verify", "figure"):
            code = f"%%alone{f' checks ({cell.eq})' if cell.eq else ''}\n{code}"
        tags = [
            tag
            for tag, wanted in (("slow", cell.kind == "slow"), ("raises-exception", cell.raises))
            if wanted
        ]
        self.add_code(cell.id, code, tags)

    def add_exercise(self, place: Placeholder) -> None:
        """The task, a cell to write in, a cell that checks."""
        name = place.name or ""
        cells = build_exercise_cells(self.lesson.folder, self.lesson.slug, name)
        if cells is None:
            self._waiting.append(format_placeholder(place))
            return
        self.end_text()
        self.add_text(self.format(cells.task))
        if cells.starter:
            self.add_code(f"exercise-{name}", cells.starter, ["exercise"])
        self.add_code(f"check-{name}", cells.check, ["raises-exception"])

    def add_fold(self, fold: Fold) -> None:
        """<details> cannot hold cells: a fold that has some becomes a part with a heading and an end."""
        summary = to_plain_text(fold.summary)
        if any(
            isinstance(block, Cell) or (isinstance(block, Placeholder) and block.kind == "exercise")
            for block in walk_blocks(fold.blocks)
        ):
            self.end_text()
            self._waiting.append(f"### {self.format(fold.summary)}")
            self.add_blocks(fold.blocks)
            self._waiting.append(f"*End of “{summary}”.*\n\n---")
            self.end_text()
            return
        inside = "\n\n".join(self.format_block(block) for block in fold.blocks)
        self._waiting.append(f"<details>\n<summary>{_escape(summary)}</summary>\n\n{inside}\n\n</details>")

    def format_block(self, block: Block) -> str:
        match block:
            case Prose():
                return self.format(block.markdown)
            case Equation():
                return format_equation(block)
            case Placeholder():
                questions = self.questions.get(block.line, ()) if block.kind == "quiz" else ()
                return self.format(format_questions(questions)) or format_placeholder(block)
            case Fold():
                inside = "\n\n".join(self.format_block(inner) for inner in block.blocks)
                summary = _escape(to_plain_text(block.summary))
                return f"<details>\n<summary>{summary}</summary>\n\n{inside}\n\n</details>"
            case Heading() | Cell():
                raise AssertionError("a heading or cell is no text")

    def format(self, markdown: str) -> str:
        return format_markdown(markdown, self.lesson.folder, self.notebooks)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _write_head(lesson: Lesson, course: Course, notebooks: Mapping[str, str]) -> str:
    entry = lesson.entry
    lines = [
        f"# {entry.number} {lesson.title}",
        f"*{entry.goal}*",
        f"{lesson.minutes} minutes, difficulty {lesson.difficulty} of 5. Lesson {entry.number} of nn2llm.",
    ]
    if lesson.needs:
        needs = "; ".join(format_lesson_link(course.lesson(need), notebooks) for need in entry.needs)
        lines.append(f"You need {needs}." if needs else "")
    return "\n\n".join(line for line in lines if line)


def _write_terms(lesson: Lesson, notebooks: Mapping[str, str]) -> str:
    texts = [block.markdown for block in walk_blocks(lesson.blocks) if isinstance(block, Prose)]
    lines = []
    for term in lesson.terms:
        for text in texts:
            if match := find_term(term, text):
                sentence = find_sentence(text, match.start())
                if sentence.endswith(":"):  # what it led to stays in the lesson
                    sentence = sentence[:-1] + "."
                lines.append(f"- {format_markdown(sentence, lesson.folder, notebooks)}")
                break
    return "\n".join(["## Terms of this lesson", "", *lines]) if lines else ""


def _write_neighbours(lesson: Lesson, course: Course, notebooks: Mapping[str, str]) -> str:
    before, after = course.neighbours(lesson.slug)
    parts = [
        f"{word}: {format_lesson_link(entry, notebooks)}"
        for word, entry in (("Before", before), ("Next", after))
        if entry is not None
    ]
    return "---\n\n" + "  \n".join(parts) if parts else ""
