"""A tokenizer small enough to check by eye: this room's tests do not depend on the tokenizers' room."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest


class ByteTokenizer:
    """One id a UTF-8 byte; 256 is <|endoftext|>."""

    kind = "bytes"
    vocab_size = 257
    end_of_text_id = 256

    def __init__(self) -> None:
        self.num_calls = 0

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        self.num_calls += 1
        return [list(text.encode()) for text in texts]

    def encode_stream(self, chunks: Iterator[str]) -> Iterator[list[int]]:
        self.num_calls += 1
        for chunk in chunks:
            yield list(chunk.encode())

    def fingerprint(self) -> str:
        return "f" * 64

    def save(self, folder: Path) -> None:
        (folder / "tokenizer.json").write_text("{}")


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file of this process may grow past 100 kB, as on a disk that is full."""
    resource = pytest.importorskip("resource", reason="Windows has no limit on the size of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def byte_tokenizer() -> ByteTokenizer:
    return ByteTokenizer()
