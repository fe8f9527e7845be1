"""What the report says of a recipe on given data, beside what every report says.

Read report_figures.py before, whose `Report` holds these; given_data.py fills them in.
"""

from dataclasses import dataclass
from typing import Any

from nn2llm.evals.intervals import Interval
from nn2llm.recipe.score import Score

__all__ = ["GivenBase", "GivenFigures", "GivenSample", "IFEvalFigures", "PolicyFigures"]


@dataclass(frozen=True, slots=True)
class GivenBase:
    """The base model on held-out text."""

    bits_per_byte: float
    bits_per_byte_low: float
    bits_per_byte_high: float
    nats_per_token: float
    perplexity: float
    gzip_bits_per_byte: float
    xz_bits_per_byte: float
    measured_tokens: float
    measured_documents: float


@dataclass(frozen=True, slots=True)
class PolicyFigures:
    """Means over the replies of one stage; None where they have no meaning."""

    reward: Interval | None
    reward_gain: Interval | None
    """The reward less that of SFT's reply to the same prompt."""
    kl: Interval | None
    """Nats a reply, from the SFT model."""
    num_tokens: Interval
    finished: float
    """Score of the replies that came to an end by themselves."""


@dataclass(frozen=True, slots=True)
class IFEvalFigures:
    """What one stage did of IFEval's instructions."""

    prompt_strict: Score
    prompt_loose: Score
    instruction_strict: Score
    instruction_loose: Score
    by_kind: dict[str, Score]
    """Instruction → share that was followed strictly."""


@dataclass(frozen=True, slots=True)
class GivenSample:
    """One held-out prompt and what each stage wrote."""

    index: int
    messages: tuple[dict[str, str], ...]
    replies: dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenFigures:
    """All figures of given data. None and {}: that stage is not there."""

    sources: dict[str, str]
    """base, corpus, sft_data, preferences, ifeval → names of files and folders, without their paths."""
    stages: tuple[str, ...]
    """Those that this recipe has, in order."""
    has_world: bool
    base: GivenBase | None
    reply_loss: tuple[float, float] | None
    """Nats a token of held-out replies, before SFT and after."""
    counts: dict[str, int]
    """conversations, val_conversations, pairs, val_pairs."""
    policies: dict[str, PolicyFigures]
    dpo_accuracy: Score | None
    """Held-out pairs of which DPO raised the chosen reply more than the rejected one."""
    ifeval: dict[str, IFEvalFigures]
    ifeval_left_out: int
    """Items with an instruction that cannot be checked here."""
    samples: tuple[GivenSample, ...]
