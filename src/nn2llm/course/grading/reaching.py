"""Does a text reach for the checker that runs beside it? Asked before it runs; a wrong answer must not pass.

Frames, the garbage collector and the table of modules lead from a learner's function to the reference, to the
notes of the grading and to the channel of its verdict. No exercise needs them. Who hides the word in two
halves gets through: this is no sandbox either (containment.py), but it is not found by accident. Used by
running.py.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["find_reach"]

_ATTRIBUTES = frozenset({
    "_getframe", "_current_frames", "_current_exceptions", "currentframe", "getouterframes", "f_back",
    "f_locals", "f_globals", "f_builtins", "tb_frame", "gi_frame", "cr_frame", "ag_frame", "cell_contents",
    "get_objects", "get_referrers", "get_referents", "addaudithook",
})  # fmt: skip
"""Names that nothing else has."""
_OF_MODULES = frozenset({("sys", "modules"), ("inspect", "stack"), ("inspect", "trace")})
_OWN = ("nn2llm.course.grading", "nn2llm_lesson_")
_HARMLESS = frozenset({"nn2llm.course.grading.accepted", "nn2llm.course.grading.mistake"})
"""Which do nothing, and stand at the head of each author's answers."""
_OWN_NAME = re.compile(r"(?:nn2llm\.course\.grading|nn2llm_lesson_)[\w.]*")


def find_reach(text: str) -> tuple[str, int] | None:
    """The first such word and its line; None where there is none, or where the text is not Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # running it says so
    nodes: Iterator[Any] = ast.walk(tree)
    found = [(node.lineno, node.col_offset, word) for node in nodes for word in _find_words(node)]
    if not found:
        return None
    line, _, word = min(found)
    return word, line


def _find_words(node: Any) -> Iterator[str]:
    """The words for which this one node reaches; a node that has some has a line."""
    if isinstance(node, ast.Attribute):
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if node.attr in _ATTRIBUTES or (owner, node.attr) in _OF_MODULES:
            yield f"{owner}.{node.attr}" if owner else node.attr
    elif isinstance(node, ast.Import):
        yield from (name.name for name in node.names if name.name.startswith(_OWN))
    elif isinstance(node, ast.ImportFrom) and node.module is not None and not node.level:
        for name in node.names:
            word = f"{node.module}.{name.name}"
            if word in _HARMLESS:
                continue
            if name.name in _ATTRIBUTES or (node.module, name.name) in _OF_MODULES or word.startswith(_OWN):
                yield word
    # a word as such, as getattr and import_module want it; not a sentence that holds it
    elif (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and (node.value in _ATTRIBUTES or _OWN_NAME.fullmatch(node.value))
    ):
        yield node.value
