"""Lesson 1.6: the graders of its code. Each compares with solution.py on numbers drawn afresh.

`learner` has the learner's functions, `reference` those of solution.py. A suspect is a mistake written out:
it is named only where the learner's numbers are exactly its numbers.
"""

import numpy as np
import torch

from nn2llm.course.grading import generator, same


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
# At the rate 0.05 the last of them is no mistake.
STEPS_BY_HAND = {says: step for says, step in STEPS.items() if step is not _use_rate_by_hand}


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
    """The three pages by hand: w becomes 0.249, b 0.047."""
    x, y = torch.tensor([2.0, 3.0, 3.8]), torch.tensor([0.5, 0.8, 1.0])
    _compare_steps(learner, reference, 0.1, 0.0, x, y, 0.05, suspects=STEPS_BY_HAND)


def check_one_step(learner, reference):
    """One step from anywhere, on other data and with other rates."""
    g = generator()
    for num_pages, rate in ((20, 0.02), (5, 0.3), (38, 0.001)):
        x, y = torch.randn(2, num_pages, generator=g) * 2 + 1
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


FITS = {
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

    same(fit_two_inputs, reference_fit, x, s, y, atol=1e-3, rtol=1e-3, suspects=FITS)


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
    _compare(learner, reference, x, s, w1 * x - w2 * s + b)


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
