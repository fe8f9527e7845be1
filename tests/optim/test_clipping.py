"""Gradient clipping: by hand, equal to torch's, and open about NaN."""

import pytest
import torch
from torch.testing import assert_close

from nn2llm.optim import clip_grad_norm


def make(grads):
    params = [torch.zeros(len(g), requires_grad=True) for g in grads]
    for p, g in zip(params, grads, strict=True):
        p.grad = torch.tensor(g)
    return params


def test_by_hand():
    params = make([[3.0], [0.0, 4.0]])
    assert_close(clip_grad_norm(params, 1.0), torch.tensor(5.0))  # the 3-4-5 triangle
    assert_close(params[0].grad, torch.tensor([0.6]))
    assert_close(params[1].grad, torch.tensor([0.0, 0.8]))


def test_short_gradients_stay_to_the_bit():
    params = make([[3.0], [4.0]])
    clip_grad_norm(params, 6.0)
    assert params[0].grad.item() == 3.0
    assert params[1].grad.item() == 4.0


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 100.0, float("inf")])
def test_equals_torch(max_norm):
    grads = [torch.randn(n, generator=torch.Generator().manual_seed(n)).tolist() for n in (3, 50, 7)]
    ours, theirs = make(grads), make(grads)
    assert_close(clip_grad_norm(ours, max_norm), torch.nn.utils.clip_grad_norm_(theirs, max_norm))
    assert_close([p.grad for p in ours], [p.grad for p in theirs])


def test_nan_shows_in_the_norm():
    assert clip_grad_norm(make([[1.0], [float("nan")]]), 1.0).isnan()
    assert clip_grad_norm(make([[1.0], [float("inf")]]), 1.0).isinf()


def test_zero_and_missing_gradients():
    params = [*make([[0.0]]), torch.zeros(2, requires_grad=True)]
    assert clip_grad_norm(params, 1.0) == 0
    assert params[0].grad.item() == 0
    assert params[1].grad is None
    assert clip_grad_norm([], 1.0) == 0


@pytest.mark.parametrize("max_norm", [0.0, -1.0, float("nan")])
def test_max_norm_must_be_positive(max_norm):
    with pytest.raises(ValueError, match="max_norm must be > 0"):
        clip_grad_norm([], max_norm)
