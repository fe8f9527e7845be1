"""A labels file on disk: no choice is ever lost, and nothing half-written is taken for one.

A choice is a line at the end of the file, synced before the next one is asked for; taking it back cuts the
file before that line. After a crash in the midst of writing (kill -9, a full disk) the last line may be cut
off: `LabelFile` removes it and says so, and its pair is shown again. Read labels.py before. Used by
cli/label.py and evals/labelling.py.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.files import storage_errors, write_bytes_atomic
from nn2llm.data.json_records import read_json_records
from nn2llm.data.labels import (
    Label,
    LabelledModel,
    LabelSession,
    PreparedPair,
    Showing,
    find_next,
    parse_label,
    parse_models,
    parse_prepared,
    parse_session,
    plan_showings,
)

__all__ = ["LabelFile", "Labels", "create_label_file", "list_label_files", "read_label_models", "read_labels"]


@dataclass(frozen=True, slots=True)
class Labels:
    """A labels file, read."""

    path: Path
    session: LabelSession
    labels: tuple[Label, ...]
    starts: tuple[int, ...]
    """The byte at which each label's line begins."""
    size: int
    """Bytes of whole lines; what comes after was cut off by a crash."""
    cut_off: int
    """Bytes of a last line that is not whole."""

    @property
    def plan(self) -> list[Showing]:
        """All screens, in order."""
        return plan_showings(len(self.session.pairs), repeats=self.session.repeats, seed=self.session.seed)

    @property
    def is_finished(self) -> bool:
        """Whether every pair was shown, and every repeat."""
        return find_next(self.plan, self.labels) is None


def create_label_file(path: Path, session: LabelSession) -> None:
    """Write what a labels file begins with, whole or not at all.

    Raises:
        ConfigError: if the file exists, or its name does not end with .jsonl.
        StorageError: if it cannot be written.
    """
    if path.suffix.lower() != ".jsonl":
        raise ConfigError(f"Labels are written as .jsonl, not as {path.name!r}.")
    if path.exists():
        raise ConfigError(f"{path} exists already. Choose another --out.")
    write_bytes_atomic(path, b"".join(map(_to_line, session.to_records())))


def read_labels(path: Path | str) -> Labels:
    """Read a labels file; a last line that is cut off is left out.

    Raises:
        DataError: if it is missing or no labels file, or a line of it is broken (named by its number).
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Check the path.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    header: dict[str, Any] | None = None
    pairs: list[PreparedPair] = []
    session: LabelSession | None = None
    labels: list[Label] = []
    starts: list[int] = []
    at = 0
    *lines, rest = data.split(b"\n")
    for number, line in enumerate(lines, start=1):
        start, at = at, at + len(line) + 1
        if not line.strip():
            continue
        try:
            record = _parse_line(line)
            if header is None:
                if "nn2llm_labels" not in record:
                    raise DataError("This is no labels file of `nn2llm label`.")
                header = record
            elif "prepared" in record and session is None:
                pairs.append(parse_prepared(record))
            else:
                session = session or parse_session(header, pairs)
                labels.append(parse_label(record, session))
                starts.append(start)
        except DataError as error:
            raise DataError(f"{path}, line {number}: {error} Mend or remove that line.") from error
    if header is None:
        raise DataError(f"{path} is no labels file of `nn2llm label`: its first line is missing.")
    try:
        session = session or parse_session(header, pairs)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return Labels(path, session, tuple(labels), tuple(starts), at, len(rest))


def read_label_models(path: Path | str) -> list[LabelledModel]:
    """The models whose replies a file of preferences compares; none where it does not say.

    Several labels files in one (`cat a.jsonl b.jsonl`) have several headers.

    Raises:
        DataError: if the file cannot be read.
    """
    found: list[LabelledModel] = []
    for _, record in read_json_records(path, on_broken=lambda _: None):
        if "nn2llm_labels" in record:
            with suppress(KeyError, TypeError):  # damaged: loading its pairs says what
                found += parse_models(record)
    return list(dict.fromkeys(found))


class LabelFile:
    """A labels file, open for a labeller; one process at a time.

    Args:
        path: what `create_label_file` wrote, with or without choices.

    Attributes:
        session: its pairs.
        labels: the choices so far, the last one at the end.
        mended: bytes of a half-written last line that were removed.

    Raises:
        ConfigError: if another process labels this file.
        DataError: if it is no labels file, or broken.
        StorageError: if it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with storage_errors(path):
            if not path.is_file():
                raise DataError(f"{path} does not exist. Check the path.")
            # Unbuffered: what could not be written is not tried again at closing.
            self._file = open(path, "r+b", buffering=0)  # noqa: SIM115 - closed by close()
        try:
            self._lock()
            found = read_labels(path)
            self.session, self.mended = found.session, found.cut_off
            self.labels, self._starts, self._size = list(found.labels), list(found.starts), found.size
            self._plan = found.plan
            if self.mended:
                self._cut(self._size)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others write it."""
        self._file.close()

    @property
    def num_planned(self) -> int:
        """Screens in all, repeats included; of a pair that was skipped there is none."""
        skipped = {label.showing.pair for label in self.labels if label.choice == "skip"}
        return sum(not (showing.repeat and showing.pair in skipped) for showing in self._plan)

    def find_next(self) -> Showing | None:
        """What is to be shown now; None: all was."""
        return find_next(self._plan, self.labels)

    def append(self, label: Label) -> None:
        """Keep a choice: it is on disk when this returns.

        Raises:
            StorageError: if the disk does not take it; the file is as before.
        """
        line = _to_line(label.to_record(self.session))
        try:
            with storage_errors(self.path):
                self._file.seek(self._size)
                left = line
                while left:  # a disk that fills up takes a part, and refuses the rest
                    left = left[self._file.write(left) :]
                os.fsync(self._file.fileno())
        except BaseException:
            with suppress(OSError):
                self._file.truncate(self._size)
            raise
        self.labels.append(label)
        self._starts.append(self._size)
        self._size += len(line)

    def undo(self) -> Label | None:
        """Take the last choice back, of this session or an earlier one; None: there is none.

        Raises:
            StorageError: if the disk does not take it.
        """
        if not self.labels:
            return None
        self._cut(self._starts[-1])
        self._size = self._starts.pop()
        return self.labels.pop()

    def _cut(self, size: int) -> None:
        with storage_errors(self.path):
            self._file.truncate(size)
            os.fsync(self._file.fileno())

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"Somebody labels {self.path} already. Choose another --out.") from error
        except OSError:  # no locks on this disk
            pass


def _to_line(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, ensure_ascii=False) + "\n").encode(errors="replace")


def _parse_line(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"This is not JSON ({error}).") from error
    if not isinstance(record, dict):
        raise DataError("This is no JSON object.")
    return record


def list_label_files(folder: Path, name: str) -> Sequence[tuple[int, Path]]:
    """(number, path) of folder/NAME-1.jsonl, NAME-2.jsonl, …, in order of number."""
    found = []
    for path in folder.glob(f"{name}-*.jsonl"):
        number = path.stem.removeprefix(f"{name}-")
        if number.isdecimal():
            found.append((int(number), path))
    return sorted(found)
