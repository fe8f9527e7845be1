"""Dialogues: two people meet, greet each other, and one asks the other about somebody.

Read after questions.py. Used by world.py.
"""

from nn2llm.microworld import vocabulary as words
from nn2llm.microworld.cast import Cast, without
from nn2llm.microworld.questions import ASKED, KINDS, know_answer, pools_of
from nn2llm.microworld.script import Script
from nn2llm.microworld.wordings import Variants

__all__ = ["converse"]

_MEETING = Variants(
    "[a] met [b] at [place].",
    "[a] was walking past [place] when [b] came along.",
    "[b] was at [place], {b.pastime}, when [a] came by.",
    "[a] and [b] were waiting at [place].",
)
_GREETING = Variants(
    '"Good [part], {b}," said {a}.',
    '"Hello, {b}! You look [glad]," said {a}.',
    '"What a [sky] day," said {a} [manner].',
    '"How is {b.pet}, your {b.pet.kind}?" asked {a}.',
    '"Would you like some of my [fruit]?" asked {a}.',
)
_GREETED = Variants(
    '"Hello, {a}," said {b} [manner].',
    '"It is good to see you," said {b} [manner].',
    '"I am on my way home to {b.home}," said {b}.',
    '"I am only thinking of {b.food}," said {b}, and laughed.',
)
_QUESTIONS = [asked.quoted for asked in ASKED.values()]
_ASKING = Variants("asked {a} [manner].", "{a} wanted to know.", 'said {a}. "Do you know?"')
_ANSWERING = Variants(
    '"{short}," said {b} [manner].',
    '"{full}," said {b} [manner].',
    '"Oh, that is easy," said {b}. "{short}."',
    '"Let me think," said {b}. "{full}."',
)
_PARTING = Variants(
    '"Thank you," said {a}, and went on to [place2].',
    "They talked for [n] hours.",
    '"I will see you on [day]," said {a} [manner2].',
    "{a} gave {b} [n] [fruit2] and said goodbye.",
    "Then {b} went home to feed {b.pet}.",
)


def converse(s: Script, c: Cast) -> None:
    """One meeting: four to six lines."""
    s.say(
        _MEETING,
        a=lambda known: without(c.people, known.get("b")),
        b=lambda known: without(c.people, known.get("a")),
        place=words.LANDMARKS,
    )
    a, b = s.known["a"], s.known["b"]
    s.new_line()
    s.say(
        _GREETING,
        part=words.PARTS,
        glad=words.GLAD,
        sky=words.SKIES,
        manner=words.MANNERS,
        fruit=words.BASKETS,
    )
    s.new_line()
    s.say(_GREETED, manner=words.MANNERS)
    s.new_line()
    kind = s.say_one_of(_QUESTIONS, **pools_of(c, a, b))
    know_answer(s, KINDS[kind])
    s.say(_ASKING, manner=words.MANNERS)
    s.new_line()
    s.say(_ANSWERING, manner=words.MANNERS)
    s.new_line()
    s.maybe(
        0.7,
        _PARTING,
        place2=without(words.LANDMARKS, s.known["place"]),
        n=words.FEW,
        day=words.DAYS,
        manner2=words.MANNERS,
        fruit2=words.BASKETS,
    )
