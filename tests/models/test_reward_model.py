"""The reward model: scores that know nothing of padding, batch or what comes later."""

import pytest
import torch
from torch.testing import assert_close

from nn2llm.core.errors import ConfigError
from nn2llm.models.gpt import GPT, Block
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.models.reward_model import RewardModel
from nn2llm.nn.trees import TokenTree

SHAPES = {
    "gpt2": {"position": "learned", "tie_embeddings": True},
    "llama": {"position": "rope", "norm": "rmsnorm", "feed_forward": "swiglu", "tie_embeddings": False},
    "window": {"position": "rope", "window": 4},
    "checking": {"position": "rope", "bias": True, "logit_softcap": 5.0},
}


def build(shape="gpt2", *, seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    config = GPTConfig(
        vocab_size=20, n_layer=2, n_head=2, n_embd=16, max_seq_len=24, init="gpt2", **SHAPES[shape]
    )
    model = RewardModel.from_gpt(GPT(config), num_checking_layers=2 if shape == "checking" else 0)
    torch.nn.init.normal_(model.score.weight)
    return model.to(dtype).eval()


def test_begins_at_zero_with_the_weights_of_the_gpt():
    torch.manual_seed(0)
    gpt = GPT(GPTConfig(vocab_size=20, n_layer=2, n_head=2, n_embd=16, max_seq_len=24, tie_embeddings=False))
    model = RewardModel.from_gpt(gpt)
    ids = torch.randint(20, (3, 10))
    assert_close(model.compute_values(ids), torch.zeros(3, 10), rtol=0, atol=0)
    assert_close(model.gpt.compute_hidden(ids), gpt.compute_hidden(ids), rtol=0, atol=0)
    assert model.config == gpt.config
    assert "head.weight" not in dict(model.gpt.named_parameters())  # nothing that would never move
    with torch.no_grad():
        model.gpt.token_embedding.weight.add_(1)  # a copy, not the same tensors
    assert not torch.equal(model.gpt.token_embedding.weight, gpt.token_embedding.weight)


def test_checking_layers_begin_with_what_the_frozen_gpt_sees_and_expected_the_token_and_its_surprise():
    model = build("checking")
    assert model.checking is not None
    ids = torch.randint(20, (3, 10))
    hidden = model.gpt.compute_hidden(ids)
    logprobs = model.gpt.compute_logits(hidden).log_softmax(dim=-1)
    surprise = torch.zeros(3, 10)
    for row in range(3):
        for t in range(1, 10):
            surprise[row, t] = -logprobs[row, t - 1, ids[row, t]]
    stream = hidden
    expected = torch.cat([torch.zeros(3, 1, 16), hidden[:, :-1]], dim=1)
    for turn, seen in (
        (model.checking.token.weight, model.gpt.token_embedding.weight[ids]),
        (model.checking.expected.weight, expected),
    ):
        assert_close(turn @ turn.T, torch.eye(len(turn)))
        mean_square = seen.square().mean(-1, keepdim=True) + torch.finfo(torch.float32).eps
        stream = stream + seen / mean_square.sqrt() @ turn.T
    stream = stream - surprise[..., None] / 4 * model.checking.surprise.weight[:, 0]
    expected = (model.checking.norm(stream) * model.score.weight).sum(-1)
    assert_close(model.compute_values(ids), expected)


def test_checking_layers_learn_and_the_gpt_below_stays_as_it_is():
    model = build("checking")
    ids = torch.randint(20, (3, 10))
    model.compute_scores(ids, torch.tensor([9, 4, 9])).square().sum().backward()
    moved = dict(model.named_trainable())
    assert moved.keys() == {name for name, _ in model.named_parameters() if not name.startswith("gpt.")}
    assert all(weight.grad is None for weight in model.gpt.parameters())
    assert model.checking is not None
    assert all(block.feed_forward.down.weight.grad.abs().max() > 0 for block in model.checking.blocks)
    assert model.checking.surprise.weight.grad.abs().max() > 0
    assert model.checking.token.weight.grad.abs().max() > 0
    assert set(model.fused_rows()) <= set(moved)


def test_checking_layers_that_cannot_be():
    def make(**changes):
        config = GPTConfig(vocab_size=20, n_layer=1, n_head=2, n_embd=16, max_seq_len=24, **changes)
        return lambda count: RewardModel.from_gpt(GPT(config), num_checking_layers=count)

    with pytest.raises(ConfigError, match="num_checking_layers must be at least 0, got -1"):
        make()(-1)
    for changes in ({"norm_position": "post"}, {"window": 4}):
        with pytest.raises(
            ConfigError, match="num_checking_layers is 1, but they need a GPT with norm_position"
        ):
            make(**changes)(1)
        make(**changes)(0)


def test_a_score_is_the_value_at_the_last_token_and_by_hand():
    model = build()
    ids, last = torch.randint(20, (4, 12)), torch.tensor([11, 0, 5, 7])
    values = model.compute_values(ids)
    assert values.shape == (4, 12)
    assert_close(model.compute_scores(ids, last), values[torch.arange(4), last])
    model.offset.fill_(0.5)
    expected = (model.gpt.compute_hidden(ids) * model.score.weight).sum(-1) + 0.5
    assert_close(model.compute_values(ids), expected)


@pytest.mark.parametrize("norm_position", ["pre", "post"])
def test_a_block_computes_some_positions_of_each_row_as_it_does_all(norm_position):
    torch.manual_seed(3)
    config = GPTConfig(vocab_size=20, n_layer=1, n_head=2, n_embd=16, norm_position=norm_position)
    block, rope = Block(config).double(), GPT(config).double().compute_rope(torch.arange(9))
    x, only = torch.randn(3, 9, 16, dtype=torch.float64), torch.tensor([[8, 1], [0, 0], [4, 7]])
    whole = block(x, rope, None, None, 0)[torch.arange(3)[:, None], only]
    assert_close(block(x, rope, None, None, 0, only), whole)


def test_scores_and_gradients_of_checking_layers_are_those_of_values_at_the_last_token():
    ids, last = torch.randint(20, (4, 12)), torch.tensor([11, 0, 5, 7])
    found = []
    for read in (
        lambda model: model.compute_scores(ids, last),
        lambda model: model.compute_values(ids)[torch.arange(4), last],
    ):
        torch.manual_seed(5)
        model = build("checking", dtype=torch.float64)
        for block in model.checking.blocks:  # they begin as the identity: here they do something
            torch.nn.init.normal_(block.attention.proj.weight, std=0.3)
            torch.nn.init.normal_(block.feed_forward.down.weight, std=0.3)
        scores = read(model)
        scores.square().sum().backward()
        found.append([scores.detach(), *(weight.grad for _, weight in model.named_trainable())])
    for ours, expected in zip(*found, strict=True):
        assert_close(ours, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_scores_behind_one_prompt_and_their_gradients_are_those_of_rows_apart(shape):
    conversations = [([1, 2, 3], [[4, 5], [6, 7, 8], [9]]), ([10], [[11, 12, 13, 14], [4]])]
    tree = TokenTree(
        torch.tensor([[0, 1, 2, 3, 4, 3, 4, 5, 3], [0, 1, 2, 3, 4, 1, 0, 0, 0]]),
        torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2, 3], [0, 1, 1, 1, 1, 2, -1, -1, -1]]),
    )
    input_ids = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8, 9], [10, 11, 12, 13, 14, 4, 0, 0, 0]])
    ends, places = torch.tensor([[4, 7, 8], [4, 5, 0]]), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    weights = torch.arange(1.0, 6.0, dtype=torch.float64)
    rows = [[*prompt, *reply] for prompt, replies in conversations for reply in replies]
    last = torch.tensor([len(row) - 1 for row in rows])
    padded = torch.tensor([row + [0] * (6 - len(row)) for row in rows])
    found = []
    for read in (
        lambda model: torch.stack([model.compute_tree_scores(input_ids, tree, ends)[at] for at in places]),
        lambda model: model.compute_scores(padded, last),
    ):
        model = build(shape, dtype=torch.float64)
        for module in model.checking.blocks if model.checking else []:  # they begin as the identity
            torch.nn.init.normal_(module.attention.proj.weight, std=0.3)
            torch.nn.init.normal_(module.feed_forward.down.weight, std=0.3)
        scores = read(model)
        (scores * weights).sum().backward()
        found.append([scores.detach(), *(weight.grad for _, weight in model.named_trainable())])
        torch.manual_seed(0)
    for ours, expected in zip(*found, strict=True):
        assert_close(ours, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_score_does_not_depend_on_padding_or_the_rows_beside_it(shape):
    model = build(shape)
    rows = [torch.randint(20, (length,)) for length in (5, 17, 9, 24, 1)]
    padded = torch.randint(20, (5, 24))  # what stands in the padding does not matter
    for number, row in enumerate(rows):
        padded[number, : len(row)] = row
    together = model.compute_scores(padded, torch.tensor([len(row) - 1 for row in rows]))
    alone = [model.compute_scores(row[None], torch.tensor([len(row) - 1])) for row in rows]
    assert_close(together, torch.cat(alone), rtol=1e-6, atol=1e-5)


def test_scores_stay_float32_under_autocast():
    model = build()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.compute_scores(torch.randint(20, (2, 6)), torch.tensor([5, 3])).dtype == torch.float32


def test_a_row_longer_than_the_context_is_refused():
    with pytest.raises(ValueError, match="25 tokens do not fit: max_seq_len is 24"):
        build().compute_values(torch.zeros(1, 25, dtype=torch.long))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_state_is_whole(shape):
    model = build(shape)
    model.offset.fill_(0.25)
    other = RewardModel(model.config, num_checking_layers=model.num_checking_layers)
    other.load_state_dict(model.state_dict(), strict=True)
    ids = torch.randint(20, (2, 6))
    assert_close(other.eval().compute_values(ids), model.compute_values(ids), rtol=0, atol=0)
