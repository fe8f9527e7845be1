"""A share with its interval, as every report has them. Used by report_figures.py and given_figures.py."""

from dataclasses import dataclass

__all__ = ["Score"]


@dataclass(frozen=True, slots=True)
class Score:
    """A share with its 95% interval."""

    estimate: float
    low: float
    high: float
    count: int
