"""compare(): parity with numpy.allclose, and properties of windows and copies."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nn2llm.course.grading.compare import Tolerance, agree, compare
from nn2llm.course.grading.copies import copy_arguments
from nn2llm.course.grading.plain import freeze
from nn2llm.course.grading.showing import choose_digits, view_array, write_number

numbers = st.floats(-1e6, 1e6, width=32) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0])
shapes = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)


@given(st.data(), shapes, st.sampled_from([0.0, 1e-6, 0.1]), st.sampled_from([0.0, 1e-5, 0.5]))
@settings(deadline=None, max_examples=150)
def test_agrees_with_numpy(data, shape, atol, rtol):
    left = data.draw(hnp.arrays(np.float64, shape, elements=numbers))
    change = data.draw(hnp.arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.0, 1e-7, 1e-3, 1.0])))
    right = left + change
    with np.errstate(all="ignore"):
        expected = np.allclose(left, right, atol=atol, rtol=rtol, equal_nan=True)
    assert agree(freeze(left), freeze(right), Tolerance(atol, rtol)) == expected
    assert agree(freeze(torch.tensor(left)), freeze(torch.tensor(right)), Tolerance(atol, rtol)) == expected


@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(-9, 9)), st.data())
@settings(deadline=None, max_examples=80)
def test_one_changed_element_is_found_counted_and_measured(array, data):
    place = tuple(data.draw(st.integers(0, size - 1)) for size in array.shape)
    changed = array.copy()
    changed[place] += 1.0
    found = compare(freeze(changed), freeze(array), Tolerance(1e-9, 0.0))
    assert found is not None
    assert (found.index, found.count, found.total) == (place, 1, array.size)
    assert found.largest is not None
    assert abs(found.largest - 1.0) < 1e-9


@given(st.integers(1, 40), st.integers(1, 40), st.data())
@settings(deadline=None, max_examples=100)
def test_a_window_always_shows_the_marked_element(rows, columns, data):
    row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    table = np.arange(rows * columns).reshape(rows, columns)
    frozen = freeze(table)
    view = view_array("returned", frozen, (row, column))  # type: ignore[arg-type]
    assert len(view.values) <= 6
    assert all(len(line) <= 8 for line in view.values)
    (shown_row, shown_column), *_ = view.marked
    assert view.values[shown_row][shown_column] == str(table[row, column])
    assert (rows > 6) == any("…" in (line[0], line[-1]) and set(line) == {"…"} for line in view.values)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
@settings(deadline=None)
def test_different_numbers_are_written_differently(left, right):
    digits = choose_digits(left, right)
    same_text = write_number(left, digits) == write_number(right, digits)
    assert same_text == (left == right) or (left == 0 == right)


def test_copies_share_nothing_but_keep_what_was_one_thing():
    x = torch.ones(2, requires_grad=True) * 2  # no leaf: deepcopy refuses it
    items = [x, x, {"a": x}]
    (copied,), _ = copy_arguments((items,), {})
    assert copied[0] is copied[1] is copied[2]["a"] is not x
    copied[0].data.zero_()
    assert x.tolist() == [2.0, 2.0]
    assert copied[0].requires_grad


def test_small_unsigned_integers_do_not_wrap_around():
    left, right = torch.tensor([0], dtype=torch.uint8), torch.tensor([255], dtype=torch.uint8)
    found = compare(freeze(left), freeze(right), Tolerance(2.0, 0.0))
    assert found is not None
    assert found.largest == 255
