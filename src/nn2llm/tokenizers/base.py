"""What every tokenizer does: text to ids, and ids back to the same text.

Read first in this room. A tokenizer is a list of byte strings, one an id: decoding joins them, so it is the
same for all kinds, and only encoding differs (characters.py, bpe.py, fast.py).
Special tokens (`<|endoftext|>`) are ids that no text produces, unless the caller allows it: a document that
contains the characters "<|endoftext|>" must not be able to end itself.
Used by data/ (to write token shards), generation/, evals/ and cli/.
"""

import codecs
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import regex

from nn2llm.core.errors import DataError, TokenizerError
from nn2llm.core.files import write_json_atomic

__all__ = ["END_OF_TEXT", "TOKENIZER_FILE", "Tokenizer", "replace_surrogates"]

END_OF_TEXT = "<|endoftext|>"
TOKENIZER_FILE = "tokenizer.json"


class Tokenizer(ABC):
    """Text to ids and back. The ids of special tokens come last.

    Args:
        tokens: the bytes of each ordinary token; the position is the id.
        special_tokens: names that get the ids after those; `<|endoftext|>` must be among them.

    Raises:
        TokenizerError: if two tokens are equal, or `<|endoftext|>` is missing.
    """

    kind: ClassVar[str]
    """The name on the command line: char or bpe."""

    def __init__(self, tokens: Sequence[bytes], special_tokens: Sequence[str]) -> None:
        names = [name.encode() for name in special_tokens]
        if END_OF_TEXT not in special_tokens or "" in special_tokens or len(set(names)) < len(names):
            raise TokenizerError(
                f"special_tokens must be different names and include {END_OF_TEXT!r}, "
                f"got {list(special_tokens)}."
            )
        if len(set(tokens)) < len(tokens):
            raise TokenizerError(
                f"The vocabulary holds {len(tokens) - len(set(tokens))} token(s) twice; train it again."
            )
        self._token_bytes = [*tokens, *names]
        self.special_tokens = {name: len(tokens) + i for i, name in enumerate(special_tokens)}
        # Longest first: where one name begins another, the longer one is meant.
        longest_first = sorted(special_tokens, key=len, reverse=True)
        self._special_pattern = regex.compile("|".join(regex.escape(name) for name in longest_first))
        self._longest_special = len(longest_first[0])

    @abstractmethod
    def _encode_ordinary(self, text: str) -> list[int]:
        """Ids of `text`, which has no lone surrogates; special tokens in it are plain text."""

    @abstractmethod
    def _find_safe_cut(self, text: str) -> int:
        """A position where cutting `text` changes no id, whatever follows it; 0 if there is none."""

    @abstractmethod
    def to_hf_json(self) -> dict[str, Any]:
        """The content of the `tokenizer.json` that makes HuggingFace's `tokenizers` give the same ids."""

    @abstractmethod
    def with_special_tokens(self, names: Sequence[str]) -> Self:
        """The same tokenizer with further special tokens, which get the next ids.

        Raises:
            TokenizerError: if a name is there already, or empty.
        """

    @property
    def vocab_size(self) -> int:
        """The number of ids, special tokens included (V)."""
        return len(self._token_bytes)

    @property
    def end_of_text_id(self) -> int:
        """The id that ends a document."""
        return self.special_tokens[END_OF_TEXT]

    def encode(self, text: str, *, allowed_special: bool = False) -> list[int]:
        """Ids of `text`. A lone surrogate counts as U+FFFD, as in tiktoken.

        Args:
            text: any string.
            allowed_special: whether "<|endoftext|>" in the text becomes the special token.

        Raises:
            TokenizerError: if a character is unknown (character tokenizers only).
        """
        text = replace_surrogates(text)
        if not allowed_special:
            return self._encode_ordinary(text)
        ids: list[int] = []
        start = 0
        for match in self._special_pattern.finditer(text):
            ids += self._encode_ordinary(text[start : match.start()])
            ids.append(self.special_tokens[match.group()])
            start = match.end()
        return ids + self._encode_ordinary(text[start:])

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text; special tokens in them are plain text."""
        return [self.encode(text) for text in texts]

    def encode_stream(self, chunks: Iterable[str], *, allowed_special: bool = False) -> Iterator[list[int]]:
        """Ids of one text that arrives in chunks, cut anywhere; joined, they equal `encode` of the whole.

        Memory holds a chunk and the longest stretch that cannot be cut (for BPE, one pre-split piece and the
        white space after it), however long the text is.
        """
        buffer = ""
        for chunk in _join_surrogates(chunks):
            buffer += chunk
            # The last characters may be the beginning of a special token; what is before them is settled.
            settled = len(buffer) - (self._longest_special - 1 if allowed_special else 0)
            start = 0
            if allowed_special:
                for match in self._special_pattern.finditer(buffer):
                    if match.start() >= settled:
                        break
                    start = match.end()
            cut = start + self._find_safe_cut(buffer[start : max(settled, start)])
            if cut:
                yield self.encode(buffer[:cut], allowed_special=allowed_special)
                buffer = buffer[cut:]
        if buffer:
            yield self.encode(buffer, allowed_special=allowed_special)

    def encode_file(
        self, path: Path, *, chunk_bytes: int = 1 << 20, allowed_special: bool = False
    ) -> Iterator[list[int]]:
        """Ids of a UTF-8 text file, read `chunk_bytes` at a time. Invalid bytes count as U+FFFD.

        Raises:
            DataError: at the first step, if the file cannot be read.
            ValueError: if chunk_bytes < 1.
        """
        if chunk_bytes < 1:
            raise ValueError(f"chunk_bytes must be >= 1, got {chunk_bytes}. Typical: 1048576.")
        return self.encode_stream(_read_text(path, chunk_bytes), allowed_special=allowed_special)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that an id stands for; for a special token, its name.

        Raises:
            TokenizerError: if the id is not in the vocabulary.
        """
        # Not left to the list: it would take -1 for the last token.
        if not 0 <= token_id < self.vocab_size:
            raise TokenizerError(
                f"Token id {token_id} is outside this tokenizer's vocabulary (0 to {self.vocab_size - 1}); "
                "the ids come from another tokenizer."
            )
        return self._token_bytes[token_id]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The exact bytes that the ids stand for. Raises TokenizerError like `token_bytes`."""
        return b"".join(self.token_bytes(token_id) for token_id in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text that the ids stand for; bytes that are not UTF-8 (half a character) become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def num_bytes_per_token(self) -> np.ndarray:
        """Bytes of text of each id, int64 [V]; 0 for special tokens, which no text contains.

        Loss per byte divides by the sum of these, so that models with different tokenizers compare.
        """
        num_bytes = np.array([len(token) for token in self._token_bytes], dtype=np.int64)
        num_bytes[list(self.special_tokens.values())] = 0
        return num_bytes

    def save(self, folder: Path) -> None:
        """Write `folder/tokenizer.json`, which HuggingFace's `tokenizers` loads too.

        Raises:
            StorageError: if it cannot be written.
        """
        write_json_atomic(folder / TOKENIZER_FILE, self.to_hf_json())

    def fingerprint(self) -> str:
        """A hash of vocabulary, merges and special tokens: equal exactly when all ids of all texts are."""
        canonical = json.dumps(self.to_hf_json(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


def replace_surrogates(text: str) -> str:
    """Join surrogate pairs and replace lone surrogates by U+FFFD, so that the text has UTF-8 bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _join_surrogates(chunks: Iterable[str]) -> Iterator[str]:
    """`replace_surrogates` for a stream: a pair may be cut in two by a chunk's end."""
    held = ""
    for chunk in chunks:
        text = held + chunk
        held = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        yield replace_surrogates(text[: len(text) - len(held)])
    yield replace_surrogates(held)


def _read_text(path: Path, chunk_bytes: int) -> Iterator[str]:
    # The decoder keeps a character that a chunk's end has cut in two, and leaves line ends as they are.
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    try:
        with open(path, "rb") as file:
            while data := file.read(chunk_bytes):
                yield decoder.decode(data)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}. Check the path.") from error
    yield decoder.decode(b"", final=True)
