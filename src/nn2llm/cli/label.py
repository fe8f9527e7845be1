"""`nn2llm label MODEL`: choose between two replies of your own model; train on the choices afterwards.

torch is imported when replies are to be written: going on with a file, its summary and the agreement of
several answer at once. Read data/labels.py, label_pairs.py and label_loop.py before.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from rich.console import Console
from tyro.conf import Positional, arg

from nn2llm.cli.chat_stages import STAGES, ChatSource, find_chat
from nn2llm.cli.keypress import ReadKey, hold_keys, read_line_keys
from nn2llm.cli.label_loop import choose_all, print_json, print_screen
from nn2llm.cli.label_tables import (
    build_agreement_table,
    build_ranking_table,
    describe_agreement,
    describe_labels,
)
from nn2llm.cli.run_reading import get_runs_root
from nn2llm.core.errors import ConfigError
from nn2llm.data.label_files import LabelFile, Labels, create_label_file, list_label_files, read_labels
from nn2llm.data.labels import LabelledModel, LabelSession, plan_showings
from nn2llm.evals.labelling import compare_labels, rank_models, summarise_labels

if TYPE_CHECKING:
    from nn2llm.recipe.replying import Writer

__all__ = ["LabelConfig", "main"]

_FOLDER = Path("labels")
_FEW = 200
"""Pairs, below which DPO needs more epochs of smaller batches (and a small model a larger learning rate) to
move at all: with its defaults forty labels are one step. Measured in benchmarks/labels.py."""
_SMALL_BYTES = 40_000_000
"""Of weights: about ten million."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelConfig:
    """Compare two replies of your own model, again and again: labels to train it on.

    Keys: 1 or 2 (this one is better), t (a tie), s (skip), u (undo), q (save and leave). Each answer is on
    disk before the next pair comes; the same command goes on where you stopped. From a pipe, each screen is a
    line of JSON on stdout and each line on stdin a key.
    """

    model: Annotated[Positional[str | None], arg(metavar="MODEL")] = None
    """Name or path of a recipe (`nn2llm chatgpt`) or of a run. To go on, --out is enough."""
    stage: Annotated[str | None, arg(metavar="NAME")] = None
    """Stage of the recipe whose replies are compared. Default: sft."""
    against: Annotated[str | None, arg(metavar="NAME")] = None
    """Compare with replies of this stage, or run, instead of two replies of one model."""
    prompts: Annotated[Path | None, arg(metavar="FILE")] = None
    """What is replied to (.json, .jsonl, .gz): prompts, messages, Alpaca. Default: the village's tasks."""
    pairs: Annotated[Path | None, arg(metavar="LABELS")] = None
    """Label the same pairs as this labels file, to see how far two labellers agree; needs --out."""
    num: int = 50
    """Pairs to prepare."""
    repeats: float = 0.1
    """Part of the pairs that is shown again later, on exchanged sides: do you agree with yourself?"""
    temperature: float = 1.0
    """Of the replies. Higher: more different ones."""
    max_new_tokens: int = 128
    """Tokens of a reply at most; longer ones are left out."""
    seed: int | None = None
    """Of prompts, replies and order. Default: the number of the file, so that each has other pairs."""
    out: Annotated[Path | None, arg(metavar="FILE")] = None
    """The labels file (.jsonl). Default: labels/MODEL-1.jsonl, -2, …; one that is not finished goes on."""
    summary: Annotated[Path | None, arg(metavar="LABELS")] = None
    """Only report on this labels file."""
    compare: Annotated[tuple[Path, ...], arg(metavar="LABELS")] = ()
    """Only report how far the labellers of these files agree (two or more over the same pairs)."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 or mps."""
    runs: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of the runs. Default: NN2LLM_RUNS, else ./runs."""

    def __post_init__(self) -> None:
        for name in ("num", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not self.temperature > 0:
            raise ConfigError(
                f"temperature must be positive, got {self.temperature}: at 0 all replies are the same."
            )
        plan_showings(1, repeats=self.repeats, seed=0)


def main(argv: list[str]) -> int:
    """Run `nn2llm label`; returns the exit code.

    Raises:
        Nn2llmError: for a model, prompts, a labels file or settings that do not work.
    """
    config = tyro.cli(LabelConfig, prog="nn2llm label", args=argv)
    console = Console(highlight=False)
    if config.summary is not None:
        _report(read_labels(config.summary), console)
        return 0
    if config.compare:
        _compare(config.compare, console)
        return 0
    is_person = sys.stdin.isatty()
    notes = console if is_person else Console(stderr=True, highlight=False)
    path = _find_or_prepare(config, notes)
    with LabelFile(path) as file:
        _introduce(file, notes)
        stopped = False
        try:
            with _listen(is_person) as read_key:
                choose_all(
                    file,
                    read_key,
                    lambda screen: (
                        print_screen(console, screen) if is_person else print_json(console, screen)
                    ),
                    lambda text: notes.print(text, style="dim", markup=False),
                )
        except KeyboardInterrupt:  # as q: all answers are saved
            stopped = True
            notes.print()
    _conclude(read_labels(path), notes)
    return 130 if stopped else 0


@contextmanager
def _listen(is_person: bool) -> Iterator[ReadKey]:
    if not is_person:
        yield read_line_keys(sys.stdin)
        return
    with hold_keys() as read_key:
        yield read_key


# --- which file ---------------------------------------------------------------------------------------------


def _find_or_prepare(config: LabelConfig, notes: Console) -> Path:
    """The labels file to go on with, or a new one with all its pairs."""
    if config.out is not None and config.out.exists():
        _check_same(config, read_labels(config.out))
        return config.out
    if config.pairs is not None:
        return _copy_pairs(config, config.pairs)
    if config.model is None:
        known = "" if config.out is None else f" {config.out} does not exist yet."
        raise ConfigError(
            f"Whose replies are to be compared? Give a recipe or run: nn2llm label MODEL.{known}"
        )
    runs = _choose_runs(config)
    models = _describe_models(runs)
    path, seed = config.out, 1
    if path is None:
        name = "-".join([_name_of(config), *list(runs)[1:]])
        found = list_label_files(_FOLDER, name)
        if found and _goes_on(config, labels := read_labels(found[-1][1]), models):
            return labels.path
        seed = found[-1][0] + 1 if found else 1
        path = _FOLDER / f"{name}-{seed}.jsonl"
    _prepare(config, path, runs, models, seed=seed if config.seed is None else config.seed, notes=notes)
    return path


def _choose_source(config: LabelConfig) -> tuple[ChatSource, str]:
    """Where the model is, and its stage."""
    root = get_runs_root(config.runs)
    source = find_chat(config.model, root)
    if config.stage is not None:
        return source, source.choose(config.stage)
    named = Path(config.model or "").name  # the folder of a stage means that stage
    return source, source.default if named == source.default or "sft" not in source.stages else "sft"


def _choose_runs(config: LabelConfig) -> dict[str, Path]:
    """Name → run folder of the one model, or of both."""
    source, stage = _choose_source(config)
    runs = {stage: source.stages[stage]}
    if config.against is None:
        return runs
    if config.against in source.stages or config.against in STAGES:
        name = source.choose(config.against)
        other = source.stages[name]
    else:
        found = find_chat(config.against, get_runs_root(config.runs))
        name, other = found.default, found.stages[found.default]
    if other.resolve() == runs[stage].resolve():
        raise ConfigError(f"--against {config.against} is the model itself. Leave it out, or name another.")
    return {**runs, name if name not in runs else f"{name} (2)": other}


def _name_of(config: LabelConfig) -> str:
    source, stage = _choose_source(config)
    return source.path.resolve().name + (f"-{stage}" if len(source.stages) > 1 else "")


def _describe_models(runs: dict[str, Path]) -> tuple[LabelledModel, ...]:
    from nn2llm.train.lineage import trace_lineage

    return tuple(LabelledModel(name, str(run), trace_lineage(run)) for name, run in runs.items())


def _settings(config: LabelConfig) -> dict[str, Any]:
    """What the pairs of a file depend on, apart from the models and the seed."""
    return {
        "prompts": None if config.prompts is None else str(config.prompts.resolve()),
        "num": config.num,
        "temperature": config.temperature,
        "max_new_tokens": config.max_new_tokens,
    }


def _goes_on(config: LabelConfig, labels: Labels, models: tuple[LabelledModel, ...]) -> bool:
    """Whether this command would have begun the file, and it is not finished."""
    return (
        not labels.is_finished
        and [one.lineage[0] for one in labels.session.models] == [one.lineage[0] for one in models]
        and labels.session.settings == _settings(config)
        and labels.session.repeats == config.repeats
        and config.seed in (None, labels.session.seed)
    )


def _check_same(config: LabelConfig, labels: Labels) -> None:
    """Flags that say otherwise than a file which goes on are refused, not ignored.

    Raises:
        ConfigError: naming the first.
    """
    session = labels.session
    stored = {**session.settings, "repeats": session.repeats, "seed": session.seed}
    given = {**_settings(config), "repeats": config.repeats, "seed": config.seed}
    default = {field.name: field.default for field in fields(LabelConfig)}
    for name, value in given.items():
        if value != default[name] and value != stored.get(name):
            raise ConfigError(
                f"{labels.path} was begun with --{name.replace('_', '-')} {stored.get(name)}, got {value}. "
                "Leave it out to go on, or choose another --out."
            )
    if config.model is None:
        return
    models = _describe_models(_choose_runs(config))
    if [one.lineage[0] for one in models] != [one.lineage[0] for one in session.models]:
        before = ", ".join(f"{one.name} ({one.path})" for one in session.models)
        now = ", ".join(f"{one.name} ({one.path})" for one in models)
        raise ConfigError(
            f"{labels.path} compares replies of {before}, and {now} has other weights. "
            "Leave MODEL out to go on with those replies, or choose another --out."
        )


def _copy_pairs(config: LabelConfig, source: Path) -> Path:
    if config.out is None:
        raise ConfigError("--pairs needs --out FILE: where do this labeller's choices go?")
    before = read_labels(source).session
    session = LabelSession(
        models=before.models,
        pairs=before.pairs,
        seed=before.seed + 1 if config.seed is None else config.seed,  # sides of their own
        repeats=config.repeats,
        settings=before.settings,
    )
    create_label_file(config.out, session)
    return config.out


def _prepare(
    config: LabelConfig,
    path: Path,
    runs: dict[str, Path],
    models: tuple[LabelledModel, ...],
    *,
    seed: int,
    notes: Console,
) -> None:
    """Let the models write all replies, then the file."""
    from nn2llm.cli.label_pairs import choose_prompts, find_corpus, prepare_pairs
    from nn2llm.core.device import choose_device
    from nn2llm.recipe.replying import load_writer

    first = next(iter(runs.values()))
    corpus = None if config.prompts is not None else find_corpus(first)
    prompts = choose_prompts(config.prompts, corpus, num=config.num, seed=seed)
    device = choose_device(config.device)
    writers: list[Writer] = [load_writer(run, device) for run in runs.values()]
    with notes.status("The model writes its replies …") as status:
        pairs, left_out = prepare_pairs(
            writers,
            prompts,
            num=config.num,
            temperature=config.temperature,
            max_new_tokens=config.max_new_tokens,
            seed=seed,
            progress=lambda done: status.update(f"{done} of {config.num} pairs are written …"),
        )
    for reason, count in left_out.items():
        _say(notes, f"{count:,} of the prompts left out: {reason}.")
    if len(pairs) < config.num:
        _say(
            notes,
            f"There are {len(pairs)} pairs, not {config.num}: no more prompts gave two replies that differ.",
        )
    session = LabelSession(
        models=models, pairs=tuple(pairs), seed=seed, repeats=config.repeats, settings=_settings(config)
    )
    create_label_file(path, session)


# --- what is said -------------------------------------------------------------------------------------------


def _say(console: Console, text: str) -> None:
    # a command that is broken cannot be copied, and a program reads lines
    is_whole = "nn2llm " in text or not console.is_terminal
    console.print(text, markup=False, soft_wrap=is_whole)


def _introduce(file: LabelFile, notes: Console) -> None:
    if file.mended:
        _say(
            notes,
            f"The last line of {file.path} was cut off ({file.mended} bytes) and is removed: "
            "its pair comes again.",
        )
    what = "replies by one model" if len(file.session.models) == 1 else "replies by two models"
    if file.labels:
        _say(notes, f"Going on with {file.path}: {len(file.labels)} of {file.num_planned} are answered.")
    else:
        _say(
            notes,
            f"{file.path}: {file.num_planned} pairs of {what}. Which reply is better? "
            "Every answer is saved at once.",
        )


def _conclude(labels: Labels, notes: Console) -> None:
    left = _count_left(labels)
    # which stage is liked better stays hidden while there is more to judge
    for line in describe_labels(labels, summarise_labels(labels.session, labels.labels), blind=left > 0):
        _say(notes, line)
    if left:
        _say(notes, f"{left} are left. Go on with: nn2llm label --out {labels.path}")
    elif ranking := rank_models([labels]):
        notes.print(build_ranking_table(ranking))
    if any(label.reply is not None for label in labels.labels):
        _say(
            notes,
            "Train on them: nn2llm dpo " + " ".join(_build_dpo_flags(labels)),
        )


def _build_dpo_flags(labels: Labels) -> list[str]:
    """Flags of `nn2llm dpo` for so few pairs."""
    parent = Path(labels.session.models[0].path)
    flags = ["--init-from", str(parent), "--preferences", str(labels.path)]
    if sum(label.reply is not None for label in labels.labels) < _FEW:
        flags += ["--epochs", "8", "--batch-size", "8"]
        weights = [path.stat().st_size for path in parent.glob("checkpoints/step_*/model.safetensors")]
        if weights and max(weights) < _SMALL_BYTES:
            flags += ["--optimizer.adamw-lr", "0.001"]
    return flags


def _count_left(labels: Labels) -> int:
    """Screens that are not answered yet."""
    done = {(label.showing.pair, label.showing.repeat) for label in labels.labels}
    skipped = {label.showing.pair for label in labels.labels if label.choice == "skip"}
    return sum(
        (showing.pair, showing.repeat) not in done and not (showing.repeat and showing.pair in skipped)
        for showing in labels.plan
    )


def _report(labels: Labels, console: Console) -> None:
    if labels.cut_off:
        _say(console, f"The last line of {labels.path} is cut off ({labels.cut_off} bytes) and left out.")
    for model in labels.session.models:
        _say(console, f"Replies of {model.name} ({model.path}, weights {model.lineage[0][:12]}).")
    for line in describe_labels(labels, summarise_labels(labels.session, labels.labels)):
        _say(console, line)
    if ranking := rank_models([labels]):
        console.print(build_ranking_table(ranking))


def _compare(paths: tuple[Path, ...], console: Console) -> None:
    files = [read_labels(path) for path in paths]
    agreement = compare_labels(files)
    _say(console, describe_agreement(agreement, len(files)))
    console.print(build_agreement_table(agreement, paths))
    if ranking := rank_models(files):
        console.print(build_ranking_table(ranking))
