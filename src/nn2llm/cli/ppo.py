"""`nn2llm ppo`: improve a chat model by what a reward model says of its replies."""

from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import arg

from nn2llm.cli.stage_options import StageOptions, choose_base, run_stage
from nn2llm.train.ppo import train_ppo
from nn2llm.train.ppo_config import PPOConfig
from nn2llm.train.stage_result import StageResult

__all__ = ["PPOCommand", "main"]


@dataclass(frozen=True, kw_only=True)
class PPOCommand(StageOptions):
    """Improve a chat model by reinforcement learning (PPO) from a reward model, into a run folder."""

    settings: Annotated[PPOConfig, arg(name="")]


def main(argv: list[str]) -> int:
    """Run `nn2llm ppo`; returns the exit code.

    Raises:
        Nn2llmError: for settings, prompts or runs that do not work.
    """
    base = PPOCommand(settings=choose_base(PPOConfig, argv))
    command = tyro.cli(PPOCommand, prog="nn2llm ppo", default=base, args=argv)
    console = Console(highlight=False)
    needs = {
        "init_from": "--init-from RUN is needed: which model is to improve? Usually one of `nn2llm sft`.",
        "reward_model": "--reward-model RUN is needed: which model scores? Train it with `nn2llm reward`.",
        "prompts": "--prompts FILE is needed: what the model replies to, as .json or .jsonl (or .gz).",
    }
    result = run_stage(command, command.settings, train_ppo, stage="ppo", needs=needs, console=console)
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
