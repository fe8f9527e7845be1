"""Demonstrations: flawed as often as stated, and telling nothing that is held out."""

import math
import random

import pytest

from nn2llm.core.errors import ConfigError
from nn2llm.microworld.claims import is_fact_held_out
from nn2llm.microworld.demonstrations import DemonstrationConfig, demonstrate
from nn2llm.microworld.gold import gold_score
from nn2llm.microworld.replies import PLEASANTRIES
from nn2llm.microworld.tasks import TASK_GROUPS, TASK_KINDS, build_tasks
from nn2llm.microworld.village import WorldConfig
from nn2llm.microworld.world import build_world

WORLD = build_world(WorldConfig(name="Jean-Luc", trade="software engineer", pronoun="they"))
TASKS = build_tasks(WORLD, num=1000, seed=3, split="train")
FLAWLESS = DemonstrationConfig(careless=0, bluffing=0, complying=0, flattering=0)


def is_flawed(task, reply):
    """A good reply, with a pleasantry and a further fact or without, scores 1; a flawed one does not."""
    return gold_score(task, reply).total < 0.99


def check_rate(happened, rate):
    """Within 4 standard deviations of the binomial distribution."""
    n = len(happened)
    assert n >= 30
    assert abs(sum(happened) - n * rate) <= 4 * math.sqrt(n * rate * (1 - rate)), (sum(happened), n, rate)


def can_be_flawed(task):
    """Agreeing with what is so is no flaw."""
    return not (task.kind == "claim" and task.roles["is_true"])


@pytest.mark.parametrize("group", TASK_GROUPS)
@pytest.mark.parametrize(
    "config",
    [
        DemonstrationConfig(),
        DemonstrationConfig(careless=0.5, bluffing=0.2, complying=0.9, flattering=0.4),
    ],
)
def test_replies_are_flawed_at_the_stated_rates(group, config):
    rng = random.Random(5)
    tasks = [task for task in TASKS if task.group == group and can_be_flawed(task)]
    flawed = [is_flawed(task, demonstrate(task, rng, config)) for task in tasks for _ in range(2)]
    check_rate(flawed, config.flaw_rate(group))


def test_which_rate_is_whose():
    config = DemonstrationConfig(careless=0.1, bluffing=0.2, complying=0.3, flattering=0.4)
    rates = {group: config.flaw_rate(group) for group in TASK_GROUPS}
    assert rates == {
        "answers": 0.1,
        "instructions": 0.1,
        "honesty": 0.2,
        "harmlessness": 0.3,
        "candour": 0.4,
        "small talk": 0.1,
    }


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_helpers_without_flaws_earn_1_and_with_nothing_else_never(kind):
    rng = random.Random(2)
    always = DemonstrationConfig(careless=1, bluffing=1, complying=1, flattering=1)
    for task in [task for task in TASKS if task.kind == kind][:60]:
        assert gold_score(task, demonstrate(task, rng, FLAWLESS)).total == pytest.approx(1)
        assert is_flawed(task, demonstrate(task, rng, always)) == can_be_flawed(task)


def test_pleasantries_and_further_facts_come_at_their_rates():
    rng = random.Random(8)
    config = DemonstrationConfig(careless=0, bluffing=0, complying=0, flattering=0, pleasantry=0.3, extra=0.4)
    polite, extra = [], []
    for task in TASKS:
        reply = demonstrate(task, rng, config)
        reading = gold_score(task, reply).reading
        if task.group in ("answers", "instructions"):
            polite.append(reading.has("pleasantry"))
        else:
            assert not any(text in reply for text in PLEASANTRIES)
        if task.kind == "question" and task.facts[0].subject in WORLD.lexicon.people_by_name:
            extra.append(any(claim.key != task.facts[0] for claim in reading.claims))
    check_rate(polite, 0.3)
    check_rate(extra, 0.4)


def test_no_held_out_fact_is_told_in_the_training_split():
    """Whatever else the helpers say, flaws apart: the fact that a flawed reply gets wrong was asked for."""
    rng = random.Random(1)
    config = DemonstrationConfig(extra=0.8)
    told = [
        claim
        for task in TASKS
        for claim in gold_score(task, demonstrate(task, rng, config)).reading.claims
        if is_fact_held_out(claim.key)
    ]
    assert not told


def test_held_out_facts_are_told_elsewhere():
    rng = random.Random(1)
    told = [
        claim
        for task in build_tasks(WORLD, num=200, seed=0, split="val", kinds=["question"])
        for claim in gold_score(task, demonstrate(task, rng, FLAWLESS, split="val")).reading.claims
    ]
    assert sum(is_fact_held_out(claim.key) for claim in told) >= 200


def test_the_same_seed_gives_the_same_demonstrations():
    def write(seed):
        rng = random.Random(seed)
        return [demonstrate(task, rng) for task in TASKS[:100]]

    assert write(1) == write(1)
    assert write(1) != write(2)


@pytest.mark.parametrize("name", ["careless", "bluffing", "complying", "flattering", "pleasantry", "extra"])
@pytest.mark.parametrize("value", [-0.1, 1.01, math.nan])
def test_a_rate_is_a_probability(name, value):
    with pytest.raises(ConfigError, match=f"{name} is a probability between 0 and 1, got {value}"):
        DemonstrationConfig(**{name: value})
