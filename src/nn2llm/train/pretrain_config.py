"""What a pretraining run is started with. Read before pretrain.py; presets.py holds named ones."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from nn2llm.core.config_io import config_from_dict
from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.files import read_json
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.optim.combined import OptimizerConfig
from nn2llm.optim.schedules import ScheduleConfig

__all__ = ["MineConfig", "PretrainConfig", "load_pretrain_config"]

MAX_SEED = 2**32 - 1
"""The largest that NumPy takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainConfig:
    """One pretraining run; saved beside it as config.json, with every `auto` resolved."""

    corpus: str = "microworld"
    """What to read: microworld, python-docs, shakespeare, a path or glob of .txt, .jsonl and .gz files, or a
    folder of `nn2llm data prepare`, whose tokenizer comes along."""
    tokenizer: str = "bpe"
    """char, bpe (both are trained on the corpus), or the path of a tokenizer or run."""
    vocab_size: int | None = None
    """Ids of a tokenizer to be trained. Default: 1024 for bpe, every character for char."""
    model: GPTConfig = field(default_factory=GPTConfig)
    """Shape of the model."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """What moves the weights."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """How the learning rate changes."""
    steps: int = 300
    """Optimizer steps."""
    batch_size: int = 16
    """Rows a step, over all micro-batches and processes."""
    micro_batch_size: int | None = None
    """Rows at once a process: smaller ones need less memory and give the same gradient. Default: all."""
    seq_len: int | None = None
    """Tokens a row. Default: the model's max_seq_len."""
    document_mask: bool = False
    """Let tokens see only their own document, and the <|endoftext|> before it."""
    max_grad_norm: float | None = None
    """Scale the gradient down to this norm where it is larger."""
    eval_every: int = 100
    """Steps between evaluations on the held-out text; there is always one at the end."""
    eval_tokens: int | None = None
    """Evaluate on this many tokens at most. Default: all of the held-out text."""
    sample_every: int = 100
    """Steps between samples; 0: none."""
    sample_tokens: int = 120
    """Length of a sample."""
    checkpoint_every: int = 500
    """Steps between checkpoints; there is always one at the end."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints stay; the best one stays as well."""
    early_stopping: int | None = None
    """Stop after this many evaluations without a better one. Default: never."""
    max_loss_rise: float = 3.0
    """Stop when the smoothed loss is this many nats above its lowest value."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    compile: bool = False
    """torch.compile the model: pays on a GPU; needs a C++ compiler on a CPU."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto measures whether bf16 is faster here, once, and keeps what it found."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    num_threads: int | None = None
    """CPU threads. Default: the cores this process may use."""
    seed: int = 1
    """Seed of the weights, the order of the text, dropout and samples."""
    init_from: str | None = None
    """Start from the weights and tokenizer of this run instead of random weights."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "eval_every", "checkpoint_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("micro_batch_size", "seq_len", "eval_tokens", "early_stopping", "num_threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}.")
        for name in ("sample_every", "sample_tokens"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, got {getattr(self, name)}.")
        if not 0 <= self.seed <= MAX_SEED:
            raise ConfigError(f"seed must be between 0 and {MAX_SEED}, got {self.seed}.")
        if self.schedule.warmup_steps > self.steps:
            raise ConfigError(
                f"schedule.warmup_steps must be at most steps, got {self.schedule.warmup_steps} "
                f"and {self.steps}. Set --schedule.warmup-steps 0."
            )
        if self.seq_len is not None and self.seq_len > self.model.max_seq_len:
            raise ConfigError(
                f"seq_len {self.seq_len} is longer than the model's max_seq_len {self.model.max_seq_len}. "
                f"Set --model.max-seq-len {self.seq_len}."
            )
        if self.micro_batch_size is not None and self.batch_size % self.micro_batch_size:
            raise ConfigError(
                f"micro_batch_size must divide batch_size, got {self.micro_batch_size} and {self.batch_size}."
            )
        if self.max_grad_norm is not None and self.max_grad_norm <= 0:
            raise ConfigError(f"max_grad_norm must be positive, got {self.max_grad_norm}.")
        if self.max_loss_rise <= 0:
            raise ConfigError(f"max_loss_rise must be positive, got {self.max_loss_rise}.")

    @property
    def num_tokens_in_row(self) -> int:
        """T, with the default filled in."""
        return self.model.max_seq_len if self.seq_len is None else self.seq_len


@dataclass(frozen=True, kw_only=True, slots=True)
class MineConfig(PretrainConfig):
    """A run in which parts are the learner's own (train/mine.py).

    A class of its own, so that what other runs are found again by (their config) stays as it is.
    """

    mine: dict = field(default_factory=dict)
    """SHA-256 of each part's code, by the part's name; the code is in the run's folder mine/."""

    def without_mine(self) -> PretrainConfig:
        """The settings alone: what flags change."""
        return PretrainConfig(**{one.name: getattr(self, one.name) for one in fields(PretrainConfig)})


def load_pretrain_config(path: Path) -> PretrainConfig:
    """Read config.json of a pretraining run; a `MineConfig` where parts of it are the learner's own.

    Raises:
        ConfigError: if the file is missing, is not JSON, or does not fit.
    """
    try:
        values = read_json(path)
    except DataError as error:
        raise ConfigError(str(error)) from error
    is_mine = isinstance(values, dict) and "mine" in values
    return config_from_dict(MineConfig if is_mine else PretrainConfig, values, where=str(path))
