"""Conversations out of the files that people share: chat messages, ShareGPT, Alpaca, Dolly.

Read tokenizers/chat.py and data/json_records.py before. Each object tells its form by its keys:

    {"messages": [{"role": "user", "content": …}, {"role": "assistant", "content": …}]}
    {"conversations": [{"from": "human", "value": …}, {"from": "gpt", "value": …}]}      ShareGPT
    {"instruction": …, "input": …, "output": …, "history": [[user, assistant], …]}       Alpaca
    {"instruction": …, "context": …, "response": …}                                      Dolly
    {"prompt": …, "completion" or "response": …}, {"question": …, "answer": …}

and each may have a "system" prompt. Used by train/sft.py. Taught in `sft`.
Sources: Taori et al. 2023 (Alpaca), https://github.com/tatsu-lab/stanford_alpaca; Conover et al. 2023
(Dolly), https://huggingface.co/datasets/databricks/databricks-dolly-15k.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn2llm.core.errors import DataError
from nn2llm.data.json_records import read_json_records
from nn2llm.tokenizers.chat import Message, check_messages

__all__ = ["Conversation", "check_conversation", "load_conversations", "split_conversations"]


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages of which at least one is a reply of the assistant."""

    messages: tuple[Message, ...]


_FIELDS = {
    "instruction": (("input", "context"), ("output", "response")),
    "prompt": ((), ("completion", "response")),
    "question": ((), ("answer",)),
}
"""Forms with one question and one reply: key of the question → keys of its subject, keys of the reply."""

_FORMS = (
    '"messages", "conversations" (ShareGPT), "instruction" with "output" (Alpaca) or "response" (Dolly), '
    '"prompt" with "completion" or "response", "question" with "answer"'
)

_ROLES = {"human": "user", "gpt": "assistant"}
"""ShareGPT's words for ours."""


def load_conversations(
    path: Path | str, *, on_unusable: Callable[[str], None] | None = None
) -> list[Conversation]:
    """All conversations of a .json or .jsonl file, or one of these with .gz.

    Args:
        path: the file.
        on_unusable: called with what is wrong with each object that is no conversation (an empty reply, an
            unknown role, a line that is no JSON); it is then left out. None: the first of these is an error.

    Raises:
        DataError: naming file and line (of a .json: the entry), if it cannot be read or used, or holds none.
    """
    conversations: list[Conversation] = []
    refused: list[str] = []

    def refuse(complaint: str) -> None:
        refused.append(complaint)
        if on_unusable is None:
            raise DataError(f"{complaint} (--skip-unusable counts and skips such ones.)")
        on_unusable(complaint)

    for where, row in read_json_records(path, on_broken=refuse):
        try:
            conversation = Conversation(tuple(_read_messages(row)))
            check_conversation(conversation)
        except DataError as error:
            refuse(f"{where}: {error}")
        else:
            conversations.append(conversation)
    if not conversations:
        why = f" All is unusable; the first: {refused[0]}" if refused else ""
        raise DataError(f"{path} holds no conversation. Give a file with {_FORMS}.{why}")
    return conversations


def check_conversation(conversation: Conversation) -> None:
    """Whether something can be learnt from this: a conversation with a reply.

    Raises:
        DataError: if not (see `check_messages`).
    """
    check_messages(conversation.messages)
    if all(message["role"] != "assistant" for message in conversation.messages):
        raise DataError(
            "The conversation has no reply of the assistant, so nothing to learn. Add one, or leave it out."
        )


def split_conversations(
    conversations: Sequence[Conversation], val_fraction: float
) -> tuple[list[Conversation], list[Conversation]]:
    """(for training, held out), each in the order given: about `val_fraction` are held out, at least one.

    Which ones depends on what was said before the first reply, by its hash, so that the same question is
    never on both sides. With a fraction of 0 none is held out.

    Raises:
        DataError: if nothing is left to train on.
    """
    if not val_fraction:
        return list(conversations), []
    hashes = [_hash_prompt(conversation) for conversation in conversations]
    limit = sorted(hashes)[max(1, round(val_fraction * len(hashes))) - 1]
    train = [one for one, number in zip(conversations, hashes, strict=True) if number > limit]
    if not train:
        raise DataError(
            f"Of {len(conversations)} conversations none is left to train on when val_fraction "
            f"{val_fraction} of them is held out. Set it to 0, or give more conversations."
        )
    return train, [one for one, number in zip(conversations, hashes, strict=True) if number <= limit]


def _hash_prompt(conversation: Conversation) -> bytes:
    roles = [message["role"] for message in conversation.messages]
    prompt = conversation.messages[: roles.index("assistant")]
    said = [(message["role"], message["content"]) for message in prompt]
    return hashlib.sha256(json.dumps(said).encode()).digest()


# --- forms --------------------------------------------------------------------------------------------------


def _read_messages(row: dict[str, Any]) -> list[Message]:
    if row.get("tools") not in (None, "", "[]", [], {}):
        raise DataError("It has tools, which no chat template here can write. Leave it out.")
    system = _take_text(row, "system", optional=True)
    messages = [Message(role="system", content=system)] if system.strip() else []
    for key in ("messages", "conversations"):
        if key in row:
            return messages + _read_list(row[key], key)
    for question, (subjects, replies) in _FIELDS.items():
        reply = next((key for key in replies if key in row), None)
        if question in row and reply is not None:
            return messages + _read_pair(row, question, subjects, reply)
    keys = ", ".join(repr(key) for key in row) or "none"
    raise DataError(f"It is no conversation in a known form (its keys: {keys}). Known are {_FORMS}.")


def _read_list(turns: Any, key: str) -> list[Message]:
    """`messages` or ShareGPT's `conversations`; each turn may use the words of either."""
    if not isinstance(turns, list):
        raise DataError(f'"{key}" must be a list of messages, got {type(turns).__name__}.')
    messages: list[Message] = []
    for number, turn in enumerate(turns, start=1):
        if not isinstance(turn, dict):
            raise DataError(f'Message {number} must be {{"role": …, "content": …}}, got {turn!r:.60}.')
        try:
            role = _take_text(turn, "role" if "role" in turn else "from")
            content = _take_text(turn, "content" if "content" in turn else "value")
        except DataError as error:
            raise DataError(f"Message {number}: {error}") from error
        messages.append(Message(role=_ROLES.get(role, role), content=content))
    return messages


def _read_pair(row: dict[str, Any], question: str, subjects: tuple[str, ...], reply: str) -> list[Message]:
    """One question, perhaps about a given text, and its reply; before it a history, where there is one."""
    history = row.get("history") or []
    if not isinstance(history, list) or any(
        not isinstance(turn, list) or [type(said) for said in turn] != [str, str] for turn in history
    ):
        raise DataError('"history" must be a list of [user, assistant] pairs of texts.')
    said = [text for turn in history for text in turn]
    asked = [_take_text(row, question), *(_take_text(row, key, optional=True) for key in subjects)]
    said.append("\n\n".join(text for text in asked if text.strip()))
    said.append(_take_text(row, reply))
    roles = ("user", "assistant")
    return [Message(role=roles[number % 2], content=text) for number, text in enumerate(said)]


def _take_text(row: dict[str, Any], key: str, *, optional: bool = False) -> str:
    value = row.get(key)
    if value is None and optional:
        return ""
    if not isinstance(value, str):
        what = "is missing" if key not in row else f"must be a text, got {type(value).__name__}"
        raise DataError(f'"{key}" {what}.')
    try:
        value.encode()
    except UnicodeEncodeError as error:
        # "\ud83d" alone is legal JSON but stands for no character.
        raise DataError(f'"{key}" holds half of a surrogate pair. Mend or remove it.') from error
    return value
