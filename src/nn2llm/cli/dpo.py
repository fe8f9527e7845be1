"""`nn2llm dpo`: align a chat model with preferences, without a reward model."""

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
from nn2llm.train.dpo import train_dpo
from nn2llm.train.dpo_config import DPOConfig
from nn2llm.train.stage_result import StageResult

__all__ = ["DPOCommand", "main"]


@dataclass(frozen=True, kw_only=True)
class DPOCommand:
    """Align a chat model with preferences directly (DPO, IPO, cDPO, hinge), into a run folder."""

    settings: Annotated[DPOConfig, arg(name="")]
    device: Annotated[str | None, arg(metavar="NAME")] = None
    """auto, cpu, cuda, cuda:1, mps: short for --machine.device."""
    config: Annotated[Path | None, arg(metavar="FILE")] = None
    """Start from this config.json, of another run for instance."""
    out: Annotated[Path | None, arg(metavar="RUN")] = None
    """Run folder. Default: runs/PARENT-dpo-1, -2, …"""
    resume: bool = False
    """Go on with the run in --out where it stopped; starts it where there is none yet."""


def main(argv: list[str]) -> int:
    """Run `nn2llm dpo`; returns the exit code.

    Raises:
        Nn2llmError: for settings, preferences or a parent run that do not work.
    """
    base = DPOCommand(settings=choose_base(DPOConfig, argv))
    command = tyro.cli(DPOCommand, prog="nn2llm dpo", default=base, args=argv)
    settings = command.settings
    if command.device is not None:
        settings = replace(settings, machine=replace(settings.machine, device=command.device))
    if command.out is None and command.resume:
        raise ConfigError("--resume needs --out RUN: which run is to go on?")
    if not settings.init_from:
        raise ConfigError(
            "--init-from RUN is needed: which model is to improve? Usually one of `nn2llm sft`."
        )
    if settings.data is None:
        raise ConfigError("--data FILE is needed: preferences, as .json or .jsonl (or .gz).")
    run = RunFolder(command.out or new_run_path(f"{Path(settings.init_from).name}-dpo"))
    if command.resume and run.exists:
        stored = load_config(DPOConfig, run.config_path)
        check_unchanged(replace(settings, steps=settings.steps or stored.steps), run)
    console = Console(highlight=False)
    result = train_dpo(settings, run, resume=command.resume, console=console)
    if result.interrupted:
        return 130
    _report(result, console)
    return 0


def _report(result: StageResult, console: Console) -> None:
    metrics = result.metrics
    held_out = "val_accuracy" in metrics
    accuracy = metrics["val_accuracy" if held_out else "accuracy"]
    margin = metrics["val_margin" if held_out else "margin"]
    where = "held-out pairs" if held_out else "last batch"
    console.print(
        f"Of the {where}, {accuracy:.1%} have the larger implicit reward on the chosen reply (by "
        f"{margin:.3f} on average), after {result.step:,} steps and {result.training_s:.1f} s.\n"
        f"Talk with it: nn2llm chat {result.run.path}",
        soft_wrap=True,
    )
