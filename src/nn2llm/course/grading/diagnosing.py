"""After a check failed: run it again to see all its calls, and name the mistake if there can be only one.

Read suspects.py and structure.py before. Used by running.py. The evidence stands already; nothing here may
change the verdict, take long, or fail.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nn2llm.course.grading.session import CallRecord, CheckFailed, Session
from nn2llm.course.grading.structure import name_structure
from nn2llm.course.grading.suspects import name_suspect

__all__ = ["diagnose"]

_ROUNDS = 3  # the failing numbers again, then two fresh draws
_SECONDS = 2.0


class _OutOfTime(BaseException):
    """The diagnosis takes too long; there is none then."""


def diagnose(
    session: Session, check: Callable[[Any, Any], None], learner: object, reference: object
) -> str | None:
    """What is wrong, in the words of the suspect or the structure that fits all calls; None when unsure."""
    name, last_call = session.check, session.last_call
    session.mode = "diagnose"
    try:
        with _at_most(_SECONDS):
            rounds = _observe(session, name, check, learner, reference)
            if rounds is None:
                return None
            said, _ = name_suspect(rounds)
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
        if session.elapsed() - started > _SECONDS / 2:
            break
    return rounds


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
