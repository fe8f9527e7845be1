"""Stories in which something goes wrong: things are lost or break, a pet runs away, a storm comes.

Read after storytelling.py. What is broken is mended by the one whose trade it is; whoever helps is thanked
with what they like. Roles: `h` hero, `o` another person, `m` who mends, `y` who sells, `t` the thing, `q` its
quality.
"""

from nn2llm.microworld import vocabulary as words
from nn2llm.microworld.cast import Cast, without
from nn2llm.microworld.script import Script
from nn2llm.microworld.storytelling import begin, end
from nn2llm.microworld.wordings import Variants

__all__ = ["tell_broken", "tell_hungry", "tell_lost", "tell_pet", "tell_shelter"]

_FELT = Variants(
    "{h.He} {h.was} very [sad].",
    "{h} felt [sad] about it.",
    '"Oh dear," said {h}, and looked [sad].',
    '"Not again!" cried {h}, looking [sad].',
)


_LOST = Variants(
    "could not find {h.his} [q] [t].",
    "looked everywhere for {h.his} [q] [t].",
    "noticed that {h.his} [q] [t] was gone.",
    "lost {h.his} [q] [t] on the way to [place].",
    "reached for {h.his} [q] [t], but it was not there.",
)
_SEARCHED = Variants(
    "{h.He} searched [spot], but there was only a heap of [fruit].",
    "First {h.he} looked [spot] and found nothing but [n] [fruit].",
    "It was not [spot], where it used to be.",
    "{h.He} turned everything over and even looked [spot].",
)
_FOUND = Variants(
    "Then [o] came by and found the {t} [spot2].",
    "At last [o] saw something {q} [spot2]: it was the {t}.",
    '"Is this yours?" asked [o], who had found the {t} [spot2].',
    "In the end it was [o] who found it [spot2].",
    "When [o] heard of it, the two searched together, and there it was, [spot2].",
)
_REWARDED = Variants(
    "{h} thanked {o} [manner] and brought {o.him} some {o.food}.",
    "{h} was so [glad] that {h.he} gave {o} [n2] [fruit2].",
    "As {o} likes {o.food} best, {h} made some on [day2].",
    '"How can I thank you?" asked {h}. "With some {o.food}," said {o}.',
)


def tell_lost(s: Script, c: Cast) -> None:
    """A thing is gone; somebody finds it."""
    h = begin(s, c.people)
    s.say(_LOST, q=words.QUALITIES, t=c.things, place=words.LANDMARKS)
    s.maybe(0.4, _FELT, sad=words.SAD)
    s.say(_SEARCHED, spot=words.SPOTS, fruit=words.BASKETS, n=words.NUMBERS)
    s.say(_FOUND, o=without(c.people, h), spot2=without(words.SPOTS, s.known["spot"]))
    s.say(
        _REWARDED,
        manner=words.MANNERS,
        glad=words.GLAD,
        n2=words.NUMBERS,
        fruit2=words.BASKETS,
        day2=words.DAYS,
    )


_BROKE = Variants(
    "dropped {h.his} [q] [t<hard], and it broke.",
    "saw that {h.his} [q] [t<hard] was broken.",
    "heard a crack: {h.his} [q] [t<hard] was broken.",
    "tore {h.his} [q] [t<soft] on a nail.",
    "saw that {h.his} [q] [t<soft] was torn.",
    "found a hole in {h.his} [q] [t<soft].",
)
_TAKEN = Variants(
    "{h.He} took it to {m} at {m.trade.workplace} [manner].",
    "On [day2] {h.he} went to {m}, the {m.trade}.",
    "Luckily {m} the {m.trade} knows how to mend {t.a}.",
    '"{m} can mend it," said [o]. "Go to {m.trade.workplace}."',
    "{h.He} carried it past {m.beside} to {m.trade.workplace}, where {m} works.",
)
_WORKED = Variants(
    "{m} took {m.his} {m.trade.tool} and worked [manner2] for [n] hours.",
    "With {m.his} {m.trade.tool}, {m} mended it in [n] hours.",
    "{m} looked at the {q} {t} and reached for {m.his} {m.trade.tool}.",
    '"Come back in [n] hours," said {m} [manner2].',
)
_PAID = Variants(
    "{h} paid with [n2] [fruit].",
    '"What do I owe you?" asked {h}. "Just [n2] [fruit]," said {m}.',
    "{m} wanted no money, so {h} brought some {m.food}.",
    "{h} thanked {m} [manner] and gave {m.him} some {m.food}, which {m} likes best.",
)
_MENDED = Variants(
    "Now the {t} is as good as new.",
    "Since that day the {q} {t} has given no more trouble.",
    "{h} carried the {t} home, as [glad] as could be.",
    "{h} put the {t} [spot<indoors] and was [glad] to have it back.",
)


def tell_broken(s: Script, c: Cast) -> None:
    """A thing breaks, and is mended by the one whose trade it is."""
    h = begin(s, c.people)
    s.say(_BROKE, q=words.QUALITIES, hard=c.hard[h], soft=c.soft[h])
    m = c.menders[s.known["t"]]
    s.know(m=m)
    s.maybe(0.25, _FELT, sad=words.SAD)
    s.say(_TAKEN, o=without(c.people, h, m), manner=words.MANNERS, day2=words.DAYS)
    s.say(_WORKED, manner2=words.MANNERS, n=words.FEW)
    s.say(_PAID, n2=words.NUMBERS, fruit=words.BASKETS, manner=words.MANNERS)
    s.maybe(0.5, _MENDED, glad=words.GLAD, indoors=words.INDOORS)


_RAN_AWAY = Variants(
    "called for {h.his} {h.pet.kind}, but {h.pet} did not come.",
    "could not find {h.pet}, {h.his} {h.pet.kind}, anywhere.",
    "left the gate open, and {h.pet} the {h.pet.kind} ran away.",
    "went to feed {h.his} {h.pet.kind} and saw that it was gone.",
)
_SOUGHT = Variants(
    "{h.He} looked [spot] and called, but nobody answered.",
    '"Has anyone seen {h.pet}?" {h.he} asked, looking very [sad].',
    "{h.He} put [n] [fruit] on the doorstep, but {h.pet} did not come for them.",
    "{h.He} asked [x], who was {x.pastime} and had seen nothing.",
)
_SEEN = Variants(
    '"I saw {h.pet.kind.a} at [place]," said [o].',
    '"Look near [place]," said [o]. "Something was rustling there."',
    "Then [o] came running from [place] and called {h.him}.",
    "[o] had heard a noise at [place].",
)
_CAUGHT = Variants(
    "There {h.pet} was, eating [fruit2].",
    "And indeed, {h.pet} lay there, fast asleep [spot2].",
    "They went there together and found {h.pet} with {o.pet}, {o.his} {o.pet.kind}.",
    "{h} ran there and brought {h.his} {h.pet.kind} home [manner].",
)


def tell_pet(s: Script, c: Cast) -> None:
    """An animal runs away and is found."""
    h = begin(s, c.people)
    s.say(_RAN_AWAY)
    s.say(
        _SOUGHT, n=words.NUMBERS, spot=words.SPOTS, sad=words.SAD, fruit=words.BASKETS, x=without(c.people, h)
    )
    s.say(_SEEN, o=without(c.people, h, s.known.get("x")), place=words.LANDMARKS)
    s.say(
        _CAUGHT,
        fruit2=without(words.BASKETS, s.known.get("fruit")),
        spot2=without(words.OUTDOORS, s.known.get("spot")),
        manner=words.MANNERS,
    )
    end(s, c, 0.5)


_CAUGHT_OUT = Variants(
    "was walking to [place] when it began to [storm].",
    "was carrying a basket of [fruit] past [place] when it began to [storm].",
    "had just come to [place] when the wind rose and it began to [storm].",
)
_SHELTERED = Variants(
    "{h.He} ran to the house of [o], who lives in {o.home}.",
    '"Come in!" called [o] from the door of a house in {o.home}.',
    "Luckily [o] lives close by, in {o.home}.",
    "[o] saw {h.him} through the window and opened the door.",
)
_WARMED = Variants(
    "{o} gave {h.him} some [drink] and hung {h.his} wet coat [peg].",
    "They drank [drink] by the fire and talked about {o.pastime}.",
    "{o.pet}, {o.his} {o.pet.kind}, lay by the fire, and there was [drink] for both of them.",
    '"Have some {o.food}," said {o}. "It is what I like best."',
)
_CLEARED = Variants(
    "After [n] hours the sky was clear again.",
    "It went on for [n] hours, but {h} did not mind.",
    "When it was over, {h} thanked {o} [manner] and went home.",
    "{h} stayed for [n] hours and came home [glad].",
)


def tell_shelter(s: Script, c: Cast) -> None:
    """A storm, and an open door."""
    h = begin(s, c.people, fair=True)
    s.say(_CAUGHT_OUT, place=words.LANDMARKS, storm=words.STORMS, fruit=words.BASKETS)
    s.say(_SHELTERED, o=c.living_elsewhere(h))
    s.say(_WARMED, drink=words.DRINKS, peg=words.PEGS)
    s.say(_CLEARED, n=words.FEW, manner=words.MANNERS, glad=words.GLAD)


_HUNGRY = Variants(
    "had been at [place] since dawn and was hungry.",
    "came home from [place] so hungry that {h.he} could have eaten a horse.",
    "had eaten nothing since the day before but [n] [fruit].",
    "smelled something good at [place] and grew hungry.",
)
_WANTED = Variants(
    '"If only I had some {h.food}!" thought {h}.',
    "{h.He} thought of {h.food}, which {h.he} like{h.s} best.",
    "{h.His} purse held [n4] coins, so {h.he} did not wait.",
    '"You should eat something," said [x].',
)
_ATE = Variants(
    "At [y.trade.workplace] {y} gave {h} [n2] {y.trade.goods}.",
    "{h} walked to [y.trade.workplace], beside {y.beside}, and bought [n2] {y.trade.goods}.",
    "[y] the {y.trade} sold {h} [n2] {y.trade.goods}.",
    "{h} knocked at [y.trade.workplace] and asked {y} for [n2] {y.trade.goods}.",
)
_SHARED = Variants(
    "{h} ate half of them and gave the rest to {h.pet}, {h.his} {h.pet.kind}.",
    "{h} sat down near {y.trade.workplace} and ate [manner].",
    "Then {h} was [glad] again.",
    '"That was good," said {h}, and paid with [n3] [fruit3].',
)


def tell_hungry(s: Script, c: Cast) -> None:
    """Somebody is hungry, and eats."""
    h = begin(s, c.people)
    s.say(_HUNGRY, place=words.LANDMARKS, n=words.NUMBERS, fruit=words.BASKETS)
    s.say(_WANTED, x=without(c.people, h), n4=words.NUMBERS)
    s.say(_ATE, y=without(c.cooks, h, s.known.get("x")), n2=words.FEW)
    s.say(_SHARED, n3=words.NUMBERS, fruit3=words.BASKETS, manner=words.MANNERS, glad=words.GLAD)
    end(s, c, 0.3)
