"""Read documents out of .txt, .txt.gz, .jsonl and .jsonl.gz files, one at a time.

Read after core/errors.py. Used by data/corpora.py. A .txt file is one document, unless `<|endoftext|>`
stands in it (as in TinyStories): then the text between two marks is a document. A .jsonl file holds one
JSON object a line, the text in one field. Bytes are kept as they are: no newline is translated, so the
number of UTF-8 bytes (for bits per byte) is that of the file.
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from nn2llm.core.errors import DataError

__all__ = ["END_OF_TEXT", "SUFFIXES", "get_suffix", "read_documents"]

END_OF_TEXT = "<|endoftext|>"
SUFFIXES = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
_CHUNK_CHARS = 1 << 20


def get_suffix(path: Path) -> str | None:
    """The suffix of `SUFFIXES` that `path` ends in, or None."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def read_documents(path: Path, *, text_field: str = "text") -> Iterator[str]:
    """The documents of one file, without the empty ones.

    Memory: one document (and 1 MiB). `text_field` names the field of a JSON line that holds the text.

    Raises:
        DataError: if the file is missing, of another kind, damaged or not UTF-8, or a line is broken.
    """
    suffix = get_suffix(path)
    if suffix is None:
        raise DataError(
            f"{path} is not a text that can be read. Give a file ending in {', '.join(SUFFIXES)}."
        )
    try:
        with _open_bytes(path) as file:
            if suffix.startswith(".jsonl"):
                yield from _read_jsonl(file, path, text_field)
            else:
                chunks = _decode_chunks(file, path)
                yield from (text for text in _split_documents(chunks) if text.strip())
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Check the path.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged or cut off ({error}). Fetch it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _open_bytes(path: Path) -> BinaryIO:
    if path.name.lower().endswith(".gz"):
        return cast(BinaryIO, gzip.open(path, "rb"))
    return open(path, "rb")


def _decode_chunks(file: BinaryIO, path: Path) -> Iterator[str]:
    """UTF-8 text in pieces of at most 1 Mi characters; a byte order mark at the start is dropped."""
    # newline="": "\r\n" stays two characters, as in the file.
    reader = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        while chunk := reader.read(_CHUNK_CHARS):
            yield chunk
    except UnicodeDecodeError as error:
        raise _not_utf8(str(path), error) from error


def _not_utf8(where: str, error: UnicodeDecodeError) -> DataError:
    return DataError(
        f"{where} is not UTF-8 text (byte 0x{error.object[error.start]:02x} does not fit). "
        "Convert it, for example with `iconv -f latin1 -t utf-8`."
    )


def _split_documents(chunks: Iterable[str]) -> Iterator[str]:
    """Cut a stream of text at each `<|endoftext|>`; newlines around a mark belong to the mark.

    A stream without a mark comes out whole and untouched.
    """
    pending: list[str] = []  # text since the last mark; joined only when a mark or the end comes
    tail = ""  # the last characters, in which a mark may have begun
    found_mark = False
    for chunk in chunks:
        pieces = (tail + chunk).split(END_OF_TEXT)
        for piece in pieces[:-1]:
            found_mark = True
            yield "".join([*pending, piece]).strip("\r\n")
            pending = []
        rest = pieces[-1]
        cut = max(0, len(rest) - len(END_OF_TEXT) + 1)
        pending.append(rest[:cut])
        tail = rest[cut:]
    last = "".join([*pending, tail])
    yield last.strip("\r\n") if found_mark else last


def _read_jsonl(file: BinaryIO, path: Path, text_field: str) -> Iterator[str]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise _not_utf8(where, error) from error
        except (json.JSONDecodeError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deep"
            raise DataError(f"{where} is not JSON ({reason}). Mend or remove that line.") from error
        text = _take_text(row, where, text_field)
        if text.strip():
            yield text


def _take_text(row: object, where: str, text_field: str) -> str:
    if not isinstance(row, dict):
        raise DataError(f'{where} is not a JSON object but a {type(row).__name__}. Write {{"text": …}}.')
    if text_field not in row:
        fields = ", ".join(repr(field) for field in row) or "none"
        raise DataError(
            f"{where} has no field {text_field!r} (fields: {fields}). Name the one with the text."
        )
    text = row[text_field]
    if not isinstance(text, str):
        raise DataError(f"{where}: field {text_field!r} is not text but a {type(text).__name__}.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        # "\ud83d" alone is legal JSON but stands for no character, so no tokenizer could take it.
        raise DataError(
            f"{where}: field {text_field!r} holds half of a surrogate pair. Mend or remove it."
        ) from error
    return text
