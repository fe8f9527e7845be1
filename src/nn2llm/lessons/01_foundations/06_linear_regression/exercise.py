"""Lesson 1.6: what the learner starts from."""

import torch


def gradient_step(w, b, x, y, learning_rate):
    """One gradient step on the mean squared error of w * x + b.

    Args:
        w, b: weight and bias, two numbers.
        x, y: inputs and true outputs, tensors of shape (n,).
        learning_rate: how far to move for a slope of 1.

    Returns:
        The new w and the new b.
    """
    ...


def fit_two_inputs(x, s, y):
    """The best w1, w2 and b of w1 * x + w2 * s + b, by mean squared error.

    Args:
        x, s: two inputs, tensors of shape (n,); n is 4 or more.
        y: true outputs, shape (n,).

    Returns:
        Three numbers: w1, w2, b.
    """
    ...
