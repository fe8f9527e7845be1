"""A task: what a user asks of the chat model, and what a kind of task must know about it.

Read after replies.py. Used by the kinds of task, tasks.py and gold.py.
"""

import random
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from nn2llm.microworld.claims import FactKey
from nn2llm.microworld.lexicon import Lexicon
from nn2llm.microworld.phrases import Phrase
from nn2llm.microworld.replies import Act, Reading, read_reply

__all__ = ["Grade", "Split", "Task", "TaskKind", "assistant", "draw_from", "user"]

Split = Literal["train", "val"]
_HELD_OUT = 5


def user(content: str) -> dict[str, str]:
    """A user's turn."""
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    """The assistant's turn."""
    return {"role": "assistant", "content": content}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    """One conversation up to where the assistant must reply."""

    kind: str
    """A kind of `tasks.TASK_KINDS`."""
    group: str
    """What it tests: one of `tasks.TASK_GROUPS`."""
    messages: tuple[dict[str, str], ...]
    """Turns with "role" and "content"; the last is a user's."""
    roles: Mapping[str, Any] = field(repr=False)
    """Who and what it is about."""
    facts: tuple[FactKey, ...] = ()
    """What one must know for the right reply."""
    lexicon: Lexicon = field(repr=False)
    """Of the village that it is about."""

    @property
    def prompt(self) -> str:
        """The last user's turn."""
        return self.messages[-1]["content"]


@dataclass(frozen=True, slots=True)
class Grade:
    """What a kind of task thinks of a reply, language apart."""

    merit: float
    """0 to 1: how well it does what was asked."""
    parts: dict[str, float] = field(default_factory=dict)
    """What merit is made of."""
    surplus: int = 0
    """Sentences of the right acts that nobody asked for."""


class TaskKind(ABC):
    """How tasks of one kind are made, recognised, answered and graded."""

    name: ClassVar[str]
    group: ClassVar[str]
    weight: ClassVar[float]
    """How often it comes."""
    acts: ClassVar[frozenset[Act]]
    """What a good reply consists of; gold.py counts the rest as surplus or as contradiction."""

    @abstractmethod
    def draw(self, lexicon: Lexicon, rng: random.Random, split: Split | None) -> Task | None:
        """A task of this split; None where what was drawn belongs to the other one, or there is none."""

    @abstractmethod
    def recognise(self, lexicon: Lexicon, messages: Sequence[Mapping[str, str]]) -> Task | None:
        """The task that these messages are, if it is of this kind."""

    @abstractmethod
    def write_ideal(self, task: Task, rng: random.Random, split: Split | None) -> str:
        """A reply that earns 1. In the split "train" it states no held-out fact."""

    @abstractmethod
    def write_flawed(self, task: Task, rng: random.Random) -> str:
        """A reply that a careless, bluffing, flattering or too willing helper writes."""

    @abstractmethod
    def grade(self, task: Task, reading: Reading) -> Grade:
        """How good a reply is."""

    def read(self, task: Task, reply: str) -> Reading:
        """The reply's sentences; a kind with sentences of its own reads those."""
        return read_reply(task.lexicon, reply)

    def is_in(self, split: Split | None, *what: object) -> bool:
        """Whether a task about this belongs to the split: a property of what it is about."""
        if split is None:
            return True
        text = "|".join([self.name, *map(str, what)])
        return (zlib.crc32(text.encode()) % _HELD_OUT == 0) == (split == "val")


def draw_from(
    prompts: Sequence[Phrase], lexicon: Lexicon, rng: random.Random, **known: Any
) -> tuple[str, dict[str, Any]] | None:
    """One of the prompts with drawn words, and its roles; None where a pool is empty."""
    phrase = rng.choice(prompts)
    roles = phrase.draw(rng, lexicon.pools, **known)
    return None if roles is None else (phrase.render(roles), roles)
