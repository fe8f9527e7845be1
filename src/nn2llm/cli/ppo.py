"""`nn2llm ppo`: improve a chat model by what a reward model says of its replies."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import arg

from nn2llm.cli.stage_options import check_unchanged, choose_base
from nn2llm.core.errors import ConfigError
from nn2llm.core.run_folder import RunFolder, new_run_path
from nn2llm.train.ppo import train_ppo
from nn2llm.train.ppo_config import PPOConfig
from nn2llm.train.stage_result import StageResult

__all__ = ["PPOCommand", "main"]


@dataclass(frozen=True, kw_only=True)
class PPOCommand:
    """Improve a chat model by reinforcement learning (PPO) from a reward model, into a run folder."""

    settings: Annotated[PPOConfig, arg(name="")]
    device: Annotated[str | None, arg(metavar="NAME")] = None
    """auto, cpu, cuda, cuda:1, mps: short for --machine.device."""
    config: Annotated[Path | None, arg(metavar="FILE")] = None
    """Start from this config.json, of another run for instance."""
    out: Annotated[Path | None, arg(metavar="RUN")] = None
    """Run folder. Default: runs/PARENT-ppo-1, -2, …"""
    resume: bool = False
    """Go on with the run in --out where it stopped; starts it where there is none yet."""


def main(argv: list[str]) -> int:
    """Run `nn2llm ppo`; returns the exit code.

    Raises:
        Nn2llmError: for settings, prompts or runs that do not work.
    """
    base = PPOCommand(settings=choose_base(PPOConfig, argv))
    command = tyro.cli(PPOCommand, prog="nn2llm ppo", default=base, args=argv)
    settings = command.settings
    if command.device is not None:
        settings = replace(settings, machine=replace(settings.machine, device=command.device))
    if command.out is None and command.resume:
        raise ConfigError("--resume needs --out RUN: which run is to go on?")
    if not settings.init_from:
        raise ConfigError(
            "--init-from RUN is needed: which model is to improve? Usually one of `nn2llm sft`."
        )
    if not settings.reward_model:
        raise ConfigError("--reward-model RUN is needed: which model scores? Train it with `nn2llm reward`.")
    if settings.prompts is None:
        raise ConfigError("--prompts FILE is needed: what the model replies to, as .json or .jsonl (or .gz).")
    run = RunFolder(command.out or new_run_path(f"{Path(settings.init_from).name}-ppo"))
    if command.resume and run.exists:
        check_unchanged(settings, run)
    console = Console(highlight=False)
    result = train_ppo(settings, run, resume=command.resume, console=console)
    if result.interrupted:
        return 130
    _report(result, console)
    return 0


def _report(result: StageResult, console: Console) -> None:
    reward, kl = result.metrics["reward"], result.metrics["kl"]
    console.print(
        f"In the last of {result.step:,} iterations ({result.training_s:.1f} s): reward {reward:.3f}, "
        f"{kl:.2f} nats a reply from the reference.\n"
        f"Talk with it: nn2llm chat {result.run.path}",
        soft_wrap=True,
    )
