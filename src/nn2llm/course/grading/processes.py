"""The processes of one job on Linux: find them, measure them, end them all.

Used by watching.py (which is their ancestor and adopts orphans, so none gets out of its sight), zygote.py
and service.py. Reads /proc itself: psutil would read several files a process, ten times a second.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable

__all__ = [
    "count_tasks_of_user",
    "end_all_below",
    "end_marked",
    "find_below",
    "measure_private_bytes",
]

_PATIENCE_S = 5.0
"""A process killed may be in the middle of a write; longer than this nobody waits for it."""


def _read_parents() -> dict[int, int]:
    """Process → its parent, of all processes that are not zombies."""
    parents = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                text = file.read()
        except OSError:
            continue
        # "pid (name) state parent …"; a name may hold anything, brackets too
        state, parent = text[text.rindex(b")") + 2 :].split(b" ", 2)[:2]
        if state not in b"ZX":
            parents[int(name)] = int(parent)
    return parents


def find_below(root: int, *, apart_from: Iterable[int] = ()) -> list[int]:
    """The living descendants of a process, without those `apart_from` and what is below them."""
    children: dict[int, list[int]] = {}
    for pid, parent in _read_parents().items():
        children.setdefault(parent, []).append(pid)
    spared = set(apart_from)
    found: list[int] = []
    rest = [root]
    while rest:
        for pid in children.get(rest.pop(), ()):
            if pid not in spared:
                found.append(pid)
                rest.append(pid)
    return found


def measure_private_bytes(pids: Iterable[int], *, warm_bytes: int = 0) -> int:
    """Memory of these processes that is no file's, together, each less what it had when forked."""
    total = 0
    page = os.sysconf("SC_PAGE_SIZE")
    for pid in pids:
        try:
            with open(f"/proc/{pid}/status", "rb") as file:
                fields = dict(line.split(b":", 1) for line in file if line.startswith(b"Rss"))
            held = sum(1024 * int(fields[key].split()[0]) for key in (b"RssAnon", b"RssShmem"))
        except (OSError, KeyError, ValueError):
            continue
        total += max(0, held - warm_bytes - page)
    return total


def count_tasks_of_user(uid: int) -> int:
    """Processes and threads of a user now: RLIMIT_NPROC counts all of them."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == uid:
                    count += len(os.listdir(f"/proc/{name}/task"))
    return count


def end_all_below(*, uid: int | None = None, spare: Iterable[int] = ()) -> dict[int, int]:
    """Kill and reap every descendant of this process; returns pid → wait status of its own children.

    Where all of them have a user of their own (`uid`), one call of the kernel hits all at once, so that not
    even one that forks without pause gets away.
    """
    ended: dict[int, int] = {}
    spared = set(spare)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        if not spared:
            try:
                while True:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                    if pid == 0:
                        break
                    ended[pid] = status
            except ChildProcessError:
                return ended  # the kernel itself says that none is left
        below = find_below(os.getpid(), apart_from=spared)
        if spared:
            for pid in below:
                with contextlib.suppress(ChildProcessError):
                    found, status = os.waitpid(pid, os.WNOHANG)
                    if found:
                        ended[found] = status
            if not below:
                return ended
        if time.monotonic() > deadline:
            return ended
        if uid is not None and len(below) > 1:
            _kill_user(uid)
        for pid in below:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)


def _kill_user(uid: int) -> None:
    helper = os.fork()
    if helper == 0:
        try:
            os.setresuid(uid, uid, uid)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(helper, 0)


def end_marked(marker: str, *, user: int | None = None) -> None:
    """Kill every process that was started with `marker` in its environment, or that is `user`'s.

    For what a dead watcher left, or one that was never its ancestor.
    """
    mark = marker.encode()
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        found = False
        for pid in _read_parents():
            if pid != os.getpid() and (_is_marked(pid, mark) or _is_of_user(pid, user)):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                    found = True
        if not found:
            return
        time.sleep(0.01)


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return mark in file.read()
    except OSError:
        return False


def _is_of_user(pid: int, user: int | None) -> bool:
    if user is None:
        return False
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return any(line.startswith(b"Uid:") and int(line.split()[1]) == user for line in file)
    except OSError:
        return False
