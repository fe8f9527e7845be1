"""`nn2llm export RUN --out FOLDER`: a trained model as a folder that transformers and vLLM load."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from tyro.conf import Positional, arg

from nn2llm.cli.run_reading import (
    as_number,
    begins_documents,
    compute_seconds,
    get_runs_root,
    read_config,
    read_metrics,
)
from nn2llm.cli.run_tables import format_bytes
from nn2llm.core.errors import DataError
from nn2llm.core.files import read_json
from nn2llm.core.run_folder import find_run

if TYPE_CHECKING:
    from nn2llm.models.hf import Figures

__all__ = ["ExportConfig", "collect_figures", "main"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportConfig:
    """Write a run's best model as a HuggingFace folder: weights, tokenizer, chat template, model card.

    It becomes a GPT-2, Llama or Qwen3, whichever computes the same, is loaded back and compared.
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Name of a run, or the path of its folder."""
    out: Annotated[Path, arg(metavar="FOLDER")]
    """New folder to write."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 halves the file, and rounds."""
    runs: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of the runs. Default: NN2LLM_RUNS, else ./runs."""


def main(argv: list[str]) -> int:
    """Run `nn2llm export`; returns the exit code.

    Raises:
        Nn2llmError: for a missing run, a model that no architecture fits, a folder that cannot be written, or
            an export that computes something else.
    """
    config = tyro.cli(ExportConfig, prog="nn2llm export", args=argv)
    folder = find_run(config.run, get_runs_root(config.runs))

    from nn2llm.models.hf import choose_architecture, export_to_hf
    from nn2llm.models.hf.exporting import require_free
    from nn2llm.train.checkpoint import load_trained_model

    require_free(config.out)  # before the weights are read
    model, tokenizer = load_trained_model(folder)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    architecture = choose_architecture(model.config)
    say(f"Writing {folder} as {architecture}, then loading it back …")
    export = export_to_hf(
        model,
        tokenizer,
        config.out,
        dtype=config.dtype,
        figures=collect_figures(folder),
        begins_documents=begins_documents(folder),
    )
    say(export.comparison.describe())
    if not export.has_chat_template:
        say("No chat template: this tokenizer does not know the characters that one needs.")
    say(
        f"Written: {config.out} ({export.num_parameters:,} parameters, {config.dtype}, "
        f"{format_bytes(export.num_bytes)}). Load it with "
        f"AutoModelForCausalLM.from_pretrained({str(config.out)!r}); its README.md says more."
    )
    return 0


def collect_figures(run: Path) -> "Figures":
    """What the run's files tell, for the model card; what they do not tell is left out.

    Raises:
        DataError: if config or metrics are damaged.
    """
    from nn2llm.core.run_folder import RunFolder
    from nn2llm.models.hf import Figures
    from nn2llm.train.checkpoint import find_best_checkpoint

    config, metrics = read_config(run), read_metrics(run)
    step = int(find_best_checkpoint(RunFolder(run)).name.removeprefix("step_"))
    index = next((i for i, entry in enumerate(metrics) if entry["step"] == step), None)
    names = {"imported_from": "imported from", "corpus": "text", "init_from": "started from"}
    # of a path its last part: a card is for others, whom our folders do not concern
    rows = {text: Path(str(config[name])).name for name, text in names.items() if config.get(name)}
    if index is not None:
        rows |= _describe_training(metrics[index], compute_seconds(metrics)[index], config)
    machine = _read_machine(run)
    if machine:
        rows["machine"] = machine
    return Figures(name=run.resolve().name, rows=rows)


def _describe_training(entry: dict[str, Any], seconds: float, config: dict[str, Any]) -> dict[str, str]:
    tokens, loss = as_number(entry.get("tokens")), as_number(entry.get("val_loss"))
    bits = as_number(entry.get("val_bits_per_byte"))
    rows = {"trained for": f"{entry['step']:,} steps"}
    if tokens is not None:
        rows["trained for"] += f", {tokens:,.0f} tokens"
    if seconds > 0:
        rows["training time"] = f"{seconds:,.1f} s" if seconds < 600 else f"{seconds / 3600:,.1f} h"
    if loss is not None:
        held_out = f"{loss:.4f} nats a token"
        if bits is not None:
            held_out += f", {bits:.4f} bits a byte"
        if config.get("eval_tokens"):
            held_out += f" (on the first {config['eval_tokens']:,} tokens)"
        rows["held-out loss"] = held_out
    return rows


def _read_machine(run: Path) -> str:
    try:
        machine = read_json(run / "machine.json")
    except DataError:  # an imported run has none
        return ""
    if not isinstance(machine, dict):
        return ""
    parts = [str(machine["device"])] if "device" in machine else []
    if machine.get("device") == "cpu" and "num_threads" in machine:
        parts.append(f"{machine['num_threads']} thread{'s' if machine['num_threads'] != 1 else ''}")
    if as_number(machine.get("matmul_flops_per_s")):
        parts.append(f"{machine['matmul_flops_per_s'] / 1e9:,.0f} GFLOP/s in matrix products")
    parts += [str(machine["precision"]).split(":")[0]] if "precision" in machine else []
    parts += [f"torch {machine['torch']}"] if "torch" in machine else []
    return ", ".join(parts)
