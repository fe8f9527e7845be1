"""The learner's answers to a lesson's questions: the first one counts, the last one is shown again.

Read after records_file.py. `store.quiz`; used by app/api_learning.py, the road and the checkpoints.
"""

import json
from dataclasses import dataclass
from typing import Any

from nn2llm.course.records_file import RecordFile
from nn2llm.course.store_exchange import clean_text

__all__ = ["QuizAnswer", "QuizRecords"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuizAnswer:
    """What the learner answered to one question so far."""

    first_right: bool
    """Whether the first answer was right: what counts."""
    first_at: str
    last_answer: Any
    """As the page sent it: a number of an option, several, a number or words."""
    last_right: bool
    at: str
    """When the last answer came."""
    times: int
    """How often it was answered."""


class QuizRecords:
    """`store.quiz`."""

    def __init__(self, file: RecordFile) -> None:
        self._file = file

    def record_answer(self, slug: str, question: str, answer: Any, right: bool) -> None:
        """Keep an answer (anything JSON can say)."""
        now, said = self._file.now(), clean_text(json.dumps(answer))
        self._file.write(
            "INSERT INTO quiz_answers"
            " (slug, question, first_right, first_at, last_answer, last_right, at, times)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 1)"
            " ON CONFLICT (slug, question) DO UPDATE SET last_answer = excluded.last_answer,"
            " last_right = excluded.last_right, at = excluded.at, times = times + 1",
            (slug, question, int(right), now, said, int(right), now),
        )

    def answers(self, slug: str) -> dict[str, QuizAnswer]:
        """By question of one lesson."""
        return {question: answer for (_, question), answer in self._find("WHERE slug = ?", (slug,)).items()}

    def all(self) -> dict[tuple[str, str], QuizAnswer]:
        """By lesson and question."""
        return self._find("", ())

    def _find(self, where: str, values: tuple[str, ...]) -> dict[tuple[str, str], QuizAnswer]:
        rows = self._file.read(
            "SELECT slug, question, first_right, first_at, last_answer, last_right, at, times"
            f" FROM quiz_answers {where} ORDER BY slug, first_at, question",
            values,
        )
        return {
            (row[0], row[1]): QuizAnswer(
                first_right=bool(row[2]),
                first_at=row[3],
                last_answer=_read_json(row[4]),
                last_right=bool(row[5]),
                at=row[6],
                times=row[7],
            )
            for row in rows
        }


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
