"""One new process a job, for systems that cannot fork a warm server; a spare one gets warm meanwhile.

Read oneshot_process.py for the other side. Used by service.py on macOS and Windows, and with forking=False.
Slower: who checks again before the spare one is warm waits for torch's import. The service itself watches.
"""

import contextlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nn2llm.course.grading.backend import ServerGone
from nn2llm.course.grading.containment import choose_user, minimal_environment
from nn2llm.course.grading.limits import GradingJob, Limits
from nn2llm.course.grading.oneshot_process import READY
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

__all__ = ["OneShotProcesses"]

_START_TIMEOUT_S = 120.0
_LOOK_EVERY_S = 0.1
_PIECE = 1 << 16
_WINDOWS = os.name == "nt"
_LINUX = sys.platform.startswith("linux")


class OneShotProcesses:
    """Keeps one spare process warm."""

    def __init__(self, runner: str, imports: Sequence[str]) -> None:
        self.facts: dict[str, Any] = {}
        self._runner = runner
        self._imports = tuple(imports)
        self._lock = threading.Lock()
        self._closed = False
        self._running: set[_Process] = set()
        self._end = ""
        self._spare: _Process | None = self._start()

    def _start(self) -> "_Process":
        return _Process(self._runner, self._imports, self.facts)

    @property
    def is_alive(self) -> bool:
        """Until it is closed."""
        return not self._closed

    def explain_end(self) -> str:
        """What the last process said that did not start."""
        return self._end

    def run(self, job: GradingJob, limits: Limits) -> dict[str, Any]:
        """The verdict on one job.

        Raises:
            ServerGone: if the process ended before it took the job.
        """
        with self._lock:
            if self._closed:
                raise ServerGone
            process, self._spare = self._spare, None
            if process is None or process.popen.poll() is not None:
                if process is not None:
                    process.end()
                process = self._start()
            self._running.add(process)
        try:
            verdict = process.run(job, limits)
        except ServerGone:
            self._end = process.explain_end()
            raise
        finally:
            process.end()
            with self._lock:
                self._running.discard(process)
                if self._spare is None and not self._closed and not self._running:
                    # with none running: it would take the processor from the one that is timed
                    with contextlib.suppress(OSError):
                        self._spare = self._start()
        return verdict

    def clean_up(self) -> None:
        """No spare one any more; jobs under way end by themselves."""
        with self._lock:
            self._closed = True
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.end()

    def close(self) -> None:
        """End the spare one and those that run."""
        with self._lock:
            self._closed = True
            processes = [*self._running, *([self._spare] if self._spare else [])]
            self._spare = None
        for process in processes:
            process.closed = True
            process.end()


class _Process:
    """One process, warm or getting warm, for one job."""

    def __init__(self, runner: str, imports: Sequence[str], facts: dict[str, Any]) -> None:
        self.closed = False
        self.printed = bytearray()
        self.num_printed = 0
        self._facts = facts
        self._news: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._kept = 1 << 20
        self._seen: set[int] = set()
        self._ended = threading.Lock()
        self._is_ended = False
        self.folder = Path(tempfile.mkdtemp(prefix="nn2llm-grading-"))
        self.user = choose_user()
        self._marker = secrets.token_hex(16)
        environment = {**minimal_environment(str(self.folder)), "NN2LLM_GRADING": self._marker}
        command = [
            sys.executable, "-u", "-P", "-m", "nn2llm.course.grading.oneshot_process",
            "--folder", str(self.folder), "--runner", runner,
            *(f"--import={name}" for name in imports),
        ]  # fmt: skip
        if self.user is not None:
            command += ["--user", str(self.user)]
        try:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
                cwd=self.folder, env=environment,
                start_new_session=not _WINDOWS,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )  # fmt: skip
        except OSError:
            remove_folder(str(self.folder))
            raise
        assert self.popen.stdout is not None
        assert self.popen.stderr is not None
        self._threads = [
            threading.Thread(target=self._read, args=("channel", self.popen.stdout.fileno()), daemon=True),
            threading.Thread(target=self._read, args=("output", self.popen.stderr.fileno()), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, name: str, descriptor: int) -> None:
        with contextlib.suppress(OSError):
            while piece := os.read(descriptor, _PIECE):
                if name == "output":
                    self.num_printed += len(piece)
                    self.printed += piece[: max(0, self._kept - len(self.printed))]
                else:
                    self._news.put((name, piece))
        self._news.put((name, b""))

    def explain_end(self) -> str:
        """The last line it printed."""
        lines = self.printed.decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:300] if lines else f"it ended with code {self.popen.poll()}"

    def run(self, job: GradingJob, limits: Limits) -> dict[str, Any]:
        """The verdict. Raises ServerGone if it did not get warm."""
        self._await_ready()
        secret = secrets.token_hex(16)
        request = {"job": job.to_json(), "limits": asdict(limits), "secret": secret}
        assert self.popen.stdin is not None
        warm_bytes = self._measure([self.popen.pid], 0)
        try:
            self.popen.stdin.write(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise ServerGone from error
        self._kept = limits.output_bytes
        started = time.monotonic()
        reader = VerdictReader(secret)
        stop = self._watch(reader, limits, started, warm_bytes)
        elapsed_s = time.monotonic() - started
        self.end()
        printed = self.printed.decode("utf-8", "replace")
        if stop is None and reader.verdict is not None and not is_whole(reader.verdict):
            stop = lost_channel()
        if stop is None and reader.verdict is not None:
            return finish_verdict(reader.verdict, limits, printed=printed)
        if stop is None:
            stop = explain_exit(self.popen.returncode, limits, printed=printed)
        return build_stopped(job, stop, elapsed_s=elapsed_s, printed=printed)

    def _await_ready(self) -> None:
        said = b""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while READY not in said:
            try:
                _, piece = self._news.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                piece = b""
            if not piece:
                self._join()
                raise ServerGone
            said += piece
        self._facts["warm"] = True

    def _watch(self, reader: VerdictReader, limits: Limits, started: float, warm_bytes: int) -> Stop | None:
        deadline = started + limits.seconds
        look_at = started + _LOOK_EVERY_S
        while True:
            with contextlib.suppress(queue.Empty):
                name, piece = self._news.get(timeout=0.02)
                if name == "channel" and piece:
                    reader.add(piece)
                    if reader.too_much:
                        return lost_channel()
                elif name == "channel" and reader.verdict is None and not self._has_ended():
                    return lost_channel()
            if reader.verdict is not None:
                return None
            if self.closed:
                return was_closed()
            if self.num_printed > limits.output_bytes:
                return too_much_output(limits)
            if self.popen.poll() is not None and self._news.empty():
                self._join()
                if self._news.empty():
                    return None
            now = time.monotonic()
            if now >= deadline:
                return too_long(limits, self._ask_for_line())
            if now >= look_at:
                stop = self._look(limits, warm_bytes)
                if stop is not None:
                    return stop
                look_at = time.monotonic() + max(_LOOK_EVERY_S, 10 * (time.monotonic() - now))

    def _ask_for_line(self) -> int | None:
        def read() -> bytes:
            try:
                return self._news.get_nowait()[1]
            except queue.Empty:
                return b""

        return None if _WINDOWS else ask_for_line(self.popen.pid, read)

    def _has_ended(self) -> bool:
        try:
            self.popen.wait(0.2)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(0.2)  # a grandchild may hold the pipe open

    def _look(self, limits: Limits, warm_bytes: int) -> Stop | None:
        pids = [self.popen.pid, *self._find_below()]
        self._seen.update(pids)
        if len(pids) > limits.processes:
            return too_many_processes(limits)
        if self._measure(pids, warm_bytes) > limits.memory_mb << 20:
            return too_much_memory(limits)
        return too_many_files(limits) if find_excess_files(str(self.folder), limits) else None

    def _find_below(self) -> list[int]:
        if _LINUX:
            from nn2llm.course.grading.processes import find_below

            return find_below(self.popen.pid)
        import psutil

        try:
            return [child.pid for child in psutil.Process(self.popen.pid).children(recursive=True)]
        except psutil.Error:
            return []

    @staticmethod
    def _measure(pids: list[int], warm_bytes: int) -> int:
        """Bytes that these processes hold, each less `warm_bytes`."""
        if _LINUX:
            from nn2llm.course.grading.processes import measure_private_bytes

            return measure_private_bytes(pids, warm_bytes=warm_bytes)
        import psutil

        total = 0
        for pid in pids:
            with contextlib.suppress(psutil.Error):
                total += max(0, psutil.Process(pid).memory_info().rss - warm_bytes)
        return total

    def end(self) -> None:
        """Kill it and what it started; its folder goes too. Harmless when called again."""
        with self._ended:
            if self._is_ended:
                return
            self._is_ended = True
            self._kill_all()
            self.popen.wait()
            self._join()
            for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            remove_folder(str(self.folder))

    def _kill_all(self) -> None:
        kills: list[Callable[[], object]] = [self.popen.kill]
        if not _WINDOWS:
            kills.insert(0, lambda: os.killpg(self.popen.pid, signal.SIGKILL))
        below = self._find_below() if self.popen.poll() is None else []
        for kill in kills:
            with contextlib.suppress(OSError):
                kill()
        if _LINUX:
            from nn2llm.course.grading.processes import end_marked

            end_marked(self._marker, user=self.user)
            return
        import psutil

        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid in below or self._marker in process.environ().values():
                    process.kill()
