"""Rollouts: tokens, labels and rewards in their places; log-probabilities that depend on the reply alone."""

import math

import pytest
import torch
from torch.testing import assert_close

from nn2llm.core.errors import ConfigError, TrainingError
from nn2llm.generation.replies import Reply
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.train.rollouts import (
    PromptSet,
    Rollouts,
    compute_reply_logprobs,
    place_rewards,
    score_rollouts,
    split_rows,
    write_rollouts,
)
from tests.train.ppo_cases import CHAT, PROMPTS, SHAPE, build_gpt, build_reward_model


def reply(*ids: int, finished: bool = True) -> Reply:
    return Reply(ids, "", (0.0,) * len(ids), finished)


def draw_rollouts(policy: GPT, *, seed: int = 3) -> tuple[Rollouts, list[Reply], list[list[int]]]:
    ids = [CHAT.encode(prompt, add_generation_prompt=True).ids for prompt in PROMPTS]
    return (*write_rollouts(policy, CHAT, ids, max_new_tokens=8, seed=seed), ids)


def test_layout_by_hand():
    rollouts = Rollouts.build([[1, 2], [3, 4, 5]], [reply(6, 7, 8), reply(9, finished=False)])
    assert rollouts.input_ids.tolist() == [[1, 2, 6, 7, 8], [3, 4, 5, 9, 0]]
    assert rollouts.labels.tolist() == [[-100, 6, 7, 8, -100], [-100, -100, 9, -100, -100]]
    assert rollouts.last.tolist() == [4, 3]
    assert rollouts.finished.tolist() == [True, False]
    assert rollouts.num_tokens == 9
    assert rollouts.mask.sum(dim=1).tolist() == [3, 1]  # the tokens of each reply
    short = rollouts.select(torch.tensor([1]))
    assert short.input_ids.tolist() == [[3, 4, 5, 9]]
    assert short.labels.tolist() == [[-100, -100, 9, -100]]


def test_rewards_by_hand():
    rollouts = Rollouts.build([[1, 2], [3, 4, 5]], [reply(6, 7, 8), reply(9)])
    penalties = torch.tensor([[9.0, 0.1, 0.2, 0.3, 9.0], [9.0, 9.0, -0.4, 9.0, 9.0]])
    rewards = place_rewards(torch.tensor([2.0, -1.0]), penalties, rollouts)
    expected = [[0.0, -0.1, -0.2, 2.0 - 0.3, 0.0], [0.0, 0.0, -1.0 + 0.4, 0.0, 0.0]]
    assert_close(rewards, torch.tensor(expected))


@pytest.mark.parametrize(
    "changes",
    [{}, {"position": "learned", "norm": "layernorm", "tie_embeddings": True}, {"logit_softcap": 5.0}],
    ids=["rope", "learned", "softcap"],
)
def test_the_sampler_and_training_agree(changes):
    """The engine pads at the left and reads a cache; training pads at the right and reads whole rows."""
    config = GPTConfig(**{name: getattr(SHAPE, name) for name in SHAPE.__slots__} | changes)
    policy = build_gpt(config=config)
    rollouts, replies, _ = draw_rollouts(policy)
    assert len({len(one.ids) for one in replies}) > 1
    logprobs, entropies = compute_reply_logprobs(policy, rollouts, with_entropy=True)
    for row, one in enumerate(replies):
        assert_close(logprobs[row][rollouts.mask[row]], torch.tensor(one.logprobs), rtol=0, atol=1e-5)
    assert not logprobs[~rollouts.mask].any()
    # the entropy is that of all tokens at the same places
    logits = policy(rollouts.input_ids).logits
    logps = logits.log_softmax(dim=-1)
    expected = -(logps.exp() * logps).sum(dim=-1).where(rollouts.mask, 0.0)
    assert_close(entropies, expected, rtol=0, atol=1e-5)


def test_logprobs_do_not_depend_on_batch_or_padding():
    policy = build_gpt()
    rollouts, replies, ids = draw_rollouts(policy)
    together, _ = compute_reply_logprobs(policy, rollouts)
    for row, (prompt, one) in enumerate(zip(ids, replies, strict=True)):
        alone = Rollouts.build([prompt], [one])
        logprobs, _ = compute_reply_logprobs(policy, alone)
        assert_close(logprobs[0], together[row, : logprobs.shape[1]], rtol=0, atol=1e-5)
    after = torch.arange(rollouts.input_ids.shape[1]) > rollouts.last[:, None]
    rollouts.input_ids[after] = 5  # other padding
    assert_close(compute_reply_logprobs(policy, rollouts)[0], together, rtol=0, atol=1e-6)


def test_a_uniform_policy_has_the_entropy_of_its_vocabulary():
    policy = build_gpt()
    with torch.no_grad():
        policy.head.weight.zero_()
    rollouts, _, _ = draw_rollouts(policy)
    logprobs, entropies = compute_reply_logprobs(policy, rollouts, with_entropy=True)
    expected = torch.full_like(logprobs[rollouts.mask], math.log(SHAPE.vocab_size))
    assert_close(entropies[rollouts.mask], expected)
    assert_close(logprobs[rollouts.mask], -expected)


def test_scores_are_read_at_the_end_token():
    model = build_reward_model()
    end = CHAT.end_id
    finished, cut = reply(2, 3, end), reply(2, 3, 4, finished=False)
    rollouts = Rollouts.build([[8, 1], [8, 1]], [finished, cut])
    scores = score_rollouts(model, rollouts, end_id=end)
    # the cut one counts as if it ended there, so the two are the same
    expected = model.compute_values(torch.tensor([[8, 1, 2, 3, end]]))[0, -1].detach()
    assert_close(scores, expected.expand(2), rtol=0, atol=1e-6)
    assert rollouts.input_ids[1, -1] == 4  # what the policy wrote stays


def test_a_score_that_is_no_number_stops():
    model = build_reward_model()
    with torch.no_grad():
        model.score.weight[0, 0] = math.nan
    rollouts = Rollouts.build([[8, 1]], [reply(2, CHAT.end_id)])
    with pytest.raises(TrainingError, match=r"reward model gave the score nan: .* Train it again"):
        score_rollouts(model, rollouts, end_id=CHAT.end_id)


def test_prompts_come_each_once_an_epoch_in_new_orders():
    prompts = PromptSet(PROMPTS, CHAT, max_seq_len=32, max_new_tokens=8, seed=4)
    drawn = [place for step in range(7) for place in prompts.draw(3, step=step)]  # 21 = 3 × 7
    epochs = [drawn[:7], drawn[7:14], drawn[14:]]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert prompts.draw(3, step=5) == drawn[15:18]  # of (seed, step) alone
    assert len(prompts.draw(20, step=1)) == 20  # more than there are
    other = PromptSet(PROMPTS, CHAT, max_seq_len=32, max_new_tokens=8, seed=5)
    assert [place for step in range(7) for place in other.draw(3, step=step)] != drawn
    assert prompts.fingerprint() == other.fingerprint()
    fewer = PromptSet(PROMPTS[:6], CHAT, max_seq_len=32, max_new_tokens=8, seed=4)
    assert fewer.fingerprint() != prompts.fingerprint()


def test_prompts_must_be_there_and_leave_room():
    with pytest.raises(ConfigError, match="got an empty list"):
        PromptSet([], CHAT, max_seq_len=32, max_new_tokens=8, seed=1)
    with pytest.raises(ConfigError, match=r"Prompt 3 has 13 tokens.* reply of 20 tokens in a context of 32"):
        PromptSet(PROMPTS, CHAT, max_seq_len=32, max_new_tokens=20, seed=1)


def test_minibatches_take_each_row_once():
    first = split_rows(10, 4, seed=1, epoch=0)
    assert [len(rows) for rows in first] == [4, 4, 2]
    assert sorted(torch.cat(first).tolist()) == list(range(10))
    assert torch.cat(split_rows(10, 4, seed=1, epoch=1)).tolist() != torch.cat(first).tolist()
