"""Is the grader still what it was? A picture before the learner's text runs, compared after it passed.

A learner who replaces `torch.allclose` mostly does so by accident (`sum = 0`, `torch.manual_seed = …`,
`import *` into the wrong place); one who does so on purpose learns nothing. Neither must read "passed". Two
nets: the objects that the checks and the comparison use are still the same ones; and a known wrong answer
still fails in this very process. It is no sandbox: the process is (containment.py). Used by running.py.
"""

import builtins
import functools
import importlib
import itertools
import math
import operator
import random
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from nn2llm.core.errors import LessonError
from nn2llm.course.exercises.model import build_starter, read_answers
from nn2llm.course.grading.loading import Grader

__all__ = ["Picture", "describe", "find_blind_spot", "take_picture"]

_MAX_CANARIES = 3
_LIBRARIES: tuple[Any, ...] = (
    builtins, math, operator, itertools, functools, random, torch, torch.Tensor, torch.nn.functional,
    torch.nn, torch.nn.Module, torch.nn.Parameter, torch.nn.Linear, torch.nn.Embedding, torch.nn.LayerNorm,
    torch.linalg, torch.autograd, torch.random, torch.testing, torch.nn.init, torch.special, torch.fft, np,
    np.random, np.linalg,
)  # fmt: skip
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, type)
# kept here, so that a learner's `vars = …` changes nothing
_vars, _id, _type, _isinstance, _issubclass, _len = vars, id, type, isinstance, issubclass, len
_gettrace, _settrace, _getprofile, _setprofile = sys.gettrace, sys.settrace, sys.getprofile, sys.setprofile
_FUNCTION = types.FunctionType
_BUILTINS = frozenset(vars(builtins))


class Picture:
    """Which object stood under each name, and what each Python function consisted of."""

    def __init__(self, owners: list[tuple[str, Any]]) -> None:
        self.trace, self.profile = _gettrace(), _getprofile()
        self.names: list[tuple[str, Any, dict[str, Any]]] = [
            (name, owner, dict(_vars(owner))) for name, owner in owners
        ]
        self.codes: dict[int, tuple[str, Any, tuple[Any, ...]]] = {}
        for name, _, members in self.names:
            for key, value in members.items():
                self._keep_code(f"{name}.{key}", value)

    def _keep_code(self, name: str, value: Any) -> None:
        if _type(value) is _FUNCTION and _id(value) not in self.codes:
            self.codes[_id(value)] = (name, value, _parts(value))

    def find_changes(self) -> list[str]:
        """Names that hold another object now, or functions with other insides."""
        changed = self.end_tracing()
        for name, owner, members in self.names:
            now = _vars(owner)
            for key, value in members.items():
                if key in now and (now[key] is value or _is_torchs_own(now[key])):
                    continue
                if _matters(key, value):
                    changed.append(f"`{_readable(name)}{key}`")
            changed.extend(f"`{_readable(name)}{key}`" for key in now if _shadows(key, owner, members))
        for name, function, parts in self.codes.values():
            if any(left is not right for left, right in zip(_parts(function), parts, strict=True)):
                changed.append(f"the insides of `{_readable(name).rstrip('.')}`")
        return changed

    def end_tracing(self) -> list[str]:
        """Take off a trace or profile function that was set since; named where there was one."""
        found = []
        if _gettrace() is not self.trace:
            found.append("Python's trace function (`sys.settrace`)")
            _settrace(self.trace)
        if _getprofile() is not self.profile:
            found.append("Python's profile function (`sys.setprofile`)")
            _setprofile(self.profile)
        return found


def take_picture(modules: tuple[types.ModuleType, ...]) -> Picture:
    """Of the libraries, the grader's own modules and the lesson's."""
    # all that a passing text may bring in later must be here now
    for name in ("modules", "gradients", "diagnosing", "structure"):
        importlib.import_module(f"nn2llm.course.grading.{name}")
    owners: list[tuple[str, Any]] = [(owner.__name__, owner) for owner in _LIBRARIES]
    owners += [
        (name, module)
        for name, module in list(sys.modules.items())
        if name.startswith("nn2llm.course.grading") and _isinstance(module, types.ModuleType)
    ]
    owners += [(module.__name__, module) for module in modules]
    for name, owner in list(owners):
        if not name.startswith("nn2llm"):
            continue
        for key, value in list(_vars(owner).items()):
            # methods of the grader's classes, and of those of the solution
            if _isinstance(value, type) and value.__module__ == name:
                owners.append((f"{name}.{key}", value))
    return Picture(owners)


def _shadows(key: str, owner: Any, members: dict[str, Any]) -> bool:
    """Whether a new name hides another: `torch.Tensor.mean` its base's, a module's `abs` the builtin."""
    if key in members or key.startswith("__"):
        return False
    if _isinstance(owner, type):
        return any(key in _vars(base) for base in type.mro(owner)[1:])
    return key in _BUILTINS and owner is not builtins


def _is_torchs_own(value: Any) -> bool:
    """Torch wraps functions of its own: the first step of torch.optim brings in _dynamo, and so manual_seed.

    A function's globals cannot be made up.
    """
    if _type(value) is not _FUNCTION:
        return False
    name = value.__globals__.get("__name__")
    module = sys.modules.get(name) if _isinstance(name, str) and name.startswith("torch.") else None
    return module is not None and _vars(module) is value.__globals__


def _parts(function: Any) -> tuple[Any, ...]:
    cells = function.__closure__ or ()
    contents = tuple(_content(cell) for cell in cells)
    return (function.__code__, function.__defaults__, function.__kwdefaults__, *contents)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return None


def _matters(key: str, value: Any) -> bool:
    """State may change (a default dtype, a cache, a counter); functions, classes and constants may not."""
    if key in ("__warningregistry__", "__annotations__", "__builtins__", "__dict__", "_"):
        return False
    if _isinstance(value, _FUNCTIONS) or callable(value):
        return True
    return _type(value) in (float, int, property, classmethod, staticmethod) and not key.startswith("_")


def _readable(name: str) -> str:
    if name == "builtins":
        return ""
    if name.startswith("nn2llm_lesson_"):
        return f"{name.removeprefix('nn2llm_lesson_')}.py's "
    return f"{name}."


def find_blind_spot(grader: Grader, grade: Callable[[str], str]) -> list[str]:
    """Empty if a known wrong answer still fails; else what can be said of it.

    The first mistake of mistakes.py that fails is proof; without mistakes the starter must not pass.
    """
    try:
        _, mistakes = read_answers(grader.folder, grader.exercise)
        texts = [answer.text for answer in mistakes[:_MAX_CANARIES]]
        texts = texts or [build_starter(grader.folder, grader.exercise)]
    except LessonError:
        return []  # the linter says what is wrong with these files; it is not the learner's doing
    if any(grade(text) != "passed" for text in texts):
        return []
    return ["something in the process, so that a known wrong answer passes too"]


def describe(touched: list[str]) -> str:
    """The verdict's sentence."""
    what = touched[0] if _len(touched) == 1 else f"{touched[0]} and {_len(touched) - 1} more"
    return f"Your code changed {what}. The checker uses it, so nothing can be said: take that out."
