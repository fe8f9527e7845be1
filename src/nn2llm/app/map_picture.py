"""The map of prerequisites as SVG: a row a topic, a circle a lesson, a line from it to those that need it.

The diamond at the end of a row is the topic's checkpoint. Drawn on the server; the page's list says the same
in words. Read after course/graph.py. Used by app/pages.py and the static site.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from nn2llm.app.road import name_checkpoint_state

if TYPE_CHECKING:
    from nn2llm.app.road import Road, RoadLesson
    from nn2llm.course.graph import Graph
    from nn2llm.course.lesson import Course, SyllabusLesson
    from nn2llm.course.sittings import CheckpointState

__all__ = ["draw_map"]

_WIDTH = 1000
_ROW = 104
_LABEL_WIDTH = 210
_RADIUS = 17
_END_X = _WIDTH - 28
_END_SIZE = 21
_END_LOOKS = {"begun": "started", "passed": "read"}
"""A checkpoint's state, and the state of a lesson that looks like it."""


def draw_map(
    course: "Course",
    graph: "Graph",
    road: "Road",
    checkpoints: "Mapping[int, tuple[SyllabusLesson, CheckpointState]] | None" = None,
) -> Markup:
    """The whole course on one picture. Lessons read, ready and coming differ in shape, not colour alone.

    `checkpoints`, by topic, as `list_checkpoint_states` gives them; None: those that are written, as ready.
    """
    ends = _list_written(course) if checkpoints is None else checkpoints
    places: dict[str, tuple[float, float]] = {}
    for row, topic in enumerate(course.topics):
        step = (_WIDTH - _LABEL_WIDTH - 40) / max(len(topic.lessons), 1)
        for column, lesson in enumerate(topic.lessons):
            # every other one a little lower: lines between neighbours would hide behind the circles
            lift = 10 if column % 2 else -10
            places[lesson.slug] = (_LABEL_WIDTH + step * (column + 0.5), 56 + row * _ROW + lift)
    parts = []
    for row, topic in enumerate(course.topics):
        y: float = 56 + row * _ROW
        if row % 2 == 0:
            parts.append(f'<rect class="band" x="0" y="{y - _ROW / 2}" width="{_WIDTH}" height="{_ROW}"/>')
        parts.append(f'<text class="topic-number" x="16" y="{y - 14}">{topic.number}</text>')
        for line, words in enumerate(_wrap(topic.title, 25)[:3]):
            parts.append(f'<text class="topic" x="40" y="{y - 14 + 18 * line}">{escape(words)}</text>')
    for need, slug in graph.edges:
        parts.append(_draw_edge(places[need], places[slug]))
    for lesson in course.lessons:
        parts.append(_draw_lesson(road.lessons[lesson.slug], *places[lesson.slug]))
    for row, topic in enumerate(course.topics):
        if topic.number in ends:
            entry, state = ends[topic.number]
            parts.append(_draw_checkpoint(entry, state, 56 + row * _ROW))
    height = 8 + len(course.topics) * _ROW
    return Markup(
        f'<svg class="map" viewBox="0 0 {_WIDTH} {height}" role="group" aria-label="Map of the course">'
        + "".join(parts)
        + "</svg>"
    )


def _list_written(course: "Course") -> "Mapping[int, tuple[SyllabusLesson, CheckpointState]]":
    return {
        topic: (entry, "ready") for topic, entry in course.checkpoints.items() if course.is_ready(entry.slug)
    }


def _draw_lesson(stone: "RoadLesson", x: float, y: float) -> str:
    words = ", ".join(word for word in (stone.state_word, stone.words) if word)
    signs = "".join(sign for sign, word in stone.marks if word != "read")
    shape = f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{_RADIUS}"/>'
    if signs:
        shape += f'<text class="signs" x="{x:.0f}" y="{y + 31:.0f}" text-anchor="middle">{signs}</text>'
    return _draw_stop(stone.entry, stone.state, words, shape, x, y)


def _draw_checkpoint(entry: "SyllabusLesson", state: "CheckpointState", y: float) -> str:
    x, size = _END_X, _END_SIZE
    shape = f'<path class="end" d="M{x} {y - size:.0f}l{size} {size}l-{size} {size}l-{size} -{size}z"/>'
    return _draw_stop(entry, _END_LOOKS.get(state, state), name_checkpoint_state(state), shape, x, y)


def _draw_stop(entry: "SyllabusLesson", look: str, words: str, shape: str, x: float, y: float) -> str:
    """A link with its title for the pointer and screen readers, a shape, and the number in it."""
    return (
        f'<a href="/lesson/{escape(entry.slug)}" class="stop is-{look}">'
        f"<title>{escape(entry.number)} {escape(entry.title)} ({escape(words)})</title>{shape}"
        f'<text x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle">{escape(entry.number)}</text></a>'
    )


def _draw_edge(start: tuple[float, float], end: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = start, end
    if abs(y1 - y2) < _ROW / 2:  # within a row: an arc above
        rise = min(34, 12 + abs(x2 - x1) / 12)
        path = f"M{x1:.0f} {y1:.0f} Q{(x1 + x2) / 2:.0f} {min(y1, y2) - rise:.0f} {x2:.0f} {y2:.0f}"
    else:
        bend = (y2 - y1) / 2
        path = f"M{x1:.0f} {y1:.0f} C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"
    return f'<path class="edge" d="{path}"/>'


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
