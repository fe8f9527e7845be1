"""`check(…)` in a notebook: the graded text stands alone, the learner's file is kept or left alone."""

import linecache
from pathlib import Path
from typing import Any

import pytest

from nn2llm.core.errors import LessonError
from nn2llm.course import notebook_check
from nn2llm.course.cells import check
from nn2llm.course.exercises.files import LearnerFiles
from nn2llm.course.lesson import Course
from nn2llm.course.notebook_check import check_in_notebook, collect_text
from nn2llm.course.notebook_exercises import build_exercise_cells, format_questions
from nn2llm.course.quizzes import Option, Question
from nn2llm.course.verdict_page import format_verdict, render_verdict

from .exercises.conftest import FakeGrader, write_course


class Notebook:
    """Cells that run one after the other, as in Jupyter: linecache knows their text."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.count = 0

    def run(self, code: str) -> None:
        self.count += 1
        file = f"<cell {self.count} of {id(self)}>"
        linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
        exec(compile(code.replace("%time", "#"), file, "exec"), self.names)


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return write_course(tmp_path / "lessons")


@pytest.fixture
def grader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeGrader:
    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path / "home"))
    fake = FakeGrader()
    monkeypatch.setattr(notebook_check, "_get_service", lambda: fake)
    return fake


def double(notebook: Notebook, course: Course) -> notebook_check.Checked:
    return check_in_notebook("tensors/double-it", (notebook.names["double"],), {}, course=course)


def test_the_text_has_what_the_function_needs_and_nothing_else() -> None:
    notebook = Notebook()
    notebook.run("import math\nimport statistics as st\nfrom json import dumps as write\n")
    notebook.run("RATE = 0.5\n\ndef half(x):\n    return x * RATE + st.mean([0])\n")
    notebook.run("word = 'seen'\nLIMIT = 3\n")
    notebook.run(
        "%time\nimport numpy as np\n\nUNUSED = 1\n\n\ndef double(x):\n    write([LIMIT, word])\n"
        "    return half(np.float64(x)) * 4 + math.floor(0)\n\n\nprint(double(1.0))\n"
    )
    text = collect_text([notebook.names["double"]])
    assert "print(" not in text
    assert "UNUSED" not in text
    alone: dict[str, Any] = {}
    exec(text, alone)
    assert alone["double"](3.0) == 6.0


def test_what_a_cell_defines_is_graded_and_becomes_the_file(
    course: Course, grader: FakeGrader, tmp_path: Path
) -> None:
    notebook = Notebook()
    notebook.run("def double(x):\n    ...\n")
    shown = double(notebook, course)
    assert not shown
    assert repr(shown).startswith("Not finished: Double a number\nIt is unfinished.")
    notebook.run("def double(x):\n    return x + x\n")
    shown = double(notebook, course)
    assert shown
    assert "<strong>Passed</strong>" in shown._repr_html_()
    state = LearnerFiles(tmp_path / "home").read("tensors", "double-it")
    assert state.text == grader.jobs[-1].text == "def double(x):\n    return x + x\n"
    assert shown.notes == ()


def test_a_file_changed_elsewhere_is_left_alone_and_that_is_said(
    course: Course, grader: FakeGrader, tmp_path: Path
) -> None:
    files = LearnerFiles(tmp_path / "home")
    files.write("tensors", "double-it", "# by hand\n", base="")
    notebook = Notebook()
    notebook.run("def double(x):\n    return 2 * x\n")
    shown = double(notebook, course)
    assert shown
    assert "left as it is" in repr(shown)
    assert "left as it is" in shown._repr_html_()
    assert files.read("tensors", "double-it").text == "# by hand\n"
    assert "return 2 * x" in grader.jobs[-1].text


def test_forms_are_filled_in_by_name(course: Course, grader: FakeGrader, tmp_path: Path) -> None:
    def fill_in(**fields: Any) -> notebook_check.Checked:
        return check_in_notebook("tensors/which-one", (), fields, course=course)

    assert not fill_in(fit="b")  # two fields are still open
    assert fill_in(fit="b", misses=117, reason="it is nearer")
    assert 'fit = "b"' in LearnerFiles(tmp_path / "home").read("tensors", "which-one").text
    for fields, says in (
        ({"fitt": "b"}, r"has no field 'fitt'. Did you mean 'fit'\?"),
        ({"fit": {}}, "fit is {}. Give text, a number"),
    ):
        with pytest.raises(LessonError, match=says):
            fill_in(**fields)
    with pytest.raises(LessonError, match="is filled in by name, like fit="):
        check_in_notebook("tensors/which-one", ("b",), {}, course=course)


def test_what_is_missing_is_said(course: Course, grader: FakeGrader) -> None:
    notebook = Notebook()
    notebook.run("def twice(x):\n    return 2 * x\n")
    twice = notebook.names["twice"]
    for functions, fields, says in (
        ((twice,), {}, "asks for double; define double first"),
        ((), {}, "takes what you wrote: give double"),
        ((3,), {}, "takes what you wrote: give double"),
        ((twice,), {"x": 1}, "takes functions, not x="),
    ):
        with pytest.raises(LessonError, match=says):
            check_in_notebook("tensors/double-it", functions, fields, course=course)
    with pytest.raises(LessonError, match=r'Write "lesson/exercise"'):
        check("double-it", twice)
    exec("def double(x):\n    return 2", names := {"__name__": "__main__"})
    with pytest.raises(LessonError, match="Define it in a cell of a notebook"):
        check_in_notebook("tensors/double-it", (names["double"],), {}, course=course)
    with pytest.raises(LessonError, match="There is no exercise 'dubble'"):
        check_in_notebook("tensors/dubble", (), {}, course=course)


VERDICT = {
    "status": "failed",
    "message": "The check “A <b>” fails: `x` is wrong.",
    "checks": [
        {"name": "a", "title": "A <b>", "status": "failed", "diagnosis": "You added `1`.", "field": None,
         "evidence": {"called": "f(x=<1>)", "returned": "2", "expected": "1", "lines": ["It is 2."],
                      "difference": "largest difference 1",
                      "arrays": [{"label": "returned", "shape": [1, 2], "dtype": "float32",
                                  "values": [["1", "2"]], "marked": [[0, 1]]}]}},
        {"name": "b", "title": "B", "status": "not run", "evidence": None, "diagnosis": None, "field": None},
    ],
    "error": None, "printed": "<script>alert(1)</script>\n", "cut": False,
}  # fmt: skip


def test_a_verdict_shows_evidence_first_and_nothing_of_the_learner_is_html() -> None:
    page = render_verdict(VERDICT, "T", "/x.py", ["A note."])
    assert "<script" not in page
    assert "<b>" not in page
    assert page.index("f(x=&lt;1&gt;)") < page.index("What went wrong?")
    assert '<td class="marked">2 *</td>' in page
    assert "<code>1</code>" in page
    text = format_verdict(VERDICT, "T", "/x.py", ["A note."])
    for words in ("Failed: T", "called: f(x=<1>)", "What it is: You added", "not run: B", "A note.\n/x.py"):
        assert words in text


def test_notebooks_have_a_task_a_starter_and_a_check(course: Course) -> None:
    folder = course.lesson("tensors").folder
    cells = build_exercise_cells(folder, "tensors", "double-it")
    assert cells is not None
    assert "**Exercise: Double a number** (●○○○○, 5 min)" in cells.task
    assert "1. Look at x." in cells.task
    assert cells.starter.endswith("...")
    assert cells.check.endswith('check("tensors/double-it", double)')
    form = build_exercise_cells(folder, "tensors", "which-one")
    assert form is not None
    assert form.starter == ""
    assert "    fit=...,  # one of a, b, in quotes\n    misses=...,  # a number\n" in form.check
    assert "- `a`: The first" in form.task
    assert "117" not in form.task + form.check
    assert build_exercise_cells(folder, "tensors", "none") is None


def test_questions_have_their_answers_in_folds() -> None:
    options = (Option(text="one", why="No."), Option(text="two", why="It is even.", right=True))
    asked = Question(id="a", concept="c", kind="choice", place="end", text="Which?", options=options)
    typed = Question(
        id="b", concept="c", kind="number", place="end", text="How many?", answer=3.0, why="Count."
    )
    text = format_questions([asked, typed])
    assert text.startswith("**Question 1.** Which?\n\n1. one\n2. two\n\n<details>")
    assert "1. No.\n2. **Right.** It is even." in text
    assert "3. Count." in text
    assert format_questions([]) == ""
