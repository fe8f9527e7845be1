"""`nn2llm sft`: teach a model of `nn2llm pretrain` (or import) to answer, from conversations."""

from dataclasses import dataclass
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import arg

from nn2llm.cli.stage_options import StageOptions, choose_base, run_stage
from nn2llm.train.sft import finetune
from nn2llm.train.sft_config import SFTConfig
from nn2llm.train.stage_result import StageResult

__all__ = ["SFTCommand", "main"]


@dataclass(frozen=True, kw_only=True)
class SFTCommand(StageOptions):
    """Teach a model to answer: supervised fine-tuning on conversations, into a run folder."""

    settings: Annotated[SFTConfig, arg(name="")]


def main(argv: list[str]) -> int:
    """Run `nn2llm sft`; returns the exit code.

    Raises:
        Nn2llmError: for settings, conversations or a parent run that do not work.
    """
    base = SFTCommand(settings=choose_base(SFTConfig, argv))
    command = tyro.cli(SFTCommand, prog="nn2llm sft", default=base, args=argv)
    console = Console(highlight=False)
    needs = {
        "init_from": "--init-from RUN is needed: which model is to learn? `nn2llm runs list` shows all.",
        "data": "--data FILE is needed: conversations, as .json or .jsonl (or .gz).",
    }
    result = run_stage(command, command.settings, finetune, stage="sft", needs=needs, console=console)
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
