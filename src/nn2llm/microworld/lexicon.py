"""The pools that a conversation draws from: everything that can be said of the village, true or not.

Read after phrases.py and cast.py. Used by claims.py, replies.py and the kinds of task.
"""

import re
from functools import cached_property
from typing import Any

from nn2llm.microworld import vocabulary as words
from nn2llm.microworld.cast import Cast
from nn2llm.microworld.phrases import capitalise
from nn2llm.microworld.village import Person
from nn2llm.microworld.vocabulary import Word, split_words

__all__ = ["Lexicon", "Stranger"]

_FIRST_WORD = re.compile(r"[^\W\d_]*(?:-[^\W\d_]+)*")
TIES = split_words("wife, husband, sister, brother, mother, father, son, daughter")


def _take_first_word(text: str) -> str:
    return _FIRST_WORD.match(text)[0]  # type: ignore[index]  # it matches any string


class Stranger(str):
    """A name that nobody in the village has."""

    __slots__ = ()


class Lexicon:
    """The pools of one village, made once."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.village = cast.village

    @cached_property
    def pools(self) -> dict[str, Any]:
        """By the name that a place has in a phrase."""
        cast = self.cast
        trades = list(words.TRADES)
        trades += [p.trade for p in cast.adults if p.trade not in words.TRADES]
        people = list(cast.people)
        names = {person.name for person in people}
        return {
            "people": people,
            "p": people,
            "p2": people,
            "h": people,
            "o": people,
            "x": people,
            "adults": list(cast.adults),
            "children": list(cast.children),
            "trades": trades,
            "workers": list(cast.workers),
            "workplaces": [trade.workplace for trade in words.TRADES],
            "lanes": list(words.LANES),
            "landmarks": list(words.LANDMARKS),
            "kinds_of_pet": list(words.KINDS_OF_PET),
            "pet_names": list(words.PET_NAMES),
            "foods": list(words.FOODS),
            "pastimes": list(words.PASTIMES),
            "ties": list(TIES),
            "things": list(cast.things),
            "hard": [thing for thing in cast.things if thing not in words.SOFT_THINGS],
            "soft": [thing for thing in cast.things if thing in words.SOFT_THINGS],
            "q": list(words.QUALITIES),
            "colours": list(words.COLOURS),
            "sky": list(words.SKIES),
            "part": list(words.PARTS),
            "day": list(words.DAYS),
            "season": list(words.SEASONS),
            "spots": list(words.SPOTS),
            "glad": list(words.GLAD),
            "sad": list(words.SAD),
            "manner": list(words.MANNERS),
            "numbers": list(words.NUMBERS),
            "few": list(words.FEW),
            "limits": list(words.NUMBERS[:3]),
            "strangers": [Stranger(n) for n in (*words.GIRLS, *words.BOYS) if n not in names],
        }

    @cached_property
    def people_by_name(self) -> dict[str, Person]:
        """Everybody of the village."""
        return {person.name: person for person in self.cast.people}

    @cached_property
    def _proper_words(self) -> frozenset[str]:
        names = (str(n) for pool in ("people", "strangers", "lanes", "pet_names") for n in self.pools[pool])
        return frozenset(_take_first_word(name) for name in names) | {"I"}

    def begin_sentence(self, text: str) -> str | None:
        """What stood after a comma, as a sentence of its own; None where its first letter is wrong there."""
        word = _take_first_word(text)
        if word in self._proper_words:
            return text
        return capitalise(text) if text[:1].islower() and capitalise(word) not in self._proper_words else None

    def find_mender(self, thing: Word) -> Person:
        """Whose trade it is to mend such a thing."""
        return self.cast.menders[thing]
