"""Replies to many prompts: in their order, whatever the batches, and cut where a reply ends."""

import pytest
import torch

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.generation.replies import encode_prompts, write_replies
from nn2llm.generation.rows import Generation
from nn2llm.generation.sampling import SamplingConfig
from nn2llm.tokenizers.chat import Message
from tests.train.ppo_cases import CHAT, PROMPTS, TOKENIZER, build_gpt

GREEDY = SamplingConfig(temperature=0)


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def test_replies_come_in_the_order_of_their_prompts():
    model = build_gpt()
    together = write_replies(model, CHAT, PROMPTS, max_new_tokens=5, sampling=GREEDY)
    alone = [write_replies(model, CHAT, [one], max_new_tokens=5, sampling=GREEDY)[0] for one in PROMPTS]
    assert [reply.ids for reply in together] == [reply.ids for reply in alone]
    assert len({reply.ids for reply in together}) > 1


@pytest.mark.parametrize("batch_size", [1, 2, 3, 128])
def test_what_is_drawn_does_not_depend_on_the_batches(batch_size):
    expected = write_replies(build_gpt(), CHAT, PROMPTS, max_new_tokens=8, seed=5)
    replies = write_replies(build_gpt(), CHAT, PROMPTS, max_new_tokens=8, seed=5, batch_size=batch_size)
    assert [reply.ids for reply in replies] == [reply.ids for reply in expected]
    assert [reply.logprobs for reply in replies] == [
        pytest.approx(reply.logprobs, abs=1e-5) for reply in expected
    ]
    other = write_replies(build_gpt(), CHAT, PROMPTS, max_new_tokens=8, seed=6)
    assert [reply.ids for reply in other] != [reply.ids for reply in expected]


@torch.inference_mode()
def test_logprobs_are_the_models_own_whatever_the_sampling():
    model = build_gpt()
    prompt = CHAT.encode(PROMPTS[1], add_generation_prompt=True).ids
    for sampling in (None, SamplingConfig(temperature=0.5, top_k=3)):
        reply = write_replies(model, CHAT, PROMPTS[1:2], max_new_tokens=6, sampling=sampling)[0]
        logits = model(torch.tensor([[*prompt, *reply.ids]])).logits[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(dim=-1)[range(len(reply.ids)), list(reply.ids)]
        torch.testing.assert_close(torch.tensor(reply.logprobs), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("ids", "text", "finished"),
    [
        ([*TOKENIZER.encode("ab "), CHAT.end_id], "ab", True),
        ([CHAT.end_id], "", True),
        (TOKENIZER.encode("abc"), "abc", False),
        ([*TOKENIZER.encode("abc"), TOKENIZER.end_of_text_id], "abc", False),
    ],
)
def test_a_reply_is_finished_by_its_end_token_alone(monkeypatch, ids, text, finished):
    def fake_generate(model, prompts, **options):
        assert set(options["stop_token_ids"]) == {CHAT.end_id, TOKENIZER.end_of_text_id}
        made = Generation(
            ids=tuple(ids),
            text=None,
            finish_reason="stop_token",
            logprobs=(-1.0,) * len(ids),
            num_slides=0,
        )
        return [made] * len(prompts)

    monkeypatch.setattr("nn2llm.generation.replies.generate", fake_generate)
    reply = write_replies(build_gpt(), CHAT, PROMPTS[:1], max_new_tokens=8)[0]
    assert (reply.text, reply.finished, reply.ids) == (text, finished, tuple(ids))


def test_no_prompts_no_replies():
    assert write_replies(build_gpt(), CHAT, [], max_new_tokens=3) == []


def test_a_prompt_too_long_is_named_with_its_length():
    long = (user("a" * 28),)  # 32 tokens with the template's four
    with pytest.raises(ConfigError, match=r"Prompt 1 has 32 tokens.* context of 32 .*Shorten"):
        write_replies(build_gpt(), CHAT, [PROMPTS[0], long], max_new_tokens=3)
    nearly = (user("a" * 27),)
    assert len(write_replies(build_gpt(), CHAT, [nearly], max_new_tokens=3)[0].ids) == 1
    with pytest.raises(ConfigError, match="no room for a reply of 3 tokens"):
        encode_prompts(CHAT, [nearly], max_seq_len=32, room=3)


def test_what_is_no_prompt_is_refused():
    replied = (user("a"), Message(role="assistant", content="b"))
    with pytest.raises(DataError, match=r"Prompt 0 ends with a message of the assistant"):
        write_replies(build_gpt(), CHAT, [replied], max_new_tokens=3)
    with pytest.raises(DataError, match=r"Prompt 1: .*empty"):
        write_replies(build_gpt(), CHAT, [PROMPTS[0], (user(" "),)], max_new_tokens=3)
    with pytest.raises(ConfigError, match="batch_size must be at least 1, got 0"):
        write_replies(build_gpt(), CHAT, PROMPTS, max_new_tokens=3, batch_size=0)
