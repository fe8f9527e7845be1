"""A runner for the tests of the grading process: runs `answer()` of the text, and passes what returns.

Named to the service as "tests.course.grading.stand_in:run_job"; the repository must be on PYTHONPATH.
"""

import time
import traceback
from collections.abc import Callable
from typing import Any


def run_job(job: Any, report: Callable[[dict[str, Any]], None]) -> None:
    started = time.monotonic()
    verdict: dict[str, Any] = {
        "exercise": job.exercise,
        "status": "passed",
        "message": "",
        "seed": job.seed,
        "checks": [],
        "error": None,
        "printed": "",
        "cut": False,
    }
    names: dict[str, Any] = {"job": job, "report": report}
    try:
        exec(compile(job.text, "answer.py", "exec"), names)
        verdict["message"] = str(names["answer"]())
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1].lineno
        verdict.update(
            status="error",
            message=str(error),
            error={"name": type(error).__name__, "message": str(error), "frames": [], "line": line},
        )
    verdict["elapsed_s"] = time.monotonic() - started
    report(verdict)


def run_badly(job: Any, report: Callable[[dict[str, Any]], None]) -> None:
    raise ValueError("broken")


def say_nothing(job: Any, report: Callable[[dict[str, Any]], None]) -> None:
    pass
