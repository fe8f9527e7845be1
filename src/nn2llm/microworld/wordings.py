"""Sentences with places for words, and the cost of choosing among them.

Read first in this room. Used by script.py, which writes and reads them, and by the genres, which hold them.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

__all__ = ["Branches", "Entity", "Pool", "Variants", "compute_costs", "find_form", "join", "resolve"]

_PLACE = re.compile(r"\[(\w+)(?:<(\w+))?(?:\.([\w.]+))?\]")


Pool = Sequence[Any] | Callable[[dict[str, Any]], Sequence[Any]]
"""What is drawn from: entities, or a function of what is known that gives them."""


class Entity(Protocol):
    """What stands in a place of a sentence: `str()` is its plain form, attributes are others ("a red")."""

    def __str__(self) -> str: ...


class _Place(NamedTuple):
    """A word to be drawn, and the text up to the next one."""

    role: str
    pool: str
    form: Callable[[Any], Any] | None
    following: str


class Variants:
    """Wordings of a sentence, one of which is drawn.

    In a wording, `{h.his}` is a form of what is known already, and `[t]` or `[t.a]` draws an entity from the
    pool of that name, which is known from then on; `[t<soft]` draws `t` from the pool `soft`.

    Args:
        wordings: the sentences.
        weights: how often each comes; equally often by default.
    """

    __slots__ = ("cumulative", "heads", "nats", "places")

    def __init__(self, *wordings: str, weights: Sequence[float] | None = None) -> None:
        if not wordings or len(set(wordings)) < len(wordings):
            raise ValueError(f"wordings must be different and at least one, got {wordings!r}.")
        self.heads: list[str] = []
        self.places: list[tuple[_Place, ...]] = []
        for wording in wordings:
            found = list(_PLACE.finditer(wording))
            ends = [match.start() for match in found[1:]] + [len(wording)]
            self.heads.append(wording[: found[0].start()] if found else wording)
            self.places.append(
                tuple(
                    _Place(
                        match[1],
                        match[2] or match[1],
                        attrgetter(match[3]) if match[3] else None,
                        wording[match.end() : end],
                    )
                    for match, end in zip(found, ends, strict=bool(found))
                )
            )
        self.nats, self.cumulative = compute_costs(weights or [1.0] * len(wordings))

    def render(self, index: int, known: Mapping[str, Any]) -> str:
        """The wording of this index, where everything that it would draw is known."""
        parts = [self.heads[index].format_map(known)]
        for role, _, form, following in self.places[index]:
            parts += [find_form(known[role], form), following.format_map(known)]
        return "".join(parts)


def compute_costs(weights: Sequence[float]) -> tuple[list[float], list[float]]:
    """−log of each option's probability, and the cumulative probabilities to draw from."""
    total = math.fsum(weights)
    return [-math.log(weight / total) for weight in weights], [c / total for c in accumulate(weights)]


class Branches:
    """Parts of a document of which one is written: functions of a script and what `branch` is given."""

    __slots__ = ("cumulative", "functions", "nats")

    def __init__(self, *options: tuple[float, Callable[..., Any]]) -> None:
        self.functions = [function for _, function in options]
        self.nats, self.cumulative = compute_costs([weight for weight, _ in options])


def find_form(entity: Entity, form: Callable[[Any], Any] | None) -> str:
    """The plain form, or the one that the place asks for."""
    return str(entity) if form is None else str(form(entity))


def resolve(pool: Pool, known: dict[str, Any]) -> Sequence[Any]:
    """What there is to draw from, by what is known."""
    return pool(known) if callable(pool) else pool


def join(separator: str, head: str) -> str:
    """A sentence, or a part of one, after what is before it: no space before a comma."""
    return head if head.startswith((",", "'", ".", ":")) else separator + head
