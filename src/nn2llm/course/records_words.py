"""The learner's own words on each lesson, and the evidence gathered for the course's promises.

Read after records_file.py. `store.words` and `store.evidence`; used by course/outcomes.py.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nn2llm.course.records_file import RecordFile
from nn2llm.course.store_exchange import clean_text

__all__ = ["EvidenceRecords", "WordRecords", "Words"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What the learner wrote under "In one breath"."""

    text: str = ""
    points: tuple[bool, ...] = ()
    """Which of ours they ticked as said."""
    changed_at: str | None = None


class WordRecords:
    """`store.words`."""

    def __init__(self, file: RecordFile) -> None:
        self._file = file

    def get(self, slug: str) -> Words:
        """Of one lesson; empty where nothing was written."""
        return self.all().get(slug, Words())

    def set(self, slug: str, text: str, points: Sequence[bool] = ()) -> None:
        """Keep them, in place of those before."""
        self._file.write(
            "INSERT INTO words VALUES (?, ?, ?, ?) ON CONFLICT (slug) DO UPDATE"
            " SET text = excluded.text, points = excluded.points, changed_at = excluded.changed_at",
            (slug, clean_text(text), json.dumps([bool(point) for point in points]), self._file.now()),
        )

    def all(self) -> dict[str, Words]:
        """By lesson."""
        found = {}
        for slug, text, points, at in self._file.read("SELECT slug, text, points, changed_at FROM words"):
            ticked = _read_json(points)
            found[slug] = Words(
                text=text,
                points=tuple(bool(point) for point in ticked) if isinstance(ticked, list) else (),
                changed_at=at,
            )
        return found


class EvidenceRecords:
    """`store.evidence`: one record a kind, such as `from-scratch` or `critique`."""

    def __init__(self, file: RecordFile) -> None:
        self._file = file

    def get(self, kind: str) -> dict[str, Any] | None:
        """What was kept of that kind; None: nothing."""
        return self.all().get(kind)

    def set(self, kind: str, data: Mapping[str, Any]) -> None:
        """Keep `data` (which must be JSON), in place of what was kept before."""
        self._file.write(
            "INSERT INTO evidence VALUES (?, ?, ?) ON CONFLICT (kind) DO UPDATE"
            " SET data = excluded.data, changed_at = excluded.changed_at",
            (kind, clean_text(json.dumps(dict(data), ensure_ascii=False)), self._file.now()),
        )

    def remove(self, kind: str) -> None:
        """Forget what was kept of that kind."""
        self._file.write("DELETE FROM evidence WHERE kind = ?", (kind,))

    def all(self) -> dict[str, dict[str, Any]]:
        """By kind; `changed_at` beside what was kept."""
        found = {}
        for kind, data, at in self._file.read("SELECT kind, data, changed_at FROM evidence ORDER BY kind"):
            held = _read_json(data)
            if isinstance(held, dict):
                found[kind] = {**held, "changed_at": at}
        return found


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
