"""What the study says, as data: every figure, with its interval, and no words.

"Gain" is always against the SFT model: on the same held-out prompts (with a paired interval), or, on the way
of a training run, against what its iterations say of its start.
"Promise" is the gain that a reward model claims: the rise of its score times the labeller's noise. Labels are
chosen with probability sigmoid(difference of utility / noise), so a reward model that has learned them well
has scores in units of utility / noise, and the promise can be laid beside the gold score.
Read report_figures.py before; study_data.py fills these in.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from nn2llm.evals.intervals import Interval
from nn2llm.evals.overoptimisation import OverOptimisation
from nn2llm.evals.win_rates import Comparison
from nn2llm.recipe.report_figures import Score, StageFigures
from nn2llm.recipe.report_series import Trend

__all__ = ["Curve", "Exploit", "JudgedModel", "Method", "StudyFigures"]


@dataclass(frozen=True, slots=True)
class Curve:
    """Quality against distance, for one reward model that is optimised against."""

    reward: str
    """Its stage."""
    kl: tuple[float, ...]
    """Nats from the SFT model; of best-of-n the bound."""
    gold: tuple[float, ...]
    """Gain of the mean gold score."""
    utility: tuple[float, ...]
    """Gain of the labeller's utility."""
    promise: tuple[float, ...]
    """The gain that the reward model promises."""
    fit: OverOptimisation | None
    """To `gold`; None where there are too few points."""
    n: tuple[int, ...] = ()
    """Of best-of-n."""
    gold_ends: tuple[tuple[float, float], ...] = ()
    """95% interval of each gain of gold, of best-of-n."""
    fall: Interval | None = None
    """Of best-of-n: gold at its best n less gold at the largest, paired; above 0 it is over-optimised."""
    trends: dict[str, Trend] = dataclasses.field(default_factory=dict)
    """Of a training run: of reward, gold, utility and kl, as they were logged."""

    def at_end(self, values: tuple[float, ...]) -> float:
        """Of `gold`, `utility` or `promise`: for the largest n, or the mean of the last three iterations."""
        last = values[-1:] if self.n else values[-3:]
        return sum(last) / len(last)

    @property
    def is_overoptimised(self) -> bool:
        """Whether gold has clearly fallen back from its best while the promise went on."""
        if self.fall is not None:
            return self.fall.low > 0
        gold, proxy = self.trends.get("gold"), self.trends.get("reward")
        return gold is not None and gold.has_fallen_back and proxy is not None and proxy.has_risen


@dataclass(frozen=True, slots=True)
class Method:
    """One way to align the SFT model, on the held-out prompts."""

    stage: str
    gold: Interval
    gain: Interval
    """Of gold over SFT, on the same prompts."""
    comparison: Comparison | None
    """With SFT, reply by reply; None for best-of-n, which is a mean over many draws."""
    kl: Interval | None
    """Nats a reply from SFT; None: `kl_bound` instead."""
    kl_bound: float | None
    promise: Interval | None
    """What the reward model that it was scored by claims; None where none was."""
    utility: Interval
    """Gain of the labeller's utility."""
    num_prompts: int


@dataclass(frozen=True, slots=True)
class JudgedModel:
    """A reward model on the held-out pairs."""

    reward: str
    """Its stage."""
    num_prompts: int
    """It learned from the comparisons of so many prompts, …"""
    num_pairs: int | None
    """… so many pairs."""
    num_checking_layers: int
    accuracy: Score
    best_possible: float | None
    own_accuracy: float | None
    """Of pairs in which both replies were written to their prompt."""


@dataclass(frozen=True, slots=True)
class Exploit:
    """A reply that a reward model likes better than the SFT model's, and that is worse."""

    messages: tuple[dict[str, str], ...]
    kind: str
    before: str
    after: str
    gold: tuple[float, float]
    """Before and after."""
    reward: tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyFigures:
    """All figures of study.html, times apart."""

    settings: dict[str, Any]
    noise: float
    num_prompts: int
    """Held-out prompts that every model replied to."""
    num_candidate_prompts: int
    num_replies: int
    """The largest n."""
    num_different: float
    """Different replies among them, on average."""
    sft_gold: Interval
    methods: tuple[Method, ...]
    free_less_ppo: tuple[Interval, Interval] | None
    """PPO without the KL term less PPO with it, on the same prompts: gold, and what the reward model thinks,
    in units of gold. None where there is no PPO."""
    groups: dict[str, int]
    """Held-out prompts in each group, in the order of the tables."""
    gains_by_group: dict[str, dict[str, Interval]]
    """Stage → group → gain of gold over SFT; those that have not two prompts are left out."""
    constitutional: dict[str, float]
    """What stage constitutional counted: broken, revised, num_pairs, …; {} where it is not there."""
    rewards: tuple[JudgedModel, ...]
    by_labels: tuple[str, ...]
    """Stages of the reward models from few labels to all."""
    by_size: tuple[str, ...]
    best_of_n: dict[str, Curve]
    """Stage of a reward model → best-of-n by it."""
    training: dict[str, Curve]
    """Stage of a training run → its course: ppo, grpo, ppo_free, …"""
    exploits: tuple[Exploit, ...]
    """Of ppo_free."""
    stages: dict[str, StageFigures]
    """The study's own."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)

    def find(self, stage: str) -> Method | None:
        """The method of this stage, where it was measured."""
        return next((method for method in self.methods if method.stage == stage), None)

    def judge(self, reward: str) -> JudgedModel:
        """What is known of this reward model."""
        return next(model for model in self.rewards if model.reward == reward)
