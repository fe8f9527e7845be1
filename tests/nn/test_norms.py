"""Norms: by hand, what they promise, and equal to torch's, gradients included."""

import importlib.util

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from nn2llm.nn import norms
from nn2llm.nn.norms import LayerNorm, RMSNorm, batch_norm, build_norm, layer_norm, rms_norm

TIGHT = {"rtol": 0, "atol": 1e-6}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_layer_norm_by_hand():
    # mean 2, variance 1 (eps aside)
    x, weight, bias = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0]), torch.tensor([0.0, 1.0])
    assert_close(layer_norm(x, weight, bias, eps=0.0), torch.tensor([-2.0, 3.0]), **TIGHT)


def test_rms_norm_by_hand():
    # root mean square of (1, 7) is 5
    x, weight = torch.tensor([1.0, 7.0]), torch.tensor([1.0, 10.0])
    assert_close(rms_norm(x, weight, eps=0.0), torch.tensor([0.2, 14.0]), **TIGHT)
    assert_close(rms_norm(x, None, eps=0.0), torch.tensor([0.2, 1.4]), **TIGHT)


def test_batch_norm_by_hand():
    x = torch.tensor([[1.0], [3.0]])
    mean, var = torch.zeros(1), torch.ones(1)
    out = batch_norm(x, torch.ones(1), torch.zeros(1), mean, var, training=True, momentum=0.5, eps=0.0)
    assert_close(out, torch.tensor([[-1.0], [1.0]]), **TIGHT)  # divided by the biased variance, 1
    assert_close(mean, torch.tensor([1.0]))  # half of the way from 0 to 2
    assert_close(var, torch.tensor([1.5]))  # half of the way from 1 to 2, the unbiased variance


@pytest.mark.parametrize("with_bias", [True, False])
def test_layer_norm_equals_torch(with_bias):
    x, weight, bias = draw(3, 5, 8), draw(8, seed=1), draw(8, seed=2) if with_bias else None
    theirs = F.layer_norm(x, (8,), weight, bias)
    assert_close(layer_norm(x, weight, bias), theirs, **TIGHT)
    module = LayerNorm(8, bias=with_bias)
    module.load_state_dict({"weight": weight} | ({"bias": bias} if with_bias else {}))
    assert_close(module(x), theirs, **TIGHT)


def test_rms_norm_equals_torch():
    x, weight = draw(3, 5, 8), draw(8, seed=1)
    assert_close(rms_norm(x, weight), F.rms_norm(x, (8,), weight, 1e-6), **TIGHT)
    assert_close(rms_norm(x, None, eps=0.5), F.rms_norm(x, (8,), None, 0.5), **TIGHT)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_equals_torch(training):
    x, weight, bias = draw(6, 4), draw(4, seed=1), draw(4, seed=2)
    mean, var = draw(4, seed=3), draw(4, seed=4).square() + 0.1
    their_mean, their_var = mean.clone(), var.clone()
    for _ in range(3):  # running statistics move each time
        theirs = F.batch_norm(x, their_mean, their_var, weight, bias, training=training, momentum=0.2)
        ours = batch_norm(x, weight, bias, mean, var, training=training, momentum=0.2)
        assert_close(ours, theirs, **TIGHT)
    assert_close(mean, their_mean, **TIGHT)
    assert_close(var, their_var, **TIGHT)


def test_batch_norm_of_one_row_is_named():
    x, one = draw(1, 4), torch.ones(4)
    with pytest.raises(ValueError, match="needs at least 2 rows while training, got 1"):
        batch_norm(x, one, one, one.clone(), one.clone(), training=True)
    batch_norm(x, one, one, one.clone(), one.clone(), training=False)


def test_rms_norm_keeps_no_scale_and_layer_norm_no_shift():
    x, weight = draw(2, 8), torch.ones(8)
    assert_close(rms_norm(100 * x, weight, eps=0.0), rms_norm(x, weight, eps=0.0), **TIGHT)
    assert_close(layer_norm(x + 3, weight, None, eps=0.0), layer_norm(x, weight, None, eps=0.0), **TIGHT)
    assert not torch.allclose(rms_norm(x + 3, weight), rms_norm(x, weight), atol=0.1)


def strided(shape):
    """What queries look like: a slice of a wider tensor, so that rows do not lie side by side."""
    return draw(*shape[:-2], shape[-2] + 3, shape[-1])[..., 1 : shape[-2] + 1, :]


@pytest.mark.parametrize("shape", [(8,), (5, 8), (2, 3, 4, 8)])
@pytest.mark.parametrize("build", [lambda shape: draw(*shape), strided])
def test_the_fast_rms_norm_equals_the_version_to_read(shape, build):
    if build is strided and len(shape) < 2:
        shape = (4, 8)
    inputs, grad = build(shape), draw(*shape, seed=2)
    module = RMSNorm(8)
    module.weight.data = draw(8, seed=1)

    x = inputs.detach().requires_grad_()
    out = module(x)
    out.backward(grad)
    read_x, read_weight = (
        inputs.detach().clone().requires_grad_(),
        module.weight.detach().clone().requires_grad_(),
    )
    expected = rms_norm(read_x, read_weight)
    expected.backward(grad)

    assert_close(out, expected, **TIGHT)
    assert_close(x.grad, read_x.grad, rtol=1e-5, atol=1e-6)
    assert_close(module.weight.grad, read_weight.grad, rtol=1e-5, atol=1e-5)


def test_the_fast_rms_norms_gradient_is_right():
    # gradcheck differentiates numerically, in float64; small rows, where eps matters
    module = RMSNorm(4, eps=0.1).double()
    x = (0.3 * draw(3, 2, 4)).double().requires_grad_()

    def normalise(x, weight):
        module.weight.data = weight.data
        return torch.func.functional_call(module, {"weight": weight}, (x,))

    assert torch.autograd.gradcheck(normalise, (x, draw(4, seed=1).double().requires_grad_()))


def test_the_fast_rms_norm_survives_zeros():
    module, x = RMSNorm(4), torch.zeros(2, 4, requires_grad=True)
    out = module(x)
    out.sum().backward()
    assert torch.equal(out, torch.zeros(2, 4))
    assert_close(x.grad, torch.full((2, 4), 1e3))  # 1 / sqrt(eps)


def test_rms_norm_only_of_what_is_trained():
    module, x = RMSNorm(4).requires_grad_(False), draw(2, 4).requires_grad_()
    module(x).sum().backward()
    assert module.weight.grad is None
    assert x.grad is not None
    with torch.no_grad():
        assert not module(x).requires_grad


def test_rms_norm_in_half_precision():
    module, x = RMSNorm(8), draw(5, 8)
    half = module(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert_close(half.float(), module(x), rtol=0.02, atol=0.02)  # bf16 has three digits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_close(module(x), rms_norm(x, module.weight), **TIGHT)  # float32 in, float32 out
        y = x.clone().requires_grad_()
        module(y).sum().backward()
    assert y.grad.dtype == torch.float32


def test_rms_norm_under_the_compiler():
    # a copy that the import hook has not touched: the compiler cannot read through the checks of types
    spec = importlib.util.spec_from_file_location("unchecked_norms", norms.__file__)
    unchecked = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(unchecked)
    module, x = unchecked.RMSNorm(8), draw(5, 8).requires_grad_()
    module.weight.data = draw(8, seed=1)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")  # needs no C++ compiler
    out = compiled(x)
    assert_close(out, module(x), **TIGHT)
    (grad,), (expected,) = (torch.autograd.grad(y.square().sum(), x) for y in (out, module(x)))
    assert_close(grad, expected, rtol=1e-5, atol=1e-5)


def test_build_norm():
    assert isinstance(build_norm("rmsnorm", 4, bias=True), RMSNorm)
    assert build_norm("layernorm", 4, bias=True).bias is not None
    assert build_norm("layernorm", 4, bias=False).bias is None
    with pytest.raises(ValueError, match="norm must be 'layernorm' or 'rmsnorm', got 'batch'"):
        build_norm("batch", 4, bias=True)
