"""The village and what is told of it: the same by the same config, true to the facts, in good English."""

import json
import math
import os
import random
import re
import subprocess
import sys
import zlib
from collections import Counter
from functools import cache

import pytest

from nn2llm.core.errors import ConfigError
from nn2llm.microworld import FACT_KINDS, GENRES, Document, World, WorldConfig, build_world
from nn2llm.microworld.village import MAX_PEOPLE
from nn2llm.microworld.vocabulary import with_article
from nn2llm.microworld.world import is_held_out

ADA = {"name": "Ada", "trade": "software engineer"}
CONFIGS = {
    "nobody new": {"seed": 20},
    "they": {"seed": 21, **ADA},
    "she": {"seed": 22, "name": "Mary Ann", "trade": "baker", "pronoun": "she"},
    "small": {"seed": 23, "num_people": 15, "name": "Élodie", "trade": "Smith", "pronoun": "he"},
}


@cache
def get_world(name: str) -> World:
    return build_world(WorldConfig(**CONFIGS[name]))


@cache
def get_documents(name: str) -> list[Document]:
    rng = random.Random(name)
    return [get_world(name).sample(rng) for _ in range(1500)]


each_world = pytest.mark.parametrize("name", CONFIGS)


def list_allowed_numbers() -> list[int]:
    numbers = []
    for number in range(MAX_PEOPLE + 2):
        try:
            WorldConfig(num_people=number)
        except ConfigError:
            continue
        numbers.append(number)
    return numbers


# --- the same, and different


def test_the_same_config_gives_the_same_texts_and_another_seed_others():
    def write(seed: int) -> list[str]:
        rng = random.Random(0)
        world = build_world(WorldConfig(seed=seed, **ADA))
        return [world.sample(rng).text for _ in range(20)]

    assert write(0) == write(0)
    assert not set(write(0)) & set(write(1))


def test_another_process_writes_the_same_texts_whatever_its_hash_seed():
    program = (
        "import json, random, zlib; from nn2llm.microworld import *; w = build_world(WorldConfig(seed=5));"
        "r = random.Random(1); print(zlib.crc32(json.dumps([w.sample(r).text for _ in range(40)]).encode()))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    ).stdout
    world, rng = build_world(WorldConfig(seed=5)), random.Random(1)
    assert int(out) == zlib.crc32(json.dumps([world.sample(rng).text for _ in range(40)]).encode())


def test_megabytes_change_nothing_in_the_village():
    few, many = (build_world(WorldConfig(megabytes=m)) for m in (1, 500))
    assert few.facts == many.facts


# --- the splits


def test_the_splits_share_no_story_and_have_the_same_genres():
    world = get_world("nobody new")
    rng = random.Random(7)
    size = 2500
    train, val = ([world.sample(rng, split) for _ in range(size)] for split in ("train", "val"))
    stories = [{d.story for d in documents if d.genre == "story"} for documents in (train, val)]
    assert not stories[0] & stories[1]
    for genre, weight in GENRES.items():
        share = weight / math.fsum(GENRES.values())
        error = math.sqrt(share * (1 - share) / size)
        for documents in (train, val):
            assert abs(sum(d.genre == genre for d in documents) / size - share) < 4 * error


def test_what_happens_decides_the_split_and_no_wording():
    """Told in other words, a story stays on its side; a tenth of all stories is held out."""
    world = get_world("nobody new")
    rng = random.Random(8)
    held_out = {world.sample(rng, "val").story for _ in range(300)}
    for document in get_documents("nobody new"):
        assert world.read(document.text).story == document.story
    everything = [world.sample(rng) for _ in range(3000)]
    stories = [d.story for d in everything if d.genre == "story"]
    assert all(is_held_out(list(story[1:])) for story in held_out if story[0] == "story")
    share = sum(is_held_out(list(story[1:])) for story in stories) / len(stories)
    assert abs(share - 0.1) < 4 * math.sqrt(0.09 / len(stories))


# --- facts


@each_world
def test_every_kind_of_fact_is_there_and_every_question_has_one_answer(name):
    world = get_world(name)
    assert {fact.kind for fact in world.facts} == set(FACT_KINDS)
    asked = Counter((fact.kind, fact.subject) for fact in world.facts)
    assert set(asked.values()) == {1}
    for kind in ("goods", "tool"):  # "Who makes candles?"
        assert set(Counter(fact.value for fact in world.village.list_facts(kind)).values()) == {1}
    for fact in world.facts:
        assert fact.value.lower() in fact.sentence.lower()
        assert fact.sentence.endswith(".")
        assert fact.sentence[0].isupper()


@pytest.mark.parametrize("seed", range(8))
def test_the_largest_village_has_at_most_a_thousand_facts_and_no_name_twice(seed):
    world = build_world(WorldConfig(seed=seed, num_people=MAX_PEOPLE, **ADA))
    assert 300 < len(world.facts) <= 1000
    names = [person.name for person in world.village.people]
    assert len(names) == MAX_PEOPLE + 1
    assert len(set(names)) == len(names)
    pets = [person.pet.name for person in world.village.people]
    assert len(set(pets)) == len(pets)


def test_no_name_comes_twice_in_any_of_many_villages():
    for seed in range(120):
        names = [
            person.name
            for person in build_world(WorldConfig(seed=seed, num_people=MAX_PEOPLE)).village.people
        ]
        assert len(set(names)) == len(names), seed


def test_facts_can_be_listed_by_kind():
    village = get_world("they").village
    homes = village.list_facts("home")
    assert [fact.subject for fact in homes] == [person.name for person in village.people]
    assert village.list_facts("trade")[-1].sentence == "Ada is a software engineer."
    with pytest.raises(ConfigError, match=r"no kind of fact 'hat'\. Choose one of trade, .*lane\."):
        village.list_facts("hat")


@pytest.mark.parametrize("num_people", list_allowed_numbers())
def test_a_village_of_any_size_can_be_written_about(num_people):
    for seed in range(4):
        for moved_in in ({}, {"name": "Ada", "trade": "smith"}):
            world = build_world(WorldConfig(seed=seed, num_people=num_people, **moved_in))
            rng = random.Random(seed)
            for _ in range(25):
                world.sample(rng)


@pytest.mark.parametrize(
    "moved_in", [{}, {"name": "Ada", "trade": "smith"}, {"name": "Ada", "trade": "Baker"}]
)
def test_the_smallest_village_never_runs_out_of_people(moved_in):
    """Five questions about five children, a cook who is not the one who is hungry, …"""
    smallest = list_allowed_numbers()[0]
    for seed in range(12):
        world = build_world(WorldConfig(seed=seed, num_people=smallest, **moved_in))
        rng = random.Random(seed)
        for _ in range(300):
            world.sample(rng)


def test_kin_is_mutual_and_of_one_house():
    for seed in range(5):
        for person in build_world(WorldConfig(seed=seed)).village.people:
            for tie, other in person.kin:
                assert other is not person
                assert other.home == person.home
                assert any(back.person is person for back in other.kin)
                assert (
                    str(tie)
                    in {
                        "she": ("wife", "sister", "mother", "daughter"),
                        "he": ("husband", "brother", "father", "son"),
                    }[other.gender]
                )


# --- moving in


@pytest.mark.parametrize("seed", range(4))
def test_moving_in_with_a_trade_of_ones_own_changes_nothing(seed):
    before = build_world(WorldConfig(seed=seed)).facts
    after = build_world(WorldConfig(seed=seed, **ADA)).facts
    assert set(before) <= set(after)
    added = set(after) - set(before)
    assert {fact.kind for fact in added} <= {"trade", "home", "pet", "pet_name", "food", "pastime"}
    assert {fact.subject.partition("'")[0] for fact in added} == {"Ada"}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("trade", ["baker", "Smith", "basket maker"])
def test_moving_in_moves_only_whoever_had_the_trade(seed, trade):
    before = build_world(WorldConfig(seed=seed))
    after = build_world(WorldConfig(seed=seed, name="Ada", trade=trade))
    changed = set(before.facts) - set(after.facts)
    had = [p for p in before.village.people if p.trade.name == trade.lower()]
    assert {fact.kind for fact in changed} <= {"trade", "helper"}
    assert {fact.subject for fact in changed} <= {person.name for person in had}
    assert {p.name for p in after.village.people if p.trade.name == trade.lower() and not p.is_child} == {
        "Ada"
    }
    trades = [p.trade.name for p in after.village.people if not p.is_child]
    assert len(set(trades)) == len(trades)


def test_a_known_trade_can_move_into_the_largest_village():
    world = build_world(WorldConfig(num_people=MAX_PEOPLE, name="Ada", trade="baker"))
    assert len([p for p in world.village.people if p.trade.name == "baker" and not p.is_child]) == 1


# --- no document contradicts the facts


@each_world
def test_documents_never_contradict_the_facts(name):
    world = get_world(name)
    people = world.village.people
    facts: dict[tuple[str, str], str] = {(fact.kind, fact.subject): fact.value for fact in world.facts}
    names = "|".join(sorted((re.escape(p.name) for p in people), key=len, reverse=True))
    who = rf"\b(?P<who>{names})"
    homes, trades, pets, foods = (
        "|".join(
            sorted({re.escape(fact.value) for fact in world.village.list_facts(kind)}, key=len, reverse=True)
        )
        for kind in ("home", "trade", "pet", "food")
    )
    rules = {
        "home": [
            rf"{who} lives in (?P<value>\w+ Lane)",
            rf"{who},? (?:who lives in|of) (?P<value>{homes})\b",
        ],
        "trade": [
            rf"{who} is an? (?P<value>{trades})\b",
            rf"{who},? the (?P<value>{trades})\b",
            rf"{who} works as an? (?P<value>{trades})\b",
        ],
        "pet": [rf"{who} has an? (?P<value>{pets})\b", rf"{who}'s (?P<value>{pets}) is called"],
        "food": [rf"{who} likes (?P<value>{foods}) best"],
    }
    for kind, patterns in rules.items():
        num_found = 0
        for document in get_documents(name):
            for pattern in patterns:
                for match in re.finditer(pattern, document.text):
                    num_found += 1
                    assert match["value"] == facts[kind, match["who"]], document.text
        assert num_found > 20, kind
    owners = {(p.pet.kind, p.pet.name): p for p in people}
    num_found = 0
    for document in get_documents(name):
        for pet, kind in re.findall(rf"\b([A-Z]\w+), (?:his|her|their) ({pets})\b", document.text):
            num_found += 1
            assert (kind, pet) in owners, document.text
        for kind, pet in re.findall(rf"\b({pets})(?: is)? called ([A-Z]\w+)", document.text):
            num_found += 1
            assert (kind, pet) in owners, document.text
        for one, tie, other in re.findall(rf"\b({names})'s (\w+) is ({names})\b", document.text):
            num_found += 1
            assert facts["kin", f"{one}'s {tie}"] == other, document.text
    assert num_found > 50


@each_world
def test_pronouns_are_those_of_the_person(name):
    """ "Ada and her cat": a pet's owner has the pronoun that stands beside the pet."""
    world = get_world(name)
    owners = {p.pet.name: p for p in world.village.people}
    num_found = 0
    for document in get_documents(name):
        for pet, his, kind in re.findall(r"\b([A-Z]\w+),? (his|her|their) (\w+)\b", document.text):
            if pet in owners and kind == owners[pet].pet.kind:
                num_found += 1
                assert his == owners[pet].his, document.text
    assert num_found > 20
    if world.village.learner:
        of_learner = [d for d in get_documents(name) if re.search(rf"\b{world.config.name}\b", d.text)]
        assert len(of_learner) > 30


def test_they_take_the_plural_verb():
    texts = " ".join(d.text for d in get_documents("they"))
    assert re.search(r"\b[Tt]heir\b", texts)
    assert not re.search(
        r"\b[Tt]hey (is|was|has|likes|loves|lives|works|spends|feeds|enjoys|makes|goes|begins)\b", texts
    )
    assert not re.search(
        r"\b([Hh]e|[Ss]he) (are|were|have|like|love|live|work|spend|feed|enjoy|make|go|begin)\b", texts
    )


# --- English


@each_world
def test_documents_are_clean_english(name):
    for document in get_documents(name):
        text = document.text
        for what, pattern in {
            "a place not filled": r"[\[\]{}<>]|None|\bobject at\b",
            "spaces": r"  | \n|\n |\n\n|^\s|\s$| [,.;:?!]",
            "marks": r"[,;:]{2}|\.{2}|[,;:]\.|\.[,;]|[?!][,.]|,\w",
            "a small letter after a full stop": r"[.?!] [a-z]|\. \"[a-z]|^[a-z]|\n[a-z]",
            "a capital inside": r"[a-z],? (?:The|A|An|His|Her|Their|She|They|In|On|At|To) ",
            "an article": r"\b[Aa] [aeiouAEIOU]|\b[Aa]n [^aeiouAEIOU]",
            "two articles": r"\b(?:a|an|the|A|An|The) (?:a|an|the|his|her|their) ",
            "a word twice": r"\b(\w+) \1\b",
        }.items():
            found = re.search(pattern, text)
            assert not found, f"{what}: {found[0]!r} in {text!r}"
        for line in text.split("\n"):
            assert line.count('"') % 2 == 0, text
        assert text[-1] in '.?!"', text
        assert text.isprintable() or "\n" in text


@each_world
def test_nobody_meets_or_asks_themself(name):
    names = "|".join(
        sorted((re.escape(p.name) for p in get_world(name).village.people), key=len, reverse=True)
    )
    twice = re.compile(
        rf"\b({names})(?: and| met| gave| asked| thanked| told| visited| watched| paid| lent| with| to)+ \1\b"
        rf"|\"[^\"]*, ({names})[.!?,]?[^\"]*\" (?:said|asked|cried) \2\b"
    )
    for document in get_documents(name):
        found = twice.search(document.text)
        assert not found, document.text


@pytest.mark.parametrize(
    ("article", "trades"),
    [
        (
            "a",
            "baker, university teacher, one-eyed pirate, UX designer, utility worker, urologist, CEO",
        ),
        ("an", "engineer, hour counter, ML engineer, HR manager, urban planner, usher, unemployed actor, MP"),
    ],
)
def test_the_article_goes_by_the_sound(article, trades):
    for trade in trades.split(", "):
        assert with_article(trade) == f"{article} {trade}"


def test_nothing_is_sold_on_the_day_when_it_is_closed():
    num_closed = 0
    for name in CONFIGS:
        for document in get_documents(name):
            found = re.search(r"closed on (\w+day)", document.text)
            if found:
                num_closed += 1
                assert document.text.count(found[1]) == 1, document.text
    assert num_closed == 0 or num_closed > 10


def test_nobody_visits_their_own_lane():
    num_found = 0
    for name in CONFIGS:
        homes = {p.name: p.home for p in get_world(name).village.people}
        names = "|".join(sorted(homes, key=len, reverse=True))
        for document in get_documents(name):
            if document.genre != "story":
                continue
            for pattern in (
                rf"\b({names}) visited ({names})\b",
                rf"\b({names}) (?:gave|asked|said to) (?:{names})\b.{{,40}} to ({names})\b",
                rf"\b({names})(?: the [a-z ]+)? was [^.]* began to \w+\. \w+ ran to the house of ({names})\b",
            ):
                for guest, host in re.findall(pattern, document.text):
                    num_found += 1
                    assert homes[guest] != homes[host], document.text
    assert num_found > 20


def test_documents_are_short():
    sizes = sorted(len(d.text.split()) for d in get_documents("nobody new"))
    assert 15 < sizes[len(sizes) // 2] < 90
    assert sizes[-1] < 160
