"""Items with one right answer, for asking a base model what it has learned.

Read after world.py. Every prompt is the beginning of a document as the world writes them, so a model that has
read enough of it needs no instruction. Used by evals/microworld_probes.py.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from nn2llm.microworld import vocabulary as words
from nn2llm.microworld.cast import without
from nn2llm.microworld.questions import ASKED, KINDS, Asked, pools_of
from nn2llm.microworld.script import Writer
from nn2llm.microworld.world import World

__all__ = [
    "ProbeItem",
    "build_context_items",
    "build_few_shot_items",
    "build_grammar_pairs",
    "build_recall_items",
]

_NUM_CHOICES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeItem:
    """A prompt and continuations of it, exactly one of them right."""

    kind: str
    """The row it is reported under."""
    prompt: str
    """The beginning of a document; "" for a pair of whole documents."""
    choices: tuple[str, ...]
    """What may follow the prompt."""
    answer: int
    """Index of the right choice."""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _build_item(rng: random.Random, kind: str, prompt: str, right: str, wrong: list[str]) -> ProbeItem:
    choices = [right, *wrong]
    rng.shuffle(choices)
    return ProbeItem(kind=kind, prompt=prompt, choices=tuple(choices), answer=choices.index(right))


@dataclass(frozen=True, slots=True)
class _Question:
    """A question about a fact, with its two right answers and wrong ones of the same kind."""

    subject: object
    text: str
    short: str
    full: str
    wrong: tuple[tuple[str, str], ...]
    """(short, full) answers that are not right."""


class _Asker:
    """Draws questions about facts of a world."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._rng = rng
        self._cast = world.cast
        self._pools = pools_of(world.cast)

    def ask(self, kind: str, besides: Sequence[object] = ()) -> _Question:
        """A question of this kind, of somebody (or something) who is none of `besides`."""
        pools = self._pools if not besides else pools_of(self._cast, *besides)
        writer = Writer(self._rng)
        writer.say(ASKED[kind].questions, **pools)
        known = writer.known
        asked = ASKED[kind]
        right = _answer(asked, known)
        # wrong: what would be right of somebody else, with the subject left as it is
        values: dict[str, tuple[str, str]] = {}
        for other in self._list_subjects(kind, known["p"]):
            for tie in getattr(other, "kin", []) if kind == "kin" else [known.get("k")]:
                short = _answer(asked, {"p": other, "k": tie})[0]
                if short != right[0] and not (kind == "kin" and short == str(known["p"])):
                    values[short] = (short, right[1].replace(_inside(kind, right[0]), _inside(kind, short)))
        wrong = self._rng.sample(sorted(values.values()), min(_NUM_CHOICES - 1, len(values)))
        return _Question(known["p"], writer.text, *right, tuple(wrong))

    def _list_subjects(self, kind: str, subject: Any) -> list[Any]:
        pool = {"trade": "adults", "helper": "children", "kin": "with_kin", "lane": "lanes"}.get(kind)
        if pool is None:
            pool = "workers" if kind in ("workplace", "near", "goods", "tool") else "people"
        return without(self._pools[pool], subject)


def _inside(kind: str, answer: str) -> str:
    """An answer as it stands inside a sentence: without its capital, unless it is a name."""
    return answer if kind in ("kin", "pet_name") else answer[:1].lower() + answer[1:]


def _answer(asked: Asked, known: dict[str, Any]) -> tuple[str, str]:
    return _capital(asked.short.format_map(known)), _capital(asked.full.format_map(known))


def build_recall_items(world: World, *, num_items: int, seed: int) -> list[ProbeItem]:
    """Facts of the village, asked for as in a document of questions; kinds are those of `FACT_KINDS`."""
    rng = random.Random(f"recall {seed}")
    asker = _Asker(world, rng)
    items = []
    for number in range(num_items):
        kind = KINDS[number % len(KINDS)]
        question = asker.ask(kind)
        wrong = [f" {short}." for short, _ in question.wrong]
        prompt = f"Question: {question.text}\nAnswer:"
        items.append(_build_item(rng, kind, prompt, f" {question.short}.", wrong))
    return items


def build_few_shot_items(world: World, *, num_items: int, seed: int) -> list[ProbeItem]:
    """Questions after none, one or three answered ones of the same kind, all answered in one of two styles.

    Right is the true answer in the style of the examples; the others are a false one in that style, and
    both in the other style. With no example either style is as likely: half can be right at best.
    """
    rng = random.Random(f"few shot {seed}")
    asker = _Asker(world, rng)
    items = []
    for number in range(num_items):
        num_shots = (0, 1, 3)[number % 3]
        kind = rng.choice(("trade", "home", "pet", "pet_name", "food", "pastime", "kin"))
        style = rng.choice(("short", "full"))
        asked: list[_Question] = []
        for _ in range(num_shots + 1):
            asked.append(asker.ask(kind, [question.subject for question in asked]))
        shots = [f"Question: {q.text}\nAnswer: {getattr(q, style)}.\n" for q in asked[:-1]]
        last = asked[-1]
        wrong_short, wrong_full = last.wrong[0]
        right, other = (last.short, last.full) if style == "short" else (last.full, last.short)
        choices = [f" {text}." for text in (other, wrong_short, wrong_full)]
        prompt = "".join(shots) + f"Question: {last.text}\nAnswer:"
        items.append(_build_item(rng, f"{num_shots} examples", prompt, f" {right}.", choices))
    return items


def build_context_items(world: World, *, num_items: int, seed: int) -> list[ProbeItem]:
    """Questions whose answer stands in the sentences before them; so does every wrong choice."""
    rng = random.Random(f"context {seed}")
    kinds = (_ask_where, _ask_whose, _ask_how_many, _ask_who_has)
    return [kinds[number % len(kinds)](world, rng) for number in range(num_items)]


def _draw_two(rng: random.Random, pool: Sequence[Any]) -> tuple[Any, Any]:
    first, second = rng.sample(list(pool), 2)
    return first, second


def _build_context_item(
    rng: random.Random, kind: str, prompt: str, right: object, *wrong: object
) -> ProbeItem:
    return _build_item(
        rng, kind, f"{prompt}\nAnswer:", f" {_capital(str(right))}.", [f" {_capital(str(w))}." for w in wrong]
    )


def _draw_things(world: World, rng: random.Random) -> tuple[str, list[tuple[Any, Any, Any]]]:
    """Two sentences, and their (owner, thing, place) in any order."""
    a, b = _draw_two(rng, world.cast.people)
    t, t2 = _draw_two(rng, world.cast.things)
    spot, spot2 = _draw_two(rng, words.SPOTS)
    q, q2 = rng.choice(words.QUALITIES), rng.choice(words.QUALITIES)
    text = f"{a} put {a.his} {q} {t} {spot}. {b} put {b.his} {q2} {t2} {spot2}.\n"
    said = [(a, t, spot), (b, t2, spot2)]
    rng.shuffle(said)
    return text, said


def _ask_where(world: World, rng: random.Random) -> ProbeItem:
    text, ((_, thing, spot), (_, _, other)) = _draw_things(world, rng)
    return _build_context_item(rng, "where it is", f"{text}Question: Where is the {thing}?", spot, other)


def _ask_whose(world: World, rng: random.Random) -> ProbeItem:
    text, ((owner, thing, _), (other, _, _)) = _draw_things(world, rng)
    return _build_context_item(rng, "whose it is", f"{text}Question: Who owns {thing.a}?", owner, other)


def _ask_how_many(world: World, rng: random.Random) -> ProbeItem:
    a, b = _draw_two(rng, world.cast.people)
    n, n2 = _draw_two(rng, words.NUMBERS)
    fruit, fruit2 = _draw_two(rng, words.BASKETS)
    text = f"{a} has {n} {fruit}. {b} has {n2} {fruit2}.\n"
    who, what, right, wrong = (a, fruit, n, n2) if rng.random() < 0.5 else (b, fruit2, n2, n)
    return _build_context_item(
        rng, "how many", f"{text}Question: How many {what} does {who} have?", right, wrong
    )


def _ask_who_has(world: World, rng: random.Random) -> ProbeItem:
    """What was given twice is asked for as often as who had it first: the last name is not always right."""
    a, b, x = rng.sample(list(world.cast.people), 3)
    t, q = rng.choice(world.cast.things), rng.choice(words.QUALITIES)
    text = f"{a} had {q.a} {t}. On {rng.choice(words.DAYS)} {a} gave it to {b}. Later {b} gave it to {x}.\n"
    if rng.random() < 0.5:
        return _build_context_item(rng, "who has it now", f"{text}Question: Who has the {t} now?", x, a, b)
    return _build_context_item(rng, "who had it first", f"{text}Question: Who had the {t} first?", a, b, x)


_VERBS = "likes|loves|works|lives|makes|spends|feeds|enjoys|begins|sells|helps|knows|leads|stands"
_SINGULAR = {
    "cherries": "cherry",
    "blackberries": "blackberry",
    "strawberries": "strawberry",
    "raspberries": "raspberry",
    "potatoes": "potato",
    "radishes": "radish",
}


_PLURALS = {"is": "are", "was": "were", "has": "have"}


def _alternatives(entities: Sequence[str]) -> str:
    return "|".join(map(re.escape, entities))


class _Damage(NamedTuple):
    """A way to break a sentence: what is looked for, and what takes its place."""

    pattern: re.Pattern[str]
    replace: Callable[[re.Match[str]], str]


def _damage(pattern: str, replace: Callable[[re.Match[str]], str]) -> _Damage:
    return _Damage(re.compile(pattern), replace)


_WHO = r"\b((?:He|She|[A-Z][a-z]+) )"
_DAMAGES: dict[str, tuple[_Damage, ...]] = {
    "agreement": (
        _damage(rf"{_WHO}({_VERBS})\b", lambda m: m[1] + m[2][:-1]),
        _damage(rf"{_WHO}(is|was|has)\b", lambda m: m[1] + _PLURALS[m[2]]),
    ),
    "article": (
        _damage(r"\b(an) (\w+)", lambda m: f"a {m[2]}"),
        _damage(r"\b(a) (\w+)", lambda m: f"an {m[2]}"),
    ),
    "number": (
        _damage(
            rf"\b({_alternatives(words.NUMBERS)}) ({_alternatives(words.BASKETS)})\b",
            lambda m: f"{m[1]} {_SINGULAR.get(m[2], m[2][:-1])}",
        ),
        _damage(
            rf"\b(an?) ({_alternatives(words.QUALITIES)}) ({_alternatives(words.THINGS)})\b",
            lambda m: f"{m[1]} {m[2]} {m[3]}s",
        ),
    ),
    "word order": (
        _damage(
            rf"\b(the|her|his|their) ({_alternatives(words.QUALITIES)}) ({_alternatives(words.THINGS)})\b",
            lambda m: f"{m[1]} {m[3]} {m[2]}",
        ),
    ),
    "gender": (
        _damage(r"\b(?:her|He)\b", lambda m: {"her": "his", "He": "She"}[m[0]]),
        _damage(r"\b(?:his|She)\b", lambda m: {"his": "her", "She": "He"}[m[0]]),
    ),
}
"""Where two ways are given they take turns, and one makes the text longer, the other shorter: length tells
nothing of what is right."""


def build_grammar_pairs(world: World, *, num_items: int, seed: int) -> list[ProbeItem]:
    """Pairs of documents that differ in one point of grammar, the wrong one made from the right one."""
    rng = random.Random(f"grammar {seed}")
    kinds = list(_DAMAGES)
    items: list[ProbeItem] = []
    while len(items) < num_items:
        round_number, which = divmod(len(items), len(kinds))
        kind = kinds[which]
        ways = _DAMAGES[kind]
        damage = ways[round_number % len(ways)]
        text = world.sample(rng, "val").text
        found = list(damage.pattern.finditer(text))
        if found:
            match = rng.choice(found)
            broken = text[: match.start()] + damage.replace(match) + text[match.end() :]
            items.append(_build_item(rng, kind, "", text, [broken]))
    return items
