"""Mistakes a check knows by what they return, and when it may name one.

Read session.py before. A mistake is named only when it is sure: on every call of the check, in every round,
the learner's value equals that suspect's and no other's, and where the learner is wrong the suspect is far
from the reference. One lucky whole number is no proof: see `_Proof`. Nor is one size of data: the exercise's
other checks must not contradict it.
"""

from collections.abc import Callable, Iterable
from collections.abc import Mapping as MappingType
from dataclasses import dataclass
from typing import Any

import numpy as np

from nn2llm.course.grading.compare import Tolerance, agree
from nn2llm.course.grading.plain import Array, Mapping, Number, Plain, Sequence, Text
from nn2llm.course.grading.session import CallRecord

__all__ = ["Suspect", "Suspects", "collect_suspects", "flatten", "is_generic", "name_suspect", "suspect"]

_FAR = 30.0  # times the tolerance: nearer could be rounding
_ENOUGH = 3  # wrong whole numbers or flags that must agree before they prove anything


@dataclass(frozen=True, slots=True)
class Suspect:
    """A known mistake: what to say, and the function (or value) that makes it."""

    says: str
    function: Any

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs) if callable(self.function) else self.function


Suspects = MappingType[str, Any] | Iterable[Suspect] | None


def suspect(says: str, function: Any = None) -> Any:
    """A known mistake, to be shared by several calls; also a decorator.

    `suspects=[suspect("You added the slope; …", lambda w, b, x, y, learning_rate: …)]`
    """
    if function is not None:
        return Suspect(says, function)
    return lambda decorated: Suspect(says, decorated)


def collect_suspects(suspects: Suspects) -> dict[str, Suspect]:
    """One form for a dict {says: function} and a list of `suspect`."""
    if suspects is None:
        return {}
    if isinstance(suspects, MappingType):
        return {says: Suspect(says, function) for says, function in suspects.items()}
    return {item.says: item for item in suspects}


def name_suspect(
    rounds: list[list[CallRecord]], elsewhere: Callable[[], list[CallRecord]] = list
) -> tuple[str | None, bool]:
    """(what the only suspect says that fits all calls, whether any suspect fits) over all rounds.

    A suspect that raises anywhere is out. Calls that offer no suspects do not count. `elsewhere` calls the
    learner's code with other arguments, where one that fits by chance (with 3 pages, 3/2 is both n/2 and
    n/(n - 1)) does not; it is asked only if some suspect fits.
    """
    records = [record for calls in rounds for record in calls]
    says = list(dict.fromkeys(key for record in records for key in record.suspects))
    proofs = {key: proof for key in says if (proof := _find_proof(key, records)) is not None}
    if proofs:
        others = elsewhere()
        proofs = {key: proof for key, proof in proofs.items() if not _is_contradicted(key, others, proof)}
    fitting = [key for key, proof in proofs.items() if proof.is_enough()]
    if len(fitting) != 1:
        return None, bool(fitting)
    return fitting[0], True


def _find_proof(says: str, records: list[CallRecord]) -> "_Proof | None":
    """What the wrong values prove; None where the suspect does not fit a call."""
    proof = _Proof()
    for record in records:
        if says not in record.suspects:
            # the learner fails here too, and nobody said what this suspect does: not the whole story
            if record.suspects and record.difference is not None:
                return None
            continue
        try:
            value = record.suspects[says]()
        except Exception:
            return None
        if not agree(record.returned, value, record.tolerance):
            return None
        if record.difference is not None:
            if not _is_far(value, record.expected, record.tolerance):
                return None
            proof.add(record)
    return proof


def _is_contradicted(says: str, records: list[CallRecord], proof: "_Proof") -> bool:
    """Whether the learner's value is clearly another than this suspect's on some call that offers it.

    Calls on which they agree add to the proof.
    """
    for record in records:
        numbers = flatten(record.returned)
        if says not in record.suspects or numbers is None or not _are_finite(numbers):
            continue
        try:
            value = record.suspects[says]()
        except Exception:
            continue
        if _is_far(value, record.returned, record.tolerance):
            return True
        if record.difference is not None and agree(record.returned, value, record.tolerance):
            proof.add(record)
    return False


def _are_finite(numbers: list[Any]) -> bool:
    return all(isinstance(number, str) or bool(np.isfinite(number)) for number in numbers)


def _is_far(value: Plain, expected: Plain, tolerance: Tolerance) -> bool:
    return not agree(value, expected, Tolerance(tolerance.atol * _FAR, tolerance.rtol * _FAR))


class _Proof:
    """How much the wrong values prove: a broken number hardly agrees by chance, True and 1 often do."""

    def __init__(self) -> None:
        self.generic = False
        self.values: list[Any] = []

    def add(self, record: CallRecord) -> None:
        returned, expected = flatten(record.returned), flatten(record.expected)
        if returned is None or expected is None or len(returned) != len(expected):
            # another shape or kind: its very numbers count, if there are any
            if returned is not None:
                self.generic |= any(is_generic(item) for item in returned)
            return
        for left, right in zip(returned, expected, strict=True):
            if not _same_number(left, right, record.tolerance):
                self.values.append(left)
                self.generic |= is_generic(left)

    def is_enough(self) -> bool:
        if self.generic:
            return True
        return len(self.values) >= _ENOUGH and len({str(value) for value in self.values}) >= 2


def _same_number(left: Any, right: Any, tolerance: Tolerance) -> bool:
    if isinstance(left, str) or isinstance(right, str):
        return bool(left == right)
    if left != left or right != right:
        return bool(left != left and right != right)
    return bool(left == right or abs(left - right) <= tolerance.atol + tolerance.rtol * abs(right))


def is_generic(value: Any) -> bool:
    """A number that is not met by chance: neither whole nor a simple half or quarter, nor a long text."""
    if isinstance(value, str):
        return len(value) >= 8
    if isinstance(value, complex):
        return is_generic(value.real) or is_generic(value.imag)
    if not np.isfinite(value):
        return False
    return abs(value * 12 - round(value * 12)) > 1e-4 and abs(value) > 1e-4


def flatten(value: Plain) -> list[Any] | None:
    """All numbers and texts inside a value, in order; None where there is something else."""
    if isinstance(value, Number):
        return [value.value]
    if isinstance(value, Text):
        return [str(value.value)]
    if isinstance(value, Array):
        return list(value.data.reshape(-1).tolist())
    items: list[Any] = []
    if isinstance(value, Sequence):
        parts = value.items
    elif isinstance(value, Mapping):
        parts = tuple(item for _, item in value.items)
    else:
        return None
    for part in parts:
        inner = flatten(part)
        if inner is None:
            return None
        items.extend(inner)
    return items
