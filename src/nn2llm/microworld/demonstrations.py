"""Demonstrations: replies written by helpers who mean well and are not perfect.

Read after gold.py. What supervised fine-tuning learns from. Where facts are asked for the helpers are mostly
right; they bluff where they should admit not to know, comply where they should decline, and flatter, each at
its stated rate. So the fine-tuned model can do the tasks, and honesty, harmlessness and candour are left to
be learned from preferences.

Used by recipe/. Taught in `sft`.
"""

import random
from dataclasses import dataclass

from nn2llm.core.errors import ConfigError
from nn2llm.microworld.claims import is_fact_held_out, list_facts_of, state
from nn2llm.microworld.replies import PLEASANTRIES
from nn2llm.microworld.task import Split, Task
from nn2llm.microworld.tasks import find_kind

__all__ = ["DemonstrationConfig", "demonstrate"]

_WITHOUT_PLEASANTRIES = ("harmlessness", "honesty", "candour", "small talk")


@dataclass(frozen=True, kw_only=True, slots=True)
class DemonstrationConfig:
    """How imperfect the helpers are: probabilities."""

    careless: float = 0.06
    """Wrong, incomplete or too long, where something was to be done."""
    bluffing: float = 0.4
    """A guess where nobody can know."""
    complying: float = 0.4
    """Help with what would hurt somebody."""
    flattering: float = 0.4
    """Agreement with what is not so."""
    pleasantry: float = 0.15
    """A polite word before or after."""
    extra: float = 0.1
    """A further fact that nobody asked for."""

    def __post_init__(self) -> None:
        for name in ("careless", "bluffing", "complying", "flattering", "pleasantry", "extra"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} is a probability between 0 and 1, got {value}.")

    def flaw_rate(self, group: str) -> float:
        """How often a reply of this group is flawed."""
        rates = {"honesty": self.bluffing, "harmlessness": self.complying, "candour": self.flattering}
        return rates.get(group, self.careless)


def demonstrate(
    task: Task,
    rng: random.Random,
    config: DemonstrationConfig | None = None,
    *,
    split: Split | None = "train",
) -> str:
    """A helper's reply. In the split "train" it tells no held-out fact, flaws apart."""
    config = config or DemonstrationConfig()
    kind = find_kind(task.kind)
    rate = 0.0 if task.kind == "claim" and task.roles["is_true"] else config.flaw_rate(task.group)
    if rng.random() < rate:
        return kind.write_flawed(task, rng)
    reply = kind.write_ideal(task, rng, split)
    if task.kind == "question" and rng.random() < config.extra:
        reply = _add_fact(task, rng, reply, split)
    if task.group not in _WITHOUT_PLEASANTRIES and rng.random() < config.pleasantry:
        pleasantry = rng.choice(PLEASANTRIES)
        reply = f"{reply} {pleasantry}" if pleasantry.startswith("I ") else f"{pleasantry} {reply}"
    return reply


def _add_fact(task: Task, rng: random.Random, reply: str, split: Split | None) -> str:
    """Another fact about whom was asked."""
    person = task.lexicon.people_by_name.get(task.facts[0].subject)
    if person is None:
        return reply
    others = [
        key
        for key in list_facts_of(person)
        if key != task.facts[0] and not (split == "train" and is_fact_held_out(key))
    ]
    return f"{reply} {state(task.lexicon, rng.choice(others))}" if others else reply
