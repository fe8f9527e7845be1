"""The map of prerequisites as SVG: a row a topic, a circle a lesson, a line from it to those that need it.

Drawn on the server; the page's list says the same in words. Read after course/graph.py. Used by app/pages.py.
"""

from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from nn2llm.app.road import Road
    from nn2llm.course.graph import Graph
    from nn2llm.course.lesson import Course

__all__ = ["draw_map"]

_WIDTH = 1000
_ROW = 104
_LABEL_WIDTH = 210
_RADIUS = 17


def draw_map(course: "Course", graph: "Graph", road: "Road") -> Markup:
    """The whole course on one picture. Lessons read, ready and coming differ in shape, not colour alone."""
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
        x, y = places[lesson.slug]
        stone = road.lessons[lesson.slug]
        state = stone.state
        words = ", ".join(word for word in (state if state != "read" else "", stone.words) if word)
        signs = "".join(sign for sign, word in stone.marks if word != "read")
        parts.append(
            f'<a href="/lesson/{escape(lesson.slug)}" class="stop is-{state}">'
            f"<title>{escape(lesson.number)} {escape(lesson.title)} ({escape(words)})</title>"
            f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{_RADIUS}"/>'
            f'<text x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle">{escape(lesson.number)}</text>'
            + (
                f'<text class="signs" x="{x:.0f}" y="{y + 31:.0f}" text-anchor="middle">{signs}</text>'
                if signs
                else ""
            )
            + "</a>"
        )
    height = 8 + len(course.topics) * _ROW
    return Markup(
        f'<svg class="map" viewBox="0 0 {_WIDTH} {height}" role="group" aria-label="Map of the course">'
        + "".join(parts)
        + "</svg>"
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
