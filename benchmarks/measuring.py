"""Timing by turns, medians and ratios: what keeps a comparison fair on a machine that does more than that."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch


def time_by_turns(
    functions: Mapping[str, Callable[[], object]],
    *,
    turns: int,
    warm_up: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each function in each turn.

    In a turn each runs once, in an order that is turned round from turn to turn, so that neither a busy
    moment nor what a neighbour leaves in the caches falls on one side. `warm_up` turns before are not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    names = list(functions)
    for turn in range(-warm_up, turns):
        for name in names if turn % 2 == 0 else reversed(names):
            start = clock()
            functions[name]()
            if turn >= 0:
                seconds[name].append(clock() - start)
    return seconds


def median(values: Sequence[float]) -> float:
    """The middle one, or the mean of the two in the middle."""
    return statistics.median(values)


def median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Median over the turns of numerator / denominator: both are from the same turn.

    Raises:
        ValueError: if they are not of one length.
    """
    return statistics.median(n / d for n, d in zip(numerator, denominator, strict=True))


def format_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table.

    Raises:
        ValueError: if a row is not as long as the header.
    """
    lines = [header, ["---"] * len(header), *rows]
    if any(len(line) != len(header) for line in lines):
        raise ValueError(f"every row needs {len(header)} cells, as the header has.")
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


@contextmanager
def num_threads(wanted: int) -> Iterator[None]:
    """So many CPU threads for torch inside, and as before afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
