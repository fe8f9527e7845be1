"""What the service asks of whatever starts its processes: forking.py on Linux, oneshot.py elsewhere."""

from typing import Any, Protocol

from nn2llm.course.grading.limits import GradingJob, Limits

__all__ = ["Backend", "ServerGone"]


class ServerGone(Exception):
    """The process ended before it took the job, so nothing of it has run: ask another one."""


class Backend(Protocol):
    """Runs jobs, several at a time, until it dies or is closed."""

    facts: dict[str, Any]
    """What it said of itself once warm; empty before."""

    @property
    def is_alive(self) -> bool:
        """Whether it can take jobs."""
        ...

    def run(self, job: GradingJob, limits: Limits) -> dict[str, Any]:
        """The verdict on one job. Raises ServerGone, or OSError where no process can be had."""
        ...

    def explain_end(self) -> str:
        """Why it is not alive, in a few words."""
        ...

    def clean_up(self) -> None:
        """It is not used any more: away with what it left, once the jobs under way have ended."""
        ...

    def close(self) -> None:
        """End it and everything that it started."""
        ...
