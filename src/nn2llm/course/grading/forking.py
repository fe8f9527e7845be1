"""The warm server seen from the service: start it, hand it jobs, notice its end (Linux).

Read zygote.py for the other side. Used by service.py. Each job has a socket of its own, handed over to the
server; what dies on the way is noticed by its end of file.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nn2llm.course.grading.backend import ServerGone
from nn2llm.course.grading.containment import minimal_environment
from nn2llm.course.grading.limits import GradingJob, Limits
from nn2llm.course.grading.processes import end_marked
from nn2llm.course.grading.stopped import build_stopped, lost_watcher, too_long, was_closed

__all__ = ["WarmServer"]

_START_TIMEOUT_S = 120.0
"""torch from a cold disk on a busy machine."""
_GRACE_S = 15.0
"""Beyond a job's own limit, for its watcher to clean up and report."""


class WarmServer:
    """One `python -m nn2llm.course.grading.zygote`. `start` returns at once; jobs wait until it is warm."""

    def __init__(self, runner: str, imports: Sequence[str]) -> None:
        self.facts: dict[str, Any] = {}
        """What it said of itself once warm."""
        self.closed = False
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        """One a job under way."""
        self.folder = Path(tempfile.mkdtemp(prefix="nn2llm-grading-"))
        os.chmod(self.folder, 0o711)  # a job's own user must get through to its folder
        self._marker = secrets.token_hex(16)
        self._log = self.folder / "server.log"
        ours, theirs = socket.socketpair()
        self._control = ours
        environment = {**minimal_environment(str(self.folder)), "NN2LLM_GRADING": self._marker}
        try:
            with theirs, open(self._log, "wb") as log:
                self.process = subprocess.Popen(
                    [
                        sys.executable, "-u", "-P", "-m", "nn2llm.course.grading.zygote",
                        "--control", str(theirs.fileno()), "--folder", str(self.folder), "--runner", runner,
                        *(f"--import={name}" for name in imports),
                    ],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=environment,
                    pass_fds=[theirs.fileno()], start_new_session=True,
                )  # fmt: skip
        except OSError:
            ours.close()
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        threading.Thread(target=self._listen, name="grading-server", daemon=True).start()

    def _listen(self) -> None:
        """Until it ends: its one line when it is warm, and then the end of file."""
        with suppress(OSError, ValueError), self._control.makefile("rb") as lines:
            for line in lines:
                self.facts = json.loads(line)
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # nobody else sends jobs into the void

    @property
    def is_alive(self) -> bool:
        """Whether it can take jobs."""
        return not self.closed and self.process.poll() is None

    def explain_end(self) -> str:
        """The last line of what it said: most likely why it could not start."""
        try:
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1][:300] if lines else f"it ended with code {self.process.poll()}"

    def run(self, job: GradingJob, limits: Limits) -> dict[str, Any]:
        """The verdict on one job.

        Raises:
            ServerGone: if the server ended before the job began; nothing has been run then.
        """
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            if self.closed:
                ours.close()
                raise ServerGone
            self._connections.add(ours)
            with suppress(OSError):  # if it is dead, the next write says so
                socket.send_fds(self._control, [b"j"], [theirs.fileno()])
        try:
            return self._talk(ours, job, limits)
        finally:
            ours.close()
            with self._lock:
                self._connections.discard(ours)
            if not self.is_alive:
                self.clean_up()

    def _talk(self, connection: socket.socket, job: GradingJob, limits: Limits) -> dict[str, Any]:
        request = {"job": job.to_json(), "limits": asdict(limits), "secret": secrets.token_hex(16)}
        begun: dict[str, Any] | None = None
        started = time.monotonic()
        stop = lost_watcher()
        connection.settimeout(_START_TIMEOUT_S)
        try:
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    event = json.loads(line)
                    if event["event"] == "verdict":
                        return event["verdict"]
                    begun, started = event, time.monotonic()
                    connection.settimeout(limits.seconds + _GRACE_S)
        except TimeoutError:
            if begun is None:
                self.kill()
            stop = too_long(limits)
        except (OSError, ValueError):
            pass  # as at the end of file: nobody is there any more
        if begun is None:
            raise ServerGone
        if self.closed:
            stop = was_closed()
        else:
            self._end_job(begun)
        return build_stopped(job, stop, elapsed_s=time.monotonic() - started)

    def _end_job(self, begun: dict[str, Any]) -> None:
        """Its watcher is lost or hangs; what it watched dies with it, and the server buries the rest."""
        for pid in (begun["watcher"], begun["pid"]):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """For a server that does not answer."""
        with suppress(OSError):
            self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End it and everything that it started."""
        with self._lock:
            self.closed = True
            for connection in (*self._connections, self._control):
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        if not self.facts:  # still importing torch, with no job begun: it would look up only after seconds
            self.kill()
        try:
            self.process.wait(8)
        except subprocess.TimeoutExpired:
            self.kill()
        self.clean_up()

    def clean_up(self) -> None:
        """After its end, once no job runs any more: watchers outlive their server for the job's sake."""
        with self._lock:
            if self._connections and not self.closed:
                return
        end_marked(self._marker)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._control.close()
