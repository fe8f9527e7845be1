"""What is wrong in a lesson's exercises, found by reading alone: names that lead nowhere, too few answers.

Read model.py before. Used by loader.find_problems and the linter, which then runs the graders
(course/linting_graders.py). Nothing here runs a lesson's code.
"""

import ast
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from nn2llm.core.errors import LessonError, Nn2llmError
from nn2llm.course.exercises.answers import read_answer_file
from nn2llm.course.exercises.reading import read_exercises
from nn2llm.course.exercises.records import Answer, Exercise
from nn2llm.course.exercises.source import Source, read_source
from nn2llm.course.exercises.texts import build_starter, find_definition, read_solution
from nn2llm.course.front_matter import ProblemList
from nn2llm.course.lesson import LessonProblem, Placeholder, suggest
from nn2llm.course.records_exercises import AGAIN

__all__ = ["ExerciseReport", "find_exercise_problems", "read_exercise_files"]

LEAST_ACCEPTED = 3
LEAST_MISTAKES = 3
CENTRAL_MISTAKES = 5
"""Wished for where the difficulty is 4 or 5."""


@dataclass(slots=True)
class ExerciseReport:
    """What a lesson's exercises hold, and what is wrong with them."""

    problems: list[LessonProblem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    """Wishes, in sentences."""
    exercises: tuple[Exercise, ...] = ()
    accepted: list[Answer] = field(default_factory=list)
    mistakes: list[Answer] = field(default_factory=list)
    broken: bool = False
    """A file could not be read, or names what is not there: the graders cannot be run."""


def find_exercise_problems(folder: Path, places: Iterable[Placeholder] | None = None) -> list[LessonProblem]:
    """What is wrong in the exercises of the lesson in `folder`; all of it leaves the lesson open.

    `places`: where lesson.md puts exercises; None where it could not be read.
    """
    return read_exercise_files(folder, places).problems


def read_exercise_files(folder: Path, places: Iterable[Placeholder] | None = None) -> ExerciseReport:
    """All of a lesson's exercise files, with what is wrong in them."""
    report = ExerciseReport()
    path = folder / "exercises.yaml"
    wanted = None if places is None else [place for place in places if place.kind == "exercise"]
    if not path.is_file():
        for place in wanted or ():
            message = (
                f"The exercise {place.name!r} stands here, but this lesson has no exercises.yaml. Write it."
            )
            report.problems.append(_problem(folder / "lesson.md", place.line, message))
        return report
    found = ProblemList(path)
    report.exercises = read_exercises(path, found)
    if not report.exercises and not found.found:
        found.add(0, "No exercise is written yet. Write one, or remove the file.")
    if report.exercises:
        _check_names(report.exercises, folder, wanted, found, report)
    lists = [found]
    if found.fatal is None and report.exercises:
        lists += _check_code(folder, report, found)
        lists += _check_answers(folder, report)
    report.problems += [replace(item, fatal=False) for problems in lists for item in problems.found]
    report.broken |= any(item.fatal for problems in lists for item in problems.found)
    report.problems.sort(key=lambda problem: (str(problem.path), problem.line))
    return report


def _problem(path: Path, line: int, message: str) -> LessonProblem:
    return LessonProblem(path=path, line=line, message=message)


def _check_names(
    exercises: tuple[Exercise, ...],
    folder: Path,
    places: list[Placeholder] | None,
    found: ProblemList,
    report: ExerciseReport,
) -> None:
    names = [exercise.name for exercise in exercises]
    for exercise in exercises:
        if exercise.name.endswith(AGAIN):
            found.add(
                exercise.line,
                f"{exercise.name!r} ends in {AGAIN!r}, as exercises do that come back. Rename it.",
            )
        _check_part(exercise, found)
    if places is None:
        return
    lines: dict[str, int] = {}
    for place in places:
        name = place.name or ""
        message = ""
        if name not in names:
            message = f"There is no exercise {name!r} in exercises.yaml.{suggest(name, names)} Mend the name."
        elif name in lines:
            message = f"The exercise {name!r} stands at line {lines[name]} already. Keep one of them."
        if message:
            report.problems.append(_problem(folder / "lesson.md", place.line, message))
        lines.setdefault(name, place.line)
    for exercise in exercises:
        if exercise.name and exercise.name not in lines:
            found.add(
                exercise.line,
                f"The exercise {exercise.name!r} stands nowhere in lesson.md. "
                f"Write '<!-- exercise: {exercise.name} -->' there.",
            )


def _check_part(exercise: Exercise, found: ProblemList) -> None:
    if exercise.part is None:
        return
    from nn2llm.models.parts import find_part

    try:
        part = find_part(exercise.part)
    except Nn2llmError as error:
        found.add(exercise.line, f"part is {exercise.part!r}: {error}")
        return
    missing = [name for name in part.functions if name not in exercise.functions]
    if missing:
        found.add(
            exercise.line,
            f"The part {exercise.part!r} needs {', '.join(missing)}, which {exercise.name!r} lacks. "
            "Name the function so, or remove part.",
        )


def _check_code(folder: Path, report: ExerciseReport, found: ProblemList) -> list[ProblemList]:
    """exercise.py, solution.py and checks.py: what exercises.yaml names must be there."""
    files = {name: ProblemList(folder / name) for name in ("exercise.py", "solution.py", "checks.py")}
    sources: dict[str, Source | None] = {}

    def read(name: str) -> Source | None:
        if name not in sources:
            try:
                sources[name] = read_source(folder / name)
            except LessonError as error:
                line, message = _split(error, folder / name)
                files[name].add(line, message, fatal=True)
                sources[name] = None
        return sources[name]

    listed = frozenset(name for exercise in report.exercises for name in exercise.functions)
    for exercise in report.exercises:
        checks = read("checks.py") if exercise.checks else None
        for name in exercise.checks if checks is not None else ():
            piece = checks.find(name) if checks is not None else None
            if piece is None or not piece.is_definition:
                known = _definitions(checks)
                message = f"{exercise.name!r} names the check {name!r}, which checks.py has not."
                found.add(exercise.line, f"{message}{suggest(name, known)} Define it there.", fatal=True)
            elif ast.get_docstring(piece.node) is None:  # type: ignore[arg-type]
                files["checks.py"].add(
                    piece.line, f"{name} has no docstring; its first line is what learners read. Write it."
                )
        if exercise.is_form:
            continue
        starter = read("exercise.py")
        for name in exercise.functions if starter is not None else ():
            try:
                find_definition(starter, name)  # type: ignore[arg-type]
            except LessonError:
                hint = suggest(name, _definitions(starter))
                message = f"{exercise.name!r} names the function {name!r}, which exercise.py has not.{hint}"
                found.add(exercise.line, f"{message} Define it there.", fatal=True)
        if exercise.reference is None and read("solution.py") is None:
            continue
        try:
            read_solution(folder, exercise, listed)
            if starter is not None:
                build_starter(folder, exercise, listed)
        except LessonError as error:
            if found.fatal is None:
                found.add(exercise.line, f"The solution of {exercise.name!r} is missing. {error}", fatal=True)
    named = {name for exercise in report.exercises for name in exercise.checks}
    for piece in (sources.get("checks.py") or Source(folder)).pieces:
        for name in piece.names:
            if piece.is_definition and name.startswith("check_") and name not in named:
                files["checks.py"].add(piece.line, f"No exercise names {name}. Name it there, or remove it.")
    return list(files.values())


def _definitions(source: Source | None) -> list[str]:
    return [
        name for piece in (source.pieces if source else []) if piece.is_definition for name in piece.names
    ]


def _split(error: LessonError, path: Path) -> tuple[int, str]:
    """The line and the message of a `path:line: message`."""
    text = str(error).removeprefix(str(path)).removeprefix(":")
    line, _, message = text.partition(": ")
    return (int(line), message) if line.isdecimal() else (0, text.strip(": "))


def _check_answers(folder: Path, report: ExerciseReport) -> list[ProblemList]:
    by_name = {exercise.name: exercise for exercise in report.exercises}
    lists = []
    for word, answers in (("accepted", report.accepted), ("mistake", report.mistakes)):
        problems = ProblemList(folder / ("accepted.py" if word == "accepted" else "mistakes.py"))
        lists.append(problems)
        try:
            answers += read_answer_file(folder, word, by_name, problems)  # type: ignore[arg-type]
        except LessonError as error:
            report.broken = True
            if str(error).startswith(str(problems.path)):  # else it is about exercise.py, and said there
                problems.add(*_split(error, problems.path), fatal=True)
            continue
        _check_doubles(answers, problems)
        if problems.fatal is None:
            _check_counts(report, answers, word, problems)
    return lists


def _check_doubles(answers: list[Answer], problems: ProblemList) -> None:
    seen: dict[tuple[str, str], int] = {}
    for answer in answers:
        key = (answer.exercise, _normalise(answer.text))
        if key in seen:
            problems.add(
                answer.line, f"This is the same answer as at line {seen[key]}. Write another, or remove it."
            )
        seen.setdefault(key, answer.line)


def _normalise(text: str) -> str:
    """Without layout, comments and docstrings: two answers that differ in nothing else are one."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and len(body) > 1 else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            del node.body[0]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _check_counts(report: ExerciseReport, answers: list[Answer], word: str, problems: ProblemList) -> None:
    """Three of each for code and for each expression; other fields have their options."""
    what = "accepted answer" if word == "accepted" else "mistake"
    least = LEAST_ACCEPTED if word == "accepted" else LEAST_MISTAKES
    for exercise in report.exercises:
        own = [answer for answer in answers if answer.exercise == exercise.name]
        if exercise.is_form:
            counts = {
                f"the field {item.name!r} of {exercise.name!r}": len(own)
                if word == "accepted"
                else Counter(answer.field for answer in own)[item.name]
                for item in exercise.fields
                if item.kind == "expression"
            }
        else:
            counts = {repr(exercise.name): len(own)}
        for label, count in counts.items():
            if count < least:
                problems.add(
                    0,
                    f"{count or 'No'} {what}{'' if count == 1 else 's'} for {label}. Write {least} at least.",
                )
            elif word == "mistake" and exercise.difficulty >= 4 and count < CENTRAL_MISTAKES:
                report.remarks.append(
                    f"{problems.path}: {count} mistakes for {label}; five are good where an exercise is hard."
                )
