"""Lesson 4.4: right answers in several styles. Read by ast, never imported."""

import torch
from torch import nn

from nn2llm.course.grading import accepted

accepted("derive-the-softmax", "multiplied out", slope="g_k p_k - p_k sum(g_i p_i)")
accepted("derive-the-softmax", "without indices", slope="p*(g - sum(p*g))")
accepted("derive-the-softmax", "turned round", slope="-p_k*(sum(p_i*g_i) - g_k)")


@accepted("attention", "torch's own")
def scaled_dot_product_attention(query, key, value, mask):
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)


@accepted("attention", "einsum and where")
def scaled_dot_product_attention(query, key, value, mask):
    scores = torch.einsum("bhtd,bhsd->bhts", query, key) * query.size(-1) ** -0.5
    if mask is not None:
        scores = torch.where(mask, scores, torch.tensor(float("-inf")))
    return torch.einsum("bhts,bhsd->bhtd", scores.softmax(-1), value)


@accepted("attention", "exp by hand, one head at a time")
def scaled_dot_product_attention(query, key, value, mask):
    heads = []
    for h in range(query.shape[1]):
        scores = query[:, h] @ key[:, h].mT / query.shape[-1] ** 0.5
        raised = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
        if mask is not None:
            raised = raised * mask
        heads.append(raised / raised.sum(dim=-1, keepdim=True) @ value[:, h])
    return torch.stack(heads, dim=1)


@accepted("layer-norm", "torch's function")
class LayerNorm(nn.Module):
    def __init__(self, size, eps=1e-5):
        super().__init__()
        self.size, self.eps = size, eps
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        return nn.functional.layer_norm(x, (self.size,), self.weight, self.bias, self.eps)


@accepted("layer-norm", "other names, rsqrt")
class LayerNorm(nn.Module):
    def __init__(self, size, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(size))
        self.shift = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        x = x - x.mean(-1, keepdim=True)
        return self.gain * x * (x.pow(2).mean(-1, keepdim=True) + self.eps).rsqrt() + self.shift


@accepted("layer-norm", "a layer inside")
class LayerNorm(nn.Module):
    def __init__(self, size, eps=1e-5):
        super().__init__()
        self.layer = nn.LayerNorm(size, eps=eps)

    def forward(self, x):
        return self.layer(x)


@accepted("mend-the-step", "zero_ after the step")
def train(x, y, num_steps, learning_rate):
    weight = torch.zeros(x.shape[1], requires_grad=True)
    for _ in range(num_steps):
        ((x @ weight - y) ** 2).mean().backward()
        with torch.no_grad():
            weight -= learning_rate * weight.grad
        weight.grad.zero_()
    return weight.detach()


@accepted("mend-the-step", "the slope by formula")
def train(x, y, num_steps, learning_rate):
    weight = torch.zeros(x.shape[1])
    for _ in range(num_steps):
        weight = weight - learning_rate * 2 / len(y) * x.T @ (x @ weight - y)
    return weight


@accepted("mend-the-step", "torch.autograd.grad")
def train(x, y, num_steps, learning_rate):
    weight = torch.zeros(x.shape[1], requires_grad=True)
    for _ in range(num_steps):
        (slope,) = torch.autograd.grad(((x @ weight - y) ** 2).mean(), weight)
        weight = (weight - learning_rate * slope).detach().requires_grad_()
    return weight.detach()
