"""`nn2llm lesson`: the static site, the linter's messages and exit codes, a new lesson."""

from pathlib import Path

import pytest

from nn2llm.cli.main import main
from nn2llm.course.lesson import Heading
from nn2llm.course.loader import find_problems, load_course, load_lesson
from nn2llm.course.skeleton import PARTS
from nn2llm.course.skeleton_files import FILES
from tests.course.conftest import SYLLABUS
from tests.course.site_lessons import write_bundle

FRONT = '---\nnumber: "1.1"\nslug: tensors\ntitle: Tensors\nminutes: 5\ndifficulty: 1\n---\n'
BREATH = """
## In one breath

<details><summary>Ours, to compare</summary>

Did you say: (1) what, (2) how, (3) why, (4) when?

</details>
"""


@pytest.fixture(autouse=True)
def lessons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of one lesson, whose kernel imports no torch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("nn2llm.course.results.WARM_IMPORTS", ())
    bundle = write_bundle(tmp_path / "bundle")
    monkeypatch.setitem(main_defaults(), "bundle", bundle)
    folder = tmp_path / "lessons"
    (folder / "01_foundations" / "01_tensors").mkdir(parents=True)
    (folder / "syllabus.yaml").write_text(SYLLABUS, encoding="utf-8")
    write(folder, "print(6 * 7)")
    return folder


def main_defaults() -> dict[str, object]:
    from nn2llm.course.site.build import build_site

    defaults = build_site.__kwdefaults__
    assert defaults is not None
    return defaults


def write(folder: Path, code: str) -> None:
    text = f'{FRONT}\n## A cell\n\n```python id="answer"\n{code}\n```\n\nIt is <!-- from: answer -->42.\n'
    text += BREATH
    (folder / "01_foundations" / "01_tensors" / "lesson.md").write_text(text, encoding="utf-8")


def test_build_and_lint_run_real_cells(lessons: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lesson", "build", "--lessons", "lessons", "--out", "public"]) == 0
    assert "public/index.html: 1 lesson (cells of 1 ran)" in capsys.readouterr().out
    assert ">42\n</pre>" in Path("public/lessons/tensors.html").read_text(encoding="utf-8")
    assert 'href="lessons/tensors.html" class="stop is-ready"' in Path("public/map.html").read_text()
    assert main(["lesson", "lint", "--lessons", "lessons"]) == 0
    captured = capsys.readouterr()
    assert "1 lesson, 1 cell run, 0 exercises graded: nothing to mend." in captured.out
    assert "Running" not in captured.err  # the results were kept


def test_what_is_wrong_is_named_and_the_exit_code_says_so(
    lessons: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nn2llm.course.linting._has_pinned_torch", lambda report: True)
    write(lessons, "x = 41\nprint(x)")
    assert main(["lesson", "lint", "1.1", "--lessons", "lessons"]) == 1
    said = capsys.readouterr().out
    place = "lessons/01_foundations/01_tensors/lesson.md"
    assert said.splitlines()[0].startswith(f"{place}:16: 42 is quoted from cell 'answer'; the nearest")
    assert "1 problem." in said
    write(lessons, "x = 41\nprint(y)")
    assert main(["lesson", "build", "--lessons", "lessons"]) == 1
    said = capsys.readouterr().out
    assert said.splitlines()[0].startswith(f"{place}:13: Cell 'answer' failed with NameError: name 'y'")
    assert main(["lesson", "lint", "tensors", "--no-cells", "--lessons", "lessons"]) == 0


def test_a_lesson_that_is_coming_cannot_be_linted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lesson", "lint", "roadmap", "--lessons", "lessons"]) == 1
    assert "is not written yet" in capsys.readouterr().err


def test_new_writes_a_lesson_that_loads_and_says_what_is_not_written(
    lessons: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lesson", "new", "1.2", "--lessons", "lessons"]) == 0
    path = lessons / "01_foundations" / "02_gradient_descent" / "lesson.md"
    assert "lesson lint 1.2" in capsys.readouterr().out
    course = load_course(lessons)
    said = [str(problem).removeprefix(f"{path.parent}/") for problem in find_problems(course)]
    assert said[0].startswith("lesson.md:19: This placeholder shows no question")
    assert said[-1].startswith("exercises.yaml: No exercise is written yet.")
    assert len(said) == 3
    assert {item.name for item in path.parent.iterdir()} == {"lesson.md", *FILES}
    lesson = load_lesson(course.lesson("1.2"))
    assert (lesson.title, lesson.needs) == ("Descent", ("tensors",))
    assert [block.title for block in lesson.blocks if isinstance(block, Heading)] == [
        part[0] for part in PARTS
    ]
    assert len(PARTS) == 10
    before = path.read_bytes()
    assert main(["lesson", "new", "1.2", "--lessons", "lessons"]) == 1
    assert "is there already" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert main(["lesson", "new", "7.77", "--lessons", "lessons"]) == 1
    assert "There is no lesson '7.77'" in capsys.readouterr().err
