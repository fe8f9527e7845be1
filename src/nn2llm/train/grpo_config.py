"""What a GRPO run is started with. Read before grpo.py."""

import math
from dataclasses import dataclass, field

from nn2llm.core.errors import ConfigError
from nn2llm.losses.grpo import Averaging
from nn2llm.optim.combined import OptimizerConfig
from nn2llm.optim.schedules import ScheduleConfig
from nn2llm.train.pretrain_config import MAX_SEED
from nn2llm.train.session import MachineConfig

__all__ = ["GRPOConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GRPOConfig:
    """One GRPO run; saved beside it as config.json, with every `auto` resolved."""

    init_from: str = ""
    """Run of the model to improve, usually of `nn2llm sft`; frozen, it is also the reference."""
    reward_model: str | None = None
    """Run of the reward model. Not needed where a program gives the rewards."""
    prompts: str | None = None
    """File of {"prompt": text or messages} lines, or of conversations or preferences: their prompts."""
    steps: int = 200
    """Iterations: one batch of replies each, and the updates made with it."""
    num_prompts: int = 16
    """Prompts an iteration."""
    group_size: int = 8
    """Replies to each of them, which are compared with each other."""
    minibatch_size: int = 32
    """Replies an optimizer step; divides num_prompts times group_size."""
    num_epochs: int = 2
    """Times through the replies of an iteration."""
    max_new_tokens: int = 48
    """Tokens a reply at most, its end token included."""
    missing_end_penalty: float = 2.0
    """Taken off the score of a reply that was cut before it ended; too little, and never ending may pay."""
    normalise_scores: bool = True
    """Scale scores so that the reference's replies have mean 0 and deviation 1 (by the first iteration's)."""
    scale_advantages: bool = True
    """Divide advantages by the deviation of their group; off, as in Dr. GRPO."""
    averaging: Averaging = "reply"
    """Over what the loss is averaged: reply (GRPO), token (DAPO), constant (Dr. GRPO)."""
    kl_coef: float = 0.3
    """Weight of the KL from the reference in the loss; 0: none. DeepSeekMath took 0.04; a small reward model
    is over-optimised with so little (measured: the gold score rose to 0.87 and fell to 0.75)."""
    clip_range: float = 0.2
    """How far a token's probability may move, as a ratio, before its gradient is cut."""
    clip_range_high: float | None = None
    """The same upwards, where that is to be more. Typical: 0.28."""
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(use_muon=False, adamw_lr=3e-4, weight_decay=0.0, eps=1e-5)
    )
    """What moves the policy."""
    schedule: ScheduleConfig = field(default_factory=lambda: ScheduleConfig(kind="linear", floor=0.1))
    """How the learning rate changes, from iteration to iteration."""
    max_grad_norm: float | None = 1.0
    """Scale the gradient down to this norm where it is larger."""
    sample_every: int = 10
    """Iterations between samples; 0: none."""
    num_samples: int = 3
    """Replies logged each time."""
    checkpoint_every: int = 50
    """Iterations between checkpoints; there is always one at the end."""
    keep_checkpoints: int = 1
    """How many of the newest checkpoints stay."""
    seed: int = 1
    """Seed of the prompts' order, the replies and the minibatches."""
    machine: MachineConfig = field(default_factory=MachineConfig)
    """Where and how precisely to compute."""

    @property
    def batch_size(self) -> int:
        """Replies an iteration."""
        return self.num_prompts * self.group_size

    def __post_init__(self) -> None:
        counts = ("steps", "num_prompts", "minibatch_size", "num_epochs", "max_new_tokens", "num_samples")
        for name in (*counts, "checkpoint_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.group_size < 2:
            raise ConfigError(
                f"group_size must be at least 2, got {self.group_size}: a reply is compared with the others "
                "to its prompt. Typical: 4 to 16."
            )
        if self.sample_every < 0:
            raise ConfigError(f"sample_every must be at least 0, got {self.sample_every}.")
        for name in ("kl_coef", "missing_end_penalty"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} must be a number >= 0, got {value}.")
        for name in ("clip_range_high", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be > 0, got {value}. Leave it out to do without.")
        if not 0 < self.clip_range < 1:
            raise ConfigError(f"clip_range must be in (0, 1), got {self.clip_range}. Typical: 0.2.")
        if self.averaging not in ("reply", "token", "constant"):
            raise ConfigError(f"unknown averaging {self.averaging!r}. Choose from: reply, token, constant.")
        if self.batch_size % self.minibatch_size:
            raise ConfigError(
                f"minibatch_size must divide num_prompts * group_size, got {self.minibatch_size} and "
                f"{self.num_prompts} * {self.group_size}."
            )
        if not 0 <= self.seed <= MAX_SEED:
            raise ConfigError(f"seed must be between 0 and {MAX_SEED}, got {self.seed}.")
        if self.schedule.warmup_steps > self.steps:
            raise ConfigError(
                f"schedule.warmup_steps must be at most steps, got {self.schedule.warmup_steps} "
                f"and {self.steps}. Set --schedule.warmup-steps 0."
            )
