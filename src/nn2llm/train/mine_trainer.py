"""Pretraining with the learner's own parts: the loop of pretrain.py, which calls their functions.

The model stays the library's: the parts (models/parts/forward.py) train its parameters. So checkpoints are
those of any run, and held-out loss, samples and chat come from the library's parts on the same weights: if a
part were not what it was checked to be, the two losses would part.

Read pretrain.py and mine.py before. Used by train/pretrain.py, where a run's config is a `MineConfig`.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from rich.console import Console
from torch import Tensor
from torch.optim.optimizer import Optimizer

from nn2llm.core.run_folder import RunFolder
from nn2llm.data.batches import Batch
from nn2llm.models.gpt import GPT
from nn2llm.models.parts.forward import PartsForward
from nn2llm.models.parts.loading import load_functions, name_part
from nn2llm.optim.clipping import clip_grad_norm
from nn2llm.optim.combined import CombinedOptimizer, OptimizerConfig, build_optimizer
from nn2llm.train.distributed import Processes
from nn2llm.train.mine import read_run_parts
from nn2llm.train.pretrain import Pretrainer
from nn2llm.train.pretrain_config import MineConfig
from nn2llm.train.profiling import StepProfiler
from nn2llm.train.stage_result import PretrainResult

__all__ = ["LearnersAdamW", "MinePretrainer", "measure_slowdown"]

_Functions = Mapping[str, Callable[..., Any]]
_QUICK_S = 0.5
"""A step that takes less is timed three times."""


class MinePretrainer(Pretrainer):
    """A run that calls the code in its folder mine/."""

    config: MineConfig

    def __init__(self, config: MineConfig, run: RunFolder, processes: Processes, console: Console) -> None:
        super().__init__(config, run, processes, console)
        self.sources = read_run_parts(run, config)
        self.functions = load_functions(self.sources)
        forward = PartsForward(self.model, self.functions)
        self.compute_hidden = forward.compute_hidden
        self.compute_loss = forward.compute_loss
        self.optimizer = _take_over(self.optimizer, self.functions)

    def train(self, profiler: StepProfiler | None = None) -> PretrainResult:
        """As `Pretrainer.train`; a run that begins says first what its own parts cost."""
        if self.step == 0:
            with name_part(self.sources, "at step 1"):
                ratio = measure_slowdown(
                    self.model,
                    self.functions,
                    self.config.optimizer,
                    num_rows=self.micro_batch_size,
                    seq_len=self.config.num_tokens_in_row,
                )
            self._say(f"A step with your parts takes {ratio:.1f} times as long as the library's.")
        return super().train(profiler)

    def train_step(self) -> dict[str, Any]:
        """As `Pretrainer.train_step`; what fails inside a part is said in one sentence.

        Raises:
            PartError: if the learner's code raises.
        """
        with name_part(self.sources, f"at step {self.step + 1}"):
            return super().train_step()

    def compute_lr_factor(self) -> float:
        """By the learner's schedule, where they have one and the config asks for its kind."""
        own, schedule = self.functions.get("cosine_schedule"), self.config.schedule
        if own is None or schedule.kind != "cosine":
            return super().compute_lr_factor()
        return float(own(self.step, self.config.steps, schedule.warmup_steps, schedule.floor))

    def clip_gradients(self) -> Tensor:
        """By the learner's clipping, where they have one and the config asks for it."""
        own, max_norm = self.functions.get("clip_gradients"), self.config.max_grad_norm
        if own is None or max_norm is None:
            return super().clip_gradients()
        norm = clip_grad_norm(self.parameters, float("inf"))
        moving = [parameter for parameter in self.parameters if parameter.grad is not None]
        clipped = own([parameter.grad for parameter in moving], max_norm)
        for parameter, gradient in zip(moving, clipped, strict=True):
            parameter.grad = gradient
        return norm

    def move(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """One step; in the learner's training_step, where they have one.

        Their loss is that of all rows at once, whatever micro_batch_size says.
        """
        own = self.functions.get("training_step")
        if own is None:
            return super().move(batch)
        batch = batch.to(self.device)
        num_labels = (batch.labels != -100).sum()
        losses: list[Tensor] = []

        def compute_loss(batch: Batch) -> Tensor:
            hidden = self.compute_hidden(batch.input_ids, document_ids=batch.document_ids)
            loss = self.compute_loss(hidden, batch.labels, reduction="sum") / num_labels.clamp(min=1)
            losses.append(loss.detach())
            return loss

        optimizer = _ClippedStep(self)
        own(compute_loss, batch, optimizer)
        self.optimizer.zero_grad()
        return losses[-1], num_labels, optimizer.grad_norm


class _ClippedStep:
    """What the learner's training_step sees as the optimizer: clipping belongs to its step."""

    def __init__(self, trainer: MinePretrainer) -> None:
        self._trainer = trainer
        self.grad_norm = torch.zeros(())
        self.param_groups = trainer.optimizer.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self._trainer.optimizer.zero_grad(set_to_none)

    def step(self) -> None:
        """Clip, then move."""
        self.grad_norm = self._trainer.clip_gradients()
        self._trainer.optimizer.step()


class LearnersAdamW(Optimizer):
    """AdamW's parameter groups and state, moved by the learner's adamw_step."""

    def __init__(self, groups: list[dict[str, Any]], step: Callable[..., Any]) -> None:
        super().__init__(groups, {})
        self._own_step = step

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(weight)
                    state["exp_avg_sq"] = torch.zeros_like(weight)
                state["step"] += 1
                moved, state["exp_avg"], state["exp_avg_sq"] = self._own_step(
                    weight.detach(),
                    weight.grad,
                    state["exp_avg"],
                    state["exp_avg_sq"],
                    state["step"],
                    group["lr"],
                    beta1,
                    beta2,
                    group["eps"],
                    group["weight_decay"],
                )
                weight.copy_(moved)


def _take_over(optimizer: CombinedOptimizer, functions: _Functions) -> CombinedOptimizer:
    """The same optimizers, with the learner's AdamW in the place of torch's, where they have one."""
    own = functions.get("adamw_step")
    if own is None:
        return optimizer
    return CombinedOptimizer(
        LearnersAdamW([_copy_group(group) for group in one.param_groups], own)
        if isinstance(one, torch.optim.AdamW)
        else one
        for one in optimizer.optimizers
    )


def _copy_group(group: dict[str, Any]) -> dict[str, Any]:
    """With the names beside the parameters, as an optimizer takes them."""
    named = {name: value for name, value in group.items() if name != "param_names"}
    return named | {"params": list(zip(group["param_names"], group["params"], strict=True))}


def measure_slowdown(
    model: GPT, functions: _Functions, config: OptimizerConfig, *, num_rows: int, seq_len: int
) -> float:
    """How many times as long a step takes with `functions` as with the library alone.

    Measured on a copy of the model and tokens of its own: the run's weights and random numbers stay.
    """
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (num_rows, seq_len + 1), generator=generator)
    ids = ids.to(model.device)
    with torch.random.fork_rng():
        library, own = (_time_step(model, chosen, config, ids) for chosen in ({}, functions))
    return own / library


def _time_step(model: GPT, functions: _Functions, config: OptimizerConfig, ids: Tensor) -> float:
    """Seconds of a step: forward, backward, optimizer; the shortest of three, or of one that is slow."""
    model = copy.deepcopy(model).train()
    forward = PartsForward(model, functions)
    optimizer = _take_over(
        build_optimizer(model.named_parameters(), config, split_rows=model.fused_rows()), functions
    )
    times: list[float] = []
    for attempt in range(4):
        began = time.perf_counter()
        loss = forward.compute_loss(forward.compute_hidden(ids[:, :-1]), ids[:, 1:])
        loss.backward()
        optimizer.step()
        loss.item()  # waits for the device
        seconds = time.perf_counter() - began
        if attempt or seconds > _QUICK_S:  # the first warms up
            times.append(seconds)
        if sum(times) > _QUICK_S:
            break
        optimizer.zero_grad()
    return min(times)
