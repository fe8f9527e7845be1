"""`nn2llm lesson build | lint | new`: for authors and teachers. The static site, what is wrong, a new lesson.

Read course/site/build.py, course/results.py and course/skeleton.py, which do the work.
"""

import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from tyro.conf import Positional, arg, subcommand

from nn2llm.cli.lesson_table import print_table
from nn2llm.core.errors import ConfigError

if TYPE_CHECKING:
    from nn2llm.course.exercises.records import Exercise
    from nn2llm.course.graph import Graph
    from nn2llm.course.lesson import Cell, Course, Lesson, LessonProblem

__all__ = ["Build", "Lint", "New", "main"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """Build the course as a static site: outputs of all cells included, no server, works from a folder."""

    out: Path = Path("site")
    """Folder of the site. An earlier site there is replaced."""
    lesson: tuple[str, ...] = ()
    """Run the cells of these lessons only (numbers or slugs); others show kept outputs, or none."""
    cells: bool = True
    """Run cells whose results are not kept from before. --no-cells runs nothing."""
    lessons: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of lessons instead of those that come with nn2llm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lint:
    """Say what is wrong in lessons, by file and line. Exit code 1 if anything is."""

    lesson: Annotated[Positional[tuple[str, ...]], arg(metavar="LESSON ...")] = ()
    """Numbers or slugs. Default: every lesson that is written."""
    cells: bool = True
    """Run the cells: those that fail, checks, and numbers that the text quotes. --no-cells is quick."""
    graders: bool = True
    """Grade each exercise's starter, solution, accepted answers and mistakes. With --no-cells --no-graders,
    lessons are only read."""
    jobs: int = 1
    """How many lessons' cells run at once."""
    lessons: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of lessons instead of those that come with nn2llm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class New:
    """Write the skeleton of a lesson of the syllabus into its folder."""

    number: Annotated[Positional[str], arg(metavar="NUMBER")]
    """Of the lesson, as in 4.3; its slug does too."""
    lessons: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of lessons instead of those that come with nn2llm."""


_Command = (
    Annotated[Build, subcommand("build")]
    | Annotated[Lint, subcommand("lint")]
    | Annotated[New, subcommand("new")]
)


def main(argv: list[str]) -> int:
    """Run `nn2llm lesson …`; returns the exit code: 1 if something in a lesson is wrong.

    Raises:
        Nn2llmError: for a lesson that does not exist, or a folder that cannot be written.
    """
    from nn2llm.cli.course_packages import require_packages

    command = tyro.cli(_Command, prog="nn2llm lesson", args=argv)
    require_packages("yaml", "markdown_it", "pygments", "jinja2", "jupyter_client", "ipykernel")
    if isinstance(command, Build):
        return _build(command)
    return _lint(command) if isinstance(command, Lint) else _new(command)


def _build(command: Build) -> int:
    from nn2llm.course.graph import build_graph
    from nn2llm.course.loader import load_course
    from nn2llm.course.site import build_site

    course = load_course(command.lessons)
    only = {course.lesson(name).slug for name in command.lesson} or None
    say = _Progress()
    built = build_site(
        course,
        command.out,
        only=only,
        run_cells=command.cells,
        map_picture=_draw_map(course, build_graph(course)),
        on_cell=say.cell,
    )
    say.end()
    _print_problems(built.problems)
    ran = f"cells of {len(built.ran)} ran" if built.ran else "no cell had to run"
    print(
        f"{command.out / 'index.html'}: {_count(built.num_lessons, 'lesson')} ({ran}), "
        f"{built.num_files} files, {built.num_bytes / 1e6:.1f} MB."
    )
    return 1 if built.problems else 0


def _draw_map(course: "Course", graph: "Graph") -> str:
    """The map of the live course, for a reader who has read nothing yet."""
    from nn2llm.app.map_picture import draw_map
    from nn2llm.app.road import Road, RoadLesson, RoadTopic

    topics = tuple(
        RoadTopic(
            topic=topic,
            lessons=tuple(
                RoadLesson(
                    entry=entry,
                    state="ready" if course.is_ready(entry.slug) else "coming",
                    minutes=None,
                )
                for entry in topic.lessons
            ),
        )
        for topic in course.topics
    )
    return str(draw_map(course, graph, Road(topics=topics, going_on=None, section="", begun=False)))


def _lint(command: Lint) -> int:
    from nn2llm.course.linting import lint_lessons
    from nn2llm.course.loader import load_course

    if command.jobs < 1:
        raise ConfigError(
            f"--jobs is {command.jobs}. It must be at least 1; 2 fits a machine with two cores."
        )
    course = load_course(command.lessons)
    slugs = {course.lesson(name).slug for name in command.lesson} or None
    say = _Progress()
    try:
        report = lint_lessons(
            course,
            slugs,
            run_cells=command.cells,
            run_graders=command.graders,
            jobs=command.jobs,
            on_cell=say.cell,
            on_exercise=say.exercise,
        )
    finally:
        say.end()
    _print_problems(report.problems)
    for sentence in report.remarks:
        print(f"Remark: {sentence}".replace(f"{Path.cwd()}/", ""))
    print_table(report.rows)
    looked = f"{_count(report.num_lessons, 'lesson')}, {_count(report.num_cells, 'cell')} run"
    if command.graders:
        looked += f", {_count(report.num_graded, 'exercise')} graded"
    print(f"{looked}: {_count(len(report.problems), 'problem') if report.problems else 'nothing to mend'}.")
    return 1 if report.problems else 0


def _new(command: New) -> int:
    from nn2llm.course.loader import load_course
    from nn2llm.course.skeleton import write_skeleton

    course = load_course(command.lessons)
    path = write_skeleton(course, course.lesson(command.number))
    print(f"{path} is ready to be written; CONTRIBUTING.md says how.")
    print(f"Look at it with `nn2llm start`, check it with `nn2llm lesson lint {command.number}`.")
    return 0


class _Progress:
    """One line on a terminal that says what runs; in a file or pipe, one a lesson. For several threads."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._lock = threading.Lock()
        self._said: set[tuple[str, str]] = set()

    def cell(self, lesson: "Lesson", cell: "Cell") -> None:
        self._say(lesson, "Running", cell.id)

    def exercise(self, lesson: "Lesson", exercise: "Exercise") -> None:
        self._say(lesson, "Grading", exercise.name)

    def _say(self, lesson: "Lesson", verb: str, what: str) -> None:
        with self._lock:
            if self._console.is_terminal:
                width = self._console.width - 1
                line = f"{verb} {lesson.entry.number} {lesson.title}: {what}"
                print(f"\r{line[:width]:<{width}}", end="", file=sys.stderr, flush=True)
            elif (verb, lesson.slug) not in self._said:
                print(f"{verb} {lesson.entry.number} {lesson.title}", file=sys.stderr, flush=True)
            self._said.add((verb, lesson.slug))

    def end(self) -> None:
        if self._said and self._console.is_terminal:
            print("\r" + " " * (self._console.width - 1) + "\r", end="", file=sys.stderr, flush=True)


def _print_problems(problems: "list[LessonProblem]") -> None:
    for problem in problems:
        print(_shorten(problem))


def _shorten(problem: "LessonProblem") -> str:
    """With the path as seen from here, where it is below."""
    text = str(problem)
    return text.removeprefix(f"{Path.cwd()}/")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
