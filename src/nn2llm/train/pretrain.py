"""Pretraining: predict the next token of raw text, step after step.

`Pretrainer.train` is the loop; it reads top to bottom. Every step depends only on the config, the data and
the step's number, and everything that changes is in the checkpoint: so a run that was killed and resumed
gives the same losses as one that never stopped, to the bit on the same CPU machine, torch build and thread
count.
Read models/gpt.py, data/batches.py and optim/combined.py before. Taught in `training-loop` and `char-lm`.
"""

import math
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from typing import Any, cast

import torch
from rich.console import Console
from torch import Tensor

from nn2llm.core.device import choose_device, choose_num_threads, choose_precision
from nn2llm.core.errors import CheckpointError
from nn2llm.core.files import read_json
from nn2llm.core.progress import TrainingProgress
from nn2llm.core.run_folder import RunFolder, require_empty
from nn2llm.core.seeding import (
    capture_random_state,
    compute_step_seed,
    restore_random_state,
    seed_everything,
)
from nn2llm.data.batches import Batch, PackedLoader
from nn2llm.data.prefetch import PrefetchLoader
from nn2llm.models.accounting import compute_flops_per_token, count_parameters
from nn2llm.models.gpt import GPT
from nn2llm.optim.clipping import clip_grad_norm
from nn2llm.optim.combined import build_optimizer
from nn2llm.optim.schedules import lr_factor
from nn2llm.tokenizers import load_tokenizer
from nn2llm.train.checkpoint import (
    find_last_checkpoint,
    load_model_weights,
    load_trained_model,
    load_training_state,
    save_checkpoint,
)
from nn2llm.train.distributed import Processes
from nn2llm.train.evaluation import (
    compute_bits_per_byte,
    compute_validation_loss,
    count_tokens_per_byte,
)
from nn2llm.train.guards import EarlyStopping, LossGuard
from nn2llm.train.interrupts import Interrupts
from nn2llm.train.pretrain_config import MineConfig, PretrainConfig, load_pretrain_config
from nn2llm.train.profiling import StepProfiler
from nn2llm.train.run_logs import RunLogs
from nn2llm.train.stage_result import PretrainResult
from nn2llm.train.starting import check_rows, describe_run, prepare_data, start_run
from nn2llm.train.text_samples import write_text_sample

__all__ = ["PretrainResult", "Pretrainer", "pretrain"]


def pretrain(
    config: PretrainConfig,
    run: RunFolder,
    *,
    resume: bool = False,
    profile: bool = False,
    console: Console | None = None,
) -> PretrainResult:
    """Train a GPT as `config` says, into the folder `run`; with `resume`, go on where it stopped.

    Resuming a folder without a run starts one, so that a job that may be killed at any time can always be
    started with the same line. Resuming takes the run's own config, and `config` only where there is none.

    Raises:
        Nn2llmError: for a config, corpus, tokenizer, device, disk or loss that does not work.
    """
    processes = Processes.join(choose_device(config.device).type)
    console = (console or Console()) if processes.is_main else Console(quiet=True)
    goes_on = resume and run.exists
    if not goes_on:
        require_empty(run)
    processes.wait()  # until all have looked: one of them writes next
    config = load_pretrain_config(run.config_path) if goes_on else start_run(config, run, processes)
    trainer_class: type[Pretrainer] = Pretrainer
    if isinstance(config, MineConfig):  # parts of it are the learner's own
        from nn2llm.train.mine_trainer import MinePretrainer  # it stands on this module

        trainer_class = MinePretrainer
    with closing(trainer_class(config, run, processes, console)) as trainer:
        if not (goes_on and trainer.resume()):
            trainer.load_parent()
        result = trainer.train(StepProfiler(run.path, trainer.device) if profile else None)
    processes.leave()
    return result


class Pretrainer:
    """One run in memory: model, optimizer, data, guards, logs. `config` has every `auto` resolved."""

    def __init__(
        self, config: PretrainConfig, run: RunFolder, processes: Processes, console: Console
    ) -> None:
        self.config, self.run, self.processes, self.console = config, run, processes, console
        check_rows(config, processes)
        torch.set_num_threads(config.num_threads or choose_num_threads())
        self.device = choose_device(config.device)
        if self.device.type == "cuda" and processes.world_size > 1:
            self.device = torch.device("cuda", processes.local_rank)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        self.precision = choose_precision(self.device, config.precision)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision.needs_grad_scaler)
        self.tokenizer = load_tokenizer(run.tokenizer_path)
        self.dataset = prepare_data(config, self.tokenizer, processes)
        self.tokens_per_byte = count_tokens_per_byte(
            self.dataset, self.tokenizer.num_bytes_per_token(), max_tokens=config.eval_tokens
        )

        seed_everything(config.seed)
        self.model = GPT(config.model).to(self.device)
        self.model.gradient_checkpointing = config.gradient_checkpointing
        # The loss stays outside: compiled, it would hold all logits at once.
        self.compute_hidden: Callable[..., Tensor] = (
            torch.compile(self.model.compute_hidden) if config.compile else self.model.compute_hidden
        )
        self.compute_loss: Callable[..., Tensor] = self.model.compute_loss
        self.parameters = list(self.model.parameters())
        self.optimizer = build_optimizer(
            self.model.named_parameters(), config.optimizer, split_rows=self.model.fused_rows()
        )

        rows_per_process = config.batch_size // processes.world_size
        self.micro_batch_size = config.micro_batch_size or rows_per_process
        loader = PackedLoader(
            self.dataset.train,
            batch_size=rows_per_process,
            seq_len=config.num_tokens_in_row,
            seed=config.seed,
            rank=processes.rank,
            world_size=processes.world_size,
            end_of_text_id=self.dataset.end_of_text_id if config.document_mask else None,
        )
        self.loader = PrefetchLoader(loader, self.device) if self.device.type == "cuda" else loader

        self.step, self.num_tokens, self.training_s = 0, 0, 0.0
        self.guard = LossGuard(config.max_loss_rise)
        self.stopping = EarlyStopping(config.early_stopping)
        self.logs: RunLogs | None = None
        flops = compute_flops_per_token(config.model, config.num_tokens_in_row)
        peak = read_json(run.path / "machine.json").get("matmul_flops_per_s", 0) * processes.world_size
        self.mfu_per_token_per_s = flops / peak if peak > 0 else 0.0

    # --- the loop -------------------------------------------------------------------------------------------

    def train(self, profiler: StepProfiler | None = None) -> PretrainResult:
        """Run to the last step, or until a signal, early stopping or a guard ends it."""
        config = self.config
        if self.is_finished():
            self._say(f"{self.run.path} is finished: it ended at step {self.step} of {config.steps}.")
            return self._result()
        if self.processes.is_main:
            self.logs = RunLogs(self.run, keep_to_step=self.step)
        self._say(
            describe_run(config, self.dataset, step=self.step, num_parameters=count_parameters(self.model))
        )
        self.model.train()
        with (
            Interrupts() as interrupts,
            TrainingProgress(config.steps, self.console, first_step=self.step) as progress,
            profiler or nullcontext(),
        ):
            interrupted = False
            while not (self.is_finished() or interrupted):
                start = time.perf_counter()
                num_tokens_before = self.num_tokens
                record = self.train_step()
                seconds = time.perf_counter() - start
                self.training_s += seconds
                tokens_per_s = (self.num_tokens - num_tokens_before) / seconds
                record["tokens_per_s"] = round(tokens_per_s)
                record["mfu"] = round(tokens_per_s * self.mfu_per_token_per_s, 4)
                if profiler is not None:
                    profiler.step()

                is_last = self.step == config.steps
                is_best = False
                if is_last or self.step % config.eval_every == 0:
                    record |= self.evaluate()
                    is_best = self.stopping.best_step == self.step
                if self.logs is not None:
                    self.logs.append_metrics(record)
                progress.update(
                    self.step,
                    loss=record["loss"],
                    tokens_per_s=tokens_per_s,
                    lr=record["lr"],
                    val_loss=record.get("val_loss"),
                )
                if config.sample_every and (is_last or self.step % config.sample_every == 0):
                    self.sample(progress)
                # Asked once: a signal after this line waits for the next step, so that none stops unsaved.
                interrupted = self.processes.any(interrupts.pending, self.device)
                if interrupted or is_best or self.is_finished() or self.step % config.checkpoint_every == 0:
                    self.save()
        if self.stopping.should_stop:
            self._say(
                f"Stopped early at step {self.step}: no better held-out loss in {config.early_stopping} "
                f"evaluations since step {self.stopping.best_step}."
            )
        return self._result()

    def train_step(self) -> dict[str, Any]:
        """One optimizer step: a batch, its gradient, a move. Returns the step's record.

        Raises:
            TrainingError: if loss or gradient are no numbers, or the loss has run away.
        """
        factor = self.compute_lr_factor()
        self.optimizer.set_lr_factor(factor)
        if self.config.model.dropout:
            torch.manual_seed(compute_step_seed(self.config.seed, self.step, self.processes.rank))
        loss, num_labels, grad_norm = self.move(self.loader.next_batch())
        # Read only here: the device has the whole step before it, and is waited for once.
        loss_value, norm_value, num_new_tokens = loss.item(), grad_norm.item(), int(num_labels.item())
        # A step that fails here is never saved.
        self.guard.check(loss_value, step=self.step + 1, lr_factor=factor)
        if not self.precision.needs_grad_scaler:
            self.guard.check_gradient(norm_value, step=self.step + 1, lr_factor=factor)
        self.step += 1
        self.num_tokens += num_new_tokens
        return {
            "step": self.step,
            "tokens": self.num_tokens,
            "loss": loss_value,
            "lr": self.optimizer.param_groups[0]["lr"],
            "grad_norm": norm_value,
        }

    def move(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The gradient, clipped, and the optimizer's step; returns loss, number of labels, gradient norm."""
        loss, num_labels = self.compute_gradients(batch)
        # All parts as one: where fp16 has overflowed, none of them may move.
        optimizer = cast(torch.optim.Optimizer, self.optimizer)
        self.scaler.unscale_(optimizer)
        grad_norm = self.clip_gradients()
        self.scaler.step(optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return loss, num_labels, grad_norm

    def compute_lr_factor(self) -> float:
        """What multiplies the learning rates in the step to come."""
        return lr_factor(self.step, self.config.steps, self.config.schedule)

    def clip_gradients(self) -> Tensor:
        """Bound the gradients' joint norm where the config says so; returns the norm before."""
        return clip_grad_norm(self.parameters, self.config.max_grad_norm or math.inf)

    def compute_gradients(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Gradient of the mean loss over all labels of the step, whatever its micro-batches and processes.

        The labels of the whole step are counted first, over all processes; each micro-batch then adds the
        gradient of (its summed loss) / (that count). So 8 micro-batches of 1 equal 1 of 8, also where rows
        hold different numbers of labels. Returns that loss and count.
        """
        num_labels = self.processes.sum((batch.labels != -100).sum().to(self.device))
        divisor = num_labels.clamp(min=1)
        total = torch.zeros((), device=self.device)
        for micro in batch.split(self.micro_batch_size):
            micro = micro.to(self.device)
            with self.precision.autocast(self.device):
                hidden = self.compute_hidden(micro.input_ids, document_ids=micro.document_ids)
                loss = self.compute_loss(hidden, micro.labels, reduction="sum") / divisor
            self.scaler.scale(loss).backward()
            total += loss.detach()
        self.processes.sum_gradients(self.parameters)
        return self.processes.sum(total), num_labels

    # --- beside the loop ------------------------------------------------------------------------------------

    def is_finished(self) -> bool:
        """Whether no step is left to do."""
        return self.step >= self.config.steps or self.stopping.should_stop

    def evaluate(self) -> dict[str, float]:
        """Loss on the held-out text, in nats a token and bits a byte."""
        val_loss = compute_validation_loss(
            self.model,
            self.dataset,
            batch_size=max(1, 8192 // self.config.num_tokens_in_row),
            seq_len=self.config.num_tokens_in_row,
            max_tokens=self.config.eval_tokens,
            document_mask=self.config.document_mask,
            precision_context=self.precision.autocast(self.device),
            processes=self.processes,
        )
        self.stopping.observe(val_loss, self.step)
        return {
            "val_loss": val_loss,
            "val_bits_per_byte": compute_bits_per_byte(val_loss, self.tokens_per_byte),
        }

    def sample(self, progress: TrainingProgress) -> None:
        """Let the model write; log and show it."""
        if self.logs is None or not self.config.sample_tokens:
            return
        text = write_text_sample(self.model, self.tokenizer, self.dataset, self.config)
        self.logs.append_sample({"step": self.step, "text": text})
        progress.note(f"\n--- step {self.step} " + "-" * 40 + f"\n{text.strip()}\n")

    def save(self) -> None:
        """Write a checkpoint, after the logs: on disk, they never lag behind it. The main process does."""
        if self.logs is None:
            return
        self.logs.sync()
        save_checkpoint(
            self.run,
            step=self.step,
            model_config=self.config.model,
            weights={name: tensor.contiguous() for name, tensor in self.model.state_dict().items()},
            training_state={
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "random": capture_random_state(),
                "loader": self.loader.state_dict(),
                "guard": self.guard.state_dict(),
                "stopping": self.stopping.state_dict(),
                "step": self.step,
                "num_tokens": self.num_tokens,
                "training_s": self.training_s,
            },
            best_step=self.stopping.best_step or self.step,
            keep=self.config.keep_checkpoints,
        )

    def load_parent(self) -> None:
        """Take over the weights of `init_from`, where it is set.

        Raises:
            CheckpointError: if that run is missing or damaged.
        """
        if self.config.init_from is not None:
            self.model.load_state_dict(load_trained_model(self.config.init_from)[0].state_dict())

    def resume(self) -> bool:
        """Go on from the newest checkpoint; False where there is none.

        Raises:
            CheckpointError: if it is damaged or of another model.
        """
        path = find_last_checkpoint(self.run)
        if path is None:
            return False
        state = load_training_state(path)
        try:
            self.model.load_state_dict(load_model_weights(path, self.device), strict=True)
        except RuntimeError as error:
            raise CheckpointError(
                f"{path} does not fit the model of {self.run.config_path} ({error})."
            ) from error
        self.optimizer.load_state_dict(state["optimizer"])
        if self.precision.needs_grad_scaler:
            self.scaler.load_state_dict(state["scaler"])
        self.loader.load_state_dict(state["loader"])
        self.guard.load_state_dict(state["guard"])
        self.stopping.load_state_dict(state["stopping"])
        self.step, self.num_tokens, self.training_s = state["step"], state["num_tokens"], state["training_s"]
        restore_random_state(state["random"])
        return True

    def close(self) -> None:
        """Close the logs and stop the loader's thread."""
        if isinstance(self.loader, PrefetchLoader):
            self.loader.close()
        if self.logs is not None:
            self.logs.close()

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _result(self) -> PretrainResult:
        best = self.stopping.best_loss
        return PretrainResult(
            run=self.run,
            step=self.step,
            total_steps=self.config.steps,
            val_loss=best,
            val_bits_per_byte=compute_bits_per_byte(best, self.tokens_per_byte),
            training_s=self.training_s,
            interrupted=not self.is_finished(),
            is_main=self.processes.is_main,
        )
