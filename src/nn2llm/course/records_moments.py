"""Moments as the learner's records hold them.

Read before records_file.py. Used by the records and their export.
"""

from datetime import UTC, datetime

__all__ = ["read_moment", "write_moment"]


def write_moment(moment: datetime) -> str:
    """As the records hold it: ISO 8601, UTC, milliseconds; so written, moments compare as words do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def read_moment(text: str) -> datetime:
    """The moment that a record holds, in UTC.

    Raises:
        ValueError: if it is none.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
