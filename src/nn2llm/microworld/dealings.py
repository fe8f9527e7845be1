"""Stories of giving and taking: presents, errands, swaps, what is lent, what is taught.

Read after storytelling.py. What is swapped has changed hands, presents are chosen by what somebody likes.
Roles: `h` hero, `o` another person, `a` who is sent, `m` who lends, `y` who sells, `t` the thing, `q` its
quality.
"""

from nn2llm.microworld import vocabulary as words
from nn2llm.microworld.cast import Cast, without
from nn2llm.microworld.script import Script
from nn2llm.microworld.storytelling import begin, end
from nn2llm.microworld.wordings import Variants

__all__ = ["tell_errand", "tell_gift", "tell_lend", "tell_lesson", "tell_swap"]

_BIRTHDAY = Variants(
    "remembered that it was the birthday of {h.his} [k], {k.person}.",
    "wanted to give {h.his} [k] {k.person} a present.",
    "wondered what would please {h.his} [k] {k.person}.",
    "was baking a cake, for {h.his} [k] {k.person} had a birthday.",
)
_LIKED = Variants(
    "{o} likes {o.food} best, but that is soon eaten.",
    '"{o} loves {o.pastime}," thought {h}, "but how can I wrap that up?"',
    "{o} has everything: a home in {o.home}, {o.pet.kind.a} called {o.pet.name}, and good friends.",
    '"Everybody gives {o.him} {o.food}," said [x].',
    '"Nothing for {o.pet} the {o.pet.kind} this time," said [x].',
)
_BOUGHT = Variants(
    "So {h.he} went to [y.trade.workplace] and bought [n] {y.trade.goods} from {y}.",
    "[y] the {y.trade} had [n] {y.trade.goods} left, and {h} took them all.",
    "At [y.trade.workplace] {h.he} bought [n] {y.trade.goods}.",
    "{h} asked [y] the {y.trade} for [n] {y.trade.goods}.",
)
_GAVE = Variants(
    "{o} opened the parcel [manner] and was [glad].",
    '"Just what I wanted!" cried {o}, as [glad] as could be.',
    "{o} laughed, thanked {h} and put the present [spot<indoors].",
    "Then they sat together and ate some {o.food}.",
    "{o} gave {h} a hug and showed the present to {o.pet.name}.",
)


def tell_gift(s: Script, c: Cast) -> None:
    """A birthday: what to give, where to buy it, how it is taken."""
    h = begin(s, c.with_kin)
    s.say(_BIRTHDAY, k=h.kin)
    o = s.known["k"].person
    s.know(o=o)
    s.say(_LIKED, x=without(c.people, h, o))
    s.say(_BOUGHT, y=without(c.workers, h, o), n=words.NUMBERS)
    s.say(_GAVE, glad=words.GLAD, manner=words.MANNERS, indoors=words.INDOORS)


_SENT = Variants(
    "asked [a] to carry [q.a] [t] to [o].",
    "gave [a] [q.a] [t] and asked {a.him} to bring it to [o].",
    'said to [a], "Please take this [q] [t] to [o]."',
)
_SET_OUT = Variants(
    "{o} lives in {o.home}, so {a} set out [manner].",
    '"{o} lives in {o.home}," said {h}. "It leads to {o.toward}."',
    "{a} took the {t} [manner] and walked to {o.home}.",
    "{a} put on a [colour] scarf and went to {o.home}.",
)
_ON_THE_WAY = Variants(
    "At [place] {a} met [x], who was {x.pastime}.",
    "On the way {a} met [x] with {x.pet.name}, {x.his} {x.pet.kind}.",
    "[x] was standing at [place] and waved.",
    "Near [place] {a} saw [n] [fruit] in the grass and picked them up.",
    '"Where are you going with that {t}?" asked [x]. "To {o}," said {a}.',
)
_DELIVERED = Variants(
    "{o} took the {q} {t} [manner] and gave {a} [n2] [fruit2].",
    '"Thank you, {a}," said {o}. "Tell {h} that I am [glad]."',
    "{o} was at home, and put the {t} [spot<indoors].",
    "{o} offered {a} some [drink] and some {o.food}.",
)


def tell_errand(s: Script, c: Cast) -> None:
    """Somebody is sent with a thing to a third person, and meets a fourth."""
    h = begin(s, c.people)
    s.say(
        _SENT,
        a=without(c.people, h),
        o=lambda known: c.living_elsewhere(h, known["a"]),
        q=words.QUALITIES,
        t=c.things,
    )
    a, o = s.known["a"], s.known["o"]
    s.say(_SET_OUT, manner=words.MANNERS, colour=words.COLOURS)
    s.say(
        _ON_THE_WAY, place=words.LANDMARKS, x=without(c.people, h, a, o), n=words.NUMBERS, fruit=words.BASKETS
    )
    s.say(
        _DELIVERED,
        fruit2=words.BASKETS,
        n2=words.NUMBERS,
        drink=words.DRINKS,
        indoors=words.INDOORS,
        manner=words.MANNERS,
        glad=words.GLAD,
    )


_HAD = Variants(
    "had [q.a] [t] but wanted [t2.a].",
    "took {h.his} [q] [t] to [place], hoping to swap it for [t2.a].",
    "was tired of {h.his} [q] [t] and dreamt of [t2.a].",
)
_OFFERED = Variants(
    "[o] had [q2.a] one and needed {t.a}.",
    '"I have [q2.a] {t2}," said [o]. "Shall we swap?"',
    "Now [o] owned [q2.a] {t2} and had no use for it.",
    "[o] came along with [q2.a] {t2} in {o.his} hands.",
)
_SWAPPED = Variants(
    "So they swapped [manner].",
    "They talked about it for [n2] hours and then agreed.",
    '"Done!" said {h}, and they shook hands [manner].',
    "{h} added [n] [fruit], and {o} agreed.",
)
_OWNED = Variants(
    "From then on {h} had the {q2} {t2}, and {o} had the {q} {t}.",
    "Since then the {q} {t} has belonged to {o}, and the {q2} {t2} to {h}.",
    "{o} carried the {q} {t} home, and {h} put the {q2} {t2} [spot<indoors].",
    "{h} ran home [manner] with the {q2} {t2}; {o} kept the {q} {t}.",
)


def tell_swap(s: Script, c: Cast) -> None:
    """Two things change hands."""
    h = begin(s, c.people)
    s.say(
        _HAD,
        q=words.QUALITIES,
        t=c.things,
        place=words.LANDMARKS,
        t2=lambda known: without(c.things, known["t"]),
    )
    s.say(_OFFERED, o=without(c.people, h), q2=words.QUALITIES)
    s.say(_SWAPPED, n=words.NUMBERS, n2=words.FEW, fruit=words.BASKETS, manner=words.MANNERS)
    s.say(_OWNED, indoors=words.INDOORS, manner=words.MANNERS)
    end(s, c, 0.4)


_NEEDED = Variants(
    "needed [m.trade.tool.a] and had none.",
    "looked for someone who owned [m.trade.tool.a].",
    "asked [m] the {m.trade} for {m.his} {m.trade.tool}.",
    "went to [m.trade.workplace] and asked {m} for {m.his} {m.trade.tool}.",
)
_LENT = Variants(
    '"You may have it until [day2]," said {m}.',
    "{m} lent it to {h.him} for [n] days.",
    '"Take it," said {m}, "but bring it back before [day2]."',
    "{m} works with it every day, but lent it to {h.him} [manner].",
)
_RETURNED = Variants(
    "{h} brought the {m.trade.tool} back in time, with some {m.food} and [n3] [fruit3].",
    "When {h} brought it back, {m} was {m.pastime}.",
    "Before long {h} laid the {m.trade.tool} [peg<shelves] at {m.trade.workplace}.",
    "{h} forgot about it, and {m} had to come to {h.home} to fetch the {m.trade.tool}.",
)


def tell_lend(s: Script, c: Cast) -> None:
    """A tool is borrowed and brought back."""
    h = begin(s, c.people)
    s.say(_NEEDED, m=without(c.workers, h))
    s.say(_LENT, day2=words.DAYS, n=words.NUMBERS, manner=words.MANNERS)
    s.say(_RETURNED, n3=words.NUMBERS, shelves=words.SHELVES, fruit3=words.BASKETS)
    end(s, c, 0.6)


_WISHED = Variants(
    "asked [o], who loves {o.pastime}, for a lesson.",
    "watched [o], who was {o.pastime}, and wanted to try it too.",
    "met [o], who was {o.pastime}, and stopped to watch.",
    "visited [o] in {o.home} to learn something new: {o.pastime}.",
)
_TAUGHT = Variants(
    "{o} explained it [manner] for [n] hours.",
    '"It is easy," said {o}. "You will learn it by [day2]."',
    "They practised every [part2] at [place].",
    "At first it went badly, and {h} was [sad].",
)
_LEARNED = Variants(
    "After [n2] weeks {h.he} could do it almost as well as {o}.",
    "{h} likes {h.pastime} better, but was [glad] to have tried.",
    "To thank {o}, {h} brought {o.him} some {o.food}.",
    "Even {o.pet}, {o.his} {o.pet.kind}, seemed [glad] at last.",
)


def tell_lesson(s: Script, c: Cast) -> None:
    """Somebody learns what another loves to do."""
    h = begin(s, c.people)
    s.say(_WISHED, o=[other for other in c.living_elsewhere(h) if other.pastime != h.pastime])
    s.say(_TAUGHT, n=words.FEW, day2=words.DAYS, part2=words.PARTS, place=words.LANDMARKS, sad=words.SAD,
          manner=words.MANNERS)  # fmt: skip
    s.say(_LEARNED, n2=words.NUMBERS, glad=words.GLAD)
    end(s, c, 0.4)
