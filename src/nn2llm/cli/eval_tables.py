"""The tables of `nn2llm eval`, and the sentences that say how to read them. Used by eval.py.

They are made from the record that is written as JSON, so a saved evaluation can be shown again. Every table
fits a terminal of 80 columns.
"""

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

__all__ = ["build_report"]

Record = dict[str, Any]

_KEY = "bold"


def build_report(record: Record) -> Iterator[Table | str]:
    """Tables and sentences, in the order in which they are read."""
    yield _describe(record)
    yield _build_text_table(record)
    yield from _explain_text(record)
    world = record["microworld"]
    if world is None:
        return
    yield ""
    yield _build_floor_table(world["floor"])
    yield from _explain_floor(world["floor"])
    yield ""
    yield _build_probe_table(world["probes"])
    yield (
        "A question is answered rightly where the model finds the right continuation the most probable. "
        "Bold: surely better than a blind guess. The intervals say how much other questions could change it."
    )


def _describe(record: Record) -> str:
    text = record["text"]
    part = {"val": "held-out ", "train": "training ", "all": ""}[record["split"]]
    size = f"{text['num_bytes']:,} bytes"
    if text["num_documents"] > 1:
        size += f" in {text['num_documents']:,} documents"
    cut = ", its beginning" if text["is_cut"] else ""
    return f"{record['run']}, step {record['step']:,}, on the {part}text of {record['corpus']}: {size}{cut}\n"


def _build_text_table(record: Record) -> Table:
    text = record["text"]
    table = Table(header_style="bold")
    table.add_column("predicted by")
    table.add_column("bits a byte", justify="right", no_wrap=True)
    table.add_column("95%", justify="right", no_wrap=True)
    table.add_column("perplexity", justify="right", no_wrap=True)
    table.add_row("no knowledge", "8.000", "", "256 a byte")
    baselines = text["baselines"]
    table.add_row("gzip", f"{baselines['gzip']:.3f}", "", "")
    table.add_row("xz", f"{baselines['xz']:.3f}", "", "")
    if text["xz_has_read_training_text"] and record["is_own_corpus"]:
        table.add_row("xz, after the same training text", f"{baselines['xz_after_train']:.3f}", "", "")
    for figures in text["figures"]:
        table.add_row(
            _name_way(figures),
            f"{figures['bits_per_byte']['estimate']:.3f}",
            _format_range(figures["bits_per_byte"], "{:.3f}"),
            f"{figures['perplexity']['estimate']:.4g}",
            style=_KEY,
        )
    return table


def _name_way(figures: Record) -> str:
    if figures["way"] == "rows":
        return f"the model, in rows of {figures['seq_len']} as in training"
    if figures["way"] == "alone":
        return "the model, each document by itself"
    return f"the model, {figures['seq_len'] - figures['stride']} tokens or more before each"


def _explain_text(record: Record) -> Iterator[str]:
    figures = record["text"]["figures"][-1]
    loss = figures["nats_per_token"]["estimate"]
    yield (
        f"Loss {loss:.3f} nats a token: the model hesitates as between "
        f"{figures['perplexity']['estimate']:.4g} equally likely tokens. Bits a byte do not depend on the "
        "tokenizer: b of them could compress this text to b/8 of its size. The interval says how much other "
        f"text of the same kind could change it (drawn: {figures['num_units']:,} times a {figures['unit']})."
    )


def _build_floor_table(floor: list[Record]) -> Table:
    table = Table(title="Loss against the floor, nats a document", title_justify="left", header_style="bold")
    table.add_column("genre", no_wrap=True)
    for name in ("documents", "model", "floor", "above it", "95%", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in floor:
        table.add_row(
            line["genre"],
            f"{line['num_documents']:,}",
            f"{line['model_nats']['estimate']:.2f}",
            f"{line['floor_nats']['estimate']:.2f}",
            f"{line['kl']['estimate']:.2f}",
            _format_range(line["kl"], "{:.2f}"),
            f"{line['ratio']['estimate']:.3f}",
            style=_KEY if line["genre"] == "all" else None,
            end_section=line is floor[-2] if len(floor) > 1 else False,
        )
    return table


def _explain_floor(floor: list[Record]) -> Iterator[str]:
    line = floor[-1]
    model, least, excess = (
        line[name]["estimate"]
        for name in ("model_bits_per_byte", "floor_bits_per_byte", "excess_bits_per_byte")
    )
    yield (
        f"In bits a byte: model {model:.3f}, floor {least:.3f}, above it {excess:.3f} "
        f"({_format_range(line['excess_bits_per_byte'], '{:.3f}')}). "
        "The floor is how surprising the text is to the very process that wrote it: no model can be "
        "below it on average. What is above it estimates the divergence KL(world || model)."
    )
    kl = line["kl"]
    if kl["estimate"] < -4 * kl["standard_error"] - 1e-6 * abs(line["floor_nats"]["estimate"]):
        yield "The model is below the floor, which cannot be: the text is not of this micro-world."


def _build_probe_table(probes: list[Record]) -> Table:
    table = Table(title="What it knows", title_justify="left", header_style="bold")
    table.add_column("probe")
    for name in ("items", "right", "95%", "by chance"):
        table.add_column(name, justify="right", no_wrap=True)
    for probe in probes:
        *kinds, overall = probe["kinds"]
        label = Text(f"{probe['probe'].replace('_', ' ')}: {probe['summary']}")
        _add_choice_row(table, label, overall)
        if len(kinds) > 1:
            for kind in kinds:
                _add_choice_row(table, Text(f"  {kind['kind']}", style="dim"), kind)
        table.add_section()
    return table


def _add_choice_row(table: Table, label: Text, line: Record) -> None:
    accuracy, chance = line["accuracy"], line["chance"]
    is_better = accuracy["low"] > chance
    table.add_row(
        label,
        f"{line['num_items']:,}",
        Text(f"{accuracy['estimate']:.0%}", style=_KEY if is_better else ""),
        f"{accuracy['low']:.0%} to {accuracy['high']:.0%}",
        f"{chance:.0%}",
    )


def _format_range(interval: Record, how: str) -> str:
    return f"{how.format(interval['low'])} to {how.format(interval['high'])}"
