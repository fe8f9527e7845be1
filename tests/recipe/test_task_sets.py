"""Which tasks each stage sees."""

import dataclasses

import pytest

from nn2llm.core.errors import ConfigError
from nn2llm.data.conversations import Conversation
from nn2llm.microworld import build_world
from nn2llm.recipe.config import ChatGPTConfig, DemonstrationsConfig
from nn2llm.recipe.task_sets import TaskSets


def build_conversations(chained: float) -> list[Conversation]:
    demonstrations = DemonstrationsConfig(num_tasks=400, num_val_tasks=20, chained=chained)
    config = dataclasses.replace(ChatGPTConfig(), demonstrations=demonstrations)
    return TaskSets(config, build_world(config.build_world_config())).build_demonstrations()[0]


def test_unchained_each_task_is_a_conversation_that_ends_with_its_reply() -> None:
    conversations = build_conversations(0.0)
    assert len(conversations) == 400
    assert all(conversation.messages[-1]["role"] == "assistant" for conversation in conversations)


def test_chained_tasks_stand_in_the_conversation_before_with_the_same_replies() -> None:
    alone, chained = build_conversations(0.0), build_conversations(0.5)
    assert 200 < len(chained) < 300
    assert [m for one in alone for m in one.messages] == [m for one in chained for m in one.messages]
    for conversation in chained:
        roles = [message["role"] for message in conversation.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert len(roles) <= 2 * 2 * 3  # three tasks, each with one earlier exchange at most


@pytest.mark.parametrize("chained", [-0.1, 1.0])
def test_a_part_that_is_none_is_refused(chained: float) -> None:
    with pytest.raises(ConfigError, match=r"chained must be in \[0, 1\), got"):
        DemonstrationsConfig(chained=chained)
