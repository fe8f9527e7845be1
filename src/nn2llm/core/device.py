"""Which device to compute on, in which precision, and whether it computes what the CPU computes.

Speed is measured, never guessed from a name: many CPUs and older GPUs accept bfloat16 and are slower at it.
Results are compared with float64 on the CPU, because a GPU backend can be wrong without a word
(Apple GPUs have been: LLMs-from-scratch #791). Used by train/, generation/ and `nn2llm doctor`.
"""

import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from nn2llm.core.errors import ConfigError, DeviceError
from nn2llm.core.machine import count_usable_cores

__all__ = [
    "Comparison",
    "Precision",
    "choose_device",
    "choose_num_threads",
    "choose_precision",
    "compare_with_cpu",
    "list_devices",
    "measure_matmul_speed",
    "synchronize",
]

MIN_SPEEDUP = 1.3
"""Lower precision costs accuracy and casts; below this gain it is not worth them."""

_MAX_BFLOAT16_ERROR = 0.03
# bfloat16 keeps 8 bits: a rounding step is 2^-8 = 0.4%, and a layer of rounded products stays within a few


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """How the forward pass computes. Weights, gradients and the optimizer stay in float32."""

    name: Literal["fp32", "bf16", "fp16"]
    autocast_dtype: torch.dtype | None
    """What `torch.autocast` casts matrix products to; None computes in float32."""
    needs_grad_scaler: bool
    """fp16's smallest number is 6e-8: without a GradScaler small gradients become zero."""
    why: str
    """The reason, with the figures measured."""

    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        """The context of a forward pass on `device`."""
        context: AbstractContextManager[None] = torch.autocast(
            device.type, dtype=self.autocast_dtype, enabled=self.autocast_dtype is not None
        )
        return context


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One computation on the device, against the same in float64 on the CPU."""

    name: str
    max_relative_error: float
    """Largest |device − CPU| over the largest |CPU|, of all its results; infinite if one is not a number."""
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance."""
        return self.max_relative_error <= self.tolerance


def list_devices() -> list[str]:
    """Names `choose_device` accepts here, best first."""
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return cuda + (["mps"] if torch.backends.mps.is_available() else []) + ["cpu"]


def choose_device(requested: str = "auto") -> torch.device:
    """The device for "auto", "cpu", "cuda", "cuda:1" or "mps"; auto takes the first of `list_devices`.

    Raises:
        DeviceError: if the device is unknown or absent, or cannot run one addition.
    """
    available = list_devices()
    wanted = {"auto": available[0], "cuda": "cuda:0"}.get(requested, requested)
    if wanted not in available:
        raise DeviceError(
            f"Device {requested!r} is not available. Here there is {', '.join(available)}; "
            "--device auto takes the best."
        )
    device = torch.device(wanted)
    try:
        torch.ones(1, device=device).add_(1).item()
    except RuntimeError as error:
        # A GPU newer than the torch build, or a driver older than it, is found and fails at its first kernel.
        reason = str(error).strip().splitlines()[0]
        raise DeviceError(
            f"Device {wanted!r} was found but cannot compute ({reason}). "
            "Update its driver or torch, or use --device cpu."
        ) from error
    return device


def choose_num_threads() -> int:
    """Threads for CPU work: the cores this process may use, or OMP_NUM_THREADS where it is set."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) > 0 else count_usable_cores()


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all it was given; the CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def choose_precision(
    device: torch.device, requested: str = "auto", *, forward: Callable[[], Tensor] | None = None
) -> Precision:
    """The precision to train in on `device`.

    "auto" times `forward` (a small part of what will be trained, in float32, its parameters on `device`) and
    its backward pass, under autocast and without, in about 0.4 s. It lowers the precision only where that is
    at least MIN_SPEEDUP times as fast and gives the same result up to rounding.

    Raises:
        ConfigError: if `requested` is not auto, fp32, bf16 or fp16.
        DeviceError: for fp16 without CUDA.
        ValueError: for auto without `forward`.
    """
    if requested == "fp32":
        return _float32("asked for")
    if requested == "bf16":
        return _bfloat16("asked for")
    if requested == "fp16":
        if device.type != "cuda":
            raise DeviceError(f"fp16 needs a CUDA GPU, got {device.type!r}. Use bf16 or fp32.")
        return _float16("asked for")
    if requested != "auto":
        raise ConfigError(f"precision must be auto, fp32, bf16 or fp16, got {requested!r}.")
    if device.type == "mps":
        return _float32("bf16 is not tested on Apple GPUs; ask for it with --precision bf16")
    if forward is None:
        raise ValueError("precision 'auto' needs forward, something to measure, got None.")
    speedup, error = _compare_precisions(device, torch.bfloat16, forward)
    measured = f"bf16 is {speedup:.1f} times as fast as fp32 here, with a relative error of {error:.1e}"
    if speedup >= MIN_SPEEDUP and error <= _MAX_BFLOAT16_ERROR:
        return _bfloat16(measured)
    if device.type == "cuda":
        half_speedup, half_error = _compare_precisions(device, torch.float16, forward)
        if half_speedup >= MIN_SPEEDUP and half_error <= _MAX_BFLOAT16_ERROR:
            return _float16(
                f"fp16 is {half_speedup:.1f} times as fast as fp32 here, bf16 {speedup:.1f} times"
            )
    return _float32(f"{measured}; it is taken from {MIN_SPEEDUP} times on")


def _float32(why: str) -> Precision:
    return Precision(name="fp32", autocast_dtype=None, needs_grad_scaler=False, why=why)


def _bfloat16(why: str) -> Precision:
    return Precision(name="bf16", autocast_dtype=torch.bfloat16, needs_grad_scaler=False, why=why)


def _float16(why: str) -> Precision:
    return Precision(name="fp16", autocast_dtype=torch.float16, needs_grad_scaler=True, why=why)


def _compare_precisions(
    device: torch.device, dtype: torch.dtype, forward: Callable[[], Tensor]
) -> tuple[float, float]:
    """(how many times as fast as float32, largest relative error) of `forward` and its backward pass.

    Not of a matrix product alone, which promises more than a step keeps (on this CPU 1.7 times, where a whole
    step gained nothing): autocast casts every weight each time, and norms and attention do not gain.
    """

    def run(lowered: bool) -> Tensor:
        with torch.autocast(device.type, dtype=dtype, enabled=lowered):
            output = forward()
        output.float().sum().backward()
        return output.detach().float()

    try:
        error = _relative_error(run(True), run(False))
        full_s, lowered_s = _time_best([lambda: run(False), lambda: run(True)], device, budget_s=0.3)
    except RuntimeError:  # the device has no such product
        return 0.0, math.inf
    return full_s / lowered_s, error


def _time_best(
    works: Sequence[Callable[[], object]], device: torch.device, *, budget_s: float
) -> list[float]:
    """Seconds that one call of each work takes at best, in at least three rounds, within about `budget_s`.

    The best, not the median: other programs on the machine only ever add time.
    The works take turns, so that all of them meet the same load.
    """
    for work in works:
        work()
    times: list[list[float]] = []
    while len(times) < 3 or (sum(map(sum, times)) < budget_s and len(times) < 200):
        times.append([])
        for work in works:
            synchronize(device)
            start = time.perf_counter()
            work()
            synchronize(device)
            times[-1].append(time.perf_counter() - start)
    return [min(column) for column in zip(*times, strict=True)]


def measure_matmul_speed(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a square matrix product, the ceiling of training speed; 0 if the device has none in `dtype`.

    A product of two n × n matrices is 2·n³ FLOPs. n doubles from 256 until one product takes 10 ms,
    so that a GPU is full and a slow CPU is not kept waiting.
    """
    best, n = 0.0, 256
    try:
        while n <= 16384:
            a = torch.randn(n, n, device=device).to(dtype)
            with torch.inference_mode():
                (seconds,) = _time_best([partial(torch.matmul, a, a)], device, budget_s=0.1)
            best = max(best, 2 * n**3 / seconds)
            if seconds > 0.01:
                break
            n *= 2
    except RuntimeError:  # out of memory, or no such product
        pass
    return best


def compare_with_cpu(device: torch.device) -> list[Comparison]:
    """Compute small pieces of a language model in float32 on `device`, and in float64 on the CPU.

    float32 rounds at 1.2e-7, and sums of a few hundred terms lose one or two more digits; wrong kernels
    are off by far more than the tolerance of 1e-4.
    """
    checks: dict[str, Callable[[torch.device, torch.dtype], list[Tensor]]] = {
        "forward": _compute_forward,
        "backward": _compute_backward,
        "attention": _compute_attention,
        "cross-entropy": _compute_cross_entropy,
        "optimizer step": _compute_optimizer_step,
    }
    results = []
    for name, compute in checks.items():
        expected = compute(torch.device("cpu"), torch.float64)
        try:
            got = compute(device, torch.float32)
            error = max(_relative_error(a.detach().cpu(), b) for a, b in zip(got, expected, strict=True))
        except RuntimeError:
            error = math.inf
        results.append(Comparison(name=name, max_relative_error=error, tolerance=1e-4))
    return results


def _relative_error(got: Tensor, expected: Tensor) -> float:
    difference = (got.double() - expected.double()).abs().max().item()
    error = difference / max(expected.double().abs().max().item(), 1e-12)
    return error if math.isfinite(error) else math.inf


def _random(*shape: int, seed: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The same float32 numbers for every device and dtype."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(device=device, dtype=dtype)


def _run_block(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, list[Tensor]]:
    """A layer norm and a feed-forward layer, wide enough to reach the kernels that training uses."""
    x, up, down, gain = (
        _random(*shape, seed=seed, device=device, dtype=dtype).requires_grad_()
        for seed, shape in enumerate([(4, 96, 128), (512, 128), (128, 512), (128,)])
    )
    hidden = F.gelu(F.linear(F.layer_norm(x, (128,), gain), up / 128**0.5))
    return (x + F.linear(hidden, down / 512**0.5)).softmax(-1), [x, up, down, gain]


def _compute_forward(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    return [_run_block(device, dtype)[0]]


def _compute_backward(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    output, inputs = _run_block(device, dtype)
    return list(torch.autograd.grad(output.square().sum(), inputs))


def _compute_attention(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    # [B, T, H, D] transposed to [B, H, T, D]: a view with strides, as a model makes it
    inputs = [
        _random(2, 160, 4, 64, seed=10 + i, device=device, dtype=dtype).requires_grad_() for i in range(3)
    ]
    query, key, value = (x.transpose(1, 2) for x in inputs)
    output = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    return [output, *torch.autograd.grad(output.square().sum(), inputs)]


def _compute_cross_entropy(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    logits = (10 * _random(256, 1031, seed=20, device=device, dtype=dtype)).requires_grad_()
    labels = torch.randint(0, 1031, (256,), generator=torch.Generator().manual_seed(21))
    labels[::7] = -100
    loss = F.cross_entropy(logits, labels.to(device), ignore_index=-100)
    return [loss, *torch.autograd.grad(loss, [logits])]


def _compute_optimizer_step(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
    # In-place on a transposed weight: Apple GPUs have left such tensors unchanged.
    weight, gradient, square = (
        _random(64, 96, seed=30 + i, device=device, dtype=dtype).t() for i in range(3)
    )
    square = square.square()
    square.mul_(0.95).addcmul_(gradient, gradient, value=0.05)
    weight.mul_(0.99).addcdiv_(gradient, square.sqrt().add_(1e-3), value=-0.1)
    return [weight, square]
