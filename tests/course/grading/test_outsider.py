"""What an outsider's answers to lesson 1.6 found wrong in the graders; each failed before it was mended."""

import pytest

from tests.course.grading.grading_lessons import failed, grade, write_lesson

# A check by hand on three pages, then one on other numbers of pages: the arguments of the first never change.
CHECKS = """
import torch

from nn2llm.course.grading import generator, same


def scaled(by):
    def step(w, b, x, y, learning_rate):
        error = w * x + b - y
        rate = learning_rate * 2 * by(len(x))
        return w - rate * (error * x).mean(), b - rate * error.mean()

    return step


SUSPECTS = {
    "Divided by n - 1.": scaled(lambda n: n / (n - 1)),
    "Summed, without the 2.": scaled(lambda n: n / 2),
    "Nothing moved.": lambda w, b, x, y, learning_rate: (w, b),
    "b did not move.": lambda w, b, x, y, learning_rate: (
        w - learning_rate * 2 * ((w * x + b - y) * x).mean(), b
    ),
}


def compare(learner, reference, *arguments):
    def gradient_step(w, b, x, y, learning_rate):
        return learner.gradient_step(w, b, x, y, learning_rate)

    same(gradient_step, reference.gradient_step, *arguments, suspects=SUSPECTS)


def check_by_hand(learner, reference):
    x, y = torch.tensor([2.0, 3.0, 3.8]), torch.tensor([0.5, 0.8, 1.0])
    compare(learner, reference, 0.1, 0.0, x, y, 0.05)


def check_one_step(learner, reference):
    g = generator()
    for n in (20, 5):
        x, y = torch.randn(2, n, generator=g)
        compare(learner, reference, 0.3, 0.4, x, y, 0.07)


def check_one_page(learner, reference):
    x, y = torch.rand(2, 1, generator=generator()) + 1
    same(lambda *given: learner.gradient_step(*given), reference.gradient_step, -0.4, 0.7, x, y, 0.1)
"""


@pytest.fixture
def lesson(tmp_path):
    names = ["check_by_hand", "check_one_step", "check_one_page"]
    return write_lesson(tmp_path / "lesson", checks=CHECKS, names=names, mistakes="")


def step(*lines):
    body = "".join(f"    {line}\n" for line in lines)
    return f"import torch\n\ndef gradient_step(w, b, x, y, learning_rate):\n    e = w * x + b - y\n{body}"


def diagnose(lesson, *lines):
    return failed(grade(lesson, step(*lines)))["diagnosis"]


def test_a_suspect_that_fits_three_pages_by_chance_is_not_named(lesson):
    summed = "return w - learning_rate * (e * x).sum(), b - learning_rate * e.sum()"
    assert diagnose(lesson, summed) == "Summed, without the 2."
    # 3/2 of each slope, whatever n: neither of the two suspects, though both fit by hand
    always = "return w - learning_rate * 3 * (e * x).mean(), b - learning_rate * 3 * e.mean()"
    assert diagnose(lesson, always) is None


def test_a_suspect_is_named_although_the_code_raises_on_other_data(lesson):
    by_less = (
        "n = len(x) - 1",
        "return w - learning_rate * 2 * float((e * x).sum()) / n, ("
        + ("b - learning_rate * 2 * float(e.sum()) / n)"),
    )
    assert diagnose(lesson, *by_less) == "Divided by n - 1."


def test_other_checks_add_to_the_proof(lesson):
    # by hand only b differs, and it is 0: that alone proves nothing
    assert diagnose(lesson, "return w - learning_rate * 2 * (e * x).mean(), b") == "b did not move."
    assert diagnose(lesson, "return w - learning_rate * 2 * (e * x).mean(), 0.0") is None


@pytest.mark.parametrize("parameters", ["w, b, x, y", "w, b, x, y, learning_rate, steps"])
def test_parameters_too_few_or_too_many_are_one_clean_sentence(lesson, parameters):
    verdict = grade(lesson, f"def gradient_step({parameters}):\n    return w, b\n")
    assert (verdict["status"], verdict["error"]) == ("failed", None)
    assert f"but yours is `gradient_step({parameters})`: " in verdict["message"]
    assert "CheckFailed" not in str(verdict)
    assert ".;" not in verdict["message"]


def test_parameters_in_another_order_are_said(lesson):
    text = "def gradient_step(x, y, w, b, learning_rate):\n    return w * 1.01, b * 1.01\n"
    assert failed(grade(lesson, text))["diagnosis"] == (
        "Your parameters stand in another order: (x, y, w, b, learning_rate). "
        "The check gives (w, b, x, y, learning_rate)."
    )


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "torch.tensor(float('nan'))"])
def test_nan_and_infinity_are_not_said_to_come_whatever_the_arguments(tmp_path, value):
    checks = CHECKS.replace(", suspects=SUSPECTS", "")
    lesson = write_lesson(tmp_path / "lesson", checks=checks, names=["check_one_step"], mistakes="")
    assert diagnose(lesson, f"return {value}, {value}") is None
    assert "whatever the arguments" in diagnose(lesson, "return 0.25, 0.75")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["e.sum().backward()"], "make the parameters tensors with `requires_grad=True`"),
        (["return (e ^ 2).mean()"], "In Python a power is `**`"),
        (["return w ^ 2"], "In Python a power is `**`"),
        (["return w.item(), b"], "leave `.item()` out"),
        (["w.requires_grad_()"], "`torch.tensor(…)` makes one of it"),
        (["t = torch.ones(2, requires_grad=True)", "t -= 1"], "inside `with torch.no_grad():`"),
        (["t = torch.ones(2, requires_grad=True)", "t.exp().backward()"], "take a mean or a sum first"),
        (
            ["t = torch.ones(2, requires_grad=True)", "s = t.exp().sum()", "s.backward()", "s.backward()"],
            "compute the loss anew",
        ),
        (["return float(x), b"], "a mean, a sum or an index is missing"),
        (["return (w if x > 1 else b), b"], "ask about one number"),
    ],
)
def test_well_known_messages_have_a_plain_remedy(lesson, lines, says):
    verdict = grade(lesson, step(*lines))
    assert verdict["status"] == "error"
    assert says in verdict["message"]


def test_a_remedy_is_given_only_where_it_is_sure(lesson):
    assert "power" not in grade(lesson, step("return x.bitwise_xor(y)"))["message"]
    assert grade(lesson, step("raise ValueError('no')"))["message"] == "Line 5 raises `ValueError`: no."


@pytest.mark.parametrize(
    "text",
    [
        "from solution import gradient_step\n",
        "import figures\ngradient_step = figures.gradient_step\n",
        "def gradient_step(*given):\n    import solution\n    return solution.gradient_step(*given)\n",
        "import importlib as i\nm = i.import_module('nn2llm_' + 'lesson_solution')\n\n",
    ],
)
def test_the_lessons_files_cannot_be_imported(lesson, text):
    (lesson / "figures.py").write_text((lesson / "solution.py").read_text())
    verdict = grade(lesson, text)
    assert verdict["status"] == "error"
    assert verdict["error"]["name"] == "ModuleNotFoundError"
    if "importlib" not in text:
        assert "your text stands alone" in verdict["message"]


def test_a_grader_taken_apart_by_the_text_is_not_called_broken(lesson):
    text = """
    import importlib
    compare = importlib.import_module("nn2llm.course." + "grading.calls")
    compare.compare = None

    def gradient_step(w, b, x, y, learning_rate):
        return w, b
    """
    calls = __import__("nn2llm.course.grading.calls", fromlist=["compare"])
    kept = calls.compare
    try:
        verdict = grade(lesson, text)
    finally:
        calls.compare = kept
    assert verdict["status"] == "stopped"
    assert verdict["message"].startswith("Your code changed ")
    assert "compare" in verdict["message"]
