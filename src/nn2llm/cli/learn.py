"""`nn2llm learn …`: the course from the terminal.

Read course/store.py and course/notebook.py for status, open and notebook, which are here; exercises (check,
watch, hint, solution, reset) are in learn_exercises.py and learn_watch.py.
"""

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional, arg, subcommand

from nn2llm.cli.learn_exercises import Check, Hint, Reset, Solution, check, hint, reset, solution
from nn2llm.cli.learn_portfolio import PortfolioCommand, write_portfolio_files
from nn2llm.cli.learn_watch import Watch, watch
from nn2llm.core.errors import ConfigError

if TYPE_CHECKING:
    from nn2llm.app.road import Road, RoadLesson, RoadTopic
    from nn2llm.course.lesson import SyllabusLesson
    from nn2llm.course.sittings import CheckpointState

__all__ = ["Check", "Hint", "Notebook", "Open", "Reset", "Solution", "Status", "Watch", "main"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """Say how far you are: lessons read, exercises done, what is remembered, and what comes next."""

    lesson: Annotated[Positional[str], arg(metavar="LESSON")] = ""
    """One lesson's exercises and your files, by its number or slug. Default: the whole course."""
    all: bool = False
    """Every lesson, also those that are coming."""
    lessons: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of lessons instead of those that come with nn2llm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """Open a lesson in the browser, in the course that runs."""

    lesson: Annotated[Positional[str], arg(metavar="LESSON")]
    """Its number or slug, as in 1.6 or linear-regression."""
    browser: bool = True
    """Open the browser; --no-browser prints the link alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notebook:
    """Write lessons as Jupyter notebooks, for Jupyter, VS Code or Colab."""

    lesson: Annotated[Positional[tuple[str, ...]], arg(metavar="LESSON ...")] = ()
    """Numbers or slugs."""
    all: bool = False
    """Every lesson that is written."""
    out: Annotated[Path, arg(metavar="FOLDER")] = Path("notebooks")
    """Where the notebooks go."""
    overwrite: bool = False
    """Replace notebooks that were changed since they were written."""
    lessons: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of lessons instead of those that come with nn2llm; cells still use those that are installed."""


_Command = (
    Annotated[Status, subcommand("status")]
    | Annotated[Open, subcommand("open")]
    | Annotated[Notebook, subcommand("notebook")]
    | Annotated[Check, subcommand("check")]
    | Annotated[Watch, subcommand("watch")]
    | Annotated[Hint, subcommand("hint")]
    | Annotated[Solution, subcommand("solution")]
    | Annotated[Reset, subcommand("reset")]
    | Annotated[PortfolioCommand, subcommand("portfolio")]
)


def main(argv: list[str]) -> int:
    """Run `nn2llm learn …`; returns the exit code.

    Raises:
        Nn2llmError: for a lesson that does not exist, or a folder that cannot be written.
    """
    from nn2llm.cli.course_packages import require_packages

    command = tyro.cli(_Command, prog="nn2llm learn", args=argv)
    require_packages("yaml", "markdown_it", "pygments")
    match command:
        case Notebook():
            return _notebook(command)
        case Open():
            return _open(command)
        case Check():
            return check(command)
        case Watch():
            return watch(command)
        case Hint():
            return hint(command)
        case Solution():
            return solution(command)
        case Reset():
            return reset(command)
        case PortfolioCommand():
            return write_portfolio_files(command)
        case Status():
            return _status_of_lesson(command) if command.lesson else _status(command)


def _status_of_lesson(command: Status) -> int:
    """Its exercises, one a line."""
    from nn2llm.cli.learn_exercises import open_exercises
    from nn2llm.cli.learn_verdict import say_path

    with open_exercises(command.lessons) as exercises:
        entry = exercises.course.lesson(command.lesson)
        tasks = exercises.list_tasks(entry.slug)
        print(f"{entry.number}  {entry.title}" + ("" if tasks else "  (no exercises yet)"))
        for task in tasks:
            state = exercises.state(task.slug, task.name)
            words = {"new": "not begun" if not state["exists"] else "begun", "tried": "tried"}
            done = "done unaided" if state["unaided"] else "done with solution"
            said = words.get(state["status"], done)
            dots = "•" * task.exercise.difficulty
            print(f"   {task.name:<26} {said:<18} {task.exercise.minutes:>3} min  {dots}")
            print(f"      {task.exercise.title}")
            if state["exists"]:
                print(f"      {say_path(state['path'])}")
    return 0


def _status(command: Status) -> int:
    from nn2llm.app.road import build_road
    from nn2llm.course.loader import load_course
    from nn2llm.course.sittings import list_checkpoint_states
    from nn2llm.course.store import Store

    course = load_course(command.lessons)
    store = Store()
    try:
        checkpoints = list_checkpoint_states(course, store)
        road = build_road(course, store)
        seconds = store.time_spent()
        trouble = store.trouble
    finally:
        store.close()
    if trouble:
        print(trouble)
    for topic in road.topics:
        _print_topic(topic, seconds, command.all)
        if topic.topic.number in checkpoints:
            _print_checkpoint(*checkpoints[topic.topic.number], command.all)
    total = sum(seconds.values())
    print(
        f"\n{road.num_read} of {road.num_ready} written lessons read"
        f"{f', {_say_time(total)} spent' if total >= 60 else ''}. {len(road.lessons)} lessons in all."
    )
    _print_next(road)
    return 0


def _print_topic(topic: "RoadTopic", seconds: dict[str, float], everything: bool) -> None:
    coming = f"  ({topic.num_read} of {topic.num_ready} read)" if topic.num_ready else "  (coming)"
    print(f"{topic.topic.number}  {topic.topic.title}{coming}")
    for lesson in topic.lessons:
        if lesson.state == "coming" and not everything:
            continue
        marks = {"read": "x", "started": "-", "broken": "!"}
        facts = [f"{lesson.minutes} min" if lesson.minutes else "coming"]
        if lesson.state in ("started", "broken"):
            facts.append(lesson.state_word)
        if seconds.get(lesson.entry.slug, 0) >= 60:
            facts.append(f"{_say_time(seconds[lesson.entry.slug])} spent")
        facts += _say_work(lesson)
        mark = marks.get(lesson.state, " ")
        print(f"   [{mark}] {lesson.entry.number:<5} {lesson.entry.title}  ({', '.join(facts)})")


def _print_checkpoint(entry: "SyllabusLesson", state: "CheckpointState", everything: bool) -> None:
    from nn2llm.app.road import name_checkpoint_state

    if state != "coming" or everything:
        mark = {"passed": "x", "begun": "-"}.get(state, " ")
        print(f"   [{mark}] {entry.number:<5} Checkpoint  ({name_checkpoint_state(state)})")


def _say_work(lesson: "RoadLesson") -> list[str]:
    """Exercises done, and whether the lesson is remembered."""
    facts = []
    if lesson.num_exercises:
        if lesson.done == "no":
            facts.append(f"{lesson.num_done} of {lesson.num_exercises} exercises")
        else:
            facts.append(f"done {lesson.done}")
    if lesson.remembered:
        facts.append("remembered")
    return facts


def _print_next(road: "Road") -> None:
    if road.going_on is None:
        print("All lessons that are written are read.")
        return
    word = "Go on with" if road.begun else "Next:"
    print(f"{word} {road.going_on.number} {road.going_on.title}: nn2llm learn open {road.going_on.number}")


def _say_time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _open(command: Open) -> int:
    from nn2llm.app.running import find_running, has_screen
    from nn2llm.core.home import get_home
    from nn2llm.course.loader import load_course

    entry = load_course().lesson(command.lesson)
    address = find_running(get_home())
    if address is None:
        raise ConfigError(
            f"The course is not open. Start it with `nn2llm start`; lesson {entry.number} is on its road."
        )
    path = f"/lesson/{entry.slug}"
    print(f"{entry.number} {entry.title}\n\n  {address.base}{path}?token={address.token}\n")
    if command.browser and has_screen() and not webbrowser.open(address.make_browser_link(path)):
        print("No browser could be opened; copy the link.")
    return 0


def _notebook(command: Notebook) -> int:
    from nn2llm.course.loader import load_course
    from nn2llm.course.notebook import write_notebooks

    course = load_course(command.lessons)
    if command.all == bool(command.lesson):
        raise ConfigError(
            "Name the lessons, as in `nn2llm learn notebook 1.6`, or take --all, one of the two."
        )
    if command.all:
        entries = [entry for entry in course.lessons if course.is_ready(entry.slug)]
        if not entries:
            raise ConfigError(f"No lesson is written in {course.folder}. Name another folder with --lessons.")
    else:
        entries = list(dict.fromkeys(course.lesson(name) for name in command.lesson))
    for path in write_notebooks(course, entries, command.out, overwrite=command.overwrite):
        print(path)
    print("Open them in Jupyter, VS Code or Colab; their first cell says what they need.")
    return 0
