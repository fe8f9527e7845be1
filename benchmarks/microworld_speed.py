"""Megabytes of micro-world a second on one core: documents written, and read back with their probability.

There is no peer: the yardstick is that 1 MB/s is enough to make the text of a laptop run while a coffee is
poured. Reading recovers the choices behind a document from its text alone, as the floor of a held-out set
needs it; that both give the same probability is asserted before anything is timed.
"""

import math
import random

from benchmarks.books import count_bytes
from benchmarks.measuring import format_table, median, time_by_turns
from benchmarks.options import Options
from nn2llm.core.errors import DataError

NUM_DOCUMENTS = 2000
GOAL_MB_PER_S = 1.0


def run(options: Options) -> str:
    """Write, then read what was written."""
    try:
        from nn2llm.microworld import WorldConfig, build_world
    except ImportError as error:
        raise DataError(f"The micro-world is not in this version ({error}).") from error
    world = build_world(WorldConfig())
    draw = random.Random(0)
    documents = [world.sample(draw, split="train") for _ in range(NUM_DOCUMENTS)]
    check_equal([world.compute_nats(document.text) for document in documents], [d.nats for d in documents])
    texts = [document.text for document in documents]

    def write() -> None:
        draw = random.Random(0)
        for _ in range(NUM_DOCUMENTS):
            world.sample(draw, split="train")

    def read() -> None:
        for text in texts:
            world.compute_nats(text)

    seconds = time_by_turns({"written": write, "read": read}, turns=options.repeats)
    megabytes = count_bytes(texts) / 1e6
    row = [f"{megabytes / median(seconds[name]):.2f}" for name in ("written", "read")]
    return "\n".join(
        [
            f"The micro-world on one core, {NUM_DOCUMENTS:,} documents ({megabytes:.2f} MB), medians of "
            f"{options.repeats} turns; the goal is {GOAL_MB_PER_S:g} MB/s written.",
            "",
            format_table(("MB/s written", "MB/s read"), [row]),
        ]
    )


def check_equal(read: list[float], written: list[float]) -> None:
    """Reading finds the probability that writing had.

    Raises:
        AssertionError: naming the first document where it does not.
    """
    for number, (left, right) in enumerate(zip(read, written, strict=True)):
        assert math.isclose(left, right, rel_tol=1e-9), f"document {number}: read {left}, written {right}"
