"""What can be said about the village in one sentence, and whether it is so.

Read after lexicon.py. `CLAIMS` holds, for each kind of fact, the sentences that state it, of a person by name
or by pronoun. A claim is recognised whatever it claims; `judge` compares it with the village.

Used by replies.py and the kinds of task.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nn2llm.microworld.lexicon import Lexicon
from nn2llm.microworld.phrases import Phrase, capitalise
from nn2llm.microworld.village import Person

__all__ = [
    "CLAIMS",
    "PERSONAL",
    "Claim",
    "ClaimKind",
    "FactKey",
    "find_claims",
    "find_truth",
    "find_two_claims",
    "is_fact_held_out",
    "list_facts_of",
    "state",
    "state_both",
    "state_briefly",
]

_HELD_OUT = 5
"""One fact in so many is asked about in the held-out split alone."""


class FactKey(NamedTuple):
    """Which fact: its kind, whom or what it is about, and for a relative the tie."""

    kind: str
    subject: str
    tie: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing said to be so."""

    key: FactKey
    value: str
    is_true: bool
    is_brief: bool = False
    """Said by naming the value alone."""


class ClaimKind(NamedTuple):
    """How a kind of fact is stated: with a name, with a pronoun (of the person talked about), briefly."""

    named: tuple[Phrase, ...]
    pronoun: tuple[Phrase, ...]
    brief: tuple[Phrase, ...]
    values: str
    """The pool of what can be claimed."""


def _kind(*named: str, pronoun: Sequence[str] = (), brief: Sequence[str], values: str) -> ClaimKind:
    named_phrases, pronouns, briefly = (tuple(map(Phrase, texts)) for texts in (named, pronoun, brief))
    return ClaimKind(named_phrases, pronouns, briefly, values)


_WORKER = ("[v<people] the [t<trades].", "[v<people].")

CLAIMS: dict[str, ClaimKind] = {
    "trade": _kind(
        "[p] is [v<trades.a].",
        "[p] works as [v<trades.a].",
        pronoun=("{p.He} {p.is_} [v<trades.a].", "{p.He} work{p.s} as [v<trades.a]."),
        brief=["[v<trades.a]."],
        values="trades",
    ),
    "helper": _kind(
        "[p] helps at [v<workplaces].",
        "[p] helps at [v<workplaces] after school.",
        "After school, [p] helps at [v<workplaces].",
        pronoun=("{p.He} help{p.s} at [v<workplaces].", "{p.He} help{p.s} at [v<workplaces] after school."),
        brief=("at [v<workplaces].", "[v<workplaces]."),
        values="workplaces",
    ),
    "home": _kind(
        "[p] lives in [v<lanes].",
        "[p]'s house is in [v<lanes].",
        pronoun=("{p.He} live{p.s} in [v<lanes].", "{p.His} house is in [v<lanes]."),
        brief=("in [v<lanes].", "[v<lanes]."),
        values="lanes",
    ),
    "kin": _kind(
        "[p]'s [k<ties] is [v<people].",
        "[v<people] is [p]'s [k<ties].",
        pronoun=("{p.His} [k<ties] is [v<people].", "[v<people] is {p.his} [k<ties]."),
        brief=["[v<people]."],
        values="people",
    ),
    "pet": _kind(
        "[p] has [v<kinds_of_pet.a].",
        pronoun=["{p.He} {p.has} [v<kinds_of_pet.a]."],
        brief=["[v<kinds_of_pet.a]."],
        values="kinds_of_pet",
    ),
    "pet_name": _kind(
        "[p]'s [k<kinds_of_pet] is called [v<pet_names].",
        pronoun=["{p.His} [k<kinds_of_pet] is called [v<pet_names]."],
        brief=["[v<pet_names]."],
        values="pet_names",
    ),
    "food": _kind(
        "[p] likes [v<foods] best.",
        "[p]'s favourite dish is [v<foods].",
        pronoun=("{p.He} like{p.s} [v<foods] best.", "{p.His} favourite dish is [v<foods]."),
        brief=["[v<foods]."],
        values="foods",
    ),
    "pastime": _kind(
        "[p] loves [v<pastimes].",
        "In the evening, [p] loves [v<pastimes].",
        pronoun=("{p.He} love{p.s} [v<pastimes].", "In the evening {p.he} love{p.s} [v<pastimes]."),
        brief=["[v<pastimes]."],
        values="pastimes",
    ),
    "workplace": _kind(
        "The [t<trades] works at [v<workplaces].",
        brief=("at [v<workplaces].", "[v<workplaces]."),
        values="workplaces",
    ),
    "near": _kind(
        "[w<workplaces.Cap] stands beside [v<landmarks].",
        brief=("[v<landmarks].", "beside [v<landmarks]."),
        values="landmarks",
    ),
    "goods": _kind(
        "[v<people] the [t<trades] makes them.",
        "[v<people] the [t<trades] makes {t.goods}.",
        brief=_WORKER,
        values="people",
    ),
    "tool": _kind(
        "[v<people] the [t<trades] works with it.",
        "[v<people] the [t<trades] works with {t.tool.a}.",
        brief=_WORKER,
        values="people",
    ),
    "mender": _kind("[v<people] the [t<trades] can mend it.", brief=_WORKER, values="people"),
    "lane": _kind(
        "[l<lanes] leads to [v<landmarks].",
        brief=("to [v<landmarks].", "[v<landmarks]."),
        values="landmarks",
    ),
}
"""By kind of fact: those of the documents, and who mends a thing. The first wording is the one that is
written; the others are understood."""

PERSONAL = ("trade", "helper", "home", "pet", "pet_name", "food", "pastime")
"""Kinds of fact about one person, each with one value."""


def find_truth(lexicon: Lexicon, key: FactKey) -> Any:
    """The value that is so; None where there is no such fact (a child's trade, a wife that is not there)."""
    kind, subject, tie = key
    if kind in ("workplace", "goods", "tool", "mender"):
        if kind == "mender":
            return next((p for thing, p in lexicon.cast.menders.items() if thing == subject), None)
        worker = next((p for p in lexicon.cast.workers if p.trade.name == subject), None)
        return worker.trade.workplace if worker is not None and kind == "workplace" else worker
    if kind == "near":
        return lexicon.village.near.get(subject)
    if kind == "lane":
        return next((to for lane, to in lexicon.village.lanes.items() if lane == subject), None)
    person = lexicon.people_by_name.get(subject)
    if person is None:
        return None
    if kind == "trade":
        return None if person.is_child else person.trade
    if kind == "helper":
        return person.trade.workplace if person.is_child else None
    if kind == "kin":
        return next((kin.person for kin in person.kin if kin.tie == tie), None)
    if kind == "pet_name":
        return person.pet.name if tie in ("", person.pet.kind) else None
    return {"home": person.home, "pet": person.pet.kind, "food": person.food, "pastime": person.pastime}[kind]


def list_facts_of(person: Person) -> list[FactKey]:
    """The personal facts of somebody."""
    return [
        FactKey(kind, person.name) for kind in PERSONAL if kind != ("trade" if person.is_child else "helper")
    ]


def is_fact_held_out(key: FactKey) -> bool:
    """Whether this fact is asked about in the held-out split alone: a property of the fact."""
    return zlib.crc32("|".join(key).encode()) % _HELD_OUT == 0


def _build_roles(lexicon: Lexicon, key: FactKey, value: Any) -> dict[str, Any]:
    """What the phrases of a kind need in order to say that `key` is `value`."""
    kind, subject, tie = key
    roles: dict[str, Any] = {"v": value}
    if kind in ("workplace",):
        roles["t"] = next(t for t in lexicon.pools["trades"] if t.name == subject)
    elif kind in ("goods", "tool", "mender"):
        roles["t"] = value.trade
    elif kind == "near":
        roles["w"] = next(w for w in lexicon.pools["workplaces"] if w == subject)
    elif kind == "lane":
        roles["l"] = next(lane for lane in lexicon.pools["lanes"] if lane == subject)
    else:
        person = roles["p"] = lexicon.people_by_name[subject]
        if kind == "kin":
            roles["k"] = next(word for word in lexicon.pools["ties"] if word == tie)
        elif kind == "pet_name":
            roles["k"] = person.pet.kind
    return roles


def state(lexicon: Lexicon, key: FactKey, value: Any = None, *, pronoun: bool = False) -> str:
    """The sentence that says it: the truth, unless another `value` is given.

    Raises:
        ValueError: if there is no such fact and no value is given.
    """
    value = find_truth(lexicon, key) if value is None else value
    if value is None:
        raise ValueError(f"{key} is no fact of this village.")
    kind = CLAIMS[key.kind]
    phrases = kind.pronoun if pronoun and kind.pronoun else kind.named
    return phrases[0].render(_build_roles(lexicon, key, value))


def state_briefly(lexicon: Lexicon, key: FactKey, value: Any = None) -> str:
    """The value alone, as an answer to a question for it: "In Apple Lane."."""
    value = find_truth(lexicon, key) if value is None else value
    return capitalise(CLAIMS[key.kind].brief[0].render(_build_roles(lexicon, key, value)))


def _judge(lexicon: Lexicon, kind: str, roles: Mapping[str, Any], asked: FactKey | None) -> Claim | None:
    """The claim that a recognised phrase makes, and whether it is so."""
    value = roles["v"]
    if kind == "workplace":
        key = FactKey(kind, str(roles["t"]))
    elif kind == "near":
        key = FactKey(kind, roles["w"])
    elif kind == "lane":
        key = FactKey(kind, roles["l"])
    elif kind in ("goods", "tool", "mender"):
        if asked is None or asked.kind != kind:
            return None  # "makes them" says nothing where nothing was asked
        key = asked
        if value.trade is not roles["t"] or value.is_child:
            return Claim(key, str(value), False)
    else:
        key = FactKey(kind, roles["p"].name, str(roles["k"]) if kind == "kin" else "")
        if kind == "pet_name" and roles["k"] != roles["p"].pet.kind:
            return Claim(key, str(value), False)
    return Claim(key, str(value), find_truth(lexicon, key) is value)


def find_claims(
    lexicon: Lexicon, sentence: str, *, topic: Person | None = None, asked: FactKey | None = None
) -> list[Claim] | None:
    """What a sentence claims; None if it is no statement about the village.

    `topic` is whom a pronoun means, `asked` the fact that a brief answer is about.
    """
    pools = lexicon.pools
    for kind, phrases in CLAIMS.items():
        for phrase in phrases.named:
            roles = phrase.match(sentence, pools)
            if roles is not None and (claim := _judge(lexicon, kind, roles, asked)) is not None:
                return [claim]
        if topic is not None:
            for phrase in phrases.pronoun:
                roles = phrase.match(sentence, pools, p=topic)
                if roles is not None and (claim := _judge(lexicon, kind, roles, asked)) is not None:
                    return [claim]
    for phrase, known in ((_PET_NAMED, {}), (_PET_OF_TOPIC, {"p": topic})):
        roles = phrase.match(sentence, pools, **known) if known.get("p", True) is not None else None
        if roles is not None:
            kind_of_pet = _judge(lexicon, "pet", {**roles, "v": roles["k"]}, asked)
            name = _judge(lexicon, "pet_name", roles, asked)
            return [claim for claim in (kind_of_pet, name) if claim is not None]
    return _find_brief(lexicon, sentence, asked)


_PET_NAMED = Phrase("[p] has [k<kinds_of_pet.a] called [v<pet_names].")
_PET_OF_TOPIC = Phrase("{p.He} {p.has} [k<kinds_of_pet.a] called [v<pet_names].")


def _find_brief(lexicon: Lexicon, sentence: str, asked: FactKey | None) -> list[Claim] | None:
    """The claim of an answer that names the value alone."""
    if asked is None:
        return None
    for phrase in CLAIMS[asked.kind].brief:
        for text in (sentence, sentence[:1].lower() + sentence[1:]):
            roles = phrase.match(text, lexicon.pools)
            if roles is not None and capitalise(text) == sentence:
                value = roles["v"]
                fits = "t" not in roles or (value.trade is roles["t"] and not value.is_child)
                is_true = fits and find_truth(lexicon, asked) is value
                return [Claim(asked, str(value), is_true, is_brief=True)]
    return None


_BOTH = {
    "home": Phrase("Both [p] and [p2] live in [v<lanes]."),
    "pet": Phrase("Both [p] and [p2] have [v<kinds_of_pet.a]."),
    "food": Phrase("Both [p] and [p2] like [v<foods] best."),
    "pastime": Phrase("Both [p] and [p2] love [v<pastimes]."),
}


def state_both(kind: str, first: Person, second: Person, value: Any) -> str:
    """One sentence for two people of whom the same is so."""
    return _BOTH[kind].render({"p": first, "p2": second, "v": value})


def find_two_claims(lexicon: Lexicon, sentence: str) -> list[Claim] | None:
    """The claims of "Thora has a cat, but Bram has a dog." and of "Both Thora and Bram have a cat."."""
    for kind, phrase in _BOTH.items():
        roles = phrase.match(sentence, lexicon.pools)
        if roles is not None and roles["p"] is not roles["p2"]:
            both = [_judge(lexicon, kind, {**roles, "p": roles[role]}, None) for role in ("p", "p2")]
            return [claim for claim in both if claim is not None]
    for conjunction in (", but ", ", and ", ", while ", " but ", " and "):
        first, found, second = sentence.partition(conjunction)
        rest = lexicon.begin_sentence(second)
        if not found or rest is None or (told := find_claims(lexicon, first + ".")) is None:
            continue
        more = find_claims(lexicon, rest, topic=lexicon.people_by_name.get(told[0].key.subject))
        if more is not None and more != told:
            return told + more
    return None
