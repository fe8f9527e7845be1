"""What is a verdict, and what is not: a learner's code may turn what writes it, an import hold anything."""

import pytest

from nn2llm.course.grading.stopped import is_whole

WHOLE = {
    "exercise": "x", "status": "failed", "message": "m", "seed": 1, "elapsed_s": 0.1, "error": None,
    "printed": "", "cut": False,
    "checks": [
        {"name": "c", "title": "t", "status": "failed", "diagnosis": None, "field": None,
         "evidence": {"called": "f()", "returned": None, "expected": "1", "lines": ["l"], "arrays": [{}]}},
    ],
}  # fmt: skip


def test_a_whole_verdict_is_known():
    assert is_whole(WHOLE)
    assert is_whole({**WHOLE, "checks": [], "part": "Your code is a part now."})


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "won"},
        {"status": "passed"},  # with a check that failed
        {"message": None},
        {"seed": "1"},
        {"checks": None},
        {"checks": [3]},
        {"checks": [{**WHOLE["checks"][0], "name": None}]},
        {"checks": [{**WHOLE["checks"][0], "status": "passes"}]},
        {"checks": [{**WHOLE["checks"][0], "field": ["x"]}]},
        {"checks": [{**WHOLE["checks"][0], "evidence": 3}]},
        {"checks": [{**WHOLE["checks"][0], "evidence": {"lines": [3]}}]},
        {"checks": [{**WHOLE["checks"][0], "evidence": {"arrays": [3]}}]},
        {"part": 3},
    ],
)
def test_a_verdict_that_is_none_is_known(changes):
    assert not is_whole({**WHOLE, **changes})
    assert not is_whole({})
