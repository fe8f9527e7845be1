"""The prompts of constitutional AI, with the micro-world's tasks that they are.

A run does not say which micro-world its model knows, but the run that it began with does: the corpus of the
pretraining. Read microworld/tasks.py before. Used by constitutional.py.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from rich.console import Console

from nn2llm.core.errors import CheckpointError, ConfigError, DataError
from nn2llm.core.run_folder import find_run
from nn2llm.microworld import World, build_world, is_world_spec, parse_world_spec
from nn2llm.microworld.task import Task
from nn2llm.microworld.tasks import TASK_KINDS, build_tasks, recognise_task
from nn2llm.tokenizers.chat import Message
from nn2llm.train.constitutional_config import ConstitutionalConfig
from nn2llm.train.constitutional_data import Item

__all__ = ["choose_items", "find_world_spec"]

_TEMPTING = ("harmlessness", "honesty", "candour")
"""Groups of tasks in which a careless helper does harm, bluffs or flatters."""
_MAX_ANCESTORS = 20


def find_world_spec(run: str) -> str | None:
    """The micro-world whose texts the model of a run has read: the corpus of the first run before it.

    None: it has read something else, or a run before it is gone.
    """
    for _ in range(_MAX_ANCESTORS):
        try:
            config = _read_config(find_run(run))
        except CheckpointError:
            return None
        corpus, parent = config.get("corpus") or config.get("replay"), config.get("init_from")
        if isinstance(corpus, str) and is_world_spec(corpus):
            return corpus
        if not isinstance(parent, str) or not parent:
            return None
        run = parent
    return None


def _read_config(run: Path) -> dict[str, Any]:
    try:
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def choose_items(
    config: ConstitutionalConfig,
    *,
    tasks: Sequence[Task] | None,
    prompts: Sequence[Sequence[Message]] | None,
    needs_tasks: bool,
    console: Console,
) -> list[Item]:
    """The prompts as given, or tasks of the micro-world that the model has read, as many as the config wants.

    With `needs_tasks`, prompts that are no tasks of that micro-world are counted, said and left out.

    Raises:
        ConfigError: if there are neither prompts nor a micro-world, or it has too few tasks.
        DataError: if no prompt is left.
    """
    if tasks is not None:
        return [Item(cast(tuple[Message, ...], task.messages), task) for task in tasks]
    if prompts is not None and not needs_tasks:
        return [Item(tuple(prompt)) for prompt in prompts]
    spec = find_world_spec(config.init_from)
    if spec is None:
        raise ConfigError(
            f"{config.init_from} has read no micro-world that could "
            + (
                "judge. Give --judge RUN, FOLDER or URL."
                if prompts is not None
                else "give prompts. Give --prompts FILE."
            )
        )
    world = build_world(parse_world_spec(spec))
    if prompts is not None:
        return _recognise(world, prompts, console)
    num = config.num_revision_prompts * config.does_revisions + config.num_pair_prompts * config.does_pairs
    emphasis = {kind: config.red_team for kind, group in TASK_KINDS.items() if group in _TEMPTING}
    drawn = build_tasks(world, num=num, seed=config.seed, split="train", emphasis=emphasis)
    return [Item(cast(tuple[Message, ...], task.messages), task) for task in drawn]


def _recognise(world: World, prompts: Sequence[Sequence[Message]], console: Console) -> list[Item]:
    items = []
    for prompt in prompts:
        task = recognise_task(world, [dict(message) for message in prompt])  # type: ignore[arg-type]
        if task is not None:
            items.append(Item(tuple(prompt), task))
    if not items:
        raise DataError(
            f"None of the {len(prompts)} prompts is a task of the micro-world, so it cannot judge the "
            "replies. Give --judge RUN, FOLDER or URL, or leave out --prompts."
        )
    if len(items) < len(prompts):
        console.print(
            f"{len(prompts) - len(items):,} of {len(prompts):,} prompts are no tasks of the micro-world and "
            "are left out.",
            highlight=False,
            soft_wrap=True,
        )
    return items
