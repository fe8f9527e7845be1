"""The parts of a GPT that a learner writes, and that `nn2llm pretrain --mine` trains with.

What the learner sees. An exercise marked `part: attention` passes; its code is kept as mygpt/attention.py
in NN2LLM_HOME (course/mygpt.py). From then on `nn2llm pretrain --mine` calls *their* function in the place of
the library's, in every layer and every step; the library fills the gaps. Before it trains, each part is
compared with the library's on fresh inputs (checking.py); a wrong one refuses the run, because a model that
trains on a wrong attention only looks bad and does not say why.

A part is one function (`heads`: two) on plain tensors, written as the lesson teaches it: no module, no
options that the lesson does not need. The names are those of the symbols that it stands for, so that what the
learner reads in the library is what they wrote. The parts below stand in the order in which data flows:
tokens to hidden states, hidden states to a loss, the loss to a step, the model's scores to the next token.

    loading.py     a part's text becomes functions; PartError says what is wrong with it
    checking.py    how a part is compared; checks_*.py what is compared
    forward.py     the training pass of a GPT written as calls of the parts
    rehearsal.py   all parts together at the size of a run, before the run is written

A new part needs an entry here, checks, and a place where it is called: forward.py or train/mine_trainer.py.
This module imports no torch, because the course's server reads it. Used by course/mygpt.py, train/mine.py,
app/pages_mygpt.py and cli/pretrain.py.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nn2llm.core.errors import ConfigError, Nn2llmError

if TYPE_CHECKING:
    from nn2llm.models.gpt_config import GPTConfig

__all__ = [
    "PARTS",
    "Part",
    "PartError",
    "PartSource",
    "RunShape",
    "Stage",
    "compute_part_hash",
    "find_part",
    "suggest_flags",
]

Stage = Literal["embedding", "block", "model", "training", "writing"]
"""Where a part stands: before the blocks, inside each, around them, in the training step, in writing."""


class PartError(Nn2llmError):
    """A part of the learner's GPT that cannot be loaded, or does not compute what the library's does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunShape:
    """What decides which parts a run calls."""

    model: GPTConfig
    schedule: str
    """Kind of the learning-rate schedule."""
    clips: bool
    """Whether gradients are clipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part: what the learner writes and where it goes."""

    name: str
    """In `part: NAME` of an exercise, and of the file mygpt/NAME.py."""
    title: str
    """As a page says it."""
    signatures: tuple[str, ...]
    """What is called, with the arguments in this order."""
    lesson: str
    """Slug of the lesson that has the exercise."""
    stage: Stage
    library: str
    """`module:symbol` of the version to read in nn2llm; it computes the same."""
    about: str
    """What it must do, in one sentence: arguments, shapes, conventions."""
    used: Callable[[RunShape], bool] = lambda shape: True
    """Whether a run of this shape calls it."""
    flags: str = ""
    """What makes a run call it, where the default shape does not."""
    instead_of: str | None = None
    """The part that the default shape calls in its place."""

    @property
    def functions(self) -> tuple[str, ...]:
        """Names that the file must define."""
        return tuple(signature.split("(")[0] for signature in self.signatures)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSource:
    """The text of one of the learner's parts, and where it comes from."""

    name: str
    text: str
    path: str
    """Of the file; named in messages and tracebacks."""
    slug: str | None = None
    """Lesson and exercise that it passed; None for one that was written by hand."""
    exercise: str | None = None
    run: str | None = None
    """Folder of the run whose copy this is: that copy stays as it is."""

    @property
    def sha256(self) -> str:
        """Hash of the code, however it came here."""
        return compute_part_hash(self.text)


def compute_part_hash(text: str) -> str:
    """SHA-256 in hexadecimal; line endings do not count."""
    return hashlib.sha256(text.replace("\r\n", "\n").encode()).hexdigest()


def find_part(name: str) -> Part:
    """The part of that name; dashes count as underscores.

    Raises:
        ConfigError: if there is none.
    """
    key = name.strip().replace("-", "_")
    if key not in PARTS:
        close = difflib.get_close_matches(key, PARTS, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(PARTS)}."
        raise ConfigError(f"There is no part {name!r} of a GPT. {hint}")
    return PARTS[key]


def suggest_flags(names: Collection[str]) -> list[str]:
    """Flags with which `nn2llm pretrain --mine` calls as many of these parts as go together.

    Where the learner has both (RMS norm and layer norm), the default shape stays.
    """
    flags = [
        part.flags
        for part in PARTS.values()
        if part.name in names and part.name in _IDLE and part.instead_of not in names
    ]
    return list(dict.fromkeys(flags))


def _by_name(parts: Iterable[Part]) -> dict[str, Part]:
    return {part.name: part for part in parts}


PARTS: dict[str, Part] = _by_name(
    [
        Part(
            name="token_embedding",
            title="Token embedding",
            signatures=("embed_tokens(token_ids, table)",),
            lesson="tensors",
            stage="embedding",
            library="torch.nn.functional:embedding",
            about="Row token_ids[b, t] of table [V, C] for each token: [B, T] to [B, T, C].",
        ),
        Part(
            name="sinusoidal_positions",
            title="Sinusoidal positions",
            signatures=("sinusoidal_positions(max_seq_len, n_embd)",),
            lesson="positions",
            stage="embedding",
            library="nn2llm.nn.positions:sinusoidal_positions",
            about="A table [max_seq_len, n_embd]: sin(t w_i) in even, cos(t w_i) in odd columns, "
            "w_i = 10000^(-2i/n_embd).",
            used=lambda shape: shape.model.position == "sinusoidal",
            flags="--model.position sinusoidal",
            instead_of="rope",
        ),
        Part(
            name="causal_mask",
            title="Causal mask",
            signatures=("causal_mask(num_tokens)",),
            lesson="causal-decoder",
            stage="embedding",
            library="nn2llm.nn.masks:causal_mask",
            about="Booleans [T, T], True where query t may look at key s: s <= t.",
        ),
        Part(
            name="layer_norm",
            title="Layer norm",
            signatures=("layer_norm(x, weight, bias, eps)",),
            lesson="normalization",
            stage="block",
            library="nn2llm.nn.norms:layer_norm",
            about="Over the last dimension: (x - mean) / sqrt(variance + eps) * weight + bias; the variance "
            "divides by C, not C - 1, and bias may be None.",
            used=lambda shape: shape.model.norm == "layernorm",
            flags="--model.norm layernorm",
            instead_of="rms_norm",
        ),
        Part(
            name="rms_norm",
            title="RMS norm",
            signatures=("rms_norm(x, weight, eps)",),
            lesson="residual-stream",
            stage="block",
            library="nn2llm.nn.norms:rms_norm",
            about="Over the last dimension: x / sqrt(mean(x^2) + eps) * weight.",
            used=lambda shape: shape.model.norm == "rmsnorm" or shape.model.qk_norm,
            flags="--model.norm rmsnorm",
        ),
        Part(
            name="linear",
            title="Linear layer",
            signatures=("linear(x, weight, bias)",),
            lesson="linear-layer",
            stage="block",
            library="torch.nn.functional:linear",
            about="x @ weight.T + bias over the last dimension; weight is [out, in], bias may be None.",
        ),
        Part(
            name="heads",
            title="Heads: split and merge",
            signatures=("split_heads(x, n_head)", "merge_heads(heads)"),
            lesson="multi-head-attention",
            stage="block",
            library="nn2llm.nn.attention:SelfAttention",
            about="split_heads: [B, T, H D] to [B, H, T, D]; merge_heads back to [B, T, H D].",
        ),
        Part(
            name="rope",
            title="Rotary positions (RoPE)",
            signatures=("apply_rope(x, cos, sin)",),
            lesson="rope-and-alibi",
            stage="block",
            library="nn2llm.nn.positions:apply_rope",
            about="Turns each pair (x[i], x[i + D/2]) of x [B, H, T, D] by its angle; cos and sin are "
            "[T, D/2].",
            used=lambda shape: shape.model.position == "rope",
            flags="--model.position rope",
        ),
        Part(
            name="attention",
            title="Scaled dot-product attention",
            signatures=("scaled_dot_product_attention(query, key, value, mask)",),
            lesson="attention-code",
            stage="block",
            library="nn2llm.nn.attention:scaled_dot_product_attention",
            about="softmax(Q K^T / sqrt(D)) V for query [B, H, T, D], key and value [B, H, S, D]; mask is "
            "True where attention is allowed, broadcasts to [B, H, T, S], and may be None.",
            used=lambda shape: shape.model.dropout == 0,
            flags="--model.dropout 0",
        ),
        Part(
            name="gelu",
            title="GELU",
            signatures=("gelu(x)",),
            lesson="activations",
            stage="block",
            library="nn2llm.nn.feed_forward:gelu",
            about="x times the standard normal's distribution function at x, exactly (erf, not tanh).",
            used=lambda shape: shape.model.feed_forward == "gelu",
            flags="--model.feed-forward gelu",
            instead_of="swiglu",
        ),
        Part(
            name="swiglu",
            title="SwiGLU",
            signatures=("swiglu(gate, value)",),
            lesson="feed-forward",
            stage="block",
            library="nn2llm.nn.feed_forward:swiglu",
            about="gate * sigmoid(gate) * value, elementwise.",
            used=lambda shape: shape.model.feed_forward == "swiglu",
            flags="--model.feed-forward swiglu",
        ),
        Part(
            name="feed_forward",
            title="Feed-forward sublayer",
            signatures=("feed_forward(x, up_weight, up_bias, down_weight, down_bias, activation)",),
            lesson="feed-forward",
            stage="block",
            library="nn2llm.nn.feed_forward:FeedForward",
            about="activation(x @ up_weight.T + up_bias) @ down_weight.T + down_bias; biases may be None, "
            "activation is a function of one tensor.",
            used=lambda shape: shape.model.feed_forward != "swiglu",
            flags="--model.feed-forward gelu",
            instead_of="swiglu",
        ),
        Part(
            name="transformer_block",
            title="Transformer block",
            signatures=("transformer_block(x, attention, feed_forward, attention_norm, feed_forward_norm)",),
            lesson="gpt-block",
            stage="block",
            library="nn2llm.models.gpt:Block",
            about="Pre-norm: x + attention(attention_norm(x)), then x + feed_forward(feed_forward_norm(x)); "
            "the four are functions of one tensor.",
            used=lambda shape: shape.model.norm_position == "pre",
            flags="--model.norm-position pre",
        ),
        Part(
            name="gpt",
            title="The whole model",
            signatures=("gpt_forward(token_ids, embed, blocks, final_norm, head)",),
            lesson="mini-gpt",
            stage="model",
            library="nn2llm.models.gpt:GPT",
            about="embed(token_ids), every block in order, final_norm, head; returns what head returns. "
            "blocks is a list of functions.",
        ),
        Part(
            name="cross_entropy",
            title="Cross-entropy loss",
            signatures=("cross_entropy(logits, labels)",),
            lesson="loss-functions",
            stage="training",
            library="nn2llm.losses.cross_entropy:cross_entropy",
            about="Mean of -log softmax(logits)[label] in nats, for logits [N, V] and labels [N]; finite for "
            "logits of 1000.",
        ),
        Part(
            name="training_step",
            title="Training step",
            signatures=("training_step(compute_loss, batch, optimizer)",),
            lesson="training-loop",
            stage="training",
            library="nn2llm.train.pretrain:Pretrainer.train_step",
            about="Forgets the old gradients, computes compute_loss(batch), goes backward, moves once by "
            "optimizer.step(); returns the loss.",
        ),
        Part(
            name="gradient_clipping",
            title="Gradient clipping",
            signatures=("clip_gradients(gradients, max_norm)",),
            lesson="training-loop",
            stage="training",
            library="nn2llm.optim.clipping:clip_grad_norm",
            about="A list of gradients, scaled together so that their joint L2 norm is at most max_norm; "
            "those given stay as they are.",
            used=lambda shape: shape.clips,
            flags="--max-grad-norm 1",
        ),
        Part(
            name="adamw",
            title="AdamW",
            signatures=("adamw_step(weight, gradient, m, v, step, lr, beta1, beta2, eps, weight_decay)",),
            lesson="momentum-and-adam",
            stage="training",
            library="nn2llm.optim.adam:AdamW",
            about="One step, counted from 1: returns the new (weight, m, v); decay is decoupled, weight "
            "times (1 - lr * weight_decay); what was given stays as it is.",
        ),
        Part(
            name="cosine_schedule",
            title="Learning-rate schedule",
            signatures=("cosine_schedule(step, total_steps, warmup_steps, floor)",),
            lesson="learning-rate-schedules",
            stage="training",
            library="nn2llm.optim.schedules:cosine",
            about="The factor of the learning rate at step 0, 1, …: (step + 1) / warmup_steps in the "
            "warm-up, then half a cosine wave from 1 at its last step to floor at the last step of all.",
            used=lambda shape: shape.schedule == "cosine",
            flags="--schedule.kind cosine",
        ),
        Part(
            name="sampling",
            title="Sampling",
            signatures=("next_token_probabilities(logits, temperature, top_k)",),
            lesson="char-lm",
            stage="writing",
            library="nn2llm.generation.sampling:apply_sampling",
            about="softmax(logits / temperature) over the top_k largest logits of each row [B, V], 0 "
            "elsewhere; top_k None keeps all.",
            used=lambda shape: False,  # `nn2llm sample --mine` calls it
        ),
    ]
)
"""Every part by its name, in the order in which data flows."""

_IDLE = {name for name, part in PARTS.items() if part.instead_of} | {"gradient_clipping", "cosine_schedule"}
"""What a run of the default shape does not call unless flags ask for it."""
