"""PPO's surrogate, value loss and whitening: values derived by hand, where gradients vanish, and padding."""

import math

import pytest
import torch
from torch.testing import assert_close

from nn2llm.losses import (
    clipped_value_loss,
    entropy,
    explained_variance,
    masked_mean,
    ppo_policy_loss,
    whiten,
)

ALL = torch.ones(1, 6, dtype=torch.bool)


def row(*numbers):
    return torch.tensor([numbers], dtype=torch.float64)


def ratios_to_logprobs(ratios, old):
    return (old + ratios.log()).requires_grad_()


def test_policy_loss_by_hand():
    # clip_range 1/5: r is held within [0.8, 1.2]. For each token min(r A, clip(r) A):
    #   r    A     r A    clip(r) A   min     gradient of the minimum by log r
    #   1    2     2      2           2       r A = 2
    #   1.5  2     3      2.4         2.4     0: clipped, gained enough
    #   0.5  2     1      1.6         1       r A = 1: went the wrong way, is pulled back
    #   0.5  -2    -1     -1.6        -1.6    0: clipped
    #   1.5  -2    -3     -2.4        -3      r A = -3: went the wrong way
    #   0.6  -2    -1.2   -1.6        -1.6    0: clipped
    # sum 2 + 2.4 + 1 - 1.6 - 3 - 1.6 = -0.8; loss = 0.8 / 6; clipping binds at 3 of 6
    ratios, advantages = row(1, 1.5, 0.5, 0.5, 1.5, 0.6), row(2, 2, 2, -2, -2, -2)
    old = row(-1, -2, -0.1, -3, -0.7, -4)
    logprobs = ratios_to_logprobs(ratios, old)
    result = ppo_policy_loss(logprobs, old, advantages, ALL, clip_range=0.2)
    assert_close(result.loss.item(), 0.8 / 6)
    assert_close(result.clip_fraction.item(), 3 / 6)
    (grad,) = torch.autograd.grad(result.loss, logprobs)
    assert_close(grad, -row(2, 0, 1, 0, -3, 0) / 6)
    assert (grad[0, [1, 3, 5]] == 0).all()  # exactly
    # k3 with tokens of the old policy: the mean of (r - 1) - log r
    expected = (ratios - 1 - ratios.log()).mean()
    assert_close(result.approx_kl, expected)
    assert not result.approx_kl.requires_grad
    assert not result.clip_fraction.requires_grad


def test_first_step_is_policy_gradient():
    old, advantages = row(-1, -2, -0.1, -3, -0.7, -4), row(1, -2, 3, 0.5, -0.1, 7)
    logprobs = old.clone().requires_grad_()
    result = ppo_policy_loss(logprobs, old, advantages, ALL, clip_range=0.2)
    (grad,) = torch.autograd.grad(result.loss, logprobs)
    assert_close(result.loss, -advantages.mean())
    assert_close(grad, -advantages / 6)
    assert result.clip_fraction == 0
    assert result.approx_kl == 0


@pytest.mark.parametrize("garbage", [1e30, math.nan, math.inf])
def test_masked_positions_change_neither_loss_nor_gradient(garbage):
    mask = torch.tensor([[True, True, False, True, False, True]])
    old, advantages = row(-1, -2, -0.1, -3, -0.7, -4), row(1, -2, 3, 0.5, -0.1, 7)
    logprobs = ratios_to_logprobs(row(1, 1.5, 0.5, 0.5, 1.5, 1.1), old)
    kept = [x.detach()[mask][None] for x in (logprobs, old, advantages)]
    kept[0].requires_grad_()
    expected = ppo_policy_loss(*kept, ALL[:, :4], clip_range=0.2)
    (expected_grad,) = torch.autograd.grad(expected.loss, kept[0])

    spoilt = [x.detach().where(mask, garbage) for x in (logprobs, old, advantages)]
    spoilt[0].requires_grad_()
    result = ppo_policy_loss(*spoilt, mask, clip_range=0.2)
    (grad,) = torch.autograd.grad(result.loss, spoilt[0])
    assert_close(tuple(result), tuple(expected))
    assert_close(grad[mask][None], expected_grad)
    assert (grad[~mask] == 0).all()

    spoilt = [x.detach() for x in spoilt]
    spoilt[0].requires_grad_()
    value_loss = clipped_value_loss(*spoilt, mask, clip_range_value=0.2)
    (grad,) = torch.autograd.grad(value_loss, spoilt[0])
    assert_close(value_loss, clipped_value_loss(*kept, ALL[:, :4], clip_range_value=0.2))
    assert grad.isfinite().all()
    assert (grad[~mask] == 0).all()
    for function in (masked_mean, lambda x, m: whiten(x, m)[m], lambda x, m: explained_variance(x, x, m)):
        assert_close(function(spoilt[1], mask), function(kept[1], ALL[:, :4]))


def test_value_loss_by_hand():
    # V_old = 1, clip_range_value 1/2: V is held within [0.5, 1.5]. Half the larger of both squared errors:
    #   V    R   (V - R)^2   clipped V   (clipped - R)^2   larger   gradient of half of it by V
    #   1.2  3   3.24        1.2         3.24              3.24     V - R = -1.8
    #   2    3   1           1.5         2.25              2.25     0: has moved enough towards R
    #   0    3   9           0.5         6.25              9        V - R = -3: went away from R
    #   2    0   4           1.5         2.25              4        V - R = 2: went away from R
    #   0    0   0           0.5         0.25              0.25     0: has moved enough
    #   1    1   0           1           0                 0        0
    # sum 18.74
    values, returns = row(1.2, 2, 0, 2, 0, 1).requires_grad_(), row(3, 3, 3, 0, 0, 1)
    loss = clipped_value_loss(values, torch.ones_like(returns), returns, ALL, clip_range_value=0.5)
    assert_close(loss.item(), 18.74 / 6 / 2)
    (grad,) = torch.autograd.grad(loss, values)
    assert_close(grad, row(-1.8, 0, -3, 2, 0, 0) / 6)
    assert (grad[0, [1, 4]] == 0).all()  # exactly


def test_value_loss_without_clipping_is_half_the_squared_error():
    values, old_values, returns = row(1.2, 2, 0, 2, 0, 1), row(9, 9, 9, 9, 9, 9), row(3, 3, 3, 0, 0, 1)
    loss = clipped_value_loss(values, old_values, returns, ALL, clip_range_value=None)
    assert_close(loss.item(), (3.24 + 1 + 9 + 4) / 6 / 2)
    assert loss <= clipped_value_loss(values, old_values, returns, ALL, clip_range_value=0.1)


def test_masked_mean_by_hand():
    mask = torch.tensor([[True, False, True], [False, False, True]])
    assert masked_mean(torch.tensor([[1.0, 9.0, 2.0], [9.0, 9.0, 6.0]]), mask) == 3
    assert masked_mean(torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.bool)).isnan()


def test_whiten_by_hand():
    # of 1, 3, 5, 7: mean 4, variance (9 + 1 + 1 + 9) / 4 = 5
    x = torch.tensor([[1.0, 3.0, 100.0], [5.0, 7.0, -100.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, False], [True, True, False]])
    expected = torch.tensor([[-3.0, -1.0, 0.0], [1.0, 3.0, 0.0]], dtype=torch.float64) / math.sqrt(5)
    assert_close(whiten(x, mask), expected, rtol=1e-8, atol=0)
    shifted = whiten(x, mask, shift_mean=False)
    assert_close(shifted, (expected + 4).where(mask, 0.0), rtol=1e-8, atol=0)
    assert_close(masked_mean(shifted, mask).item(), 4.0)


def test_whitening_forgets_scale_and_shift():
    x = row(0.3, -2, 5, 1, 0, 2.5)
    assert_close(whiten(1000 * x - 7, ALL), whiten(x, ALL), rtol=1e-7, atol=1e-7)


def test_whitening_equal_numbers():
    x = torch.full((1, 6), 2.0)
    assert_close(whiten(x, ALL), torch.zeros(1, 6))
    assert_close(whiten(x, ALL, shift_mean=False), x)


def test_entropy_by_hand():
    logits = torch.tensor(
        [[0.0, 0.0, 0.0, 0.0], [0.0, math.log(3), -math.inf, -math.inf], [1e4, 0.0, 0.0, 0.0]]
    )
    # [1/4, 3/4]: 1/4 log 4 + 3/4 log 4/3
    expected = torch.tensor([math.log(4), math.log(4) / 4 + 0.75 * math.log(4 / 3), 0.0])
    assert_close(entropy(logits), expected)


def test_entropy_equals_torch_with_gradients():
    logits = torch.randn(3, 4, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits.requires_grad_()
    ours, theirs = entropy(logits), torch.distributions.Categorical(logits=logits).entropy()
    assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert_close(
        torch.autograd.grad(ours.sum(), logits),
        torch.autograd.grad(theirs.sum(), logits),
        rtol=1e-10,
        atol=1e-12,
    )


def test_entropy_of_excluded_tokens_has_a_gradient():
    logits = torch.tensor([0.0, 1.0, -math.inf], requires_grad=True)
    (grad,) = torch.autograd.grad(entropy(logits), logits)
    assert grad.isfinite().all()
    assert entropy(logits.detach().bfloat16()).dtype == torch.float32


def test_explained_variance_by_hand():
    returns = row(1, 2, 3, 4, 5, 6)
    assert_close(explained_variance(returns - 10, returns, ALL).item(), 1.0)  # a constant off still explains
    assert_close(explained_variance(torch.zeros_like(returns), returns, ALL).item(), 0.0)
    assert_close(explained_variance(-returns, returns, ALL).item(), -3.0)  # 1 - Var(2 R) / Var(R)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1234.567])
def test_nothing_to_explain(constant):
    returns = torch.full((7, 13), constant)
    values = torch.linspace(-1, 1, 91).view(7, 13)
    assert explained_variance(values, returns, torch.ones(7, 13, dtype=torch.bool)) == 0


@pytest.mark.parametrize("clip_range", [0.0, 1.0, -0.2])
def test_clip_range_out_of_range_is_named(clip_range):
    with pytest.raises(ValueError, match=rf"clip_range must be in \(0, 1\), got {clip_range}"):
        ppo_policy_loss(*[torch.zeros(1, 6)] * 3, ALL, clip_range=clip_range)


def test_clip_range_of_values_must_be_positive():
    with pytest.raises(ValueError, match="clip_range_value must be > 0, got 0"):
        clipped_value_loss(*[torch.zeros(1, 6)] * 3, ALL, clip_range_value=0.0)
