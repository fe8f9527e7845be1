"""worked_lesson/, the example for authors, is clean; each fault planted in it is named with file and line."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from nn2llm.course.grading.limits import GradingJob
from nn2llm.course.linting import LintReport, lint_lessons
from nn2llm.course.loader import load_course
from nn2llm.course.skeleton import write_skeleton
from nn2llm.course.syllabus import get_lessons_folder

WORKED = Path(__file__).parent / "worked_lesson"


class HereGrader:
    """The same grading, in this process: quicker, and nothing here is hostile."""

    def grade(self, job: GradingJob) -> dict[str, Any]:
        from nn2llm.course.grading.running import run_job

        verdicts: list[dict[str, Any]] = []
        run_job(job, verdicts.append)
        return verdicts[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The worked lesson in its place in a course of its own."""
    lessons = tmp_path / "lessons"
    folder = lessons / "04_transformer" / "04_attention_code"
    shutil.copytree(WORKED, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(get_lessons_folder() / "syllabus.yaml", lessons)
    return folder


def lint(folder: Path, slug: str = "attention-code", **options: Any) -> LintReport:
    course = load_course(folder.parents[1])
    home = folder.parents[2] / "home"
    options = {"run_cells": False, "run_graders": False, "seeds": (1,), **options}
    return lint_lessons(course, {slug}, home=home, grader=HereGrader(), **options)


def say(report: LintReport, folder: Path) -> list[str]:
    return [str(problem).removeprefix(f"{folder}/") for problem in report.problems]


def plant(folder: Path, name: str, good: str, bad: str) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    assert good in text
    (folder / name).write_text(text.replace(good, bad, 1), encoding="utf-8")


def test_the_example_for_authors_is_clean(folder: Path) -> None:
    report = lint(folder, run_graders=True)
    assert say(report, folder) == []
    assert report.remarks == []
    (row,) = report.rows
    assert row.equations == {"definition": 1, "derived": 1, "quoted": 1}
    assert (row.exercises, row.accepted, row.questions, row.cells) == (6, 12, 5, 6)


def test_it_has_every_kind(folder: Path) -> None:
    for name, kinds in (
        ("exercises.yaml", "implement repair diagnose decide derive expression choice multiple number text"),
        ("quiz.yaml", "choice multiple predict number"),
    ):
        found = re.findall(r"kind: (\w+)", (folder / name).read_text(encoding="utf-8"))
        assert set(found) == set(kinds.split())


CELLS = [
    ("lesson.md", "-->0.6652", "-->0.6653", "lesson.md:41: 0.6653 is quoted from cell 'weights'"),
    (
        "lesson.md",
        "p * g\n",
        "formula\n",
        "lesson.md:80: Cell 'check-softmax' failed with VerificationError: (4.4.2)",
    ),
    ("lesson.md", 'raises="RuntimeError"', 'raises="ValueError"', "lesson.md:104: Cell 'no-fit' is to raise"),
    ("quiz.yaml", '"(2, 4, 6)", "2, 4, 6", "2x4x6"', '"(2, 4, 8)"', "quiz.yaml:11: The answer to 'shape-of"),
]


def test_faults_of_cells_are_named_and_nothing_else(folder: Path) -> None:
    for name, good, bad, _ in CELLS:
        plant(folder, name, good, bad)
    report = lint(folder, run_cells=True)
    found = say(report, folder)
    assert len(found) == len(CELLS) == report.num_cells - 2
    for text, (*_, says) in zip(found, CELLS, strict=True):
        assert text.startswith(says)
    assert "the false version passes it too" in found[1]
    assert "raises=" not in found[1]


THE_QUESTION = "Four tokens look at each other, and none may look ahead. How many lines does that take?"
POINTS = "(1) scores of queries and keys, (2) the scale, (3) a softmax over the keys, (4) the mask before the"
YAML, CHECKS, SOLUTION = "exercises.yaml", "checks.py", "solution.py"
FAULTS = [
    (YAML, "part: attention", "part: atention", "exercises.yaml:29: part is 'atention'"),
    (YAML, "part: attention", "part: rms_norm", "The part 'rms_norm' needs rms_norm"),
    ("exercise.py", "value, mask)", "value)", "exercise.py:7: The part 'attention' is called with"),
    (SOLUTION, "(query, key, value, mask)", "(mask, query)", "solution.py:9: The part 'attention'"),
    (SOLUTION, "train(x, y,", "train(y, x,", "solution.py:32: train(y, x, num_steps"),
    (YAML, "[LayerNorm]", "[LayerNorm]\n  reference: nn2llm.nn.norms:Lay", "norms.py: has no 'Lay'"),
    (YAML, "[LayerNorm]", "[LayerNorm]\n  reference: nn2llm.nn.nor:LayerNorm", "no module 'nn2llm.nn.nor'"),
    (YAML, "minutes: 8", "minuts: 8", "an unknown key 'minuts'. Did you mean 'minutes'?"),
    (YAML, '    - "Print the gradient in each step."\n', "", "hints has 2. Write three"),
    ("lesson.md", "needs: [attention-math]", "needs: [maths]", "lesson.md:7: It needs 'maths', unknown."),
    ("lesson.md", "terms: [", "terms: [softmax, ", "lesson.md:9: The term 'softmax' is never bold."),
    ("lesson.md", ", https://arxiv.org/abs/1607.06450, eq. 4", "", "lesson.md:12: The source 'Layer norm"),
    ("lesson.md", "03_attention_math/lesson.md", "03_maths/lesson.md", "lesson.md:17: The link '../03_maths"),
    ("lesson.md", "../03_attention_math/lesson.md", "#the-math", "lesson.md:17: The link #the-math leads no"),
    ("lesson.md", THE_QUESTION, "",
     "lesson.md:21: Nothing stands under 'The question'."),
    ("lesson.md", POINTS, "(1) this, (2) that, (3) a third, (4) a fourth point",
     "comes from `nn2llm lesson new`"),
    ("quiz.yaml", "see: attention-math", "see: attention-maths", "quiz.yaml:1: see of 'why-scale' leads to"),
    ("quiz.yaml", "see: attention-math", 'see: "#nowhere"', "'why-scale' leads to '#nowhere'"),
    ("quiz.yaml", "cell: shapes", "cell: shaps", "the cell 'shaps', which is not in lesson.md. Did you mean"),
    (CHECKS, "query @ key.transpose(-2, -1)\n", "query @ ky\n", "checks.py:11: ky is not defined."),
    (CHECKS, "one_token(learner, reference)", "one_token(learner)", "checks.py:69: check_one_token takes"),
    (YAML, 'answer: "p_k*(', 'answer: "p_k*((', "exercises.yaml:10: 'derive-the-softmax': the answer"),
    (YAML, 'is: "p_k*g_k"', 'is: "p_k*(g_k - sum(p_i*g_i))"', "is as good as the answer"),
    (YAML, 'is: "p_k*g_k"', 'is: "(p_k - p_k*p_k)*g_k"', "are the same, so that neither is named."),
    (YAML, "is: 16", "is: 191", "exercises.yaml:106: 'how-many-scores': the suspect 191"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "good", "bad", "says"), FAULTS)
def test_a_planted_fault_is_named(folder: Path, name: str, good: str, bad: str, says: str) -> None:
    plant(folder, name, good, bad)
    found = say(lint(folder), folder)
    assert any(says in text for text in found), found


def test_a_file_that_nothing_names_is_named(folder: Path) -> None:
    (folder / "notes.txt").write_text("", encoding="utf-8")
    assert say(lint(folder), folder)[0].startswith("notes.txt: No file of the lesson names 'notes.txt'.")


def test_a_checkpoint_made_of_the_same_exercises_is_clean(folder: Path) -> None:
    course = load_course(folder.parents[1])
    place = write_skeleton(course, course.lesson("checkpoint-4")).parent
    exercises = (folder / "exercises.yaml").read_text(encoding="utf-8").split("\n- name: ")
    kept = [text for text in exercises if text.startswith(("layer-norm", "mend-the-step"))]
    (place / "exercises.yaml").write_text("".join(f"- name: {text}\n" for text in kept), encoding="utf-8")
    for name in ("exercise.py", "solution.py"):
        shutil.copy(folder / name, place)
    text = (folder / "checks.py").read_text(encoding="utf-8")
    (place / "checks.py").write_text(re.sub(r"check_(?!layer|train)", "_check_", text), encoding="utf-8")
    for name in ("accepted.py", "mistakes.py"):
        text = (folder / name).read_text(encoding="utf-8")
        parts = re.split(r"\n(?=@?(?:accepted|mistake)\()", text)
        wanted = [part for part in parts if re.search(r'"(layer-norm|mend-the-step)"', part)]
        (place / name).write_text("\n".join([parts[0], *wanted]), encoding="utf-8")
    (place / "quiz.yaml").unlink()
    path = place / "lesson.md"
    words = path.read_text(encoding="utf-8").replace("from-nothing", "layer-norm")
    path.write_text(words.replace("find-the-bug", "mend-the-step"), encoding="utf-8")
    assert say(lint(place, "checkpoint-4"), place) == []
