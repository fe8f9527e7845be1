"""Derive exercises: is the expression that a learner typed the right one?

The face of the expression files: expression_parsing.py reads the text, expression_tex.py shows it,
expression_values.py computes it. Two expressions are the same if they agree at random points; where they do
not, a point is shown in numbers. Imports no torch: the page's preview calls `preview_expression`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nn2llm.course.grading.expression_parsing import (
    ExpressionError,
    Node,
    SymbolSpec,
    parse_expression,
    read_symbols,
)
from nn2llm.course.grading.expression_tex import write_tex

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Comparison",
    "ExpressionError",
    "compare_expressions",
    "parse_expression",
    "preview_expression",
    "to_tex",
]

_POINTS = 24
_MAX_DRAWS = 400
_RTOL = 1e-8
_ATOL = 1e-9
_FAR = 1e3  # times the tolerance: a suspect must be that far from the answer where the learner is wrong


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it. `right` is None where the text is no expression; `error` says why."""

    right: bool | None
    error: str | None = None
    position: int | None = None
    lines: list[str] = field(default_factory=list)
    point: dict[str, str] = field(default_factory=dict)
    """The values of the symbols where they disagree, as text."""
    yours: str | None = None
    expected: str | None = None
    difference: str | None = None
    diagnosis: str | None = None


def to_tex(expression: str | Node, symbols: Mapping[str, Any] | Iterable[Any] = ()) -> str:
    """TeX of an expression, without dollars.

    Raises:
        ExpressionError: the text is no expression.
    """
    known = read_symbols(symbols)
    node = parse_expression(expression, known.values()) if isinstance(expression, str) else expression
    return write_tex(node, known)


def preview_expression(
    text: str, symbols: Mapping[str, Any] | Iterable[Any] = (), *, forbid: Iterable[str] = ()
) -> dict[str, Any]:
    """{"tex", "error", "position"}: how a text is understood while it is typed; never raises."""
    known = read_symbols(symbols)
    try:
        node = parse_expression(text, known.values(), forbid=forbid)
        return {"tex": write_tex(node, known), "error": None, "position": None}
    except ExpressionError as error:
        return {"tex": None, "error": str(error), "position": error.position}


def compare_expressions(
    text: str,
    answer: str,
    symbols: Mapping[str, Any] | Iterable[Any],
    *,
    atol: float | None = None,
    rtol: float | None = None,
    suspects: Mapping[str, str] | Iterable[Any] = (),
    forbid: Iterable[str] = (),
    generator: "np.random.Generator | None" = None,
) -> Comparison:
    """Compare at random points.

    Args:
        text: what the learner typed.
        answer: a right expression.
        symbols: {name: {shape, low, high}} or records with these attributes.
        suspects: {expression: what it says}, or records with `value` (or mappings with `is`) and `says`.
        forbid: names that `text` must not use.
        generator: of the points; by default one with seed 0.

    Raises:
        LessonError: the answer itself is no expression, or is not defined in the symbols' ranges.
    """
    import numpy as np

    from nn2llm.course.grading.expression_points import Points

    known = read_symbols(symbols)
    generator = np.random.default_rng(0) if generator is None else generator
    right = parse_expression(answer, known.values())
    try:
        mine = parse_expression(text, known.values(), forbid=forbid)
    except ExpressionError as error:
        return Comparison(None, str(error), error.position)
    tolerance = (_ATOL if atol is None else atol, _RTOL if rtol is None else rtol)
    points = Points.draw(known, right, generator, count=_POINTS, max_draws=_MAX_DRAWS)
    return points.judge(mine, tolerance, _parse_suspects(suspects, known), far=_FAR)


def _parse_suspects(
    suspects: Mapping[str, str] | Iterable[Any], known: dict[str, SymbolSpec]
) -> list[tuple[Node, str]]:
    if isinstance(suspects, Mapping):
        pairs = [(str(text), str(says)) for text, says in suspects.items()]
    else:
        pairs = [_read_suspect(item) for item in suspects]
    return [(parse_expression(text, known.values()), says) for text, says in pairs]


def _read_suspect(item: Any) -> tuple[str, str]:
    if isinstance(item, Mapping):
        return str(item["is"]), str(item["says"])
    return str(item.value), str(item.says)
