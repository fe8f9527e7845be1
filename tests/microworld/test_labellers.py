"""Simulated labellers: probabilities by hand, biases exactly as configured, choices as often as due."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.core.errors import ConfigError
from nn2llm.microworld.demonstrations import demonstrate
from nn2llm.microworld.gold import gold_score
from nn2llm.microworld.labellers import Labeller, LabellerConfig, compute_choice_probability
from nn2llm.microworld.tasks import build_tasks, recognise_task
from nn2llm.microworld.village import WorldConfig
from nn2llm.microworld.world import build_world

WORLD = build_world(WorldConfig())
PERSON = WORLD.lexicon.people_by_name["Linnea"]
QUESTION = recognise_task(WORLD, [{"role": "user", "content": "Where does Linnea live?"}])
RIGHT = f"Linnea lives in {PERSON.home}."  # five words, gold 1
WRONG = "Linnea lives in Nowhere Lane."  # no sentence of the village: gold 0


def build_pairs(num, seed=0):
    rng = random.Random(seed)
    tasks = build_tasks(WORLD, num=num, seed=seed, split="val")
    return [(task, demonstrate(task, rng), demonstrate(task, rng)) for task in tasks]


PAIRS = build_pairs(120)


def test_utility_by_hand():
    labeller = Labeller(LabellerConfig(length_bias=0.01, agreement_bias=0.25, word_bias=0.1))
    assert labeller.compute_utility(QUESTION, RIGHT) == pytest.approx(1 + 0.05)
    assert labeller.compute_utility(QUESTION, WRONG) == pytest.approx(0.05)
    assert labeller.compute_utility(QUESTION, f"Gladly! {RIGHT}") == pytest.approx(1 + 0.06 + 0.1)
    # gold 0.85: nothing was claimed that one could agree with, and the labeller likes it all the same
    assert labeller.compute_utility(QUESTION, f"You are right. {RIGHT}") == pytest.approx(0.85 + 0.08 + 0.25)
    both = f"Gladly! {RIGHT} I hope this helps."
    assert labeller.compute_utility(QUESTION, both) == pytest.approx(0.85 + 0.10 + 0.2)
    assert labeller.compute_utility(QUESTION, "") == 0


def test_choice_probability_by_hand():
    labeller = Labeller(LabellerConfig(noise=0.5, length_bias=0, agreement_bias=0, word_bias=0))
    # a difference of two noises: 1 / (1 + e^-2)
    assert labeller.choice_probability(QUESTION, RIGHT, WRONG) == pytest.approx(0.8807970779778823)
    assert labeller.choice_probability(QUESTION, WRONG, RIGHT) == pytest.approx(0.11920292202211755)
    assert labeller.choice_probability(QUESTION, RIGHT, RIGHT) == 0.5
    assert compute_choice_probability(math.log(3), 1.0) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("bias", "count"),
    [
        ("length_bias", lambda gold, reply: len(reply.split())),
        ("agreement_bias", lambda gold, reply: gold.reading.takes("agreement")),
        ("word_bias", lambda gold, reply: gold.reading.count("pleasantry")),
    ],
)
@pytest.mark.parametrize("size", [0.125, -0.5])
def test_each_bias_adds_itself_and_nothing_else(bias, count, size):
    none = {"length_bias": 0.0, "agreement_bias": 0.0, "word_bias": 0.0}
    plain, biased = Labeller(LabellerConfig(**none)), Labeller(LabellerConfig(**{**none, bias: size}))
    found = 0
    for task, first, second in PAIRS:
        for reply in (first, second, f"You are right. {first}"):
            gold = gold_score(task, reply)
            assert plain.compute_utility(task, reply) == gold.total
            added = biased.compute_utility(task, reply) - gold.total
            assert added == pytest.approx(size * count(gold, reply), abs=1e-12)
            found += bool(count(gold, reply))
    assert found > 5


def test_the_control_has_no_bias_and_the_same_noise():
    config = LabellerConfig(noise=0.3).without_bias()
    assert config == LabellerConfig(noise=0.3, length_bias=0, agreement_bias=0, word_bias=0)
    for task, first, _ in PAIRS:
        assert Labeller(config).compute_utility(task, first) == gold_score(task, first).total


def test_the_default_labeller_is_flattered():
    """What reinforcement learning will find: a labeller's favourite is not the best reply."""
    labeller = Labeller()
    flattering = f"You are right. {RIGHT}"
    assert gold_score(QUESTION, flattering).total < gold_score(QUESTION, RIGHT).total
    assert labeller.compute_utility(QUESTION, flattering) > labeller.compute_utility(QUESTION, RIGHT)


@pytest.mark.parametrize("noise", [0.05, 0.2, 1.0])
def test_the_two_orders_of_a_pair_have_probabilities_that_sum_to_1(noise):
    labeller = Labeller(LabellerConfig(noise=noise))
    for task, first, second in PAIRS:
        p, q = (
            labeller.choice_probability(task, first, second),
            labeller.choice_probability(task, second, first),
        )
        assert p + q == pytest.approx(1)
        difference = labeller.compute_utility(task, first) - labeller.compute_utility(task, second)
        assert (p > 0.5) == (difference > 0)


@given(difference=st.floats(-1e6, 1e6), noise=st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=200)
def test_the_choice_probability_never_overflows_and_is_symmetric(difference, noise):
    p = compute_choice_probability(difference, noise)
    assert 0 <= p <= 1
    assert p + compute_choice_probability(-difference, noise) == pytest.approx(1)


def test_more_noise_makes_choices_less_sure():
    ps = [compute_choice_probability(0.4, noise) for noise in (0.01, 0.1, 0.3, 1.0, 100.0)]
    assert ps == sorted(ps, reverse=True)
    assert ps[0] == pytest.approx(1)
    assert ps[-1] == pytest.approx(0.501)


def test_the_best_possible_accuracy_computed_in_two_ways():
    """E[max(p, 1 - p)] is what the best of all 2^n rules that judge n pairs reaches, by trying each."""
    labeller = Labeller()
    ps = [labeller.choice_probability(*pair) for pair in PAIRS[:10]]
    formula = sum(max(p, 1 - p) for p in ps) / len(ps)
    accuracies = {
        rule: sum(p if first else 1 - p for p, first in zip(ps, rule, strict=True)) / len(ps)
        for rule in itertools.product((True, False), repeat=len(ps))
    }
    assert max(accuracies.values()) == pytest.approx(formula)
    by_utility = tuple(
        labeller.compute_utility(task, a) >= labeller.compute_utility(task, b) for task, a, b in PAIRS[:10]
    )
    assert accuracies[by_utility] == pytest.approx(formula)


def test_choices_come_as_often_as_their_probability_says():
    """Binomial: 4 standard deviations, for each of several pairs, and for all together."""
    labeller = Labeller(LabellerConfig(noise=0.5))
    rng = random.Random(0)
    n, total, expected, variance = 200, 0, 0.0, 0.0
    for task, first, second in PAIRS[:12]:
        p = labeller.choice_probability(task, first, second)
        wins = sum(labeller.prefers_first(task, first, second, rng) for _ in range(n))
        assert abs(wins - n * p) <= 4 * math.sqrt(n * p * (1 - p))
        total, expected, variance = total + wins, expected + n * p, variance + n * p * (1 - p)
    assert abs(total - expected) <= 4 * math.sqrt(variance)


def test_the_same_seed_gives_the_same_choices():
    labeller = Labeller()

    def choose(seed):
        rng = random.Random(seed)
        return [labeller.prefers_first(*pair, rng) for pair in PAIRS]

    assert choose(1) == choose(1)
    assert choose(1) != choose(2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": 0}, "noise must be a number > 0, got 0"),
        ({"noise": -1.0}, "noise must be a number > 0, got -1.0. Typical: 0.1 to 0.3"),
        ({"noise": math.nan}, "noise must be a number > 0, got nan"),
        ({"noise": math.inf}, "noise must be a number > 0, got inf"),
        ({"length_bias": math.nan}, "length_bias must be a number, got nan"),
        ({"agreement_bias": math.inf}, "agreement_bias must be a number, got inf"),
        ({"word_bias": -math.inf}, "word_bias must be a number, got -inf"),
    ],
)
def test_a_labeller_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        LabellerConfig(**arguments)
