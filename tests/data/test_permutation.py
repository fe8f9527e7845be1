import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.data.permutation import EpochOrder


@settings(deadline=None)
@given(size=st.integers(1, 3000), seed=st.integers(0, 2**40), epoch=st.integers(0, 1000))
def test_every_row_comes_exactly_once(size, seed, epoch):
    rows = EpochOrder(size, seed=seed, epoch=epoch)(np.arange(size))
    assert sorted(rows.tolist()) == list(range(size))


@settings(deadline=None)
@given(size=st.integers(2, 10**15), data=st.data())
def test_a_place_means_the_same_row_alone_and_among_others(size, data):
    places = np.array(data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=5, unique=True)))
    order = EpochOrder(size, seed=1, epoch=2)
    rows = order(places)
    assert [int(order(places[i : i + 1])[0]) for i in range(len(places))] == rows.tolist()
    assert len(set(rows.tolist())) == len(places)
    assert all(0 <= row < size for row in rows.tolist())


def test_orders_look_shuffled():
    # Chi-square over 36 (place, row) pairs with 25 degrees of freedom: below 52.6 in 99.9% of fair shuffles.
    num_orders = 3000
    counts = np.zeros((6, 6))
    for seed in range(num_orders):
        counts[np.arange(6), EpochOrder(6, seed=seed, epoch=0)(np.arange(6))] += 1
    assert ((counts - num_orders / 6) ** 2 / (num_orders / 6)).sum() < 52.6
    # Neighbours part: ranks of places and rows are uncorrelated, and few steps are repeated.
    rows = EpochOrder(100_000, seed=0, epoch=0)(np.arange(100_000))
    assert abs(np.corrcoef(np.arange(100_000), rows)[0, 1]) < 0.02
    assert abs(np.corrcoef(rows[:-1], rows[1:])[0, 1]) < 0.02
    assert len(np.unique(np.diff(rows))) > 50_000


def test_epochs_and_seeds_differ():
    orders = [EpochOrder(50, seed=seed, epoch=epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(order(np.arange(50)).tolist()) for order in orders}) == 3
    assert len({order.offset(10**6) for order in orders}) == 3
    assert 0 <= orders[0].offset(3) < 3


def test_the_order_is_the_same_on_every_machine():
    # A golden value: a run resumed elsewhere, or with another numpy, must go on with the same rows.
    order = EpochOrder(10, seed=7, epoch=3)
    assert order(np.arange(10)).tolist() == [2, 9, 6, 8, 0, 7, 4, 3, 5, 1]
    assert order.offset(1000) == 246


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="size must be >= 1, got 0"):
        EpochOrder(0, seed=0, epoch=0)
    with pytest.raises(ValueError, match="seed and epoch must be >= 0, got -1 and 0"):
        EpochOrder(3, seed=-1, epoch=0)
