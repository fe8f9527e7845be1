"""`nn2llm reward`: train a model that scores replies, from preferences."""

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
from nn2llm.train.reward import train_reward_model
from nn2llm.train.reward_config import RewardConfig
from nn2llm.train.stage_result import StageResult

__all__ = ["RewardCommand", "main"]


@dataclass(frozen=True, kw_only=True)
class RewardCommand:
    """Train a reward model, which scores replies, from preferences, into a run folder."""

    settings: Annotated[RewardConfig, arg(name="")]
    device: Annotated[str | None, arg(metavar="NAME")] = None
    """auto, cpu, cuda, cuda:1, mps: short for --machine.device."""
    config: Annotated[Path | None, arg(metavar="FILE")] = None
    """Start from this config.json, of another run for instance."""
    out: Annotated[Path | None, arg(metavar="RUN")] = None
    """Run folder. Default: runs/PARENT-reward-1, -2, …"""
    resume: bool = False
    """Go on with the run in --out where it stopped; starts it where there is none yet."""


def main(argv: list[str]) -> int:
    """Run `nn2llm reward`; returns the exit code.

    Raises:
        Nn2llmError: for settings, preferences or a parent run that do not work.
    """
    base = RewardCommand(settings=choose_base(RewardConfig, argv))
    command = tyro.cli(RewardCommand, prog="nn2llm reward", default=base, args=argv)
    settings = command.settings
    if command.device is not None:
        settings = replace(settings, machine=replace(settings.machine, device=command.device))
    if command.out is None and command.resume:
        raise ConfigError("--resume needs --out RUN: which run is to go on?")
    if not settings.init_from:
        raise ConfigError("--init-from RUN is needed: which model is to score? Usually one of `nn2llm sft`.")
    if settings.data is None:
        raise ConfigError("--data FILE is needed: preferences, as .json or .jsonl (or .gz).")
    run = RunFolder(command.out or new_run_path(f"{Path(settings.init_from).name}-reward"))
    if command.resume and run.exists:
        stored = load_config(RewardConfig, run.config_path)
        check_unchanged(replace(settings, steps=settings.steps or stored.steps), run)
    console = Console(highlight=False)
    result = train_reward_model(settings, run, resume=command.resume, console=console)
    if result.interrupted:
        return 130
    _report(result, console)
    return 0


def _report(result: StageResult, console: Console) -> None:
    metrics = result.metrics
    found = f"Loss {metrics['loss']:.4f} nats a pair"
    if "val_accuracy" in metrics:
        found = (
            f"It ranks {metrics['val_accuracy']:.1%} of the held-out pairs as they were labelled "
            f"(loss {metrics['val_loss']:.4f} nats a pair; 0.6931 would be a coin)"
        )
    console.print(
        f"{found}, after {result.step:,} steps and {result.training_s:.1f} s.\n"
        f"Improve a model by it: nn2llm ppo --reward-model {result.run.path} --init-from RUN --prompts FILE",
        soft_wrap=True,
    )
