"""Write files so that a crash at any instant leaves the old file or the new one, never half of one.

A file is written beside its target, synced to disk, then renamed over it; a rename is atomic on
POSIX and on NTFS. Used by checkpoints, configs and token shards.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nn2llm.core.errors import DataError, StorageError

__all__ = [
    "compute_sha256",
    "read_json",
    "replace_folder",
    "storage_errors",
    "sync_folder",
    "write_bytes_atomic",
    "write_json_atomic",
]

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` while writing `path` into one sentence with a remedy.

    Raises:
        StorageError: for any `OSError` raised inside the block.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise StorageError(
                f"No space left to write {path} ({error.strerror}). "
                "Free some disk space or choose another folder with --out; what was saved before is whole."
            ) from error
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            raise StorageError(
                f"Not allowed to write {path} ({error.strerror}). Choose a folder you own with --out."
            ) from error
        raise StorageError(f"Could not write {path}: {error.strerror or error}.") from error


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable. A no-op where folders cannot be opened (Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all.

    Raises:
        StorageError: if the disk is full or the folder cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(partial, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_json_atomic(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all. Raises StorageError like `write_bytes_atomic`."""
    write_bytes_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: if it is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not valid JSON ({error}). Delete it or restore it from a copy."
        ) from error


def replace_folder(partial: Path, target: Path) -> None:
    """Rename the finished folder `partial` to `target`, replacing an older `target`.

    A folder cannot be renamed over another, so the older one is first moved aside: at no instant is it half
    deleted under its own name. It comes back where the second rename fails.

    Raises:
        StorageError: if a rename fails.
    """
    aside = target.with_name(f".{target.name}.old")
    with storage_errors(target):
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(target, aside)
        try:
            os.replace(partial, target)
        except OSError:
            if aside.exists():
                os.replace(aside, target)
            raise
        sync_folder(target.parent)
        shutil.rmtree(aside, ignore_errors=True)


def compute_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
