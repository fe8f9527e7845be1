"""Values in words: one line for a call, a few digits for a number, a small table for a tensor.

Read plain.py and evidence.py before. Numbers are written so short that they still differ where they do.
Used by calls.py and expressions.
"""

import inspect
import math
from collections.abc import Callable
from collections.abc import Mapping as MappingType
from typing import Any

import numpy as np

from nn2llm.course.grading.evidence import ArrayView
from nn2llm.course.grading.plain import Array, Mapping, Number, Other, Plain, Sequence, Text

__all__ = ["bind_names", "choose_digits", "show", "show_call", "view_array", "write_number"]

_ROWS, _COLUMNS = 6, 8
_MAX_TEXT = 200
_MAX_CALL = 600


def write_number(value: Any, digits: int = 5) -> str:
    """ "0.31", "1e-05", "nan", "−inf" as Python writes them, with at most `digits` digits."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (int, np.integer)):
        text = str(int(value)) if abs(int(value)) < 10**18 else f"{float(value):.6g}"
        return text
    if isinstance(value, (complex, np.complexfloating)):
        return f"{value.real:.{digits}g}{value.imag:+.{digits}g}j"
    number = float(value)
    text = f"{number:.{digits}g}"
    if math.isfinite(number) and not set(text) & {".", "e"}:
        text += ".0"
    return text


def choose_digits(left: Any, right: Any) -> int:
    """The fewest digits, from 5, with which two numbers that differ are written differently."""
    for digits in (5, 7, 9, 12):
        if write_number(left, digits) != write_number(right, digits):
            return digits
    return 17


def show(value: Plain, digits: int = 5) -> str:
    """One short line: `0.31`, `tensor([0.1, 0.2])`, `tensor (20,) float32, -2.1 to 1.9`, `(1.0, 2.0)`."""
    text = _show(value, digits)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 2] + " …"


def _show(value: Plain, digits: int) -> str:
    if isinstance(value, Number):
        text = write_number(value.value, digits)
        return f"tensor({text})" if value.source.startswith("tensor") else text
    if isinstance(value, Array):
        return _show_array(value, digits)
    if isinstance(value, Text):
        if value.kind in ("str", "bytes"):
            return repr(value.value) if len(value.value) <= 80 else repr(value.value[:78]) + " …"
        return "..." if value.value is Ellipsis else str(value.value)
    if isinstance(value, Sequence):
        opening, closing = {"list": ("[", "]"), "set": ("{", "}")}.get(value.kind, ("(", ")"))
        limit = 8 if all(isinstance(item, (Number, Text)) for item in value.items) else 4
        parts = [_show(item, digits) for item in value.items[:limit]]
        if len(value.items) > limit or value.cut:
            parts.append(f"… {len(value.items):,} in all" if not value.cut else "…")
        inside = ", ".join(parts) + ("," if value.kind == "tuple" and len(parts) == 1 else "")
        prefix = value.kind + " " if value.kind in ("range", "generator") else ""
        return f"{prefix}{opening}{inside}{closing}"
    if isinstance(value, Mapping):
        if value.kind != "dict":
            return f"{value.kind}(…)"
        parts = [f"{_show(key, digits)}: {_show(item, digits)}" for key, item in value.items[:5]]
        return "{" + ", ".join([*parts, *(["…"] if len(value.items) > 5 else [])]) + "}"
    assert isinstance(value, Other)
    return f"<{value.kind}>"


def _show_array(value: Array, digits: int) -> str:
    small = (value.data.ndim == 1 and value.data.size <= 6) or (value.data.ndim == 2 and value.data.size <= 9)
    if small and value.data.size:
        rows = value.data if value.data.ndim == 2 else value.data[None]
        texts = ["[" + ", ".join(write_number(item, min(digits, 9)) for item in row) + "]" for row in rows]
        inside = "[" + ", ".join(texts) + "]" if value.data.ndim == 2 else texts[0]
        return f"{value.library}({inside})"
    text = f"{value.library} {value.shape} {value.dtype}"
    if not value.data.size:
        return text + ", empty"
    if value.data.dtype.kind not in "if":
        return text
    with np.errstate(all="ignore"):
        holes = int(np.count_nonzero(np.isnan(value.data)))
        if holes == value.data.size:
            return text + ", all NaN"
        low, high = np.nanmin(value.data), np.nanmax(value.data)
    span = f"all {write_number(low)}" if low == high else f"{write_number(low, 3)} to {write_number(high, 3)}"
    return f"{text}, {span}" + (f", {holes:,} NaN" if holes else "")


def bind_names(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: MappingType[str, Any]
) -> list[str]:
    """A name for each argument, those of the function's parameters where it can be asked."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names: list[str] = []
    for index in range(len(args)):
        if index < len(parameters) and parameters[index].kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        ):
            names.append(parameters[index].name)
        else:
            names.append(f"#{index + 1}")
    return names + [key for key in kwargs if key not in names]


def show_call(name: str, arguments: MappingType[str, Plain]) -> str:
    """`gradient_step(w=0.1, b=0.0, x=tensor (20,) float32, -2.1 to 1.9)`."""
    parts = [
        show(value) if label.startswith("#") else f"{label}={show(value)}"
        for label, value in arguments.items()
    ]
    text = f"{name}({', '.join(parts)})"
    return text if len(text) <= _MAX_CALL else text[: _MAX_CALL - 3] + " …)"


def view_array(
    label: str, value: Array, index: tuple[int, ...] = (), other: Array | None = None, mark: bool = True
) -> ArrayView:
    """A window of at most 6 x 8 around `index`, which is marked; more dimensions are cut to that slice.

    With `other` (of the same shape), numbers get as many digits as show the difference.
    """
    data, index = value.data, index or (0,) * value.data.ndim
    if data.ndim > 2:
        slice_ = ", ".join(str(i) for i in index[:-2])
        label = f"{label}[{slice_}]"
    leading = index[:-2]
    table = data[leading] if data.ndim > 2 else data
    table = table[None] if table.ndim == 1 else table
    row, column = (index[-2] if data.ndim > 1 else 0), index[-1]
    digits = 5
    if other is not None and other.shape == value.shape and data.size:
        digits = min(choose_digits(data[index], other.data[index]), 12)
    top, left = _window(row, table.shape[0], _ROWS), _window(column, table.shape[1], _COLUMNS)
    values = [[_cell(table, r, c, digits) for c in left] for r in top]
    marked = [[top.index(row), left.index(column)]] if mark and data.size else []
    return ArrayView(label, list(value.shape), value.dtype, values, marked)


def _window(center: int, size: int, room: int) -> list[int | None]:
    """Indices to show, `center` among them, None where some are left out."""
    if size <= room:
        return list(range(size))
    start = 0 if center < room - 1 else min(center - room // 2, size - room + 1)
    indices: list[int | None] = list(range(start, start + room))
    if start > 0:
        indices[0] = None
    if start + room < size:
        indices[-1] = None
    else:
        indices[1:] = range(size - room + 1, size)
    return indices


def _cell(table: Any, row: int | None, column: int | None, digits: int) -> str:
    return "…" if row is None or column is None else write_number(table[row, column].item(), digits)
