"""`nn2llm sample RUN`: let a trained model write.

With a prompt it writes continuations; without one it talks on a terminal (`talk.py`), and elsewhere writes
from the start token. The text goes to stdout and everything else to stderr, so it can be piped. torch is
imported after the options have been read: `--help` and mistakes answer at once.
"""

import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from tyro.conf import Positional, arg

from nn2llm.cli.run_reading import begins_documents, get_runs_root
from nn2llm.cli.talk import few_threads, printable, talk
from nn2llm.core.errors import ConfigError
from nn2llm.core.run_folder import find_run

if TYPE_CHECKING:
    from nn2llm.generation.sampling import SamplingConfig
    from nn2llm.models.gpt import GPT
    from nn2llm.tokenizers.base import Tokenizer

__all__ = ["SampleConfig", "main", "talk"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleConfig:
    """Write text with a trained model.

    Without --prompt on a terminal: type to it. Elsewhere: text from the start of a document.
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Name of a run, or the path of its folder."""
    prompt: Annotated[str | None, arg(metavar="TEXT")] = None
    """Text to continue."""
    max_new_tokens: int = 200
    """Tokens to write at most."""
    temperature: float = 0.8
    """Below 1: more probable text; above 1: more surprising; 0: always the most probable token."""
    top_k: Annotated[int | None, arg(metavar="INT")] = None
    """Choose among the k most probable tokens."""
    top_p: float = 1.0
    """Choose among the most probable tokens that have this probability together."""
    min_p: float = 0.0
    """Choose among tokens at least this many times as probable as the best."""
    repetition_penalty: float = 1.0
    """Above 1: tokens already there become less probable."""
    stop: Annotated[tuple[str, ...], arg(metavar="TEXT ...")] = ()
    """Texts that end a sample."""
    on_full: Literal["slide", "stop"] = "slide"
    """When the text fills the model's context: go on from its last half, or stop."""
    num_samples: int = 1
    """How many continuations."""
    seed: int = 1
    """The same seed gives the same text."""
    mine: bool = False
    """Choose tokens by the part `sampling` that you wrote in the course."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    runs: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of the runs. Default: NN2LLM_RUNS, else ./runs."""


def main(argv: list[str]) -> int:
    """Run `nn2llm sample`; returns the exit code.

    Raises:
        Nn2llmError: for a missing run, a setting that cannot work, or a prompt that cannot be encoded.
    """
    config = tyro.cli(SampleConfig, prog="nn2llm sample", args=argv)
    # Not in __post_init__: tyro would put a frame of its own around the sentence.
    for name, value in (("num_samples", config.num_samples), ("max_new_tokens", config.max_new_tokens)):
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}.")
    folder = find_run(config.run, get_runs_root(config.runs))

    from nn2llm.core.device import choose_device
    from nn2llm.generation.sampling import SamplingConfig
    from nn2llm.train.checkpoint import load_trained_model
    from nn2llm.train.mine import describe_own_parts

    sampling = SamplingConfig(
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
        min_p=config.min_p,
        repetition_penalty=config.repetition_penalty,
    )
    notes = Console(stderr=True, highlight=False)
    if config.mine:
        sampling = _take_own_sampling(sampling, notes)
    if own_parts := describe_own_parts(folder):
        notes.print(own_parts, style="dim", soft_wrap=True)
    model, tokenizer = load_trained_model(folder, device=choose_device(config.device))
    console = Console(highlight=False)
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    if config.prompt is None and interactive and config.num_samples == 1:
        talk(
            model,
            tokenizer,
            console,
            sampling=sampling,
            max_new_tokens=config.max_new_tokens,
            stop_strings=config.stop,
            seed=config.seed,
            on_full=config.on_full,
            begins_documents=begins_documents(folder),
        )
        return 0
    prompt = config.prompt or ""
    start = [tokenizer.end_of_text_id] if begins_documents(folder) or not prompt else []
    with few_threads(model):
        _write_samples(config, prompt, start + tokenizer.encode(prompt), sampling, model, tokenizer, console)
    return 0


def _take_own_sampling(sampling: "SamplingConfig", notes: Console) -> "SamplingConfig":
    from nn2llm.cli.mine import load_own_sampling
    from nn2llm.generation.own_sampling import OwnSampling

    own = load_own_sampling()
    values = {one.name: getattr(sampling, one.name) for one in fields(sampling)}
    notes.print("Temperature and top-k by your part sampling.", style="dim")
    return OwnSampling(**values, probabilities=own)


def _write_samples(
    config: SampleConfig,
    prompt: str,
    ids: list[int],
    sampling: "SamplingConfig",
    model: "GPT",
    tokenizer: "Tokenizer",
    console: Console,
) -> None:
    from nn2llm.generation.engine import generate

    alone = config.num_samples == 1

    def show(text: str, style: str | None = None) -> None:
        console.out(printable(text), style=style, end="", highlight=False)

    if alone:
        show(prompt, "bold")
    started_at = time.perf_counter()
    results = generate(
        model,
        [ids] * config.num_samples,
        max_new_tokens=config.max_new_tokens,
        sampling=sampling,
        tokenizer=tokenizer,
        stop_token_ids=[tokenizer.end_of_text_id],
        stop_strings=config.stop,
        seed=config.seed,
        on_full=config.on_full,
        on_text=(lambda _, text: show(text)) if alone else None,
    )
    seconds = time.perf_counter() - started_at
    if alone:
        show("\n")
    else:
        for number, result in enumerate(results, start=1):
            console.out(f"--- sample {number} of {config.num_samples} ---", style="dim", highlight=False)
            show(prompt, "bold")
            show(f"{result.text}\n")
    num_tokens = sum(len(result.ids) for result in results)
    reasons = ", ".join(sorted({result.finish_reason.replace("_", " ") for result in results}))
    Console(stderr=True, highlight=False).print(
        f"{num_tokens} tokens in {seconds:.1f} s, {num_tokens / seconds:,.0f} tokens/s; ended by: {reasons}",
        style="dim",
    )
