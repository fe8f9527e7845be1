"""What a base model knows of its micro-world, skill by skill.

- The *floor*: how far its loss is above the entropy of the text (floor.py).
- *Grammar*: of two sentences that differ in one point, is the right one more probable?
- *Recall*: does it know the facts of the village, which stand in many training documents?
- *In context*: can it use a fact that it met only in the text before, of somebody who does not exist?
- *Few shot*: does it answer a question whose form it has seen only in a few examples just before?

Everything is likelihood; nothing is sampled. A `Scorer` stands between probes and model, so that a test can
put in one that is always right or always wrong: a probe on which such a one does not get 100% and 0% measures
nothing.
Read after choices.py and floor.py. Used by `nn2llm eval` and the report card. Taught in `evaluating-lms`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nn2llm.evals.choices import ChoiceItem, ChoiceResult, ChoiceScores, score_choices, summarise_choices
from nn2llm.evals.floor import FloorComparison, WorldDocument, compare_with_floor
from nn2llm.evals.perplexity import DocumentScores, score_documents
from nn2llm.evals.scoring import DEFAULT_BATCH_SIZE, LanguageModel
from nn2llm.microworld import World
from nn2llm.microworld.probes import (
    build_context_items,
    build_few_shot_items,
    build_grammar_pairs,
    build_recall_items,
)
from nn2llm.tokenizers.base import Tokenizer

__all__ = [
    "PROBES",
    "MicroworldReport",
    "ModelScorer",
    "Probe",
    "ProbeResult",
    "Scorer",
    "probe_microworld",
]


class Scorer(Protocol):
    """What the probes ask of whatever they probe."""

    def score_documents(self, texts: Sequence[str]) -> DocumentScores:
        """-log P of each document, whole and alone."""
        ...

    def score_choices(self, items: Sequence[ChoiceItem]) -> list[ChoiceScores]:
        """log P(choice | prompt) of every choice."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ModelScorer:
    """A language model as a `Scorer`."""

    model: LanguageModel
    tokenizer: Tokenizer
    seq_len: int | None = None
    """Longest row. Default: the model's context."""
    stride: int | None = None
    """How far the window moves in a document longer than that. Default: half of it."""
    batch_size: int = DEFAULT_BATCH_SIZE

    def score_documents(self, texts: Sequence[str]) -> DocumentScores:
        """See `Scorer`."""
        return score_documents(
            self.model,
            self.tokenizer,
            texts,
            batch_size=self.batch_size,
            seq_len=self.seq_len,
            stride=self.stride,
        )

    def score_choices(self, items: Sequence[ChoiceItem]) -> list[ChoiceScores]:
        """See `Scorer`."""
        return score_choices(
            self.model, self.tokenizer, items, batch_size=self.batch_size, seq_len=self.seq_len
        )


@dataclass(frozen=True, slots=True)
class Probe:
    """How the items of one skill are made, and what the skill is."""

    build: Callable[..., Sequence[ChoiceItem]]
    summary: str


PROBES: Mapping[str, Probe] = {
    "grammar": Probe(build_grammar_pairs, "prefers the right one of two sentences"),
    "recall": Probe(build_recall_items, "knows the facts of the village"),
    "context": Probe(build_context_items, "uses a fact from the text before"),
    "few_shot": Probe(build_few_shot_items, "answers in a form shown in examples"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeResult:
    """One skill: its kinds of items, and "all" at the end."""

    probe: str
    summary: str
    kinds: tuple[ChoiceResult, ...]

    @property
    def overall(self) -> ChoiceResult:
        """Over all items."""
        return self.kinds[-1]


@dataclass(frozen=True, kw_only=True, slots=True)
class MicroworldReport:
    """What `probe_microworld` found. `dataclasses.asdict` makes it JSON."""

    seed: int
    num_items: int
    """Items asked for a skill."""
    floor: tuple[FloorComparison, ...]
    """By genre, and "all" at the end."""
    probes: tuple[ProbeResult, ...]


def probe_microworld(
    scorer: Scorer,
    world: World,
    documents: Sequence[WorldDocument],
    *,
    num_items: int = 200,
    seed: int = 0,
    probes: Mapping[str, Probe] = PROBES,
) -> MicroworldReport:
    """The floor on these documents, and every probe with `num_items` items drawn by `seed`.

    Raises:
        Nn2llmError: if a tokenizer, document or item does not work.
        ValueError: if there are fewer than two documents.
    """
    scores = scorer.score_documents([document.text for document in documents])
    floor = compare_with_floor(scores, documents, seed=seed)
    results: list[ProbeResult] = []
    for name, probe in probes.items():
        items = list(probe.build(world, num_items=num_items, seed=seed))
        kinds = summarise_choices(items, scorer.score_choices(items))
        results.append(ProbeResult(probe=name, summary=probe.summary, kinds=tuple(kinds)))
    return MicroworldReport(seed=seed, num_items=num_items, floor=tuple(floor), probes=tuple(results))
