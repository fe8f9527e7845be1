"""Watch one job on Linux: read what it prints, its verdict, the clock; then end everything it started.

Read inside.py and processes.py before. Runs in a process forked from the warm server (zygote.py), which is
root where the server is, adopts every orphan of the job, and ends with the job.
"""

import contextlib
import json
import os
import selectors
import socket
import tempfile
import time
from typing import Any

from nn2llm.course.grading.inside import Place, run_inside
from nn2llm.course.grading.limits import GradingJob, Limits
from nn2llm.course.grading.processes import end_all_below, find_below, measure_private_bytes
from nn2llm.course.grading.reading import VerdictReader, ask_for_line, find_excess_files, remove_folder
from nn2llm.course.grading.stopped import (
    Stop,
    build_stopped,
    explain_exit,
    finish_verdict,
    is_whole,
    lost_channel,
    too_long,
    too_many_files,
    too_many_processes,
    too_much_memory,
    too_much_output,
    was_closed,
)

__all__ = ["send_event", "watch"]

_LOOK_EVERY_S = 0.05
_WITHOUT_PIDFD_S = 0.01
_PIECE = 1 << 16


def watch(
    connection: socket.socket,
    *,
    job: GradingJob,
    limits: Limits,
    runner: str,
    secret: str,
    base: str,
    user: int | None,
    protected: tuple[int, ...],
    warm_bytes: int,
) -> None:
    """Run one job in a child of this process and send its verdict down `connection`, then return.

    `warm_bytes`: memory a fork shares with the warm server, of which nothing is the job's own.
    """
    folder = tempfile.mkdtemp(prefix="job-", dir=base)
    if user is not None:
        os.chown(folder, user, user)
    out_read, out_write = os.pipe()
    channel_read, channel_write = os.pipe()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            channel = _take_descriptors(out_write, channel_write)
            os.setsid()
            run_inside(
                job,
                limits,
                runner,
                Place(
                    folder=folder,
                    channel=channel,
                    secret=secret,
                    user=user,
                    protected=(os.getppid(), *protected),
                ),
            )
        finally:
            os._exit(1)
    os.close(out_write)
    os.close(channel_write)
    with contextlib.suppress(OSError):
        send_event(connection, {"event": "started", "pid": child, "watcher": os.getpid()})
    watcher = _Watcher(connection, child, limits, VerdictReader(secret), folder, warm_bytes)
    try:
        stop = watcher.run(out_read, channel_read, started)
    finally:
        ended = end_all_below(uid=user)
        watcher.drain(out_read)
        remove_folder(folder)
        if user is not None:
            _remove_shared_memory(user)
    elapsed_s = time.monotonic() - started
    printed = watcher.printed.decode("utf-8", "replace")
    if stop is None and watcher.reader.verdict is not None and not is_whole(watcher.reader.verdict):
        stop = lost_channel()
    if stop is None and watcher.reader.verdict is not None:
        verdict = finish_verdict(watcher.reader.verdict, limits, printed=printed)
    else:
        if stop is None:
            status = ended.get(child, watcher.status)
            stop = explain_exit(os.waitstatus_to_exitcode(status or 0), limits, printed=printed)
        verdict = build_stopped(job, stop, elapsed_s=elapsed_s, printed=printed)
    with contextlib.suppress(OSError):
        send_event(connection, {"event": "verdict", "verdict": verdict})


def send_event(connection: socket.socket, event: dict[str, Any]) -> None:
    """One line of JSON."""
    connection.sendall(json.dumps(event).encode() + b"\n")


def _take_descriptors(out: int, channel: int) -> int:
    """stdin from nowhere, stdout and stderr into `out`, the verdict's pipe; every other one closed."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    channel = os.dup(channel) if channel < 4 else channel  # 0 to 3 are about to be overwritten
    os.dup2(nowhere, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.dup2(channel, 3, inheritable=False)
    # not os.closerange: with a limit of a million descriptors some builds of Python try each
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 3:
            with contextlib.suppress(OSError):
                os.close(int(name))
    return 3


class _Watcher:
    def __init__(
        self,
        connection: socket.socket,
        child: int,
        limits: Limits,
        reader: VerdictReader,
        folder: str,
        warm_bytes: int,
    ) -> None:
        self.connection = connection
        self.child = child
        self.limits = limits
        self.reader = reader
        self.folder = folder
        self.warm_bytes = warm_bytes
        self.printed = bytearray()
        self.num_printed = 0
        self.status: int | None = None
        self.selector = selectors.DefaultSelector()

    def run(self, out: int, channel: int, started: float) -> Stop | None:
        """Until there is a verdict (None), the child has ended (None), or a limit is reached."""
        deadline = started + self.limits.seconds
        look_at = started + _LOOK_EVERY_S
        waits = self.connection.fileno()
        # some builds of Python lack it: then the child is looked after now and then
        ended = os.pidfd_open(self.child) if hasattr(os, "pidfd_open") else None
        try:
            for source in (out, channel, waits, *([] if ended is None else [ended])):
                self.selector.register(source, selectors.EVENT_READ)
            while True:
                patience = max(0.0, min(deadline, look_at) - time.monotonic())
                if ended is None:
                    patience = min(patience, _WITHOUT_PIDFD_S)
                ready = {key.fd for key, _ in self.selector.select(patience)}
                stop = None
                if out in ready:
                    stop = self._read_output(out)
                if stop is None and channel in ready:
                    stop = self._read_channel(channel)
                if stop is not None or self.reader.verdict is not None:
                    return stop
                if waits in ready:
                    return was_closed()
                if self._has_ended() if ended is None else ended in ready:
                    self._read_rest(channel)
                    return None
                now = time.monotonic()
                if now >= deadline:
                    return too_long(self.limits, self._ask_for_line(channel))
                if now >= look_at:
                    stop = self._look()
                    if stop is not None:
                        return stop
                    # looking reads all of /proc: never more than a tenth of one core
                    look_at = time.monotonic() + max(_LOOK_EVERY_S, 10 * (time.monotonic() - now))
        finally:
            self.selector.close()
            if ended is not None:
                os.close(ended)

    def _read_output(self, out: int) -> Stop | None:
        piece = os.read(out, _PIECE)
        if not piece:
            self.selector.unregister(out)
        self._keep(piece)
        return too_much_output(self.limits) if self.num_printed > self.limits.output_bytes else None

    def _keep(self, piece: bytes) -> None:
        self.num_printed += len(piece)
        self.printed += piece[: max(0, self.limits.output_bytes - len(self.printed))]

    def _read_channel(self, channel: int) -> Stop | None:
        piece = os.read(channel, _PIECE)
        if not piece:
            self.selector.unregister(channel)
            return lost_channel() if self._is_alive() else None
        self.reader.add(piece)
        return lost_channel() if self.reader.too_much else None

    def _is_alive(self) -> bool:
        """A process that ends closes its pipes a moment before it can be waited for."""
        for _ in range(20):
            if self._has_ended():
                return False
            time.sleep(0.005)
        return True

    def _has_ended(self) -> bool:
        if self.status is None:
            found, status = os.waitpid(self.child, os.WNOHANG)
            if found:
                self.status = status
        return self.status is not None

    def _read_rest(self, channel: int) -> None:
        os.set_blocking(channel, False)
        with contextlib.suppress(OSError):
            while (piece := os.read(channel, _PIECE)) and self.reader.verdict is None:
                self.reader.add(piece)

    def _ask_for_line(self, channel: int) -> int | None:
        os.set_blocking(channel, False)

        def read() -> bytes:
            try:
                return os.read(channel, _PIECE)
            except BlockingIOError:
                return b""

        return ask_for_line(self.child, read)

    def _look(self) -> Stop | None:
        pids = find_below(os.getpid())
        if len(pids) > self.limits.processes:
            return too_many_processes(self.limits)
        if measure_private_bytes(pids, warm_bytes=self.warm_bytes) > self.limits.memory_mb << 20:
            return too_much_memory(self.limits)
        if find_excess_files(self.folder, self.limits):
            return too_many_files(self.limits)
        return None

    def drain(self, out: int) -> None:
        """What is still in the pipe, once nobody writes any more."""
        os.set_blocking(out, False)
        with contextlib.suppress(OSError):
            while piece := os.read(out, _PIECE):
                self._keep(piece)


def _remove_shared_memory(user: int) -> None:
    """The one place outside of its folder where a job may write: DataLoader's processes meet there."""
    with contextlib.suppress(OSError), os.scandir("/dev/shm") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_uid == user:
                    os.remove(entry.path)
