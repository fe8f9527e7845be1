"""What a run folder tells: config, metrics and their summary, read without importing torch.

A run folder holds config.json and metrics.jsonl (DESIGN.md, "A run folder"). The trainer may
be appending to the metrics while we read. Read core/run_folder.py before. Used by runs.py and sample.py.
"""

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nn2llm.core.errors import DataError
from nn2llm.core.files import read_json
from nn2llm.core.run_folder import read_json_lines, runs_root
from nn2llm.core.stored_weights import count_stored_parameters

__all__ = [
    "Metrics",
    "RunState",
    "RunSummary",
    "begins_documents",
    "compute_seconds",
    "flatten_config",
    "get_runs_root",
    "read_config",
    "read_metrics",
    "summarize_run",
]

Metrics = list[dict[str, Any]]
RunState = Literal["running", "done", "stopped", "empty"]

# A run that has written nothing for so long is taken for stopped, unless its steps are slower than that.
_QUIET_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """One line of `nn2llm runs list`. None: the files do not tell."""

    name: str
    """Path below the runs folder."""
    path: Path
    """Where it is."""
    state: RunState
    """As far as the files tell: "running" was written to lately and has steps to go."""
    step: int
    """Steps done."""
    num_steps: int | None
    """Steps asked for."""
    num_parameters: int | None
    """Weights of the model."""
    loss: float | None
    """Training loss over the last steps (`_LAST_STEPS`), nats per token."""
    val_loss: float | None
    """Best validation loss, nats per token."""
    val_bits_per_byte: float | None
    """At the best validation loss."""
    tokens: int | None
    """Tokens trained on."""
    seconds: float | None
    """Time spent in training steps."""
    changed_at: float
    """When metrics were last written, in seconds since 1970."""
    size_bytes: int
    """On disk, checkpoints included."""


def get_runs_root(runs: Path | None) -> Path:
    """The folder of all runs: `--runs`, else NN2LLM_RUNS, else ./runs."""
    return runs or runs_root()


def begins_documents(run: Path) -> bool:
    """Whether a prompt stands after `<|endoftext|>`: with document masks a model has seen few others.

    Of a model that was fine-tuned: whether it does for the one that it began with, if that is still there.
    """
    seen: set[Path] = set()
    while run not in seen and (run / "config.json").exists():
        seen.add(run)
        config = read_config(run)
        if "document_mask" in config:
            return bool(config["document_mask"])
        run = Path(config.get("init_from") or run)
    return False


def read_config(run: Path) -> dict[str, Any]:
    """The run's config.json.

    Raises:
        DataError: if it is not a JSON object.
    """
    config = read_json(run / "config.json")
    if not isinstance(config, dict):
        raise DataError(
            f"{run / 'config.json'} holds {type(config).__name__}, not an object. Restore it from a copy."
        )
    return config


def read_metrics(run: Path) -> Metrics:
    """The lines of metrics.jsonl, in order; a last line that a crash cut short is left out.

    Raises:
        DataError: if another line is damaged.
    """
    path = run / "metrics.jsonl"
    try:
        return read_json_lines(path)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error


def flatten_config(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """One level, with dotted names: {"model": {"n_layer": 4}} as {"model.n_layer": 4}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat |= flatten_config(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def compute_seconds(metrics: Metrics) -> list[float]:
    """Training time at each entry, in seconds: the sum of new tokens / tokens_per_s.

    Pauses between a stop and a resume do not count.
    """
    seconds, total, tokens_before = [], 0.0, 0.0
    for entry in metrics:
        tokens, speed = as_number(entry.get("tokens")), as_number(entry.get("tokens_per_s"))
        if tokens is not None and speed is not None and speed > 0:
            total += max(0.0, tokens - tokens_before) / speed
            tokens_before = tokens
        seconds.append(total)
    return seconds


def as_number(value: Any) -> float | None:
    """A finite number, or None: metrics may hold null, "NaN" or nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def summarize_run(run: Path, root: Path, *, now: float | None = None) -> RunSummary:
    """Read a run's files.

    Raises:
        DataError: if config or metrics are damaged.
    """
    flat, metrics = flatten_config(read_config(run)), read_metrics(run)
    steps = _find_setting(flat, "steps")
    num_steps = _find_setting(flat, "num_steps") if steps is None else steps  # an import has 0
    changed_at = (run / "metrics.jsonl").stat().st_mtime
    losses = [loss for entry in metrics if (loss := as_number(entry.get("loss"))) is not None]
    evaluations = [entry for entry in metrics if as_number(entry.get("val_loss")) is not None]
    best = min(evaluations, key=lambda entry: float(entry["val_loss"]), default={})
    tokens = next(
        (n for entry in reversed(metrics) if (n := as_number(entry.get("tokens"))) is not None), None
    )
    step = max((entry["step"] for entry in metrics), default=0)
    seconds = compute_seconds(metrics)
    return RunSummary(
        name=run.relative_to(root).as_posix() if run.is_relative_to(root) else str(run),
        path=run,
        state=_tell_state(
            step, num_steps, (time.time() if now is None else now) - changed_at, seconds, len(metrics)
        ),
        step=step,
        num_steps=num_steps,
        num_parameters=_find_setting(flat, "num_parameters") or count_stored_parameters(run),
        loss=sum(losses[-_LAST_STEPS:]) / len(losses[-_LAST_STEPS:]) if losses else None,
        val_loss=as_number(best.get("val_loss")),
        val_bits_per_byte=as_number(best.get("val_bits_per_byte")),
        tokens=None if tokens is None else int(tokens),
        seconds=seconds[-1] if seconds and seconds[-1] > 0 else None,
        changed_at=changed_at,
        size_bytes=measure_folder(run),
    )


# One batch's loss jumps about by a few percent; the mean of some steps is what the curve shows.
_LAST_STEPS = 10


def _find_setting(flat: dict[str, Any], name: str) -> int | None:
    """A whole number of the config, at whatever level it stands; the outermost one."""
    found = [(key.count("."), value) for key, value in flat.items() if key.split(".")[-1] == name]
    numbers = [
        (depth, value) for depth, value in found if isinstance(value, int) and not isinstance(value, bool)
    ]
    return min(numbers)[1] if numbers else None


def _tell_state(
    step: int, num_steps: int | None, quiet_s: float, seconds: list[float], num_entries: int
) -> RunState:
    if num_steps is not None and step >= num_steps:
        return "done"
    step_s = seconds[-1] / num_entries if seconds else 0.0
    if quiet_s < max(_QUIET_S, 5 * step_s):
        return "running"
    return "stopped" if num_entries else "empty"


def measure_folder(folder: Path) -> int:
    """Bytes of all files below `folder`; a link counts as itself."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:  # the trainer has renamed it meanwhile
                continue
    return total
