"""The tables of the learner's records, and how an older database becomes a newer one.

Read before store.py, which alone uses it. The version is SQLite's `user_version`; each migration lifts it by
one, all inside one transaction. A migration that has shipped is never edited: write the next one.
"""

import sqlite3

from nn2llm.core.errors import StorageError

__all__ = ["MIGRATIONS", "TABLES", "migrate"]

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (  # version 1
        """CREATE TABLE progress (
            slug TEXT PRIMARY KEY,
            opened_at TEXT NOT NULL,
            last_opened_at TEXT NOT NULL,
            section TEXT NOT NULL DEFAULT '',
            read_at TEXT)""",
        "CREATE TABLE notes (slug TEXT PRIMARY KEY, text TEXT NOT NULL, changed_at TEXT NOT NULL)",
        """CREATE TABLE time_spent (
            slug TEXT NOT NULL, day TEXT NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (slug, day))""",
        """CREATE TABLE cells (
            slug TEXT NOT NULL, cell TEXT NOT NULL,
            code TEXT, code_changed_at TEXT,
            outputs TEXT NOT NULL DEFAULT '[]', session TEXT NOT NULL DEFAULT '',
            finished_at TEXT, elapsed_s REAL, status TEXT NOT NULL DEFAULT 'idle',
            PRIMARY KEY (slug, cell))""",
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL, changed_at TEXT NOT NULL)",
    ),
    (  # version 2: which sections were seen, for the outline and for what is left
        """CREATE TABLE sections (
            slug TEXT NOT NULL, section TEXT NOT NULL, seen_at TEXT NOT NULL, PRIMARY KEY (slug, section))""",
    ),
    (  # version 3: exercises, questions, their reviews, the learner's own words, evidence
        """CREATE TABLE attempts (
            id TEXT PRIMARY KEY, slug TEXT NOT NULL, name TEXT NOT NULL, at TEXT NOT NULL,
            status TEXT NOT NULL, text TEXT NOT NULL, verdict TEXT NOT NULL)""",
        "CREATE INDEX attempts_by_exercise ON attempts (slug, name, at)",
        """CREATE TABLE exercises (
            slug TEXT NOT NULL, name TEXT NOT NULL,
            passed_at TEXT, solution_seen_at TEXT, hints_seen INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (slug, name))""",
        """CREATE TABLE quiz_answers (
            slug TEXT NOT NULL, question TEXT NOT NULL,
            first_right INTEGER NOT NULL, first_at TEXT NOT NULL,
            last_answer TEXT NOT NULL, last_right INTEGER NOT NULL, at TEXT NOT NULL, times INTEGER NOT NULL,
            PRIMARY KEY (slug, question))""",
        """CREATE TABLE reviews (
            slug TEXT NOT NULL, question TEXT NOT NULL,
            card TEXT NOT NULL, began_at TEXT NOT NULL, due TEXT NOT NULL, rated_at TEXT NOT NULL,
            last_right INTEGER NOT NULL, num_reviews INTEGER NOT NULL, PRIMARY KEY (slug, question))""",
        """CREATE TABLE words (
            slug TEXT PRIMARY KEY, text TEXT NOT NULL, points TEXT NOT NULL, changed_at TEXT NOT NULL)""",
        "CREATE TABLE evidence (kind TEXT PRIMARY KEY, data TEXT NOT NULL, changed_at TEXT NOT NULL)",
    ),
)

TABLES: dict[str, tuple[str, ...]] = {
    "progress": ("slug", "opened_at", "last_opened_at", "section", "read_at"),
    "sections": ("slug", "section", "seen_at"),
    "notes": ("slug", "text", "changed_at"),
    "time_spent": ("slug", "day", "seconds"),
    "cells": (
        "slug", "cell", "code", "code_changed_at", "outputs", "session", "finished_at", "elapsed_s", "status",
    ),
    "settings": ("name", "value", "changed_at"),
    "attempts": ("id", "slug", "name", "at", "status", "text", "verdict"),
    "exercises": ("slug", "name", "passed_at", "solution_seen_at", "hints_seen"),
    "quiz_answers": (
        "slug", "question", "first_right", "first_at", "last_answer", "last_right", "at", "times",
    ),
    "reviews": (
        "slug", "question", "card", "began_at", "due", "rated_at", "last_right", "num_reviews",
    ),
    "words": ("slug", "text", "points", "changed_at"),
    "evidence": ("kind", "data", "changed_at"),
}  # fmt: skip
"""Each table's columns in the newest version, as exported."""


def migrate(connection: sqlite3.Connection, path: object) -> None:
    """Bring the database to the newest version; whole or not at all.

    Raises:
        StorageError: if a newer nn2llm wrote it.
    """
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)  # again: another process may have done it while this one waited
        if version > len(MIGRATIONS):
            raise StorageError(
                f"{path} was written by a newer nn2llm (version {version} of its tables, this one knows "
                f"{len(MIGRATIONS)}). Install the newer nn2llm, or set NN2LLM_HOME to another folder."
            )
        for steps in MIGRATIONS[version:]:
            for step in steps:
                connection.execute(step)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
