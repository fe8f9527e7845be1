"""One process at a time in a folder: two that write the same run would spoil it.

The lock is the operating system's, on an open file, so that it is gone with the process that held it, killed
or not. Where the system or the disk has none (Windows, some network disks) nothing is locked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nn2llm.core.errors import ConfigError
from nn2llm.core.files import storage_errors

__all__ = ["hold_folder", "is_held"]

_NAME = ".lock"


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of `folder`, which is made where it is missing.

    Raises:
        ConfigError: if another process holds it.
        StorageError: if the folder cannot be written.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / _NAME, "w")  # noqa: SIM115 - closed below
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"Another nn2llm is at work in {folder}. Wait until it has ended, or choose another --out."
            ) from error
        except OSError:  # no locks on this disk
            pass
        yield


def is_held(folder: Path) -> bool:
    """Whether another process is at work in `folder`."""
    if not (folder / _NAME).exists():
        return False
    try:
        with hold_folder(folder):
            return False
    except ConfigError:
        return True
