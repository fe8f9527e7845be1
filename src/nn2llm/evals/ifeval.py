"""IFEval: does a chat model do what it was told, where a program can see whether it did?

A file holds one JSON object a prompt: {"key", "prompt", "instruction_id_list", "kwargs"}, a dictionary of
arguments for each instruction. *Strict*: the reply as it is. *Loose*: also where it follows an instruction
without its first line, its last line, or asterisks, since models like to begin with "Sure, here it is:".
Prompt level: all instructions of a prompt; instruction level: each by itself. Items with an instruction that
has no check (ifeval_checks.UNCHECKED) are left out and counted.
Read ifeval_checks.py and intervals.py before. Used by the recipe on real data and `nn2llm eval --ifeval`.
Source: Zhou et al. 2023, https://arxiv.org/abs/2311.07911, section 2.2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn2llm.core.errors import DataError
from nn2llm.data.json_records import read_json_records
from nn2llm.evals.ifeval_checks import CHECKS, UNCHECKED, check_instruction
from nn2llm.evals.intervals import Interval, wilson_interval

__all__ = [
    "IFEvalItem",
    "IFEvalReport",
    "IFEvalSet",
    "check_reply",
    "evaluate_ifeval",
    "list_loose_variants",
    "load_ifeval",
]


@dataclass(frozen=True, slots=True)
class IFEvalItem:
    """A prompt and the instructions in it."""

    key: int
    prompt: str
    instructions: tuple[tuple[str, dict[str, Any]], ...]
    """(name, arguments) of each."""


@dataclass(frozen=True, slots=True)
class IFEvalSet:
    """The items of a file that can be checked."""

    items: tuple[IFEvalItem, ...]
    num_left_out: int
    """Items with an instruction that cannot be checked here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IFEvalReport:
    """Shares of prompts and instructions that were followed, with 95% intervals (Wilson)."""

    prompt_strict: Interval
    prompt_loose: Interval
    instruction_strict: Interval
    instruction_loose: Interval
    by_kind: dict[str, Interval]
    """Name → share of the instructions of this name that were followed strictly."""
    counts: dict[str, int]
    """Name → how many there are."""
    num_prompts: int
    num_instructions: int


def load_ifeval(path: Path | str, *, on_unusable: Callable[[str], None] | None = None) -> IFEvalSet:
    """The items of a .jsonl file (or .json, .gz) in the paper's format.

    Args:
        path: the file, or an `hf:` name.
        on_unusable: called with what is wrong with each line that is no item, which is then left out. None:
            the first of these is an error.

    Raises:
        DataError: naming file and line, if it cannot be read or used; if no item can be checked.
    """
    items: list[IFEvalItem] = []
    num_left_out = 0
    for where, record in read_json_records(path, on_broken=on_unusable):
        try:
            item = _parse(record)
        except DataError as error:
            if on_unusable is None:
                raise DataError(f"{where}: {error}") from error
            on_unusable(f"{where}: {error}")
            continue
        if any(name in UNCHECKED for name, _ in item.instructions):
            num_left_out += 1
        else:
            items.append(item)
    if not items:
        raise DataError(
            f"{path} holds no item whose instructions can be checked ({num_left_out} cannot). Give IFEval's "
            "input_data.jsonl."
        )
    return IFEvalSet(tuple(items), num_left_out)


def _parse(record: dict[str, Any]) -> IFEvalItem:
    missing = [key for key in ("prompt", "instruction_id_list", "kwargs") if key not in record]
    if missing:
        keys = ", ".join(map(repr, record)) or "none"
        raise DataError(f"The key {missing[0]!r} is missing (there are: {keys}). Give a file of IFEval.")
    prompt, names, arguments = record["prompt"], record["instruction_id_list"], record["kwargs"]
    if not isinstance(prompt, str) or not prompt.strip():
        raise DataError(f"'prompt' must be a text, got {prompt!r:.60}.")
    if not (isinstance(names, list) and isinstance(arguments, list) and len(names) == len(arguments) > 0):
        raise DataError("'instruction_id_list' and 'kwargs' must be lists of one length, and not empty.")
    unknown = [name for name in names if name not in CHECKS and name not in UNCHECKED]
    if unknown or not all(isinstance(one, dict) for one in arguments):
        what = f"The instruction {unknown[0]!r} is unknown" if unknown else "'kwargs' must hold objects"
        raise DataError(f"{what}. Known are the 25 of the paper, such as 'punctuation:no_comma'.")
    instructions = tuple(zip(names, arguments, strict=True))
    for name, one in instructions:
        if name in CHECKS:
            check_instruction(name, "a reply", one)  # arguments that do not work: now, not after an hour
    key = record.get("key", 0)
    return IFEvalItem(key if isinstance(key, int) else 0, prompt, instructions)


def list_loose_variants(reply: str) -> list[str]:
    """The reply; without its first line, its last, both; and each of these without asterisks."""
    lines = reply.split("\n")
    cuts = [lines, lines[1:], lines[:-1], lines[1:-1]]
    variants = ["\n".join(cut).strip() for cut in cuts]
    variants[0] = reply
    return variants + [variant.replace("*", "") for variant in variants]


def check_reply(item: IFEvalItem, reply: str, *, loose: bool = False) -> list[bool]:
    """Whether each instruction of an item is followed."""
    variants = list_loose_variants(reply) if loose else [reply]
    return [
        any(check_instruction(name, variant, arguments) for variant in variants)
        for name, arguments in item.instructions
    ]


def evaluate_ifeval(items: Sequence[IFEvalItem], replies: Sequence[str]) -> IFEvalReport:
    """All shares, of one reply an item.

    Raises:
        ValueError: if there is no item, or not one reply for each.
    """
    strict = [check_reply(item, reply) for item, reply in zip(items, replies, strict=True)]
    loose = [check_reply(item, reply, loose=True) for item, reply in zip(items, replies, strict=True)]
    if not items:
        raise ValueError("items must hold at least one item, got none.")
    by_kind: dict[str, list[bool]] = {}
    for item, followed in zip(items, strict, strict=True):
        for (name, _), one in zip(item.instructions, followed, strict=True):
            by_kind.setdefault(name, []).append(one)
    return IFEvalReport(
        prompt_strict=_share([all(followed) for followed in strict]),
        prompt_loose=_share([all(followed) for followed in loose]),
        instruction_strict=_share([one for followed in strict for one in followed]),
        instruction_loose=_share([one for followed in loose for one in followed]),
        by_kind={name: _share(by_kind[name]) for name in sorted(by_kind)},
        counts={name: len(by_kind[name]) for name in sorted(by_kind)},
        num_prompts=len(items),
        num_instructions=sum(map(len, strict)),
    )


def _share(values: Sequence[bool]) -> Interval:
    return wilson_interval(sum(values), len(values))
