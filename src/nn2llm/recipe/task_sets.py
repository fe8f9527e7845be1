"""Which tasks each stage sees. No fact that is asked for in held-out tasks is told in those to train on.

Read before preferences.py and stages.py.
"""

import random
from collections.abc import Sequence
from typing import cast

from nn2llm.data.conversations import Conversation
from nn2llm.microworld import World
from nn2llm.microworld.demonstrations import demonstrate
from nn2llm.microworld.task import Split, Task
from nn2llm.microworld.tasks import build_tasks
from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.tokenizers.chat import Message

__all__ = ["TaskSets", "list_messages"]


_LONGEST_CHAIN = 3
"""Tasks in one conversation at most: more would not fit into a small context."""


def list_messages(task: Task) -> tuple[Message, ...]:
    """The conversation of a task, up to where the assistant replies."""
    return cast(tuple[Message, ...], task.messages)


class TaskSets:
    """The tasks of one recipe; each set follows from the config's seed alone."""

    def __init__(self, config: ChatGPTConfig, world: World) -> None:
        self._config, self._world = config, world

    def build_demonstrations(self) -> tuple[list[Conversation], list[Conversation]]:
        """What SFT learns from, and the same for held-out tasks."""
        config, emphasis = self._config.demonstrations, {"rewrite": self._config.demonstrations.rewriting}
        return (
            self._demonstrate(build_tasks(self._world, num=config.num_tasks, split="train", emphasis=emphasis,
                                          seed=self._config.derive_seed("sft tasks")), "train"),
            self._demonstrate(build_tasks(self._world, num=config.num_val_tasks, split="val",
                                          emphasis=emphasis,
                                          seed=self._config.derive_seed("sft held-out tasks")), "val"),
        )  # fmt: skip

    def _demonstrate(self, tasks: Sequence[Task], split: Split) -> list[Conversation]:
        rng = random.Random(self._config.derive_seed(f"demonstrations {split}"))
        chain = random.Random(self._config.derive_seed(f"chains {split}"))
        config = self._config.demonstrations
        found: list[list[Message]] = []
        num_chained = 0
        for task in tasks:
            reply = demonstrate(task, rng, config.helpers, split=split)
            goes_on = chain.random() < config.chained and 0 < num_chained < _LONGEST_CHAIN
            if not goes_on:
                found.append([])
            num_chained = num_chained + 1 if goes_on else 1
            found[-1] += [*list_messages(task), Message(role="assistant", content=reply)]
        return [Conversation(tuple(messages)) for messages in found]

    def build_for_preferences(self) -> tuple[list[Task], list[Task]]:
        """Prompts of the pairs to learn from, and of held-out pairs."""
        config = self._config.preferences
        return (
            build_tasks(self._world, num=config.num_prompts, split="train",
                        seed=self._config.derive_seed("preference tasks")),
            build_tasks(self._world, num=config.num_val_prompts, split="val",
                        seed=self._config.derive_seed("held-out preference tasks")),
        )  # fmt: skip

    def build_for_ppo(self) -> list[Task]:
        """Prompts of PPO."""
        seed = self._config.derive_seed("ppo tasks")
        return build_tasks(self._world, num=self._config.num_ppo_prompts, split="train", seed=seed)

    def build_for_evaluation(self) -> list[Task]:
        """Held-out tasks that all stages reply to."""
        return self._build_held_out(self._config.evaluation.num_prompts)

    def build_questions(self) -> list[Task]:
        """Held-out questions with one right answer."""
        return self._build_held_out_questions(self._config.evaluation.num_questions)

    def build_for_checks(self) -> tuple[list[Task], list[Task]]:
        """The first of the evaluation's tasks, and of its questions."""
        checks = self._config.checks
        return self._build_held_out(checks.num_prompts), self._build_held_out_questions(checks.num_questions)

    def _build_held_out(self, num: int) -> list[Task]:
        seed = self._config.derive_seed("evaluation tasks")
        return build_tasks(self._world, num=num, split="val", seed=seed)

    def _build_held_out_questions(self, num: int) -> list[Task]:
        seed = self._config.derive_seed("questions")
        return build_tasks(self._world, num=num, split="val", seed=seed, kinds=["question"])
