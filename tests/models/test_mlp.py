"""The MLP: by hand, what initialisation promises, and that it learns XOR."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from nn2llm.core.errors import ConfigError
from nn2llm.losses import binary_cross_entropy_with_logits
from nn2llm.models.mlp import MLP, MLPConfig
from nn2llm.optim import Adam


def build(seed=0, **options):
    torch.manual_seed(seed)
    return MLP(MLPConfig(**{"input_size": 2, "output_size": 1, **options}))


def test_xor_by_hand():
    # relu(a + b) - 2 relu(a + b - 1) is XOR
    model = build(hidden_sizes=(2,))
    with torch.no_grad():
        model.hidden[0].linear.weight.fill_(1.0)
        model.hidden[0].linear.bias.copy_(torch.tensor([0.0, -1.0]))
        model.head.weight.copy_(torch.tensor([[1.0, -2.0]]))
    inputs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    assert_close(model(inputs).squeeze(1).detach(), torch.tensor([0.0, 1.0, 1.0, 0.0]))


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "sigmoid"])
def test_equals_torchs_sequential(activation):
    model = build(input_size=5, hidden_sizes=(7, 6), output_size=3, activation=activation)
    bend = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}[activation]
    first, second = (layer.linear for layer in model.hidden)
    same = nn.Sequential(first, bend(), second, bend(), model.head)
    x = torch.randn(4, 9, 5)  # any leading dimensions
    assert_close(model(x), same(x))


def test_swiglu_by_hand():
    model = build(input_size=1, hidden_sizes=(1,), activation="swiglu")
    layer = model.hidden[0]
    with torch.no_grad():
        layer.linear.weight.fill_(2.0)
        layer.gate.weight.fill_(3.0)
    sigmoid = torch.sigmoid(torch.tensor(2.0))
    assert_close(layer(torch.ones(1)).detach(), (2 * sigmoid * 3)[None])


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "sigmoid", "swiglu"])
def test_learns_xor(activation):
    model = build(hidden_sizes=(16,), activation=activation)
    inputs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    targets = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    optimizer = Adam(model.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(model(inputs), targets)
        loss.backward()
        optimizer.step()
    assert loss < 0.1


def test_a_linear_model_cannot_learn_xor():
    model = build(hidden_sizes=())
    assert [name for name, _ in model.named_parameters()] == ["head.weight", "head.bias"]


@pytest.mark.parametrize(("init", "activation", "kept"), [("he", "relu", True), ("xavier", "relu", False)])
def test_he_keeps_the_signal_through_relu(init, activation, kept):
    model = build(input_size=200, hidden_sizes=(200,) * 10, activation=activation, init=init)
    h = torch.randn(64, 200)
    for layer in model.hidden:
        h = layer(h)
    mean_square = h.square().mean().item()
    # xavier loses half at each of ten relu layers
    assert (0.3 < mean_square < 3) if kept else (mean_square < 0.01)


def test_layer_norm_bounds_the_activations_input():
    model = build(hidden_sizes=(64,), layer_norm=True, activation="relu")
    big, small = model(torch.full((1, 2), 1e4)), model(torch.full((1, 2), 1.0))
    assert_close(big, small, rtol=1e-3, atol=1e-3)


def test_dropout_only_in_training():
    model = build(hidden_sizes=(64,), dropout=0.5)
    x = torch.ones(1, 2)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"input_size": 0}, "input_size must be at least 1, got 0"),
        ({"output_size": -1}, "output_size"),
        ({"hidden_sizes": (4, 0)}, "hidden_sizes"),
        ({"activation": "selu"}, "unknown activation 'selu'"),
        ({"dropout": 1.0}, "dropout must be in"),
        ({"init": "zeros"}, "unknown init 'zeros'"),
    ],
)
def test_wrong_config_is_named(options, words):
    with pytest.raises(ConfigError, match=words):
        build(**options)
