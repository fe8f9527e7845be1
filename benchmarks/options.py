"""What `python -m benchmarks` can be asked for."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nn2llm.core.errors import ConfigError, DataError

BENCHMARKS: dict[str, str] = {
    "time_to_loss": "seconds of training to a held-out loss",
    "training_speed": "training tokens a second, and what our loop adds to a step",
    "generation_speed": "tokens written a second",
    "tokenizer_speed": "megabytes encoded and decoded a second",
    "tokenizer_training": "seconds to learn a vocabulary",
    "checkpoint_cost": "seconds to save and to resume",
    "startup": "seconds until a command answers",
    "microworld_speed": "megabytes of micro-world written and parsed a second",
    "course_speed": "seconds until a page of the course is there, in Chromium",
    "grader_speed": "seconds until the verdict on an answer is there",
    "labels": "what forty labels do to a chat model (needs --model)",
}
"""Name → what it measures; the modules of this folder, in the order of RESULTS.md."""

_DEFAULT_DATA = Path(__file__).parents[2] / "shared" / "data"


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The command line, read."""

    names: tuple[str, ...]
    """Which benchmarks, in order."""
    repeats: int
    """How often a figure is measured; the median counts."""
    data: Path
    """The folder with text/, pretrain/ and tokenizer/."""
    nanogpt: Path | None
    """A checkout of nanoGPT; None leaves that peer out."""
    model: Path | None
    """A chat model of the micro-world; None leaves out what needs one."""
    dry_run: bool
    """Print, and leave RESULTS.md as it is."""

    def find_data(self, name: str) -> Path:
        """The path of a data file.

        Raises:
            DataError: if it is not there.
        """
        path = self.data / name
        if not path.exists():
            raise DataError(f"{path} does not exist. Name the folder that has {name} with --data.")
        return path


def parse_options(argv: Sequence[str] | None = None) -> Options:
    """Read the command line (default: this process's).

    Raises:
        ConfigError: for a name that is no benchmark, or no repeats.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure nn2llm beside its peers, and write benchmarks/RESULTS.md.",
        epilog="benchmarks: " + "; ".join(f"{name}: {what}" for name, what in BENCHMARKS.items()),
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones; default: all")
    parser.add_argument(
        "--repeats", type=int, default=3, help="turns a figure; the median counts (default: 3)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("NN2LLM_SHARED_DATA") or _DEFAULT_DATA),
        help="folder with text/, pretrain/ and tokenizer/ (default: %(default)s)",
    )
    parser.add_argument("--nanogpt", type=Path, help="a checkout of nanoGPT, as one more peer")
    parser.add_argument("--model", type=Path, metavar="RUN", help="a chat model of the micro-world")
    parser.add_argument("--dry-run", action="store_true", help="print only; RESULTS.md stays as it is")
    arguments = parser.parse_args(argv)
    for name in arguments.names:
        if name not in BENCHMARKS:
            raise ConfigError(f"No benchmark {name!r}. There are: {', '.join(BENCHMARKS)}.")
    if arguments.repeats < 1:
        raise ConfigError(f"--repeats must be at least 1, got {arguments.repeats}.")
    return Options(
        names=tuple(dict.fromkeys(arguments.names)) or tuple(BENCHMARKS),
        repeats=arguments.repeats,
        data=arguments.data,
        nanogpt=arguments.nanogpt,
        model=arguments.model,
        dry_run=arguments.dry_run,
    )
