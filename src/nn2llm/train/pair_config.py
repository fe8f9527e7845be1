"""The settings that all stages share which learn from preferences. Read before reward.py and dpo.py."""

from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import arg

from nn2llm.core.errors import ConfigError
from nn2llm.optim.combined import OptimizerConfig
from nn2llm.optim.schedules import ScheduleConfig
from nn2llm.train.pretrain_config import MAX_SEED
from nn2llm.train.session import MachineConfig

__all__ = ["PairConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PairConfig:
    """What RewardConfig and DPOConfig begin with."""

    init_from: str = ""
    """Run whose weights it starts from, usually of `nn2llm sft`; its tokenizer comes along."""
    data: Annotated[str | None, arg(name="preferences", metavar="FILE")] = None
    """Preferences: labels of `nn2llm label`, or a .json or .jsonl file (or .gz) in TRL's, HH-RLHF's,
    UltraFeedback's, AlpacaEval's or another known layout."""
    val_data: Annotated[str | None, arg(name="val-preferences", metavar="FILE")] = None
    """Preferences to evaluate on. Default: those of val_fraction of the prompts."""
    val_fraction: float = 0.05
    """Part of the prompts that is held out where there are no val_preferences; 0: none."""
    skip_unusable: bool = False
    """Count and leave out what is no pair (equal replies, an unknown role) instead of stopping."""
    epochs: float = 1.0
    """Times through the pairs, where no steps are given. More than one overfits easily."""
    steps: int | None = None
    """Optimizer steps. Default: what epochs need."""
    batch_size: int = 32
    """Pairs a step, about: those of one prompt stay together."""
    micro_batch_size: int | None = 16
    """Pairs at once, about: fewer need less memory and give the same gradient; and since pairs of about one
    length go together, less is padded (a quarter less time a step on a CPU). None: all."""
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(use_muon=False, adamw_lr=2e-3, weight_decay=0.0)
    )
    """What moves the weights. The default is for models of about a million weights; those of a billion learn
    with a hundredth of it."""
    schedule: ScheduleConfig = field(default_factory=lambda: ScheduleConfig(kind="linear"))
    """How the learning rate changes."""
    max_grad_norm: float | None = 1.0
    """Scale the gradient down to this norm where it is larger."""
    eval_every: int = 100
    """Steps between evaluations on what is held out; there is always one at the end."""
    num_samples: int = 3
    """Held-out prompts that go into samples.jsonl."""
    checkpoint_every: int = 200
    """Steps between checkpoints; there is always one at the end."""
    keep_checkpoints: int = 1
    """How many of the newest checkpoints stay."""
    seed: int = 1
    """Seed of the order of the pairs."""
    machine: MachineConfig = field(default_factory=MachineConfig)
    """Where it computes."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "eval_every", "checkpoint_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("steps", "micro_batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}.")
        if self.num_samples < 0:
            raise ConfigError(f"num_samples must be at least 0, got {self.num_samples}.")
        if not self.epochs > 0:
            raise ConfigError(f"epochs must be positive, got {self.epochs}. Typical: 1 to 3.")
        if not 0 <= self.val_fraction < 1:
            raise ConfigError(f"val_fraction must be in [0, 1), got {self.val_fraction}. Typical: 0.05.")
        if self.max_grad_norm is not None and self.max_grad_norm <= 0:
            raise ConfigError(f"max_grad_norm must be positive, got {self.max_grad_norm}.")
        if not 0 <= self.seed <= MAX_SEED:
            raise ConfigError(f"seed must be between 0 and {MAX_SEED}, got {self.seed}.")
        if self.steps is not None and self.schedule.warmup_steps > self.steps:
            raise ConfigError(
                f"schedule.warmup_steps must be at most steps, got {self.schedule.warmup_steps} "
                f"and {self.steps}. Set --schedule.warmup-steps 0."
            )
