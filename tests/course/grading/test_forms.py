"""Forms: values read by ast, every field judged, the answer not given away."""

import subprocess
import sys

import pytest

from nn2llm.course.grading.forms import FormError, read_form
from tests.course.grading.grading_lessons import grade, write_lesson

CHAIN = "The chain rule: e moves x times as fast."
FIELDS = [
    {
        "name": "slope_w",
        "kind": "expression",
        "label": "The slope along $w$",
        "answer": "mean(2*(w*x+b-y)*x)",
        "symbols": {"x": {"shape": "n"}, "y": {"shape": "n"}, "w": {}, "b": {}},
        "suspects": [{"is": "mean(2*(w*x+b-y))", "says": CHAIN}],
        "forbid": ["max"],
    },
    {
        "name": "fit",
        "kind": "choice",
        "label": "Which line?",
        "options": [
            {"value": "a", "text": "A: the first", "why": "A is too steep."},
            {"value": "b", "text": "B: the second", "why": "B halves the error."},
        ],
        "answer": "b",
    },
    {
        "name": "causes",
        "kind": "multiple",
        "label": "Which causes?",
        "options": [
            {"value": "lr", "text": "Rate", "why": "It is too large."},
            {"value": "shape", "text": "Shape", "why": "It broadcasts."},
            {"value": "data", "text": "Data", "why": "The data is fine."},
        ],
        "answer": ["lr", "shape"],
    },
    {
        "name": "miss",
        "kind": "number",
        "label": "How far off?",
        "answer": 117,
        "atol": 2,
        "unit": "tokens",
        "suspects": [{"is": 250, "says": "These are characters."}],
    },
    {
        "name": "share",
        "kind": "number",
        "label": "How far off is it?",
        "answer": 6.55,
        "atol": 0.1,
        "unit": "%",
        "whole": True,
        "suspects": [{"is": 8.14, "says": "This is the other one."}],
        "follows": "fit",
        "by_choice": {"a": 8.14},
    },
    {"name": "own", "kind": "text", "label": "Why?", "min_words": 3},
]

RIGHT = """
slope_w = "2/n sum((w x + b - y) x)"
fit = "b"
causes = ["shape", "lr"]
miss = 118
share = 6.6
own = "because it broadcasts silently"
"""


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forms")
    return write_lesson(
        folder, kind="derive", functions=[], names=[], checks="", solution="", starter="", mistakes="",
        fields=FIELDS,
    )  # fmt: skip


def judge(lesson, name, value):
    """The verdict of one field, the others right."""
    lines = [f"{name} = {value}" if line.startswith(f"{name} =") else line for line in RIGHT.splitlines()]
    verdict = grade(lesson, "\n".join(lines))
    return verdict, next((check for check in verdict["checks"] if check["field"] == name), None)


def test_all_right(lesson):
    verdict = grade(lesson, RIGHT)
    assert (verdict["status"], verdict["message"]) == ("passed", "All 6 answers are right.")
    assert {check["status"] for check in verdict["checks"]} == {"passed"}


def test_every_field_is_judged(lesson):
    text = 'slope_w = "w"\nfit = "a"\ncauses = ["data"]\nmiss = 250\nshare = 1\nown = "no"\n'
    verdict = grade(lesson, text)
    assert verdict["status"] == "failed"
    assert [check["status"] for check in verdict["checks"]] == ["failed"] * 6
    assert "6 of 6 answers are not right" in verdict["message"]


def test_blank_fields_are_unfinished_unless_something_is_wrong(lesson):
    verdict = grade(lesson, 'slope_w = ...\nfit = "b"\nown = ""\n')
    assert verdict["status"] == "unfinished"
    assert verdict["message"] == (
        "Not finished yet: 1 of 6 right; "
        "still without an answer: `slope_w`, `causes`, `miss`, `share`, `own`."
    )
    statuses = {check["name"]: check["status"] for check in verdict["checks"]}
    assert statuses == {
        "slope_w": "not run", "fit": "passed", "causes": "not run", "miss": "not run",
        "share": "not run", "own": "not run",
    }  # fmt: skip
    assert grade(lesson, 'fit = "a"\n')["status"] == "failed"


@pytest.mark.parametrize(
    ("name", "value", "line", "diagnosis"),
    [
        ("slope_w", '"2 mean(w x + b - y)"', "The two are different.", CHAIN),
        ("slope_w", '"mean(2(w x + b - y) x"', "never closed (at character 5)", None),
        ("slope_w", '"max(w, b)"', "must do without `max`", None),
        ("slope_w", "2", "The two are different.", None),
        ("slope_w", "[2]", "An expression in quotes is wanted, not a list.", None),
        ("fit", '"a"', "`a` is not the answer.", "A is too steep."),
        ("fit", '"c"', 'One of "a", "b" is wanted', None),
        ("fit", "['b', 'a']", 'One of "a", "b" is wanted', None),
        ("fit", '"A"', "`a` is not the answer.", "A is too steep."),
        ("share", '"6.6.6"', "A number is wanted, not a text.", None),
        ("share", "6,6", "A number is wanted, with a point: 6.6, not 6,6.", None),
        ("share", "0.066", "0.066 % is less than the answer.", "This is a part of 1. In percent it is 100"),
        ("share", "-6.6", "-6.6 % is less than the answer.", "Only the sign is not right."),
        ("share", "8", "8 % is more than the answer.", None),
        ("share", "8.1", "8.1 % is more than the answer.", "This is the other one."),
        ("share", "6", "6 % is less than the answer.", None),
        ("share", "7.1", "7.1 % is more than the answer.", None),
        ("own", '"so"', "Write at least 3 words; there is 1 word so far.", None),
        ("own", '"- - - -"', "Write at least 3 words; there are 0 words so far.", None),
        ("causes", '["lr"]', "1 of the right ones is there; some are missing.", None),
        ("causes", '["lr", "shape", "data"]', "1 of your 3 does not belong.", "`data`: The data is fine."),
        ("causes", '["rate"]', '"rate" is none of the options', None),
        ("miss", "250.0", "250.0 tokens is more than the answer.", "These are characters."),
        ("miss", "90", "90 tokens is less than the answer.", None),
        ("miss", '"many"', "A number is wanted, not a text.", None),
        ("miss", "True", "A number is wanted, not True or False.", None),
        ("miss", "1e999", "A finite number is wanted.", None),
        ("own", '"too short"', "Write at least 3 words; there are 2 words so far.", None),
        ("own", "3", "A text in quotes is wanted, not a number.", None),
    ],
)  # fmt: skip
def test_wrong_fields(lesson, name, value, line, diagnosis):
    verdict, check = judge(lesson, name, value)
    assert verdict["status"] == "failed"
    assert check["status"] == "failed"
    assert line in check["evidence"]["lines"][0]
    assert check["diagnosis"] == diagnosis or (diagnosis and check["diagnosis"].startswith(diagnosis))
    assert line in verdict["message"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fit", "['b']"),
        ("fit", "'B'"),
        ("fit", "'b: '"),
        ("fit", "'b: The second'"),
        ("fit", "'B: in other words'"),
        ("share", "'6,6'"),
        ("share", "'6.6 percent'"),
        ("share", "'6.6%'"),
        ("share", "7"),
        ("share", "7.0"),
        ("own", "'因为平均'"),
        ("causes", "('lr', 'shape')"),
        ("causes", "{'shape', 'lr'}"),
        ("miss", "115"),
        ("miss", "'117 tokens'"),
        ("miss", "+117"),
        ("slope_w", "'mean(2*(w*x + b − y)·x)'"),
    ],
)
def test_right_fields_in_another_style(lesson, name, value):
    verdict, check = judge(lesson, name, value)
    assert check["status"] == "passed"
    assert verdict["status"] == "passed"


@pytest.mark.parametrize(
    ("fit", "share", "status", "diagnosis"),
    [
        ("a", "8.1", "passed", None),
        ("a", "8.2", "passed", None),
        ("a", "6.6", "failed", "This is the average of another choice than yours."),
        ("a", "3", "failed", None),
        ("b", "8.1", "failed", "This is the other one."),
        ("b", "6.6", "passed", None),
    ],
)
def test_a_number_follows_the_choice(lesson, fit, share, status, diagnosis):
    verdict = grade(lesson, f'fit = "{fit}"\nshare = {share}\n')
    check = next(item for item in verdict["checks"] if item["field"] == "share")
    assert (check["status"], check["diagnosis"]) == (status, diagnosis)


def test_the_right_choice_and_number_are_not_given_away(lesson):
    text = str(judge(lesson, "fit", '"a"')[1]) + str(judge(lesson, "miss", "300")[1])
    assert "117" not in text
    assert "halves" not in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import os\n", "Line 1: Only lines like `name = value`"),
        ("fit = 'b'\nprint(fit)\n", "Line 2: Only lines like"),
        ("fitt = 'b'\n", "no field `fitt` here. Did you mean 'fit'?"),
        ("fit = open('x')\n", "Line 1: `fit` must be a plain value"),
        ("miss = 2 * 58.5\n", "not something to compute"),
        ("fit, miss = 'b', 3\n", "Only lines like"),
        ("fit = 'b\n", "Line 1 is not Python yet"),
        ("fit = 2/n sum(x)\n", "Line 1 is not Python yet"),
        ("fit = b\n", 'Line 1: `b` is not in quotes: write `fit = "b"`.'),
        ("share = 6.6%\n", "Line 1: write the number without `%`, as in `share = 6.6`."),
        (
            "own = 'It's best'\n",
            'Line 1: the text ends at its apostrophe. Put it in double quotes: `own = "…"`.',
        ),
        ("fit = 'a'\nfit = 'b'\n", "Line 2: `fit` has its answer at line 1 already. Keep one."),
        ("x" * 30_000, "30,000 characters"),
        ("miss = " + "(" * 300 + ")" * 300, "is not Python yet"),
    ],
)
def test_what_is_no_form_is_said(lesson, text, says):
    verdict = grade(lesson, text)
    assert verdict["status"] == "error"
    assert says in verdict["message"]


def test_a_form_is_never_run():
    with pytest.raises(FormError):
        read_form("fit = __import__('os').getpid()", ("fit",))
    assert read_form('"""Words."""\n# comment\nfit: str = "b"\n', ("fit",)) == {"fit": "b"}


def test_checks_of_a_form_see_its_values(tmp_path):
    checks = """
    from nn2llm.course.grading import require

    def check_sum(learner, reference):
        require(learner.a + learner.b == 10, "a and b add up to 10.", diagnosis="Add them.")
    """
    fields = [{"name": name, "kind": "number", "label": name, "answer": 5, "atol": 5} for name in "ab"]
    lesson = write_lesson(
        tmp_path, kind="decide", functions=[], names=["check_sum"], checks=checks, solution="", starter="",
        mistakes="", fields=fields,
    )  # fmt: skip
    assert grade(lesson, "a = 3\nb = 7")["status"] == "passed"
    verdict = grade(lesson, "a = 3\nb = 8")
    assert (verdict["status"], verdict["checks"][-1]["diagnosis"]) == ("failed", "Add them.")
    assert "a and b add up to 10." in verdict["message"]


def test_previews_and_the_process_part_load_no_torch():
    code = (
        "import sys, nn2llm.course.grading, nn2llm.course.grading.expressions as e\n"
        "assert e.preview_expression('2x', {'x': {}})['tex']\n"
        "from nn2llm.course.grading.evidence import Verdict\n"
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"
