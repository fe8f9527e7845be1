"""Text for the tokenizers: books, a few megabytes of them."""

import gzip
import json
from pathlib import Path


def load_books(path: Path, num_bytes: int) -> list[str]:
    """The first `num_bytes` of the books in a .jsonl.gz, a book an element; the last one is cut."""
    texts: list[str] = []
    left = num_bytes
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            encoded = json.loads(line)["text"].encode()[:left]
            texts.append(encoded.decode(errors="ignore"))  # the cut may be inside a character
            left -= len(encoded)
            if left <= 0:
                break
    return texts


def cut_into_documents(texts: list[str], num_characters: int) -> list[str]:
    """The same text in documents of at least `num_characters`, cut at ends of lines."""
    documents = []
    for text in texts:
        start = 0
        while start < len(text):
            end = text.find("\n", start + num_characters)
            end = len(text) if end < 0 else end + 1
            documents.append(text[start:end])
            start = end
    return documents


def count_bytes(texts: list[str]) -> int:
    """Of all of them, in UTF-8."""
    return sum(len(text.encode()) for text in texts)
