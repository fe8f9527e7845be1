"""Stop a run that cannot succeed, and say why: not-a-number, runaway loss, no more progress.

Used by the training loops of train/. Taught in `training-loop` and `overfitting`.
"""

import math

from nn2llm.core.errors import TrainingError

__all__ = ["EarlyStopping", "LossGuard"]

_SMOOTHING = 0.9


class LossGuard:
    """Watches the training loss: one bad batch is weather, a smoothed loss far above its lowest runs away.

    Args:
        max_rise: by how many nats the smoothed loss may be above its lowest.
        zero_gradient_is_fine: do not take a first gradient of exactly zero for a broken device. Preferences
            that contradict each other (a over b over c over a, all equal at the start) cancel exactly.
    """

    def __init__(self, max_rise: float, *, zero_gradient_is_fine: bool = False) -> None:
        self.max_rise, self.zero_gradient_is_fine = max_rise, zero_gradient_is_fine
        self.smoothed: float | None = None
        self.lowest = math.inf

    def check(self, loss: float, *, step: int, lr_factor: float) -> None:
        """Look at one step's loss (nats).

        Raises:
            TrainingError: if it is not finite, or the smoothed loss has risen by more than `max_rise` nats.
        """
        if not math.isfinite(loss):
            raise _not_a_number("loss", loss, step, lr_factor)
        self.smoothed = (
            loss if self.smoothed is None else _SMOOTHING * self.smoothed + (1 - _SMOOTHING) * loss
        )
        self.lowest = min(self.lowest, self.smoothed)
        if self.smoothed > self.lowest + self.max_rise:
            raise TrainingError(
                f"The loss has run away: {self.smoothed:.2f} nats at step {step}, after {self.lowest:.2f}. "
                "Lower --optimizer.muon-lr and --optimizer.adamw-lr, or set --max-grad-norm 1."
            )

    def check_gradient(self, norm: float, *, step: int, lr_factor: float) -> None:
        """Look at one step's gradient norm: it can overflow while the loss is still a number.

        Raises:
            TrainingError: if it is not finite, or exactly zero at the first step where that cannot be.
        """
        if not math.isfinite(norm):
            raise _not_a_number("gradient's norm", norm, step, lr_factor)
        # Seen: a compiler that turned a custom gradient into zeros, and training went on without learning.
        if norm == 0 and step == 1 and not self.zero_gradient_is_fine:
            raise TrainingError(
                "The gradient of the first step is exactly zero, so nothing would be learned. "
                "Try without --compile, or with --precision fp32; `nn2llm doctor` checks the device."
            )

    def state_dict(self) -> dict[str, float | None]:
        """What a checkpoint keeps."""
        return {"smoothed": self.smoothed, "lowest": None if math.isinf(self.lowest) else self.lowest}

    def load_state_dict(self, state: dict[str, float | None]) -> None:
        """Go on from `state_dict`."""
        self.smoothed = state["smoothed"]
        self.lowest = math.inf if state["lowest"] is None else state["lowest"]


def _not_a_number(what: str, value: float, step: int, lr_factor: float) -> TrainingError:
    return TrainingError(
        f"The {what} became {value} at step {step} (learning rates at {lr_factor:.2f} of their full value). "
        "Lower --optimizer.muon-lr and --optimizer.adamw-lr, add --schedule.warmup-steps, or set "
        "--max-grad-norm 1; with fp16, try --precision fp32."
    )


class EarlyStopping:
    """Remembers the best evaluation, and how many have passed since."""

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.best_loss = math.inf
        self.best_step = 0
        self.num_worse = 0

    def observe(self, val_loss: float, step: int) -> bool:
        """Take in an evaluation; returns whether it is the best so far."""
        if val_loss < self.best_loss:
            self.best_loss, self.best_step, self.num_worse = val_loss, step, 0
            return True
        self.num_worse += 1
        return False

    @property
    def should_stop(self) -> bool:
        """Whether patience is at an end."""
        return self.patience is not None and self.num_worse >= self.patience

    def state_dict(self) -> dict[str, float | int | None]:
        """What a checkpoint keeps."""
        best = None if math.isinf(self.best_loss) else self.best_loss
        return {"best_loss": best, "best_step": self.best_step, "num_worse": self.num_worse}

    def load_state_dict(self, state: dict[str, float | int | None]) -> None:
        """Go on from `state_dict`."""
        self.best_loss = math.inf if state["best_loss"] is None else float(state["best_loss"])
        self.best_step = int(state["best_step"] or 0)
        self.num_worse = int(state["num_worse"] or 0)
