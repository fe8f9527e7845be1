"""What the report says, as data: every figure, with its interval, and no words.

What is in `Report` is in report.json, and nothing else is in the report. Seconds stand apart in `Timings`:
two runs of one recipe have equal reports and unequal timings.
Read report_series.py before; report_data.py fills these in.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from nn2llm.evals.intervals import Interval
from nn2llm.evals.win_rates import Comparison
from nn2llm.recipe.given_figures import GivenFigures
from nn2llm.recipe.report_series import Course, Series
from nn2llm.recipe.score import Score

__all__ = [
    "GROUPS",
    "POLICIES",
    "STAGES",
    "BaseFigures",
    "Behaviour",
    "Bias",
    "CalibrationBin",
    "Effect",
    "Probe",
    "Report",
    "RewardFigures",
    "Sample",
    "Score",
    "StageFigures",
    "Timings",
]

STAGES = ("base", "sft", "preferences", "reward", "reward_control", "ppo", "dpo", "evaluation")
POLICIES = ("base", "sft", "ppo", "dpo")
"""The stages that write replies, in the order of every table and chart."""
GROUPS = ("instructions", "answers", "honesty", "harmlessness", "candour", "small talk")
"""Groups of tasks in the order of every table and chart; others follow."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One line of a probe: recall, context, few-shot."""

    name: str
    kind: str
    score: Score
    chance: float


@dataclass(frozen=True, slots=True)
class BaseFigures:
    """The base model against the floor."""

    nats_per_document: float
    floor_nats_per_document: float
    percent_above: float
    bits_per_byte: float
    floor_bits_per_byte: float


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Pairs of which the model is about equally sure."""

    predicted: float
    """How sure: mean P(the reply that it prefers is chosen)."""
    observed: Score
    """How often it was."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Log-odds of being preferred, with a 95% interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Bias:
    """What a property counts in a typical pair: for the labeller, and for the model of their choices.

    "gold", the true quality, is one of them; the others do not make a reply better.
    """

    name: str
    labeller: Effect
    reward_model: Effect


@dataclass(frozen=True, slots=True)
class OwnReplies:
    """A reward model on the pairs in which both replies were written to their prompt."""

    accuracy: Score
    best_possible: float


@dataclass(frozen=True, slots=True)
class RewardFigures:
    """A reward model on held-out pairs."""

    accuracy: Score
    """Against the choices that were drawn."""
    expected_accuracy: Effect | None
    """Against the labeller's probabilities: the same without the luck of the draw."""
    best_possible: float | None
    gold_agreement: float | None
    calibration: tuple[CalibrationBin, ...]
    calibration_error: float | None
    biases: tuple[Bias, ...]
    own_replies: OwnReplies | None = None
    """Stray pairs left out; None where that is not known."""
    num_training_pairs: int | None = None
    """Pairs that it learned from; None where that is not known."""

    @property
    def shortfall(self) -> float | None:
        """How far the accuracy is from the best possible."""
        if self.best_possible is None:
            return None
        measured = self.expected_accuracy or self.accuracy
        return self.best_possible - measured.estimate


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Means over all evaluation prompts, of one stage; None where they have no meaning."""

    gold: Interval
    utility: Interval
    bias: Interval
    """Labeller's utility less gold: what the labeller likes beyond quality."""
    reward: Interval | None
    kl: Interval | None
    """Nats a reply, from the SFT model."""
    num_tokens: Interval
    finished: float
    """Share of the replies that came to an end by themselves."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt and what each stage wrote."""

    kind: str
    group: str
    choice: str
    """"typical", "gained" or "worst"."""
    index: int
    messages: tuple[dict[str, str], ...]
    replies: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class StageFigures:
    """What a stage took, time apart."""

    tokens: float
    flops: float
    headline: str


@dataclass(frozen=True, slots=True)
class Timings:
    """What differs between two equal runs."""

    folder: str
    seconds: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """All figures of the report, timings apart. None and {}: that stage is not there."""

    settings: dict[str, Any]
    """Those of config.json that the report names."""
    stages: dict[str, StageFigures]
    """Those that have ended."""
    missing: tuple[str, ...]
    num_prompts: int
    temperature: float | None
    base: BaseFigures | None
    probes: tuple[Probe, ...]
    held_out_questions: dict[str, Score]
    groups: dict[str, int]
    """Prompts in each group, in the order of the table."""
    gold_by_group: dict[str, dict[str, Interval]]
    """Policy → group ("all" first) → mean gold score."""
    gold_by_kind: dict[str, dict[str, Interval]]
    """Policy → kind → mean gold score."""
    gains_by_group: dict[str, dict[str, Comparison]]
    """Policy → group → that policy against SFT."""
    behaviour: dict[str, Behaviour]
    bias_gains: dict[str, Interval]
    """Policy → bias less that of SFT, paired."""
    comparisons: tuple[Comparison, ...]
    reward: RewardFigures | None
    reward_control: RewardFigures | None
    ppo: Course | None
    curves: dict[str, dict[str, Series]]
    """Stage → figure of its metrics.jsonl → curve."""
    samples: tuple[Sample, ...]
    sample_policy: str | None
    """The stage whose gold score chose the samples, …"""
    sample_before: str | None
    """… and the one that its gain was measured against."""
    given: GivenFigures | None = None
    """What there is of a recipe on given data; None where all is the micro-world's."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)

    def compare(self, first: str, second: str) -> Comparison | None:
        """`first` against `second`, where both have replies."""
        return next((pair for pair in self.comparisons if (pair.first, pair.second) == (first, second)), None)
