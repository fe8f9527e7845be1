"""What the training of a reward model is started with. Read before reward.py."""

import math
from dataclasses import dataclass

from nn2llm.core.errors import ConfigError
from nn2llm.train.pair_config import PairConfig

__all__ = ["RewardConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class RewardConfig(PairConfig):
    """One reward model's run; saved beside it as config.json, with steps and machine resolved."""

    num_checking_layers: int = 0
    """Blocks above a frozen GPT that also see how surprised it was at each token: for small models, which
    have no layer left to check an answer. 0: the whole GPT is trained, as usual."""
    use_margins: bool = True
    """Ask for a larger difference of scores where a pair has a margin."""
    center_coef: float = 0.0
    """Weight of the penalty that keeps scores around zero while training. Typical: 0.01."""

    def __post_init__(self) -> None:
        if self.num_checking_layers < 0:
            raise ConfigError(f"num_checking_layers must be at least 0, got {self.num_checking_layers}.")
        PairConfig.__post_init__(self)  # not super(): slots=True makes another class, which super() misses
        if not (math.isfinite(self.center_coef) and self.center_coef >= 0):
            raise ConfigError(f"center_coef must be a number >= 0, got {self.center_coef}. Typical: 0.01.")
