"""`nn2llm start`: train a first language model, see what it learned, and talk to it.

What `make start` runs after installing. The first time it trains, in about a minute on two CPU cores; later
it opens the model that is there, or goes on where training was stopped.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console
from rich.table import Table

from nn2llm.core.run_folder import RunFolder, new_run_path, runs_root

if TYPE_CHECKING:
    from nn2llm.train.pretrain import PretrainResult

__all__ = ["StartCommand", "main"]

_NAME = "first-model"
_SAMPLE_TOKENS = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class StartCommand:
    """Train a first language model on this machine, and talk to it."""

    again: bool = False
    """Train another one, also where there is one already."""
    preset: str = "start"
    """What to train: see `nn2llm pretrain --help`."""
    out: Path | None = None
    """Run folder. Default: runs/first-model-1; with --again the next number."""
    talk: bool = True
    """Ask for prompts in the end, where there is a terminal; else print samples."""


def main(argv: list[str]) -> int:
    """Run `nn2llm start`; returns the exit code."""
    command = tyro.cli(StartCommand, prog="nn2llm start", args=argv)
    console = Console(highlight=False)
    run = RunFolder(_choose_folder(command))
    if not _is_finished(run):
        result = _train(command, run, console)
        if result.interrupted:
            return 130
        _compare_with_compressors(result, console)
    else:
        console.print(f"Your model is in {run.path}. `nn2llm start --again` trains another.", soft_wrap=True)
    if not command.talk or not _has_terminal(console):
        _print_samples(run, console)
    else:
        _talk(run, console)
    return 0


def _choose_folder(command: StartCommand) -> Path:
    if command.out is not None:
        return command.out
    return new_run_path(_NAME) if command.again else _last_run_path()


def _last_run_path() -> Path:
    """The newest `runs/first-model-N`, or the first one where there is none yet."""
    following = new_run_path(_NAME)
    number = int(following.name.rpartition("-")[2])
    return runs_root() / f"{_NAME}-{max(1, number - 1)}"


def _is_finished(run: RunFolder) -> bool:
    from nn2llm.core.config_io import load_config
    from nn2llm.train.checkpoint import list_checkpoints
    from nn2llm.train.pretrain_config import PretrainConfig

    if not run.exists:
        return False
    steps = load_config(PretrainConfig, run.config_path).steps
    return any(step >= steps for step, _ in list_checkpoints(run))


def _train(command: StartCommand, run: RunFolder, console: Console) -> "PretrainResult":
    from nn2llm.train.presets import build_preset
    from nn2llm.train.pretrain import pretrain

    config = build_preset(command.preset)
    if run.exists:
        console.print(f"Going on with {run.path}, which was stopped.\n", soft_wrap=True)
    else:
        console.print(
            "Your first language model: a small GPT, with random weights, reads Python's reference manual\n"
            "and learns one thing, to predict the next token. Loss is how surprised it is; watch its\n"
            "samples turn from noise into words, then into sentences. Ctrl-C saves and stops.\n",
            soft_wrap=True,
        )
    return pretrain(config, run, resume=True, console=console)


def _compare_with_compressors(result: "PretrainResult", console: Console) -> None:
    """The model's bits a byte beside those of gzip and xz on the same held-out text."""
    from nn2llm.core.config_io import load_config
    from nn2llm.data.compression import compute_compression_baselines
    from nn2llm.data.corpora import load_corpus
    from nn2llm.train.pretrain_config import PretrainConfig

    corpus = load_corpus(load_config(PretrainConfig, result.run.config_path).corpus)
    train, val = ("".join(corpus.documents(split)).encode() for split in ("train", "val"))
    baselines = compute_compression_baselines(train, val)
    table = Table(title=f"{len(val):,} bytes of text that it has never seen", title_justify="left")
    table.add_column("predicted by")
    table.add_column("bits a byte", justify="right")
    table.add_row("no knowledge: each byte equally likely", "8.000")
    table.add_row("gzip", f"{baselines.gzip:.3f}")
    table.add_row("xz", f"{baselines.xz:.3f}")
    table.add_row("xz, after the same training text", f"{baselines.xz_after_train:.3f}")
    table.add_row(
        f"your model ({result.val_loss:.3f} nats a token)", f"{result.val_bits_per_byte:.3f}", style="bold"
    )
    console.print(table)
    console.print(
        "A better prediction is a shorter code: b bits a byte could compress this text to b/8 of its size.\n"
        f"Trained in {result.training_s:.0f} s. Everything is in {result.run.path}; "
        f"`nn2llm runs show {result.run.path}` draws its curve.\n",
        soft_wrap=True,
    )


def _has_terminal(console: Console) -> bool:
    import sys

    return console.is_terminal and sys.stdin.isatty()


def _print_samples(run: RunFolder, console: Console) -> None:
    from nn2llm.cli.talk import few_threads, printable
    from nn2llm.generation.engine import generate
    from nn2llm.generation.sampling import SamplingConfig
    from nn2llm.train.checkpoint import load_trained_model

    model, tokenizer = load_trained_model(run.path)
    prompts = ["The ", "If the ", "A class "]
    with few_threads(model):
        written = generate(
            model,
            [tokenizer.encode(prompt) for prompt in prompts],
            max_new_tokens=_SAMPLE_TOKENS,
            sampling=SamplingConfig(temperature=0.8),
            tokenizer=tokenizer,
            on_full="slide",
        )
    for prompt, generation in zip(prompts, written, strict=True):
        console.print(f"--- {prompt!r}, continued " + "-" * 30, markup=False)
        console.print(printable(prompt + (generation.text or "")) + "\n", markup=False)
    console.print(f'Write with it: nn2llm sample {run.path} --prompt "The "', markup=False, soft_wrap=True)


def _talk(run: RunFolder, console: Console) -> None:
    from nn2llm.cli.talk import talk
    from nn2llm.train.checkpoint import load_trained_model

    model, tokenizer = load_trained_model(run.path)
    talk(model, tokenizer, console)
