"""`mistake` and `accepted`: marks in a lesson's mistakes.py and accepted.py.

Those files are read by ast and never run; these functions exist so that an editor knows the names, and so
that running such a file by accident does nothing.
"""

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["accepted", "mistake"]

_Definition = TypeVar("_Definition", bound=Callable[..., Any])


def mistake(
    exercise: str, *, says: str, why: str, check: str = "", field: str = "", **values: Any
) -> Callable[[_Definition], _Definition]:
    """A wrong answer that learners write. `says`: words they must read; `check`: the first that must fail.

    For form kinds: `field`, and the fields' values as keywords.
    """
    return lambda definition: definition


def accepted(exercise: str, label: str, **values: Any) -> Callable[[_Definition], _Definition]:
    """A right answer in another style than the solution's. For form kinds the fields' values as keywords."""
    return lambda definition: definition
