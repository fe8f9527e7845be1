"""What the server holds: the course, its rendered lessons, the learner's records, the kernels, the training.

Read after shelf.py and training.py. Built by app/running.py; pages, API and websockets get it as
`app.state.site`.
"""

import asyncio
import logging
import math
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn2llm.app.bundle import Bundle
from nn2llm.app.machine import MachineCheck
from nn2llm.app.shelf import Shelf
from nn2llm.app.training import FirstModel
from nn2llm.core.errors import Nn2llmError
from nn2llm.core.home import get_home
from nn2llm.core.machine import measure_memory

if TYPE_CHECKING:
    from nn2llm.course.exercises.service import Exercises
    from nn2llm.course.glossary import GlossaryEntry
    from nn2llm.course.grading.service import GradingService
    from nn2llm.course.kernels import KernelPool
    from nn2llm.course.lesson import Course
    from nn2llm.course.search import SearchIndex
    from nn2llm.course.store import Store as StoreType

__all__ = ["SETTINGS", "Site", "is_allowed"]

_LOG = logging.getLogger("nn2llm.app")
_WARM_GRADER_AFTER_S = 6.0


def _default_memory_gb() -> float:
    """Half of what this process may have, for each kernel."""
    total = measure_memory().total_bytes
    return max(1.0, float(round(total / 2e9))) if total else 4.0


SETTINGS: dict[str, tuple[Any, tuple[Any, ...] | tuple[float, float]]] = {
    "theme": ("auto", ("auto", "light", "dark")),
    "size": ("m", ("s", "m", "l", "xl")),
    "route": ("core", ("tour", "core", "full")),
    "keys": ("on", ("on", "off")),
    "max_kernels": (3, (1, 8)),
    "kernel_memory_gb": (_default_memory_gb(), (0.5, 1024.0)),
}
"""Each setting's default, and its choices (words) or its least and greatest value (numbers)."""


class Site:
    """Everything behind the pages. Closed by the server when it stops."""

    def __init__(
        self,
        *,
        home: Path | None = None,
        lessons_folder: Path | None = None,
        runs_folder: Path | None = None,
        bundle: Bundle | None = None,
        training: FirstModel | None = None,
        machine: MachineCheck | None = None,
    ) -> None:
        from nn2llm.course.store import Store

        self.home = home or get_home()
        self.store: StoreType = Store(self.home / "course.db", _read_clock())
        self.shelf = Shelf(lessons_folder)
        self.bundle = bundle or Bundle()
        self.training = training or FirstModel(runs_folder)
        self.machine = machine or MachineCheck(self.home / "server" / "doctor.json")
        self.pool: KernelPool | None = None
        self.stopping = asyncio.Event()
        """Set when the server begins to stop: streams that would go on for ever end."""
        self._lock = threading.Lock()
        self._warming: threading.Timer | None = None
        self._index: SearchIndex | None = None
        self._glossary: tuple[Course, tuple[GlossaryEntry, ...]] | None = None
        self._grader: GradingService | None = None
        self._exercises: Exercises | None = None
        self.checks_running: set[tuple[str, str]] = set()
        """Exercises that are being checked, as (slug, name)."""

    @property
    def exercises(self) -> "Exercises":
        """The learner's exercises, graded in processes of their own."""
        from nn2llm.course.exercises.service import Exercises
        from nn2llm.course.grading.service import GradingService

        with self._lock:
            if self._exercises is None:
                self._grader = GradingService()
                self._exercises = Exercises(lambda: self.shelf.course, self.store, self.home, self._grader)
            return self._exercises

    def warm_grader(self) -> None:
        """Soon start the process that grades, so that the first check need not wait for torch.

        Not at once: the page that asks for it, and the first cell on it, need the processor now.
        """
        service = self.exercises.service
        with self._lock:
            if self._warming is None:
                self._warming = threading.Timer(_WARM_GRADER_AFTER_S, service.warm)
                self._warming.daemon = True
                self._warming.start()

    def settings(self) -> dict[str, Any]:
        """All settings; where none was chosen, or one that is none any more, the default."""
        saved = self.store.settings()
        chosen = {}
        for name, (default, allowed) in SETTINGS.items():
            value = saved.get(name, default)
            chosen[name] = value if is_allowed(value, default, allowed) else default
        return chosen

    def search(self, query: str, *, limit: int = 20) -> list[dict[str, Any]]:
        """Places for `query` as pages and scripts show them; "snippet" is HTML."""
        index = self._open_index()
        return [
            {
                "kind": hit.kind,
                "slug": hit.slug,
                "title": hit.heading or f"{hit.number} {hit.title}",
                "where": " · ".join(
                    [
                        *([f"{hit.number} {hit.title}"] if hit.heading else []),
                        *([] if hit.ready else ["coming"]),
                    ]
                ),
                "url": f"/lesson/{hit.slug}" + (f"#{hit.anchor}" if hit.anchor else ""),
                "snippet": hit.snippet,
            }
            for hit in sorted(index.search(query, limit=limit), key=lambda hit: not hit.ready)
        ]

    def _open_index(self) -> "SearchIndex":
        from nn2llm.course.search import SearchIndex

        course = self.shelf.course
        with self._lock:
            if self._index is None or self._index.course is not course:
                self._index = SearchIndex(course, self.home / "search.db")
            return self._index

    def warm_up(self) -> None:
        """Do once what the first visitor would wait for: read the course, render a lesson, build the index.

        For a thread beside the server. What is broken here is said where it is asked for.
        """
        try:
            course = self.shelf.course
            ready = [lesson.slug for lesson in course.lessons if course.is_ready(lesson.slug)]
            opened = [slug for slug in self.store.progress() if slug in ready]  # the last one first
            if ready:
                self.shelf.open((opened or ready)[0])
            self._open_index().prepare()
        except Nn2llmError as error:
            _LOG.info("warming up ended: %s", error)

    def glossary(self) -> "tuple[GlossaryEntry, ...]":
        """All terms, kept until the course changes."""
        from nn2llm.course.glossary import build_glossary

        course = self.shelf.course
        if self._glossary is None or self._glossary[0] is not course:
            self._glossary = (course, build_glossary(course))
        return self._glossary[1]

    async def open_kernels(self) -> None:
        """Make the pool; it warms its first kernel beside the pages."""
        from nn2llm.course.kernels import KernelPool

        self.pool = KernelPool(home=self.home, store=self.store)
        self.apply_settings()
        await self.pool.start()

    def apply_settings(self) -> None:
        """Hand the settings that concern kernels to the pool."""
        if self.pool is not None:
            settings = self.settings()
            self.pool.max_kernels = settings["max_kernels"]
            self.pool.memory_limit_bytes = round(settings["kernel_memory_gb"] * 1e9)

    async def close(self) -> None:
        """End kernels and checks, close the database. The training goes on."""
        self.machine.close()
        if self._warming is not None:
            self._warming.cancel()
        if self.pool is not None:
            await self.pool.close()
        if self._grader is not None:
            await asyncio.to_thread(self._grader.close)
        await asyncio.to_thread(self.store.close)


def _read_clock() -> Callable[[], datetime] | None:
    """The store's clock. NN2LLM_TEST_DAYS_LATER moves it on: how the tests see what comes after a week."""
    days = os.environ.get("NN2LLM_TEST_DAYS_LATER")
    if not days:
        return None
    later = timedelta(days=float(days))
    return lambda: datetime.now(UTC) + later


def is_allowed(value: Any, default: Any, allowed: tuple[Any, ...]) -> bool:
    """Whether `value` may stand for a setting with that default and those choices or limits."""
    if isinstance(default, str):
        return value in allowed
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return False
    if isinstance(default, int) and value != int(value):
        return False
    return bool(allowed[0] <= value <= allowed[1])
