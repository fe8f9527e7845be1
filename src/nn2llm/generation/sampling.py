"""Sampling rules: from the scores of the next token to a choice.

Each rule is a pure function on logits [B, V]; a token that may not be chosen gets -inf. `apply_sampling`
puts them in this order, which is also that of transformers:

    repetition penalty -> temperature -> top-k -> top-p -> min-p -> draw

The order matters: temperature changes which tokens top-p and min-p let through, but not top-k's.

Read after nn/attention.py. Used by generation/engine.py.
Sources: top-k, Fan et al. 2018, https://arxiv.org/abs/1805.04833; top-p, Holtzman et al. 2019,
https://arxiv.org/abs/1904.09751; min-p, Nguyen et al. 2024, https://arxiv.org/abs/2407.01082;
repetition penalty, Keskar et al. 2019 (CTRL), https://arxiv.org/abs/1909.05858, section 4.1.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nn2llm.core.errors import ConfigError

__all__ = [
    "SamplingConfig",
    "apply_min_p",
    "apply_repetition_penalty",
    "apply_sampling",
    "apply_temperature",
    "apply_top_k",
    "apply_top_p",
    "draw_at",
    "mark_seen",
    "sample_from",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingConfig:
    """How the next token is chosen. The defaults draw from the model's own distribution."""

    temperature: float = 1.0
    """Below 1 sharpens the distribution, above 1 flattens it; 0 always takes the most probable token."""

    top_k: int | None = None
    """Keep the k most probable tokens. None keeps all."""

    top_p: float = 1.0
    """Keep the smallest set of most probable tokens whose probabilities add up to this (nucleus sampling)."""

    min_p: float = 0.0
    """Keep the tokens at least this many times as probable as the most probable one. Typical: 0.02 to 0.1."""

    repetition_penalty: float = 1.0
    """Above 1 makes tokens that stand in the prompt or the reply less probable. Typical: 1.1 to 1.3."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(
                f"temperature must be a number >= 0, got {self.temperature}. Typical: 0.6 to 1; 0 is greedy."
            )
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k must be >= 1, got {self.top_k}. Leave it out to keep all tokens.")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must be in (0, 1], got {self.top_p}. Typical: 0.9; 1 keeps all tokens.")
        if not 0 <= self.min_p <= 1:
            raise ConfigError(
                f"min_p must be in [0, 1], got {self.min_p}. Typical: 0.05; 0 keeps all tokens."
            )
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise ConfigError(
                f"repetition_penalty must be a number > 0, got {self.repetition_penalty}. "
                "Typical: 1.2; 1 is off."
            )

    def apply(self, logits: Float[Tensor, "B V"], seen: Bool[Tensor, "B V"] | None) -> Float[Tensor, "B V"]:
        """What the engine calls: `apply_sampling`, which own_sampling.py replaces by a learner's rule."""
        return apply_sampling(logits, self, seen)


def mark_seen(
    input_ids: Int[Tensor, "B T"], pad_lengths: Int[Tensor, " B"], *, vocab_size: int
) -> Bool[Tensor, "B V"]:
    """For each row, the tokens that occur in it; its first `pad_lengths[b]` positions are padding."""
    positions = torch.arange(input_ids.shape[1], device=input_ids.device)
    # Padding is counted in an extra column, which is then dropped.
    ids = input_ids.masked_fill(positions[None, :] < pad_lengths[:, None], vocab_size)
    seen = torch.zeros(len(ids), vocab_size + 1, dtype=torch.bool, device=ids.device)
    return seen.scatter_(1, ids, True)[:, :vocab_size]


def apply_repetition_penalty(
    logits: Float[Tensor, "B V"], seen: Bool[Tensor, "B V"], *, penalty: float
) -> Float[Tensor, "B V"]:
    """Make the tokens of `seen` less probable: divide their logits by `penalty`, or multiply negative ones.

    Dividing a negative logit would raise it, hence the two cases.
    """
    return torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)


def apply_temperature(logits: Float[Tensor, "B V"], temperature: float) -> Float[Tensor, "B V"]:
    """Divide by `temperature`; at 0, its limit, only the first most probable token stays."""
    if temperature == 0:
        best = logits.argmax(dim=-1, keepdim=True)
        return torch.full_like(logits, -math.inf).scatter(1, best, logits.gather(1, best))
    return logits / temperature


def apply_top_k(logits: Float[Tensor, "B V"], top_k: int) -> Float[Tensor, "B V"]:
    """Keep the `top_k` largest logits, and all that tie with the smallest of them; all where top_k >= V."""
    smallest_kept = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[:, -1:]
    return logits.masked_fill(logits < smallest_kept, -math.inf)


def apply_top_p(logits: Float[Tensor, "B V"], top_p: float) -> Float[Tensor, "B V"]:
    """Keep the smallest set of most probable tokens that have `top_p` together; never fewer than one."""
    ascending, token = logits.sort(dim=-1)
    # Counted from the least probable token up: the tail whose mass is at most 1 - top_p can go.
    drop = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p
    drop[:, -1] = False
    return logits.masked_fill(torch.empty_like(drop).scatter_(1, token, drop), -math.inf)


def apply_min_p(logits: Float[Tensor, "B V"], min_p: float) -> Float[Tensor, "B V"]:
    """Keep the tokens whose probability is at least `min_p` times that of the most probable token."""
    probabilities = logits.softmax(dim=-1)
    return logits.masked_fill(probabilities < min_p * probabilities.amax(dim=-1, keepdim=True), -math.inf)


def apply_sampling(
    logits: Float[Tensor, "B V"], config: SamplingConfig, seen: Bool[Tensor, "B V"] | None = None
) -> Float[Tensor, "B V"]:
    """All the rules of `config`, in the order that the module's docstring states.

    Args:
        logits: the model's scores.
        config: the rules; those at their neutral value cost nothing.
        seen: which tokens stand in each row already (`mark_seen`); needed for a repetition penalty.

    Raises:
        ValueError: if there is a repetition penalty and `seen` is None.
    """
    if config.repetition_penalty != 1:
        if seen is None:
            raise ValueError(
                f"repetition_penalty={config.repetition_penalty} needs `seen`, got None. "
                "Build it with mark_seen."
            )
        logits = apply_repetition_penalty(logits, seen, penalty=config.repetition_penalty)
    if config.temperature != 1:
        logits = apply_temperature(logits, config.temperature)
    if config.temperature == 0:
        return logits  # one token is left: the other rules would keep it
    if config.top_k is not None:
        logits = apply_top_k(logits, config.top_k)
    if config.top_p < 1:
        logits = apply_top_p(logits, config.top_p)
    if config.min_p > 0:
        logits = apply_min_p(logits, config.min_p)
    return logits


def draw_at(logits: Float[Tensor, "B V"], uniforms: Float[Tensor, " B"]) -> Int[Tensor, " B"]:
    """The token at height `uniforms[b]`, in [0, 1), of each row's cumulative distribution.

    One number a row decides its token, so a row's draw cannot depend on the rows beside it, and the same
    numbers give the same tokens on every device.
    """
    device = logits.device
    # float32 cannot resolve the tail of a sum over 50,000 tokens, and Apple's GPUs have nothing wider.
    place = torch.device("cpu") if device.type == "mps" else device
    cumulative = logits.to(place).to(torch.float64).softmax(dim=-1).cumsum(dim=-1)
    total = cumulative[:, -1:]
    heights = uniforms.to(cumulative)[:, None] * total
    # Rounding must not reach the total itself: the search would run past the last token that may be chosen.
    heights = torch.minimum(heights, torch.nextafter(total, torch.zeros_like(total)))
    token = torch.searchsorted(cumulative, heights, right=True)[:, 0]
    return token.clamp_max(logits.shape[-1] - 1).to(
        device
    )  # the clamp acts only where logits are not numbers


def sample_from(logits: Float[Tensor, "B V"], generator: torch.Generator | None = None) -> Int[Tensor, " B"]:
    """Draw one token a row from softmax(logits), with numbers from `generator` (a CPU generator)."""
    return draw_at(logits, torch.rand(len(logits), dtype=torch.float64, generator=generator))
