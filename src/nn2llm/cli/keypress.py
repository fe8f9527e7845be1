"""Single keys from a terminal, without Enter; lines where the input is a pipe. Used by label_loop.py.

On Linux and macOS the terminal is set to hand over each key at once (termios' "cbreak"), and set back however
the program ends; Ctrl-C stays Ctrl-C. On Windows the C runtime's `getwch` does the same (written by its
documentation, not run here).
"""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol, TextIO

__all__ = ["ReadKey", "hold_keys", "read_line_keys"]

_END_OF_INPUT = {"\x04", "\x1a"}
"""Ctrl-D, and Ctrl-Z, which means the same on Windows."""


class ReadKey(Protocol):
    """Waits for a key and gives it in lower case; "" for one that is no letter; None: there are no more."""

    def __call__(self) -> str | None: ...


@contextmanager
def hold_keys() -> Iterator[ReadKey]:
    """Keys of the terminal that stdin is, while the block runs."""
    if os.name == "nt":
        yield _read_windows_key
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    old_handler = signal.signal(signal.SIGTERM, _leave)  # else it would end without a `finally`
    try:
        tty.setcbreak(descriptor)
        yield lambda: _read_terminal_key(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        signal.signal(signal.SIGTERM, old_handler)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _read_terminal_key(descriptor: int) -> str | None:
    data = os.read(descriptor, 1)
    if not data:
        return None
    if data == b"\x1b" or data[0] >= 0x80:
        # an arrow key, or a letter beyond ASCII: several bytes, of which none is an answer
        while select.select([descriptor], [], [], 0.01)[0] and os.read(descriptor, 16):
            pass
        return ""
    key = data.decode("ascii")
    return None if key in _END_OF_INPUT else key.lower()


def _read_windows_key() -> str | None:
    import msvcrt

    key: str = msvcrt.getwch()  # type: ignore[attr-defined]
    if key == "\x03":  # it swallows Ctrl-C
        raise KeyboardInterrupt
    if key in ("\x00", "\xe0"):  # an arrow or function key: a second character tells which
        msvcrt.getwch()  # type: ignore[attr-defined]
        return ""
    return None if key in _END_OF_INPUT else key.lower()


def read_line_keys(lines: TextIO) -> ReadKey:
    """The first character of each line of `lines`."""

    def read() -> str | None:
        line = lines.readline()
        return line.strip()[:1].lower() if line else None

    return read
