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


def test_rewriting_is_demonstrated_more_often_than_it_is_asked_for() -> None:
    shares = []
    for rewriting in (1.0, 3.0):
        demonstrations = DemonstrationsConfig(
            num_tasks=2000, num_val_tasks=400, rewriting=rewriting, chained=0
        )
        config = dataclasses.replace(ChatGPTConfig(), demonstrations=demonstrations)
        sets = TaskSets(config, build_world(config.build_world_config()))
        for conversations in sets.build_demonstrations():
            asked = [one.messages[-2]["content"].startswith("Rewrite") for one in conversations]
            shares.append(sum(asked) / len(asked))
        kinds = [task.kind for task in sets.build_for_ppo()]
        assert 0.055 < kinds.count("rewrite") / len(kinds) < 0.085
    assert shares == pytest.approx([0.07, 0.07, 0.21 / 1.14, 0.21 / 1.14], abs=0.03)


@pytest.mark.parametrize("rewriting", [0.0, float("inf"), float("nan")])
def test_an_emphasis_that_is_none_is_refused(rewriting: float) -> None:
    with pytest.raises(ConfigError, match="rewriting must be a number > 0, got"):
        DemonstrationsConfig(rewriting=rewriting)


@pytest.mark.parametrize("chained", [-0.1, 1.0])
def test_a_part_that_is_none_is_refused(chained: float) -> None:
    with pytest.raises(ConfigError, match=r"chained must be in \[0, 1\), got"):
        DemonstrationsConfig(chained=chained)
