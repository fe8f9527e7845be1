"""Writes docs/cli.md from each command's own `--help`, so that the page cannot drift from the code.

`python -m nn2llm.cli.reference` writes it; with `--check` it exits with 1 and a diff if the page is stale.
`make check` runs the latter. The page is the same on every machine: fixed width, no colours, and a help text
that names a folder of this machine is an error.
"""

import argparse
import difflib
import importlib
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from nn2llm.cli.main import COMMANDS
from nn2llm.cli.main import main as run_nn2llm
from nn2llm.core.errors import Nn2llmError
from nn2llm.core.files import write_bytes_atomic

__all__ = ["build_reference", "main", "read_help"]

WIDTH = 100
PAGE = Path(__file__).parents[3] / "docs" / "cli.md"

_PLAIN = {"COLUMNS": str(WIDTH), "LINES": "50", "NO_COLOR": "1", "TERM": "dumb"}
_UNWANTED = ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE")
_INTRODUCTION = """\
<!-- Written by `python -m nn2llm.cli.reference` from each command's --help. Do not edit. -->

# The command line

Every option of every command. Exit codes: 0 done, 1 failed, 2 wrong usage.
"""


class ReferenceError(Nn2llmError):
    """A command whose help cannot go on the page."""


@contextmanager
def _plain_terminal() -> Iterator[None]:
    """A terminal of a fixed width without colours, whatever this one is."""
    before = dict(os.environ)
    for name in _UNWANTED:
        os.environ.pop(name, None)
    os.environ.update(_PLAIN)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def read_help(words: list[str]) -> str:
    """What `nn2llm WORDS… --help` prints.

    Raises:
        ReferenceError: if the command cannot be imported, prints nothing, or names a folder of this machine.
    """
    name = " ".join(["nn2llm", *words])
    output = io.StringIO()
    with _plain_terminal(), redirect_stdout(output), redirect_stderr(output):
        try:
            code = run_nn2llm([*words, "--help"])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        except Exception as error:
            raise ReferenceError(
                f"`{name} --help` failed ({type(error).__name__}: {error}). Mend it."
            ) from error
    lines = [line.rstrip() for line in output.getvalue().strip("\n").splitlines()]
    text = "\n".join(lines)
    if code != 0 or not text:
        raise ReferenceError(f"`{name} --help` answered with exit code {code} and {text!r}. Mend it.")
    for folder in {str(Path.home()), str(Path.cwd()), str(PAGE.parents[1])} - {"/"}:
        if re.search(re.escape(folder) + r"(?:[/\\]|\b)", text):
            raise ReferenceError(
                f"`{name} --help` names {folder}, which is of this machine. Use a relative default, or None."
            )
    return text


def find_subcommands(help_text: str) -> list[str]:
    """The subcommands that a usage line lists as {one,two}; options' choices, after a --flag, are not."""
    usage = " ".join(help_text.split("\n\n")[0].split())
    if not usage.startswith("usage:"):
        return []
    found = re.search(r"(?<![-\w] )(?:\s|\[)\{([a-z][\w,-]*)\}", re.sub(r"--?[\w-]+ \{[^}]*\}", "", usage))
    return found.group(1).split(",") if found else []


def build_reference() -> str:
    """The whole page as Markdown.

    Raises:
        ReferenceError: if a command has no help that can be shown; none is left out.
    """
    sections = [_INTRODUCTION, f"```text\n{read_help([])}\n```\n"]
    for name, command in COMMANDS.items():
        try:
            importlib.import_module(command.module)
        except ImportError as error:
            raise ReferenceError(f"{command.module} cannot be imported ({error}). Mend it.") from error
        sections.append(f"## nn2llm {name}\n")
        sections += _describe([name], level=3)
    return "\n".join(sections)


def _describe(words: list[str], level: int) -> list[str]:
    help_text = read_help(words)
    sections = [f"```text\n{help_text}\n```\n"]
    for subcommand in find_subcommands(help_text):
        inner = [*words, subcommand]
        sections += [f"{'#' * level} nn2llm {' '.join(inner)}\n", *_describe(inner, level + 1)]
    return sections


def main(argv: list[str] | None = None) -> int:
    """Write the page, or with `--check` compare it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m nn2llm.cli.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 and a diff if the page is stale")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args(argv)
    try:
        expected = build_reference()
    except ReferenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if not options.check:
        write_bytes_atomic(options.page, expected.encode())
        return 0
    current = options.page.read_text(encoding="utf-8") if options.page.exists() else ""
    if current == expected:
        return 0
    diff = difflib.unified_diff(
        current.splitlines(), expected.splitlines(), str(options.page), "what --help says", lineterm=""
    )
    print(*diff, sep="\n")
    print("error: the page is stale. Run `python -m nn2llm.cli.reference`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
