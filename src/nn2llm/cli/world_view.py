"""What `nn2llm data inspect microworld` shows: facts, documents of each kind, and how surprising they are.

Read after microworld/world.py. Used by cli/data.py.
"""

import math
import random
import statistics
from collections import Counter

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from nn2llm.core.errors import ConfigError
from nn2llm.microworld import FACT_KINDS, GENRES, Document, World, build_world, parse_world_spec

__all__ = ["inspect_world"]

_SAMPLE = 4000
_SHOWN = 2


def inspect_world(spec: str, facts: str | None, console: Console) -> None:
    """Print the world that `spec` names; with `facts`, the facts of that kind ("all": of every kind) instead.

    Raises:
        ConfigError: if there is no such world or kind of fact.
    """
    world = build_world(parse_world_spec(spec))
    if facts is not None:
        _print_facts(world, facts, console)
        return
    village = world.village
    learner = village.learner
    who = f", {learner} the {learner.trade} among them" if learner else ""
    console.print(
        f"A village of {len(village.people)} people{who}; {len(world.facts)} facts that never change. "
        "What happens from day to day is drawn anew in each document.",
        soft_wrap=True,
        markup=False,
    )
    console.print(_build_facts_table(world))
    rng = random.Random(f"{world.config.seed} inspect")
    documents = [world.sample(rng) for _ in range(_SAMPLE)]
    console.print(_build_genres_table(documents))
    console.print(
        "The floor is the entropy of the text: what a model that knew the world by heart would need.",
        soft_wrap=True,
    )
    for genre in GENRES:
        for document in [d for d in documents if d.genre == genre][:_SHOWN]:
            title = f"{genre}, {document.nats:.1f} nats"
            console.print(Panel(Text(document.text), title=title, title_align="left"))
    console.print(
        f"All facts of a kind: nn2llm data inspect {spec} --facts trade", markup=False, soft_wrap=True
    )


def _print_facts(world: World, kind: str, console: Console) -> None:
    if kind != "all" and kind not in FACT_KINDS:
        raise ConfigError(f"There is no kind of fact {kind!r}. Choose one of all, {', '.join(FACT_KINDS)}.")
    for fact in world.village.list_facts(None if kind == "all" else kind):
        console.print(fact.sentence, markup=False, soft_wrap=True)


def _build_facts_table(world: World) -> Table:
    counts = Counter(fact.kind for fact in world.facts)
    examples = {fact.kind: fact.sentence for fact in reversed(world.facts)}
    table = Table()
    table.add_column("fact")
    table.add_column("what it says")
    table.add_column("number", justify="right")
    table.add_column("for example")
    for kind, summary in FACT_KINDS.items():
        table.add_row(kind, summary, str(counts[kind]), Text(examples.get(kind, "–")))
    return table


def _build_genres_table(documents: list[Document]) -> Table:
    table = Table(title=f"{len(documents):,} documents drawn", title_justify="left")
    table.add_column("kind")
    for heading in ("share", "median bytes", "longest", "floor, nats a document", "floor, bits a byte"):
        table.add_column(heading, justify="right")
    for genre in (*GENRES, None):
        chosen = [d for d in documents if genre in (None, d.genre)]
        sizes = [len(d.text.encode()) for d in chosen]
        nats = math.fsum(d.nats for d in chosen)
        table.add_row(
            genre or "all",
            f"{len(chosen) / len(documents):.0%}",
            f"{statistics.median_low(sizes):,}",
            f"{max(sizes):,}",
            f"{nats / len(chosen):.1f}",
            f"{nats / math.log(2) / sum(sizes):.3f}",
            style="bold" if genre is None else "",
        )
    return table
