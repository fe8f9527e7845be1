"""Typed mathematics: how it is read, shown, and compared at random points."""

import math

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from nn2llm.core.errors import LessonError
from nn2llm.course.grading.expression_values import evaluate
from nn2llm.course.grading.expressions import (
    ExpressionError,
    compare_expressions,
    parse_expression,
    preview_expression,
    to_tex,
)

SYMBOLS = {"x": {"shape": "n"}, "y": {"shape": "n"}, "w": {}, "b": {"low": 0.5, "high": 2}}
SLOPE = "mean(2*(w*x+b-y)*x)"
POINT = {"x": np.array([1.0, 2.0, 4.0]), "y": np.array([0.5, 0.0, -1.0]), "w": 3.0, "b": 0.25, "n": 3.0}


def value(text, symbols=SYMBOLS, point=POINT):
    return evaluate(parse_expression(text, symbols), point).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2w", 6.0),
        ("2(w+1)", 8.0),
        ("w b", 0.75),
        ("wb", 0.75),
        ("w(b+1)", 3.75),
        ("(w)(b)", 0.75),
        ("-w^2", -9.0),
        ("w^-1", 1 / 3),
        ("2^3^2", 512.0),
        ("2**3", 8.0),
        ("1/2w", 1.5),
        ("6/2/3", 1.0),
        ("1 - 2 - 3", -4.0),
        ("--w", 3.0),
        ("w²", 9.0),
        ("w⁻¹", 1 / 3),
        ("2 − 1", 1.0),
        ("2×3·4÷6", 4.0),
        ("√(w+1)", 2.0),
        ("√4w", 6.0),
        ("x₁ + x_2", 3.0),
        ("sum(x)", 7.0),
        ("Σ(x_i y_i)", -3.5),
        ("∑(x)/n", 7 / 3),
        ("mean(x)", 7 / 3),
        ("sum(b)", 0.75),
        ("mean(b)", 0.25),
        ("max(x)", 4.0),
        ("max(0, w, b)", 3.0),
        ("relu(y)", [0.5, 0.0, 0.0]),
        ("ln(e)", 1.0),
        ("log(e^2)", 2.0),
        ("sin(pi/2) + π - pi", 1.0),
        ("sigmoid(0)", 0.5),
        ("abs(-w)", 3.0),
        ("1e-3", 0.001),
        (".5 + 2.", 2.5),
        ("[w + 1] * 2", 8.0),
        ("2e", 2 * math.e),
        ("xw", [3.0, 6.0, 12.0]),
    ],
)
def test_read_as_a_mathematician_would(text, expected):
    assert np.allclose(value(text), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "says", "position"),
    [
        ("", "nothing here yet", 0),
        ("w +", "missing at the end", 3),
        ("(w", "never closed", 0),
        ("w)", "closing bracket without", 1),
        ("w * / b", "`/` cannot stand here", 4),
        ("z + 1", "`z` is not known here", 0),
        ("lm", "`lm` is not known", 0),
        ("slop", "is not known", 0),
        ("x2", "Write x*2 or x^2", 0),
        ("w_i", "single number here", 0),
        ("x_q", "no index", 0),
        ("sqrt w", "needs brackets: write sqrt(…)", 0),
        ("sin^2(w)", "write sin(…)^2", 0),
        ("exp()", "needs something", 0),
        ("exp(w, b)", "takes one argument, not 2", 0),
        ("2 3", "Two numbers in a row", 2),
        ("1,5", "write 0.5 with a point", 1),
        ("w = 3", "right-hand side alone", 2),
        ("x @ y", "sum(a*b)", 2),
        ("\\frac{1}{2}", "without TeX commands", 0),
        ("w $ b", "`$` has no meaning", 2),
        ("(" * 60 + "w" + ")" * 60, "nested deeper", None),
        ("-" * 90 + "w", "Too many signs", None),
        ("1" * 501, "longer than 500", 0),
        ("9e999", "larger than any number", 0),
        ("average(x)", "Did you mean `mean`?", 0),
        ("avg(x)", "Did you mean `mean`?", 0),
        ("W", "Did you mean `w`?", 0),
        ("len(w)", "Did you mean `n`?", 0),
        ("foobar(x)", "and functions such as mean, sum and exp.", 0),
        ("ŷ - y", "write it out in these.", 0),
        ("w.grad", "`.grad` has no meaning here", 1),
        ("x.mean", "needs empty brackets: write (…).mean()", 2),
        ("np.linalg.norm(x)", "The character `.` has no meaning here", 2),
        ("w . b", "`.b` has no meaning here", 2),
        ("Σ", "Something is missing after Σ", 1),
        ("Σ" * 60 + "x", "Too many sums in a row", None),
        ("∂L/∂w = ", "no ∂ in the answer", 0),
        ("dL/dw = 2 = 3", "right-hand side alone", 6),
        ("2*x[0]", "`x[…]` picks one element: write `x`", 3),
    ],
)
def test_errors_are_one_sentence_with_the_place(text, says, position):
    with pytest.raises(ExpressionError, match=r"\w") as caught:
        parse_expression(text, SYMBOLS)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    if position is not None:
        assert caught.value.position == position
    shown = preview_expression(text, SYMBOLS)
    assert (shown["tex"], shown["error"], shown["position"]) == (
        None,
        str(caught.value),
        caught.value.position,
    )


def test_a_left_hand_side_keeps_the_places_behind_it():
    with pytest.raises(ExpressionError, match="`z` is not known") as caught:
        parse_expression("slope_w = 2*z", SYMBOLS)
    assert caught.value.position == 12


def test_sigma_reaches_to_the_end_of_its_product_and_no_further():
    assert value("Σ x_i^2") == 1 + 4 + 16
    assert value("Σ x_i + w") == value("sum(x) + w")
    assert value("(Σ x)^2") == 49
    assert value("sum(x)*w") == value("Σ(x)*w")


@pytest.mark.parametrize("text", ["x.mean()", "np.mean(x)", "x.sum()", "Σ x"])
def test_another_spelling_is_forbidden_as_well(text):
    with pytest.raises(ExpressionError, match="must do without"):
        parse_expression(text, SYMBOLS, forbid=["mean", "sum"])


def test_forbidden_names_are_said():
    with pytest.raises(ExpressionError, match="must do without `mean`"):
        parse_expression("mean(x)", SYMBOLS, forbid=["mean"])


def test_n_is_known_only_beside_vectors():
    with pytest.raises(ExpressionError, match="`n` is not known"):
        parse_expression("2/n", {"w": {}})
    assert value("n w", {"n": {}, "w": {}}, {"n": 2.0, "w": 5.0}) == 10.0


def test_greek_letters_and_names_are_one():
    symbols = {"alpha": {}, "lambda": {}, "x": {}, "y_hat": {}}
    point = {"alpha": 2.0, "lambda": 3.0, "x": 5.0, "y_hat": 7.0}
    assert value("αλx", symbols, point) == value("alpha*lambda*x", symbols, point) == 30.0
    assert value("2y_hat", symbols, point) == 14.0


def test_a_symbol_goes_before_constants_and_splits():
    assert value("e", {"e": {}}, {"e": 7.0}) == 7.0
    assert value("wx", {"w": {}, "x": {}, "wx": {}}, {"w": 2.0, "x": 3.0, "wx": 11.0}) == 11.0


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("w^2/2", r"\frac{w^{2}}{2}"),
        (
            "2 mean((w x + b - y) x)",
            r"2 \, \frac{1}{n} \sum_{i} \left(w \, x_{i} + b - y_{i}\right) \, x_{i}",
        ),
        ("sum(x) w", r"\left(\sum_{i} x_{i}\right) \, w"),
        ("-(w+b)", r"-\left(w + b\right)"),
        ("w - (b - 1)", r"w - \left(b - 1\right)"),
        ("(w+1)^2", r"\left(w + 1\right)^{2}"),
        ("2*3", r"2 \cdot 3"),
        ("√(w)", r"\sqrt{w}"),
        ("exp(-w)", r"\exp\left(-w\right)"),
        ("x_1", "x_{1}"),
        ("1e-3", r"1 \cdot 10^{-3}"),
    ],
)
def test_tex_shows_how_it_was_read(text, tex):
    assert to_tex(text, SYMBOLS) == tex


def test_tex_of_names():
    symbols = dict.fromkeys(["alpha", "y_hat", "lr", "w_1", "beta_max"], None)
    assert to_tex("alpha y_hat lr w_1", symbols) == r"\alpha \, \hat{y} \, \mathrm{lr} \, w_{1}"


RIGHT = [
    "2/n sum((wx+b-y)x)",
    "2*mean(w*x**2 + b*x - x*y)",
    "2 w mean(x²) + 2 b mean(x) − 2 mean(x·y)",
    "Σ(2(w x_i + b - y_i) x_i)/n",
    "-2/n Σ((y - wx - b) x)",
    # as the lesson writes it: Σ takes the rest of its product
    "2/n Σ (w x_i + b − y_i) x_i",
    "2/n * Σ (w*x + b - y) * x",
    "2/n Σ_{i=1}^{n} (w x_i + b - y_i) x_i",
    "2/n Σ_i(w x_i + b - y_i)x_i",
    "2/n Σ(wx+b-y)x",
    "2 (w Σx² + b Σx - Σxy)/n",
    "2/n ∑_i (w x_i + b - y_i) x_i",
    "2 Σᵢ (w xᵢ + b - yᵢ) xᵢ / n",
    # as torch and numpy write it
    "2*((w*x+b-y)*x).mean()",
    "2*np.mean((w*x+b-y)*x)",
    "torch.mean(2*(w*x+b-y)*x)",
    "2*((w*x+b-y)*x).sum()/n",
    "2/len(x)*np.sum((w*x+b-y)*x)",
    # with what it is the value of
    "∂L/∂w = 2 mean((wx+b-y)x)",
    "dL/dw = 2 mean((wx+b-y)x)",
    "slope_w = 2 mean((wx+b-y)x)",
]


@pytest.mark.parametrize("text", RIGHT)
def test_right_in_any_form(text):
    assert compare_expressions(text, SLOPE, SYMBOLS).right is True


WRONG = {
    "2/n sum(wx+b-y)": "The error moves x times as fast as w.",
    "-2 mean((wx+b-y)x)": "The sign is turned: yours is −1 times the answer.",
    "2(wx+b-y)x": "`mean(…)` around all of it is missing.",
    "2 sum((wx+b-y)x)": "Yours is n times the answer.",
    "mean((wx+b-y)x)": "Yours is 0.5 times the answer.",
    "mean(2(wx+b-y)x) + 1": "Yours is 1 more than the answer, everywhere.",
    "(y-wx-b)x": "`mean(…)` around all of it is missing; with it, yours is -0.5 times the answer.",
    "(wx+b)x": None,
    "2/n Σ (wx+b-y) + x": None,
    "mean((wx+b-y)^2)": None,
    "2 mean((wx+b-y)x) + w": None,
    "2 mean(wx+b-y) mean(x)": None,
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_is_shown_at_a_point_and_named_only_when_sure(text):
    says = "The error moves x times as fast as w."
    found = compare_expressions(text, SLOPE, SYMBOLS, suspects={"mean(2*(w*x+b-y))": says})
    assert found.right is False
    assert found.diagnosis == WRONG[text]
    assert {"x", "y", "w", "b"} <= set(found.point)
    assert found.yours != found.expected
    assert found.lines[-1].startswith("At x = (")


def test_undefined_is_said_only_of_the_learners():
    found = compare_expressions("log(w)", "w", {"w": {}})
    assert found.right is False
    assert compare_expressions("log(w^2)/2", "log(abs(w))", {"w": {}}).right is True
    found = compare_expressions("w/0", "w", {"w": {}})
    assert "not defined" in found.lines[0]
    assert found.yours == "not defined"


def test_points_where_the_answer_is_undefined_are_drawn_again():
    assert compare_expressions("sqrt(w)", "w^(1/2)", {"w": {}}).right is True
    with pytest.raises(LessonError, match="not defined at most points"):
        compare_expressions("w", "log(-w^2)", {"w": {}})


def test_one_number_for_each_i_is_said_without_a_guess():
    found = compare_expressions("x^2", SLOPE, SYMBOLS)
    assert found.lines[0] == "Yours gives one number for each i; the answer is one number in all."
    assert found.diagnosis is None
    found = compare_expressions("w", "w x", SYMBOLS)
    assert found.lines[0] == "Yours gives one number in all; the answer is one number for each i."


def test_two_suspects_that_fit_are_none():
    suspects = [{"is": "w + 1", "says": "A."}, {"is": "1 + w", "says": "B."}, {"is": "w", "says": "C."}]
    assert compare_expressions("w+1", "2w", {"w": {}}, suspects=suspects).diagnosis is None
    assert compare_expressions("w", "2w", {"w": {}}, suspects=suspects).diagnosis == "C."


@given(st.text(alphabet="wxyb 0123456789.+-*/^()_,nesumaxlogαΣ²₁√·|@={}\\", max_size=30))
@settings(deadline=None, max_examples=300)
def test_any_text_gives_a_preview_or_a_sentence(text):
    shown = preview_expression(text, SYMBOLS)
    assert (shown["tex"] is None) != (shown["error"] is None)
    if shown["tex"] is not None:
        assert shown["tex"].count("{") == shown["tex"].count("}")
        assert shown["tex"].count(r"\left") == shown["tex"].count(r"\right")
        assert compare_expressions(text, SLOPE, SYMBOLS).right in (True, False)
    else:
        assert 0 <= shown["position"] <= len(text)


NAMESPACE = {
    "exp": np.exp, "sin": np.sin, "tanh": np.tanh, "sum": np.sum, "mean": np.mean, "abs": np.abs,
    "sqrt": np.sqrt, "max": np.maximum,
}  # fmt: skip

trees = st.recursive(
    st.sampled_from(["w", "b", "x", "y", "2.0", "0.5", "3.0"]),
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/"]), inner)
        | st.builds("{} {} {}".format, inner, st.sampled_from(["+", "-", "*"]), inner)
        | st.builds("(-{})".format, inner)
        | st.builds("({})**{}".format, inner, st.sampled_from(["2", "3", "(-1)"]))
        | st.builds("{}({})".format, st.sampled_from(["exp", "sin", "tanh", "abs", "sqrt"]), inner)
        | st.builds("max({}, {})".format, inner, inner)
    ),
    max_leaves=8,
)


@given(trees)
@settings(deadline=None, max_examples=200)
def test_agrees_with_pythons_own_reading(text):
    # the text is generated above from a fixed alphabet, so that eval is safe here
    try:
        with np.errstate(all="ignore"):
            expected = np.asarray(eval(text, {"__builtins__": {}}, {**NAMESPACE, **POINT}), dtype=float)
    except ZeroDivisionError:  # Python's own numbers raise where ours are not defined
        reject()
    found = evaluate(parse_expression(text, SYMBOLS), POINT)
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-12, equal_nan=True)


@given(trees, trees)
@settings(deadline=None, max_examples=60)
def test_the_same_and_only_the_same_is_right(left, right):
    """A tree equals itself rewritten; two trees are told equal just where they are so at other points."""
    try:
        assert compare_expressions(f"({left})*1 + 0", left, SYMBOLS).right is True
        found = compare_expressions(left, right, SYMBOLS)
    except LessonError:
        return  # never defined
    rng = np.random.default_rng(99)
    for _ in range(5):
        n = 4
        point = {"x": rng.uniform(-2, 2, n), "y": rng.uniform(-2, 2, n), "w": rng.uniform(-2, 2)}
        point |= {"b": rng.uniform(0.5, 2), "n": float(n)}
        values = [evaluate(parse_expression(text, SYMBOLS), point) for text in (left, right)]
        if not np.all(np.isfinite(values[1])):
            continue
        same = values[0].shape == values[1].shape and np.allclose(*values, rtol=1e-6, atol=1e-6)
        if found.right:
            assert same


@pytest.mark.parametrize(
    "text", ["x" * 400, "+".join("x" * 200), "x" + "**2" * 140, "2" * 5 + "x*" * 190 + "x"]
)
def test_a_long_row_of_steps_is_refused_before_it_is_walked(text):
    seen = preview_expression(text, SYMBOLS_OF_X)
    assert (seen["tex"], seen["error"]) == (
        None, "This has more than 120 steps in a row; an answer has fewer.",
    )  # fmt: skip
    assert compare_expressions(text, "x", SYMBOLS_OF_X).right is None
    assert preview_expression("+".join("x" * 100), SYMBOLS_OF_X)["error"] is None


SYMBOLS_OF_X = {"x": {}}
