"""Learning-rate schedules: the factor that multiplies the base rate at each step.

Pure functions of the step, counted from 0, never of time: so a resumed run goes on exactly. Warm-up rises
in equal parts and reaches 1 at its last step, so that step 0 already moves. Every schedule reaches its
floor at the last step.

Used by train/ through lr_factor; taught in `learning-rate-schedules`.
Sources: cosine, Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983, eq. 5; inverse square root,
Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, eq. 3; constant with a linear cooldown (WSD), Hu et
al. 2024, https://arxiv.org/abs/2404.06395, and Hägele et al. 2024, https://arxiv.org/abs/2405.18392.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from nn2llm.core.errors import ConfigError

__all__ = ["ScheduleConfig", "constant_cooldown", "cosine", "inverse_sqrt", "linear", "lr_factor"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleConfig:
    """How the learning rate changes over a run."""

    kind: Literal["cosine", "linear", "cooldown", "inverse_sqrt", "constant"] = "cooldown"
    """cosine, linear, cooldown (constant, then linear to the floor), inverse_sqrt, or constant after the
    warm-up."""
    warmup_steps: int = 0
    """Steps in which the rate rises from near 0 to its full value."""
    cooldown_fraction: float = 0.5
    """Part of all steps in which `cooldown` falls to the floor."""
    floor: float = 0.0
    """The factor at the last step (cosine, linear, cooldown)."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a setting out of range."""
        kinds = ("cosine", "linear", "cooldown", "inverse_sqrt", "constant")
        if self.kind not in kinds:
            raise ConfigError(f"unknown schedule {self.kind!r}. Choose from: {', '.join(kinds)}.")
        if self.warmup_steps < 0:
            raise ConfigError(f"warmup_steps must be >= 0, got {self.warmup_steps}.")
        if not 0 <= self.cooldown_fraction <= 1:
            raise ConfigError(
                f"cooldown_fraction must be in [0, 1], got {self.cooldown_fraction}. Typical: 0.2 to 0.6."
            )
        if not 0 <= self.floor <= 1:
            raise ConfigError(f"floor must be in [0, 1], got {self.floor}. Typical: 0 or 0.1.")


def lr_factor(step: int, total_steps: int, config: ScheduleConfig) -> float:
    """The factor for `step` of `total_steps` by the schedule that `config` names.

    Raises:
        ConfigError: if step or total_steps is out of range, or the warm-up (and cooldown) do not fit.
    """
    warmup = config.warmup_steps
    match config.kind:
        case "cosine":
            return cosine(step, total_steps, warmup_steps=warmup, floor=config.floor)
        case "linear":
            return linear(step, total_steps, warmup_steps=warmup, floor=config.floor)
        case "cooldown":
            # a short run: the cooldown gives way to the warm-up
            cooldown_steps = min(round(total_steps * config.cooldown_fraction), max(total_steps - warmup, 0))
            return constant_cooldown(
                step, total_steps, warmup_steps=warmup, cooldown_steps=cooldown_steps, floor=config.floor
            )
        case "inverse_sqrt":
            return inverse_sqrt(step, total_steps, warmup_steps=warmup)
        case _:
            return constant_cooldown(step, total_steps, warmup_steps=warmup, cooldown_steps=0)


def cosine(step: int, total_steps: int, *, warmup_steps: int = 0, floor: float = 0.0) -> float:
    """Half a cosine wave from 1 down to `floor`."""
    _check(step, total_steps, warmup_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = _compute_progress(step, warmup_steps, total_steps)
    return floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2


def linear(step: int, total_steps: int, *, warmup_steps: int = 0, floor: float = 0.0) -> float:
    """A straight line from 1 down to `floor`."""
    _check(step, total_steps, warmup_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 1 - (1 - floor) * _compute_progress(step, warmup_steps, total_steps)


def constant_cooldown(
    step: int, total_steps: int, *, warmup_steps: int = 0, cooldown_steps: int = 0, floor: float = 0.0
) -> float:
    """1, then in the last `cooldown_steps` a straight line to `floor` (warmup-stable-decay).

    The constant part knows nothing of the end: one long run can be cooled down from several of its
    checkpoints.
    """
    _check(step, total_steps, warmup_steps)
    if cooldown_steps < 0 or warmup_steps + cooldown_steps > total_steps:
        raise ConfigError(
            f"warmup_steps={warmup_steps} and cooldown_steps={cooldown_steps} must be >= 0 and fit in "
            f"total_steps={total_steps}. Shorten one of them."
        )
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    steps_left = total_steps - 1 - step  # 0 at the last step
    if steps_left >= cooldown_steps:
        return 1.0
    return floor + (1 - floor) * steps_left / cooldown_steps


def inverse_sqrt(step: int, total_steps: int, *, warmup_steps: int = 0) -> float:
    """sqrt(warmup / step) after the warm-up: it halves each time the steps become four times as many."""
    _check(step, total_steps, warmup_steps)
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return math.sqrt(max(warmup_steps, 1) / (step + 1))


def _compute_progress(step: int, warmup_steps: int, total_steps: int) -> float:
    """0 at the step that ends the warm-up (or at step 0 without one), 1 at the last step."""
    start = max(warmup_steps - 1, 0)
    num_steps = total_steps - 1 - start
    return (step - start) / num_steps if num_steps > 0 else 1.0


def _check(step: int, total_steps: int, warmup_steps: int) -> None:
    if total_steps < 1:
        raise ConfigError(f"total_steps must be at least 1, got {total_steps}.")
    if not 0 <= step < total_steps:
        raise ConfigError(f"step must be in [0, {total_steps}), got {step}: steps are counted from 0.")
    if not 0 <= warmup_steps <= total_steps:
        raise ConfigError(f"warmup_steps must be in [0, {total_steps}] (total_steps), got {warmup_steps}.")
