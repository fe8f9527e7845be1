"""Verdicts on answers that did not come to an end: which limit, its value, what to do.

Read limits.py before. Used by inside.py (the job's own process) and by those who watch it (watching.py,
service.py). All have the keys of a verdict (evidence.py), and `stopped_by` besides.
"""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

from nn2llm.course.grading.limits import GradingJob, Limits

__all__ = ["Stop", "build_stopped", "explain_exit", "finish_verdict", "is_whole"]

_PRINTED_CHARACTERS = 20_000
"""Of what was printed, so much goes to the page."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why an answer was stopped: a short name for programs, and the sentence for the learner."""

    by: str
    message: str


def _number(value: float) -> str:
    return f"{value:g}"


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:g} MB" if num_bytes >= 100_000 else f"{num_bytes:,} bytes"


def too_long(limits: Limits, line: int | None = None) -> Stop:
    """The wall clock. `line`: of the learner's text, where it was then."""
    where = "" if line is None else f" It was at line {line}."
    return Stop(
        "time",
        f"Stopped after {_number(limits.seconds)} s, the limit.{where} Look for a loop that never ends, "
        "or for work that grows much faster than its input; a loop of many small steps may need fewer.",
    )


def too_much_memory(limits: Limits) -> Stop:
    """Address space, or the pages that all its processes hold together."""
    return Stop(
        "memory",
        f"Stopped: it needed more than {limits.memory_mb} MB of memory, the limit. "
        "Look for a tensor or a list that is larger than you meant, or that grows in a loop.",
    )


def too_much_output(limits: Limits) -> Stop:
    """What was printed."""
    return Stop(
        "output",
        f"Stopped: it printed more than {_size(limits.output_bytes)}, the limit. "
        "Take the print out of the loop, or print less.",
    )


def too_many_processes(limits: Limits) -> Stop:
    """Processes and threads."""
    return Stop(
        "processes",
        f"Stopped: it started more than {limits.processes} processes and threads, the limit. "
        "An exercise needs none of its own: take out what starts them.",
    )


def too_many_files(limits: Limits) -> Stop:
    """Bytes and names in its own folder."""
    return Stop(
        "files",
        f"Stopped: it wrote more than {limits.file_mb} MB, or more than {limits.files} files, the limits. "
        "An exercise needs no files: return the value instead.",
    )


def ended_itself(code: object = None) -> Stop:
    """exit(), sys.exit(), os._exit()."""
    said = "" if code is None else f" (exit code {code})"
    return Stop(
        "exit",
        f"Stopped: the code ended its own process{said}, so the checks could not finish. "
        "Take out exit(), quit(), sys.exit() or os._exit(), and return instead.",
    )


def lost_channel() -> Stop:
    """The pipe of the verdict: closed, or filled with what is no verdict."""
    return Stop(
        "channel",
        "Stopped: the code closed or wrote to the channel on which the verdict is reported. "
        "Close only files that you opened, and write only to those.",
    )


def lost_watcher() -> Stop:
    """The process that watches was killed, by the code or by somebody else."""
    return Stop(
        "watcher",
        "Stopped: the process that watches the code was ended while it ran. If the code kills processes, "
        "take that out; if not, check again.",
    )


def not_started(reason: str, remedy: str) -> Stop:
    """There is no process to grade in."""
    return Stop("start", f"The grading process could not be started ({reason}). {remedy}, then check again.")


def was_closed() -> Stop:
    """The service ends, and jobs with it."""
    return Stop("closed", "The course was closed before this check was done. Open it and check again.")


def explain_exit(code: int, limits: Limits, *, printed: str) -> Stop:
    """Why a process ended without a verdict. `code` as subprocess gives it: negative is a signal."""
    if _is_out_of_memory(printed[-2000:]):
        return too_much_memory(limits)
    if code == EXIT_NO_CHANNEL:
        return lost_channel()
    if code >= 0:
        return ended_itself(code)
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGXCPU":
        return too_long(limits)
    if name == "SIGXFSZ":
        return too_many_files(limits)
    if name in {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"}:
        return Stop(
            "crash",
            f"Stopped: the process crashed ({name}), outside of Python. "
            "Look for a recursion without end, ctypes, or an array whose memory was taken away.",
        )
    return Stop(
        "killed",
        f"Stopped: the process was killed ({name}), by the code itself or by the system for want of memory. "
        "Take out os.kill, or use less memory.",
    )


EXIT_NO_CHANNEL = 87
"""A job's process that could not report ends with this code."""


def build_stopped(
    job: GradingJob, stop: Stop, *, elapsed_s: float, printed: str = "", error: object = None
) -> dict[str, Any]:
    """The whole verdict."""
    return {
        "exercise": job.exercise,
        "status": "stopped",
        "message": stop.message,
        "seed": job.seed,
        "elapsed_s": round(elapsed_s, 3),
        "checks": [],
        "error": error,
        "printed": printed[:_PRINTED_CHARACTERS],
        "cut": len(printed) > _PRINTED_CHARACTERS or stop.by == "output",
        "stopped_by": stop.by,
    }


_STATUSES = {"passed", "failed", "unfinished", "error", "stopped"}
_CHECK_STATUSES = {"passed", "failed", "not run"}
_KINDS: dict[str, type | tuple[type, ...]] = {
    "exercise": str,
    "status": str,
    "message": str,
    "seed": int,
    "elapsed_s": (int, float),
    "checks": list,
    "error": (dict, NoneType),
    "printed": str,
    "cut": bool,
}
_CHECK_KINDS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "title": (str, NoneType),
    "status": str,
    "evidence": (dict, NoneType),
    "diagnosis": (str, NoneType),
    "field": (str, NoneType),
}


def is_whole(verdict: Mapping[str, Any]) -> bool:
    """Whether it has all that a page reads, of the right kinds: a learner's code may turn what writes it."""
    if not all(isinstance(verdict.get(name, ...), kind) for name, kind in _KINDS.items()):
        return False
    if verdict["status"] not in _STATUSES or not isinstance(verdict.get("part"), str | None):
        return False
    for check in verdict["checks"]:
        if not isinstance(check, Mapping) or check.get("status") not in _CHECK_STATUSES:
            return False
        if not isinstance(check.get("name"), str):
            return False
        if not all(isinstance(check.get(name), kind) for name, kind in _CHECK_KINDS.items()):
            return False
        if not _is_evidence(check.get("evidence") or {}):
            return False
    # every check that there is must have passed
    return verdict["status"] != "passed" or all(check["status"] == "passed" for check in verdict["checks"])


def _is_evidence(evidence: Mapping[str, Any]) -> bool:
    lines, arrays = evidence.get("lines", []), evidence.get("arrays", [])
    return (
        all(isinstance(evidence.get(name), str | None) for name in ("called", "returned", "expected"))
        and isinstance(lines, list)
        and all(isinstance(line, str) for line in lines)
        and isinstance(arrays, list)
        and all(isinstance(array, Mapping) for array in arrays)
    )


def finish_verdict(verdict: Mapping[str, Any], limits: Limits, *, printed: str) -> dict[str, Any]:
    """A verdict as the job's process reported it: an error that is a limit's doing becomes "stopped".

    The traceback stays: it shows the line that wanted too much.
    """
    finished = dict(verdict)
    if not finished.get("printed") and printed:
        finished["printed"] = printed[:_PRINTED_CHARACTERS]
        finished["cut"] = len(printed) > _PRINTED_CHARACTERS
    stop = None
    if finished.get("status") == "error" and isinstance(finished.get("error"), Mapping):
        stop = _explain_error(finished["error"], limits)
    elif finished.get("status") == "stopped" and "stopped_by" not in finished:
        # comparing what came back needs memory too
        message = str(finished.get("message"))
        if "MemoryError" in message or _is_out_of_memory(message):
            stop = too_much_memory(limits)
    if stop is not None:
        finished.update(status="stopped", message=stop.message, stopped_by=stop.by)
    return finished


def _explain_error(error: Mapping[str, Any], limits: Limits) -> Stop | None:
    name, message = str(error.get("name", "")), str(error.get("message", ""))
    if name == "MemoryError" or _is_out_of_memory(message):
        return too_much_memory(limits)
    if name == "SystemExit":
        return ended_itself()
    if name == "BlockingIOError" or "can't start new thread" in message:
        return too_many_processes(limits)
    if name == "OSError" and "File too large" in message:
        return too_many_files(limits)
    return None


def _is_out_of_memory(text: str) -> bool:
    signs = ("std::bad_alloc", "not enough memory", "can't allocate memory", "Cannot allocate memory")
    return any(sign in text for sign in signs)
