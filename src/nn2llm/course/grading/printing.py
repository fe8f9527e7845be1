"""What the learner's code prints, kept in order and cut; and nothing to read from the keyboard.

Used by running.py. What is printed goes on to the process's own stdout as well: there the grading service
counts it, and stops a print without end.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from nn2llm.course.grading.refusals import NoKeyboard

__all__ = ["Printed", "capture"]

_MAX_CHARACTERS = 20_000
_MAX_WARNINGS = 10


class Printed:
    """Text of stdout and stderr together, and the warnings of the learner's own lines."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size = 0
        self.cut = False
        self.muted = False
        self.warnings: list[str] = []

    def add(self, text: str) -> None:
        """Keep what still fits."""
        if self.muted:
            return
        room = _MAX_CHARACTERS - self.size
        if len(text) > room:
            self.cut = True
            text = text[:room]
        if text:
            self.parts.append(text)
            self.size += len(text)

    def text(self, start: int = 0) -> str:
        """All of it, from character `start` on."""
        return "".join(self.parts)[start:]


class _Tee:
    """In the place of sys.stdout: keeps the text and hands it on."""

    encoding, errors = "utf-8", "replace"
    closed = False

    def __init__(self, printed: Printed, stream: TextIO) -> None:
        self._printed, self._stream = printed, stream

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._printed.add(text)
        if not self._printed.muted:
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def close(self) -> None:
        """Stays open: the next check prints too."""

    def fileno(self) -> int:
        return self._stream.fileno()


@contextmanager
def capture(file: str, *, muted: bool = False) -> Iterator[Printed]:
    """stdout, stderr, stdin and warnings while the learner's code may run; all put back afterwards."""
    printed = Printed()
    printed.muted = muted
    stdin, stdout, stderr, show = sys.stdin, sys.stdout, sys.stderr, warnings.showwarning

    def keep_warning(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, *rest: Any
    ) -> None:
        if filename == file and len(printed.warnings) < _MAX_WARNINGS and not printed.muted:
            text = f"line {lineno}: {category.__name__}: {message}"
            if text not in printed.warnings:
                printed.warnings.append(text[:300])

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = keep_warning  # type: ignore[assignment]
        sys.stdin = NoKeyboard()
        sys.stdout = _Tee(printed, stdout)
        sys.stderr = _Tee(printed, stderr)
        try:
            yield printed
        finally:
            sys.stdin, sys.stdout, sys.stderr = stdin, stdout, stderr
            warnings.showwarning = show
