"""same_gradients and same_module: through the backward pass, and classes with the same weights."""

import pytest
import torch
from torch import nn

from nn2llm.course.grading import generator, same_gradients, same_module
from nn2llm.course.grading.diagnosing import diagnose
from tests.course.grading.grading_lessons import failure, grading


def loss(w, x):
    return (w * x).sum() ** 2


def test_gradients_agree_in_another_style():
    w, x = torch.randn(3), torch.randn(3)
    with grading():
        same_gradients(lambda w, x: torch.dot(w, x).square(), loss, w, x, wrt=[0, "x"])
        same_gradients(lambda x: (x * 2, x.exp()), lambda x: [2 * x, torch.exp(x)], x)


def test_a_detached_result_is_said():
    found = failure(lambda: same_gradients(lambda w: w.detach() * 2, lambda w: w * 2, torch.ones(3)))
    assert "detached" in found.evidence.lines[0]


def test_a_gradient_that_stops_half_way_is_a_wrong_gradient():
    w = torch.tensor([1.0, 2.0])
    found = failure(lambda: same_gradients(lambda w: w * w.detach(), lambda w: w * w, w)).evidence
    assert found.lines[0].startswith("The result is right, its gradient is not.")
    assert "'w'" in found.lines[0]


def test_an_argument_that_no_gradient_reaches_is_said():
    w, x = torch.ones(2), torch.ones(2)
    found = failure(lambda: same_gradients(lambda w, x: w * x.data, lambda w, x: w * x, w, x, wrt=[0, 1]))
    assert "nothing came back (None)" in found.evidence.lines[0].replace("Nothing", "nothing")


def test_a_wrong_result_comes_before_its_gradient():
    found = failure(lambda: same_gradients(lambda w: w + 1, lambda w: w, torch.ones(2)))
    assert "gradient" not in found.evidence.lines[0]


def test_suspects_are_compared_by_their_gradients():
    def check(_, __):
        w = torch.randn(4, generator=generator())
        same_gradients(
            lambda w: w.square() + 0 * w.detach(),
            lambda w: w * w.detach() - (w * w).detach() + w * w.detach(),
            w,
            suspects={"You detached it.": lambda w: w * w.detach()},
        )

    def detaching(_, __):
        w = torch.randn(4, generator=generator())
        same_gradients(
            lambda w: w * w.detach(), lambda w: w * w, w, suspects={"Cut.": lambda w: w.detach() * w}
        )

    with grading() as session:
        assert diagnose(session, detaching, None, None) == "Cut."
    with grading() as session:
        assert diagnose(session, check, None, None) is None


def test_a_gradient_twice_as_large_is_said_of_the_gradient():
    def check(_, __):
        w = torch.randn(4, generator=generator())
        same_gradients(lambda w: 2 * w - w.detach(), lambda w: w, w * w + 1)

    with grading() as session:
        check_of = diagnose(session, check, None, None)
    assert check_of == "The gradient of your result is 2 times the expected one on all 3 calls."


class Reference(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.down(torch.relu(self.up(x)))


class Renamed(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.second = nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.second(self.first(x).clamp(min=0))


class NoRelu(Renamed):
    def forward(self, x):
        return self.second(self.first(x))


class TooMany(Renamed):
    def __init__(self, width, hidden):
        super().__init__(width, hidden)
        self.second = nn.Linear(hidden, width)


class Detached(Renamed):
    def forward(self, x):
        return self.second(self.first(x).clamp(min=0).detach())


def test_a_module_with_other_names_is_right():
    with grading():
        same_module(Renamed, Reference, 3, 5, inputs=torch.randn(2, 3), gradients=True)


def test_a_module_without_its_nonlinearity_is_named():
    def check(_, __):
        x = torch.randn(2, 3, generator=generator())
        same_module(NoRelu, Reference, 3, hidden=5, inputs=x, suspects={"No ReLU.": NoRelu})

    with grading() as session:
        assert diagnose(session, check, None, None) == "No ReLU."
    found = failure(lambda: check(None, None))
    assert found.evidence.called.startswith("NoRelu(width=3, hidden=5)(x=tensor([[")


def test_weights_that_do_not_fit_are_listed():
    found = failure(lambda: same_module(TooMany, Reference, 3, 5, inputs=torch.randn(2, 3))).evidence
    assert found.lines[0] == "Your module has 4 weights, expected 3."


def test_a_module_that_detaches_fails_by_its_gradients():
    x = torch.randn(2, 3)
    with grading():
        same_module(Detached, Reference, 3, 5, inputs=x)
    found = failure(lambda: same_module(Detached, Reference, 3, 5, inputs=x, gradients=True))
    assert "gradient" in found.evidence.lines[0]


@pytest.mark.parametrize("definition", [lambda width, hidden: 3, dict])
def test_what_is_no_module_is_said(definition):
    options = {"inputs": torch.randn(2, 3)}
    found = failure(lambda: same_module(definition, Reference, width=3, hidden=5, **options))
    assert "must be a class that inherits from `torch.nn.Module`" in found.evidence.lines[0]
