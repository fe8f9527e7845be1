"""Preferences: a prompt, the reply that somebody chose, and the one they rejected.

A file holds one JSON object a pair (.jsonl, or .json with a list; .gz), in any of these layouts:

    {"prompt": [messages] or "text", "chosen": "text", "rejected": "text"}    ours, and TRL's plain one
    {"prompt": [messages], "chosen": [the reply], "rejected": [the reply]}    TRL's for conversations
    {"chosen": [all messages], "rejected": [all messages]}                    the same, the prompt in both
    {"chosen": "\\n\\nHuman: …\\n\\nAssistant: …", "rejected": …}                 HH-RLHF

A `margin` says by how much the chosen one is better; other keys are left alone. Read data/json_records.py and
tokenizers/chat.py before, data/pair_batches.py after. Used by train/reward.py and train/dpo.py; taught in
`reward-modeling`.
"""

import gzip
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.files import write_bytes_atomic
from nn2llm.data.json_records import read_json_records
from nn2llm.tokenizers.base import replace_surrogates
from nn2llm.tokenizers.chat import Message, check_messages

__all__ = ["PreferencePair", "check_pair", "load_preferences", "save_preferences", "split_preferences"]


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two replies to one prompt, of which the first was preferred."""

    prompt: tuple[Message, ...]
    """The conversation so far; it ends with a user's turn."""
    chosen: str
    rejected: str
    margin: float | None = None
    """By how much the chosen reply is better, in units of the reward; None: not said."""


def check_pair(pair: PreferencePair) -> None:
    """Whether something can be learnt from a pair.

    Raises:
        DataError: if the prompt is no conversation that ends with a user, or the replies are empty or equal.
    """
    check_messages(pair.prompt)
    if (role := pair.prompt[-1]["role"]) != "user":
        raise DataError(
            f"The prompt ends with a message of the {role}. It must end with a user's turn, which the "
            "replies answer."
        )
    for name, reply in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        if not reply.strip():
            raise DataError(f"The {name} reply is empty. Write one, or leave the pair out.")
    if pair.chosen.strip() == pair.rejected.strip():
        raise DataError(
            f"The chosen and the rejected reply are equal ({_shorten(pair.chosen)}), so nothing is "
            "preferred. Leave the pair out."
        )
    if pair.margin is not None and not math.isfinite(pair.margin):
        raise DataError(f"margin must be a number, got {pair.margin}.")


def load_preferences(
    path: Path | str, *, on_unusable: Callable[[str], None] | None = None
) -> list[PreferencePair]:
    """All pairs of a file, checked.

    Args:
        path: the file.
        on_unusable: called with what is wrong with each object that is no pair (equal replies, an unknown
            role); it is then left out. None: the first of these is an error. A line that is no JSON is an
            error always.

    Raises:
        DataError: naming file and line (of a .json: the entry), if it cannot be read or used, or holds none.
    """
    pairs = []
    for where, record in read_json_records(path):
        try:
            pair = _parse_pair(record)
            check_pair(pair)
        except DataError as error:
            if on_unusable is None:
                raise DataError(f"{where}: {error}") from error
            on_unusable(f"{where}: {error}")
        else:
            pairs.append(pair)
    if not pairs:
        raise DataError(f"{path} holds no preferences. Give a file with at least one pair.")
    return pairs


def save_preferences(
    path: Path, pairs: Sequence[PreferencePair], *, extras: Sequence[Mapping[str, Any]] | None = None
) -> None:
    """Write pairs into a .jsonl or .jsonl.gz file, whole or not at all; `load_preferences` gives them back.

    `extras` holds further keys for each pair (where it comes from, known scores), which loading ignores.

    Raises:
        ConfigError: if the file's name ends otherwise.
        StorageError: if it cannot be written.
        ValueError: if there are not as many extras as pairs.
    """
    if not path.name.lower().endswith((".jsonl", ".jsonl.gz")):
        raise ConfigError(f"Preferences are written as .jsonl or .jsonl.gz, not as {path.name!r}.")
    lines = []
    for pair, extra in zip(pairs, extras or [{}] * len(pairs), strict=True):
        record = {"prompt": list(pair.prompt), "chosen": pair.chosen, "rejected": pair.rejected}
        margin = {} if pair.margin is None else {"margin": pair.margin}
        lines.append(json.dumps({**record, **margin, **extra}, ensure_ascii=False) + "\n")
    data = replace_surrogates("".join(lines)).encode()
    write_bytes_atomic(path, gzip.compress(data, mtime=0) if path.name.lower().endswith(".gz") else data)


def split_preferences(
    pairs: Sequence[PreferencePair], val_fraction: float
) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """(for training, held out), each in the order given: about `val_fraction` of the prompts are held out.

    At least one is; which ones depends on their text alone, by its hash, so that a prompt is never on both
    sides. With a fraction of 0 none is held out.

    Raises:
        DataError: if nothing is left to train on.
    """
    if not val_fraction:
        return list(pairs), []
    hashes = [_hash_prompt(pair) for pair in pairs]
    different = sorted(set(hashes))
    held_out = set(different[: max(1, round(val_fraction * len(different)))])
    train = [pair for pair, number in zip(pairs, hashes, strict=True) if number not in held_out]
    if not train:
        raise DataError(
            f"Of {len(different)} prompts none is left to train on when val_fraction {val_fraction} of them "
            "is held out. Set it to 0, or give preferences for more prompts."
        )
    return train, [pair for pair, number in zip(pairs, hashes, strict=True) if number in held_out]


def _hash_prompt(pair: PreferencePair) -> bytes:
    said = [(message["role"], message["content"]) for message in pair.prompt]
    return hashlib.sha256(json.dumps(said).encode()).digest()


# --- the layouts --------------------------------------------------------------------------------------------


def _parse_pair(record: Mapping[str, Any]) -> PreferencePair:
    for key in ("chosen", "rejected"):
        if key not in record:
            keys = ", ".join(map(repr, record)) or "none"
            raise DataError(f"The key {key!r} is missing (there are: {keys}). Write both replies.")
    prompt = _parse_prompt(record["prompt"]) if "prompt" in record else None
    before_chosen, chosen = _parse_reply(record["chosen"], "chosen")
    before_rejected, rejected = _parse_reply(record["rejected"], "rejected")
    if before_chosen != before_rejected:
        raise DataError(
            "'chosen' and 'rejected' are conversations that differ before their last reply. They must answer "
            "the same prompt."
        )
    if before_chosen:
        # "prompt" as one text beside whole conversations (UltraFeedback): they say more.
        is_text = isinstance(record.get("prompt"), str)
        if prompt is not None and not is_text and before_chosen[: len(prompt)] != prompt:
            raise DataError("'chosen' does not go on from 'prompt'. Leave 'prompt' out, or mend it.")
        prompt = before_chosen
    if prompt is None:
        keys = ", ".join(map(repr, record))
        raise DataError(f"The key 'prompt' is missing (there are: {keys}). Write what is answered.")
    margin = record.get("margin")
    if margin is not None and (isinstance(margin, bool) or not isinstance(margin, int | float)):
        raise DataError(f"margin must be a number, got {margin!r}.")
    return PreferencePair(tuple(prompt), chosen, rejected, None if margin is None else float(margin))


def _parse_prompt(value: Any) -> list[Message]:
    if isinstance(value, str):
        if turns := _split_transcript(value):
            # "…\n\nAssistant:" at its end is where the replies begin
            return turns[:-1] if turns[-1] == {"role": "assistant", "content": ""} else turns
        return [{"role": "user", "content": replace_surrogates(value)}]
    return _parse_messages(value, "prompt")


def _parse_reply(value: Any, key: str) -> tuple[list[Message], str]:
    """The messages before the reply (none where only the reply stands there), and the reply."""
    if isinstance(value, str):
        turns = _split_transcript(value)
        if not turns:
            return [], replace_surrogates(value)
    else:
        turns = _parse_messages(value, key)
    if not turns or turns[-1]["role"] != "assistant":
        raise DataError(f"{key!r} must end with the assistant's reply, but its last message is another's.")
    return turns[:-1], turns[-1]["content"]


def _parse_messages(value: Any, key: str) -> list[Message]:
    if not isinstance(value, list):
        raise DataError(f"{key!r} must be a text or a list of messages, got {_shorten(value)}.")
    for number, message in enumerate(value, start=1):
        if not isinstance(message, dict) or not all(
            isinstance(message.get(name), str) for name in ("role", "content")
        ):
            raise DataError(
                f"Message {number} of {key!r} must be an object with 'role' and 'content' as texts, "
                f"got {_shorten(message)}."
            )
    return [
        cast(Message, {name: replace_surrogates(message[name]) for name in ("role", "content")})
        for message in value
    ]


_SPEAKERS = {"Human": "user", "Assistant": "assistant"}


def _split_transcript(text: str) -> list[Message]:
    """The turns of "\\n\\nHuman: …\\n\\nAssistant: …" (Bai et al. 2022, HH-RLHF); none for any other text."""
    if not text.startswith("\n\nHuman:"):
        return []
    parts = re.split(r"\n\n(Human|Assistant):", replace_surrogates(text))[1:]
    return [
        {"role": _SPEAKERS[speaker], "content": content.strip()}
        for speaker, content in zip(parts[::2], parts[1::2], strict=True)
    ]


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
