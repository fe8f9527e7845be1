"""Seconds of training until a held-out loss of 1.90 nats a character on tiny Shakespeare, context 64.

Ours (preset `tiny`, what `nn2llm pretrain --corpus tinyshakespeare.txt --tokenizer char` runs) against
GPT-2's architecture with AdamW in nanoGPT's CPU setting (preset `nanogpt-cpu`: 4 layers, 4 heads, 128 wide,
batch 12, 2,000 steps). Both train in one process and take turns of about two seconds, so that a busy machine
slows both. Only training steps are on the clock: not evaluations, samples or checkpoints.
"""

import argparse
import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console

from nn2llm.core.run_folder import RunFolder
from nn2llm.models.accounting import count_parameters
from nn2llm.train.distributed import Processes
from nn2llm.train.presets import build_preset
from nn2llm.train.pretrain import Pretrainer, start_run

TARGET = 1.90
TURN_S = 2.0


class Racer:
    """One model on its way to the target."""

    def __init__(
        self, preset: str, corpus: Path, folder: Path, seed: int, *, first_eval: int, eval_every: int
    ) -> None:
        config = dataclasses.replace(
            build_preset(preset),
            corpus=str(corpus),
            tokenizer="char",
            seed=seed,
            device="cpu",
            sample_every=0,
        )
        run = RunFolder(folder / f"{preset}-{seed}")
        self.preset = preset
        self.config = start_run(config, run, Processes())
        self.trainer = Pretrainer(self.config, run, Processes(), Console(quiet=True))
        self.trainer.model.train()
        self.first_eval, self.eval_every = first_eval, eval_every
        self.training_s = 0.0
        self.reached: tuple[int, float] | None = None
        """(step, seconds) at which the target was met."""
        self.val_loss = float("nan")

    @property
    def finished(self) -> bool:
        """Whether its schedule is at an end."""
        return self.trainer.step >= self.config.steps

    def take_turn(self) -> None:
        """Train for about TURN_S seconds, looking at the held-out loss now and then."""
        end = self.training_s + TURN_S
        while self.training_s < end and not self.finished:
            start = time.perf_counter()
            self.trainer.train_step()
            self.training_s += time.perf_counter() - start
            step = self.trainer.step
            if self.finished or (
                step >= self.first_eval and step % self.eval_every == 0 and self.reached is None
            ):
                self.val_loss = self.trainer.evaluate()["val_loss"]
                if self.reached is None and self.val_loss <= TARGET:
                    self.reached = (step, self.training_s)


def race(corpus: Path, seed: int) -> tuple[Racer, Racer]:
    """Train both from `seed`, by turns, to the end of their schedules."""
    with tempfile.TemporaryDirectory() as folder:
        ours = Racer("tiny", corpus, Path(folder), seed, first_eval=100, eval_every=5)
        peer = Racer("nanogpt-cpu", corpus, Path(folder), seed, first_eval=1500, eval_every=25)
        while not (ours.finished and peer.finished):
            ours.take_turn()
            peer.take_turn()
    return ours, peer


def run(arguments: argparse.Namespace) -> str:
    """Race over the seeds 1, 2, …; a table of both and the ratio."""
    corpus = arguments.data / "text" / "tinyshakespeare.txt"
    rows, ratios, never = [], [], 0
    for seed in range(1, arguments.repeats + 1):
        ours, peer = race(corpus, seed)
        for racer in (ours, peer):
            at = (
                "not reached | –" if racer.reached is None else f"{racer.reached[0]} | {racer.reached[1]:.1f}"
            )
            per_step_ms = 1e3 * racer.training_s / racer.trainer.step
            rows.append(
                f"| {seed} | {racer.preset} | {count_parameters(racer.trainer.model):,} | {at} | "
                f"{per_step_ms:.1f} | {racer.trainer.step} | {racer.training_s:.1f} | {racer.val_loss:.3f} |"
            )
        # A peer that never reached the target took at least its whole time: a lower bound of the ratio.
        peer_s = peer.training_s if peer.reached is None else peer.reached[1]
        ratios.append(0.0 if ours.reached is None else peer_s / ours.reached[1])
        never += peer.reached is None
        print("\n".join(rows[-2:]), flush=True)
    at_least = ", a lower bound: the peer did not reach it in every run" if never else ""
    return "\n".join(
        [
            f"Training time to a held-out loss of {TARGET:.2f} nats a character (tiny Shakespeare, "
            "context 64), ours against GPT-2's architecture in nanoGPT's CPU setting, by turns.",
            "",
            "| seed | preset | weights | step | seconds to 1.90 | ms a step | steps | seconds | final loss |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            f"**Ratio, median of {arguments.repeats}: {statistics.median(ratios):.1f}**{at_least}.",
        ]
    )
