"""Accounting: GPT-2's published size, and equal to what torch counts: parameters, operations, bytes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from nn2llm.models.accounting import (
    compute_flops_per_token,
    compute_parameters,
    count_parameters,
    estimate_memory,
)
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig

GPT2 = {
    "position": "learned",
    "norm": "layernorm",
    "feed_forward": "gelu_tanh",
    "bias": True,
    "qk_norm": False,
    "tie_embeddings": True,
    "init": "gpt2",
}
LLAMA = {"n_kv_head": 2, "feed_forward": "swiglu", "qk_norm": False}


def build_config(**options):
    sizes = {"vocab_size": 300, "max_seq_len": 32, "n_layer": 2, "n_head": 4, "n_embd": 32}
    return GPTConfig(**{**sizes, **options})


def test_gpt2_small():
    config = GPTConfig(vocab_size=50257, max_seq_len=1024, n_layer=12, n_head=12, n_embd=768, **GPT2)
    counts = compute_parameters(config)
    assert counts.total == 124_439_808  # openai-community/gpt2
    assert counts.embedding == 50257 * 768 + 1024 * 768
    assert (
        counts.non_embedding == 12 * (12 * 768**2 + 13 * 768) + 2 * 768
    )  # Kaplan's 12 n_layer C², and vectors


def test_llama_7b():
    config = GPTConfig(
        vocab_size=32000,
        max_seq_len=2048,
        n_layer=32,
        n_head=32,
        n_embd=4096,
        n_hidden=11008,
        feed_forward="swiglu",
        qk_norm=False,
    )
    assert compute_parameters(config).total == 6_738_415_616  # huggyllama/llama-7b


configs = st.builds(
    build_config,
    vocab_size=st.integers(1, 50),
    max_seq_len=st.integers(1, 20),
    n_layer=st.integers(1, 3),
    n_head=st.just(4),
    n_kv_head=st.sampled_from([None, 1, 2, 4]),
    head_dim=st.sampled_from([None, 2, 6]),
    n_embd=st.sampled_from([8, 24]),
    n_hidden=st.sampled_from([None, 7]),
    norm=st.sampled_from(["layernorm", "rmsnorm"]),
    norm_position=st.sampled_from(["pre", "post"]),
    position=st.sampled_from(["learned", "sinusoidal", "rope", "none"]),
    feed_forward=st.sampled_from(["gelu", "gelu_tanh", "relu", "relu2", "silu", "swiglu"]),
    qk_norm=st.booleans(),
    bias=st.booleans(),
    tie_embeddings=st.booleans(),
)


@settings(deadline=None, max_examples=100)
@given(config=configs)
def test_parameters_equal_the_models(config):
    assert compute_parameters(config).total == count_parameters(GPT(config))


def test_only_trainable_parameters():
    model = GPT(build_config())
    model.head.weight.requires_grad_(False)
    assert count_parameters(model) - count_parameters(model, trainable_only=True) == 300 * 32


def test_flops_by_hand():
    # one layer, C = 4, H' = 8, V = 10, one head, T = 3, causal: 2 keys on average
    config = build_config(
        vocab_size=10, n_layer=1, n_head=1, n_embd=4, n_hidden=8, feed_forward="relu", bias=True
    )
    matrices = 4 * 12 + 4 * 4 + 4 * 8 + 8 * 4 + 4 * 10
    attention = 2 * 2 * 4  # scores and values, 2 keys, D = 4
    assert compute_flops_per_token(config, 3, backward=False) == 2 * (matrices + attention)
    assert compute_flops_per_token(config, 3) == 3 * 2 * (matrices + attention)


def test_a_window_costs_what_is_seen():
    # T = 4, window 2: 1, 2, 2, 2 keys; without it 1, 2, 3, 4
    def keys(**options):
        full, none = (
            compute_flops_per_token(build_config(**options), 4, causal=causal, backward=False)
            for causal in (True, False)
        )
        return 4 - (none - full) / (2 * 2 * 2 * 32)  # 2 layers, 2 FLOPs, 2 products, H D = 32

    assert keys(window=2) == 7 / 4
    assert keys() == keys(window=4) == keys(window=9) == 10 / 4


@pytest.mark.parametrize(
    "options",
    [
        {},
        GPT2,
        LLAMA,
        {"n_kv_head": 1, "head_dim": 6},
        {"window": 5},
        {"norm_position": "post", "bias": True},
    ],
)
@pytest.mark.parametrize("seq_len", [1, 16])
def test_flops_equal_torchs_counter(options, seq_len):
    config = build_config(**options)
    model, tokens = GPT(config), 3 * seq_len
    ids = torch.randint(300, (3, seq_len))
    # The plain kernel: torch counts what the fused one recomputes in the backward pass as well.
    with sdpa_kernel(SDPBackend.MATH):
        with FlopCounterMode(display=False) as forward:
            logits = model(ids).logits
        with FlopCounterMode(display=False) as backward:
            logits.sum().backward()
        with FlopCounterMode(display=False) as step:  # the loss makes the head's gradients going forward
            model(ids, labels=ids).loss.backward()
    ours = compute_flops_per_token(config, seq_len, causal=False, backward=False) * tokens
    assert forward.get_total_flops() == ours
    assert backward.get_total_flops() == 2 * ours
    # The counter does not know `addmm_`, by which the loss adds up the gradient of the head.
    missed = 2 * config.vocab_size * config.n_embd * tokens
    assert step.get_total_flops() == 3 * ours - missed
    assert compute_flops_per_token(config, seq_len, causal=False) * tokens == 3 * ours


def measure_peak_bytes(function):
    """The most that torch's allocator holds at once beyond what it held before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


MEMORY_OPTIONS = [
    {},
    GPT2,
    LLAMA,
    {"feed_forward": "relu", "position": "none", "n_kv_head": 1},
    {"feed_forward": "relu2", "position": "sinusoidal", "qk_norm": False},
    {"norm_position": "post", "logit_softcap": 15.0},
    {"window": 8},
]


@pytest.mark.parametrize("options", MEMORY_OPTIONS)
def test_activations_are_what_autograd_keeps(options):
    config = build_config(n_embd=64, max_seq_len=64, **options)
    model, ids = GPT(config), torch.randint(300, (16, 64))
    own = {x.untyped_storage().data_ptr() for x in (*model.parameters(), *model.buffers())}
    kept = {}  # by address; the tensor too, so that no address is used twice

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = model.compute_hidden(ids)
    # the gradient of what the last norm gives is made with the loss
    measured = sum(x.untyped_storage().nbytes() for x in kept.values()) + hidden.nbytes
    estimate = estimate_memory(config, micro_batch_size=16, seq_len=64).activations
    assert estimate == pytest.approx(measured, rel=0.02)


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
@pytest.mark.parametrize("options", MEMORY_OPTIONS)
def test_memory_is_what_torch_allocates(options, gradient_checkpointing):
    config = build_config(n_embd=64, max_seq_len=64, **options)
    torch.manual_seed(0)
    model = GPT(config)
    model.gradient_checkpointing = gradient_checkpointing
    optimizer = torch.optim.AdamW(model.parameters())
    ids = torch.randint(300, (16, 64))

    def run_micro_batch():
        model(ids, labels=ids).loss.backward()

    run_micro_batch()
    optimizer.step()
    # weights, gradients, states; and the peak of a further micro-batch, whose gradients are added
    held = [*model.parameters(), *(p.grad for p in model.parameters())]
    held += [x for state in optimizer.state.values() for x in state.values()]
    measured = sum(x.nbytes for x in held) + measure_peak_bytes(run_micro_batch)

    estimate = estimate_memory(
        config,
        micro_batch_size=16,
        seq_len=64,
        use_muon=False,
        gradient_checkpointing=gradient_checkpointing,
    )
    assert estimate.total == pytest.approx(measured, rel=0.1)


def test_muon_keeps_one_number_a_matrix_entry():
    config = build_config(bias=False, qk_norm=False)
    counts = compute_parameters(config)
    adam, muon = (
        estimate_memory(config, micro_batch_size=1, seq_len=8, use_muon=use_muon)
        for use_muon in (False, True)
    )
    assert adam.optimizer == 8 * counts.total
    assert muon.optimizer == 8 * counts.total - 4 * (counts.attention + counts.feed_forward)


def test_half_precision_and_chunks_save_memory():
    config = build_config()
    full = estimate_memory(config, micro_batch_size=8, seq_len=32)
    half = estimate_memory(config, micro_batch_size=8, seq_len=32, activation_bytes=2)
    assert half.activations == full.activations / 2
    # 256 rows at once, or 64: two matrices of logits; the head's gradient stays
    chunked = estimate_memory(config, micro_batch_size=8, seq_len=32, logits_chunk=64)
    assert full.logits - chunked.logits == 2 * 4 * 300 * (256 - 64)
