"""All parts together at the size of a run, before anything of the run is written.

The checks are small, so that their numbers can be read. A part that fits only their sizes (a mask of 7 x 7,
a batch of two) passes them and fails here: one layer of the run's model, on rows as many and as long as in
the run, forward and backward, against the library's.

Read checking.py and forward.py before. Used by cli/mine.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nn2llm.core.errors import Nn2llmError
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.models.parts import PARTS, PartError, PartSource
from nn2llm.models.parts.forward import PartsForward
from nn2llm.models.parts.loading import load_functions, name_part, say_error, suggest_remedy

__all__ = ["rehearse"]

_VOCAB_SIZE = 256
_LOSS_TOLERANCE, _GRADIENT_TOLERANCE = 1e-3, 1e-2
"""Nats, and parts of the gradient's norm: far above rounding, far below any mistake."""


def rehearse(
    sources: Mapping[str, PartSource],
    config: GPTConfig,
    *,
    num_rows: int,
    num_tokens: int,
    device: torch.device | str = "cpu",
) -> None:
    """One pass with all of `sources`, on `num_rows` rows of `num_tokens` tokens.

    Raises:
        PartError: naming the part that does not fit this size.
    """
    inside = {name: source for name, source in sources.items() if PARTS[name].stage != "training"}
    if "cross_entropy" in sources:
        inside["cross_entropy"] = sources["cross_entropy"]
    if not inside:
        return
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(0)
        # drawn as GPT-2's: the zeros of "scaled" would hide what a part does
        trial = dataclasses.replace(config, n_layer=1, vocab_size=_VOCAB_SIZE, init="gpt2", dropout=0.0)
        model = GPT(trial).to(device).train()
        ids = torch.randint(_VOCAB_SIZE, (num_rows, num_tokens + 1)).to(device)
        size = f"on {num_rows} rows of {num_tokens} tokens, the size of this run"
        expected = _run(PartsForward(model, {}), ids)
        if _find_mistake(inside, model, ids, expected, size) is None:
            return
        for name, source in inside.items():  # which one is it?
            if mistake := _find_mistake({name: source}, model, ids, expected, size):
                raise PartError(
                    f"Your part {name} agrees in small, but not {size}: {mistake}. {suggest_remedy(source)}"
                )
        raise PartError(
            f"Your parts {', '.join(inside)} agree one by one, but together, {size}, not with the library. "
            "Train with one by --mine-parts NAME, then add others, to find the two that do not fit."
        )


def _find_mistake(
    sources: Mapping[str, PartSource],
    model: GPT,
    ids: Tensor,
    expected: tuple[float, list[Tensor]],
    size: str,
) -> str | None:
    """What differs from `expected`, in words; None where nothing does."""
    functions = load_functions(sources)
    try:
        with name_part(sources, size):
            loss, gradients = _run(PartsForward(model, functions), ids)
    except Nn2llmError:
        raise
    except Exception as error:  # not inside a part, but in what took its result
        return say_error(error)
    right_loss, right_gradients = expected
    if not abs(loss - right_loss) <= _LOSS_TOLERANCE:  # NaN is wrong too
        return f"the loss is {loss:.6g}, expected {right_loss:.6g}"
    off = _compute_norm([one - other for one, other in zip(gradients, right_gradients, strict=True)])
    norm = _compute_norm(right_gradients)
    if not off <= _GRADIENT_TOLERANCE * norm:
        return f"the gradient of the weights is off by {off / norm:.1%}"
    return None


def _run(forward: PartsForward, ids: Tensor) -> tuple[float, list[Tensor]]:
    """Loss in nats, and the gradient of every parameter; `ids` [B, T + 1]."""
    forward.model.zero_grad()
    loss = forward.compute_loss(forward.compute_hidden(ids[:, :-1]), ids[:, 1:])
    loss.backward()
    gradients = [
        torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for parameter in forward.model.parameters()
    ]
    return loss.item(), gradients


def _compute_norm(tensors: Sequence[Tensor]) -> float:
    return float(torch.stack([tensor.norm() for tensor in tensors]).norm())
