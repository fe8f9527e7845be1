"""JSON objects out of .json, .jsonl and .gz files, each with the place where it stands.

Read after core/errors.py. Used by data/preferences.py, and by whoever reads lists of examples. A .jsonl file
holds one object a line, empty lines apart; a .json file a list of objects. The place ("pairs.jsonl, line 7")
goes into every complaint about an object, so that it can be found and mended.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from nn2llm.core.errors import DataError
from nn2llm.data.hub import fetch_hub_file, is_hub_name

__all__ = ["RECORD_SUFFIXES", "JsonRecord", "read_json_records"]

RECORD_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet")


class JsonRecord(NamedTuple):
    """One object of a file."""

    where: str
    """The file and the line (of a .json: the number in its list), for messages."""
    value: dict[str, Any]


def read_json_records(
    path: Path | str, *, on_broken: Callable[[str], None] | None = None
) -> Iterator[JsonRecord]:
    """All objects of a file, in order.

    Args:
        path: the file, or an "hf:" name (data/hub.py).
        on_broken: called with what is wrong with each line of a .jsonl (entry of a .json) that is no object;
            it is then left out. None: the first of these is an error.

    Raises:
        DataError: if the file is missing, of another kind, damaged or not UTF-8, or a line or entry is
            broken.
    """
    path = fetch_hub_file(str(path), suffixes=RECORD_SUFFIXES) if is_hub_name(path) else Path(path)
    name = path.name.lower()
    if name.endswith(".parquet"):
        yield from _read_parquet(path)
        return
    if not name.endswith(RECORD_SUFFIXES):
        raise DataError(f"{path} is of no kind that can be read. Give a {', '.join(RECORD_SUFFIXES)} file.")
    try:
        data = path.read_bytes()
        if name.endswith(".gz"):
            data = gzip.decompress(data)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Check the path.") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged or cut off ({error}). Fetch it again.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    if name.removesuffix(".gz").endswith(".json"):
        entries = _parse(data, str(path), "Mend it, or write one object a line into a .jsonl file.")
        if not isinstance(entries, list):
            raise DataError(f"{path} must hold a list of objects, but is {_describe(entries)}.")
        for number, entry in enumerate(entries, start=1):
            try:
                record = _check(entry, f"{path}, entry {number}")
            except DataError as error:
                if on_broken is None:
                    raise
                on_broken(str(error))
            else:
                yield record
        return
    # Split at "\n" alone: str.splitlines would also cut at the U+2028 that JSON leaves unescaped.
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                record = _check(_parse(line, where, "Mend or remove that line."), where)
            except DataError as error:
                if on_broken is None:
                    raise
                on_broken(str(error))
            else:
                yield record


def _read_parquet(path: Path) -> Iterator[JsonRecord]:
    """Rows as objects. Needs pyarrow, which `datasets` brings."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            f"{path} is a Parquet file, which needs pyarrow. Run `pip install pyarrow`, or give a .jsonl "
            "file."
        ) from error
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    yield JsonRecord(f"{path}, row {number}", row)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Check the path.") from error
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged or cut off ({error}). Fetch it again.") from error


def _parse(data: bytes, where: str, remedy: str) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} is not UTF-8 text (byte 0x{error.object[error.start]:02x} does not fit). "
            "Convert it, for example with `iconv -f latin1 -t utf-8`."
        ) from error
    except json.JSONDecodeError as error:
        at = "" if ", line" in where else f" at line {error.lineno}"
        raise DataError(f"{where} is not JSON ({error.msg}{at}). {remedy}") from error
    except RecursionError as error:
        raise DataError(f"{where} is not JSON (nested too deep). {remedy}") from error


def _check(value: Any, where: str) -> JsonRecord:
    if not isinstance(value, dict):
        raise DataError(f"{where} must be a JSON object, but is {_describe(value)}. Mend or remove it.")
    return JsonRecord(where, value)


def _describe(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
