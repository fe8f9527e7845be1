"""The recipe as a whole: its folder, its stages one after the other, its report; and its study.

    OUT/config.json                 what it was started with
    OUT/base/ … OUT/evaluation/     the stages (engine.py, stages.py)
    OUT/report.html, OUT/report.md  what came of it (report.py)
    OUT/grpo/ … OUT/study/          the study's stages (study_stages.py)
    OUT/study.html, OUT/study.md    what came of them (study_report.py)

Read last of this room, before report.py. Used by cli/chatgpt.py.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from nn2llm.core.config_io import save_config
from nn2llm.core.errors import ConfigError
from nn2llm.core.files import storage_errors
from nn2llm.core.run_folder import is_run_folder
from nn2llm.recipe.building import build_recipe
from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.recipe.engine import REPLACED, StageRecord, is_done, run_stages
from nn2llm.recipe.lock import hold_folder
from nn2llm.recipe.stages import STAGE_SUMMARIES
from nn2llm.recipe.study_stages import Study
from nn2llm.recipe.table import StageTable

__all__ = ["CONFIG_FILE", "REPORT", "STAGES", "RecipeResult", "list_stages", "run_recipe"]

CONFIG_FILE = "config.json"
REPORT = "report"
STUDY = "study"
STAGES = (*STAGE_SUMMARIES, REPORT)
"""Everything that `nn2llm chatgpt --stage` takes without --study, in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeResult:
    """How far it came."""

    out: Path
    stopped: str | None
    """The stage that a signal has stopped; None where all that was asked for is done."""
    report: tuple[Path, Path] | None
    """report.html and report.md, where they were written."""
    table: StageTable
    """The stages, with time and headline."""
    study: tuple[Path, Path] | None = None
    """study.html and study.md, where they were written."""


def list_stages(config: ChatGPTConfig, *, study: bool = False) -> tuple[str, ...]:
    """Everything that `nn2llm chatgpt --stage` takes, in order."""
    own = build_recipe(config, Path(), Console(quiet=True)).summaries
    if not study:
        return (*own, REPORT)
    if not config.is_judged_by_world:
        raise ConfigError(
            "--study measures against the gold score and the labeller of a micro-world, and here preferences "
            "are given or there is no world. Leave it out."
        )
    return (*own, *Study(config, Path()).stage_names, REPORT)


def run_recipe(
    config: ChatGPTConfig,
    out: Path,
    *,
    last_stage: str = REPORT,
    study: bool = False,
    console: Console | None = None,
) -> RecipeResult:
    """Make all stages of `config` in `out` up to and including `last_stage`; what is there already is kept.

    With `study` its stages follow the recipe's own. The report is then written twice: when the recipe's
    stages are done, so that it is there while the study is made, and in the end.

    Raises:
        ConfigError: if there is no such stage, `out` is a single run, or another process is at work there.
        Nn2llmError: as the stages do; those before stay done.
    """
    all_names = list_stages(config, study=study)
    if last_stage not in all_names:
        raise ConfigError(f"There is no stage {last_stage!r}. Choose from: {', '.join(all_names)}.")
    if is_run_folder(out):
        raise ConfigError(f"{out} holds a single run, not a recipe. Choose another --out.")
    names = all_names[: all_names.index(last_stage) + 1]
    table = StageTable(_summarise_stages(config, names, study=study), console)
    own = build_recipe(config, out, table.console).build_stages()
    # A study that was made before stays, as long as what it stands on is the same.
    has_study = study or ((out / STUDY).exists() and config.is_judged_by_world)
    added = Study(config, out, table.console).build_stages() if has_study else []
    stages = [*own, *added]
    report = pages = None
    with hold_folder(out):
        save_config(config, out / CONFIG_FILE)
        for part, last in ((REPORT, own), (STUDY, added)):
            if last and not is_done(last[-1], stages, out):
                _set_aside(out, part)
        with table:
            stopped = run_stages(stages, out, table, only={stage.name for stage in own} & {*names})
            wanted = {stage.name for stage in added} & {*names}
            if stopped is None and wanted:
                _write_first_report(out)
                stopped = run_stages(stages, out, table, only=wanted)
            if stopped is None and REPORT in names:
                has_study = bool(added) and is_done(added[-1], stages, out)
                report, pages = _write_report(out, table, has_study=has_study)
    return RecipeResult(out=out, stopped=stopped, report=report, table=table, study=pages)


def _summarise_stages(config: ChatGPTConfig, names: Sequence[str], *, study: bool) -> dict[str, str]:
    own = build_recipe(config, Path(), Console(quiet=True)).summaries
    added = Study(config, Path()).build_stages() if study else []
    summaries = own | {stage.name: stage.summary for stage in added}
    return {name: summaries.get(name, "all figures, on one page") for name in names}


def _set_aside(out: Path, part: str) -> None:
    """A report of stages that are made anew is not theirs."""
    for path in sorted(out.glob(f"{part}.*")):
        with storage_errors(path):
            (out / REPLACED).mkdir(exist_ok=True)
            path.replace(out / REPLACED / path.name)


def _write_first_report(out: Path) -> None:
    """The recipe's own, where it is missing or names a study that is gone: a study takes longer than the
    recipe, and may be stopped."""
    page, study = out / f"{REPORT}.html", f"{STUDY}.html"
    is_right = page.exists() and ((out / study).exists() or study not in page.read_text(encoding="utf-8"))
    if not is_right:
        from nn2llm.recipe.report import write_report

        write_report(out)


def _write_report(
    out: Path, table: StageTable, *, has_study: bool
) -> tuple[tuple[Path, Path], tuple[Path, Path] | None]:
    """Always anew: it takes a second, and reads files alone."""
    from nn2llm.recipe.report import write_report  # draws: matplotlib is loaded here
    from nn2llm.recipe.study_report import write_study

    start = time.perf_counter()
    table.begin(REPORT, goes_on=False)
    pages = write_study(out) if has_study else None
    paths = write_report(out, has_study=has_study)
    headline = f"{paths[0].name}, {pages[0].name}" if pages else paths[0].name
    seconds = time.perf_counter() - start
    table.end(
        REPORT,
        StageRecord(name=REPORT, key="", seconds=seconds, tokens=0, flops=0.0, headline=headline, metrics={}),
    )
    return paths, pages
