"""Draw, then run: distances and sentences by hand; the same in a browser."""

import math
import xml.dom.minidom

import numpy as np
import pytest
import torch

from nn2llm.course.figures import Draw, FigureError
from nn2llm.course.figures.draw_words import bridge, compare_curves, find_shape, say_curves, say_tables

XS = np.arange(11.0)
FALL = np.linspace(1, 0, 11)
NAN = math.nan


def make_curve(run=lambda: FALL, **more):
    return Draw.curve(run=run, x_label="step", x_range=(0, 10), y_label="loss", y_range=(0, 1), **more)


# --- distances ----------------------------------------------------------------------------------------------


def test_a_sketch_is_bridged_between_its_points_and_ends_with_them():
    np.testing.assert_array_equal(bridge([None, 4.0, None, 2.0, None]), [NAN, 4, 3, 2, NAN])
    assert np.isnan(bridge([None, None])).all()


def test_the_distance_by_hand():
    found = compare_curves(np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 4.0]), (0, 10))
    assert (found.mean, found.share, found.left_at) == (pytest.approx(1.0), pytest.approx(0.1), None)
    # the run is 5 and 25 above the chart: the edge counts, so 10 and 9
    found = compare_curves(np.array([0.0, 1.0]), np.array([15.0, 35.0]), (0, 10))
    assert (found.mean, found.left_at) == (pytest.approx(9.5), 0)
    # only where both are known
    found = compare_curves(np.array([NAN, 1.0, 2.0]), np.array([9.0, 3.0, NAN]), (0, 10))
    assert (found.first, found.last, found.mean) == (1, 1, pytest.approx(2.0))
    assert compare_curves(np.array([NAN, 1.0]), np.array([1.0, NAN]), (0, 10)) is None


def test_on_a_log_axis_the_distance_is_a_factor():
    # factors 10 and 1000 of six decades: on average two decades, a third of the height
    found = compare_curves(np.array([1.0, 1.0]), np.array([10.0, 1000.0]), (1e-3, 1e3), log=True)
    assert found.mean == pytest.approx(100)
    assert found.share == pytest.approx(1 / 3)


# --- shapes: named only where they are sure -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("heights", "moves", "turns"),
    [
        ([0.9, 0.5, 0.2, 0.1], (-1,), ()),
        ([0.5, 0.5, 0.5], (), ()),
        ([0.9, 0.3, 0.1, 0.5, 0.8], (-1, 1), (2,)),
        ([0.1, 0.6, 0.2, 0.7, 0.1], (1, -1, 1, -1), (1, 2, 3)),
        ([0.9, 0.5, 0.52, 0.2], (-1,), ()),
    ],
)
def test_shapes(heights, moves, turns):
    shape = find_shape(np.array(heights))
    assert (shape.moves, shape.turns) == (moves, turns)


def test_a_turn_between_the_two_tolerances_is_not_named():
    assert find_shape(np.array([0.9, 0.5, 0.56, 0.2])) is None
    assert find_shape(np.array([0.5, 0.56, 0.5])) is None
    assert find_shape(np.array([0.1, 0.9])) is None


def test_a_fall_and_a_turn_are_told_apart():
    turning = np.concatenate([np.linspace(1, 0.2, 6), np.linspace(0.3, 0.8, 5)])
    said = say_curves(XS, FALL, turning, (0, 1), x_label="step")
    assert said[1] == "Yours falls all the way; the run turns up after step 5."


def test_two_falls_of_different_speed():
    quick = np.array([1.0] + [0.05] * 10)
    said = say_curves(XS, FALL, quick, (0, 1), x_label="step", y_unit="nats")
    # |FALL − 0.05| at steps 1 to 10: 0.85, 0.75, …, 0.05 and 0.05: 4.1 of 11
    assert said == [
        "On average yours lies 0.37 nats from the run (37% of the chart's height).",
        "Both fall all the way, but the run has half of its fall behind it by step 1, yours by step 5.",
    ]
    assert say_curves(XS, FALL, FALL - 0.01, (0, 1))[1] == "Both fall all the way."


def test_the_sentence_for_a_part_and_for_a_run_that_leaves():
    part = np.where(XS <= 4, FALL, NAN)
    assert "between x 0 and 4, where you drew" in say_curves(XS, part, FALL, (0, 1))[0]
    said = say_curves(XS, FALL, 0.5 * 1.5**XS, (0, 1), x_label="step")
    assert said[1] == "Yours falls all the way; the run rises all the way."
    assert said[2].startswith("The run leaves the chart through the top at step 2 and ends at 29;")
    assert "share no place" in say_curves(XS, XS * NAN, FALL, (0, 1))[0]


def say(sketch, run, **more):
    size = len(run)
    words = [str(at) for at in range(size)]
    return say_tables(
        np.array(sketch, float), np.array(run, float), (0, 1), num_levels=3, rows=words, columns=words, **more
    )


def test_a_table_by_hand():
    said = say([[1, 0.5], [NAN, 0]], [[0.9, 0.5], [0.3, 1.0]])
    # 0.9 has the level 1, 0.5 the level 0.5, 1.0 is not 0; distances 0.1, 0, 1
    assert said == [
        "2 of 3 painted cells have the level of the run; on average you are 0.37 away (37% of the range).",
        "Furthest: row 1, column 1: yours 0, the run 1.",
    ]
    assert len(say([[1, 0], [0.5, 1]], [[1, 0], [0.5, 1]])) == 1
    assert "no cell" in say([[NAN, NAN], [NAN, NAN]], [[1, 0], [0.5, 1]])[0]


def test_an_exchanged_and_an_unmasked_table_are_named():
    run = [[1, 0, 0], [1, 0, 0], [1, 0, 1]]
    assert say(np.array(run).T, run)[1] == "Yours is the run with rows and columns exchanged."
    causal = np.tril(np.ones((3, 3)))
    said = say(np.ones((3, 3)) / 2, causal)
    assert said[1] == "In the run every cell above the diagonal is 0; you painted 3 cells there higher."
    # a table that is zero below as well says nothing of triangles
    assert said[1] not in say(np.ones((3, 3)) / 2, np.eye(3))


# --- the figures --------------------------------------------------------------------------------------------


def test_nothing_of_the_run_is_known_before_it_is_asked_for():
    calls = []

    def run():
        calls.append(1)
        return torch.tensor(FALL)

    figure = make_curve(run, start=1.0)
    figure.to_svg()
    assert (calls, figure.run, figure.words) == ([], {}, [])
    assert figure.summary().endswith("it starts at 1, then to run.")
    figure.draw([1.0, *[None] * 9, 0.0]).press_run()
    assert len(calls) == 1
    assert figure.words[0].startswith("On average yours lies 0 from the run (0%")
    assert figure.run["y"] == pytest.approx(FALL)
    assert figure.answered == figure.asked == 1


def test_one_message_from_the_page_brings_sketch_and_question():
    figure = make_curve(start=1.0)
    figure.set_state({"sketch": [1, *[None] * 9, 0], "asked": 1})
    assert figure.words == [
        "On average yours lies 0 from the run (0% of the chart's height).",
        "Both fall all the way.",
    ]
    # "Try again", a new sketch, Run
    figure.set_state({"run": {}, "words": []})
    figure.set_state({"sketch": [1, *[None] * 9, 1], "asked": 2})
    assert figure.words[1] == "Yours stays flat; the run falls all the way."
    assert figure.answered == 2


def test_without_a_sketch_it_runs_and_compares_nothing():
    figure = make_curve(start=1.0).press_run()
    assert figure.words == []
    assert figure.run["x"] == XS.tolist()


def test_a_run_with_its_own_x_and_one_that_explodes():
    figure = make_curve(lambda: ([0.0, 10.0], [1.0, 0.0])).draw([1.0, *[None] * 9, 0.0]).press_run()
    assert "lies 0 from" in figure.words[0]
    figure = make_curve(lambda: [1.0, np.inf]).draw([1.0, *[None] * 9, 0.0]).press_run()
    assert figure.run["y"] == [1.0, 1e300]
    assert "leaves the chart through the top at step 1" in figure.words[-1]
    figure = make_curve(lambda: [NAN] * 3).draw([1.0, *[None] * 9, 0.0]).press_run()
    assert (figure.failure, figure.words, figure.run["y"]) == ("", [], [None] * 3)


def test_a_run_that_fails_says_so_and_the_sketch_stays():
    figure = make_curve(lambda: 1 / 0).draw([1.0, *[None] * 9, 0.0]).press_run()
    assert "ZeroDivisionError" in figure.failure
    assert (figure.run, figure.sketch[0], figure.answered) == ({}, 1.0, 1)
    assert "returned nothing" in make_curve(lambda: None).press_run().failure
    table = Draw.heatmap(2, 2, run=lambda: [[1.0]]).press_run()
    assert "the run has shape (1, 1), the table to paint (2, 2)" in table.failure


def test_a_logarithmic_sketch_is_bridged_on_its_axis():
    figure = Draw.curve(
        run=lambda: 10 ** np.linspace(0, 2, 3), x_range=(0, 1), y_range=(1, 100), log_y=True, num_points=3
    )
    figure.draw([1.0, None, 100.0]).press_run()
    assert figure.words[0].startswith("On average yours and the run lie a factor of 1 apart (0%")


def test_a_table_is_painted_and_run():
    figure = Draw.heatmap("ab", "xy", run=torch.eye(2), levels=["low", "high"])
    figure.draw([[1, 0], [None, 1]]).press_run()
    assert figure.words[0].startswith("3 of 3 painted cells")
    assert figure.run == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: make_curve(num_points=2), "num_points must lie between 3 and 201, got 2"),
        (lambda: make_curve(start=2), r"start must lie in y_range \(0 to 1\), got 2"),
        (lambda: make_curve([1.0]), "at least two"),
        (lambda: make_curve(([1, 0], [1, 2])), "x of the run must rise"),
        (lambda: make_curve(([0, 1], [1, 2, 3])), "2 x and 3 y"),
        (lambda: make_curve(None), "returned nothing"),
        (lambda: make_curve().draw([1.0]), "has 11 places, got 1 heights"),
        (lambda: Draw.curve(run=FALL, x_range=(0, 1), y_range=(0, 1), log_y=True), "above 0 on a log axis"),
        (lambda: Draw.heatmap(30, 2, run=FALL), "between 1 and 24"),
        (lambda: Draw.heatmap(2, 2, run=torch.eye(3)), r"shape \(3, 3\), the table to paint \(2, 2\)"),
        (lambda: Draw.heatmap(2, 2, run=torch.eye(2), levels=1), "levels must be between 2 and 9"),
        (lambda: Draw.heatmap(2, 2, run=torch.eye(2)).draw([[9, 0], [0, 0]]), "from 0 to 3"),
        (lambda: Draw.heatmap(2, 2, run=torch.eye(2)).draw([[0]]), "one level for each cell"),
    ],
)
def test_what_makes_no_figure_is_said(make, words):
    with pytest.raises(FigureError, match=words):
        make()


@pytest.mark.parametrize("pressed", [False, True])
def test_static_pictures_stand_alone(pressed):
    for figure in (
        make_curve(title="A < B", start=1.0).draw([1.0, *[None] * 9, 0.0]),
        make_curve(lambda: 1.9**XS),
        Draw.heatmap("abc", 3, run=np.eye(3), title="t").draw([[0, 1, None]] * 3),
    ):
        if pressed:
            figure.press_run()
        svg = figure.to_svg()
        xml.dom.minidom.parseString(svg)
        assert ("the run" in svg.split("</desc>")[1]) == pressed


# --- in the browser -----------------------------------------------------------------------------------------


def answer(page, figure):
    """What Python would send back; the page of these tests has no kernel."""
    state = page.evaluate("window.model.state")
    figure.sketch = state["sketch"]
    figure.asked = state["asked"]
    news = {name: getattr(figure, name) for name in ("failure", "run", "words", "alt", "answered")}
    page.evaluate("news => window.model.python(news)", news)


def test_a_curve_is_drawn_by_pointer_run_and_tried_again(open_page, wait_until):
    figure = make_curve(start=1.0, name="test")
    page = open_page(figure, calm=True)
    page.get_by_role("button", name="Run", exact=True).click()
    assert "Sketch the curve you expect first" in page.get_by_role("status").inner_text()
    assert page.evaluate("window.model.state.asked") == 0
    assert page.get_by_role("button", name="Run without a sketch").is_visible()
    box = page.locator("svg.nf-svg").bounding_box()
    page.mouse.move(box["x"] + 120, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + box["height"] - 60, steps=4)
    page.mouse.up()
    sketch = page.evaluate("window.model.state.sketch")
    assert sketch[0] == 1.0
    assert sum(height is not None for height in sketch) >= 9
    page.get_by_role("button", name="Run", exact=True).press("Enter")
    answer(page, figure)
    # the button that goes away hands its place on
    assert page.locator(":focus").inner_text() == "Try again"
    assert page.get_by_role("status").inner_text().startswith("On average yours lies")
    assert page.locator(".nf-legend").inner_text().split("\n") == ["your sketch", "the run"]
    page.get_by_role("button", name="Try again").click()
    assert page.evaluate("[window.model.state.run, window.model.state.sketch.length]") == [{}, 11]
    assert page.get_by_role("button", name="Run", exact=True).is_visible()
    # a reload brings the sketch back
    page.reload()
    wait_until(page, "window.ready")
    assert page.evaluate("window.model.state.sketch") == sketch


def test_a_curve_is_drawn_by_keys(open_page):
    page = open_page(make_curve(start=1.0))
    page.keyboard.press("Tab")
    assert page.locator(":focus").get_attribute("aria-valuetext") == "step 1, loss 1, not drawn"
    page.keyboard.press("End")
    for _ in range(5):
        page.keyboard.press("Shift+ArrowDown")
    assert page.evaluate("window.model.state.sketch") == [1.0, *[None] * 9, 0.0]
    page.keyboard.press("ArrowLeft")
    assert page.locator(":focus").get_attribute("aria-valuetext") == "step 9, loss 0.1, not drawn"
    page.keyboard.press("End")
    page.keyboard.press("Delete")
    assert page.evaluate("window.model.state.sketch")[-1] is None
    # the known start cannot be moved
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("window.model.state.sketch")[0] == 1.0


def test_a_table_is_painted_by_pointer_and_keys(open_page):
    figure = Draw.heatmap("abc", "xyz", run=np.eye(3), row_name="query", column_name="key")
    page = open_page(figure, calm=True)
    svg = page.locator("svg.nf-svg").first
    rect = page.locator(".nf-paint").first.bounding_box()
    page.mouse.move(rect["x"] + 5, rect["y"] + 5)
    page.mouse.down()
    page.mouse.move(rect["x"] + 5 + 2 * rect["width"], rect["y"] + 5, steps=1)
    page.mouse.up()
    assert page.evaluate("window.model.state.sketch")[0] == [3, 3, 3]
    svg.focus()
    for key in ("ArrowDown", "2", "ArrowLeft", " ", "ArrowLeft", " ", "Delete"):
        page.keyboard.press(key)
    assert page.evaluate("window.model.state.sketch")[1] == [None, 3, 1]
    page.get_by_role("button", name="Run", exact=True).click()
    answer(page, figure)
    assert "2 of 5 painted cells have the level of the run" in page.locator(".nf-readout").inner_text()
    assert page.get_by_text("the run", exact=True).is_visible()


@pytest.mark.parametrize("width", [320, 900])
def test_neither_is_wider_than_its_page(open_page, width):
    table = Draw.heatmap(12, 12, run=np.eye(12)).draw([[0] * 12] * 12)
    figures = [make_curve(), table.press_run()]
    page = open_page(*figures, width=width, dark=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("window.stops.forEach((stop) => stop())")
