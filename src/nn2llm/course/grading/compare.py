"""Whether what came back is what was expected, and if not, where: structure first, then numbers.

Read plain.py before: both sides are plain data here, and numpy's functions were looked up before the
learner's text was loaded. Used by calls.py; suspects.py asks `agree` of a learner's and a suspect's value.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from nn2llm.course.grading.plain import Array, Mapping, Number, Other, Plain, Sequence, Text
from nn2llm.course.grading.showing import choose_digits, write_number

__all__ = ["Difference", "Tolerance", "agree", "compare", "name_kind"]

Kind = Literal["unfinished", "nothing", "type", "length", "shape", "dtype", "nan", "detached", "value"]
# What explains most comes first: a wrong shape makes wrong numbers, never the other way round.
_ORDER = ("unfinished", "nothing", "type", "length", "shape", "dtype", "nan", "value", "detached")

_isnan, _isinf, _abs, _all, _any, _where = np.isnan, np.isinf, np.abs, np.all, np.any, np.where
_argwhere, _count, _errstate, _nanmax = np.argwhere, np.count_nonzero, np.errstate, np.nanmax
_float64, _unravel, _argmax = np.float64, np.unravel_index, np.argmax


@dataclass(frozen=True, slots=True)
class Tolerance:
    """|returned − expected| ≤ atol + rtol·|expected|. Whole numbers agree exactly or not at all."""

    atol: float
    rtol: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference that explains most, and how many numbers differ in all."""

    kind: Kind
    path: str
    """"" for the value itself, "[1]" or "['loss']" inside it."""
    text: str
    """One sentence."""
    returned: Plain
    expected: Plain
    index: tuple[int, ...] = ()
    """First element that differs, of an array."""
    count: int = 0
    total: int = 0
    largest: float | None = None
    largest_at: str = ""

    def summary(self) -> str | None:
        """ "largest difference 0.31 at [3]; 18 of 20 differ"; None where no numbers were compared."""
        if self.kind not in ("value", "nan") or not self.total:
            return None
        parts = []
        if self.largest is not None:
            where = f" at {self.largest_at}" if self.largest_at else ""
            parts.append(f"largest difference {self.largest:.3g}{where}")
        if self.total > 1:
            parts.append(f"{self.count:,} of {self.total:,} differ")
        return "; ".join(parts) or None


@dataclass(slots=True)
class _Issue:
    kind: Kind
    path: str
    text: str
    returned: Plain
    expected: Plain
    index: tuple[int, ...] = ()
    count: int = 0
    largest: float | None = None
    largest_at: str = ""


class _Walk:
    def __init__(self, tolerance: Tolerance, dtype: bool, gradient: bool) -> None:
        self.tolerance, self.dtype, self.gradient = tolerance, dtype, gradient
        self.total = 0


def compare(
    returned: Plain,
    expected: Plain,
    tolerance: Tolerance,
    *,
    dtype: bool = True,
    gradient: bool = False,
) -> Difference | None:
    """None where they agree. `gradient`: what requires a gradient in `expected` must in `returned`."""
    walk = _Walk(tolerance, dtype, gradient)
    issues = list(_compare(returned, expected, "", walk))
    if not issues:
        return None
    first = min(issues, key=lambda issue: _ORDER.index(issue.kind))
    numeric = [issue for issue in issues if issue.largest is not None]
    largest = max(numeric, key=lambda issue: issue.largest or 0.0) if numeric else None
    return Difference(
        kind=first.kind,
        path=first.path,
        text=first.text,
        returned=first.returned,
        expected=first.expected,
        index=first.index,
        count=sum(issue.count for issue in issues),
        total=walk.total,
        largest=None if largest is None else largest.largest,
        largest_at="" if largest is None else largest.largest_at,
    )


def agree(left: Plain, right: Plain, tolerance: Tolerance) -> bool:
    """Whether two values are the same within the tolerance, dtypes apart."""
    return compare(left, right, tolerance, dtype=False) is None


def _compare(returned: Plain, expected: Plain, path: str, walk: _Walk) -> Iterator[_Issue]:
    def issue(kind: Kind, text: str) -> _Issue:
        return _Issue(kind, path, _say(path, text), returned, expected)

    if isinstance(returned, Text) and returned.value is Ellipsis and not _is(expected, Ellipsis):
        yield issue("unfinished", "`...` still stands there.")
    elif isinstance(returned, Text) and returned.value is None and not _is(expected, None):
        yield issue("nothing", f"nothing came back (None), expected {name_kind(expected)}.")
    elif isinstance(expected, Number) and isinstance(returned, Number):
        yield from _compare_numbers(returned, expected, path, walk)
    elif isinstance(expected, (Number, Array)) and isinstance(returned, (Number, Array)):
        yield from _compare_arrays(returned, expected, path, walk)
    elif isinstance(expected, Text) and isinstance(returned, Text):
        walk.total += 1
        if returned.kind != expected.kind:
            yield issue("type", f"{name_kind(returned)} came back, expected {name_kind(expected)}.")
        elif returned.value is not expected.value and returned.value != expected.value:
            found = issue("value", _text_difference(returned.value, expected.value))
            found.count = 1
            yield found
    elif isinstance(expected, Sequence) and isinstance(returned, Sequence):
        yield from _compare_sequences(returned, expected, path, walk)
    elif isinstance(expected, Mapping) and isinstance(returned, Mapping):
        yield from _compare_mappings(returned, expected, path, walk)
    else:
        yield issue("type", f"{name_kind(returned)} came back, expected {name_kind(expected)}.")


def _say(path: str, text: str) -> str:
    return f"At `{path}`: {text}" if path else text if text.startswith("inf") else text[0].upper() + text[1:]


def _is(value: Plain, what: object) -> bool:
    return isinstance(value, Text) and value.value is what


def _text_difference(returned: Any, expected: Any) -> str:
    if isinstance(returned, str) and isinstance(expected, str):
        pairs = zip(returned, expected, strict=False)
        place = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(returned), len(expected)))
        return f"the texts differ from character {place + 1} on."
    return "the values differ."


def _number_kinds_fit(returned: Number, expected: Number) -> bool:
    fits = {
        "bool": ("bool",),
        "int": ("int",),
        "float": ("float", "int"),
        "complex": ("complex", "float", "int"),
    }
    return returned.kind in fits[expected.kind]


def _compare_numbers(returned: Number, expected: Number, path: str, walk: _Walk) -> Iterator[_Issue]:
    walk.total += 1
    if not _number_kinds_fit(returned, expected):
        text = f"{name_kind(returned)} came back, expected {name_kind(expected)}."
        yield _Issue("type", path, _say(path, text), returned, expected)
        return
    left, right = returned.value, expected.value
    largest: float | None = None
    kind: Kind = "value"
    if expected.kind in ("bool", "int") or (returned.kind == "int" and left == right):
        same = left == right
        largest = None if same or expected.kind == "bool" else float(abs(left - right))
    else:
        same, largest, nan = _close(left, right, walk.tolerance)
        kind = "nan" if nan else "value"
    if not same:
        digits = choose_digits(left, right)
        found = "NaN (not a number)" if kind == "nan" else write_number(left, digits)
        text = f"{found} came back, expected {write_number(right, digits)}."
        yield _Issue(kind, path, _say(path, text), returned, expected, (), 1, largest, path)
    elif walk.gradient and expected.requires_grad and not returned.requires_grad:
        yield _detached(path, returned, expected)


def _close(left: Any, right: Any, tolerance: Tolerance) -> tuple[bool, float | None, bool]:
    """(same, difference where finite, NaN where a number was expected) of two numbers."""
    if right != right:
        return left != left, None, False
    if left != left:
        return False, None, True
    if left == right:  # infinities of one sign too
        return True, 0.0, False
    try:
        distance = float(abs(left - right))
        bound = tolerance.atol + tolerance.rtol * float(abs(right))
    except OverflowError:
        return False, None, False
    if distance in (float("inf"),) or distance != distance:
        return False, None, False
    return distance <= bound, distance, False


def _detached(path: str, returned: Plain, expected: Plain) -> _Issue:
    text = (
        "the result is detached: no gradient can flow back through it "
        "(`.detach()`, `.item()`, `.data`, numpy or `torch.tensor(…)` cut it off)."
    )
    return _Issue("detached", path, _say(path, text), returned, expected)


def _compare_arrays(
    returned: Number | Array, expected: Number | Array, path: str, walk: _Walk
) -> Iterator[_Issue]:
    def issue(kind: Kind, text: str) -> _Issue:
        return _Issue(kind, path, _say(path, text), returned, expected)

    wanted = () if isinstance(expected, Number) else expected.shape
    found = () if isinstance(returned, Number) else returned.shape
    if found != wanted:
        walk.total += 1
        yield issue("shape", f"{name_kind(returned)} came back, expected {name_kind(expected)}.")
        return
    assert isinstance(returned, Array)
    assert isinstance(expected, Array)
    if returned.library != expected.library:
        names = {"tensor": "a torch tensor", "array": "a numpy array"}
        text = f"{names[returned.library]} came back, expected {names[expected.library]}."
        yield issue("type", text)
        return
    if walk.dtype and not _dtypes_fit(returned, expected):
        yield issue("dtype", f"the dtype is {returned.dtype}, expected {expected.dtype}.")
        return
    yield from _compare_elements(returned, expected, path, walk)
    if walk.gradient and expected.requires_grad and not returned.requires_grad:
        yield _detached(path, returned, expected)


def _dtypes_fit(returned: Array, expected: Array) -> bool:
    # token ids in int32 are as good as in int64; the precision of floats is not a matter of taste
    kinds = returned.data.dtype.kind + expected.data.dtype.kind
    return returned.dtype == expected.dtype or kinds == "ii"


def _compare_elements(returned: Array, expected: Array, path: str, walk: _Walk) -> Iterator[_Issue]:
    left, right = returned.data, expected.data
    walk.total += int(right.size)
    if right.size == 0:
        return
    with _errstate(all="ignore"):
        if left.dtype.kind in "bi" and right.dtype.kind in "bi":
            wrong = left != right
            nan = wrong & False
            distance = _abs(left.astype(_float64) - right.astype(_float64))
        else:
            nan = _isnan(left) & ~_isnan(right)
            distance = _where(left == right, 0.0, _abs(left - right))
            bound = walk.tolerance.atol + walk.tolerance.rtol * _abs(right)
            close = (distance <= bound) & ~_isinf(right)
            wrong = ~((left == right) | close | (_isnan(left) & _isnan(right)))
    if not _any(wrong):
        return
    index = tuple(int(i) for i in _argwhere(nan if _any(nan) else wrong)[0])
    finite = _where(wrong & ~_isinf(distance) & ~_isnan(distance), distance, -1.0)
    place = _unravel(int(_argmax(finite)), finite.shape)
    largest = float(finite[place]) if finite[place] >= 0 and right.dtype.kind != "b" else None
    where = "[" + ", ".join(str(i) for i in index) + "]"
    if _any(nan):
        text = f"NaN (not a number) came back, first at {where}."
    elif _count(wrong) == right.size and right.size > 1:
        text = "the shape is right, the numbers are not."
    else:
        text = f"the numbers differ, first at {where}."
    yield _Issue(
        "nan" if _any(nan) else "value",
        path,
        _say(path, text),
        returned,
        expected,
        index,
        int(_count(wrong)),
        largest,
        path + "[" + ", ".join(str(int(i)) for i in place) + "]",
    )


def _compare_sequences(returned: Sequence, expected: Sequence, path: str, walk: _Walk) -> Iterator[_Issue]:
    def issue(kind: Kind, text: str) -> _Issue:
        return _Issue(kind, path, _say(path, text), returned, expected)

    # a tuple is as good as a list; a generator only where one is wanted, since it can be read but once
    either = ("list", "tuple", "range")
    same_kind = returned.kind == expected.kind or (returned.kind in either and expected.kind in either)
    if not same_kind and not (expected.kind == "generator" and returned.kind in either):
        remedy = " Collect it with `list(…)`." if returned.kind == "generator" else ""
        yield issue("type", f"{name_kind(returned)} came back, expected {name_kind(expected)}.{remedy}")
        return
    if len(returned.items) != len(expected.items) or returned.cut != expected.cut:
        found = f"{len(returned.items):,}{' and more' if returned.cut else ''}"
        walk.total += 1
        yield issue(
            "length",
            f"{_article(expected.kind)} of {found} came back, expected {len(expected.items):,} items.",
        )
        return
    for index, (left, right) in enumerate(zip(returned.items, expected.items, strict=True)):
        yield from _compare(left, right, f"{path}[{index}]", walk)


def _compare_mappings(returned: Mapping, expected: Mapping, path: str, walk: _Walk) -> Iterator[_Issue]:
    def issue(kind: Kind, text: str) -> _Issue:
        return _Issue(kind, path, _say(path, text), returned, expected)

    if (returned.kind == "dict") != (expected.kind == "dict"):
        yield issue("type", f"{name_kind(returned)} came back, expected {name_kind(expected)}.")
        return
    found = {_key(key): item for key, item in returned.items}
    wanted = {_key(key): item for key, item in expected.items}
    missing = [key for key in wanted if key not in found]
    extra = [key for key in found if key not in wanted]
    if missing or extra:
        walk.total += 1
        parts = [f"{', '.join(missing[:4])} is missing" if missing else ""]
        parts.append(f"{', '.join(extra[:4])} is not wanted" if extra else "")
        yield issue("length", f"of the keys, {' and '.join(part for part in parts if part)}.")
        return
    for key, right in wanted.items():
        yield from _compare(found[key], right, f"{path}[{key}]", walk)


def _key(key: Plain) -> str:
    if isinstance(key, (Text, Number)):
        return repr(key.value)
    if isinstance(key, Sequence):
        return "(" + ", ".join(_key(item) for item in key.items) + ")"
    return repr(type(key))


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def name_kind(value: Plain) -> str:
    """ "a tensor of shape (20, 1)", "a single number", "a tuple of 2"."""
    if isinstance(value, Number):
        names = {"bool": "True or False", "int": "a whole number", "float": "a single number"}
        name = names.get(value.kind, "a complex number")
        return f"{name} ({'float' if value.kind == 'float' else value.kind})"
    if isinstance(value, Array):
        return f"{_article(value.library)} of shape {value.shape}"
    if isinstance(value, Text):
        return {"None": "None", "...": "`...`", "str": "a text (str)"}.get(value.kind, _article(value.kind))
    if isinstance(value, Sequence):
        return f"{_article(value.kind)} of {len(value.items):,}{' and more' if value.cut else ''}"
    if isinstance(value, Mapping):
        return "a dict" if value.kind == "dict" else f"a {value.kind}"
    assert isinstance(value, Other)
    return f"{value.article} `{value.kind}`"
