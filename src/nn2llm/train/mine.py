"""`pretrain --mine`: which parts of a run are the learner's own, and the copy of their code in its folder.

    runs/NAME/
      mine/attention.py, …   the code that this run trains with
      mine/parts.json        of each: hash, lesson, exercise
      config.json            `mine`: the hashes again

`plan_mine` says before anything is written what the run will call and what the library fills. A run that is
resumed takes the code in its own folder, and refuses where that is gone or changed: half a curve by one
attention and half by another would tell nothing.

Read models/parts before. mine_trainer.py trains. Used by cli/mine.py, cli/sample.py and cli/chat_loop.py.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nn2llm.core.errors import CheckpointError, ConfigError, DataError
from nn2llm.core.files import read_json, storage_errors, write_bytes_atomic, write_json_atomic
from nn2llm.core.run_folder import RunFolder
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.models.parts import PARTS, Part, PartSource, RunShape, find_part
from nn2llm.train.checkpoint import load_trained_model
from nn2llm.train.lineage import list_ancestors, read_setting
from nn2llm.train.pretrain_config import MineConfig, PretrainConfig

__all__ = [
    "MinePlan",
    "build_mine_config",
    "describe_own_parts",
    "keep_run_parts",
    "plan_mine",
    "read_run_parts",
    "store_run_parts",
]

FOLDER = "mine"


@dataclass(frozen=True, slots=True, kw_only=True)
class MinePlan:
    """Who does what in a run."""

    model: GPTConfig
    """Its shape: the config's, or that of the model that it starts from."""
    used: dict[str, PartSource]
    """The learner's parts that it calls, in the order of `PARTS`."""
    gaps: tuple[Part, ...]
    """What the library does."""
    idle: tuple[Part, ...]
    """Parts that the learner has and this run does not call."""


def plan_mine(
    sources: Mapping[str, PartSource],
    config: PretrainConfig,
    *,
    only: Collection[str] = (),
    without: Collection[str] = (),
) -> MinePlan:
    """Which of the learner's parts a run with `config` calls. `only`, `without`: names to keep, to leave out.

    Raises:
        ConfigError: if there is none, a name is unknown, or one that is asked for cannot be called.
    """
    if config.init_from is not None:
        config = dataclasses.replace(config, model=load_trained_model(config.init_from)[0].config)
    shape = RunShape(
        model=config.model, schedule=config.schedule.kind, clips=config.max_grad_norm is not None
    )
    asked, left_out = ({find_part(name).name for name in names} for names in (only, without))
    for name in asked:
        part = PARTS[name]
        if name not in sources:
            raise ConfigError(
                f"You have no part {name} yet: an exercise of the lesson {part.lesson} gives it. "
                f"You have: {', '.join(sources) or 'none'}."
            )
        if not part.used(shape):
            hint = (
                f"Add {part.flags}" if part.flags else "It is for `nn2llm sample --mine`; leave it out here"
            )
            raise ConfigError(f"This run does not call your part {name}. {hint}.")
    chosen = {
        name: source
        for name, source in sources.items()
        if name not in left_out and (not asked or name in asked)
    }
    used = {name: chosen[name] for name, part in PARTS.items() if name in chosen and part.used(shape)}
    called = [part for part in PARTS.values() if part.used(shape)]
    idle = tuple(PARTS[name] for name in chosen if name not in used)
    if not used:
        raise ConfigError(_explain_none(sources, idle, called))
    return MinePlan(
        model=shape.model, used=used, gaps=tuple(part for part in called if part.name not in used), idle=idle
    )


def _explain_none(sources: Mapping[str, PartSource], idle: tuple[Part, ...], called: list[Part]) -> str:
    flags = next((part.flags for part in idle if part.flags), "")
    if flags:
        return f"This run calls none of your parts ({', '.join(part.name for part in idle)}). Add {flags}."
    if sources:
        return f"None of your parts ({', '.join(sources)}) is left to train with. Leave out --mine."
    return (
        "You have no part of a GPT yet. Exercises that are marked as a part give one when they pass; the "
        f"first is in the lesson {called[0].lesson}. `nn2llm learn status` shows where you are."
    )


def build_mine_config(config: PretrainConfig, plan: MinePlan) -> MineConfig:
    """`config` with the plan's hashes; float32, uncompiled, one process: how the parts were checked.

    Raises:
        ConfigError: for another precision, or several processes.
    """
    if config.precision not in {"auto", "fp32"}:
        raise ConfigError(
            f"--mine trains in fp32, got precision {config.precision}: your parts are checked in it. "
            "Leave out --precision."
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("--mine trains in one process. Start it without torchrun.")
    values = {one.name: getattr(config, one.name) for one in dataclasses.fields(PretrainConfig)}
    values |= {"precision": "fp32", "compile": False}
    return MineConfig(**values, mine={name: source.sha256 for name, source in plan.used.items()})


@contextmanager
def keep_run_parts(run: RunFolder, sources: Mapping[str, PartSource]) -> Iterator[None]:
    """Copy the code into the run's folder for what starts inside; where that fails to start, nothing is left.

    Raises:
        StorageError: if the disk does not take it.
    """
    is_new = not run.path.exists()
    try:
        if sources:
            store_run_parts(run, sources)
        yield
    except BaseException:
        if sources and not run.exists:  # its corpus was not found, for instance
            if is_new:
                shutil.rmtree(run.path, ignore_errors=True)
            else:
                _remove_parts(run.path / FOLDER)
        raise


def store_run_parts(run: RunFolder, sources: Mapping[str, PartSource]) -> None:
    """Copy the code into the run's folder: before its config, which marks it as a run.

    Raises:
        StorageError: if the disk does not take it.
    """
    folder = run.path / FOLDER
    _remove_parts(folder)  # of a start that was killed
    for name, source in sources.items():
        write_bytes_atomic(folder / f"{name}.py", source.text.encode())
    listed = {
        name: {"sha256": source.sha256, "slug": source.slug, "exercise": source.exercise}
        for name, source in sources.items()
    }
    write_json_atomic(folder / "parts.json", listed)


def _remove_parts(folder: Path) -> None:
    """Only what `store_run_parts` writes: the folder's name is a usual one, and --out may be any folder."""
    with storage_errors(folder):
        for name in ("parts.json", *(f"{part}.py" for part in PARTS)):
            (folder / name).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def read_run_parts(run: RunFolder, config: MineConfig) -> dict[str, PartSource]:
    """The code that a run was started with.

    Raises:
        CheckpointError: if some of it is gone, or is not what it was.
    """
    folder = run.path / FOLDER
    try:
        listed = read_json(folder / "parts.json")
    except DataError:
        listed = {}
    sources: dict[str, PartSource] = {}
    for name, sha256 in config.mine.items():
        path = folder / f"{name}.py"
        remedy = "Restore the file from a copy, or start a new run with --mine and another --out."
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise CheckpointError(
                f"{run.path} was trained with your own {name}, and {path} cannot be read "
                f"({error.strerror}). {remedy}"
            ) from error
        entry = listed.get(name, {}) if isinstance(listed, dict) else {}
        source = PartSource(
            name=find_part(name).name,
            text=text,
            path=str(path),
            slug=entry.get("slug"),
            exercise=entry.get("exercise"),
            run=str(run.path),
        )
        if source.sha256 != sha256:
            raise CheckpointError(
                f"{path} is not the code that {run.path} was started with (its SHA-256 begins "
                f"{source.sha256[:12]}, not {str(sha256)[:12]}). {remedy}"
            )
        sources[name] = source
    return sources


def describe_own_parts(run: Path) -> str | None:
    """Whose parts trained a model, or the one that it was trained from; None for the library's alone."""
    for path in list_ancestors(run):
        own = read_setting(path, "mine")
        if isinstance(own, dict) and own:
            who = "Trained" if path == run else f"{path}, which it was trained from, was trained"
            return f"{who} with your {', '.join(own)}; the library's parts write, on the same weights."
    return None
