"""`nn2llm runs list | show | compare | delete`: what has been trained, how it went, and away with it.

Reads run folders only (run_reading.py), so it answers without importing torch, also while a run goes on.
"""

import dataclasses
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.text import Text
from tyro.conf import Positional, arg, subcommand

from nn2llm.cli.curves import Curve, Scale, draw_curves, save_png, smooth
from nn2llm.cli.run_reading import (
    Metrics,
    as_number,
    compute_seconds,
    flatten_config,
    get_runs_root,
    read_config,
    read_metrics,
    summarize_run,
)
from nn2llm.cli.run_tables import (
    LETTERS,
    build_config_table,
    build_difference_table,
    build_list_table,
    build_result_table,
    describe_state,
    format_bytes,
)
from nn2llm.core.errors import CheckpointError, ConfigError, Nn2llmError
from nn2llm.core.files import storage_errors
from nn2llm.core.run_folder import find_run, find_runs, is_run_folder

__all__ = ["By", "Compare", "Delete", "List", "Show", "main"]

By = Literal["tokens", "steps", "time"]

_X_LABELS = {"tokens": "tokens", "steps": "step", "time": "training time, s"}
_Y_LABEL = "loss, nats per token"


@dataclass(frozen=True, kw_only=True, slots=True)
class List:
    """List all runs, newest first."""

    runs: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of the runs. Default: NN2LLM_RUNS, else ./runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Show:
    """Show one run: its config, its results and its loss curves."""

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Name of a run, or the path of its folder."""
    by: By = "steps"
    """What the horizontal axis counts."""
    x_scale: Scale = "linear"
    """Horizontal axis."""
    y_scale: Scale = "linear"
    """Vertical axis."""
    png: Annotated[Path | None, arg(metavar="PATH")] = None
    """Where the image goes. Default: RUN/curves.png."""
    runs: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of the runs. Default: NN2LLM_RUNS, else ./runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compare:
    """Compare runs: what differs in their configs, their results, and all curves in one plot."""

    run: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN ...")]
    """Two runs or more."""
    by: By = "tokens"
    """What the horizontal axis counts."""
    x_scale: Scale = "linear"
    """Horizontal axis."""
    y_scale: Scale = "linear"
    """Vertical axis."""
    png: Annotated[Path | None, arg(metavar="PATH")] = None
    """Where the image goes. Default: compare.png in the folder of the runs."""
    runs: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of the runs. Default: NN2LLM_RUNS, else ./runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Delete:
    """Delete run folders, checkpoints included. Asks first."""

    run: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN ...")]
    """One run or more."""
    yes: bool = False
    """Do not ask."""
    runs: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of the runs. Default: NN2LLM_RUNS, else ./runs."""


Action = (
    Annotated[List, subcommand("list")]
    | Annotated[Show, subcommand("show")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Delete, subcommand("delete")]
)


def main(argv: list[str]) -> int:
    """Run `nn2llm runs`; returns the exit code.

    Raises:
        Nn2llmError: for a run that is missing or damaged, or a PNG that cannot be written.
    """
    action: Any = tyro.cli(Action, prog="nn2llm runs", args=argv)
    console = Console(width=None if sys.stdout.isatty() else 120)
    if isinstance(action, List):
        return _list(action, console)
    if isinstance(action, Show):
        return _show(action, console)
    if isinstance(action, Compare):
        return _compare(action, console)
    return _delete(action, console)


def _list(action: List, console: Console) -> int:
    root = get_runs_root(action.runs)
    folders = find_runs(root)
    if not folders:
        # not wrapped: a command that is broken cannot be copied
        console.print(
            f"No runs in {root}. Train one: nn2llm pretrain --out {root}/NAME", markup=False, soft_wrap=True
        )
        return 0
    summaries, damaged = [], []
    for folder in folders:
        try:
            summaries.append(summarize_run(folder, root))
        except Nn2llmError as error:
            damaged.append(str(error))
    if summaries:
        console.print(build_list_table(sorted(summaries, key=lambda run: -run.changed_at)))
    for message in damaged:
        console.print(f"damaged: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
    return 0


def _show(action: Show, console: Console) -> int:
    root = get_runs_root(action.runs)
    folder = find_run(action.run, root)
    summary, metrics = summarize_run(folder, root), read_metrics(folder)
    console.print(Text(f"{folder}", style="bold") + Text(f"  {describe_state(summary)}"))
    console.print(build_config_table(read_config(folder)))
    console.print()
    console.print(build_result_table([summary]))
    console.print()
    curves = _build_curves(metrics, action.by)
    if not curves:
        console.print("No losses written yet.")
        return 0
    axes = {"x_label": _X_LABELS[action.by], "y_label": _Y_LABEL}
    _print_plot(console, curves, axes, action.x_scale, action.y_scale)
    png = action.png or folder / "curves.png"
    save_png(png, curves, title=summary.name, x_scale=action.x_scale, y_scale=action.y_scale, **axes)
    console.print(f"\nWritten: {png}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _compare(action: Compare, console: Console) -> int:
    if len(action.run) < 2:
        raise ConfigError(
            f"compare needs two runs or more, got {len(action.run)}. `nn2llm runs list` lists them."
        )
    if len(action.run) > len(LETTERS):
        raise ConfigError(f"compare takes at most {len(LETTERS)} runs, got {len(action.run)}.")
    root = get_runs_root(action.runs)
    folders = [find_run(name, root) for name in action.run]
    summaries = [summarize_run(folder, root) for folder in folders]
    for letter, summary in zip(LETTERS, summaries, strict=False):
        console.print(Text(f"{letter}  {summary.name}  ", style="bold") + Text(describe_state(summary)))
    console.print()
    console.print(build_difference_table([flatten_config(read_config(folder)) for folder in folders]))
    console.print()
    console.print(build_result_table(summaries))
    console.print()
    shown: list[Curve] = []
    for index, (folder, summary) in enumerate(zip(folders, summaries, strict=True)):
        curves = _build_curves(read_metrics(folder), action.by, group=index)
        shown += [
            dataclasses.replace(curve, name=f"{summary.name}: {curve.name}", mark=LETTERS[index])
            for curve in curves
            if curve.kind != "faint"  # several noisy curves would hide one another
        ]
    if not shown:
        console.print("No losses written yet.")
        return 0
    axes = {"x_label": _X_LABELS[action.by], "y_label": _Y_LABEL}
    _print_plot(console, shown, axes, action.x_scale, action.y_scale)
    png = action.png or root / "compare.png"
    title = (
        " and ".join(summary.name for summary in summaries)
        if len(summaries) == 2
        else f"{len(summaries)} runs"
    )
    save_png(png, shown, title=title, x_scale=action.x_scale, y_scale=action.y_scale, **axes)
    console.print(f"\nWritten: {png}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _delete(action: Delete, console: Console) -> int:
    if not action.run:
        raise ConfigError("delete needs the name of a run, got none. `nn2llm runs list` lists them.")
    root = get_runs_root(action.runs)
    folders = [_find_deletable(name, root) for name in action.run]  # all are checked before one goes
    for folder in folders:
        size, running = "?", False
        try:
            summary = summarize_run(folder, root)
            size, running = format_bytes(summary.size_bytes), summary.state == "running"
        except Nn2llmError:
            pass  # a damaged run can be deleted like any other
        if not action.yes:
            if not sys.stdin.isatty():
                raise ConfigError(f"To delete {folder} without a terminal to ask at, add --yes.")
            warning = " It was written to within the last minutes and may be running." if running else ""
            answer = console.input(f"Delete {folder} ({size})?{warning} Type yes: ", markup=False)
            if answer.strip().lower() not in {"y", "yes"}:
                console.print("Kept.")
                continue
        with storage_errors(folder):
            shutil.rmtree(folder)
        console.print(f"Deleted {folder} ({size}).", highlight=False, markup=False, soft_wrap=True)
    return 0


def _find_deletable(name: str, root: Path) -> Path:
    folder = find_run(name, root)
    if folder.is_symlink():
        raise CheckpointError(
            f"{folder} is a link to {folder.resolve()}. Delete the link or that folder by hand."
        )
    # A link on the way from the runs folder to the run would lead outside.
    if folder.is_relative_to(root) and not folder.resolve().is_relative_to(root.resolve()):
        raise CheckpointError(
            f"{folder} lies outside {root}, behind a link, at {folder.resolve()}. Delete it by hand."
        )
    if any(
        is_run_folder(parent) for parent in (folder / "x").resolve().parents if parent != folder.resolve()
    ):
        raise CheckpointError(f"{folder} is a part of another run folder. Delete that run, or this by hand.")
    return folder


def _build_curves(metrics: Metrics, by: By, *, group: int | None = None) -> list[Curve]:
    """Training loss as it was, smoothed, and validation loss."""
    axes: dict[By, list[float | None]] = {
        "steps": [as_number(entry.get("step")) for entry in metrics],
        "tokens": [as_number(entry.get("tokens")) for entry in metrics],
        "time": [*compute_seconds(metrics)],
    }
    places = axes[by]

    def collect(key: str) -> tuple[list[float], list[float]]:
        pairs = [
            (x, y)
            for x, entry in zip(places, metrics, strict=True)
            if x is not None and (y := as_number(entry.get(key))) is not None
        ]
        return [x for x, _ in pairs], [y for _, y in pairs]

    curves = []
    # Alone, a run's training and validation loss have two colours; among others one run has one.
    train_group, val_group = (0, 1) if group is None else (group, group)
    x, y = collect("loss")
    if y:
        curves.append(Curve(name="train, each step", x=x, y=y, group=train_group, kind="faint"))
        half_width = len(y) // 100
        name = f"train, mean of {2 * half_width + 1} steps" if half_width else "train"
        curves.append(Curve(name=name, x=x, y=smooth(y, half_width), group=train_group))
    x, y = collect("val_loss")
    if y:
        curves.append(Curve(name="validation", x=x, y=y, group=val_group, kind="points", mark="o"))
    return curves


def _print_plot(
    console: Console, curves: Sequence[Curve], axes: dict[str, str], x_scale: Scale, y_scale: Scale
) -> None:
    width = min(console.width, 100) if console.is_terminal else 80
    height = 16
    console.print(
        draw_curves(
            curves,
            width=width,
            height=height,
            x_label=axes["x_label"],
            y_label=axes["y_label"],
            x_scale=x_scale,
            y_scale=y_scale,
        ),
        no_wrap=True,
        overflow="crop",
        highlight=False,
    )
