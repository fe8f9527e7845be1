"""Lesson 1.6: the graders of its code. Each compares with solution.py on numbers drawn afresh.

`learner` has the learner's functions, `reference` those of solution.py. A suspect is a mistake written out:
it is named only where the learner's numbers are exactly its numbers.
"""

import math

import numpy as np
import torch

from nn2llm.course.grading import CheckFailed, generator, same


def _take_slopes(w, b, x, y):
    error = w * x + b - y
    return 2 * (error * x).mean(), 2 * error.mean()


def _add_the_slopes(w, b, x, y, learning_rate):
    slope_w, slope_b = _take_slopes(w, b, x, y)
    return w + learning_rate * slope_w, b + learning_rate * slope_b


def _move_w_first(w, b, x, y, learning_rate):
    w = w - learning_rate * _take_slopes(w, b, x, y)[0]
    return w, b - learning_rate * _take_slopes(w, b, x, y)[1]


def _move_b_first(w, b, x, y, learning_rate):
    b = b - learning_rate * _take_slopes(w, b, x, y)[1]
    return w - learning_rate * _take_slopes(w, b, x, y)[0], b


def _scale_slopes(by):
    """The step with each slope times `by(n)`."""

    def step(w, b, x, y, learning_rate):
        slope_w, slope_b = _take_slopes(w, b, x, y)
        return w - learning_rate * by(len(x)) * slope_w, b - learning_rate * by(len(x)) * slope_b

    return step


def _forget_x(w, b, x, y, learning_rate):
    slope_b = _take_slopes(w, b, x, y)[1]
    return w - learning_rate * slope_b, b - learning_rate * slope_b


def _use_x_twice(w, b, x, y, learning_rate):
    slope_w = _take_slopes(w, b, x, y)[0]
    return w - learning_rate * slope_w, b - learning_rate * slope_w


def _pair_all_pages(w, b, x, y, learning_rate):
    error = w * x[:, None] + b - y
    return w - learning_rate * 2 * (error * x[:, None]).mean(), b - learning_rate * 2 * error.mean()


def _exchange_results(w, b, x, y, learning_rate):
    slope_w, slope_b = _take_slopes(w, b, x, y)
    return b - learning_rate * slope_b, w - learning_rate * slope_w


def _return_slopes(w, b, x, y, learning_rate):
    return _take_slopes(w, b, x, y)


def _drop_the_rate(w, b, x, y, learning_rate):
    slope_w, slope_b = _take_slopes(w, b, x, y)
    return w - slope_w, b - slope_b


def _drop_the_old(w, b, x, y, learning_rate):
    slope_w, slope_b = _take_slopes(w, b, x, y)
    return -learning_rate * slope_w, -learning_rate * slope_b


def _drop_old_and_sign(w, b, x, y, learning_rate):
    slope_w, slope_b = _take_slopes(w, b, x, y)
    return learning_rate * slope_w, learning_rate * slope_b


def _move_nothing(w, b, x, y, learning_rate):
    return w, b


def _move_w_alone(w, b, x, y, learning_rate):
    return w - learning_rate * _take_slopes(w, b, x, y)[0], b


def _multiply_means(w, b, x, y, learning_rate):
    slope_b = _take_slopes(w, b, x, y)[1]
    return w - learning_rate * slope_b * x.mean(), b - learning_rate * slope_b


def _multiply_y_alone(w, b, x, y, learning_rate):
    slope_w = 2 * (w * x + b - y * x).mean()
    return w - learning_rate * slope_w, b - learning_rate * _take_slopes(w, b, x, y)[1]


def _multiply_by_w(w, b, x, y, learning_rate):
    slope_b = _take_slopes(w, b, x, y)[1]
    return w - learning_rate * slope_b * w, b - learning_rate * slope_b


def _keep_the_square(w, b, x, y, learning_rate):
    square = (w * x + b - y) ** 2
    return w - learning_rate * 2 * (square * x).mean(), b - learning_rate * 2 * square.mean()


def _halve_one(of_w):
    def step(w, b, x, y, learning_rate):
        slope_w, slope_b = _take_slopes(w, b, x, y)
        return (
            w - learning_rate * slope_w * (0.5 if of_w else 1),
            b - learning_rate * slope_b * (1 if of_w else 0.5),
        )

    return step


def _forget_b(w, b, x, y, learning_rate):
    slope_w, slope_b = _take_slopes(w, 0.0, x, y)
    return w - learning_rate * slope_w, b - learning_rate * slope_b


def _exchange_w_and_b(w, b, x, y, learning_rate):
    slope_w, slope_b = _take_slopes(b, w, x, y)
    return w - learning_rate * slope_w, b - learning_rate * slope_b


def _use_some(start, stop, divide):
    """Only some of the pages enter the sums; divided by all, or not at all."""

    def step(w, b, x, y, learning_rate):
        some = slice(start, stop)
        error = w * x[some] + b - y[some]
        n = len(x) if divide else 1
        slope_w, slope_b = 2 * (error * x[some]).sum() / n, 2 * error.sum() / n
        return w - learning_rate * slope_w, b - learning_rate * slope_b

    return step


def _move_at_each_page(divide):
    def step(w, b, x, y, learning_rate):
        n = len(x) if divide else 1
        for x_i, y_i in zip(x.tolist(), y.tolist(), strict=True):
            error = w * x_i + b - y_i
            w, b = w - learning_rate * 2 * error * x_i / n, b - learning_rate * 2 * error / n
        return w, b

    return step


def _use_rate_and_count_by_hand(w, b, x, y, learning_rate):
    return _scale_slopes(lambda n: n / 3)(w, b, x, y, 0.05)


def _use_rate_by_hand(w, b, x, y, learning_rate):
    slope_w, slope_b = _take_slopes(w, b, x, y)
    return w - 0.05 * slope_w, b - 0.05 * slope_b


STEPS = {
    "You added the slope. It points to where the loss rises: subtract it.": _add_the_slopes,
    "The slope of `b` was taken with the new `w`. Compute both slopes first, then move both.": (
        _move_w_first
    ),
    "The slope of `w` was taken with the new `b`. Compute both slopes first, then move both.": (
        _move_b_first
    ),
    "You took the sum instead of the mean over the pages: with more pages the step grows.": _scale_slopes(
        lambda n: n
    ),
    "The sum is divided by n − 1. The mean over n pages divides by n.": _scale_slopes(
        lambda n: n / max(n - 1, 1)
    ),
    "The pages were added up, and the factor 2 is missing: each slope is 2 times a mean.": _scale_slopes(
        lambda n: n / 2
    ),
    "The mean was divided by n once more: a mean is divided already.": _scale_slopes(lambda n: 1 / n),
    "The sum is divided by 3, the pages of the example. Here n is another: `len(x)`.": (
        _scale_slopes(lambda n: n / 3)
    ),
    "The rate 0.05 and the 3 pages of the example stand in your code. Use `learning_rate` and `len(x)`.": (
        _use_rate_and_count_by_hand
    ),
    "You added the slope, and the factor 2 is missing: subtract 2 times the mean.": (
        _scale_slopes(lambda n: -0.5)
    ),
    "`learning_rate` is not used: the whole slope was subtracted.": _drop_the_rate,
    "The old values are missing: the new `w` is the old `w` minus rate times slope.": _drop_the_old,
    "This is rate times slope alone. Subtract it from the old `w` and the old `b`.": _drop_old_and_sign,
    "The old `w` and `b` came back: no step was taken.": _move_nothing,
    "`w` is right, but `b` came back as it was: it has a slope of its own.": _move_w_alone,
    "The mean error was multiplied by the mean of `x`. Multiply page by page first, then take the mean.": (
        _multiply_means
    ),
    "In the slope of `w`, `x` multiplies `y` alone: put brackets around the whole error.": (
        _multiply_y_alone
    ),
    "The slope of `w` was multiplied by `w`. When `w` moves, an error moves by `x` times as much.": (
        _multiply_by_w
    ),
    "The error is still squared in the slopes: the slope of a square is 2 times the error.": (
        _keep_the_square
    ),
    "The factor 2 is missing in the slope of `b`: both slopes have it.": _halve_one(of_w=False),
    "The factor 2 is missing in the slope of `w`: both slopes have it.": _halve_one(of_w=True),
    "The prediction lacks the bias: it is `w * x + b`.": _forget_b,
    "`w` and `b` have changed places in the prediction: it is `w * x + b`.": _exchange_w_and_b,
    "Only the first page counts. Does `return` stand inside the loop?": _use_some(0, 1, True),
    "Only the first page counts, and nothing is averaged. Does `return` stand inside the loop?": (
        _use_some(0, 1, False)
    ),
    "The last page is left out of both sums.": _use_some(0, -1, True),
    "`w` and `b` moved after each page. One step uses one `w` and one `b` for all pages.": (
        _move_at_each_page(True)
    ),
    "`w` and `b` moved after each page, by the whole slope. Take the mean over all pages first.": (
        _move_at_each_page(False)
    ),
    "The factor 2 is missing in both slopes: it comes from the square.": _scale_slopes(lambda n: 0.5),
    "The slope of `w` lacks the factor x: both parameters got the slope of `b`.": _forget_x,
    "The slope of `b` has a factor x too many: both parameters got the slope of `w`.": _use_x_twice,
    "The errors have the shape (n, n): every prediction met every target. Give both the same shape.": (
        _pair_all_pages
    ),
    "Both numbers are right, in the wrong order: return `w` first, then `b`.": _exchange_results,
    "You returned the slopes. Asked are the new `w` and `b`: the old minus rate times slope.": (
        _return_slopes
    ),
    "The step is taken with the rate 0.05 of the example, not with `learning_rate`.": _use_rate_by_hand,
}


def _unpack(found, count):
    """Numbers in one tensor or array are numbers too; anything else stays as it came."""
    if isinstance(found, torch.Tensor | np.ndarray) and found.shape == (count,):
        return tuple(found.tolist())
    return found


def _compare_steps(learner, reference, *arguments, suspects):
    # by position: the names of the parameters are the learner's business
    def gradient_step(w, b, x, y, learning_rate):
        return _unpack(learner.gradient_step(w, b, x, y, learning_rate), 2)

    same(gradient_step, reference.gradient_step, *arguments, suspects=suspects)


def check_by_hand(learner, reference):
    """The three pages by hand: w becomes 0.24853, b 0.04733."""
    x, y = torch.tensor([2.0, 3.0, 3.8]), torch.tensor([0.5, 0.8, 1.0])
    _compare_steps(learner, reference, 0.1, 0.0, x, y, 0.05, suspects=STEPS)


def check_one_step(learner, reference):
    """One step from anywhere, on other data and with other rates."""
    g = generator()
    for num_pages, rate in ((20, 0.02), (5, 0.3), (38, 0.001)):
        x, y = torch.randn(2, num_pages, generator=g) * 2 + 1
        x[1], y[1] = x[0], y[0]  # two equal pages are two pages
        w, b = torch.randn(2, generator=g).tolist()
        _compare_steps(learner, reference, w, b, x, y, rate, suspects=STEPS)


def check_one_page(learner, reference):
    """A single page is data too."""
    g = generator()
    x, y = torch.rand(2, 1, generator=g) + 1
    _compare_steps(learner, reference, -0.4, 0.7, x, y, 0.1, suspects=STEPS)


def check_large_values(learner, reference):
    """Characters and tokens not in thousands, with a tiny rate."""
    g = generator()
    x = torch.randint(1_000, 10_000, (38,), generator=g).float()
    y = torch.round(0.3 * x + 50 * torch.randn(38, generator=g))
    _compare_steps(learner, reference, 0.25, 1.0, x, y, 1e-8, suspects=STEPS)


# --- two inputs ---------------------------------------------------------------------------------------------


def _solve(columns, y):
    return torch.linalg.lstsq(columns, y[:, None]).solution[:, 0].tolist()


def _leave_out_bias(x, s, y):
    return *_solve(torch.stack([x, s], dim=1), y), 0.0


def _fit_alone(x, y):
    dx = x - x.mean()
    return ((dx * (y - y.mean())).sum() / (dx**2).sum()).item()


def _fit_each_alone(x, s, y):
    w1, w2 = _fit_alone(x, y), _fit_alone(s, y)
    return w1, w2, (y - w1 * x - w2 * s).mean().item()


def _fit_each_alone_own_bias(x, s, y):
    w1, w2 = _fit_alone(x, y), _fit_alone(s, y)
    return w1, w2, (y - w1 * x).mean().item()


def _fit_residuals(x, s, y):
    w1 = _fit_alone(x, y)
    w2 = _fit_alone(s, y - w1 * x)
    return w1, w2, (y - w1 * x - w2 * s).mean().item()


def _put_bias_first(x, s, y):
    return _solve(torch.stack([torch.ones_like(x), x, s], dim=1), y)


def _exchange_weights(x, s, y):
    return _solve(torch.stack([s, x, torch.ones_like(x)], dim=1), y)


def _stay_flat(x, s, y):
    return 0.0, 0.0, y.mean().item()


def _ignore_symbols(x, s, y):
    w1 = _fit_alone(x, y)
    return w1, 0.0, (y - w1 * x).mean().item()


def _turn_bias(x, s, y):
    w1, w2, b = _solve(torch.stack([x, s, torch.ones_like(x)], dim=1), y)
    return w1, w2, -b


def _stay_standardised(correction):
    def fit(x, s, y):
        scaled = [(item - item.mean()) / item.std(correction=correction) for item in (x, s)]
        return _solve(torch.stack([*scaled, torch.ones_like(x)], dim=1), y)

    return fit


FITS = {
    "Your plane is flat: both weights 0, the bias the average of `y`. Print the shape of the errors: "
    "(n, 1) minus (n,) is (n, n), and then nothing better can be found.": _stay_flat,
    "This is the best line from `x` alone: `s` has no part in it.": _ignore_symbols,
    "The sign of the bias is turned.": _turn_bias,
    "These numbers belong to standardised inputs. Turn them back: divide each weight by the spread of its "
    "input, then move the bias.": _stay_standardised(1),
    "These numbers belong to standardised inputs. Turn them back: divide each weight by the spread of its "
    "input (n below), then move the bias.": _stay_standardised(0),
    "This is the best fit with no bias, forced through zero. Add the column of ones.": _leave_out_bias,
    "Each weight was fitted as if the other input were not there (each input on its own). "
    "The inputs go together, so solve for all three numbers at once.": _fit_each_alone,
    "Each weight was fitted as if the other input were not there (each input on its own), and the bias is "
    "that of the first line. Solve for all three numbers at once.": _fit_each_alone_own_bias,
    "The second input was fitted to what the first input leaves. The first has then taken what belongs to "
    "the second: solve for all three numbers at once.": _fit_residuals,
    "The numbers are right, their order is not: return w1, w2, b, with the bias last.": _put_bias_first,
    "The numbers are right, their order is not: the weight of `x`, then that of `s`.": _exchange_weights,
}


def _compare(learner, reference, x, s, y):
    def fit_two_inputs(x, s, y):
        return _unpack(learner.fit_two_inputs(x, s, y), 3)

    def reference_fit(x, s, y):
        return tuple(float(value) for value in reference.fit_two_inputs(x.double(), s.double(), y.double()))

    try:
        same(fit_two_inputs, reference_fit, x, s, y, atol=1e-3, rtol=1e-3, suspects=FITS)
    except CheckFailed as failure:
        if failure.diagnosis is None and _runs_away(learner, x, s, y):
            failure.diagnosis = (
                "Your numbers ran away. With inputs a tenth as large they stay finite: "
                "for these the learning rate is too large."
            )
        raise


def _runs_away(learner, x, s, y):
    """Whether inf or NaN comes back here, and for smaller inputs numbers that fit better than none at all.

    A turned sign runs away too, but it makes the fit worse on small inputs as well.
    """

    def fit(*arguments):
        found = _unpack(learner.fit_two_inputs(*arguments), 3)
        return [float(value) for value in found]

    if "for " not in learner.source and "while " not in learner.source:
        return False
    try:
        if all(math.isfinite(value) for value in fit(x.clone(), s.clone(), y.clone())):
            return False
        x, s, y = x / 10, s / 10, y / 10
        w1, w2, b = fit(x.clone(), s.clone(), y.clone())
        return bool(((w1 * x + w2 * s + b - y) ** 2).mean() < (y**2).mean())
    except (TypeError, ValueError, RuntimeError, OverflowError, ZeroDivisionError):
        return False


def _draw_inputs(num_pages):
    """Two inputs that go together, as characters and symbols do."""
    g = generator()
    x = torch.rand(num_pages, generator=g) * 4
    s = 0.5 * x + torch.rand(num_pages, generator=g) * 2
    return g, x, s


def check_planted_plane(learner, reference):
    """Outputs that lie exactly on a plane give back its three numbers."""
    g, x, s = _draw_inputs(30)
    w1, w2, b = (0.5 + torch.rand(3, generator=g)).tolist()
    _compare(learner, reference, x, s, w1 * x - w2 * s + b + 5)


def check_scattered_pages(learner, reference):
    """Outputs that scatter: the smallest mean squared error."""
    g, x, s = _draw_inputs(50)
    _compare(learner, reference, x, s, 0.4 * x + 0.9 * s - 1 + 0.5 * torch.randn(50, generator=g))


def check_four_pages(learner, reference):
    """Four pages are enough."""
    x, s = torch.tensor([1.0, 2.0, 3.0, 5.0]), torch.tensor([2.0, 0.0, 3.0, 1.0])
    g = generator()
    _compare(learner, reference, x, s, torch.rand(4, generator=g) * 3)


def check_real_pages(learner, reference):
    """Eight pages of the manual, in thousands."""
    pages = [
        (1.047, 0.083, 0.263), (2.067, 0.144, 0.544), (3.268, 0.319, 1.050), (4.563, 0.249, 1.116),
        (6.129, 1.975, 2.886), (7.331, 2.308, 2.708), (8.826, 0.573, 2.336), (9.527, 0.547, 2.265),
    ]  # fmt: skip
    x, s, y = torch.tensor(pages).T
    _compare(learner, reference, x, s, y)
