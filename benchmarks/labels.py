"""Do forty labels move a model towards the taste of who gave them?

A scripted labeller with a known taste drives the real `nn2llm label` through a pipe, key by key; `nn2llm dpo`
trains on the file with the flags that `nn2llm label` prints at its end; then both models reply to held-out
tasks of the micro-world. Measured is the statistic of the taste, and beside it the gold score, which no
labeller here looks at. The interval is over prompts, paired; seeds differ in the pairs that are labelled.
It needs a chat model of the micro-world: --model RUN, such as the stage sft of `nn2llm chatgpt`.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.measuring import format_table
from benchmarks.options import Options
from nn2llm.core.errors import DataError

NUM_LABELS = 40
NUM_PROMPTS = 400
MAX_NEW_TOKENS = 96
TRAINING = ("--epochs", "8", "--batch-size", "8", "--optimizer.adamw-lr", "0.001", "--val-fraction", "0")
"""What `nn2llm label` prints for so few pairs and so small a model; all pairs train."""
KIND = ("gladly", "with pleasure", "of course", "i hope this helps")
"""The village's kind words."""

Float64Array = npt.NDArray[np.float64]


def count_words(reply: str) -> float:
    """Words of a reply."""
    return float(len(reply.split()))


def count_kind_words(reply: str) -> float:
    """1 if a reply has a kind word in it, else 0."""
    return float(any(phrase in reply.lower() for phrase in KIND))


@dataclass(frozen=True, slots=True)
class Taste:
    """What a labeller prefers."""

    name: str
    statistic: str
    measure: Callable[[str], float]
    sign: int
    """+1: prefers more of it."""

    def choose(self, first: str, second: str) -> str:
        """The key for these two."""
        gap = self.sign * (self.measure(first) - self.measure(second))
        return "t" if gap == 0 else "1" if gap > 0 else "2"


TASTES = (
    Taste("shorter replies", "words a reply", count_words, -1),
    Taste("longer replies", "words a reply", count_words, +1),
    Taste("kind words", "replies with kind words", count_kind_words, +1),
)


def run(options: Options) -> str:
    """Each taste with as many seeds as `options.repeats`."""
    from nn2llm.evals.intervals import bootstrap_difference

    if options.model is None:
        raise DataError(
            "Name a chat model of the micro-world with --model RUN (stage sft of nn2llm chatgpt)."
        )
    judge = Judge(options.model)
    replies, golds = judge.measure(options.model)
    rows = []
    for taste in TASTES:
        for seed in range(1, options.repeats + 1):
            with tempfile.TemporaryDirectory() as folder:
                num_choices = label_and_train(options.model, taste, Path(folder), seed=seed)
                new_replies, new_golds = judge.measure(Path(folder) / "dpo")
            before, after = (
                np.array([taste.measure(one) for one in texts]) for texts in (replies, new_replies)
            )
            row = [taste.name, str(seed), str(num_choices)]
            for old, new in ((before, after), (golds, new_golds)):
                gap = bootstrap_difference(new, old)
                row.append(f"{old.mean():.2f} → {new.mean():.2f}")
                row.append(f"{gap.estimate:+.2f} ({gap.low:+.2f} to {gap.high:+.2f})")
            rows.append(row)
    head = ("taste", "seed", "choices", "statistic", "moved by (95%)", "gold score", "moved by (95%)")
    return "\n".join(
        [
            f"{NUM_LABELS} pairs labelled by a program with a taste, through the pipe of `nn2llm label` "
            "(repeats come on top); `choices`: how many were no tie, so how many pairs `nn2llm dpo` learns "
            "from. The statistic (words a reply, or the share of replies with kind words) and the gold score "
            f"on {NUM_PROMPTS} held-out prompts before → after, temperature 1.",
            "",
            format_table(head, rows),
        ]
    )


class Judge:
    """Replies to held-out tasks, and their gold scores."""

    def __init__(self, model: Path) -> None:
        from nn2llm.cli.label_pairs import find_corpus
        from nn2llm.microworld import build_world, is_world_spec, parse_world_spec
        from nn2llm.microworld.tasks import build_tasks

        corpus = find_corpus(model)
        if corpus is None or not is_world_spec(corpus):
            raise DataError(f"{model} has read {corpus}, not the micro-world. Name another --model.")
        world = build_world(parse_world_spec(corpus))
        self.tasks = build_tasks(world, num=NUM_PROMPTS, split="val", seed=2026)

    def measure(self, model: Path) -> tuple[list[str], Float64Array]:
        """The model's replies, the same dice for all models, and their gold scores."""
        from nn2llm.microworld.gold import gold_score
        from nn2llm.recipe.replying import load_writer
        from nn2llm.recipe.task_sets import list_messages

        written = load_writer(model).write(
            [list_messages(task) for task in self.tasks],
            max_new_tokens=MAX_NEW_TOKENS,
            temperature=1.0,
            seed=2026,
            batch_size=64,
        )
        texts = [reply.text for reply in written]
        golds = [gold_score(task, text).total for task, text in zip(self.tasks, texts, strict=True)]
        return texts, np.array(golds)


def label_and_train(model: Path, taste: Taste, folder: Path, *, seed: int) -> int:
    """`nn2llm label`, driven by the taste, then `nn2llm dpo`, into folder/dpo; how many choices were made."""
    labels = folder / "labels.jsonl"
    command = [
        "label", str(model), "--num", str(NUM_LABELS), "--seed", str(seed), "--out", str(labels),
        "--max-new-tokens", str(MAX_NEW_TOKENS), "--device", "cpu",
    ]  # fmt: skip
    drive(command, taste)
    given = ["--init-from", str(model), "--preferences", str(labels), "--out", str(folder / "dpo")]
    done = subprocess.run(
        [sys.executable, "-m", "nn2llm", "dpo", *given, *TRAINING, "--num-samples", "0", "--device", "cpu",
         "--machine.num-threads", "1"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    if done.returncode:
        raise DataError(f"nn2llm dpo failed: {done.stderr.strip()}")
    lines = [json.loads(line) for line in labels.read_text(encoding="utf-8").splitlines()]
    return sum(line.get("choice") in ("first", "second") and not line["repeat"] for line in lines)


def drive(command: Sequence[str], taste: Taste) -> None:
    """Run a labelling command; every screen that comes out is answered with a key."""
    with subprocess.Popen(
        [sys.executable, "-m", "nn2llm", *command],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            screen = json.loads(line)
            process.stdin.write(taste.choose(screen["1"], screen["2"]) + "\n")
            process.stdin.flush()
        said = process.stderr.read()
    if process.returncode:
        raise DataError(f"nn2llm label failed: {said.strip()}")
