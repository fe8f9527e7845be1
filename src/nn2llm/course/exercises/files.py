"""The learner's own files: NN2LLM_HOME/exercises/SLUG/NAME.py, shared by the page and any editor.

Used by service.py. A file is written whole or not at all. Who writes says which version they saw: where the
file has become another since, nothing is written and both texts stay. What is overwritten is kept beside it
in `.history`; of what the page itself saves while somebody types, one text a minute.
"""

import contextlib
import hashlib
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nn2llm.core.errors import DataError, Nn2llmError, StorageError
from nn2llm.core.files import write_bytes_atomic

__all__ = ["LARGEST_BYTES", "FileConflict", "FileState", "LearnerFiles"]

LARGEST_BYTES = 1_000_000
"""A file of code that is larger was not typed by hand."""

_KEPT = 50
"""Texts in `.history`, of each file."""

_THINNING_S = 60.0
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """A learner's file at one moment."""

    path: Path
    text: str
    """Empty where it does not exist."""
    version: str
    """Of its bytes; empty where it does not exist."""
    exists: bool


class FileConflict(Nn2llmError):
    """The file has changed since the version that the new text was made from; nothing was written."""

    def __init__(self, disk: FileState) -> None:
        super().__init__(
            f"{disk.path} was changed elsewhere meanwhile, so nothing was saved. "
            "Take that text, or save yours over it."
        )
        self.disk = disk
        """What stands on disk now."""


class LearnerFiles:
    """The files under `home`. May be used from several threads; other programs may write them at any time."""

    def __init__(self, home: Path) -> None:
        self.root = home / "exercises"
        self._lock = threading.RLock()
        self._own: dict[Path, str] = {}  # the version that we wrote last
        self._archived: dict[Path, float] = {}  # when a text of ours was kept last

    def path(self, slug: str, name: str) -> Path:
        """Where the file is, or will be.

        Raises:
            DataError: for names that are none.
        """
        for word in (slug, name):
            if not _NAME.fullmatch(word):
                raise DataError(f"{word!r} names no exercise. Use a lesson's slug and an exercise's name.")
        return self.root / slug / f"{name.replace('-', '_')}.py"

    def read(self, slug: str, name: str) -> FileState:
        """The file as it is now.

        Raises:
            DataError: if it is too large, not UTF-8, no file, or a link that leads elsewhere.
            StorageError: if it cannot be read.
        """
        path = self.path(slug, name)
        data = self._read_bytes(path)
        if data is None:
            return FileState(path=path, text="", version="", exists=False)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise DataError(f"{path}:{line}: this line is not UTF-8. Save the file as UTF-8.") from error
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        return FileState(path=path, text=text, version=compute_version(data), exists=True)

    def write(self, slug: str, name: str, text: str, base: str | None) -> FileState:
        """Write `text`, which was made from version `base` of the file (None: over whatever is there).

        A file that was deleted is made anew. What is overwritten stays in `.history`.

        Raises:
            FileConflict: if another version is on disk.
            DataError: if the text is too large, or what is there cannot be replaced.
            StorageError: if it cannot be written.
        """
        data = encode_text(text)
        with self._lock:
            path = self.path(slug, name)
            if len(data) > LARGEST_BYTES:
                raise DataError(
                    f"The text for {path} has {len(data):,} bytes, more than {LARGEST_BYTES:,}. Shorten it."
                )
            before = self._read_bytes(path)
            if before is not None and before != data:
                if base is not None and compute_version(before) != base:
                    raise FileConflict(self.read(slug, name))
                # with a base, the page saves what somebody types; without, something else takes its place
                self._archive(path, before, thinned=base is not None)
            if before != data:
                self._write_bytes(path, data)
            self._remember(path, data)
            self._own[path] = compute_version(data)
        return self.read(slug, name)

    def wrote(self, state: FileState) -> bool:
        """Whether that version is one that this object wrote itself."""
        return self._own.get(state.path) == state.version

    def remember(self, state: FileState) -> None:
        """Keep this text as the latest, so that the file can be made anew after it was deleted."""
        with self._lock, contextlib.suppress(StorageError):
            self._remember(state.path, encode_text(state.text))

    def latest(self, slug: str, name: str) -> str | None:
        """The text kept last of a file that may be gone; None where there never was one."""
        try:
            return _latest_path(self.path(slug, name)).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def mark(self, state: FileState) -> None:
        """Remember that a notebook wrote this version: it may go on from there, after a restart too."""
        with contextlib.suppress(OSError):
            _history_folder(state.path).joinpath("notebook").write_text(state.version, encoding="ascii")

    def is_marked(self, state: FileState) -> bool:
        """Whether that version is the one that a notebook wrote last."""
        try:
            return _history_folder(state.path).joinpath("notebook").read_text("ascii") == state.version
        except (OSError, UnicodeDecodeError):
            return False

    def history(self, slug: str, name: str) -> list[Path]:
        """What was overwritten, the oldest first."""
        return _list_history(self.path(slug, name))

    def overwritten(self, slug: str, name: str) -> str | None:
        """The newest text in `.history` that the file does not hold now; None where there is none."""
        path = self.path(slug, name)
        now = self._read_bytes(path)
        for kept in reversed(_list_history(path)):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                data = kept.read_bytes()
                if data != now:
                    return data.decode("utf-8-sig")
        return None

    # How files are reached

    def _read_bytes(self, path: Path) -> bytes | None:
        """None where there is no file; symbolic links are followed inside the folder only."""
        self._refuse_strange(path)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(
                f"{path} could not be read ({error.strerror}). Mend its permissions, or move it away."
            ) from error
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DataError(f"{path} is no file. Move it away; the exercise needs that name.")
            data = file.read(LARGEST_BYTES + 1)
        if len(data) > LARGEST_BYTES:
            raise DataError(
                f"{path} is larger than {LARGEST_BYTES:,} bytes and is not read. Shorten it, or move it away."
            )
        return data

    def _refuse_strange(self, path: Path) -> None:
        try:
            mode = path.lstat().st_mode
            inside = path.resolve().is_relative_to(self.root.resolve())
        except FileNotFoundError:
            mode, inside = 0, path.parent.resolve().is_relative_to(self.root.resolve())
        except (OSError, RuntimeError) as error:
            raise DataError(f"{path} cannot be reached ({error}). Move it away.") from error
        if not inside:
            raise DataError(f"{path} is a link that leads out of {self.root}. Put the file itself there.")
        if mode and not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
            raise DataError(f"{path} is no file. Move it away; the exercise needs that name.")

    def _write_bytes(self, path: Path, data: bytes) -> None:
        target = path.resolve() if path.is_symlink() else path
        with _storage_errors(path):
            _make_private(self.root)
            _make_private(path.parent)
            write_bytes_atomic(target, data)
            with contextlib.suppress(OSError):  # a disk without owners
                target.chmod(0o600)

    def _archive(self, path: Path, data: bytes, *, thinned: bool) -> None:
        """Keep what is about to be overwritten; `thinned`: of our own texts, one a minute."""
        now = time.monotonic()
        if thinned and self._own.get(path) == compute_version(data):
            # the page saves every few seconds while somebody types: those texts would push out all others
            if now - self._archived.get(path, -_THINNING_S) < _THINNING_S:
                return
            self._archived[path] = now
        kept = _list_history(path)
        if kept and kept[-1].name.endswith(f"-{compute_version(data)}.py"):
            return
        moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        folder = _history_folder(path)
        with _storage_errors(path):
            _make_private(folder.parent)
            _make_private(folder)
            write_bytes_atomic(folder / f"{moment}-{compute_version(data)}.py", data)
            for old in kept[: max(len(kept) + 1 - _KEPT, 0)]:
                old.unlink(missing_ok=True)

    def _remember(self, path: Path, data: bytes) -> None:
        latest = _latest_path(path)
        with _storage_errors(path):
            _make_private(self.root)
            _make_private(path.parent)
            _make_private(latest.parent.parent)
            _make_private(latest.parent)
            with contextlib.suppress(OSError):
                if latest.read_bytes() == data:
                    return
            write_bytes_atomic(latest, data)


def compute_version(data: bytes) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def encode_text(text: str) -> bytes:
    """As it stands in the file: lone surrogates, which no file can hold, become question marks."""
    return text.replace("\r\n", "\n").encode("utf-8", errors="replace")


def _history_folder(path: Path) -> Path:
    return path.parent / ".history" / path.stem


def _latest_path(path: Path) -> Path:
    return _history_folder(path) / "latest.py"


def _list_history(path: Path) -> list[Path]:
    try:
        return sorted(item for item in _history_folder(path).iterdir() if item.name[:1].isdigit())
    except OSError:
        return []


def _make_private(folder: Path) -> None:
    """Made for its owner alone, like the other folders of what a learner wrote."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            folder.chmod(0o700)


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Disk full, read-only, no permission: one sentence with a remedy that fits here."""
    try:
        yield
    except (OSError, StorageError) as error:
        cause = error.__cause__ if isinstance(error, StorageError) else error
        what = getattr(cause, "strerror", None) or cause or error
        raise StorageError(
            f"{path} could not be written ({what}); what was saved before is whole. "
            "Free disk space or mend the folder's permissions, or set NN2LLM_HOME to another folder."
        ) from error
