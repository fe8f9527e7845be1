"""The micro-world: documents by seed, and the exact probability of each.

Read after the genres. A document is a row of choices (script.py), so −log P(document | world) is known: its
sum over held-out documents is the floor, the loss in nats that no model goes below but by chance. The end of
a document is part of it.

Used by data/microworld_corpus.py, evals/ and the commands. Taught in `evaluating-lms`.
"""

import math
import random
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from nn2llm.core.errors import ConfigError
from nn2llm.microworld.cast import Cast
from nn2llm.microworld.dialogues import converse
from nn2llm.microworld.lexicon import Lexicon
from nn2llm.microworld.portraits import describe
from nn2llm.microworld.questions import ask
from nn2llm.microworld.script import Reader, Script, Writer
from nn2llm.microworld.stories import tell_story
from nn2llm.microworld.village import Fact, Village, WorldConfig, build_village
from nn2llm.microworld.wordings import Branches

__all__ = ["GENRES", "MICROWORLD", "Document", "World", "build_world", "format_world_spec", "is_world_spec",
           "parse_world_spec"]  # fmt: skip

MICROWORLD = "microworld"
GENRES: dict[str, float] = {"story": 0.42, "portrait": 0.17, "dialogue": 0.2, "questions": 0.21}
"""How often each kind of document comes."""
_PROGRAMS = {"story": tell_story, "portrait": describe, "dialogue": converse, "questions": ask}
_HELD_OUT = 10
"""One story in so many is held out."""


@dataclass(frozen=True, slots=True)
class Document:
    """One text of the world."""

    text: str
    genre: str
    nats: float
    """−log P(document | world), in nats."""
    story: tuple[str, ...]
    """What was drawn apart from wordings: documents with the same are the same story in other words."""


def _bind(genre: str) -> Any:
    def run(script: Script, cast: Cast) -> str:
        _PROGRAMS[genre](script, cast)
        return genre

    return run


_BRANCHES = Branches(*((weight, _bind(genre)) for genre, weight in GENRES.items()))


class World:
    """A village, and what can be told of it."""

    def __init__(self, village: Village) -> None:
        self.village = village
        self.config = village.config
        self.cast = Cast(village)

    @cached_property
    def lexicon(self) -> Lexicon:
        """All that a conversation can be about."""
        return Lexicon(self.cast)

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        """All that is so, in a fixed order."""
        return tuple(self.village.list_facts())

    def sample(self, rng: random.Random, split: Literal["train", "val"] | None = None) -> Document:
        """One document; of the whole world, or of one split.

        A story is held out by a hash of what happens in it, so no story is in both splits, however it is
        worded. Within its genre a document of the other split is drawn again; `nats` stays −log P in the
        whole world, since the hash is nothing that a model could learn.
        """
        writer = Writer(rng)
        genre: str = writer.branch(_BRANCHES, self.cast)
        while split is not None and genre == "story" and is_held_out(writer.drawn) != (split == "val"):
            genre_nats = -_log_weight(genre)
            writer = Writer(rng)
            writer.nats = genre_nats
            _PROGRAMS[genre](writer, self.cast)
        return Document(writer.text, genre, writer.nats, (genre, *writer.drawn))

    def read(self, text: str) -> Document:
        """The document that `text` is, with the choices recovered from the text alone.

        Raises:
            ForeignTextError: if this world cannot have written it.
        """
        reader = Reader(text)
        genres: list[str] = []
        reader.read(lambda script: genres.append(script.branch(_BRANCHES, self.cast)))
        return Document(text, genres[0], reader.nats, (genres[0], *reader.drawn))

    def compute_nats(self, text: str) -> float:
        """−log P(text | world) in nats, end of document included. Raises ForeignTextError like `read`."""
        return self.read(text).nats


def _log_weight(genre: str) -> float:
    return math.log(GENRES[genre] / math.fsum(GENRES.values()))


def is_held_out(story: list[str]) -> bool:
    """Whether what happens in a story belongs to the held-out split: a property of the story alone."""
    return zlib.crc32("\n".join(story).encode()) % _HELD_OUT == 0


def build_world(config: WorldConfig) -> World:
    """The world of a config; the same config gives the same world."""
    return World(build_village(config))


def is_world_spec(spec: str) -> bool:
    """Whether a corpus of this name is a micro-world: "microworld", or "microworld:name=Ada,trade=baker"."""
    return spec == MICROWORLD or spec.startswith(MICROWORLD + ":")


_KEYS = {"seed": "seed", "people": "num_people", "name": "name", "trade": "trade", "pronoun": "pronoun",
         "megabytes": "megabytes"}  # fmt: skip


def parse_world_spec(spec: str) -> WorldConfig:
    """The config that a corpus name stands for: "microworld:seed=1,people=20,name=Ada,trade=baker".

    Raises:
        ConfigError: for an unknown key, a number that is none, or a config that does not hold together.
    """
    if not is_world_spec(spec):
        raise ConfigError(
            f"{spec!r} is not a micro-world. Write {MICROWORLD}, or {MICROWORLD}:name=Ada,trade=baker."
        )
    values: dict[str, Any] = {}
    _, _, rest = spec.partition(":")
    for part in filter(None, rest.split(",")):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or key not in _KEYS:
            raise ConfigError(
                f"{part!r} in {spec!r} is no setting of the micro-world. "
                f"Write KEY=VALUE with one of {', '.join(_KEYS)}."
            )
        if _KEYS[key] in values:
            raise ConfigError(f"{key} is given twice in {spec!r}. Leave one of them out.")
        if key in ("seed", "people", "megabytes"):
            if not value.isdecimal():
                raise ConfigError(f"{key} must be a whole number, got {value!r} in {spec!r}.")
            values[_KEYS[key]] = int(value)
        else:
            values[_KEYS[key]] = value
    return WorldConfig(**values)


def format_world_spec(config: WorldConfig) -> str:
    """The corpus name of a config: what `parse_world_spec` reads back."""
    default = WorldConfig()
    parts = [
        f"{key}={getattr(config, field)}"
        for key, field in _KEYS.items()
        if getattr(config, field) != getattr(default, field)
    ]
    return MICROWORLD + (":" + ",".join(parts) if parts else "")
