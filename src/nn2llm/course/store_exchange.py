"""The export of a learner's records: what a file must hold, and how it is merged with what is there.

Read after store_schema.py. Used by store.py.
"""

import json
import math
from typing import Any

from nn2llm.core.errors import DataError
from nn2llm.course.records_moments import read_moment, write_moment
from nn2llm.course.store_schema import MIGRATIONS, TABLES

__all__ = ["FORMAT", "MERGES", "check_export", "clean_text"]

FORMAT = "nn2llm-course"


def clean_text(text: str) -> str:
    """Half a surrogate pair cannot be stored; the rest of what was typed must not be lost for it."""
    return text.encode("utf-8", "replace").decode()


def check_export(data: Any) -> dict[str, list[dict[str, Any]]]:
    """The records of an export by table.

    Raises:
        DataError: if it is not an export, a record is not as it must be, or a newer nn2llm made it.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT or not isinstance(data.get("tables"), dict):
        raise DataError(
            "This file is not an export of the course. Choose the .json that Settings → Export wrote."
        )
    version = data.get("version")
    if not isinstance(version, int) or not 1 <= version <= len(MIGRATIONS):
        raise DataError(
            f"The export has version {version!r}, nn2llm here reads 1 to {len(MIGRATIONS)}. "
            "Install a newer nn2llm."
        )
    tables: dict[str, list[dict[str, Any]]] = {}
    for table, columns in TABLES.items():
        rows = data["tables"].get(table, [])
        if not isinstance(rows, list):
            raise DataError(f"The export's {table} is not a list. Export it anew.")
        tables[table] = [_check_row(table, columns, row) for row in rows]
    return tables


# What a column that may be missing or empty holds instead.
_EMPTY = {"section": "", "outputs": "[]", "session": "", "status": "idle"}
_MAY_BE_NONE = {
    "read_at", "code", "code_changed_at", "finished_at", "elapsed_s", "passed_at", "solution_seen_at",
}  # fmt: skip
_NUMBERS = {"seconds", "elapsed_s"}
_COUNTS = {"hints_seen", "first_right", "last_right", "times", "num_reviews"}
_TEXTS = {"text", "code"}
_JSON: dict[tuple[str, str], type | None] = {
    ("cells", "outputs"): list,
    ("settings", "value"): None,  # anything
    ("attempts", "verdict"): dict,
    ("quiz_answers", "last_answer"): None,
    ("reviews", "card"): dict,
    ("words", "points"): list,
    ("evidence", "data"): dict,
}
"""What a column holds that is JSON."""
_MOMENTS = {"at", "passed_at", "solution_seen_at", "first_at", "began_at", "due", "rated_at"}
"""Columns that are compared with the clock: they must be moments, and are kept as written here."""
_MAX_WORDS = 500  # of names, anchors, sessions
_MAX_COUNT = 10**6


def _check_row(table: str, columns: tuple[str, ...], row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataError(f"A record of the export's {table} is {row!r}. Export it anew.")
    checked: dict[str, Any] = {}
    for name in columns:
        value: Any = row.get(name, _EMPTY.get(name) if table in {"progress", "cells"} else None)
        if not _fits(table, name, value):
            raise DataError(f"A record of the export's {table} has {name} = {value!r:.60}. Export it anew.")
        if name in _MOMENTS and value is not None:
            value = write_moment(read_moment(value))
        checked[name] = clean_text(value) if isinstance(value, str) else value
    return checked


def _fits(table: str, name: str, value: Any) -> bool:
    if value is None:
        return name in _MAY_BE_NONE
    if name in _NUMBERS:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value) and value >= 0
    if name in _COUNTS:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT
    if not isinstance(value, str):
        return False
    if (table, name) in _JSON:
        kind = _JSON[table, name]
        try:
            held = json.loads(value)
        except (ValueError, RecursionError):
            return False
        return kind is None or isinstance(held, kind)
    if name in _MOMENTS:
        try:
            write_moment(read_moment(value))
        except (ValueError, OverflowError):
            return False
    return len(value) <= _MAX_WORDS or name in _TEXTS


def _merge(table: str, keys: int, newer: str, update: str) -> str:
    """INSERT a record; where one is there already, UPDATE it if the imported one is newer."""
    columns = TABLES[table]
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(':' + name for name in columns)})"
        f" ON CONFLICT ({', '.join(columns[:keys])}) DO UPDATE SET {update} WHERE {newer}"
    )


MERGES = {
    "progress": _merge(
        "progress",
        1,
        "excluded.last_opened_at > last_opened_at OR excluded.opened_at < opened_at"
        " OR (excluded.read_at IS NOT NULL AND read_at IS NULL)",
        "opened_at = MIN(opened_at, excluded.opened_at),"
        " section = IIF(excluded.last_opened_at > last_opened_at, excluded.section, section),"
        " last_opened_at = MAX(last_opened_at, excluded.last_opened_at),"
        " read_at = COALESCE(read_at, excluded.read_at)",
    ),
    "sections": _merge("sections", 2, "excluded.seen_at < seen_at", "seen_at = excluded.seen_at"),
    "notes": _merge(
        "notes",
        1,
        "excluded.changed_at > changed_at",
        "text = excluded.text, changed_at = excluded.changed_at",
    ),
    "time_spent": _merge("time_spent", 2, "excluded.seconds > seconds", "seconds = excluded.seconds"),
    "cells": _merge(
        "cells",
        2,
        "COALESCE(excluded.code_changed_at, '') > COALESCE(code_changed_at, '')"
        " OR COALESCE(excluded.finished_at, '') > COALESCE(finished_at, '')",
        ", ".join(
            f"{name} = CASE WHEN COALESCE(excluded.{by}, '') > COALESCE(cells.{by}, '')"
            f" THEN excluded.{name} ELSE cells.{name} END"
            for by, names in {
                "code_changed_at": ("code", "code_changed_at"),
                "finished_at": ("outputs", "session", "finished_at", "elapsed_s", "status"),
            }.items()
            for name in names
        ),
    ),
    "settings": _merge(
        "settings",
        1,
        "excluded.changed_at > changed_at",
        "value = excluded.value, changed_at = excluded.changed_at",
    ),
    # An attempt is never changed: one of the same id is the same.
    "attempts": _merge("attempts", 1, "0", "at = attempts.at"),
    # Passed, helped and hinted, here or there: the earliest of each stays.
    "exercises": _merge(
        "exercises",
        2,
        " OR ".join(
            f"IFNULL(excluded.{name}, '~') < IFNULL(exercises.{name}, '~')"  # '~' is after every moment
            for name in ("passed_at", "solution_seen_at")
        )
        + " OR excluded.hints_seen > exercises.hints_seen",
        "passed_at = MIN(COALESCE(passed_at, excluded.passed_at), COALESCE(excluded.passed_at, passed_at)),"
        " solution_seen_at = MIN(COALESCE(solution_seen_at, excluded.solution_seen_at),"
        " COALESCE(excluded.solution_seen_at, solution_seen_at)),"
        " hints_seen = MAX(hints_seen, excluded.hints_seen)",
    ),
    "quiz_answers": _merge(
        "quiz_answers",
        2,
        "excluded.first_at < quiz_answers.first_at OR excluded.at > quiz_answers.at"
        " OR excluded.times > quiz_answers.times",
        ", ".join(
            f"{name} = IIF({newer}, excluded.{name}, quiz_answers.{name})"
            for newer, names in {
                "excluded.first_at < quiz_answers.first_at": ("first_right", "first_at"),
                "excluded.at > quiz_answers.at": ("last_answer", "last_right", "at"),
                "excluded.times > quiz_answers.times": ("times",),
            }.items()
            for name in names
        ),
    ),
    "reviews": _merge(
        "reviews",
        2,
        "excluded.rated_at > reviews.rated_at OR excluded.began_at < reviews.began_at",
        "began_at = MIN(began_at, excluded.began_at), "
        + ", ".join(
            f"{name} = IIF(excluded.rated_at > reviews.rated_at, excluded.{name}, reviews.{name})"
            for name in ("card", "due", "last_right", "num_reviews", "rated_at")
        ),
    ),
    "words": _merge(
        "words",
        1,
        "excluded.changed_at > words.changed_at",
        "text = excluded.text, points = excluded.points, changed_at = excluded.changed_at",
    ),
    "evidence": _merge(
        "evidence",
        1,
        "excluded.changed_at > evidence.changed_at",
        "data = excluded.data, changed_at = excluded.changed_at",
    ),
}
