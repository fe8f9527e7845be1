"""The tokenizer for a corpus: `char`, `bpe`, or one that lies on disk.

Read after data/corpora.py and tokenizers/loading.py. Used by train/ and `nn2llm data prepare`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from nn2llm.core.errors import ConfigError
from nn2llm.data.corpora import SPLITS, Corpus
from nn2llm.tokenizers import Tokenizer, load_tokenizer, train_tokenizer

__all__ = ["MAX_TRAIN_BYTES", "build_tokenizer"]

MAX_TRAIN_BYTES = 5_000_000
"""A BPE vocabulary learns its merges from the first 5 MB of the training text: more changes few of them."""


def build_tokenizer(
    spec: str,
    corpus: Corpus,
    *,
    vocab_size: int | None = None,
    max_train_bytes: int = MAX_TRAIN_BYTES,
    on_merge: Callable[[int], None] | None = None,
) -> Tokenizer:
    """Train a tokenizer of kind `spec` ("char", "bpe") on `corpus`, or load it from the path `spec`.

    "char" takes the alphabet of the whole corpus, held-out part included: a character met only there could
    not be encoded, and an alphabet says nothing of its text. "bpe" learns from the training part alone.

    Raises:
        ConfigError: if `spec` is neither a kind nor a path, or `vocab_size` is given for a tokenizer on disk.
        TokenizerError: if `vocab_size` is too small, or the file is damaged.
        DataError: if the corpus cannot be read.
    """
    if spec == "char":
        all_texts = (text for split in SPLITS for text in corpus.documents(split))
        return train_tokenizer("char", all_texts, vocab_size=vocab_size)
    if spec == "bpe":
        texts = _take_bytes(corpus.documents("train"), max_train_bytes)
        return train_tokenizer("bpe", texts, vocab_size=vocab_size, on_merge=on_merge)
    if not Path(spec).expanduser().exists():
        raise ConfigError(
            f"There is no tokenizer {spec!r}. Choose char, bpe, or the path of a tokenizer.json."
        )
    if vocab_size is not None:
        raise ConfigError(
            f"The tokenizer {spec} has its vocabulary already. Leave out --vocab-size {vocab_size}."
        )
    return load_tokenizer(Path(spec).expanduser())


def _take_bytes(texts: Iterator[str], max_bytes: int) -> Iterator[str]:
    """Texts until `max_bytes` are reached; the last is cut (at about that many bytes)."""
    left = max_bytes
    for text in texts:
        num_bytes = len(text.encode())
        if num_bytes >= left:
            yield text[: max(1, len(text) * left // num_bytes)]
            return
        left -= num_bytes
        yield text
