"""Tiny runs for PPO: a language model that has learnt nothing, and reward models made by hand."""

from pathlib import Path

import torch
from torch import Tensor

from nn2llm.core.config_io import save_config
from nn2llm.core.run_folder import RunFolder
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.models.reward_model import RewardModel
from nn2llm.optim.combined import OptimizerConfig
from nn2llm.tokenizers.base import Tokenizer
from nn2llm.tokenizers.characters import CharTokenizer
from nn2llm.tokenizers.chat import CHAT_TOKENS, ChatFormat, Message
from nn2llm.train.checkpoint import save_checkpoint
from nn2llm.train.ppo_config import PPOConfig
from nn2llm.train.pretrain_config import PretrainConfig
from nn2llm.train.session import MachineConfig

TOKENIZER = CharTokenizer("abcdefg ", ["<|endoftext|>", *CHAT_TOKENS])
CHAT = ChatFormat(TOKENIZER)
SHAPE = GPTConfig(
    vocab_size=TOKENIZER.vocab_size, n_layer=1, n_head=2, n_embd=16, max_seq_len=32, init="gpt2"
)
PROMPTS: list[tuple[Message, ...]] = [
    ({"role": "user", "content": text},) for text in ("a", "bad", "cab", "dead beef", "face", "gag", "fed")
]
"""Seven, of different lengths."""


def build_gpt(seed: int = 0, config: GPTConfig = SHAPE) -> GPT:
    """Weights large enough that tokens differ in probability."""
    torch.manual_seed(seed)
    model = GPT(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(5)
    return model


def build_reward_model(seed: int = 1, config: GPTConfig = SHAPE) -> RewardModel:
    """Scores at random, but not all the same."""
    model = RewardModel.from_gpt(build_gpt(seed, config)).eval()
    with torch.no_grad():
        model.score.weight.normal_()
    return model


class CountingRewardModel(RewardModel):
    """Scores a reply by how many of the letter "a" it has (each prompt has fewer)."""

    def compute_scores(self, input_ids: Tensor, last: Tensor) -> Tensor:
        return (input_ids == TOKENIZER.encode("a")[0]).sum(dim=1).float()


def save_run(
    path: Path, model: GPT | RewardModel, *, tokenizer: Tokenizer = TOKENIZER, config: GPTConfig = SHAPE
) -> Path:
    """A run folder with one checkpoint."""
    run = RunFolder(path)
    tokenizer.save(run.tokenizer_path)
    save_checkpoint(
        run,
        step=1,
        model_config=config,
        weights=model.state_dict(),
        training_state={},
        best_step=1,
        keep=1,
        kind="reward" if isinstance(model, RewardModel) else "gpt",
    )
    run.metrics_path.write_text("")
    save_config(PretrainConfig(), run.config_path)
    return path


def build_config(folder: Path, **changes: object) -> PPOConfig:
    """PPO from the runs `sft` and `reward` in `folder`: 4 iterations of 8 replies."""
    adamw = OptimizerConfig(use_muon=False, adamw_lr=1e-2, weight_decay=0.0)
    settings = {
        "init_from": str(folder / "sft"),
        "reward_model": str(folder / "reward"),
        "steps": 4,
        "batch_size": 8,
        "minibatch_size": 4,
        "max_new_tokens": 6,
        "optimizer": adamw,
        "value_optimizer": adamw,
        "machine": MachineConfig(device="cpu", precision="fp32", num_threads=1),
    }
    return PPOConfig(**(settings | changes))  # type: ignore[arg-type]
