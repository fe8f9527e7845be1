"""`nn2llm tokenizer train|inspect`: learn a vocabulary from text, or look at what one does to a text.

Read after tokenizers/bpe.py. Torch is not imported: none of it is needed.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from nn2llm.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from nn2llm.data.corpora import Corpus
    from nn2llm.tokenizers import Tokenizer

__all__ = ["InspectConfig", "TrainConfig", "main"]

_MEASURED_BYTES = 1_000_000  # of the held-out text: enough for three digits, and quick
_DEFAULT_TRAIN_MB = 5.0
_STYLES = ("black on bright_cyan", "black on bright_green")
_NUM_LONGEST = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """Learn a vocabulary from a corpus and save it as a folder with a tokenizer.json."""

    corpus: str
    """A name (python-docs, shakespeare, …), or the path of a text, a folder, or a "glob"."""
    out: Path
    """Folder to write."""
    kind: Literal["bpe", "char"] = "bpe"
    """bpe: byte pairs, for any text. char: one token a character."""
    vocab_size: int | None = None
    """Ids in all. Default: 1024 for bpe, every character for char."""
    train_mb: float = _DEFAULT_TRAIN_MB
    """Megabytes of the training text that bpe learns from."""
    text_field: str = "text"
    """The field of a JSON line that holds the text."""
    replace: bool = False
    """Replace a tokenizer that is in --out already."""

    def __post_init__(self) -> None:
        if not self.train_mb > 0:
            raise ConfigError(f"--train-mb must be more than 0, got {self.train_mb:g}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class InspectConfig:
    """Show a text's tokens and ids, measure a text, or compare sizes of vocabulary."""

    tokenizer: tyro.conf.Positional[Path | None] = None
    """A tokenizer.json, a folder with one, a run folder, or a folder with GPT-2's files."""
    text: str | None = None
    """A text to cut into tokens."""
    file: Path | None = None
    """A text file of any size."""
    corpus: str | None = None
    """A corpus; its held-out part is measured (the first megabyte)."""
    compare: str | None = None
    """Sizes to compare, as in 512,1024,4096. Without TOKENIZER, one is trained on --corpus."""
    width: int = 256
    """Width of the model whose embedding --compare counts (n_embd)."""
    show: int = 200
    """Tokens to show."""
    text_field: str = "text"
    """The field of a JSON line that holds the text."""

    def __post_init__(self) -> None:
        given = [name for name in ("text", "file", "corpus") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"Give one text, not --{' and --'.join(given)}.")
        if self.width < 1:
            raise ConfigError(f"--width must be at least 1, got {self.width}.")
        if self.show < 0:
            raise ConfigError(f"--show must be 0 or more, got {self.show}.")
        if self.compare is not None and not given:
            raise ConfigError(
                "--compare needs a text: add --corpus NAME (or, with a TOKENIZER, --text or --file)."
            )
        if self.tokenizer is None and (self.compare is None or self.corpus is None):
            raise ConfigError(
                "Name a TOKENIZER to inspect (a folder with a tokenizer.json), "
                "or compare sizes: --compare 512,1024,4096 --corpus NAME."
            )


_Command = (
    Annotated[TrainConfig, tyro.conf.subcommand("train")]
    | Annotated[InspectConfig, tyro.conf.subcommand("inspect")]
)


def main(argv: list[str]) -> int:
    """Run `nn2llm tokenizer`; returns the exit code."""
    config: TrainConfig | InspectConfig = tyro.cli(
        _Command,
        prog="nn2llm tokenizer",
        description="Text to ids: learn a vocabulary, or look at what one does.",
        args=argv,
    )
    console = Console(highlight=False)
    if isinstance(config, TrainConfig):
        return _train(config, console)
    if config.compare is not None:
        return _compare(config, console)
    return _inspect(config, console)


# --- Train ------------------------------------------------------------------------------------------------


def _train(config: TrainConfig, console: Console) -> int:
    from nn2llm.data.corpora import load_corpus
    from nn2llm.tokenizers import TOKENIZER_FILE

    out = config.out.expanduser()
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out} is a file. Name a folder.")
    if (out / TOKENIZER_FILE).exists() and not config.replace:
        raise ConfigError(f"{out} holds a tokenizer already. Choose another --out, or add --replace.")
    corpus = load_corpus(config.corpus, text_field=config.text_field)
    start = time.perf_counter()
    tokenizer = _build_tokenizer(config.kind, corpus, config.vocab_size, config.train_mb, console)
    seconds = time.perf_counter() - start
    tokenizer.save(out)
    num_merges = tokenizer.vocab_size - 256 - len(tokenizer.special_tokens)
    parts = f"{num_merges:,} merges" if config.kind == "bpe" else "all characters"
    _print_line(
        console, f"{config.kind} tokenizer of {tokenizer.vocab_size:,} ids ({parts}) in {seconds:.1f} s"
    )
    if config.vocab_size is not None and tokenizer.vocab_size < config.vocab_size:
        why = "no pair occurs twice any more" if config.kind == "bpe" else "the text has no more characters"
        _print_line(console, f"That is fewer than the {config.vocab_size:,} asked for: {why}.")
    _print_longest(tokenizer, console)
    with console.status("measuring on the held-out text"):
        usage = _count(tokenizer, _encode_held_out(tokenizer, corpus), num_first=0)
    _print_usage(usage, f"the held-out text of {corpus.name}", console)
    _print_line(
        console, f"Saved in {out}. Look at it: nn2llm tokenizer inspect {config.out} --text 'Some text.'"
    )
    return 0


def _build_tokenizer(
    kind: str, corpus: "Corpus", vocab_size: int | None, train_mb: float, console: Console
) -> "Tokenizer":
    from nn2llm.data.tokenizer_choice import build_tokenizer
    from nn2llm.tokenizers import DEFAULT_VOCAB_SIZE

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    disable = not console.is_terminal
    with Progress(SpinnerColumn(), *columns, console=console, transient=True, disable=disable) as progress:
        task = progress.add_task("reading the text", total=None)
        num_merges = (vocab_size or DEFAULT_VOCAB_SIZE) - 257

        def report(count: int) -> None:
            progress.update(task, description="merging pairs", completed=count, total=num_merges)

        return build_tokenizer(
            kind, corpus, vocab_size=vocab_size, max_train_bytes=max(1, int(train_mb * 1e6)), on_merge=report
        )


def _print_longest(tokenizer: "Tokenizer", console: Console) -> None:
    """The longest words among the tokens (rules of dashes are longer, but say less of the text)."""
    num_ordinary = tokenizer.vocab_size - len(tokenizer.special_tokens)
    tokens = [(token_id, tokenizer.token_bytes(token_id).strip()) for token_id in range(num_ordinary)]
    words = [(token_id, token) for token_id, token in tokens if len(token) > 1 and token.isalpha()]
    longest = [token_id for token_id, _ in sorted(words, key=lambda word: -len(word[1]))[:_NUM_LONGEST]]
    if longest:
        console.print(Text("longest words:"))
        console.print(_join_tokens(tokenizer, longest, console))


# --- Inspect ----------------------------------------------------------------------------------------------


def _inspect(config: InspectConfig, console: Console) -> int:
    tokenizer = _load(config)
    special = ", ".join(f"{name} = {token_id}" for name, token_id in tokenizer.special_tokens.items())
    _print_line(console, f"{tokenizer.kind} tokenizer of {tokenizer.vocab_size:,} ids; special: {special}")
    if config.text is None and config.file is None and config.corpus is None:
        _print_longest(tokenizer, console)
        _print_line(
            console, "Add --text 'Some text.', --file FILE or --corpus NAME to see what it does to a text."
        )
        return 0
    ids, name = _encode_chosen(tokenizer, config)
    usage = _count(tokenizer, ids, num_first=config.show)
    if usage.first_ids:
        console.print()
        console.print(_join_tokens(tokenizer, usage.first_ids, console))
        console.print()
        console.print(_join_colored(map(str, usage.first_ids), " ", console))
        if usage.num_tokens > len(usage.first_ids):
            rest = usage.num_tokens - len(usage.first_ids)
            _print_line(console, f"… and {rest:,} more tokens (--show N shows more)")
        console.print()
    _print_usage(usage, name, console)
    return 0


def _load(config: InspectConfig) -> "Tokenizer":
    from nn2llm.tokenizers import load_tokenizer

    assert config.tokenizer is not None
    return load_tokenizer(config.tokenizer.expanduser())


def _encode_chosen(tokenizer: "Tokenizer", config: InspectConfig) -> tuple[Iterator[list[int]], str]:
    """Ids of the text that the options name, in pieces, and what to call it."""
    from nn2llm.data.corpora import load_corpus

    if config.text is not None:
        return iter([tokenizer.encode(config.text)]), "this text"
    if config.file is not None:
        return tokenizer.encode_file(config.file.expanduser()), str(config.file)
    assert config.corpus is not None
    corpus = load_corpus(config.corpus, text_field=config.text_field)
    return _encode_held_out(tokenizer, corpus), f"the held-out text of {corpus.name}"


def _encode_held_out(tokenizer: "Tokenizer", corpus: "Corpus") -> Iterator[list[int]]:
    left = _MEASURED_BYTES
    for text in corpus.documents("val"):
        num_bytes = len(text.encode())
        yield tokenizer.encode(text if num_bytes <= left else text[: max(1, len(text) * left // num_bytes)])
        left -= num_bytes
        if left <= 0:
            return


@dataclass(frozen=True, slots=True)
class _Usage:
    """How a text uses a vocabulary: counts of ids, and what follows from them."""

    first_ids: list[int]
    num_tokens: int
    num_bytes: int
    num_characters: int
    num_used: int
    vocab_size: int


def _count(tokenizer: "Tokenizer", stream: Iterable[list[int]], *, num_first: int) -> _Usage:
    """Count ids as they come, so that a file of any size will do.

    Raises:
        DataError: if there are none.
    """
    import numpy as np

    counts: np.ndarray = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    first_ids: list[int] = []
    for ids in stream:
        counts += np.bincount(ids, minlength=tokenizer.vocab_size)
        first_ids += ids[: num_first - len(first_ids)]
    if not counts.any():
        raise DataError("The text is empty, so there are no tokens to show. Give some text.")
    # A character has one byte that does not begin with the bits 10, so characters add up over tokens too.
    starts = [
        sum(byte >> 6 != 0b10 for byte in tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)
    ]
    return _Usage(
        first_ids=first_ids,
        num_tokens=int(counts.sum()),
        num_bytes=int(counts @ tokenizer.num_bytes_per_token()),
        num_characters=int(counts @ np.array(starts)),
        num_used=int((counts > 0).sum()),
        vocab_size=tokenizer.vocab_size,
    )


def _print_usage(usage: _Usage, name: str, console: Console) -> None:
    size = f"{usage.num_characters:,} characters, {usage.num_bytes:,} bytes"
    _print_line(console, f"{name}: {usage.num_tokens:,} tokens, {size}")
    _print_line(
        console,
        f"{usage.num_bytes / usage.num_tokens:.2f} bytes a token, "
        f"{usage.num_tokens / usage.num_characters:.3f} tokens a character, "
        f"{usage.num_used:,} of {usage.vocab_size:,} ids used ({usage.num_used / usage.vocab_size:.0%})",
    )


# --- Compare ----------------------------------------------------------------------------------------------


def _compare(config: InspectConfig, console: Console) -> int:
    from nn2llm.data.corpora import load_corpus
    from nn2llm.tokenizers import BPETokenizer

    sizes = _parse_sizes(config.compare or "")
    if config.tokenizer is not None:
        largest = _load(config)
    else:
        corpus = load_corpus(config.corpus or "", text_field=config.text_field)
        largest = _build_tokenizer("bpe", corpus, sizes[-1], _DEFAULT_TRAIN_MB, console)
    if not isinstance(largest, BPETokenizer):
        raise ConfigError(f"Only sizes of a BPE can be compared, and this is a {largest.kind} tokenizer.")
    if sizes[0] > largest.vocab_size:
        raise ConfigError(
            f"The tokenizer has {largest.vocab_size:,} ids, so none of --compare {config.compare} is within "
            "it. Give smaller sizes, or more text."
        )
    table = Table()
    for title in ("vocabulary", "bytes a token", "tokens", "tokens a character", "ids used"):
        table.add_column(title, justify="right")
    table.add_column(f"embedding, {config.width} wide", justify="right")
    for size in (size for size in sizes if size <= largest.vocab_size):
        # A BPE contains all smaller ones: they are its first merges.
        tokenizer = largest.truncated(size)
        ids, name = _encode_chosen(tokenizer, config)
        usage = _count(tokenizer, ids, num_first=0)
        table.add_row(
            f"{size:,}",
            f"{usage.num_bytes / usage.num_tokens:.2f}",
            f"{usage.num_tokens:,}",
            f"{usage.num_tokens / usage.num_characters:.3f}",
            f"{usage.num_used / size:.0%}",
            f"{size * config.width:,}",
        )
    _print_line(console, f"BPE on {name}, {usage.num_bytes:,} bytes")
    console.print(table)
    if sizes[-1] > largest.vocab_size:
        left_out = ", ".join(f"{size:,}" for size in sizes if size > largest.vocab_size)
        _print_line(console, f"Left out: {left_out}; this tokenizer has {largest.vocab_size:,} ids.")
    return 0


def _parse_sizes(sizes: str) -> list[int]:
    try:
        parsed = sorted({int(size) for size in sizes.split(",")})
    except ValueError:
        raise ConfigError(f"--compare takes sizes, commas between, as in 512,1024; got {sizes!r}.") from None
    if parsed[0] < 257:
        raise ConfigError(f"--compare takes sizes of at least 257 (256 bytes, 1 special), got {parsed[0]}.")
    return parsed


# --- Printing ---------------------------------------------------------------------------------------------


def _join_tokens(tokenizer: "Tokenizer", ids: list[int], console: Console) -> Text:
    bar = "│" if console.encoding.startswith("utf") else "|"
    return _join_colored([_show_token(tokenizer.token_bytes(i), console.encoding) for i in ids], bar, console)


def _join_colored(words: Iterable[str], separator: str, console: Console) -> Text:
    """Words in alternating colours, with a separator for eyes and terminals without colour.

    Lines are broken here, between words: rich would break in a token, and drop a space that ends a line.
    """
    joined = Text(separator.strip())
    column = cell_len(joined.plain)
    for i, word in enumerate(words):
        width = cell_len(word + separator)
        if column + width > console.width and column > 1:
            joined.append("\n" + separator.strip())
            column = cell_len(separator.strip())
        joined.append(word, _STYLES[i % 2]).append(separator)
        column = column + width if not word.endswith("\n") else 1
    return joined


def _show_token(token: bytes, encoding: str) -> str:
    """A token as text: what cannot be printed, and bytes that are half a character, as escapes."""
    return "".join(
        _show_character(character, encoding) for character in token.decode("utf-8", "backslashreplace")
    )


def _show_character(character: str, encoding: str) -> str:
    if character == "\n":
        return "\\n\n"
    if not character.isprintable():  # terminal commands, tabs, zero-width characters
        return character.encode("unicode_escape").decode()
    return character.encode(encoding, "backslashreplace").decode(encoding)


def _print_line(console: Console, line: str) -> None:
    # A path may hold brackets, and a line that is broken cannot be copied.
    console.print(line, markup=False, soft_wrap=True)
