"""One grading as it goes on: its seed, the check that runs, what it called, how it failed.

Read evidence.py before. calls.py writes into it, running.py drives it. Everything random comes from one seed,
so a verdict can be had again: generator number k of a check is seeded by (seed, check, k).
"""

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch

from nn2llm.course.grading.compare import Difference, Tolerance
from nn2llm.course.grading.evidence import Evidence
from nn2llm.course.grading.plain import Plain

__all__ = ["CallRecord", "CheckFailed", "Session", "current", "derive_seed", "generator", "new_session"]

_Generator, _default_generator = torch.Generator, torch.default_generator
_seed_numpy, _seed_python, _sha256 = np.random.seed, random.seed, hashlib.sha256
_set_grad_enabled, _set_default_dtype = torch.set_grad_enabled, torch.set_default_dtype
_default_dtype = torch.get_default_dtype()
_clock = time.perf_counter


class CheckFailed(AssertionError):
    """A check that does not hold, with its evidence. Raised by same(), require() and their kin."""

    def __init__(
        self,
        evidence: Evidence,
        *,
        diagnosis: str | None = None,
        unfinished: bool = False,
        suspected: bool = False,
    ) -> None:
        super().__init__("; ".join(evidence.lines) or "the check does not hold")
        self.evidence = evidence
        self.diagnosis = diagnosis
        self.unfinished = unfinished
        self.suspected = suspected
        """Whether running the check again may tell which mistake it is."""

    def with_line(self, line: str) -> "CheckFailed":
        """The same failure with one more line of evidence."""
        self.evidence = replace(self.evidence, lines=[*self.evidence.lines, line])
        return self


@dataclass(slots=True)
class CallRecord:
    """One comparison of a check: enough to ask later what each suspect would have returned."""

    returned: Plain
    expected: Plain
    tolerance: Tolerance
    difference: Difference | None
    suspects: dict[str, Callable[[], Plain]]
    """What it says → what it returns here; raises where it cannot."""
    arguments: dict[str, Plain] = field(default_factory=dict)
    about: str = ""
    """Stands before the sentence that says what differs."""


@dataclass(slots=True)
class Session:
    """The grading of one text; `mode` "diagnose" goes on after a difference, to see all calls of a check."""

    seed: int
    mode: Literal["judge", "diagnose"] = "judge"
    check: str = ""
    round: int = 0
    """0 when judging; the rounds of a diagnosis draw other numbers."""
    records: list[CallRecord] = field(default_factory=list)
    last_call: str | None = None
    last_returned: Plain | None = None
    depth: int = 0
    """How many calls into the learner's code are under way."""
    raised: BaseException | None = None
    """The last exception that came out of the learner's code."""
    random_used: bool = False
    touched: list[str] = field(default_factory=list)
    """What of the checker the learner's code laid hands on."""
    count: int = 0
    started: float = field(default_factory=_clock)

    def begin(self, check: str, *, round: int = 0) -> None:
        """A new check (or one more round of it): numbers start anew."""
        self.check, self.round, self.count = check, round, 0
        self.records = []
        self.last_call, self.last_returned, self.raised = None, None, None
        self.random_used = False
        # what the learner's text may have switched for the whole process
        _set_grad_enabled(True)
        _set_default_dtype(_default_dtype)
        self.seed_everything("before")

    def elapsed(self) -> float:
        """Seconds since the grading began."""
        return _clock() - self.started

    def next_seed(self) -> int:
        """The seed of the next generator of this check."""
        self.count += 1
        return derive_seed(self.seed, self.check, self.round, self.count)

    def seed_everything(self, what: object) -> None:
        """torch's, numpy's and Python's own generators, the same for the learner and the reference."""
        seed = derive_seed(self.seed, self.check, self.round, "global", what)
        _default_generator.manual_seed(seed)
        _seed_numpy(seed % 2**32)
        _seed_python(seed)

    @contextmanager
    def inside_learner(self, *, counted: bool = True) -> Iterator[None]:
        """Around every call into the learner's code; keeps what it raised apart from our exceptions.

        `counted` is false for a check's own lambda around the learner's call: it may use the reference.
        """
        self.depth += counted
        try:
            yield
        except BaseException as error:
            # from a check's own lambda, a CheckFailed is ours: the learner's function cannot be called so
            if counted or not isinstance(error, CheckFailed):
                self.raised = error
            raise
        finally:
            self.depth -= counted


def derive_seed(*parts: object) -> int:
    """A seed below 2^63 from anything with a repr; small changes give unrelated ones."""
    return int.from_bytes(_sha256(repr(parts).encode()).digest()[:8], "big") >> 1


_session: list[Session] = []


def current() -> Session:
    """The grading under way; outside of one (a trial in a notebook) a new one with seed 0."""
    if not _session:
        _session.append(Session(seed=0))
    return _session[-1]


@contextmanager
def new_session(seed: int) -> Iterator[Session]:
    """Make a grading the current one."""
    session = Session(seed=seed)
    _session.append(session)
    try:
        yield session
    finally:
        _session.remove(session)


def generator() -> torch.Generator:
    """A torch.Generator on the CPU, seeded afresh for each grading; the verdict says its seed."""
    session = current()
    session.random_used = True
    made = _Generator()
    made.manual_seed(session.next_seed())
    return made


def describe_error(error: BaseException) -> Any:
    """ "ValueError: …", even where the exception cannot be printed."""
    name = type(error).__name__
    try:
        text = str(error)
    except BaseException:
        return f"{name} (its message cannot be printed)"
    return f"{name}: {text}"[:400] if text else name
