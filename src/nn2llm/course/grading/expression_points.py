"""Two expressions at many random points: where they disagree, by how much, and what that proves.

Read expression_values.py before. Used by expressions.py.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nn2llm.core.errors import LessonError
from nn2llm.course.grading.expression_parsing import Node, SymbolSpec, find_names
from nn2llm.course.grading.expression_values import draw_point, evaluate, is_defined
from nn2llm.course.grading.showing import choose_digits, write_number

if TYPE_CHECKING:
    from nn2llm.course.grading.expressions import Comparison

__all__ = ["Points"]


@dataclass(frozen=True, slots=True)
class Points:
    """Random points where the answer is defined, with its values there."""

    known: dict[str, SymbolSpec]
    names: set[str]
    points: list[dict[str, Any]]
    expected: list[Any]

    @classmethod
    def draw(
        cls,
        known: dict[str, SymbolSpec],
        answer: Node,
        generator: np.random.Generator,
        *,
        count: int,
        max_draws: int,
    ) -> "Points":
        """Draw until `count` points are good.

        Raises:
            LessonError: the answer is not defined in these ranges.
        """
        points: list[dict[str, Any]] = []
        expected: list[Any] = []
        for _ in range(max_draws):
            point = draw_point(known, generator)
            value = evaluate(answer, point)
            if is_defined(value):
                points.append(point)
                expected.append(value)
                if len(points) == count:
                    return cls(known, find_names(answer), points, expected)
        raise LessonError("The answer is not defined at most points: mend `low` and `high` of its symbols.")

    def judge(
        self, mine: Node, tolerance: tuple[float, float], suspects: list[tuple[Node, str]], *, far: float
    ) -> "Comparison":
        """The learner's expression against the answer, and then against the suspects."""
        from nn2llm.course.grading.expressions import Comparison

        values = [evaluate(mine, point) for point in self.points]
        wrong = [
            index
            for index, (value, right) in enumerate(zip(values, self.expected, strict=True))
            if not _agree(value, right, tolerance)
        ]
        if not wrong:
            return Comparison(True)
        shown = self._choose(values, wrong)
        value, right = values[shown], self.expected[shown]
        names = self.names | find_names(mine)
        point = {name: _show(item) for name, item in self.points[shown].items() if name in names}
        if "n" in names and "n" in point:
            point["n"] = str(int(self.points[shown]["n"]))
        digits = 5
        if value.shape == right.shape and value.size:
            worst = _worst(value, right)
            digits = choose_digits(value.reshape(-1)[worst], right.reshape(-1)[worst])
        lines = [self._say(values, wrong)]
        lines.append("At " + ", ".join(f"{name} = {text}" for name, text in point.items()) if point else "")
        difference = f"different at {len(wrong)} of {len(self.points)} points"
        return Comparison(
            False,
            lines=[line for line in lines if line],
            point=point,
            yours=_show(value, digits),
            expected=_show(right, digits),
            difference=difference,
            diagnosis=self._diagnose(values, wrong, tolerance, suspects, far),
        )

    def _choose(self, values: list[Any], wrong: list[int]) -> int:
        """The wrong point with the smallest vectors and a plain difference; an undefined one last."""

        def cost(index: int) -> tuple[int, int, float]:
            value = values[index]
            size = max(value.size, int(self.points[index].get("n", 1)))
            return (
                0 if is_defined(value) else 1,
                size,
                float(np.max(np.abs(self.expected[index]), initial=0.0)),
            )

        return min(wrong, key=cost)

    def _say(self, values: list[Any], wrong: list[int]) -> str:
        shapes = {(values[i].shape, self.expected[i].shape) for i in wrong}
        if all(left != () and right == () for left, right in shapes):
            return "Yours gives one number for each i; the answer is one number in all."
        if all(left == () and right != () for left, right in shapes):
            return "Yours gives one number in all; the answer is one number for each i."
        undefined = [i for i in wrong if not is_defined(values[i])]
        if len(undefined) == len(wrong):
            why = "division by zero, or the log or root of a negative number"
            return f"Yours is not defined ({why}) where the answer is."
        if len(wrong) < len(self.points):
            return f"The two agree at some points, but not at {len(wrong)} of {len(self.points)}."
        return "The two are different."

    def _diagnose(
        self,
        values: list[Any],
        wrong: list[int],
        tolerance: tuple[float, float],
        suspects: list[tuple[Node, str]],
        far: float,
    ) -> str | None:
        fitting = []
        for node, says in suspects:
            theirs = [evaluate(node, point) for point in self.points]
            same = all(_agree(left, right, tolerance) for left, right in zip(values, theirs, strict=True))
            distant = (tolerance[0] * far, tolerance[1] * far)
            if same and any(not _agree(theirs[i], self.expected[i], distant) for i in wrong):
                fitting.append(says)
        if len(fitting) == 1:
            return fitting[0]
        return self._structure(values, tolerance) if not fitting else None

    def _structure(self, values: list[Any], tolerance: tuple[float, float]) -> str | None:
        if not all(is_defined(value) for value in values):
            return None
        reducers = {"mean(…)": np.mean, "sum(…)": np.sum}
        if all(value.ndim and not right.ndim for value, right in zip(values, self.expected, strict=True)):
            for name, reduce in reducers.items():
                if self._all(lambda i, reduce=reduce: reduce(values[i]), tolerance):
                    return f"`{name}` around all of it is missing."
            factor = self._find_factor([np.asarray(np.mean(value)) for value in values], tolerance)
            if factor is None:
                return None
            times = write_number(factor, 6).removesuffix(".0")
            return f"`mean(…)` around all of it is missing; with it, yours is {times} times the answer."
        if any(value.shape != right.shape for value, right in zip(values, self.expected, strict=True)):
            return None
        if self._all(lambda i: -values[i], tolerance):
            return "The sign is turned: yours is −1 times the answer."
        sizes = [self.points[i].get("n") for i in range(len(values))]
        if all(size is not None for size in sizes):
            if self._all(lambda i: values[i] / sizes[i], tolerance):
                return "Yours is n times the answer."
            if self._all(lambda i: values[i] * sizes[i], tolerance):
                return "Yours is the answer divided by n."
        return self._factor(values, tolerance)

    def _factor(self, values: list[Any], tolerance: tuple[float, float]) -> str | None:
        factor = self._find_factor(values, tolerance)
        if factor is not None:
            return f"Yours is {write_number(factor, 6).removesuffix('.0')} times the answer."
        left, right = _join(values), _join(self.expected)
        best = int(np.argmax(np.abs(right)))
        if not self._is_varied():
            return None
        shift = float(left[best] - right[best])
        if abs(shift) > 1e-3 and self._all(lambda i: values[i] - shift, tolerance):
            word = "more" if shift > 0 else "less"
            amount = write_number(abs(shift), 6).removesuffix(".0")
            return f"Yours is {amount} {word} than the answer, everywhere."
        return None

    def _is_varied(self) -> bool:
        return len({f"{abs(item):.4g}" for item in _join(self.expected).tolist()}) >= 5

    def _find_factor(self, values: list[Any], tolerance: tuple[float, float]) -> float | None:
        """The one number by which the answer is multiplied everywhere."""
        left, right = _join(values), _join(self.expected)
        if not self._is_varied() or left.shape != right.shape:
            return None
        best = int(np.argmax(np.abs(right)))
        factor = float(left[best] / right[best])
        if abs(factor) > 1e-3 and self._all(lambda i: values[i] / factor, tolerance):
            return factor
        return None

    def _all(self, value: Any, tolerance: tuple[float, float]) -> bool:
        return all(_agree(np.asarray(value(i)), right, tolerance) for i, right in enumerate(self.expected))


def _join(values: list[Any]) -> Any:
    return np.concatenate([value.reshape(-1) for value in values])


def _agree(value: Any, right: Any, tolerance: tuple[float, float]) -> bool:
    if value.shape != right.shape or not is_defined(value):
        return False
    return bool(np.all(np.abs(value - right) <= tolerance[0] + tolerance[1] * np.abs(right)))


def _worst(value: Any, right: Any) -> int:
    distance = np.abs(value - right).reshape(-1)
    return int(np.argmax(np.where(np.isnan(distance), np.inf, distance)))


def _show(value: Any, digits: int = 4) -> str:
    value = np.asarray(value)
    if not value.ndim:
        if not np.isfinite(value):
            return "not defined"
        return write_number(float(value), digits)
    items = [write_number(item, digits) for item in value.reshape(-1)[:8].tolist()]
    return "(" + ", ".join(items) + (", …" if value.size > 8 else "") + ")"
