"""Shows a training run: loss, tokens per second, time left.

On a terminal one line at the bottom is rewritten, and notes and samples scroll by above it. Anywhere else
(a file, CI, a notebook) it prints a plain line every ten seconds and at each evaluation.
`update` stores numbers and returns: it costs about a microsecond and never reads from the device, so it can
be called at every step. Used by train/.
"""

import math
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

__all__ = ["TrainingProgress", "format_count", "format_duration"]

_PLAIN_INTERVAL_S = 10.0
_REFRESHES_PER_S = 4.0
_RATE_SAMPLES = 30  # taken at least a second apart: the rate follows the last half minute


def format_duration(seconds: float) -> str:
    """0:07, 12:34, 1:02:03, or 3 d 4 h from two days on."""
    whole = round(seconds)
    if whole >= 2 * 86400:
        return f"{whole // 86400} d {whole % 86400 // 3600} h"
    minutes, rest = divmod(whole, 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def format_count(number: float) -> str:
    """Three digits and a unit: 987, 12.3k, 1.50M, 2.00G, 790T."""
    for unit in ("", "k", "M", "G", "T"):
        if abs(number) < 999.5 or unit == "T":
            break
        number /= 1000
    if not unit:
        return f"{number:.0f}"
    digits = 2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0
    return f"{number:.{digits}f}{unit}"


class TrainingProgress:
    """A context manager around a training loop.

    Args:
        total_steps: the step at which the run ends.
        console: where to print; by default standard output.
        first_step: steps done before this session, when a run is resumed.

    Floats given to `update` must be floats already: reading a tensor here would wait for the device.
    """

    def __init__(self, total_steps: int, console: Console | None = None, *, first_step: int = 0) -> None:
        self.total_steps = total_steps
        self.console = console or Console()
        self.step = first_step
        self._fields: dict[str, float] = {}
        self._extra: dict[str, float] = {}
        self._start_s = time.monotonic()
        self._rate_samples: deque[tuple[float, int]] = deque(
            [(self._start_s, first_step)], maxlen=_RATE_SAMPLES
        )
        self._next_sample_s = self._start_s + 1
        self._next_line_s = self._start_s
        self._printed_step = -1
        is_live = self.console.is_terminal and not self.console.is_dumb_terminal
        self._live: Live | None = None
        if is_live:
            self._live = Live(self, console=self.console, refresh_per_second=_REFRESHES_PER_S)

    def __enter__(self) -> Self:
        self._start_s = time.monotonic()
        self._rate_samples[0] = (self._start_s, self.step)
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._printed_step not in (self.step, -1):
            self._print_line()

    def update(
        self,
        step: int,
        *,
        loss: float | None = None,
        tokens_per_s: float | None = None,
        lr: float | None = None,
        val_loss: float | None = None,
        extra: Mapping[str, float] | None = None,
    ) -> None:
        """Note where the run is; what is None stays as it was. `val_loss` prints a plain line at once.

        `extra` holds what else a stage shows, by the name it is shown under.
        """
        self.step = step
        fields = self._fields
        if extra is not None:
            self._extra.update(extra)
        if loss is not None:
            fields["loss"] = loss
        if val_loss is not None:
            fields["val"] = val_loss
        if tokens_per_s is not None:
            fields["tokens_per_s"] = tokens_per_s
        if lr is not None:
            fields["lr"] = lr
        now = time.monotonic()
        if now >= self._next_sample_s:
            self._rate_samples.append((now, step))
            self._next_sample_s = now + 1
        if self._live is None and (val_loss is not None or now >= self._next_line_s):
            self._print_line()

    def note(self, text: str | Text) -> None:
        """Print above the line: a sample, a checkpoint's name. A string is taken as it is, not as markup."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def estimate_seconds_left(self) -> float | None:
        """From the rate of the last half minute; None before there is one."""
        now, (then, step_then) = time.monotonic(), self._rate_samples[0]
        steps, seconds = self.step - step_then, now - then
        return (self.total_steps - self.step) * seconds / steps if steps > 0 and seconds > 0 else None

    def _describe(self) -> list[str]:
        """The line's parts, the dearest first: a narrow terminal drops the last ones."""
        parts = [f"step {self.step:>{len(str(self.total_steps))}}/{self.total_steps}"]
        fields = self._fields
        if "loss" in fields:
            parts.append(f"loss {fields['loss']:.3f}")
        parts += [f"{name} {value:.3f}" for name, value in list(self._extra.items())[:1]]
        left = self.estimate_seconds_left()
        if self.step >= self.total_steps:
            parts.append(f"took {format_duration(time.monotonic() - self._start_s)}")
        elif left is not None and math.isfinite(left):
            parts.append(f"{format_duration(left)} left")
        parts += [f"{name} {value:.3f}" for name, value in list(self._extra.items())[1:]]
        if "val" in fields:
            parts.append(f"val {fields['val']:.3f}")
        if "tokens_per_s" in fields:
            parts.append(f"{format_count(fields['tokens_per_s'])} tokens/s")
        if "lr" in fields:
            parts.append(f"lr {fields['lr']:.1e}")
        return parts

    def _print_line(self) -> None:
        self.console.print("  ".join(self._describe()), highlight=False, soft_wrap=True)
        self._printed_step = self.step
        self._next_line_s = time.monotonic() + _PLAIN_INTERVAL_S

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The live line: a bar, then as many parts as the width holds."""
        room = options.max_width - 1
        parts = self._describe()
        for_bar = 8 if room >= 60 else 0
        while len(parts) > 1 and len("  ".join(parts)) > room - for_bar:
            parts.pop()
        text = "  ".join(parts)
        bar_width = min(24, room - len(text) - 2)
        line = Text(no_wrap=True, overflow="crop")
        if bar_width >= 6:
            filled = round(bar_width * min(1.0, self.step / max(1, self.total_steps)))
            full, empty = ("#", "-") if options.ascii_only else ("━", "─")
            line.append(full * filled, style="green").append(
                empty * (bar_width - filled), style="dim"
            ).append("  ")
        yield line.append(text)
