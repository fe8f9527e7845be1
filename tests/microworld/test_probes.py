"""Items with one right answer. What is right is checked by the facts, and by the world's own reading.

A prompt with its right choice is a document of the world, or the beginning of one; with a wrong choice it is
none. So `World.read` finds the right choice, and knows nothing of how the item was made.
"""

import math
import re
from collections import Counter
from functools import cache

import pytest

from nn2llm.microworld import FACT_KINDS, ForeignTextError, World, WorldConfig, build_world
from nn2llm.microworld.probes import (
    ProbeItem,
    build_context_items,
    build_few_shot_items,
    build_grammar_pairs,
    build_recall_items,
)
from nn2llm.microworld.questions import list_questions_about

BUILDERS = {
    "recall": build_recall_items,
    "few_shot": build_few_shot_items,
    "context": build_context_items,
    "grammar": build_grammar_pairs,
}
WORLDS = {
    "nobody new": WorldConfig(seed=30),
    "Ada": WorldConfig(seed=31, num_people=18, name="Ada", trade="software engineer"),
}
each_builder = pytest.mark.parametrize("name", BUILDERS)
each_world = pytest.mark.parametrize("world_name", WORLDS)


@cache
def get_world(world_name: str) -> World:
    return build_world(WORLDS[world_name])


@cache
def get_items(name: str, world_name: str = "nobody new", num_items: int = 130) -> tuple[ProbeItem, ...]:
    return tuple(BUILDERS[name](get_world(world_name), num_items=num_items, seed=1))


def is_document(world: World, text: str) -> bool:
    try:
        world.read(text)
    except ForeignTextError:
        return False
    return True


def find_documents(world: World, item: ProbeItem, ending: str = "") -> list[int]:
    """Which choices make a document of the world."""
    return [
        number
        for number, choice in enumerate(item.choices)
        if is_document(world, item.prompt + choice + ending)
    ]


def ask_about_someone_else(world: World, item: ProbeItem) -> str:
    """A question with its short answer, about a person whom the item does not ask about in any way."""
    text = item.prompt + " ".join(item.choices)
    for person in world.village.people:
        trade = person.trade
        if not any(
            word and word in text
            for word in (person.name, trade.name, trade.workplace, trade.tool, trade.goods)
        ):
            question = list_questions_about(world.cast, person.name)[1]
            return f"\nQuestion: {question.text}\nAnswer: {question.short}."
    raise AssertionError("everybody is named")


@each_world
@each_builder
def test_items_are_as_many_as_asked_for_and_the_choices_differ(name, world_name):
    items = get_items(name, world_name)
    assert len(items) == 130
    for item in items:
        assert len(set(item.choices)) == len(item.choices) >= 2
        assert 0 <= item.answer < len(item.choices)
        assert bool(item.prompt) != (name == "grammar")


@each_builder
def test_items_depend_on_the_seed_alone(name):
    world = get_world("nobody new")
    again = BUILDERS[name](build_world(WORLDS["nobody new"]), num_items=20, seed=1)
    assert tuple(again) == get_items(name)[:20]
    assert BUILDERS[name](world, num_items=20, seed=2) != again
    assert BUILDERS[name](world, num_items=0, seed=1) == []


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("recall", list(FACT_KINDS)),
        ("few_shot", ["0 examples", "1 examples", "3 examples"]),
        ("context", ["where it is", "whose it is", "how many", "who has it"]),
        ("grammar", ["agreement", "article", "number", "word order", "gender"]),
    ],
)
def test_kinds_come_equally_often(name, kinds):
    counts = dict.fromkeys(kinds, 0)
    for item in get_items(name):
        (kind,) = [kind for kind in kinds if re.match(kind.replace("has", "ha[sd]") + r"\b", item.kind)]
        counts[kind] += 1
    assert max(counts.values()) - min(counts.values()) <= 1


@each_builder
def test_the_right_choice_stands_anywhere(name):
    """Whoever always picks the same place is right as often as somebody who guesses."""
    items = [item for item in get_items(name, num_items=520) if len(item.choices) in (2, 4)]
    num_choices = len(items[0].choices)
    items = [item for item in items if len(item.choices) == num_choices]
    assert len(items) > 300
    chance = 1 / num_choices
    for place in range(num_choices):
        share = sum(item.answer == place for item in items) / len(items)
        assert abs(share - chance) < 4 * math.sqrt(chance * (1 - chance) / len(items))


# --- recall


@each_world
def test_the_right_answer_is_the_fact(world_name):
    world = get_world(world_name)
    for item in get_items("recall", world_name):
        question = item.prompt.removeprefix("Question: ").removesuffix("\nAnswer:")
        assert question != item.prompt
        right = item.choices[item.answer].strip()
        meant = []
        for fact in world.village.list_facts(item.kind):
            asked, answer = fact.subject, fact.value
            if item.kind in ("goods", "tool"):  # "Who makes candles?": the subject is what is asked for
                asked, answer = answer, asked
            words = asked.split("'s ")  # "Ada's cat"
            if all(re.search(rf"\b{word}\b", question) for word in words):
                meant += re.findall(rf"\b{answer}\b", right, re.IGNORECASE)
        assert meant, item


@each_world
def test_a_question_of_the_village_has_one_right_choice(world_name):
    world = get_world(world_name)
    for item in get_items("recall", world_name):
        assert len(item.choices) == 4
        assert find_documents(world, item, ask_about_someone_else(world, item)) == [item.answer], item


# --- few shot


@each_world
def test_only_the_right_answer_goes_on_in_the_style_of_the_examples(world_name):
    world = get_world(world_name)
    for item in get_items("few_shot", world_name):
        num_examples = int(item.kind[0])
        assert item.prompt.count("Question:") == num_examples + 1
        if num_examples:
            assert find_documents(world, item) == [item.answer], item


@each_world
def test_without_an_example_both_styles_are_right_and_one_is_taken(world_name):
    """So half is the best that anybody can get."""
    world = get_world(world_name)
    for item in get_items("few_shot", world_name):
        if item.kind == "0 examples":
            short = find_documents(world, item, ask_about_someone_else(world, item))
            assert len(short) == 1
            by_length = sorted(item.choices, key=len)
            assert item.choices[short[0]] in by_length[:3]
    styles = Counter(
        len(item.choices[item.answer]) > sum(map(len, item.choices)) / len(item.choices)
        for item in get_items("few_shot", num_items=520)
        if item.kind == "0 examples"
    )
    assert abs(styles[True] - styles.total() / 2) < 4 * math.sqrt(styles.total() / 4)


# --- context


@each_world
def test_the_answer_follows_from_the_text_before_it(world_name):
    world = get_world(world_name)
    for item in get_items("context", world_name):
        assert find_documents(world, item) == [item.answer], item


def test_the_answer_to_a_question_of_context_is_not_to_be_known_from_the_village():
    """The same question has other answers in other items."""
    answers: dict[str, set[str]] = {}
    for item in get_items("context", num_items=520):
        if item.kind == "how many":
            answers.setdefault(item.prompt.split("does")[0][-12:], set()).add(item.choices[item.answer])
    assert max(map(len, answers.values())) > 3


# --- minimal pairs


@each_world
def test_the_good_text_of_a_pair_is_a_document_and_the_bad_one_is_none(world_name):
    world = get_world(world_name)
    for item in get_items("grammar", world_name):
        assert find_documents(world, item) == [item.answer], item
        good, bad = item.choices[item.answer], item.choices[1 - item.answer]
        ours, theirs = Counter(re.findall(r"\w+", good)), Counter(re.findall(r"\w+", bad))
        assert (ours - theirs).total() <= 1  # one word is another, or two have changed places
        assert (theirs - ours).total() <= 1
