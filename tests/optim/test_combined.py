"""Parameter groups, and several optimizers behind one face."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from nn2llm.core.errors import CheckpointError, ConfigError
from nn2llm.optim import CombinedOptimizer, OptimizerConfig, build_optimizer, build_param_groups
from nn2llm.optim.param_groups import classify_parameter


class Tiny(nn.Module):
    def __init__(self, tied=False):
        super().__init__()
        torch.manual_seed(0)
        self.token_embedding = nn.Embedding(11, 8)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"qkv": nn.Linear(8, 24), "norm": nn.LayerNorm(8), "head_mix": nn.Linear(8, 8)})
            for _ in range(2)
        )
        self.conv = nn.Conv1d(8, 8, 3)
        self.lm_head = nn.Linear(8, 11, bias=False)
        if tied:
            self.lm_head.weight = self.token_embedding.weight


def backward(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=generator) * 0.01


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [
        ("token_embedding.weight", (9, 4), "embedding"),
        ("transformer.wte.weight", (9, 4), "embedding"),
        ("wpe.weight", (9, 4), "embedding"),
        ("embed_tokens.weight", (9, 4), "embedding"),
        ("embed.weight", (9, 4), "embedding"),
        ("embeddings.word.weight", (9, 4), "embedding"),
        ("lm_head.weight", (9, 4), "head"),
        ("head.weight", (9, 4), "head"),
        ("value_head.weight", (1, 4), "head"),
        ("unembedding.weight", (9, 4), "head"),
        ("blocks.0.attention.qkv.weight", (12, 4), "hidden"),
        ("blocks.0.heads.0.weight", (4, 4), "hidden"),
        ("blocks.0.head_mix.weight", (4, 4), "hidden"),
        ("blocks.0.member.weight", (4, 4), "hidden"),
        ("lm_head.bias", (9,), "vector"),
        ("blocks.0.norm.weight", (4,), "vector"),
        ("scale", (), "vector"),
    ],
)
def test_kinds(name, shape, kind):
    assert classify_parameter(name, torch.zeros(shape)) == kind


@pytest.mark.parametrize("use_muon", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_every_parameter_is_in_exactly_one_group(use_muon, tied):
    model = Tiny(tied)
    groups = build_param_groups(model.named_parameters(remove_duplicate=False), use_muon=use_muon)
    grouped = [id(p) for group in groups for _, p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())
    for group in groups:
        for name, p in group["params"]:
            assert (group["weight_decay"] == 0) == (p.ndim < 2), name
            is_muon = use_muon and ("qkv.weight" in name or "head_mix.weight" in name)
            assert (group["optimizer"] == "muon") == is_muon, name


def test_frozen_parameters_are_left_out():
    model = Tiny()
    model.token_embedding.requires_grad_(False)
    names = [name for group in build_param_groups(model.named_parameters()) for name, _ in group["params"]]
    assert "token_embedding.weight" not in names
    assert "lm_head.weight" in names


def test_groups_refuse_what_they_cannot_sort():
    with pytest.raises(ValueError, match="nothing to train"):
        build_param_groups([])
    with pytest.raises(ValueError, match=r"split_rows names \['q.weight'\]"):
        build_param_groups(Tiny().named_parameters(), split_rows={"q.weight": (1,)})


def test_build_optimizer_gives_each_its_rate():
    config = OptimizerConfig(muon_lr=0.5, adamw_lr=0.1, embedding_lr=0.2, head_lr=0.3)
    optimizer = build_optimizer(Tiny().named_parameters(), config, split_rows={"qkv.weight": (8, 8, 8)})
    assert [type(o).__name__ for o in optimizer.optimizers] == ["Muon", "AdamW"]
    rates = {name: group["lr"] for group in optimizer.param_groups for name in group["param_names"]}
    assert rates["blocks.1.qkv.weight"] == 0.5
    assert rates["token_embedding.weight"] == 0.2
    assert rates["lm_head.weight"] == 0.3
    assert rates["conv.weight"] == rates["blocks.0.norm.weight"] == 0.1
    groups = optimizer.param_groups
    splits = {name: group.get("split_rows") for group in groups for name in group["param_names"]}
    assert splits["blocks.0.qkv.weight"] == (8, 8, 8)
    assert splits["blocks.0.head_mix.weight"] is None


def test_without_muon_it_is_torchs_adamw():
    ours, theirs = Tiny(), Tiny()
    config = OptimizerConfig(use_muon=False, adamw_lr=0.01, weight_decay=0.0, beta2=0.99)
    a = build_optimizer(ours.named_parameters(), config)
    b = torch.optim.AdamW(theirs.parameters(), lr=0.01, betas=(0.9, 0.99), weight_decay=0.0, foreach=False)
    for seed in range(5):
        backward(ours, seed)
        backward(theirs, seed)
        a.step()
        b.step()
    assert_close(list(ours.parameters()), list(theirs.parameters()), rtol=0, atol=1e-6)


def test_lr_factor_multiplies_the_base_not_the_last():
    optimizer = build_optimizer(Tiny().named_parameters(), OptimizerConfig(muon_lr=0.2, adamw_lr=0.1))
    optimizer.set_lr_factor(0.5)
    optimizer.set_lr_factor(0.5)
    assert sorted({g["lr"] for g in optimizer.param_groups}) == pytest.approx([0.05, 0.1])


def test_factor_zero_changes_nothing():
    model = Tiny()
    before = copy.deepcopy(list(model.parameters()))
    optimizer = build_optimizer(model.named_parameters(), OptimizerConfig(muon_weight_decay=0.1))
    optimizer.set_lr_factor(0.0)
    backward(model)
    optimizer.step()
    assert_close(list(model.parameters()), before, rtol=0, atol=0)


def test_saved_state_restores_to_the_bit():
    model = Tiny()
    optimizer = build_optimizer(model.named_parameters(), OptimizerConfig())
    for seed in range(2):
        backward(model, seed)
        optimizer.step()

    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    twin = copy.deepcopy(model)
    restored = build_optimizer(twin.named_parameters(), OptimizerConfig())
    restored.load_state_dict(torch.load(file, weights_only=True))

    for seed in range(2, 4):
        for m, o in ((model, optimizer), (twin, restored)):
            backward(m, seed)
            o.set_lr_factor(0.5)
            o.step()
    assert_close(list(model.parameters()), list(twin.parameters()), rtol=0, atol=0)


def test_zero_grad():
    model = Tiny()
    backward(model)
    build_optimizer(model.named_parameters(), OptimizerConfig()).zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_state_of_other_optimizers_is_refused():
    model = Tiny()
    muon = build_optimizer(model.named_parameters(), OptimizerConfig())
    adamw = build_optimizer(model.named_parameters(), OptimizerConfig(use_muon=False))
    with pytest.raises(CheckpointError, match=r"saved by \['AdamW'\], this run has \['Muon', 'AdamW'\]"):
        muon.load_state_dict(adamw.state_dict())


def test_state_of_other_parameters_is_refused():
    saved = build_optimizer(Tiny().named_parameters(), OptimizerConfig()).state_dict()
    tied = build_optimizer(Tiny(tied=True).named_parameters(), OptimizerConfig())
    with pytest.raises(CheckpointError, match="lm_head"):
        tied.load_state_dict(saved)


def test_a_shared_parameter_is_refused():
    w = torch.zeros(2, 2, requires_grad=True)
    with pytest.raises(ValueError, match="share a parameter"):
        CombinedOptimizer([torch.optim.SGD([w], lr=0.1), torch.optim.SGD([w], lr=0.1)])
    with pytest.raises(ValueError, match="at least one optimizer"):
        CombinedOptimizer([])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"muon_lr": -1.0}, "muon_lr must be >= 0, got -1"),
        ({"embedding_lr": float("nan")}, "embedding_lr"),
        ({"beta1": 1.0}, "beta1 must be in"),
        ({"ns_steps": 0}, "ns_steps must be at least 1"),
        ({"ns_kind": "svd"}, "ns_kind"),
        ({"muon_scale": "rms"}, "muon_scale"),
    ],
)
def test_wrong_config_is_named(options, words):
    with pytest.raises(ConfigError, match=words):
        OptimizerConfig(**options)
