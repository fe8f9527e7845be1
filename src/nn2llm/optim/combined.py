"""Muon and AdamW behind one optimizer: what the trainer calls.

Read after muon.py and param_groups.py. Used by train/. AdamW is torch's fused kernel, equal to adam.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from nn2llm.core.errors import CheckpointError, ConfigError
from nn2llm.optim.muon import Muon, MuonScale, NewtonSchulzKind
from nn2llm.optim.param_groups import build_param_groups

__all__ = ["CombinedOptimizer", "OptimizerConfig", "build_optimizer"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """Muon for hidden matrices, AdamW for the rest; or AdamW for all."""

    use_muon: bool = True
    """Orthogonalise the updates of hidden matrices (Muon); off: AdamW moves them too."""
    muon_lr: float = 0.02
    """Muon's learning rate. With muon_scale match_rms use one like AdamW's."""
    adamw_lr: float = 3e-3
    """AdamW's learning rate."""
    embedding_lr: float | None = None
    """AdamW's learning rate for embeddings; None: adamw_lr."""
    head_lr: float | None = None
    """AdamW's learning rate for the output head, where it is not tied; None: adamw_lr."""
    weight_decay: float = 0.1
    """AdamW's decay of embeddings, head and matrices; norms and biases never decay."""
    muon_weight_decay: float = 0.0
    """Muon's decay of hidden matrices. Per step the weights shrink by muon_lr times this."""
    beta1: float = 0.9
    """AdamW: memory of the mean gradient."""
    beta2: float = 0.95
    """AdamW: memory of the mean squared gradient."""
    eps: float = 1e-8
    """AdamW: added to the root of the mean square."""
    muon_momentum: float = 0.95
    """Muon: memory of the gradient."""
    muon_scale: MuonScale = "spectral"
    """spectral (Jordan) or match_rms (Moonlight): how Muon's step depends on a matrix's shape."""
    ns_steps: int = 3
    """Newton-Schulz steps. Fewer are cheaper; more are nearer to orthogonal."""
    ns_kind: NewtonSchulzKind = "polar_express"
    """polar_express (coefficients computed for ns_steps) or keller (fixed; use 5 steps)."""

    def __post_init__(self) -> None:
        """Raises ConfigError for a setting out of range."""
        for name in (
            "muon_lr",
            "adamw_lr",
            "embedding_lr",
            "head_lr",
            "weight_decay",
            "muon_weight_decay",
            "eps",
        ):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ConfigError(f"{name} must be >= 0, got {value}.")
        for name in ("beta1", "beta2", "muon_momentum"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ConfigError(f"{name} must be in [0, 1), got {value}. Typical: 0.9 to 0.99.")
        if self.muon_scale not in ("spectral", "match_rms"):
            raise ConfigError(f"unknown muon_scale {self.muon_scale!r}. Choose from: spectral, match_rms.")
        if self.ns_kind not in ("polar_express", "keller"):
            raise ConfigError(f"unknown ns_kind {self.ns_kind!r}. Choose from: polar_express, keller.")
        if self.ns_steps < 1:
            raise ConfigError(f"ns_steps must be at least 1, got {self.ns_steps}. Typical: 3 to 5.")


def build_optimizer(
    named_parameters: Iterable[tuple[str, Tensor]],
    config: OptimizerConfig,
    *,
    split_rows: Mapping[str, tuple[int, ...]] | None = None,
    ns_dtype: torch.dtype | None = None,
) -> CombinedOptimizer:
    """The optimizers that `config` asks for, over the groups of build_param_groups.

    `ns_dtype`: precision of Muon's iteration; None takes bfloat16 on CUDA, the parameter's own elsewhere.
    """
    muon_groups: list[dict[str, Any]] = []
    adamw_groups: list[dict[str, Any]] = []
    for group in build_param_groups(
        named_parameters,
        use_muon=config.use_muon,
        weight_decay=config.weight_decay,
        muon_weight_decay=config.muon_weight_decay,
        split_rows=split_rows,
    ):
        if group["optimizer"] == "muon":
            muon_groups.append({**group, "lr": config.muon_lr})
        else:
            own_lr = {"embedding": config.embedding_lr, "head": config.head_lr}.get(group["kind"])
            adamw_groups.append({**group, "lr": config.adamw_lr if own_lr is None else own_lr})

    optimizers: list[Optimizer] = []
    if muon_groups:
        muon = Muon(
            muon_groups,
            momentum=config.muon_momentum,
            scale=config.muon_scale,
            ns_steps=config.ns_steps,
            ns_kind=config.ns_kind,
            ns_dtype=ns_dtype,
        )
        optimizers.append(muon)
    if adamw_groups:
        betas = (config.beta1, config.beta2)
        optimizers.append(torch.optim.AdamW(adamw_groups, betas=betas, eps=config.eps, fused=True))
    return CombinedOptimizer(optimizers)


class CombinedOptimizer:
    """Several optimizers with the face of one. Each parameter must belong to one of them only.

    The learning rates given at the start are the bases; set_lr_factor multiplies them (schedules.py gives
    the factor). `optimizers` holds the parts, for torch.distributed.checkpoint and for GradScaler.
    """

    def __init__(self, optimizers: Iterable[Optimizer]) -> None:
        """Raises ValueError if there is none, or two share a parameter."""
        self.optimizers = list(optimizers)
        if not self.optimizers:
            raise ValueError("CombinedOptimizer needs at least one optimizer, got none.")
        parameters = [p for group in self.param_groups for p in group["params"]]
        if len({id(p) for p in parameters}) != len(parameters):
            raise ValueError("two optimizers share a parameter, which would then move twice. Split them.")
        for group in self.param_groups:
            group.setdefault("initial_lr", group["lr"])

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all parts, in order."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def set_lr_factor(self, factor: float) -> None:
        """Set each group's lr to its base times `factor`."""
        for group in self.param_groups:
            group["lr"] = group["initial_lr"] * factor

    def step(self) -> None:
        """One step of every part."""
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Plain containers and tensors only, so that torch.load(weights_only=True) reads it."""
        return {
            "kinds": [type(optimizer).__name__ for optimizer in self.optimizers],
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up a saved state. Learning rates and other settings come from it, too.

        Raises:
            CheckpointError: if it was saved by other optimizers or for other parameters.
        """
        kinds = [type(optimizer).__name__ for optimizer in self.optimizers]
        if state_dict.get("kinds") != kinds:
            raise CheckpointError(
                f"the optimizer state was saved by {state_dict.get('kinds')}, this run has {kinds}. "
                "Resume with the run's own config."
            )
        for optimizer, saved in zip(self.optimizers, state_dict["optimizers"], strict=True):
            ours = _describe_groups(optimizer.param_groups)
            theirs = _describe_groups(saved["param_groups"])
            if ours != theirs:
                raise CheckpointError(
                    f"the optimizer state is for the parameters {theirs}, this model has {ours}. "
                    "Resume with the run's own config."
                )
        for optimizer, saved in zip(self.optimizers, state_dict["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def _describe_groups(groups: list[dict[str, Any]]) -> list[list[str] | int]:
    """Names where known, else how many."""
    return [
        list(group["param_names"]) if "param_names" in group else len(group["params"]) for group in groups
    ]
