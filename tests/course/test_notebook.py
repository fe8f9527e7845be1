"""Notebooks: valid, readable, and they run in a plain Jupyter kernel without touching the reader's names."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from nn2llm.core.errors import ConfigError, LessonError
from nn2llm.course import notebook_cells
from nn2llm.course.lesson import Course
from nn2llm.course.loader import load_course
from nn2llm.course.notebook import name_notebook, write_notebooks
from nn2llm.course.notebook_cells import begin_notebook, run_alone
from nn2llm.course.notebook_text import format_markdown

SYLLABUS = """\
title: "A small course"
about: "About it."
outcome: "What you can do."
topics:
  - number: 1
    name: foundations
    title: "Foundations"
    about: "The base."
    lessons:
      - {number: "1.5", slug: autograd, title: "Slopes", goal: "See slopes.", needs: []}
      - {number: "1.6", slug: linear-regression, title: "Lines", goal: "Fit one.", needs: [autograd]}
"""

BODY = """\
## The idea
<!-- tour -->

A **weight** $w$ is a number; see (1.6.1), [lesson 1.5](../05_autograd/lesson.md) and [the web](https://example.org).
It is <!-- from: sum -->6, and `<!-- kept -->` is code. ![a dot](dot.png)

<!-- eq 1.6.1 derived -->
$$ a + b = b + a \\tag{1.6.1} $$

```python verify eq="1.6.1" id="check"
import numpy as np
from nn2llm.course.cells import verify

a = np.arange(3.0)
verify(a + 1, 1 + a, false_twin=a - 1, atol=1e-12, route="numpy")
```

```python id="sum" title="A sum"
a = "mine"
print(1 + 2 + 3)
```

```python figure
a = 7
a
```

```python slow seconds="2" id="long"
print(a)
```

```python raises="ValueError" id="bad"
float("x")
```

<details><summary>Deeper: only `words`</summary>

Inside.

</details>

<details>
<summary>Deeper: with code</summary>

```python id="deep"
print("deep", a)
```

</details>

<!-- exercise: try-it -->
"""


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """Two lessons; the second has a bit of everything."""
    folder = tmp_path / "lessons"
    place = folder / "01_foundations" / "06_linear_regression"
    place.mkdir(parents=True)
    (folder / "syllabus.yaml").write_text(SYLLABUS, encoding="utf-8")
    front = (
        'number: "1.6"\nslug: linear-regression\ntitle: Lines\nminutes: 5\ndifficulty: 1\n'
        'needs: [autograd]\nterms: [weight]\nsources: ["A book"]'
    )
    (place / "lesson.md").write_text(f"---\n{front}\n---\n{BODY}", encoding="utf-8")
    (place / "dot.png").write_bytes(b"dot")
    return load_course(folder)


def write(course: Course, out: Path, **options: Any) -> tuple[Path, Any]:
    (path,) = write_notebooks(course, [course.lesson("1.6")], out, **options)
    found = nbformat.read(path, as_version=4)
    nbformat.validate(found)
    return path, found


def sources(notebook: Any, kind: str) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def test_a_notebook_has_the_lesson_in_order(course: Course, tmp_path: Path) -> None:
    path, notebook = write(course, tmp_path / "out")
    assert path.name == "01_06_linear_regression.ipynb"
    code = sources(notebook, "code")
    assert 'begin_notebook("linear-regression")' in code[0]
    assert [text.splitlines()[0] for text in code[1:]] == [
        "%%alone checks (1.6.1)", 'a = "mine"', "%%alone", "print(a)", 'float("x")', 'print("deep", a)',
    ]  # fmt: skip
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells if cell.cell_type == "code"]
    assert tags == [[], [], [], [], ["slow"], ["raises-exception"], []]
    text = "\n\n".join(sources(notebook, "markdown"))
    assert text.startswith("# 1.6 Lines")
    for words in (
        "about 2 seconds", "meant to end in a ValueError", "*A sum*", "exercise try-it", "- A book",
        "## Terms of this lesson\n\n- A **weight** $w$ is a number", "Before: 1.5 Slopes",
        "<summary>Deeper: only words</summary>\n\nInside.\n\n</details>", "### Deeper: with code",
        "\\tag{1.6.1}$$\n\n*Equation (1.6.1), derived.*",
    ):  # fmt: skip
        assert words in text, words


def test_prose_keeps_no_marks_and_only_links_that_lead_somewhere(course: Course, tmp_path: Path) -> None:
    text = "\n".join(sources(write(course, tmp_path)[1], "markdown"))
    assert "see (1.6.1), lesson 1.5 and [the web](https://example.org)" in text
    assert "It is 6, and `<!-- kept -->` is code. ![a dot](data:image/png;base64,ZG90)" in text


def test_a_notebook_beside_it_is_linked(tmp_path: Path) -> None:
    linked = {"autograd": "01_05_autograd.ipynb"}
    text = "[see `x`](../05_autograd/lesson.md#slopes) but `[not](../05_autograd/lesson.md)`"
    wanted = "[see `x`](01_05_autograd.ipynb) but `[not](../05_autograd/lesson.md)`"
    assert format_markdown(text, tmp_path, linked) == wanted
    assert format_markdown("![x](../../secret.png)", tmp_path, {}) == "*[x]*"


def test_two_exports_are_the_same_file(course: Course, tmp_path: Path) -> None:
    first = write(course, tmp_path / "a")[0].read_bytes()
    assert write(course, tmp_path / "b")[0].read_bytes() == first


def test_a_notebook_that_was_run_is_replaced_but_a_changed_one_is_not(course: Course, tmp_path: Path) -> None:
    path, notebook = write(course, tmp_path)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="Ready\n")]
    nbformat.write(notebook, path)
    path, notebook = write(course, tmp_path)
    assert notebook.cells[2].outputs == []
    notebook.cells[3].source += "\nMy own words."
    nbformat.write(notebook, path)
    with pytest.raises(ConfigError, match=r"has changed since it was written.*--overwrite"):
        write(course, tmp_path)
    assert "My own words." in path.read_text(encoding="utf-8")
    write(course, tmp_path, overwrite=True)
    assert "My own words." not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["not JSON", "{}", "[]", '{"metadata": {}, "cells": []}'])
def test_a_foreign_file_is_left_alone(course: Course, tmp_path: Path, content: str) -> None:
    (tmp_path / name_notebook(course.lesson("1.6"))).write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="is left as it is"):
        write(course, tmp_path)


def test_a_lesson_that_is_coming_is_refused_before_anything_is_written(
    course: Course, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(LessonError, match="not written yet"):
        write_notebooks(course, [course.lesson("1.6"), course.lesson("1.5")], out)
    assert not out.exists()


def run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from nbclient import NotebookClient

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path / "home"))  # checks of exercises write there
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=100, kernel_name="python3").execute()
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def test_it_runs_and_the_readers_names_stay(course: Course, tmp_path: Path, monkeypatch) -> None:
    outputs = run(write(course, tmp_path)[0], tmp_path, monkeypatch)
    assert outputs["cell-begin"][0].text.startswith("Ready for lesson 1.6")
    (check,) = outputs["cell-check"]
    assert check.data["text/plain"].startswith("(1.6.1) checked by numpy: largest difference 0")
    assert outputs["cell-cell-1"][0].data["text/plain"] == "7"
    assert "".join(output.text for output in outputs["cell-long"]) == "mine\n"
    assert outputs["cell-bad"][0].ename == "ValueError"
    # what is printed may arrive in pieces
    assert "".join(output.text for output in outputs["cell-deep"]) == "deep mine\n"


@pytest.mark.slow
def test_every_lesson_that_comes_with_nn2llm_runs_as_a_notebook(tmp_path: Path, monkeypatch) -> None:
    course = load_course()
    entries = [entry for entry in course.lessons if course.is_ready(entry.slug)]
    for path in write_notebooks(course, entries, tmp_path / "out"):
        nbformat.validate(json.loads(path.read_text(encoding="utf-8")))
        run(path, tmp_path, monkeypatch)


def test_begin_notebook_says_what_is_wrong() -> None:
    with pytest.raises(LessonError, match="There is no lesson 'no-such'"):
        begin_notebook("no-such")
    with pytest.raises(LessonError, match="is for notebooks"):
        begin_notebook("linear-regression")
    coming = next(entry for entry in load_course().lessons if not load_course().is_ready(entry.slug))
    with pytest.raises(LessonError, match="Install a newer one"):
        begin_notebook(coming.slug)


def test_run_alone_shows_the_last_expression_and_names_the_line_of_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_alone("a = 3\na * 2")
    run_alone("a = 3\na * 2;")
    run_alone("")
    assert capsys.readouterr().out == "6\n"
    with pytest.raises(ZeroDivisionError) as caught:
        run_alone("a = 0\n\n1 / a")
    assert caught.traceback[-1].lineno + 1 == 3
    with pytest.raises(SyntaxError):
        run_alone("1 +")


def test_run_alone_counts_lines_from_the_magic(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shell:
        class compile:
            @staticmethod
            def cache(source: str) -> str:
                assert source.startswith("%%alone\n")
                return "<a cell>"

    monkeypatch.setattr(notebook_cells, "_get_shell", Shell)
    with pytest.raises(ZeroDivisionError) as caught:
        run_alone("a = 0\n1 / a")
    assert caught.traceback[-1].lineno + 1 == 3
