"""Results of cells: kept while they hold, and what is wrong in them, by line."""

from pathlib import Path
from typing import Any

import pytest

from nn2llm.course import results as results_module
from nn2llm.course.kernels.protocol import VERIFY_MIME, display_output, error_output, stream_output
from nn2llm.course.lesson import Lesson
from nn2llm.course.linting import lint_lessons
from nn2llm.course.loader import load_course, load_lesson
from nn2llm.course.results import compute_fingerprint, find_result_problems, get_results, load_results
from nn2llm.course.running import CellResult

BODY = """\
## The code

```python id="fit"
print(1.43)
```

It <!-- from: fit -->1.43, <!-- from: fit -->17%, <!-- from: fit -->$-8.1$, <!-- from: fit -->1,234.

```python id="wrong" raises="ValueError"
float("x")
```

<!-- eq 1.1.1 derived -->
$$ a = b \\tag{1.1.1} $$

```python verify id="check" eq="1.1.1"
verify(1, 1)
```
"""


def result(cell: str, *outputs: Any, status: Any = "done") -> CellResult:
    return CellResult(cell=cell, status=status, elapsed_s=0.1, outputs=outputs)


def verdict(eq: str) -> Any:
    return display_output({VERIFY_MIME: {"eq": eq, "ok": True}})


GOOD = {
    "fit": result("fit", stream_output("stdout", "w 1.43\nrate +17% and -8.1, 1234 tokens\n")),
    "wrong": result("wrong", error_output("ValueError", "could not"), status="error"),
    "check": result("check", verdict("1.1.1")),
}


@pytest.fixture
def lesson(write_lesson, lessons: Path) -> Lesson:
    write_lesson("tensors", BODY)
    return load_lesson(load_course(lessons).lesson("tensors"))


def messages(lesson: Lesson, changed: dict[str, CellResult | None]) -> list[str]:
    found = {key: value for key, value in {**GOOD, **changed}.items() if value is not None}
    return [f"{problem.line}: {problem.message}" for problem in find_result_problems(lesson, found)]


def test_good_results_have_no_problem(lesson: Lesson) -> None:
    assert messages(lesson, {}) == []


def test_a_number_that_is_not_printed_is_named_with_the_nearest(lesson: Lesson) -> None:
    line = lesson.path.read_text(encoding="utf-8").splitlines().index(
        next(row for row in BODY.splitlines() if row.startswith("It <!"))
    ) + 1  # fmt: skip
    printed = result("fit", stream_output("stdout", "1.434 17 8.1 1,234\n"))
    wanted = "{}: {} is quoted from cell 'fit'; the nearest that it prints is {}. Mend the text or the cell."
    assert messages(lesson, {"fit": printed}) == [
        wanted.format(line, *numbers) for numbers in (("1.43", "1.434"), ("17%", "17"), ("-8.1", "8.1"))
    ]


def test_a_failed_cell_is_named_at_its_line(lesson: Lesson) -> None:
    frame = {"where": "", "mine": True, "cell": "fit", "line": 1, "function": "", "code": []}
    failed = result("fit", error_output("NameError", "no x", frames=[frame]), status="error")
    line = lesson.cells[0].line
    assert messages(lesson, {"fit": failed}) == [
        f"{line}: Cell 'fit' failed with NameError: no x. Mend it, or mark it raises=\"NameError\"."
    ]


def test_a_cell_that_is_to_raise_must_raise_that(lesson: Lesson) -> None:
    (said,) = messages(lesson, {"wrong": result("wrong")})
    assert "is to raise ValueError, but ended well" in said
    other = result("wrong", error_output("KeyError", ""), status="error")
    (said,) = messages(lesson, {"wrong": other})
    assert "ended with KeyError" in said


def test_a_check_needs_a_verdict_of_its_equation(lesson: Lesson) -> None:
    assert "shows no verdict" in messages(lesson, {"check": result("check")})[0]
    assert "of (1.1.2)" in messages(lesson, {"check": result("check", verdict("1.1.2"))})[0]


def test_a_cell_that_never_ran_is_named(lesson: Lesson) -> None:
    assert "did not run" in messages(lesson, {"check": None})[0]


def test_the_fingerprint_follows_cells_and_files_but_not_the_prose(write_lesson, lessons: Path) -> None:
    def fingerprint() -> str:
        return compute_fingerprint(load_lesson(load_course(lessons).lesson("tensors")))

    path = write_lesson("tensors", BODY)
    first = fingerprint()
    write_lesson("tensors", BODY + "\nMore words.\n")
    assert fingerprint() == first
    (path.parent / "figures.py").write_text("offset = 1\n", encoding="utf-8")
    second = fingerprint()
    assert second != first
    write_lesson("tensors", BODY.replace("print(1.43)", "print(1.44)"))
    assert fingerprint() not in (first, second)


def test_results_are_kept_until_the_lesson_changes(lesson: Lesson, tmp_path: Path, monkeypatch) -> None:
    runs = []

    def run(lesson: Lesson, **_: Any) -> dict[str, CellResult]:
        runs.append(lesson.slug)
        return GOOD

    monkeypatch.setattr(results_module, "run_cells", run)
    assert load_results(lesson, home=tmp_path) is None
    assert get_results(lesson, home=tmp_path) == GOOD
    assert get_results(lesson, home=tmp_path) == GOOD
    assert runs == ["tensors"]
    (lesson.folder / "figures.py").write_text("", encoding="utf-8")
    get_results(lesson, home=tmp_path)
    assert runs == ["tensors", "tensors"]
    assert len(list((tmp_path / "results").iterdir())) == 1


def test_failed_results_and_damaged_files_are_not_kept(lesson: Lesson, tmp_path: Path, monkeypatch) -> None:
    failed = {**GOOD, "fit": result("fit", error_output("NameError", ""), status="error")}
    monkeypatch.setattr(results_module, "run_cells", lambda lesson, **_: failed)
    get_results(lesson, home=tmp_path)
    assert load_results(lesson, home=tmp_path) is None
    results_module.save_results(lesson, GOOD, home=tmp_path)
    (path,) = (tmp_path / "results").iterdir()
    path.write_text('{"cells": {"fit": {}}}', encoding="utf-8")
    assert load_results(lesson, home=tmp_path) is None


def test_lint_gathers_what_the_text_and_the_cells_have(
    lesson: Lesson, write_lesson, lessons: Path, tmp_path: Path, monkeypatch
) -> None:
    write_lesson("roadmap", "## A\n\nSee (0.1.9).\n")
    failed = {**GOOD, "check": result("check")}
    by_lesson = {"tensors": failed, "roadmap": {}}
    monkeypatch.setattr(results_module, "run_cells", lambda lesson, **_: by_lesson[lesson.slug])
    monkeypatch.setattr("nn2llm.course.linting._has_pinned_torch", lambda report: True)
    monkeypatch.setattr("nn2llm.course.linting.find_words_problems", lambda lesson: [])
    course = load_course(lessons)
    report = lint_lessons(course, home=tmp_path)
    assert [problem.path.parent.name for problem in report.problems] == ["01_roadmap", "01_tensors"]
    assert "(0.1.9)" in report.problems[0].message
    assert (report.num_lessons, report.num_cells) == (2, 3)
    only = lint_lessons(course, {"roadmap"}, home=tmp_path)
    assert [problem.path.parent.name for problem in only.problems] == ["01_roadmap"]
    without = lint_lessons(course, {"tensors"}, run_cells=False, home=tmp_path)
    assert (without.problems, without.num_cells) == ([], 0)


def test_numbers_are_compared_on_the_pinned_torch_alone(
    lesson: Lesson, lessons: Path, tmp_path: Path, monkeypatch
) -> None:
    printed = {**GOOD, "fit": result("fit", stream_output("stdout", "nothing\n"))}
    monkeypatch.setattr(results_module, "run_cells", lambda lesson, **_: printed)
    monkeypatch.setattr("nn2llm.course.linting.metadata.version", lambda name: "0.1")
    monkeypatch.setattr("nn2llm.course.linting.find_words_problems", lambda lesson: [])
    report = lint_lessons(load_course(lessons), home=tmp_path)
    assert report.problems == []
    assert any("0.1 is installed" in remark for remark in report.remarks)
