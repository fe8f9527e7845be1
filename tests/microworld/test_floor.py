"""The floor is exact: every document has one derivation, and the probabilities of all texts sum to one.

`derivations.py` finds derivations by trying all choices, so `Reader` is checked against something that knows
nothing of it. The sums are over what can be enumerated, and by importance sampling over everything else.
"""

import dataclasses
import math
import random
from collections import Counter
from functools import cache
from itertools import islice

import numpy as np
import pytest

from nn2llm.microworld import GENRES, ForeignTextError, World, WorldConfig, build_world
from nn2llm.microworld.cast import Cast
from nn2llm.microworld.script import Reader
from nn2llm.microworld.village import MAX_PEOPLE
from nn2llm.microworld.world import _BRANCHES
from tests.microworld.derivations import GuidedWriter, build_program, iterate_derivations

CONFIGS = {
    "nobody new": {},
    "small": {"seed": 1, "num_people": 15},
    "large": {"seed": 2, "num_people": 34},
    "unknown trade": {"seed": 3, "name": "Ada", "trade": "software engineer"},
    "known trade": {"seed": 4, "name": "Ada", "trade": "Baker", "pronoun": "she"},
    "two words": {"seed": 5, "name": "Jean Luc", "trade": "basket maker", "pronoun": "he"},
    "begins like Alda": {"seed": 6, "name": "Al", "trade": "innkeeper", "pronoun": "he"},
    "goes on from Alda": {"seed": 7, "name": "Aldara", "trade": "hour counter"},
    "an apostrophe": {"seed": 8, "name": "O'Hara", "trade": "the smith's friend", "pronoun": "she"},
    "a trade of two": {"seed": 9, "name": "Élodie", "trade": "smith and baker", "num_people": 20},
    "a villager's name and more": {"seed": 10, "name": "Alda Thora", "trade": "toymaker"},
}


@cache
def get_world(name: str) -> World:
    return build_world(WorldConfig(**CONFIGS[name]))


# --- reading gives what was written


@pytest.mark.parametrize("name", CONFIGS)
def test_reading_gives_the_writers_nats_and_story(name):
    world = get_world(name)
    rng = random.Random(name)
    for _ in range(250):
        written = world.sample(rng)
        read = world.read(written.text)
        assert read.nats == pytest.approx(written.nats, abs=1e-9), written.text
        assert dataclasses.replace(read, nats=written.nats) == written
    learner = world.config.name
    assert learner is None or any(learner in world.sample(rng).text for _ in range(100))


def test_every_text_of_many_large_villages_can_be_read():
    """People who like the same dish, or live in the same lane, must not be mistaken for each other."""
    for seed in range(100, 130):
        learner = {"name": "Ada", "trade": "engineer"} if seed % 2 else {}
        world = build_world(WorldConfig(seed=seed, num_people=MAX_PEOPLE, **learner))
        rng = random.Random(seed)
        for _ in range(50):
            written = world.sample(rng)
            assert world.compute_nats(written.text) == pytest.approx(written.nats, abs=1e-9), written.text


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_nats_of_a_split_are_those_of_the_whole_world(split):
    world = get_world("unknown trade")
    rng = random.Random(split)
    for _ in range(200):
        written = world.sample(rng, split)
        assert world.compute_nats(written.text) == pytest.approx(written.nats, abs=1e-9)


# --- exactly one derivation


def sample_of_each_genre(world: World, each: int, seed: int):
    rng = random.Random(seed)
    left = dict.fromkeys(GENRES, each)
    while any(left.values()):
        document = world.sample(rng)
        if left[document.genre]:
            left[document.genre] -= 1
            yield document


@pytest.mark.parametrize("name", ["nobody new", "begins like Alda", "a villager's name and more"])
def test_a_search_of_all_choices_finds_exactly_one_derivation(name):
    world = get_world(name)
    program = build_program(world)
    for document in sample_of_each_genre(world, 4, seed=0):
        (found,) = iterate_derivations(program, target=document.text)
        assert found.nats == pytest.approx(document.nats, abs=1e-9)
        assert (document.genre, *found.drawn) == document.story


# --- sums over all that can be written


def test_all_continuations_of_a_beginning_have_its_probability():
    """Of many documents, the last choices are taken back: what may follow instead must sum to one."""
    world = get_world("known trade")
    program = build_program(world)
    rng = random.Random(3)
    num_enumerated: Counter[str] = Counter()
    for number in range(24):
        writer = GuidedWriter(rng, [number % len(GENRES)])
        genre = program(writer)
        below: list = []
        for cut in range(1, len(writer.choices)):  # as many as can be enumerated
            longer = list(islice(iterate_derivations(program, writer.choices[:-cut]), 401))
            if len(longer) > 400:
                break
            below = longer
        if not below:
            continue  # too many to enumerate
        num_enumerated[genre] += 1
        assert len({d.text for d in below}) == len(below)
        assert math.fsum(math.exp(-d.nats) for d in below) == pytest.approx(1, abs=1e-9)
        # the same by reading the texts: they have the cost of the beginning in common
        beginning = [world.compute_nats(d.text) - d.nats for d in below[::9]]
        assert beginning == [pytest.approx(beginning[0], abs=1e-9)] * len(beginning)
    # portraits often end with too much that might be added; those of lanes are enumerated below
    assert all(num_enumerated[genre] >= 2 for genre in GENRES if genre != "portrait"), num_enumerated


class SmallCast(Cast):
    """Three lanes with at most two people each: little enough that their portraits can be enumerated."""

    def __init__(self, world: World) -> None:
        super().__init__(world.village)
        self.residents = {lane: people[:2] for lane, people in self.residents.items()}
        self.lanes = self.lanes[:3]


LANES = (_BRANCHES.functions[list(GENRES).index("portrait")], (2,))
"""Portraits of lanes: the third kind of portrait."""


def test_the_portraits_of_lanes_can_be_enumerated():
    cast = SmallCast(get_world("unknown trade"))
    describe, prefix = LANES
    everything = list(iterate_derivations(lambda s: describe(s, cast), prefix))
    assert all("Lane" in d.text for d in everything)
    assert len({d.text for d in everything}) == len(everything) > 100
    assert math.fsum(math.exp(-d.nats) for d in everything) == pytest.approx(1, abs=1e-9)
    # read back, each costs the choice of a lane's portrait more
    extra = []
    for derivation in everything[::7]:
        reader = Reader(derivation.text)
        reader.read(describe, cast)
        extra.append(reader.nats - derivation.nats)
    assert extra == [pytest.approx(extra[0], abs=1e-9)] * len(extra)
    entropy = math.fsum(math.exp(-d.nats) * d.nats for d in everything)
    rng = random.Random(0)
    sampled = []
    for _ in range(4000):
        writer = GuidedWriter(rng, prefix)
        describe(writer, cast)
        sampled.append(writer.nats - extra[0])
    error = np.std(sampled, ddof=1) / math.sqrt(len(sampled))
    assert abs(np.mean(sampled) - entropy) < 4 * error


@pytest.mark.parametrize(("name", "tilt"), [("nobody new", 0.15), ("known trade", 0.1)])
def test_the_probabilities_of_texts_drawn_with_other_weights_average_to_one(name, tilt):
    """E_q[p/q] = Σ p = 1: a derivation too few or too many, or a wrong weight, would show."""
    world = get_world(name)
    program = build_program(world)
    rng = random.Random(11)
    ratios = []
    for _ in range(2000):
        writer = GuidedWriter(rng, tilt=tilt)
        program(writer)
        ratios.append(math.exp(-world.compute_nats(writer.text) - writer.log_q))
    ratios = np.array(ratios)
    effective = ratios.sum() ** 2 / (ratios**2).sum()
    assert 100 < effective < 0.95 * len(ratios)  # the other weights matter, and not too much
    error = ratios.std(ddof=1) / math.sqrt(len(ratios))
    assert error < 0.05
    assert abs(ratios.mean() - 1) < 4 * error


# --- frequencies


def test_genres_and_words_come_as_often_as_they_should():
    world = get_world("nobody new")
    rng = random.Random(5)
    documents = [world.sample(rng) for _ in range(6000)]
    for genre, weight in GENRES.items():
        share = weight / math.fsum(GENRES.values())
        count = sum(d.genre == genre for d in documents)
        assert abs(count - 6000 * share) < 4 * math.sqrt(6000 * share * (1 - share)), genre
    # questions about facts begin with one of two labels, each as often; a dialogue's weekdays are seven
    labels = Counter(d.text[0:2] for d in documents if d.genre == "questions" and d.text.startswith("Q"))
    total = labels["Q:"] + labels["Qu"]
    assert total > 500
    assert abs(labels["Q:"] - total / 2) < 4 * math.sqrt(total / 4)
    places = Counter(d.story[1:][_find(d.story)] for d in documents if _find(d.story) is not None)
    total = places.total()
    for count in places.values():
        assert abs(count - total / 7) < 4 * math.sqrt(total * 6 / 49)


def _find(story: tuple[str, ...]) -> int | None:
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    return next((number for number, word in enumerate(story[1:]) if word in days), None)


# --- what the world did not write


def test_a_text_of_another_village_is_refused():
    world, other = get_world("nobody new"), get_world("large")
    rng = random.Random(2)
    refused = 0
    for _ in range(100):
        text = other.sample(rng).text
        try:
            world.compute_nats(text)
        except ForeignTextError:
            refused += 1
    assert refused > 90  # "X has two plums. …" may be a text of both


def find_inside_word(text: str) -> int:
    return next(i for i in range(len(text) // 2, 0, -1) if text[i - 1 : i + 1].isalpha())


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-1],
        lambda text: text[: find_inside_word(text)],
        lambda text: text + " The end.",
        lambda text: text + " ",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text + "\n" + text,
        lambda text: text.replace(" ", "  ", 1),
        lambda text: text[0].lower() + text[1:],
        lambda text: text[:-1] + "!",
        lambda text: "",
    ],
    ids=[
        "cut",
        "half",
        "more",
        "space",
        "line",
        "space before",
        "twice",
        "two spaces",
        "small",
        "mark",
        "empty",
    ],
)
def test_a_damaged_document_is_refused_in_one_sentence(damage):
    world = get_world("unknown trade")
    for document in sample_of_each_genre(world, 12, seed=4):
        with pytest.raises(
            ForeignTextError, match=r"from character \d+ on, .*same seed, name and trade"
        ) as caught:
            world.compute_nats(damage(document.text))
        assert "\n" not in str(caught.value)


def test_leaving_out_the_last_sentence_is_another_document_or_none():
    """The end of a document is part of it: a shorter text never has the longer one's probability."""
    world = get_world("nobody new")
    rng = random.Random(9)
    shorter_read = 0
    for _ in range(300):
        document = world.sample(rng)
        shorter = document.text[: max(document.text.rfind(". "), document.text.rfind(".\n")) + 1]
        try:
            nats = world.compute_nats(shorter)
        except ForeignTextError:
            continue
        shorter_read += 1
        assert nats != pytest.approx(document.nats, abs=1e-6)
    assert shorter_read > 20
