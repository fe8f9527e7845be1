"""Tales on request: short stories about somebody and a thing, in so many sentences, and the parser for them.

Read after task.py. A tale has a plot (something is lost, breaks, or is given), which its first sentence
tells; then what happened, then how it ended, all about the same person and thing. Used by tasks.py.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nn2llm.microworld import vocabulary as words
from nn2llm.microworld.lexicon import Lexicon
from nn2llm.microworld.phrases import Phrase
from nn2llm.microworld.replies import Reading, Sentence, read_reply
from nn2llm.microworld.task import Grade, Split, Task, TaskKind, user

__all__ = ["Tale"]


class _Plot(NamedTuple):
    """Wordings of a tale's beginning, middle and end."""

    beginnings: tuple[Phrase, ...]
    middles: tuple[Phrase, ...]
    ends: tuple[Phrase, ...]


def _phrases(*wordings: str) -> tuple[Phrase, ...]:
    return tuple(Phrase(wording) for wording in wordings)


_PLOTS: tuple[_Plot, ...] = (
    _Plot(
        _phrases(
            "One [sky] [part], [h] lost {h.his} [q] [t<things].",
            "On [day], [h] could not find {h.his} [q] [t<things].",
            "[h] looked everywhere for {h.his} [q] [t<things].",
        ),
        _phrases(
            "{h.He} looked [spot<spots], but it was not there.",
            "{h.He} asked [x], who had not seen it.",
            "{h.He} {h.was} very [sad].",
        ),
        _phrases(
            "Then [o] found it [spot2<spots].",
            "In the end it lay [spot2<spots].",
            "At last [o] brought the {t} back.",
        ),
    ),
    _Plot(
        _phrases(
            "One [sky] [part], [h] broke {h.his} [q] [t<hard].",
            "On [day], [h] saw that {h.his} [q] [t<hard] was broken.",
            "One [sky] [part], [h] tore {h.his} [q] [t<soft].",
            "On [day], [h] saw that {h.his} [q] [t<soft] was torn.",
        ),
        _phrases(
            "{h.He} took it to [m<workers] the {m.trade}.",
            "{h.He} carried it to {m.trade.workplace}.",
            "{h.He} {h.was} very [sad].",
        ),
        _phrases(
            "[m<workers] mended it in [n<few] hours.",
            "Now the {t} is as good as new.",
        ),
    ),
    _Plot(
        _phrases(
            "One [sky] [part], [o] gave [h] [q.a] [t<things].",
            "On [day], [h] bought [q.a] [t<things] from [o].",
            "One [sky] [part], [h] found [q.a] [t<things] [spot2<spots].",
        ),
        _phrases(
            "{h.He} put it [spot<spots].",
            "{h.He} showed it to [x].",
            "{h.He} {h.was} very [glad].",
        ),
        _phrases(
            "{h.He} would not give the {t} away for [n<numbers] coins.",
            "Since then {h.he} {h.has} used it every [day2<day].",
        ),
    ),
)
_CLOSINGS = _phrases("{h} was [glad] again.", "In the evening {h} told [x2<people] all about it.")
"""What may come after any end."""

_PROMPTS = _phrases(
    "Tell me a story about [h] and [q.a] [t<things] in at most [limit<limits] sentences.",
    "Write a story about [h] with at most [limit<limits] sentences. It must contain the word [t<things].",
    "Make up a story in which [h] has [t<things.a], at most [limit<limits] sentences long.",
)
_LIMITS = {str(word): number for number, word in enumerate(words.NUMBERS, start=2)}


class _Parser:
    """Follows a tale sentence by sentence: whose it is, of what, and how far it has come."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._plot: _Plot | None = None
        self._told: set[Phrase] = set()
        self.known: dict[str, Any] = {}
        self.has_end = False

    def read(self, text: str) -> Phrase | None:
        """The wording that this sentence is, if it can stand here."""
        if self._plot is None:
            for plot in _PLOTS:
                if (phrase := self._find(plot.beginnings, text)) is not None:
                    self._plot = plot
                    thing = self.known["t"]
                    if plot is _PLOTS[1]:
                        self.known["m"] = self._lexicon.find_mender(thing)
                    return phrase
            return None
        if not self.has_end:
            if (phrase := self._find(self._plot.middles, text)) is not None:
                return phrase
            if (phrase := self._find(self._plot.ends, text)) is not None:
                self.has_end = True
                return phrase
            return None
        return self._find(_CLOSINGS, text)

    def _find(self, phrases: Sequence[Phrase], text: str) -> Phrase | None:
        for phrase in phrases:
            if phrase in self._told:
                continue
            roles = phrase.match(text, self._lexicon.pools, **self.known)
            mends_it_alone = "[m<" in phrase.wording and roles is not None and roles["m"] is roles["h"]
            if roles is not None and _is_sensible(roles) and not mends_it_alone:
                self._told.add(phrase)
                self.known = roles
                return phrase
        return None


def _is_sensible(roles: Mapping[str, Any]) -> bool:
    """Nobody finds, asks or pays themselves, and what is not in a place is not found there."""
    others = [roles[role] for role in ("o", "x", "x2") if role in roles]
    if any(other is roles.get("h") for other in others):
        return False
    return roles.get("spot") is None or roles.get("spot") is not roles.get("spot2")


class Tale(TaskKind):
    """A story about somebody and a thing, in at most so many sentences."""

    name, group, weight = "story", "instructions", 0.13
    acts = frozenset({"own"})

    def draw(self, lexicon: Lexicon, rng: random.Random, split: Split | None) -> Task | None:
        """See `TaskKind.draw`."""
        phrase = rng.choice(_PROMPTS)
        roles = phrase.draw(rng, lexicon.pools)
        if roles is None or not self.is_in(split, roles["h"], roles["t"]):
            return None
        return self._build(lexicon, phrase.render(roles), roles)

    def _build(self, lexicon: Lexicon, prompt: str, roles: Mapping[str, Any]) -> Task:
        return Task(kind=self.name, group=self.group, messages=(user(prompt),), roles=roles, lexicon=lexicon)

    def recognise(self, lexicon: Lexicon, messages: Sequence[Mapping[str, str]]) -> Task | None:
        """See `TaskKind.recognise`."""
        for phrase in _PROMPTS:
            roles = phrase.match(messages[-1]["content"], lexicon.pools)
            if roles is not None:
                return self._build(lexicon, messages[-1]["content"], roles)
        return None

    def read(self, task: Task, reply: str) -> Reading:
        """See `TaskKind.read`."""
        parser = _Parser(task.lexicon)

        def read_own(text: str, before: Sequence[Sentence]) -> Sentence | None:
            phrase = parser.read(text)
            return None if phrase is None else Sentence(text, "own", phrase=phrase)

        return read_reply(task.lexicon, reply, own=read_own)

    def write_ideal(self, task: Task, rng: random.Random, split: Split | None) -> str:
        """See `TaskKind.write_ideal`."""
        limit = _LIMITS[task.roles["limit"]]
        return self._write(task, rng, task.roles, rng.randint(2, limit))

    def _write(self, task: Task, rng: random.Random, asked: Mapping[str, Any], length: int) -> str:
        """A tale of so many sentences; drawn again until it makes sense."""
        known = {role: asked[role] for role in ("h", "t", "q") if role in asked}
        soft = known["t"] in words.SOFT_THINGS
        while True:
            plot = rng.choice(_PLOTS)
            shape = [plot.beginnings, *[plot.middles] * max(0, length - 2), plot.ends][:length]
            if length > 3 and rng.random() < 0.5:
                shape[-2:] = [plot.ends, _CLOSINGS]
            roles: dict[str, Any] = dict(known)
            if plot is _PLOTS[1]:
                roles["m"] = task.lexicon.find_mender(known["t"])
            told: list[Phrase] = []
            for choices in shape:
                fitting = [
                    p
                    for p in choices
                    if p not in told and ("<soft" if not soft else "<hard") not in p.wording
                ]
                phrase = rng.choice(fitting)
                drawn = phrase.draw(rng, task.lexicon.pools, **roles)
                assert drawn is not None
                told.append(phrase)
                roles = drawn
            if _is_sensible(roles) and roles.get("m") is not roles["h"]:
                return " ".join(phrase.render(roles) for phrase in told)

    def write_flawed(self, task: Task, rng: random.Random) -> str:
        """Too long, of somebody else or something else, or without an end."""
        limit = _LIMITS[task.roles["limit"]]
        flaw = rng.randrange(4)
        if flaw == 0 and limit < 4:
            return self._write(task, rng, task.roles, limit + 1)
        if flaw == 1:
            other = rng.choice([p for p in task.lexicon.cast.people if p is not task.roles["h"]])
            return self._write(task, rng, {**task.roles, "h": other}, limit)
        if flaw == 2:
            thing = rng.choice([t for t in task.lexicon.cast.things if t is not task.roles["t"]])
            return self._write(task, rng, {**task.roles, "t": thing}, limit)
        return self._write(task, rng, task.roles, 1)

    def grade(self, task: Task, reading: Reading) -> Grade:
        """A whole tale of the right person and thing, and not too long."""
        parser = _Parser(task.lexicon)
        own = [sentence for sentence in reading.sentences if sentence.act == "own"]
        for sentence in own:
            parser.read(sentence.text)
        if not own:
            return Grade(0.0, {"person": 0.0, "thing": 0.0, "length": 0.0, "whole": 0.0})
        asked, told = task.roles, parser.known
        person = float(told["h"] is asked["h"])
        thing = float(told["t"] is asked["t"])
        if "q" in asked and thing:
            thing = 1.0 if told["q"] is asked["q"] else 0.7
        length = float(len(own) <= _LIMITS[asked["limit"]])
        whole = float(parser.has_end)
        # squared: of the right person and the wrong thing is a quarter of a tale, not half of one
        merit = ((person + thing) / 2) ** 2 * (0.5 + 0.5 * length) * (0.5 + 0.5 * whole)
        return Grade(merit, {"person": person, "thing": thing, "length": length, "whole": whole})
