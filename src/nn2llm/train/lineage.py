"""Where a model comes from: the fingerprint of its weights, and of those that it was trained from.

A run's config names its parent (`init_from`); a chat model's are its SFT model and its base model. Labels
that a person gave to one model's replies say little about another's, so `nn2llm reward` and `nn2llm dpo` ask
where they are no relatives. Read checkpoint.py before. Used by cli/label.py and cli/preference_files.py.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from nn2llm.core.errors import CheckpointError, DataError
from nn2llm.core.files import read_json
from nn2llm.core.run_folder import RunFolder, find_run
from nn2llm.train.checkpoint import find_best_checkpoint, verify_checkpoint

__all__ = ["are_relatives", "fingerprint_model", "list_ancestors", "read_setting", "trace_lineage"]


def fingerprint_model(run: Path) -> str:
    """SHA-256 of the weights that `load_trained_model` would load: equal for copies of a run.

    Raises:
        CheckpointError: if there is no checkpoint, or it is damaged.
    """
    manifest = verify_checkpoint(find_best_checkpoint(RunFolder(run)))
    return str(manifest["files"]["model.safetensors"]["sha256"])


def list_ancestors(run: Path) -> list[Path]:
    """The run, its parent, and so on, as far as their folders are still where the configs say."""
    found: list[Path] = []
    while run.resolve() not in [path.resolve() for path in found]:
        found.append(run)
        parent = read_setting(run, "init_from")
        if not isinstance(parent, str) or not parent:
            break
        try:
            run = find_run(parent)
        except CheckpointError:  # moved, or deleted
            break
    return found


def read_setting(run: Path, name: str) -> Any:
    """A setting of a run's config.json; None where it has none."""
    try:
        config = read_json(run / "config.json")
    except DataError:
        return None
    return config.get(name) if isinstance(config, dict) else None


def trace_lineage(run: Path) -> tuple[str, ...]:
    """Fingerprints of a model and its ancestors, its own first.

    Raises:
        CheckpointError: if the model itself has no whole checkpoint.
    """
    first, *others = list_ancestors(run)
    found = [fingerprint_model(first)]
    for path in others:
        try:
            found.append(fingerprint_model(path))
        except CheckpointError:
            break
    return tuple(found)


def are_relatives(one: Collection[str], other: Collection[str]) -> bool:
    """Whether two models (their lineages) have an ancestor in common, or one is the other's."""
    return bool(set(one) & set(other))
