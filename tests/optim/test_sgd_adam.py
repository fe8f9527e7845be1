"""SGD, Adam and AdamW: the first steps by hand, and equal to torch's after 100 steps."""

import copy

import pytest
import torch
from torch.testing import assert_close

from nn2llm.optim import SGD, Adam, AdamW


def train(optimizer_class, num_steps=100, **options):
    """A small nonlinear problem in float64; the third parameter has a gradient every second step only."""
    generator = torch.Generator().manual_seed(3)
    shapes = [(5, 4), (4,), (3, 5)]
    params = [torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes]
    inputs = torch.randn(8, 4, generator=generator, dtype=torch.float64)
    optimizer = optimizer_class([{"params": params[:2]}, {"params": params[2:], "lr": 0.003}], **options)
    for step in range(num_steps):
        optimizer.zero_grad()
        hidden = torch.tanh((inputs + params[1]) @ params[0].T)
        loss = (hidden @ params[2].T if step % 2 == 0 else hidden).sin().pow(2).mean()
        loss.backward()
        optimizer.step()
    return params


SGD_OPTIONS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "dampening": 0.3},
    {"momentum": 0.9, "nesterov": True},
    {"weight_decay": 0.1},
    {"momentum": 0.8, "nesterov": True, "weight_decay": 0.05},
]


@pytest.mark.parametrize("options", SGD_OPTIONS)
def test_sgd_equals_torch(options):
    ours, theirs = train(SGD, lr=0.05, **options), train(torch.optim.SGD, lr=0.05, **options)
    assert_close(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"betas": (0.8, 0.95), "eps": 1e-4}])
@pytest.mark.parametrize(("ours", "theirs"), [(Adam, torch.optim.Adam), (AdamW, torch.optim.AdamW)])
def test_adam_equals_torch(ours, theirs, options):
    assert_close(train(ours, lr=0.01, **options), train(theirs, lr=0.01, **options), rtol=0, atol=1e-9)


def test_adam_and_adamw_differ_once_weights_decay():
    a, b = train(Adam, lr=0.01, weight_decay=0.1), train(AdamW, lr=0.01, weight_decay=0.1)
    assert (a[0] - b[0]).abs().max() > 1e-4


def step_by_hand(optimizer_class, grads, **options):
    w = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimizer = optimizer_class([w], **options)
    path = []
    for g in grads:
        w.grad = torch.tensor([g], dtype=torch.float64)
        optimizer.step()
        path.append(w.item())
    return path


def test_momentum_by_hand():
    # v: 1, 0.5 * 1 + 1 = 1.5; w: 1 - 0.1 * 1, then - 0.1 * 1.5
    assert step_by_hand(SGD, [1.0, 1.0], lr=0.1, momentum=0.5) == pytest.approx([0.9, 0.75])


def test_nesterov_by_hand():
    # d: 1 + 0.5 * 1 = 1.5, then 1 + 0.5 * 1.5 = 1.75
    assert step_by_hand(SGD, [1.0, 1.0], lr=0.1, momentum=0.5, nesterov=True) == pytest.approx([0.85, 0.675])


@pytest.mark.parametrize("gradient", [1e-3, 1.0, 1e3])
def test_adams_first_step_is_lr_whatever_the_gradient(gradient):
    assert step_by_hand(Adam, [gradient], lr=0.1, eps=0.0) == pytest.approx([0.9])


def test_adamw_decays_beside_the_step():
    # (1 - 0.1 * 0.5) * 1 - 0.1
    assert step_by_hand(AdamW, [7.0], lr=0.1, eps=0.0, weight_decay=0.5) == pytest.approx([0.85])


@pytest.mark.parametrize("optimizer_class", [SGD, Adam])
def test_closure_is_called_and_its_loss_returned(optimizer_class):
    w = torch.ones(1, requires_grad=True)
    optimizer = optimizer_class([w], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (w**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 1
    assert w.item() < 1


@pytest.mark.parametrize("optimizer_class", [SGD, AdamW])
def test_state_restores(optimizer_class):
    options = {"momentum": 0.9} if optimizer_class is SGD else {}
    a, b = (torch.ones(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    first, second = optimizer_class([a], lr=0.1, **options), optimizer_class([b], lr=0.1, **options)
    a.grad = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    first.step()
    b.data.copy_(a)
    second.load_state_dict(copy.deepcopy(first.state_dict()))  # torch shares the tensors otherwise
    a.grad, b.grad = a.grad * 2, a.grad * 2
    first.step()
    second.step()
    assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("optimizer_class", "options", "words"),
    [
        (SGD, {"lr": -1.0}, "lr must be >= 0, got -1"),
        (SGD, {"nesterov": True}, "nesterov needs momentum"),
        (Adam, {"betas": (0.9, 1.0)}, "betas must be in"),
        (AdamW, {"weight_decay": -0.1}, "weight_decay must be >= 0"),
    ],
)
def test_wrong_settings_are_named(optimizer_class, options, words):
    with pytest.raises(ValueError, match=words):
        optimizer_class([torch.zeros(1, requires_grad=True)], **options)
