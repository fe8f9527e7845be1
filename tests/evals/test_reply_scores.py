"""Scores and log-probabilities of replies: equal to the plain computation of one row, whatever the batch."""

import numpy as np
import pytest
import torch

from nn2llm.core.errors import DataError
from nn2llm.data.pair_batches import encode_row
from nn2llm.evals.reply_scores import (
    compute_reply_logps,
    compute_row_logps,
    compute_row_scores,
    score_replies,
)
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.models.reward_model import RewardModel
from nn2llm.tokenizers import CharTokenizer
from nn2llm.tokenizers.base import END_OF_TEXT
from nn2llm.tokenizers.chat import CHAT_TOKENS, ChatFormat

CHAT = ChatFormat(CharTokenizer("abcdefghijklmnopqrstuvwxyz ", [END_OF_TEXT, *CHAT_TOKENS]))
PROMPTS = [({"role": "user", "content": text},) for text in ("a", "who bakes the bread", "hi", "a")]
REPLIES = ["yes", "ada does", "hello there my friend", "n"]


def build_gpt(softcap=None):
    torch.manual_seed(3)
    return GPT(
        GPTConfig(
            vocab_size=CHAT.tokenizer.vocab_size, n_layer=2, n_head=2, n_embd=16, max_seq_len=40, init="gpt2",
            logit_softcap=softcap,
        )
    ).eval()  # fmt: skip


@pytest.mark.parametrize("softcap", [None, 0.5])
def test_log_probabilities_by_hand_and_in_any_batch(softcap):
    model = build_gpt(softcap)
    expected = []
    for prompt, reply in zip(PROMPTS, REPLIES, strict=True):
        start = CHAT.encode(prompt, add_generation_prompt=True).ids
        ids = torch.tensor([start + CHAT.encode_reply(reply)])
        with torch.no_grad():
            logprobs = model(ids).logits[0].log_softmax(-1)
        expected.append(sum(logprobs[at - 1, ids[0, at]].item() for at in range(len(start), ids.shape[1])))
    for batch_size in (1, 2, 64):
        found = compute_reply_logps(model, CHAT, PROMPTS, REPLIES, batch_size=batch_size)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)
    assert found.dtype == np.float64


def test_scores_by_hand_and_in_any_batch():
    model = RewardModel.from_gpt(build_gpt())
    torch.nn.init.normal_(model.score.weight)
    expected = []
    for prompt, reply in zip(PROMPTS, REPLIES, strict=True):
        ids = torch.tensor([encode_row(CHAT, prompt, reply).ids])
        expected.append(model.compute_values(ids)[0, -1].item())
    for batch_size in (1, 3, 64):
        found = score_replies(model, CHAT, PROMPTS, REPLIES, batch_size=batch_size)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)


def test_dropout_is_off_meanwhile_and_the_mode_comes_back():
    model = build_gpt()
    model.train()
    rows = [encode_row(CHAT, PROMPTS[0], REPLIES[0])]
    compute_row_logps(model, rows)
    assert model.training
    assert compute_row_scores(RewardModel.from_gpt(model), rows).tolist() == [0.0]
    assert compute_row_logps(model, []).shape == (0,)


def test_what_cannot_be_scored():
    model = build_gpt()
    with pytest.raises(DataError, match=r"Reply 1 and its prompt have \d+ tokens, the context 40"):
        compute_reply_logps(model, CHAT, PROMPTS[:2], ["a", "b" * 40])
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        compute_reply_logps(model, CHAT, PROMPTS, REPLIES, batch_size=0)
