"""Verdicts on whole texts: what they say, of whom, and that they come back whatever the text does."""

import json

import pytest

from nn2llm.course.grading.printing import capture
from tests.course.grading.grading_lessons import STARTER, STEP, STEP_MISTAKES, failed, grade, write_lesson


@pytest.fixture
def lesson(tmp_path):
    return write_lesson(tmp_path / "lesson")


def test_the_solution_passes(lesson):
    verdict = grade(lesson, STEP)
    assert verdict["status"] == "passed"
    assert verdict["message"] == "All 2 checks pass."
    assert [check["status"] for check in verdict["checks"]] == ["passed", "passed"]
    assert verdict["checks"][0]["title"] == "One step moves w and b against their slopes."
    assert 0 < verdict["elapsed_s"] < 60


def test_autograd_and_a_loop_pass_as_well(lesson):
    autograd = """
    import torch

    def gradient_step(w, b, x, y, learning_rate):
        w, b = torch.tensor([w], requires_grad=True), torch.tensor([b], requires_grad=True)
        ((w * x + b - y) ** 2).mean().backward()
        return (w - learning_rate * w.grad).item(), (b - learning_rate * b.grad).item()
    """
    loop = """
    def gradient_step(w, b, x, y, learning_rate):
        n = len(x)
        slope_w = sum(2 * (w * float(x[i]) + b - float(y[i])) * float(x[i]) for i in range(n)) / n
        slope_b = sum(2 * (w * float(x[i]) + b - float(y[i])) for i in range(n)) / n
        return [w - learning_rate * slope_w, b - learning_rate * slope_b]
    """
    assert grade(lesson, autograd)["status"] == "passed"
    assert grade(lesson, loop)["status"] == "passed"


def test_the_mistake_is_named_and_later_checks_are_not_run(lesson):
    verdict = grade(lesson, STEP_MISTAKES)
    assert verdict["status"] == "failed"
    assert [check["status"] for check in verdict["checks"]] == ["failed", "not run"]
    found = failed(verdict)
    assert found["diagnosis"] == "You added the slope; subtract it."
    assert found["evidence"]["called"].startswith("gradient_step(w=0.1, b=0.5, x=tensor (20,) float32, ")
    assert found["evidence"]["called"].endswith("learning_rate=0.02)")
    assert "came back, expected" in verdict["message"]
    assert "seed 3" in found["evidence"]["lines"][-1]


def test_a_verdict_repeats_with_its_seed(lesson):
    verdicts = [grade(lesson, STEP_MISTAKES, seed=seed) for seed in (7, 7, 8)]
    for verdict in verdicts:
        verdict["elapsed_s"] = 0
    assert verdicts[0] == verdicts[1]
    assert failed(verdicts[0])["evidence"] != failed(verdicts[2])["evidence"]


def test_every_verdict_is_json(lesson):
    for text in (STEP, STEP_MISTAKES, STARTER, "def gradient_step(w, b, x, y, learning_rate): return w / 0"):
        json.dumps(grade(lesson, text), allow_nan=False)


def test_the_starter_is_unfinished(lesson):
    verdict = grade(lesson, STARTER)
    assert verdict["status"] == "unfinished"
    assert verdict["message"] == (
        "Not finished yet: `...` or an empty body still stands in `gradient_step` (line 7)."
    )


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("slope = ...; return w - slope", "unfinished"),
        ("return ...", "unfinished"),
        ("pass", "unfinished"),
        ("x[..., 0]; return w, b", "failed"),
        ("print(w)", "failed"),
    ],
)
def test_dots_that_stand_for_code_are_not_indices(lesson, body, status):
    text = f"def gradient_step(w, b, x, y, learning_rate):\n    {body}\n"
    assert grade(lesson, text)["status"] == status


def test_nothing_returned_asks_for_return(lesson):
    text = STEP.replace("return", "result =")
    verdict = grade(lesson, text)
    assert "nothing came back (None)" in verdict["message"]
    assert failed(verdict)["diagnosis"] == "Does your function `return` its result?"


def test_an_exception_shows_the_learners_lines_alone(lesson):
    text = """
    import torch

    def helper(x):
        return x @ torch.ones(3, 4)

    def gradient_step(w, b, x, y, learning_rate):
        return helper(x)
    """
    verdict = grade(lesson, text)
    assert verdict["status"] == "error"
    assert verdict["message"].startswith("Line 5 raises `RuntimeError`: ")
    error = verdict["error"]
    assert (error["name"], error["line"]) == ("RuntimeError", 5)
    assert [frame["where"] for frame in error["frames"]] == ["line 8, in gradient_step", "line 5, in helper"]
    assert all(frame["mine"] for frame in error["frames"])
    assert {"name": "x", "shape": [20], "dtype": "float32", "device": "cpu"} in error["tensors"]
    assert failed(verdict)["evidence"]["called"].startswith("gradient_step(")


def test_a_syntax_error_has_line_and_caret(lesson):
    verdict = grade(lesson, "x = 1\ndef gradient_step(w, b:\n    return 1\n")
    assert verdict["status"] == "error"
    assert verdict["message"] == "Line 2 is not Python yet: '(' was never closed."
    assert verdict["error"]["line"] == 2
    assert verdict["error"]["message"].splitlines()[1:] == [
        "def gradient_step(w, b:",
        "                 ^",
    ]
    assert {check["status"] for check in verdict["checks"]} == {"not run"}


@pytest.mark.parametrize(
    ("line", "name", "says"),
    [
        ("raise SystemExit(3)", "SystemExit", "take out `exit()`"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", "raised this itself"),
        ("return gradient_step(w, b, x, y, learning_rate)", "RecursionError", "calls itself without end"),
        ("input('x? ')", "EOFError", "Nothing can be typed in here"),
        ("raise MemoryError", "MemoryError", "more memory"),
        ("import numpie", "ModuleNotFoundError", "numpie"),
        (
            "raise type('Odd', (BaseException,), {'__str__': lambda self: 1 / 0})()",
            "Odd",
            "cannot be printed",
        ),
        ("raise GeneratorExit", "GeneratorExit", "GeneratorExit"),
        (
            "raise AssertionError('mine')",
            "AssertionError",
            "mine",
        ),
    ],
)
def test_whatever_is_raised_is_a_verdict(lesson, line, name, says):
    text = f"def gradient_step(w, b, x, y, learning_rate):\n    {line}\n"
    for code in (text, f"{line.replace('return gradient_step(w, b, x, y, learning_rate)', '1 / 0')}\n"):
        verdict = grade(lesson, code)
        assert verdict["status"] == "error"
        if code is text:
            assert verdict["error"]["name"] == name
            assert says in verdict["message"] + verdict["error"]["message"]


def test_raising_our_own_exception_gains_nothing(lesson):
    text = """
    from importlib import import_module
    grading = "nn2llm.course." + "grading"  # in two halves, or it would not be run at all (reaching.py)
    CheckFailed = import_module(grading).CheckFailed
    Evidence = import_module(grading + ".evidence").Evidence

    def gradient_step(w, b, x, y, learning_rate):
        raise CheckFailed(Evidence(lines=["Well done."]))
    """
    verdict = grade(lesson, text)
    assert verdict["status"] == "error"
    assert verdict["error"]["line"] == 8


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def gradientstep(): pass", "`gradient_step`, which the checks call. Did you mean `gradientstep`?"),
        ("x = 1", "defines no `gradient_step`"),
        ("gradient_step = 3", "must be a function; yours is of type int"),
        ("def gradient_step(w, b): pass", "gives it 4 values and `learning_rate=…`, but yours is `gradient"),
    ],
)  # fmt: skip
def test_a_function_that_cannot_be_called_is_said(lesson, text, says):
    verdict = grade(lesson, text)
    assert verdict["status"] == "failed" or "pass" in text
    texts = [verdict["message"], *(check["evidence"] or {"lines": []})["lines"]] if (
        check := verdict["checks"][0]) else []  # fmt: skip
    assert any(says in text for text in texts)


def test_prints_are_kept_in_order_and_cut(lesson):
    text = STEP.replace(
        "    error =", "    import sys\n    print('a'); print('b', file=sys.stderr)\n    error ="
    )
    assert grade(lesson, text)["printed"] == "a\nb\n" * 2
    long = grade(lesson, "print('x' * 50_000)\n" + STEP)
    assert (len(long["printed"]), long["cut"], long["status"]) == (20_000, True, "passed")


def test_what_the_diagnosis_and_the_known_mistake_print_is_not_shown(lesson):
    text = STEP_MISTAKES.replace("    error =", "    print('called')\n    error =")
    assert grade(lesson, text)["printed"] == "called\n"
    (lesson / "mistakes.py").write_text(text, encoding="utf-8")
    assert grade(lesson, STEP)["printed"] == ""


def test_warnings_of_the_learners_lines_are_kept_apart(lesson):
    text = "import warnings\n" + STEP.replace("    error =", "    warnings.warn('careful')\n    error =")
    verdict = grade(lesson, text)
    assert verdict["status"] == "passed"
    assert verdict["printed"] == ""
    assert verdict["warnings"] == ["line 8: UserWarning: careful"]


def test_streams_are_put_back():
    import sys

    before = sys.stdin, sys.stdout, sys.stderr
    with capture("f.py"):
        sys.stdout.write("text\n")
        with pytest.raises(TypeError):
            sys.stdout.write(3)  # type: ignore[arg-type]
    assert (sys.stdin, sys.stdout, sys.stderr) == before


def test_a_main_guard_does_not_run(lesson):
    assert grade(lesson, STEP + "\nif __name__ == '__main__':\n    1 / 0\n")["status"] == "passed"


def test_dataclasses_and_classes_of_the_text_work(lesson):
    text = "from dataclasses import dataclass\n\n@dataclass\nclass Point:\n    x: 'float' = 0.0\n" + STEP
    assert grade(lesson, text)["status"] == "passed"


@pytest.mark.parametrize(
    ("checks", "says"),
    [
        ("def check_one_step(a, b):\n    nonsense\n", "checks.py, line 2, check_one_step: NameError"),
        ("1 / 0\n", "checks.py:1: ZeroDivisionError"),
        ("def other(): pass\n", "has no function 'check_one_step'"),
        ("def check_one_step(learner, reference)\n", "SyntaxError"),
    ],
)  # fmt: skip
def test_a_broken_grader_is_not_the_learners_fault(tmp_path, checks, says):
    lesson = write_lesson(tmp_path, checks=checks, names=["check_one_step"])
    verdict = grade(lesson, STEP)
    assert verdict["status"] == "stopped"
    assert verdict["message"].startswith(
        "The grader of this exercise is broken, so your answer was not judged:"
    )
    assert says in verdict["message"]


def test_a_plain_assert_in_a_check_is_a_failure(tmp_path):
    checks = """
    def check_sum(learner, reference):
        w, b = learner.gradient_step(1.0, 1.0, 0.5, 0.5, 0.1)
        assert w == 0, "w must be 0 here"
    """
    lesson = write_lesson(tmp_path, checks=checks, names=["check_sum"], solution="gradient_step = print")
    verdict = grade(lesson, "def gradient_step(*a): return a[:2]")
    assert verdict["status"] == "failed"
    assert verdict["message"] == "The check “Sum” fails: w must be 0 here"
    assert failed(verdict)["evidence"]["called"] == "gradient_step(1.0, 1.0, 0.5, 0.5, 0.1)"


def test_checks_may_ask_for_source_and_prints(tmp_path):
    checks = """
    from nn2llm.course.grading import require

    def check_style(learner, reference):
        learner.gradient_step(1, 2, 3, 4, 5)
        require(learner.printed() == "hi\\n", "It prints hi.")
        require("lambda" not in learner.source, "No lambda.")
        require("helper" in learner and "other" not in learner, "It has a helper.")
    """
    lesson = write_lesson(tmp_path, checks=checks, names=["check_style"], mistakes="")
    text = "print('loading')\nhelper = 1\ndef gradient_step(*a):\n    print('hi')\n"
    assert grade(lesson, text)["status"] == "passed"
    assert "fails: no lambda." in grade(lesson, text + "f = lambda: 1")["message"]


def test_a_checks_own_lambda_may_use_the_reference(tmp_path):
    checks = """
    import re
    from nn2llm.course.grading import require, same

    def check_both(learner, reference):
        same(lambda x: reference.gradient_step(x, learner.gradient_step), lambda x: x + 1, 2)
        require(re.search("def", learner.source), "There is a def.")
    """
    solution = "def gradient_step(x, f=None):\n    return f(x) + 0 if f else x + 1"
    lesson = write_lesson(
        tmp_path, checks=checks, names=["check_both"], solution=solution, mistakes="", starter="x = 1"
    )
    assert grade(lesson, solution)["status"] == "passed"
    verdict = grade(lesson, "def gradient_step(x, f=None): return x")
    assert verdict["status"] == "failed"
    assert failed(verdict)["evidence"]["called"] == "gradient_step(x=2)"


def test_a_reference_in_the_library_needs_no_solution(tmp_path):
    checks = """
    import torch
    from nn2llm.course.grading import generator, same

    def check_loss(learner, reference):
        x = torch.randn(3, generator=generator()).tolist()
        same(learner.gradient_step, reference.gradient_step, x)
    """
    lesson = write_lesson(
        tmp_path, checks=checks, names=["check_loss"], solution="", mistakes="", reference="statistics:fmean"
    )
    assert grade(lesson, "def gradient_step(x): return sum(x) / len(x)")["status"] == "passed"
    assert grade(lesson, "def gradient_step(x): return sum(x)")["status"] == "failed"


def test_a_checks_file_may_import_its_lessons_modules(tmp_path):
    for number in (1, 2):  # two lessons with a helper of the same name
        lesson = write_lesson(tmp_path / str(number), checks=f"""
        from lesson_helper_of_this_test import NUMBER
        from nn2llm.course.grading import require

        def check_number(learner, reference):
            require(NUMBER == {number}, "The right helper.")
            require(learner.gradient_step(0.1, 0.2, *[__import__("torch").ones(3)] * 2, 0.1), "A step.")
        """, names=["check_number"], mistakes="")  # fmt: skip
        (lesson / "lesson_helper_of_this_test.py").write_text(f"NUMBER = {number}\n")
        assert grade(lesson, STEP)["status"] == "passed"
