"""What every watcher does: find the verdict in its pipe, look after the job's folder, remove it.

Read inside.py before (it writes the verdict). Used by watching.py and oneshot.py.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from typing import Any

from nn2llm.course.grading.limits import Limits

__all__ = ["VerdictReader", "ask_for_line", "find_excess_files", "remove_folder"]


class VerdictReader:
    """Finds the verdict in what came through its pipe: the line that begins with the job's secret word."""

    MOST_BYTES = 16 << 20

    def __init__(self, secret: str) -> None:
        self.verdict: dict[str, Any] | None = None
        self.too_much = False
        self._sign = f"\n{secret} ".encode()
        self._buffer = bytearray()
        self._seen = 0

    def add(self, piece: bytes) -> None:
        """Take in the next bytes; `verdict` is set once a whole one is there, and never changes again."""
        if self.verdict is not None:
            return
        self._seen += len(piece)
        self.too_much = self._seen > self.MOST_BYTES
        self._buffer += piece
        begin = self._buffer.find(self._sign)
        if begin < 0:
            del self._buffer[: -len(self._sign)]  # junk; the sign may be half here
            return
        del self._buffer[:begin]
        end = self._buffer.find(b"\n", len(self._sign))
        if end >= 0:
            text = bytes(self._buffer[len(self._sign) : end])
            try:
                found = json.loads(text)
            except ValueError:
                found = None
            if isinstance(found, dict):
                self.verdict = found
            else:
                del self._buffer[:end]


# A learner's text is compiled under a plain name; all other code is under a path or in angle brackets.
_LEARNERS_FRAME = re.compile(rb'File "[^"/\\\\<]+", line (\d+) in ')


def ask_for_line(pid: int, read: Callable[[], bytes]) -> int | None:
    """The line of the learner's text at which a process is now; None if it does not say.

    `read` gives what has come through the verdict's pipe since it was called last.
    """
    try:
        os.kill(pid, signal.SIGUSR1)
    except OSError:
        return None
    said = b""
    for _ in range(40):
        time.sleep(0.005)
        piece = read()
        said += piece
        if said and not piece:
            break
    found = _LEARNERS_FRAME.search(said)
    return int(found[1]) if found else None


def find_excess_files(folder: str, limits: Limits) -> bool:
    """Whether more bytes or names than allowed lie in a job's folder."""
    num_files = num_bytes = 0
    for here, folders, files in os.walk(folder):
        num_files += len(folders) + len(files)
        if num_files > limits.files:
            return True
        for name in files:
            with contextlib.suppress(OSError):
                num_bytes += os.lstat(os.path.join(here, name)).st_blocks * 512
    return num_bytes > limits.file_mb << 20


def remove_folder(folder: str) -> None:
    """All of it, also what the job made unreadable."""

    def open_and_retry(function: Callable[[str], object], path: str, _: object) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)
            os.chmod(path, 0o700)
            function(path)

    shutil.rmtree(folder, onerror=open_and_retry)
