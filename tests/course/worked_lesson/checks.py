"""Lesson 4.4: the graders of its code."""

import torch
from torch import nn

from nn2llm.course.grading import generator, same, same_gradients, same_module


def _attend(*, scale=True, dim=-1, masked=lambda mask: ~mask):
    def attention(query, key, value, mask):
        scores = query @ key.transpose(-2, -1)
        if scale:
            scores = scores / query.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(masked(mask), float("-inf"))
        return torch.softmax(scores, dim=dim) @ value

    return attention


ANYWHERE = {
    "The scale is missing: divide the scores by the root of D.": _attend(scale=False),
    "The softmax went over the queries. Each query's weights add up to 1: go over the keys.": _attend(dim=-2),
}
MASKED = {
    **ANYWHERE,
    "The mask is inverted: `True` says that a query may look.": _attend(masked=lambda mask: mask),
    "The mask is off by one: a token sees the one after it.": _attend(
        masked=lambda mask: torch.ones_like(mask).triu(2)
    ),
    "A token does not see itself: the mask is off by one.": _attend(
        masked=lambda mask: ~(mask & ~torch.eye(mask.shape[-1], dtype=torch.bool))
    ),
}


def _draw(g, num_queries, num_keys, size=8):
    query = torch.randn(2, 3, num_queries, size, generator=g)
    key, value = torch.randn(2, 2, 3, num_keys, size, generator=g)
    return query, key, value


def check_without_mask(learner, reference):
    """Every query looks at every key; there may be more keys than queries."""
    g = generator()
    for num_queries, num_keys in ((5, 5), (3, 6)):
        query, key, value = _draw(g, num_queries, num_keys)
        same(
            learner.scaled_dot_product_attention,
            reference.scaled_dot_product_attention,
            query, key, value, None,
            suspects=ANYWHERE,
        )  # fmt: skip


def check_with_mask(learner, reference):
    """A query looks only where the mask is True."""
    g = generator()
    query, key, value = _draw(g, 5, 5)
    mask = torch.ones(5, 5, dtype=torch.bool).tril()
    same(
        learner.scaled_dot_product_attention,
        reference.scaled_dot_product_attention,
        query, key, value, mask,
        suspects=MASKED,
    )  # fmt: skip


def check_one_token(learner, reference):
    """One token that looks at itself gets its own value."""
    query, key, value = _draw(generator(), 1, 1)
    mask = torch.ones(1, 1, dtype=torch.bool)
    same(learner.scaled_dot_product_attention, value, query, key, value, mask)


def check_slopes(learner, reference):
    """Slopes flow back to query, key and value."""
    query, key, value = _draw(generator(), 4, 4)
    same_gradients(
        learner.scaled_dot_product_attention,
        reference.scaled_dot_product_attention,
        query, key, value, None,
        wrt=[0, 1, 2],
    )  # fmt: skip


class _Norm(nn.Module):
    correction, dims, inside = 0, -1, True

    def __init__(self, size, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        mean = x.mean(dim=self.dims, keepdim=True)
        variance = x.var(dim=self.dims, keepdim=True, correction=self.correction)
        root = torch.sqrt(variance + self.eps) if self.inside else torch.sqrt(variance) + self.eps
        return (x - mean) / root * self.weight + self.bias


class _LessOne(_Norm):
    correction = 1


class _WholeBatch(_Norm):
    dims = (0, 1, 2)


class _EpsOutside(_Norm):
    inside = False


NORMS = {
    "The variance divides by C - 1: give `correction=0`.": _LessOne,
    "Mean and variance went over the whole batch: go over the last dimension alone.": _WholeBatch,
    "The eps stands outside the root.": _EpsOutside,
}


def check_layer_norm(learner, reference):
    """The outputs are those of (4.4.3) with any weight, bias and eps."""
    x = torch.randn(2, 5, 6, generator=generator()) * 0.3 + 1
    same_module(learner.LayerNorm, reference.LayerNorm, 6, eps=0.1, inputs=(x,), suspects=NORMS)


def check_layer_norm_slopes(learner, reference):
    """Slopes flow back to weight and bias."""
    x = torch.randn(2, 5, 6, generator=generator())
    same_module(learner.LayerNorm, reference.LayerNorm, 6, inputs=(x,), gradients=True)


def _keep_slopes(x, y, num_steps, learning_rate):
    weight, grad = torch.zeros(x.shape[1]), torch.zeros(x.shape[1])
    for _ in range(num_steps):
        grad = grad + 2 * x.T @ (x @ weight - y) / len(y)
        weight = weight - learning_rate * grad
    return weight


def _climb(x, y, num_steps, learning_rate):
    weight = torch.zeros(x.shape[1])
    for _ in range(num_steps):
        weight = weight + learning_rate * 2 * x.T @ (x @ weight - y) / len(y)
    return weight


def check_train(learner, reference):
    """After a few steps the weight is where gradient descent is."""
    g = generator()
    x = torch.randn(20, 3, generator=g)
    y = torch.randn(20, generator=g)
    same(
        learner.train, reference.train, x, y, 5, 0.05,
        atol=1e-5,
        suspects={
            "Slopes add up from step to step: clear them.": _keep_slopes,
            "The step goes uphill: subtract the slope.": _climb,
        },
    )  # fmt: skip
