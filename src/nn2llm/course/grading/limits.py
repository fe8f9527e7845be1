"""What one graded answer may use, and the job that carries it to the grading process.

Read first in this room's process part; then stopped.py, service.py. Plain data, JSON on the pipe, no torch.
Used by service.py, supervisor.py, inside.py, and by whoever asks for a verdict (the app, the command line).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from nn2llm.core.errors import LessonError

__all__ = ["RUN_JOB", "WARM_IMPORTS", "GradingJob", "Limits"]

RUN_JOB = "nn2llm.course.grading.running:run_job"
"""What grades in the job's own process: `run_job(job, report)`."""


# torch._dynamo comes in with the first step of torch.optim, and wraps torch.manual_seed.
WARM_IMPORTS = (
    "torch",
    "numpy",
    "torch.nn.functional",
    "torch.optim",
    "torch._dynamo",
    "yaml",
    "nn2llm.course.checks",
)
"""What most lessons use: imported once, before any job comes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one answer may use before it is stopped."""

    seconds: float = 10.0
    """Wall-clock time from the moment its process starts."""
    memory_mb: int = 512
    """Above what the warm process with torch already holds; of all its processes together."""
    output_bytes: int = 1_000_000
    """Printed, to stdout and stderr together."""
    processes: int = 16
    """At once, threads included; its own first process counts."""
    file_mb: int = 64
    """Written to files in its own folder, each and together."""
    files: int = 1000
    """Files and folders in its own folder."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
                raise LessonError(f"The limit {name} must be a number above 0, got {value!r}.")

    def changed(self, changes: Mapping[str, Any] | None) -> "Limits":
        """These limits with some of them changed, as an exercise's `limits: {seconds: 20}` asks.

        Raises:
            LessonError: for a name that is no limit, or a value that is no number above 0.
        """
        changes = dict(changes or {})
        unknown = sorted(set(changes) - set(self.__slots__))
        if unknown:
            raise LessonError(f"There is no limit {unknown[0]!r}. Limits are: {', '.join(self.__slots__)}.")
        return replace(self, **changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class GradingJob:
    """One text to grade: an exercise of a lesson's folder, with the seed its random numbers come from."""

    lesson_folder: str
    exercise: str
    text: str
    seed: int = 0
    limits: Limits | None = None
    """None: those of the service."""

    def to_json(self) -> dict[str, Any]:
        """As it travels on the pipe."""
        return {
            "lesson_folder": str(self.lesson_folder),
            "exercise": self.exercise,
            "text": self.text,
            "seed": self.seed,
            "limits": None if self.limits is None else asdict(self.limits),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "GradingJob":
        """The reverse of `to_json`."""
        limits = data["limits"]
        return cls(
            lesson_folder=data["lesson_folder"],
            exercise=data["exercise"],
            text=data["text"],
            seed=data["seed"],
            limits=None if limits is None else Limits(**limits),
        )
