"""A mistake is named when there can be only one, and never wrongly."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.course.grading import generator, same, suspect
from nn2llm.course.grading.diagnosing import diagnose
from tests.course.grading.grading_lessons import grading


def name(learners, reference, arguments, suspects=None, *, seed=0, calls=1):
    """What is said of a function, by a check that draws `arguments(g)` for each call."""

    def check(_, __):
        g = generator()
        for _ in range(calls):
            same(learners, reference, *arguments(g), suspects=suspects)

    with grading(seed) as session:
        return diagnose(session, check, None, None)


def matrix(g):
    return (torch.randn(3, 4, generator=g),)


def softmax(x):
    return x.softmax(dim=1)


SUSPECTS = {
    "Wrong axis.": lambda x: x.softmax(dim=0),
    "No exponential.": lambda x: x / x.sum(dim=1, keepdim=True),
    "Not divided.": lambda x: x.exp(),
}


def test_the_only_suspect_that_fits_is_named():
    assert name(lambda x: torch.softmax(x, 0), softmax, matrix, SUSPECTS) == "Wrong axis."
    assert name(lambda x: torch.exp(x), softmax, matrix, SUSPECTS) == "Not divided."


def test_nothing_is_said_of_another_mistake():
    assert name(lambda x: x.softmax(dim=1).clamp(max=0.4), softmax, matrix, SUSPECTS) is None


def test_two_suspects_that_both_fit_are_none():
    twice = {**SUSPECTS, "The other axis.": lambda x: x.softmax(dim=-2)}
    assert name(lambda x: x.softmax(dim=0), softmax, matrix, twice) is None


def test_a_suspect_must_fit_every_call_and_every_round():
    calls = []

    def sometimes(x):
        calls.append(x)
        return x.softmax(dim=0) if len(calls) % 4 else x.softmax(dim=1).clamp(max=0.3)

    assert name(sometimes, softmax, matrix, SUSPECTS, calls=2) is None


def test_a_suspect_that_is_right_on_some_calls_may_fit():
    # one row: wrong axis and right one differ; one column with one row: they agree
    def arguments(g):
        return (torch.randn(int(torch.randint(1, 3, (1,), generator=g)), 3, generator=g),)

    def one_row_only(x):
        return x.softmax(dim=1) if len(x) > 1 else torch.zeros_like(x) + 0.25

    assert name(lambda x: x.softmax(dim=0), softmax, arguments, SUSPECTS, calls=4) == "Wrong axis."
    assert name(one_row_only, softmax, arguments, SUSPECTS, calls=4) is None


def test_a_suspect_that_raises_is_ignored():
    def broken(x):
        raise RuntimeError

    assert name(lambda x: x.softmax(0), softmax, matrix, {"Broken.": broken, **SUSPECTS}) == "Wrong axis."


def test_a_suspect_near_the_reference_is_not_named():
    near = {"Forgot the epsilon.": lambda x: x.softmax(dim=1) + 3e-5}
    assert name(lambda x: x.softmax(dim=1) + 3e-5, softmax, matrix, near) is None


def test_suspects_may_be_marked_and_listed():
    @suspect("Wrong axis.")
    def wrong_axis(x):
        return x.softmax(dim=0)

    assert name(lambda x: x.softmax(0), softmax, matrix, [wrong_axis]) == "Wrong axis."
    assert name(lambda x: x.softmax(0), softmax, matrix, [suspect("A.", lambda x: x.softmax(0))]) == "A."


def test_a_few_whole_numbers_prove_nothing():
    def arguments(g):
        return (int(torch.randint(2, 9, (1,), generator=g)),)

    one = {"Off by one.": lambda n: 8}
    assert name(lambda n: 8, lambda n: 7, lambda g: (5,), one) is None
    assert name(lambda n: n + 1, lambda n: n, arguments, {"Off by one.": lambda n: n + 1}, calls=4) == (
        "Off by one."
    )


def test_a_flag_needs_more_than_luck():
    assert name(lambda x: True, lambda x: False, matrix, {"Always yes.": lambda x: True}) is None


def test_code_that_raises_elsewhere_is_not_explained():
    def arguments(g):
        return (torch.randn(2, 3, generator=g), int(torch.randint(0, 2, (1,), generator=g)))

    def sometimes(x, flag):
        if flag:
            raise ValueError
        return x.softmax(0)

    suspects = {"Wrong axis.": lambda x, flag: x.softmax(0)}
    assert name(sometimes, lambda x, flag: x.softmax(1), arguments, suspects, calls=6) is None


def test_structure_is_named():
    def of(learners, reference=lambda x: x @ x.T @ x, arguments=matrix, **more):
        return name(learners, reference, arguments, **more) or ""

    assert "transposed" in of(lambda x: (x @ x.T @ x).T)
    assert "(3, 4), expected (4, 3)" in of(lambda x: x, lambda x: x.T)
    assert "sign turned" in of(lambda x: -(x @ x.T @ x))
    assert "is 2 times the expected" in of(lambda x: 2 * (x @ x.T @ x))
    assert "is 0.3333 times" in of(lambda x: (x @ x.T @ x) / 3)
    assert "0.5 more than expected" in of(lambda x: x @ x.T @ x + 0.5)
    assert "returned its argument `x` unchanged" in of(lambda x: x)
    assert "the shape is not: (3, 4, 1)" in of(lambda x: (x @ x.T @ x)[..., None])
    assert "Every number of your result is 0" in of(lambda x: torch.zeros(3, 4))
    assert "on all 6 calls, whatever the arguments" in of(lambda x: 0.7, lambda x: x.sum().item(), calls=2)
    assert "reverse order" in of(lambda x: x.sum(0).flip(0), lambda x: x.sum(0))
    assert "their order is not" in of(lambda x: x.sum(0)[[1, 0, 2, 3]], lambda x: x.sum(0))


def test_structure_is_not_named_by_luck():
    def pair(g):
        return tuple(torch.randn(2, generator=g).tolist())

    # one number a call is twice another by chance only if it is on all calls
    assert name(lambda a, b: 2.0, lambda a, b: 1.0, pair) is None
    # all numbers alike: every factor and every shift fits
    assert name(lambda x: torch.ones(3) * 3, lambda x: torch.ones(3), matrix) is None
    # a right answer with one element twice too large
    assert name(lambda x: torch.cat([x[:1] * 2, x[1:]]), lambda x: x, matrix) is None
    # symmetric: transposing changes nothing, something else is wrong
    assert name(lambda x: x @ x.T + torch.eye(3), lambda x: x @ x.T, matrix) is None


def test_suspects_come_before_structure():
    said = name(lambda x: -x, lambda x: x, matrix, {"The sign of the logit.": lambda x: -x})
    assert said == "The sign of the logit."


OPERATIONS = {
    "right": lambda x: x.softmax(dim=1),
    "wrong axis": lambda x: x.softmax(dim=0),
    "exponential": lambda x: x.exp(),
    "logarithm": lambda x: x.log_softmax(dim=1),
    "turned": lambda x: -x.softmax(dim=1),
    "twice": lambda x: 2 * x.softmax(dim=1),
    "transposed": lambda x: x.softmax(dim=1).T,
    "argument": lambda x: x,
    "zeros": lambda x: torch.zeros_like(x),
}


@given(
    st.sampled_from(sorted(OPERATIONS)),
    st.sampled_from(["none", "clamp", "noise", "one row", "double"]),
    st.lists(st.sampled_from(sorted(OPERATIONS)), unique=True, max_size=5),
    st.integers(0, 1000),
    st.integers(1, 3),
)
@settings(deadline=None, max_examples=120)
def test_never_a_wrong_name(base, twist, suspected, seed, calls):
    """A suspect is named only where the learner's function is that suspect, whatever else is suspected."""
    twists = {
        "none": lambda y: y,
        "clamp": lambda y: y.clamp(max=0.3),
        "noise": lambda y: y + 0.01 * torch.rand(y.shape),
        "one row": lambda y: torch.cat([y[:-1], y[-1:] * 1.5]),
        "double": lambda y: y.double(),
    }
    suspects = {label: OPERATIONS[label] for label in suspected if label != "right"}

    def learners(x):
        return twists[twist](OPERATIONS[base](x))

    said = name(learners, softmax, matrix, suspects, seed=seed, calls=calls)
    if said is None:
        return
    assert twist != "noise"
    if said in OPERATIONS:
        for _ in range(5):
            x = torch.randn(3, 4)
            assert torch.allclose(twists[twist](OPERATIONS[base](x)).float(), OPERATIONS[said](x))
