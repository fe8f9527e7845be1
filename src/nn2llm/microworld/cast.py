"""Who can play which part: the pools that the genres draw from, made once a village.

Read after village.py. Used by stories.py, portraits.py, dialogues.py and questions.py.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from nn2llm.microworld import vocabulary as words
from nn2llm.microworld.village import Person, Village
from nn2llm.microworld.vocabulary import Word

__all__ = ["Cast", "Lane", "without"]

_FOOD_TRADES = ("baker", "fisher", "innkeeper", "cheesemaker")


def without(pool: Sequence[Any], *left_out: object) -> list[Any]:
    """The pool without these."""
    return [entity for entity in pool if entity not in left_out]


class Lane(NamedTuple):
    """A lane and the landmark to which it leads."""

    name: Word
    toward: Word

    def __str__(self) -> str:
        return self.name


class Cast:
    """The people and things of a village, sorted by what they can do in a document."""

    def __init__(self, village: Village) -> None:
        self.village = village
        self.people = village.people
        self.adults = village.adults
        self.children = tuple(person for person in village.people if person.is_child)
        self.with_kin = tuple(person for person in village.people if person.kin)
        self.workers = tuple(person for person in self.adults if person.trade.workplace)
        """Grown-ups with a workplace: all but a learner of a trade that the village does not know."""
        self.cooks = tuple(person for person in self.workers if person.trade.name in _FOOD_TRADES)
        self.menders: dict[Word, Person] = {thing: p for p in self.workers for thing in p.trade.mends}
        self.things = tuple(self.menders)
        """What can be mended in this village."""
        self.residents = {lane: [p for p in self.people if p.home == lane] for lane in village.lanes}
        self.lanes = tuple(Lane(lane, to) for lane, to in village.lanes.items() if self.residents[lane])
        """Lanes where somebody lives."""
        self.helpers = {
            p.trade: [child for child in self.children if child.trade is p.trade] for p in self.workers
        }
        self.soft: dict[Person, tuple[Word, ...]] = {}
        """Things that tear and that this person must bring to someone else to be mended."""
        self.hard: dict[Person, tuple[Word, ...]] = {}
        """The same of things that break."""
        for person in self.people:
            others = [thing for thing in self.things if self.menders[thing] is not person]
            self.soft[person] = tuple(thing for thing in others if thing in words.SOFT_THINGS)
            self.hard[person] = tuple(thing for thing in others if thing not in words.SOFT_THINGS)

    def living_elsewhere(self, *people: Person) -> list[Person]:
        """Who lives in another lane than these."""
        lanes = {person.home for person in people}
        return [person for person in self.people if person.home not in lanes]
