"""The grading service: give it a job, get a verdict, whatever the learner's code does.

Read limits.py before; then forking.py (Linux) or oneshot.py (elsewhere). Used by the app (through
asyncio.to_thread), the command line, notebooks and the lesson linter. Imports no torch: its servers do.

    with GradingService() as service:
        verdict = service.grade(GradingJob(lesson_folder=…, exercise="gradient-step", text=…, seed=1))
"""

import errno
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from nn2llm.core.errors import Nn2llmError
from nn2llm.course.grading.backend import Backend, ServerGone
from nn2llm.course.grading.limits import RUN_JOB, WARM_IMPORTS, GradingJob, Limits
from nn2llm.course.grading.stopped import build_stopped, not_started, was_closed

__all__ = ["GradingJob", "GradingService", "Limits"]

_FULL = {errno.ENOMEM, errno.EAGAIN, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}
_AT_ONCE = 2
"""Jobs that run at the same time; others wait for their turn."""


class GradingService:
    """Grades answers in processes of their own. Thread-safe.

    Args:
        limits: for jobs that bring none.
        forking: a warm server that forks for each job (Linux), or one prewarmed process a job. None chooses.
        runner: "module:function" that grades in the job's process; tests put in their own.
        imports: modules that are there before a job comes.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        forking: bool | None = None,
        runner: str = RUN_JOB,
        imports: Sequence[str] = WARM_IMPORTS,
    ) -> None:
        self.limits = limits or Limits()
        # macOS has fork, but not for a process with its own threads and frameworks in it.
        self.forking = sys.platform.startswith("linux") if forking is None else forking
        if self.forking and not sys.platform.startswith("linux"):
            raise Nn2llmError("forking=True works on Linux only. Leave it out: the service chooses.")
        self._runner = runner
        self._imports = tuple(imports)
        self._backend: Backend | None = None
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._closed = False

    def __enter__(self) -> "GradingService":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm(self) -> None:
        """Start the warm server now. Returns at once; torch is imported meanwhile (seconds)."""
        with suppress(_Closed, OSError):  # the next job will say why
            self._find_backend()

    def grade(self, job: GradingJob) -> dict[str, Any]:
        """A verdict (evidence.py's JSON), always: nothing that the learner's code does raises here."""
        limits = job.limits or self.limits
        with self._turns:
            reason, remedy = "", "Run `nn2llm doctor`"
            for _ in range(2):  # a server that died before it took the job costs the learner nothing
                backend = None
                try:
                    backend = self._find_backend()
                    return backend.run(job, limits)
                except _Closed:
                    return build_stopped(job, was_closed(), elapsed_s=0.0)
                except OSError as error:
                    reason = str(error)
                    if error.errno in _FULL:
                        remedy = "Free memory or disk space"
                except ServerGone:
                    if self._closed:
                        return build_stopped(job, was_closed(), elapsed_s=0.0)
                    assert backend is not None
                    reason = backend.explain_end()
                    self._drop(backend)
        return build_stopped(job, not_started(reason, remedy), elapsed_s=0.0)

    def describe(self) -> dict[str, Any]:
        """How answers are graded here: {"mode": "forking" | "one-shot", "says": sentence, "warm": bool}."""
        with self._lock:
            facts = dict(self._backend.facts) if self._backend is not None else {}
        if self.forking:
            says = "Answers run in forks of a warm server; a check takes well under a second."
        else:
            says = "Answers run in new processes, as this system cannot fork safely; a check takes seconds."
        return {"mode": "forking" if self.forking else "one-shot", "says": says, "warm": bool(facts)}

    def close(self) -> None:
        """End all its processes; jobs under way get a verdict that says so. Harmless when called twice."""
        with self._lock:
            self._closed = True
            backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()

    def _find_backend(self) -> Backend:
        with self._lock:
            if self._closed:
                raise _Closed
            backend = self._backend
            if backend is None or not backend.is_alive:
                dead, backend = backend, self._start()
                self._backend = backend
                if dead is not None:
                    dead.clean_up()
            return backend

    def _start(self) -> Backend:
        if self.forking:
            from nn2llm.course.grading.forking import WarmServer

            return WarmServer(self._runner, self._imports)
        from nn2llm.course.grading.oneshot import OneShotProcesses

        return OneShotProcesses(self._runner, self._imports)

    def _drop(self, backend: Backend) -> None:
        with self._lock:
            if self._backend is backend:
                self._backend = None
        backend.clean_up()


class _Closed(Exception):
    """close() was called."""
