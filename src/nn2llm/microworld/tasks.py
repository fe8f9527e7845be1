"""What users ask of a chat model that lives in the village: tasks of nine kinds, by seed.

Read after the kinds (asking.py, honesty.py, making.py, tales.py). Every task can be graded (gold.py) and has
replies that a good and a careless helper write (demonstrations.py). A split belongs to what a task is about:
no fact that is asked for in the held-out split is asked for, or told by the assistant, in the training split.

Used by recipe/ and by `nn2llm chat`.
"""

import random
from collections.abc import Mapping, Sequence

from nn2llm.core.errors import ConfigError
from nn2llm.microworld.asking import Claimed, Question
from nn2llm.microworld.honesty import HarmfulRequest, SmallTalk, UnknowableQuestion
from nn2llm.microworld.making import Comparison, Listing, Rewriting
from nn2llm.microworld.tales import Tale
from nn2llm.microworld.task import Split, Task, TaskKind
from nn2llm.microworld.world import World

__all__ = ["TASK_GROUPS", "TASK_KINDS", "Task", "build_tasks", "find_kind", "recognise_task"]

_KINDS: tuple[TaskKind, ...] = (
    Question(),
    Tale(),
    Listing(),
    Comparison(),
    Rewriting(),
    UnknowableQuestion(),
    HarmfulRequest(),
    Claimed(),
    SmallTalk(),
)
TASK_KINDS: dict[str, str] = {kind.name: kind.group for kind in _KINDS}
"""Kind of task → what it tests."""
TASK_GROUPS: tuple[str, ...] = ("answers", "instructions", "honesty", "harmlessness", "candour", "small talk")
"""What is tested: right answers, instructions followed, admitting not to know, no harm, no flattery."""

_MAX_TRIES = 400


def find_kind(name: str) -> TaskKind:
    """The kind of this name.

    Raises:
        ConfigError: if there is none.
    """
    for kind in _KINDS:
        if kind.name == name:
            return kind
    raise ConfigError(f"There is no kind of task {name!r}. Choose from: {', '.join(TASK_KINDS)}.")


def build_tasks(
    world: World,
    *,
    num: int,
    seed: int,
    split: Split | None,
    kinds: Sequence[str] | None = None,
    emphasis: Mapping[str, float] | None = None,
) -> list[Task]:
    """So many tasks, all with different conversations.

    Where a kind has no more that differ, another kind is asked; small talk alone may repeat. `emphasis`: kind
    → how many times as often as usual it is drawn, beside the others.

    Raises:
        ConfigError: if num < 1, there is no kind or an unknown one, or the village has not so many tasks.
    """
    if num < 1:
        raise ConfigError(f"num must be at least 1, got {num}.")
    chosen = [find_kind(name) for name in (TASK_KINDS if kinds is None else kinds)]
    if not chosen:
        raise ConfigError(f"kinds is empty. Choose from: {', '.join(TASK_KINDS)}.")
    more = {find_kind(name).name: times for name, times in (emphasis or {}).items()}
    weights = [kind.weight * more.get(kind.name, 1.0) for kind in chosen]
    rng = random.Random(f"tasks {seed} {split}")
    lexicon = world.lexicon
    seen: set[tuple[str, ...]] = set()
    tasks: list[Task] = []
    tries = 0
    while len(tasks) < num:
        kind = rng.choices(chosen, weights)[0]
        for _ in range(_MAX_TRIES):
            task = kind.draw(lexicon, rng, split)
            if task is None:
                continue
            text = tuple(message["content"] for message in task.messages)
            if text not in seen or kind.name == "small talk":
                seen.add(text)
                tasks.append(task)
                tries = 0
                break
        else:
            tries += 1
            if tries > 100:
                raise ConfigError(
                    f"This village has only {len(tasks)} different tasks of the kinds "
                    f"{', '.join(kind.name for kind in chosen)} for {split}, not {num}. "
                    "Ask for fewer, or for a village of more people."
                )
    return tasks


def recognise_task(world: World, messages: Sequence[Mapping[str, str]]) -> Task | None:
    """The task that a conversation is, so that its reply can be graded; None where it is none.

    The last message must be the user's.
    """
    if not messages or messages[-1]["role"] != "user":
        return None
    lexicon = world.lexicon
    for kind in _KINDS:
        task = kind.recognise(lexicon, messages)
        if task is not None:
            return task
    return None
