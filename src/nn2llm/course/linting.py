"""What is wrong in lessons: read from their files, found by grading their answers and running their cells.

Read loader.py and results.py before. The parts: linting_text.py (links, files, sources), linting_code.py
(names, signatures, suspects), linting_graders.py (starters, accepted answers, mistakes), linting_cells.py
(times, predictions). Used by `nn2llm lesson lint`
and tests/lessons.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TypeVar

import nn2llm
from nn2llm.core.errors import LessonError, Nn2llmError
from nn2llm.course.checkpoints import find_checkpoint_problems, is_checkpoint
from nn2llm.course.exercises.problems import ExerciseReport, read_exercise_files
from nn2llm.course.exercises.records import Exercise
from nn2llm.course.lesson import Cell, Course, Lesson, LessonProblem, SyllabusLesson
from nn2llm.course.linting_cells import find_prediction_problems, judge_times
from nn2llm.course.linting_code import find_code_problems
from nn2llm.course.linting_graders import SEEDS, Grader, find_grader_problems
from nn2llm.course.linting_kept import is_proved, keep_proved
from nn2llm.course.linting_text import find_text_problems, find_text_remarks, find_unwritten_problems
from nn2llm.course.loader import find_problems, load_lesson
from nn2llm.course.own_words import find_words_problems
from nn2llm.course.quizzes import load_questions
from nn2llm.course.results import find_result_problems, get_results
from nn2llm.course.running import CellResult

__all__ = ["LessonCounts", "LintReport", "lint_lessons"]

_EQUATION_KINDS = ("definition", "derived", "quoted")


@dataclass(slots=True, kw_only=True)
class LessonCounts:
    """What one lesson holds: a row of the table."""

    number: str
    title: str
    equations: dict[str, int]
    """By kind; those without a number are not counted."""
    exercises: int
    accepted: int
    mistakes: int
    questions: int
    cells: int
    seconds: float | None = None
    """Of all cells together; None: they did not run."""


@dataclass(slots=True)
class LintReport:
    """What `lint_lessons` found."""

    problems: list[LessonProblem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """What could not be looked at, and wishes, in sentences."""
    rows: list[LessonCounts] = field(default_factory=list)
    num_lessons: int = 0
    num_cells: int = 0
    """Of those whose results were looked at, run now or kept."""
    num_graded: int = 0
    """Exercises whose graders were tried, now or before."""


@dataclass(slots=True)
class _Work:
    """A lesson under the linter."""

    lesson: Lesson
    files: ExerciseReport
    counts: LessonCounts


def lint_lessons(
    course: Course,
    slugs: Collection[str] | None = None,
    *,
    run_cells: bool = True,
    run_graders: bool = True,
    jobs: int = 1,
    seeds: Sequence[int] = SEEDS,
    home: Path | None = None,
    grader: Grader | None = None,
    on_cell: Callable[[Lesson, Cell], None] = lambda lesson, cell: None,
    on_exercise: Callable[[Lesson, Exercise], None] = lambda lesson, exercise: None,
) -> LintReport:
    """Look through these lessons and checkpoints (None: all that are written).

    Args:
        course: as it is on disk.
        slugs: of those to look at.
        run_cells: run the cells too (results are kept while nothing has changed).
        run_graders: grade each exercise's starter, solution, accepted answers and mistakes (a lesson that was
            found right is not graded again while nothing has changed).
        jobs: how many lessons' cells, and how many answers, at once.
        seeds: with which each answer is graded.
        home: where results are kept; NN2LLM_HOME by default.
        grader: where answers are judged, always; a grading process of its own by default.
        on_cell: hears of each cell before it runs, perhaps from several threads.
        on_exercise: hears of each exercise before it is graded.

    Raises:
        LessonError: if one of `slugs` is not written yet.
    """
    report = LintReport()
    entries = [entry for entry in course.entries if slugs is None or entry.slug in slugs]
    for entry in entries:
        if slugs is not None and not (entry.folder / "lesson.md").is_file():
            load_lesson(entry)  # says that it is not written
    report.problems += [
        problem
        for problem in find_problems(course)
        if slugs is None or any(problem.path.is_relative_to(entry.folder) for entry in entries)
    ]
    work = [
        found
        for entry in entries
        if course.is_ready(entry.slug) and (found := _read(course, entry, report)) is not None
    ]
    report.num_lessons = len(work)
    if run_graders and any(item.files.exercises for item in work):
        _grade(work, report, grader, jobs, seeds, home, on_exercise)
    if run_cells:
        _run(work, report, jobs, home, on_cell)
    report.problems.sort(key=lambda problem: (str(problem.path), problem.line))
    return report


def _read(course: Course, entry: SyllabusLesson, report: LintReport) -> _Work | None:
    """The lesson, with what reading it shows; None where it cannot be shown, which is a problem already."""
    try:
        lesson = load_lesson(entry)
    except LessonError:
        return None
    report.problems += find_text_problems(lesson, course) + find_unwritten_problems(lesson)
    report.remarks += find_text_remarks(lesson, course)
    files = read_exercise_files(entry.folder, lesson.places)
    report.remarks += files.remarks
    report.problems += find_code_problems(entry.folder, files.exercises)
    report.problems += find_checkpoint_problems(lesson, [exercise.kind for exercise in files.exercises])
    if not is_checkpoint(entry):
        report.problems += find_words_problems(lesson)
    kinds = Counter(str(equation.kind) for equation in lesson.equations if equation.number)
    counts = LessonCounts(
        number=entry.number,
        title=lesson.title,
        equations={kind: kinds[kind] for kind in _EQUATION_KINDS},
        exercises=len(files.exercises),
        accepted=len(files.accepted),
        mistakes=len(files.mistakes),
        questions=len(load_questions(entry.folder)),
        cells=len(lesson.cells),
    )
    report.rows.append(counts)
    return _Work(lesson, files, counts)


def _grade(
    work: list[_Work],
    report: LintReport,
    grader: Grader | None,
    jobs: int,
    seeds: Sequence[int],
    home: Path | None,
    on_exercise: Callable[[Lesson, Exercise], None],
) -> None:
    from nn2llm.course.grading.service import GradingService

    service: GradingService | None = None
    try:
        for item in work:
            report.num_graded += 0 if item.files.broken else len(item.files.exercises)
            if not item.files.exercises or (grader is None and is_proved(item.lesson, seeds, home)):
                continue
            if grader is None and service is None:
                service = GradingService()
            found = find_grader_problems(
                item.lesson.folder,
                item.files,
                grader or service,  # type: ignore[arg-type]
                jobs=jobs,
                seeds=seeds,
                on_exercise=partial(on_exercise, item.lesson),
            )
            report.problems += found
            if grader is None and not found and not item.files.broken:
                keep_proved(item.lesson, seeds, home)
    finally:
        if service is not None:
            service.close()


def _run(
    work: list[_Work],
    report: LintReport,
    jobs: int,
    home: Path | None,
    on_cell: Callable[[Lesson, Cell], None],
) -> None:
    numbers = _has_pinned_torch(report)

    def run(item: _Work) -> dict[str, CellResult] | LessonProblem:
        try:
            return get_results(item.lesson, home=home, on_cell=partial(on_cell, item.lesson))
        except Nn2llmError as error:
            return LessonProblem(path=item.lesson.path, line=0, message=str(error))

    for item, results in zip(work, _map(run, work, jobs), strict=True):
        if isinstance(results, LessonProblem):
            report.problems.append(results)
            continue
        report.num_cells += len(results)
        item.counts.seconds = sum(result.elapsed_s for result in results.values())
        report.problems += find_result_problems(item.lesson, results, numbers=numbers)
        problems, remarks = judge_times(item.lesson, results)
        report.problems += problems + find_prediction_problems(item.lesson, results)
        report.remarks += remarks


_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


def _map(function: Callable[[_Item], _Found], items: Sequence[_Item], jobs: int) -> list[_Found]:
    """As `map`, several at once; the first error ends it, and what has not begun does not begin."""
    if jobs <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        running: list[Future[_Found]] = [pool.submit(function, item) for item in items]
        try:
            return [future.result() for future in running]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _has_pinned_torch(report: LintReport) -> bool:
    """Printed digits are compared on the torch that constraints.txt pins alone: others round otherwise."""
    path = Path(nn2llm.__file__).parents[2] / "constraints.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        have = metadata.version("torch").partition("+")[0]
    except (OSError, metadata.PackageNotFoundError):
        return True
    pinned = next((line[7:].strip() for line in lines if line.startswith("torch==")), have)
    if pinned == have:
        return True
    report.remarks.append(
        f"Quoted numbers were not compared: they are those of torch {pinned}, and {have} is installed."
    )
    return False
