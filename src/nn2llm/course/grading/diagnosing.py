"""After a check failed: run it again to see all its calls, and name the mistake if there can be only one.

Read suspects.py and structure.py before. Used by running.py. The evidence stands already; nothing here may
change the verdict, take long, or fail.
"""

import inspect
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from nn2llm.course.grading.session import CallRecord, CheckFailed, Session
from nn2llm.course.grading.structure import name_structure
from nn2llm.course.grading.suspects import name_suspect

__all__ = ["diagnose", "name_exchanged_parameters"]

_ROUNDS = 3  # the failing numbers again, then two fresh draws
_SECONDS = 5.0
_LATEST = 2.5  # seconds after which no other check is begun


class _OutOfTime(BaseException):
    """The diagnosis takes too long; there is none then."""


def diagnose(
    session: Session,
    check: Callable[[Any, Any], None],
    learner: object,
    reference: object,
    others: Mapping[str, Callable[[Any, Any], None]] | None = None,
) -> str | None:
    """What is wrong, in the words of the suspect or the structure that fits all calls; None when unsure.

    `others`: the exercise's other checks by name, whose calls may contradict a suspect.
    """
    name, last_call = session.check, session.last_call
    session.mode = "diagnose"
    try:
        with _at_most(_SECONDS):
            rounds = _observe(session, name, check, learner, reference)
            if rounds is None:
                return None
            begun = session.elapsed()
            said, _ = name_suspect(
                rounds, lambda: _observe_others(session, others or {}, learner, reference, begun)
            )
            return said or name_structure(rounds)
    except BaseException:  # the learner's code runs here: whatever it raises, the verdict stands
        return None
    finally:
        session.mode, session.last_call = "judge", last_call


def _observe(
    session: Session, name: str, check: Callable[[Any, Any], None], learner: object, reference: object
) -> list[list[CallRecord]] | None:
    """All comparisons of a few rounds; None where the learner's code raised in one of them."""
    rounds: list[list[CallRecord]] = []
    started = session.elapsed()
    for number in range(_ROUNDS):
        session.begin(name, round=number)
        try:
            check(learner, reference)
        except CheckFailed:
            pass  # by require(): the comparisons before it still count
        except Exception:
            if session.raised is not None:
                return None
        rounds.append(list(session.records))
        if session.elapsed() - started > _LATEST / 2:
            break
    return rounds


def _observe_others(
    session: Session,
    checks: Mapping[str, Callable[[Any, Any], None]],
    learner: object,
    reference: object,
    begun: float,
) -> list[CallRecord]:
    """One round of the other checks; where the learner's code raises, the comparisons before it count."""
    records: list[CallRecord] = []
    for name, check in checks.items():
        if records and session.elapsed() - begun > _LATEST / 2:
            break  # slow code: one check of other data has been heard
        session.begin(name, round=1)
        with suppress(Exception):  # CheckFailed among them
            check(learner, reference)
        records += session.records
    return records


def name_exchanged_parameters(mine: Any, right: Any) -> str | None:
    """Said where the learner's parameters are the reference's, in another order."""
    try:
        names, wanted = (list(inspect.signature(function).parameters) for function in (mine, right))
    except Exception:
        return None
    if names == wanted or sorted(names) != sorted(wanted):
        return None
    order = f"({', '.join(names)}). The check gives ({', '.join(wanted)})."
    return f"Your parameters stand in another order: {order}"


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Interrupt Python code after a while, where the system can."""
    can = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not can or signal.getsignal(signal.SIGALRM) not in (signal.SIG_DFL, signal.SIG_IGN):
        yield
        return

    def give_up(*_: object) -> None:
        raise _OutOfTime

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
