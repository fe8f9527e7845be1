"""Muon: equal to torch's, however it is batched; and what its options mean."""

import pytest
import torch
from torch.testing import assert_close

from nn2llm.optim import Muon, newton_schulz
from nn2llm.optim.muon import compute_coefficients, compute_scale

SHAPES = [(24, 16), (16, 16), (48, 16), (16, 48), (16, 16), (24, 16), (10, 6)]


def make_parameters(shapes=SHAPES, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=generator).to(dtype).requires_grad_() for s in shapes]


def give_gradients(params, seed):
    generator = torch.Generator().manual_seed(seed)
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype) * 1e-2


def move(params, optimizer, num_steps=3):
    for step in range(num_steps):
        give_gradients(params, step)
        optimizer.step()
    return params


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch without Muon")
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize(("scale", "torchs"), [("spectral", "original"), ("match_rms", "match_rms_adamw")])
@pytest.mark.parametrize("ns_dtype", [torch.bfloat16, torch.float32])
def test_equals_torch(nesterov, scale, torchs, ns_dtype):
    options = {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.9, "nesterov": nesterov}
    theirs = make_parameters()
    move(theirs, torch.optim.Muon(theirs, adjust_lr_fn=torchs, **options))
    ours = make_parameters()
    move(ours, Muon(ours, scale=scale, ns_kind="keller", ns_steps=5, ns_dtype=ns_dtype, **options))
    for a, b, start in zip(ours, theirs, make_parameters(), strict=True):
        # torch iterates in bfloat16
        assert_close(a, b, rtol=0, atol=1e-2 if scale == "spectral" else 2e-2)
        assert (a - b).norm() < 0.02 * (b - start).norm()


def test_equals_the_definition():
    (w,) = make_parameters([(12, 8)], torch.float64)
    start = w.detach().clone()
    optimizer = Muon([w], lr=0.1, momentum=0.8, weight_decay=0.5, ns_steps=4)
    m = torch.zeros_like(start)
    expected = start
    for step in range(3):
        give_gradients([w], step)
        g = w.grad
        m = 0.8 * m + 0.2 * g
        direction = 0.2 * g + 0.8 * m
        update = newton_schulz(direction, compute_coefficients("polar_express", 4), tight=True)
        expected = (1 - 0.1 * 0.5) * expected - 0.1 * (12 / 8) ** 0.5 * update
        optimizer.step()
    assert_close(w.detach(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("ns_dtype", [torch.float32, torch.float64])
def test_together_equals_one_by_one(ns_dtype):
    together, alone = make_parameters(), make_parameters()
    move(together, Muon(together, ns_dtype=ns_dtype))
    for i, p in enumerate(alone):
        optimizer = Muon([p], ns_dtype=ns_dtype)
        for step in range(3):
            give_gradients(alone, step)
            optimizer.step()
        assert_close(p, together[i], rtol=0, atol=2e-5)


def test_large_stacks_are_cut(monkeypatch):
    whole, cut = make_parameters(dtype=torch.float64), make_parameters(dtype=torch.float64)
    move(whole, Muon(whole))
    monkeypatch.setattr("nn2llm.optim.muon.MAX_STACK_ELEMENTS", 500)
    move(cut, Muon(cut))
    assert_close(cut, whole, rtol=0, atol=1e-10)


@pytest.mark.parametrize("rows", [(8, 8, 8), (16, 4, 4)])
def test_split_rows_equal_separate_matrices(rows):
    (fused,) = make_parameters([(24, 16)], torch.float64)
    parts = [part.detach().clone().requires_grad_() for part in fused.split(rows)]
    give_gradients([fused], 0)
    for part, grad in zip(parts, fused.grad.split(rows), strict=True):
        part.grad = grad.clone()
    Muon([fused], split_rows=rows).step()
    Muon(parts).step()
    assert_close(fused, torch.cat(parts), rtol=0, atol=1e-10)


def test_update_is_orthogonal_within_the_band():
    (w,) = make_parameters([(32, 64)], torch.float64)
    before = w.detach().clone()
    give_gradients([w], 0)
    Muon([w], lr=1.0, ns_steps=5).step()
    values = torch.linalg.svdvals(before - w.detach())
    assert values.min() > 0.699
    assert values.max() < 1.301


def test_match_rms_gives_updates_of_rms_one_fifth():
    for shape in [(32, 64), (64, 32)]:
        (w,) = make_parameters([shape], torch.float64)
        before = w.detach().clone()
        give_gradients([w], 0)
        Muon([w], lr=1.0, scale="match_rms", ns_steps=5).step()
        assert (before - w.detach()).square().mean().sqrt().item() == pytest.approx(0.2, rel=0.2)


def test_scale_by_hand():
    assert compute_scale("spectral", 400, 100) == 2
    assert compute_scale("spectral", 100, 400) == 1
    assert compute_scale("match_rms", 100, 400) == 4


def test_the_size_of_the_gradient_does_not_matter():
    a, b = make_parameters(dtype=torch.float64), make_parameters(dtype=torch.float64)
    give_gradients(a, 0)
    for p, q in zip(a, b, strict=True):
        q.grad = p.grad * 1000
    Muon(a).step()
    Muon(b).step()
    assert_close(a, b, rtol=0, atol=1e-10)


def test_parameters_without_gradient_stay():
    a, b = make_parameters([(4, 4), (4, 4)])
    before = b.detach().clone()
    give_gradients([a], 0)
    Muon([a, b], weight_decay=0.1).step()
    assert_close(b.detach(), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((3,), {}, r"matrices, got a parameter of shape \(3,\)"),
        ((6, 3), {"split_rows": (2, 2)}, "add up to 4, but the parameter has 6 rows"),
        ((2, 2), {"lr": -1.0}, "lr and weight_decay"),
        ((2, 2), {"momentum": 1.0}, "momentum must be in"),
        ((2, 2), {"ns_steps": 0}, "ns_steps must be at least 1"),
        ((2, 2), {"ns_kind": "svd"}, "ns_kind must be"),
        ((2, 2), {"scale": "none"}, "scale must be"),
    ],
)
def test_wrong_settings_are_named(shape, options, words):
    with pytest.raises(ValueError, match=words):
        Muon([torch.zeros(shape, requires_grad=True)], **options)
