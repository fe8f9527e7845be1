"""A verdict in the terminal: what was called, what came back, what was expected; a diagnosis only when asked.

Read course/grading/evidence.py for what a verdict holds. Used by learn_exercises.py and learn_watch.py. Every
judgement stands there as a word; colour only repeats it. The learner's code wrote much of the text, so that
control characters are replaced.
"""

import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from nn2llm.cli.talk import printable
from nn2llm.course.markup import spell_math

__all__ = ["has_diagnosis", "make_console", "print_diagnosis", "print_sentence", "print_verdict", "say_path"]

_STYLES = {"passed": "bold green", "failed": "bold red", "not run": "dim"}
_HEADS = {
    "passed": "PASSED",
    "failed": "FAILED",
    "unfinished": "NOT FINISHED",
    "error": "ERROR",
    "stopped": "STOPPED",
}
_PRINTED_LINES = 20
_GAP = 3
_INDENT = 6


def make_console() -> Console:
    """Where verdicts go. Lines are not wrapped: a path or a row of numbers stays whole."""
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True)


def say_path(path: Path | str) -> str:
    """As seen from here, where it is below."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def print_sentence(console: Console, sentence: str, *, indent: str = "  ", style: str = "") -> None:
    """Markdown for people: mathematics in letters; on a terminal broken between words."""
    text = printable(spell_math(sentence))
    if console.is_terminal:
        text = textwrap.fill(
            text,
            max(console.width, 40),
            initial_indent=indent,
            subsequent_indent=" " * len(indent),
            break_long_words=False,
            break_on_hyphens=False,
        )
    else:
        text = indent + text
    console.print(Text(text, style=style))


def print_verdict(
    console: Console, verdict: Mapping[str, Any], *, title: str, path: Path | str, diagnosis: bool = False
) -> None:
    """Evidence first. With `diagnosis`, what it may be, where the grader is sure."""
    status = str(verdict.get("status", "stopped"))
    head = Text()
    head.append(_HEADS.get(status, status.upper()), style=_STYLES.get(status, "bold red"))
    head.append(f"  {verdict.get('exercise', '')}: {printable(title)}")
    head.append(f"  ({verdict.get('elapsed_s', 0):.1f} s)", style="dim")
    console.print(head)
    message = str(verdict.get("message", ""))
    if message:
        print_sentence(console, message)
    if error := verdict.get("error"):
        _print_error(console, error)
    for check in verdict.get("checks", ()):
        _print_check(console, check, evidence=status == "failed", said=message.lower())
    _print_printed(console, verdict)
    for warning in verdict.get("warnings") or ():
        print_sentence(console, f"Warning: {warning}")
    if part := verdict.get("part"):
        print_sentence(console, str(part))
    if diagnosis:
        print_diagnosis(console, verdict)
    console.print(Text(f"  {say_path(path)}{_line_of(verdict)}", style="cyan"))


def _line_of(verdict: Mapping[str, Any]) -> str:
    error = verdict.get("error") or {}
    return f":{error['line']}" if error.get("line") else ""


def has_diagnosis(verdict: Mapping[str, Any]) -> bool:
    """Whether the grader is sure of what it is. Of work that is not finished nobody wants to hear it."""
    return verdict.get("status") != "unfinished" and any(
        check.get("diagnosis") for check in verdict.get("checks", ())
    )


def print_diagnosis(console: Console, verdict: Mapping[str, Any]) -> None:
    """What it is, for each check or field that knows; says so where none does."""
    status = verdict.get("status")
    if status == "passed":
        return
    if status == "unfinished":
        print_sentence(console, "What it is: nothing yet. Finish it first.")
    elif not has_diagnosis(verdict):
        print_sentence(
            console, "What it is: not one of the mistakes that this exercise knows. Look at the evidence."
        )
    else:
        for check in verdict.get("checks", ()):
            if check.get("diagnosis"):
                label = f" ({check['field']})" if check.get("field") else ""
                print_sentence(console, f"What it is{label}: {check['diagnosis']}", style="bold")


def _print_check(console: Console, check: Mapping[str, Any], *, evidence: bool, said: str) -> None:
    """One line, and below it the evidence; without the sentence that was `said` already."""
    status = str(check.get("status", "not run"))
    print_sentence(
        console,
        str(check.get("title") or check.get("name", "")),
        indent=f"  {status:<8}",
        style=_STYLES.get(status, ""),
    )
    found = check.get("evidence")
    if status == "passed" or not found or not evidence:
        return
    indent = " " * _INDENT
    for name in ("called", "returned", "expected"):
        if found.get(name):
            text = Text(indent)
            text.append(f"{name:<9}", style="dim")
            text.append(printable(str(found[name])))
            console.print(text)
    for sentence in found.get("lines") or ():
        if str(sentence).lower() not in said:
            print_sentence(console, str(sentence), indent=indent)
    if found.get("difference"):
        console.print(Text(f"{indent}{printable(str(found['difference']))}"))
    _print_arrays(console, found.get("arrays") or ())


def _print_arrays(console: Console, arrays: Sequence[Mapping[str, Any]]) -> None:
    """Small tables, side by side while the terminal is wide enough. `*` marks what differs first."""
    row: list[list[tuple[str, bool]]] = []
    width = _INDENT
    for array in arrays:
        block = _draw_array(array)
        wide = max(len(text) for text, _ in block) + _GAP
        if row and width + wide > console.width:
            _print_row(console, row)
            row, width = [], _INDENT
        row.append(block)
        width += wide
    if row:
        _print_row(console, row)


def _print_row(console: Console, blocks: list[list[tuple[str, bool]]]) -> None:
    height = max(len(block) for block in blocks)
    widths = [max(len(text) for text, _ in block) + _GAP for block in blocks]
    console.print()
    for number in range(height):
        line = Text(" " * _INDENT)
        for block, width in zip(blocks, widths, strict=True):
            text, marked = block[number] if number < len(block) else ("", False)
            line.append(f"{text:<{width}}", style="red" if marked else "dim" if number == 0 else "")
        line.rstrip()
        console.print(line)
    console.print()


def _draw_array(array: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """The lines of one table; True for a line in which something is marked."""
    marked = {tuple(place) for place in array.get("marked") or ()}
    shape = ", ".join(str(size) for size in array.get("shape") or ())
    rows = [
        [printable(str(value)) + ("*" if (i, j) in marked else " ") for j, value in enumerate(row)]
        for i, row in enumerate(array.get("values") or ())
    ]
    columns = max((len(row) for row in rows), default=0)
    widths = [max((len(row[j]) for row in rows if j < len(row)), default=0) for j in range(columns)]
    lines = [(f"{array.get('label', '')}: {array.get('dtype', '')} ({shape})", False)]
    for i, row in enumerate(rows):
        text = " ".join(f"{value:>{widths[j]}}" for j, value in enumerate(row))
        lines.append((text.rstrip(), any((i, j) in marked for j in range(len(row)))))
    return lines


def _print_error(console: Console, error: Mapping[str, Any]) -> None:
    """The learner's own lines, the call in which it happened at the bottom; then what it says."""
    indent = " " * _INDENT
    said = str(error.get("message", ""))
    for frame in error.get("frames") or () if "\n" not in said else ():  # else the message shows the line
        function = str(frame.get("function") or frame.get("name") or "")
        inside = f", in {function}" if function and not function.startswith("<") else ""
        console.print(Text(printable(f"{indent}line {frame.get('line')}{inside}:"), style="dim"))
        for number, code, here in frame.get("code") or ():
            console.print(Text(printable(f"{indent}{'>' if here else ' '} {number:>3}  {code}")))
    name = str(error.get("name", "Error"))
    for line in printable(f"{name}: {said}" if said else name).splitlines():
        console.print(Text(f"{indent}{line}"))


def _print_printed(console: Console, verdict: Mapping[str, Any]) -> None:
    lines = printable(str(verdict.get("printed") or "")).rstrip("\n").splitlines()
    if not lines:
        return
    console.print(Text("  Your code printed:", style="dim"))
    for line in lines[:_PRINTED_LINES]:
        console.print(Text(f"    | {line}"))
    left = len(lines) - _PRINTED_LINES
    if left > 0 or verdict.get("cut"):
        more = f"{left} more lines" if left > 0 else "more"
        console.print(Text(f"    | … {more}", style="dim"))
