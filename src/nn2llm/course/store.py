"""What a learner did, noted and changed: NN2LLM_HOME/course.db.

Read after records_file.py; records_*.py hold its other parts. Used by the pages, the kernels' sessions and
`nn2llm learn`. One `Store` a process; its methods are short and may be called from any thread; several
processes may write at once (SQLite in WAL mode). Moments are ISO 8601 in UTC. Where two tabs or processes
write the same record, the later one stays.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nn2llm.core.errors import DataError
from nn2llm.core.files import write_json_atomic
from nn2llm.core.home import get_home
from nn2llm.course.database import take_rows
from nn2llm.course.records_exercises import ExerciseRecords
from nn2llm.course.records_file import RecordFile
from nn2llm.course.records_quiz import QuizRecords
from nn2llm.course.records_reviews import ReviewRecords
from nn2llm.course.records_words import EvidenceRecords, WordRecords
from nn2llm.course.store_exchange import FORMAT, MERGES, check_export, clean_text
from nn2llm.course.store_schema import MIGRATIONS, TABLES

__all__ = ["Progress", "SavedCell", "Store"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the learner is in one lesson."""

    slug: str
    first_opened_at: str
    opened_at: str
    """When it was opened last."""
    section: str
    """The anchor of the section seen last; empty: the top."""
    read_at: str | None
    """When the lesson was finished; None: not yet."""
    sections_seen: tuple[str, ...] = ()
    """Anchors, in the order in which they were seen first."""
    seconds: float = 0.0
    """Time spent on it."""

    @property
    def read(self) -> bool:
        """Whether the lesson was finished."""
        return self.read_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedCell:
    """One cell as the learner left it."""

    code: str | None
    """None: as in the lesson."""
    outputs: list[dict[str, Any]]
    session: str
    """The kernel session the outputs are from."""
    finished_at: str | None
    elapsed_s: float | None
    status: str


class Store(RecordFile):
    """The learner's records: lessons, notes, time, cells and settings; the rest in `exercises`, `quiz`, ….

    `clock` says what time it is (in UTC); a test sets its own.

    Raises:
        StorageError: if the file cannot be opened or written, or a newer nn2llm wrote it.
    """

    def __init__(self, path: Path | None = None, clock: Callable[[], datetime] | None = None) -> None:
        super().__init__(path or get_home() / "course.db", clock)
        self.exercises = ExerciseRecords(self)
        self.quiz = QuizRecords(self)
        self.reviews = ReviewRecords(self)
        self.words = WordRecords(self)
        self.evidence = EvidenceRecords(self)

    # Lessons

    def mark_opened(self, slug: str) -> None:
        """The lesson's page was opened."""
        now = self.now()
        self.write(
            "INSERT INTO progress (slug, opened_at, last_opened_at) VALUES (?, ?, ?)"
            " ON CONFLICT (slug) DO UPDATE SET last_opened_at = excluded.last_opened_at",
            (slug, now, now),
        )

    def set_section(self, slug: str, section: str) -> None:
        """The learner is at the section of that anchor: where to go on, and that it was seen."""
        now, section = self.now(), clean_text(section)
        with self.writing() as connection:
            connection.execute(
                "INSERT INTO progress (slug, opened_at, last_opened_at, section) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (slug) DO UPDATE"
                " SET last_opened_at = excluded.last_opened_at, section = excluded.section",
                (slug, now, now, section),
            )
            if section:
                connection.execute("INSERT OR IGNORE INTO sections VALUES (?, ?, ?)", (slug, section, now))

    def set_read(self, slug: str, read: bool = True) -> None:
        """The lesson is done, or not after all."""
        now = self.now()
        self.write(
            "INSERT INTO progress (slug, opened_at, last_opened_at, read_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (slug) DO UPDATE SET read_at = excluded.read_at",
            (slug, now, now, now if read else None),
        )

    def progress(self) -> dict[str, Progress]:
        """Every lesson opened so far, the one opened last first."""
        with self.lock:
            seconds = self.time_spent()
            seen: dict[str, list[str]] = {}
            for slug, section in self.read("SELECT slug, section FROM sections ORDER BY seen_at, rowid"):
                seen.setdefault(slug, []).append(section)
            rows = self.read(
                "SELECT slug, opened_at, last_opened_at, section, read_at FROM progress"
                " ORDER BY last_opened_at DESC, slug"
            )
        return {
            row[0]: Progress(
                slug=row[0],
                first_opened_at=row[1],
                opened_at=row[2],
                section=row[3],
                read_at=row[4],
                sections_seen=tuple(seen.get(row[0], ())),
                seconds=seconds.get(row[0], 0.0),
            )
            for row in rows
        }

    # Notes and time

    def notes(self, slug: str) -> str:
        """The learner's notes on a lesson; empty where there are none."""
        rows = self.read("SELECT text FROM notes WHERE slug = ?", (slug,))
        return str(rows[0][0]) if rows else ""

    def all_notes(self) -> dict[str, str]:
        """Notes by lesson."""
        return dict(self.read("SELECT slug, text FROM notes WHERE text != '' ORDER BY slug"))

    def set_notes(self, slug: str, text: str) -> None:
        """Keep the notes on a lesson, in place of those before."""
        self.write(
            "INSERT INTO notes VALUES (?, ?, ?) ON CONFLICT (slug) DO UPDATE"
            " SET text = excluded.text, changed_at = excluded.changed_at",
            (slug, clean_text(text), self.now()),
        )

    def add_time(self, slug: str, seconds: float) -> None:
        """`seconds` more were spent on a lesson today.

        Raises:
            DataError: if it is not a number of seconds from 0 to a day.
        """
        if not 0 <= seconds <= 86400:  # NaN fails too
            raise DataError(f"The time spent is {seconds!r}. Send seconds from 0 to 86400.")
        self.write(
            "INSERT INTO time_spent VALUES (?, ?, ?)"
            " ON CONFLICT (slug, day) DO UPDATE SET seconds = seconds + excluded.seconds",
            (slug, self.now()[:10], seconds),
        )

    def time_spent(self) -> dict[str, float]:
        """Seconds spent by lesson."""
        return dict(self.read("SELECT slug, SUM(seconds) FROM time_spent GROUP BY slug ORDER BY slug"))

    def time_by_day(self) -> dict[str, float]:
        """Seconds spent by day (YYYY-MM-DD, UTC)."""
        return dict(self.read("SELECT day, SUM(seconds) FROM time_spent GROUP BY day ORDER BY day"))

    # Cells

    def load_cells(self, slug: str) -> dict[str, SavedCell]:
        """The cells of a lesson that were edited or run."""
        rows = self.read(
            "SELECT cell, code, outputs, session, finished_at, elapsed_s, status FROM cells WHERE slug = ?",
            (slug,),
        )
        return {
            row[0]: SavedCell(
                code=row[1],
                outputs=_read_outputs(row[2]),
                session=row[3],
                finished_at=row[4],
                elapsed_s=row[5],
                status=row[6],
            )
            for row in rows
        }

    def save_cell_code(self, slug: str, cell: str, code: str | None) -> None:
        """Keep what the learner typed; None: back to the lesson's code."""
        self.write(
            "INSERT INTO cells (slug, cell, code, code_changed_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (slug, cell) DO UPDATE"
            " SET code = excluded.code, code_changed_at = excluded.code_changed_at",
            (slug, cell, None if code is None else clean_text(code), self.now()),
        )

    def save_cell_result(
        self,
        slug: str,
        cell: str,
        *,
        outputs: Sequence[Mapping[str, Any]],
        session: str,
        status: str,
        elapsed_s: float | None = None,
        finished_at: str | None = None,
    ) -> None:
        """Keep what a cell showed when it ended (`finished_at`: now). `outputs` must be JSON."""
        text = clean_text(json.dumps(list(outputs), ensure_ascii=False))
        self.write(
            "INSERT INTO cells (slug, cell, outputs, session, finished_at, elapsed_s, status)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (slug, cell) DO UPDATE SET"
            " outputs = excluded.outputs, session = excluded.session, finished_at = excluded.finished_at,"
            " elapsed_s = excluded.elapsed_s, status = excluded.status",
            (slug, cell, text, session, finished_at or self.now(), elapsed_s, status),
        )

    def clear_cell_results(self, slug: str, cell: str | None = None) -> None:
        """Forget what the lesson's cells (or one of them) showed; the learner's code stays."""
        where, values = ("slug = ?", (slug,)) if cell is None else ("slug = ? AND cell = ?", (slug, cell))
        self.write(
            "UPDATE cells SET outputs = '[]', session = '', finished_at = NULL, elapsed_s = NULL,"
            f" status = 'idle' WHERE {where}",
            values,
        )

    # Settings

    def settings(self) -> dict[str, Any]:
        """All settings that were ever made."""
        found = {}
        for name, value in self.read("SELECT name, value FROM settings ORDER BY name"):
            with suppress(ValueError, RecursionError):  # what is no setting any more counts as none
                found[name] = json.loads(value)
        return found

    def set_setting(self, name: str, value: Any) -> None:
        """Keep a setting (anything JSON can say)."""
        self.set_settings({name: value})

    def set_settings(self, settings: Mapping[str, Any]) -> None:
        """Keep several, all or none."""
        now = self.now()
        with self.writing() as connection:
            connection.executemany(
                "INSERT INTO settings VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE"
                " SET value = excluded.value, changed_at = excluded.changed_at",
                [(name, json.dumps(value), now) for name, value in settings.items()],
            )

    # Out and in

    def export_json(self) -> dict[str, Any]:
        """Everything, as JSON can hold it; `import_json` takes it back."""
        with self.lock, self.errors():
            self.connection.execute("BEGIN")  # all tables as of one moment
            try:
                tables = {table: list(take_rows(self.connection, table)) for table in TABLES}
            finally:
                self.connection.execute("COMMIT")
        return {"format": FORMAT, "version": len(MIGRATIONS), "exported_at": self.now(), "tables": tables}

    def import_json(self, data: Any) -> str:
        """Add an export to what is here; returns one sentence that says what was taken.

        Of one record in both, the later stays: notes, words, code and settings by when they were changed,
        results by when they ended, reviews by when they were answered, time by the larger number. A lesson
        read here or there is read, an exercise passed here or there is passed; a solution seen before is
        seen. Of a question's answers the first and the last stay. All is taken, or nothing; what was here is
        first written to `course.before-import-….json` beside the database.

        Raises:
            DataError: if it is not an export, or a newer nn2llm made it.
            StorageError: if it cannot be written.
        """
        tables = check_export(data)
        before = self.export_json()
        kept = ""
        if any(before["tables"].values()):
            moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
            backup = self.path.with_name(f"{self.path.stem}.before-import-{moment}.json")
            write_json_atomic(backup, before)
            with suppress(OSError):  # for its owner alone, like the database
                backup.chmod(0o600)
            kept = f" What was here before is kept in {backup}."
        count = 0
        with self.writing() as connection:
            for table, rows in tables.items():
                for row in rows:
                    count += connection.execute(MERGES[table], row).rowcount
        given = sum(map(len, tables.values()))
        return f"{count} of {given} records were new or newer and were taken in.{kept}"


def _read_outputs(text: str) -> list[dict[str, Any]]:
    """What a cell showed; nothing where it cannot be read, so that the lesson still opens."""
    try:
        outputs = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return outputs if isinstance(outputs, list) else []
