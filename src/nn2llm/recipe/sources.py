"""What a recipe is given: which settings go together, and the files, read, split and counted.

Read given_config.py and config.py before. Used by given_stages.py, given_evaluation.py and cli/chatgpt.py.
"""

import dataclasses
import hashlib
import random
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TypeVar

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.files import compute_sha256
from nn2llm.data.conversations import Conversation, load_conversations, split_conversations
from nn2llm.data.corpora import load_corpus
from nn2llm.data.hub import fetch_hub_file, is_hub_name
from nn2llm.data.json_records import RECORD_SUFFIXES
from nn2llm.data.preference_pairs import PreferencePair
from nn2llm.data.preferences import load_preferences, split_preferences
from nn2llm.evals.ifeval import IFEvalSet, load_ifeval
from nn2llm.microworld import is_world_spec
from nn2llm.recipe.config import NO_WORLD, ChatGPTConfig
from nn2llm.recipe.given_config import GivenConfig
from nn2llm.tokenizers.chat import ChatFormat, Message
from nn2llm.train.adopting import BaseModel, find_base

__all__ = [
    "GivenData",
    "Prompt",
    "fingerprint_corpus",
    "fingerprint_file",
    "keep_fitting",
    "require_sources",
    "settle_world",
]

Prompt = tuple[Message, ...]
Item = TypeVar("Item", Conversation, PreferencePair)

_SAMPLE_BYTES = 1 << 20


def settle_world(config: ChatGPTConfig) -> ChatGPTConfig:
    """The config with the world that what is given implies, where the user has named none.

    Real text, and a base model that has read such, mean none; a run that was trained on a village, that one.

    Raises:
        CheckpointError: if the base is neither a run nor a HuggingFace folder.
    """
    given = config.given
    if given.corpus is not None and not is_world_spec(given.corpus):
        return dataclasses.replace(config, world=NO_WORLD)
    if given.base is None:
        return config
    corpus = find_base(given.base).corpus
    return dataclasses.replace(
        config, world=corpus if corpus is not None and is_world_spec(corpus) else NO_WORLD
    )


def require_sources(config: ChatGPTConfig) -> None:
    """Whether each stage has something to learn from, and nothing is given in vain.

    Raises:
        ConfigError: saying what is missing, or what excludes what.
    """
    given = config.given
    if config.has_world:
        village = f"the village {config.world}"
        if given.corpus is not None:
            raise ConfigError(
                f"--world {config.world} and --corpus {given.corpus} exclude each other: the base model "
                "reads one or the other. Leave one out."
            )
        if given.sft_data:
            raise ConfigError(
                f"--sft-data is for models that have read real text, and here they read {village}, which "
                "brings its own demonstrations. Give --corpus or --base too, or leave it out."
            )
        if given.ifeval is not None:
            raise ConfigError(
                f"--ifeval asks about the real world, and the models know {village} alone. Leave it out."
            )
        return
    if given.base is None and given.corpus is None:
        raise ConfigError(
            "Without a micro-world there must be a text or a model: give --corpus TEXT to train a base model "
            "on it, or --base HF_FOLDER|RUN to start from one."
        )
    if given.corpus is not None and is_world_spec(given.corpus):
        raise ConfigError(f"--corpus {given.corpus} is a micro-world. Give it as --world {given.corpus}.")
    if not given.sft_data:
        raise ConfigError(
            "Without a micro-world there are no demonstrations to learn to answer from: give --sft-data "
            "FILE, of conversations (Alpaca, Dolly, ShareGPT, messages)."
        )
    if config.name is not None or config.trade is not None:
        raise ConfigError("--name and --trade are for a micro-world, and there is none here. Leave them out.")


class GivenData:
    """The files of one recipe. Nothing is read before it is asked for, and everything once.

    Args:
        config: of the recipe.
        say: told what was left out.
    """

    def __init__(self, config: ChatGPTConfig, say: Callable[[str], None] = lambda text: None) -> None:
        self._config, self._say = config, say

    @property
    def _given(self) -> GivenConfig:
        return self._config.given

    @cached_property
    def base(self) -> BaseModel | None:
        """The model to start from. Raises CheckpointError if it is none."""
        return None if self._given.base is None else find_base(self._given.base)

    @cached_property
    def conversations(self) -> tuple[list[Conversation], list[Conversation]]:
        """(to learn from, held out). Raises DataError for a file that does not work."""
        found = self._load(self._given.sft_data, load_conversations, "conversations")
        return split_conversations(found, self._given.val_fraction)

    @cached_property
    def pairs(self) -> tuple[list[PreferencePair], list[PreferencePair]]:
        """(to learn from, held out). Raises DataError for a file that does not work, or too few pairs."""
        found = self._load(self._given.preferences, load_preferences, "pairs")
        train, val = split_preferences(found, self._given.val_fraction)
        if len(val) < 2:
            raise DataError(
                f"Of {len(found)} pairs {len(val)} is held out, too few to measure anything. Give more, or "
                f"raise --val-fraction {self._given.val_fraction}."
            )
        return train, val

    @cached_property
    def ifeval(self) -> IFEvalSet | None:
        """IFEval's items. Raises DataError for a file that does not work."""
        if self._given.ifeval is None:
            return None
        left_out: list[str] = []
        found = load_ifeval(
            self._given.ifeval, on_unusable=left_out.append if self._given.skip_unusable else None
        )
        if left_out:
            self._say(f"{self._given.ifeval}: {len(left_out):,} lines left out; the first: {left_out[0]}")
        return found

    def read_all(self) -> None:
        """Read every file: what is wrong with one is said before anything is trained.

        Raises:
            DataError: for the first that does not work.
        """
        if self._given.sft_data:
            _ = self.conversations
        if self._given.preferences:
            _ = self.pairs
        _ = self.ifeval

    def _load(self, paths: Sequence[str], load: Callable[..., list[Item]], what: str) -> list[Item]:
        found: list[Item] = []
        for path in paths:
            left_out: list[str] = []
            some = load(path, on_unusable=left_out.append if self._given.skip_unusable else None)
            if left_out:
                self._say(
                    f"{path}: {len(left_out):,} of {len(some) + len(left_out):,} {what} left out; the first: "
                    f"{left_out[0]}"
                )
            found += some
        return found

    def list_training_prompts(self) -> list[Prompt]:
        """What PPO may reply to: the prompts of the pairs to learn from, each once, shuffled by the seed."""
        return self._shuffle([pair.prompt for pair in self.pairs[0]], "ppo prompts")

    def list_held_out_prompts(self) -> list[Prompt]:
        """Prompts of held-out conversations and held-out pairs by turns, each once, shuffled by the seed."""
        asked = self._shuffle([_cut_first_reply(one) for one in self.conversations[1]], "held-out prompts")
        if not self._given.preferences:
            return asked
        judged = self._shuffle([pair.prompt for pair in self.pairs[1]], "held-out prompts of pairs")
        rest = asked[len(judged) :] or judged[len(asked) :]
        by_turns = [prompt for both in zip(asked, judged, strict=False) for prompt in both]
        return _unique([*by_turns, *rest])

    def _shuffle(self, prompts: Sequence[Prompt], purpose: str) -> list[Prompt]:
        shuffled = _unique(prompts)
        random.Random(self._config.derive_seed(purpose)).shuffle(shuffled)
        return shuffled


def keep_fitting(chat: ChatFormat, prompts: Sequence[Prompt], *, max_seq_len: int, room: int) -> list[Prompt]:
    """The prompts that leave room for a reply of `room` tokens."""
    return [
        prompt
        for prompt in prompts
        if len(chat.encode(prompt, add_generation_prompt=True).ids) + room <= max_seq_len
    ]


def fingerprint_file(name: str) -> str:
    """A hash of what a data file holds, wherever it lies; an `hf:` name is fetched.

    Raises:
        DataError: if it cannot be read or fetched.
    """
    path = fetch_hub_file(name, suffixes=RECORD_SUFFIXES) if is_hub_name(name) else Path(name).expanduser()
    if not path.is_file():
        raise DataError(f"{name} does not exist. Check the path.")
    return _hash_file(str(path), path.stat().st_mtime_ns)


@cache
def _hash_file(path: str, mtime_ns: int) -> str:
    return compute_sha256(Path(path))


def fingerprint_corpus(name: str) -> str:
    """A hash of a text, wherever it lies: for files their names, sizes and a part of their bytes.

    `Corpus.fingerprint` counts paths and times, which differ between machines.

    Raises:
        DataError: if there is no such text.
    """
    corpus = load_corpus(name)
    paths = getattr(corpus, "paths", None)
    if paths is None:
        return corpus.fingerprint()
    return " ".join(_sample_file(str(path), path.stat().st_mtime_ns) for path in paths)


@cache
def _sample_file(path: str, mtime_ns: int) -> str:
    file = Path(path)
    size = file.stat().st_size
    digest = hashlib.sha256(f"{file.name} {size} ".encode())
    with open(file, "rb") as stream:
        for start in (0, size // 2, max(0, size - _SAMPLE_BYTES)):
            stream.seek(start)
            digest.update(stream.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def _cut_first_reply(conversation: Conversation) -> Prompt:
    roles = [message["role"] for message in conversation.messages]
    return conversation.messages[: roles.index("assistant")]


def _unique(prompts: Sequence[Prompt]) -> list[Prompt]:
    seen: dict[tuple[tuple[str, str], ...], Prompt] = {}
    for prompt in prompts:
        seen.setdefault(tuple((message["role"], message["content"]) for message in prompt), prompt)
    return list(seen.values())
