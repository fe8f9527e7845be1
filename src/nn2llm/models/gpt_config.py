"""The configuration of a GPT: one dataclass from GPT-2's shape to Llama's and Qwen3's.

Read before models/gpt.py.
"""

from dataclasses import dataclass
from typing import Literal, get_args, get_origin, get_type_hints

from nn2llm.core.errors import ConfigError

__all__ = ["GPTConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GPTConfig:
    """The shape of a GPT. The defaults are a small one in the style of Qwen3."""

    vocab_size: int = 0
    """Number of tokens V. 0: taken from the tokenizer."""
    max_seq_len: int = 256
    """Longest sequence, in tokens."""
    n_layer: int = 4
    """Number of blocks."""
    n_head: int = 4
    """Query heads a block."""
    n_kv_head: int | None = None
    """Key/value heads a block; fewer than n_head is grouped-query attention. None: n_head."""
    n_embd: int = 128
    """Width C of the residual stream."""
    head_dim: int | None = None
    """Width of a head. None: n_embd / n_head."""
    n_hidden: int | None = None
    """Width of the feed-forward layer. None: 4 n_embd; for SwiGLU 8/3 n_embd, rounded up to whole 32s."""
    norm: Literal["layernorm", "rmsnorm"] = "rmsnorm"
    """Kind of norm."""
    norm_eps: float | None = None
    """Added under the root of every norm. None: 1e-5 for layernorm, 1e-6 for rmsnorm."""
    norm_position: Literal["pre", "post"] = "pre"
    """Normalise what a sublayer reads (pre) or what it leaves (post)."""
    position: Literal["learned", "sinusoidal", "rope", "none"] = "rope"
    """How order enters."""
    rope_theta: float = 10000.0
    """Base of the RoPE frequencies: larger for longer contexts."""
    feed_forward: Literal["gelu", "gelu_tanh", "relu", "relu2", "silu", "swiglu"] = "swiglu"
    """Nonlinearity of the feed-forward layer."""
    qk_norm: bool = True
    """RMS-normalise queries and keys per head, before RoPE."""
    bias: bool = False
    """Biases in linear layers and layer norms."""
    tie_embeddings: bool = False
    """Use the embedding matrix as the head too."""
    logit_softcap: float | None = None
    """Keep logits within plus or minus this, by a tanh."""
    window: int | None = None
    """Sliding-window attention over this many positions. None: the whole sequence."""
    dropout: float = 0.0
    """Probability of dropping an activation while training."""
    init: Literal["gpt2", "scaled"] = "scaled"
    """How weights are drawn: see `GPT.init_weights`."""

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            choices, value = get_args(hint), getattr(self, name)
            if get_origin(hint) is Literal and value not in choices:
                raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {value!r}.")
        for name in ("max_seq_len", "n_layer", "n_head", "n_embd"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.vocab_size < 0:
            raise ConfigError(
                f"vocab_size must be at least 1, or 0 for the tokenizer's, got {self.vocab_size}."
            )
        if self.head_dim is None and self.n_embd % self.n_head:
            raise ConfigError(
                f"n_head must divide n_embd, got n_head={self.n_head} and n_embd={self.n_embd}. "
                f"Choose one of {_divisors(self.n_embd)}, or set head_dim."
            )
        if self.width_of_head < 1:
            raise ConfigError(f"head_dim must be at least 1, got {self.head_dim}.")
        if self.num_kv_heads < 1 or self.n_head % self.num_kv_heads:
            raise ConfigError(
                f"n_kv_head must divide n_head, got n_kv_head={self.n_kv_head} and n_head={self.n_head}. "
                f"Choose one of {_divisors(self.n_head)}."
            )
        if self.norm_eps is not None and self.norm_eps <= 0:
            raise ConfigError(f"norm_eps must be positive, got {self.norm_eps}. Typical: 1e-5, 1e-6.")
        if self.position == "rope" and self.width_of_head % 2:
            raise ConfigError(f"RoPE needs an even head_dim, got {self.width_of_head}.")
        if self.rope_theta <= 0:
            raise ConfigError(f"rope_theta must be positive, got {self.rope_theta}.")
        if self.position == "sinusoidal" and self.n_embd % 2:
            raise ConfigError(f"sinusoidal positions need an even n_embd, got {self.n_embd}.")
        if self.n_hidden is not None and self.n_hidden < 1:
            raise ConfigError(f"n_hidden must be at least 1, got {self.n_hidden}.")
        if self.window is not None and self.window < 1:
            raise ConfigError(f"window must be at least 1, got {self.window}.")
        if self.logit_softcap is not None and self.logit_softcap <= 0:
            raise ConfigError(f"logit_softcap must be positive, got {self.logit_softcap}.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be in [0, 1), got {self.dropout}.")

    @property
    def num_kv_heads(self) -> int:
        """K, with the default filled in."""
        return self.n_head if self.n_kv_head is None else self.n_kv_head

    @property
    def width_of_head(self) -> int:
        """D, with the default filled in."""
        return self.n_embd // self.n_head if self.head_dim is None else self.head_dim

    @property
    def eps_of_norm(self) -> float:
        """What norms add under their root, with the default filled in."""
        if self.norm_eps is not None:
            return self.norm_eps
        return 1e-5 if self.norm == "layernorm" else 1e-6

    @property
    def width_of_hidden(self) -> int:
        """Width of the feed-forward layer, with the default filled in."""
        if self.n_hidden is not None:
            return self.n_hidden
        if self.feed_forward != "swiglu":
            return 4 * self.n_embd
        # three matrices instead of two: 8/3 keeps the number of parameters
        return -(-8 * self.n_embd // 3 // 32) * 32


def _divisors(number: int) -> str:
    return ", ".join(str(d) for d in range(1, number + 1) if number % d == 0)
