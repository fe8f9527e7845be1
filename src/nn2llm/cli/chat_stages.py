"""What `nn2llm chat` can talk to: a recipe's finished stages, or a single run.

    runs/chatgpt-1/{base,sft,reward,ppo,dpo}/   each a run folder; stage.json in it marks a finished stage

Read without importing torch, so that mistakes answer at once. Used by chat.py.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nn2llm.cli.run_reading import read_config
from nn2llm.core.errors import CheckpointError, ConfigError, Nn2llmError
from nn2llm.core.run_folder import find_run, is_run_folder, runs_root

__all__ = ["STAGES", "ChatSource", "find_chat", "is_recipe_folder", "open_folder"]

STAGES = {
    "base": "pretrained on text: it continues text, and was never taught to answer",
    "sft": "fine-tuned on demonstrations of good replies",
    "ppo": "aligned by PPO: it tries to please the reward model",
    "dpo": "aligned by DPO: it learned from pairs of replies, the better and the worse",
    "grpo": "aligned by GRPO: it tries to do better than its other replies to the same prompt",
    "constitutional": "aligned by written principles: its replies were revised and compared by them",
    "ppo_free": "PPO without its KL term: it pleases the reward model at any price",
}
"""Stages that write, in the order of training, and what each is."""

_BEST_FIRST = ("ppo", "dpo", "sft", "base")
_REWARD = "reward"
_FINISHED = "stage.json"
_MAX_DEPTH = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatSource:
    """The models of one conversation."""

    path: Path
    """The folder of the recipe, or of the run."""
    stages: dict[str, Path]
    """Name → run folder, in the order of training; a single run is the only stage, by its folder's name."""
    default: str
    """The stage that talks first."""
    reward: Path | None = None
    """The run of the reward model, where there is one."""
    corpus: str | None = None
    """What the base model has read, as its config names it."""

    def choose(self, name: str) -> str:
        """The stage that `name` means.

        Raises:
            ConfigError: if it is none of these.
        """
        if name in self.stages:
            return name
        if name in STAGES and len(self.stages) > 1:
            raise ConfigError(f"{self.path} has no finished stage {name!r} yet, only {self._names}.")
        close = difflib.get_close_matches(name, self.stages, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else f" It has {self._names}."
        raise ConfigError(f"{self.path} has no stage {name!r}.{hint}")

    @property
    def _names(self) -> str:
        return ", ".join(self.stages)


def is_recipe_folder(path: Path) -> bool:
    """Whether `path` is what `nn2llm chatgpt` writes: no run itself, with runs named after its stages."""
    if is_run_folder(path) or not (path / "config.json").is_file():
        return False
    return any((path / name).is_dir() for name in STAGES)


def find_chat(name: str | None, root: Path | None = None) -> ChatSource:
    """The models that `name` means: a recipe or run below `root` (default: `runs_root()`), or a path.

    Without a name it is the newest recipe below `root`.

    Raises:
        CheckpointError: if there is none, or no stage of it is finished.
    """
    root = runs_root() if root is None else root
    if name is None:
        return open_folder(_find_newest_recipe(root))
    candidates = [Path(name)] if ".." in Path(name).parts else [root / name, Path(name)]
    for path in candidates:
        if is_recipe_folder(path):
            return open_folder(path)
    return open_folder(find_run(name, root))


def open_folder(path: Path) -> ChatSource:
    """The models of a recipe's folder, or of a run; a stage's run opens its whole recipe at this stage.

    Raises:
        CheckpointError: if no stage of the recipe is finished.
    """
    if is_recipe_folder(path):
        return _open_recipe(path)
    parent = path.resolve().parent
    if is_recipe_folder(parent) and path.resolve().name in (stages := _finished_stages(parent)):
        recipe = path.parent if path.name in stages else parent
        return _open_recipe(recipe, default=path.resolve().name)
    return ChatSource(
        path=path, stages={path.resolve().name: path}, default=path.resolve().name, corpus=_read_corpus(path)
    )


def _open_recipe(path: Path, default: str | None = None) -> ChatSource:
    stages = _finished_stages(path)
    if not stages:
        raise CheckpointError(
            f"No stage of {path} is finished yet. Go on with `nn2llm chatgpt --out {path}`."
        )
    reward = path / _REWARD
    return ChatSource(
        path=path,
        stages=stages,
        default=default or next(name for name in _BEST_FIRST if name in stages),
        reward=reward if _is_finished(reward) else None,
        corpus=_read_corpus(path / "base"),
    )


def _finished_stages(path: Path) -> dict[str, Path]:
    return {name: path / name for name in STAGES if _is_finished(path / name)}


def _is_finished(run: Path) -> bool:
    return is_run_folder(run) and (run / _FINISHED).is_file()


def _read_corpus(run: Path) -> str | None:
    try:
        corpus = read_config(run).get("corpus")
    except Nn2llmError:  # it only says which questions can be scored
        return None
    return corpus if isinstance(corpus, str) else None


def _find_newest_recipe(root: Path) -> Path:
    recipes = [path for path in _walk(root, 1) if is_recipe_folder(path) and _finished_stages(path)]
    if not recipes:
        raise CheckpointError(
            f"There is no chat model in {root} yet. Make one with `nn2llm chatgpt`, or name a run: "
            "`nn2llm chat RUN`."
        )
    return max(recipes, key=_changed_at)


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """All folders up to three levels down, those of runs and of recipes not entered."""
    try:
        children = sorted(folder.iterdir())
    except OSError:  # no such folder, or not ours to read
        return
    for child in children:
        if child.name.startswith(".") or child.is_symlink() or not child.is_dir():
            continue
        yield child
        if depth < _MAX_DEPTH and not (child / "config.json").is_file():
            yield from _walk(child, depth + 1)


def _changed_at(recipe: Path) -> float:
    """When one of its stages was last written to, in seconds since 1970."""
    return max((run / "metrics.jsonl").stat().st_mtime for run in _finished_stages(recipe).values())
