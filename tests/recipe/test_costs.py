from nn2llm.models.accounting import compute_flops_per_token
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.models.reward_model import RewardModel
from nn2llm.recipe.costs import Ledger


def count(**changes: int) -> float:
    """Forward and backward of a token."""
    sizes = {"vocab_size": 40, "n_layer": 2} | changes
    return compute_flops_per_token(GPTConfig(n_head=2, n_embd=16, max_seq_len=32, **sizes), 32)


def test_a_frozen_gpt_below_checking_layers_costs_one_pass_of_three() -> None:
    config = GPTConfig(vocab_size=40, n_layer=2, n_head=2, n_embd=16, max_seq_len=32)
    plain, checking = (RewardModel(config, num_checking_layers=number) for number in (0, 3))
    ledger = Ledger()
    ledger.train_reward(plain, 5)
    assert (ledger.tokens, ledger.flops) == (5, 5 * count(vocab_size=1))
    ledger = Ledger()
    ledger.train_reward(checking, 5)
    assert (ledger.tokens, ledger.forward_tokens) == (5, 0)
    assert ledger.flops == 5 * (count() / 3 + count(vocab_size=1, n_layer=3))
    ledger = Ledger()
    ledger.score(checking, 5)
    assert (ledger.tokens, ledger.forward_tokens) == (0, 5)
    assert ledger.flops == 5 * (count() + count(vocab_size=1, n_layer=3)) / 3
