"""The live table of stages: what is done, what runs, how long it took, what came of it.

On a terminal the table stands at the bottom and is redrawn, with the running stage's own progress line below
it (rich nests one live display in another). Anywhere else each stage is a plain line when it starts and when
it ends. Used by recipe.py; a `StageViewer` of the engine.
"""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nn2llm.core.progress import format_duration
from nn2llm.recipe.engine import StageRecord

__all__ = ["StageConsole", "StageTable"]

_REFRESHES_PER_S = 4.0
_WIDTH_FOR_SUMMARIES = 110


class StageConsole(Console):
    """The console that trainers write to: their progress stays, their stories do not.

    A trainer by itself tells what it trains and shows samples; on a terminal the table tells the former, and
    the latter would push it about.
    """

    def __init__(self, *, shows_lines: bool, **options: Any) -> None:
        super().__init__(highlight=False, **options)
        self._shows_lines = shows_lines

    def print(self, *objects: Any, **options: Any) -> None:
        """Print what a live display needs to redraw itself; lines of text only where there is none."""
        first = objects[0] if objects else ""
        if self._shows_lines or isinstance(first, Control):
            super().print(*objects, **options)

    def say(self, text: str | Text | Table) -> None:
        """Print a line, or a table, in any case."""
        super().print(text, markup=False, soft_wrap=not isinstance(text, Table))


class StageTable:
    """A context manager around the run of the stages.

    Args:
        summaries: of each stage, in order: what happens in it.
        console: where to print; by default standard output.

    Attributes:
        console: what is passed on to trainers, so that their progress line is shown below the table.
    """

    def __init__(self, summaries: Mapping[str, str], console: Console | None = None) -> None:
        given = console or Console(highlight=False)
        # Live displays nest from rich 14.1 on; before, only one at a time is allowed.
        self._is_live = given.is_terminal and not given.is_dumb_terminal and hasattr(given, "_live_stack")
        self.console = StageConsole(
            shows_lines=not self._is_live,
            file=given.file,
            force_terminal=given.is_terminal,
            width=None if given.file.isatty() else given.width,  # a window may be made larger
            legacy_windows=given.legacy_windows,
        )
        self._summaries = dict(summaries)
        self._records: dict[str, StageRecord] = {}
        self._found: set[str] = set()
        self._running: str | None = None
        self._started_s = 0.0
        self._live: Live | None = None

    def refresh(self) -> None:
        """Draw the live table, and the progress line below it, now."""
        if self._live is not None:
            self._live.refresh()

    def __enter__(self) -> Self:
        if self._is_live:
            self._live = Live(self, console=self.console, refresh_per_second=_REFRESHES_PER_S)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    # --- what the engine tells ------------------------------------------------------------------------------

    def find(self, name: str, record: StageRecord) -> None:
        """A stage was done before."""
        self._records[name] = record
        self._found.add(name)
        if not self._is_live:
            self.console.say(f"{name}: done before, in {format_duration(record.seconds)}; {record.headline}")

    def begin(self, name: str, *, goes_on: bool) -> None:
        """A stage starts, or goes on where it was stopped."""
        self._running, self._started_s = name, time.monotonic()
        if not self._is_live:
            self.console.say(f"{name}: {'going on' if goes_on else self._summaries[name]} …")

    def end(self, name: str, record: StageRecord) -> None:
        """A stage is done."""
        self._records[name] = record
        self._running = None
        self.refresh()
        if not self._is_live:
            self.console.say(f"{name}: done in {format_duration(record.seconds)}; {record.headline}")

    def note(self, text: str) -> None:
        """A line above the table."""
        self.console.say(text)

    # --- how it looks ---------------------------------------------------------------------------------------

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table as it stands now."""
        yield self.build(options.max_width, ascii_only=options.ascii_only)

    def build(self, width: int, *, ascii_only: bool = False) -> Table:
        """The table; narrow ones leave out what happens in a stage."""
        has_summaries = width >= _WIDTH_FOR_SUMMARIES
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("", width=1)
        table.add_column("stage", no_wrap=True)
        if has_summaries:
            table.add_column("what happens", no_wrap=True, style="dim")
        table.add_column("time", justify="right", no_wrap=True)
        table.add_column("result", overflow="fold")
        done, running, waiting = ("x", ">", ".") if ascii_only else ("✓", "▸", "·")
        for name, summary in self._summaries.items():
            record = self._records.get(name)
            cells: list[Text]
            if record is not None:
                result = record.headline + (" (done before)" if name in self._found else "")
                cells = [Text(done, "green"), Text(name), Text(format_duration(record.seconds)), Text(result)]
            elif name == self._running:
                elapsed = format_duration(time.monotonic() - self._started_s)
                cells = [Text(running, "cyan"), Text(name, "bold"), Text(elapsed), Text("…", "dim")]
            else:
                cells = [Text(waiting, "dim"), Text(name, "dim"), Text(""), Text("")]
            if has_summaries:
                cells.insert(2, Text(summary))
            table.add_row(*cells)
        return table
