"""`python -m benchmarks [NAME …]`: measure, print, and write benchmarks/RESULTS.md.

Figures are ratios from one run on one machine: both sides take turns, so that a busy moment hits both.
"""

import argparse
import datetime
from collections.abc import Callable
from pathlib import Path

from benchmarks import time_to_loss, tokenizer_training
from nn2llm.core.machine import describe_machine

RESULTS = Path(__file__).with_name("RESULTS.md")

BENCHMARKS: dict[str, Callable[[argparse.Namespace], str]] = {
    "time_to_loss": time_to_loss.run,
    "tokenizer_training": tokenizer_training.run,
}
"""Name → function that measures and returns a section of Markdown."""


def main() -> None:
    """Run the benchmarks asked for, all by default; rewrite their sections of RESULTS.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--repeats", type=int, default=3, help="runs a figure; the median counts")
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with text/ and pretrain/"
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    for name in arguments.names or BENCHMARKS:
        section = BENCHMARKS[name](arguments)
        write_section(name, f"{section}\n\n{describe()}\n")
        print(section)


def describe() -> str:
    """The machine, the versions and the day: a figure without them means little."""
    machine = describe_machine()
    versions = ", ".join(
        f"{name} {version}"
        for name, version in machine.versions.items()
        if name in {"python", "torch", "numpy"}
    )
    day = datetime.date.today().isoformat()
    return f"*{machine.processor}, {machine.num_cores} cores, {machine.system}; {versions}; {day}.*"


def write_section(name: str, text: str) -> None:
    """Replace the section `name` of RESULTS.md, or add it."""
    sections: dict[str, str] = {}
    if RESULTS.exists():
        for part in RESULTS.read_text(encoding="utf-8").split("\n## ")[1:]:
            title, _, body = part.partition("\n")
            sections[title] = body.strip()
    sections[name] = text.strip()
    body = "\n\n".join(f"## {title}\n\n{sections[title]}" for title in BENCHMARKS if title in sections)
    RESULTS.write_text(
        f"# Results\n\nWritten by `make bench`. Ratios from one run; medians of repeats.\n\n{body}\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
