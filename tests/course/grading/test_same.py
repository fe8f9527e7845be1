"""What same() takes for right, and what it says of the rest."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from nn2llm.course.grading import generator, raises, require, same
from nn2llm.course.grading.session import CheckFailed
from tests.course.grading.grading_lessons import failure, grading


def test_evidence_of_a_wrong_number_has_call_value_and_difference():
    found = failure(lambda: same(lambda x: x + 1.0, lambda x: x + 1.5, 2.0)).evidence
    assert found.called == "the check's function(x=2.0)"
    assert (found.returned, found.expected) == ("3.0", "3.5")
    assert found.lines == ["3.0 came back, expected 3.5."]
    assert found.difference == "largest difference 0.5"


def test_evidence_of_a_tensor_marks_the_first_difference():
    x = torch.arange(20, dtype=torch.float32).reshape(4, 5)

    def wrong(x):
        y = x * 2
        y[2, 3] = 7.0
        return y

    found = failure(lambda: same(wrong, lambda x: x * 2, x)).evidence
    assert found.lines[0] == "The numbers differ, first at [2, 3]."
    assert found.difference == "largest difference 19 at [2, 3]; 1 of 20 differ"
    returned, expected = found.arrays
    assert (returned.label, returned.shape, returned.dtype) == ("returned", [4, 5], "float32")
    assert returned.marked == expected.marked == [[2, 3]]
    assert (returned.values[2][3], expected.values[2][3]) == ("7.0", "26.0")
    assert found.called == "wrong(x=tensor (4, 5) float32, 0.0 to 19.0)"


def test_a_window_of_a_large_tensor_holds_the_first_difference():
    x = torch.zeros(3, 50, 60)

    def wrong(x):
        y = x.clone()
        y[1, 33, 44] = 5.0
        return y

    returned, _ = failure(lambda: same(wrong, lambda x: x, x)).evidence.arrays
    assert returned.label == "returned[1]"
    assert (len(returned.values), len(returned.values[0])) == (6, 8)
    row, column = returned.marked[0]
    assert returned.values[row][column] == "5.0"
    assert returned.values[0][0] == returned.values[-1][-1] == "…"


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (3, 3.0),
        (torch.tensor(3.0), 3.0),
        (3.0, torch.tensor(3.0)),
        (torch.tensor(3), 3),
        (torch.tensor(3.0, dtype=torch.float64), torch.tensor(3.0)),
        (np.float32(3), 3.0),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (torch.tensor(True), True),
        ([1, 2.0], (1, 2.0)),
        ((1, 2), [1, 2]),
        (torch.tensor([1, 2], dtype=torch.int32), torch.tensor([1, 2])),
        (torch.nn.Parameter(torch.ones(2)), torch.ones(2)),
        (math.nan, math.nan),
        (math.inf, math.inf),
        (torch.empty(0, 3), torch.empty(0, 3)),
        ({"b": 1, "a": [2.0]}, {"a": [2.0], "b": 1}),
        ({1, 2}, {2, 1}),
        (range(3), [0, 1, 2]),
        (None, None),
        ("text", "text"),
        (torch.Size([2, 3]), (2, 3)),
        (torch.float32, torch.float32),
        (1 + 2j, torch.tensor(1 + 2j)),
    ],
)
def test_right_in_any_style(returned, expected):
    with grading():
        same(lambda: returned, lambda: expected)


@pytest.mark.parametrize(
    ("returned", "expected", "says"),
    [
        (None, 1.0, "Nothing came back (None)"),
        (..., 1.0, "`...` still stands there"),
        (True, 1, "True or False (bool) came back, expected a whole number"),
        (1, True, "expected True or False"),
        (3.0, 3, "expected a whole number (int)"),
        ("3", 3, "a text (str) came back"),
        (torch.ones(1), 1.0, "shape (1,) came back, expected a single number"),
        (1.0, torch.ones(1), "expected a tensor of shape (1,)"),
        (torch.ones(3, 1), torch.ones(3), "shape (3, 1) came back, expected a tensor of shape (3,)"),
        (torch.ones(3).double(), torch.ones(3), "dtype is float64, expected float32"),
        (np.ones(3), torch.ones(3), "numpy array came back, expected a torch tensor"),
        ([1.0, 1.0], torch.ones(2), "a list of 2 came back, expected a tensor"),
        ((1, 2, 3), (1, 2), "a tuple of 3 came back, expected 2 items"),
        ((1.0,), 1.0, "a tuple of 1 came back"),
        ((1.0, None), (1.0, 2.0), "At `[1]`: nothing came back"),
        (torch.tensor([1.0, math.nan]), torch.ones(2), "NaN (not a number) came back, first at [1]"),
        (math.nan, 1.0, "NaN (not a number) came back"),
        (math.inf, -math.inf, "inf came back, expected -inf"),
        ({"a": 1}, {"b": 1}, "'b' is missing and 'a' is not wanted"),
        ((i for i in range(3)), [0, 1, 2], "Collect it with `list(…)`"),
        ("hallo", "hello", "differ from character 2"),
        (torch.tensor([1, 2], dtype=torch.uint8), torch.tensor([2, 1], dtype=torch.uint8), "not"),
        (torch.tensor([True, False]), torch.tensor([True, True]), "first at [1]"),
        (1 + 1e-4, 1.0, "1.0001 came back, expected 1.0"),
        (lambda: 1, 1, "an object of class `function` came back"),
    ],
)
def test_wrong_is_said_in_words(returned, expected, says):
    line = failure(lambda: same(lambda: returned, lambda: expected)).evidence.lines[0]
    assert says.lower() in line.lower()


def test_shape_is_said_before_the_numbers_of_another_part():
    found = failure(lambda: same(lambda: (9.0, torch.ones(2, 1)), lambda: (1.0, torch.ones(2))))
    assert found.evidence.lines[0].startswith("At `[1]`: a tensor of shape (2, 1)")


def test_dots_are_unfinished():
    assert failure(lambda: same(lambda: ..., 1.0)).unfinished
    assert not failure(lambda: same(lambda: None, 1.0)).unfinished


def test_tolerance_follows_the_coarsest_dtype():
    x = torch.ones(3)
    with grading():
        same(lambda x: x.double().sum().item() + 1e-6, lambda x: 3.0, x)
        same(lambda x: x + 0.01, lambda x: x, x.bfloat16())
    assert failure(lambda: same(lambda x: x + 1e-6, lambda x: x, 1.0))
    assert failure(lambda: same(lambda x: x + 1e-4, lambda x: x, x))
    with grading():
        same(lambda x: x + 1e-4, lambda x: x, x, atol=1e-3)


def test_a_changed_argument_is_named_though_the_result_is_right():
    def inplace(x, y):
        x.add_(1.0)
        return x + y

    arguments = torch.zeros(3), torch.ones(3)
    found = failure(lambda: same(inplace, lambda x, y: x + y + 1, *arguments))
    assert "changed its argument `x` in place" in found.evidence.lines[0]
    with grading():
        same(inplace, lambda x, y: x + y + 1, *arguments, allow_inplace=True)
        same(inplace, lambda x, y: x.add_(1.0) + y, *arguments, compare_arguments=True)
    found = failure(lambda: same(inplace, lambda x, y: x + y + 1, *arguments, compare_arguments=True))
    assert "Afterwards the argument `x`" in found.evidence.lines[0]
    assert torch.equal(arguments[0], torch.zeros(3))  # the check's own stay as they are


def test_lists_and_modules_changed_in_place_are_seen():
    def drop(items):
        items.pop()
        return 2

    def train(module):
        with torch.no_grad():
            module.weight.zero_()
        return 1

    assert failure(lambda: same(drop, lambda items: 2, [1, 2, 3]))
    assert failure(lambda: same(train, lambda module: 1, torch.nn.Linear(2, 2)))


def test_a_detached_result_is_said_only_where_a_gradient_was_asked_for():
    x = torch.ones(3, requires_grad=True)
    found = failure(lambda: same(lambda x: (x * 2).detach(), lambda x: x * 2, x))
    assert "detached" in found.evidence.lines[0]
    with grading():
        same(lambda x: (x * 2).detach(), lambda x: (x * 2).requires_grad_(), torch.ones(3))


def test_generators_are_compared_item_by_item_and_endless_ones_by_their_beginning():
    def count():
        number = 0
        while True:
            yield number
            number += 1

    def evens():
        yield from range(0, 100, 2)

    with grading():
        same(count, count, take=20)
        same(lambda: list(range(3)), lambda: iter(range(3)))
    assert "`[1]`" in failure(lambda: same(evens, count, take=10)).evidence.lines[0]
    assert "of 50 came back, expected 100" in failure(lambda: same(evens, count, take=100)).evidence.lines[0]


def test_arguments_that_are_generators_serve_both_sides():
    with grading():
        same(lambda items: sum(items), lambda items: sum(items), (i for i in range(5)))
    found = failure(lambda: same(lambda items: 0, lambda items: sum(items), (i for i in range(5))))
    assert found.evidence.expected == "10"


def test_a_random_generator_given_as_argument_is_copied_with_its_state():
    def draw(g):
        return torch.rand(3, generator=g)

    with grading():
        g = generator()
        torch.rand(1, generator=g)
        same(draw, draw, g)


def test_both_sides_start_from_the_same_global_random_state():
    with grading():
        same(lambda: torch.rand(3), lambda: torch.rand(3))
        same(lambda: np.random.rand(), lambda: np.random.rand())


def test_dataclasses_of_one_form_agree():
    @dataclass
    class Mine:
        loss: float

    @dataclass
    class Theirs:
        loss: float

    with grading():
        same(lambda: Mine(1.0), lambda: Theirs(1.0))
    assert "'loss'" in failure(lambda: same(lambda: Mine(2.0), lambda: Theirs(1.0))).evidence.lines[0]


def test_numbers_that_look_alike_are_written_with_more_digits():
    found = failure(lambda: same(lambda: 0.12345678, lambda: 0.12345978, atol=1e-9)).evidence
    assert found.returned != found.expected
    assert (found.returned, found.expected) == ("0.1234568", "0.1234598")


def test_seed_is_said_where_numbers_were_drawn():
    def check():
        x = torch.rand(3, generator=generator())
        same(lambda x: x, lambda x: x + 1, x)

    assert failure(check).evidence.lines[-1] == "The random numbers come from seed 0."


def test_generators_differ_from_each_other_and_repeat_with_the_seed():
    def draw(seed):
        with grading(seed):
            return [torch.rand(1, generator=generator()).item() for _ in range(3)]

    assert draw(1) == draw(1)
    assert len({*draw(1), *draw(2)}) == 6


def test_too_much_is_refused():
    nested: list = []
    nested.append(nested)
    assert "too much to compare" in failure(lambda: same(lambda: nested, lambda: [])).evidence.lines[0]
    assert "too much" in failure(lambda: same(lambda: list(range(200_001)), lambda: [])).evidence.lines[0]


@pytest.mark.parametrize("holds", [True, np.True_, torch.tensor(True), torch.ones(3) > 0, 1])
def test_require_passes(holds):
    require(holds, "It holds.")


@pytest.mark.parametrize("fails", [False, torch.tensor([True, False]), None, 0])
def test_require_fails_with_its_words_and_diagnosis(fails):
    found = failure(
        lambda: require(fails, "Rows must sum to 1", returned=4.0, expected=1.0, diagnosis="Wrong axis.")
    )
    assert found.evidence.lines == ["Rows must sum to 1."]
    assert (found.evidence.returned, found.evidence.expected) == ("4.0", "1.0")
    assert found.diagnosis == "Wrong axis."


def test_raises_wants_that_exception():
    def refuse(beta):
        if beta <= 0:
            raise ValueError(f"beta {beta}")
        return beta

    with grading():
        raises(refuse, ValueError, -1.0)
    assert "it returned a value" in failure(lambda: raises(refuse, ValueError, 1.0)).evidence.lines[0]
    found = failure(lambda: raises(refuse, ZeroDivisionError, -1.0)).evidence
    assert found.returned == "ValueError: beta -1.0"


def test_what_the_learners_function_raises_comes_out():
    with grading() as session, pytest.raises(ZeroDivisionError) as caught:
        same(lambda x: x / 0, lambda x: x, 1.0)
    assert session.raised is caught.value
    assert not isinstance(caught.value, CheckFailed)
