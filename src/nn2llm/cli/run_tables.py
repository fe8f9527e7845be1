"""The tables of `nn2llm runs`: summaries, configs and their differences as text.

Every figure fits a terminal of 80 columns. Used by runs.py.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from nn2llm.cli.curves import format_count
from nn2llm.cli.run_reading import RunSummary, flatten_config
from nn2llm.core.progress import format_duration

__all__ = [
    "LETTERS",
    "build_config_table",
    "build_difference_table",
    "build_list_table",
    "build_result_table",
    "describe_state",
    "format_bytes",
]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Names of the runs in a comparison."""

_NO_VALUE = "–"


def build_list_table(summaries: Sequence[RunSummary]) -> Table:
    """One line a run."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("run", overflow="fold", ratio=1)
    table.add_column("state", no_wrap=True)
    for name in ("steps", "params", "loss", "val", "bits/B", "tokens", "size", "age"):
        table.add_column(name, justify="right", no_wrap=True)
    styles = {"running": "green", "done": "", "stopped": "yellow", "empty": "dim"}
    for run in summaries:
        table.add_row(
            Text(run.name),
            Text(run.state, style=styles[run.state]),
            _format_steps(run),
            _format(run.num_parameters, format_count),
            _format(run.loss, "{:.3f}".format),
            _format(run.val_loss, "{:.3f}".format),
            _format(run.val_bits_per_byte, "{:.3f}".format),
            _format(run.tokens, format_count),
            format_bytes(run.size_bytes),
            _format_age(time.time() - run.changed_at),
        )
    return table


def build_config_table(config: dict[str, Any]) -> Table:
    """One line a section: the settings that are set."""
    sections: dict[str, dict[str, Any]] = {"": {}}
    for key, value in flatten_config(config).items():
        section, _, name = key.rpartition(".")
        if value is not None:
            sections.setdefault(section, {})[name] = value
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for section, settings in sections.items():
        if settings:
            shown = "   ".join(f"{name}={_format_setting(value)}" for name, value in settings.items())
            table.add_row(Text(section or "run"), Text(shown))
    return table


def build_difference_table(configs: Sequence[dict[str, Any]]) -> Table | Text:
    """The settings (dotted names) that are not the same in all configs, one column a run."""
    keys = list(dict.fromkeys(key for config in configs for key in config))
    missing = object()
    different = [key for key in keys if len({repr(config.get(key, missing)) for config in configs}) > 1]
    if not different:
        return Text("The configs are equal.")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("differs", overflow="fold")
    for letter, _ in zip(LETTERS, configs, strict=False):
        table.add_column(letter, justify="right", overflow="fold")
    for key in different:
        cells = [_format_setting(config[key]) if key in config else _NO_VALUE for config in configs]
        table.add_row(Text(key), *map(Text, cells))
    return table


def build_result_table(summaries: Sequence[RunSummary]) -> Table:
    """One line a figure, one column a run."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_header=len(summaries) > 1)
    table.add_column("result")
    for letter, _ in zip(LETTERS, summaries, strict=False):
        table.add_column(letter if len(summaries) > 1 else "", justify="right")
    lines: list[tuple[str, Callable[[RunSummary], str]]] = [
        ("best validation loss, nats per token", lambda run: _format(run.val_loss, "{:.4f}".format)),
        ("bits per byte there", lambda run: _format(run.val_bits_per_byte, "{:.4f}".format)),
        ("training loss, last steps", lambda run: _format(run.loss, "{:.4f}".format)),
        ("steps", _format_steps),
        ("tokens", lambda run: _format(run.tokens, format_count)),
        ("training time", lambda run: _format(run.seconds, format_duration)),
        ("parameters", lambda run: _format(run.num_parameters, format_count)),
        ("size on disk", lambda run: format_bytes(run.size_bytes)),
    ]
    for name, show in lines:
        table.add_row(name, *(show(run) for run in summaries))
    return table


def describe_state(run: RunSummary) -> str:
    """The state, and how old that knowledge is."""
    ago = _format_age(time.time() - run.changed_at)
    return f"{run.state}, last written {ago} ago"


def _format(value: Any, how: Callable[[Any], str]) -> str:
    return _NO_VALUE if value is None else how(value)


def _format_steps(run: RunSummary) -> str:
    if run.num_steps is None or run.step >= run.num_steps:
        return format_count(run.step)
    return f"{format_count(run.step)}/{format_count(run.num_steps)}"


def _format_setting(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else str(value)


def format_bytes(size: float) -> str:
    """987 B, 3.5 MB: units of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _format_age(seconds: float) -> str:
    """38s, 5min, 3h, 12d: one number is enough to find the run of this morning."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"
