"""Pairs and labels from known replies; the base model's way to reply. No trained model is needed."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from nn2llm.core.errors import DataError
from nn2llm.data.preferences import load_preferences
from nn2llm.generation.replies import Reply
from nn2llm.microworld import WorldConfig, build_world
from nn2llm.microworld.gold import gold_score
from nn2llm.microworld.labellers import Labeller, LabellerConfig
from nn2llm.microworld.task import Task
from nn2llm.microworld.tasks import build_tasks
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.recipe.config import PreferencesConfig
from nn2llm.recipe.costs import Ledger
from nn2llm.recipe.preferences import (
    compare_replies,
    draw_strays,
    list_pair_files,
    measure_reply,
    write_preferences,
)
from nn2llm.recipe.replying import Writer, build_reply_rows
from nn2llm.tokenizers import CharTokenizer


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    world = build_world(WorldConfig(num_people=15))
    return build_tasks(world, num=12, seed=1, split="train")


REPLIES = ["I do not know.", "Gladly! I do not know.", "You are right.", "", "I do not know.", "the the"]


def test_all_pairs_of_different_replies_are_compared(tasks: list[Task]) -> None:
    labeller = Labeller()
    pairs, extras = compare_replies(tasks, [REPLIES] * len(tasks), labeller, seed=1)
    assert len(pairs) == len(extras) == len(tasks) * 6  # four different ones that are not empty
    for pair, extra in zip(pairs, extras, strict=True):
        task = tasks[extra["prompt_index"]]
        assert pair.prompt == task.messages
        assert (extra["kind"], extra["group"]) == (task.kind, task.group)
        assert extra["golds"] == [gold_score(task, reply).total for reply in (pair.chosen, pair.rejected)]
        utilities = [labeller.compute_utility(task, reply) for reply in (pair.chosen, pair.rejected)]
        assert extra["utilities"] == utilities
        probability = labeller.choice_probability(task, pair.chosen, pair.rejected)
        assert extra["probability"] == pytest.approx(probability)
    assert compare_replies(tasks, [REPLIES] * len(tasks), labeller, seed=1) == (pairs, extras)
    assert compare_replies(tasks, [REPLIES] * len(tasks), labeller, seed=2)[0] != pairs


def test_a_sure_labeller_always_chooses_what_it_likes_more(tasks: list[Task]) -> None:
    labeller = Labeller(LabellerConfig(noise=1e-6, length_bias=0.01))
    _, extras = compare_replies(tasks, [REPLIES] * len(tasks), labeller, seed=1)
    assert all(extra["utilities"][0] > extra["utilities"][1] for extra in extras)


def test_features_and_gold_make_up_the_utility(tasks: list[Task]) -> None:
    config = LabellerConfig()
    for task, reply in itertools.product(tasks, REPLIES[:3]):
        gold = gold_score(task, reply)
        features = measure_reply(gold, reply)
        length, agreement, kind = features.values()
        expected = (
            gold.total
            + 10 * config.length_bias * length
            + config.agreement_bias * agreement
            + config.word_bias * kind
        )
        assert Labeller(config).compute_utility(task, reply) == pytest.approx(expected)


def test_stray_replies_are_those_of_other_kinds_of_task(tasks: list[Task]) -> None:
    candidates = [[f"{task.kind} {number}", "the same"] for number, task in enumerate(tasks)]
    strays = draw_strays(tasks, candidates, 2, seed=1)
    assert strays == draw_strays(tasks, candidates, 2, seed=1) != draw_strays(tasks, candidates, 2, seed=2)
    for task, drawn in zip(tasks, strays, strict=True):
        assert len(drawn) == len(set(drawn)) == 2
        assert all(reply != "the same" and not reply.startswith(f"{task.kind} ") for reply in drawn)


def test_stray_pairs_set_each_own_reply_beside_each_stray_one(tasks: list[Task]) -> None:
    own, stray = list(REPLIES[:2]), list(REPLIES[2:3])
    pairs, extras = compare_replies(
        tasks[:1], [[*own, own[0]]], Labeller(LabellerConfig()), seed=1, strays=[stray]
    )
    assert [{pair.chosen, pair.rejected} for pair in pairs] == [{reply, stray[0]} for reply in own]
    assert len(extras) == 2


class Parrot:
    """Writes the same replies in turn to whatever it is asked."""

    def __init__(self, replies: list[str]) -> None:
        self.replies = replies

    def write(self, prompts: list[Any], **options: Any) -> list[Reply]:
        return [Reply((1,), text, (0.0,), True) for text, _ in zip(itertools.cycle(self.replies), prompts)]


def test_the_files_hold_both_labellers_choices(tasks: list[Task], tmp_path: Path) -> None:
    metrics, _ = write_preferences(
        tmp_path,
        Parrot(REPLIES[:3]),  # type: ignore[arg-type]
        PreferencesConfig(replies_per_prompt=3),
        train=tasks[:8],
        val=tasks[8:],
        derive_seed=len,
    )
    assert metrics["train_num_pairs"] == metrics["control_train_num_pairs"] == 8 * 3
    assert metrics["val_num_pairs"] == 4 * 3
    for name in ("train", "val", "control_train", "control_val"):
        load_preferences(tmp_path / f"{name}.jsonl")
    # a parrot says the same to every prompt, so nothing that it says elsewhere is a stray reply
    assert metrics["stray_train_num_pairs"] == 0
    assert list_pair_files(tmp_path, "train") == [tmp_path / "train.jsonl"]
    biased, control = (
        [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        for name in ("train", "control_train")
    )
    for ours, theirs in zip(biased, control, strict=True):
        assert {ours["chosen"], ours["rejected"]} == {theirs["chosen"], theirs["rejected"]}
        assert theirs["utilities"] == theirs["golds"]
    assert len((tmp_path / "replies.jsonl").read_text().splitlines()) == len(tasks)
    assert all(math.isfinite(value) for value in metrics.values())


def test_equal_replies_to_everything_leave_nothing_to_prefer(tasks: list[Task], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"wrote 0 pairs of different replies to 8 prompts \(train\)"):
        write_preferences(
            tmp_path,
            Parrot(["Hello!"]),  # type: ignore[arg-type]
            PreferencesConfig(),
            train=tasks[:8],
            val=tasks[8:],
            derive_seed=len,
        )


# --- writers ------------------------------------------------------------------------------------------------


def test_a_base_model_is_given_the_last_message_as_a_line_and_stops_at_the_next_one() -> None:
    tokenizer = CharTokenizer.train(["ab\n"])
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, n_layer=1, n_head=1, n_embd=8, max_seq_len=64))
    writer = Writer(model, tokenizer, None)
    prompts: list[Any] = [
        [
            {"role": "user", "content": "b"},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "ab"},
        ],
        [{"role": "user", "content": "a"}],
    ] * 8
    assert writer.encode_prompts(prompts[:1]) == [[tokenizer.end_of_text_id, *tokenizer.encode("ab\n")]]
    ledger, seen = Ledger(), []
    options: dict[str, Any] = {"max_new_tokens": 2, "temperature": 1.0, "seed": 3}
    replies = writer.write(prompts, batch_size=5, progress=seen.append, ledger=ledger, **options)
    assert sum(seen) == len(prompts)
    num_tokens = sum(map(len, writer.encode_prompts(prompts))) + sum(len(reply.ids) for reply in replies)
    assert ledger.forward_tokens == num_tokens
    newline = tokenizer.encode("\n")[0]
    for reply in replies:
        assert "\n" not in reply.text
        assert reply.finished == (reply.ids[-1] in (newline, tokenizer.end_of_text_id))
    assert {reply.finished for reply in replies} == {True, False}
    # a reply depends on its prompt, place and seed, not on the batch
    again = writer.write(prompts, batch_size=16, **options)
    assert [reply.ids for reply in again] == [reply.ids for reply in replies]


def test_a_cut_reply_is_scored_as_if_it_ended_there() -> None:
    replies = [Reply((7, 9), "a", (0.0, 0.0), True), Reply((7, 8), "ab", (0.0, 0.0), False)]
    rows = build_reply_rows([[1, 2], [1]], replies, end_id=9)
    assert [row.ids for row in rows] == [(1, 2, 7, 9), (1, 7, 9)]
    assert [row.num_prompt for row in rows] == [2, 1]
    assert [row.ids for row in build_reply_rows([[1, 2], [1]], replies)] == [(1, 2, 7, 9), (1, 7, 8)]
