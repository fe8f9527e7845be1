"""What a grading found: the verdict, its checks and their evidence, as they travel to the page in JSON.

Read first in this package. Made by running.py, in the child process; shown by the page, the command line and
the notebook. Plain data: importing this imports neither torch nor numpy.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["ArrayView", "CheckResult", "CheckStatus", "Evidence", "LearnerError", "Verdict", "VerdictStatus"]

CheckStatus = Literal["passed", "failed", "not run"]
VerdictStatus = Literal["passed", "failed", "unfinished", "error", "stopped"]


@dataclass(frozen=True, slots=True)
class ArrayView:
    """A tensor or array as a small table: at most 6 rows of 8, `…` for the rest."""

    label: str
    """"returned", "expected", or "argument x"."""
    shape: list[int]
    dtype: str
    values: list[list[str]]
    marked: list[list[int]] = field(default_factory=list)
    """[row, column] in `values` of the first elements that differ."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was called, what came back, and what should have. Shown before any diagnosis."""

    called: str | None = None
    returned: str | None = None
    expected: str | None = None
    lines: list[str] = field(default_factory=list)
    """Sentences that say what is wrong, most important first."""
    arrays: list[ArrayView] = field(default_factory=list)
    difference: str | None = None
    """"largest difference 0.31 at [3]; 18 of 20 differ"."""


@dataclass(slots=True)
class CheckResult:
    """One check, or one field of a form."""

    name: str
    title: str
    status: CheckStatus
    evidence: Evidence | None = None
    diagnosis: str | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True)
class LearnerError:
    """An exception of the learner's code: the frames of their own file only."""

    name: str
    message: str
    frames: list[dict[str, Any]]
    line: int | None
    tensors: list[dict[str, Any]] = field(default_factory=list)
    """The shapes of what the failing line names, as under a cell's error."""


@dataclass(slots=True)
class Verdict:
    """The answer to one Check. `message` is one sentence of Markdown."""

    exercise: str
    status: VerdictStatus
    message: str
    seed: int
    elapsed_s: float = 0.0
    checks: list[CheckResult] = field(default_factory=list)
    error: LearnerError | None = None
    printed: str = ""
    cut: bool = False
    warnings: list[str] = field(default_factory=list)
    """Warnings of the learner's own lines, kept apart from what was printed."""

    def to_json(self) -> dict[str, Any]:
        """Dicts, lists, strings and numbers; no NaN (numbers of the learner are written as text)."""
        return asdict(self)
