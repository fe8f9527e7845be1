"""A sentence with places, in both directions: written from what is known, and recognised in a text.

Read after wordings.py, whose notation this is: `{h.his}` is a form of what is known, `[t]` or `[t.a]` a word
of the pool `t`, `[t<soft]` a word of the pool `soft` that plays the role `t`. Unlike a genre's program, which
reads a document of its own from beginning to end, a phrase recognises one sentence of anybody's: what a
trained model says. What is recognised is written again and compared, so that a wrong pronoun is no match.

Used by the kinds of task and by replies.py.
"""

import random
import re
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from nn2llm.microworld.wordings import Pool, find_form, resolve

__all__ = ["Phrase", "Pools", "capitalise", "draw_roles"]

Pools = Mapping[str, Pool]
"""What the places are filled from, by name."""

_PART = re.compile(r"\[(\w+)(?:<(\w+))?(?:\.([\w.]+))?\]|\{([\w.]+)\}")


class _Place(NamedTuple):
    role: str
    pool: str
    form: Any


class Phrase:
    """One wording.

    Args:
        wording: the sentence, in the notation above.
    """

    __slots__ = ("_cache", "_pieces", "places", "wording")

    def __init__(self, wording: str) -> None:
        self.wording = wording
        self._pieces: list[str | _Place] = []
        end = 0
        for match in _PART.finditer(wording):
            self._pieces.append(wording[end : match.start()])
            if match[1] is not None:
                form = attrgetter(match[3]) if match[3] else None
                self._pieces.append(_Place(match[1], match[2] or match[1], form))
            else:
                self._pieces.append(match[0])
            end = match.end()
        self._pieces.append(wording[end:])
        self.places = tuple(piece for piece in self._pieces if isinstance(piece, _Place))
        self._cache: tuple[Pools, re.Pattern[str], list[dict[str, Any]]] | None = None

    def __repr__(self) -> str:
        return f"Phrase({self.wording!r})"

    def draw(self, rng: random.Random, pools: Pools, **known: Any) -> dict[str, Any] | None:
        """Words for the places that are not known yet; None where a pool is empty."""
        roles = dict(known)
        for role, name, _ in self.places:
            if role not in roles:
                pool = resolve(pools[name], roles)
                if not pool:
                    return None
                roles[role] = rng.choice(pool)
        return roles

    def render(self, roles: Mapping[str, Any]) -> str:
        """The sentence. Raises KeyError where a role is missing."""
        parts = []
        for piece in self._pieces:
            if isinstance(piece, _Place):
                parts.append(find_form(roles[piece.role], piece.form))
            else:
                parts.append(piece.format_map(roles) if piece.startswith("{") else piece)
        return "".join(parts)

    def match(self, text: str, pools: Pools, **known: Any) -> dict[str, Any] | None:
        """The roles, those known among them, with which this phrase is exactly `text`; None where it is not.

        `pools` is the same object at every call: the pattern is made for it once.
        """
        if self._cache is None or self._cache[0] is not pools:
            self._cache = (pools, *self._compile(pools))
        _, pattern, entities = self._cache
        found = pattern.fullmatch(text)
        if found is None:
            return None
        roles = dict(known)
        for place, entity_of, word in zip(self.places, entities, found.groups(), strict=True):
            if roles.setdefault(place.role, entity_of[word]) is not entity_of[word]:
                return None
        try:
            return roles if self.render(roles) == text else None
        except (KeyError, AttributeError):
            return None

    def _compile(self, pools: Pools) -> tuple[re.Pattern[str], list[dict[str, Any]]]:
        parts: list[str] = []
        entities: list[dict[str, Any]] = []
        for piece in self._pieces:
            if isinstance(piece, _Place):
                forms: dict[str, Any] = {}
                for entity in resolve(pools[piece.pool], {}):
                    forms.setdefault(find_form(entity, piece.form), entity)
                longest_first = sorted(forms, key=len, reverse=True)
                parts.append("(" + "|".join(map(re.escape, longest_first)) + ")" if forms else "((?!))")
                entities.append(forms)
            else:
                # a form of something known: anything, until it has been compared with what is written again
                parts.append(".*?" if piece.startswith("{") else re.escape(piece))
        return re.compile("".join(parts)), entities


def draw_roles(phrases: Sequence[Phrase], rng: random.Random, pools: Pools, **known: Any) -> str | None:
    """One of the phrases with drawn words; None where none has any to draw."""
    for phrase in rng.sample(phrases, len(phrases)):
        roles = phrase.draw(rng, pools, **known)
        if roles is not None:
            return phrase.render(roles)
    return None


def capitalise(text: str) -> str:
    """With a capital, as at the beginning of a sentence."""
    return text[:1].upper() + text[1:]
