"""How surprised a model is by every token of some text: what all of this room is made of.

A sequence x_0 … x_n begins with a start token that nobody predicts; every token after it costs
-log P(x_i | what the model sees before it) nats. A sequence that does not fit into the model's context is
read through a window: the first one shows `seq_len` tokens and scores all of them, each later one moves on by
`stride` tokens and scores just the new ones, so that each token is scored once and, from the second window
on, sees at least `seq_len - stride` tokens before it. `stride = seq_len` is training's disjoint rows:
fastest, but the first tokens of a row are guessed from almost nothing. `stride = 1` gives every token all the
context there is, at `seq_len` times the price.

Rows are padded at the right, where causal attention does not look, and sorted by length; so a result does not
depend on which rows stood beside it (up to float32's rounding).
Read first in this room. Used by perplexity.py and choices.py. Taught in `evaluating-lms`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nn2llm.core.errors import TrainingError
from nn2llm.losses.cross_entropy import fast_cross_entropy

__all__ = [
    "DEFAULT_BATCH_SIZE",
    "LanguageModel",
    "ScoredSequence",
    "Window",
    "check_seq_len",
    "plan_windows",
    "score_sequences",
]

DEFAULT_BATCH_SIZE = 32
_MAX_LOGITS = 1 << 24
"""Logits in memory at once: 64 MB in float32, for a vocabulary of 50,000 about 330 rows."""

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


class _HasContext(Protocol):
    @property
    def max_seq_len(self) -> int: ...


class LanguageModel(Protocol):
    """What scoring asks of a model; `models.gpt.GPT` has it, and a table of logits can have it."""

    training: bool

    @property
    def config(self) -> _HasContext:
        """Its `max_seq_len` is the longest row that the model reads."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        ...

    def compute_hidden(self, input_ids: Tensor) -> Tensor:
        """`B T` ids to `B T C`. What stands at a position depends on that position and those before it."""
        ...

    def compute_logits(self, hidden: Tensor) -> Tensor:
        """`B T C` to `B T V`, each position by itself."""
        ...

    def train(self, mode: bool = True) -> object:
        """Set training mode (dropout on) or leave it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSequence:
    """Tokens, and which of them are scored."""

    tokens: Int64Array
    """The whole sequence, its start token first."""
    first: int = 1
    """Index of the first token that is scored; those before it are given."""
    stride: int | None = None
    """How far the window moves. None: the stride of the call."""


class Window(NamedTuple):
    """The model reads `tokens[start:stop]` and predicts `tokens[first : stop + 1]`."""

    start: int
    first: int
    stop: int


def plan_windows(num_tokens: int, *, seq_len: int, stride: int, first: int = 1) -> Iterator[Window]:
    """Windows in which each of the tokens `first` to `num_tokens - 1` is predicted once, in order.

    Raises:
        ValueError: if not 1 <= stride <= seq_len, or first < 1.
    """
    if not 1 <= stride <= seq_len or first < 1:
        raise ValueError(
            f"stride must be between 1 and seq_len and first at least 1, got {stride}, {seq_len}, {first}."
        )
    scored, last = first - 1, num_tokens - 1
    while scored < last:
        start = max(0, scored + stride - seq_len)
        stop = min(last, start + seq_len)
        yield Window(start, scored + 1, stop)
        scored = stop


def score_sequences(
    model: LanguageModel,
    sequences: Sequence[ScoredSequence],
    *,
    batch_size: int = DEFAULT_BATCH_SIZE,
    seq_len: int | None = None,
    stride: int | None = None,
) -> list[Float64Array]:
    """Nats of every scored token: for each sequence float64 [len(tokens) - first].

    `seq_len` is the longest row (default: the model's context; less where it was trained on less), `stride`
    how far a window moves (default: half of that). The logits never stand in memory all at once. The model
    is left in the mode it was in.

    Raises:
        ValueError: if a size is impossible.
        TrainingError: if the model predicts what is not a number.
    """
    seq_len = check_seq_len(model, seq_len)
    stride = max(1, seq_len // 2) if stride is None else stride
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}. Typical: 8 to 64 rows.")
    rows = [
        (number, window)
        for number, sequence in enumerate(sequences)
        for window in plan_windows(
            len(sequence.tokens), seq_len=seq_len, stride=sequence.stride or stride, first=sequence.first
        )
    ]
    # Longest first: what does not fit into memory fails at once. A stable sort: the same rows, the same sums.
    rows.sort(key=lambda row: row[1].start - row[1].stop)
    nats = [np.zeros(max(0, len(one.tokens) - one.first)) for one in sequences]
    with _evaluating(model), torch.inference_mode():
        for at in range(0, len(rows), batch_size):
            batch = rows[at : at + batch_size]
            scored = _score_rows(model, [(sequences[number].tokens, window) for number, window in batch])
            for (number, window), values in zip(batch, scored, strict=True):
                offset = window.first - sequences[number].first
                nats[number][offset : offset + len(values)] = values
    if any(np.isnan(values).any() for values in nats):
        raise TrainingError(
            "The model predicts what is not a number (nan), so it cannot be evaluated. "
            "Its weights are damaged: go back to an earlier checkpoint."
        )
    return nats


def check_seq_len(model: LanguageModel, seq_len: int | None) -> int:
    """`seq_len`, or the model's context where it is None.

    Raises:
        ValueError: if the model cannot read so many tokens.
    """
    longest = model.config.max_seq_len
    if seq_len is not None and not 1 <= seq_len <= longest:
        raise ValueError(f"seq_len must be between 1 and the model's context of {longest}, got {seq_len}.")
    return longest if seq_len is None else seq_len


@contextmanager
def _evaluating(model: LanguageModel) -> Iterator[None]:
    was_training = model.training
    model.train(False)
    try:
        yield
    finally:
        model.train(was_training)


def _score_rows(model: LanguageModel, rows: list[tuple[Int64Array, Window]]) -> list[Float64Array]:
    """Nats of each row's scored tokens, in one forward pass."""
    width = max(window.stop - window.start for _, window in rows)
    inputs = np.zeros((len(rows), width), dtype=np.int64)
    labels: list[Int64Array] = []
    row_of: list[Int64Array] = []
    place_of: list[Int64Array] = []
    for row, (tokens, (start, first, stop)) in enumerate(rows):
        inputs[row, : stop - start] = tokens[start:stop]
        labels.append(tokens[first : stop + 1])
        row_of.append(np.full(stop + 1 - first, row))
        place_of.append(np.arange(first - 1 - start, stop - start))  # token i is predicted at i - 1
    device = model.device
    hidden = model.compute_hidden(torch.from_numpy(inputs).to(device))
    # Only the positions that are scored go through the head, the most expensive layer of a small model.
    rows_taken = torch.from_numpy(np.concatenate(row_of)).to(device)
    places_taken = torch.from_numpy(np.concatenate(place_of)).to(device)
    hidden = hidden[rows_taken, places_taken]
    nats = _compute_nats(model, hidden, torch.from_numpy(np.concatenate(labels)).to(device))
    cuts = np.cumsum([len(piece) for piece in labels])[:-1]
    return np.split(nats.cpu().numpy().astype(np.float64), cuts)


def _compute_nats(model: LanguageModel, hidden: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of N positions, `N C` and `N` to `N`, some rows of logits at a time."""
    pieces: list[Tensor] = []
    at, num_rows = 0, 1  # the first row tells how large the vocabulary is
    while at < len(labels):
        logits = model.compute_logits(hidden[None, at : at + num_rows])[0]
        pieces.append(fast_cross_entropy(logits, labels[at : at + num_rows], reduction="none"))
        at += num_rows
        num_rows = max(1, _MAX_LOGITS // logits.shape[1])
    return torch.cat(pieces)
