"""Squared error and binary cross-entropy: by hand and equal to torch's."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from nn2llm.losses import binary_cross_entropy_with_logits, mse_loss


def test_mse_by_hand():
    assert_close(mse_loss(torch.tensor([1.0, 2.0]), torch.tensor([0.0, 5.0])), torch.tensor(5.0))


def test_binary_cross_entropy_by_hand():
    # sigmoid(log 3) = 3/4
    logits = torch.tensor([math.log(3), math.log(3)])
    loss = binary_cross_entropy_with_logits(logits, torch.tensor([1.0, 0.0]), reduction="none")
    assert_close(loss, torch.tensor([math.log(4 / 3), math.log(4)]))


def test_binary_cross_entropy_of_huge_logits():
    logits = torch.tensor([1e4, -1e4])
    assert_close(
        binary_cross_entropy_with_logits(logits, torch.tensor([0.0, 0.0]), reduction="none"),
        torch.tensor([1e4, 0.0]),
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_equal_torch_with_gradients(reduction):
    x = (torch.linspace(-40, 40, 24, dtype=torch.float64).view(4, 6) + 0.1).requires_grad_()
    y = torch.linspace(0, 1, 24, dtype=torch.float64).view(4, 6)
    for ours, theirs in (
        (mse_loss, F.mse_loss),
        (binary_cross_entropy_with_logits, F.binary_cross_entropy_with_logits),
    ):
        a, b = ours(x, y, reduction=reduction), theirs(x, y, reduction=reduction)
        assert_close(a, b, rtol=1e-12, atol=1e-12)
        grads = [torch.autograd.grad(z.sum(), x)[0] for z in (a, b)]
        assert_close(grads[0], grads[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("function", [mse_loss, binary_cross_entropy_with_logits])
def test_broadcasting_is_refused(function):
    # with the tests' shape checker on, jaxtyping refuses first: either way the shapes are named
    with pytest.raises(Exception, match=r"one shape|shape"):
        function(torch.zeros(4), torch.zeros(4, 1))
