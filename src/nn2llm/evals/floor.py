"""Loss against the floor: how much of what can be known of a micro-world the model knows.

No model predicts a text better, on average, than the process that wrote it. In a micro-world that process is
code, and -log P(document | world) is known exactly; its sum over a set of documents is the floor of *those*
documents. What a model loses above it estimates the Kullback–Leibler divergence

    KL(world || model) = E_world [ log P(document | world) - log P(document | model) ]   nats a document,

which is 0 for a perfect model and nothing else. (The divergence of the model as it writes tokens; where a
text has several tokenisations, the divergence of its texts is a little smaller.)

The excess is paired: model and world are scored on the same documents, so what makes a document long or odd
cancels, and its standard error is far smaller than that of either loss.
Read after perplexity.py and intervals.py. Used by microworld_probes.py. Taught in `evaluating-lms` and
`cross-entropy-and-kl`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from nn2llm.core.errors import DataError
from nn2llm.evals.intervals import (
    Interval,
    bootstrap_difference,
    bootstrap_mean,
    bootstrap_ratio,
)
from nn2llm.evals.perplexity import DocumentScores

__all__ = ["FloorComparison", "KnownWorld", "WorldDocument", "compare_with_floor", "read_documents"]

Float64Array = npt.NDArray[np.float64]


class WorldDocument(Protocol):
    """A document with its floor; `nn2llm.microworld.Document` is one."""

    @property
    def text(self) -> str:
        """The whole document."""
        ...

    @property
    def genre(self) -> str:
        """The kind of document: a story, a portrait, …"""
        ...

    @property
    def nats(self) -> float:
        """-log P(document | world), its end included."""
        ...


DocumentOfWorld = TypeVar("DocumentOfWorld", bound=WorldDocument, covariant=True)


class KnownWorld(Protocol[DocumentOfWorld]):
    """What the floor asks of a world; `nn2llm.microworld.World` has it."""

    def read(self, text: str) -> DocumentOfWorld:
        """The document that a text is. DataError if the world cannot have written it."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class FloorComparison:
    """Model and world on the same documents: of one genre, or of all ("all")."""

    genre: str
    num_documents: int
    num_bytes: int
    model_nats: Interval
    """Nats a document under the model."""
    floor_nats: Interval
    """Nats a document under the world."""
    kl: Interval
    """Model minus world, paired, nats a document: the estimate of KL(world || model)."""
    model_bits_per_byte: Interval
    floor_bits_per_byte: Interval
    excess_bits_per_byte: Interval
    ratio: Interval
    """The model's loss over the floor: 1.05 is 5% more than necessary."""

    @property
    def is_below_floor(self) -> bool:
        """Whether the model is better than possible, by more than 4 standard errors: something is wrong.

        The documents may come from another world than the one that scores them, or the loss may not count
        every token.
        """
        return self.kl.estimate < -4 * self.kl.standard_error - 1e-6 * abs(self.floor_nats.estimate)


def read_documents(world: KnownWorld[DocumentOfWorld], texts: Sequence[str]) -> list[DocumentOfWorld]:
    """Each text as a document of the world, with its probability.

    Raises:
        DataError: naming the first text that the world cannot have written.
    """
    documents: list[DocumentOfWorld] = []
    for number, text in enumerate(texts, start=1):
        try:
            documents.append(world.read(text))
        except DataError as error:
            raise DataError(f"Document {number} of {len(texts)} has no floor. {error}") from error
    return documents


def compare_with_floor(
    scores: DocumentScores,
    documents: Sequence[WorldDocument],
    *,
    level: float = 0.95,
    seed: int = 0,
) -> list[FloorComparison]:
    """The model's loss beside the floor: one comparison a genre (of two documents at least), then "all".

    `scores` are the model's of the same documents, in the same order.

    Raises:
        ValueError: if the lengths differ, or there are fewer than two documents.
    """
    if len(documents) != len(scores.nats):
        raise ValueError(f"one score a document: got {len(documents)} documents, {len(scores.nats)} scores.")
    world = np.array([document.nats for document in documents])
    groups: dict[str, list[int]] = {}
    for number, document in enumerate(documents):
        groups.setdefault(document.genre, []).append(number)
    groups = {genre: numbers for genre, numbers in sorted(groups.items()) if len(numbers) > 1}
    return [
        _compare(genre, scores.nats[chosen], world[chosen], scores.num_bytes[chosen], level, seed)
        for genre, numbers in [*groups.items(), ("all", list(range(len(documents))))]
        for chosen in [np.array(numbers, dtype=np.int64)]
    ]


def _compare(
    genre: str,
    model: Float64Array,
    world: Float64Array,
    num_bytes: npt.NDArray[np.int64],
    level: float,
    seed: int,
) -> FloorComparison:
    def mean(values: Float64Array) -> Interval:
        return bootstrap_mean(values, level=level, seed=seed)

    def ratio(top: Float64Array, bottom: npt.ArrayLike, scale: float = 1 / math.log(2)) -> Interval:
        return bootstrap_ratio(top, bottom, scale=scale, level=level, seed=seed)

    return FloorComparison(
        genre=genre,
        num_documents=len(model),
        num_bytes=int(num_bytes.sum()),
        model_nats=mean(model),
        floor_nats=mean(world),
        kl=bootstrap_difference(model, world, level=level, seed=seed),
        model_bits_per_byte=ratio(model, num_bytes),
        floor_bits_per_byte=ratio(world, num_bytes),
        excess_bits_per_byte=ratio(model - world, num_bytes),
        ratio=ratio(model, world, scale=1.0),
    )
