"""One row of a batch that is being written: its tokens, its random numbers, and when it ends.

All decisions about a single text stand here, so that the cached engine and the uncached one cannot differ
in them. Read after text_stream.py. Used by engine.py.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from nn2llm.core.errors import ConfigError, TrainingError
from nn2llm.generation.sampling import SamplingConfig
from nn2llm.generation.text_stream import TextStream, TokenDecoder

__all__ = ["FinishReason", "Generation", "OnFull", "Request", "Row", "compute_row_seeds"]

FinishReason = Literal["stop_token", "stop_string", "max_new_tokens", "context_full"]
OnFull = Literal["stop", "slide"]

# Drawn in blocks of fixed size, so that a row's numbers do not depend on how many it will need.
_UNIFORMS_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """The continuation of one prompt."""

    ids: tuple[int, ...]
    """The new tokens, including the stop token or those of the stop string that ended them."""

    text: str | None
    """The new text, without stop token and stop string; None where no tokenizer was given."""

    finish_reason: FinishReason
    """Why it ended."""

    logprobs: tuple[float, ...]
    """log p(token | the tokens before it) of each new token, in nats, by the model itself: before
    temperature and the other sampling rules."""

    num_slides: int
    """How often the context was full and all but its last half was forgotten (`on_full="slide"`)."""

    @property
    def logprob(self) -> float:
        """log p(ids | prompt), in nats: the sum of `logprobs`."""
        return math.fsum(self.logprobs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What all rows of one call have in common."""

    max_new_tokens: int
    max_seq_len: int
    vocab_size: int
    sampling: SamplingConfig
    tokenizer: TokenDecoder | None
    stop_token_ids: frozenset[int]
    stop_strings: tuple[str, ...]
    on_full: OnFull

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens must be at least 1, got {self.max_new_tokens}.")
        if self.stop_strings and self.tokenizer is None:
            raise ConfigError(
                f"Stop strings {list(self.stop_strings)} need a tokenizer, got None. Pass tokenizer=."
            )

    def build_rows(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int]) -> list["Row"]:
        """One `Row` a prompt.

        Raises:
            ConfigError: if a prompt is empty, has an unknown token, or leaves no room in the context.
        """
        if len(seeds) != len(prompts):
            raise ConfigError(
                f"One seed a prompt is needed: got {len(seeds)} seeds for {len(prompts)} prompts."
            )
        for index, prompt in enumerate(prompts):
            if not prompt:
                raise ConfigError(
                    f"Prompt {index} has no tokens. "
                    "To write from nothing, start with the tokenizer's end_of_text_id."
                )
            if not 0 <= min(prompt) <= max(prompt) < self.vocab_size:
                raise ConfigError(
                    f"Prompt {index} has tokens from {min(prompt)} to {max(prompt)}, the model knows 0 to "
                    f"{self.vocab_size - 1}. Encode it with the tokenizer of this model."
                )
            if len(prompt) >= self.max_seq_len and self.on_full == "stop":
                raise ConfigError(
                    f"Prompt {index} has {len(prompt)} tokens and leaves no room in a context of "
                    f'{self.max_seq_len}. Shorten it, or pass on_full="slide" to go on from its end.'
                )
        return [Row(prompt, seed, self) for prompt, seed in zip(prompts, seeds, strict=True)]


class Row:
    """One prompt and what has been written after it."""

    def __init__(self, prompt: Sequence[int], seed: int, request: Request) -> None:
        self.ids = list(prompt)
        self.finish_reason: FinishReason | None = None
        self._request = request
        self._prompt_length = len(prompt)
        self._logprobs: list[float] = []
        self._window_start = 0
        self._num_slides = 0
        self._generator = torch.Generator().manual_seed(seed)
        self._uniforms: list[float] = []
        tokenizer = request.tokenizer
        self._stream = None if tokenizer is None else TextStream(tokenizer, request.stop_strings)

    @property
    def window(self) -> list[int]:
        """The tokens that the model sees."""
        return self.ids[self._window_start :]

    @property
    def num_new(self) -> int:
        """How many tokens have been written."""
        return len(self._logprobs)

    def draw_uniform(self) -> float:
        """The row's next random number in [0, 1), from a generator of its own."""
        if not self._uniforms:
            drawn: list[float] = torch.rand(
                _UNIFORMS_AT_ONCE, dtype=torch.float64, generator=self._generator
            ).tolist()
            self._uniforms = drawn[::-1]
        return self._uniforms.pop()

    def accept(self, token: int, logprob: float) -> str:
        """Append a token and decide whether it is the last; returns the text that is certain now.

        Raises:
            TrainingError: if `logprob` is not a number.
        """
        if math.isnan(logprob):
            raise TrainingError(
                "The model's scores are not numbers (NaN), so its weights are damaged or have diverged. "
                "Use an earlier checkpoint, or train with a smaller learning rate."
            )
        self.ids.append(token)
        self._logprobs.append(logprob)
        text = ""
        if token in self._request.stop_token_ids:
            self.finish_reason = "stop_token"
        elif self._stream is not None:
            text = self._stream.push(token)
            if self._stream.stopped:
                self.finish_reason = "stop_string"
        if self.finish_reason is None:
            if self.num_new >= self._request.max_new_tokens:
                self.finish_reason = "max_new_tokens"
            elif self._is_full() and self._request.on_full == "stop":
                self.finish_reason = "context_full"
        if self.finish_reason is not None and self._stream is not None:
            text += self._stream.finish()
        return text

    def slide_if_full(self) -> bool:
        """If the window fills the context, keep its last half; returns whether it did.

        Half, because the positions of all tokens kept change, so the cache is computed anew: at every
        step if one token made room, once in max_seq_len / 2 steps so.
        """
        if not self._is_full():
            return False
        self._window_start = len(self.ids) - max(1, self._request.max_seq_len // 2)
        self._num_slides += 1
        return True

    def to_generation(self) -> Generation:
        """The result, once `finish_reason` is set."""
        assert self.finish_reason is not None
        return Generation(
            ids=tuple(self.ids[self._prompt_length :]),
            text=None if self._stream is None else self._stream.text,
            finish_reason=self.finish_reason,
            logprobs=tuple(self._logprobs),
            num_slides=self._num_slides,
        )

    def _is_full(self) -> bool:
        return len(self.ids) - self._window_start >= self._request.max_seq_len


def compute_row_seeds(seed: int, num_rows: int) -> list[int]:
    """A seed for each row, so that neighbouring rows and neighbouring seeds share no random numbers.

    Mixes (seed, row) with the finaliser of SplitMix64 (Steele et al. 2014): with `seed + row` instead,
    row 1 of seed 1 would repeat row 0 of seed 2.
    """
    mask = 2**64 - 1
    seeds = []
    for row in range(num_rows):
        mixed = (seed * 0x9E3779B97F4A7C15 + row * 0xD1B54A32D192ED03 + 0x9E3779B97F4A7C15) & mask
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & mask
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & mask
        seeds.append((mixed ^ (mixed >> 31)) >> 1)  # torch takes 63 bits
    return seeds
