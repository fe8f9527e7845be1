"""What can be said of a wrong result without knowing the exercise: transposed, twice as large, constant.

Read suspects.py before. Each sentence is an observation that holds for every call of every round; where few
or whole numbers would make it hold by chance, nothing is said. Used by diagnosing.py.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from nn2llm.course.grading.compare import Tolerance, agree
from nn2llm.course.grading.plain import Array, Number, Plain, Sequence, Text
from nn2llm.course.grading.session import CallRecord
from nn2llm.course.grading.showing import show, write_number
from nn2llm.course.grading.suspects import flatten, is_generic

__all__ = ["name_structure"]

_EXACT = Tolerance(0.0, 0.0)
_FAR = 30.0
_FEW = 3  # different numbers that must obey before "everywhere" is said


def name_structure(rounds: list[list[CallRecord]]) -> str | None:
    """The first sentence that holds everywhere, or None."""
    records = [record for calls in rounds for record in calls]
    if not records or all(record.difference is None for record in records):
        return None
    if len({record.about for record in records}) != 1:
        return None  # results of some calls, gradients of others
    what = "The gradient of your result" if records[0].about else "Your result"
    for rule in (_extra_dimension, _transposed, _argument, _constant, _scaled, _shifted, _order):
        said = rule(records, what)
        if said is not None:
            return said
    return None


def _pairs(records: list[CallRecord]) -> list[tuple[Any, Any, CallRecord]] | None:
    """(returned array, expected array) of all calls; None if one has another kind."""
    found = []
    for record in records:
        left, right = _numbers(record.returned), _numbers(record.expected)
        if left is None or right is None or left.shape != right.shape or not left.size:
            return None
        found.append((left, right, record))
    return found


def _numbers(value: Plain) -> Any:
    items = flatten(value)
    if items is None or any(isinstance(item, (str, bool)) for item in items):
        return None
    try:
        array: Any = np.array(items, dtype=np.complex128)
    except (OverflowError, ValueError):
        return None
    array = array if np.any(array.imag) else array.real
    return array if np.all(np.isfinite(array)) else None


def _tolerances(right: Any, record: CallRecord) -> Any:
    return record.tolerance.atol + record.tolerance.rtol * np.abs(right)


def _has_few(values: list[Any], tolerances: list[Any]) -> bool:
    """Whether too few different sizes are among the numbers for a rule about all of them."""
    sizes = np.concatenate(
        [np.abs(item)[np.abs(item) > 100 * bound] for item, bound in zip(values, tolerances, strict=True)]
    )
    return len({f"{size:.4g}" for size in sizes.tolist()}) < _FEW


def _extra_dimension(records: list[CallRecord], what: str) -> str | None:
    said = None
    for record in records:
        left, right = _shaped(record.returned), _shaped(record.expected)
        if left is None or right is None:
            return None
        if left.shape == right.shape:
            if record.difference is not None:
                return None
            continue
        if left.size != right.size or _squeezed(left.shape) != _squeezed(right.shape):
            return None
        flat = Array(left.reshape(right.shape), "", "tensor")
        if not agree(flat, Array(right, "", "tensor"), record.tolerance):
            return None
        said = (
            f"The numbers are right, the shape is not: {left.shape}, expected {right.shape}. "
            "A dimension of size 1 is missing, too many, or in another place."
        )
    return said


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _shaped(value: Plain) -> Any:
    if isinstance(value, Array):
        return value.data
    return np.array(value.value) if isinstance(value, Number) else None


def _transposed(records: list[CallRecord], what: str) -> str | None:
    said = None
    for record in records:
        left, right = record.returned, record.expected
        if not isinstance(left, Array) or not isinstance(right, Array) or left.data.ndim < 2:
            return None
        turned = Array(np.swapaxes(left.data, -1, -2), "", "tensor")
        if turned.shape != right.shape or not agree(
            turned, Array(right.data, "", "tensor"), record.tolerance
        ):
            return None
        if record.difference is None:
            continue
        if not _is_varied(right.data):
            return None
        shapes = f"(shape {left.shape}, expected {right.shape})"
        said = f"{what} is transposed: its rows should be its columns {shapes}."
    return said


def _is_varied(data: Any) -> bool:
    return len({f"{value:.5g}" for value in data.reshape(-1).tolist()}) > data.size // 2 and data.size >= 4


def _argument(records: list[CallRecord], what: str) -> str | None:
    """An argument came back, or for a tuple one argument for each part."""
    if records[0].about:
        return None
    names: list[str] | None = None
    proved = False
    for record in records:
        parts = record.returned.items if isinstance(record.returned, Sequence) else (record.returned,)
        if isinstance(record.returned, Sequence) and not parts:
            return None
        found = []
        for part in parts:
            equal = [name for name, value in record.arguments.items() if agree(part, value, _EXACT)]
            if isinstance(part, (Text, Number)) and isinstance(part.value, (bool, str, type(None))):
                return None
            found.append(equal)
        if any(len(equal) != 1 for equal in found):
            return None
        here = [equal[0] for equal in found]
        if names is not None and here != names:
            return None
        names = here
        if record.difference is not None:
            numbers = flatten(record.returned) or []
            proved |= any(is_generic(number) for number in numbers)
    if not names or not proved or len(set(names)) != len(names):
        return None
    if len(names) == 1:
        return f"Your function returned its argument `{names[0]}` unchanged."
    return f"Your function returned its arguments {', '.join(f'`{name}`' for name in names)} unchanged."


def _constant(records: list[CallRecord], what: str) -> str | None:
    if records[0].about:
        return None
    first = records[0].returned
    if _numbers(first) is None and flatten(first) is not None and not isinstance(first, Text):
        return None  # NaN and infinity come out of many calculations that heed their arguments
    pairs = _pairs(records)
    if pairs is not None and all(not np.any(left) for left, _, _ in pairs):
        wrong = [pair for pair in pairs if pair[2].difference is not None]
        if sum(int(np.count_nonzero(right)) for _, right, _ in wrong) >= _FEW:
            return "Every number of your result is 0."
    if len(records) < _FEW or not all(agree(record.returned, first, _EXACT) for record in records):
        return None
    expected = [record.expected for record in records]
    different = [item for item in expected if not agree(item, expected[0], records[0].tolerance)]
    if not different or isinstance(first, Text):
        return None
    return f"Your function returned {show(first)} on all {len(records)} calls, whatever the arguments."


def _scaled(records: list[CallRecord], what: str) -> str | None:
    pairs = _pairs(records)
    if pairs is None:
        return None
    rights = [right for _, right, _ in pairs]
    bounds = [_tolerances(right, record) for _, right, record in pairs]
    if _has_few(rights, bounds):
        return None
    left, right, _ = max(pairs, key=lambda pair: float(np.max(np.abs(pair[1]))))
    place = int(np.argmax(np.abs(right)))
    factor = left[place] / right[place]
    if not np.isfinite(factor) or abs(factor.imag) > 0 or abs(factor) < 1e-6:
        return None
    factor = float(np.real(factor))
    nice = _nice(factor)
    if nice is not None:
        factor = nice
    for (left, right, _), bound in zip(pairs, bounds, strict=True):
        if np.any(np.abs(left - factor * right) > (1 + abs(factor)) * bound):
            return None
    if not _is_far(pairs, bounds, lambda right: factor * right):
        return None
    calls = f" on all {len(records)} calls" if len(records) > 1 else ""
    if abs(factor + 1) < 1e-9:
        return f"{what} has the sign turned: it is −1 times the expected one{calls}."
    return f"{what} is {write_number(factor, 4).removesuffix('.0')} times the expected one{calls}."


def _nice(factor: float) -> float | None:
    """The fraction that a factor is, to float32's precision."""
    for below in (1, 2, 3, 4, 5, 6, 8, 10):
        above = round(factor * below)
        if above and abs(factor * below - above) < 2e-5 * abs(above):
            return above / below
    return None


def _is_far(pairs: list[Any], bounds: list[Any], wrong: Callable[[Any], Any]) -> bool:
    return any(
        bool(np.any(np.abs(wrong(right) - right) > _FAR * bound))
        for (_, right, record), bound in zip(pairs, bounds, strict=True)
        if record.difference is not None
    )


def _shifted(records: list[CallRecord], what: str) -> str | None:
    pairs = _pairs(records)
    if pairs is None:
        return None
    bounds = [_tolerances(right, record) for _, right, record in pairs]
    if _has_few([right for _, right, _ in pairs], bounds):
        return None
    left, right, _ = pairs[0]
    shift = left[0] - right[0]
    if np.iscomplexobj(shift):
        return None
    shift = float(shift)
    nearest = round(shift, 4)
    if abs(nearest - shift) < 1e-5 and nearest:
        shift = nearest
    for (left, right, _), bound in zip(pairs, bounds, strict=True):
        if np.any(np.abs(left - right - shift) > 3 * bound):
            return None
    if not _is_far(pairs, bounds, lambda right: right + shift):
        return None
    word = "more" if shift > 0 else "less"
    calls = f", on all {len(records)} calls" if len(records) > 1 else ""
    amount = write_number(abs(shift), 4).removesuffix(".0")
    return f"{what} is {amount} {word} than expected everywhere{calls}."


def _order(records: list[CallRecord], what: str) -> str | None:
    """Reversed, or otherwise in another order; of flat results alone."""
    reverse, other = False, False
    for record in records:
        if _is_nested(record.expected) or _is_nested(record.returned):
            return None
    pairs = _pairs(records)
    if pairs is None:
        return None
    for left, right, record in pairs:
        bound = np.max(_tolerances(right, record))
        if np.iscomplexobj(left) or np.iscomplexobj(right):
            return None
        if np.any(np.abs(np.sort(left) - np.sort(right)) > bound):
            return None
        if record.difference is None:
            continue
        if right.size < 4 or not _is_varied(right):
            return None
        if np.all(np.abs(left[::-1] - right) <= bound):
            reverse = True
        else:
            other = True
    if reverse and not other:
        return f"{what} is in reverse order."
    return "The numbers are right, their order is not." if other and not reverse else None


def _is_nested(value: Plain) -> bool:
    if isinstance(value, Array):
        return value.data.ndim != 1
    return not (
        isinstance(value, Sequence)
        and value.kind in ("list", "tuple", "range")
        and all(isinstance(item, Number) for item in value.items)
    )
