"""Portraits: who somebody is, and what is to be found at a workplace.

Read after stories.py. Present tense and facts alone, in any order, so that a model meets each fact in many
surroundings. Used by world.py.
"""

from nn2llm.microworld import vocabulary as words
from nn2llm.microworld.cast import Cast, without
from nn2llm.microworld.script import Script
from nn2llm.microworld.wordings import Branches, Variants

__all__ = ["describe"]

_INTRODUCED = Variants(
    "[p<adults] is {p.trade.a}.",
    "[p<adults] is the {p.trade} of our village.",
    "[p<adults] works as {p.trade.a}.",
    "If you need [p<adults.trade.a], ask for {p}.",
    "[p<children] goes to school and helps at {p.trade.workplace}.",
    "After school, [p<children] helps at {p.trade.workplace}.",
    "[p<children] is still a child, but helps at {p.trade.workplace} every week.",
    weights=[4, 2, 2, 1, 2, 1, 1],
)
_HOME = Variants(
    "{p.He} live{p.s} in {p.home}.",
    "{p.His} house is in {p.home}, which leads to {p.toward}.",
    "You will find {p.him} in {p.home}, [n] houses from {p.toward}.",
    "{p.His} [colour] door is the [nth] one in {p.home}.",
)
_PET = Variants(
    "{p.He} {p.has} {p.pet.kind.a} called {p.pet}.",
    "{p.His} {p.pet.kind} is called {p.pet}.",
    "{p.pet} is {p.his} {p.pet.kind}.",
    "{p.pet}, {p.his} {p.pet.kind}, likes to sleep [spot].",
    "Every [part] {p.he} feed{p.s} {p.pet}, {p.his} {p.pet.kind}.",
)
_FOOD = Variants(
    "{p.He} like{p.s} {p.food} best.",
    "{p.His} favourite dish is {p.food}.",
    "Nothing pleases {p.him} more than {p.food}.",
    "On [day] {p.he} always eat{p.s} {p.food}.",
    "{p.He} could eat {p.food} [n] days in a row.",
)
_PASTIME = Variants(
    "In the evening {p.he} love{p.s} {p.pastime}.",
    "On [day] evening {p.he} love{p.s} {p.pastime}.",
    "{p.He} spend{p.s} [n] hours a week {p.pastime}.",
    "Most of all {p.he} enjoy{p.s} {p.pastime}.",
    "Near {p.toward} you can often see {p.him} {p.pastime}.",
)
_KIN = Variants(
    "{p.His} [k] is {k.person}.",
    "[k.person] is {p.his} {k}.",
    "{p.He} {p.has} [k.tie.a] called {k.person}.",
    "On [day] {p.he} and {p.his} [k] {k.person} go for a walk together.",
)
_WORK = Variants(
    "{p.His} place is {p.trade.workplace}, beside {p.beside}.",
    "{p.His} most important tool is {p.trade.tool.a}.",
    "At {p.trade.workplace} {p.he} make{p.s} {p.trade.goods}.",
    "On [day] {p.he} sold [n] {p.trade.goods}.",
)


def _describe_person(s: Script, c: Cast) -> None:
    s.say(_INTRODUCED, adults=c.adults, children=c.children)
    person = s.known["p"]
    left = [_HOME, _PET, _FOOD, _PASTIME]
    if person.kin:
        left.append(_KIN)
    if not person.is_child and person.trade.workplace:
        left.append(_WORK)
    pools = {
        "colour": words.COLOURS,
        "nth": words.ORDINALS,
        "spot": words.SPOTS,
        "part": words.PARTS,
        "day": words.DAYS,
        "k": person.kin,
        "n": words.NUMBERS,
    }
    for _ in range(2):
        left.pop(s.say_one_of(left, **pools))
    while left:
        chosen = s.maybe_one_of(0.6, left, **pools)
        if chosen is None:
            break
        left.pop(chosen)


_PLACE = Variants(
    "[w.trade.workplace.Cap] stands beside {w.beside}.",
    "Where is [w.trade.workplace]? Beside {w.beside}.",
    "Everybody knows [w.trade.workplace], which stands beside {w.beside}.",
)
_KEEPER = Variants(
    "{w} the {w.trade} works there.",
    "It belongs to {w}, the {w.trade}.",
    "That is where {w} works with {w.his} {w.trade.tool}.",
    "There you will find {w} the {w.trade}, and often {w.pet} the {w.pet.kind} as well.",
)
_GOODS = Variants(
    "{w.He} make{w.s} {w.trade.goods}.",
    "You can buy {w.trade.goods} there.",
    "On [day] {w.he} sell{w.s} {w.trade.goods} on the doorstep.",
    "[n.Cap] {w.trade.goods} cost no more than [n2] [fruit].",
)
_MENDING = Variants(
    "If your [t<mends] needs mending, bring it there.",
    "{w} can also mend [t<mends.a].",
    "Last [last<days] someone brought [q.a] [t<mends] to be mended.",
)
_HELPERS = Variants(
    "{x} helps there after school.",
    "After school {x} comes to help, and in the evening {x.he} {x.is_} back in {x.home}.",
)
_HOURS = Variants(
    "It is closed on [day2].",
    "{w.He} begin{w.s} work early and go{w.es} home to {w.home} in the evening.",
    "On [day2] it is full of people.",
)


def _describe_place(s: Script, c: Cast) -> None:
    s.say(_PLACE, w=c.workers)
    keeper = s.known["w"]
    s.say(_KEEPER)
    left = [_GOODS, _HOURS]
    if keeper.trade.mends:
        left.append(_MENDING)
    if c.helpers[keeper.trade]:
        s.know(x=c.helpers[keeper.trade][0])
        left.append(_HELPERS)
    pools = {
        # not closed on a day on which something happens there
        "day": lambda known: without(words.DAYS, known.get("day2")),
        "day2": lambda known: without(words.DAYS, known.get("day"), known.get("last")),
        "days": lambda known: without(words.DAYS, known.get("day2")),
        "n": words.NUMBERS,
        "n2": words.NUMBERS,
        "fruit": words.BASKETS,
        "mends": keeper.trade.mends,
        "q": words.QUALITIES,
    }
    left.pop(s.say_one_of(left, **pools))
    while left:
        chosen = s.maybe_one_of(0.6, left, **pools)
        if chosen is None:
            break
        left.pop(chosen)


_LANE = Variants(
    "[lane] leads to {lane.toward}.",
    "If you follow [lane], you come to {lane.toward}.",
    "[lane] begins at the market and ends at {lane.toward}.",
)
_LIVES_THERE = Variants(
    "[r<residents] lives there.",
    "[r<residents] lives there with {r.his} {r.pet.kind}, {r.pet}.",
    "There you may meet [r<residents], {r.pastime}.",
    "Visit [r<residents] there if you like {r.food}.",
)


def _describe_lane(s: Script, c: Cast) -> None:
    s.say(_LANE, lane=c.lanes)
    residents = list(c.residents[s.known["lane"].name])
    s.say(_LIVES_THERE, residents=residents)
    while len(residents) > 1:
        residents.remove(s.known["r"])
        if not s.maybe(0.7, _LIVES_THERE, residents=residents):
            break


_KINDS = Branches((6.0, _describe_person), (2.0, _describe_place), (0.6, _describe_lane))


def describe(s: Script, c: Cast) -> None:
    """A person, a workplace or a lane: three to eight sentences of facts."""
    s.branch(_KINDS, c)
