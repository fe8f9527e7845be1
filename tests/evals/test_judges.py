"""Two looks at a pair: what becomes of order bias, ties and judges that say nothing."""

import pytest

from nn2llm.core.errors import DataError
from nn2llm.evals.judges import JudgeRequest, Verdict, check_babble, judge_pairs

PROMPT = ({"role": "user", "content": "hello"},)


class Scripted:
    """A judge whose looks are given: `say(first, second)`."""

    name, babble = "scripted", None

    def __init__(self, say):
        self.say, self.num_looks = say, 0

    def compare(self, requests):
        self.num_looks += len(requests)
        return [self.say(request.first, request.second) for request in requests]


def judge(say, *, swap=True):
    return judge_pairs(Scripted(say), [JudgeRequest(PROMPT, "x", "yy")], swap=swap)


def longer(first, second):
    return Verdict(
        "first" if len(first) > len(second) else "second", "longer", 0.9 if first > second else 0.2
    )


def test_a_judge_that_looks_at_the_replies_chooses_the_same_in_both_orders():
    judged = judge(longer)
    assert judged.verdicts == (
        Verdict("second", "longer / longer", pytest.approx(0.15)),
    )  # (0.2 + 1 - 0.9) / 2
    assert judged.to_dict() == {"pairs": 1, "ties": 0, "order_decided": 0, "failed": 0, "looks": 2}


@pytest.mark.parametrize("place", ["first", "second"])
def test_one_that_goes_by_the_order_decides_nothing(place):
    judged = judge(lambda first, second: Verdict(place))
    assert judged.verdicts == (Verdict("tie", "", 0.5),)
    assert (judged.num_ties, judged.num_order_decided) == (1, 1)
    assert judge(lambda first, second: Verdict(place), swap=False).verdicts == (Verdict(place),)


@pytest.mark.parametrize(
    ("looks", "choice", "soft"),
    [
        (["tie", "tie"], "tie", 0.5),
        (["first", "tie"], "tie", 0.75),
        (["tie", "first"], "tie", 0.25),
        (["first", "second"], "first", 1.0),
        (["second", "first"], "second", 0.0),
    ],
)
def test_looks_merged(looks, choice, soft):
    left = iter(looks)
    judged = judge(lambda first, second: Verdict(next(left)))
    assert judged.verdicts == (Verdict(choice, "", soft),)
    assert judged.num_order_decided == 0


@pytest.mark.parametrize("failing", [0, 1])
def test_a_look_without_a_verdict_fails_the_pair(failing):
    looks = [Verdict("first"), Verdict("second")]
    looks[failing] = None
    judged = judge(lambda first, second: looks.pop(0))
    assert judged.verdicts == (None,)
    assert (judged.num_failed, judged.num_ties) == (1, 0)


def test_swapping_puts_the_other_reply_first_and_nothing_else():
    request = JudgeRequest(PROMPT, "x", "yy")
    assert request.swap() == JudgeRequest(PROMPT, "yy", "x")
    assert request.swap().swap() == request


def test_too_much_babble_is_said_with_an_example():
    check_babble("tiny", "lalala", num_failed=2, num_asked=10, max_failed=0.2)
    check_babble("tiny", None, num_failed=0, num_asked=0, max_failed=0.0)
    with pytest.raises(DataError, match=r"tiny gave no usable answer to 3 of 10 .* 20% .*'lalala'"):
        check_babble("tiny", "lalala", num_failed=3, num_asked=10, max_failed=0.2)
