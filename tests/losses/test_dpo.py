"""DPO, cDPO, hinge and IPO: by hand and by property. Equal to TRL's trainer: test_trl.py."""

import math
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from nn2llm.losses import bradley_terry_loss, cdpo_loss, dpo_loss, hinge_loss, implicit_rewards, ipo_loss

FAMILY = {
    "dpo": dpo_loss,
    "cdpo": partial(cdpo_loss, label_smoothing=0.1),
    "hinge": hinge_loss,
    "ipo": ipo_loss,
}


def make_pairs(num=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [-40 * torch.rand(num, generator=generator, dtype=torch.float64) for _ in range(4)]


def loss_of_gap(loss, gap, **options):
    """The loss where h = gap: spread over all four inputs."""
    gap = torch.as_tensor(gap, dtype=torch.float64).reshape(-1)
    base = torch.full_like(gap, -20.0)
    return loss(base + 0.7 * gap, base - 0.2 * gap, base, base + 0.1 * gap, **options)


def test_values_by_hand():
    # h = (-10 - -12) - (-9 - -8) = 2 - -1 = 3; beta h = 0.3
    pair = [torch.tensor([x]) for x in (-10.0, -9.0, -12.0, -8.0)]
    sigmoid = 1 / (1 + math.exp(-0.3))
    assert_close(dpo_loss(*pair, beta=0.1), torch.tensor([-math.log(sigmoid)]))
    expected = -0.8 * math.log(sigmoid) - 0.2 * math.log(1 - sigmoid)
    assert_close(cdpo_loss(*pair, beta=0.1, label_smoothing=0.2), torch.tensor([expected]))
    assert_close(hinge_loss(*pair, beta=0.1), torch.tensor([0.7]))
    assert_close(ipo_loss(*pair, beta=0.1), torch.tensor([4.0]))  # (3 - 5)^2


def test_where_policy_equals_reference():
    chosen, rejected = torch.tensor([-3.0, -8.0]), torch.tensor([-5.0, -1.0])
    same = (chosen, rejected, chosen, rejected)
    assert_close(dpo_loss(*same, beta=0.1), torch.full((2,), math.log(2)))
    assert_close(cdpo_loss(*same, beta=0.1, label_smoothing=0.3), torch.full((2,), math.log(2)))
    assert_close(hinge_loss(*same, beta=0.1), torch.ones(2))
    assert_close(ipo_loss(*same, beta=0.1), torch.full((2,), 25.0))  # 1 / (4 * 0.01)
    assert_close(implicit_rewards(chosen, chosen, 0.1), torch.zeros(2))


@pytest.mark.parametrize("name", FAMILY)
def test_first_step_raises_chosen_and_lowers_rejected(name):
    policy = [torch.tensor([-5.0, -3.0], requires_grad=True) for _ in range(2)]
    ref = [x.detach() for x in policy]
    up, down = torch.autograd.grad(FAMILY[name](*policy, *ref, beta=0.1).sum(), policy)
    assert (up < 0).all()
    assert_close(up, -down)


@pytest.mark.parametrize("name", FAMILY)
def test_a_constant_of_the_prompt_changes_nothing(name):
    pairs = make_pairs()
    constant = torch.linspace(-5, 5, 6, dtype=torch.float64)
    moved = [x + constant for x in pairs]
    assert_close(FAMILY[name](*moved, beta=0.2), FAMILY[name](*pairs, beta=0.2))


def test_dpo_is_bradley_terry_on_implicit_rewards():
    policy_chosen, policy_rejected, ref_chosen, ref_rejected = make_pairs()
    rewards = (
        implicit_rewards(policy_chosen, ref_chosen, 0.3),
        implicit_rewards(policy_rejected, ref_rejected, 0.3),
    )
    assert_close(
        dpo_loss(policy_chosen, policy_rejected, ref_chosen, ref_rejected, beta=0.3),
        bradley_terry_loss(*rewards),
    )


def test_the_best_policy_has_the_reward_as_its_implicit_reward():
    # policy = ref exp(r / beta) / Z over four replies: beta log(policy / ref) = r - beta log Z (eq. 5)
    beta = 0.7
    ref = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    rewards = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    weights = ref * (rewards / beta).exp()
    policy = weights / weights.sum()
    expected = rewards - beta * weights.sum().log()
    assert_close(implicit_rewards(policy.log(), ref.log(), beta), expected)


def test_gradient_of_dpo_is_weighted_by_the_wrong_order():
    # d/d(policy chosen) = -beta sigmoid(rejected reward - chosen reward), below eq. 7
    pairs = make_pairs()
    pairs[0].requires_grad_()
    (grad,) = torch.autograd.grad(dpo_loss(*pairs, beta=0.3).sum(), pairs[0])
    chosen = implicit_rewards(pairs[0].detach(), pairs[2], 0.3)
    rejected = implicit_rewards(pairs[1], pairs[3], 0.3)
    assert_close(grad, -0.3 * torch.sigmoid(rejected - chosen))


@pytest.mark.parametrize("label_smoothing", [0.05, 0.2, 0.45])
def test_cdpo_is_lowest_where_its_belief_is_the_share_of_right_labels(label_smoothing):
    gap = torch.tensor(math.log((1 - label_smoothing) / label_smoothing) / 0.1, dtype=torch.float64)
    gap.requires_grad_()
    loss = loss_of_gap(cdpo_loss, gap, beta=0.1, label_smoothing=label_smoothing)
    (grad,) = torch.autograd.grad(loss.sum(), gap)
    assert_close(grad, torch.zeros_like(grad), atol=1e-12, rtol=0)
    entropy = -(1 - label_smoothing) * math.log(1 - label_smoothing) - label_smoothing * math.log(
        label_smoothing
    )
    assert loss.item() == pytest.approx(entropy, rel=1e-12)


def test_cdpo_without_smoothing_is_dpo():
    pairs = make_pairs()
    assert_close(cdpo_loss(*pairs, beta=0.2, label_smoothing=0), dpo_loss(*pairs, beta=0.2), rtol=0, atol=0)


def test_hinge_stops_where_the_margin_is_reached():
    gap = torch.tensor([9.9, 10.1], dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(loss_of_gap(hinge_loss, gap, beta=0.1).sum(), gap)
    assert_close(grad, torch.tensor([-0.1, 0.0], dtype=torch.float64))


def test_ipo_has_its_lowest_point_at_a_finite_gap():
    loss = loss_of_gap(ipo_loss, [4.0, 5.0, 6.0], beta=0.1)
    assert_close(loss, torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64))


def test_huge_gaps_stay_finite():
    losses = loss_of_gap(dpo_loss, [-1e6, 1e6], beta=0.1)
    assert_close(losses, torch.tensor([1e5, 0.0], dtype=torch.float64))
    assert loss_of_gap(cdpo_loss, [-1e6, 1e6], beta=0.1, label_smoothing=0.1).isfinite().all()


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("beta", [0.0, -0.1, math.nan])
def test_beta_must_be_positive(name, beta):
    with pytest.raises(ValueError, match=f"beta must be > 0, got {beta}"):
        FAMILY[name](*make_pairs(), beta=beta)


def test_beta_of_implicit_rewards_must_be_positive():
    with pytest.raises(ValueError, match="beta must be > 0, got 0"):
        implicit_rewards(torch.zeros(2), torch.zeros(2), 0.0)


@pytest.mark.parametrize("label_smoothing", [-0.1, 0.5, 1.0])
def test_label_smoothing_must_leave_information(label_smoothing):
    with pytest.raises(ValueError, match=f"label_smoothing must be in .0, 0.5., got {label_smoothing}"):
        cdpo_loss(*make_pairs(), beta=0.1, label_smoothing=label_smoothing)
