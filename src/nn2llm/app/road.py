"""The road of home: topics and lessons with what was read, done and remembered, and where to go on.

Reading a lesson, doing its exercises unaided, doing them with the solution seen, and remembering it later are
distinct: each has its word and its sign. Read after course/graph.py, course/store.py and course/review.py.
Used by app/pages.py and `nn2llm learn status`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nn2llm.course.graph import find_next_lessons
from nn2llm.course.review import find_remembered, list_exercises

if TYPE_CHECKING:
    from nn2llm.course.lesson import Course, SyllabusLesson, Topic
    from nn2llm.course.records_exercises import ExerciseState
    from nn2llm.course.sittings import CheckpointState
    from nn2llm.course.store import Progress, Store

__all__ = [
    "LEGEND",
    "Done",
    "Road",
    "RoadLesson",
    "RoadTopic",
    "build_road",
    "judge_lesson",
    "name_checkpoint_state",
]

Done = Literal["no", "unaided", "with solution"]

LEGEND = (
    ("✓", "read", "you marked it as read"),
    ("◆", "done unaided", "its exercises passed before you saw a solution"),
    ("◇", "done with solution", "its exercises passed, a solution was seen before"),
    ("★", "remembered", "a week later its questions were right again"),
)
"""Sign, word and meaning of what a stone of the road can show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadLesson:
    """One stone of the road."""

    entry: "SyllabusLesson"
    state: Literal["coming", "broken", "ready", "started", "read"]
    minutes: int | None
    """Of the core route; None for one that is coming."""
    done: Done = "no"
    """Whether all core exercises passed, and whether a solution was seen before."""
    remembered: bool = False
    """A week or later after they were first answered, the questions were right (course/review.py)."""
    num_exercises: int = 0
    """Core exercises."""
    num_done: int = 0
    """Of these, passed."""

    @property
    def state_word(self) -> str:
        """Whether it can be read, in a word; empty where it was read, which is among `words`."""
        return {"started": "begun", "broken": "cannot be shown", "read": ""}.get(self.state, self.state)

    @property
    def marks(self) -> tuple[tuple[str, str], ...]:
        """Sign and word of everything it shows, in the order of `LEGEND`."""
        shown = {
            "read": self.state == "read",
            "done unaided": self.done == "unaided",
            "done with solution": self.done == "with solution",
            "remembered": self.remembered,
        }
        return tuple((sign, word) for sign, word, _ in LEGEND if shown[word])

    @property
    def words(self) -> str:
        """What it shows in words: `read, done unaided`, `1 of 3 exercises done`; empty for a fresh one."""
        words = [word for _, word in self.marks]
        if self.done == "no" and self.num_done:
            words.append(f"{self.num_done} of {self.num_exercises} exercises done")
        return ", ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoadTopic:
    """One topic and its lessons."""

    topic: "Topic"
    lessons: tuple[RoadLesson, ...]

    @property
    def num_read(self) -> int:
        """Lessons marked as read."""
        return sum(lesson.state == "read" for lesson in self.lessons)

    @property
    def num_ready(self) -> int:
        """Lessons that can be opened."""
        return sum(lesson.state in {"ready", "started", "read"} for lesson in self.lessons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Road:
    """All topics, and the next step."""

    topics: tuple[RoadTopic, ...]
    going_on: "SyllabusLesson | None"
    """The lesson to open next: the unfinished one opened last, else the first whose needs are read."""
    section: str
    """Where in it; empty for its beginning."""
    begun: bool
    """Whether `going_on` was opened before."""

    @property
    def lessons(self) -> dict[str, RoadLesson]:
        """By slug."""
        return {lesson.entry.slug: lesson for topic in self.topics for lesson in topic.lessons}

    @property
    def num_read(self) -> int:
        """Of all topics."""
        return sum(topic.num_read for topic in self.topics)

    @property
    def num_ready(self) -> int:
        """Of all topics."""
        return sum(topic.num_ready for topic in self.topics)


def build_road(course: "Course", store: "Store") -> Road:
    """The road as this learner sees it."""
    progress, states = store.progress(), store.exercises.states()
    remembered = find_remembered(course, store)
    topics = tuple(
        RoadTopic(
            topic=topic,
            lessons=tuple(
                _make_stone(course, entry, progress.get(entry.slug), states, entry.slug in remembered)
                for entry in topic.lessons
            ),
        )
        for topic in course.topics
    )
    unfinished = [
        slug  # the one opened last comes first
        for slug, record in progress.items()
        if course.is_ready(slug) and not record.read
    ]
    if unfinished:
        slug = unfinished[0]
        return Road(topics=topics, going_on=course.lesson(slug), section=progress[slug].section, begun=True)
    following = find_next_lessons(course, {slug for slug, record in progress.items() if record.read})
    return Road(topics=topics, going_on=following[0] if following else None, section="", begun=False)


def name_checkpoint_state(state: "CheckpointState") -> str:
    """The words for it, the same on home, on the map and in the terminal."""
    return {"begun": "begun, not passed yet"}.get(state, state)


def judge_lesson(course: "Course", store: "Store", entry: "SyllabusLesson") -> RoadLesson:
    """One stone of the road, for the lesson's own page."""
    return _make_stone(
        course,
        entry,
        store.progress().get(entry.slug),
        store.exercises.states(),
        entry.slug in find_remembered(course, store),
    )


def _make_stone(
    course: "Course",
    entry: "SyllabusLesson",
    record: "Progress | None",
    states: "dict[tuple[str, str], ExerciseState]",
    remembered: bool,
) -> RoadLesson:
    exercises = [one for one in list_exercises(entry) if one.core]
    found = [states[entry.slug, one.name] for one in exercises if (entry.slug, one.name) in states]
    passed = [state for state in found if state.status == "passed"]
    done: Done = "no"
    if exercises and len(passed) == len(exercises):
        done = "unaided" if all(state.unaided for state in passed) else "with solution"
    return RoadLesson(
        entry=entry,
        state=_judge(course, entry.slug, record),
        minutes=course.headers[entry.slug].minutes if entry.slug in course.headers else None,
        done=done,
        remembered=remembered,
        num_exercises=len(exercises),
        num_done=len(passed),
    )


def _judge(
    course: "Course", slug: str, record: "Progress | None"
) -> Literal["coming", "broken", "ready", "started", "read"]:
    if slug in course.broken:
        return "broken"
    if not course.is_ready(slug):
        return "coming"
    if record is None:
        return "ready"
    return "read" if record.read else "started"
