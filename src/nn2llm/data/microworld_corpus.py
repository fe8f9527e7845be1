"""The micro-world as a corpus: any amount of text by a seed, held-out stories apart.

Read after data/corpora.py and microworld/world.py.
"""

import hashlib
import random
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from nn2llm.data.corpora import Corpus, Split, check_split
from nn2llm.microworld import World, build_world, parse_world_spec

__all__ = ["MicroworldCorpus"]

NUM_HELD_OUT = 600
"""Documents of the held-out split: enough for the floor's standard error to be about 1% of it."""


class MicroworldCorpus(Corpus):
    """Documents of the world that a name like "microworld:name=Ada,trade=baker" stands for.

    Raises:
        ConfigError: if the name does not stand for a world.
    """

    def __init__(self, spec: str) -> None:
        self.name = spec
        self.config = parse_world_spec(spec)

    @property
    def separates_documents(self) -> bool:
        """True: each document stands alone."""
        return True

    def documents(self, split: Split) -> Iterator[str]:
        """The documents of one split: so many megabytes to train on, `NUM_HELD_OUT` held out."""
        check_split(split)
        world = build_world(self.config)
        rng = random.Random(f"{self.config.seed} {split}")
        if split == "val":
            for _ in range(NUM_HELD_OUT):
                yield world.sample(rng, "val").text
            return
        left = self.config.megabytes * 1_000_000
        while left > 0:
            text = world.sample(rng, "train").text
            left -= len(text)
            yield text

    def _iterate_all(self) -> Iterator[str]:
        yield from self.documents("train")
        yield from self.documents("val")

    def build_world(self) -> World:
        """The world itself."""
        return build_world(self.config)

    def describe(self) -> str:
        """One line for a person."""
        return (
            f"{self.name}: a village that is made up, {self.config.megabytes} MB, the same for the same name"
        )

    def fingerprint(self) -> str:
        """Hash of the config and of the program that writes the texts."""
        return hashlib.sha256(f"{self.config!r} {NUM_HELD_OUT} {_hash_program()}".encode()).hexdigest()


@cache
def _hash_program() -> str:
    """Text made by an older version must not be taken for this one's."""
    digest = hashlib.sha256()
    for file in sorted(files("nn2llm.microworld").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()
