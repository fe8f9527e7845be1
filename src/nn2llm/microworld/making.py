"""Instructions with demands that can be checked: list, compare, rewrite.

Read after asking.py. Used by tasks.py; stories have a file of their own (tales.py).
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from nn2llm.microworld import vocabulary as words
from nn2llm.microworld.asking import draw_wrong_value
from nn2llm.microworld.cast import without
from nn2llm.microworld.claims import (
    FactKey,
    find_truth,
    is_fact_held_out,
    list_facts_of,
    state,
    state_both,
)
from nn2llm.microworld.lexicon import Lexicon
from nn2llm.microworld.phrases import Phrase
from nn2llm.microworld.replies import Reading, Sentence, read_reply
from nn2llm.microworld.task import Grade, Split, Task, TaskKind, user

__all__ = ["Comparison", "Listing", "Rewriting"]

_NUMBERS = {str(word): number for number, word in enumerate(words.NUMBERS, start=2)}


def _may_tell(key: FactKey, split: Split | None) -> bool:
    return split != "train" or not is_fact_held_out(key)


class Listing(TaskKind):
    """So many things about somebody: facts, each once."""

    name, group, weight = "list", "instructions", 0.08
    acts = frozenset({"claim"})
    _prompts = (
        Phrase("Tell me [n<limits] things about [p]."),
        Phrase("What do you know about [p]? Name [n<limits] things."),
        Phrase("List [n<limits] facts about [p]."),
    )

    def draw(self, lexicon: Lexicon, rng: random.Random, split: Split | None) -> Task | None:
        """See `TaskKind.draw`."""
        phrase = rng.choice(self._prompts)
        roles = phrase.draw(rng, lexicon.pools)
        if roles is None or not self.is_in(split, roles["p"], roles["n"]):
            return None
        known = sum(_may_tell(key, split) for key in list_facts_of(roles["p"]))
        if known < _NUMBERS[roles["n"]]:
            return None
        return self._build(lexicon, phrase.render(roles), roles)

    def _build(self, lexicon: Lexicon, prompt: str, roles: Mapping[str, Any]) -> Task:
        facts = tuple(list_facts_of(roles["p"]))
        return Task(
            kind=self.name,
            group=self.group,
            messages=(user(prompt),),
            roles=roles,
            facts=facts,
            lexicon=lexicon,
        )

    def recognise(self, lexicon: Lexicon, messages: Sequence[Mapping[str, str]]) -> Task | None:
        """See `TaskKind.recognise`."""
        return _recognise(self._prompts, self._build, lexicon, messages)

    def read(self, task: Task, reply: str) -> Reading:
        """See `TaskKind.read`."""
        return read_reply(task.lexicon, reply, topic=task.roles["p"])

    def _write(self, task: Task, rng: random.Random, split: Split | None, num: int, num_wrong: int) -> str:
        keys = [key for key in task.facts if _may_tell(key, split)]
        keys = rng.sample(keys, min(num, len(keys)))
        wrong = set(rng.sample(range(len(keys)), min(num_wrong, len(keys))))
        sentences = []
        for place, key in enumerate(keys):
            value = draw_wrong_value(task.lexicon, rng, key) if place in wrong else None
            sentences.append(state(task.lexicon, key, value, pronoun=place > 0))
        return " ".join(sentences)

    def write_ideal(self, task: Task, rng: random.Random, split: Split | None) -> str:
        """See `TaskKind.write_ideal`."""
        return self._write(task, rng, split, _NUMBERS[task.roles["n"]], 0)

    def write_flawed(self, task: Task, rng: random.Random) -> str:
        """One of them wrong, or one too few."""
        num = _NUMBERS[task.roles["n"]]
        return (
            self._write(task, rng, "train", num, 1)
            if rng.random() < 0.5
            else self._write(task, rng, "train", num - 1, 0)
        )

    def grade(self, task: Task, reading: Reading) -> Grade:
        """The share of the things asked for that are there and true; more than asked for is surplus."""
        person, wanted = task.roles["p"], _NUMBERS[task.roles["n"]]
        told: set[FactKey] = set()
        count = 0
        for sentence in reading.sentences:
            own = {
                claim.key for claim in sentence.claims if claim.key.subject == person.name and claim.is_true
            }
            count += bool(own - told)
            told |= own
        merit = min(count, wanted) / wanted
        number = reading.count("claim")
        return Grade(
            merit * (1.0 if number == wanted else 0.8),
            {"true": merit, "number": float(number == wanted)},
            surplus=max(0, number - wanted),
        )


class Comparison(TaskKind):
    """The same of two people, side by side."""

    name, group, weight = "compare", "instructions", 0.07
    acts = frozenset({"claim"})
    _prompts: tuple[tuple[str, Phrase], ...] = (
        ("home", Phrase("Compare where [p] and [p2] live.")),
        ("pet", Phrase("Compare the animals of [p] and [p2].")),
        ("food", Phrase("Compare what [p] and [p2] like to eat.")),
        ("pastime", Phrase("Compare what [p] and [p2] love to do.")),
        ("trade", Phrase("Compare the trades of [p<adults] and [p2<adults].")),
    )

    def draw(self, lexicon: Lexicon, rng: random.Random, split: Split | None) -> Task | None:
        """See `TaskKind.draw`."""
        kind, phrase = rng.choice(self._prompts)
        roles = phrase.draw(rng, lexicon.pools)
        if roles is None or roles["p"] is roles["p2"]:
            return None
        keys = [FactKey(kind, roles[role].name) for role in ("p", "p2")]
        if split is not None and [is_fact_held_out(key) for key in keys].count(split == "val") == 0:
            return None
        if split == "train" and any(map(is_fact_held_out, keys)):
            return None
        return self._build(lexicon, phrase.render(roles), roles, kind)

    def _build(self, lexicon: Lexicon, prompt: str, roles: Mapping[str, Any], kind: str) -> Task:
        return Task(
            kind=self.name,
            group=self.group,
            messages=(user(prompt),),
            roles=roles,
            facts=tuple(FactKey(kind, roles[role].name) for role in ("p", "p2")),
            lexicon=lexicon,
        )

    def recognise(self, lexicon: Lexicon, messages: Sequence[Mapping[str, str]]) -> Task | None:
        """See `TaskKind.recognise`."""
        for kind, phrase in self._prompts:
            roles = phrase.match(messages[-1]["content"], lexicon.pools)
            if roles is not None and roles["p"] is not roles["p2"]:
                return self._build(lexicon, messages[-1]["content"], roles, kind)
        return None

    def write_ideal(self, task: Task, rng: random.Random, split: Split | None) -> str:
        """See `TaskKind.write_ideal`."""
        return self._write(task, [find_truth(task.lexicon, key) for key in task.facts])

    def _write(self, task: Task, values: Sequence[Any]) -> str:
        kind = task.facts[0].kind
        if values[0] is values[1] and kind != "trade":
            return state_both(kind, task.roles["p"], task.roles["p2"], values[0])
        first, second = (
            state(task.lexicon, key, value) for key, value in zip(task.facts, values, strict=True)
        )
        return f"{first.removesuffix('.')}, but {second}"

    def write_flawed(self, task: Task, rng: random.Random) -> str:
        """One side is wrong, or left out."""
        values = [find_truth(task.lexicon, key) for key in task.facts]
        place = rng.randrange(2)
        if rng.random() < 0.3:
            return state(task.lexicon, task.facts[place])
        values[place] = draw_wrong_value(task.lexicon, rng, task.facts[place])
        return self._write(task, values)

    def grade(self, task: Task, reading: Reading) -> Grade:
        """Half for each person; "but" where both are the same costs a little."""
        right = 0
        for key in task.facts:
            own = [claim for claim in reading.claims if claim.key == key]
            right += bool(own) and all(claim.is_true for claim in own)
        values = [find_truth(task.lexicon, key) for key in task.facts]
        says_both = any(sentence.core.startswith("Both ") for sentence in reading.sentences)
        fits = float(right == 2 and says_both == (values[0] is values[1]))
        merit = right / 2 * (0.8 + 0.2 * fits)
        others = sum(claim.key not in task.facts for claim in reading.claims)
        return Grade(merit, {"right": right / 2, "compared": fits}, surplus=others)


_SENTENCES = (
    Phrase("[p] lost {p.his} [q] [t<things]."),
    Phrase("[p] left {p.his} [q] [t<things] [spot<spots]."),
    Phrase("[p] found {p.his} [q] [t<things] [spot<spots]."),
    Phrase("[p] gave {p.his} [q] [t<things] to [o]."),
    Phrase("On [day], [p] sold {p.his} [q] [t<things]."),
)


class Rewriting(TaskKind):
    """A sentence with one thing changed and all else left as it is, the pronoun apart."""

    name, group, weight = "rewrite", "instructions", 0.07
    acts = frozenset({"own"})
    _of_person = "Rewrite this sentence about {new} instead of {old}: {sentence}"
    _of_thing = "Rewrite this sentence with {new} instead of {old}: {sentence}"

    def draw(self, lexicon: Lexicon, rng: random.Random, split: Split | None) -> Task | None:
        """See `TaskKind.draw`."""
        phrase = rng.choice(_SENTENCES)
        roles = phrase.draw(rng, lexicon.pools)
        if roles is None or roles["p"] is roles.get("o") or not self.is_in(split, *roles.values()):
            return None
        role = rng.choice(("p", "t"))
        pool = lexicon.pools["people" if role == "p" else "things"]
        new = rng.choice(without(pool, roles[role], roles.get("o")))
        sentence, target = phrase.render(roles), phrase.render({**roles, role: new})
        prompt = (self._of_person if role == "p" else self._of_thing).format(
            new=new, old=roles[role], sentence=sentence
        )
        return self._build(lexicon, prompt, sentence, target)

    def _build(self, lexicon: Lexicon, prompt: str, sentence: str, target: str) -> Task:
        roles = {"sentence": sentence, "target": target}
        return Task(kind=self.name, group=self.group, messages=(user(prompt),), roles=roles, lexicon=lexicon)

    def recognise(self, lexicon: Lexicon, messages: Sequence[Mapping[str, str]]) -> Task | None:
        """See `TaskKind.recognise`."""
        text = messages[-1]["content"]
        head, found, sentence = text.partition(": ")
        for role, start in (("p", "Rewrite this sentence about "), ("t", "Rewrite this sentence with ")):
            if not (found and head.startswith(start)):
                continue
            new, _, old = head[len(start) :].partition(" instead of ")
            pool = {str(entity): entity for entity in lexicon.pools["people" if role == "p" else "things"]}
            for phrase in _SENTENCES:
                roles = phrase.match(sentence, lexicon.pools)
                if roles is not None and str(roles[role]) == old and new in pool:
                    return self._build(lexicon, text, sentence, phrase.render({**roles, role: pool[new]}))
        return None

    def read(self, task: Task, reply: str) -> Reading:
        """See `TaskKind.read`."""

        def read_own(text: str, before: Sequence[Sentence]) -> Sentence | None:
            known = any(phrase.match(text, task.lexicon.pools) is not None for phrase in _SENTENCES)
            return Sentence(text, "own") if known else None

        return read_reply(task.lexicon, reply, own=read_own)

    def write_ideal(self, task: Task, rng: random.Random, split: Split | None) -> str:
        """See `TaskKind.write_ideal`."""
        return str(task.roles["target"])

    def write_flawed(self, task: Task, rng: random.Random) -> str:
        """The sentence as it was."""
        return str(task.roles["sentence"])

    def grade(self, task: Task, reading: Reading) -> Grade:
        """1 for the one right sentence; half of what was changed rightly where all the rest has been kept."""
        written = [sentence.text for sentence in reading.sentences if sentence.act == "own"]
        if len(written) != 1:
            return Grade(0.0, {"changed": 0.0, "kept": 0.0}, surplus=max(0, len(written) - 1))
        old, new, got = (text.split() for text in (task.roles["sentence"], task.roles["target"], written[0]))
        if got == new:
            return Grade(1.0, {"changed": 1.0, "kept": 1.0})
        if not len(old) == len(new) == len(got):
            return Grade(0.0, {"changed": 0.0, "kept": 0.0})
        changes = [g == n for o, n, g in zip(old, new, got, strict=True) if o != n]
        kept = [g == n for o, n, g in zip(old, new, got, strict=True) if o == n]
        changed = sum(changes) / len(changes) if changes else 0.0
        return Grade(0.5 * changed * all(kept), {"changed": changed, "kept": sum(kept) / max(1, len(kept))})


def _recognise(
    prompts: Sequence[Phrase], build: Any, lexicon: Lexicon, messages: Sequence[Mapping[str, str]]
) -> Task | None:
    for phrase in prompts:
        roles = phrase.match(messages[-1]["content"], lexicon.pools)
        if roles is not None:
            task: Task = build(lexicon, messages[-1]["content"], roles)
            return task
    return None
