"""Train a tokenizer by its kind, or load one from disk.

Read last in this room. Training is ours (bpe.py), encoding afterwards the fast way (fast.py).
Used by data/, train/ and cli/.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

from nn2llm.core.errors import ConfigError, TokenizerError
from nn2llm.tokenizers.base import TOKENIZER_FILE, Tokenizer
from nn2llm.tokenizers.characters import CharTokenizer
from nn2llm.tokenizers.fast import FastBPETokenizer
from nn2llm.tokenizers.formats import BPEVocabulary, describe_damage, parse_gpt2_files, parse_hf_json

__all__ = ["DEFAULT_VOCAB_SIZE", "load_gpt2_tokenizer", "load_tokenizer", "train_tokenizer"]

DEFAULT_VOCAB_SIZE = 1024

# GPT-2's two files as OpenAI named them, as HuggingFace does, and as a folder of several tokenizers may.
_GPT2_NAMES = [
    ("encoder.json", "vocab.bpe"),
    ("vocab.json", "merges.txt"),
    ("gpt2-encoder.json", "gpt2-vocab.bpe"),
]


def train_tokenizer(
    kind: str,
    texts: Iterable[str],
    *,
    vocab_size: int | None = None,
    on_merge: Callable[[int], None] | None = None,
) -> Tokenizer:
    """Train a tokenizer of a kind, "char" or "bpe".

    Args:
        kind: "char" (every character of the texts) or "bpe".
        texts: documents; they are read once.
        vocab_size: ids in all, special tokens included; None for 1,024 (bpe) or as many as there are (char).
        on_merge: called with the number of merges done, after each (bpe).

    Raises:
        ConfigError: if the kind is unknown.
        TokenizerError: if vocab_size is too small, or there is no text.
    """
    if kind == "bpe":
        size = DEFAULT_VOCAB_SIZE if vocab_size is None else vocab_size
        return FastBPETokenizer.train(texts, vocab_size=size, on_merge=on_merge)
    if kind == "char":
        tokenizer = CharTokenizer.train(texts)
        if vocab_size is not None and vocab_size < tokenizer.vocab_size:
            raise TokenizerError(
                f"vocab_size must be at least {tokenizer.vocab_size}, the different characters of this text "
                f"and the special tokens, got {vocab_size}. Leave it out, or use a BPE tokenizer."
            )
        return tokenizer
    raise ConfigError(f"Unknown tokenizer kind {kind!r}. Choose char or bpe.")


def load_tokenizer(path: Path | str) -> Tokenizer:
    """Load a `tokenizer.json`, a folder with one, a run folder (its `tokenizer/`), or GPT-2's two files.

    Raises:
        TokenizerError: if there is none, it is damaged, or it is of a kind that this room does not know.
    """
    path = Path(path)
    if not path.exists():
        raise TokenizerError(
            f"{path} does not exist. Name a folder with a {TOKENIZER_FILE}, or train one: "
            "`nn2llm tokenizer train --help`."
        )
    if path.is_file():
        return _load_file(path)
    for file in (path / TOKENIZER_FILE, path / "tokenizer" / TOKENIZER_FILE):
        if file.exists():
            return _load_file(file)
    for vocabulary, merges in _GPT2_NAMES:
        if (path / vocabulary).exists() and (path / merges).exists():
            return load_gpt2_tokenizer(path / vocabulary, path / merges)
    raise TokenizerError(
        f"{path} holds no {TOKENIZER_FILE}. Train one: `nn2llm tokenizer train --corpus NAME --out {path}`."
    )


def load_gpt2_tokenizer(encoder_json: Path | str, vocab_bpe: Path | str) -> FastBPETokenizer:
    """GPT-2's tokenizer from its two published files; its ids equal tiktoken's.

    `BPETokenizer.from_vocabulary(parse_gpt2_files(...))` gives the readable one.

    Raises:
        TokenizerError: if a file is missing or damaged.
    """
    vocabulary = parse_gpt2_files(Path(encoder_json), Path(vocab_bpe))
    try:
        return FastBPETokenizer.from_vocabulary(vocabulary)
    except TokenizerError as error:
        raise describe_damage(Path(vocab_bpe), error) from error


def _load_file(path: Path) -> Tokenizer:
    content = parse_hf_json(path)
    try:
        if isinstance(content, BPEVocabulary):
            return FastBPETokenizer.from_vocabulary(content)
        characters, special_tokens = content
        return CharTokenizer(characters, special_tokens)
    except TokenizerError as error:
        raise describe_damage(path, error) from error
