"""What is compared of the parts of a training step: loss, step, clipping, AdamW, schedule; and of sampling.

Read checking.py before. The optimizer and the schedule are compared over several steps and settings, because
their usual mistakes (no bias correction, a warm-up that begins at 0) show only in some of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from nn2llm.losses.cross_entropy import cross_entropy
from nn2llm.models.parts.checking import Check, CheckFailed, Trial, compare
from nn2llm.optim.clipping import clip_grad_norm
from nn2llm.optim.schedules import cosine

__all__ = ["TRAINING_CHECKS", "adamw_step", "next_token_probabilities"]


# --- loss ---------------------------------------------------------------------------------------------------


def _check_loss(trial: Trial, *, rows: int = 6, scale: float = 1.0) -> None:
    logits, labels = trial.draw(rows, 5, scale=scale), trial.draw_ids(rows, high=5)
    compare(trial, "cross_entropy", lambda x, y: cross_entropy(x, y), logits, labels, wrt=(0,))


def _check_large_logits(trial: Trial) -> None:
    logits, labels = trial.draw_whole(6, 5, scale=500), trial.draw_ids(6, high=5)
    compare(trial, "cross_entropy", lambda x, y: cross_entropy(x, y), logits, labels)


# --- a step -------------------------------------------------------------------------------------------------


def _train(trial: Trial, step: Callable[..., object]) -> tuple[list[Tensor], list[float], int]:
    """Three steps on a small linear model that begins with a gradient left over from before."""
    weight = torch.tensor([0.5, -1.0, 2.0], device=trial.device, requires_grad=True)
    weight.grad = torch.ones_like(weight)
    optimizer = _CountingSGD([weight], lr=0.1)
    generator = torch.Generator().manual_seed(7)
    weights, losses = [], []
    for _ in range(3):
        x = torch.randn(4, 3, generator=generator).to(trial.device)
        loss = step(lambda batch: (batch @ weight).square().mean(), x, optimizer)
        weights.append(weight.detach().clone())
        value = loss.detach() if isinstance(loss, Tensor) else loss
        losses.append(float(value) if isinstance(value, (Tensor, float, int)) else math.nan)
    return weights, losses, optimizer.num_steps


class _CountingSGD(torch.optim.SGD):
    num_steps = 0

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        self.num_steps += 1
        super().step()


def _step(
    compute_loss: Callable[[Tensor], Tensor], batch: Tensor, optimizer: torch.optim.Optimizer
) -> Tensor:
    optimizer.zero_grad()
    loss = compute_loss(batch)
    loss.backward()
    optimizer.step()
    return loss


def _check_step(trial: Trial) -> None:
    weights, losses, num_steps = _train(trial, trial.functions["training_step"])
    right, right_losses, _ = _train(trial, _step)
    for number, (one, other) in enumerate(zip(weights, right, strict=True), start=1):
        if not torch.allclose(one, other, atol=1e-6, rtol=1e-5):
            raise CheckFailed(
                f"after step {number} the weights are {_list(one)}, expected {_list(other)} "
                f"(optimizer.step() was called {num_steps} times in 3 steps; an old gradient stood there)."
            )
    if any(math.isnan(loss) for loss in losses):
        raise CheckFailed("it returned no loss; return the one that was computed.")
    for number, (loss, expected) in enumerate(zip(losses, right_losses, strict=True), start=1):
        if abs(loss - expected) > 1e-5 * max(1.0, abs(expected)):
            raise CheckFailed(f"step {number} returned the loss {loss:.6g}, expected {expected:.6g}.")


def _list(tensor: Tensor) -> str:
    return "[" + ", ".join(f"{value:.5g}" for value in tensor.tolist()) + "]"


def _clip(gradients: list[Tensor], max_norm: float) -> list[Tensor]:
    holders = [torch.zeros_like(gradient) for gradient in gradients]
    for holder, gradient in zip(holders, gradients, strict=True):
        holder.grad = gradient.clone()
    clip_grad_norm(holders, max_norm)
    return [holder.grad for holder in holders if holder.grad is not None]


def _check_clipping(trial: Trial, *, max_norm: float, scale: float = 1.0) -> None:
    gradients = [trial.draw(4, 3, scale=scale), trial.draw(5, scale=5 * scale), trial.draw(1, scale=scale)]
    compare(trial, "clip_gradients", _clip, gradients, max_norm)


# --- AdamW --------------------------------------------------------------------------------------------------


def adamw_step(
    weight: Tensor,
    gradient: Tensor,
    m: Tensor,
    v: Tensor,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """optim/adam.py's AdamW as a function of everything that it depends on."""
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient.square()
    m_hat, v_hat = m / (1 - beta1**step), v / (1 - beta2**step)
    return weight * (1 - lr * weight_decay) - lr * m_hat / (v_hat.sqrt() + eps), m, v


def _check_adamw(
    trial: Trial, *, step: int, eps: float = 1e-8, weight_decay: float = 0.1, shape: tuple[int, ...] = (4, 3)
) -> None:
    weight, gradient = trial.draw(*shape), trial.draw(*shape)
    # as after some steps; at the first both are zero
    m = trial.draw(*shape) if step > 1 else torch.zeros_like(weight)
    v = trial.draw(*shape).square() if step > 1 else torch.zeros_like(weight)
    settings = (step, 0.05, 0.9, 0.95, eps, weight_decay)
    compare(trial, "adamw_step", adamw_step, weight, gradient, m, v, *settings)


def _check_no_gradient(trial: Trial) -> None:
    weight, zero = trial.draw(4), torch.zeros(4, device=trial.device)
    compare(trial, "adamw_step", adamw_step, weight, zero, zero, zero, 1, 0.05, 0.9, 0.95, 1e-8, 0.1)


# --- schedule and sampling ----------------------------------------------------------------------------------


def _check_schedule(trial: Trial, *, total: int, warmup: int, floor: float) -> None:
    def reference(step: int, total_steps: int, warmup_steps: int, floor: float) -> float:
        return cosine(step, total_steps, warmup_steps=warmup_steps, floor=floor)

    for step in range(total):
        compare(trial, "cosine_schedule", reference, step, total, warmup, floor)


def next_token_probabilities(logits: Tensor, temperature: float, top_k: int | None) -> Tensor:
    """Temperature, then top-k, then softmax: what generation/sampling.py does with these two rules."""
    logits = logits / temperature
    if top_k is not None:
        smallest_kept = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < smallest_kept, -math.inf)
    return F.softmax(logits, dim=-1)


def _check_sampling(trial: Trial, *, temperature: float, top_k: int | None, rows: int = 3) -> None:
    name = "next_token_probabilities"
    compare(trial, name, next_token_probabilities, trial.draw(rows, 7), temperature, top_k)


def _check_sampling_large(trial: Trial) -> None:
    logits = trial.draw_whole(3, 7, scale=500) + torch.arange(7, device=trial.device)  # no ties
    compare(trial, "next_token_probabilities", next_token_probabilities, logits, 1.0, 3)


def _with(check: Callable[..., None], **options: object) -> Callable[[Trial], None]:
    return lambda trial: check(trial, **options)


TRAINING_CHECKS: dict[str, tuple[Check, ...]] = {
    "cross_entropy": (
        Check("random logits", _check_loss),
        Check("one row", _with(_check_loss, rows=1)),
        Check("all logits equal", _with(_check_loss, scale=0.0)),
        Check("large logits", _check_large_logits),
    ),
    "training_step": (Check("three steps, with an old gradient at the start", _check_step),),
    "gradient_clipping": (
        Check("the joint norm is above max_norm", _with(_check_clipping, max_norm=1.0)),
        Check("the joint norm is below max_norm", _with(_check_clipping, max_norm=1e3)),
        Check("all gradients are zero", _with(_check_clipping, max_norm=1.0, scale=0.0)),
    ),
    "adamw": (
        Check("the first step", _with(_check_adamw, step=1)),
        Check("step 5", _with(_check_adamw, step=5)),
        Check("eps stands outside the root", _with(_check_adamw, step=3, eps=0.5)),
        Check("no weight decay", _with(_check_adamw, step=2, weight_decay=0.0)),
        Check("decay does not pass through the gradient", _with(_check_adamw, step=2, weight_decay=2.0)),
        Check("a vector of one", _with(_check_adamw, step=4, shape=(1,))),
        Check("no gradient yet", _check_no_gradient),
    ),
    "cosine_schedule": (
        Check("no warm-up", _with(_check_schedule, total=9, warmup=0, floor=0.0)),
        Check("warm-up and floor", _with(_check_schedule, total=12, warmup=4, floor=0.1)),
        Check("warm-up of one step", _with(_check_schedule, total=5, warmup=1, floor=0.0)),
        Check("nothing but warm-up", _with(_check_schedule, total=3, warmup=3, floor=0.0)),
        Check("one step in all", _with(_check_schedule, total=1, warmup=0, floor=0.0)),
    ),
    "sampling": (
        Check("temperature 1", _with(_check_sampling, temperature=1.0, top_k=None)),
        Check("a temperature below 1", _with(_check_sampling, temperature=0.5, top_k=None)),
        Check("a temperature above 1", _with(_check_sampling, temperature=2.0, top_k=None)),
        Check("top-k", _with(_check_sampling, temperature=0.8, top_k=3)),
        Check("top-k of one", _with(_check_sampling, temperature=1.0, top_k=1, rows=1)),
        Check("top-k of more than all", _with(_check_sampling, temperature=1.0, top_k=50)),
        Check("large logits", _check_sampling_large),
    ),
}
"""By the part's name; checked in this order."""
