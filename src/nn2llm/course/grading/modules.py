"""same_module: a learner's nn.Module against the reference's, with the same weights.

Read calls.py and gradients.py before.
"""

from collections.abc import Callable
from typing import Any

import torch

from nn2llm.course.grading.calls import Call, read_arguments, same
from nn2llm.course.grading.evidence import Evidence
from nn2llm.course.grading.gradients import same_gradients
from nn2llm.course.grading.namespaces import unwrap
from nn2llm.course.grading.session import CheckFailed, current
from nn2llm.course.grading.suspects import Suspects, collect_suspects

__all__ = ["same_module"]

_Module, _state_dict, _load = torch.nn.Module, torch.nn.Module.state_dict, torch.nn.Module.load_state_dict


def same_module(
    definition: Any,
    reference: Any,
    /,
    *init: Any,
    inputs: tuple[Any, ...] | list[Any] | Any = (),
    load: bool = True,
    training: bool = False,
    gradients: bool = False,
    atol: float | None = None,
    rtol: float | None = None,
    suspects: Suspects = None,
    **init_options: Any,
) -> None:
    """Build both classes with the same arguments, give them the same weights, and compare their outputs.

    Weights are matched by name, else, where all shapes agree, by their order: names are the learner's matter
    unless `learner.source` is asked. `inputs`: what the module is called with. `load=False` keeps each one's
    own initial weights (both drawn from the same seed). `gradients`: the gradients of all weights must agree
    too. `suspects`: {what to say: another class}.

    Raises:
        CheckFailed: as `same`; also for weights that are missing, too many or of another shape.
    """
    values = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    given = read_arguments(init, init_options)
    call = Call.of(definition, given)
    name = call.name
    with call.session.inside_learner():
        mine = _build(call, definition)
    theirs = _build(call, reference)
    if not isinstance(mine, _Module):
        lines = [f"`{name}` must be a class that inherits from `torch.nn.Module`."]
        raise CheckFailed(Evidence(called=call.session.last_call, lines=lines))
    state = _state_dict(theirs)
    renamed = _match_weights(mine, theirs, call) if load else {}

    def prepare(module: Any) -> Any:
        if load and module is not theirs:
            names = _match_weights(module, theirs, call)
            _load(module, {key: state[name] for key, name in names.items()})
        return module.train(training)

    modules = {"learner": prepare(mine), "reference": prepare(theirs)}

    def forward_of(module: Any) -> Callable[..., Any]:
        def forward(*args: Any) -> Any:
            return module(*args)

        forward.__name__ = f"{name}({_init_text(call)})"
        forward.__wrapped__ = module.forward  # type: ignore[attr-defined]  # the names of its arguments
        return forward

    def make(kind: Any) -> Callable[..., Any]:
        return lambda *args: prepare(_build(call, kind))(*args)

    known = {says: make(item.function) for says, item in collect_suspects(suspects).items()}
    same(
        forward_of(modules["learner"]),
        forward_of(modules["reference"]),
        *values,
        atol=atol,
        rtol=rtol,
        suspects=known,
    )
    if gradients:
        _compare_gradients(modules["learner"], modules["reference"], renamed, values, atol, rtol)


def _build(call: Call, definition: Any) -> Any:
    kept: list[Any] = []
    call.run(unwrap(definition), keep=kept)
    return kept[0]


def _init_text(call: Call) -> str:
    text = call.session.last_call or ""
    return text[text.find("(") + 1 : -1]


def _match_weights(mine: Any, theirs: Any, call: Call) -> dict[str, str]:
    """Learner's name → reference's name of each parameter and buffer."""
    left, right = _state_dict(mine), _state_dict(theirs)
    shapes = {key: tuple(item.shape) for key, item in left.items()}
    wanted = {key: tuple(item.shape) for key, item in right.items()}
    if shapes == wanted:
        return {key: key for key in shapes}
    if list(shapes.values()) == list(wanted.values()):
        return dict(zip(shapes, wanted, strict=True))
    lines = []
    if len(shapes) != len(wanted):
        lines.append(f"Your module has {len(shapes)} weights, expected {len(wanted)}.")
    for key in wanted:
        if key not in shapes:
            lines.append(f"The weight `{key}` of shape {wanted[key]} is missing.")
        elif shapes[key] != wanted[key]:
            lines.append(f"The weight `{key}` has shape {shapes[key]}, expected {wanted[key]}.")
    lines.extend(
        f"The weight `{key}` of shape {shapes[key]} is not wanted." for key in shapes if key not in wanted
    )
    raise CheckFailed(
        Evidence(
            called=current().last_call,
            returned=", ".join(f"{key} {shape}" for key, shape in shapes.items()) or "no weights",
            expected=", ".join(f"{key} {shape}" for key, shape in wanted.items()) or "no weights",
            lines=lines[:6],
        )
    )


def _compare_gradients(
    mine: Any, theirs: Any, renamed: dict[str, str], values: Any, atol: float | None, rtol: float | None
) -> None:
    def through(module: Any, names: dict[str, str]) -> Callable[..., Any]:
        by_reference = {names.get(key, key): item for key, item in module.named_parameters()}

        def with_weights(weights: dict[str, Any], *args: Any) -> Any:
            own = {key: weights[names.get(key, key)] for key, _ in module.named_parameters()}
            return torch.func.functional_call(module, own, args)

        with_weights.__name__ = type(module).__name__
        assert by_reference
        return with_weights

    weights = {key: item.detach().clone() for key, item in theirs.named_parameters()}
    if set(renamed.get(key, key) for key, _ in mine.named_parameters()) != set(weights):
        return
    same_gradients(
        through(mine, renamed), through(theirs, {}), weights, *values, wrt=(0,), atol=atol, rtol=rtol
    )
