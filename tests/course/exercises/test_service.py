"""What a learner does at an exercise: save, check, hints, solution, reset; and that all of it is recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from nn2llm.core.errors import LessonError, StorageError
from nn2llm.course.exercises.files import FileConflict
from nn2llm.course.exercises.service import Exercises
from nn2llm.course.loader import find_problems, load_course, load_lesson

from .conftest import FakeGrader

DOUBLE = ("tensors", "double-it")
RIGHT = "def double(x):\n    return 2 * x\n"


def test_a_newcomer_sees_the_starter_and_no_answer(exercises: Exercises) -> None:
    state = exercises.state(*DOUBLE)
    assert state["text"].endswith("...\n")
    assert (state["status"], state["exists"], state["version"], state["attempts"], state["last"]) == (
        "new", False, "", [], None,
    )  # fmt: skip
    assert (state["title"], state["num_hints"], state["hints"]) == ("Double a number", 3, [])
    assert not Path(state["path"]).exists()  # looking makes no file
    form = exercises.state("1.1", "which-one")
    said = json.dumps(form)
    for secret in ("117", "It is better", "forgot the 2"):
        assert secret not in said
    assert [option["value"] for option in form["fields"][0]["options"]] == ["a", "b"]
    assert "2*x" not in json.dumps(exercises.state("tensors", "derive-the-slope"))


def test_what_is_on_disk_is_graded_and_recorded(exercises: Exercises, grader: FakeGrader) -> None:
    verdict = exercises.check(*DOUBLE)  # makes the file
    assert (verdict["status"], grader.jobs[0].text) == ("unfinished", exercises.state(*DOUBLE)["text"])
    path = Path(exercises.state(*DOUBLE)["path"])
    path.write_text(RIGHT + "# WRONG\n", encoding="utf-8")
    assert exercises.check(*DOUBLE)["status"] == "failed"
    assert exercises.state(*DOUBLE)["status"] == "tried"
    verdict = exercises.check(*DOUBLE, RIGHT, exercises.version(*DOUBLE), seed=7)
    assert (verdict["status"], grader.jobs[-1].text, grader.jobs[-1].seed) == ("passed", RIGHT, 7)
    assert path.read_text(encoding="utf-8") == RIGHT
    state = exercises.state(*DOUBLE)
    assert (state["status"], state["unaided"], state["solution_seen"]) == ("passed", True, False)
    assert [item["status"] for item in state["attempts"]] == ["unfinished", "failed", "passed"]
    assert state["attempts"][-1]["id"] == verdict["attempt"]
    assert state["last"]["message"] == "It is passed."
    assert verdict["version"] == state["version"]
    assert len({job.seed for job in grader.jobs}) == 3  # a fresh one each time
    assert grader.jobs[0].limits is None


def test_a_check_of_an_outdated_text_grades_nothing(exercises: Exercises, grader: FakeGrader) -> None:
    state = exercises.save(*DOUBLE, "x = 1\n", base="")
    state.path.write_text("theirs\n", encoding="utf-8")
    with pytest.raises(FileConflict):
        exercises.check(*DOUBLE, RIGHT, state.version)
    assert grader.jobs == []


def test_a_file_that_the_code_itself_deletes_or_changes_is_restored(
    exercises: Exercises, grader: FakeGrader
) -> None:
    text = "import os\n" + RIGHT
    path = exercises.save(*DOUBLE, text, base="").path
    grader.during = path.unlink
    verdict = exercises.check(*DOUBLE)
    assert verdict["message"] == (
        "It is passed. Your file was deleted while your code ran; it is back as it was."
    )
    assert path.read_text(encoding="utf-8") == text
    grader.during = lambda: path.write_text("pass\n", encoding="utf-8") and None
    assert "changed while your code ran" in exercises.check(*DOUBLE)["message"]
    assert path.read_text(encoding="utf-8") == text
    assert exercises.files.history(*DOUBLE)[-1].read_text(encoding="utf-8") == "pass\n"
    assert "back as it was" in exercises.store.exercises.attempts(*DOUBLE)[-1].message


def test_what_the_learner_types_while_it_is_graded_stays(exercises: Exercises, grader: FakeGrader) -> None:
    path = exercises.save(*DOUBLE, RIGHT, base="").path
    grader.during = lambda: path.write_text("typed on\n", encoding="utf-8") and None
    assert exercises.check(*DOUBLE)["message"] == "It is passed."  # this code has no way to a file
    assert path.read_text(encoding="utf-8") == "typed on\n"
    exercises.save(*DOUBLE, "import os\n", base=None)

    def save() -> None:
        exercises.save(*DOUBLE, "import os\n# more\n", base=None)

    grader.during = save  # the page itself
    assert exercises.check(*DOUBLE)["message"] == "It is passed."
    assert path.read_text(encoding="utf-8").endswith("# more\n")


def test_a_deleted_file_is_made_anew_from_the_latest_text(exercises: Exercises, grader: FakeGrader) -> None:
    path = exercises.save(*DOUBLE, RIGHT, base="").path
    path.unlink()
    assert exercises.state(*DOUBLE)["text"] == RIGHT
    assert not path.exists()
    assert exercises.prepare(*DOUBLE).text == RIGHT
    path.unlink()
    assert exercises.check(*DOUBLE)["status"] == "passed"
    assert path.exists()


def test_hints_are_a_ladder_and_the_solution_is_remembered(exercises: Exercises) -> None:
    assert [exercises.hint(*DOUBLE) for _ in range(4)] == [
        (1, "Look at x."), (2, "Multiply it."), (3, "return 2 * ..."), (3, "return 2 * ..."),
    ]  # fmt: skip
    assert exercises.state(*DOUBLE)["hints"] == ["Look at x.", "Multiply it.", "return 2 * ..."]
    assert exercises.solution(*DOUBLE).endswith("return 2 * x\n")
    exercises.check(*DOUBLE, RIGHT, "")
    state = exercises.state(*DOUBLE)
    assert (state["status"], state["unaided"], state["solution_seen"]) == ("passed", False, True)


def test_reset_and_restore_keep_what_was_there(exercises: Exercises) -> None:
    first = exercises.check(*DOUBLE, RIGHT, "")["attempt"]
    starter = exercises.reset(*DOUBLE)
    assert starter.text.endswith("...\n")
    assert exercises.files.history(*DOUBLE)[-1].read_text(encoding="utf-8") == RIGHT
    assert exercises.restore(*DOUBLE, first).text == RIGHT
    with pytest.raises(LessonError, match="There is no attempt 'x'"):
        exercises.restore(*DOUBLE, "x")
    with pytest.raises(LessonError, match="There is no attempt"):
        exercises.restore("tensors", "which-one", first)


def test_an_exercise_that_comes_back_has_its_own_file_and_records(
    exercises: Exercises, grader: FakeGrader
) -> None:
    exercises.check("tensors", "mend-the-mean", "a = 1\n", "")
    again = exercises.state("tensors", "mend-the-mean-again")
    assert (again["again"], again["status"], again["name"]) == (True, "new", "mend-the-mean-again")
    assert "a planted bug" in again["text"]
    exercises.check("tensors", "mend-the-mean-again", "b = 2\n", "")
    assert grader.jobs[-1].exercise == "mend-the-mean"
    assert exercises.state("tensors", "mend-the-mean")["text"] == "a = 1\n"
    with pytest.raises(LessonError, match="There is no exercise 'double-it-again'"):
        exercises.state("tensors", "double-it-again")


def test_code_that_passes_joins_the_learners_gpt(
    exercises: Exercises, grader: FakeGrader, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exercises.find(*DOUBLE).folder / "exercises.yaml"
    path.write_text(path.read_text().replace("functions: [double]", "functions: [double]\n  part: loss"))
    taken: list[Any] = []
    monkeypatch.setattr(
        "nn2llm.course.mygpt.adopt_part", lambda home, part, text, **where: taken.append((part, text, where))
    )
    assert "part" not in exercises.check(*DOUBLE, "WRONG", "")
    verdict = exercises.check(*DOUBLE, RIGHT, None)
    assert verdict["part"] == "Your code is now a part of your own GPT: loss."
    assert taken == [("loss", RIGHT, {"slug": "tensors", "exercise": "double-it"})]

    def refuse(*values: object, **where: object) -> None:
        raise StorageError("The disk is full.")

    monkeypatch.setattr("nn2llm.course.mygpt.adopt_part", refuse)
    verdict = exercises.check(*DOUBLE)
    assert (verdict["status"], verdict["part"]) == (
        "passed", "It did not join your own GPT: The disk is full.",
    )  # fmt: skip


def test_limits_of_the_exercise_travel_with_the_job(exercises: Exercises, grader: FakeGrader) -> None:
    path = exercises.find(*DOUBLE).folder / "exercises.yaml"
    limits = "functions: [double]\n  limits: {seconds: 20, memory_mb: 900}"
    path.write_text(path.read_text().replace("functions: [double]", limits))
    exercises.check(*DOUBLE)
    assert grader.jobs[0].limits is not None
    assert (grader.jobs[0].limits.seconds, grader.jobs[0].limits.memory_mb) == (20, 900)


def test_a_verdict_that_cannot_be_recorded_is_still_given(
    exercises: Exercises, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*values: object, **more: object) -> str:
        raise StorageError("The disk is full.")

    monkeypatch.setattr(exercises.store.exercises, "record_attempt", refuse)
    verdict = exercises.check(*DOUBLE, RIGHT, "")
    assert verdict["status"] == "passed"
    assert verdict["message"] == "It is passed. It could not be recorded: The disk is full."


def test_a_lesson_with_broken_exercises_opens_and_says_what_is_wrong(exercises: Exercises) -> None:
    path = exercises.find(*DOUBLE).folder / "exercises.yaml"
    path.write_text(path.read_text().replace("kind: repair", "kind: repare"))
    course = load_course(exercises.course.folder)
    assert load_lesson(course.lesson("tensors")).title == "Tensors"
    assert any("Did you mean 'repair'?" in problem.message for problem in find_problems(course))
    with pytest.raises(LessonError, match=r"exercises\.yaml:13: kind is 'repare'"):
        exercises.state(*DOUBLE)


def test_the_course_may_be_read_anew(exercises: Exercises, grader: FakeGrader, tmp_path: Path) -> None:
    live = Exercises(lambda: load_course(tmp_path / "lessons"), exercises.store, tmp_path, grader)  # type: ignore[arg-type]
    assert [task.name for task in live.list_tasks("1.1")] == [
        "double-it", "mend-the-mean", "derive-the-slope", "which-one",
    ]  # fmt: skip
    assert live.list_tasks("roadmap") == []
    with pytest.raises(LessonError, match="There is no lesson 'tensor'"):
        live.list_tasks("tensor")
