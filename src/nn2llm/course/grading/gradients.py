"""same_gradients: two functions compared through their backward passes.

Read calls.py before.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch

from nn2llm.course.grading.calls import Call, build_evidence, choose_tolerance, judge, read_arguments
from nn2llm.course.grading.compare import compare
from nn2llm.course.grading.namespaces import unwrap
from nn2llm.course.grading.plain import Mapping, Plain, Text, freeze
from nn2llm.course.grading.session import CallRecord, CheckFailed, derive_seed
from nn2llm.course.grading.suspects import Suspects, collect_suspects

__all__ = ["same_gradients"]

_Tensor, _Module, _Generator = torch.Tensor, torch.nn.Module, torch.Generator
_grad, _randn, _enable_grad = torch.autograd.grad, torch.randn, torch.enable_grad
_named_parameters, _requires = torch.nn.Module.named_parameters, torch.Tensor.requires_grad_
_sum, _mul, _to = torch.Tensor.sum, torch.Tensor.mul, torch.Tensor.to


class Detached(Exception):
    """No gradient leads from the result to any argument."""


def same_gradients(
    function: Callable[..., Any],
    reference: Callable[..., Any],
    /,
    *args: Any,
    wrt: Iterable[int | str] = (0,),
    atol: float | None = None,
    rtol: float | None = None,
    suspects: Suspects = None,
    **kwargs: Any,
) -> None:
    """Compare results, then the gradients of both with respect to the arguments `wrt` (places or names).

    A result with many elements is weighted by fixed random numbers, so that every element's gradient counts.
    An argument that is a module stands for its parameters. A result that is detached, or an argument that no
    gradient reaches, is said.

    Raises:
        CheckFailed: as `same`.
    """
    given = read_arguments(args, kwargs)
    call = Call.of(function, given)
    returned, mine = _run(call, function, wrt, learners=True)
    expected, theirs = _run(call, reference, wrt)
    tolerance = choose_tolerance(atol, rtol, [*call.arguments.values(), expected])
    forward = compare(returned, expected, tolerance)
    if forward is not None:
        record = CallRecord(returned, expected, tolerance, forward, {})
        judge(call, record)
        return
    if theirs is None:
        raise TypeError("same_gradients: the reference's result depends on none of the arguments `wrt`")
    if mine is None:
        lines = [
            "The numbers are right, but the result is detached: no gradient can flow back through it "
            "(`.detach()`, `.item()`, `.data`, numpy or `torch.tensor(…)` cut it off)."
        ]
        if call.session.mode == "diagnose":
            return
        raise CheckFailed(build_evidence(call, returned, expected, None, lines))
    record = CallRecord(
        mine,
        theirs,
        tolerance,
        compare(mine, theirs, tolerance),
        {says: partial(_gradients_of, call, item, wrt) for says, item in collect_suspects(suspects).items()},
        about="The result is right, its gradient is not. ",
    )
    judge(call, record)


def _gradients_of(call: Call, function: Any, wrt: Iterable[int | str]) -> Plain:
    _, gradients = _run(call, function, wrt)
    if gradients is None:
        raise Detached
    return gradients


def _run(
    call: Call, function: Any, wrt: Iterable[int | str], *, learners: bool = False
) -> tuple[Plain, Plain | None]:
    """(result, gradients by name or None where detached) of one call with fresh copies."""
    leaves: dict[str, Any] = {}

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        leaves.update(_ask_for_gradients(call.names, args, kwargs, wrt))
        with _enable_grad():
            result = unwrap(function)(*args, **kwargs)
        return result

    kept: list[Any] = []
    value = call.run(differentiated, learners=learners, keep=kept)
    total = _weigh(kept[0], call.seed)
    if total is None:
        return value, None
    gradients = _grad(total, list(leaves.values()), allow_unused=True)
    pairs = []
    for name, gradient in zip(leaves, gradients, strict=True):
        pairs.append((Text(name, "str"), freeze(gradient)))
    return value, Mapping(tuple(pairs), "dict")


def _ask_for_gradients(
    names: list[str], args: tuple[Any, ...], kwargs: dict[str, Any], wrt: Iterable[int | str]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place in wrt:
        value = kwargs[place] if isinstance(place, str) and place in kwargs else None
        if value is None:
            index = names.index(place) if isinstance(place, str) else place
            value, place = args[index], names[index]
        if isinstance(value, _Module):
            found.update({f"{place}.{key}": item for key, item in _named_parameters(value)})
        elif isinstance(value, dict):
            found.update({f"{place}.{key}": _requires(item) for key, item in value.items()})
        elif isinstance(value, _Tensor) and value.is_floating_point():
            found[str(place)] = _requires(value)
        else:
            raise TypeError(f"same_gradients: argument {place} is {type(value).__name__}, not a float tensor")
    return found


def _weigh(result: Any, seed: int) -> Any:
    """One number that depends on every element of the result that has a gradient; None where none has."""
    total, count = None, 0
    for part in _tensors(result):
        count += 1
        if not part.requires_grad or not (part.is_floating_point() or part.is_complex()):
            continue
        made = _Generator()
        made.manual_seed(derive_seed(seed, "weights", count))
        weights = _to(_randn(tuple(part.shape), generator=made), part.dtype)
        term = _sum(_mul(part, weights))
        total = term if total is None else total + term
    if total is not None and total.is_complex():
        total = total.real
    return total


def _tensors(result: Any) -> list[Any]:
    if isinstance(result, _Tensor):
        return [result]
    if isinstance(result, (list, tuple)):
        return [tensor for item in result for tensor in _tensors(item)]
    if isinstance(result, dict):
        return [tensor for item in result.values() for tensor in _tensors(item)]
    return []
