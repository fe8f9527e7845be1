"""Training tokens a second of the same architectures at the same sizes, and what our loop adds to a step.

Ours in GPT-2's style beside transformers' GPT2LMHeadModel, ours in Qwen3's beside Qwen3ForCausalLM, and
nanoGPT's GPT where a checkout is given. A step is forward, loss, backward, AdamW and zeroing of gradients, in
float32, on one fixed batch of random tokens.

Why it is fair: both sides have the same weights (the first losses are asserted equal), batch, thread count
and optimizer (torch's fused AdamW; nanoGPT its own choice), take turns, and theirs is spared what training
does not need (its cache).

The loop: `Pretrainer.train_step` and a line in the metrics log, beside forward, backward and step alone on an
equal model and the same batches. The difference is what data, schedule, guards and log cost.
"""

import copy
import dataclasses
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from benchmarks.measuring import format_table, median, median_ratio, num_threads, time_by_turns
from benchmarks.options import Options
from benchmarks.peers import Shape, build_adamw, build_nanogpt, build_nanogpt_optimizer, build_twin
from nn2llm.core.device import choose_num_threads
from nn2llm.core.run_folder import JsonLinesLog, RunFolder
from nn2llm.models.gpt import GPT
from nn2llm.optim.combined import build_optimizer
from nn2llm.train.distributed import Processes
from nn2llm.train.presets import build_preset
from nn2llm.train.pretrain import Pretrainer
from nn2llm.train.pretrain_config import PretrainConfig
from nn2llm.train.starting import start_run

SHAPES = {
    "4 × 128, context 64": (
        Shape(vocab_size=65, context=64, batch_size=12, n_layer=4, n_head=4, n_embd=128),
        20,
    ),
    "6 × 384, context 256": (
        Shape(vocab_size=1024, context=256, batch_size=4, n_layer=6, n_head=6, n_embd=384),
        2,
    ),
}
"""Name → shape and steps a turn: nanoGPT's CPU setting, and its setting for a GPU with fewer rows."""

TURNS_PER_REPEAT = 3
LEARNING_RATE = 1e-4


def run(options: Options) -> str:
    """All pairs at all shapes, then the loop."""
    rows = []
    with num_threads(choose_num_threads()):
        for name, (shape, steps) in SHAPES.items():
            rows += measure_shape(name, shape, steps, options)
        loop = measure_loop(TURNS_PER_REPEAT * options.repeats)
    header = ("shape", "architecture", "peer", "ours, tokens/s", "peer, tokens/s", "ours / peer")
    return "\n".join(
        [
            f"Training tokens a second, float32, {choose_num_threads()} threads, medians of "
            f"{TURNS_PER_REPEAT * options.repeats} turns.",
            "",
            format_table(header, rows),
            "",
            loop,
        ]
    )


def measure_shape(name: str, shape: Shape, steps: int, options: Options) -> list[tuple[str, ...]]:
    """A row of the table for each peer."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.randint(shape.vocab_size, (shape.batch_size, shape.context + 1), generator=generator)
    inputs, labels = rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
    steppers: dict[str, Callable[[], Tensor]] = {}
    pairs = []
    for style, peer in (("gpt2", "transformers GPT-2"), ("qwen3", "transformers Qwen3")):
        model = shape.build(style)
        twin = build_twin(model)
        twin.config.use_cache = False
        steppers[style] = build_our_step(model, inputs, labels)
        steppers[peer] = build_their_step(twin, inputs, labels)
        check_equal(steppers[style](), steppers[peer]())
        pairs.append((style, peer))
    if options.nanogpt is not None:
        model = build_nanogpt(options.nanogpt, shape, bias=True)
        steppers["nanoGPT"] = build_nanogpt_step(model, inputs, labels)
        pairs.insert(1, ("gpt2", "nanoGPT"))

    def repeat(step: Callable[[], Tensor]) -> Callable[[], None]:
        def steps_of_a_turn() -> None:
            for _ in range(steps):
                step()

        return steps_of_a_turn

    seconds = time_by_turns(
        {key: repeat(step) for key, step in steppers.items()}, turns=TURNS_PER_REPEAT * options.repeats
    )
    tokens = steps * shape.batch_size * shape.context
    return [
        (
            name,
            {"gpt2": "GPT-2", "qwen3": "Qwen3"}[style],
            peer,
            f"{tokens / median(seconds[style]):,.0f}",
            f"{tokens / median(seconds[peer]):,.0f}",
            f"**{median_ratio(seconds[peer], seconds[style]):.2f}**",
        )
        for style, peer in pairs
    ]


def build_our_step(model: GPT, inputs: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    """A training step of ours; it returns the loss."""
    optimizer = build_adamw(model.train(), learning_rate=LEARNING_RATE)

    def step() -> Tensor:
        loss = model(inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def build_their_step(model: nn.Module, inputs: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    """The same of a model of transformers."""
    optimizer = build_adamw(model.train(), learning_rate=LEARNING_RATE)

    def step() -> Tensor:
        logits = model(inputs).logits
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def build_nanogpt_step(model: nn.Module, inputs: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    """The same of nanoGPT."""
    optimizer = build_nanogpt_optimizer(model.train(), learning_rate=LEARNING_RATE)

    def step() -> Tensor:
        _, loss = model(inputs, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def check_equal(ours: Tensor, theirs: Tensor) -> None:
    """Both models compute the same, so the same work is timed.

    Raises:
        AssertionError: if the losses differ by more than rounding.
    """
    assert abs(float(ours) - float(theirs)) < 1e-4, f"first losses differ: {ours} and {theirs}"


# --- the loop -----------------------------------------------------------------------------------------------


def measure_loop(turns: int) -> str:
    """One line: our loop's step beside a bare one."""
    steps = 20
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(build_preset("tiny"), Path(folder))
        bare = build_bare_step(trainer)
        log = JsonLinesLog(Path(folder) / "metrics.jsonl", keep_to_step=0)

        def run_loop() -> None:
            for _ in range(steps):
                log.append(trainer.train_step())

        def run_bare() -> None:
            for _ in range(steps):
                bare()

        seconds = time_by_turns({"loop": run_loop, "bare": run_bare}, turns=turns)
        log.close()
        trainer.close()
    loop_ms, bare_ms = (1e3 * median(seconds[name]) / steps for name in ("loop", "bare"))
    ratio = median_ratio(seconds["loop"], seconds["bare"])
    return (
        f"The loop: a step of `Pretrainer` (data, schedule, guards, log) takes {loop_ms:.1f} ms, forward, "
        f"backward and optimizer alone {bare_ms:.1f} ms; **loop / bare {ratio:.3f}**."
    )


def build_trainer(config: PretrainConfig, folder: Path) -> Pretrainer:
    """A trainer of `config` on random words, so that no data is needed; a character a token."""
    draw = random.Random(0)
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(1, 9))) for _ in range(500)]
    corpus = folder / "words.txt"
    corpus.write_text(" ".join(draw.choices(words, k=40_000)), encoding="utf-8")
    config = dataclasses.replace(
        config,
        corpus=str(corpus),
        tokenizer="char",
        device="cpu",
        precision="fp32",
        steps=1_000_000,
        max_loss_rise=1e9,
    )
    run = RunFolder(folder / "run")
    trainer = Pretrainer(start_run(config, run, Processes()), run, Processes(), Console(quiet=True))
    trainer.model.train()
    return trainer


def build_bare_step(trainer: Pretrainer) -> Callable[[], None]:
    """Forward, backward and optimizer of an equal model, on batches drawn beforehand."""
    batches = [trainer.loader.next_batch() for _ in range(50)]
    model = copy.deepcopy(trainer.model)
    optimizer = build_optimizer(
        model.named_parameters(), trainer.config.optimizer, split_rows=model.fused_rows()
    )
    count = 0

    def step() -> None:
        nonlocal count
        batch = batches[count % len(batches)]
        count += 1
        loss = model(batch.input_ids, labels=batch.labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
