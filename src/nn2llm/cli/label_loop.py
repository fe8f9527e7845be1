"""The loop of `nn2llm label`: two replies on the screen, one key, saved, the next two.

On a terminal replies stand side by side. From a pipe it is a protocol for programs: each screen is one line
of JSON on stdout, {"number", "of", "prompt", "1", "2"}, and each line on stdin is a key. Nothing that is
shown tells which model or sample a reply comes from, nor that a pair comes again.
Read keypress.py and data/label_files.py before. Used by label.py.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from nn2llm.cli.keypress import ReadKey
from nn2llm.cli.talk import printable
from nn2llm.data.label_files import LabelFile
from nn2llm.data.labels import Choice, Label, Showing
from nn2llm.tokenizers.chat import Message

__all__ = ["Screen", "build_screen", "choose_all", "print_json", "print_screen"]

_CHOICES: dict[str, Choice] = {"1": "first", "2": "second", "t": "tie", "s": "skip"}
_KEYS = "1 or 2 is better   t tie   s skip   u undo   q save and leave"
_WIDE_ENOUGH = 72


@dataclass(frozen=True, slots=True)
class Screen:
    """What a labeller sees."""

    number: int
    """From 1."""
    of: int
    prompt: tuple[Message, ...]
    first: str
    second: str


def build_screen(file: LabelFile, showing: Showing) -> Screen:
    """The replies in their order on the screen."""
    pair = file.session.pairs[showing.pair]
    first, second = pair.replies[::-1] if showing.swapped else pair.replies
    return Screen(len(file.labels) + 1, file.num_planned, pair.prompt, first, second)


def choose_all(
    file: LabelFile,
    read_key: ReadKey,
    show: Callable[[Screen], None],
    note: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Show pairs until all are answered, the labeller leaves, or no more keys come; each answer is saved.

    Args:
        file: where answers go.
        read_key: gives the keys.
        show: puts a screen before the labeller.
        note: says one line.
        clock: seconds, for how long they looked.

    Raises:
        StorageError: if the disk does not take an answer; those before are whole.
    """
    while (showing := file.find_next()) is not None:
        show(build_screen(file, showing))
        started_at = clock()
        while (key := read_key()) not in _CHOICES:
            if key is None or key == "q":
                return
            if key == "u":
                break
            note(_KEYS)
        if key == "u":
            note("Taken back." if file.undo() is not None else "There is nothing to take back.")
            continue
        assert key is not None
        seconds = round(clock() - started_at, 2)
        file.append(Label(showing, _CHOICES[key], seconds))


def print_json(console: Console, screen: Screen) -> None:
    """For a program: one line."""
    record = {
        "number": screen.number,
        "of": screen.of,
        "prompt": list(screen.prompt),
        "1": screen.first,
        "2": screen.second,
    }
    console.file.write(json.dumps(record) + "\n")
    console.file.flush()


def print_screen(console: Console, screen: Screen) -> None:
    """For a person: the prompt, both replies (side by side where there is room), and the keys."""
    console.rule(f"{screen.number} of {screen.of}", style="dim")
    for message in screen.prompt:
        line = Text(f"{message['role']}> ", style="bold")
        line.append(printable(message["content"]), style="not bold")
        console.print(line)
    console.print()
    replies = [Text(printable(reply)) for reply in (screen.first, screen.second)]
    if console.width >= _WIDE_ENOUGH:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), header_style="bold", expand=True)
        for name in ("1", "2"):
            table.add_column(name, ratio=1, overflow="fold")
        table.add_row(*replies)
    else:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_header=False, show_lines=True)
        table.add_column(no_wrap=True, style="bold")
        table.add_column(overflow="fold")
        for name, reply in zip(("1", "2"), replies, strict=True):
            table.add_row(name, reply)
    console.print(table)
    console.print(_KEYS, style="dim", highlight=False)
