"""Lesson 1.6: one right answer to each exercise that is code; shown after a pass, or on request."""

import torch


def gradient_step(w, b, x, y, learning_rate):
    """One gradient step on the mean squared error of w * x + b: (1.6.3), (1.6.4), then (1.6.5)."""
    error = w * x + b - y
    slope_w = 2 * (error * x).mean()
    slope_b = 2 * error.mean()
    return w - learning_rate * slope_w, b - learning_rate * slope_b


def fit_two_inputs(x, s, y):
    """The best w1, w2 and b of w1 * x + w2 * s + b: (1.6.10), solved without forming X^T X."""
    columns = torch.stack([x, s, torch.ones_like(x)], dim=1)
    w1, w2, b = torch.linalg.lstsq(columns, y[:, None]).solution[:, 0]
    return w1, w2, b
