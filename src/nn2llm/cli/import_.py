"""`nn2llm import FOLDER --out RUN`: a HuggingFace folder becomes a run, to sample from and train on."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.console import Console
from tyro.conf import Positional, arg

from nn2llm.core.files import replace_folder, storage_errors
from nn2llm.core.run_folder import RunFolder, new_run_path

if TYPE_CHECKING:
    from nn2llm.models.hf import Imported

__all__ = ["ImportConfig", "main", "write_run"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportConfig:
    """Make a run folder of a HuggingFace folder with a GPT-2, Llama or Qwen3 model.

    It needs config.json, safetensors, and a tokenizer that nn2llm has too (byte-level BPE as GPT-2's).
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """Downloaded from HuggingFace, or written by `nn2llm export`."""
    out: Annotated[Path | None, arg(metavar="RUN")] = None
    """Run folder. Default: runs/FOLDER-1, -2, …"""


def main(argv: list[str]) -> int:
    """Run `nn2llm import`; returns the exit code.

    Raises:
        Nn2llmError: for a folder that is missing, damaged or of another kind; a run that cannot be written.
    """
    config = tyro.cli(ImportConfig, prog="nn2llm import", args=argv)

    from nn2llm.models.accounting import count_parameters
    from nn2llm.models.hf import load_from_hf
    from nn2llm.models.hf.exporting import require_free

    out = config.out or new_run_path(config.folder.resolve().name)
    require_free(out)  # before the weights are read
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    imported = load_from_hf(config.folder)
    for note in [*imported.notes, imported.comparison.describe()]:
        say(note)
    write_run(imported, config.folder, out)
    say(
        f"Written: {out}, {imported.architecture} with {count_parameters(imported.model):,} parameters.\n"
        f"Write with it: nn2llm sample {out}\n"
        f"Train it further: nn2llm pretrain --init-from {out} --corpus …"
    )
    return 0


def write_run(imported: "Imported", folder: Path, out: Path) -> None:
    """Write a run folder with one checkpoint, of step 0; whole or not at all.

    Raises:
        StorageError: if the disk does not take it.
    """
    from nn2llm.train.adopting import write_model_run

    run = RunFolder(out.with_name(f".{out.name}.partial"))
    with storage_errors(out):
        shutil.rmtree(run.path, ignore_errors=True)  # of an import that was killed
        run.path.mkdir(parents=True)
    description = {
        "imported_from": str(folder.resolve()),
        "architecture": imported.architecture,
        "document_mask": imported.begins_documents,
    }
    try:
        write_model_run(run, imported.model, imported.tokenizer, description)
        replace_folder(run.path, out)
    except BaseException:
        shutil.rmtree(run.path, ignore_errors=True)
        raise
