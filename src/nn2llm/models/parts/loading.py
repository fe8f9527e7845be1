"""From a part's text to its functions: the learner's own code, run in this process.

Read models/parts/__init__.py before. Used by checking.py, train/mine.py and cli/sample.py.
"""

from __future__ import annotations

import linecache
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from typing import Any

from nn2llm.models.parts import PARTS, PartError, PartSource

__all__ = ["describe_failure", "load_functions", "load_part"]


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
        PartError: if it does not parse, fails, or lacks a function.
    """
    module = types.ModuleType(f"mygpt_part_{source.name}")
    module.__file__ = source.path
    # so that tracebacks show the lines that ran, and dataclasses find the module that they are in
    linecache.cache[source.path] = (len(source.text), None, source.text.splitlines(True), source.path)
    sys.modules[module.__name__] = module
    try:
        exec(compile(source.text, source.path, "exec"), module.__dict__)
    except (KeyboardInterrupt, GeneratorExit):
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


def describe_failure(error: BaseException, path: str) -> str:
    """`ValueError: …, in line 12 of …/attention.py`: the last line of the learner's own file."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
        text = error.msg
    else:
        text = " ".join(str(error).split())[:200]
    where = f", in line {lines[-1]} of {path}" if lines and lines[-1] is not None else f", in {path}"
    return f"{type(error).__name__}{': ' + text if text else ''}{where}"


def suggest_remedy(source: PartSource) -> str:
    """What to do about a part that is wrong."""
    without = f"train without it by --mine-without {source.name}"
    if source.slug is None or source.exercise is None:
        return f"Mend {source.path}, or {without}."
    return f"Mend it with `nn2llm learn check {source.slug} {source.exercise}`, or {without}."
