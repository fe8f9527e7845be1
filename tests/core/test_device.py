import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from nn2llm.core import device as device_module
from nn2llm.core.device import (
    Precision,
    choose_device,
    choose_num_threads,
    choose_precision,
    compare_with_cpu,
    list_devices,
    measure_matmul_speed,
)
from nn2llm.core.errors import ConfigError, DeviceError

CPU = torch.device("cpu")


def pretend(monkeypatch: pytest.MonkeyPatch, *, num_gpus: int, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *shape, device=None: ones(*shape))


@pytest.mark.parametrize(
    ("num_gpus", "mps", "requested", "expected"),
    [
        (0, False, "auto", "cpu"),
        (2, False, "auto", "cuda:0"),
        (2, False, "cuda", "cuda:0"),
        (2, False, "cuda:1", "cuda:1"),
        (0, True, "auto", "mps"),
        (1, True, "cpu", "cpu"),
    ],
)
def test_devices_are_chosen(
    monkeypatch: pytest.MonkeyPatch, num_gpus: int, mps: bool, requested: str, expected: str
):
    pretend(monkeypatch, num_gpus=num_gpus, mps=mps)
    assert choose_device(requested) == torch.device(expected)


@pytest.mark.parametrize("requested", ["cuda:2", "mps", "gpu", "", "cuda:-1"])
def test_an_absent_device_is_refused_and_the_present_ones_are_named(
    monkeypatch: pytest.MonkeyPatch, requested: str
):
    pretend(monkeypatch, num_gpus=2, mps=False)
    assert list_devices() == ["cuda:0", "cuda:1", "cpu"]
    with pytest.raises(DeviceError, match=f"'{requested}' is not available.*cuda:0, cuda:1, cpu"):
        choose_device(requested)


def test_a_gpu_that_dies_at_its_first_kernel_is_refused(monkeypatch: pytest.MonkeyPatch):
    pretend(monkeypatch, num_gpus=1, mps=False)

    def fail(*_: int, device: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution\nCUDA kernel errors…")

    monkeypatch.setattr(torch, "ones", fail)
    expected = r"'cuda:0' was found but cannot compute \(CUDA error: no kernel image[^\n]*--device cpu"
    with pytest.raises(DeviceError, match=expected):
        choose_device("auto")


@pytest.mark.parametrize(("variable", "expected"), [("3", 3), ("", 5), ("0", 5), ("4,2", 5)])
def test_threads_follow_the_cores_unless_set(monkeypatch: pytest.MonkeyPatch, variable: str, expected: int):
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    monkeypatch.setattr(device_module, "count_usable_cores", lambda: 5)
    assert choose_num_threads() == expected


def measured(**speedups: tuple[float, float]) -> Callable[..., tuple[float, float]]:
    return lambda device, dtype, forward: speedups[str(dtype).removeprefix("torch.")]


GOOD, BAD = 0.004, 0.3


@pytest.mark.parametrize(
    ("kind", "bfloat16", "float16", "expected", "scaler"),
    [
        ("cpu", (1.29, GOOD), (9.0, GOOD), "fp32", False),
        ("cpu", (1.3, GOOD), (9.0, GOOD), "bf16", False),
        ("cpu", (4.0, BAD), (9.0, GOOD), "fp32", False),
        ("cuda", (6.0, GOOD), (6.0, GOOD), "bf16", False),
        ("cuda", (0.4, GOOD), (5.0, GOOD), "fp16", True),
        ("cuda", (0.0, math.inf), (1.2, GOOD), "fp32", False),
        ("mps", (9.0, GOOD), (9.0, GOOD), "fp32", False),
    ],
)
def test_precision_is_lowered_only_where_it_is_faster_and_right(
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    bfloat16: tuple[float, float],
    float16: tuple[float, float],
    expected: str,
    scaler: bool,
):
    monkeypatch.setattr(device_module, "_compare_precisions", measured(bfloat16=bfloat16, float16=float16))
    precision = choose_precision(torch.device(kind), "auto", forward=lambda: torch.ones(1))
    assert (precision.name, precision.needs_grad_scaler) == (expected, scaler)
    assert precision.why


@pytest.mark.parametrize(
    ("kind", "requested", "dtype", "scaler"),
    [
        ("cpu", "fp32", None, False),
        ("cpu", "bf16", torch.bfloat16, False),
        ("cuda", "fp16", torch.float16, True),
    ],
)
def test_a_precision_that_is_asked_for_is_given_unmeasured(
    monkeypatch: pytest.MonkeyPatch, kind: str, requested: str, dtype: torch.dtype | None, scaler: bool
):
    monkeypatch.setattr(device_module, "_compare_precisions", measured())
    precision = choose_precision(torch.device(kind), requested)
    assert precision == Precision(
        name=requested, autocast_dtype=dtype, needs_grad_scaler=scaler, why="asked for"
    )


def test_unknown_and_impossible_precisions_are_refused():
    with pytest.raises(ConfigError, match="precision must be auto, fp32, bf16 or fp16, got 'int8'"):
        choose_precision(CPU, "int8")
    with pytest.raises(DeviceError, match="fp16 needs a CUDA GPU, got 'cpu'"):
        choose_precision(CPU, "fp16")


def test_the_measurement_sees_bfloat16s_rounding():
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(64, 64, generator=generator, requires_grad=True) for _ in range(2))
    speedup, error = device_module._compare_precisions(CPU, torch.bfloat16, lambda: x @ weight)
    assert speedup > 0
    assert 1e-5 < error < device_module._MAX_BFLOAT16_ERROR  # rounded, and not wrong
    assert x.grad is not None  # the backward pass is measured too


def test_auto_without_anything_to_measure_is_refused():
    with pytest.raises(ValueError, match="needs forward"):
        choose_precision(CPU, "auto")


def test_autocast_computes_in_the_precision_chosen():
    x = torch.ones(2, 2)
    with choose_precision(CPU, "bf16").autocast(CPU):
        assert (x @ x).dtype == torch.bfloat16
    with choose_precision(CPU, "fp32").autocast(CPU):
        assert (x @ x).dtype == torch.float32


def test_this_machine_computes_what_float64_computes():
    results = compare_with_cpu(CPU)
    assert [one.name for one in results] == [
        "forward", "backward", "attention", "cross-entropy", "optimizer step",
    ]  # fmt: skip
    # above zero: float32 was compared with float64, not with itself
    assert all(0 < one.max_relative_error < one.tolerance for one in results)
    assert all(one.passed for one in results)


def sabotage(function: Callable[..., Any], change: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, but changed where the first tensor is float32, which is what the device computes in."""
    return lambda x, *args, **kwargs: (
        change if x.dtype == torch.float32 else function
    )(x, *args, **kwargs)  # fmt: skip


@pytest.mark.parametrize(
    ("place", "name", "change", "caught"),
    [
        (F, "gelu", F.relu, {"forward", "backward"}),
        (
            F,
            "scaled_dot_product_attention",
            lambda q, k, v, is_causal, real=F.scaled_dot_product_attention: real(q, k, v),
            {"attention"},
        ),
        (F, "cross_entropy", lambda x, y, ignore_index: x.mean() * math.nan, {"cross-entropy"}),
        # the fault that Apple GPUs had: an in-place update of a transposed tensor leaves it as it was
        (torch.Tensor, "addcdiv_", lambda x, *_, value: x, {"optimizer step"}),
    ],
)
def test_a_device_that_computes_wrongly_is_caught(
    monkeypatch: pytest.MonkeyPatch, place: Any, name: str, change: Callable[..., Any], caught: set[str]
):
    monkeypatch.setattr(place, name, sabotage(getattr(place, name), change))
    assert {one.name for one in compare_with_cpu(CPU) if not one.passed} == caught


def test_a_kernel_that_fails_is_an_infinite_error(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("not implemented for this device")

    monkeypatch.setattr(F, "gelu", sabotage(F.gelu, fail))
    errors = {one.name: one.max_relative_error for one in compare_with_cpu(CPU)}
    assert errors["forward"] == math.inf
    assert errors["attention"] < 1e-4


def test_speed_counts_two_flops_a_multiplication(monkeypatch: pytest.MonkeyPatch):
    # Each product is said to take 60 ms, so the first size, 256, ends the search: 2·256³ FLOPs in 0.06 s.
    monkeypatch.setattr(device_module, "_time_best", lambda works, device, budget_s: [0.06])
    assert measure_matmul_speed(CPU, torch.float32) == pytest.approx(2 * 256**3 / 0.06)


def test_a_dtype_without_a_product_has_speed_zero():
    assert measure_matmul_speed(CPU, torch.bool) == 0.0
