"""Muon: momentum, orthogonalised. For the hidden matrices of a network.

A gradient matrix is often dominated by a few directions; its other singular values are small, yet useful.
Muon takes the momentum of the gradient and replaces all its singular values by about 1 (newton_schulz.py),
so that each direction moves alike. Embeddings, the head, norms and biases are no such matrices: they go to
AdamW (param_groups.py).

Read after newton_schulz.py. Used by combined.py; taught in `momentum-and-adam`.
Sources: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; scale and weight decay: Liu et al.
2025 (Moonlight), https://arxiv.org/abs/2502.16982, eq. 4; fewer, better steps: see polar_express.py.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from nn2llm.optim.newton_schulz import KELLER, newton_schulz_batched, newton_schulz_gram
from nn2llm.optim.polar_express import Coefficients, compute_polar_express

__all__ = ["Muon", "MuonScale", "NewtonSchulzKind", "compute_coefficients", "compute_scale", "orthogonalize"]

MuonScale = Literal["spectral", "match_rms"]
"""How the learning rate depends on a matrix's shape; see compute_scale."""

NewtonSchulzKind = Literal["polar_express", "keller"]
"""polar_express: coefficients for the number of steps, tight norm. keller: Jordan's, Frobenius norm."""

MAX_STACK_ELEMENTS = 1 << 26
"""Stack at most this many numbers (256 MB in float32): large matrices gain nothing from batching."""


class Muon(Optimizer):
    """w <- (1 - lr * weight_decay) w - lr * scale * orthogonalize(d), where

        m <- momentum * m + (1 - momentum) * g
        d = (1 - momentum) * g + momentum * m   with nesterov, else m

    Matrices of all layers are orthogonalised together. Each parameter must have two dimensions. The group
    key `split_rows` (a tuple of row counts) treats the row blocks of a fused matrix as matrices of their
    own: queries, keys and values of one weight, for instance.

    Args beyond the usual:
        scale: see compute_scale.
        ns_steps, ns_kind: see compute_coefficients. Three steps of `polar_express` reach about as far as
            five of `keller`.
        ns_dtype: precision of the iteration; None takes bfloat16 on CUDA, the parameter's own elsewhere.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.02,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        scale: MuonScale = "spectral",
        ns_steps: int = 3,
        ns_kind: NewtonSchulzKind = "polar_express",
        ns_dtype: torch.dtype | None = None,
        split_rows: tuple[int, ...] | None = None,
    ) -> None:
        """Raises ValueError for a setting out of range, a parameter that is no matrix, or a wrong split."""
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "scale": scale,
            "ns_steps": ns_steps,
            "ns_kind": ns_kind,
            "ns_dtype": ns_dtype,
            "split_rows": split_rows,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            _check_group(group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor | float] | None = None) -> Tensor | float | None:  # type: ignore[override]
        """Move every parameter that has a gradient. `closure`, if given, computes the loss first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()

        blocks: list[_Block] = []
        for group in self.param_groups:
            blocks += self._update_momentum(group)

        # together what can be: one device, precision and iteration
        batches: dict[tuple[torch.device, torch.dtype, str, int], list[_Block]] = defaultdict(list)
        for block in blocks:
            batches[(block.weight.device, block.dtype, block.ns_kind, block.ns_steps)].append(block)
        for (_, dtype, kind, steps), batch in batches.items():
            coefficients = compute_coefficients(kind, steps, bfloat16=dtype == torch.bfloat16)
            updates = orthogonalize(
                [block.direction for block in batch], coefficients, tight=kind == "polar_express", dtype=dtype
            )
            for block, update in zip(batch, updates, strict=True):
                block.weight.add_(update, alpha=-block.lr)
        return loss

    def _update_momentum(self, group: dict[str, Any]) -> list[_Block]:
        """Advance the group's momentum, decay its weights, and cut both into the blocks to orthogonalise."""
        weights = [w for w in group["params"] if w.grad is not None]
        if not weights:
            return []
        grads = [w.grad for w in weights]
        for w in weights:
            if "momentum_buffer" not in self.state[w]:
                self.state[w]["momentum_buffer"] = torch.zeros_like(w)
        buffers = [self.state[w]["momentum_buffer"] for w in weights]

        # _foreach: one call for a list of tensors, and one kernel for all of them on a GPU
        torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
        directions = torch._foreach_lerp(grads, buffers, group["momentum"]) if group["nesterov"] else buffers
        if group["weight_decay"] != 0:
            torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])

        blocks = []
        for w, direction in zip(weights, directions, strict=True):
            dtype = group["ns_dtype"] or (torch.bfloat16 if w.is_cuda else w.dtype)
            rows = list(group["split_rows"] or (w.shape[0],))
            for part, part_direction in zip(w.split(rows), direction.split(rows), strict=True):
                lr = group["lr"] * compute_scale(group["scale"], *part.shape)
                blocks.append(_Block(part, part_direction, lr, dtype, group["ns_kind"], group["ns_steps"]))
        return blocks


@dataclass(slots=True)
class _Block:
    """A matrix to move: a weight, or some of its rows."""

    weight: Tensor
    direction: Tensor
    lr: float
    dtype: torch.dtype
    ns_kind: NewtonSchulzKind
    ns_steps: int


def compute_scale(scale: MuonScale, rows: int, columns: int) -> float:
    """The factor on the learning rate for a weight of this shape.

    spectral: sqrt(max(1, rows / columns)). The update changes each output by a like amount (Jordan).
    match_rms: 0.2 * sqrt(max(rows, columns)). The update's root mean square is 0.2, about AdamW's, so its
    learning rate and weight decay serve (Moonlight, eq. 4).
    """
    if scale == "spectral":
        return math.sqrt(max(1.0, rows / columns))
    return 0.2 * math.sqrt(max(rows, columns))


@functools.lru_cache(maxsize=64)
def compute_coefficients(kind: NewtonSchulzKind, num_steps: int, *, bfloat16: bool = False) -> Coefficients:
    """(a, b, c) of each step.

    keller: the same each time. polar_express: best for singular values down to the smallest that
    `num_steps` can still bring within 1 ± 0.3 (measured against the tight norm): 0.032 for two steps,
    0.0091 for three, 0.0024 for four, 0.00060 for five; computed by bisection.
    """
    if kind == "keller":
        return (KELLER,) * num_steps
    low, high = -12.0, 0.0  # log10 of the smallest singular value
    for _ in range(30):
        middle = (low + high) / 2
        last = compute_polar_express(num_steps, 10**middle)
        if _compute_error(last, 10**middle) > 0.3:
            low = middle
        else:
            high = middle
    return compute_polar_express(num_steps, 10**high, 1.01 if bfloat16 else 1.0)


def _compute_error(coefficients: Coefficients, lower: float) -> float:
    """How far from 1 the singular value `lower` ends: the worst of all, for the best coefficients."""
    for a, b, c in coefficients:
        lower = a * lower + b * lower**3 + c * lower**5
    return 1 - lower


def orthogonalize(
    matrices: Sequence[Tensor], coefficients: Coefficients, *, tight: bool, dtype: torch.dtype
) -> list[Tensor]:
    """Newton-Schulz on matrices of any shapes, those that can go together in one batched product. In `dtype`.

    In full precision all matrices with one smaller side share the small squares of newton_schulz_gram; in
    half precision, or where CUDA rounds float32 products to TF32, matrices of one shape go through
    newton_schulz_batched.
    """
    is_exact = dtype in (torch.float32, torch.float64) and not (
        matrices[0].is_cuda and torch.backends.cuda.matmul.allow_tf32
    )
    results: list[Tensor | None] = [None] * len(matrices)
    for chunk in _gather_chunks(matrices, by_smaller_side=is_exact):
        by_shape: dict[torch.Size, list[int]] = defaultdict(list)
        for i in chunk:
            by_shape[matrices[i].shape].append(i)
        stacks = [torch.stack([matrices[i] for i in indices]).to(dtype) for indices in by_shape.values()]
        if is_exact:
            outputs = newton_schulz_gram(stacks, coefficients, tight=tight)
        else:
            outputs = [newton_schulz_batched(stack, coefficients, tight=tight) for stack in stacks]
        for indices, output in zip(by_shape.values(), outputs, strict=True):
            for i, matrix in zip(indices, output.unbind(), strict=True):
                results[i] = matrix
    return [result for result in results if result is not None]


def _gather_chunks(matrices: Sequence[Tensor], *, by_smaller_side: bool) -> list[list[int]]:
    """Indices of matrices to treat together: of one smaller side (or shape), and not too many numbers at
    once."""
    chunks: list[list[int]] = []
    open_chunk: dict[object, tuple[list[int], int]] = {}
    for i, matrix in enumerate(matrices):
        key = min(matrix.shape) if by_smaller_side else matrix.shape
        chunk, num_elements = open_chunk.get(key, ([], 0))
        if not chunk or num_elements + matrix.numel() > MAX_STACK_ELEMENTS:
            chunk, num_elements = [], 0
            chunks.append(chunk)
        chunk.append(i)
        open_chunk[key] = (chunk, num_elements + matrix.numel())
    return chunks


def _check_group(group: dict[str, Any]) -> None:
    """Reject settings that cannot work.

    Raises:
        ValueError: naming the setting or the parameter's shape.
    """
    if group["lr"] < 0 or group["weight_decay"] < 0:
        raise ValueError(f"lr and weight_decay must be >= 0, got {group['lr']} and {group['weight_decay']}.")
    if not 0 <= group["momentum"] < 1:
        raise ValueError(f"momentum must be in [0, 1), got {group['momentum']}. Typical: 0.95.")
    if group["ns_steps"] < 1:
        raise ValueError(f"ns_steps must be at least 1, got {group['ns_steps']}. Typical: 3 to 5.")
    if group["ns_kind"] not in ("polar_express", "keller"):
        raise ValueError(f"ns_kind must be 'polar_express' or 'keller', got {group['ns_kind']!r}.")
    if group["scale"] not in ("spectral", "match_rms"):
        raise ValueError(f"scale must be 'spectral' or 'match_rms', got {group['scale']!r}.")
    for w in group["params"]:
        if w.ndim != 2:
            raise ValueError(
                f"Muon moves matrices, got a parameter of shape {tuple(w.shape)}. Give it to AdamW."
            )
        rows = group["split_rows"]
        if rows is not None and sum(rows) != w.shape[0]:
            raise ValueError(
                f"split_rows {rows} add up to {sum(rows)}, but the parameter has {w.shape[0]} rows."
            )
