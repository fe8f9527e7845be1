"""What a PPO run is started with. Read before ppo.py."""

import math
from dataclasses import dataclass, field
from typing import Literal

from nn2llm.core.errors import ConfigError
from nn2llm.optim.combined import OptimizerConfig
from nn2llm.optim.schedules import ScheduleConfig
from nn2llm.train.pretrain_config import MAX_SEED
from nn2llm.train.session import MachineConfig

__all__ = ["PPOConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PPOConfig:
    """One PPO run; saved beside it as config.json, with every `auto` resolved."""

    init_from: str = ""
    """Run of the model to improve, usually of `nn2llm sft`; frozen, it is also the reference."""
    reward_model: str = ""
    """Run of the reward model. The value model starts from its weights."""
    prompts: str | None = None
    """File of {"prompt": text or messages} lines, or of conversations or preferences: their prompts."""
    steps: int = 200
    """Iterations: one batch of replies each, and the updates made with it."""
    batch_size: int = 128
    """Prompts an iteration."""
    minibatch_size: int = 32
    """Replies an optimizer step; divides batch_size."""
    num_epochs: int = 2
    """Times through the replies of an iteration."""
    max_new_tokens: int = 48
    """Tokens a reply at most, its end token included."""
    missing_end_penalty: float = 2.0
    """Taken off the score of a reply that was cut before it ended; too little, and never ending may pay."""
    normalise_scores: bool = True
    """Scale scores so that the reference's replies have mean 0 and deviation 1 (by the first iteration's)."""
    whiten_rewards: bool = False
    """Divide each iteration's rewards a token by their deviation."""
    kl_coef: float = 0.05
    """What each nat away from the reference costs, in units of the score, normalised or not."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    """How the penalty is estimated a token: see losses/kl.py."""
    target_kl: float | None = None
    """Adapt kl_coef so that a reply is this many nats from the reference. Default: kl_coef is fixed."""
    gamma: float = 1.0
    """Discount a token."""
    gae_lambda: float = 0.95
    """0 trusts the value model, 1 the rewards that came (losses/gae.py)."""
    whiten_advantages: bool = True
    """Give the advantages of an iteration mean 0 and deviation 1."""
    clip_range: float = 0.2
    """How far a token's probability may move, as a ratio, before its gradient is cut."""
    clip_range_value: float | None = 0.2
    """The same for values, in units of the score. None: off."""
    entropy_coef: float = 0.0
    """Reward for entropy: above 0 keeps the policy from narrowing."""
    value_warmup_steps: int = 0
    """First iterations in which only the value model learns."""
    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(use_muon=False, adamw_lr=3e-4, weight_decay=0.0, eps=1e-5)
    )
    """What moves the policy."""
    value_optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(use_muon=False, adamw_lr=1e-3, weight_decay=0.0, eps=1e-5)
    )
    """What moves the value model."""
    schedule: ScheduleConfig = field(default_factory=lambda: ScheduleConfig(kind="linear", floor=0.1))
    """How both learning rates change, from iteration to iteration."""
    max_grad_norm: float | None = 1.0
    """Scale each model's gradient down to this norm where it is larger."""
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

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "minibatch_size", "num_epochs", "max_new_tokens", "num_samples")
        for name in (*counts, "checkpoint_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("value_warmup_steps", "sample_every"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, got {getattr(self, name)}.")
        for name in ("kl_coef", "missing_end_penalty", "entropy_coef"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} must be a number >= 0, got {value}.")
        for name in ("target_kl", "clip_range_value", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be > 0, got {value}. Leave it out to do without.")
        for name in ("gamma", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be in [0, 1], got {getattr(self, name)}.")
        if not 0 < self.clip_range < 1:
            raise ConfigError(f"clip_range must be in (0, 1), got {self.clip_range}. Typical: 0.2.")
        if self.kl_estimator not in ("k1", "k2", "k3"):
            raise ConfigError(f"unknown kl_estimator {self.kl_estimator!r}. Choose from: k1, k2, k3.")
        if self.batch_size % self.minibatch_size:
            raise ConfigError(
                f"minibatch_size must divide batch_size, got {self.minibatch_size} and {self.batch_size}."
            )
        if self.target_kl is not None and self.kl_coef == 0:
            raise ConfigError("target_kl multiplies kl_coef, which is 0: set kl_coef, for example to 0.05.")
        if not 0 <= self.seed <= MAX_SEED:
            raise ConfigError(f"seed must be between 0 and {MAX_SEED}, got {self.seed}.")
        if self.schedule.warmup_steps > self.steps:
            raise ConfigError(
                f"schedule.warmup_steps must be at most steps, got {self.schedule.warmup_steps} "
                f"and {self.steps}. Set --schedule.warmup-steps 0."
            )
