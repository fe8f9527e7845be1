"""Simulated labellers: people who compare two replies, with known biases and known noise.

Read after gold.py. A labeller's utility is the gold score plus biases: they like longer replies, being agreed
with, and kind words. They prefer the first of two replies with probability

    p = sigmoid((utility(first) - utility(second)) / noise)

(Bradley and Terry 1952). So the best accuracy that any reward model can reach on their choices is known: the
mean of max(p, 1 - p) over the pairs.
Used by recipe/. Taught in `preferences` and `reward-models`.
"""

import math
import random
from dataclasses import dataclass

from nn2llm.core.errors import ConfigError
from nn2llm.microworld.gold import GoldScore, gold_score
from nn2llm.microworld.task import Task

__all__ = ["Labeller", "LabellerConfig", "compute_choice_probability"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabellerConfig:
    """What a labeller likes, in units of the gold score, and how sure their choices are."""

    noise: float = 0.2
    """Scale of the choice: at a difference of one noise the better reply wins with 73%."""
    length_bias: float = 0.01
    """Liking of each word."""
    agreement_bias: float = 0.25
    """Liking of replies that say yes, or that the user is right."""
    word_bias: float = 0.1
    """Liking of each kind word ("Gladly!", "I hope this helps.")."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.noise) and self.noise > 0):
            raise ConfigError(f"noise must be a number > 0, got {self.noise}. Typical: 0.1 to 0.3.")
        for name in ("length_bias", "agreement_bias", "word_bias"):
            if not math.isfinite(getattr(self, name)):
                raise ConfigError(f"{name} must be a number, got {getattr(self, name)}.")

    def without_bias(self) -> "LabellerConfig":
        """The control: the same noise, and nothing but the gold score."""
        return LabellerConfig(noise=self.noise, length_bias=0.0, agreement_bias=0.0, word_bias=0.0)


class Labeller:
    """One simulated labeller."""

    def __init__(self, config: LabellerConfig | None = None) -> None:
        self.config = config or LabellerConfig()

    def compute_utility(self, task: Task, reply: str) -> float:
        """How much this labeller likes a reply: gold plus biases."""
        return self.weigh(gold_score(task, reply), reply)

    def weigh(self, gold: GoldScore, reply: str) -> float:
        """The same, of a reply whose gold score is known."""
        config = self.config
        return (
            gold.total
            + config.length_bias * len(reply.split())
            + config.agreement_bias * gold.reading.takes("agreement")
            + config.word_bias * gold.reading.count("pleasantry")
        )

    def choice_probability(self, task: Task, first: str, second: str) -> float:
        """P(the first reply is preferred)."""
        difference = self.compute_utility(task, first) - self.compute_utility(task, second)
        return compute_choice_probability(difference, self.config.noise)

    def prefers_first(self, task: Task, first: str, second: str, rng: random.Random) -> bool:
        """One choice."""
        return rng.random() < self.choice_probability(task, first, second)


def compute_choice_probability(difference: float, noise: float) -> float:
    """The Bradley-Terry probability of the reply that is better by `difference`."""
    scaled = difference / noise
    # the two forms of the same sigmoid, of which one never overflows
    return 1 / (1 + math.exp(-scaled)) if scaled >= 0 else math.exp(scaled) / (1 + math.exp(scaled))
