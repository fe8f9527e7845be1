"""The village: people, trades, places and how they belong together, as plain records.

Read after vocabulary.py. `build_village` deals everything out by a seed; the learner may move in. Used by the
genres, which tell of it, and by probes.py, which ask.
"""

import random
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from nn2llm.core.errors import ConfigError
from nn2llm.microworld import vocabulary as words
from nn2llm.microworld.vocabulary import Trade, Word

__all__ = ["FACT_KINDS", "Fact", "Kin", "Person", "Pet", "Village", "WorldConfig", "build_village"]

FACT_KINDS: dict[str, str] = {
    "trade": "what a grown-up does for a living",
    "helper": "where a child helps after school",
    "home": "the lane where someone lives",
    "kin": "who is whose mother, brother, wife, …",
    "pet": "the kind of animal someone keeps",
    "pet_name": "what that animal is called",
    "food": "what someone likes to eat best",
    "pastime": "what someone does in the evening",
    "workplace": "where a trade is carried on",
    "near": "what a workplace stands beside",
    "goods": "what a trade makes",
    "tool": "what a trade works with",
    "lane": "where a lane leads",
}

MAX_PEOPLE = 35
_MIN_PEOPLE = 15
_NAME = re.compile(r"[^\W\d_]+(?:[ '\-][^\W\d_]+)*")
_MAX_NAME = 24
_MAX_TRADE = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldConfig:
    """Which micro-world: everything in it follows from this."""

    seed: int = 0
    """Which village: who lives where, does what, is whose sister."""
    num_people: int = 24
    """Villagers, the learner not counted."""
    name: str | None = None
    """The learner, who moves into the village."""
    trade: str | None = None
    """The learner's trade: any, from "baker" to "software engineer"."""
    pronoun: str = "they"
    """The learner's pronoun: she, he or they."""
    megabytes: int = 10
    """How much text there is to train on; it changes nothing in the village."""

    def __post_init__(self) -> None:
        if not _MIN_PEOPLE <= self.num_people <= MAX_PEOPLE:
            raise ConfigError(
                f"people must be between {_MIN_PEOPLE} and {MAX_PEOPLE}, got {self.num_people}."
            )
        if self.seed < 0:
            raise ConfigError(f"The seed of a micro-world must be at least 0, got {self.seed}.")
        if self.megabytes < 1:
            raise ConfigError(f"megabytes must be at least 1, got {self.megabytes}.")
        if self.pronoun not in _PRONOUNS:
            raise ConfigError(f"pronoun must be she, he or they, got {self.pronoun!r}.")
        if (self.name is None) != (self.trade is None):
            missing = "trade" if self.trade is None else "name"
            raise ConfigError(f"Someone who moves in needs a name and a trade; the {missing} is missing.")
        if self.name is not None and self.trade is not None:
            _check_phrase("name", self.name, _MAX_NAME)
            _check_phrase("trade", self.trade, _MAX_TRADE)
            _check_name_is_free(self.name)


def _check_phrase(what: str, value: str, longest: int) -> None:
    if not _NAME.fullmatch(value) or len(value) > longest:
        raise ConfigError(
            f"A {what} is one or more words of letters, at most {longest} in all, such as "
            f"{'Ada or Jean-Luc' if what == 'name' else 'baker or software engineer'}; got {value[:60]!r}."
        )


_RESERVED = (
    *words.GIRLS, *words.BOYS, *words.PET_NAMES, *words.LANES, *words.LANDMARKS, *words.GIRLS,
    "Question", "Answer", "The", "On", "One", "In", "At", "When", "People", "A", "An",
    "Everybody", "Nobody", "He", "She", "They", "His", "Her", "Their", "It", "After", "Before",
)  # fmt: skip


def _check_name_is_free(name: str) -> None:
    taken = {word.lower() for word in _RESERVED}
    if name.lower() in taken:
        raise ConfigError(
            f"{name} is already a name in the village. Give another form of yours, such as {name + ' Lee'!r}."
        )


_FORMS = ("he", "him", "his", "s", "es", "is_", "has", "was")
"""Fields of a `Person`: the pronoun and its cases, the ending of its verbs, and three irregular ones."""
_PRONOUNS: dict[str, tuple[str, ...]] = {
    "she": ("she", "her", "her", "s", "es", "is", "has", "was"),
    "he": ("he", "him", "his", "s", "es", "is", "has", "was"),
    "they": ("they", "them", "their", "", "", "are", "have", "were"),
}


@dataclass(frozen=True, slots=True)
class Pet:
    """An animal and what it is called."""

    kind: Word
    name: Word

    def __str__(self) -> str:
        return self.name


class Kin(NamedTuple):
    """Somebody's relative: the tie ("sister") and who that is."""

    tie: Word
    person: "Person"

    def __str__(self) -> str:
        return self.tie


@dataclass(eq=False, slots=True)
class Person:
    """Somebody of the village. Pronouns are fields, so that a wording says `{h.He} lost {h.his} hat`."""

    name: str
    gender: str
    is_child: bool
    home: Word
    pet: Pet
    food: Word
    pastime: Word
    trade: Trade
    """A grown-up's trade; for a child, the one where it helps."""
    beside: str = ""
    """The landmark beside that trade's workplace."""
    toward: str = ""
    """The landmark to which the lane leads."""
    is_learner: bool = False
    kin: list["Kin"] = field(default_factory=list)
    he: str = ""
    He: str = ""
    him: str = ""
    his: str = ""
    His: str = ""
    s: str = ""
    es: str = ""
    is_: str = ""
    has: str = ""
    was: str = ""

    def __post_init__(self) -> None:
        for key, value in zip(_FORMS, _PRONOUNS[self.gender], strict=True):
            setattr(self, key, value)
        self.He, self.His = self.he.capitalize(), self.his.capitalize()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is so: subject and value as they are asked for, and the sentence that says it."""

    kind: str
    subject: str
    value: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Village:
    """Who and what there is."""

    config: WorldConfig
    people: tuple[Person, ...]
    near: dict[str, Word]
    """Workplace → landmark beside it."""
    lanes: dict[Word, Word]
    """Lane → landmark it leads to."""

    @property
    def adults(self) -> tuple[Person, ...]:
        """Those with a trade of their own."""
        return tuple(person for person in self.people if not person.is_child)

    @property
    def learner(self) -> Person | None:
        """The person who moved in, if someone did."""
        return next((person for person in self.people if person.is_learner), None)

    def list_facts(self, kind: str | None = None) -> list[Fact]:
        """All facts, or those of one kind of `FACT_KINDS`.

        Raises:
            ConfigError: if there is no such kind.
        """
        if kind is not None and kind not in FACT_KINDS:
            raise ConfigError(f"There is no kind of fact {kind!r}. Choose one of {', '.join(FACT_KINDS)}.")
        facts = [fact for person in self.people for fact in _list_facts_of(person)]
        for person in self.adults:
            trade = person.trade
            if trade.workplace:
                facts += [
                    Fact(
                        "workplace", trade.name, trade.workplace, f"The {trade} works at {trade.workplace}."
                    ),
                    Fact("goods", trade.name, trade.goods, f"The {trade} makes {trade.goods}."),
                    Fact("tool", trade.name, trade.tool, f"The {trade} works with {trade.tool.a}."),
                    Fact(
                        "near",
                        trade.workplace,
                        self.near[trade.workplace],
                        f"{trade.workplace.capitalize()} stands beside {self.near[trade.workplace]}.",
                    ),
                ]
        facts += [Fact("lane", lane, to, f"{lane} leads to {to}.") for lane, to in self.lanes.items()]
        return [fact for fact in facts if kind is None or fact.kind == kind]


def _list_facts_of(person: Person) -> list[Fact]:
    name = person.name
    first = (
        Fact("helper", name, person.trade.workplace, f"{name} helps at {person.trade.workplace}.")
        if person.is_child
        else Fact("trade", name, person.trade.name, f"{name} is {person.trade.a}.")
    )
    return [
        first,
        Fact("home", name, person.home, f"{name} lives in {person.home}."),
        *(Fact("kin", f"{name}'s {tie}", kin.name, f"{name}'s {tie} is {kin}.") for tie, kin in person.kin),
        Fact("pet", name, person.pet.kind, f"{name} has {person.pet.kind.a}."),
        Fact(
            "pet_name",
            f"{name}'s {person.pet.kind}",
            person.pet.name,
            f"{name}'s {person.pet.kind} is called {person.pet}.",
        ),
        Fact("food", name, person.food, f"{name} likes {person.food} best."),
        Fact("pastime", name, person.pastime, f"{name} loves {person.pastime}."),
    ]


_NEEDED = (
    ("baker", "fisher", "innkeeper", "cheesemaker"),
    ("weaver", "tailor", "bookbinder"),
    ("smith", "carpenter", "potter", "clockmaker", "glazier", "cooper"),
)
"""Whoever is hungry, or has something torn or broken, must find somebody, and that one too: so of these
there are three, two and two even in the smallest village."""


def _deal_trades(rng: random.Random) -> list[Trade]:
    """All trades; those that a village cannot do without come last, and are dealt first."""
    known: dict[str, Trade] = {trade.name: trade for trade in words.TRADES}
    needed = [
        known[name]
        for names, count in zip(_NEEDED, (3, 2, 2), strict=True)
        for name in rng.sample(names, count)
    ]
    rng.shuffle(needed)
    others = [trade for trade in words.TRADES if trade not in needed]
    return rng.sample(others, len(others)) + needed


_HOUSEHOLDS = (("couple", 2), ("single", 0), ("couple", 1), ("single", 1), ("siblings", 0))
"""Grown-ups and number of children, in turn, until the village is full."""


class _Dealer:
    """Deals words out without repeating any before all have been used."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._piles: dict[int, list[Word]] = {}

    def deal(self, words: tuple[Word, ...]) -> Word:
        pile = self._piles.get(id(words))
        if not pile:
            pile = self._piles[id(words)] = self._rng.sample(words, len(words))
        return pile.pop()


def build_village(config: WorldConfig) -> Village:
    """The village of a config: the same config, the same village. Moving in changes nobody else's facts,
    except that a villager of the learner's trade takes up another."""
    rng = random.Random(f"micro-world {config.seed}")
    dealer = _Dealer(rng)
    trades = _deal_trades(rng)
    people: list[Person] = []

    def add(gender: str, home: Word, trade: Trade | None) -> Person:
        person = Person(
            name=dealer.deal(words.GIRLS if gender == "she" else words.BOYS),
            gender=gender,
            is_child=trade is None,
            home=home,
            pet=Pet(dealer.deal(words.KINDS_OF_PET), dealer.deal(words.PET_NAMES)),
            food=dealer.deal(words.FOODS),
            pastime=dealer.deal(words.PASTIMES),
            trade=trade or trades[0],
        )
        people.append(person)
        return person

    number = 0
    while len(people) < config.num_people:
        kind, num_children = _HOUSEHOLDS[number % len(_HOUSEHOLDS)]
        number += 1
        room = config.num_people - len(people)
        home = dealer.deal(words.LANES)
        first, second = rng.sample(("she", "he"), 2)
        parents = [add(first, home, trades.pop())]
        if kind != "single" and room > 1:
            parents.append(add(second, home, trades.pop()))
        genders = rng.sample(("she", "he"), 2)
        children = [add(genders[i], home, None) for i in range(min(num_children, room - len(parents)))]
        _tie(parents, children, married=kind == "couple")
    workplaces = [trade for trade in words.TRADES if any(p.trade is trade and not p.is_child for p in people)]
    for person in people:
        if person.is_child:
            person.trade = rng.choice(workplaces)
    near: dict[str, Word] = {trade.workplace: dealer.deal(words.LANDMARKS) for trade in words.TRADES}
    lanes = {lane: dealer.deal(words.LANDMARKS) for lane in words.LANES}
    if config.name is not None and config.trade is not None:
        _move_in(config, people, trades, dealer)
    for person in people:
        person.beside, person.toward = near.get(person.trade.workplace, ""), lanes[person.home]
    return Village(config, tuple(people), near, lanes)


def _tie(parents: list[Person], children: list[Person], *, married: bool) -> None:
    if len(parents) == 2:
        names = ("wife", "husband") if married else ("sister", "brother")
        for one, other in (parents, parents[::-1]):
            one.kin.append(Kin(Word(names[other.gender == "he"]), other))
    if len(children) == 2:
        for one, other in (children, children[::-1]):
            one.kin.append(Kin(Word("brother" if other.gender == "he" else "sister"), other))
    for child in children:
        for parent in parents:
            child.kin.append(Kin(Word("father" if parent.gender == "he" else "mother"), parent))
            parent.kin.append(Kin(Word("son" if child.gender == "he" else "daughter"), child))


def _move_in(config: WorldConfig, people: list[Person], free: list[Trade], dealer: _Dealer) -> None:
    assert config.name is not None
    assert config.trade is not None
    known = {trade.name.lower(): trade for trade in words.TRADES}
    trade = known.get(config.trade.lower()) or Trade(Word(config.trade), Word(""), Word(""), "", ())
    for person in people:
        if person.trade is trade and not person.is_child:
            person.trade = next(other for other in free if other is not trade)
    people.append(
        Person(
            name=config.name,
            gender=config.pronoun,
            is_child=False,
            home=dealer.deal(words.LANES),
            pet=Pet(dealer.deal(words.KINDS_OF_PET), dealer.deal(words.PET_NAMES)),
            food=dealer.deal(words.FOODS),
            pastime=dealer.deal(words.PASTIMES),
            trade=trade,
            is_learner=True,
        )
    )
