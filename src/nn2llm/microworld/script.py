"""A document as a row of choices: one program both writes documents and reads them back.

Read after wordings.py. A genre (stories.py, portraits.py, …) is a function of a `Script`. It writes whole
sentences by `say`, each one of several wordings, with places for words of a pool. What it draws, and how
probable that was, the script notes; so −log P(document) is the sum of −log P(choice), as in an arithmetic
code.

- `Writer` draws the choices at random and gives the text.
- `Reader` runs the same program along a given text and takes, at each choice, the option that stands there.
  It refuses a text in which two options fit: then a document would have two derivations.
- `Replayer` takes prescribed choices: for enumerating what can be written at all.

Used by world.py. Taught in `evaluating-lms`.
"""

import math
import random
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from nn2llm.core.errors import DataError
from nn2llm.microworld.wordings import Branches, Pool, Variants, find_form, join, resolve

__all__ = [
    "AmbiguityError",
    "ForeignTextError",
    "Reader",
    "Replayer",
    "Script",
    "Writer",
]

_LOG = [0.0, 0.0, *(math.log(n) for n in range(2, 2048))]
"""log n, for drawing one of n."""


class ForeignTextError(DataError):
    """A text that the world cannot have written."""


class AmbiguityError(Exception):
    """A text with two derivations: a mistake in a genre, never in the text."""


class Script(ABC):
    """The row of choices of one document, and the text so far."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        """What has been drawn or told, by role."""
        self.nats = 0.0
        """−log P of the choices so far."""
        self.drawn: list[str] = []
        """The drawn words in order: what a story is about, whatever its wording."""
        self._separator = ""

    def know(self, **entities: Any) -> None:
        """Give roles to entities that follow from what is known (the smith mends kettles)."""
        self.known.update(entities)

    def new_line(self) -> None:
        """Begin the next sentence on a new line."""
        self._separator = "\n"

    @abstractmethod
    def say(self, variants: Variants, **pools: Pool) -> None:
        """Write one wording as the next sentence."""

    def maybe(self, probability: float, variants: Variants, **pools: Pool) -> bool:
        """Write a sentence with this probability; what comes after it must not be able to begin like it."""
        return self.maybe_one_of(probability, [variants], **pools) is not None

    @abstractmethod
    def maybe_one_of(self, probability: float, groups: Sequence[Variants], **pools: Pool) -> int | None:
        """With this probability, write a sentence of one of the groups; returns which, or None."""

    @abstractmethod
    def say_one_of(self, groups: Sequence[Variants], **pools: Pool) -> int:
        """Write a sentence of one of the groups, each as likely; returns which group."""

    @abstractmethod
    def branch(self, branches: Branches, *arguments: Any) -> Any:
        """Run one of the functions on (this script, *arguments); returns what it returns."""


class Writer(Script):
    """Draws each choice from `rng`."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._random = rng.random
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        """The document so far."""
        return "".join(self._pieces)

    def _draw_uniform(self, count: int) -> int:
        return int(self._random() * count)

    def _draw_weighted(self, cumulative: list[float]) -> int:
        # the last bound may be 1 − 1e-16: a draw beyond it is the last option
        return min(bisect_right(cumulative, self._random()), len(cumulative) - 1)

    def say(self, variants: Variants, **pools: Pool) -> None:
        """Write one wording as the next sentence."""
        index = self._draw_weighted(variants.cumulative)
        self.nats += variants.nats[index]
        known, pieces = self.known, self._pieces
        head = variants.heads[index].format_map(known)
        pieces.append(join(self._separator, head))
        for role, name, form, following in variants.places[index]:
            pool = resolve(pools[name], known)
            entity = pool[self._draw_uniform(len(pool))]
            self.nats += _LOG[len(pool)]
            known[role] = entity
            self.drawn.append(str(entity))
            pieces.append(find_form(entity, form))
            pieces.append(following.format_map(known))
        self._separator = " "

    def say_one_of(self, groups: Sequence[Variants], **pools: Pool) -> int:
        """Write a sentence of one of the groups."""
        index = self._draw_uniform(len(groups))
        self.nats += _LOG[len(groups)]
        self.say(groups[index], **pools)
        return index

    def maybe_one_of(self, probability: float, groups: Sequence[Variants], **pools: Pool) -> int | None:
        """With this probability, write a sentence of one of the groups."""
        taken = self._draw_weighted([probability, 1.0]) == 0
        self.nats -= math.log(probability if taken else 1 - probability)
        return self.say_one_of(groups, **pools) if taken else None

    def branch(self, branches: Branches, *arguments: Any) -> Any:
        """Run one of the functions."""
        index = self._draw_weighted(branches.cumulative)
        self.nats += branches.nats[index]
        return branches.functions[index](self, *arguments)


class NeedChoiceError(Exception):
    """A `Replayer` has come to the end of its choices."""

    def __init__(self, probabilities: list[float], text: str) -> None:
        super().__init__(f"a choice of {len(probabilities)} after {text!r}")
        self.probabilities = probabilities
        self.text = text


class Replayer(Writer):
    """Takes prescribed choices, and stops with `NeedChoiceError` where they end."""

    def __init__(self, choices: Sequence[int]) -> None:
        super().__init__(random.Random(0))
        self._choices = iter(choices)

    def _next(self, probabilities: list[float]) -> int:
        try:
            return next(self._choices)
        except StopIteration:
            raise NeedChoiceError(probabilities, self.text) from None

    def _draw_uniform(self, count: int) -> int:
        return self._next([1 / count] * count)

    def _draw_weighted(self, cumulative: list[float]) -> int:
        return self._next([b - a for a, b in zip([0.0, *cumulative], cumulative, strict=False)])


class _MismatchError(Exception):
    """The text does not go on as this choice would."""


class Reader(Script):
    """Follows `text` and notes the choices that give it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._position = 0
        self._furthest = 0

    @property
    def at_end(self) -> bool:
        """Whether the whole text has been read."""
        return self._position == len(self._text)

    def read(self, program: Callable[..., Any], *arguments: Any) -> None:
        """Run the program along the whole text.

        Raises:
            ForeignTextError: if the program cannot have written it.
            AmbiguityError: if it could have in two ways.
        """
        try:
            program(self, *arguments)
            if not self.at_end:
                raise _MismatchError
        except _MismatchError:
            rest = self._text[self._furthest : self._furthest + 40]
            raise ForeignTextError(
                f"This is not a text of the micro-world: from character {self._furthest} on, {rest!r} cannot "
                "follow what is before it. Give a document of this very world (same seed, name and trade)."
            ) from None

    def _match(self, position: int, expected: str) -> int:
        """The position after `expected`, or -1. A word must not be the beginning of a longer one."""
        text = self._text
        if not text.startswith(expected, position):
            return -1
        end = position + len(expected)
        if expected and end < len(text) and expected[-1].isalnum() and text[end].isalnum():
            return -1
        self._furthest = max(self._furthest, end)
        return end

    def _pick(self, position: int, pool: Sequence[Any], form: Callable[[Any], Any] | None) -> tuple[Any, int]:
        """The entity of the pool that stands there, and the position after it; the longest that fits."""
        best, best_end = None, -1
        for entity in pool:
            end = self._match(position, find_form(entity, form))
            if end == best_end != -1 and entity is not best:
                raise AmbiguityError(f"{best} and {entity} look the same in {self._text!r}.")
            if end > best_end:
                best, best_end = entity, end
        if best_end == -1:
            raise _MismatchError
        return best, best_end

    def _try(self, variants: Variants, index: int, pools: Mapping[str, Pool]) -> "_State | None":
        """The state after this wording, or None if it does not stand here."""
        state = self._save()
        try:
            position = self._match(
                self._position, join(self._separator, variants.heads[index].format_map(self.known))
            )
            if position == -1:
                return None
            for role, name, form, following in variants.places[index]:
                pool = resolve(pools[name], self.known)
                entity, position = self._pick(position, pool, form)
                self.nats += _LOG[len(pool)]
                self.known[role] = entity
                self.drawn.append(str(entity))
                position = self._match(position, following.format_map(self.known))
                if position == -1:
                    return None
            self.nats += variants.nats[index]
            self._position = position
            self._separator = " "
            return self._save()
        except _MismatchError:
            return None
        finally:
            self._restore(state)

    def _find(self, groups: Sequence[Variants], pools: Mapping[str, Pool]) -> int | None:
        """The group with the one wording that stands here; the state is moved behind it."""
        found: tuple[int, str, _State] | None = None
        for number, variants in enumerate(groups):
            for index, head in enumerate(variants.heads):
                after = self._try(variants, index, pools)
                if after is None:
                    continue
                if found is not None:
                    raise AmbiguityError(f"{found[1]!r} and {head!r} both fit {self._text!r}.")
                found = (number, head, after)
        if found is None:
            return None
        self._restore(found[2])
        return found[0]

    def say(self, variants: Variants, **pools: Pool) -> None:
        """Read one wording."""
        if self._find([variants], pools) is None:
            raise _MismatchError

    def say_one_of(self, groups: Sequence[Variants], **pools: Pool) -> int:
        """Read a sentence of one of the groups; returns which group."""
        number = self._find(groups, pools)
        if number is None:
            raise _MismatchError
        self.nats += _LOG[len(groups)]
        return number

    def maybe_one_of(self, probability: float, groups: Sequence[Variants], **pools: Pool) -> int | None:
        """Read the sentence if it is there."""
        number = self._find(groups, pools)
        if number is None:
            self.nats -= math.log(1 - probability)
        else:
            self.nats += _LOG[len(groups)] - math.log(probability)
        return number

    def branch(self, branches: Branches, *arguments: Any) -> Any:
        """Try all functions; exactly one must be able to read on."""
        before = self._save()
        found: tuple[Any, _State] | None = None
        for function, cost in zip(branches.functions, branches.nats, strict=True):
            try:
                result = function(self, *arguments)
            except _MismatchError:
                continue
            else:
                if found is not None:
                    raise AmbiguityError(f"Two ways to go on at {before.position} of {self._text!r}.")
                self.nats += cost
                found = (result, self._save())
            finally:
                self._restore(before)
        if found is None:
            raise _MismatchError
        self._restore(found[1])
        return found[0]

    def _save(self) -> "_State":
        return _State(self._position, self.nats, self._separator, dict(self.known), self.drawn[:])

    def _restore(self, state: "_State") -> None:
        self._position, self.nats, self._separator = state.position, state.nats, state.separator
        self.known, self.drawn = dict(state.known), list(state.drawn)


class _State(NamedTuple):
    position: int
    nats: float
    separator: str
    known: dict[str, Any]
    drawn: list[str]
