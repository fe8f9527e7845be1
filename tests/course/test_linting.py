"""The linter names what was planted in a lesson: files, links, sources, times, predictions; and it counts."""

from pathlib import Path

import pytest

from nn2llm.cli.lesson_table import format_table
from nn2llm.course.kernels.protocol import Output
from nn2llm.course.lesson import Course, LessonProblem
from nn2llm.course.linting import LessonCounts, lint_lessons
from nn2llm.course.linting_cells import find_prediction_problems, judge_times
from nn2llm.course.linting_text import find_text_problems, find_text_remarks, find_unwritten_problems
from nn2llm.course.loader import load_course, load_lesson
from nn2llm.course.running import CellResult
from nn2llm.course.skeleton import write_skeleton
from nn2llm.course.skeleton_files import FILES

from .conftest import WriteLesson
from .exercises.conftest import FakeGrader, write_course

SOURCES = (
    """["Vaswani et al. 2017, https://arxiv.org/abs/1706.03762", "The Python manual, shipped with it"]"""
)


@pytest.fixture(autouse=True)
def _without_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lessons of one line need no three sentences at their end."""
    monkeypatch.setattr("nn2llm.course.linting.find_words_problems", lambda lesson: [])


def find(lessons: Path, slug: str = "tensors") -> list[LessonProblem]:
    course = load_course(lessons)
    return find_text_problems(load_lesson(course.lesson(slug)), course)


def only(lessons: Path, slug: str = "tensors") -> str:
    (problem,) = find(lessons, slug)
    return str(problem).removeprefix(f"{lessons}/")


def test_a_good_lesson_has_no_problem(lessons: Path, write_lesson: WriteLesson) -> None:
    write_lesson("roadmap", "## The way\n\n### A smaller head\n")
    body = (
        "## A\n\nA **tensor** is a table of numbers.\n"
        "See [lesson 0.1](../../00_introduction/01_roadmap/lesson.md), "
        "[its way](../../00_introduction/01_roadmap/lesson.md#a-smaller-head), [below](#b), "
        "[lesson 1.2](../02_gradient_descent/) which is coming, [the web](https://example.org/#x).\n\n"
        "`[code](nowhere.md)` ![A dot](dot.png)\n\n## B\n\n```python\nimport figures\n```\n"
    )
    path = write_lesson("tensors", body, terms="[tensor]", sources=SOURCES)
    (path.parent / "dot.png").write_bytes(b"")
    (path.parent / "figures.py").write_text("load('data.json')\n", encoding="utf-8")
    (path.parent / "data.json").write_text("{}", encoding="utf-8")
    (path.parent / "__pycache__").mkdir()
    (path.parent / "__pycache__" / "figures.pyc").write_bytes(b"")
    assert find(lessons) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[x](#c)", "8: The link #c leads nowhere on this page."),
        ("[x](../03_nothing/lesson.md)", "8: The link '../03_nothing/lesson.md' leads to no lesson."),
        ("[x](../02_gradient_decent/lesson.md)", "Did you mean '../02_gradient_descent/lesson.md'?"),
        ("[lesson 1.3](../02_gradient_descent/lesson.md)", "The link says 1.3, and leads to 1.2 (Descent)."),
        (
            "[x](../../00_introduction/01_roadmap/lesson.md#the-wy)",
            "0.1 has no place #the-wy. Did you mean 'the-way'?",
        ),
    ],
)
def test_links_that_lead_nowhere_are_named(
    lessons: Path, write_lesson: WriteLesson, text: str, says: str
) -> None:
    write_lesson("roadmap", "## The way\n")
    write_lesson("tensors", f"{text}\n")
    assert says in only(lessons)


def test_a_link_in_a_fold_is_looked_at(lessons: Path, write_lesson: WriteLesson) -> None:
    body = "## A\n\n<details><summary>Deeper: [x](#no)</summary>\n\nText\nand a [y](#nor).\n\n</details>\n"
    write_lesson("tensors", body)
    assert [problem.line for problem in find(lessons)] == [10, 13]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("https://arxiv.org/abs/1706.03762", "has no title"),
        ("Attention: https://arxiv", "has a broken address"),
        ("A blog", "has no address"),
    ],
)
def test_sources_have_a_title_and_an_address(
    lessons: Path, write_lesson: WriteLesson, source: str, says: str
) -> None:
    write_lesson("tensors", sources=f"['{source}']")
    said = only(lessons)
    assert says in said
    assert said.startswith("01_foundations/01_tensors/lesson.md:7: ")


def test_files_that_nothing_names_are_strange(lessons: Path, write_lesson: WriteLesson) -> None:
    folder = write_lesson("tensors", "## A\n").parent
    (folder / "mistake.py").write_text("", encoding="utf-8")
    (folder / "deep").mkdir()
    (folder / "deep" / "notes.txt").write_text("", encoding="utf-8")
    said = [problem.message for problem in find(lessons)]
    assert said[0].startswith("No file of the lesson names 'notes.txt'.")
    assert "'mistake.py'. Did you mean 'mistakes.py'?" in said[1]


def test_a_term_that_is_not_defined_where_it_is_bold_is_named(
    lessons: Path, write_lesson: WriteLesson
) -> None:
    write_lesson("tensors", "## A\n\nSee **tensor**.\n", terms="[tensor]")
    assert "lesson.md:11: The glossary would say of 'tensor': 'See tensor.'" in only(lessons)


def test_words_used_before_they_are_taught_are_remarked(lessons: Path, write_lesson: WriteLesson) -> None:
    write_lesson("last-one", "A **gradient** is a slope everywhere.\n", terms="[gradient]")
    write_lesson("tensors", "The gradients fall. `gradient` is code.\n")
    write_lesson("gradient-descent", "No such word. [The gradient](../10_last_one/lesson.md) is linked.\n")
    course = load_course(lessons)
    remarks = [
        text
        for slug in ("tensors", "gradient-descent")
        for text in find_text_remarks(load_lesson(course.lesson(slug)), course)
        if "terms" in text
    ]
    (remark,) = remarks
    assert remark.startswith("1.1 uses terms that lessons define which it does not need: 'gradient' (1.10).")


def result(cell: str, elapsed_s: float, text: str = "") -> CellResult:
    outputs: tuple[Output, ...] = ({"kind": "stream", "name": "stdout", "text": text},) if text else ()
    return CellResult(cell=cell, status="done", elapsed_s=elapsed_s, outputs=outputs)


def test_only_times_far_over_are_problems(lessons: Path, write_lesson: WriteLesson) -> None:
    body = (
        '```python id="a"\n1\n```\n\n```python id="b"\n1\n```\n\n```python slow id="c" seconds=40\n1\n```\n'
    )
    write_lesson("tensors", body)
    lesson = load_lesson(load_course(lessons).lesson("tensors"))

    def judge(a: float, b: float, c: float) -> tuple[list[str], list[str]]:
        results = {name: result(name, seconds) for name, seconds in (("a", a), ("b", b), ("c", c))}
        problems, remarks = judge_times(lesson, results)
        return [problem.message for problem in problems], remarks

    assert judge(19, 19, 60) == ([], [])
    assert judge(30, 1, 100) == (
        [],
        ["1.1: Cell 'a' took 30 s and may take 20 s.", "1.1: Cell 'c' took 100 s and says seconds=40."],
    )
    problems, remarks = judge(61, 0, 181)
    assert problems == [
        "Cell 'a' took 61 s and may take 20 s. Shorten it, or mark it slow.",
        "Cell 'c' took 181 s and says seconds=40. Mend the number.",
    ]
    assert remarks == ["1.1: The cells took 61 s together; a lesson's may take 60 s."]
    assert "The cells took 200 s together" in judge(100, 100, 0)[0][-1]


QUIZ = """\
- id: predict-it
  concept: shapes
  kind: predict
  place: inline
  cell: a
  text: What is printed?
  answer: ANSWER
  why: Because.
"""


@pytest.mark.parametrize(
    ("answer", "printed", "good"),
    [
        ("117", "it is 117.\n", True),
        ("1170", "it is 1,170 tokens\n", True),
        ("117", "it is 118\n", False),
        ('"(38, 38)"', "difference (38, 38)\n", True),
        ('"(38, 38)"', "torch.Size([38, 38])\n", True),
        ('"(38, 38)"', "difference (38, 1)\n", False),
        ('"it falls"', "It  falls\n", True),
        ('"it falls"', "it rises\n", False),
    ],
)
def test_the_answer_to_a_prediction_stands_in_the_printout(
    lessons: Path, write_lesson: WriteLesson, answer: str, printed: str, good: bool
) -> None:
    path = write_lesson("tensors", '```python id="a"\n1\n```\n\n<!-- quiz: predict-it -->\n')
    (path.parent / "quiz.yaml").write_text(QUIZ.replace("ANSWER", answer), encoding="utf-8")
    lesson = load_lesson(load_course(lessons).lesson("tensors"))
    found = find_prediction_problems(lesson, {"a": result("a", 0.1, printed)})
    assert [problem.line for problem in found] == ([] if good else [1])
    if found:
        assert "which cell 'a' does not print" in found[0].message


def test_the_report_counts_what_lessons_hold(tmp_path: Path) -> None:
    course = write_course(tmp_path / "lessons")
    grader = FakeGrader()
    heard: list[str] = []
    report = lint_lessons(
        course,
        run_cells=False,
        seeds=(1,),
        grader=grader,
        on_exercise=lambda lesson, exercise: heard.append(exercise.name),
    )
    (row,) = report.rows
    assert (row.number, row.exercises, row.accepted, row.mistakes, row.seconds) == ("1.1", 4, 9, 10, None)
    assert (report.num_lessons, report.num_graded, len(heard)) == (1, 4, 4)
    assert len(grader.jobs) == 4 + 4 + 9 + 10
    # it passes everything without `...`, so that every mistake is a fault here, and the code to repair too
    assert len(report.problems) == 11
    read_only = lint_lessons(course, run_cells=False, run_graders=False)
    assert (read_only.problems, read_only.num_graded) == ([], 0)


def test_graders_found_right_are_not_tried_again_until_something_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = write_course(tmp_path / "lessons")
    services: list[FakeGrader] = []
    wrong: list[LessonProblem] = []

    def start() -> FakeGrader:
        services.append(FakeGrader())
        return services[-1]

    monkeypatch.setattr("nn2llm.course.grading.service.GradingService", start)
    monkeypatch.setattr("nn2llm.course.linting.find_grader_problems", lambda *_, **options: list(wrong))

    def lint(**options: object) -> int:
        report = lint_lessons(course, run_cells=False, home=tmp_path / "home", **options)  # type: ignore[arg-type]
        assert report.num_graded == 4
        return len(services)

    folder = course.lesson("tensors").folder
    wrong.append(LessonProblem(path=folder, line=1, message="No."))
    assert [lint(), lint()] == [1, 2]  # what is wrong is tried each time
    wrong.clear()
    assert [lint(), lint(), lint(seeds=(1,))] == [3, 3, 4]
    assert lint() == 5
    (folder / "quiz.yaml").write_text("", encoding="utf-8")
    assert lint() == 5
    (folder / "checks.py").write_text((folder / "checks.py").read_text() + "# \n", encoding="utf-8")
    assert [lint(), lint()] == [6, 6]
    assert all(service.closed for service in services)


def test_what_the_skeleton_says_is_named(lessons: Path, write_lesson: WriteLesson) -> None:
    write_lesson("tensors", "## A\n\n<!-- Nothing yet. -->\n\n## B\n\nThree sentences of ours.\n")
    found = find_unwritten_problems(load_lesson(load_course(lessons).lesson("tensors")))
    assert [(problem.line, problem.message.split(".")[0]) for problem in found] == [
        (8, "Nothing stands under 'A'"),
        (14, "'Three sentences of ours"),
    ]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_table_fits_the_terminal(width: int) -> None:
    equations = {"definition": 1, "derived": 12, "quoted": 0}
    row = LessonCounts(
        number="4.4", title="Implementing scaled dot-product attention in PyTorch", equations=equations,
        exercises=6, accepted=12, mistakes=16, questions=5, cells=6, seconds=1.34,
    )  # fmt: skip
    lines = format_table([row, row], width)
    assert max(map(len, lines)) <= max(width, 74)
    assert lines[3].split()[-9:] == ["1", "12", "-", "6", "12", "16", "5", "6", "1.3"]
    assert lines[5].split() == ["2", "lessons", "2", "24", "0", "12", "24", "32", "10", "12", "2.7"]
    assert format_table([], width) == []


def test_a_broken_file_is_named_once_and_its_graders_are_left_out(tmp_path: Path) -> None:
    course = write_course(tmp_path / "lessons")
    (course.lesson("tensors").folder / "checks.py").write_text("def (", encoding="utf-8")
    report = lint_lessons(course, run_cells=False, grader=FakeGrader())
    (problem,) = report.problems
    assert "checks.py:1: this is not Python" in str(problem)
    assert report.num_graded == 0


@pytest.mark.parametrize("slug", ["tensors", "checkpoint-1"])
def test_what_is_only_begun_is_said_to_be_unwritten(lessons: Path, slug: str) -> None:
    course: Course = load_course(lessons)
    path = write_skeleton(course, course.lesson(slug))
    assert set(FILES) < {item.name for item in path.parent.iterdir()}
    course = load_course(lessons)
    report = lint_lessons(course, {slug}, run_cells=False, grader=FakeGrader())
    said = [str(problem).removeprefix(f"{path.parent}/") for problem in report.problems]
    assert any(text.startswith("exercises.yaml: No exercise is written yet.") for text in said), said
    assert load_lesson(course.lesson(slug)).slug == slug
