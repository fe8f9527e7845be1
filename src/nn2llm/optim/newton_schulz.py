"""Orthogonalisation by matrix products alone: what Muon does to a gradient.

The nearest orthogonal matrix to G = U S V^T is U V^T: all singular values become 1. An SVD finds it,
slowly. Newton-Schulz finds it with matrix products: p(X) = a X + b (X X^T) X + c (X X^T)^2 X leaves U and V
alone and sends each singular value s to a s + b s^3 + c s^5. Coefficients that push every s in (0, 1]
towards 1, applied a few times, are enough; 1 is reached only roughly, and that is good enough for an
optimizer.

Three versions, equal up to rounding:
  newton_schulz          one matrix, to be read;
  newton_schulz_batched  many matrices of one shape, in any precision (bfloat16 on a GPU);
  newton_schulz_gram     many matrices of one smaller side: iterates on small squares, in float32 or float64.

Read before optim/muon.py, which uses these; the better coefficients are computed in optim/polar_express.py.
Sources: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; Bernstein and Newhouse 2024,
https://arxiv.org/abs/2409.20325.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from nn2llm.optim.polar_express import Coefficients

__all__ = [
    "KELLER",
    "KELLER_COEFFICIENTS",
    "compute_spectral_bound",
    "newton_schulz",
    "newton_schulz_batched",
    "newton_schulz_gram",
]

KELLER = (3.4445, -4.7750, 2.0315)
"""Jordan's coefficients: steep at 0 (small singular values grow fast), so the end lies in 0.68 to 1.2."""

KELLER_COEFFICIENTS: Coefficients = (KELLER,) * 5
"""His usual five steps."""


def compute_spectral_bound(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, ""]:
    """An upper bound on the largest singular value: ||(X X^T)^2||_F^(1/4) = (sum_i s_i^8)^(1/8).

    The Frobenius norm (sum_i s_i^2)^(1/2) bounds it too, but loosely: 5.6 times too large for a random 128
    x 128 matrix, where this is 1.3 times. Newton-Schulz forms both products anyway, so the tighter bound is
    free, and it saves one step.
    """
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    return torch.linalg.matrix_norm(gram @ gram) ** 0.25


def newton_schulz(
    matrix: Float[Tensor, "rows columns"],
    coefficients: Coefficients = KELLER_COEFFICIENTS,
    *,
    tight: bool = False,
    eps: float = 1e-7,
) -> Float[Tensor, "rows columns"]:
    """Bring all singular values near 1, one step for each (a, b, c).

    `tight` divides by compute_spectral_bound first, else by the Frobenius norm (as Jordan does). Either
    leaves singular values in [0, 1]. A matrix whose norm is below `eps` is noise and stays small.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix  # so that x x^T has the smaller side
    x = x / torch.linalg.matrix_norm(x).clamp(min=eps)
    if tight:
        x = x / compute_spectral_bound(x).clamp(min=eps)
    for a, b, c in coefficients:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if is_tall else x


def newton_schulz_batched(
    matrices: Float[Tensor, "num rows columns"],
    coefficients: Coefficients = KELLER_COEFFICIENTS,
    *,
    tight: bool = False,
    eps: float = 1e-7,
) -> Float[Tensor, "num rows columns"]:
    """The same for a stack of matrices: one batched product where a loop would launch `num`."""
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=eps)
    for step, (a, b, c) in enumerate(coefficients):
        gram = torch.bmm(x, x.mT)
        if step == 0 and tight:
            gram_squared = torch.bmm(gram, gram)
            bound = torch.linalg.matrix_norm(gram_squared, keepdim=True).sqrt().clamp(min=eps**2)
            x = x / bound.sqrt()
            gram = gram / bound
            polynomial = b * gram + c * (gram_squared / bound**2)
        else:
            polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if is_tall else x


def newton_schulz_gram(
    stacks: Sequence[Float[Tensor, "_ _ _"]],
    coefficients: Coefficients = KELLER_COEFFICIENTS,
    *,
    tight: bool = False,
    eps: float = 1e-7,
) -> list[Float[Tensor, "_ _ _"]]:
    """The same for several stacks [num_i, rows_i, columns_i] whose smaller side m is equal, all at once.

    Each step multiplies x by P = a I + b A + c A^2, where A = x x^T is m x m. P is a polynomial in A, so it
    commutes with A, and the next A is P A P: no need to form x. Gather Q = P_K ... P_1, and touch the long
    side only twice: for the first A, and for Q x at the end. A 128 x 512 matrix costs 17 squares of 128 + 8
    instead of 45 in five steps, and matrices of different lengths share one batched product.

    Only in float32 and float64: A holds the squares of the singular values, so rounding in bfloat16 would
    drown all below a sixteenth of the largest, and could make them negative, which then grow.

    Raises:
        ValueError: if the stacks differ in their smaller side.
    """
    sides = {min(stack.shape[1:]) for stack in stacks}
    if len(sides) != 1:
        raise ValueError(
            f"all stacks must share their smaller side, got {sorted(sides)}. Call once for each."
        )
    side = sides.pop()
    counts = [stack.shape[0] for stack in stacks]
    is_tall = [stack.shape[1] > stack.shape[2] for stack in stacks]

    gram = stacks[0].new_empty(sum(counts), side, side)
    for stack, part, tall in zip(stacks, gram.split(counts), is_tall, strict=True):
        if tall:
            torch.bmm(stack.mT, stack, out=part)
        else:
            torch.bmm(stack, stack.mT, out=part)

    # trace(A) = ||x||_F^2: divide A by it, and remember to divide x by its root
    squared_norm = gram.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None, None].clamp(min=eps**2)
    gram /= squared_norm
    gram_squared = torch.bmm(gram, gram)
    if tight:
        bound = torch.linalg.matrix_norm(gram_squared, keepdim=True).sqrt().clamp(min=eps**2)
        gram /= bound
        gram_squared /= bound**2
        squared_norm = squared_norm * bound

    product: Tensor | None = None
    for step, (a, b, c) in enumerate(coefficients):
        if step == 0:
            polynomial = gram_squared.mul_(c).add_(gram, alpha=b)
        else:
            polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=1, dim2=2).add_(a)
        if step < len(coefficients) - 1:
            gram = torch.bmm(polynomial, torch.bmm(polynomial, gram))
        product = polynomial if product is None else torch.bmm(polynomial, product)
    assert product is not None, "coefficients must hold at least one step"
    product *= squared_norm.rsqrt()
    return [
        torch.bmm(stack, part) if tall else torch.bmm(part, stack)
        for stack, part, tall in zip(stacks, product.split(counts), is_tall, strict=True)
    ]
