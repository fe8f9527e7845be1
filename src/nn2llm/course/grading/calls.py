"""What a checks.py calls: `same` and its kin. Each compares, and fails with evidence.

Read session.py, compare.py and suspects.py before. gradients.py has same_gradients, modules.py same_module.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from nn2llm.course.grading.compare import Difference, Tolerance, compare
from nn2llm.course.grading.copies import copy_arguments, find_changed, freeze_argument, read_once
from nn2llm.course.grading.evidence import ArrayView, Evidence
from nn2llm.course.grading.namespaces import LEARNERS_MODULE, LearnerFunction, check_signature, unwrap
from nn2llm.course.grading.plain import (
    MAX_GENERATED,
    Array,
    Number,
    Other,
    Plain,
    Sequence,
    Text,
    TooMuch,
    freeze,
)
from nn2llm.course.grading.session import CallRecord, CheckFailed, Session, current, describe_error
from nn2llm.course.grading.showing import bind_names, choose_digits, show, show_call, view_array
from nn2llm.course.grading.suspects import Suspects, collect_suspects

__all__ = [
    "Call",
    "build_evidence",
    "choose_tolerance",
    "judge",
    "raises",
    "read_arguments",
    "require",
    "same",
]

_TOLERANCES = {
    "float16": Tolerance(1e-3, 2e-3),
    "bfloat16": Tolerance(1e-2, 1.6e-2),
    "float32": Tolerance(2e-6, 1e-5),
    "complex64": Tolerance(2e-6, 1e-5),
}
_NAMELESS = "the check's function"
_FINE = Tolerance(1e-9, 1e-7)


def same(
    function: Callable[..., Any],
    reference: Any,
    /,
    *args: Any,
    atol: float | None = None,
    rtol: float | None = None,
    suspects: Suspects = None,
    allow_inplace: bool = False,
    compare_arguments: bool = False,
    dtype: bool = True,
    take: int = MAX_GENERATED,
    **kwargs: Any,
) -> None:
    """Call the learner's `function` and the `reference` with copies of the same arguments, and compare.

    `reference` may be the expected value itself. Compared are kind, shape, dtype (unless `dtype=False`) and
    values: tensors, arrays, numbers, texts, None, lists and tuples (alike), dicts, sets, dataclasses,
    generators (their first `take` items). Right as well: an int or a tensor of shape () where a float is
    wanted, a number where a tensor of shape () is. Whole numbers agree exactly; others within atol +
    rtol·|expected|, by default as close as the coarsest dtype among arguments and result allows (float32:
    2e-6 + 1e-5).

    Fails as well where an argument was changed in place (unless `allow_inplace`; with `compare_arguments` the
    arguments must afterwards be as the reference leaves them), and where a gradient that an argument asks for
    cannot flow back. Both calls start from the same state of the global random generators.

    `suspects`: {what to say: function that makes this mistake}; see suspects.py for when one is named.

    Raises:
        CheckFailed: with the call, what came back, what was expected, and the first difference.
    """
    call = Call.of(function, read_arguments(args, kwargs))
    inplace = allow_inplace or compare_arguments
    returned = call.run(function, take=take, learners=True)
    changed = [] if inplace else find_changed(call.arguments, call.after)
    after = call.after
    expected = call.run(reference, take=take) if callable(reference) else freeze(reference, take=take)
    tolerance = choose_tolerance(atol, rtol, [*call.arguments.values(), expected])
    record = CallRecord(
        arguments=call.arguments,
        returned=returned,
        expected=expected,
        tolerance=tolerance,
        difference=compare(returned, expected, tolerance, dtype=dtype, gradient=call.wants_gradient()),
        suspects={
            says: partial(call.run, item, take=take) for says, item in collect_suspects(suspects).items()
        },
    )
    judge(call, record, changed)
    if compare_arguments:
        for name, left in after.items():
            right = call.after[name]
            if (difference := compare(left, right, tolerance, dtype=dtype)) is not None:
                lines = [f"Afterwards the argument `{name}` is not as it should be. {difference.text}"]
                raise CheckFailed(build_evidence(call, left, right, difference, lines, f"argument {name}"))


def read_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments, generators read into lists: they have to serve several calls."""
    return tuple(read_once(item) for item in args), {key: read_once(item) for key, item in kwargs.items()}


@dataclass(slots=True)
class Call:
    """One call with its arguments, to be made several times with fresh copies."""

    name: str
    given: tuple[tuple[Any, ...], dict[str, Any]]
    names: list[str]
    arguments: dict[str, Plain]
    session: Session
    seed: int
    after: dict[str, Plain] = field(default_factory=dict)
    """The arguments as the last run left them."""

    @classmethod
    def of(cls, function: Callable[..., Any], given: tuple[tuple[Any, ...], dict[str, Any]]) -> "Call":
        """Look at the arguments before anybody can change them; check that they fit the learner's parameters.

        Raises:
            CheckFailed: the learner's function takes other arguments.
        """
        session = current()
        names = bind_names(unwrap(function), *given)
        values = [*given[0], *given[1].values()]
        arguments = {name: freeze_argument(item) for name, item in zip(names, values, strict=False)}
        call = cls(name_of(function), given, names, arguments, session, session.next_seed())
        session.last_call = show_call(call.name, arguments)
        session.last_returned = None
        check_signature(function, given, session.last_call)
        return call

    def run(
        self,
        function: Any,
        *,
        take: int = MAX_GENERATED,
        learners: bool = False,
        keep: list[Any] | None = None,
    ) -> Plain:
        """Call `function` with copies; what comes back as plain data, and as it is in `keep`.

        The learner's side runs guarded.
        """
        args, kwargs = copy_arguments(*self.given)
        self.session.seed_everything(self.seed)
        counted = type(function) is LearnerFunction
        with self.session.inside_learner(counted=counted) if learners else nullcontext():
            raw = unwrap(function)(*args, **kwargs)
            # reading a generator runs code of theirs, so it belongs inside
            result = self._freeze(raw, take)
        if learners:
            self.session.last_returned = result
        if keep is not None:
            keep.append(raw)
        values = [*args, *kwargs.values()]
        self.after = {name: freeze_argument(item) for name, item in zip(self.names, values, strict=False)}
        return result

    def _freeze(self, value: Any, take: int) -> Plain:
        try:
            return freeze(value, take=take)
        except TooMuch as error:
            lines = [f"What came back is too much to compare: {error}."]
            raise CheckFailed(Evidence(called=self.session.last_call, lines=lines)) from None

    def wants_gradient(self) -> bool:
        """Whether some argument asks for a gradient."""
        return any(_asks(item) for item in [*self.given[0], *self.given[1].values()])


def judge(call: Call, record: CallRecord, changed: list[str] | None = None) -> None:
    """Keep the record; fail where there is a difference or a changed argument (unless diagnosing)."""
    session = call.session
    session.records.append(record)
    difference = record.difference
    lines = [record.about + difference.text] if difference else []
    if changed:
        names = ", ".join(f"`{name}`" for name in changed)
        lines.append(f"The call changed its argument {names} in place: work on a copy, or make a new value.")
    if not lines or session.mode == "diagnose":
        return
    evidence = build_evidence(call, record.returned, record.expected, difference, lines)
    if difference is not None and difference.kind == "unfinished":
        raise CheckFailed(evidence, unfinished=True)
    diagnosis = None
    if difference is None and changed:
        diagnosis = f"The result is right, but {lines[0][0].lower()}{lines[0][1:]}"
    elif difference is not None and difference.kind == "nothing" and not difference.path:
        diagnosis = "Does your function `return` its result?"
    suspected = difference is not None and difference.kind not in ("nothing", "detached")
    raise CheckFailed(evidence, diagnosis=diagnosis, suspected=suspected)


def build_evidence(
    call: Call,
    returned: Plain,
    expected: Plain,
    difference: Difference | None,
    lines: list[str],
    label: str = "returned",
) -> Evidence:
    """What was called, what came back, what was expected; arrays as tables around the first difference."""
    digits, arrays = 5, []
    if difference is not None:
        left, right = difference.returned, difference.expected
        if isinstance(left, Number) and isinstance(right, Number) and difference.kind == "value":
            digits = choose_digits(left.value, right.value)
        arrays = _view_both(label, difference, left, right)
    shown = show(returned, digits)
    if shown == show(expected, digits) and difference is not None and difference.kind == "value":
        digits = 9
        shown = show(returned, digits)
    # around a check's own lambda, the learner's call inside it says more
    inner = call.name == _NAMELESS and call.session.last_call
    return Evidence(
        called=inner or show_call(call.name, call.arguments),
        returned=shown,
        expected=show(expected, digits),
        lines=[*lines, *_seed_line(call.session)],
        arrays=arrays,
        difference=None if difference is None else difference.summary(),
    )


def _view_both(label: str, difference: Difference, left: Plain, right: Plain) -> list[ArrayView]:
    views = []
    both = isinstance(left, Array) and isinstance(right, Array) and left.shape == right.shape
    expected_label = "expected" if label == "returned" else f"{label}, expected"
    for name, item, other in ((label, left, right), (expected_label, right, left)):
        array = _as_table(item)
        if array is None or not array.data.size:
            continue
        index = difference.index if both else ()
        views.append(
            view_array(name + difference.path, array, index, _as_table(other) if both else None, mark=both)
        )
    return views


def _as_table(value: Plain) -> Array | None:
    return value if isinstance(value, Array) else None


def _seed_line(session: Session) -> list[str]:
    return [f"The random numbers come from seed {session.seed}."] if session.random_used else []


def require(
    condition: Any,
    must: str,
    *,
    called: str | None = None,
    returned: Any = None,
    expected: Any = None,
    diagnosis: str | None = None,
) -> None:
    """Fail with "What must hold" unless `condition`. `called` and `returned` default to the last call.

    `diagnosis`: the mistake, where the condition leaves no other.

    Raises:
        CheckFailed: the condition is false.
    """
    session = current()
    if _holds(condition):
        return
    shown = session.last_returned if returned is None else _freeze_or_text(returned)
    evidence = Evidence(
        called=called if called is not None else session.last_call,
        returned=None if shown is None else shown if isinstance(shown, str) else show(shown),
        expected=None if expected is None else _text(_freeze_or_text(expected)),
        lines=[must if must.rstrip().endswith((".", "?", "!")) else must + ".", *_seed_line(session)],
    )
    raise CheckFailed(evidence, diagnosis=diagnosis)


def _holds(condition: Any) -> bool:
    """As Python would say, but never by asking an object of the learner's; of a tensor every element."""
    frozen = freeze(condition)
    if isinstance(frozen, Array):
        return bool(frozen.data.all())
    if isinstance(frozen, (Number, Text)):
        return bool(frozen.value)
    if isinstance(frozen, Other):  # a match of `re`, say
        return not type(condition).__module__.startswith(LEARNERS_MODULE) and bool(condition)
    return bool(frozen.items)


def _freeze_or_text(value: Any) -> Plain | str:
    return value if isinstance(value, str) else freeze(value)


def _text(value: Plain | str) -> str:
    return value if isinstance(value, str) else show(value)


def raises(
    function: Callable[..., Any],
    kind: type[BaseException] | tuple[type[BaseException], ...],
    /,
    *args: Any,
    diagnosis: str | None = None,
    **kwargs: Any,
) -> None:
    """The learner's function must refuse these arguments with an exception of this kind.

    Raises:
        CheckFailed: it returned something, or raised another exception.
    """
    call = Call.of(function, (args, kwargs))
    kinds = kind if isinstance(kind, tuple) else (kind,)
    wanted = " or ".join(f"`{item.__name__}`" for item in kinds)
    try:
        returned = call.run(function, learners=True)
    except BaseException as error:
        if issubclass(type(error), kinds):
            return
        evidence = Evidence(
            called=call.session.last_call,
            returned=describe_error(error),
            expected=wanted,
            lines=[f"This call must raise {wanted}; it raised `{type(error).__name__}`."],
        )
        raise CheckFailed(evidence, diagnosis=diagnosis) from None
    lines = [f"This call must raise {wanted}; it returned a value."]
    evidence = Evidence(call.session.last_call, show(returned), wanted, [*lines, *_seed_line(call.session)])
    raise CheckFailed(evidence, diagnosis=diagnosis)


def choose_tolerance(atol: float | None, rtol: float | None, values: list[Plain]) -> Tolerance:
    """What is given, and the rest by the coarsest floating dtype among `values`."""
    found = max((_default(value) for value in values), key=lambda item: item.rtol, default=_FINE)
    if atol is not None and rtol is None:
        rtol = min(found.rtol, atol) if atol > 0 else 0.0
    return Tolerance(found.atol if atol is None else atol, found.rtol if rtol is None else rtol)


def _default(value: Plain) -> Tolerance:
    if isinstance(value, Array):
        return _TOLERANCES.get(value.dtype, _FINE)
    if isinstance(value, Number):
        return _TOLERANCES.get(value.source.split(" ")[-1], _FINE)
    if isinstance(value, Sequence):
        return max((_default(item) for item in value.items[:100]), key=lambda item: item.rtol, default=_FINE)
    items = getattr(value, "items", ())
    return max((_default(item) for _, item in items), key=lambda item: item.rtol, default=_FINE)


def name_of(function: Any) -> str:
    """The name to show in a call."""
    name = getattr(function, "__name__", None) or type(function).__name__
    return _NAMELESS if name == "<lambda>" else str(name)


def _asks(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return bool(value.requires_grad)
    if isinstance(value, torch.nn.Module):
        return any(parameter.requires_grad for parameter in value.parameters())
    return isinstance(value, (list, tuple)) and any(_asks(item) for item in value[:100])
