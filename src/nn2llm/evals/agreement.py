"""How far labellers agree beyond what chance alone would give: Cohen's kappa and Krippendorff's alpha.

Two labellers who each say "first" nine times in ten agree in 82% of pairs without having read one. Both
coefficients are

    1 - disagreement that was seen / disagreement that chance would give,

so 1 is perfect agreement, 0 what chance gives, and below 0 they avoid each other. Kappa takes chance from
each of two labellers' own habits; alpha from the habits of all together, serves any number of labellers, and
items that some have not labelled.

Read intervals.py before. Used by labels that people give. Taught in `preference-data`.
Sources: Cohen 1960, https://doi.org/10.1177/001316446002000104, with weights 1968,
https://doi.org/10.1037/h0026256; Krippendorff 2011, "Computing Krippendorff's alpha-reliability".
"""

from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Level", "compute_cohens_kappa", "compute_krippendorffs_alpha"]

Level = Literal["nominal", "ordinal", "interval"]
"""What a difference between labels counts: all the same; by how many labels lie between; by its square."""

Float64Array = npt.NDArray[np.float64]


def compute_cohens_kappa(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    *,
    categories: Sequence[Hashable] | None = None,
    weights: Literal["linear", "quadratic"] | None = None,
) -> float | None:
    """Cohen's kappa of two labellers over the same items.

    None where chance alone would give full agreement (both always say the same one thing): there is nothing
    to measure.

    Args:
        first: the labels of one, in the order of the items.
        second: the other's.
        categories: all labels, in their order; by default those that occur, sorted.
        weights: how near misses count where the categories have an order; None: all misses alike.

    Raises:
        ValueError: if lengths differ, there is no item, or a label is no category.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"both must label the same items, at least one: got {len(first)} and {len(second)}.")
    names = list(categories) if categories is not None else _sort({*first, *second})
    places = {name: place for place, name in enumerate(names)}
    unknown = [label for label in (*first, *second) if label not in places]
    if unknown:
        raise ValueError(f"the label {unknown[0]!r} is none of the categories {names}.")
    counts = np.zeros((len(names), len(names)))
    for one, other in zip(first, second, strict=True):
        counts[places[one], places[other]] += 1
    apart = np.abs(np.subtract.outer(np.arange(len(names)), np.arange(len(names)))).astype(np.float64)
    costs = {None: (apart > 0).astype(np.float64), "linear": apart, "quadratic": apart**2}[weights]
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / len(first)
    by_chance = float((costs * expected).sum())
    return None if by_chance == 0 else 1 - float((costs * counts).sum()) / by_chance


def compute_krippendorffs_alpha(
    labels: Sequence[Sequence[Hashable | None]], *, level: Level = "nominal"
) -> float | None:
    """Krippendorff's alpha of any number of labellers.

    None where fewer than two labels can be compared, or all are the same one.

    Args:
        labels: a row a labeller, a column an item; None where they did not label it.
        level: what a difference counts. For "ordinal" labels must have an order, for "interval" be numbers.

    Raises:
        ValueError: for rows of different lengths, or an unknown level.
    """
    if level not in ("nominal", "ordinal", "interval"):
        raise ValueError(f"unknown level {level!r}. Choose from: nominal, ordinal, interval.")
    if len({len(row) for row in labels}) > 1:
        raise ValueError(f"all labellers must have the same items, got {[len(row) for row in labels]}.")
    items = [[label for label in column if label is not None] for column in zip(*labels, strict=True)]
    items = [item for item in items if len(item) > 1]  # a label alone cannot agree with any
    names = _sort({label for item in items for label in item})
    places = {name: place for place, name in enumerate(names)}
    together = np.zeros((len(names), len(names)))
    for item in items:
        counts = np.bincount([places[label] for label in item], minlength=len(names)).astype(np.float64)
        # every ordered pair of labels of this item, so that each label counts once
        together += (np.outer(counts, counts) - np.diag(counts)) / (len(item) - 1)
    totals = together.sum(axis=1)
    if len(names) < 2:
        return None
    costs = _compute_costs(names, totals, level)
    seen = float((costs * together).sum())
    by_chance = float((costs * np.outer(totals, totals)).sum()) / (totals.sum() - 1)
    return 1 - seen / by_chance


def _compute_costs(names: Sequence[Hashable], totals: Float64Array, level: Level) -> Float64Array:
    if level == "nominal":
        return 1 - np.eye(len(names))
    if level == "interval":
        values = np.array(names, dtype=np.float64)
    else:
        # the square of how many labels lie between two, half of both ends included
        values = np.cumsum(totals) - totals / 2
    return np.subtract.outer(values, values) ** 2


def _sort(labels: set[Hashable]) -> list[Hashable]:
    """In their order, or by their names where they have none among each other."""
    try:
        return sorted(labels)  # type: ignore[type-var]
    except TypeError:
        return sorted(labels, key=repr)
