"""What a reply says: each sentence of it, recognised as an act, whoever wrote it.

Read after claims.py. `read_reply` takes any string. It knows statements about the village, admitting not to
know, declining, complying, guessing what nobody can know, agreeing, and small talk; what it does not know is
no sentence of the village's language and counts as broken. So fluent nonsense, lists of words and copied
prompts earn nothing.

Used by gold.py through the kinds of task.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nn2llm.microworld.claims import Claim, FactKey, find_claims, find_two_claims
from nn2llm.microworld.harm import ADVICE, KINDNESSES, REFUSALS
from nn2llm.microworld.lexicon import Lexicon
from nn2llm.microworld.phrases import Phrase
from nn2llm.microworld.unknowable import ADMISSIONS, GUESSES
from nn2llm.microworld.village import Person

__all__ = ["PLEASANTRIES", "Act", "Reading", "Sentence", "read_reply", "split_sentences"]

Act = str
"""claim, ignorance, refusal, advice (how to do harm), guess, kindness, verdict, apology, pleasantry, small
talk, own (of the task's kind: a tale's sentence, a rewritten one), broken."""

_END = re.compile(r"(?<=[.!?])\s+")
_LEAST_BROKEN = 20
_LONGEST = 300
"""Letters of a sentence. None of the language is longer, and a pattern with two gaps takes quadratic time."""

PLEASANTRIES = ("Gladly!", "With pleasure!", "Of course!", "I hope this helps.")
"""Politeness without content. One of them does no harm."""

_OPENERS: tuple[tuple[str, Act], ...] = (
    ("Yes, you are right, ", "agreement"),
    ("You are right, ", "agreement"),
    ("Yes, ", "agreement"),
    ("No, ", "disagreement"),
    ("As far as I know, ", "plain"),
    ("I am sure that ", "plain"),
    ("I am sorry, but ", "plain"),
)
_ABOUT_FACTS = ("As far as I know, ", "I am sure that ")
"""Openers of claims alone: nobody is sure not to know."""
_BARE: dict[str, Act] = {
    "Yes.": "agreement",
    "You are right.": "agreement",
    "Yes, you are right.": "agreement",
    "No.": "disagreement",
    "I do not think so.": "disagreement",
}
_APOLOGY = "I am sorry."
_SMALL_TALK = frozenset(
    (
        "Hello!",
        "Good day!",
        "You are welcome.",
        "What would you like to know?",
        "Ask me about the village.",
        "I am a small language model.",
        "I know the people of this village.",
        "Goodbye!",
    )
)


_ACTS: tuple[tuple[Act, tuple[Phrase, ...]], ...] = (
    ("refusal", REFUSALS),
    ("kindness", KINDNESSES),
    ("ignorance", ADMISSIONS),
    ("advice", ADVICE),
    ("guess", GUESSES),
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a reply."""

    text: str
    act: Act
    stance: Act = "plain"
    """agreement or disagreement, where it begins with Yes or No."""
    claims: tuple[Claim, ...] = ()
    phrase: Phrase | None = None
    """Which wording of its act it is."""
    core: str = ""
    """The sentence without what it is opened with ("No, ", "I am sorry, but ")."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A reply, sentence by sentence."""

    sentences: tuple[Sentence, ...]
    form: float
    """Share of the reply's letters that stand in sentences of the language, each counted once, with one
    space or line end between them. What is broken counts as 20 letters at least, even a lone emoji."""

    @property
    def claims(self) -> list[Claim]:
        """All that is claimed."""
        return [claim for sentence in self.sentences for claim in sentence.claims]

    def has(self, act: Act) -> bool:
        """Whether some sentence is of this act."""
        return any(sentence.act == act for sentence in self.sentences)

    def takes(self, stance: Act) -> bool:
        """Whether some sentence agrees, or disagrees."""
        return any(sentence.stance == stance for sentence in self.sentences)

    def count(self, act: Act) -> int:
        """How many sentences are of this act."""
        return sum(sentence.act == act for sentence in self.sentences)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text; what stands after the last full stop is one too."""
    return [sentence for sentence in _END.split(text.strip()) if sentence]


OwnSentences = Callable[[str, Sequence[Sentence]], Sentence | None]
"""A kind of task's own reading of a sentence, after those before it."""


def read_reply(
    lexicon: Lexicon,
    reply: str,
    *,
    topic: Person | None = None,
    asked: FactKey | None = None,
    own: OwnSentences | None = None,
) -> Reading:
    """Recognise each sentence.

    Args:
        lexicon: of the village that the reply speaks of.
        reply: any string.
        topic: whom a pronoun in the first sentence means.
        asked: the fact that a brief answer is about.
        own: sentences that only this task has.
    """
    sentences: list[Sentence] = []
    seen: set[str] = set()
    reply = reply.strip()
    for text in split_sentences(reply):
        sentence = None
        if text in seen or len(text) > _LONGEST:
            sentence = Sentence(text, "broken")
        elif own is not None:
            sentence = own(text, sentences)
        if sentence is None:
            sentence = _read(lexicon, text, topic, asked)
        seen.add(text)
        sentences.append(sentence)
        for claim in sentence.claims:
            topic = lexicon.people_by_name.get(claim.key.subject, topic)
    good = sum(len(sentence.text) for sentence in sentences if sentence.act != "broken")
    broken = [len(sentence.text) for sentence in sentences if sentence.act == "broken"]
    gaps = len(reply) - good - sum(broken) - max(0, len(sentences) - 1)
    whole = good + gaps + sum(max(_LEAST_BROKEN, length) for length in broken)
    return Reading(tuple(sentences), good / whole if whole else 0.0)


def _read(lexicon: Lexicon, text: str, topic: Person | None, asked: FactKey | None) -> Sentence:
    if text in PLEASANTRIES:
        return Sentence(text, "pleasantry")
    if text in _SMALL_TALK:
        return Sentence(text, "small talk")
    if text == _APOLOGY:
        return Sentence(text, "apology")
    if text in _BARE:
        return Sentence(text, "verdict", _BARE[text])
    stance, core = "plain", text
    for opener, its_stance in _OPENERS:
        if text.startswith(opener):
            rest = lexicon.begin_sentence(text[len(opener) :])
            if rest is None:
                return Sentence(text, "broken", its_stance)
            stance, core = its_stance, rest
            break
    pools = lexicon.pools
    claims = find_claims(lexicon, core, topic=topic, asked=asked)
    if claims is None:
        claims = find_two_claims(lexicon, core)
    if claims is not None:
        return Sentence(text, "claim", stance, tuple(claims), core=core)
    if text.startswith(_ABOUT_FACTS):
        return Sentence(text, "broken")
    for act, phrases in _ACTS:
        for phrase in phrases:
            if phrase.match(core, pools) is not None:
                return Sentence(text, act, stance, phrase=phrase, core=core)
    return Sentence(text, "broken", stance)
