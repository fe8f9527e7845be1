"""`nn2llm reward`: train a model that scores replies, from preferences."""

from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import arg

from nn2llm.cli.preference_files import check_label_models
from nn2llm.cli.stage_options import StageOptions, choose_base, run_stage
from nn2llm.train.reward import train_reward_model
from nn2llm.train.reward_config import RewardConfig
from nn2llm.train.stage_result import StageResult

__all__ = ["RewardCommand", "main"]


@dataclass(frozen=True, kw_only=True)
class RewardCommand(StageOptions):
    """Train a reward model, which scores replies, from preferences, into a run folder."""

    settings: Annotated[RewardConfig, arg(name="")]
    allow_other_model: bool = False
    """Train on labels of another model's replies without asking."""


def main(argv: list[str]) -> int:
    """Run `nn2llm reward`; returns the exit code.

    Raises:
        Nn2llmError: for settings, preferences or a parent run that do not work.
    """
    base = RewardCommand(settings=choose_base(RewardConfig, argv))
    command = tyro.cli(RewardCommand, prog="nn2llm reward", default=base, args=argv)
    console = Console(highlight=False)
    needs = {
        "init_from": "--init-from RUN is needed: which model is to score? Usually one of `nn2llm sft`.",
        "data": "--preferences FILE is needed: labels of `nn2llm label`, or other .json or .jsonl (or .gz).",
    }
    if not check_label_models(command, command.settings, allowed=command.allow_other_model, console=console):
        return 1
    result = run_stage(
        command, command.settings, train_reward_model, stage="reward", needs=needs, console=console
    )
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
