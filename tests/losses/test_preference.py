"""Bradley-Terry and the centring penalty: by hand and by property. Equal to TRL's trainer: test_trl.py."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from nn2llm.losses import binary_cross_entropy_with_logits, bradley_terry_loss, centering_penalty

scores = st.lists(st.floats(-30, 30), min_size=2, max_size=2)


def test_values_by_hand():
    # sigmoid(log 3) = 3/4, sigmoid(-log 3) = 1/4, sigmoid(0) = 1/2
    chosen = torch.tensor([math.log(3) + 5, 5.0, -2.0])
    rejected = torch.tensor([5.0, math.log(3) + 5, -2.0])
    expected = torch.tensor([math.log(4 / 3), math.log(4), math.log(2)])
    assert_close(bradley_terry_loss(chosen, rejected), expected)


def test_margin_by_hand():
    # a gap of log 6 with a margin of log 2 is a gap of log 3; a gap equal to the margin is a coin's toss
    chosen, rejected = torch.tensor([math.log(6), 1.5]), torch.zeros(2)
    loss = bradley_terry_loss(chosen, rejected, margins=torch.tensor([math.log(2), 1.5]))
    assert_close(loss, torch.tensor([math.log(4 / 3), math.log(2)]))


def test_centering_by_hand():
    penalty = centering_penalty(torch.tensor([2.0, 1.0, -3.0]), torch.tensor([-2.0, 2.0, -1.0]))
    assert_close(penalty, torch.tensor([0.0, 9.0, 16.0]))


def test_badly_ranked_pairs_stay_finite_and_keep_their_gradient():
    chosen = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = bradley_terry_loss(chosen, torch.zeros(2))
    assert_close(loss, torch.tensor([1e4, 0.0]))
    (grad,) = torch.autograd.grad(loss.sum(), chosen)
    assert_close(grad, torch.tensor([-1.0, 0.0]))  # -(1 - sigmoid(gap))


@settings(deadline=None)
@given(pair=scores, shift=st.floats(-100, 100))
def test_only_the_difference_counts(pair, shift):
    chosen, rejected = (torch.tensor([x], dtype=torch.float64) for x in pair)
    assert_close(
        bradley_terry_loss(chosen + shift, rejected + shift),
        bradley_terry_loss(chosen, rejected),
        atol=1e-12,
        rtol=0,
    )


@settings(deadline=None)
@given(pair=scores)
def test_chances_of_both_orders_add_up_to_one(pair):
    chosen, rejected = (torch.tensor([x], dtype=torch.float64) for x in pair)
    forward, backward = bradley_terry_loss(chosen, rejected), bradley_terry_loss(rejected, chosen)
    assert_close((-forward).exp() + (-backward).exp(), torch.ones(1, dtype=torch.float64))


def test_equals_binary_cross_entropy_of_the_gap():
    gaps = torch.linspace(-9, 9, 19, dtype=torch.float64)
    loss = bradley_terry_loss(gaps, torch.zeros_like(gaps))
    assert_close(loss, binary_cross_entropy_with_logits(gaps, torch.ones_like(gaps), reduction="none"))


def test_centering_does_not_pull_the_scores_together():
    chosen, rejected = (torch.tensor([x], requires_grad=True) for x in (3.0, 1.0))
    grads = torch.autograd.grad(centering_penalty(chosen, rejected).sum(), (chosen, rejected))
    assert_close(grads[0], grads[1])  # both fall by the same: their difference stays


def test_shapes_are_checked():
    with pytest.raises(Exception, match=r"shape|type"):
        bradley_terry_loss(torch.zeros(3), torch.zeros(3, 1))
