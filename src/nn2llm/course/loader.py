"""Lessons from disk: the whole course by its front matter, one lesson by its text.

Read after syllabus.py, parsing.py and checks.py. Used by everything that shows or runs a lesson. One broken
lesson never stops another: it is a `LessonProblem` of the course, and only opening that lesson raises.
"""

from dataclasses import replace
from pathlib import Path

from nn2llm.core.errors import LessonError
from nn2llm.course.checkpoints import keep_known_needs, list_checkpoints
from nn2llm.course.checks import check_blocks
from nn2llm.course.exercises.problems import find_exercise_problems
from nn2llm.course.front_matter import ProblemList, parse_front_matter
from nn2llm.course.graph import drop_bad_needs
from nn2llm.course.lesson import Course, Lesson, LessonHeader, LessonProblem, SyllabusLesson, suggest
from nn2llm.course.parsing import parse_body
from nn2llm.course.quiz_places import check_lesson_quiz, find_see_problems
from nn2llm.course.syllabus import get_lessons_folder, load_syllabus

__all__ = ["find_problems", "load_course", "load_lesson"]


def load_course(lessons_folder: Path | None = None) -> Course:
    """The course as it stands in `lessons_folder` (default: the lessons that come with nn2llm).

    Reads the syllabus and each lesson's front matter, not the texts. A broken lesson is in `Course.problems`.

    Raises:
        LessonError: if the syllabus itself is missing or broken.
    """
    folder = lessons_folder or get_lessons_folder()
    heads, topics = load_syllabus(folder)
    lessons = {lesson.slug: lesson for topic in topics for lesson in topic.lessons}
    checkpoints = list_checkpoints(topics)
    entries = lessons | {entry.slug: entry for entry in checkpoints.values()}
    problems: list[LessonProblem] = []
    headers: dict[str, LessonHeader] = {}
    folders: dict[str, Path] = {}
    broken: dict[str, LessonProblem] = {}
    by_folder = {entry.folder: entry.slug for entry in entries.values()}
    paths = sorted(folder.glob("*/*/lesson.md"))
    # where two lessons claim one slug, the one in the folder of that name wins
    paths.sort(key=lambda path: path.parent not in by_folder)
    for path in paths:
        found = ProblemList(path)
        header = _read_header(path, found)
        if header is not None:
            _place_header(header, path, entries, headers, folders, found)
        problems += found.found
        slug = by_folder.get(path.parent)
        if slug is not None and slug not in headers and found.fatal is not None:
            broken[slug] = found.fatal
    needs = drop_bad_needs(lessons, headers, folders, problems)
    checkpoints = {
        topic: replace(
            entry,
            needs=keep_known_needs(entry, headers.get(entry.slug), lessons, problems),
            folder=folders.get(entry.slug, entry.folder),
        )
        for topic, entry in checkpoints.items()
    }
    topics = tuple(
        replace(
            topic,
            lessons=tuple(
                replace(entry, needs=needs[entry.slug], folder=folders.get(entry.slug, entry.folder))
                for entry in topic.lessons
            ),
        )
        for topic in topics
    )
    return Course(
        folder=folder,
        topics=topics,
        headers=headers,
        problems=problems,
        broken=broken,
        checkpoints=checkpoints,
        **heads,
    )


def _read_lines(path: Path, problems: ProblemList, *, header_only: bool = False) -> list[str]:
    """The file's lines; with `header_only` those up to the end of the front matter."""
    lines: list[str] = []
    number = 0
    try:
        with open(path, encoding="utf-8-sig", newline=None) as file:
            for number, line in enumerate(file, start=1):
                lines.append(line.rstrip("\n"))
                if header_only and number > 1 and line.rstrip() == "---":
                    break
    except UnicodeDecodeError as error:
        raw = path.read_bytes()
        bad_line = raw.count(b"\n", 0, _first_bad_byte(raw)) + 1
        problems.add(
            bad_line, f"This line is not UTF-8 ({error.reason}). Save the file as UTF-8.", fatal=True
        )
        return []
    except OSError as error:
        problems.add(0, f"The lesson could not be read ({error.strerror or error}).", fatal=True)
        return []
    return lines


def _first_bad_byte(raw: bytes) -> int:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0


def _read_header(path: Path, problems: ProblemList) -> LessonHeader | None:
    lines = _read_lines(path, problems, header_only=True)
    return parse_front_matter(lines, problems) if problems.fatal is None else None


def _place_header(
    header: LessonHeader,
    path: Path,
    entries: dict[str, SyllabusLesson],
    headers: dict[str, LessonHeader],
    folders: dict[str, Path],
    problems: ProblemList,
) -> None:
    """Take the header into `headers`, or say why it has no place in the course."""
    line = header.lines.get("slug", 1)
    entry = entries.get(header.slug)
    if entry is None:
        problems.add(
            line,
            f"The slug {header.slug!r} is not in syllabus.yaml.{suggest(header.slug, entries)} "
            "Take the slug from there, or add the lesson to it.",
            fatal=True,
        )
        return
    if header.number != entry.number:
        problems.add(
            header.lines.get("number", 1),
            f"The number is {header.number!r}, but {header.slug!r} is lesson {entry.number} in the syllabus. "
            f'Write number: "{entry.number}".',
            fatal=True,
        )
        return
    if header.slug in headers:
        other = folders[header.slug] / "lesson.md"
        problems.add(
            line,
            f"The slug {header.slug!r} is taken by {other}. Give this one its own, or remove it.",
            fatal=True,
        )
        return
    if path.parent != entry.folder:
        problems.add(
            line,
            f"Lesson {entry.number} stands in {path.parent.parent.name}/{path.parent.name}. "
            f"Move it to {entry.folder.parent.name}/{entry.folder.name}.",
        )
    headers[header.slug] = header
    folders[header.slug] = path.parent


def _parse(entry: SyllabusLesson) -> tuple[Lesson | None, ProblemList]:
    """The lesson, or None where a problem is fatal; all that is wrong in its file."""
    path = entry.folder / "lesson.md"
    problems = ProblemList(path)
    lines = _read_lines(path, problems)
    header = parse_front_matter(lines, problems) if problems.fatal is None else None
    if header is None:
        return None, problems
    if header.slug != entry.slug:
        problems.add(
            header.lines.get("slug", 1),
            f"The slug is {header.slug!r}, the folder is of {entry.slug!r}. Mend the slug or move it.",
            fatal=True,
        )
    blocks = parse_body(lines, header.body_line, problems)
    check_blocks(header, entry.folder, blocks, problems)
    check_lesson_quiz(entry.folder, blocks, problems)
    if problems.fatal is not None:
        return None, problems
    lesson = Lesson(
        entry=entry,
        folder=entry.folder,
        title=header.title,
        minutes=header.minutes,
        difficulty=header.difficulty,
        needs=header.needs,
        teaches=header.teaches,
        terms=header.terms,
        sources=header.sources,
        blocks=blocks,
        problems=problems.harmless,
    )
    return lesson, problems


def load_lesson(entry: SyllabusLesson) -> Lesson:
    """The lesson with its text parsed. What is wrong but harmless is in `Lesson.problems`.

    Raises:
        LessonError: if it is not written yet, or cannot be shown; says file, line and remedy.
    """
    if not (entry.folder / "lesson.md").is_file():
        raise LessonError(
            f"Lesson {entry.number} ({entry.title}) is not written yet: {entry.folder / 'lesson.md'} "
            "does not exist. Choose another lesson."
        )
    lesson, problems = _parse(entry)
    if lesson is None:
        raise LessonError(str(problems.fatal))
    return lesson


def find_problems(course: Course) -> list[LessonProblem]:
    """Everything wrong in the course: what loading it saw, and what is wrong inside each lesson's text."""
    found = list(course.problems)
    for entry in course.entries:
        if course.is_ready(entry.slug):
            lesson, problems = _parse(entry)
            found += sorted(problems.found, key=lambda problem: (problem.path.name, problem.line))
            found += find_exercise_problems(entry.folder, None if lesson is None else lesson.places)
    found += find_see_problems(course, load_lesson)
    return found
