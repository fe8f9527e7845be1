"""The file of the learner's records as its readers and writers share it: one connection, one lock, one clock.

Read after database.py. `Store` is one; the small classes of records_*.py stand on it, each over its tables.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nn2llm.core.errors import StorageError
from nn2llm.course.database import is_damage, open_database
from nn2llm.course.records_moments import write_moment

__all__ = ["RecordFile"]


class RecordFile:
    """An open database of records.

    Raises:
        StorageError: if the file cannot be opened or written, or a newer nn2llm wrote it.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime] | None = None) -> None:
        self.path = path
        self.clock = clock or _now
        """What time it is, in UTC. A test sets its own."""
        self.lock = threading.RLock()
        self.trouble: str | None
        """One sentence to show the learner where a damaged database was set aside."""
        self.connection, self.trouble = open_database(self.path)

    def close(self) -> None:
        """Let go of the file."""
        with self.lock:
            self.connection.close()

    def now(self) -> str:
        """The moment as the records hold it."""
        return write_moment(self.clock())

    @contextmanager
    def errors(self) -> Iterator[None]:
        """What SQLite says is wrong becomes one sentence.

        Raises:
            StorageError: for every error of SQLite's in the block.
        """
        try:
            yield
        except sqlite3.Error as error:
            if is_damage(error):
                remedy = "Start nn2llm again: it sets the file aside and keeps what can be read."
            elif "locked" in str(error):
                remedy = "Another program holds it: close that one, then try again."
            else:
                remedy = "Free disk space or mend the folder's permissions, then try again."
            raise StorageError(f"{self.path} could not be used ({error}). {remedy}") from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, or nothing."""
        with self.lock, self.errors():
            # IMMEDIATE waits for another writer here; a later upgrade would fail instead of waiting
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def write(self, statement: str, values: Sequence[Any] = ()) -> None:
        """One statement in a transaction of its own."""
        with self.writing() as connection:
            connection.execute(statement, values)

    def read(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows that a statement finds."""
        with self.lock, self.errors():
            return self.connection.execute(statement, values).fetchall()


def _now() -> datetime:
    return datetime.now(UTC)
