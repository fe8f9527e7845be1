"""Best-of-n against enumeration: of all subsets, and of a whole distribution."""

import itertools
import math

import numpy as np
import pytest

from nn2llm.evals.best_of_n import bound_best_of_n_kl, compute_best_of_n_weights, estimate_best_of_n


@pytest.mark.parametrize("n", [1, 2, 5, 64])
def test_the_bound_is_reached_where_no_two_replies_score_the_same(n):
    """Over a fine grid of equally likely replies the exact KL goes to the bound, from below."""
    num = 20_000
    reached = (np.arange(1, num + 1) / num) ** n
    best = np.diff(reached, prepend=0.0)  # P(the best of n is this one)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(best > 0, best * np.log(best * num), 0.0)
    assert terms.sum() <= bound_best_of_n_kl(n) + 1e-9
    assert terms.sum() == pytest.approx(bound_best_of_n_kl(n), abs=2e-3)


def test_where_replies_score_the_same_it_is_a_bound():
    """Two replies of probability 1/2, n = 64: nearly always the better one, log 2 from the model."""
    best = 1 - 0.5**64
    exact = best * math.log(2 * best) + (1 - best) * math.log(2 * (1 - best) or 1)
    assert exact == pytest.approx(math.log(2), abs=1e-6)
    assert exact < bound_best_of_n_kl(64) == pytest.approx(3.1745, abs=1e-4)


@pytest.mark.parametrize(("num_replies", "n"), [(1, 1), (6, 1), (6, 3), (6, 6), (40, 17)])
def test_weights_are_probabilities(num_replies, n):
    weights = compute_best_of_n_weights(num_replies, n)
    assert weights.sum() == pytest.approx(1)
    assert (weights[: n - 1] == 0).all()  # n - 1 replies are worse than the best of n
    assert (np.diff(weights) >= 0).all()


@pytest.mark.parametrize("n", [1, 2, 4, 6])
def test_it_is_the_mean_over_all_subsets(n):
    draw = np.random.default_rng(n)
    scores, values = draw.normal(size=(5, 6)), draw.normal(size=(5, 6))
    expected = [
        np.mean(
            [
                row[max(chosen, key=by.__getitem__)]
                for chosen in map(list, itertools.combinations(range(6), n))
            ]
        )
        for by, row in zip(scores, values, strict=True)
    ]
    np.testing.assert_allclose(estimate_best_of_n(scores, values, n), expected)


def test_equal_scores_are_as_likely_to_be_taken():
    scores, values = [[1.0, 3.0, 3.0]], [[7.0, 10.0, 20.0]]
    assert estimate_best_of_n(scores, values, 3) == pytest.approx([15])
    assert estimate_best_of_n(scores, values, 1) == pytest.approx([37 / 3])
    # of two: {1, 3} 10, {1, 3'} 20, {3, 3'} 15
    assert estimate_best_of_n(scores, values, 2) == pytest.approx([15])


def test_by_its_own_score_more_replies_are_never_worse():
    scores = np.random.default_rng(0).normal(size=(50, 16))
    means = [estimate_best_of_n(scores, scores, n).mean() for n in (1, 2, 4, 8, 16)]
    assert means == sorted(means)
    assert means[-1] == pytest.approx(scores.max(axis=1).mean())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bound_best_of_n_kl(0), "n must be at least 1, got 0"),
        (lambda: compute_best_of_n_weights(4, 5), "between 1 and the 4 replies a prompt, got 5"),
        (lambda: estimate_best_of_n([[1.0]], [[1.0, 2.0]], 1), r"must both be \[M, N\]"),
        (lambda: estimate_best_of_n([[math.nan]], [[1.0]], 1), "some are NaN"),
    ],
)
def test_what_cannot_be(call, words):
    with pytest.raises(ValueError, match=words):
        call()
