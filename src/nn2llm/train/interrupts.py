"""Ctrl-C and SIGTERM, noted instead of obeyed at once, so that a step ends and a checkpoint is written.

A second Ctrl-C stops at once. Used by train/.
"""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

__all__ = ["Interrupts", "count_noted_signals"]

_REPEAT_S = 1.0
# torchrun hands Ctrl-C on to processes that the terminal has told already: only a later one is a second one


_num_noted = 0


def count_noted_signals() -> int:
    """How many were noted in this process so far.

    One that comes in a run's last step stops no step. Whoever starts another run after it should look here.
    """
    return _num_noted


class Interrupts:
    """A context manager; `pending` is True once the user or the scheduler has asked to stop.

    Outside the main thread Python cannot take signals: there `pending` stays False.
    """

    def __init__(self) -> None:
        self.pending = False
        self._first_s = 0.0
        self._previous: dict[int, object] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        global _num_noted
        _num_noted += 1
        now = time.monotonic()
        if not self.pending:
            self.pending, self._first_s = True, now
        elif number == signal.SIGINT and now - self._first_s >= _REPEAT_S:
            raise KeyboardInterrupt
