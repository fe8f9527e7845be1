"""Lesson 4.4: what learners really write, and the words that they must read. Read by ast, never imported."""

import math

import torch
from torch import nn

from nn2llm.course.grading import mistake

mistake(
    "derive-the-softmax",
    field="slope",
    says="every other weight falls",
    why="The softmax is taken for a function of each score alone.",
    slope="p_k g_k",
)
mistake(
    "derive-the-softmax",
    field="slope",
    says="the diagonal alone",
    why="The slope of the sigmoid is remembered.",
    slope="p_k*(1 - p_k)*g_k",
)
mistake(
    "derive-the-softmax",
    field="slope",
    says="sign is turned",
    why="A slip.",
    slope="p_k*(sum(g_i*p_i) - g_k)",
)
mistake(
    "how-many-scores",
    field="megabytes",
    says="one head",
    why="The heads are forgotten.",
    megabytes=16,
)
mistake("read-the-curves", field="causes", says="would grow", why="It sounds right.", causes=["overfit", "rate"])


@mistake(
    "attention",
    check="check_without_mask",
    says="scale is missing",
    why="Small models train without it too.",
)
def scaled_dot_product_attention(query, key, value, mask):
    scores = query @ key.transpose(-2, -1)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores, dim=-1) @ value


@mistake(
    "attention",
    check="check_without_mask",
    says="over the queries",
    why="dim=-2 and dim=-1 both run when T is S.",
)
def scaled_dot_product_attention(query, key, value, mask):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores, dim=-2) @ value


@mistake(
    "attention",
    check="check_with_mask",
    says="mask is inverted",
    why="Elsewhere True means: hide this.",
)
def scaled_dot_product_attention(query, key, value, mask):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(mask, float("-inf"))
    return torch.softmax(scores, dim=-1) @ value


@mistake(
    "attention",
    check="check_with_mask",
    says="sees the one after it",
    why="The mask is built anew, with the wrong diagonal.",
)
def scaled_dot_product_attention(query, key, value, mask):
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    if mask is not None:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(2)
        scores = scores.masked_fill(hidden, float("-inf"))
    return torch.softmax(scores, dim=-1) @ value


@mistake(
    "attention",
    check="check_slopes",
    says="gradient",
    why="detach() was added while debugging, to print a score.",
)
def scaled_dot_product_attention(query, key, value, mask):
    scores = (query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])).detach()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return torch.softmax(scores, dim=-1) @ value


@mistake("layer-norm", check="check_layer_norm", says="divides by C - 1", why="It is torch's default.")
class LayerNorm(nn.Module):
    def __init__(self, size, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True)
        return (x - mean) / torch.sqrt(variance + self.eps) * self.weight + self.bias


@mistake("layer-norm", check="check_layer_norm", says="whole batch", why="mean() without dim is shorter.")
class LayerNorm(nn.Module):
    def __init__(self, size, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        return (x - x.mean()) / torch.sqrt(x.var(correction=0) + self.eps) * self.weight + self.bias


@mistake("layer-norm", check="check_layer_norm", says="`bias` of shape (6,) is missing", why="It is forgotten.")
class LayerNorm(nn.Module):
    def __init__(self, size, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, correction=0)
        return (x - mean) / torch.sqrt(variance + self.eps) * self.weight


@mistake("mend-the-step", check="check_train", says="add up", why="zero_() of the weight's copy does nothing.")
def train(x, y, num_steps, learning_rate):
    weight = torch.zeros(x.shape[1], requires_grad=True)
    for _ in range(num_steps):
        ((x @ weight - y) ** 2).mean().backward()
        with torch.no_grad():
            weight -= learning_rate * weight.grad
        weight.grad.clone().zero_()
    return weight.detach()


@mistake("mend-the-step", check="check_train", says="every number of your result is 0", why="The line that clears stands one too low.")
def train(x, y, num_steps, learning_rate):
    weight = torch.zeros(x.shape[1], requires_grad=True)
    for _ in range(num_steps):
        ((x @ weight - y) ** 2).mean().backward()
        weight.grad.zero_()
        with torch.no_grad():
            weight -= learning_rate * weight.grad
    return weight.detach()


@mistake("mend-the-step", check="check_train", says="uphill", why="The minus looked like the bug.")
def train(x, y, num_steps, learning_rate):
    weight = torch.zeros(x.shape[1], requires_grad=True)
    for _ in range(num_steps):
        weight.grad = None
        ((x @ weight - y) ** 2).mean().backward()
        with torch.no_grad():
            weight += learning_rate * weight.grad
    return weight.detach()
