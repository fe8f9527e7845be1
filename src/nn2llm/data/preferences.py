"""Files of preferences: loaded from any layout, written in those that others read, split by prompt.

Objects stand in .jsonl (one a line) or .json (a list), either with .gz; preference_layouts.py lists what they
may look like. What says nothing about preference (a tie, a label that was skipped) is left out and counted.
Read preference_pairs.py, preference_layouts.py and json_records.py before, data/pair_batches.py after. Used
by train/reward.py and train/dpo.py; taught in `reward-modeling`.
"""

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.files import write_bytes_atomic
from nn2llm.data.json_records import read_json_records
from nn2llm.data.preference_layouts import (
    LAYOUTS,
    Layout,
    Undecided,
    UnpairedReply,
    build_records,
    pair_up,
    parse_record,
)
from nn2llm.data.preference_pairs import PreferencePair, check_pair
from nn2llm.tokenizers.base import replace_surrogates

__all__ = [
    "PreferencePair",
    "check_pair",
    "describe_undecided",
    "load_preferences",
    "save_preferences",
    "split_preferences",
]


def load_preferences(
    path: Path | str,
    *,
    on_unusable: Callable[[str], None] | None = None,
    on_undecided: Callable[[str], None] | None = None,
) -> list[PreferencePair]:
    """All pairs of a file, checked.

    Replies that were rated by themselves are paired with the others to their prompt, after all other pairs.

    Args:
        path: the file.
        on_unusable: called with what is wrong with each object that is no pair (equal replies, an unknown
            role), or line of a .jsonl that is none; it is then left out. None: the first of these is an
            error.
        on_undecided: called with why, for each object in which nothing is preferred ("tied"); all of these
            are left out.

    Raises:
        DataError: naming file and line (of a .json: the entry), if it cannot be read or used, or holds none.
    """
    pairs: list[PreferencePair] = []
    unpaired: list[UnpairedReply] = []
    undecided: list[str] = []
    refused: list[str] = []

    def refuse(complaint: str) -> None:
        refused.append(complaint)
        if on_unusable is None:
            raise DataError(f"{complaint} (--skip-unusable counts and skips such ones.)")
        on_unusable(complaint)

    def keep(found: PreferencePair, where: str) -> None:
        try:
            check_pair(found)
        except DataError as error:
            refuse(f"{where}: {error}")
        else:
            pairs.append(found)

    for where, record in read_json_records(path, on_broken=refuse):
        try:
            found = parse_record(record)
        except DataError as error:
            refuse(f"{where}: {error}")
            continue
        if isinstance(found, Undecided):
            undecided.append(found.why)
        elif isinstance(found, UnpairedReply):
            unpaired.append(found)
        elif found is not None:
            keep(found, where)
    paired, num_alone = pair_up(unpaired)
    for pair in paired:
        keep(pair, f"{path}, the replies to {pair.prompt[-1]['content']!r:.60}")
    undecided += ["without a counterpart"] * num_alone
    if on_undecided is not None:
        for why in undecided:
            on_undecided(why)
    if not pairs:
        only = f" (only {describe_undecided(undecided)})" if undecided else ""
        why = f" All is unusable; the first: {refused[0]}" if refused and not undecided else ""
        raise DataError(f"{path} holds no preferences{only}. Give a file with at least one pair.{why}")
    return pairs


def describe_undecided(reasons: Sequence[str]) -> str:
    """What `on_undecided` was told, counted: "3 tied, 1 skipped"."""
    return ", ".join(f"{count:,} {why}" for why, count in Counter(reasons).most_common())


def save_preferences(
    path: Path,
    pairs: Sequence[PreferencePair],
    *,
    layout: Layout = "nn2llm",
    extras: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Write pairs into a .jsonl or .jsonl.gz file, whole or not at all; `load_preferences` gives them back.

    `extras` holds further keys for each pair (where it comes from, known scores), which loading ignores.

    Raises:
        ConfigError: if the file's name ends otherwise, or there is no such layout.
        DataError: naming the first pair that the layout cannot hold.
        StorageError: if it cannot be written.
        ValueError: if there are not as many extras as pairs.
    """
    if not path.name.lower().endswith((".jsonl", ".jsonl.gz")):
        raise ConfigError(f"Preferences are written as .jsonl or .jsonl.gz, not as {path.name!r}.")
    if layout not in LAYOUTS:
        raise ConfigError(f"unknown layout {layout!r}. Choose from: {', '.join(LAYOUTS)}.")
    lines = []
    for number, (pair, extra) in enumerate(zip(pairs, extras or [{}] * len(pairs), strict=True), start=1):
        try:
            records = build_records(pair, layout)
        except DataError as error:
            raise DataError(f"Pair {number} cannot be written as {layout}: {error}") from error
        lines += [json.dumps({**record, **extra}, ensure_ascii=False) + "\n" for record in records]
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
