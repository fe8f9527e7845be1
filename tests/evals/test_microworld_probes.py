"""The probes of the micro-world, put to scorers that know all, nothing, or only a trick.

A probe on which somebody who is always right does not get everything, or who is always wrong anything,
measures nothing; and one that a trick solves (the shortest choice, the one that stands in the prompt) does
not measure what it says. The place of the right choice is no trick: a model does not see it.
"""

import dataclasses
import json
import math
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from nn2llm.evals.choices import ChoiceItem, ChoiceScores, check_item
from nn2llm.evals.floor import read_documents
from nn2llm.evals.microworld_probes import PROBES, MicroworldReport, ModelScorer, probe_microworld
from nn2llm.evals.perplexity import DocumentScores
from nn2llm.microworld import ForeignTextError, World, WorldConfig, build_world
from nn2llm.tokenizers import train_tokenizer
from tests.evals.conftest import build_random_gpt

NUM_ITEMS = 120
NAMES = list(PROBES)


class Scorer:
    """Rates each choice by a rule; its loss on documents is the world's, and `excess` nats a document."""

    def __init__(self, world: World, rate: Callable[[ChoiceItem, int], float], *, excess: float = 0.0):
        self.world, self.rate, self.excess = world, rate, excess

    def score_documents(self, texts: Sequence[str]) -> DocumentScores:
        sizes = np.array([len(text.encode()) for text in texts])
        nats = np.array([self.world.compute_nats(text) for text in texts]) + self.excess
        return DocumentScores(nats=nats, num_bytes=sizes, num_tokens=sizes + 1)

    def score_choices(self, items: Sequence[ChoiceItem]) -> list[ChoiceScores]:
        return [
            ChoiceScores(
                np.array([self.rate(item, choice) for choice in range(len(item.choices))]),
                np.array([len(choice) for choice in item.choices]),
                np.array([len(choice) for choice in item.choices]),
            )
            for item in items
        ]


def know(item: ChoiceItem, choice: int) -> float:
    return 0.0 if choice == item.answer else -9.0


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(WorldConfig(seed=0, name="Ada", trade="clockmaker"))


@pytest.fixture(scope="module")
def documents(world):
    rng = random.Random(0)
    return [world.sample(rng, split="val") for _ in range(60)]


@pytest.fixture(scope="module")
def items(world) -> dict[str, list[ChoiceItem]]:
    return {name: list(probe.build(world, num_items=NUM_ITEMS, seed=0)) for name, probe in PROBES.items()}


@pytest.fixture(scope="module")
def probe(world, documents, items):
    """Every probe on `items`, by a rule for choices."""
    built = {
        name: dataclasses.replace(PROBES[name], build=lambda *_, made=made, **__: made)
        for name, made in items.items()
    }

    def run(rate: Callable[[ChoiceItem, int], float], **options: float) -> MicroworldReport:
        return probe_microworld(Scorer(world, rate, **options), world, documents, probes=built)

    return run


def accuracies(report: MicroworldReport) -> dict[str, float]:
    return {result.probe: result.overall.accuracy.estimate for result in report.probes}


def test_who_knows_all_gets_everything_and_stands_on_the_floor(probe):
    report = probe(know)
    for result in report.probes:
        assert all(kind.accuracy.estimate == 1 for kind in result.kinds)
        assert all(kind.mean_probability > 0.99 for kind in result.kinds)
    assert all(line.kl.estimate == pytest.approx(0, abs=1e-9) for line in report.floor)
    assert report.floor[-1].genre == "all"
    assert report.floor[-1].num_documents == 60


def test_who_is_always_wrong_gets_nothing(probe):
    report = probe(lambda item, choice: -know(item, choice), excess=2.5)
    assert set(accuracies(report).values()) == {0.0}
    assert all(line.kl.estimate == pytest.approx(2.5) for line in report.floor)


def test_who_has_no_opinion_gets_the_chance_level(probe):
    for result in probe(lambda item, choice: -1.0).probes:
        for kind in result.kinds:
            assert kind.accuracy.estimate == pytest.approx(kind.chance)


TRICKS: dict[str, Callable[[ChoiceItem, int], float]] = {
    "the shortest": lambda item, choice: -len(item.choices[choice]),
    "the longest": lambda item, choice: len(item.choices[choice]),
    "the first in the alphabet": lambda item, choice: -sorted(item.choices).index(item.choices[choice]),
    "what the prompt says last": lambda item, choice: item.prompt.lower().rfind(_words(item.choices[choice])),
    "what the prompt says most": lambda item, choice: item.prompt.lower().count(_words(item.choices[choice])),
}


def _words(choice: str) -> str:
    return choice.strip(' .,!?"\n').lower()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_is_not_much_better_than_chance(probe, name, trick):
    report = probe(TRICKS[trick])
    [result] = [result for result in report.probes if result.probe == name]
    overall = result.overall
    # 4 deviations of a blind guess, and something for what a small village has by chance
    spread = 4 * math.sqrt(overall.chance * (1 - overall.chance) / overall.num_items)
    assert overall.accuracy.estimate < overall.chance + spread + 0.05, trick


UNFINISHED = ("recall", "few_shot")
"""Their items are the beginning of a document, those of the others a whole one."""


def is_possible(world: World, text: str, endings: Sequence[str]) -> bool:
    """Whether the world can have written the text, alone or going on with one of `endings`."""
    for whole in (text, *(f"{text}\n{ending}" for ending in endings)):
        try:
            world.read(whole)
        except ForeignTextError:
            continue
        return True
    return False


@pytest.mark.parametrize("name", ["grammar", "recall", "context", "few_shot"])
def test_the_world_can_write_the_right_choice_and_no_other(world, items, name):
    # A document of facts has two questions at least: let another one follow, in either style of answer.
    asked = items["recall"][:6] + [item for item in items["few_shot"][:30] if item.kind == "0 examples"]
    endings = [item.prompt + item.choices[item.answer] for item in asked] if name in UNFINISHED else []
    for item in items[name][:36]:
        possible = [is_possible(world, item.prompt + choice, endings) for choice in item.choices]
        if item.kind == "0 examples":  # true in either style
            assert sum(possible) == 2
            assert possible[item.answer]
        else:
            assert [n for n, fits in enumerate(possible) if fits] == [item.answer], item


@pytest.mark.parametrize("name", NAMES)
def test_items_are_sound_and_the_seed_decides(world, items, name):
    assert len(items[name]) == NUM_ITEMS
    for item in items[name]:
        check_item(item)
    again = list(PROBES[name].build(world, num_items=NUM_ITEMS, seed=0))
    assert again == items[name]
    assert list(PROBES[name].build(world, num_items=NUM_ITEMS, seed=1)) != items[name]


def test_a_model_without_knowledge_is_far_above_the_floor(world, documents, items):
    tokenizer = train_tokenizer("bpe", [document.text for document in documents], vocab_size=300)
    model = build_random_gpt(tokenizer.vocab_size, max_seq_len=64)
    small = {
        name: dataclasses.replace(PROBES[name], build=lambda *_, made=made[:24], **__: made)
        for name, made in items.items()
    }
    read = read_documents(world, [document.text for document in documents[:12]])
    report = probe_microworld(
        ModelScorer(model=model, tokenizer=tokenizer), world, read, num_items=24, seed=3, probes=small
    )
    line = report.floor[-1]
    assert line.kl.low > 50
    assert line.model_bits_per_byte.estimate > 3 * line.floor_bits_per_byte.estimate
    assert not line.is_below_floor
    for result in report.probes:
        assert result.overall.num_items == 24
    assert (report.seed, report.num_items) == (3, 24)
    assert json.loads(json.dumps(dataclasses.asdict(report)))["probes"][0]["probe"] == NAMES[0]


def test_documents_read_back_are_those_that_were_written(world, documents):
    read = read_documents(world, [document.text for document in documents])
    assert [document.genre for document in read] == [document.genre for document in documents]
    np.testing.assert_allclose(
        [document.nats for document in read], [document.nats for document in documents], rtol=1e-9
    )
