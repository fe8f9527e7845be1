"""The gold score: how good a reply really is, for any string.

Read after tasks.py. Total = merit x form² x truth x coherence x economy, each in [0, 1]:

- merit: does what was asked, as its kind of task grades it;
- form: the share of the reply that is whole sentences of the village's language, each counted once. Squared,
  so that half of a reply being noise costs three quarters;
- truth: halved for each thing said that is not so;
- coherence: 0.3 where a reply does what was asked and takes it back: an answer and "I do not know";
- economy: 0.15 less for each sentence that nobody asked for, thing said again, and "Yes" where nothing was
  claimed. One pleasantry or apology is free.

The product leaves no cheap way: lists of answers contradict themselves, repetitions and copied prompts are no
sentences, declining everything has merit only where it is right. Reinforcement learning will look for holes:
tests/microworld/test_gold.py holds the tricks that were tried.
Used by evals, recipe and `nn2llm chat`. Taught in `reward-models` and `over-optimisation`.
"""

import math
from dataclasses import dataclass

from nn2llm.microworld.replies import Reading
from nn2llm.microworld.task import Task
from nn2llm.microworld.tasks import find_kind

__all__ = ["GoldScore", "gold_score"]

_TRUTH_OF_A_FALSE_CLAIM = 0.5
_COHERENCE_OF_A_CONTRADICTION = 0.3
_COST_OF_SURPLUS = 0.15
_CONTRARY = frozenset({"ignorance", "refusal", "advice", "guess"})
"""Acts that take back what another act has done."""
_IDLE = frozenset({"claim", "kindness", "verdict", "small talk"})
"""Acts that do no harm, and that nobody asked for."""


@dataclass(frozen=True, slots=True)
class GoldScore:
    """How good a reply is, and why."""

    total: float
    """0 to 1."""
    parts: dict[str, float]
    """merit, form, truth, coherence, economy, whose product (form squared) is the total; then what merit is
    made of."""
    reading: Reading
    """The reply as it was understood."""


def gold_score(task: Task, reply: str) -> GoldScore:
    """Score a reply to a task; any string has a score, the empty one 0."""
    kind = find_kind(task.kind)
    reading = kind.read(task, reply)
    grade = kind.grade(task, reading)
    num_false = sum(not claim.is_true for claim in reading.claims)
    said = {sentence.act for sentence in reading.sentences}
    is_contradiction = bool(said & kind.acts and (said & _CONTRARY) - kind.acts)
    factors = {
        "merit": grade.merit,
        "form": reading.form,
        "truth": _TRUTH_OF_A_FALSE_CLAIM**num_false,
        "coherence": _COHERENCE_OF_A_CONTRADICTION if is_contradiction else 1.0,
        "economy": max(0.0, 1 - _COST_OF_SURPLUS * (grade.surplus + _count_surplus(kind.acts, reading))),
    }
    total = math.prod(factors.values()) * factors["form"]
    return GoldScore(total, {**factors, **grade.parts}, reading)


def _count_surplus(acts: frozenset[str], reading: Reading) -> int:
    """Sentences of acts that nobody asked for, claims made again, and agreeing where nothing was claimed."""
    num_others = sum(reading.count(act) for act in _IDLE - acts)
    num_polite = reading.count("pleasantry") + reading.count("apology")
    claims = [(claim.key, claim.value) for claim in reading.claims]
    num_again = len(claims) - len(set(claims))
    num_stances = sum(
        sentence.stance != "plain" and not (sentence.stance == "disagreement" and sentence.act == "refusal")
        for sentence in reading.sentences
        if sentence.act not in ("verdict", "broken")
    )
    return num_others + max(0, num_polite - 1) + num_again + num_stances * ("verdict" not in acts)
