"""Runs stages in a row, each into a folder of its own, and finds again what is done.

    OUT/NAME/            the result of a stage
      stage.json         key, seconds, tokens, flops, headline, metrics: written last, it marks a whole stage
      started.json       key and seconds so far, while a stage that trains is under way
    OUT/.replaced/NAME/  the last result that was made with other settings

A stage whose stage.json holds the key of today's settings is done. One that trains saves checkpoints in its
folder and goes on from them after a kill; any other is made in a folder of another name, which is renamed
when all is written. So a kill at any instant leaves whole stages and at most one to go on with.
Read after keys.py. The stages themselves are in stages.py; the engine knows nothing of them.
"""

import shutil
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.files import read_json, replace_folder, storage_errors, write_json_atomic
from nn2llm.recipe.keys import compute_key
from nn2llm.train.interrupts import count_noted_signals

__all__ = [
    "REPLACED",
    "Stage",
    "StageOutcome",
    "StageRecord",
    "StageViewer",
    "compute_keys",
    "is_done",
    "load_record",
    "run_stages",
]

REPLACED = ".replaced"
"""Folder of what was there before settings changed: one generation of it."""
_RECORD, _STARTED = "stage.json", "started.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class StageOutcome:
    """What a stage came to."""

    headline: str = ""
    """Its result in a few words: "4.8% above the floor"."""
    tokens: int = 0
    """Tokens that it computed on: trained on, read or written."""
    flops: float = 0.0
    """Floating-point operations of matrix products (stages.py says what is counted)."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The figures behind the headline."""
    training_s: float = 0.0
    """Seconds in steps, over all sessions."""
    interrupted: bool = False
    """A signal ended it; what it has is saved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage: what it depends on, and how it is made."""

    name: str
    """Of its folder."""
    summary: str
    """What happens in it, for the table."""
    settings: Mapping[str, Any]
    """JSON values: all settings that the result depends on."""
    run: Callable[[Path], StageOutcome]
    """Makes the stage in this folder. One that trains finds there what an earlier session has left."""
    needs: tuple[str, ...] = ()
    """Stages that it stands on."""
    programs: tuple[str, ...] = ()
    """Modules that make its data."""
    trains: bool = True
    """It saves checkpoints in its folder and goes on from them; else it is made whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRecord:
    """stage.json."""

    name: str
    key: str
    seconds: float
    """Wall clock, over all sessions that were not killed."""
    tokens: int
    flops: float
    headline: str
    metrics: dict[str, float]


class StageViewer(Protocol):
    """Who is told what happens (table.py)."""

    def find(self, name: str, record: StageRecord) -> None:
        """A stage was done before."""
        ...

    def begin(self, name: str, *, goes_on: bool) -> None:
        """A stage starts, or goes on."""
        ...

    def end(self, name: str, record: StageRecord) -> None:
        """A stage is done."""
        ...

    def note(self, text: str) -> None:
        """A line for a person."""
        ...


def compute_keys(stages: Sequence[Stage]) -> dict[str, str]:
    """The key of each stage.

    Raises:
        ConfigError: if a stage needs one that does not come before it.
    """
    keys: dict[str, str] = {}
    for stage in stages:
        missing = [name for name in stage.needs if name not in keys]
        if missing:
            raise ConfigError(
                f"Stage {stage.name!r} needs {missing[0]!r}, which does not come before it. Reorder them."
            )
        keys[stage.name] = compute_key(
            stage.name, stage.settings, needs=[keys[name] for name in stage.needs], programs=stage.programs
        )
    return keys


def load_record(folder: Path) -> StageRecord | None:
    """stage.json of a stage's folder; None where there is none, or none that can be read."""
    try:
        return StageRecord(**read_json(folder / _RECORD))
    except (DataError, TypeError):
        return None


def is_done(stage: Stage, stages: Sequence[Stage], out: Path) -> bool:
    """Whether the stage, one of `stages`, was made with today's settings."""
    record = load_record(out / stage.name)
    return record is not None and record.key == compute_keys(stages)[stage.name]


def run_stages(
    stages: Sequence[Stage], out: Path, viewer: StageViewer, *, only: Collection[str] | None = None
) -> str | None:
    """Make every stage that is not done, in order; returns the name of the one that a signal stopped.

    With `only` those of these names; what they stand on must be done.

    Raises:
        Nn2llmError: as the stages do; those before stay done.
        StorageError: if a folder cannot be written.
    """
    keys = compute_keys(stages)
    stages = [stage for stage in stages if only is None or stage.name in only]
    _replace_changed(stages, keys, out, viewer)
    num_noted = count_noted_signals()
    for stage in stages:
        record = load_record(out / stage.name)
        if record is not None and record.key == keys[stage.name]:
            viewer.find(stage.name, record)
            continue
        if count_noted_signals() > num_noted:  # one that came in the last step of the stage before
            return stage.name
        try:
            with _terminated_as_interrupted():
                make = _make_by_training if stage.trains else _make_whole
                record = make(stage, keys[stage.name], out, viewer)
        except KeyboardInterrupt:
            return stage.name
        if record is None:
            return stage.name
        viewer.end(stage.name, record)
    return None


def _make_by_training(stage: Stage, key: str, out: Path, viewer: StageViewer) -> StageRecord | None:
    """Train in the stage's own folder, from where an earlier session stopped; None where a signal did."""
    folder, start = out / stage.name, time.perf_counter()
    started = _load_started(folder)
    viewer.begin(stage.name, goes_on=started is not None)
    seconds_before = 0.0 if started is None else started[1]
    write_json_atomic(folder / _STARTED, {"key": key, "seconds": seconds_before})
    seconds = seconds_before
    try:
        outcome = stage.run(folder)
    finally:
        seconds += time.perf_counter() - start
        write_json_atomic(folder / _STARTED, {"key": key, "seconds": round(seconds, 3)})
    if outcome.interrupted:
        return None
    # What a killed session took is only in the trainer's own clock.
    record = _record(stage, key, outcome, max(seconds, outcome.training_s))
    write_json_atomic(folder / _RECORD, asdict(record))
    (folder / _STARTED).unlink(missing_ok=True)
    return record


def _make_whole(stage: Stage, key: str, out: Path, viewer: StageViewer) -> StageRecord | None:
    """Make a stage under another name, and rename it when all is written."""
    start = time.perf_counter()
    viewer.begin(stage.name, goes_on=False)
    partial = out / f".{stage.name}.partial"
    with storage_errors(partial):
        shutil.rmtree(partial, ignore_errors=True)  # of a session that was killed
        partial.mkdir(parents=True)
    try:
        outcome = stage.run(partial)
        if outcome.interrupted:
            return None
        record = _record(stage, key, outcome, time.perf_counter() - start)
        write_json_atomic(partial / _RECORD, asdict(record))
        replace_folder(partial, out / stage.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return record


def _record(stage: Stage, key: str, outcome: StageOutcome, seconds: float) -> StageRecord:
    return StageRecord(
        name=stage.name,
        key=key,
        seconds=round(seconds, 3),
        tokens=outcome.tokens,
        flops=outcome.flops,
        headline=outcome.headline,
        metrics=dict(outcome.metrics),
    )


def _load_started(folder: Path) -> tuple[str, float] | None:
    """Key and seconds of a stage under way."""
    try:
        started = read_json(folder / _STARTED)
        return str(started["key"]), float(started["seconds"])
    except (DataError, KeyError, TypeError, ValueError):
        return None


def _replace_changed(
    stages: Sequence[Stage], keys: Mapping[str, str], out: Path, viewer: StageViewer
) -> None:
    """Move aside every folder that was made, or begun, with another key; say so in one line."""
    changed: list[str] = []
    for stage in stages:
        folder = out / stage.name
        if not folder.is_dir():
            continue
        record, started = load_record(folder), _load_started(folder)
        found = record.key if record is not None else None if started is None else started[0]
        if found == keys[stage.name]:
            continue
        if any(folder.iterdir()):
            changed.append(stage.name)
            with storage_errors(folder):
                (out / REPLACED).mkdir(exist_ok=True)
            replace_folder(folder, out / REPLACED / stage.name)
    if changed:
        viewer.note(
            f"Made with other settings or by another version, and so made anew: {', '.join(changed)}. "
            f"What was there is in {out / '.replaced'}."
        )


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM stops a stage like Ctrl-C. Trainers have handlers of their own while they step."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
