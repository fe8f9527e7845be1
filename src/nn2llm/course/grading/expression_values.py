"""An expression's value in float64, at one point.

Read expression_parsing.py before. A vector symbol has n elements; sum, mean, and max or min of one argument
make one number of them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nn2llm.course.grading.expression_parsing import Apply, Constant, Letter, Minus, Node, SymbolSpec

__all__ = ["draw_point", "evaluate", "is_defined"]


def _sigmoid(x: Any) -> Any:
    return np.exp(-np.logaddexp(0.0, -x))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": np.exp, "log": np.log, "ln": np.log, "log2": np.log2, "log10": np.log10, "sqrt": np.sqrt,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh,
    "sigmoid": _sigmoid, "relu": lambda x: np.maximum(x, 0.0), "abs": np.abs, "sign": np.sign,
}  # fmt: skip


def evaluate(node: Node, point: Mapping[str, Any]) -> Any:
    """A float64 number or array; NaN or infinity where it is not defined. `point` holds n as well."""
    with np.errstate(all="ignore"):
        return np.asarray(_value(node, point), dtype=np.float64)


def is_defined(value: Any) -> bool:
    """Whether every element is a finite number."""
    return bool(np.all(np.isfinite(value)))


def _value(node: Node, point: Mapping[str, Any]) -> Any:
    if isinstance(node, Constant):
        return np.float64(node.value)
    if isinstance(node, Letter):
        if node.name in point:
            value = point[node.name]
            return value[int(node.index) - 1] if node.index.isdigit() else value
        return np.float64({"pi": np.pi, "e": np.e}[node.name])
    if isinstance(node, Minus):
        return -_value(node.inside, point)
    if isinstance(node, Apply):
        return _apply(node, point)
    left, right = _value(node.left, point), _value(node.right, point)
    if node.sign == "+":
        return left + right
    if node.sign == "-":
        return left - right
    if node.sign == "*":
        return left * right
    return left / right if node.sign == "/" else np.power(left, right)


def _apply(node: Apply, point: Mapping[str, Any]) -> Any:
    values = [_value(item, point) for item in node.arguments]
    first = values[0]
    if node.function == "sum":
        # the sum over i of what has no i is n times it
        return np.sum(first) if np.ndim(first) else first * point["n"] if "n" in point else first
    if node.function == "mean":
        return np.mean(first)
    if node.function in ("max", "min"):
        if len(values) == 1:
            return np.max(first) if node.function == "max" else np.min(first)
        result = first
        for value in values[1:]:
            result = np.maximum(result, value) if node.function == "max" else np.minimum(result, value)
        return result
    return _FUNCTIONS[node.function](first)


def draw_point(symbols: Mapping[str, SymbolSpec], generator: np.random.Generator) -> dict[str, Any]:
    """A random value for each symbol, within its range; each named size is 3 to 6, n among them."""
    sizes: dict[str, int] = {}
    for spec in symbols.values():
        for size in spec.shape:
            if not size.isdigit() and size not in sizes:
                sizes[size] = int(generator.integers(3, 7))
    point: dict[str, Any] = {}
    for spec in symbols.values():
        shape = tuple(int(size) if size.isdigit() else sizes[size] for size in spec.shape)
        value = generator.uniform(spec.low, spec.high, size=shape)
        point[spec.name] = value if shape else np.float64(value)
    if sizes and "n" not in point:
        point["n"] = np.float64(sizes.get("n", next(iter(sizes.values()))))
    return point
