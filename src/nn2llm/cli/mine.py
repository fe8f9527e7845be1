"""`--mine` of `nn2llm pretrain` and `nn2llm sample`: the learner's own parts, and whose is whose.

Their code runs in this process: it is their own, on their machine. Everything is checked before anything is
written. Read models/parts, course/mygpt.py and train/mine.py before.
"""

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nn2llm.core.device import choose_device
from nn2llm.core.errors import ConfigError
from nn2llm.core.home import get_home
from nn2llm.core.run_folder import RunFolder
from nn2llm.course.mygpt import FOLDER, list_sources
from nn2llm.models.parts import PARTS, PartSource
from nn2llm.models.parts.checking import check_parts
from nn2llm.models.parts.loading import calls_print, load_part, name_part
from nn2llm.models.parts.rehearsal import rehearse
from nn2llm.train.mine import MinePlan, build_mine_config, plan_mine, read_run_parts
from nn2llm.train.pretrain_config import MineConfig, PretrainConfig

__all__ = ["load_own_sampling", "recheck_mine", "split_names", "start_mine"]


def split_names(words: Sequence[str]) -> tuple[str, ...]:
    """`attention rms_norm`, `attention,rms_norm`: both are two names."""
    return tuple(name for word in words for name in word.replace(",", " ").split())


def start_mine(
    config: PretrainConfig, console: Console, *, only: Sequence[str], without: Sequence[str]
) -> tuple[MineConfig, dict[str, PartSource]]:
    """Check the parts and say whose is whose; returns the config of the run, and the parts that it calls.

    Raises:
        ConfigError: if there is nothing of the learner's to train with.
        PartError: if a part is wrong.
    """
    plan = plan_mine(list_sources(get_home()), config, only=only, without=without)
    mine = build_mine_config(config, plan)
    device = choose_device(config.device)
    num_checks = check_parts(plan.used, device=device)
    rows = config.batch_size if "training_step" in plan.used else config.micro_batch_size or config.batch_size
    rehearse(
        plan.used,
        plan.model,
        num_rows=rows,
        num_tokens=config.seq_len or plan.model.max_seq_len,
        device=device,
    )
    _print_plan(plan, console)
    count = len(plan.used)
    console.print(
        f"Your {'part agrees' if count == 1 else f'{count} parts agree'} with the library in "
        f"{_count(num_checks, 'check')} on fresh inputs. Held-out loss and samples are the library's, "
        "on the same weights.",
        soft_wrap=True,
    )
    if config.compile:
        console.print("Without torch.compile: your parts run as they are written.")
    if rows != (config.micro_batch_size or rows):
        console.print(
            f"Your training_step takes all {rows} rows at once: micro_batch_size {config.micro_batch_size} "
            "does not split them.",
            soft_wrap=True,
        )
    for name, source in plan.used.items():
        if calls_print(source):
            console.print(
                f"What your part {name} prints is left out: it would come with every layer and step.",
                soft_wrap=True,
            )
    return mine, plan.used


def recheck_mine(config: MineConfig, run: RunFolder, console: Console) -> None:
    """Before a run goes on: its own copies are there, unchanged, and right on this machine.

    Raises:
        CheckpointError: if a copy is gone or changed.
        PartError: if one is wrong here.
    """
    sources = read_run_parts(run, config)
    num_checks = check_parts(sources, device=choose_device(config.device))
    console.print(
        f"Going on with your {', '.join(sources)}, as copied into {run.path / 'mine'}: "
        f"{_count(num_checks, 'check')} passed.",
        soft_wrap=True,
    )


def load_own_sampling() -> Callable[..., Any]:
    """The learner's next_token_probabilities, checked.

    Raises:
        ConfigError: if they have none.
        PartError: if it is wrong.
    """
    sources = list_sources(get_home())
    if "sampling" not in sources:
        part = PARTS["sampling"]
        raise ConfigError(
            f"You have no part sampling in {get_home() / FOLDER} yet: an exercise of the lesson "
            f"{part.lesson} gives it. Leave out --mine; models that you trained with --mine write without it."
        )
    check_parts({"sampling": sources["sampling"]})
    own = load_part(sources["sampling"])["next_token_probabilities"]

    def probabilities(*arguments: Any) -> Any:
        with name_part(sources, "while it wrote"):
            return own(*arguments)

    return probabilities


def _print_plan(plan: MinePlan, console: Console) -> None:
    used, total = len(plan.used), len(plan.used) + len(plan.gaps)
    console.print(
        f"Your GPT: {used} of the {total} parts that this run calls {'is' if used == 1 else 'are'} yours."
    )
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="bold")
    for heading in ("part", "whose", "from"):
        table.add_column(heading, no_wrap=heading != "from", overflow="fold")
    gaps = {part.name for part in plan.gaps}
    for name, part in PARTS.items():
        if name in plan.used:
            table.add_row(Text(name, style="bold"), "yours", _say_origin(plan.used[name]))
        elif name in gaps:
            table.add_row(Text(name, style="dim"), "library", Text(f"lesson {part.lesson}", style="dim"))
    console.print(table)
    for part in plan.idle:
        how = f"add {part.flags}" if part.flags else "nn2llm sample --mine calls it"
        console.print(f"Yours, but not called by this run: {part.name} ({how}).", soft_wrap=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _say_origin(source: PartSource) -> str:
    return f"{source.slug}/{source.exercise}" if source.slug else source.path
