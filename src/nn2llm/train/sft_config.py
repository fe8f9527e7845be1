"""What supervised fine-tuning is started with. Read before sft.py."""

import math
from dataclasses import dataclass, field

from nn2llm.core.errors import ConfigError
from nn2llm.optim.combined import OptimizerConfig
from nn2llm.optim.schedules import ScheduleConfig
from nn2llm.train.pretrain_config import MAX_SEED
from nn2llm.train.session import MachineConfig

__all__ = ["SFT_OPTIMIZER", "SFTConfig"]

SFT_OPTIMIZER = OptimizerConfig(
    muon_lr=0.0225, muon_momentum=0.9, adamw_lr=0.005, embedding_lr=0.02, head_lr=0.002, weight_decay=0.0
)
"""Half of the micro-world's pretraining rates (train/presets.py), and less for the embedding. Of 31 trials
with 0.6M weights and 4,000 conversations this came to 0.55 nats a held-out reply token, the best to 0.52. A
tenth of those rates did not learn the form (1.75 nats), and a head_lr of 0.008 forgot facts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SFTConfig:
    """One fine-tuning run; saved beside it as config.json, with steps and machine resolved."""

    init_from: str = ""
    """Run whose model learns to answer; its tokenizer comes along."""
    data: str | None = None
    """Conversations: a .json or .jsonl file (or .gz) of messages, ShareGPT, Alpaca or Dolly."""
    val_data: str | None = None
    """Conversations to evaluate on. Default: val_fraction of the data."""
    val_fraction: float = 0.05
    """Part of the data that is held out where there is no val_data; 0: none."""
    replay: str | None = None
    """Text to go on reading beside the conversations, named as for pretraining, so that what it taught is not
    forgotten."""
    replay_fraction: float = 0.2
    """Documents of that text for each conversation."""
    skip_unusable: bool = False
    """Count and leave out what is no conversation (an empty reply, an unknown role) instead of stopping."""
    add_chat_tokens: bool = True
    """Give the tokenizer the special tokens of the chat template, where it lacks them; off: conversations are
    written as plain text."""
    epochs: float = 3.0
    """Times through the data, where no steps are given."""
    steps: int | None = None
    """Optimizer steps. Default: what epochs need."""
    batch_size: int = 16
    """Rows a step."""
    micro_batch_size: int | None = None
    """Rows at once: fewer need less memory and give the same gradient. Default: all."""
    seq_len: int | None = None
    """Tokens a row. Default: the model's max_seq_len."""
    packing: bool = True
    """Several conversations may share a row. Models with learned or sinusoidal positions never pack."""
    optimizer: OptimizerConfig = field(default_factory=lambda: SFT_OPTIMIZER)
    """What moves the weights. The rates are for small models; an imported one of 100 million weights or more
    wants --optimizer.no-use-muon, and 2e-5 for adamw-lr, embedding-lr and head-lr."""
    schedule: ScheduleConfig = field(
        default_factory=lambda: ScheduleConfig(kind="cooldown", cooldown_fraction=0.6)
    )
    """How the learning rate changes."""
    max_grad_norm: float | None = 1.0
    """Scale the gradient down to this norm where it is larger."""
    eval_every: int = 100
    """Steps between evaluations on what is held out; there is always one at the end."""
    num_samples: int = 2
    """Held-out prompts that are answered at each evaluation, into samples.jsonl."""
    sample_tokens: int = 64
    """Longest reply among the samples."""
    checkpoint_every: int = 200
    """Steps between checkpoints; there is always one at the end."""
    keep_checkpoints: int = 1
    """How many of the newest checkpoints stay."""
    seed: int = 1
    """Seed of the order of the rows, and of dropout."""
    machine: MachineConfig = field(default_factory=MachineConfig)
    """Where it computes."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "eval_every", "sample_tokens", "checkpoint_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("steps", "micro_batch_size", "seq_len"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}.")
        if self.num_samples < 0:
            raise ConfigError(f"num_samples must be at least 0, got {self.num_samples}.")
        if not self.epochs > 0:
            raise ConfigError(f"epochs must be positive, got {self.epochs}. Typical: 1 to 5.")
        if not 0 <= self.val_fraction < 1:
            raise ConfigError(f"val_fraction must be in [0, 1), got {self.val_fraction}. Typical: 0.05.")
        if not (math.isfinite(self.replay_fraction) and self.replay_fraction > 0):
            raise ConfigError(
                f"replay_fraction must be positive, got {self.replay_fraction}. Typical: 0.1 to 0.3; "
                "leave out replay for none."
            )
        if self.max_grad_norm is not None and self.max_grad_norm <= 0:
            raise ConfigError(f"max_grad_norm must be positive, got {self.max_grad_norm}.")
        if not 0 <= self.seed <= MAX_SEED:
            raise ConfigError(f"seed must be between 0 and {MAX_SEED}, got {self.seed}.")
        if self.steps is not None and self.schedule.warmup_steps > self.steps:
            raise ConfigError(
                f"schedule.warmup_steps must be at most steps, got {self.schedule.warmup_steps} "
                f"and {self.steps}. Set --schedule.warmup-steps 0."
            )
