"""The GPT: what it promises at the start, of its loss, of what each token sees, and that it learns."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.nn.trees import TokenTree

CLOSE = {"rtol": 0, "atol": 1e-5}
VOCAB_SIZE = 31
STYLES = {
    "default": {},
    "gpt2": {
        "position": "learned",
        "norm": "layernorm",
        "feed_forward": "gelu_tanh",
        "bias": True,
        "qk_norm": False,
        "tie_embeddings": True,
        "init": "gpt2",
    },
    "llama": {"n_kv_head": 2, "feed_forward": "swiglu", "qk_norm": False},
    "window": {"n_kv_head": 1, "window": 3, "logit_softcap": 5.0, "feed_forward": "relu2"},
    "post-norm": {"norm_position": "post", "position": "sinusoidal", "feed_forward": "silu"},
    "no positions": {"position": "none", "feed_forward": "relu"},
}


def build_model(seed=0, **options):
    torch.manual_seed(seed)
    sizes = {"vocab_size": VOCAB_SIZE, "max_seq_len": 24, "n_layer": 2, "n_head": 4, "n_embd": 32}
    return GPT(GPTConfig(**{**sizes, **options}))


def build_busy_model(**options):
    """With weights that all do something: `scaled` starts the head, and what writes to the stream, at 0."""
    model = build_model(**options)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def draw_ids(*shape, seed=1, vocab_size=VOCAB_SIZE):
    return torch.randint(vocab_size, shape, generator=torch.Generator().manual_seed(seed))


# --- the start --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["default", "llama", "window", "post-norm", "no positions"])
def test_scaled_starts_from_the_uniform_prediction(style):
    model, ids = build_model(**STYLES[style]), draw_ids(3, 9)
    loss = model(ids, labels=draw_ids(3, 9, seed=2)).loss
    assert_close(loss, torch.tensor(math.log(VOCAB_SIZE)), rtol=0, atol=1e-6)


def test_gpt2_starts_near_the_uniform_prediction():
    model = build_model(vocab_size=1000, n_embd=128, n_layer=4, **STYLES["gpt2"])
    loss = model(draw_ids(8, 24, vocab_size=1000), labels=draw_ids(8, 24, seed=2, vocab_size=1000)).loss
    assert abs(loss.item() - math.log(1000)) < 0.1


def test_gpt2_draws_writers_smaller():
    model = build_model(n_embd=128, n_layer=8, **STYLES["gpt2"])
    block = model.blocks[3]
    for weight, std in [
        (model.token_embedding.weight, 0.02),
        (block.attention.qkv.weight, 0.02),
        (block.feed_forward.up.weight, 0.02),
        (block.attention.proj.weight, 0.02 / 4),  # √(2 · 8) = 4
        (block.feed_forward.down.weight, 0.02 / 4),
    ]:
        assert weight.std().item() == pytest.approx(std, rel=0.05)
    assert block.feed_forward.up.bias.abs().max() == 0


def test_scaled_keeps_the_variance_and_starts_as_the_identity():
    model = build_model(n_embd=128)
    block, x = model.blocks[0], torch.randn(2, 5, 128)
    assert block.feed_forward.gate(x).std().item() == pytest.approx(1, rel=0.1)
    assert torch.equal(block(x, None, None, None, 0), x)


def test_the_same_seed_draws_the_same_model():
    first, second, other = build_model(seed=1), build_model(seed=1), build_model(seed=2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.token_embedding.weight, other.token_embedding.weight)


def test_tied_embeddings_are_one_parameter():
    tied, untied = build_busy_model(tie_embeddings=True), build_busy_model()
    assert tied.head_weight is tied.token_embedding.weight
    assert untied.head_weight is untied.head.weight
    assert "head.weight" not in tied.state_dict()
    tied(draw_ids(1, 4), labels=draw_ids(1, 4, seed=2)).loss.backward()
    # tokens that were never read get a gradient too: through the head
    assert (tied.token_embedding.weight.grad.norm(dim=1) > 0).all()


def test_tables_stay_out_of_checkpoints():
    for position in ("rope", "sinusoidal"):
        assert not [
            name for name in build_model(position=position).state_dict() if "table" in name or "rope" in name
        ]


def test_fused_rows_add_up():
    model = build_model(n_kv_head=2)
    parameters = dict(model.named_parameters())
    assert len(model.fused_rows()) == 2
    for name, rows in model.fused_rows().items():
        assert rows == (32, 16, 16)
        assert parameters[name].shape == (sum(rows), 32)


# --- the loss ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_loss_equals_cross_entropy_of_the_logits(style, reduction):
    model, ids, labels = build_busy_model(**STYLES[style]), draw_ids(3, 9), draw_ids(3, 9, seed=2)
    labels[0, :4] = labels[2, 7:] = -100
    loss = model(ids, labels=labels, reduction=reduction).loss
    logits = model(ids).logits
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction=reduction)
    assert_close(loss, expected, rtol=1e-6, atol=1e-6)

    parameters = list(model.parameters())
    ours, theirs = torch.autograd.grad(loss, parameters), torch.autograd.grad(expected, parameters)
    scale = 1 if reduction == "mean" else 21  # labels that count
    for mine, other in zip(ours, theirs, strict=True):
        assert_close(mine, other, rtol=1e-4, atol=scale * 1e-6)


def test_ignored_labels_alone_give_zero():
    model = build_busy_model()
    loss = model(draw_ids(2, 5), labels=torch.full((2, 5), -100)).loss
    loss.backward()
    assert loss.item() == 0
    assert all((p.grad == 0).all() for p in model.parameters())


def test_logits_only_without_labels():
    model, ids = build_model(), draw_ids(1, 4)
    assert model(ids, labels=ids).logits is None
    assert model(ids).loss is None


def test_softcap_bounds_the_logits():
    model, ids = build_busy_model(logit_softcap=2.0), draw_ids(2, 9)
    capped = model(ids).logits
    free = model.compute_hidden(ids) @ model.head.weight.T
    assert free.abs().max() > 2 > capped.abs().max()
    assert_close(capped, 2 * torch.tanh(free / 2))


# --- what a token sees ------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
@torch.no_grad()
def test_future_tokens_cannot_change_past_logits(style):
    model, ids = build_busy_model(**STYLES[style]), draw_ids(2, 9)
    changed = ids.clone()
    changed[:, 5:] = (ids[:, 5:] + 1) % VOCAB_SIZE
    before, after = model(ids).logits, model(changed).logits
    assert_close(before[:, :5], after[:, :5], rtol=0, atol=1e-6)
    assert ((before - after)[:, 5:].abs().amax(dim=-1) > 1e-3).all()


@torch.no_grad()
def test_a_window_forgets():
    # two layers of window 3 reach back 2 · 2 positions
    model, ids = build_busy_model(window=3), draw_ids(1, 9)
    changed = ids.clone()
    changed[:, 0] = (ids[:, 0] + 1) % VOCAB_SIZE
    moved = (model(ids).logits - model(changed).logits).abs().amax(dim=-1)[0]
    assert (moved[:5] > 1e-4).all()
    assert (moved[5:] == 0).all()


def pack(first, second):
    ids = torch.cat((first, second), dim=1)
    document_ids = torch.cat((torch.full_like(first, 4), torch.full_like(second, 9)), dim=1)
    return ids, document_ids


@pytest.mark.parametrize("style", ["default", "llama", "window", "no positions"])
@torch.no_grad()
def test_packed_documents_do_not_see_each_other(style):
    # attention sees only distances with RoPE, so where a document stands in its row does not matter
    model, first, second = build_busy_model(**STYLES[style]), draw_ids(2, 4), draw_ids(2, 6, seed=2)
    ids, document_ids = pack(first, second)
    logits = model(ids, document_ids=document_ids).logits
    assert_close(logits[:, :4], model(first).logits, **CLOSE)
    assert_close(logits[:, 4:], model(second).logits, **CLOSE)
    assert not torch.allclose(model(ids).logits[:, 4:], logits[:, 4:], atol=1e-2)


@pytest.mark.parametrize("style", ["gpt2", "post-norm"])
@torch.no_grad()
def test_packed_documents_with_absolute_positions(style):
    # Positions count along the row: a document depends on where it stands, not on what stands before it.
    model, first, second = build_busy_model(**STYLES[style]), draw_ids(2, 4), draw_ids(2, 6, seed=2)
    logits = model(*pack(first, second)[:1], document_ids=pack(first, second)[1]).logits[:, 4:]
    other, document_ids = pack(draw_ids(2, 4, seed=3), second)
    assert_close(model(other, document_ids=document_ids).logits[:, 4:], logits, **CLOSE)
    assert not torch.allclose(model(second).logits, logits, atol=1e-2)


def test_too_long_a_sequence_is_named():
    model = build_model()
    with pytest.raises(ValueError, match="25 tokens do not fit: max_seq_len is 24"):
        model(draw_ids(1, 25))
    cache = model.new_cache(1)
    model(draw_ids(1, 20), cache=cache)
    with pytest.raises(ValueError, match="25 tokens do not fit: max_seq_len is 24"):
        model(draw_ids(1, 5), cache=cache)


def test_a_tree_goes_with_neither_documents_nor_a_cache():
    model, ids = build_model(), draw_ids(1, 3)
    tree = TokenTree(torch.tensor([[0, 1, 1]]), torch.tensor([[0, 1, 2]]))
    for others in ({"document_ids": torch.zeros_like(ids)}, {"cache": model.new_cache(1)}):
        with pytest.raises(ValueError, match="neither document_ids nor a cache"):
            model.compute_hidden(ids, tree=tree, **others)


# --- training ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
def test_gradient_checkpointing_changes_no_gradient(style):
    model, ids, labels = (
        build_busy_model(**STYLES[style], dropout=0.1),
        draw_ids(2, 9),
        draw_ids(2, 9, seed=2),
    )
    gradients = []
    for checkpointing in (False, True):
        model.gradient_checkpointing = checkpointing
        torch.manual_seed(3)  # the same dropout, which the recomputation must draw again
        loss = model(ids, labels=labels).loss
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    for plain, recomputed in zip(*gradients, strict=True):
        assert_close(recomputed, plain, rtol=1e-5, atol=1e-7)


@torch.no_grad()
def test_gradient_checkpointing_leaves_the_cache_alone():
    model, ids = build_busy_model().train(), draw_ids(1, 6)
    model.gradient_checkpointing = True
    cache = model.new_cache(1)
    model(ids[:, :4], cache=cache)
    assert_close(model(ids[:, 4:], cache=cache).logits, model(ids).logits[:, 4:], **CLOSE)


def test_dropout_only_in_training():
    model, ids = build_busy_model(dropout=0.3), draw_ids(1, 6)
    assert not torch.equal(model(ids).logits, model(ids).logits)
    model.eval()
    assert torch.equal(model(ids).logits, model(ids).logits)


@pytest.mark.parametrize("style", STYLES)
def test_overfits_four_sequences(style):
    model, ids = build_model(**STYLES[style]), draw_ids(4, 13)
    ids[:, 0] = torch.arange(4)  # the first token says which sequence it is
    inputs, labels = ids[:, :-1], ids[:, 1:]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.0)
    for _ in range(160):
        optimizer.zero_grad()
        loss = model(inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_every_parameter_learns():
    for options in STYLES.values():
        model = build_busy_model(**options)
        model(draw_ids(2, 9), labels=draw_ids(2, 9, seed=2)).loss.backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_under_autocast_the_loss_is_close():
    model, ids, labels = build_busy_model(), draw_ids(2, 9), draw_ids(2, 9, seed=2)
    expected = model(ids, labels=labels).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(ids, labels=labels).loss
        hidden = model.compute_hidden(ids)
    loss.backward()
    assert loss.dtype == hidden.dtype == torch.float32  # the stream and the loss stay whole
    assert_close(loss, expected, rtol=0.02, atol=0)
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters())
