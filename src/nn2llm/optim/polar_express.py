"""The coefficients of Newton-Schulz, computed rather than guessed.

One Newton-Schulz step sends each singular value s of a matrix to p(s) = a s + b s^3 + c s^5. Repeated with
good coefficients, it drives them all to 1. Which coefficients are best? Where the values lie in [lower,
upper], the best quintic is the one whose largest distance from 1 is smallest, and it *equioscillates*: it
touches 1 - E, 1 + E, 1 - E, 1 + E in turn at four points. The Remez exchange finds it: solve for (a, b, c,
E) at four points, move the two inner points to the extremes of p, repeat. The values then lie in [1 - E, 1
+ E], for which the next step is built. Building each step so, greedily, is the best that any composition of
quintics can do (Amsel et al., Theorem 3.1).

Read after optim/newton_schulz.py, which uses these. Used by optim/muon.py; taught in `training-loop`.
Source: Amsel, Persson, Musco and Gower 2025, "The Polar Express", https://arxiv.org/abs/2505.16932.
"""

from __future__ import annotations

import functools
import math

import torch

__all__ = ["Coefficients", "compute_best_quintic", "compute_polar_express", "compute_singular_value_band"]

Coefficients = tuple[tuple[float, float, float], ...]
"""(a, b, c) for each step."""

TAYLOR_QUINTIC = (15 / 8, -10 / 8, 3 / 8)
"""The quintic with p(1) = 1 and p'(1) = p''(1) = 0: the limit of the best quintic as lower and upper meet
at 1."""


def compute_best_quintic(lower: float, upper: float) -> tuple[tuple[float, float, float], float]:
    """The odd quintic nearest to 1 on [lower, upper], and its largest error E (Remez exchange, in float64).

    Raises:
        ValueError: unless 0 < lower <= upper.
    """
    if not 0 < lower <= upper:
        raise ValueError(f"needs 0 < lower <= upper, got lower={lower}, upper={upper}.")
    if lower / upper > 1 - 5e-6:  # the four points coincide: the linear system would be singular
        middle = (lower + upper) / 2
        a, b, c = TAYLOR_QUINTIC
        return (a / middle, b / middle**3, c / middle**5), 0.0

    inner = [(3 * lower + upper) / 4, (lower + 3 * upper) / 4]
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    error = math.inf
    for _ in range(100):
        x = torch.tensor([lower, *inner, upper], dtype=torch.float64)
        system = torch.stack([x, x**3, x**5, signs], dim=1)
        a, b, c, new_error = torch.linalg.solve(system, torch.ones_like(x)).tolist()
        if abs(new_error - error) < 1e-15:
            break
        error = new_error
        # p'(x) = a + 3 b x^2 + 5 c x^4 = 0 is quadratic in x^2
        root = math.sqrt(9 * b * b - 20 * a * c)
        inner = [math.sqrt((-3 * b - root) / (10 * c)), math.sqrt((-3 * b + root) / (10 * c))]
    return (a, b, c), abs(new_error)


@functools.lru_cache(maxsize=64)
def compute_polar_express(num_steps: int, lower: float, safety: float = 1.0) -> Coefficients:
    """Coefficients of `num_steps` steps for singular values in [lower, 1].

    A smaller `lower` lifts smaller singular values, at the price of a wider band around 1 at the end.
    `safety` > 1 makes each step but the last expect values that much larger than computed, against rounding
    in bfloat16 (the paper uses 1.01); 1 is right in float32.

    Raises:
        ValueError: if num_steps < 1, lower is outside (0, 1) or safety < 1.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}. Typical: 3 to 5.")
    if not 0 < lower < 1:
        raise ValueError(f"lower must be in (0, 1), got {lower}. Typical: 0.001 to 0.1.")
    if safety < 1:
        raise ValueError(f"safety must be at least 1, got {safety}. Typical: 1.01 in bfloat16.")
    steps = []
    upper = 1.0
    for step in range(num_steps):
        (a, b, c), error = compute_best_quintic(lower, upper)
        lower, upper = 1 - error, 1 + error
        if step < num_steps - 1:
            a, b, c = a / safety, b / safety**3, c / safety**5
        steps.append((a, b, c))
    return tuple(steps)


def compute_singular_value_band(
    coefficients: Coefficients, lower: float, num_points: int = 100_000
) -> tuple[float, float]:
    """The least and greatest image of the singular values in [lower, 1] under all the steps, on a fine
    grid."""
    s = torch.logspace(math.log10(lower), 0, num_points, dtype=torch.float64)
    for a, b, c in coefficients:
        s = a * s + b * s**3 + c * s**5
    return s.min().item(), s.max().item()
