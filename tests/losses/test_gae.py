"""Generalised advantage estimation: by hand, its two limits, padding, and equal to torchrl's."""

import math

import pytest
import torch
from torch.testing import assert_close

from nn2llm.losses import compute_gae


def make_problem(lengths, num_tokens, *, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(num_tokens) < torch.tensor(lengths)[:, None]
    rewards, values = (
        torch.randn(len(lengths), num_tokens, generator=generator, dtype=dtype) for _ in range(2)
    )
    return rewards, values, mask


def test_values_by_hand():
    # gamma 1/2, lambda 1/2, so each surprise counts a quarter of the one before it.
    # delta(2) = 4 - 2 = 2;  delta(1) = 1 + 1/2 * 2 - 1 = 1;  delta(0) = 0 + 1/2 * 1 - 3 = -2.5
    # A(2) = 2;  A(1) = 1 + 2/4 = 1.5;  A(0) = -2.5 + 1.5/4 = -2.125;  return = A + V
    advantages, returns = compute_gae(
        torch.tensor([[0.0, 1.0, 4.0, 7.0]]),
        torch.tensor([[3.0, 1.0, 2.0, 9.0]]),
        torch.tensor([[True, True, True, False]]),
        gamma=0.5,
        gae_lambda=0.5,
    )
    assert_close(advantages, torch.tensor([[-2.125, 1.5, 2.0, 0.0]]))
    assert_close(returns, torch.tensor([[0.875, 2.5, 4.0, 0.0]]))


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_lambda_one_gives_the_rewards_that_came(gamma):
    rewards, values, mask = make_problem([1, 4, 6], 6)
    advantages, returns = compute_gae(rewards, values, mask, gamma=gamma, gae_lambda=1.0)
    expected = torch.zeros_like(rewards)
    for b, length in enumerate([1, 4, 6]):
        for t in range(length):
            expected[b, t] = sum(gamma ** (k - t) * rewards[b, k] for k in range(t, length))
    assert_close(returns, expected, rtol=1e-12, atol=1e-12)
    assert_close(advantages, (expected - values) * mask, rtol=1e-12, atol=1e-12)


def test_lambda_zero_gives_the_surprise_of_one_step():
    rewards, values, mask = make_problem([3, 5], 5)
    advantages, _ = compute_gae(rewards, values, mask, gamma=0.9, gae_lambda=0.0)
    next_values = torch.zeros_like(values)
    next_values[0, :2], next_values[1, :4] = values[0, 1:3], values[1, 1:5]
    assert_close(advantages, (rewards + 0.9 * next_values - values) * mask, rtol=1e-12, atol=1e-12)


def test_values_that_are_right_leave_no_advantage():
    # the reward comes with the last token alone; a value of 2 all along foresees it
    mask = torch.tensor([[True] * 3 + [False]])
    rewards = torch.tensor([[0.0, 0.0, 2.0, 0.0]])
    advantages, returns = compute_gae(rewards, torch.full((1, 4), 2.0), mask, gamma=1.0, gae_lambda=0.95)
    assert_close(advantages, torch.zeros(1, 4))
    assert_close(returns, torch.tensor([[2.0, 2.0, 2.0, 0.0]]))


@pytest.mark.parametrize("garbage", [1e6, math.inf, math.nan])
def test_padding_does_not_count_on_either_side(garbage):
    rewards, values, mask = make_problem([2, 3, 5], 5)
    expected = compute_gae(rewards, values, mask, gamma=0.99, gae_lambda=0.9)
    spoilt = [x.where(mask, garbage) for x in (rewards, values)]
    assert_close(compute_gae(*spoilt, mask, gamma=0.99, gae_lambda=0.9), expected, rtol=0, atol=0)

    def moved(x, fill):  # three columns before, one behind
        return torch.nn.functional.pad(x.to(torch.float64), (3, 1), value=fill)

    shifted = compute_gae(
        moved(spoilt[0], garbage),
        moved(spoilt[1], garbage),
        moved(mask, 0.0).bool(),
        gamma=0.99,
        gae_lambda=0.9,
    )
    for ours, theirs in zip(shifted, expected, strict=True):
        assert_close(ours, moved(theirs, 0.0), rtol=0, atol=0)


def test_rows_do_not_depend_on_each_other():
    rewards, values, mask = make_problem([2, 7, 4], 7)
    together = compute_gae(rewards, values, mask, gamma=1.0, gae_lambda=0.95)
    alone = compute_gae(rewards[:1, :2], values[:1, :2], mask[:1, :2], gamma=1.0, gae_lambda=0.95)
    assert_close(together.advantages[:1, :2], alone.advantages, rtol=0, atol=0)


def test_no_gradient_flows_and_inputs_stay():
    rewards, values, mask = make_problem([3], 4)
    values.requires_grad_()
    before = values.detach().clone(), rewards.clone()
    advantages, returns = compute_gae(rewards, values, mask, gamma=1.0, gae_lambda=0.95)
    assert not advantages.requires_grad
    assert not returns.requires_grad
    assert_close((values.detach(), rewards), before, rtol=0, atol=0)


@pytest.mark.parametrize("options", [{"gamma": 1.1, "gae_lambda": 0.9}, {"gamma": 1.0, "gae_lambda": -0.1}])
def test_factors_out_of_range_are_named(options):
    name = "gamma" if options["gamma"] > 1 else "gae_lambda"
    with pytest.raises(ValueError, match=rf"{name} must be in \[0, 1\], got {options[name]}"):
        compute_gae(*make_problem([2], 2), **options)


@pytest.fixture(scope="module")
def torchrl_gae():
    from torchrl.objectives.value import functional

    return functional.generalized_advantage_estimate, functional.vec_generalized_advantage_estimate


@pytest.fixture(params=[(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=["float64", "float32"])
def dtype_and_tolerance(request):
    # torchrl multiplies gamma by integer flags, which gives the default dtype: float32 would leave 7 digits
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param[0])
    yield request.param
    torch.set_default_dtype(before)


@pytest.mark.parametrize(
    ("gamma", "gae_lambda"), [(1.0, 0.95), (0.99, 0.9), (0.9, 0.5), (1.0, 1.0), (0.95, 0.0)]
)
@pytest.mark.parametrize(("lengths", "num_tokens"), [([1], 1), ([1, 2, 7, 12], 12), ([3, 48, 20], 50)])
def test_equals_torchrl(torchrl_gae, lengths, num_tokens, gamma, gae_lambda, dtype_and_tolerance):
    dtype, tolerance = dtype_and_tolerance
    rewards, values, mask = make_problem(lengths, num_tokens, dtype=dtype)
    # as in training: a score at the last token, a small penalty at each
    last = torch.tensor(lengths)[:, None] - 1 == torch.arange(num_tokens)
    rewards = 0.05 * rewards + rewards * last
    ours = compute_gae(rewards, values, mask, gamma=gamma, gae_lambda=gae_lambda)

    next_values = torch.cat([values[:, 1:], values.new_zeros(len(lengths), 1)], dim=1)
    inputs = [x[..., None] for x in (values, next_values, rewards, last)]  # its tensors are B T 1; last: done
    plain, vectorised = torchrl_gae
    for a, b in zip(ours, plain(gamma, gae_lambda, *inputs), strict=True):
        assert_close(a, b.squeeze(-1).where(mask, 0.0), rtol=tolerance, atol=tolerance)
    if gae_lambda > 0:  # at 0 torchrl 0.14.1's raises an IndexError
        for a, b in zip(ours, vectorised(gamma, gae_lambda, *inputs), strict=True):
            # it leaves out factors below 1e-7, whatever the dtype
            assert_close(a, b.squeeze(-1).where(mask, 0.0), rtol=1e-6, atol=1e-6)
