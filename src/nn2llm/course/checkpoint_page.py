"""A checkpoint's page for this learner: its mixed questions, and how the sitting stands.

The page of a lesson is the same for everybody and kept in memory; a checkpoint's has one gap, the empty
placeholder of its mixed questions, which is filled here at each load. Read sittings.py and quiz_rendering.py
before. Used by app/pages.py and the static site.
"""

import re
from typing import TYPE_CHECKING, Any

from nn2llm.course.inline import PageState
from nn2llm.course.lesson import Course
from nn2llm.course.mixing import find_question
from nn2llm.course.quiz_rendering import render_question
from nn2llm.course.sittings import Sitting, read_checkpoint_progress

if TYPE_CHECKING:
    from nn2llm.course.store import Store

__all__ = ["describe_sitting", "fill_gap", "fill_mixed"]

_GAP = re.compile(r'(<div class="quiz" data-quiz="mixed \d+"[^>]*>)(</div>)')


def fill_mixed(page: str, course: Course, sitting: Sitting) -> str:
    """The page's HTML with the sitting's mixed questions in their place."""
    pieces = []
    for number, (slug, identity) in enumerate(sitting.mixed, start=1):
        question = find_question(course, (slug, identity))
        if question is None:  # taken away a moment ago
            continue
        entry = course.lesson(slug)
        pieces.append(
            render_question(
                slug,
                question,
                PageState(slug=slug, course=course),
                number=number,
                heading=f"from {entry.number} {entry.title}",
            )
        )
    text = "\n".join(pieces) or (
        "<p>The lessons of this topic have no questions yet; they come with the lessons.</p>"
    )
    return fill_gap(page, text)


def fill_gap(page: str, html: str) -> str:
    """The page with `html` in the place of its mixed questions; a page without such a place as it is."""
    return _GAP.sub(lambda gap: f"{gap[1]}{html}{gap[2]}", page)


def describe_sitting(course: Course, store: "Store", topic: int) -> dict[str, Any]:
    """How a checkpoint stands, for its page and its script; every sentence is plain text.

    {"state", "number", "num_right", "num_answered", "num_questions", "num_needed", "num_exercises",
    "num_unaided", "num_with_solution", "can_take_again", "sentences": […]}
    """
    progress = read_checkpoint_progress(course, store, topic)
    sitting = progress.sitting
    questions = len(sitting.questions) if sitting is not None else 0
    right, answered, needed = (
        (sitting.num_right, sitting.num_answered, sitting.num_needed) if sitting is not None else (0, 0, 0)
    )
    sentences = []
    if questions:
        sentences.append(_say_questions(right, answered, questions, needed, sitting))
    if progress.num_exercises:
        done = f"{progress.num_unaided} of {progress.num_exercises} exercises done unaided."
        if progress.num_with_solution:
            done += (
                f" {progress.num_with_solution} passed after the solution was seen: it does not count until "
                "the exercise comes back blank and you pass it."
            )
        sentences.append(done)
    if progress.state == "passed":
        sentences.insert(0, f"Passed on {(progress.passed_at or '')[:10]}.")
    return {
        "state": progress.state,
        "number": sitting.number if sitting is not None else 0,
        "num_right": right,
        "num_answered": answered,
        "num_questions": questions,
        "num_needed": needed,
        "num_exercises": progress.num_exercises,
        "num_unaided": progress.num_unaided,
        "num_with_solution": progress.num_with_solution,
        "can_take_again": sitting is not None and sitting.passed_at is None and sitting.is_lost,
        "sentences": sentences,
    }


def _say_questions(right: int, answered: int, questions: int, needed: int, sitting: Sitting | None) -> str:
    which = f" Sitting {sitting.number}." if sitting is not None and sitting.number > 1 else ""
    if sitting is not None and sitting.passed_at is not None:
        return f"Questions passed: {right} of {questions} right at the first try.{which}"
    if sitting is not None and sitting.is_lost:
        return (
            f"{right} of {answered} right at the first try; {needed} of {questions} were needed. Read again "
            f"where it went wrong, then take other questions.{which}"
        )
    if not answered:
        return f"{questions} questions. You pass with {needed} right at the first try.{which}"
    return (
        f"{answered} of {questions} answered, {right} of them right at the first try. "
        f"You pass with {needed}.{which}"
    )
