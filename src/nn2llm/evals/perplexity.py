"""Perplexity and bits per byte: of a running text, and of documents each by itself.

Three ways to say the same loss. *Nats a token* is what training minimises. *Perplexity*, e to that power, is
the number of equally likely tokens the model hesitates between. Both depend on the tokenizer: larger tokens
are harder to guess, and fewer. *Bits per byte* divides by the bytes of the text instead, so models with
different tokenizers compare, and so do gzip and the exact entropy of a micro-world.

A running text starts from the start token `<|endoftext|>`, and where it is made of documents one stands
after each (as in training's rows), is predicted, and starts the next. `score_documents` reads each document
once, whole and alone, from the start token to its end, which is predicted too: log P(document) and nothing
else.
Read after scoring.py. Used by floor.py, train/evaluation.py and `nn2llm eval`. Taught in `evaluating-lms`.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nn2llm.core.errors import DataError
from nn2llm.evals.scoring import (
    DEFAULT_BATCH_SIZE,
    LanguageModel,
    ScoredSequence,
    check_seq_len,
    score_sequences,
)
from nn2llm.tokenizers.base import Tokenizer, replace_surrogates

__all__ = [
    "DocumentScores",
    "TextScores",
    "compute_bits_per_byte",
    "score_documents",
    "score_text",
    "take_documents",
]

_PIECE_CHARS = 1 << 18

Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]


def compute_bits_per_byte(nats_per_token: float, tokens_per_byte: float) -> float:
    """Nats a token as bits a byte of the text: comparable between tokenizers, and with gzip."""
    return nats_per_token / math.log(2) * tokens_per_byte


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DocumentScores:
    """What a model makes of pieces of text (documents, stretches, tokens), piece by piece: arrays [N]."""

    nats: Float64Array
    """-log P(piece); of a document its end included."""
    num_bytes: Int64Array
    """UTF-8 bytes of the text."""
    num_tokens: Int64Array
    """Tokens predicted; of a document its end included."""

    @property
    def total_nats(self) -> float:
        """Of all pieces."""
        return float(self.nats.sum())

    @property
    def total_tokens(self) -> int:
        """Of all pieces."""
        return int(self.num_tokens.sum())

    @property
    def total_bytes(self) -> int:
        """Of all pieces."""
        return int(self.num_bytes.sum())

    @property
    def nats_per_token(self) -> float:
        """Mean loss."""
        return self.total_nats / self.total_tokens

    @property
    def perplexity(self) -> float:
        """e^(nats a token); infinite where that is too large for a float."""
        try:
            return math.exp(self.nats_per_token)
        except OverflowError:
            return math.inf

    @property
    def bits_per_byte(self) -> float:
        """Length of the code that the model would need, in bits a byte of the text."""
        return compute_bits_per_byte(self.nats_per_token, self.total_tokens / self.total_bytes)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TextScores(DocumentScores):
    """The scores of a running text, token by token: each piece is one token.

    Tokenizers here are lossless, so `num_bytes` (0 for the mark between documents) adds up to the text's.
    """

    document_starts: Int64Array
    """Index of each document's first token; 0 alone for a running text."""
    is_cut: bool
    """Whether `max_tokens` left out the rest of the text."""

    def sum_documents(self) -> DocumentScores:
        """The sums of each document in the stream."""
        return self._sum_from(self.document_starts)

    def sum_blocks(self, num_tokens: int) -> DocumentScores:
        """The sums of each stretch of `num_tokens` tokens; the last stretch is shorter.

        Neighbouring tokens are hard or easy together, so an interval resamples stretches, not tokens
        (Künsch 1989, "The Jackknife and the Bootstrap for General Stationary Observations").
        """
        return self._sum_from(np.arange(0, len(self.nats), num_tokens))

    def _sum_from(self, starts: Int64Array) -> DocumentScores:
        return DocumentScores(
            nats=np.add.reduceat(self.nats, starts),
            num_bytes=np.add.reduceat(self.num_bytes, starts),
            num_tokens=np.add.reduceat(self.num_tokens, starts),
        )


def score_documents(
    model: LanguageModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    batch_size: int = DEFAULT_BATCH_SIZE,
    seq_len: int | None = None,
    stride: int | None = None,
) -> DocumentScores:
    """-log P of each document, whole and alone, from `<|endoftext|>` to the `<|endoftext|>` that ends it.

    A document longer than the context (`seq_len`, default the model's) is read through a window that moves by
    `stride` (default half of it); each of its tokens counts once.

    With any lossless tokenizer this is the length of a code for the text. It is an upper bound of the model's
    own -log P(text) where one text has several tokenisations: the usual one alone is scored.

    Raises:
        DataError: if there are no documents.
        TokenizerError: if the tokenizer does not know a character.
        TrainingError: if the model predicts what is not a number.
    """
    if not texts:
        raise DataError("There is no document to score. Give at least one.")
    mark = tokenizer.end_of_text_id
    sequences = [
        ScoredSequence(np.array([mark, *ids, mark], dtype=np.int64)) for ids in tokenizer.encode_batch(texts)
    ]
    nats = score_sequences(model, sequences, batch_size=batch_size, seq_len=seq_len, stride=stride)
    return DocumentScores(
        nats=np.array([values.sum() for values in nats]),
        num_bytes=np.array([_count_bytes(text) for text in texts], dtype=np.int64),
        num_tokens=np.array([len(values) for values in nats], dtype=np.int64),
    )


def score_text(
    model: LanguageModel,
    tokenizer: Tokenizer,
    texts: Iterable[str],
    *,
    separate_documents: bool,
    stride: int | None = None,
    seq_len: int | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    max_tokens: int | None = None,
) -> TextScores:
    """Every token of a running text predicted once, the first from `<|endoftext|>`.

    With `separate_documents` the mark `<|endoftext|>` follows each text and is predicted; without, the texts
    are one. `stride` is how far a window of `seq_len` (default: the model's context) moves; default:
    `seq_len`, the disjoint rows of training. `max_tokens` takes the beginning only.

    Raises:
        DataError: if there is no text.
        TokenizerError: if the tokenizer does not know a character.
        TrainingError: if the model predicts what is not a number.
    """
    seq_len = check_seq_len(model, seq_len)
    tokens, starts, is_cut = _encode_running(tokenizer, texts, separate_documents, max_tokens)
    token_bytes = tokenizer.num_bytes_per_token()[tokens]
    if not token_bytes.sum():
        raise DataError("There is no text to score. Give at least one character.")
    sequence = ScoredSequence(np.concatenate([[tokenizer.end_of_text_id], tokens]))
    [nats] = score_sequences(
        model,
        [sequence],
        batch_size=batch_size,
        seq_len=seq_len,
        stride=seq_len if stride is None else stride,
    )
    return TextScores(
        nats=nats,
        num_bytes=token_bytes,
        num_tokens=np.ones(len(nats), dtype=np.int64),
        document_starts=starts,
        is_cut=is_cut,
    )


def take_documents(
    texts: Iterable[str],
    tokenizer: Tokenizer,
    *,
    max_documents: int | None = None,
    max_tokens: int | None = None,
) -> tuple[list[str], bool]:
    """The first documents, whole: as many as fit into both limits, and at least one if there is one.

    The second value says whether the limits left any out.
    """
    taken: list[str] = []
    num_tokens = 0
    for text in texts:
        if max_tokens is not None:
            num_tokens += len(tokenizer.encode(text)) + 1
        is_full = len(taken) == max_documents or (max_tokens is not None and num_tokens > max_tokens)
        if is_full and taken:
            return taken, True
        taken.append(text)
    return taken, False


def _count_bytes(text: str) -> int:
    return len(replace_surrogates(text).encode())


def _encode_running(
    tokenizer: Tokenizer, texts: Iterable[str], separate: bool, max_tokens: int | None
) -> tuple[Int64Array, Int64Array, bool]:
    """The tokens of the stream, where its documents start, and whether it was cut.

    Reads little more text than it needs: one token beyond `max_tokens` shows that there is more.
    """
    pieces = [np.empty(0, np.int64)]
    starts: list[int] = []
    count = 0
    streams = (
        (_encode_one(tokenizer, text) for text in texts) if separate else [_encode_all(tokenizer, texts)]
    )
    for stream in streams:
        starts.append(count)
        for ids in stream:
            pieces.append(np.array(ids, dtype=np.int64))
            count += len(ids)
            if max_tokens is not None and count > max_tokens:
                break
        if separate:
            pieces.append(np.array([tokenizer.end_of_text_id], dtype=np.int64))
            count += 1
        if max_tokens is not None and count > max_tokens:
            break
    tokens = np.concatenate(pieces)[:max_tokens]
    return tokens, np.array([start for start in starts if start < len(tokens)], np.int64), len(tokens) < count


def _encode_one(tokenizer: Tokenizer, text: str) -> Iterator[list[int]]:
    return tokenizer.encode_stream(_iterate_pieces(text))


def _encode_all(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[list[int]]:
    return tokenizer.encode_stream(piece for text in texts for piece in _iterate_pieces(text))


def _iterate_pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE_CHARS):
        yield text[start : start + _PIECE_CHARS]
