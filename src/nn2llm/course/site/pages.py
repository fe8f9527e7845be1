"""The pages of the static site, from templates/: each says where the site's root is, seen from itself.

Read outputs.py before. Used by build.py. The frame and its classes are those of the live pages, so the same
style sheets serve (app/styles, in the bundle); static.css adds the little that only this edition has.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nn2llm import __version__
from nn2llm.course.checkpoint_page import fill_gap
from nn2llm.course.glossary import GlossaryEntry
from nn2llm.course.graph import Graph
from nn2llm.course.inline import Links
from nn2llm.course.lesson import Course, Lesson, SyllabusLesson
from nn2llm.course.rendering import render_lesson
from nn2llm.course.running import CellResult
from nn2llm.course.site.outputs import SaveFile, read_verdicts, render_outputs

__all__ = ["Pages", "relocate"]

_LINKS = Links(lesson="{slug}.html", file="../files/{slug}/{path}")
_OUTPUT_PLACE = re.compile(r'<div class="cell-outputs"(?: data-cell="[^"]*")? aria-live="polite"></div>')
_CHECK = '<button class="eq-check" type="button" hidden></button>'
_MIXED = (
    '<p class="outputs-note">In the live course, questions of these lessons stand here, chosen for you.</p>'
)
_NOT_RUN = '<p class="outputs-note">Not run in this build.</p>'


def relocate(html: str, root: str) -> str:
    """HTML with the server's addresses (`/lesson/SLUG`, …) as links of the site; `root` leads to its root."""
    html = re.sub(r'href="/lesson/([\w-]+)', lambda match: f'href="{root}lessons/{match[1]}.html', html)
    return re.sub(r'(href|src)="/lesson-file/', lambda match: f'{match[1]}="{root}files/', html)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Makes the pages of one site."""

    course: Course
    graph: Graph
    assets: Mapping[str, str]
    """Where each file of the bundle and the search index is, seen from the root, by its logical name."""
    broken: Mapping[str, str]
    """What is wrong with each lesson that cannot be shown, by slug."""

    def _render(self, template: str, *, root: str = "", **values: Any) -> str:
        return (
            _environment()
            .get_template(template)
            .render(
                root=root,
                asset=lambda name: root + self.assets[name],
                index=self.assets["search_index.js"],
                version=__version__,
                course=self.course,
                is_ready=lambda slug: self.course.is_ready(slug) and slug not in self.broken,
                **values,
            )
        )

    def home(self) -> str:
        """What the course is, how to have it live, and the road."""
        ready = [entry for entry in self.course.lessons if self.course.is_ready(entry.slug)]
        return self._render("home.html", page="home", minutes=self._minutes(), ready=ready)

    def _minutes(self) -> dict[str, int]:
        return {slug: header.minutes for slug, header in self.course.headers.items()}

    def lesson(self, lesson: Lesson, results: Mapping[str, CellResult], save: SaveFile) -> str:
        """A lesson with the outputs of its cells. Without any result, it says that nothing was run."""
        rendered = render_lesson(lesson, course=self.course, links=_LINKS, answers=True)
        verdicts = [
            verdict
            for result in results.values()
            for verdict in read_verdicts(result.outputs)
            if verdict["eq"]
        ]
        html = fill_gap(_fill_outputs(rendered.html, lesson, results, save), _MIXED)
        # where no editor takes its place, the keyboard must be able to scroll it
        html = html.replace('<pre class="cell-code" data-code>', '<pre class="cell-code" tabindex="0">')
        for verdict in verdicts:
            if verdict["ok"]:
                html = _mark_checked(html, verdict["eq"])
        return self._render(
            "lesson.html",
            root="../",
            page="lesson",
            lesson=lesson,
            outline=rendered.outline,
            html=Markup(html),
            data={"verdicts": verdicts},
            **self._frame_of(lesson.entry),
        )

    def missing_lesson(self, entry: SyllabusLesson) -> str:
        """A lesson that is coming, or broken."""
        node = self.graph.nodes.get(entry.slug)  # a checkpoint is none: nothing needs it
        return self._render(
            "missing.html",
            root="../",
            page="lesson",
            broken=self.broken.get(entry.slug),
            unlocks=[self.course.lesson(slug) for slug in node.needed_by] if node is not None else [],
            **self._frame_of(entry),
        )

    def _frame_of(self, entry: SyllabusLesson) -> dict[str, Any]:
        before, after = self.course.neighbours(entry.slug, checkpoints=True)
        return {
            "entry": entry,
            "topic": next(topic for topic in self.course.topics if topic.number == entry.topic),
            "needs": [self.course.lesson(slug) for slug in entry.needs],
            "before": before,
            "after": after,
        }

    def glossary(self, entries: tuple[GlossaryEntry, ...]) -> str:
        """Every term, by letter."""
        letters: dict[str, list[tuple[GlossaryEntry, Markup]]] = {}
        for entry in entries:
            letters.setdefault(entry.term[:1].upper(), []).append((entry, Markup(relocate(entry.html, ""))))
        return self._render("glossary.html", page="glossary", letters=letters)

    def map(self, picture: str) -> str:
        """What rests on what: the picture (may be empty) and the same as a list."""
        return self._render("map.html", page="map", picture=Markup(relocate(picture, "")), graph=self.graph)

    def search(self) -> str:
        """Where the script puts the hits."""
        return self._render("search.html", page="search")


def _fill_outputs(html: str, lesson: Lesson, results: Mapping[str, CellResult], save: SaveFile) -> str:
    """Outputs into the places that rendering.py left: one a cell, in the order of the cells."""
    cells = iter(lesson.cells)

    def fill(match: re.Match[str]) -> str:
        cell = next(cells)
        result = results.get(cell.id)
        inside = _NOT_RUN if result is None else render_outputs(result.outputs, save)
        begin = match.group().removesuffix("</div>").replace(' aria-live="polite"', "")
        return f"{begin}{inside}</div>"

    return _OUTPUT_PLACE.sub(fill, html)


def _mark_checked(html: str, eq: str) -> str:
    """Without a script the badge is plain words."""
    words = '<noscript><span class="eq-kind">✓ numerically checked</span></noscript>'
    at = html.find(f'<figure class="equation" id="eq-{eq}"')
    return html if at < 0 else html[:at] + html[at:].replace(_CHECK, words + _CHECK, 1)
