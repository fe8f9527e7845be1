"""What the learner's code raised: their own lines only, and a sentence for what beginners meet.

Stands on kernels/inside/tracebacks.py, which describes the errors of a cell. Used by running.py.
"""

import linecache
import re
from typing import Any

from nn2llm.course.grading.evidence import LearnerError
from nn2llm.course.kernels.inside.tracebacks import CellNames, describe_exception

__all__ = ["describe_raised", "find_remedy", "has_learner_frame", "register_text"]

_MAX_FRAMES = 12
_MAX_MESSAGE = 600
_SENTENCES = {
    "RecursionError": "the function calls itself without end: which case stops it?",
    "MemoryError": "it asked for more memory than there is: look for a tensor that is larger than you meant.",
    "SystemExit": "the code ended its own process: take out `exit()` or `quit()`, and return instead.",
    "KeyboardInterrupt": "the code was interrupted, or raised this itself.",
    "EOFError": "nothing can be typed in here: take out `input()`, and use the function's arguments.",
}

# Well-known messages of torch and Python (and what must stand in the line), in plain words.
_REMEDIES: tuple[tuple[str, str, str], ...] = (
    (
        r"element 0 of tensors does not require grad",
        "",
        "Nothing on the way to this number asks for a gradient: make the parameters tensors with "
        "`requires_grad=True` before the loss is computed, and do not detach in between.",
    ),
    (
        r'"bitwise_xor_\w+" not implemented|unsupported operand type\(s\) for \^',
        r"\^",
        "In Python a power is `**`, as in `x**2`; `^` is something else.",
    ),
    (
        r"'(float|int)' object has no attribute 'item'",
        "",
        "This is a plain number already: leave `.item()` out.",
    ),
    (
        r"'(float|int)' object has no attribute '(requires_grad_?|grad|backward|detach|mean|sum|shape)'",
        "",
        "This is a plain number, not a tensor: `torch.tensor(…)` makes one of it.",
    ),
    (
        r"a leaf Variable that requires grad is being used in an in-place operation",
        "",
        "Move parameters inside `with torch.no_grad():`, so that the move itself has no gradient.",
    ),
    (
        r"Trying to backward through the graph a second time",
        "",
        "Each `backward()` uses up its loss: compute the loss anew before the next.",
    ),
    (
        r"grad can be implicitly created only for scalar outputs",
        "",
        "`backward()` starts from one number: take a mean or a sum first.",
    ),
    (
        r"a Tensor with \d+ elements cannot be converted to Scalar|only one element tensors can be converted",
        "",
        "This tensor holds several numbers where one is wanted: a mean, a sum or an index is missing.",
    ),
    (
        r"Boolean value of Tensor with more than one value is ambiguous",
        "",
        "A tensor of several numbers is neither true nor false: ask about one number.",
    ),
    (
        r"No module named '(solution|checks|mistakes|accepted|exercise|figures)'",
        "",
        "The lesson's own files cannot be imported here: your text stands alone.",
    ),
)


class _LearnersFile(CellNames):
    """The learner's file in the place of a page's cells: a frame is theirs if it is of that file."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def find_cell(self, file_name: str) -> str | None:
        """The file's name for its own frames."""
        return self.file if file_name == self.file else None


def register_text(file: str, text: str) -> None:
    """Let tracebacks show the lines of a text that is in no file of that name."""
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)


def describe_raised(error: BaseException, file: str) -> LearnerError:
    """The exception with the frames of the learner's file; never fails, whatever the exception does."""
    name = str(type(error).__name__)
    try:
        output = describe_exception(error, error.__traceback__, _LearnersFile(file), "")
    except BaseException:
        return LearnerError(name, f"{name} (it cannot be printed)", [], _last_line(error, file))
    message = str(output["message"])
    if name in _SENTENCES:
        message = _SENTENCES[name] if not message or name != "EOFError" else message
    frames = [_rename(frame) for frame in output["frames"] if frame["mine"] or frame["line"] is None]
    frames = frames if any(frame["mine"] for frame in frames) else []
    if len(frames) > _MAX_FRAMES:
        frames = frames[: _MAX_FRAMES // 2] + frames[-_MAX_FRAMES // 2 :]
    line = next((frame["line"] for frame in reversed(frames) if frame["line"]), None)
    if isinstance(error, SyntaxError) and error.filename == file:
        line = error.lineno
        message = f"{message}{_caret(error)}"
    if re.search(r"(?i)can't allocate memory|not enough memory", message):
        name = "MemoryError"
    return LearnerError(
        name=name,
        message=message[:_MAX_MESSAGE],
        frames=frames,
        line=line,
        tensors=output["tensors"],
    )


def find_remedy(error: LearnerError, file: str) -> str:
    """A plain sentence for a well-known message; "" where there is none that is surely right."""
    line = linecache.getline(file, error.line) if error.line else ""
    for message, needed, remedy in _REMEDIES:
        if re.search(message, error.message) and re.search(needed, line):
            return remedy
    return ""


def _rename(frame: dict[str, Any]) -> dict[str, Any]:
    if frame["line"] is None:
        return frame
    inside = f", in {frame['function']}" if frame["function"] else ""
    return {**frame, "where": f"line {frame['line']}{inside}", "cell": None}


def _caret(error: SyntaxError) -> str:
    """The line and a caret under the place, as Python shows them."""
    text = (error.text or "").rstrip("\n")
    if not text.strip():
        return ""
    indent = len(text) - len(text.lstrip())
    place = max((error.offset or 1) - 1 - indent, 0)
    width = 1
    if error.end_lineno == error.lineno and (error.end_offset or 0) > (error.offset or 1):
        width = (error.end_offset or 1) - (error.offset or 1)
    return f"\n{text.strip()}\n{' ' * place}{'^' * min(width, 80)}"


def _last_line(error: BaseException, file: str) -> int | None:
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def has_learner_frame(error: BaseException, file: str) -> bool:
    """Whether the exception came through code of the learner's."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return True
    return _last_line(error, file) is not None
