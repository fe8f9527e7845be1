"""`learner` and `reference`, the two arguments of every check.

Read session.py before. Functions come wrapped, so that it is known whose code runs and what was called last;
a check need not care: they are called as usual. Used by calls.py and running.py.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import FunctionType
from typing import Any

from nn2llm.course.grading.evidence import Evidence
from nn2llm.course.grading.plain import TooMuch, freeze
from nn2llm.course.grading.session import CheckFailed, current
from nn2llm.course.grading.showing import bind_names, show_call

__all__ = [
    "LEARNERS_MODULE",
    "Learner",
    "LearnerFunction",
    "Reference",
    "ReferenceFunction",
    "suggest_name",
    "unwrap",
]

_signature = inspect.signature

LEARNERS_MODULE = "learners_"
"""Begins the name of the module that the learner's text becomes."""


class LearnerFunction:
    """A function of the learner's. Calling it is recorded; what it raises is theirs."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function = function
        self.__name__ = name
        self.__doc__ = function.__doc__
        self.__wrapped__ = function  # for inspect.signature

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        session = current()
        given = tuple(unwrap(item) for item in args), {key: unwrap(item) for key, item in kwargs.items()}
        session.last_call = _describe_call(self, *given)
        session.last_returned = None
        check_signature(self, given, session.last_call)
        with session.inside_learner():
            result = self._function(*given[0], **given[1])
        if type(result).__name__ != "generator":  # reading it would use it up
            with suppress(TooMuch, RuntimeError):
                session.last_returned = freeze(result)
        return result

    def __repr__(self) -> str:
        return f"<the learner's {self.__name__}>"


class ReferenceFunction:
    """A function of the solution. The learner's code has no business calling it."""

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._function = function
        self.__name__ = name
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        session = current()
        if session.depth:
            session.touched.append(f"the checker's own `{self.__name__}`, which it called")
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<the reference's {self.__name__}>"


class Learner:
    """What the learner's text defines: `learner.gradient_step`. For form kinds the values of the fields."""

    def __init__(
        self, names: Mapping[str, Any], *, source: str = "", printed: Callable[[], str] = lambda: ""
    ) -> None:
        self._names = dict(names)
        self._wrapped: dict[str, Any] = {}
        self._printed = printed
        self.source = source
        """The text that is graded."""

    def printed(self) -> str:
        """What the learner's code printed since this check began."""
        return self._printed()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._names:
            guess = suggest_name(name, list(self._names))
            line = f"Your text defines no `{name}`.{guess}"
            raise CheckFailed(Evidence(lines=[line]))
        value = self._names[name]
        if name not in self._wrapped:
            plain = callable(value) and not isinstance(value, type) and not inspect.isclass(value)
            self._wrapped[name] = LearnerFunction(value, name) if plain else value
        return self._wrapped[name]

    def __contains__(self, name: str) -> bool:
        return name in self._names


class Reference:
    """What the solution defines: `reference.gradient_step`."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = dict(names)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names:
            known = ", ".join(sorted(self._names)) or "nothing"
            raise AttributeError(f"the reference has no {name!r}; it has {known}")
        value = self._names[name]
        return ReferenceFunction(value, name) if isinstance(value, FunctionType) else value


def unwrap(value: Any) -> Any:
    """The function itself, without the wrapper that says whose it is."""
    return value._function if type(value) in (LearnerFunction, ReferenceFunction) else value


def check_signature(function: Any, given: tuple[tuple[Any, ...], dict[str, Any]], called: str) -> None:
    """Fail where the learner's parameters cannot take the arguments: that would be a bare TypeError."""
    if type(function) is not LearnerFunction:
        return
    try:
        signature = _signature(unwrap(function))
    except Exception:
        return
    try:
        signature.bind(*given[0], **given[1])
    except TypeError as error:
        count = len(given[0])
        words = [f"{count} value{'' if count == 1 else 's'}"] if count else []
        words += [f"`{key}=…`" for key in given[1]]
        lines = [
            f"The check gives it {' and '.join(words) or 'nothing'}, "
            f"but yours is `{function.__name__}{signature}`: {error}.",
            "Keep the parameters of the starter, their names and their order.",
        ]
        raise CheckFailed(Evidence(called=called, lines=lines)) from None


def _describe_call(function: LearnerFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    from nn2llm.course.grading.copies import freeze_argument

    names = bind_names(unwrap(function), args, kwargs)
    values = [freeze_argument(item) for item in (*args, *kwargs.values())]
    return show_call(function.__name__, dict(zip(names, values, strict=False)))


def suggest_name(name: str, known: list[str]) -> str:
    """ " Did you mean `gradient_step`?", or nothing."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" Did you mean `{close[0]}`?" if close else ""
