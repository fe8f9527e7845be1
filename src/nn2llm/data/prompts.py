"""Prompts: conversations that wait for a reply.

A file holds one JSON object a prompt (.jsonl, or .json with a list; .gz): {"prompt": "text"} or {"prompt":
[messages]}. Preferences (data/preferences.py), labels (data/labels.py) and conversations
(data/conversations.py) are taken too: of each what comes before the reply that was rated, or the last one.
Used by train/ppo.py.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nn2llm.core.errors import DataError
from nn2llm.data.conversations import load_conversations
from nn2llm.data.json_records import read_json_records
from nn2llm.data.labels import parse_prepared
from nn2llm.data.preferences import load_preferences
from nn2llm.tokenizers.base import replace_surrogates
from nn2llm.tokenizers.chat import Message, check_messages

__all__ = ["check_prompt", "load_prompts"]

_REPLIES = ("completion", "response")
"""Keys that make a {"prompt": …} one side of a conversation."""


def load_prompts(path: Path | str) -> list[tuple[Message, ...]]:
    """The prompts of a file, each once, in order. The first object tells which kind of file it is.

    Raises:
        DataError: if the file cannot be read, holds no prompt, or one of them is broken (named by its line).
    """
    first = next(read_json_records(path), None)
    if first is None:
        raise DataError(f'{path} holds no prompts. Give a file with at least one {{"prompt": …}}.')
    if "nn2llm_labels" in first.value:
        records = (record.value for record in read_json_records(path))
        prompts = [parse_prepared(record).prompt for record in records if "prepared" in record]
    elif "chosen" in first.value:
        prompts = [pair.prompt for pair in load_preferences(path)]
    elif "prompt" in first.value and not any(key in first.value for key in _REPLIES):
        prompts = [_read_prompt(where, value) for where, value in read_json_records(path)]
    else:
        prompts = [_cut_last_reply(one.messages) for one in load_conversations(path)]
    return list({json.dumps(prompt): prompt for prompt in prompts}.values())


def check_prompt(messages: Sequence[Message]) -> None:
    """Whether a reply can be given to this.

    Raises:
        DataError: if it is no conversation, or does not end with a user's message.
    """
    check_messages(messages)
    if (role := messages[-1]["role"]) != "user":
        raise DataError(f"The last message is the {role}'s, so no reply is due. End with a user's message.")


def _read_prompt(where: str, value: dict[str, Any]) -> tuple[Message, ...]:
    try:
        if "prompt" not in value:
            keys = ", ".join(map(repr, value)) or "none"
            raise DataError(
                f"The key 'prompt' is missing (there are: {keys}). Write the prompt, or leave it out."
            )
        prompt = value["prompt"]
        if isinstance(prompt, str):
            prompt = [{"role": "user", "content": prompt}]
        if not isinstance(prompt, list) or not all(_is_message(message) for message in prompt):
            raise DataError(
                "'prompt' must be a text or a list of messages with 'role' and 'content' as texts, "
                f"got {prompt!r:.60}."
            )
        messages = tuple(
            Message(role=message["role"], content=replace_surrogates(message["content"]))
            for message in prompt
        )
        check_prompt(messages)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    return messages


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in ("role", "content"))


def _cut_last_reply(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    last_user = max(number for number, message in enumerate(messages) if message["role"] == "user")
    return messages[: last_user + 1]
