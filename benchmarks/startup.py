"""Seconds until a fresh process has answered.

`nn2llm --help` and `nn2llm runs list` (of a folder with one run) answer without torch, so they are held
against `python -c "import torch"`: what any command that imports torch at once takes at least. Importing our
GPT is held against importing transformers' GPT2LMHeadModel.

Why it is fair: one interpreter, fresh processes by turns, files already in the disk's cache (one turn before
is not timed). All their output is thrown away.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import format_table, median, median_ratio, time_by_turns
from benchmarks.options import Options

COMMANDS: dict[str, list[str]] = {
    "python -c pass": ["-c", "pass"],
    "nn2llm --help": ["-m", "nn2llm", "--help"],
    "nn2llm runs list": ["-m", "nn2llm", "runs", "list"],
    "import torch": ["-c", "import torch"],
    "from nn2llm.models.gpt import GPT": ["-c", "from nn2llm.models.gpt import GPT"],
    "from transformers import GPT2LMHeadModel": ["-c", "from transformers import GPT2LMHeadModel"],
}
"""Name → arguments of the interpreter."""

PEERS = {
    "nn2llm --help": "import torch",
    "nn2llm runs list": "import torch",
    "from nn2llm.models.gpt import GPT": "from transformers import GPT2LMHeadModel",
}


def run(options: Options) -> str:
    """All commands, by turns."""
    turns = options.repeats
    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder))
        functions = {name: build_call(arguments, Path(folder)) for name, arguments in COMMANDS.items()}
        seconds = time_by_turns(functions, turns=turns)
    rows = []
    for name in COMMANDS:
        peer = PEERS.get(name)
        ratio = "" if peer is None else f"**{median_ratio(seconds[name], seconds[peer]):.2f}** of `{peer}`"
        rows.append((f"`{name}`", f"{median(seconds[name]):.2f}", ratio))
    return "\n".join(
        [
            f"Seconds of a fresh process, medians of {turns} turns.",
            "",
            format_table(("command", "seconds", "share"), rows),
        ]
    )


def build_call(arguments: list[str], folder: Path) -> Callable[[], None]:
    """Run the interpreter in `folder`; a failure is no figure."""

    def call() -> None:
        subprocess.run([sys.executable, *arguments], cwd=folder, check=True, capture_output=True)

    return call


def write_run(folder: Path) -> None:
    """One small run, for `runs list` to read."""
    from nn2llm.core.config_io import save_config
    from nn2llm.core.run_folder import JsonLinesLog, RunFolder
    from nn2llm.train.presets import build_preset

    run = RunFolder(folder / "runs" / "example")
    run.path.mkdir(parents=True)
    save_config(build_preset("smoke"), run.config_path)
    log = JsonLinesLog(run.metrics_path, keep_to_step=0)
    for step in range(1, 101):
        log.append({"step": step, "tokens": 100 * step, "loss": 3.0, "lr": 0.01, "grad_norm": 1.0})
    log.close()
