"""GRPO: advantages and loss by hand, padding, and equal to TRL's trainer (test_trl.py)."""

import math

import pytest
import torch
from torch.testing import assert_close

from nn2llm.losses import group_advantages, grpo_loss, ppo_policy_loss

DOUBLE = {"dtype": torch.float64}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **DOUBLE)


# Advantages


def test_advantages_by_hand():
    # mean 2, deviation sqrt((1 + 0 + 1) / 2) = 1;  mean 2, deviation sqrt((4 + 1 + 1) / 2) = sqrt(3)
    advantages = group_advantages(torch.tensor([1.0, 2.0, 3.0, 4.0, 1.0, 1.0], **DOUBLE), 3)
    one, root = 1.0001, math.sqrt(3) + 1e-4
    assert_close(advantages, torch.tensor([-1 / one, 0, 1 / one, 2 / root, -1 / root, -1 / root], **DOUBLE))
    unscaled = group_advantages(torch.tensor([1.0, 2.0, 3.0, 4.0, 1.0, 1.0], **DOUBLE), 3, scale=False)
    assert_close(unscaled, torch.tensor([-1.0, 0, 1, 2, -1, -1], **DOUBLE))


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("score", [0.1, 1e6 + 0.1])
def test_a_group_of_equal_scores_teaches_nothing(score, scale):
    assert torch.equal(group_advantages(torch.full((7,), score), 7, scale=scale), torch.zeros(7))


def test_scaled_advantages_do_not_know_the_unit_of_the_score():
    scores = draw(8)
    assert_close(
        group_advantages(scores, 4), group_advantages(1000 * scores + 5, 4), rtol=1e-3, atol=0
    )  # but for the 1e-4


@pytest.mark.parametrize(("num", "size", "words"), [(4, 1, "least 2, got 1"), (5, 2, "5 scores do not make")])
def test_groups_that_cannot_be(num, size, words):
    with pytest.raises(ValueError, match=words):
        group_advantages(torch.zeros(num), size)


# Loss

LENGTHS = torch.tensor([1, 3])
MASK = torch.arange(4) < LENGTHS[:, None]


@pytest.mark.parametrize(
    ("averaging", "expected"),
    # ratios are 1, so a token costs -A: reply 0 has one token of A = 2, reply 1 three of A = -1
    [("reply", (-2 + 1) / 2), ("token", (-2 + 3 * 1) / 4), ("constant", (-2 + 3 * 1) / (2 * 5))],
)
def test_averages_by_hand(averaging, expected):
    loss = grpo_loss(
        torch.zeros(2, 4),
        torch.zeros(2, 4),
        torch.tensor([2.0, -1.0]),
        MASK,
        averaging=averaging,
        max_length=5,
    ).loss
    assert loss.item() == pytest.approx(expected)


def test_over_tokens_and_without_kl_it_is_ppos_surrogate():
    logprobs, old, advantages = draw(2, 4), draw(2, 4, seed=1), draw(2, seed=2)
    ours = grpo_loss(logprobs, old, advantages, MASK, averaging="token")
    theirs = ppo_policy_loss(logprobs, old, advantages[:, None].expand(2, 4), MASK, clip_range=0.2)
    for one, other in zip(ours, theirs, strict=True):
        assert_close(one, other)


def test_the_two_clips_by_hand():
    # ratios 1.5 and 0.5; with A = 1 the upper clip binds at 1.28, with A = -1 the lower one at 0.8
    logprobs = torch.tensor([[1.5], [0.5]]).log().requires_grad_()
    mask = torch.ones(2, 1, dtype=torch.bool)
    result = grpo_loss(
        logprobs, torch.zeros(2, 1), torch.tensor([1.0, -1.0]), mask, clip_range=0.2, clip_range_high=0.28
    )
    assert result.loss.item() == pytest.approx((-1.28 + 0.8) / 2)
    assert result.clip_fraction.item() == 1
    result.loss.backward()
    assert torch.equal(logprobs.grad, torch.zeros(2, 1))  # where clipping binds nothing moves


def test_nearness_to_the_reference_by_hand():
    # d = log 2 and -log 4: k3 = 1/2 - 1 + log 2 and 4 - 1 - log 4
    logprobs = torch.tensor([[2.0], [0.25]]).log().requires_grad_()
    mask = torch.ones(2, 1, dtype=torch.bool)
    loss = grpo_loss(
        logprobs, logprobs.detach(), torch.zeros(2), mask, ref_logprobs=torch.zeros(2, 1), kl_coef=0.1
    ).loss
    assert loss.item() == pytest.approx(0.1 * ((math.log(2) - 0.5) + (3 - math.log(4))) / 2)
    loss.backward()
    assert_close(logprobs.grad, 0.1 * torch.tensor([[1 - 0.5], [1 - 4.0]]) / 2)  # d k3 / d log p = 1 - e^-d


@pytest.mark.parametrize("averaging", ["reply", "token", "constant"])
def test_padding_counts_nothing_not_even_nan(averaging):
    options = {"averaging": averaging, "kl_coef": 0.1, "max_length": 4}
    logprobs, old, ref, advantages = draw(2, 4), draw(2, 4, seed=1), draw(2, 4, seed=2), draw(2, seed=3)
    clean = grpo_loss(logprobs, old, advantages, MASK, ref_logprobs=ref, **options).loss
    dirty = [x.masked_fill(~MASK, math.nan) for x in (logprobs, old, ref)]
    dirty[0].requires_grad_()
    loss = grpo_loss(dirty[0], dirty[1], advantages, MASK, ref_logprobs=dirty[2], **options).loss
    assert_close(loss, clean)
    loss.backward()
    assert torch.equal(dirty[0].grad[~MASK], torch.zeros(4, **DOUBLE))
    assert dirty[0].grad[MASK].isfinite().all()


def test_the_first_step_is_that_of_policy_gradient():
    logprobs = draw(2, 4).requires_grad_()
    loss = grpo_loss(logprobs, logprobs.detach(), torch.tensor([2.0, -1.0], **DOUBLE), MASK).loss
    loss.backward()
    expected = torch.tensor([[-2.0, 0, 0, 0], [1 / 3, 1 / 3, 1 / 3, 0]], **DOUBLE) / 2
    assert_close(logprobs.grad, expected)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"clip_range": 1.0}, r"clip_range must be in \(0, 1\), got 1.0"),
        ({"clip_range_high": 0.0}, "clip_range_high must be > 0, got 0.0"),
        ({"kl_coef": 0.1}, "ref_logprobs are needed"),
        ({"averaging": "constant"}, "needs a max_length of at least 1, got None"),
    ],
)
def test_what_does_not_work_is_said(options, words):
    with pytest.raises(ValueError, match=words):
        grpo_loss(torch.zeros(2, 4), torch.zeros(2, 4), torch.zeros(2), MASK, **options)
