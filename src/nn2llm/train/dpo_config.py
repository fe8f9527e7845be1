"""What DPO is started with. Read before dpo.py."""

from dataclasses import dataclass, field
from typing import Literal

from nn2llm.core.errors import ConfigError
from nn2llm.optim.combined import OptimizerConfig
from nn2llm.train.pair_config import PairConfig

__all__ = ["DPOConfig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DPOConfig(PairConfig):
    """One DPO run; saved beside it as config.json, with steps and machine resolved.

    The model of `init_from` is where training starts, and the reference.
    """

    optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(use_muon=False, adamw_lr=3e-4, weight_decay=0.0)
    )
    """What moves the weights. Too large a learning rate is what most often ruins DPO: the default is for
    models of about a million weights; those of a billion take a thousandth of it."""
    loss: Literal["dpo", "ipo", "cdpo", "hinge"] = "dpo"
    """dpo; ipo (asks for a fixed gap); cdpo (expects wrong labels); hinge (stops at a margin)."""
    beta: float = 0.1
    """Pull towards the reference model. Larger stays closer."""
    label_smoothing: float = 0.1
    """The share of labels that cdpo takes for wrong; the others do not look at it."""
    per_token: bool = False
    """Divide log-probabilities by the length of the reply, so that long ones do not weigh more. TRL does so
    for ipo; beta then means something else."""
    sample_tokens: int = 64
    """Longest reply among the samples."""

    def __post_init__(self) -> None:
        PairConfig.__post_init__(self)  # not super(): slots=True makes another class, which super() misses
        if self.loss not in ("dpo", "ipo", "cdpo", "hinge"):
            raise ConfigError(f"unknown loss {self.loss!r}. Choose from: dpo, ipo, cdpo, hinge.")
        if not self.beta > 0:
            raise ConfigError(f"beta must be > 0, got {self.beta}. Typical: 0.05 to 0.5.")
        if not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(
                f"label_smoothing must be in [0, 0.5), got {self.label_smoothing}: it is the share of wrong "
                "labels. Typical: 0.1."
            )
        if self.sample_tokens < 1:
            raise ConfigError(f"sample_tokens must be at least 1, got {self.sample_tokens}.")
