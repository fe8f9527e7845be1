"""The peers: transformers' models with our weights, and nanoGPT's from a checkout; nothing is copied."""

import contextlib
import importlib.util
import io
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from nn2llm.core.errors import ConfigError
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Sizes of a model, and of the batch it reads."""

    vocab_size: int
    context: int
    batch_size: int
    n_layer: int
    n_head: int
    n_embd: int

    def to_config(self, style: str) -> GPTConfig:
        """Our config of this shape: `gpt2` or `qwen3`.

        Raises:
            ValueError: for another style.
        """
        base = GPTConfig(
            vocab_size=self.vocab_size,
            max_seq_len=self.context,
            n_layer=self.n_layer,
            n_head=self.n_head,
            n_embd=self.n_embd,
            init="gpt2",
        )
        if style == "gpt2":
            return replace(
                base,
                norm="layernorm",
                position="learned",
                feed_forward="gelu_tanh",
                qk_norm=False,
                bias=True,
                tie_embeddings=True,
            )
        if style == "qwen3":
            return base
        raise ValueError(f"style must be gpt2 or qwen3, got {style!r}.")

    def build(self, style: str, *, seed: int = 0) -> GPT:
        """A model of ours with random weights."""
        torch.manual_seed(seed)
        return GPT(self.to_config(style))


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How nanoGPT trains; by default as its README does without a GPU: tiny Shakespeare, by characters."""

    context: int = 64
    batch_size: int = 12
    n_layer: int = 4
    n_head: int = 4
    n_embd: int = 128
    steps: int = 2000
    learning_rate: float = 1e-3
    min_lr: float = 1e-4
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.1
    grad_clip: float = 1.0

    def to_shape(self, vocab_size: int) -> Shape:
        """The sizes, with a vocabulary."""
        return Shape(
            vocab_size=vocab_size,
            context=self.context,
            batch_size=self.batch_size,
            n_layer=self.n_layer,
            n_head=self.n_head,
            n_embd=self.n_embd,
        )


NANOGPT = Recipe()


def build_twin(model: GPT) -> nn.Module:
    """transformers' model of the same architecture, with the same weights."""
    import transformers

    from nn2llm.models.hf.architectures import build_hf_config, choose_architecture
    from nn2llm.models.hf.weights import to_hf_weights

    architecture = choose_architecture(model.config)
    twin_class = getattr(transformers, architecture)
    twin = twin_class(twin_class.config_class.from_dict(build_hf_config(model.config, architecture)))
    missing, unexpected = twin.load_state_dict(
        to_hf_weights(model.state_dict(), model.config, architecture), strict=False
    )
    tied = ["lm_head.weight"] if model.config.tie_embeddings else []
    assert not unexpected
    assert set(missing) <= set(tied), missing
    twin.tie_weights()
    return twin


def build_gpt2(vocab_size: int) -> nn.Module:
    """transformers' GPT2LMHeadModel in nanoGPT's CPU setting, initialised as it does itself."""
    import transformers

    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=vocab_size,
            n_positions=NANOGPT.context,
            n_layer=NANOGPT.n_layer,
            n_head=NANOGPT.n_head,
            n_embd=NANOGPT.n_embd,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
            use_cache=False,  # in training it would only cost
        )
    )


def import_nanogpt(folder: Path) -> ModuleType:
    """The module `model` of a checkout of nanoGPT.

    Raises:
        ConfigError: if there is none, or it is not nanoGPT's.
    """
    path = folder / "model.py"
    if not path.is_file():
        raise ConfigError(
            f"--nanogpt {folder} has no model.py. Name a checkout of https://github.com/karpathy/nanoGPT."
        )
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks itself up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConfigError(f"{path} cannot be imported ({type(error).__name__}: {error}).") from error
    for name in ("GPT", "GPTConfig"):
        if not hasattr(module, name):
            raise ConfigError(f"{path} has no {name}: it is not nanoGPT's model.py.")
    return module


def build_nanogpt(folder: Path, shape: Shape, *, bias: bool) -> nn.Module:
    """nanoGPT's GPT of this shape, initialised as it does itself."""
    module = import_nanogpt(folder)
    with contextlib.redirect_stdout(io.StringIO()):  # it reports its size
        return module.GPT(
            module.GPTConfig(
                block_size=shape.context, vocab_size=shape.vocab_size, n_layer=shape.n_layer,
                n_head=shape.n_head, n_embd=shape.n_embd, dropout=0.0, bias=bias,
            )
        )  # fmt: skip


def build_nanogpt_optimizer(model: nn.Module, *, learning_rate: float) -> torch.optim.Optimizer:
    """nanoGPT's own choice for a CPU."""
    with contextlib.redirect_stdout(io.StringIO()):
        return model.configure_optimizers(NANOGPT.weight_decay, learning_rate, NANOGPT.betas, "cpu")


def build_adamw(model: nn.Module, *, learning_rate: float) -> torch.optim.Optimizer:
    """torch's fused AdamW, the fastest there is, with decay for what has two dimensions or more."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": NANOGPT.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=NANOGPT.betas, fused=True)


def compute_nanogpt_lr(step: int) -> float:
    """The learning rate of step 0, 1, …: linear warm-up, then half a cosine down to `min_lr`."""
    if step < NANOGPT.warmup_steps:
        return NANOGPT.learning_rate * (step + 1) / (NANOGPT.warmup_steps + 1)
    done = min(1.0, (step - NANOGPT.warmup_steps) / (NANOGPT.steps - NANOGPT.warmup_steps))
    fall = 0.5 * (1 + math.cos(math.pi * done))
    return NANOGPT.min_lr + fall * (NANOGPT.learning_rate - NANOGPT.min_lr)


def draw_batch(
    tokens: Tensor, *, batch_size: int, context: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rows from random offsets, and the token that follows each: how nanoGPT reads its text.

    `tokens` is int64 [N]; both results are [batch_size, context].
    """
    starts = torch.randint(len(tokens) - context, (batch_size,), generator=generator)
    rows = tokens[starts[:, None] + torch.arange(context + 1)]
    return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
