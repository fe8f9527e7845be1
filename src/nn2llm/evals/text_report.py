"""A model on ordinary text: its loss in every unit, with intervals, beside gzip and xz.

Read after perplexity.py and intervals.py. Used by `nn2llm eval`. A text is scored in two ways:

- in rows, as training measures its held-out loss: each row starts from nothing, so its first tokens are hard;
- with context: many documents each alone from its start, a running text through a sliding window.

The second is the better figure of what the model can do, the first the one to compare with the run's log.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from nn2llm.core.errors import DataError
from nn2llm.data.compression import CompressionBaselines, compute_compression_baselines
from nn2llm.data.corpora import SPLITS, Corpus, Split
from nn2llm.evals.intervals import Interval, bootstrap_ratio
from nn2llm.evals.perplexity import (
    DocumentScores,
    TextScores,
    score_documents,
    score_text,
    take_documents,
)
from nn2llm.evals.scoring import DEFAULT_BATCH_SIZE, LanguageModel, check_seq_len
from nn2llm.tokenizers.base import Tokenizer, replace_surrogates

__all__ = ["MIN_DOCUMENTS", "TextFigures", "TextReport", "evaluate_text"]

MIN_DOCUMENTS = 20
"""With fewer documents the bootstrap knows too little of how they differ: stretches of text are drawn."""
_MIN_BYTES = 16
_MAX_TRAIN_BYTES = 1 << 20
"""xz reads the training text too where it is no larger than this: about a second."""

Way = Literal["rows", "sliding", "alone"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TextFigures:
    """The loss on one text, scored in one way."""

    way: Way
    """rows: disjoint rows, as in training; sliding: a window that moves by `stride`; alone: each document
    from its own start, through such a window where it is longer than a row."""
    seq_len: int
    stride: int
    num_tokens: int
    """Tokens predicted."""
    num_bytes: int
    nats_per_token: Interval
    perplexity: Interval
    bits_per_byte: Interval
    unit: str
    """What the intervals draw: "document", or "stretch of 128 tokens"."""
    num_units: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TextReport:
    """What `evaluate_text` found."""

    num_documents: int
    num_bytes: int
    is_cut: bool
    """Whether the limits left out a part of the text."""
    figures: tuple[TextFigures, ...]
    baselines: CompressionBaselines
    """gzip and xz on the same bytes."""
    xz_has_read_training_text: bool
    """Whether `baselines.xz_after_train` is what it says: not for large training texts."""


def evaluate_text(
    model: LanguageModel,
    tokenizer: Tokenizer,
    corpus: Corpus,
    *,
    split: Split | Literal["all"] = "val",
    max_documents: int | None = None,
    max_tokens: int | None = None,
    seq_len: int | None = None,
    stride: int | None = None,
    rows: bool = True,
    batch_size: int = DEFAULT_BATCH_SIZE,
    seed: int = 0,
) -> TextReport:
    """Loss, perplexity and bits per byte of one part of a corpus, with 95% intervals.

    `seq_len` is the longest row (default: the model's context), `stride` how far the window moves where
    context is given (default: half a row). `rows=False` leaves out the rows of training.

    Raises:
        DataError: if the corpus cannot be read, or is too short to say anything.
        TokenizerError: if the tokenizer does not know a character.
        TrainingError: if the model predicts what is not a number.
    """
    seq_len = check_seq_len(model, seq_len)
    stride = max(1, seq_len // 2) if stride is None else stride
    separate = corpus.separates_documents
    if separate:
        texts, is_cut = take_documents(
            iterate_documents(corpus, split), tokenizer, max_documents=max_documents, max_tokens=max_tokens
        )
    else:
        text, is_cut = _take_text("".join(iterate_documents(corpus, split)), tokenizer, max_tokens)
        texts = [text]
    data = "".join(map(replace_surrogates, texts)).encode()
    if len(data) < _MIN_BYTES:
        raise DataError(
            f"The text of {corpus.name} to evaluate on has {len(data)} bytes; that says nothing of a model. "
            f"Give at least {_MIN_BYTES}."
        )
    by_document = separate and len(texts) >= MIN_DOCUMENTS

    def score(stride: int) -> TextScores:
        return score_text(
            model,
            tokenizer,
            texts,
            separate_documents=separate,
            stride=stride,
            seq_len=seq_len,
            batch_size=batch_size,
        )

    ways: list[tuple[Way, int, DocumentScores]] = []
    if rows or (not by_document and stride == seq_len):
        ways.append(("rows", seq_len, score(seq_len)))
    if by_document:
        alone = score_documents(
            model, tokenizer, texts, seq_len=seq_len, stride=stride, batch_size=batch_size
        )
        ways.append(("alone", stride, alone))
    elif stride < seq_len:
        ways.append(("sliding", stride, score(stride)))
    train = _read_training_text(corpus) if split == "val" else None
    return TextReport(
        num_documents=len(texts),
        num_bytes=len(data),
        is_cut=is_cut,
        figures=tuple(
            _summarise(scores, way, seq_len=seq_len, stride=moved, by_document=by_document, seed=seed)
            for way, moved, scores in ways
        ),
        baselines=compute_compression_baselines(train or b"", data),
        xz_has_read_training_text=train is not None,
    )


def iterate_documents(corpus: Corpus, split: Split | Literal["all"]) -> Iterator[str]:
    """The documents of a split, or of both."""
    return chain.from_iterable(corpus.documents(one) for one in SPLITS if split in {one, "all"})


def _take_text(text: str, tokenizer: Tokenizer, max_tokens: int | None) -> tuple[str, bool]:
    """The beginning of a running text, of at most `max_tokens` tokens; and whether that cut it."""
    # A token is at least one byte.
    if max_tokens is None or len(replace_surrogates(text).encode()) <= max_tokens:
        return text, False
    taken: list[int] = []
    for ids in tokenizer.encode_stream(text[at : at + (1 << 16)] for at in range(0, len(text), 1 << 16)):
        taken += ids
        if len(taken) > max_tokens:
            # the last character may be cut in two: leave it out
            return tokenizer.decode_bytes(taken[:max_tokens]).decode(errors="ignore"), True
    return text, False


def _summarise(
    scores: DocumentScores, way: Way, *, seq_len: int, stride: int, by_document: bool, seed: int
) -> TextFigures:
    if not isinstance(scores, TextScores):
        units, unit = scores, "document"
    elif by_document:
        units, unit = scores.sum_documents(), "document"
    else:
        block = _choose_block(scores.total_tokens, seq_len)
        units, unit = scores.sum_blocks(block), f"stretch of {block} tokens"
    if len(units.nats) < 2:
        raise DataError("The text to evaluate on is a single token, which has no interval. Give more text.")
    nats_per_token = bootstrap_ratio(units.nats, units.num_tokens, seed=seed)
    return TextFigures(
        way=way,
        seq_len=seq_len,
        stride=stride,
        num_tokens=scores.total_tokens,
        num_bytes=scores.total_bytes,
        nats_per_token=nats_per_token,
        perplexity=_exponentiate(nats_per_token),
        bits_per_byte=bootstrap_ratio(units.nats, units.num_bytes, scale=1 / math.log(2), seed=seed),
        unit=unit,
        num_units=len(units.nats),
    )


def _choose_block(num_tokens: int, seq_len: int) -> int:
    """A row where that gives 50 stretches or more, else as many tokens as give 50; two stretches at least."""
    return max(1, min(max(seq_len, num_tokens // 1000), max(16, num_tokens // 50), num_tokens // 2))


def _exponentiate(interval: Interval) -> Interval:
    """The interval of e^x: its bounds' powers, since the exponential keeps order."""
    estimate = _exp(interval.estimate)
    return Interval(
        estimate=estimate,
        low=_exp(interval.low),
        high=_exp(interval.high),
        standard_error=estimate * interval.standard_error,  # to first order
        level=interval.level,
    )


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))  # e^709 is the largest that a float holds


def _read_training_text(corpus: Corpus) -> bytes | None:
    """The training text, or None where it is too long to be compressed in passing."""
    pieces: list[bytes] = []
    num_bytes = 0
    for text in corpus.documents("train"):
        pieces.append(replace_surrogates(text).encode())
        num_bytes += len(pieces[-1])
        if num_bytes > _MAX_TRAIN_BYTES:
            return None
    return b"".join(pieces)
