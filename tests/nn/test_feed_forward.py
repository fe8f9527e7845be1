"""The feed-forward layer: activations by hand and equal to torch's, SwiGLU equal to Llama's."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaMLP

from nn2llm.nn.feed_forward import ACTIVATIONS, FeedForward, gelu, gelu_tanh, relu_squared, silu, swiglu

GRID = torch.linspace(-8, 8, 4001)
TIGHT = {"rtol": 0, "atol": 1e-6}


def test_by_hand():
    one = torch.tensor([1.0])
    # a standard normal lies below 1 with probability 0.8413447
    assert_close(gelu(one), torch.tensor([0.8413447]), **TIGHT)
    assert_close(silu(one), torch.tensor([1 / (1 + math.exp(-1))]), **TIGHT)
    assert relu_squared(torch.tensor([-3.0, 0.0, 3.0])).tolist() == [0.0, 0.0, 9.0]
    assert_close(swiglu(one, torch.tensor([2.0])), torch.tensor([2 / (1 + math.exp(-1))]), **TIGHT)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (gelu, F.gelu),
        (gelu_tanh, lambda x: F.gelu(x, approximate="tanh")),
        (relu_squared, lambda x: F.relu(x) ** 2),
        (silu, F.silu),
    ],
)
def test_activations_equal_torchs(ours, theirs):
    assert_close(ours(GRID), theirs(GRID), **TIGHT)


def test_the_tanh_form_is_close_to_gelu():
    error = (gelu_tanh(GRID.double()) - gelu(GRID.double())).abs().max()
    assert 1e-4 < error < 5e-4  # close, and yet another function


def test_what_the_module_calls_is_what_the_functions_say():
    readable = {"relu": F.relu, "relu2": relu_squared, "gelu": gelu, "gelu_tanh": gelu_tanh, "silu": silu}
    assert readable.keys() == ACTIVATIONS.keys()
    for name, function in readable.items():
        assert_close(ACTIVATIONS[name](GRID), function(GRID), **TIGHT)


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_the_module_is_linear_bend_linear(kind, bias):
    torch.manual_seed(0)
    module, x = FeedForward(6, 10, kind=kind, bias=bias), torch.randn(2, 3, 6)
    assert_close(module(x), module.down(ACTIVATIONS[kind](module.up(x))))
    assert (module.up.bias is not None) == (module.down.bias is not None) == bias


def test_swiglu_equals_llamas():
    torch.manual_seed(0)
    module = FeedForward(6, 16, kind="swiglu", bias=False)
    theirs = LlamaMLP(LlamaConfig(hidden_size=6, intermediate_size=16, num_attention_heads=1))
    with torch.no_grad():
        theirs.gate_proj.weight.copy_(module.gate.weight)
        theirs.up_proj.weight.copy_(module.up.weight)
        theirs.down_proj.weight.copy_(module.down.weight)
    x = torch.randn(2, 3, 6)
    assert_close(module(x), theirs(x), **TIGHT)
    expected = module.down(swiglu(module.gate(x), module.up(x)))
    assert_close(module(x), expected, **TIGHT)


@pytest.mark.parametrize("kind", ["swiglu", *ACTIVATIONS])
def test_no_position_sees_another(kind):
    torch.manual_seed(0)
    module, x = FeedForward(6, 10, kind=kind, bias=True), torch.randn(1, 5, 6)
    changed = x.clone()
    changed[:, 2] += 1
    same = torch.tensor([True, True, False, True, True])
    assert torch.equal((module(x) == module(changed)).all(dim=-1)[0], same)


def test_an_unknown_kind_is_named():
    names = "swiglu, relu, relu2, gelu, gelu_tanh, silu"
    with pytest.raises(ValueError, match=f"feed_forward must be one of {names}, got 'tanh'"):
        FeedForward(6, 10, kind="tanh", bias=True)
