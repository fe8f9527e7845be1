"""Multiple choice without asking: which continuation does the model find more probable?

A base model does not answer questions, but it gives every text a probability. So an item is a prompt and
some continuations, one of which is right; the model has chosen the one with the largest log P(continuation |
prompt). A minimal pair is the same with an empty prompt: two whole sentences that differ in one point of
grammar. No text is sampled and none is parsed, so nothing but knowledge is measured.

At the boundary between prompt and continuation a BPE may merge: "in the" + "re" is "in", " there". So prompt
and continuation are encoded together, and everything from the first token at which any continuation's
encoding leaves the prompt's own is scored, for all continuations of the item from the same place: then they
are judged on the same text.

Two guards against a score that says nothing. A tie shares the point, so a model without any opinion gets the
chance level and not the place where the answer happens to stand. And each figure has its chance level and its
interval beside it.
Read after scoring.py. Used by microworld_probes.py. Taught in `evaluating-lms` and `in-context-learning`.
Sources: Warstadt et al. 2020 (BLiMP), https://arxiv.org/abs/1912.00582; the boundary and length
normalisation: Biderman et al. 2024, https://arxiv.org/abs/2405.14782, appendix A.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from nn2llm.core.errors import DataError
from nn2llm.evals.intervals import Interval, wilson_interval
from nn2llm.evals.scoring import (
    DEFAULT_BATCH_SIZE,
    LanguageModel,
    ScoredSequence,
    check_seq_len,
    score_sequences,
)
from nn2llm.tokenizers.base import Tokenizer, replace_surrogates

__all__ = [
    "ChoiceItem",
    "ChoiceResult",
    "ChoiceScores",
    "Normalisation",
    "score_choices",
    "summarise_choices",
]

Normalisation = Literal["none", "token", "byte"]
"""Whether a log-probability is divided by the continuation's length: without, long ones have a handicap."""

_TIE = 1e-6
"""Nats: closer than this is float32's rounding, not an opinion."""

Float64Array = npt.NDArray[np.float64]


class ChoiceItem(Protocol):
    """One question; `nn2llm.microworld.probes.ProbeItem` is one."""

    @property
    def kind(self) -> str:
        """The row it is reported under."""
        ...

    @property
    def prompt(self) -> str:
        """The beginning of a document; "" where whole sentences are compared."""
        ...

    @property
    def choices(self) -> tuple[str, ...]:
        """Continuations of the prompt; one is right."""
        ...

    @property
    def answer(self) -> int:
        """Index of the right one."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ChoiceScores:
    """What a model makes of one item's choices: arrays [choices]."""

    logps: Float64Array
    """log P(choice | prompt), in nats."""
    num_tokens: npt.NDArray[np.int64]
    """Tokens that were scored."""
    num_bytes: npt.NDArray[np.int64]
    """Bytes of the choice."""

    def normalise(self, normalisation: Normalisation) -> Float64Array:
        """What the choices are ranked by."""
        if normalisation == "none":
            return self.logps
        return self.logps / np.maximum(1, self.num_tokens if normalisation == "token" else self.num_bytes)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceResult:
    """How many items of one kind were answered rightly."""

    kind: str
    num_items: int
    accuracy: Interval
    """Share of right answers; a tie gives its share of a point. Wilson's interval."""
    chance: float
    """The accuracy of a blind guess."""
    mean_probability: float
    """Mean of P(right choice), normalised over the choices: 1 is sure and right, `chance` is no idea."""


def score_choices(
    model: LanguageModel,
    tokenizer: Tokenizer,
    items: Sequence[ChoiceItem],
    *,
    batch_size: int = DEFAULT_BATCH_SIZE,
    seq_len: int | None = None,
) -> list[ChoiceScores]:
    """log P(choice | prompt) of every choice of every item; prompts begin at the start token `<|endoftext|>`.

    Where prompt and choice do not fit into `seq_len` (default: the model's context), the choices of an item
    see the same last part of the prompt.

    Raises:
        DataError: if an item has fewer than two choices, an empty or repeated one, or no right one.
        TokenizerError: if the tokenizer does not know a character.
        TrainingError: if the model predicts what is not a number.
    """
    longest = check_seq_len(model, seq_len)
    sequences: list[ScoredSequence] = []
    for item in items:
        check_item(item)
        prompt_ids, *choice_ids = tokenizer.encode_batch(
            [item.prompt, *(item.prompt + choice for choice in item.choices)]
        )
        first = 1 + min(_count_common(prompt_ids, ids) for ids in choice_ids)  # 1: the start token
        # One stride for the item, so that no choice sees more of the prompt than another.
        stride = min(longest, max(len(ids) + 1 - first for ids in choice_ids))
        sequences += [
            ScoredSequence(np.array([tokenizer.end_of_text_id, *ids], dtype=np.int64), first, stride)
            for ids in choice_ids
        ]
    nats = iter(score_sequences(model, sequences, batch_size=batch_size, seq_len=longest))
    results: list[ChoiceScores] = []
    for item in items:
        of_item = [next(nats) for _ in item.choices]
        results.append(
            ChoiceScores(
                logps=np.array([-values.sum() for values in of_item]),
                num_tokens=np.array([len(values) for values in of_item], dtype=np.int64),
                num_bytes=np.array(
                    [len(replace_surrogates(choice).encode()) for choice in item.choices], dtype=np.int64
                ),
            )
        )
    return results


def summarise_choices(
    items: Sequence[ChoiceItem],
    scores: Sequence[ChoiceScores],
    *,
    normalisation: Normalisation = "none",
    level: float = 0.95,
) -> list[ChoiceResult]:
    """Accuracy by kind, in the order in which the kinds appear, and over all items (kind "all") at the end.

    Raises:
        DataError: if there are no items.
        ValueError: if there are not as many scores as items.
    """
    if not items:
        raise DataError("There is no item to score. Ask for at least one.")
    points, probabilities = [], []
    for item, score in zip(items, scores, strict=True):
        ranked = score.normalise(normalisation)
        best = ranked >= ranked.max() - _TIE
        points.append(best[item.answer] / best.sum())
        weights = np.exp(ranked - ranked.max())
        probabilities.append(float(weights[item.answer] / weights.sum()))
    kinds: dict[str, list[int]] = {}
    for number, item in enumerate(items):
        kinds.setdefault(item.kind, []).append(number)
    groups = [*kinds.items(), ("all", list(range(len(items))))]
    return [
        ChoiceResult(
            kind=kind,
            num_items=len(numbers),
            accuracy=wilson_interval(math.fsum(points[n] for n in numbers), len(numbers), level=level),
            chance=float(np.mean([1 / len(items[n].choices) for n in numbers])),
            mean_probability=float(np.mean([probabilities[n] for n in numbers])),
        )
        for kind, numbers in groups
    ]


def check_item(item: ChoiceItem) -> None:
    """Whether an item can be answered at all.

    Raises:
        DataError: saying what is wrong with it.
    """
    where = f"The item of kind {item.kind!r} with the prompt {item.prompt[-60:]!r}"
    if len(item.choices) < 2:
        raise DataError(f"{where} has {len(item.choices)} choice(s); give at least two.")
    if "" in item.choices or len(set(item.choices)) < len(item.choices):
        raise DataError(
            f"{where} has an empty or repeated choice among {list(item.choices)}; make them differ."
        )
    if not 0 <= item.answer < len(item.choices):
        raise DataError(
            f"{where} says that choice {item.answer} is right, of {len(item.choices)}; count them from 0."
        )


def _count_common(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the common beginning."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
