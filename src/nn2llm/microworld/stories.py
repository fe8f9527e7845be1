"""Stories: ten plots in which people of the village lose, mend, swap, carry and give things.

Read after cast.py. What happens follows rules: what is swapped has changed hands, what is broken is mended by
the one whose trade it is, gifts are chosen by what someone likes. So the facts of the village are needed to
foretell a story, and no story contradicts them.

A wording is a whole sentence, or the part of one between two spaces. Roles: `h` hero, `o` another person, `m`
who mends, `y` who sells, `t` the thing, `q` its quality.
"""

from collections.abc import Sequence

from nn2llm.microworld import vocabulary as words
from nn2llm.microworld.cast import Cast, without
from nn2llm.microworld.script import Branches, Script, Variants
from nn2llm.microworld.village import Person

__all__ = ["TIME_POOLS", "tell_story"]

TIME_POOLS = {
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


def _begin(s: Script, pool: Sequence[Person], *, fair: bool = False) -> Person:
    """The time, and the hero, told apart a little at times."""
    if fair:
        s.say(_FAIR_TIME, sky=words.FAIR_SKIES, season=words.SEASONS, part=words.PARTS, day=words.DAYS)
    else:
        s.say(_TIME, **TIME_POOLS)
    s.say(_WHO, h=pool)
    hero: Person = s.known["h"]
    s.maybe(0.35, _OF_CHILD if hero.is_child else _OF_ADULT)
    return hero


_FELT = Variants(
    "{h.He} {h.was} very [sad].",
    "{h} felt [sad] about it.",
    '"Oh dear," said {h}, and looked [sad].',
    '"Not again!" cried {h}, looking [sad].',
)
_EVENING = Variants(
    "{h} slept well after that.",
    "{h} was [glad] for a long time.",
    "Later {h} told [x2] all about it.",
    "{h} will not forget that day for [n9] years.",
    "Then {h} went home [manner] to feed {h.his} {h.pet.kind}, {h.pet.name}.",
    "Afterwards {h} was seen {h.pastime}.",
)


def _end(s: Script, c: Cast, probability: float) -> None:
    told = without(c.people, *(s.known.get(role) for role in ("h", "o", "m", "x", "y")))
    s.maybe(probability, _EVENING, glad=words.GLAD, manner=words.MANNERS, x2=told, n9=words.NUMBERS)


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


def _tell_lost(s: Script, c: Cast) -> None:
    h = _begin(s, c.people)
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


def _tell_broken(s: Script, c: Cast) -> None:
    h = _begin(s, c.people)
    s.say(_BROKE, q=words.QUALITIES, hard=c.hard[h], soft=c.soft[h])
    m = c.menders[s.known["t"]]
    s.know(m=m)
    s.maybe(0.25, _FELT, sad=words.SAD)
    s.say(_TAKEN, o=without(c.people, h, m), manner=words.MANNERS, day2=words.DAYS)
    s.say(_WORKED, manner2=words.MANNERS, n=words.FEW)
    s.say(_PAID, n2=words.NUMBERS, fruit=words.BASKETS, manner=words.MANNERS)
    s.maybe(0.5, _MENDED, glad=words.GLAD, indoors=words.INDOORS)


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


def _tell_gift(s: Script, c: Cast) -> None:
    h = _begin(s, c.with_kin)
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


def _tell_errand(s: Script, c: Cast) -> None:
    h = _begin(s, c.people)
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


def _tell_pet(s: Script, c: Cast) -> None:
    h = _begin(s, c.people)
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
    _end(s, c, 0.5)


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


def _tell_swap(s: Script, c: Cast) -> None:
    h = _begin(s, c.people)
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
    _end(s, c, 0.4)


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


def _tell_shelter(s: Script, c: Cast) -> None:
    h = _begin(s, c.people, fair=True)
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


def _tell_hungry(s: Script, c: Cast) -> None:
    h = _begin(s, c.people)
    s.say(_HUNGRY, place=words.LANDMARKS, n=words.NUMBERS, fruit=words.BASKETS)
    s.say(_WANTED, x=without(c.people, h), n4=words.NUMBERS)
    s.say(_ATE, y=without(c.cooks, h, s.known.get("x")), n2=words.FEW)
    s.say(_SHARED, n3=words.NUMBERS, fruit3=words.BASKETS, manner=words.MANNERS, glad=words.GLAD)
    _end(s, c, 0.3)


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


def _tell_lend(s: Script, c: Cast) -> None:
    h = _begin(s, c.people)
    s.say(_NEEDED, m=without(c.workers, h))
    s.say(_LENT, day2=words.DAYS, n=words.NUMBERS, manner=words.MANNERS)
    s.say(_RETURNED, n3=words.NUMBERS, shelves=words.SHELVES, fruit3=words.BASKETS)
    _end(s, c, 0.6)


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


def _tell_lesson(s: Script, c: Cast) -> None:
    h = _begin(s, c.people)
    s.say(_WISHED, o=[other for other in c.living_elsewhere(h) if other.pastime != h.pastime])
    s.say(_TAUGHT, n=words.FEW, day2=words.DAYS, part2=words.PARTS, place=words.LANDMARKS, sad=words.SAD,
          manner=words.MANNERS)  # fmt: skip
    s.say(_LEARNED, n2=words.NUMBERS, glad=words.GLAD)
    _end(s, c, 0.4)


_PLOTS = Branches(
    (1.0, _tell_lost),
    (1.4, _tell_broken),
    (1.2, _tell_gift),
    (1.2, _tell_errand),
    (1.0, _tell_pet),
    (1.0, _tell_swap),
    (0.8, _tell_shelter),
    (0.8, _tell_hungry),
    (0.8, _tell_lend),
    (0.8, _tell_lesson),
)


def tell_story(s: Script, c: Cast) -> None:
    """One story: four to eight sentences."""
    s.branch(_PLOTS, c)
