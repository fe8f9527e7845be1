"""Best-of-n: let a model write n replies and keep the one that a reward model scores highest.

No weight moves, yet the replies come from another distribution. How far that is from the model's own has a
bound that needs no log-probability:

    KL(best of n || model) <= log n - (n - 1) / n          equal where no two replies score the same

And how good it is for every n up to N follows from one set of N replies a prompt: sorted by score, the i-th
of N is the best of n drawn ones with probability C(i - 1, n - 1) / C(N, n).

Read intervals.py before. Used to compare methods at equal KL. Taught in `reward-hacking`.
Sources: Nakano et al. 2021 (WebGPT), https://arxiv.org/abs/2112.09332, appendix I; Gao et al. 2023,
https://arxiv.org/abs/2210.10760; that the formula is a bound: Beirami et al. 2024,
https://arxiv.org/abs/2401.01879.
"""

import math

import numpy as np
import numpy.typing as npt

__all__ = ["bound_best_of_n_kl", "compute_best_of_n_weights", "estimate_best_of_n"]

Float64Array = npt.NDArray[np.float64]


def bound_best_of_n_kl(n: int) -> float:
    """log n - (n - 1) / n, in nats: how far best-of-n can be from the model. 0 for n = 1.

    Raises:
        ValueError: if n < 1.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}.")
    return math.log(n) - (n - 1) / n


def compute_best_of_n_weights(num_replies: int, n: int) -> Float64Array:
    """P(the i-th of N replies, in rising order of score, is the best of n drawn without replacement): [N].

    Raises:
        ValueError: if n is not between 1 and num_replies.
    """
    if not 1 <= n <= num_replies:
        raise ValueError(f"n must be between 1 and the {num_replies} replies a prompt, got {n}.")
    return np.array([math.comb(rank, n - 1) for rank in range(num_replies)]) / math.comb(num_replies, n)


def estimate_best_of_n(scores: npt.ArrayLike, values: npt.ArrayLike, n: int) -> Float64Array:
    """What the reply with the highest score among n is worth on average, a prompt: float64 [M].

    Without bias, from N replies to each of M prompts. Replies of equal score are as likely to be taken.

    Args:
        scores: [M, N] what replies are chosen by (a reward model's).
        values: [M, N] what they are worth (the gold score; the scores themselves are allowed too).
        n: replies to choose from.

    Raises:
        ValueError: for shapes that differ or are no [M, N], numbers that are none, an n above N.
    """
    by, worth = np.asarray(scores, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if by.ndim != 2 or by.shape != worth.shape or not by.size:
        raise ValueError(f"scores and values must both be [M, N], got {by.shape} and {worth.shape}.")
    if not (np.isfinite(by).all() and np.isfinite(worth).all()):
        raise ValueError("scores and values must be numbers; some are NaN or infinite.")
    weights = compute_best_of_n_weights(by.shape[1], n)
    order = np.argsort(by, axis=1, kind="stable")
    by, worth = np.take_along_axis(by, order, axis=1), np.take_along_axis(worth, order, axis=1)
    return np.array([weights @ _share_among_equals(*row) for row in zip(by, worth, strict=True)])


def _share_among_equals(scores: Float64Array, values: Float64Array) -> Float64Array:
    """Each value replaced by the mean over replies of its score (`scores` rise)."""
    _, groups, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return (np.bincount(groups, weights=values) / counts)[groups]
