"""`nn2llm constitutional`: improve a chat model by written principles, without a human's label."""

from dataclasses import dataclass, replace
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import arg

from nn2llm.cli.stage_options import StageOptions, choose_base, run_stage
from nn2llm.core.config_io import load_config
from nn2llm.core.run_folder import RunFolder
from nn2llm.train.constitutional import run_constitutional
from nn2llm.train.constitutional_config import ConstitutionalConfig
from nn2llm.train.stage_result import StageResult

__all__ = ["ConstitutionalCommand", "main"]


@dataclass(frozen=True, kw_only=True)
class ConstitutionalCommand(StageOptions):
    """Improve a chat model by a constitution, into a run folder.

    Its replies are criticised by the principles and revised, and it is fine-tuned on them; then a judge
    compares its replies by the principles, and it learns from these pairs.
    """

    settings: Annotated[ConstitutionalConfig, arg(name="")]


def main(argv: list[str]) -> int:
    """Run `nn2llm constitutional`; returns the exit code.

    Raises:
        Nn2llmError: for settings, a constitution, a judge, prompts or runs that do not work.
    """
    base = ConstitutionalCommand(settings=choose_base(ConstitutionalConfig, argv))
    command = tyro.cli(ConstitutionalCommand, prog="nn2llm constitutional", default=base, args=argv)
    console = Console(highlight=False)
    settings = command.settings
    endpoint = settings.endpoint
    if command.resume and command.out is not None and (run := RunFolder(command.out)).exists:
        # budget and patience may differ from session to session: the answers are the same
        settings = replace(settings, endpoint=load_config(ConstitutionalConfig, run.config_path).endpoint)

    def train(config: ConstitutionalConfig, run: RunFolder, *, resume: bool, console: Console) -> StageResult:
        return run_constitutional(replace(config, endpoint=endpoint), run, resume=resume, console=console)

    needs = {
        "init_from": "--init-from RUN is needed: which model is to improve? Usually one of `nn2llm sft`."
    }
    result = run_stage(command, settings, train, stage="constitutional", needs=needs, console=console)
    if result.interrupted:
        return 130
    _report(result, settings, console)
    return 0


def _report(result: StageResult, settings: ConstitutionalConfig, console: Console) -> None:
    metrics, path, lines = result.metrics, result.run.path, []
    if "broken" in metrics:
        lines.append(
            f"{metrics['broken']:.1%} of the replies broke a principle and {metrics['revised']:.1%} were "
            f"revised: {path / 'revisions.jsonl'}."
        )
    if "num_pairs" in metrics:
        lines.append(
            f"The judge preferred one of two replies {metrics['num_pairs']:,.0f} times "
            f"({metrics['ties']:.1%} of the pairs were ties; the order alone decided "
            f"{metrics['order_decided']:.1%} of the questions): {path / 'pairs.jsonl'}."
        )
    if settings.only is not None:
        command, flag = {"revisions": ("sft", "--data"), "pairs": ("dpo", "--preferences")}[settings.only]
        data = path / f"{settings.only}.jsonl"
        lines.append(f"Learn from them: nn2llm {command} --init-from {settings.init_from} {flag} {data}")
    else:
        lines.append(f"Talk with it: nn2llm chat {path}")
    console.print("\n".join(lines), soft_wrap=True)
