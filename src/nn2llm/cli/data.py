"""`nn2llm data prepare|inspect|preferences`: text into token shards, a look at either, preferences converted.

Read after data/prepare.py. Torch is not imported here: none of it is needed.
"""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.panel import Panel
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from nn2llm.cli.data_preferences import PreferencesConfig, convert_preferences
from nn2llm.core.errors import ConfigError, DataError
from nn2llm.data.corpora import CORPUS_NAMES, SPLITS, Corpus, Split, load_corpus
from nn2llm.data.prepare import (
    SplitCounts,
    TokenDataset,
    check_target,
    is_dataset_folder,
    load_dataset,
    prepare_dataset,
)
from nn2llm.data.readers import SUFFIXES
from nn2llm.microworld import is_world_spec

__all__ = ["InspectConfig", "PrepareConfig", "main"]

_TITLES: dict[Split, str] = {"train": "training", "val": "held out"}


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareConfig:
    """Tokenise a corpus once, into a folder of token shards."""

    corpus: str
    """A name (microworld, python-docs, shakespeare, …), or the path of a text, a folder, or a "glob"."""
    out: Path
    """Folder to write. If it holds these tokens already, nothing is done."""
    tokenizer: str = "bpe"
    """char, bpe (both are trained on the corpus), or the path of a tokenizer."""
    vocab_size: int | None = None
    """Ids of the tokenizer to train. Default: 1024 for bpe, every character for char."""
    text_field: str = "text"
    """The field of a JSON line that holds the text."""
    replace: bool = False
    """Replace a dataset of another corpus or tokenizer in --out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectConfig:
    """Look at a corpus: documents, sizes, a sample. Or at a dataset folder: tokens, checksums, a sample."""

    target: tyro.conf.Positional[str]
    """A corpus (name, path, "glob"), or a folder that `nn2llm data prepare` made."""
    text_field: str = "text"
    """The field of a JSON line that holds the text."""
    sample_chars: int = 400
    """Characters of text to show."""
    facts: str | None = None
    """List what is so in a micro-world: a kind of fact (trade, home, kin, …), or all."""

    def __post_init__(self) -> None:
        """Check the sample's length."""
        if self.sample_chars < 0:
            raise ConfigError(f"--sample-chars must be 0 or more, got {self.sample_chars}.")


_Command = (
    Annotated[PrepareConfig, tyro.conf.subcommand("prepare")]
    | Annotated[InspectConfig, tyro.conf.subcommand("inspect")]
    | Annotated[PreferencesConfig, tyro.conf.subcommand("preferences")]
)


def main(argv: list[str]) -> int:
    """Run `nn2llm data`; returns the exit code."""
    names = "\n".join(f"  {name:18} {summary}" for name, summary in CORPUS_NAMES.items())
    config: PrepareConfig | InspectConfig | PreferencesConfig = tyro.cli(
        _Command,
        prog="nn2llm data",
        description=f"Corpora with a name:\n{names}\n\nOr files ending in {', '.join(SUFFIXES)}.",
        args=argv,
    )
    console = Console(highlight=False)
    if isinstance(config, PrepareConfig):
        return _prepare(config, console)
    if isinstance(config, PreferencesConfig):
        return convert_preferences(config, console)
    if is_world_spec(config.target):
        from nn2llm.cli.world_view import inspect_world

        inspect_world(config.target, config.facts, console)
        return 0
    if config.facts is not None:
        raise ConfigError(
            f"--facts is for a micro-world (`nn2llm data inspect microworld`), not {config.target!r}."
        )
    if is_dataset_folder(Path(config.target).expanduser()):
        return _inspect_dataset(Path(config.target).expanduser(), config, console)
    return _inspect_corpus(config, console)


@contextmanager
def _show_progress(console: Console) -> Iterator[Callable[[str], None]]:
    """A spinner with a line of text that the caller sets; nothing where no one watches."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("reading", total=None)
        yield lambda text: progress.update(task, description=text)


def _say_download(say: Callable[[str], None]) -> Callable[[str, int, int | None], None]:
    def report(name: str, num_bytes: int, total: int | None) -> None:
        of_all = "" if total is None else f" of {total / 1e6:,.1f}"
        say(f"downloading {name}: {num_bytes / 1e6:,.1f}{of_all} MB")

    return report


def _prepare(config: PrepareConfig, console: Console) -> int:
    from nn2llm.data.tokenizer_choice import build_tokenizer

    check_target(config.out.expanduser())  # before the tokenizer is trained, which may take a while
    with _show_progress(console) as say:
        corpus = load_corpus(config.corpus, text_field=config.text_field, progress=_say_download(say))
        say(f"building the {config.tokenizer} tokenizer")
        tokenizer = build_tokenizer(
            config.tokenizer,
            corpus,
            vocab_size=config.vocab_size,
            on_merge=lambda count: say(f"training the tokenizer: {count:,} merges"),
        )

        def report(split: Split, counts: SplitCounts) -> None:
            say(f"tokenising the {_TITLES[split]} text: {counts.num_tokens:,} tokens")

        dataset = prepare_dataset(
            corpus, tokenizer, config.out.expanduser(), replace=config.replace, progress=report
        )
    _print_dataset(dataset, console)
    _print_line(console, f"Look at it: nn2llm data inspect {config.out}")
    return 0


def _build_dataset_table(dataset: TokenDataset) -> Table:
    table = Table()
    table.add_column("")
    for split in SPLITS:
        table.add_column(_TITLES[split], justify="right")
    counts = [dataset.counts[split] for split in SPLITS]
    shards = [dataset.train, dataset.val]
    table.add_row("documents", *(f"{count.num_documents:,}" for count in counts))
    table.add_row("bytes of text", *(f"{count.num_bytes:,}" for count in counts))
    table.add_row("tokens", *(f"{count.num_tokens:,}" for count in counts))
    table.add_row("bytes a token", *(_format_ratio(count.num_bytes, count.num_tokens) for count in counts))
    table.add_row("files", *(f"{stream.num_shards} × {stream.dtype.name}" for stream in shards))
    return table


def _print_dataset(dataset: TokenDataset, console: Console) -> None:
    _print_line(console, f"{dataset.corpus_name} in {dataset.folder}")
    tokenizer = f"{dataset.tokenizer_kind} tokenizer of {dataset.vocab_size:,} ids"
    _print_line(console, f"{tokenizer}, fingerprint {dataset.tokenizer_fingerprint[:12]}")
    console.print(_build_dataset_table(dataset))


def _print_line(console: Console, line: str) -> None:
    # A path may hold brackets, and a line that is broken cannot be copied.
    console.print(line, markup=False, soft_wrap=True)


def _format_ratio(count: int, total: int) -> str:
    return f"{count / total:.2f}" if total else "–"


def _inspect_dataset(folder: Path, config: InspectConfig, console: Console) -> int:
    from nn2llm.tokenizers import load_tokenizer

    with _show_progress(console) as say:
        say("checking every byte against the checksums")
        dataset = load_dataset(folder, verify=True)
    _print_dataset(dataset, console)
    _print_line(console, "All checksums fit.")
    tokenizer = load_tokenizer(dataset.tokenizer_folder)
    if tokenizer.fingerprint() != dataset.tokenizer_fingerprint:
        raise DataError(
            f"{dataset.tokenizer_folder} is not the tokenizer these tokens were made with. "
            "Run `nn2llm data prepare` again."
        )
    # A token may be a part of a character, so more tokens than characters are never needed.
    ids = dataset.train[: config.sample_chars].tolist()
    _print_sample(tokenizer.decode(ids), "the first training tokens, decoded", config, console)
    return 0


def _inspect_corpus(config: InspectConfig, console: Console) -> int:
    with _show_progress(console) as say:
        corpus = load_corpus(config.target, text_field=config.text_field, progress=_say_download(say))
        measures = {split: _measure(corpus, split, say) for split in SPLITS}
    table = Table()
    table.add_column("")
    for split in SPLITS:
        table.add_column(_TITLES[split], justify="right")
    for row in ("documents", "bytes", "shortest", "median", "longest"):
        table.add_row(row, *(measures[split].numbers[row] for split in SPLITS))
    _print_line(console, corpus.describe())
    if not corpus.separates_documents and measures["train"].numbers["documents"] == "1":
        _print_line(console, "One running text: its first 90% train, the rest is held out.")
    console.print(table)
    _print_sample(measures["train"].sample, "a training document", config, console)
    return 0


@dataclass(frozen=True, slots=True)
class _Measure:
    """What the table shows of one split, and a document of it."""

    numbers: dict[str, str]
    sample: str


def _measure(corpus: Corpus, split: Split, say: Callable[[str], None]) -> _Measure:
    sizes: list[int] = []
    sample = ""
    for text in corpus.documents(split):
        sample = sample or text
        sizes.append(len(text.encode()))
        if len(sizes) % 100 == 1:
            say(f"reading the {_TITLES[split]} text: {len(sizes):,} documents")
    if not sizes:
        raise DataError(f"The {_TITLES[split]} part of {corpus.name} holds no text. Give a longer corpus.")
    numbers = {
        "documents": f"{len(sizes):,}",
        "bytes": f"{sum(sizes):,}",
        "shortest": f"{min(sizes):,} B",
        "median": f"{statistics.median_low(sizes):,} B",
        "longest": f"{max(sizes):,} B",
    }
    return _Measure(numbers, sample)


def _print_sample(text: str, title: str, config: InspectConfig, console: Console) -> None:
    if config.sample_chars:
        shown = text[: config.sample_chars] + ("…" if len(text) > config.sample_chars else "")
        # Text, not a string: brackets in a corpus are no markup.
        console.print(Panel(Text(shown), title=title, title_align="left"))
