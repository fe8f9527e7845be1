"""Kappa equals scikit-learn's; alpha equals the published example."""

import numpy as np
import pytest

from nn2llm.evals.agreement import compute_cohens_kappa, compute_krippendorffs_alpha

_ = None
FOUR_OBSERVERS = [  # Krippendorff 2011, section C
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
@pytest.mark.parametrize("seed", range(5))
def test_kappa_equals_scikit_learns(seed, weights):
    from sklearn import metrics  # imported here: it takes a second

    draw = np.random.default_rng(seed)
    first = draw.integers(4, size=60)
    second = np.where(draw.random(60) < 0.6, first, draw.integers(4, size=60))
    ours = compute_cohens_kappa(first.tolist(), second.tolist(), weights=weights)
    assert ours == pytest.approx(metrics.cohen_kappa_score(first, second, weights=weights))


def test_kappa_by_hand():
    # 20 + 15 of 50 agree; by chance 25/50 * 30/50 + 25/50 * 20/50 = 0.5 would
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert compute_cohens_kappa(first, second) == pytest.approx((0.7 - 0.5) / (1 - 0.5))


def test_kappa_where_chance_says_all():
    assert compute_cohens_kappa("aaaa", "aaaa") is None
    assert compute_cohens_kappa("abab", "abab") == 1
    assert compute_cohens_kappa("abab", "baba") == -1
    assert compute_cohens_kappa("aaab", "aaaa") == 0  # one of them says the same whatever it is


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_published_example(level, alpha):
    assert compute_krippendorffs_alpha(FOUR_OBSERVERS, level=level) == pytest.approx(alpha, abs=5e-4)


def test_alpha_of_two_labellers_by_hand():
    # 4 items, one disagreement: 8 labels, of them 5 a and 3 b; seen 2/8, by chance 2 * 5 * 3 / (8 * 7)
    alpha = compute_krippendorffs_alpha(["aaab", "aabb"])
    assert alpha == pytest.approx(1 - (2 / 8) / (30 / 56))


def test_alpha_where_there_is_nothing_to_compare():
    assert compute_krippendorffs_alpha([[1, None], [None, 2]]) is None
    assert compute_krippendorffs_alpha([[1, 1], [1, 1]]) is None
    assert compute_krippendorffs_alpha([]) is None
    assert compute_krippendorffs_alpha([["a", "b"], ["a", "b"], [None, "b"]]) == 1


def test_labels_without_an_order_are_sorted_by_name():
    assert compute_cohens_kappa([1, "tie", 2], [1, "tie", 2]) == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: compute_cohens_kappa([1], [1, 2]), "got 1 and 2"),
        (lambda: compute_cohens_kappa([], []), "at least one: got 0 and 0"),
        (lambda: compute_cohens_kappa(["x"], ["y"], categories=["y"]), "'x' is none of the categories"),
        (lambda: compute_krippendorffs_alpha([[1], [1, 2]]), r"same items, got \[1, 2\]"),
        (lambda: compute_krippendorffs_alpha([[1]], level="ratio"), "unknown level 'ratio'"),
    ],
)
def test_what_cannot_be(call, words):
    with pytest.raises(ValueError, match=words):
        call()
