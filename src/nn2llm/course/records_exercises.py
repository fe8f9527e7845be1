"""What the learner did at exercises: attempts with their texts, hints and solutions seen, when it was passed.

Read after records_file.py. `store.exercises`; used by course/exercises, the road and the outcomes.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nn2llm.course.records_file import RecordFile
from nn2llm.course.store_exchange import clean_text

__all__ = ["AGAIN", "Attempt", "ExerciseRecords", "ExerciseState"]

AGAIN = "-again"
"""What an exercise is called that comes back blank: `gradient-step-again`. Its records are its own."""

_KEPT = 200
"""Attempts kept of one exercise; of older ones only those that passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One check of an exercise."""

    id: str
    at: str
    status: str
    """passed, failed, unfinished, error or stopped."""
    text: str
    """What was graded."""
    verdict: dict[str, Any]

    @property
    def message(self) -> str:
        """The verdict's sentence."""
        return str(self.verdict.get("message", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExerciseState:
    """Where the learner is at one exercise."""

    status: Literal["new", "tried", "passed"] = "new"
    passed_at: str | None = None
    """When it first passed."""
    solution_seen_at: str | None = None
    """When the solution was first seen."""
    hints_seen: int = 0
    attempts: int = 0
    last_verdict: dict[str, Any] | None = None

    @property
    def unaided(self) -> bool:
        """Passed, and the solution was not seen before that."""
        if self.passed_at is None:
            return False
        return self.solution_seen_at is None or self.solution_seen_at > self.passed_at


class ExerciseRecords:
    """`store.exercises`."""

    def __init__(self, file: RecordFile) -> None:
        self._file = file

    def record_attempt(
        self, slug: str, name: str, *, status: str, text: str, verdict: Mapping[str, Any]
    ) -> str:
        """Keep what was graded and what came of it (`verdict` must be JSON); returns the attempt's id."""
        identity, now = secrets.token_hex(8), self._file.now()
        said = clean_text(json.dumps(dict(verdict), ensure_ascii=False))
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?)",
                (identity, slug, name, now, status, clean_text(text), said),
            )
            connection.execute(
                "INSERT INTO exercises (slug, name, passed_at) VALUES (?, ?, ?) ON CONFLICT (slug, name)"
                " DO UPDATE SET passed_at = COALESCE(passed_at, excluded.passed_at)",
                (slug, name, now if status == "passed" else None),
            )
            connection.execute(
                "DELETE FROM attempts WHERE slug = ? AND name = ? AND status != 'passed' AND id NOT IN"
                " (SELECT id FROM attempts WHERE slug = ? AND name = ? ORDER BY at DESC, rowid DESC LIMIT ?)",
                (slug, name, slug, name, _KEPT),
            )
        return identity

    def attempts(self, slug: str, name: str) -> list[Attempt]:
        """All that are kept, the oldest first."""
        rows = self._file.read(
            "SELECT id, at, status, text, verdict FROM attempts WHERE slug = ? AND name = ?"
            " ORDER BY at, rowid",
            (slug, name),
        )
        return [_make_attempt(row) for row in rows]

    def attempt(self, identity: str) -> Attempt | None:
        """The attempt of that id; None: there is none."""
        rows = self._file.read("SELECT id, at, status, text, verdict FROM attempts WHERE id = ?", (identity,))
        return _make_attempt(rows[0]) if rows else None

    def hints_seen(self, slug: str, name: str) -> int:
        """How many hints were opened."""
        rows = self._file.read("SELECT hints_seen FROM exercises WHERE slug = ? AND name = ?", (slug, name))
        return int(rows[0][0]) if rows else 0

    def see_hint(self, slug: str, name: str, number: int) -> None:
        """Hint `number` (from 1) was opened."""
        self._file.write(
            "INSERT INTO exercises (slug, name, hints_seen) VALUES (?, ?, ?) ON CONFLICT (slug, name)"
            " DO UPDATE SET hints_seen = MAX(hints_seen, excluded.hints_seen)",
            (slug, name, number),
        )

    def see_solution(self, slug: str, name: str) -> None:
        """The solution was opened."""
        self._file.write(
            "INSERT INTO exercises (slug, name, solution_seen_at) VALUES (?, ?, ?) ON CONFLICT (slug, name)"
            " DO UPDATE SET solution_seen_at = COALESCE(solution_seen_at, excluded.solution_seen_at)",
            (slug, name, self._file.now()),
        )

    def state(self, slug: str, name: str) -> ExerciseState:
        """Where the learner is at one exercise."""
        return self._states("WHERE e.slug = ? AND e.name = ?", (slug, name)).get(
            (slug, name), ExerciseState()
        )

    def states(self) -> dict[tuple[str, str], ExerciseState]:
        """Of every exercise that was touched, by lesson and name."""
        return self._states("", ())

    def _states(self, where: str, values: tuple[str, ...]) -> dict[tuple[str, str], ExerciseState]:
        rows = self._file.read(
            "SELECT e.slug, e.name, e.passed_at, e.solution_seen_at, e.hints_seen,"
            " (SELECT COUNT(*) FROM attempts a WHERE a.slug = e.slug AND a.name = e.name),"
            " (SELECT verdict FROM attempts a WHERE a.slug = e.slug AND a.name = e.name"
            "  ORDER BY at DESC, rowid DESC LIMIT 1)"
            f" FROM exercises e {where} ORDER BY e.slug, e.name",
            values,
        )
        return {
            (slug, name): ExerciseState(
                status="passed" if passed is not None else "tried" if count else "new",
                passed_at=passed,
                solution_seen_at=seen,
                hints_seen=hints,
                attempts=count,
                last_verdict=None if verdict is None else _read_verdict(verdict),
            )
            for slug, name, passed, seen, hints, count, verdict in rows
        }


def _make_attempt(row: tuple[str, str, str, str, str]) -> Attempt:
    return Attempt(id=row[0], at=row[1], status=row[2], text=row[3], verdict=_read_verdict(row[4]))


def _read_verdict(text: str) -> dict[str, Any]:
    """What was said of an attempt; nothing where it cannot be read, so that the exercise still opens."""
    try:
        verdict = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return verdict if isinstance(verdict, dict) else {}
