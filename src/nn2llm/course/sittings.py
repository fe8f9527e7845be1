"""A sitting of a checkpoint: which questions it mixes for this learner, and whether it is passed.

A checkpoint is passed when all its exercises were passed without their solutions, and 80% of the questions of
one sitting were right at the first try of that sitting. A sitting that failed can be taken again: its mixed
questions are others, as long as the topic's lessons have others.

The mixed questions come from the quizzes of the topic's lessons: those first that this learner knows least,
at most one a concept, none that an earlier sitting asked or that was just seen, unless nothing else is left.
They are chosen when the page is first opened and stay for the sitting, which is kept in `store.evidence`.

Read checkpoints.py and mixing.py before. Used by the pages, app/road.py and the portfolio.
"""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from nn2llm.core.errors import DataError, LessonError
from nn2llm.course.checkpoints import is_checkpoint, parse_mixed
from nn2llm.course.lesson import Course, Lesson, Placeholder, SyllabusLesson, walk_blocks
from nn2llm.course.mixing import Reference, choose_mixed, find_question
from nn2llm.course.quizzes import load_questions

if TYPE_CHECKING:
    from nn2llm.course.records_exercises import ExerciseState
    from nn2llm.course.store import Store

__all__ = [
    "PASS_SHARE",
    "CheckpointProgress",
    "CheckpointState",
    "Sitting",
    "checkpoint_state",
    "list_checkpoint_states",
    "list_passed_checkpoints",
    "note_answer",
    "open_sitting",
    "read_checkpoint_progress",
    "read_sitting",
    "take_again",
]

PASS_SHARE = 0.8
"""Of a sitting's questions, how many must be right at the first try."""
_LOCK = threading.Lock()
"""A sitting is read, changed and written; the server answers in several threads."""

CheckpointState = Literal["coming", "ready", "begun", "passed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """One go at a checkpoint's questions."""

    slug: str
    """Of the checkpoint."""
    number: int
    """1 for the first."""
    began_at: str
    mixed: tuple[Reference, ...]
    """Questions of the topic's lessons, in the order in which they are asked."""
    own: tuple[Reference, ...]
    """Questions of the checkpoint itself."""
    first: dict[Reference, bool]
    """Whether the first answer of this sitting was right, of the questions answered."""
    answers: dict[Reference, Any]
    """The last answer of this sitting, as the page sent it."""
    earlier: tuple[Reference, ...]
    """Mixed questions of sittings before."""
    passed_at: str | None
    """When a sitting was first passed, this one or one before."""

    @property
    def questions(self) -> tuple[Reference, ...]:
        """All of them."""
        return (*self.mixed, *self.own)

    @property
    def num_right(self) -> int:
        """Right at the first try."""
        return sum(self.first.get(one, False) for one in self.questions)

    @property
    def num_answered(self) -> int:
        """Answered at least once."""
        return sum(one in self.first for one in self.questions)

    @property
    def num_needed(self) -> int:
        """How many must be right."""
        return math.ceil(PASS_SHARE * len(self.questions) - 1e-9)

    @property
    def is_passed(self) -> bool:
        """Whether enough are right."""
        return bool(self.questions) and self.num_right >= self.num_needed

    @property
    def is_lost(self) -> bool:
        """Whether those that are left cannot make it pass any more."""
        left = len(self.questions) - self.num_answered
        return self.num_right + left < self.num_needed


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointProgress:
    """What a checkpoint's page and the road say of it."""

    state: CheckpointState
    sitting: Sitting | None
    """None: its page was not opened yet."""
    num_exercises: int
    num_unaided: int
    num_with_solution: int
    """Passed, but the solution was seen before: these do not count."""
    passed_at: str | None
    """The later of the last exercise and the first sitting that passed."""


# Sittings


def _kind(slug: str) -> str:
    return f"sitting:{slug}"


def read_sitting(store: "Store", slug: str) -> Sitting | None:
    """The sitting that goes on (or went on last); None: none was begun."""
    held = store.evidence.get(_kind(slug))
    if held is None:
        return None
    try:
        return Sitting(
            slug=slug,
            number=int(held["number"]),
            began_at=str(held["began_at"]),
            mixed=_read_references(held["mixed"]),
            own=_read_references(held["own"]),
            first={_read_reference(name): right is True for name, right in dict(held["first"]).items()},
            answers={_read_reference(name): answer for name, answer in dict(held["answers"]).items()},
            earlier=_read_references(held["earlier"]),
            passed_at=None if held["passed_at"] is None else str(held["passed_at"]),
        )
    except (KeyError, TypeError, ValueError):  # another version wrote it: begin anew
        return None


def _write_sitting(store: "Store", sitting: Sitting) -> None:
    store.evidence.set(
        _kind(sitting.slug),
        {
            "number": sitting.number,
            "began_at": sitting.began_at,
            "mixed": ["/".join(one) for one in sitting.mixed],
            "own": ["/".join(one) for one in sitting.own],
            "first": {"/".join(one): right for one, right in sitting.first.items()},
            "answers": {"/".join(one): answer for one, answer in sitting.answers.items()},
            "earlier": ["/".join(one) for one in sitting.earlier],
            "passed_at": sitting.passed_at,
        },
    )


def _read_reference(text: str) -> Reference:
    slug, slash, question = text.partition("/")
    if not slash:
        raise ValueError(text)
    return slug, question


def _read_references(values: Any) -> tuple[Reference, ...]:
    return tuple(_read_reference(value) for value in values)


def open_sitting(course: Course, store: "Store", lesson: Lesson) -> Sitting:
    """The sitting of a checkpoint whose page is opened; begun now where there is none.

    Questions that the authors have taken away since leave it; new ones of the checkpoint's own join it.
    """
    with _LOCK:
        before = read_sitting(store, lesson.slug)
        if before is None:
            return _begin(course, store, lesson, None)
        own = _list_own(lesson)
        mixed = tuple(one for one in before.mixed if find_question(course, one) is not None)
        if (own, mixed) == (before.own, before.mixed):
            return before
        if not mixed and _count_mixed(lesson):
            return _begin(course, store, lesson, before)
        changed = replace(before, own=own, mixed=mixed)
        _write_sitting(store, changed)
        return changed


def take_again(course: Course, store: "Store", lesson: Lesson) -> Sitting:
    """Begin another sitting of the checkpoint, with other mixed questions.

    Raises:
        DataError: if the one that goes on can still be passed, or is.
    """
    with _LOCK:
        before = read_sitting(store, lesson.slug)
        if before is not None and before.is_passed:
            raise DataError("The questions are passed already. What is left are the exercises.")
        if before is not None and not before.is_lost:
            left = len(before.questions) - before.num_answered
            which = "1 question is" if left == 1 else f"{left} questions are"
            raise DataError(f"{which} not answered yet, and you can still pass. Answer first.")
        return _begin(course, store, lesson, before)


def _begin(course: Course, store: "Store", lesson: Lesson, before: Sitting | None) -> Sitting:
    number = 1 if before is None else before.number + 1
    earlier = () if before is None else tuple(dict.fromkeys([*before.earlier, *before.mixed]))
    sitting = Sitting(
        slug=lesson.slug,
        number=number,
        began_at=store.now(),
        mixed=choose_mixed(
            course,
            store,
            lesson.entry.topic,
            _count_mixed(lesson),
            earlier=earlier,
            seed=f"{lesson.slug} {number}",
        ),
        own=_list_own(lesson),
        first={},
        answers={},
        earlier=earlier,
        passed_at=None if before is None else before.passed_at,
    )
    _write_sitting(store, sitting)
    return sitting


def _list_own(lesson: Lesson) -> tuple[Reference, ...]:
    return tuple((lesson.slug, question.id) for question in load_questions(lesson.folder))


def _count_mixed(lesson: Lesson) -> int:
    places = (block for block in walk_blocks(lesson.blocks) if isinstance(block, Placeholder))
    return sum(parse_mixed(place) or 0 for place in places)


def note_answer(
    store: "Store", page: str, slug: str, question: str, answer: Any, right: bool
) -> Sitting | None:
    """A question was answered on `page`: keep it, if that is a checkpoint whose sitting asks it.

    Returns the sitting after it; None where no sitting asks that question there.
    """
    with _LOCK:
        sitting = read_sitting(store, page)
        reference = (slug, question)
        if sitting is None or reference not in sitting.questions:
            return None
        first: Mapping[Reference, bool] = {reference: right} | sitting.first  # what was first stays
        after = replace(sitting, first=dict(first), answers=sitting.answers | {reference: answer})
        if after.is_passed and after.passed_at is None:
            after = replace(after, passed_at=store.now())
        _write_sitting(store, after)
        return after


# How far


def read_checkpoint_progress(course: Course, store: "Store", topic: int) -> CheckpointProgress:
    """How far the learner is in a topic's checkpoint; "coming" where it is not written or cannot be shown."""
    from nn2llm.course.exercises.model import load_exercises

    entry = course.checkpoints.get(topic)
    if entry is None or not course.is_ready(entry.slug):
        return _make_progress("coming", None, [], [])
    try:
        exercises = load_exercises(entry.folder)
    except LessonError:
        return _make_progress("coming", None, [], [])
    states = [_read_state(store, entry.slug, exercise.name) for exercise in exercises]
    sitting = read_sitting(store, entry.slug)
    unaided = [state.passed_at for state in states if state.unaided and state.passed_at is not None]
    has_questions = bool(sitting.questions) if sitting is not None else True
    answered = sitting is not None and (sitting.passed_at is not None or not has_questions)
    if answered and len(unaided) == len(states):
        state: CheckpointState = "passed"
    elif (sitting is not None and sitting.first) or any(one.status != "new" for one in states):
        state = "begun"
    else:
        state = "ready"
    return _make_progress(state, sitting, states, unaided)


def _read_state(store: "Store", slug: str, name: str) -> "ExerciseState":
    """Of an exercise; who saw the solution can still do it when it returns blank, and that counts as well."""
    from nn2llm.course.records_exercises import AGAIN

    state = store.exercises.state(slug, name)
    again = store.exercises.state(slug, name + AGAIN)
    return again if again.unaided and not state.unaided else state


def _make_progress(
    state: CheckpointState, sitting: Sitting | None, states: list[Any], unaided: list[str]
) -> CheckpointProgress:
    moments = [*unaided, *([sitting.passed_at] if sitting is not None and sitting.passed_at else [])]
    return CheckpointProgress(
        state=state,
        sitting=sitting,
        num_exercises=len(states),
        num_unaided=len(unaided),
        num_with_solution=sum(one.status == "passed" and not one.unaided for one in states),
        passed_at=max(moments) if state == "passed" and moments else None,
    )


def checkpoint_state(course: Course, store: "Store", topic: int) -> CheckpointState:
    """Whether a topic's checkpoint is coming, ready, begun or passed."""
    return read_checkpoint_progress(course, store, topic).state


def list_checkpoint_states(
    course: Course, store: "Store"
) -> dict[int, tuple[SyllabusLesson, CheckpointState]]:
    """By topic its checkpoint and how it stands, for the road."""
    return {
        topic: (entry, checkpoint_state(course, store, topic)) for topic, entry in course.checkpoints.items()
    }


def list_passed_checkpoints(course: Course, store: "Store") -> tuple[tuple[SyllabusLesson, str], ...]:
    """Those passed, in the order of the course, each with the day (YYYY-MM-DD)."""
    found = []
    for topic, entry in sorted(course.checkpoints.items()):
        progress = read_checkpoint_progress(course, store, topic)
        if progress.state == "passed" and is_checkpoint(entry):
            found.append((entry, (progress.passed_at or "")[:10]))
    return tuple(found)
