"""Programs small enough to compute by hand what they write, and how probable it is."""

import math
import random
import re
from collections import Counter

import pytest

from nn2llm.core.errors import Nn2llmError
from nn2llm.microworld.script import (
    AmbiguityError,
    ForeignTextError,
    NeedChoiceError,
    Reader,
    Replayer,
    Script,
    Writer,
)
from nn2llm.microworld.wordings import Branches, Variants
from tests.microworld.derivations import iterate_derivations


class Animal:
    def __init__(self, name: str, sound: str = "") -> None:
        self.name, self.sound, self.a = name, sound, f"a {name}"

    def __str__(self) -> str:
        return self.name


CAT, DOG, COW = Animal("cat", "miaow"), Animal("dog", "woof"), Animal("cow", "moo")
ANIMALS = (CAT, DOG, COW)


def read(text, program):
    reader = Reader(text)
    reader.read(program)
    return reader


def check_round_trip(program, seeds=range(60)):
    """Writer and Reader agree about every text; returns the texts and their nats."""
    nats = {}
    for seed in seeds:
        writer = Writer(random.Random(seed))
        written = program(writer)
        results = []
        reader = read(writer.text, lambda script, results=results: results.append(program(script)))
        assert results == [written]
        assert reader.nats == pytest.approx(writer.nats, abs=1e-12)
        assert reader.drawn == writer.drawn
        assert reader.known == writer.known
        assert reader.at_end
        assert nats.setdefault(writer.text, writer.nats) == pytest.approx(writer.nats, abs=1e-12)
    return nats


def test_a_wording_costs_its_weight_and_a_word_the_size_of_its_pool():
    variants = Variants("The [a] sleeps.", "It rains.", weights=[3, 1])
    nats = check_round_trip(lambda s: s.say(variants, a=ANIMALS))
    assert nats == {
        **{f"The {animal} sleeps.": pytest.approx(-math.log(3 / 4 / 3)) for animal in ANIMALS},
        "It rains.": pytest.approx(math.log(4)),
    }


def test_wordings_are_equally_likely_unless_weights_are_given():
    nats = check_round_trip(lambda s: s.say(Variants("One.", "Two.", "Three.")))
    assert nats == dict.fromkeys(["One.", "Two.", "Three."], pytest.approx(math.log(3)))


def test_maybe_costs_its_probability_whether_it_is_written_or_not():
    def program(s: Script) -> bool:
        s.say(Variants("It rains."))
        return s.maybe(0.2, Variants("Nobody minds.", "It pours."))

    assert check_round_trip(program) == {
        "It rains.": pytest.approx(-math.log(0.8)),
        "It rains. Nobody minds.": pytest.approx(-math.log(0.1)),
        "It rains. It pours.": pytest.approx(-math.log(0.1)),
    }


def test_one_of_several_groups_costs_the_choice_of_the_group_and_says_which():
    groups = [Variants("One.", "Uno."), Variants("Two.")]
    nats = check_round_trip(lambda s: s.say_one_of(groups))
    assert nats == {
        "One.": pytest.approx(math.log(4)),
        "Uno.": pytest.approx(math.log(4)),
        "Two.": pytest.approx(math.log(2)),
    }
    assert read("Two.", lambda s: s.know(group=s.say_one_of(groups))).known == {"group": 1}


def test_maybe_one_of_says_which_group_or_none():
    groups = [Variants("One."), Variants("Two."), Variants("Three.")]
    nats = check_round_trip(lambda s: s.maybe_one_of(0.6, groups))
    assert nats == {
        "": pytest.approx(-math.log(0.4)),
        **{text: pytest.approx(-math.log(0.2)) for text in ("One.", "Two.", "Three.")},
    }


def test_a_branch_costs_its_weight_and_returns_what_the_function_returns():
    def sleep(s: Script, animal: Animal) -> str:
        s.know(a=animal)
        s.say(Variants("The {a} sleeps."))
        return "asleep"

    def sound(s: Script, animal: Animal) -> str:
        s.know(a=animal)
        s.say(Variants("The {a} says {a.sound}."))
        return "awake"

    branches = Branches((3.0, sleep), (1.0, sound))
    nats = check_round_trip(lambda s: s.branch(branches, DOG))
    assert nats == {
        "The dog sleeps.": pytest.approx(-math.log(3 / 4)),
        "The dog says woof.": pytest.approx(math.log(4)),
    }


def test_a_word_once_drawn_is_known_and_a_pool_can_depend_on_it():
    variants = Variants("[a] met [b]. {a} said {a.sound}.")
    nats = check_round_trip(
        lambda s: s.say(variants, a=ANIMALS, b=lambda known: [x for x in ANIMALS if x is not known["a"]])
    )
    assert len(nats) == 6
    assert list(nats.values()) == [pytest.approx(math.log(6))] * 6
    assert "cat met dog. cat said miaow." in nats


def test_a_role_can_have_a_pool_of_another_name_and_a_form():
    variants = Variants("I saw [x<wild.a] and [y<tame.name].")
    nats = check_round_trip(lambda s: s.say(variants, wild=ANIMALS[:2], tame=ANIMALS[2:]))
    assert set(nats) == {"I saw a cat and cow.", "I saw a dog and cow."}
    reader = read("I saw a dog and cow.", lambda s: s.say(variants, wild=ANIMALS[:2], tame=ANIMALS[2:]))
    assert reader.known == {"x": DOG, "y": COW}
    assert reader.drawn == ["dog", "cow"]


def test_a_word_at_the_end_and_two_words_in_a_row():
    check_round_trip(lambda s: s.say(Variants("[a] [b]"), a=ANIMALS, b=ANIMALS))


def test_sentences_are_joined_by_a_space_a_line_or_nothing_before_a_comma():
    def program(s: Script) -> None:
        s.say(Variants("[a]"), a=ANIMALS)
        s.say(Variants(", of all animals,"))
        s.say(Variants("sleeps."))
        s.new_line()
        s.maybe(0.5, Variants("It snores."))
        s.say(Variants("Good night."))

    nats = check_round_trip(program)
    assert "cat, of all animals, sleeps.\nGood night." in nats
    assert "cat, of all animals, sleeps.\nIt snores. Good night." in nats


def test_the_longest_word_that_fits_is_meant():
    def program(s: Script) -> None:
        s.say(Variants("I like [a] soup.", "I like [a]."), a=["pea", "pea soup", "hot pea soup"])

    assert read("I like pea soup.", program).known == {"a": "pea soup"}
    assert read("I like hot pea soup.", program).known == {"a": "hot pea soup"}


@pytest.mark.parametrize("name", ["Ann", "Anna", "Annabel"])
def test_a_word_is_not_the_beginning_of_a_longer_one(name):
    pool = ["Ann", "Anna", "Annabel"]
    variants = Variants("[a] sat.", "[a]'s cat sat.", "Then [a] and [b] sat.")

    def program(s: Script) -> None:
        s.say(variants, a=pool, b=pool)

    assert read(f"{name} sat.", program).known == {"a": name}
    assert read(f"{name}'s cat sat.", program).known == {"a": name}
    assert read(f"Then {name} and Ann sat.", program).known == {"a": name, "b": "Ann"}
    with pytest.raises(ForeignTextError):
        read(f"{name}e sat.", program)


def test_a_word_of_the_wording_does_not_end_inside_a_longer_one():
    check_round_trip(lambda s: s.say_one_of([Variants("The cat"), Variants("The cattle")]))


@pytest.mark.parametrize(
    "program",
    [
        lambda s: s.say(Variants("[a] sleeps.", "cat sleeps."), a=ANIMALS),
        lambda s: s.say(Variants("[a] sleeps."), a=[CAT, Animal("cat")]),
        lambda s: s.say_one_of([Variants("cat sleeps."), Variants("[a] sleeps.")], a=ANIMALS),
        lambda s: s.maybe_one_of(0.5, [Variants("cat sleeps."), Variants("[a] sleeps.")], a=ANIMALS),
        lambda s: s.branch(Branches(*[(1.0, lambda s: s.say(Variants("cat sleeps.")))] * 2)),
    ],
    ids=["wordings", "words", "groups", "maybe", "branches"],
)
def test_a_text_with_two_derivations_is_a_mistake_of_the_program(program):
    with pytest.raises(AmbiguityError, match="cat sleeps"):
        read("cat sleeps.", program)


def test_an_ambiguity_is_not_the_users_fault():
    assert issubclass(ForeignTextError, Nn2llmError)
    assert not issubclass(AmbiguityError, Nn2llmError)


@pytest.mark.parametrize(
    ("text", "place", "rest"),
    [
        ("cat sleeps. It is cold.", 18, "'cold.'"),
        ("cat sleeps. It is hot. Amen.", 22, "' Amen.'"),  # something added
        ("cat sleeps. It is", 11, "' It is'"),  # cut short
        ("cat snores.", 4, "'snores.'"),
        ("cat", 3, "''"),
        ("fox sleeps.", 0, "'fox sleeps.'"),
        ("", 0, "''"),
    ],
)
def test_the_refusal_of_a_text_says_where_it_goes_wrong(text, place, rest):
    def program(s: Script) -> None:
        s.say(Variants("[a] sleeps."), a=ANIMALS)
        s.maybe(0.5, Variants("It is [cold]."), cold=["hot", "warm"])

    with pytest.raises(ForeignTextError, match="not a text of the micro-world") as caught:
        read(text, program)
    message = str(caught.value)
    assert "same seed, name and trade" in message  # the remedy
    found = re.search(r"character (\d+) on, (.*) cannot follow", message)
    assert found
    assert int(found[1]) == pytest.approx(place, abs=1)  # on either side of the space between sentences
    assert found[2].strip("'").strip() == rest.strip("'").strip()


def test_a_failed_try_leaves_no_trace():
    def program(s: Script) -> None:
        s.say(
            Variants("[a] and [b] met [a2].", "[a] and [c] sat."), a=ANIMALS, b=ANIMALS, a2=ANIMALS, c=ANIMALS
        )

    reader = read("cat and dog sat.", program)
    assert reader.known == {"a": CAT, "c": DOG}
    assert reader.drawn == ["cat", "dog"]
    assert reader.nats == pytest.approx(math.log(2 * 3 * 3))


@pytest.mark.parametrize("wordings", [(), ("Same.", "Same.")])
def test_wordings_must_be_some_and_differ(wordings):
    with pytest.raises(ValueError, match="wordings must be different and at least one"):
        Variants(*wordings)


def _tell(s: Script) -> None:
    """Every kind of choice, one inside another."""
    s.say(Variants("One [day],", "Once,", weights=[2, 5]), day=["fine day", "wet day"])
    s.say(Variants("[a] met [b]."), a=ANIMALS, b=lambda known: [x for x in ANIMALS if x is not known["a"]])
    s.maybe(0.3, Variants('"{a.sound}!" said {a}.', "They sang."))
    left = [Variants("It rained."), Variants("It was [n] o'clock."), Variants("Nobody cared.")]
    left.pop(s.say_one_of(left, n=["one", "two"]))
    while left:
        s.new_line()
        chosen = s.maybe_one_of(0.25, left, n=["one", "two"])
        if chosen is None:
            break
        left.pop(chosen)
    s.branch(Branches((1.0, _part), (3.0, _stay)), "At last")


def _part(s: Script, when: str) -> None:
    s.know(when=when)
    s.say(Variants("{when} {a} went home."))


def _stay(s: Script, when: str) -> None:
    s.know(when=when)
    s.say(Variants("{when} they slept [where]."), where=["here", "in the hay"])


def test_the_probabilities_of_all_derivations_sum_to_one_and_no_two_give_the_same_text():
    derivations = list(iterate_derivations(_tell))
    texts = {d.text for d in derivations}
    assert len(texts) == len(derivations) > 1000
    assert math.fsum(math.exp(-d.nats) for d in derivations) == pytest.approx(1, abs=1e-12)
    for d in derivations[::11]:
        reader = read(d.text, _tell)
        assert reader.nats == pytest.approx(d.nats, abs=1e-12)
        assert tuple(reader.drawn) == d.drawn


def test_texts_come_as_often_as_their_nats_say():
    def program(s: Script) -> None:
        s.say(Variants("A", "B", weights=[1, 3]))
        s.maybe(0.3, Variants("c"))

    num_samples = 20_000
    rng = random.Random(0)
    counts: Counter[str] = Counter()
    for _ in range(num_samples):
        writer = Writer(rng)
        program(writer)
        counts[writer.text] += 1
    for d in iterate_derivations(program):
        p = math.exp(-d.nats)
        assert abs(counts[d.text] / num_samples - p) < 4 * math.sqrt(p * (1 - p) / num_samples)


def test_a_replayer_says_what_there_is_to_choose_from():
    script = Replayer([1, 2])
    script.say(Variants("A [a]", "B [a]"), a=ANIMALS)
    assert script.text == "B cow"
    with pytest.raises(NeedChoiceError) as caught:
        script.maybe(0.25, Variants("C"))
    assert caught.value.probabilities == pytest.approx([0.25, 0.75])
    assert caught.value.text == "B cow"
