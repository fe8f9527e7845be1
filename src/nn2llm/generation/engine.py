"""The engine that writes: prompts in, continuations out, one token a step.

`stream` is the engine: it reads a batch of prompts of different lengths (padded at the left) into a KV cache,
then feeds one token a row and a step; rows that have finished leave the batch. `generate` collects its
results. `generate_uncached` is the version to read: each text alone, given whole to the model at every step.
A test proves them equal.

Read after nn/kv_cache.py, sampling.py and rows.py. Used by train (samples), evals, serve and `nn2llm sample`.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nn2llm.generation.decoder import Decoder
from nn2llm.generation.rows import Generation, OnFull, Request, Row, compute_row_seeds
from nn2llm.generation.sampling import SamplingConfig, draw_at, mark_seen
from nn2llm.generation.text_stream import TokenDecoder
from nn2llm.models.gpt import GPT
from nn2llm.nn.kv_cache import KVCache

__all__ = ["TextPiece", "generate", "generate_uncached", "stream"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPiece:
    """What is new in one row."""

    row: int
    """Which prompt."""

    text: str
    """New text: whole characters, and never a part of a stop string."""

    generation: Generation | None
    """The result, in the row's last piece; None in those before."""


def generate(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: SamplingConfig | None = None,
    tokenizer: TokenDecoder | None = None,
    stop_token_ids: Collection[int] = (),
    stop_strings: Sequence[str] = (),
    seed: int | Sequence[int] = 0,
    on_full: OnFull = "stop",
    on_text: Callable[[int, str], None] | None = None,
) -> list[Generation]:
    """Continue every prompt; returns one `Generation` a prompt, in their order.

    Args:
        model: runs where its weights are; dropout is off meanwhile.
        prompts: token ids, of any lengths, none empty.
        max_new_tokens: how many tokens to write at most.
        sampling: how tokens are chosen; None draws from the model's own distribution.
        tokenizer: needed for text, streaming and stop strings.
        stop_token_ids: each of these tokens ends a row.
        stop_strings: each of these texts ends a row, wherever token borders fall, and is cut off.
        seed: one for all, from which each row gets its own; or one a row. A row's text depends on its own
            seed and prompt, not on the rows beside it.
        on_full: what happens when prompt and text fill `max_seq_len`: "stop" ends the row with
            "context_full"; "slide" forgets all but the last half of the context and goes on.
        on_text: called with (row, new text) while the text is written.

    Raises:
        ConfigError: if the request cannot work (`Request`).
        TrainingError: if the model's scores are NaN.
    """
    request = _build_request(
        model, max_new_tokens, sampling, tokenizer, stop_token_ids, stop_strings, on_full
    )
    results: list[Generation | None] = [None] * len(prompts)
    for piece in _run(model, request.build_rows(prompts, _seeds(seed, prompts)), request):
        if on_text is not None and piece.text:
            on_text(piece.row, piece.text)
        if piece.generation is not None:
            results[piece.row] = piece.generation
    return [result for result in results if result is not None]


def stream(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: SamplingConfig | None = None,
    tokenizer: TokenDecoder | None = None,
    stop_token_ids: Collection[int] = (),
    stop_strings: Sequence[str] = (),
    seed: int | Sequence[int] = 0,
    on_full: OnFull = "stop",
) -> Iterator[TextPiece]:
    """Like `generate`, but gives each row's text piece by piece; its last piece holds the result."""
    request = _build_request(
        model, max_new_tokens, sampling, tokenizer, stop_token_ids, stop_strings, on_full
    )
    return _run(model, request.build_rows(prompts, _seeds(seed, prompts)), request)


def generate_uncached(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampling: SamplingConfig | None = None,
    tokenizer: TokenDecoder | None = None,
    stop_token_ids: Collection[int] = (),
    stop_strings: Sequence[str] = (),
    seed: int | Sequence[int] = 0,
    on_full: OnFull = "stop",
) -> list[Generation]:
    """As `generate`, slowly: no batch, no cache, at each step all tokens anew. Arguments as there."""
    request = _build_request(
        model, max_new_tokens, sampling, tokenizer, stop_token_ids, stop_strings, on_full
    )
    rows = request.build_rows(prompts, _seeds(seed, prompts))
    with _evaluating(model), torch.inference_mode():
        for row in rows:
            while row.finish_reason is None:
                row.slide_if_full()
                input_ids = torch.tensor([row.window], device=model.device)
                logits = model.compute_logits(model.compute_hidden(input_ids))[:, -1]
                already = torch.tensor([row.ids], device=model.device)
                no_padding = torch.zeros(1, dtype=torch.long, device=model.device)
                seen = mark_seen(already, no_padding, vocab_size=request.vocab_size)
                token, logprob = _choose(logits, seen, [row], request.sampling)
                row.accept(int(token), float(logprob))
    return [row.to_generation() for row in rows]


def _build_request(
    model: GPT,
    max_new_tokens: int,
    sampling: SamplingConfig | None,
    tokenizer: TokenDecoder | None,
    stop_token_ids: Collection[int],
    stop_strings: Sequence[str],
    on_full: OnFull,
) -> Request:
    return Request(
        max_new_tokens=max_new_tokens,
        max_seq_len=model.config.max_seq_len,
        vocab_size=model.config.vocab_size,
        sampling=sampling or SamplingConfig(),
        tokenizer=tokenizer,
        stop_token_ids=frozenset(stop_token_ids),
        stop_strings=tuple(stop_strings),
        on_full=on_full,
    )


def _seeds(seed: int | Sequence[int], prompts: Sequence[Sequence[int]]) -> Sequence[int]:
    return compute_row_seeds(seed, len(prompts)) if isinstance(seed, int) else seed


@contextmanager
def _evaluating(model: GPT) -> Iterator[None]:
    """Dropout off inside, and as it was afterwards: training may go on."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _run(model: GPT, rows: list[Row], request: Request) -> Iterator[TextPiece]:
    with _evaluating(model):
        batch = _Batch(model, rows, request)
        while batch.rows:
            yield from batch.step()


class _Batch:
    """The rows still being written, and what the model knows of them."""

    def __init__(self, model: GPT, rows: list[Row], request: Request) -> None:
        self.rows = rows
        self._model = model
        self._decoder = Decoder(model) if Decoder.supports(model) else None
        self._request = request
        self._indices = list(range(len(rows)))
        self._seen: Tensor | None = None
        self._logits = torch.empty(0, request.vocab_size)
        for row in rows:
            row.slide_if_full()
        if rows:
            self._read_windows()

    # inference_mode must not reach over a yield: the caller's own tensors would fall under it.
    @torch.inference_mode()
    def step(self) -> list[TextPiece]:
        """Write one token in every row; returns what became known."""
        tokens, logprobs = _choose(self._logits, self._seen, self.rows, self._request.sampling)
        pieces, kept, any_slides = [], [], False
        for position, (token, logprob) in enumerate(zip(tokens.tolist(), logprobs.tolist(), strict=True)):
            row = self.rows[position]
            text = row.accept(token, logprob)
            if row.finish_reason is None:
                kept.append(position)
                any_slides |= row.slide_if_full()
            if text or row.finish_reason is not None:
                generation = None if row.finish_reason is None else row.to_generation()
                pieces.append(TextPiece(row=self._indices[position], text=text, generation=generation))
        if self._seen is not None:
            self._seen.scatter_(1, tokens[:, None], True)
        if len(kept) < len(self.rows):
            tokens = self._keep(kept, tokens)
        if any_slides or self._cache.length == self._cache.max_seq_len:
            self._read_windows()
        elif self.rows:
            self._logits = self._read(tokens[:, None])
        return pieces

    def _keep(self, kept: list[int], tokens: Int[Tensor, " B"]) -> Int[Tensor, " kept"]:
        """Let the other rows go; returns the tokens of those kept."""
        self.rows = [self.rows[position] for position in kept]
        self._indices = [self._indices[position] for position in kept]
        chosen = torch.tensor(kept, dtype=torch.long, device=tokens.device)
        self._cache.keep_rows(chosen)
        if self._seen is not None:
            self._seen = self._seen[chosen]
        return tokens[chosen]

    @torch.inference_mode()
    def _read_windows(self) -> None:
        """Read what each row shows the model into a new cache: at the start, and when the old one is full.

        Rows that show the same (several replies to one prompt) are read once.
        """
        if not self.rows:
            return
        device = self._model.device
        shown = [tuple(row.window) for row in self.rows]
        windows = list(dict.fromkeys(shown))
        input_ids, pad_lengths = _pad_left(windows, device)
        longest = input_ids.shape[1]
        still_to_write = self._request.max_new_tokens - self.rows[0].num_new  # the same in all rows
        self._cache: KVCache = self._model.new_cache(
            len(windows),
            min(self._request.max_seq_len, longest + still_to_write),
            # Without padding no mask is needed, and attention takes its fast path.
            pad_lengths=pad_lengths if bool(pad_lengths.any()) else None,
        )
        if self._seen is None and self._request.sampling.repetition_penalty != 1:
            everything, before = _pad_left([row.ids for row in self.rows], device)
            self._seen = mark_seen(everything, before, vocab_size=self._request.vocab_size)
        self._logits = self._read(input_ids)
        if len(windows) < len(shown):
            numbers = {window: number for number, window in enumerate(windows)}
            places = torch.tensor([numbers[window] for window in shown], device=device)
            self._cache.keep_rows(places)
            self._logits = self._logits[places]

    def _read(self, input_ids: Int[Tensor, "B T"]) -> Float[Tensor, "B V"]:
        """Append tokens to the cache; returns the logits after the last one, and computes no others."""
        if self._decoder is not None and input_ids.shape[1] == 1:
            hidden = self._decoder.compute_hidden(input_ids[:, 0], self._cache)[:, None]
        else:
            hidden = self._model.compute_hidden(input_ids, cache=self._cache)
        return self._model.compute_logits(hidden[:, -1:])[:, 0]


def _choose(
    logits: Float[Tensor, "B V"],
    seen: Bool[Tensor, "B V"] | None,
    rows: Sequence[Row],
    sampling: SamplingConfig,
) -> tuple[Int[Tensor, " B"], Float[Tensor, " B"]]:
    """The next token of each row, and its log-probability under the model."""
    logits = logits.float()
    allowed = sampling.apply(logits, seen)
    if sampling.temperature == 0:
        tokens = allowed.argmax(dim=-1)
    else:
        uniforms = torch.tensor([row.draw_uniform() for row in rows], dtype=torch.float64)
        tokens = draw_at(allowed, uniforms)
    logprobs = logits.log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0]
    return tokens, logprobs


def _pad_left(
    rows: Sequence[Sequence[int]], device: torch.device
) -> tuple[Int[Tensor, "B T"], Int[Tensor, " B"]]:
    """Rows of one length, filled up at the left with token 0 (any would do: it is never attended to)."""
    longest = max(len(row) for row in rows)
    pad_lengths = [longest - len(row) for row in rows]
    padded = [[0] * pad + list(row) for pad, row in zip(pad_lengths, rows, strict=True)]
    return torch.tensor(padded, device=device), torch.tensor(pad_lengths, device=device)
