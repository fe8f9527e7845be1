"""What a GPT costs in parameters, floating-point operations and memory, counted from its config.

Parameters equal the model's own; FLOPs equal torch's `FlopCounterMode`; both are tested. Taught in
`mini-gpt`, `compute-budget` and `mixed-precision`.
Sources: Kaplan et al. 2020, https://arxiv.org/abs/2001.08361, section 2.1 (FLOPs); Korthikanti et al. 2022,
https://arxiv.org/abs/2205.05198 (activations).
"""

from dataclasses import dataclass

from torch import nn

from nn2llm.models.gpt_config import GPTConfig

__all__ = [
    "MemoryEstimate",
    "ParameterCount",
    "compute_flops_per_token",
    "compute_parameters",
    "count_parameters",
    "estimate_memory",
]


def count_parameters(model: nn.Module, *, trainable_only: bool = False) -> int:
    """Numbers in a model's parameters; a shared one counts once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable_only)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterCount:
    """Parameters of a GPT by what they do."""

    embedding: int
    """Token embeddings, learned positions, and a head of its own."""
    attention: int
    feed_forward: int
    norms: int

    @property
    def total(self) -> int:
        """All of them: what `count_parameters` counts."""
        return self.embedding + self.attention + self.feed_forward + self.norms

    @property
    def non_embedding(self) -> int:
        """N of the scaling laws of Kaplan et al.: without embeddings, positions and head."""
        return self.total - self.embedding


def compute_parameters(config: GPTConfig) -> ParameterCount:
    """The parameters of `GPT(config)`, without building it."""
    width, hidden, head_dim = config.n_embd, config.width_of_hidden, config.width_of_head
    query_width, kv_width = config.n_head * head_dim, config.num_kv_heads * head_dim
    bias = int(config.bias)

    matrices = 1 if config.tie_embeddings else 2
    positions = config.max_seq_len * width if config.position == "learned" else 0
    attention = (width + bias) * (query_width + 2 * kv_width) + (query_width + bias) * width
    ups = 2 if config.feed_forward == "swiglu" else 1
    feed_forward = ups * (width + bias) * hidden + (hidden + bias) * width
    norm_width = width * (2 if config.norm == "layernorm" and config.bias else 1)
    qk_norms = 2 * head_dim if config.qk_norm else 0
    final = 0 if config.norm_position == "post" else norm_width
    return ParameterCount(
        embedding=matrices * config.vocab_size * width + positions,
        attention=config.n_layer * attention,
        feed_forward=config.n_layer * feed_forward,
        norms=config.n_layer * (2 * norm_width + qk_norms) + final,
    )


def compute_flops_per_token(
    config: GPTConfig, seq_len: int, *, causal: bool = True, backward: bool = True
) -> float:
    """Floating-point operations of matrix products a token, the head's included.

    A product of [m, k] and [k, n] costs 2 m k n. A weight matrix so costs 2 a parameter forward; attention
    2 · 2 · S · H · D forward, for scores and for values, over S keys a query: with `causal` the mean number a
    query may see, (T + 1) / 2 (less with a window), which is what the mathematics needs; without, T, which
    is what torch's counter counts. The backward pass costs twice the forward.
    """
    counts = compute_parameters(config)
    biases = 0
    if config.bias:
        query_width = config.n_head * config.width_of_head
        kv_width = config.num_kv_heads * config.width_of_head
        ups = 2 if config.feed_forward == "swiglu" else 1
        biases = query_width + 2 * kv_width + config.n_embd + ups * config.width_of_hidden + config.n_embd
    matrices = counts.attention + counts.feed_forward - config.n_layer * biases
    head = config.vocab_size * config.n_embd
    keys = _mean_num_keys(seq_len, config.window) if causal else float(seq_len)
    attention = config.n_layer * 2 * keys * config.n_head * config.width_of_head
    forward = 2.0 * (matrices + head + attention)
    return 3 * forward if backward else forward


def _mean_num_keys(seq_len: int, window: int | None) -> float:
    """Keys a query sees, on average over the T positions: 1, 2, …, at most `window`."""
    limit = seq_len if window is None else min(window, seq_len)
    return (limit * (limit + 1) / 2 + (seq_len - limit) * limit) / seq_len


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryEstimate:
    """Bytes of a training step by what holds them."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All of them; allocators and workspaces add some."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits


def estimate_memory(
    config: GPTConfig,
    *,
    micro_batch_size: int,
    seq_len: int,
    activation_bytes: int = 4,
    use_muon: bool = True,
    gradient_checkpointing: bool = False,
    logits_chunk: int = 1024,
) -> MemoryEstimate:
    """Bytes to train with float32 weights: an estimate, within a tenth of what torch allocates (tested).

    AdamW keeps two numbers a parameter, Muon one. `activation_bytes` is 4 for fp32 and 2 for bf16 or fp16.
    Activations are what the backward pass needs of each sublayer; attention's scores are not kept (the fused
    kernels recompute them). Dropout is not counted: it keeps its masks, and on CPU the scores as well.
    """
    counts = compute_parameters(config)
    matrices = counts.attention + counts.feed_forward
    states = 2 * counts.total - (matrices if use_muon else 0)
    tokens = micro_batch_size * seq_len
    # two matrices of logits, a third for the slope of the soft cap, and the head's gradient, made at once
    logits_kept = 2 if config.logit_softcap is None else 3
    logits = 4 * config.vocab_size * (logits_kept * min(tokens, logits_chunk) + config.n_embd)
    # the last norm's input, and the gradient of its output
    ends = config.n_embd * (1 if config.norm_position == "post" else 2)
    block = _numbers_kept_of_a_block(config)
    if gradient_checkpointing:
        inputs = activation_bytes * tokens * config.n_layer * config.n_embd
        # One block at a time is computed again, and then holds gradients of its hidden layer too. The ends
        # and the logits are gone by then: what counts is the larger of the two moments.
        gradients = {"relu": 2, "relu2": 3, "swiglu": 2}.get(config.feed_forward, 1) * config.width_of_hidden
        recomputed = activation_bytes * tokens * (block + gradients)
        activations = inputs + max(activation_bytes * tokens * ends, recomputed - logits)
    else:
        activations = activation_bytes * tokens * (config.n_layer * block + ends)
    return MemoryEstimate(
        weights=4 * counts.total,
        gradients=4 * counts.total,
        optimizer=4 * states,
        activations=activations,
        logits=logits,
    )


def _numbers_kept_of_a_block(config: GPTConfig) -> int:
    """Numbers a token that the backward pass of a block needs: the inputs of its operations."""
    width, hidden, head_dim = config.n_embd, config.width_of_hidden, config.width_of_head
    query_width, kv_width = config.n_head * head_dim, config.num_kv_heads * head_dim
    # each norm's input and output; queries, keys and values from one matrix; what the heads give
    kept = 4 * width + (query_width + 2 * kv_width) + query_width
    if config.position == "rope" or config.qk_norm:
        kept += query_width + kv_width  # queries and keys, normed and turned
    if config.position == "rope":
        kept += query_width  # turning lays the heads out one by one: they are copied to stand side by side
    # the hidden layer before and after its nonlinearity; ReLU needs only the latter; SwiGLU's gate, its
    # SiLU, value, and product
    hiddens = {"relu": 1, "swiglu": 4}.get(config.feed_forward, 2)
    return kept + hiddens * hidden
