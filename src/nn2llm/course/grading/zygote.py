"""`python -m nn2llm.course.grading.zygote`: the warm server. It imports torch once; a job is a fork of it.

Read watching.py before; started by forking.py. It computes nothing itself: a process that has used torch's
threads cannot be forked safely. For each job it gets one end of a socket, forks a watcher and forgets it;
job and verdict travel on that socket. It ends as soon as the other end of its own socket is closed.
"""

import argparse
import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
from typing import Any

from nn2llm.course.grading import linux
from nn2llm.course.grading.containment import can_change_user, choose_user
from nn2llm.course.grading.inside import import_what_jobs_use
from nn2llm.course.grading.limits import GradingJob, Limits
from nn2llm.course.grading.processes import end_all_below, measure_private_bytes
from nn2llm.course.grading.watching import send_event, watch

__all__ = ["main"]


def main() -> None:
    """Serve until the service closes its end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--runner", required=True)
    parser.add_argument("--import", dest="imports", action="append", default=[])
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server of the pages
    linux.become_subreaper()
    control = socket.socket(fileno=options.control)
    changes_user = can_change_user()
    import_what_jobs_use(options.runner, options.imports)
    gc.collect()
    gc.freeze()  # or a collection in a fork would touch, and so copy, all of torch's objects
    threads = len(os.listdir("/proc/self/task"))
    with contextlib.suppress(OSError):  # the service is gone already: `serve` sees that and cleans up
        send_event(control, {"event": "ready", "own_user": changes_user, "threads": threads})
    _Server(control, options.folder, options.runner, changes_user).serve()


class _Server:
    def __init__(self, control: socket.socket, folder: str, runner: str, changes_user: bool) -> None:
        self.control = control
        self.folder = folder
        self.runner = runner
        self.changes_user = changes_user
        self.watchers: dict[int, int | None] = {}
        """Watcher → the user of its job."""
        self.warm_bytes = measure_private_bytes([os.getpid()])

    def serve(self) -> None:
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self.control, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if woken in ready:
                    os.read(woken, 4096)
                    self._reap()
                if self.control.fileno() in ready:
                    message, descriptors, _, _ = socket.recv_fds(self.control, 1, 1)
                    if not message:
                        break
                    for descriptor in descriptors:
                        self._start(descriptor, (wake, woken), selector)
        self._leave()

    def _start(self, descriptor: int, pipes: tuple[int, int], selector: selectors.BaseSelector) -> None:
        user = choose_user(taken=_users(self.watchers)) if self.changes_user else None
        watcher = os.fork()
        if watcher:
            self.watchers[watcher] = user
            os.close(descriptor)
            return
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            selector.close()
            protected = (os.getppid(), _parent_of(os.getppid()))
            self.control.close()
            for pipe in pipes:
                os.close(pipe)
            os.setsid()
            linux.become_subreaper()
            connection = socket.socket(fileno=descriptor)
            request = _read_request(connection)
            if request is not None:
                job = GradingJob.from_json(request["job"])
                watch(
                    connection,
                    job=job,
                    limits=Limits(**request["limits"]),
                    runner=self.runner,
                    secret=request["secret"],
                    base=self.folder,
                    user=user,
                    protected=protected,
                    warm_bytes=self.warm_bytes,
                )
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(0)

    def _reap(self) -> None:
        """Bury watchers that have ended; what one left that was killed at its work is ended too."""
        for watcher in list(self.watchers):
            found, status = os.waitpid(watcher, os.WNOHANG)
            if found:
                user = self.watchers.pop(watcher)
                if status != 0:
                    end_all_below(uid=user, spare=self.watchers)
        try:  # orphans that a killed watcher left to this process
            while True:
                found, status = os.waitpid(-1, os.WNOHANG)
                if found == 0:
                    return
                if found in self.watchers:
                    user = self.watchers.pop(found)
                    if status != 0:
                        end_all_below(uid=user, spare=self.watchers)
        except ChildProcessError:
            return

    def _leave(self) -> None:
        """The service is gone, and each watcher sees that on its own socket: let them clean up."""
        deadline = time.monotonic() + 5.0
        while self.watchers and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.01)
        end_all_below()
        import shutil

        shutil.rmtree(self.folder, ignore_errors=True)


def _users(watchers: dict[int, int | None]) -> list[int]:
    return [user for user in watchers.values() if user is not None]


def _parent_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
        return int(text[text.rindex(b")") + 2 :].split(b" ", 2)[1])
    except (OSError, ValueError):
        return pid


def _read_request(connection: socket.socket) -> dict[str, Any] | None:
    with connection.makefile("rb") as lines:
        line = lines.readline()
    return json.loads(line) if line.endswith(b"\n") else None


if __name__ == "__main__":
    main()
    sys.exit(0)
