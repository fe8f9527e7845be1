"""Each stage's model answers prompts: the chat models in their template, the base model in its own way.

A base model knows no turns. It is given the last thing the user says as a line of text, and what it writes up
to the next line break is its reply: as a person would use a model that only continues texts.
Read generation/replies.py before. Used by preferences.py, evaluation.py and the checks after each stage.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from nn2llm.core.threads import few_threads
from nn2llm.data.pair_batches import ReplyRow
from nn2llm.generation.engine import generate
from nn2llm.generation.replies import Reply, continue_prompts, encode_prompts
from nn2llm.generation.rows import compute_row_seeds
from nn2llm.generation.sampling import SamplingConfig
from nn2llm.models.gpt import GPT
from nn2llm.recipe.costs import Ledger
from nn2llm.tokenizers import Tokenizer
from nn2llm.tokenizers.chat import CHAT_TOKENS, ChatFormat, Message
from nn2llm.train.checkpoint import load_trained_model

__all__ = ["Writer", "build_reply_rows", "load_writer"]


@dataclass(frozen=True, slots=True, eq=False)
class Writer:
    """A stage's model."""

    model: GPT
    tokenizer: Tokenizer
    chat: ChatFormat | None
    """None: a base model, which knows no turns."""

    def encode_prompts(self, prompts: Sequence[Sequence[Message]]) -> list[list[int]]:
        """What the model is shown of each prompt.

        Raises:
            ConfigError: if a prompt leaves no room in the context.
        """
        if self.chat is not None:
            return encode_prompts(self.chat, prompts, max_seq_len=self.model.config.max_seq_len)
        start = self.tokenizer.end_of_text_id
        return [[start, *self.tokenizer.encode(prompt[-1]["content"] + "\n")] for prompt in prompts]

    def write(
        self,
        prompts: Sequence[Sequence[Message]],
        *,
        max_new_tokens: int,
        temperature: float,
        seed: int,
        batch_size: int,
        progress: Callable[[int], None] | None = None,
        ledger: Ledger | None = None,
    ) -> list[Reply]:
        """One reply a prompt, in their order. A reply depends on its prompt, its place and the seed alone.

        `progress` is told how many more are written, `ledger` what that cost.

        Raises:
            ConfigError: if a prompt leaves no room in the context.
        """
        encoded = self.encode_prompts(prompts)
        seeds = compute_row_seeds(seed, len(encoded))
        # Neighbours in this order have about one length: little padding.
        order = sorted(range(len(encoded)), key=lambda number: len(encoded[number]))
        replies: list[Reply | None] = [None] * len(encoded)
        sampling = SamplingConfig(temperature=temperature)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            written = self._write_batch(
                [encoded[number] for number in batch],
                max_new_tokens=max_new_tokens,
                sampling=sampling,
                seeds=[seeds[number] for number in batch],
            )
            for number, reply in zip(batch, written, strict=True):
                replies[number] = reply
            if progress is not None:
                progress(len(batch))
        done = [reply for reply in replies if reply is not None]
        if ledger is not None:
            num_tokens = sum(map(len, encoded)) + sum(len(reply.ids) for reply in done)
            ledger.read(self.model.config, num_tokens)
        return done

    def _write_batch(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        max_new_tokens: int,
        sampling: SamplingConfig,
        seeds: Sequence[int],
    ) -> list[Reply]:
        if self.chat is not None:
            return continue_prompts(
                self.model,
                self.chat,
                prompts,
                max_new_tokens=max_new_tokens,
                sampling=sampling,
                seeds=seeds,
                batch_size=len(prompts),
            )
        with few_threads(self.model):
            written = generate(
                self.model,
                prompts,
                max_new_tokens=max_new_tokens,
                sampling=sampling,
                tokenizer=self.tokenizer,
                stop_token_ids=[self.tokenizer.end_of_text_id],
                stop_strings=["\n"],
                seed=seeds,
            )
        return [
            Reply(
                one.ids,
                (one.text or "").strip(),
                one.logprobs,
                one.finish_reason in {"stop_token", "stop_string"},
            )
            for one in written
        ]


def load_writer(run: Path, device: torch.device | str = "cpu") -> Writer:
    """The model of a run.

    Raises:
        CheckpointError: if there is none, or it is damaged.
    """
    model, tokenizer = load_trained_model(run, device=device)
    is_chat = all(name in tokenizer.special_tokens for name in CHAT_TOKENS)
    return Writer(model, tokenizer, ChatFormat(tokenizer) if is_chat else None)


def build_reply_rows(
    prompts: Sequence[Sequence[int]], replies: Sequence[Reply], *, end_id: int | None = None
) -> list[ReplyRow]:
    """Encoded prompts and the tokens written after them.

    With `end_id`, a reply that was cut ends there all the same: its last token is replaced. A reward model
    has learned to score ends alone (as in train/rollouts.py).
    """
    rows = []
    for prompt, reply in zip(prompts, replies, strict=True):
        ids = reply.ids if end_id is None else (*reply.ids[:-1], end_id)
        rows.append(ReplyRow((*prompt, *ids), len(prompt)))
    return rows
