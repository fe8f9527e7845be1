"""What the run folders can prove: models trained from scratch, and tuned models against their base.

Two kinds of evidence for the course's promises (outcomes.py) lie in run folders:

- a model trained from scratch (`nn2llm pretrain`, the first model, the base of `nn2llm chatgpt`) with its
  held-out score, from config.json, metrics.jsonl, evals/*.json, first_model.json and stage.json;
- a tuned model against its base, with intervals: `evidence.json` (docs/evidence.md), which a tool or the
  learner writes into a run folder, or report.json of `nn2llm chatgpt`.

Read core/run_folder.py before. Imports no torch: the page must open at once.
"""

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from nn2llm.core.errors import DataError, Nn2llmError
from nn2llm.core.files import read_json
from nn2llm.core.run_folder import find_runs
from nn2llm.core.stored_weights import count_stored_parameters

__all__ = [
    "EVIDENCE_FILE",
    "EVIDENCE_FORMAT",
    "Measured",
    "TrainedModel",
    "TunedModel",
    "find_trained_models",
    "find_tuned_models",
    "read_evidence_file",
]

EVIDENCE_FILE = "evidence.json"
EVIDENCE_FORMAT = "nn2llm evidence 1"
_MAX_DEPTH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A figure with its 95% interval."""

    estimate: float
    low: float | None
    """None: no interval is known."""
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModel:
    """A model trained from scratch, as its run folder tells. None: the files do not."""

    name: str
    """Path below the runs folder."""
    path: Path
    corpus: str
    num_parameters: int | None
    tokens: int | None
    """Trained on."""
    step: int
    num_steps: int | None
    val_loss: float
    """On held-out text, nats a token: the best that was measured."""
    bits_per_byte: Measured
    """On held-out text; with an interval where `nn2llm eval` measured it."""
    floor_bits_per_byte: float | None
    """The best that any model can reach, where the text's true probabilities are known."""
    trained_on: str
    """The day of the last step, YYYY-MM-DD."""
    own_parts: tuple[str, ...]
    """Parts of the learner's own GPT it was trained with (`nn2llm pretrain --mine`)."""

    @property
    def is_whole(self) -> bool:
        """Whether all the steps asked for were done."""
        return self.num_steps is None or self.step >= self.num_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedModel:
    """A tuned model beside the one it began with, on the same items."""

    name: str
    path: Path
    """The file that says so."""
    kind: Literal["adapter", "fine-tune"]
    """An adapter leaves the base as it is and trains a few weights beside it; a fine-tune trains all."""
    base: str
    metric: str
    higher_is_better: bool
    score: Measured
    base_score: Measured
    difference: Measured | None
    """Score minus base, paired by item; None: not measured."""
    n: int
    """Items both were measured on."""
    command: str
    measured_on: str
    """YYYY-MM-DD."""

    @property
    def is_better(self) -> bool | None:
        """Whether the interval of the difference lies on the better side of 0; None: nobody can tell."""
        difference = self.difference
        if difference is None or difference.low is None or difference.high is None:
            return None
        return difference.low > 0 if self.higher_is_better else difference.high < 0


# Models trained from scratch


def find_trained_models(root: Path) -> tuple[TrainedModel, ...]:
    """Every run below `root` that began from nothing and was measured on held-out text, the best first."""
    found = []
    for path in find_runs(root):
        with suppress(OSError):
            status = (path / "metrics.jsonl").stat()
            model = _read_model(path, root, status.st_mtime_ns, status.st_size)
            if model is not None:
                found.append(model)
    return tuple(sorted(found, key=lambda model: (model.bits_per_byte.estimate, model.name)))


@lru_cache(maxsize=256)
def _read_metrics(path: Path, changed_ns: int, size: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The evaluation with the lowest held-out loss, and the last line; empty where there is none."""
    best: dict[str, Any] = {}
    last = ""
    with open(path / "metrics.jsonl", encoding="utf-8", errors="replace") as file:
        for line in file:
            # thousands of lines, a few of which have what we want
            if '"val_loss"' in line and (entry := _parse_line(line)):
                loss = _number(entry.get("val_loss"))
                if loss is not None and loss < best.get("val_loss", math.inf):
                    best = entry
            if '"tokens"' in line and line.endswith("\n"):  # a crash may have cut the last one short
                last = line
    return best, _parse_line(last) or {}


def _parse_line(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _read_model(path: Path, root: Path, changed_ns: int, size: int) -> TrainedModel | None:
    config = _read_object(path / "config.json")
    if not isinstance(config.get("corpus"), str) or not isinstance(config.get("model"), dict):
        return None  # another stage, or an import
    if config.get("init_from") is not None:
        return None
    best, last = _read_metrics(path, changed_ns, size)
    bits = _number(best.get("val_bits_per_byte"))
    if bits is None:
        return None
    measured, floor = _read_scores(path, config["corpus"])
    steps = config.get("steps")
    tokens, step = _number(last.get("tokens")), _number(last.get("step"))
    return TrainedModel(
        name=path.relative_to(root).as_posix(),
        path=path,
        corpus=config["corpus"],
        num_parameters=count_stored_parameters(path),
        tokens=None if tokens is None else int(tokens),
        step=0 if step is None else int(step),
        num_steps=steps if isinstance(steps, int) else None,
        val_loss=float(best["val_loss"]),
        bits_per_byte=measured or Measured(estimate=bits, low=None, high=None),
        floor_bits_per_byte=floor,
        trained_on=datetime.fromtimestamp(changed_ns / 1e9, UTC).date().isoformat(),
        own_parts=_read_own_parts(config),
    )


def _read_own_parts(config: dict[str, Any]) -> tuple[str, ...]:
    """Of a run with `--mine`: config.json has a hash for each part, by its name."""
    mine = config.get("mine")
    return tuple(name.replace("_", " ") for name in mine) if isinstance(mine, dict) else ()


def _read_scores(path: Path, corpus: str) -> tuple[Measured | None, float | None]:
    """Bits a byte with their interval, and the floor, as far as something measured them."""
    floors = [
        _number(_dig(_read_object(path / "first_model.json"), "floor", "floor_bits_per_byte")),
        _number(_dig(_read_object(path / "stage.json"), "metrics", "floor_bits_per_byte")),
    ]
    measured: Measured | None = None
    for file in sorted((path / "evals").glob("*.json")):
        record = _read_object(file)
        if record.get("corpus") != corpus or record.get("split") != "val":
            continue
        figures = _dig(record, "text", "figures")
        if isinstance(figures, list) and figures:
            # the last is the one with context: the better figure of what the model can do
            measured = _read_interval(_dig(figures[-1], "bits_per_byte")) or measured
        genres = _dig(record, "microworld", "floor")
        for genre in genres if isinstance(genres, list) else []:
            if _dig(genre, "genre") == "all":
                floors.append(_number(_dig(genre, "floor_bits_per_byte", "estimate")))
    return measured, next((floor for floor in reversed(floors) if floor is not None), None)


# Tuned models against their base


def find_tuned_models(root: Path) -> tuple[tuple[TunedModel, ...], tuple[str, ...]]:
    """Comparisons below `root`, adapters first and the newest first; and what is wrong with some files."""
    found: list[TunedModel] = []
    problems: list[str] = []
    for folder in _walk(root, 1):
        file = folder / EVIDENCE_FILE
        if file.is_file():
            try:
                found.append(read_evidence_file(file, root))
            except Nn2llmError as error:
                problems.append(str(error))
        report = folder / "report.json"
        if report.is_file() and (tuned := _read_recipe(report, root)):
            found.append(tuned)
    found.sort(key=lambda tuned: tuned.measured_on, reverse=True)
    found.sort(key=lambda tuned: tuned.kind != "adapter")
    return tuple(found), tuple(problems)


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    try:
        children = sorted(folder.iterdir())
    except OSError:
        return
    for child in children:
        if not child.name.startswith(".") and not child.is_symlink() and child.is_dir():
            yield child
            if depth < _MAX_DEPTH and child.name != "checkpoints":
                yield from _walk(child, depth + 1)


def read_evidence_file(path: Path, root: Path | None = None) -> TunedModel:
    """An `evidence.json` (docs/evidence.md).

    Raises:
        DataError: if it is not one; says which field, what stands there, and what should.
    """
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != EVIDENCE_FORMAT:
        got = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise DataError(f'{path}: the format is {got!r}. Write "format": "{EVIDENCE_FORMAT}".')

    def fail(field: str, remedy: str) -> DataError:
        return DataError(f"{path}: {field} is {data.get(field)!r:.80}. {remedy}")

    for field in ("base", "metric", "command"):
        if not isinstance(data.get(field), str) or not data[field].strip():
            raise fail(field, "Give it as text.")
    if data.get("kind") not in ("adapter", "fine-tune"):
        raise fail("kind", "Write adapter (the base stays as it is) or fine-tune (all weights were trained).")
    if not isinstance(data.get("higher_is_better"), bool):
        raise fail("higher_is_better", "Write true or false.")
    n = data.get("n")
    if not isinstance(n, int) or isinstance(n, bool) or n < 2:
        raise fail("n", "Write how many items both were measured on, at least 2.")
    figures: dict[str, Measured] = {}
    for field in ("score", "base_score", "difference"):
        figure = _read_interval(data.get(field))
        if figure is None:
            if field == "difference" and data.get(field) is None:
                continue
            raise fail(field, 'Write {"estimate": …, "low": …, "high": …} with low <= estimate <= high.')
        figures[field] = figure
    difference = figures.get("difference")
    gap = figures["score"].estimate - figures["base_score"].estimate
    if difference is not None and abs(difference.estimate - gap) > 1e-3 * max(1.0, abs(gap)):
        raise fail(
            "difference", f"It is score minus base_score, which is {gap:.6g}: measure both on the same items."
        )
    day = data.get("measured_on")
    if day is not None and not _is_day(day):
        raise fail("measured_on", "Write a day like 2026-03-31, or leave it out.")
    return TunedModel(
        name=_name(path.parent, root),
        path=path,
        kind=data["kind"],
        base=data["base"],
        metric=data["metric"],
        higher_is_better=data["higher_is_better"],
        score=figures["score"],
        base_score=figures["base_score"],
        difference=difference,
        n=n,
        command=data["command"],
        measured_on=day or _day_of(path),
    )


def _read_recipe(path: Path, root: Path) -> TunedModel | None:
    """The supervised fine-tune of `nn2llm chatgpt` against its base, on the gold score."""
    report = _read_object(path)
    comparisons = report.get("comparisons")
    for comparison in comparisons if isinstance(comparisons, list) else []:
        if _dig(comparison, "first") != "sft" or _dig(comparison, "second") != "base":
            continue
        score, base, difference = (
            _read_interval(_dig(report, "gold_by_group", "sft", "all")),
            _read_interval(_dig(report, "gold_by_group", "base", "all")),
            _read_interval(_dig(comparison, "difference")),
        )
        n = _number(_dig(comparison, "num_prompts"))
        if score is None or base is None or n is None:
            return None
        name = _name(path.parent, root)
        return TunedModel(
            name=f"{name}/sft",
            path=path,
            kind="fine-tune",
            base=f"{name}/base",
            metric="gold score of replies, 0 to 1",
            higher_is_better=True,
            score=score,
            base_score=base,
            difference=difference,
            n=int(n),
            command="nn2llm chatgpt",
            measured_on=_day_of(path),
        )
    return None


# Reading what may be missing or damaged


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none."""
    try:
        data = read_json(path)
    except (Nn2llmError, OSError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _dig(value: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _read_interval(value: Any) -> Measured | None:
    estimate, low, high = (_number(_dig(value, key)) for key in ("estimate", "low", "high"))
    if estimate is None or low is None or high is None or not low <= estimate <= high:
        return None
    return Measured(estimate=estimate, low=low, high=high)


def _is_day(value: Any) -> bool:
    try:
        datetime.strptime(value, "%Y-%m-%d")
    except (TypeError, ValueError):
        return False
    return True


def _day_of(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()


def _name(folder: Path, root: Path | None) -> str:
    return folder.relative_to(root).as_posix() if root and folder.is_relative_to(root) else str(folder)
