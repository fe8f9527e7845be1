"""In the job's own process: shut it in, run the checks, report one verdict, end.

Read limits.py, containment.py and refusals.py before. Called by zygote.py's fork and by oneshot_process.py.
A verdict goes out as one line that begins with a secret word made for this job: whatever else the learner's
code may write into that pipe is no verdict.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from nn2llm.course.grading.containment import RESERVE_BYTES, contain, read_virtual_bytes, restrict_environment
from nn2llm.course.grading.limits import GradingJob, Limits
from nn2llm.course.grading.refusals import NoKeyboard, refuse_what_an_exercise_needs_not
from nn2llm.course.grading.stopped import EXIT_NO_CHANNEL, build_stopped, ended_itself, too_much_memory

__all__ = ["Place", "import_what_jobs_use", "load_runner", "run_inside"]

RunJob = Callable[[GradingJob, Callable[[dict[str, Any]], None]], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where and as whom a job runs."""

    folder: str
    """Its own, and its working directory."""
    channel: int
    """Descriptor of the verdict's pipe."""
    secret: str
    """The word each verdict begins with."""
    user: int | None = None
    """A user of its own, or None: as the server."""
    protected: tuple[int, ...] = ()
    """Processes it must not signal."""
    dies_with_parent: bool = True
    """The parent is one thread that waits for it. Else it looks itself whether somebody waits."""


def load_runner(name: str) -> RunJob:
    """The function "module:function" that grades."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def import_what_jobs_use(runner: str, imports: Sequence[str]) -> None:
    """Before any job comes: the grader, and the modules named, torch in one thread."""
    load_runner(runner)
    for name in imports:
        importlib.import_module(name)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)
        torch.set_num_interop_threads(1)


def run_inside(job: GradingJob, limits: Limits, runner: str, place: Place) -> NoReturn:
    """Grade, report, and end this process. stdout and stderr are pipes already; nothing returns from here."""
    started = time.monotonic()
    # What is used afterwards is held here: the learner's code may put something else in its place.
    leave, monotonic = os._exit, time.monotonic
    report = _Reporter(place)
    code = 1
    try:
        os.chdir(place.folder)
        restrict_environment(place.folder)
        sys.stdin = NoKeyboard()
        run_job = load_runner(runner)  # before the walls go up: an import may want to write a cache
        contain(
            limits,
            folder=place.folder,
            user=place.user,
            dies_with_parent=place.dies_with_parent,
            protected=place.protected,
            lesson_folder=job.lesson_folder,
            warm_bytes=read_virtual_bytes(),
        )
        refuse_what_an_exercise_needs_not(place.folder)
        _tell_line_when_asked(place.channel)
        try:
            run_job(job, report)
        except SystemExit as error:
            report(build_stopped(job, ended_itself(error.code), elapsed_s=monotonic() - started))
        except MemoryError:
            _open_reserve()
            report(build_stopped(job, too_much_memory(limits), elapsed_s=monotonic() - started))
        except BaseException as error:
            report(_build_failure(job, error, monotonic() - started))
        if not report.done:
            report(_build_failure(job, None, monotonic() - started))
        code = 0
    except _NoChannel:
        code = EXIT_NO_CHANNEL
    finally:
        leave(code)


def _tell_line_when_asked(channel: int) -> None:
    """On SIGUSR1, write where the code is into the verdict's pipe (`reading.ask_for_line`)."""
    import faulthandler
    import signal

    if hasattr(faulthandler, "register"):  # not on Windows
        faulthandler.register(signal.SIGUSR1, file=channel, all_threads=False)


class _NoChannel(BaseException):
    """The pipe of the verdict cannot be written to any more."""


class _Reporter:
    """Sends verdicts; the first one counts. In a process that the learner's code forked it only ends that."""

    def __init__(self, place: Place) -> None:
        self.done = False
        write, encode, getpid, leave = os.write, json.JSONEncoder().encode, os.getpid, os._exit
        own, channel, secret = os.getpid(), place.channel, place.secret

        def send(verdict: dict[str, Any]) -> None:
            if getpid() != own:
                leave(0)
            if self.done:
                return
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except Exception:
                    continue  # closed or replaced by the learner's code: what was printed before is read
            line = f"\n{secret} {encode(verdict)}\n".encode()
            try:
                while line:
                    line = line[write(channel, line) :]
            except OSError as error:
                raise _NoChannel from error
            self.done = True

        self._send = send

    def __call__(self, verdict: dict[str, Any]) -> None:
        self._send(verdict)


def _open_reserve() -> None:
    """Give back a little of the address space, so that the sentence about its lack can be written."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_AS, (min(hard, soft + RESERVE_BYTES), hard))


def _build_failure(job: GradingJob, error: BaseException | None, elapsed_s: float) -> dict[str, Any]:
    """Our own fault, or Ctrl-C sent by the code to itself."""
    why = "it reported nothing" if error is None else f"{type(error).__name__}: {error}"
    return {
        "exercise": job.exercise,
        "status": "error",
        "message": f"The grader itself failed ({why}). That is not your code's fault: please report it.",
        "seed": job.seed,
        "elapsed_s": round(elapsed_s, 3),
        "checks": [],
        "error": None,
        "printed": "",
        "cut": False,
    }
