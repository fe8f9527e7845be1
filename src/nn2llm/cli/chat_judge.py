"""What a reply is worth: its gold score where the micro-world knows the truth, and the reward model's score.

Both are optional: the gold score needs a conversation that the world recognises as one of its tasks, the
reward a finished reward stage. Read chat_stages.py before. Used by chat_loop.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch

from nn2llm.cli.chat_stages import ChatSource
from nn2llm.core.errors import ConfigError
from nn2llm.core.threads import few_threads
from nn2llm.microworld import World, build_world, is_world_spec, parse_world_spec
from nn2llm.microworld.gold import gold_score
from nn2llm.microworld.questions import list_questions_about
from nn2llm.microworld.tasks import build_tasks, recognise_task
from nn2llm.models.reward_model import RewardModel
from nn2llm.tokenizers.chat import ChatFormat, Message
from nn2llm.train.checkpoint import load_reward_model

__all__ = ["Judge", "Judgement"]


_SUGGESTED = ("question", "story", "unknowable", "claim")


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What is known about a reply."""

    gold: float | None = None
    """Its true quality, from 0 to 1; None where the world does not recognise the question."""
    parts: dict[str, float] = field(default_factory=dict)
    """What the gold score is made of."""
    reward: float | None = None
    """The reward model's score, on a scale of its own; None where there is no such model."""


class Judge:
    """Scores replies of one recipe's models; world and reward model are loaded when first asked for."""

    def __init__(self, source: ChatSource, device: torch.device) -> None:
        self._source = source
        self._device = device

    def judge(self, messages: Sequence[Message], reply: str) -> Judgement:
        """Score `reply` to the conversation `messages`, which ends with the user.

        Raises:
            CheckpointError: if the reward model's checkpoint is damaged.
        """
        plain = [{"role": message["role"], "content": message["content"]} for message in messages]
        task = None if self.world is None else recognise_task(self.world, plain)
        reward = self._compute_reward(messages, reply)
        if task is None:
            return Judgement(reward=reward)
        score = gold_score(task, reply)
        return Judgement(gold=score.total, parts=dict(score.parts), reward=reward)

    def suggest(self) -> list[str]:
        """Messages that the world recognises, for a user who does not know it; none without a world."""
        if self.world is None:
            return []
        suggestions = []
        for kind in _SUGGESTED:
            tasks = build_tasks(self.world, num=20, seed=1, split="val", kinds=[kind])
            suggestions += [task.prompt for task in tasks if len(task.messages) == 1][:1]
        if (name := self.world.config.name) is not None:  # the user has moved in
            suggestions[0] = list_questions_about(self.world.cast, name)[0].text
        return suggestions

    @cached_property
    def world(self) -> World | None:
        """The village that the models know; None if they read something else."""
        corpus = self._source.corpus
        if corpus is None or not is_world_spec(corpus):
            return None
        try:
            return build_world(parse_world_spec(corpus))
        except ConfigError:  # of another version: talking needs no world
            return None

    @cached_property
    def _reward_model(self) -> tuple[RewardModel, ChatFormat] | None:
        if self._source.reward is None:
            return None
        model, tokenizer = load_reward_model(self._source.reward, device=self._device)
        return model, ChatFormat(tokenizer)

    def _compute_reward(self, messages: Sequence[Message], reply: str) -> float | None:
        """The score at the reply's end; of a conversation that is too long, its newest turns are scored."""
        if self._reward_model is None or not reply:
            return None
        model, chat = self._reward_model
        for start in range(0, len(messages), 2):
            ids = chat.encode([*messages[start:], {"role": "assistant", "content": reply}]).ids
            if len(ids) <= model.config.max_seq_len:
                break
        else:
            return None
        with few_threads(model), torch.inference_mode():
            input_ids = torch.tensor([ids], device=model.device)
            last = torch.tensor([len(ids) - 1], device=model.device)
            return float(model.compute_scores(input_ids, last))
