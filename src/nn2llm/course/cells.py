"""What a lesson's cells import: `verify`, which checks an equation; in notebooks `check`, for exercises.

A verify cell computes both sides of an equation by independent routes, and a plausible false version of it:

    verify(lhs, rhs, false_twin=without_the_scale, atol=1e-6, route="autograd")

It passes where both sides agree within `atol` everywhere *and* the false version is told apart; an equation
checked only against values at which a wrong one agrees too would be no check. On the course's page the result
becomes the mark "numerically checked"; in plain Jupyter it is a line of text. Used by lessons; imports
neither torch nor numpy before a cell calls it.
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from nn2llm.core.errors import LessonError

__all__ = ["VerificationError", "Verified", "check", "equation_of_cell", "verify"]

# The page's name for a result; also course/kernels/protocol.py, which a cell has no need to import.
_MIME = "application/vnd.nn2llm.verify+json"

# How many times `atol` a false version must be away to count as told apart.
_APART = 100.0

_equation_of_cell: str | None = None


class VerificationError(LessonError):
    """The two sides of an equation differ, or the check could not have told a false one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The result of a check, as the page shows it."""

    eq: str | None
    ok: bool
    route: str
    """How the other side was computed, in a word or two: autograd, sampling, scipy."""
    largest_difference: float | None
    atol: float
    false_twin_difference: float | None
    compared: int
    """How many pairs of numbers."""
    message: str

    def __str__(self) -> str:
        return self.message

    def _ipython_display_(self) -> None:
        """Nothing: `verify` has shown it already, and stands last in its cell."""


@contextmanager
def equation_of_cell(eq: str | None) -> Iterator[None]:
    """Tell `verify` which equation the cell belongs to: the lesson's kernel does, from the fence's `eq=`."""
    global _equation_of_cell
    before, _equation_of_cell = _equation_of_cell, eq
    try:
        yield
    finally:
        _equation_of_cell = before


def verify(
    lhs: Any,
    rhs: Any,
    *,
    false_twin: Any,
    atol: float,
    route: str = "another route",
    eq: str | None = None,
) -> Verified:
    """Check that `lhs` equals `rhs` within `atol` everywhere, and that `false_twin` does not.

    The three are numbers, sequences, arrays or tensors of one shape (a number fits any shape), complex or
    real, or functions without arguments that return such. `false_twin` is compared with `lhs`; it must be
    away by more than 100 times `atol` somewhere. `eq` is taken from the cell's fence where it is not given.

    Raises:
        VerificationError: if the sides differ, are not numbers, or the false version is not told apart.
    """
    result = _compare(lhs, rhs, false_twin, atol, route, eq or _equation_of_cell)
    _show(result)
    if not result.ok:
        raise VerificationError(result.message)
    return result


def check(exercise: str, *functions: Any, **fields: Any) -> Any:
    """Check what you wrote for an exercise, in a notebook.

    `check("linear-regression/gradient-step", gradient_step)` takes the functions. Where an exercise asks to
    fill something in, name each answer: `check("linear-regression/which-fit", fit="b")`.
    What is checked is also kept in your file of that exercise, which the course's page and your editor show.

    Returns:
        The verdict, which Jupyter shows; `bool(…)` of it says whether all passed.

    Raises:
        LessonError: if there is no such exercise, or a function or answer that it asks for is missing.
    """
    from nn2llm.course.notebook_check import check_in_notebook

    return check_in_notebook(exercise, functions, fields)


def _compare(lhs: Any, rhs: Any, false_twin: Any, atol: float, route: str, eq: str | None) -> Verified:
    label = f"({eq})" if eq else "the equation"

    def result(ok: bool, message: str, **numbers: Any) -> Verified:
        found = {"largest_difference": None, "false_twin_difference": None, "compared": 0, **numbers}
        return Verified(eq=eq, ok=ok, route=route, atol=atol, message=message, **found)

    if not (isinstance(atol, (int, float)) and math.isfinite(atol) and atol >= 0):
        raise VerificationError(f"atol must be a number of at least 0, got {atol!r}. Typical: 1e-6.")
    sides = {}
    for name, value in {"lhs": lhs, "rhs": rhs, "false_twin": false_twin}.items():
        sides[name] = _as_array(name, value)
    left, right, twin = sides["lhs"], sides["rhs"], sides["false_twin"]
    if right.size != 1 and left.size != 1 and right.shape != left.shape:
        return result(
            False,
            f"{label} not checked: lhs has shape {left.shape} and rhs {right.shape}. Give them one shape.",
        )
    compared = max(left.size, right.size)
    if compared == 0:
        return result(False, f"{label} not checked: there is nothing to compare, lhs and rhs are empty.")
    for name, side in (("lhs", left), ("rhs", right)):
        broken = _count_not_finite(side)
        if broken:
            return result(
                False,
                f"{label} not checked: {broken} of {side.size} numbers of {name} are NaN or infinite.",
                compared=compared,
            )
    difference = float(abs(left - right).max())
    twin_difference = _twin_difference(left, twin)
    numbers = {"largest_difference": difference, "compared": compared}
    if twin_difference is not None and math.isfinite(twin_difference):
        numbers["false_twin_difference"] = twin_difference
    counted = f"{compared:,} number{'s' if compared != 1 else ''}"
    if difference > atol:
        return result(
            False,
            f"{label} does not hold: by {route} the two sides differ by up to {difference:.2g}, "
            f"more than atol={atol:g}, over {counted}.",
            **numbers,
        )
    # A false version of another shape, or full of NaN, is told apart by that alone.
    if twin_difference is not None and not twin_difference > max(_APART * atol, 10 * difference):
        return result(
            False,
            f"{label}: this check proves nothing, as the false version passes it too (it differs by "
            f"{twin_difference:.2g}, needed more than {max(_APART * atol, 10 * difference):.2g}). "
            "Choose values at which it differs, or a smaller atol.",
            **numbers,
        )
    apart = "is told apart" if twin_difference is None else f"differs by {twin_difference:.2g}"
    return result(
        True,
        f"{label} checked by {route}: largest difference {difference:.2g} over {counted} "
        f"(allowed {atol:g}); the false version {apart}.",
        **numbers,
    )


def _as_array(name: str, value: Any) -> Any:
    """Numbers of any kind as a numpy array of float64 or complex128."""
    import numpy as np

    if isinstance(value, Callable) and not hasattr(value, "__array__"):  # type: ignore[arg-type]
        value = value()
    value = _without_torch(value)
    try:
        array = np.asarray(value)
        return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)
    except (TypeError, ValueError) as error:
        raise VerificationError(
            f"{name} must be numbers, an array, a tensor, or a function that returns such; "
            f"got {type(value).__name__}."
        ) from error


def _without_torch(value: Any) -> Any:
    """A tensor, or a list that holds some, as numpy; torch is not imported for it."""
    torch = sys.modules.get("torch")
    if torch is None:
        return value
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().resolve_conj().resolve_neg()
        if value.dtype in (torch.bfloat16, torch.float16):
            value = value.float()
        return value.numpy()
    if isinstance(value, (list, tuple)):
        return [_without_torch(item) for item in value]
    return value


def _count_not_finite(array: Any) -> int:
    import numpy as np

    return int(array.size - np.isfinite(array).sum())


def _twin_difference(left: Any, twin: Any) -> float | None:
    """The largest |lhs − false_twin|; None where they cannot be compared, so cannot be mistaken either."""
    if twin.size != 1 and left.size != 1 and twin.shape != left.shape:
        return None
    if twin.size == 0 or _count_not_finite(twin):
        return None
    return float(abs(left - twin).max())


def _show(result: Verified) -> None:
    """On a page or in Jupyter a display; elsewhere a printed line."""
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        print(result.message)
        return
    from IPython.display import display

    display({_MIME: asdict(result), "text/plain": result.message}, raw=True)
