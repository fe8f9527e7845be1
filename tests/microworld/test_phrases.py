"""Every wording of every table, written and recognised; and no sentence that could be two acts."""

import random

import pytest

from nn2llm.microworld import asking, claims, harm, making, replies, tales, unknowable
from nn2llm.microworld.claims import CLAIMS, FactKey, find_claims
from nn2llm.microworld.phrases import Phrase, capitalise, draw_roles
from nn2llm.microworld.replies import read_reply, split_sentences
from nn2llm.microworld.village import WorldConfig
from nn2llm.microworld.vocabulary import split_words
from nn2llm.microworld.world import build_world

WORLD = build_world(WorldConfig(seed=2, num_people=16, name="Jean-Luc", trade="software engineer"))
LEXICON = WORLD.lexicon
POOLS = LEXICON.pools


class Animal:
    def __init__(self, name, his):
        self.name, self.his, self.a = name, his, f"a {name}"

    def __str__(self):
        return self.name


CAT, CATKIN, COW = Animal("cat", "its"), Animal("catkin", "its"), Animal("cow", "her")
ANIMALS = {"a": [CAT, CATKIN, COW], "colours": list(split_words("red, orange")), "none": []}


# --- by hand


def test_a_phrase_is_written_and_recognised():
    phrase = Phrase("The [a] lost {a.his} [q<colours.a] hat.")
    roles = {"a": COW, "q": ANIMALS["colours"][1]}
    assert phrase.render(roles) == "The cow lost her an orange hat."
    assert phrase.match("The cow lost her an orange hat.", ANIMALS) == roles
    assert [place.role for place in phrase.places] == ["a", "q"]


@pytest.mark.parametrize(
    "text",
    [
        "The cow lost its an orange hat.",  # the wrong pronoun
        "The cow lost her a orange hat.",
        "The cow lost her an orange hat",
        "the cow lost her an orange hat.",
        "The dog lost her an orange hat.",
        "The cow lost her an orange hat. ",
        "The cow lost her an orange hat.\n",
        "",
    ],
)
def test_anything_else_is_not_recognised(text):
    assert Phrase("The [a] lost {a.his} [q<colours.a] hat.").match(text, ANIMALS) is None


def test_the_longest_word_is_tried_first():
    assert Phrase("[a] sleeps.").match("catkin sleeps.", ANIMALS) == {"a": CATKIN}
    assert Phrase("[a]kin sleeps.").match("catkin sleeps.", ANIMALS) == {"a": CAT}


def test_what_is_known_must_agree():
    phrase = Phrase("The [a] and {a.his} hat.")
    assert phrase.match("The cow and her hat.", ANIMALS, a=COW, x=1) == {"a": COW, "x": 1}
    assert phrase.match("The cow and her hat.", ANIMALS, a=CAT) is None
    assert Phrase("The [a] met the [a].").match("The cow met the cat.", ANIMALS) is None
    assert Phrase("The [a] met the [a].").match("The cow met the cow.", ANIMALS) == {"a": COW}
    assert Phrase("It lost {b.his} hat.").match("It lost her hat.", ANIMALS) is None  # who is b?


def test_drawing_keeps_what_is_known_and_fails_where_a_pool_is_empty():
    rng = random.Random(0)
    phrase = Phrase("The [a] and the [b<a].")
    drawn = [phrase.draw(rng, ANIMALS, a=COW) for _ in range(30)]
    assert all(roles["a"] is COW for roles in drawn)
    assert {roles["b"] for roles in drawn} == {CAT, CATKIN, COW}
    assert Phrase("No [none].").draw(rng, ANIMALS) is None
    assert Phrase("No [none].").match("No cat.", ANIMALS) is None
    assert draw_roles([Phrase("No [none].")], rng, ANIMALS) is None
    assert draw_roles([Phrase("No [none]."), Phrase("Good.")], rng, ANIMALS) == "Good."


def test_a_missing_role_cannot_be_written():
    with pytest.raises(KeyError):
        Phrase("The [a].").render({})


def test_other_pools_give_another_pattern():
    phrase = Phrase("[a].")
    other = {"a": [COW]}
    assert phrase.match("cat.", ANIMALS) == {"a": CAT}
    assert phrase.match("cat.", other) is None
    assert phrase.match("cat.", ANIMALS) == {"a": CAT}


def test_capitalise():
    assert [capitalise(text) for text in ("", "i", "in Owl Lane.")] == ["", "I", "In Owl Lane."]


# --- every table


def collect_phrases():
    """Every phrase of the second half of the micro-world, by where it stands."""
    tables = {
        "unknowable": [u.question for u in unknowable.UNKNOWABLE],
        "ignorance": list(unknowable.ADMISSIONS),
        "guess": list(unknowable.GUESSES),
        "harmful": [h.request for h in harm.HARMFUL],
        "advice": list(harm.ADVICE),
        "refusal": list(harm.REFUSALS),
        "kindness": list(harm.KINDNESSES),
        "both": list(claims._BOTH.values()),
        "pet": [claims._PET_NAMED, claims._PET_OF_TOPIC],
        "rewrite": list(making._SENTENCES),
        "compare": [phrase for _, phrase in making.Comparison._prompts],
        "list": list(making.Listing._prompts),
        "story": list(tales._PROMPTS),
        "tale": [p for plot in tales._PLOTS for part in plot for p in part] + list(tales._CLOSINGS),
        "follow-up": list(asking._FOLLOW_UPS.values()),
    }
    for name, kind in CLAIMS.items():
        tables[f"claim {name}"] = [*kind.named, *kind.pronoun, *kind.brief]
    return [(table, phrase) for table, phrases in tables.items() for phrase in phrases]


PHRASES = collect_phrases()


def draw_all(phrase, rng):
    """Roles for a phrase, those that stand before it in a text included."""
    h, t = rng.choice(POOLS["people"]), rng.choice(POOLS["things"])
    known = {"h": h, "t": t, "m": LEXICON.find_mender(t)} if "{h" in phrase.wording else {}
    if "{p" in phrase.wording and "[p" not in phrase.wording:
        known = {"p": h}
    if "{t" in phrase.wording and "[t" not in phrase.wording:
        known["t"] = t
    if "[m<" in phrase.wording:
        known["m"] = LEXICON.find_mender(t)
    if "[t<" in phrase.wording:
        known.pop("t", None)
    return known, phrase.draw(rng, POOLS, **known)


@pytest.mark.parametrize(("table", "phrase"), PHRASES, ids=[f"{t}: {p.wording}" for t, p in PHRASES])
def test_every_wording_is_recognised_as_it_is_written(table, phrase):
    rng = random.Random(phrase.wording)
    for _ in range(20):
        known, roles = draw_all(phrase, rng)
        text = phrase.render(roles)
        assert "{" not in text
        assert "[" not in text
        found = phrase.match(text, POOLS, **known)
        assert found is not None, text
        assert phrase.render(found) == text
        # the same words were found, but for those that cannot be told from the text ("its kettle")
        assert {role: str(found[role]) for role in found} == {role: str(roles[role]) for role in found}
        assert phrase.match(text[:-1], POOLS, **known) is None
        assert phrase.match(text + " ", POOLS, **known) is None


ACT_TABLES = ("ignorance", "guess", "advice", "refusal", "kindness", "both", "rewrite", "tale")


def iterate_sentences(num):
    """Sentences of every act that a reply can consist of, with the act's name."""
    rng = random.Random(3)
    for table, phrase in PHRASES:
        if table in ACT_TABLES or table.startswith("claim"):
            for _ in range(num):
                known, roles = draw_all(phrase, rng)
                yield table, capitalise(phrase.render(roles)), known.get("p")
    fixed = {
        "pleasantry": replies.PLEASANTRIES,
        "small talk": replies._SMALL_TALK,
        "verdict": replies._BARE,
        "apology": [replies._APOLOGY],
    }
    for act, texts in fixed.items():
        for text in texts:
            yield act, text, None


def list_acts(text, topic):
    """All acts that a sentence is, and not the first one found alone."""
    acts = {act for act, phrases in replies._ACTS for p in phrases if p.match(text, POOLS) is not None}
    if find_claims(LEXICON, text, topic=topic) is not None:
        acts.add("claim")
    if text in replies.PLEASANTRIES:
        acts.add("pleasantry")
    if text in replies._SMALL_TALK:
        acts.add("small talk")
    if text in replies._BARE:
        acts.add("verdict")
    if text == replies._APOLOGY:
        acts.add("apology")
    return acts


def test_no_sentence_is_two_acts():
    for table, text, topic in iterate_sentences(12):
        acts = list_acts(text, topic)
        if table in ("rewrite", "tale", "both") or table.startswith("claim"):
            # a tale's sentences and brief answers are read only where they are asked for
            assert acts <= {"claim"}, (table, text, acts)
        else:
            assert acts == {table}, (table, text, acts)


def test_every_act_is_read_as_what_it_is():
    expected = {"rewrite": "broken", "tale": "broken", "both": "claim"}
    for table, text, _ in iterate_sentences(6):
        if table.startswith("claim"):
            continue
        (sentence,) = read_reply(LEXICON, text).sentences
        if table == "both" and len(set(sentence.claims)) < 2:
            assert sentence.act == "broken"  # "Both Bram and Bram"
        else:
            assert sentence.act == expected.get(table, table), text


def test_claims_are_read_as_what_they_claim():
    rng = random.Random(5)
    for kind in CLAIMS:
        for phrase in CLAIMS[kind].named:
            for _ in range(10):
                roles = phrase.draw(rng, POOLS)
                text = phrase.render(roles)
                asked = FactKey(kind, "") if kind in ("goods", "tool", "mender") else None
                found = find_claims(LEXICON, text, asked=asked)
                assert found is not None, text
                (claim,) = found
                assert (claim.key.kind, claim.value) == (kind, str(roles["v"]))
                assert not claim.is_brief


def test_a_sentence_of_two_halves_keeps_its_capitals():
    first, second = LEXICON.cast.people[:2]
    home = f"{first} lives in {first.home}"
    good = [
        f"{home}, but {second} lives in {second.home}.",
        f"{home}, and {first.he} like{first.s} {first.food} best.",
        f"{home}, and {first.his} favourite dish is {first.food}.",
    ]
    bad = [
        f"{home}, and {first.He} like{first.s} {first.food} best.",
        f"{home}, but {str(second).lower()} lives in {second.home}.",
        f"{home}, and {home}.",
        f"{home}, and .",
        f"{home}, and",
    ]
    assert [len(read_reply(LEXICON, text).claims) for text in good] == [2, 2, 2]
    assert [read_reply(LEXICON, text).form for text in bad] == [0] * 5


def test_sentences_are_split_after_their_ends():
    assert split_sentences(" A b.  C! D?\nE") == ["A b.", "C!", "D?", "E"]
    assert split_sentences(" \n") == []
    assert split_sentences("...") == ["..."]
