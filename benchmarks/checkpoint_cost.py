"""Seconds to save a checkpoint and to resume from it, of models of about 1 and 10 million parameters.

Ours is what a run does: `Pretrainer.save` writes weights (safetensors), optimizer, random states and data
position with checksums into another folder, syncs it to the disk and renames; `Pretrainer.resume` verifies
the checksums, reads, and takes all of it up. The peer is what a plain script does: torch.save of weights and
optimizer into one file, torch.load(weights_only=True) and load_state_dict: no sync, no checksum, and a crash
in the midst leaves half a file. So ours cannot be faster; the ratio is the price of that, and the last column
says what it comes to in a run.

Why it is fair: the same trainer, the same tensors, the same disk; by turns.
"""

import dataclasses
import tempfile
from pathlib import Path

import torch

from benchmarks.measuring import format_table, median, median_ratio, time_by_turns
from benchmarks.options import Options
from benchmarks.training_speed import build_trainer
from nn2llm.models.accounting import count_parameters
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.train.presets import build_preset
from nn2llm.train.pretrain import Pretrainer
from nn2llm.train.pretrain_config import PretrainConfig

TURNS_PER_REPEAT = 3


def list_configs() -> list[PretrainConfig]:
    """The preset `tiny`, and ten times as large."""
    tiny = build_preset("tiny")
    large = GPTConfig(n_layer=6, n_head=6, n_embd=384, max_seq_len=64)
    return [tiny, dataclasses.replace(tiny, model=large)]


def run(options: Options) -> str:
    """Both sizes."""
    rows = [measure(config, TURNS_PER_REPEAT * options.repeats) for config in list_configs()]
    every = build_preset("tiny").checkpoint_every
    header = (
        *("parameters", "save, ms", "torch.save, ms", "ours / peer"),
        *("resume, ms", "torch.load, ms", "ours / peer"),
        *("a step, ms", f"share of a run, one in {every} steps"),
    )
    return "\n".join(
        [
            f"Saving and resuming, medians of {TURNS_PER_REPEAT * options.repeats} turns; ours verified and "
            "safe against a crash, the peer plain torch.save and torch.load.",
            "",
            format_table(header, rows),
        ]
    )


def measure(config: PretrainConfig, turns: int) -> tuple[str, ...]:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        trainer = build_trainer(config, folder)
        trainer.train_step()  # before the first step the optimizer has no state
        seconds = time_by_turns({"step": trainer.train_step}, turns=turns)
        file = folder / "plain.pt"

        def save_ours() -> None:
            trainer.step += 1  # a checkpoint of its own each time, as in a run
            trainer.save()

        seconds |= time_by_turns(
            {"save": save_ours, "torch.save": lambda: save_plain(trainer, file)}, turns=turns
        )
        seconds |= time_by_turns(
            {"resume": trainer.resume, "torch.load": lambda: load_plain(trainer, file)}, turns=turns
        )
        num_parameters = count_parameters(trainer.model)
        trainer.close()
    milliseconds = {key: f"{1e3 * median(values):.1f}" for key, values in seconds.items()}
    share = median(seconds["save"]) / (config.checkpoint_every * median(seconds["step"]))
    return (
        f"{num_parameters:,}",
        milliseconds["save"],
        milliseconds["torch.save"],
        f"{median_ratio(seconds['save'], seconds['torch.save']):.1f}",
        milliseconds["resume"],
        milliseconds["torch.load"],
        f"{median_ratio(seconds['resume'], seconds['torch.load']):.1f}",
        milliseconds["step"],
        f"**{100 * share:.2f}%**",
    )


def save_plain(trainer: Pretrainer, file: Path) -> None:
    """Weights and optimizer, as a plain script saves them."""
    torch.save({"model": trainer.model.state_dict(), "optimizer": trainer.optimizer.state_dict()}, file)


def load_plain(trainer: Pretrainer, file: Path) -> None:
    """The way back."""
    state = torch.load(file, weights_only=True)
    trainer.model.load_state_dict(state["model"])
    trainer.optimizer.load_state_dict(state["optimizer"])
