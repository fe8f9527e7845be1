"""From a part's text to its functions: the learner's own code, run in this process.

Read models/parts/__init__.py before. Used by its neighbours, train/mine_trainer.py and cli/mine.py.
"""

from __future__ import annotations

import ast
import linecache
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from nn2llm.core.errors import Nn2llmError
from nn2llm.models.parts import PARTS, PartError, PartSource

__all__ = [
    "PartTimeout",
    "calls_print",
    "describe_failure",
    "load_functions",
    "load_part",
    "name_part",
    "say_error",
    "suggest_remedy",
    "time_limit",
    "torch_unchanged",
]

TIME_LIMIT_S = 20.0
"""For loading a part, and for each check: on inputs this small a slow loop takes milliseconds."""

_PLAIN_WORDS = {
    "Can't call numpy() on Tensor that requires grad": "NumPy cannot carry gradients, so nothing before this "
    "line could learn; write it with torch",
    "modified by an inplace operation": "a tensor that the gradient needs was changed in place "
    "(+= or x[...] =); make a new one",
}
"""What torch says, where its advice would lead a beginner astray → what is meant."""


class PartTimeout(BaseException):
    """A part took too long. No `Exception`, so that `except Exception` in the part lets it through."""


def load_functions(sources: Mapping[str, PartSource]) -> dict[str, Callable[..., Any]]:
    """The functions of all these parts, by name.

    Raises:
        PartError: if one cannot be loaded.
    """
    functions: dict[str, Callable[..., Any]] = {}
    for source in sources.values():
        functions |= load_part(source)
    return functions


def load_part(source: PartSource) -> dict[str, Callable[..., Any]]:
    """Run the text of a part as a module of its own; returns the functions that the part needs.

    Raises:
        PartError: if it does not parse, fails, takes too long, or lacks a function.
    """
    module = types.ModuleType(f"mygpt_part_{source.name}")
    module.__file__ = source.path
    # called in every layer of every step, a forgotten print would bury the progress
    module.__dict__["print"] = _say_nothing
    # so that tracebacks show the lines that ran, and dataclasses find the module that they are in
    linecache.cache[source.path] = (len(source.text), None, source.text.splitlines(True), source.path)
    sys.modules[module.__name__] = module
    try:
        with torch_unchanged(source), time_limit(TIME_LIMIT_S):
            exec(compile(source.text, source.path, "exec"), module.__dict__)
    except (KeyboardInterrupt, PartError):
        raise
    except BaseException as error:  # a part that calls exit() must not end the program without a word
        raise PartError(
            f"Your part {source.name} cannot be loaded: {describe_failure(error, source.path)}. "
            f"{suggest_remedy(source)}"
        ) from error
    functions: dict[str, Callable[..., Any]] = {}
    for signature, name in zip(PARTS[source.name].signatures, PARTS[source.name].functions, strict=True):
        function = getattr(module, name, None)
        if not callable(function):
            raise PartError(
                f"Your part {source.name} ({source.path}) has no function {signature}. "
                f"{suggest_remedy(source)}"
            )
        functions[name] = function
    return functions


def calls_print(source: PartSource) -> bool:
    """Whether the text of a part, which parses, uses `print`: what it says is left out."""
    return any(isinstance(node, ast.Name) and node.id == "print" for node in ast.walk(ast.parse(source.text)))


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End what runs inside after so many seconds. Without limit on Windows and outside the main thread.

    Raises:
        PartTimeout: when the time is up and Python runs its next line.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: types.FrameType | None) -> None:
        raise PartTimeout(f"it was not done after {seconds:g} s; does a loop never end?")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again each second: a bare `except:` catches one
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def torch_unchanged(source: PartSource) -> Iterator[None]:
    """Put torch's settings back where a part has changed them; its random numbers without a word.

    Raises:
        PartError: if it has switched gradients off, or another dtype on, for the whole program.
    """
    dtype, has_gradients, numbers = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_rng_state()
    try:
        yield
    finally:
        changed = None
        if torch.get_default_dtype() != dtype:
            changed = f"set_default_dtype({torch.get_default_dtype()})"
        elif torch.is_grad_enabled() != has_gradients:
            changed = f"set_grad_enabled({torch.is_grad_enabled()})"
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(has_gradients)
        torch.set_rng_state(numbers)
        if changed:  # also where something failed: this is why
            raise PartError(
                f"Your part {source.name} ({source.path}) changes torch for the whole program: "
                f"torch.{changed}. Take that out. {suggest_remedy(source)}"
            )


@contextmanager
def name_part(sources: Mapping[str, PartSource], when: str) -> Iterator[None]:
    """What the learner's code raises inside becomes one sentence; `when`: as in "at step 3".

    Raises:
        PartError: naming the innermost part that the error passed through. Other errors stay what they are.
    """
    try:
        yield
    except (Nn2llmError, KeyboardInterrupt, torch.OutOfMemoryError):
        raise
    except BaseException as error:
        by_path = {source.path: source for source in sources.values()}
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if source := by_path.get(frame.filename):
                raise PartError(
                    f"Your part {source.name} failed {when}: {describe_failure(error, source.path)}. "
                    f"{suggest_remedy(source)}"
                ) from error
        raise


def describe_failure(error: BaseException, path: str) -> str:
    """`ValueError: …, in line 12 of …/attention.py`: the last line of the learner's own file."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    if isinstance(error, SyntaxError) and not lines:
        lines = [error.lineno]
    where = f"line {lines[-1]} of {path}" if lines and lines[-1] is not None else path
    return f"{say_error(error)}, in {where}"


def say_error(error: BaseException) -> str:
    """`ValueError: what it says`, in one line and without torch's wrong advice."""
    if isinstance(error, PartTimeout):
        return str(error)
    if isinstance(error, SystemExit):
        return "it ends the program (exit)"
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    text = next((plain for said, plain in _PLAIN_WORDS.items() if said in text), text)
    text = " ".join(text.split())[:200].rstrip(".")
    return f"{type(error).__name__}{': ' + text if text else ''}"


def suggest_remedy(source: PartSource) -> str:
    """What to do about a part that is wrong."""
    known = source.slug is not None and source.exercise is not None
    exercise = f"`nn2llm learn check {source.slug} {source.exercise}`"
    if source.run is not None:
        yours = f"mygpt/{source.name}.py" + (f", or its exercise by {exercise}" if known else "")
        return f"{source.run} keeps the code that it began with: mend {yours}; then start a new run."
    where = f"Mend {source.path}" + (f", or its exercise by {exercise}" if known else "")
    if PARTS[source.name].stage == "writing":
        return f"{where}; or leave out --mine."
    return f"{where}; or train without it by --mine-without {source.name}."


def _say_nothing(*words: object, **options: object) -> None:
    """In the place of a part's print."""
