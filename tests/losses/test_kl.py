"""KL and its estimators: by hand, and their expectations and gradients exactly, over a small vocabulary."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from nn2llm.losses import exact_kl, kl_k1, kl_k2, kl_k3

ESTIMATORS = [kl_k1, kl_k2, kl_k3]
small_logits = st.lists(st.floats(-8, 8), min_size=5, max_size=5)


def make_logits(shape=(6,), scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(2)]


def expectation(estimator, logits, ref_logits):
    """E over tokens drawn from the policy, summed over the vocabulary; the draw itself is held fixed."""
    logps, ref_logps = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    return (logps.exp().detach() * estimator(logps, ref_logps)).sum(-1)


def gradient(loss, logits):
    return torch.autograd.grad(loss, logits)[0]


def test_values_by_hand():
    # log policy = log 1/2, log ref = log 1/4: d = log 2
    policy, ref = torch.tensor([math.log(1 / 2)]), torch.tensor([math.log(1 / 4)])
    assert_close(kl_k1(policy, ref), torch.tensor([math.log(2)]))
    assert_close(kl_k2(policy, ref), torch.tensor([math.log(2) ** 2 / 2]))
    assert_close(kl_k3(policy, ref), torch.tensor([1 / 2 - 1 + math.log(2)]))


def test_exact_by_hand():
    # p = [1/2, 1/2], q = [1/4, 3/4]: 1/2 log 2 + 1/2 log 2/3 = 1/2 log 4/3
    kl = exact_kl(torch.zeros(1, 2), torch.tensor([[0.0, math.log(3)]]))
    assert_close(kl, torch.tensor([math.log(4 / 3) / 2]))


def test_exact_equals_torch():
    logits, ref_logits = make_logits((3, 4, 9), scale=3)
    expected = F.kl_div(ref_logits.log_softmax(-1), logits.log_softmax(-1), reduction="none", log_target=True)
    assert_close(exact_kl(logits, ref_logits), expected.sum(-1), rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(logits=small_logits, ref_logits=small_logits)
def test_k1_and_k3_are_unbiased_and_kl_is_not_negative(logits, ref_logits):
    logits, ref_logits = (torch.tensor(x, dtype=torch.float64) for x in (logits, ref_logits))
    kl = exact_kl(logits, ref_logits)
    assert kl >= -1e-12
    assert_close(expectation(kl_k1, logits, ref_logits), kl, rtol=1e-9, atol=1e-12)
    assert_close(expectation(kl_k3, logits, ref_logits), kl, rtol=1e-9, atol=1e-12)
    logps, ref_logps = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    assert (kl_k2(logps, ref_logps) >= 0).all()
    assert (kl_k3(logps, ref_logps) >= 0).all()


def test_k2_is_biased_by_the_third_order():
    # halving the distance divides k2's bias by 8, while KL is divided by 4
    logits, step = make_logits()
    biases = []
    for size in (0.02, 0.01):
        ref_logits = logits + size * step
        biases.append((expectation(kl_k2, logits, ref_logits) - exact_kl(logits, ref_logits)).item())
    assert abs(biases[0]) > 1e-9
    assert biases[0] / biases[1] == pytest.approx(8, rel=0.05)


def test_k3_varies_less_than_k1_near_the_reference():
    logits, step = make_logits()
    logps, ref_logps = logits.log_softmax(-1), (logits + 0.1 * step).log_softmax(-1)

    def variance(x):
        mean = (logps.exp() * x).sum()
        return (logps.exp() * (x - mean) ** 2).sum()

    assert variance(kl_k3(logps, ref_logps)) < 0.01 * variance(kl_k1(logps, ref_logps))


def test_gradients_as_losses():
    logits, ref_logits = make_logits(scale=2)
    logits.requires_grad_()
    kl_gradient = gradient(exact_kl(logits, ref_logits), logits)
    reverse_gradient = gradient(exact_kl(ref_logits, logits), logits)
    assert (kl_gradient - reverse_gradient).norm() > 0.1 * kl_gradient.norm()  # told apart

    k1, k2, k3 = (gradient(expectation(k, logits, ref_logits), logits) for k in ESTIMATORS)
    assert_close(k1, torch.zeros_like(k1), atol=1e-12, rtol=0)
    assert_close(k2, kl_gradient, rtol=1e-10, atol=1e-12)
    assert_close(k3, reverse_gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("estimator", [kl_k1, kl_k3])
def test_as_a_penalty_in_the_reward_the_gradient_is_that_of_kl(estimator):
    # E[estimate * grad log policy], the estimate held fixed: k1 gives KL's gradient. k3 does not:
    # it adds E[(ref / policy) grad log policy] = -grad KL(ref || policy)
    logits, ref_logits = make_logits(scale=2)
    logits.requires_grad_()
    logps = logits.log_softmax(-1)
    estimate = estimator(logps, ref_logits.log_softmax(-1)).detach()
    penalty = gradient((logps.exp().detach() * estimate * logps).sum(), logits)
    expected = gradient(exact_kl(logits, ref_logits), logits)
    if estimator is kl_k3:
        expected = expected - gradient(exact_kl(ref_logits, logits), logits)
    assert_close(penalty, expected, rtol=1e-10, atol=1e-12)


def test_tokens_add_up_to_the_kl_of_whole_replies():
    # two tokens, the second depending on the first: E[k1 + k1] = KL of the pair
    (first, ref_first), (second, ref_second) = make_logits((4,)), make_logits((4, 4), seed=1)
    joint = first.log_softmax(-1)[:, None] + second.log_softmax(-1)
    ref_joint = ref_first.log_softmax(-1)[:, None] + ref_second.log_softmax(-1)
    whole = (joint.exp() * (joint - ref_joint)).sum()
    by_token = exact_kl(first, ref_first) + (first.softmax(-1) * exact_kl(second, ref_second)).sum()
    assert_close(by_token, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_zero_where_policy_is_the_reference(estimator):
    logprobs = torch.tensor([[-0.1, -5.0], [0.0, -60.0]])
    assert_close(estimator(logprobs, logprobs), torch.zeros(2, 2), rtol=0, atol=0)


def test_k3_keeps_its_digits_for_tiny_moves():
    # k3 = d^2/2 - d^3/6 + ... for small d; exp(-d) - 1 + d in float32 would be 0 or a rounding error
    d = torch.tensor([1e-3, -1e-3])
    assert_close(kl_k3(d, torch.zeros(2)), d**2 / 2 - d**3 / 6, rtol=1e-3, atol=0)


def test_excluded_tokens():
    logits = torch.tensor([[0.0, 0.0, -math.inf]], requires_grad=True)
    ref_logits = torch.tensor([[0.0, math.log(3), -math.inf]])
    kl = exact_kl(logits, ref_logits)
    assert_close(kl, torch.tensor([math.log(4 / 3) / 2]))
    assert gradient(kl.sum(), logits).isfinite().all()
    assert exact_kl(torch.zeros(1, 3), ref_logits).item() == math.inf


def test_half_precision_is_raised():
    logits, ref_logits = (x.bfloat16() for x in make_logits())
    assert exact_kl(logits, ref_logits).dtype == torch.float32
