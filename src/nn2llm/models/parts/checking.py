"""Does a part compute what the library's does? On fresh random inputs and on the edges.

A check calls both with copies of the same inputs and compares values, shapes, gradients where the part
trains, and the inputs themselves, which must stay as they were. Tolerances are what float32 leaves between
two orders of the same additions: 5e-6 + 2e-5 of the value, and 2e-5 + 1e-4 for gradients, which are longer
sums. Large scores are whole numbers, whose products are exact: no right answer is refused for its rounding.

Read loading.py before; checks_*.py hold the checks. Used by rehearsal.py and cli/mine.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from nn2llm.core.files import write_bytes_atomic
from nn2llm.models.parts import PARTS, PartError, PartSource
from nn2llm.models.parts.loading import (
    TIME_LIMIT_S,
    describe_failure,
    load_part,
    suggest_remedy,
    time_limit,
    torch_unchanged,
)

__all__ = ["Check", "Trial", "check_part", "check_parts", "compare", "fail"]

VALUE_TOLERANCE = (5e-6, 2e-5)
"""Absolute and relative, of values."""
GRADIENT_TOLERANCE = (2e-5, 1e-4)
"""Absolute and relative, of gradients."""
_MAX_SHOWN = 6
_ARGUMENT_NAMES = {
    name: signature.partition("(")[2].rstrip(")").split(", ")
    for part in PARTS.values()
    for name, signature in zip(part.functions, part.signatures, strict=True)
}


class CheckFailed(Exception):
    """What a check found: a sentence without its subject."""


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison."""

    title: str
    """What holds where it passes."""
    run: Callable[[Trial], None]
    """Raises CheckFailed where it does not."""


@dataclass(slots=True)
class Trial:
    """The learner's functions, a source of fresh numbers, and the device that will train."""

    functions: Mapping[str, Callable[..., Any]]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    generator: torch.Generator = field(default_factory=torch.Generator)

    def draw(self, *shape: int, scale: float = 1.0) -> Tensor:
        """Normal numbers; drawn on the CPU, so that all devices see the same."""
        return scale * torch.randn(shape, generator=self.generator).to(self.device)

    def draw_whole(self, *shape: int, low: int = -3, high: int = 4, scale: float = 1.0) -> Tensor:
        """Whole numbers times `scale`, as float32: their products and sums are exact."""
        return scale * self.draw_ids(*shape, low=low, high=high).float()

    def draw_ids(self, *shape: int, high: int, low: int = 0) -> Tensor:
        """Integers from low to high - 1."""
        return torch.randint(low, high, shape, generator=self.generator).to(self.device)


def check_parts(sources: Mapping[str, PartSource], *, device: torch.device | str = "cpu") -> int:
    """Check every part on `device`; returns how many comparisons held.

    Raises:
        PartError: naming the part, the check, what was called, returned and expected, and what to do.
    """
    files = {Path(source.path): source for source in sources.values() if Path(source.path).exists()}
    num_checks = 0
    for source in sources.values():
        num_checks += check_part(source, device=device)
        gone = [path for path in files if not path.exists()]
        for path in gone:
            write_bytes_atomic(path, files[path].text.encode())
        if gone:
            raise PartError(
                f"Your part {source.name} deletes files: {', '.join(map(str, gone))} had to be written "
                f"again. Take that out. {suggest_remedy(source)}"
            )
    return num_checks


def check_part(source: PartSource, *, device: torch.device | str = "cpu", seed: int | None = None) -> int:
    """Check one part; returns the number of its checks. Fresh numbers each time, unless `seed` is given.

    Raises:
        PartError: as `check_parts`.
    """
    from nn2llm.models.parts.checks import CHECKS

    functions = load_part(source)
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    trial = Trial(functions, torch.device(device), generator)
    for check in CHECKS[source.name]:
        try:
            with torch.enable_grad(), torch_unchanged(source), time_limit(TIME_LIMIT_S):
                check.run(trial)
        except CheckFailed as found:
            raise PartError(
                f"Your part {source.name} ({source.path}) does not compute what the library's does: "
                f"check {check.title!r} fails: {found} {suggest_remedy(source)}"
            ) from found
        except (KeyboardInterrupt, PartError):
            raise
        except BaseException as error:
            raise PartError(
                f"Your part {source.name} fails in check {check.title!r}: "
                f"{describe_failure(error, source.path)}. {suggest_remedy(source)}"
            ) from error
    return len(CHECKS[source.name])


def compare(
    trial: Trial,
    name: str,
    reference: Callable[..., Any],
    *arguments: Any,
    wrt: Sequence[int] = (),
    tolerance: tuple[float, float] = VALUE_TOLERANCE,
) -> None:
    """Call the learner's `name` and `reference` with copies of `arguments`; both must do the same.

    `wrt`: the arguments whose gradients are compared as well.

    Raises:
        CheckFailed: if they do not.
    """
    (ours, our_leaves), (theirs, their_leaves) = _copy(arguments, wrt), _copy(arguments, wrt)
    returned = trial.functions[name](*ours)
    expected = reference(*theirs)
    shown = (
        f"{label}={_show(one, short=True)}"
        for label, one in zip(_ARGUMENT_NAMES[name], arguments, strict=True)
    )
    called = f"{name}({', '.join(shown)})"
    if returned is None:
        fail(called, returned, expected, "it returned None; is there a return?")
    _compare_values(called, returned, expected, tolerance)
    for position, (before, after) in enumerate(zip(arguments, ours, strict=True)):
        pairs = zip(_list_tensors(before), _list_tensors(after), strict=True)
        if any(not torch.equal(one, other.detach()) for one, other in pairs):
            raise CheckFailed(
                f"{called} changed {_ARGUMENT_NAMES[name][position]} itself, which the model still needs; "
                "make a new tensor."
            )
    if wrt:
        leaves = {
            _ARGUMENT_NAMES[name][position]: (our_leaves[position], their_leaves[position])
            for position in wrt
        }
        _compare_gradients(trial, called, returned, expected, leaves)


def fail(called: str, returned: Any, expected: Any, why: str) -> NoReturn:
    """Say what was called, returned and expected.

    Raises:
        CheckFailed: always.
    """
    raise CheckFailed(f"{called} returned {_show(returned)}, expected {_show(expected)}: {why}")


def _compare_values(called: str, returned: Any, expected: Any, tolerance: tuple[float, float]) -> None:
    if isinstance(expected, (tuple, list)):
        if not isinstance(returned, (tuple, list)) or len(returned) != len(expected):
            fail(called, returned, expected, f"{len(expected)} values are wanted.")
        for one, other in zip(returned, expected, strict=True):
            _compare_values(called, one, other, tolerance)
        return
    if isinstance(expected, Tensor):
        if not isinstance(returned, Tensor):
            fail(called, returned, expected, f"a tensor is wanted, not {type(returned).__name__}.")
        if returned.shape != expected.shape:
            fail(
                called,
                returned,
                expected,
                f"the shape is {_say_shape(returned)}, not {_say_shape(expected)}.",
            )
        if returned.dtype != expected.dtype:
            fail(called, returned, expected, f"the dtype is {returned.dtype}, not {expected.dtype}.")
        if returned.device != expected.device:
            fail(called, returned, expected, f"it is on {returned.device}, not {expected.device}.")
        _compare_numbers(called, returned, expected, tolerance, "")
        return
    try:
        number = float(returned)
    except (TypeError, ValueError):
        fail(called, returned, expected, "a number is wanted.")
    _compare_numbers(called, torch.tensor(number), torch.tensor(float(expected)), tolerance, "")


def _compare_numbers(
    called: str, returned: Tensor, expected: Tensor, tolerance: tuple[float, float], of_what: str
) -> None:
    if returned.dtype == torch.bool:
        wrong, difference = returned != expected, None
    else:
        one, other = returned.detach().double(), expected.detach().double()
        difference = (one - other).abs()
        # equal infinities differ by NaN; NaN itself is never right
        wrong = ~((one == other) | (difference <= tolerance[0] + tolerance[1] * other.abs()))
    if not bool(wrong.any()):
        return
    if difference is not None and bool(returned.isnan().any()):
        why = f"{int(returned.isnan().sum())} of {wrong.numel()} are NaN."
    else:
        # the numbers shown begin the tensor, and may all be right: say those of one that is wrong
        at = int((wrong.int() if difference is None else difference).flatten().argmax())
        place = [int(index) for index in torch.unravel_index(torch.tensor(at), wrong.shape)]
        what = (
            "the first is"
            if difference is None
            else f"the largest difference is {float(difference.max()):.2g},"
        )
        has, wants = (_show(tensor.detach().flatten()[at]) for tensor in (returned, expected))
        where = f" at {place}" if place else ""
        why = f"{int(wrong.sum())} of {wrong.numel()} differ; {what}{where}: {has}, not {wants}."
    fail(f"{called}{of_what}", returned, expected, why)


def _compare_gradients(
    trial: Trial,
    called: str,
    returned: Any,
    expected: Any,
    leaves: Mapping[str, tuple[Tensor, Tensor]],
) -> None:
    """`leaves`: the learner's and the library's copy of each argument whose gradient counts, by its name."""
    outputs = _list_tensors(returned)
    if not any(output.requires_grad for output in outputs):
        raise CheckFailed(
            f"{called} has the right value but no gradient: it was cut off on the way (detach, item, "
            "no_grad, a new tensor from numbers), so nothing before it could learn."
        )
    weights = [trial.draw(*output.shape) for output in outputs]
    for results in (outputs, _list_tensors(expected)):
        total = sum((one * weight).sum() for one, weight in zip(results, weights, strict=True))
        assert isinstance(total, Tensor)
        total.backward()
    for label, (ours, theirs) in leaves.items():
        of_what = f": the gradient of {label}"
        if ours.grad is None:
            raise CheckFailed(f"{called}{of_what} is missing, so that nothing before it could learn.")
        assert theirs.grad is not None
        _compare_numbers(called, ours.grad, theirs.grad, GRADIENT_TOLERANCE, of_what)


def _copy(arguments: Sequence[Any], wrt: Sequence[int]) -> tuple[list[Any], dict[int, Tensor]]:
    """Copies to call with; and the leaves, by position, in which their gradients arrive."""
    copies: list[Any] = []
    leaves: dict[int, Tensor] = {}
    for position, value in enumerate(arguments):
        if position in wrt:
            leaves[position] = value.detach().clone().requires_grad_()
            # as in a model: no leaf, which torch would not let anyone change in place
            copies.append(leaves[position].clone())
        elif isinstance(value, Tensor):
            copies.append(value.detach().clone())
        elif isinstance(value, list) and all(isinstance(one, Tensor) for one in value):
            copies.append([one.detach().clone() for one in value])
        else:
            copies.append(value)
    return copies, leaves


def _list_tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [one for one in value if isinstance(one, Tensor)]
    return []


def _say_shape(tensor: Tensor) -> str:
    return "(" + ", ".join(map(str, tensor.shape)) + ")"


def _show(value: Any, *, short: bool = False) -> str:
    """A value in a few words; `short` leaves out what stands in a tensor of more than four numbers."""
    if isinstance(value, Tensor):
        if value.ndim == 0:
            return f"{value.item():.6g}" if value.dtype.is_floating_point else str(value.item())
        flat = value.detach().flatten().tolist()
        kind = str(value.dtype).removeprefix("torch.")
        if short and len(flat) > 4:
            return f"{kind} {_say_shape(value)}"
        numbers = ", ".join(f"{x:.5g}" if isinstance(x, float) else str(x) for x in flat[:_MAX_SHOWN])
        return f"{kind} {_say_shape(value)} [{numbers}{', …' if len(flat) > _MAX_SHOWN else ''}]"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_show(one, short=True) for one in value)}]"
    if isinstance(value, float):
        return f"{value:.6g}"
    if callable(value):
        return getattr(value, "__name__", "a function")
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:80]}…"
