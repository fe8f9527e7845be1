"""The engine: cached equals uncached, rows are independent, and each way to end."""

import pytest
import torch
from torch.testing import assert_close

from nn2llm.core.errors import ConfigError, TrainingError
from nn2llm.generation.engine import generate, generate_uncached, stream
from nn2llm.generation.rows import compute_row_seeds
from nn2llm.generation.sampling import SamplingConfig
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig

GREEDY = SamplingConfig(temperature=0.0)
PROMPTS = [[5, 3, 9, 1, 1], [7], [2, 4, 6]]
STYLES = {
    "default": {},
    "gpt2": {
        "position": "learned",
        "norm": "layernorm",
        "feed_forward": "gelu",
        "bias": True,
        "init": "gpt2",
    },
    "grouped": {"n_kv_head": 1, "feed_forward": "swiglu", "logit_softcap": 5.0},
    "windowed": {"window": 4},
}


def build_model(max_seq_len: int = 32, vocab_size: int = 11, **settings) -> GPT:
    """A small GPT with random weights, the head's included (it starts at zero otherwise)."""
    torch.manual_seed(0)
    config = GPTConfig(
        vocab_size=vocab_size, max_seq_len=max_seq_len, n_layer=2, n_head=2, n_embd=16, **settings
    )
    model = GPT(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model


class Bytes:
    """Token i stands for one or more bytes of a list."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    def token_bytes(self, token_id: int) -> bytes:
        return self.pieces[token_id]


class Scripted(GPT):
    """Writes a fixed sequence of tokens, over and over: the n-th position predicts script[n]."""

    def __init__(self, script: list[int], *, vocab_size: int, max_seq_len: int = 64) -> None:
        super().__init__(
            GPTConfig(vocab_size=vocab_size, max_seq_len=max_seq_len, n_layer=1, n_head=1, n_embd=2)
        )
        self.script = script
        self.num_tokens_read = 0

    def compute_hidden(self, input_ids, *, document_ids=None, cache=None):
        start = 0 if cache is None else cache.length
        self.num_tokens_read += input_ids.numel()
        if cache is not None:
            cache.advance(input_ids.shape[1])
        positions = torch.arange(start, start + input_ids.shape[1]).expand(input_ids.shape)
        if cache is not None and cache.pad_lengths is not None:
            positions = positions - cache.pad_lengths[:, None]
        return positions[..., None].float()

    def compute_logits(self, hidden):
        wanted = [[self.script[int(p) % len(self.script)] for p in row] for row in hidden[..., 0]]
        return 10 * torch.nn.functional.one_hot(torch.tensor(wanted), self.config.vocab_size).float()


# Cached = uncached


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "sampling",
    [GREEDY, SamplingConfig(temperature=0.9, top_k=7, top_p=0.95, repetition_penalty=1.2)],
    ids=["greedy", "sampled"],
)
@pytest.mark.parametrize(
    ("max_seq_len", "on_full"), [(32, "stop"), (12, "stop"), (12, "slide"), (7, "slide")]
)
def test_cached_equals_uncached(style, sampling, max_seq_len, on_full):
    model = build_model(max_seq_len, **STYLES[style])
    asked = {
        "max_new_tokens": 20,
        "sampling": sampling,
        "seed": 3,
        "on_full": on_full,
        "stop_token_ids": [10],
    }
    fast = generate(model, PROMPTS, **asked)
    slow = generate_uncached(model, PROMPTS, **asked)
    for ours, reference in zip(fast, slow, strict=True):
        # The two best of these models are nowhere closer than 1e-4 on these texts, so all tokens are equal.
        assert ours.ids == reference.ids
        assert (ours.finish_reason, ours.num_slides) == (reference.finish_reason, reference.num_slides)
        assert_close(torch.tensor(ours.logprobs), torch.tensor(reference.logprobs), rtol=0, atol=1e-5)


def test_log_probability_is_that_of_one_pass_over_the_whole_text():
    model = build_model()
    [result] = generate(model, [[5, 3]], max_new_tokens=8, sampling=SamplingConfig(temperature=0.7), seed=1)
    ids = torch.tensor([[5, 3, *result.ids]])
    with torch.no_grad():
        log_probabilities = model(ids).logits[0, 1:-1].log_softmax(-1)
    expected = log_probabilities.gather(1, ids[0, 2:, None])[:, 0]
    assert_close(torch.tensor(result.logprobs), expected, rtol=0, atol=1e-5)
    assert result.logprob == pytest.approx(float(expected.sum()), abs=1e-5)


# Rows


def test_a_row_does_not_depend_on_the_rows_beside_it():
    model = build_model(max_seq_len=16)
    for on_full in ("stop", "slide"):
        asked = {"max_new_tokens": 25, "sampling": SamplingConfig(temperature=0.8), "on_full": on_full}
        together = generate(model, PROMPTS, seed=[11, 12, 13], **asked)
        alone = [
            generate(model, [p], seed=[s], **asked)[0] for p, s in zip(PROMPTS, [11, 12, 13], strict=True)
        ]
        reversed_order = generate(model, PROMPTS[::-1], seed=[13, 12, 11], **asked)[::-1]
        assert (
            [row.ids for row in together] == [row.ids for row in alone] == [row.ids for row in reversed_order]
        )


@pytest.mark.parametrize(("max_seq_len", "on_full"), [(32, "stop"), (9, "slide")])
def test_several_replies_to_one_prompt_are_those_of_each_alone(max_seq_len, on_full):
    model = build_model(max_seq_len)
    prompts, seeds = [PROMPTS[0], PROMPTS[1], PROMPTS[0], PROMPTS[0]], [4, 5, 6, 7]
    asked = {
        "max_new_tokens": 12,
        "sampling": SamplingConfig(temperature=0.9, repetition_penalty=1.2),
        "on_full": on_full,
    }
    together = generate(model, prompts, seed=seeds, **asked)
    alone = generate_uncached(model, prompts, seed=seeds, **asked)
    assert [row.ids for row in together] == [row.ids for row in alone]
    assert len({row.ids for row in together}) == 4


def test_a_prompt_that_comes_several_times_is_read_once():
    model = Scripted([1, 2, 9], vocab_size=10)
    generate(model, [[0], [0], [0]], max_new_tokens=50, sampling=GREEDY, stop_token_ids=[9])
    assert model.num_tokens_read == 1 + 2 * 3


def test_one_seed_gives_rows_of_their_own_and_the_same_text_again():
    model = build_model()
    first = generate(model, [[5]] * 4, max_new_tokens=20, seed=1)
    again = generate(model, [[5]] * 4, max_new_tokens=20, seed=1)
    assert [row.ids for row in first] == [row.ids for row in again]
    assert len({row.ids for row in first}) == 4


def test_a_larger_budget_goes_on_with_the_same_text():
    model = build_model(max_seq_len=600, vocab_size=5)
    short, long = (generate(model, [[1]], max_new_tokens=n, seed=4)[0].ids for n in (30, 290))
    assert long[:30] == short


def test_row_seeds_differ_between_rows_and_seeds():
    seeds = {seed: compute_row_seeds(seed, 50) for seed in range(50)}
    assert len({value for row_seeds in seeds.values() for value in row_seeds}) == 2500
    assert all(0 <= value < 2**63 for row_seeds in seeds.values() for value in row_seeds)


def test_rows_that_have_finished_cost_nothing_more():
    # Row 0 stands at position 2 when row 1 stands at 0: it meets the stop token 9 two steps earlier.
    model = Scripted([1, 2, 3, 4, 9], vocab_size=10)
    results = generate(model, [[0, 0, 0], [0]], max_new_tokens=50, sampling=GREEDY, stop_token_ids=[9])
    assert [row.ids for row in results] == [(3, 4, 9), (1, 2, 3, 4, 9)]
    # 2 rows of 3 columns, two steps of both, two of the row that is left
    assert model.num_tokens_read == 6 + 2 * 2 + 2


# Ways to end


def test_stop_token_is_in_the_ids_but_not_in_the_text():
    model, tokenizer = Scripted([0, 1, 2], vocab_size=3), Bytes(b"a", b"b", b"<end>")
    [result] = generate(
        model, [[0]], max_new_tokens=9, sampling=GREEDY, tokenizer=tokenizer, stop_token_ids={2}
    )
    assert (result.ids, result.text, result.finish_reason) == ((0, 1, 2), "ab", "stop_token")
    assert len(result.logprobs) == 3


def test_stop_string_across_tokens_is_cut_off():
    model, tokenizer = Scripted([0, 1, 2], vocab_size=3), Bytes(b"one ", b"E", b"ND two")
    [result] = generate(
        model, [[0]], max_new_tokens=9, sampling=GREEDY, tokenizer=tokenizer, stop_strings=["END"]
    )
    assert (result.ids, result.text, result.finish_reason) == ((0, 1, 2), "one ", "stop_string")


def test_the_budget_ends_a_row_and_gives_out_what_was_held_back():
    model, tokenizer = Scripted([0, 1], vocab_size=2), Bytes(b"a", "€".encode()[:2])
    [result] = generate(model, [[0]], max_new_tokens=2, sampling=GREEDY, tokenizer=tokenizer)
    assert (result.text, result.finish_reason) == ("a�", "max_new_tokens")


def test_a_full_context_ends_a_row_or_slides():
    model = build_model(max_seq_len=10)
    stopped, slid = (
        generate(model, [[1, 2, 3]], max_new_tokens=20, on_full=on_full)[0] for on_full in ("stop", "slide")
    )
    assert (len(stopped.ids), stopped.finish_reason, stopped.num_slides) == (7, "context_full", 0)
    # Full at 10 tokens, then again after each 5 more: at 7, 12 and 17 new tokens.
    assert (len(slid.ids), slid.finish_reason, slid.num_slides) == (20, "max_new_tokens", 3)
    assert slid.ids[:7] == stopped.ids


def test_sliding_reads_the_end_of_a_prompt_that_is_too_long():
    model = build_model(max_seq_len=8)
    long = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    [result] = generate(model, [long], max_new_tokens=3, sampling=GREEDY, on_full="slide")
    [end_alone] = generate(model, [long[-4:]], max_new_tokens=3, sampling=GREEDY)
    assert result.ids == end_alone.ids
    assert result.num_slides == 1


# Streaming


def test_pieces_put_together_are_the_text_and_are_whole_characters():
    euro = "€".encode()
    tokenizer = Bytes(b"x", euro[:1], euro[1:], b" ", b"E", b"ND")
    model = build_model(vocab_size=6, max_seq_len=300)
    asked = {"max_new_tokens": 60, "tokenizer": tokenizer, "stop_strings": ["ENDEND"], "seed": 2}
    shown = ["", "", ""]
    results = {}
    for piece in stream(model, [[0], [1, 2], [3]], **asked):
        shown[piece.row] += piece.text
        if piece.generation is not None:
            results[piece.row] = piece.generation
    assert shown == [results[row].text for row in range(3)]
    expected = generate(model, [[0], [1, 2], [3]], **asked)
    assert [results[row] for row in range(3)] == expected
    for result in expected:
        raw = b"".join(tokenizer.token_bytes(token) for token in result.ids).decode(errors="replace")
        assert raw.startswith(result.text)


def test_a_callback_hears_each_piece_as_it_comes():
    heard: list[tuple[int, str]] = []
    model, tokenizer = Scripted([0, 1], vocab_size=2), Bytes("é".encode()[:1], "é".encode()[1:] + b"!")
    generate(
        model,
        [[0]],
        max_new_tokens=4,
        sampling=GREEDY,
        tokenizer=tokenizer,
        on_text=lambda row, text: heard.append((row, text)),
    )
    assert heard == [(0, "é!"), (0, "é!")]


def test_between_two_pieces_the_caller_may_still_compute_gradients():
    model = build_model()
    pieces = stream(model, [[1]], max_new_tokens=3, tokenizer=Bytes(*[b"a"] * 11))
    next(pieces)
    weight = torch.ones(2, requires_grad=True)
    (weight * 3).sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [3, 3]


# The model afterwards


def test_the_model_trains_on_as_before():
    model = build_model(dropout=0.5)
    model.train()
    first, second = (generate(model, [[1]], max_new_tokens=8, sampling=GREEDY)[0].logprobs for _ in range(2))
    assert first == second  # dropout is off while it writes
    assert model.training
    loss = model(torch.tensor([[1, 2]]), labels=torch.tensor([[2, 3]])).loss
    loss.backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_global_random_numbers_are_left_alone():
    model = build_model()
    before = torch.get_rng_state()
    generate(model, [[1]], max_new_tokens=5)
    assert torch.equal(before, torch.get_rng_state())


# Errors


@pytest.mark.parametrize(
    ("prompts", "changes", "message"),
    [
        ([[1], []], {}, "Prompt 1 has no tokens"),
        ([[1, 11]], {}, "tokens from 1 to 11, the model knows 0 to 10"),
        ([[-1]], {}, "tokens from -1"),
        ([[1] * 32], {}, "32 tokens and leaves no room in a context of 32"),
        ([[1]], {"max_new_tokens": 0}, "max_new_tokens must be at least 1, got 0"),
        ([[1]], {"stop_strings": ["x"]}, "need a tokenizer"),
        ([[1], [2]], {"seed": [1]}, "got 1 seeds for 2 prompts"),
    ],
)
@pytest.mark.parametrize("function", [generate, generate_uncached, stream])
def test_a_request_that_cannot_work_says_why(function, prompts, changes, message):
    with pytest.raises(ConfigError, match=message):
        function(build_model(), prompts, **{"max_new_tokens": 4, **changes})


@pytest.mark.parametrize("sampling", [GREEDY, SamplingConfig(top_p=0.9)])
def test_scores_that_are_not_numbers_are_named(sampling):
    model = build_model()
    with torch.no_grad():
        model.head.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="NaN"):
        generate(model, [[1]], max_new_tokens=2, sampling=sampling)


def test_no_prompts_give_no_results():
    assert generate(build_model(), [], max_new_tokens=4) == []
