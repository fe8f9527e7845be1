"""What a linter finds in the results of a lesson's cells beside failures: time, and answers to predictions.

Read results.py and quizzes.py before. Used by linting.py. Machines differ, so that seconds are a problem only
when they are far over what LESSONS.md allows, and else a remark.
"""

import re
from collections.abc import Mapping

from nn2llm.course.lesson import Cell, Lesson, LessonProblem
from nn2llm.course.quizzes import QUIZ_FILE, Question, judge_answer, load_questions
from nn2llm.course.results import print_of
from nn2llm.course.running import CellResult

__all__ = ["CELL_S", "LESSON_S", "find_prediction_problems", "judge_times"]

CELL_S = 20.0
"""What one cell may take; a slow cell what it says."""
LESSON_S = 60.0
"""What a lesson's cells may take together, slow ones apart."""
_FAR_OVER = 3.0
_PIECE = re.compile(r"[-+−]?[\d.,]+(?:[eE][-+]?\d+)?%?|[\w.]+|\([^()]*\)|\[[^\[\]]*\]")


def judge_times(lesson: Lesson, results: Mapping[str, CellResult]) -> tuple[list[LessonProblem], list[str]]:
    """(problems, remarks) of cells that take too long."""
    problems, remarks = [], []
    number = lesson.entry.number
    for cell in lesson.cells:
        result = results.get(cell.id)
        if result is None or result.status == "stopped":
            continue  # said already
        allowed = _allow(cell)
        if result.elapsed_s <= allowed:
            continue
        what = f"says seconds={cell.seconds:g}" if cell.seconds else f"may take {allowed:g} s"
        message = f"Cell {cell.id!r} took {result.elapsed_s:.0f} s and {what}."
        if result.elapsed_s > _FAR_OVER * allowed:
            remedy = "Mend the number." if cell.seconds else "Shorten it, or mark it slow."
            problems.append(LessonProblem(path=lesson.path, line=cell.line, message=f"{message} {remedy}"))
        else:
            remarks.append(f"{number}: {message}")
    total = sum(
        results[cell.id].elapsed_s for cell in lesson.cells if cell.kind != "slow" and cell.id in results
    )
    if total > LESSON_S:
        message = f"The cells took {total:.0f} s together; a lesson's may take {LESSON_S:.0f} s."
        if total > _FAR_OVER * LESSON_S:
            problems.append(LessonProblem(path=lesson.path, line=0, message=f"{message} Shorten them."))
        else:
            remarks.append(f"{number}: {message}")
    return problems, remarks


def _allow(cell: Cell) -> float:
    return max(CELL_S, 1.5 * (cell.seconds or 0.0)) if cell.kind == "slow" else CELL_S


def find_prediction_problems(lesson: Lesson, results: Mapping[str, CellResult]) -> list[LessonProblem]:
    """Questions that ask to predict a cell's printout, whose answer it does not print."""
    problems = []
    for question in load_questions(lesson.folder):
        if question.kind != "predict" or question.cell is None:
            continue
        result = results.get(question.cell)
        if result is None or result.status != "done" or _prints(question, print_of(result)):
            continue
        problems.append(
            LessonProblem(
                path=lesson.folder / QUIZ_FILE,
                line=question.line,
                message=f"The answer to {question.id!r} is {_say_answer(question)!r}, which cell "
                f"{question.cell!r} does not print. Mend the answer, or print it.",
            )
        )
    return problems


def _say_answer(question: Question) -> str:
    right = [option.text for option in question.options if option.right]
    return " and ".join(right) if right else question.shown_answer


def _prints(question: Question, printed: str) -> bool:
    """A number or short text stands in the printout as it is; an option, where all its numbers do."""
    if not question.options:
        pieces = {match.group() for match in _PIECE.finditer(printed)} | set(printed.splitlines())
        if any(judge_answer(question, piece.rstrip(".,")) for piece in pieces if piece.rstrip(".,").strip()):
            return True
        return _fold(question.shown_answer) in _fold(printed)
    for option in question.options:
        if option.right:
            words = [match.group() for match in re.finditer(r"`([^`]+)`|\d[\d.,]*\d|\d", option.text)]
            if words and not all(_fold(word.strip("`")) in _fold(printed) for word in words):
                return False
    return True


def _fold(text: str) -> str:
    return re.sub(r"[\s,`$]+", "", text).casefold()
