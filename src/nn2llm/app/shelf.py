"""The course and its lessons in memory: read once, again when a file changes.

A lesson is parsed and rendered when it is opened first, and kept while its file is the same; an author who
edits lesson.md sees it at the next load of the page. Read after course/loader.py. Used by app/state.py.
"""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nn2llm.course.graph import Graph
    from nn2llm.course.lesson import Course, Lesson, RenderedLesson

__all__ = ["OpenLesson", "Shelf"]

_LOOK_AGAIN_S = 1.0
_MAX_RENDERED = 24
_PAGE_FILES = ("lesson.md", "exercises.yaml", "quiz.yaml")
"""What a lesson's page is made of."""


@dataclass(frozen=True, slots=True)
class OpenLesson:
    """A lesson as its page needs it."""

    lesson: "Lesson"
    rendered: "RenderedLesson"


class Shelf:
    """Gives out the course, lessons and the map; safe to use from several threads."""

    def __init__(self, lessons_folder: Path | None = None) -> None:
        self._folder = lessons_folder
        self._lock = threading.RLock()
        self._course: Course | None = None
        self._graph: Graph | None = None
        self._stamp: tuple[object, ...] = ()
        self._looked_at_s = 0.0
        self._open: dict[str, tuple[tuple[object, ...], OpenLesson]] = {}

    @property
    def course(self) -> "Course":
        """The course as it stands on disk (looked at once a second).

        Raises:
            LessonError: if the syllabus itself is broken.
        """
        from nn2llm.course.loader import load_course

        with self._lock:
            now = time.monotonic()
            if self._course is None or now - self._looked_at_s > _LOOK_AGAIN_S:
                stamp = self._read_stamp()
                if self._course is None or stamp != self._stamp:
                    self._course = load_course(self._folder)
                    self._graph = None
                    self._stamp = self._read_stamp() if self._folder is None else stamp
                self._looked_at_s = now
            return self._course

    @property
    def graph(self) -> "Graph":
        """What needs what."""
        from nn2llm.course.graph import build_graph

        with self._lock:
            course = self.course
            if self._graph is None:
                self._graph = build_graph(course)
            return self._graph

    def open(self, slug: str) -> OpenLesson:
        """A lesson, parsed and rendered.

        Raises:
            LessonError: if there is none of that slug, or it cannot be shown; says file, line and remedy.
        """
        from nn2llm.course.loader import load_lesson
        from nn2llm.course.rendering import render_lesson

        with self._lock:
            entry = self.course.lesson(slug)
            stamp = tuple(_stamp_of(entry.folder / name) for name in _PAGE_FILES)
            kept = self._open.get(entry.slug)
            if kept is not None and kept[0] == stamp:
                return kept[1]
        # Not under the lock: another page must not wait for this one.
        lesson = load_lesson(entry)
        opened = OpenLesson(lesson, render_lesson(lesson))
        with self._lock:
            while len(self._open) >= _MAX_RENDERED:
                del self._open[next(iter(self._open))]
            self._open[entry.slug] = (stamp, opened)
            return opened

    def _read_stamp(self) -> tuple[object, ...]:
        folder = self._folder
        if folder is None:
            if self._course is None:
                return ()
            folder = self._course.folder
        files = [folder / "syllabus.yaml", *sorted(folder.glob("*/*/lesson.md"))]
        return tuple((path, *_stamp_of(path)) for path in files)


def _stamp_of(path: Path) -> tuple[object, ...]:
    try:
        status = path.stat()
    except OSError:
        return (None,)
    return (status.st_mtime_ns, status.st_size)
