"""Supervised fine-tuning (SFT): a model that continues texts learns to answer.

It is pretraining's loss on other text: conversations in the chat template, where only what the assistant
writes is asked for. `finetune` is the stage, `FineTuner.train_step` one step of it.

Facts that no conversation mentions are overwritten on the way: on the micro-world 61% of held-out questions
were then answered, drawing from the model, and 80 to 86% where every fifth row or so was a document of the
pretraining text (`replay`, in 54 trials; Ouyang et al. mix such text into PPO, Scialom et al. into SFT).
Read tokenizers/chat.py, data/chat_batches.py and train/session.py before. Used by cli/sft.py and recipe/.
Taught in `sft`.
Sources: Ouyang et al. 2022 (InstructGPT), https://arxiv.org/abs/2203.02155, section 3.5; Scialom et al.
2022, https://arxiv.org/abs/2205.12393.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, cast

import torch
from rich.console import Console
from torch import Tensor

from nn2llm.core.config_io import load_config, save_config
from nn2llm.core.errors import ConfigError, DataError, TokenizerError
from nn2llm.core.run_folder import RunFolder, require_empty
from nn2llm.core.seeding import compute_step_seed
from nn2llm.data.batches import IGNORE_INDEX, Batch
from nn2llm.data.chat_batches import ChatLoader, ChatRows, encode_document
from nn2llm.data.conversations import (
    Conversation,
    check_conversation,
    load_conversations,
    split_conversations,
)
from nn2llm.data.corpora import load_corpus
from nn2llm.generation.replies import write_replies
from nn2llm.generation.sampling import SamplingConfig
from nn2llm.models.accounting import count_parameters
from nn2llm.models.chat_tokens import add_chat_tokens
from nn2llm.models.gpt import GPT
from nn2llm.optim.clipping import clip_grad_norm
from nn2llm.optim.combined import build_optimizer
from nn2llm.optim.schedules import lr_factor
from nn2llm.tokenizers import Tokenizer
from nn2llm.tokenizers.chat import ChatFormat, Message
from nn2llm.train.checkpoint import find_last_checkpoint, load_trained_model
from nn2llm.train.guards import LossGuard
from nn2llm.train.session import Machine, MachineConfig, Session, Snapshot, choose_machine
from nn2llm.train.sft_config import SFTConfig
from nn2llm.train.stage_result import StageResult

__all__ = ["FineTuner", "add_chat_tokens", "compute_reply_loss", "finetune"]

_MAX_LOSS_RISE = 3.0
"""Stop when the smoothed loss is this many nats above its lowest value."""


def finetune(
    config: SFTConfig,
    run: RunFolder,
    *,
    conversations: Sequence[Conversation] | None = None,
    val_conversations: Sequence[Conversation] | None = None,
    resume: bool = False,
    console: Console | None = None,
) -> StageResult:
    """Fine-tune the model of `config.init_from` on conversations, into the folder `run`.

    `conversations` are read from `config.data` where they are not given, and `val_conversations` from
    `config.val_data`, or a part of the others (`split_conversations`). With `resume` a run that was stopped
    goes on, with its own config; it must get the same conversations.

    The result's metrics: loss, and of what is held out val_loss and val_loss_before (before the first step),
    in nats a reply token.

    Raises:
        Nn2llmError: for a config, conversations, parent run, device, disk or loss that does not work.
    """
    console = console or Console(highlight=False)
    goes_on = resume and run.exists
    if goes_on:
        config = load_config(SFTConfig, run.config_path)
    else:
        require_empty(run)
    machine = choose_machine(config.machine)
    model, tokenizer = _load_start(config, run, goes_on=goes_on)
    chat = ChatFormat(tokenizer)
    train, val = _choose_conversations(config, conversations, val_conversations, console)
    rows = _build_rows(config, model, chat, train, console, documents=_choose_documents(config, len(train)))
    val_rows = _build_rows(config, model, chat, val, console) if val else None
    config = _resolve(config, machine, num_rows=len(rows))
    assert config.steps is not None
    if not goes_on:
        tokenizer.save(run.tokenizer_path)
        save_config(config, run.config_path)  # the last: it marks a run

    trainer = FineTuner(config, model.to(machine.device), machine, rows, val_rows)
    prompts = _choose_samples(config, model, chat, val)
    with Session(
        run,
        trainer,
        total_steps=config.steps,
        checkpoint_every=config.checkpoint_every,
        keep_checkpoints=config.keep_checkpoints,
        resume=goes_on,
        console=console,
    ) as session:
        session.note(_describe(config, run, trainer))
        if trainer.step == 0 and val_rows is not None:
            trainer.metrics["val_loss_before"] = trainer.evaluate(val_rows)
        while session.goes_on:
            record = trainer.train_step()
            if trainer.step % config.eval_every == 0 or trainer.step == config.steps:
                if val_rows is not None:
                    record["val_loss"] = trainer.metrics["val_loss"] = trainer.evaluate(val_rows)
                _log_samples(session, model, chat, prompts, config)
            shown: dict[str, float] = {"loss": record["loss"]}
            if "val_loss" in record:
                shown["val"] = record["val_loss"]
            session.end_step(record, shown=shown)
    return StageResult(
        run=run,
        step=trainer.step,
        total_steps=config.steps,
        interrupted=session.interrupted,
        training_s=session.training_s,
        num_tokens=trainer.num_tokens,
        metrics=dict(trainer.metrics),
    )


def compute_reply_loss(model: GPT, batch: Batch) -> Tensor:
    """Summed cross-entropy, in nats, of the tokens that are asked for (labels other than -100)."""
    hidden = model.compute_hidden(batch.input_ids, document_ids=batch.document_ids)
    asked = batch.labels != IGNORE_INDEX
    # Only these positions go through the head, the most expensive layer of a small model.
    return model.compute_loss(hidden[asked][None], batch.labels[asked][None], reduction="sum")


class FineTuner:
    """Model, optimizer and rows of one run; a session keeps its folder.

    Attributes:
        step: steps done.
        num_tokens: positions that went through the model, padding included.
        metrics: the last figures.
    """

    def __init__(
        self, config: SFTConfig, model: GPT, machine: Machine, rows: ChatRows, val_rows: ChatRows | None
    ) -> None:
        self.config, self.model, self.rows, self.val_rows = config, model.train(), rows, val_rows
        self.device, self.precision = machine.device, machine.precision
        self.parameters = list(model.parameters())
        self.optimizer = build_optimizer(
            model.named_parameters(), config.optimizer, split_rows=model.fused_rows()
        )
        self.loader = ChatLoader(rows, batch_size=config.batch_size, seed=config.seed)
        self.guard = LossGuard(_MAX_LOSS_RISE)
        self.step = 0
        self.num_tokens = 0
        self.metrics: dict[str, float] = {}

    def train_step(self) -> dict[str, Any]:
        """One optimizer step: a batch, its gradient, a move. Returns the step's record.

        Raises:
            TrainingError: if loss or gradient are no numbers, or the loss has run away.
        """
        config = self.config
        assert config.steps is not None
        factor = lr_factor(self.step, config.steps, config.schedule)
        self.optimizer.set_lr_factor(factor)
        if self.model.config.dropout:
            torch.manual_seed(compute_step_seed(config.seed, self.step, 0))
        batch = self.loader.next_batch()
        loss, num_labels = self.compute_gradients(batch)
        grad_norm = clip_grad_norm(self.parameters, config.max_grad_norm or math.inf)
        self.optimizer.step()
        self.optimizer.zero_grad()
        loss_value, norm_value = loss.item(), grad_norm.item()
        self.guard.check(loss_value, step=self.step + 1, lr_factor=factor)
        self.guard.check_gradient(norm_value, step=self.step + 1, lr_factor=factor)
        self.step += 1
        self.num_tokens += batch.input_ids.numel()
        self.metrics["loss"] = loss_value
        return {
            "tokens": self.num_tokens,
            "reply_tokens": num_labels,
            "epoch": round(self.loader.epoch, 4),
            "loss": loss_value,
            "lr": self.optimizer.param_groups[0]["lr"],
            "grad_norm": norm_value,
        }

    def compute_gradients(self, batch: Batch) -> tuple[Tensor, int]:
        """Gradient of the mean loss over all reply tokens of the step, whatever its micro-batches.

        The tokens of the whole step are counted first, so that each counts the same: a mean of the
        micro-batches' means would weigh those of short replies more. Returns that loss and count.
        """
        num_labels = int((batch.labels != IGNORE_INDEX).sum())
        total = torch.zeros((), device=self.device)
        for micro in batch.split(self.config.micro_batch_size or len(batch.input_ids)):
            with self.precision.autocast(self.device):
                loss = compute_reply_loss(self.model, micro.to(self.device)) / num_labels
            cast(Any, loss).backward()
            total += loss.detach()
        return total, num_labels

    @torch.inference_mode()
    def evaluate(self, rows: ChatRows) -> float:
        """Mean loss in nats over all reply tokens of `rows`, each predicted once."""
        self.model.eval()
        num_rows = self.config.micro_batch_size or self.config.batch_size
        total = 0.0
        for start in range(0, len(rows), num_rows):
            batch = rows.build_batch(range(start, min(start + num_rows, len(rows))))
            with self.precision.autocast(self.device):
                total += compute_reply_loss(self.model, batch.to(self.device)).item()
        self.model.train()
        return total / rows.num_labels

    def capture(self) -> Snapshot:
        """See `StageTrainer`."""
        return Snapshot(
            model_config=self.model.config,
            weights=self.model.state_dict(),
            training_state={
                "optimizer": self.optimizer.state_dict(),
                "loader": self.loader.state_dict(),
                "guard": self.guard.state_dict(),
                "num_tokens": self.num_tokens,
                "metrics": dict(self.metrics),
            },
        )

    def restore(self, weights: dict[str, Tensor], training_state: dict[str, Any]) -> None:
        """See `StageTrainer`. Raises CheckpointError if it is of other conversations."""
        self.loader.load_state_dict(training_state["loader"])
        self.model.load_state_dict(weights)
        self.optimizer.load_state_dict(training_state["optimizer"])
        self.guard.load_state_dict(training_state["guard"])
        self.num_tokens = training_state["num_tokens"]
        self.metrics = dict(training_state["metrics"])


# --- before the loop ----------------------------------------------------------------------------------------


def _load_start(config: SFTConfig, run: RunFolder, *, goes_on: bool) -> tuple[GPT, Tokenizer]:
    """The parent's model and tokenizer, ready for chats; where the run has a checkpoint, its own."""
    if goes_on and find_last_checkpoint(run) is not None:
        return load_trained_model(run.path)
    if not config.init_from:
        raise ConfigError("init_from is missing: which model is to be fine-tuned? Give --init-from RUN.")
    model, tokenizer = load_trained_model(config.init_from)
    return add_chat_tokens(model, tokenizer) if config.add_chat_tokens else (model, tokenizer)


def _choose_conversations(
    config: SFTConfig,
    conversations: Sequence[Conversation] | None,
    val_conversations: Sequence[Conversation] | None,
    console: Console,
) -> tuple[Sequence[Conversation], Sequence[Conversation]]:
    """(to learn from, held out)."""
    if conversations is None:
        if config.data is None:
            raise ConfigError("data is missing: what is to be learnt? Give --data FILE, of conversations.")
        conversations = _load(config.data, config, console)
    if val_conversations is None and config.val_data is not None:
        val_conversations = _load(config.val_data, config, console)
    if val_conversations is None:
        return split_conversations(conversations, config.val_fraction)
    return conversations, val_conversations


def _load(path: str, config: SFTConfig, console: Console) -> list[Conversation]:
    if not config.skip_unusable:
        return load_conversations(path)
    left_out: list[str] = []
    found = load_conversations(path, on_unusable=left_out.append)
    if left_out:
        first = f"{len(left_out):,} of {len(found) + len(left_out):,} conversations left out; the first:"
        console.print(first, left_out[0], highlight=False, markup=False, soft_wrap=True)
    return found


def _choose_documents(config: SFTConfig, num_conversations: int) -> list[str]:
    """The first documents of the text to replay."""
    if config.replay is None:
        return []
    num = math.ceil(config.replay_fraction * num_conversations)
    return list(islice(load_corpus(config.replay).documents("train"), num))


def _build_rows(
    config: SFTConfig,
    model: GPT,
    chat: ChatFormat,
    conversations: Sequence[Conversation],
    console: Console,
    *,
    documents: Sequence[str] = (),
) -> ChatRows:
    if config.seq_len is not None and config.seq_len > model.config.max_seq_len:
        raise ConfigError(
            f"seq_len {config.seq_len} is longer than the {model.config.max_seq_len} positions of the model. "
            f"Set --seq-len {model.config.max_seq_len}."
        )
    chats = []
    for number, conversation in enumerate(conversations, start=1):
        try:
            check_conversation(conversation)
            chats.append(chat.encode(conversation.messages))
        except (DataError, TokenizerError) as error:
            raise DataError(f"Conversation {number}: {error}") from error
    seq_len = config.seq_len or model.config.max_seq_len
    chats += [encode_document(chat.tokenizer, text, seq_len) for text in documents]
    rows = ChatRows(
        chats,
        seq_len=seq_len,
        pad_id=chat.tokenizer.end_of_text_id,
        packed=config.packing and model.config.position in {"rope", "none"},
    )
    if not len(rows):
        raise DataError(
            f"None of the {len(conversations):,} conversations has a reply that ends within {rows.seq_len} "
            "tokens. Give shorter ones, or a model with a longer context."
        )
    if rows.note is not None:
        console.print(rows.note, highlight=False, soft_wrap=True)
    return rows


def _resolve(config: SFTConfig, machine: Machine, *, num_rows: int) -> SFTConfig:
    """The config with steps and machine as they are; raises ConfigError where they do not fit."""
    steps = config.steps or max(1, math.ceil(config.epochs * num_rows / config.batch_size))
    resolved = MachineConfig(
        device=str(machine.device),
        precision="bf16" if machine.precision.name == "bf16" else "fp32",
        num_threads=torch.get_num_threads(),
    )
    return replace(config, steps=steps, machine=resolved)


def _describe(config: SFTConfig, run: RunFolder, trainer: FineTuner) -> str:
    rows, val_rows = trainer.rows, trainer.val_rows
    assert config.steps is not None
    if trainer.step == config.steps:
        return f"{run.path} is finished: it ended at step {trainer.step} of {config.steps}."
    verb = f"going on at step {trainer.step}" if trainer.step else "fine-tuning"
    held_out = f"{val_rows.num_conversations:,} held out" if val_rows else "none held out"
    return (
        f"{verb}: {count_parameters(trainer.model):,} parameters, {rows.num_conversations:,} conversations "
        f"({rows.num_labels:,} reply tokens; {held_out}) in {len(rows):,} rows of {rows.seq_len}, "
        f"{config.steps:,} steps of {config.batch_size} rows "
        f"({config.steps * config.batch_size / len(rows):.1f} times through them), "
        f"{config.machine.device}, {config.machine.precision}"
    )


# --- samples ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sample:
    """A held-out prompt, and the reply that is in the data."""

    prompt: tuple[Message, ...]
    expected: str


def _choose_samples(
    config: SFTConfig, model: GPT, chat: ChatFormat, conversations: Sequence[Conversation]
) -> list[_Sample]:
    """The first held-out prompts that leave room for a reply."""
    found: list[_Sample] = []
    for conversation in conversations:
        if len(found) == config.num_samples:
            break
        messages = conversation.messages
        first = next(i for i, message in enumerate(messages) if message["role"] == "assistant")
        ids = chat.encode(messages[:first], add_generation_prompt=True).ids
        if len(ids) < model.config.max_seq_len:
            found.append(_Sample(messages[:first], messages[first]["content"]))
    return found


def _log_samples(
    session: Session, model: GPT, chat: ChatFormat, samples: Sequence[_Sample], config: SFTConfig
) -> None:
    """The model's most probable replies, into samples.jsonl; the first one is shown."""
    replies = write_replies(
        model,
        chat,
        [sample.prompt for sample in samples],
        max_new_tokens=config.sample_tokens,
        sampling=SamplingConfig(temperature=0),
    )
    for number, (sample, reply) in enumerate(zip(samples, replies, strict=True)):
        session.log_sample({"messages": list(sample.prompt), "text": reply.text, "expected": sample.expected})
        if number == 0:
            asked = sample.prompt[-1]["content"]
            session.note(f"\n--- step {session.trainer.step} {'-' * 40}\n{asked}\n> {reply.text}\n")
