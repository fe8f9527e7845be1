"""Newton-Schulz and its coefficients: the band of singular values, and three equal versions."""

import pytest
import torch
from torch.testing import assert_close

from nn2llm.optim.muon import compute_coefficients
from nn2llm.optim.newton_schulz import (
    KELLER,
    KELLER_COEFFICIENTS,
    compute_spectral_bound,
    newton_schulz,
    newton_schulz_batched,
    newton_schulz_gram,
)
from nn2llm.optim.polar_express import (
    compute_best_quintic,
    compute_polar_express,
    compute_singular_value_band,
)


def make_matrix(rows, columns, least=0.02, seed=0, dtype=torch.float64):
    """Singular values spread evenly in the logarithm from `least` to 1, known by construction."""
    generator = torch.Generator().manual_seed(seed)
    side = min(rows, columns)
    u = torch.linalg.qr(torch.randn(rows, side, generator=generator, dtype=torch.float64)).Q
    v = torch.linalg.qr(torch.randn(columns, side, generator=generator, dtype=torch.float64)).Q
    s = torch.logspace(torch.tensor(least).log10(), 0, side, dtype=torch.float64)
    return ((u * s) @ v.T).to(dtype)


def test_one_by_one_by_hand():
    # normalised to 1, a number goes to a + b + c at each step
    a, b, c = KELLER
    s = a + b + c
    s = a * s + b * s**3 + c * s**5
    assert_close(newton_schulz(torch.tensor([[-7.0]]), (KELLER,) * 2), torch.tensor([[-s]]))


@pytest.mark.parametrize("shape", [(12, 12), (8, 20), (20, 8)])
def test_singular_vectors_stay_and_values_follow_the_quintic(shape):
    matrix = make_matrix(*shape)
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    s = s / s.norm()
    for a, b, c in KELLER_COEFFICIENTS:
        s = a * s + b * s**3 + c * s**5
    assert_close(newton_schulz(matrix), (u * s) @ vt, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(16, 16), (16, 48), (48, 16)])
@pytest.mark.parametrize("num_steps", [2, 3, 4, 5])
def test_orthogonal_within_the_band(shape, num_steps):
    reach = {2: 0.033, 3: 0.0092, 4: 0.0025, 5: 0.00062}[num_steps]
    matrix = make_matrix(*shape, least=reach * 2)
    result = newton_schulz(matrix, compute_coefficients("polar_express", num_steps), tight=True)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.699
    assert values.max() < 1.301


def test_many_best_steps_reach_the_exact_polar_factor():
    matrix = make_matrix(10, 24)
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    result = newton_schulz(matrix, compute_polar_express(8, 0.001))
    assert_close(result, u @ vt, rtol=0, atol=1e-9)


def test_keller_band():
    low, high = compute_singular_value_band(KELLER_COEFFICIENTS, 0.003)
    assert (low, high) == pytest.approx((0.6818, 1.2024), abs=1e-3)


@pytest.mark.parametrize("coefficients", [KELLER_COEFFICIENTS, compute_polar_express(3, 0.01)])
@pytest.mark.parametrize("tight", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-3)])
def test_three_versions_are_equal(coefficients, tight, dtype, tolerance):
    # float32: the Gram matrix rounds s^2 to 1e-7 of the largest, and the least s here is 1e-3 of it
    shapes = [(3, 16, 16), (2, 16, 40), (2, 40, 16)]
    stacks = [
        torch.stack([make_matrix(r, c, least=1e-3, seed=i, dtype=dtype) * 10.0 ** (i - 4) for i in range(n)])
        for n, r, c in shapes
    ]
    together = newton_schulz_gram(stacks, coefficients, tight=tight)
    for stack, gram in zip(stacks, together, strict=True):
        one_by_one = torch.stack([newton_schulz(m, coefficients, tight=tight) for m in stack])
        batched = newton_schulz_batched(stack, coefficients, tight=tight)
        assert_close(batched, one_by_one, rtol=0, atol=tolerance)
        assert_close(gram, one_by_one, rtol=0, atol=tolerance)


def test_zero_and_low_rank_matrices_stay_finite():
    zero, one_row = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    one_row[0, 3] = 1e-3
    gram = newton_schulz_gram([zero, one_row], tight=True)
    batched = [newton_schulz_batched(matrix, tight=True) for matrix in (zero, one_row)]
    for of_zero, of_one_row in (gram, batched):
        assert (of_zero == 0).all()
        assert of_one_row.isfinite().all()
        assert 0.6 < of_one_row.norm() < 1.3


def test_gram_is_stable_where_most_singular_values_are_rounding():
    generator = torch.Generator().manual_seed(0)
    low_rank = torch.randn(64, 4, generator=generator) @ torch.randn(4, 128, generator=generator)
    noisy = low_rank + 1e-7 * torch.randn(64, 128, generator=generator)
    coefficients = compute_coefficients("polar_express", 5)
    (result,) = newton_schulz_gram([noisy[None]], coefficients, tight=True)
    exact = newton_schulz(noisy.double(), coefficients, tight=True)
    assert_close(result[0].double(), exact, rtol=0, atol=2e-3)


def test_inputs_are_left_alone():
    stacks = [make_matrix(6, 9)[None], make_matrix(9, 6)[None]]
    before = [s.clone() for s in stacks]
    newton_schulz_gram(stacks, tight=True)
    newton_schulz_batched(stacks[0], tight=True)
    assert_close(stacks, before, rtol=0, atol=0)


def test_gram_needs_one_smaller_side():
    with pytest.raises(ValueError, match=r"share their smaller side, got \[4, 6\]"):
        newton_schulz_gram([torch.zeros(1, 4, 9), torch.zeros(1, 9, 6)])


@pytest.mark.parametrize("shape", [(30, 30), (10, 50), (50, 10)])
def test_spectral_bound_holds_and_is_tighter_than_frobenius(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = torch.linalg.svdvals(matrix)
    bound = compute_spectral_bound(matrix)
    assert_close(bound, (values**8).sum() ** (1 / 8))
    assert values.max() <= bound < 0.7 * matrix.norm()


@pytest.mark.parametrize(("lower", "upper"), [(0.001, 1.0), (0.1, 1.9), (0.7, 1.3)])
def test_best_quintic_equioscillates(lower, upper):
    (a, b, c), error = compute_best_quintic(lower, upper)
    x = torch.linspace(lower, upper, 200_001, dtype=torch.float64)
    deviation = a * x + b * x**3 + c * x**5 - 1
    assert deviation.abs().max().item() == pytest.approx(error, abs=1e-8)
    assert deviation[0].item() == pytest.approx(-error, abs=1e-10)
    assert deviation[-1].item() == pytest.approx(error, abs=1e-10)
    inside = deviation[1:-1]
    assert inside.max().item() == pytest.approx(error, abs=1e-6)
    assert inside.min().item() == pytest.approx(-error, abs=1e-6)
    # no quintic nearby does better
    generator = torch.Generator().manual_seed(0)
    for nudge in 1e-3 * torch.randn(20, 3, generator=generator, dtype=torch.float64):
        other = (a + nudge[0]) * x + (b + nudge[1]) * x**3 + (c + nudge[2]) * x**5 - 1
        assert other.abs().max() > error


def test_best_quintic_near_1_is_taylors():
    (a, b, c), error = compute_best_quintic(0.99, 1.01)
    assert (a, b, c) == pytest.approx((15 / 8, -10 / 8, 3 / 8), abs=1e-3)
    assert error < 1e-5
    assert compute_best_quintic(2.0, 2.0)[0] == pytest.approx((15 / 16, -10 / 64, 3 / 256))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: compute_polar_express(0, 0.1), "num_steps must be at least 1, got 0"),
        (lambda: compute_polar_express(3, 0.0), "lower must be in"),
        (lambda: compute_polar_express(3, 0.1, 0.9), "safety"),
        (lambda: compute_best_quintic(2.0, 1.0), "needs 0 < lower <= upper, got lower=2.0"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
