"""`nn2llm dpo`: align a chat model with preferences, without a reward model."""

from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import arg

from nn2llm.cli.preference_files import check_label_models
from nn2llm.cli.stage_options import StageOptions, choose_base, run_stage
from nn2llm.train.dpo import train_dpo
from nn2llm.train.dpo_config import DPOConfig
from nn2llm.train.stage_result import StageResult

__all__ = ["DPOCommand", "main"]


@dataclass(frozen=True, kw_only=True)
class DPOCommand(StageOptions):
    """Align a chat model with preferences directly (DPO, IPO, cDPO, hinge), into a run folder."""

    settings: Annotated[DPOConfig, arg(name="")]
    allow_other_model: bool = False
    """Train on labels of another model's replies without asking."""


def main(argv: list[str]) -> int:
    """Run `nn2llm dpo`; returns the exit code.

    Raises:
        Nn2llmError: for settings, preferences or a parent run that do not work.
    """
    base = DPOCommand(settings=choose_base(DPOConfig, argv))
    command = tyro.cli(DPOCommand, prog="nn2llm dpo", default=base, args=argv)
    console = Console(highlight=False)
    needs = {
        "init_from": "--init-from RUN is needed: which model is to improve? Usually one of `nn2llm sft`.",
        "data": "--preferences FILE is needed: labels of `nn2llm label`, or other .json or .jsonl (or .gz).",
    }
    if not check_label_models(command, command.settings, allowed=command.allow_other_model, console=console):
        return 1
    result = run_stage(command, command.settings, train_dpo, stage="dpo", needs=needs, console=console)
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
