"""What a fine-tuning stage came to. Returned by sft, reward, ppo and dpo; read by cli/ and recipe/."""

from dataclasses import dataclass

from nn2llm.core.run_folder import RunFolder

__all__ = ["StageResult"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageResult:
    """A stage that has ended, or was stopped by a signal."""

    run: RunFolder
    step: int
    """Steps done,"""
    total_steps: int
    """of so many."""
    interrupted: bool
    """A signal ended it before its last step; everything is saved."""
    training_s: float
    """Seconds in the loop, over all sessions."""
    num_tokens: int
    """Tokens that went through the trained model, forward and backward."""
    metrics: dict[str, float]
    """The last value of each figure of metrics.jsonl that the stage counts as its result."""
