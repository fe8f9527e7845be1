"""A chat model's replies: conversations in, what the assistant writes out.

Conversations become tokens (tokenizers/chat.py), the cached engine continues those of about one length
together, and each row is cut where the reply ends. Read after engine.py. Used by train/rollouts.py, by the
recipe's evaluation and wherever a model answers many prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.threads import few_threads
from nn2llm.generation.engine import generate
from nn2llm.generation.rows import compute_row_seeds
from nn2llm.generation.sampling import SamplingConfig
from nn2llm.models.gpt import GPT
from nn2llm.tokenizers.chat import ChatFormat, Message

__all__ = ["Reply", "continue_prompts", "encode_prompts", "write_replies"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the assistant wrote after one prompt."""

    ids: tuple[int, ...]
    """The tokens written; of a finished reply the end token too."""

    text: str
    """The reply as text, without its end token."""

    logprobs: tuple[float, ...]
    """log p(token | the tokens before it) of each, in nats, by the model itself: before temperature and the
    other sampling rules."""

    finished: bool
    """It ended with the end token: not cut by `max_new_tokens`, the context or the end of the text."""


def encode_prompts(
    chat: ChatFormat, prompts: Sequence[Sequence[Message]], *, max_seq_len: int, room: int = 1
) -> list[list[int]]:
    """Token ids of each prompt, up to where the assistant begins to write.

    Args:
        chat: the template and its tokenizer.
        prompts: conversations, each ending where a reply is due.
        max_seq_len: positions of the model.
        room: tokens that must still fit after each prompt.

    Raises:
        ConfigError: if a prompt is too long; it is named by its place, as below.
        DataError: if one is no conversation, or ends with the assistant's own words.
        TokenizerError: if a character is unknown (character tokenizers only).
    """
    encoded: list[list[int]] = []
    for index, prompt in enumerate(prompts):
        try:
            ids = chat.encode(prompt, add_generation_prompt=True).ids
        except DataError as error:
            raise DataError(f"Prompt {index}: {error}") from error
        if prompt[-1]["role"] != "user":
            raise DataError(
                f"Prompt {index} ends with a message of the {prompt[-1]['role']}, so no reply is due. "
                "End it with a user's message."
            )
        if len(ids) + room > max_seq_len:
            what = f"a reply of {room} tokens" if room > 1 else "a reply"
            raise ConfigError(
                f"Prompt {index} has {len(ids)} tokens, which leaves no room for {what} in a context of "
                f"{max_seq_len} (max_seq_len). Shorten or leave out that prompt, lower max_new_tokens, or "
                "take a model with a longer context."
            )
        encoded.append(ids)
    return encoded


def write_replies(
    model: GPT,
    chat: ChatFormat,
    prompts: Sequence[Sequence[Message]],
    *,
    max_new_tokens: int,
    sampling: SamplingConfig | None = None,
    seed: int = 0,
    batch_size: int = 128,
) -> list[Reply]:
    """One reply a prompt, in the prompts' order.

    A reply depends on the prompt, its place and the seed, not on `batch_size` or the prompts beside it
    (beyond rounding). Where a prompt leaves less room than `max_new_tokens`, the context's end cuts its
    reply.

    Args:
        model: runs where its weights are; dropout is off meanwhile.
        chat: the template, with the model's tokenizer.
        prompts: conversations, each ending where a reply is due.
        max_new_tokens: tokens a reply at most, its end token included.
        sampling: how tokens are chosen; None draws from the model's own distribution.
        seed: of all random choices.
        batch_size: prompts written at once; those of about one length are taken together.

    Raises:
        ConfigError: if a prompt leaves no room in the context, or a setting cannot work.
        DataError: if a conversation cannot be a prompt (`encode_prompts`).
        TrainingError: if the model's scores are NaN.
    """
    encoded = encode_prompts(chat, prompts, max_seq_len=model.config.max_seq_len)
    return continue_prompts(
        model,
        chat,
        encoded,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        seeds=compute_row_seeds(seed, len(encoded)),
        batch_size=batch_size,
    )


def continue_prompts(
    model: GPT,
    chat: ChatFormat,
    prompt_ids: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: SamplingConfig | None = None,
    seeds: Sequence[int],
    batch_size: int = 128,
) -> list[Reply]:
    """`write_replies` for prompts that are encoded already, with a seed for each.

    Raises:
        ConfigError, TrainingError: as `write_replies`.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1, got {batch_size}.")
    # Neighbours in this order have about one length: little padding.
    order = sorted(range(len(prompt_ids)), key=lambda index: len(prompt_ids[index]))
    replies: list[Reply | None] = [None] * len(prompt_ids)
    # After the end of the text a model writes another one: no part of this reply.
    stop_ids = {chat.end_id, chat.tokenizer.end_of_text_id}
    with few_threads(model):
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            results = generate(
                model,
                [prompt_ids[index] for index in batch],
                max_new_tokens=max_new_tokens,
                sampling=sampling,
                stop_token_ids=stop_ids,
                seed=[seeds[index] for index in batch],
            )
            for index, result in zip(batch, results, strict=True):
                replies[index] = Reply(
                    result.ids,
                    chat.decode_reply(result.ids),
                    result.logprobs,
                    finished=result.ids[-1] == chat.end_id,
                )
    return [reply for reply in replies if reply is not None]
