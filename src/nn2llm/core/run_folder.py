"""A run folder: everything a training run leaves behind.

    runs/NAME/
      config.json      what it was started with, with what was measured at the start
      metrics.jsonl    one object a step: step, tokens, loss, lr, grad_norm, tokens_per_s, …
      samples.jsonl    text the model wrote on its way: step, text
      tokenizer/       the tokenizer, in HuggingFace's format
      checkpoints/     step_00000500/, … and best.json, which names the best of them

Used by train/ and by every command that takes a run.
"""

import difflib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nn2llm.core.errors import CheckpointError, ConfigError, DataError
from nn2llm.core.files import storage_errors, write_bytes_atomic

__all__ = [
    "JsonLinesLog",
    "RunFolder",
    "find_run",
    "find_runs",
    "is_run_folder",
    "new_run_path",
    "read_json_lines",
    "require_empty",
    "runs_root",
]

_MAX_DEPTH = 3


def runs_root() -> Path:
    """The folder that holds runs: `NN2LLM_RUNS`, or `./runs`."""
    return Path(os.environ.get("NN2LLM_RUNS") or "runs")


def new_run_path(name: str) -> Path:
    """The first free folder `runs/NAME-1`, `runs/NAME-2`, …; not created."""
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"
    number = 1
    while (path := runs_root() / f"{stem}-{number}").exists():
        number += 1
    return path


class RunFolder:
    """The paths inside one run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_path = path / "config.json"
        self.metrics_path = path / "metrics.jsonl"
        self.samples_path = path / "samples.jsonl"
        self.tokenizer_path = path / "tokenizer"
        self.checkpoints_path = path / "checkpoints"

    @property
    def exists(self) -> bool:
        """Whether a run was started here."""
        return self.config_path.is_file()


def is_run_folder(path: Path) -> bool:
    """Whether `path` holds what every run writes first."""
    return (path / "config.json").is_file() and (path / "metrics.jsonl").is_file()


def find_runs(root: Path) -> list[Path]:
    """All run folders up to three levels below `root`, by name. Links are not followed."""

    def walk(folder: Path, depth: int) -> Iterator[Path]:
        try:
            children = sorted(folder.iterdir())
        except OSError:  # no such folder, or not ours to read
            return
        for child in children:
            if child.name.startswith(".") or child.is_symlink() or not child.is_dir():
                continue
            if is_run_folder(child):
                yield child
            elif depth < _MAX_DEPTH:
                yield from walk(child, depth + 1)

    return list(walk(root, 1))


def find_run(name: Path | str, root: Path | None = None) -> Path:
    """The run folder that `name` means: a run below `root` (default: `runs_root()`), or a path.

    Raises:
        CheckpointError: if there is none; the message names the nearest runs.
    """
    root = runs_root() if root is None else root
    # "../x" is a path, not the name of a run below the root.
    candidates = [Path(name)] if ".." in Path(name).parts else [root / name, Path(name)]
    for path in candidates:
        if is_run_folder(path):
            return path
    folder = next((path for path in candidates if path.is_dir()), None)
    if folder is not None:
        missing = [file for file in ("config.json", "metrics.jsonl") if not (folder / file).is_file()]
        raise CheckpointError(f"{folder} is not a run folder: it has no {' and no '.join(missing)}.")
    known = [path.relative_to(root).as_posix() for path in find_runs(root)]
    if not known:
        raise CheckpointError(
            f"There is no run {str(name)!r}, nor any other in {root}. "
            f"Train one with `nn2llm pretrain --out {root}/NAME`, or set NN2LLM_RUNS."
        )
    near = difflib.get_close_matches(Path(name).name, known, n=3, cutoff=0.4) or known[:3]
    raise CheckpointError(
        f"There is no run {str(name)!r} in {root}. Nearest: {', '.join(near)}. `nn2llm runs list` lists all."
    )


class JsonLinesLog:
    """Appends objects to a file, a line each, written at once: a crash loses at most the last line."""

    def __init__(self, path: Path, *, keep_to_step: int) -> None:
        """Open for appending, after dropping what was written later than step `keep_to_step`.

        Raises:
            StorageError: if the file cannot be written.
            DataError: if a line before the last is damaged.
        """
        self.path = path
        if path.exists():
            kept = [record for record in read_json_lines(path) if record["step"] <= keep_to_step]
            write_bytes_atomic(path, "".join(json.dumps(record) + "\n" for record in kept).encode())
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what could not be written is not tried again at closing.
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by close()

    def append(self, record: dict[str, Any]) -> None:
        """Write one object. Raises StorageError where the disk does not take it."""
        left = (json.dumps(record) + "\n").encode()
        with storage_errors(self.path):
            while left:  # a disk that fills up takes a part, and refuses the rest
                left = left[self._file.write(left) :]

    def sync(self) -> None:
        """Return when all is on disk. Raises StorageError where it cannot be."""
        with storage_errors(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """All objects of a .jsonl log; a last line that a crash cut short is left out.

    Raises:
        DataError: if the file is missing or a line before the last is not a JSON object with a step.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist.") from error
    complete = lines[:-1]  # what stands after the last newline was never finished
    records: list[dict[str, Any]] = []
    for number, line in enumerate(complete, start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            record = None
        if not isinstance(record, dict) or not isinstance(record.get("step"), int):
            raise DataError(
                f"{path}, line {number}: not a JSON object with a step, got {line[:60]!r}. "
                "Delete that line, or restore the file."
            )
        records.append(record)
    return records


def require_empty(run: RunFolder) -> None:
    """Refuse to start a new run over an old one.

    Raises:
        ConfigError: if a run is already there.
    """
    if run.exists:
        raise ConfigError(
            f"{run.path} already holds a run. Add --resume to go on with it, or choose another --out."
        )
