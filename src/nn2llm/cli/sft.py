"""`nn2llm sft`: teach a model of `nn2llm pretrain` (or import) to answer, from conversations."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import arg

from nn2llm.cli.stage_options import check_unchanged, choose_base
from nn2llm.core.config_io import load_config
from nn2llm.core.errors import ConfigError
from nn2llm.core.run_folder import RunFolder, new_run_path
from nn2llm.train.sft import finetune
from nn2llm.train.sft_config import SFTConfig
from nn2llm.train.stage_result import StageResult

__all__ = ["SFTCommand", "main"]


@dataclass(frozen=True, kw_only=True)
class SFTCommand:
    """Teach a model to answer: supervised fine-tuning on conversations, into a run folder."""

    settings: Annotated[SFTConfig, arg(name="")]
    device: Annotated[str | None, arg(metavar="NAME")] = None
    """auto, cpu, cuda, cuda:1, mps: short for --machine.device."""
    config: Annotated[Path | None, arg(metavar="FILE")] = None
    """Start from this config.json, of another run for instance."""
    out: Annotated[Path | None, arg(metavar="RUN")] = None
    """Run folder. Default: runs/PARENT-sft-1, -2, …"""
    resume: bool = False
    """Go on with the run in --out where it stopped; starts it where there is none yet."""


def main(argv: list[str]) -> int:
    """Run `nn2llm sft`; returns the exit code.

    Raises:
        Nn2llmError: for settings, conversations or a parent run that do not work.
    """
    base = SFTCommand(settings=choose_base(SFTConfig, argv))
    command = tyro.cli(SFTCommand, prog="nn2llm sft", default=base, args=argv)
    settings = command.settings
    if command.device is not None:
        settings = replace(settings, machine=replace(settings.machine, device=command.device))
    if command.out is None and command.resume:
        raise ConfigError("--resume needs --out RUN: which run is to go on?")
    if not settings.init_from:
        raise ConfigError("--init-from RUN is needed: which model is to learn? `nn2llm runs list` shows all.")
    if settings.data is None:
        raise ConfigError("--data FILE is needed: conversations, as .json or .jsonl (or .gz).")
    run = RunFolder(command.out or new_run_path(f"{Path(settings.init_from).name}-sft"))
    if command.resume and run.exists:
        stored = load_config(SFTConfig, run.config_path)
        check_unchanged(replace(settings, steps=settings.steps or stored.steps), run)
    console = Console(highlight=False)
    result = finetune(settings, run, resume=command.resume, console=console)
    if result.interrupted:
        return 130
    _report(result, console)
    return 0


def _report(result: StageResult, console: Console) -> None:
    metrics = result.metrics
    loss = f"Loss {metrics['loss']:.4f} nats a reply token"
    if "val_loss" in metrics:
        before = metrics.get("val_loss_before", float("nan"))
        loss = f"Held-out loss {before:.4f} → {metrics['val_loss']:.4f} nats a reply token"
    console.print(
        f"{loss}, after {result.step:,} steps and {result.training_s:.1f} s.\n"
        f"Talk with it: nn2llm chat {result.run.path}",
        soft_wrap=True,
    )
