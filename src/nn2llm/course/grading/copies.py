"""Copies of the arguments, so that the learner's function, the reference and each suspect get the same ones.

Read plain.py before. A tensor given twice stays one tensor; a generator of random numbers is copied with its
state. Used by calls.py.
"""

import copy
import types
from collections.abc import Mapping as MappingType
from typing import Any

import torch

from nn2llm.course.grading.compare import Tolerance, compare
from nn2llm.course.grading.namespaces import LearnerFunction, ReferenceFunction, unwrap
from nn2llm.course.grading.plain import Mapping, Other, Plain, Text, TooMuch, freeze

__all__ = ["copy_arguments", "find_changed", "freeze_argument"]

_GENERATORS: tuple[Any, ...] = (types.GeneratorType, map, filter, zip, enumerate, reversed)
_EXACT = Tolerance(0.0, 0.0)
_Tensor, _Module, _Generator = torch.Tensor, torch.nn.Module, torch.Generator
_detach, _clone, _requires = torch.Tensor.detach, torch.Tensor.clone, torch.Tensor.requires_grad_
_state_dict, _deepcopy = torch.nn.Module.state_dict, copy.deepcopy


def copy_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Deep copies of both; what cannot be copied (a function, a class) goes as it is."""
    memo: dict[int, Any] = {}
    return tuple(_copy(item, memo) for item in args), {key: _copy(item, memo) for key, item in kwargs.items()}


def read_once(value: Any) -> Any:
    """A list in place of a generator: it has to serve several calls."""
    return list(value) if isinstance(value, _GENERATORS) else value


def _copy(value: Any, memo: dict[int, Any]) -> Any:
    if id(value) in memo:
        return memo[id(value)]
    kind = type(value)
    result: Any
    if kind in (LearnerFunction, ReferenceFunction):  # learner.f, reference.g, given as an argument
        return unwrap(value)
    if kind is _Tensor:
        # deepcopy refuses tensors that are not leaves
        result = _requires(_clone(_detach(value)), value.requires_grad)
    elif kind is list:
        result = []
        memo[id(value)] = result
        result.extend(_copy(item, memo) for item in value)
    elif kind is tuple:
        result = tuple(_copy(item, memo) for item in value)
    elif kind is dict:
        result = {}
        memo[id(value)] = result
        result.update((key, _copy(item, memo)) for key, item in value.items())
    elif kind is _Generator:
        result = _Generator(device=value.device)
        result.set_state(value.get_state())
    else:
        try:
            result = _deepcopy(value)
        except Exception:
            result = value
    memo[id(value)] = result
    return result


def freeze_argument(value: Any) -> Plain:
    """As `freeze`; of a module its parameters and buffers. What cannot be read is an `Other`."""
    try:
        if isinstance(value, _Module):
            state = _state_dict(value)
            return Mapping(
                tuple((Text(key, "str"), freeze(item)) for key, item in state.items()), type(value).__name__
            )
        if isinstance(value, _GENERATORS):
            return Other("generator", "a")
        return freeze(value)
    except (TooMuch, RuntimeError, NotImplementedError):
        return Other(type(value).__name__)


def find_changed(before: MappingType[str, Plain], after: MappingType[str, Plain]) -> list[str]:
    """Names of the arguments that are not to the bit what they were."""
    return [name for name, value in before.items() if compare(after[name], value, _EXACT) is not None and not
            isinstance(value, Other)]  # fmt: skip
