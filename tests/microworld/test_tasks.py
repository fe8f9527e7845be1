"""What holds for every task: of any village, split and kind."""

import random
from collections import Counter

import pytest

from nn2llm.core.errors import ConfigError
from nn2llm.microworld.asking import list_all_facts
from nn2llm.microworld.claims import find_truth, is_fact_held_out
from nn2llm.microworld.gold import gold_score
from nn2llm.microworld.replies import read_reply
from nn2llm.microworld.tasks import TASK_GROUPS, TASK_KINDS, build_tasks, find_kind, recognise_task
from nn2llm.microworld.village import WorldConfig
from nn2llm.microworld.world import build_world

CONFIGS = {
    "small": WorldConfig(seed=1, num_people=15),
    "large": WorldConfig(seed=7, num_people=35),
    "unknown trade": WorldConfig(name="Jean-Luc", trade="software engineer", pronoun="they"),
    "known trade": WorldConfig(seed=3, name="Mary Ann", trade="baker", pronoun="she"),
    "initials": WorldConfig(seed=3, num_people=15, name="O'Neil", trade="ML engineer", pronoun="he"),
    "lower case": WorldConfig(seed=3, num_people=15, name="ada", trade="mender of hats and coats"),
    "a name in another": WorldConfig(seed=3, name="Thora Lee", trade="hour keeper", pronoun="she"),
    "a name in a lane": WorldConfig(seed=3, num_people=15, name="Rose", trade="king", pronoun="he"),
}
WORLDS = {name: build_world(config) for name, config in CONFIGS.items()}
SPLITS = ("train", "val", None)


def build(name, split, num=90, seed=0):
    """Tasks of all kinds, and more about the learner than chance gives."""
    world = WORLDS[name]
    tasks = build_tasks(world, num=num, seed=seed, split=split)
    learner = world.village.learner
    if learner is not None:
        more = build_tasks(world, num=400, seed=seed + 1, split=split)
        tasks += [t for t in more if any(learner.name in m["content"] for m in t.messages)][:40]
    return tasks


CASES = [(name, split) for name in CONFIGS for split in SPLITS]


@pytest.mark.parametrize(("name", "split"), CASES)
def test_ideal_replies_score_1_and_flawed_ones_low(name, split):
    rng = random.Random(1)
    for task in build(name, split):
        kind = find_kind(task.kind)
        ideal, flawed = kind.write_ideal(task, rng, split), kind.write_flawed(task, rng)
        assert gold_score(task, ideal).total == pytest.approx(1), (task, ideal)
        if not (task.kind == "claim" and task.roles["is_true"]):
            assert gold_score(task, flawed).total <= 0.61, (task, flawed)


@pytest.mark.parametrize(("name", "split"), CASES)
def test_every_task_is_recognised_by_its_conversation(name, split):
    for task in build(name, split):
        found = recognise_task(WORLDS[name], task.messages)
        assert found is not None, task
        assert (found.kind, found.group, found.facts) == (task.kind, task.group, task.facts)
        assert found.messages == task.messages
        assert dict(found.roles) == dict(task.roles), task


@pytest.mark.parametrize("name", ["small", "large", "unknown trade"])
def test_no_conversation_is_in_both_splits(name):
    train, val = (
        {tuple(m["content"] for m in task.messages) for task in build_tasks(WORLDS[name], num=1200, seed=0,
         split=split) if task.kind != "small talk"}
        for split in ("train", "val")
    )  # fmt: skip
    assert not train & val


ASKING = ("question", "claim", "compare")
"""Kinds whose `facts` are what is asked for; a list may name any fact of somebody."""


@pytest.mark.parametrize("name", ["small", "large", "unknown trade"])
def test_no_held_out_fact_is_asked_or_told_in_training(name):
    """Of what the assistant states; a trade named in passing ("Bram the smith") is no statement here."""
    world, rng = WORLDS[name], random.Random(0)
    for task in build_tasks(world, num=1500, seed=0, split="train"):
        if task.kind in ASKING:
            assert not any(map(is_fact_held_out, task.facts)), task
        told = gold_score(task, find_kind(task.kind).write_ideal(task, rng, "train")).reading.claims
        for message in task.messages:
            if message["role"] == "assistant":
                told += read_reply(world.lexicon, message["content"]).claims
        assert not [claim for claim in told if is_fact_held_out(claim.key)], task


@pytest.mark.parametrize("name", ["small", "large"])
def test_held_out_tasks_ask_for_held_out_facts(name):
    tasks = build_tasks(WORLDS[name], num=500, seed=0, split="val", kinds=ASKING)
    assert all(any(map(is_fact_held_out, task.facts)) for task in tasks)
    for task in tasks:  # and what the assistant has told before is not among them
        for message in task.messages[:-1]:
            for claim in read_reply(task.lexicon, message["content"]).claims:
                assert task.kind == "claim" or not is_fact_held_out(claim.key)


def test_a_fifth_of_the_facts_is_held_out():
    """Binomial: 4 standard deviations of n draws at 1/5."""
    facts = [key for world in WORLDS.values() for key in list_all_facts(world.lexicon)]
    n = len(set(facts))
    share = sum(map(is_fact_held_out, set(facts))) / n
    assert abs(share - 0.2) < 4 * (0.2 * 0.8 / n) ** 0.5
    assert all(find_truth(world.lexicon, key) is not None
               for world in WORLDS.values() for key in list_all_facts(world.lexicon))  # fmt: skip


def describe(tasks):
    return [(task.kind, task.messages, task.facts) for task in tasks]


def test_the_same_seed_gives_the_same_tasks():
    again = build_world(CONFIGS["small"])
    first = build_tasks(WORLDS["small"], num=120, seed=4, split="train")
    assert describe(first) == describe(build_tasks(again, num=120, seed=4, split="train"))
    assert describe(first)[:50] == describe(build_tasks(again, num=50, seed=4, split="train"))
    assert describe(first) != describe(build_tasks(again, num=120, seed=5, split="train"))
    assert describe(first) != describe(build_tasks(again, num=120, seed=4, split="val"))


def test_conversations_differ_small_talk_apart():
    tasks = build_tasks(WORLDS["small"], num=1500, seed=0, split="train")
    texts = [tuple(m["content"] for m in task.messages) for task in tasks if task.kind != "small talk"]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_one_kind_alone(kind):
    tasks = build_tasks(WORLDS["small"], num=15, seed=0, split="val", kinds=[kind])
    assert {task.kind for task in tasks} == {kind}
    assert {task.group for task in tasks} == {TASK_KINDS[kind]} <= set(TASK_GROUPS)
    assert all(task.messages[-1]["role"] == "user" and task.prompt for task in tasks)


def test_kinds_come_as_often_as_their_weights_say():
    """Binomial: 5 standard deviations; training tasks, of which no kind runs out."""
    n = 1500
    counts = Counter(task.kind for task in build_tasks(WORLDS["large"], num=n, seed=2, split="train"))
    weights = {name: find_kind(name).weight for name in TASK_KINDS}
    whole = sum(weights.values())
    for name, weight in weights.items():
        p = weight / whole
        assert abs(counts[name] / n - p) < 5 * (p * (1 - p) / n) ** 0.5, name


def test_conversations_take_turns():
    for task in build("large", None, num=400):
        roles = [message["role"] for message in task.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
        assert len(roles) in (1, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num": 0}, "num must be at least 1, got 0"),
        ({"num": -3}, "num must be at least 1, got -3"),
        ({"num": 1, "kinds": ["riddle"]}, "no kind of task 'riddle'. Choose from: question, story"),
        ({"num": 1, "kinds": []}, "kinds is empty. Choose from: question"),
        (
            {"num": 100000, "kinds": ["list"]},
            r"only \d+ different tasks of the kinds list for train, not 100000",
        ),
    ],
)
def test_what_cannot_be_built_is_said(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build_tasks(WORLDS["small"], seed=0, split="train", **arguments)


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{"role": "assistant", "content": "Hello!"}],
        [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hello!"}],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": "What is the capital of France?"}],
        [{"role": "user", "content": "And where does she live?"}],
        [{"role": "user", "content": "Thora is a queen, is that right?"}],
        [{"role": "user", "content": "Rewrite this sentence about Nobody instead of Ilse: Ilse lost it."}],
        [{"role": "user", "content": "Rewrite this sentence about"}],
        [{"role": "user", "content": "Compare where Ilse and Ilse live."}],
    ],
)
def test_what_is_no_task_is_none(messages):
    assert recognise_task(WORLDS["small"], messages) is None


def test_a_task_is_recognised_after_other_turns():
    """In `nn2llm chat` a question may come at any turn."""
    before = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Good day!"}]
    for task in build("small", "val", num=60):
        if len(task.messages) == 1:
            found = recognise_task(WORLDS["small"], [*before, *task.messages])
            assert found is not None
            assert (found.kind, found.facts) == (task.kind, task.facts)
