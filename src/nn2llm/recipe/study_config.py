"""What `nn2llm chatgpt --study` adds to a recipe. Read config.py before; study_stages.py makes the stages."""

import math
from dataclasses import dataclass

from nn2llm.core.errors import ConfigError

__all__ = ["StudyConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyConfig:
    """Other ways to align the same model, and what happens when a reward model is trusted too far."""

    grpo_steps: int = 20
    """Iterations of stage grpo."""
    grpo_num_prompts: int = 32
    """Prompts an iteration."""
    grpo_group_size: int = 4
    """Replies to each of them."""
    grpo_kl_coef: float = 0.3
    """Weight of the KL from the SFT model in GRPO's loss."""
    free_steps: int = 30
    """Iterations of PPO without the KL term: enough for the gold score to rise and fall again."""
    free_lr: float = 6e-4
    """The policy's learning rate in them, kept to the end: nothing is to settle. With half of it, declining,
    one of three seeds had come no further than 1.3 nats after 26 iterations."""
    label_counts: tuple[int, ...] = (300, 1000, 3000)
    """Prompts of whose comparisons smaller reward models learn; beside them stands the recipe's, which has
    learned from all."""
    layer_counts: tuple[int, ...] = (0, 1)
    """Checking layers of reward models of other sizes, beside the recipe's; 0: a plain score head."""
    size_num_prompts: int = 3000
    """Prompts of whose comparisons all sizes learn."""
    max_epochs: float = 3.0
    """Times at most that a reward model with few labels reads them, in as many steps as size_num_prompts
    take: read once, few labels mean few steps, and it would have learned next to nothing."""
    plain_lr: float = 1e-3
    """AdamW's learning rate for a plain score head, where the recipe's reward model has checking layers: the
    whole GPT is trained then, and it forgets with a rate that is right for new layers."""
    constitutional_num_prompts: int = 1000
    """Prompts whose replies are revised by a constitution, and as many whose replies are compared by it; 0:
    no stage constitutional."""
    num_prompts: int = 200
    """Held-out prompts for best-of-n, the first of those of stage evaluation."""
    num_replies: int = 64
    """Replies to each of them: the largest n."""

    def __post_init__(self) -> None:
        counts = ("grpo_steps", "grpo_num_prompts", "free_steps", "size_num_prompts")
        for name in counts:
            if getattr(self, name) < 1:
                raise ConfigError(f"study.{name} must be at least 1, got {getattr(self, name)}.")
        if self.constitutional_num_prompts < 0:
            raise ConfigError(
                f"study.constitutional_num_prompts must be at least 0, got {self.constitutional_num_prompts}."
            )
        for name in ("grpo_group_size", "num_prompts", "num_replies"):
            if getattr(self, name) < 2:
                raise ConfigError(f"study.{name} must be at least 2, got {getattr(self, name)}.")
        if not self.label_counts or min(self.label_counts) < 1:
            raise ConfigError(
                f"study.label_counts must name one number of prompts at least, got {self.label_counts}. "
                "Typical: 300 1000."
            )
        if not (math.isfinite(self.max_epochs) and self.max_epochs >= 1):
            raise ConfigError(f"study.max_epochs must be a number >= 1, got {self.max_epochs}. Typical: 3.")
        if self.layer_counts and min(self.layer_counts) < 0:
            raise ConfigError(f"study.layer_counts must be at least 0, got {self.layer_counts}.")
        if not (math.isfinite(self.grpo_kl_coef) and self.grpo_kl_coef >= 0):
            raise ConfigError(f"study.grpo_kl_coef must be a number >= 0, got {self.grpo_kl_coef}.")
        for name in ("free_lr", "plain_lr"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"study.{name} must be a number > 0, got {value}. Typical: 0.001.")
