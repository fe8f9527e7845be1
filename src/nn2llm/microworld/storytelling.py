"""How every story begins and ends.

Read after cast.py. Used by mishaps.py and dealings.py. Roles: `h` is the hero.
"""

from collections.abc import Sequence

from nn2llm.microworld import vocabulary as words
from nn2llm.microworld.cast import Cast, without
from nn2llm.microworld.script import Script
from nn2llm.microworld.village import Person
from nn2llm.microworld.wordings import Variants

__all__ = ["begin", "end"]

_TIME_POOLS = {
    "sky": words.SKIES,
    "season": words.SEASONS,
    "part": words.PARTS,
    "day": words.DAYS,
    "count": words.NUMBERS,
}
_TIME = Variants(
    "One [sky] [season] [part],",
    "On a [sky] [part] in [season],",
    "One [part] in [season],",
    "On [day] [part],",
    "Last [day],",
    "[count.Cap] days ago,",
    "Late one [sky] [part],",
    weights=[4, 2, 2, 2, 1, 1, 2],
)
_FAIR_TIME = Variants(
    "One [sky] [season] [part],",
    "On a [sky] [part] in [season],",
    "Late one [sky] [part],",
    "One [sky] [day],",
)
_WHO = Variants("[h]")
_OF_ADULT = Variants(
    "the {h.trade}",
    "of {h.home}",
    ", who lives in {h.home},",
    ", who loves {h.pastime},",
    weights=[4, 1, 1, 1],
)
_OF_CHILD = Variants(
    "of {h.home}",
    ", who lives in {h.home},",
    ", who loves {h.pastime},",
    ", who helps at {h.trade.workplace},",
)


def begin(s: Script, pool: Sequence[Person], *, fair: bool = False) -> Person:
    """The time, and the hero, told apart a little at times."""
    if fair:
        s.say(_FAIR_TIME, sky=words.FAIR_SKIES, season=words.SEASONS, part=words.PARTS, day=words.DAYS)
    else:
        s.say(_TIME, **_TIME_POOLS)
    s.say(_WHO, h=pool)
    hero: Person = s.known["h"]
    s.maybe(0.35, _OF_CHILD if hero.is_child else _OF_ADULT)
    return hero


_EVENING = Variants(
    "{h} slept well after that.",
    "{h} was [glad] for a long time.",
    "Later {h} told [x2] all about it.",
    "{h} will not forget that day for [n9] years.",
    "Then {h} went home [manner] to feed {h.his} {h.pet.kind}, {h.pet.name}.",
    "Afterwards {h} was seen {h.pastime}.",
)


def end(s: Script, c: Cast, probability: float) -> None:
    """With this probability, how the day ended for the hero."""
    told = without(c.people, *(s.known.get(role) for role in ("h", "o", "m", "x", "y")))
    s.maybe(probability, _EVENING, glad=words.GLAD, manner=words.MANNERS, x2=told, n9=words.NUMBERS)
