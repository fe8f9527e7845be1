"""The recipe as a whole: its folder, its stages one after the other, its report.

    OUT/config.json                 what it was started with
    OUT/base/ … OUT/evaluation/     the stages (engine.py, stages.py)
    OUT/report.html, OUT/report.md  what came of it (report.py)

Read last of this room, before report.py. Used by cli/chatgpt.py.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from nn2llm.core.config_io import save_config
from nn2llm.core.errors import ConfigError
from nn2llm.core.files import storage_errors
from nn2llm.core.run_folder import is_run_folder
from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.recipe.engine import REPLACED, StageRecord, is_done, run_stages
from nn2llm.recipe.lock import hold_folder
from nn2llm.recipe.stages import STAGE_SUMMARIES, Recipe
from nn2llm.recipe.table import StageTable

__all__ = ["CONFIG_FILE", "REPORT", "STAGES", "RecipeResult", "run_recipe"]

CONFIG_FILE = "config.json"
REPORT = "report"
STAGES = (*STAGE_SUMMARIES, REPORT)
"""Everything that `nn2llm chatgpt --stage` takes, in order."""


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


def run_recipe(
    config: ChatGPTConfig, out: Path, *, last_stage: str = REPORT, console: Console | None = None
) -> RecipeResult:
    """Make all stages of `config` in `out` up to and including `last_stage`; what is there already is kept.

    Raises:
        ConfigError: if there is no such stage, `out` is a single run, or another process is at work there.
        Nn2llmError: as the stages do; those before stay done.
    """
    if last_stage not in STAGES:
        raise ConfigError(f"There is no stage {last_stage!r}. Choose from: {', '.join(STAGES)}.")
    if is_run_folder(out):
        raise ConfigError(f"{out} holds a single run, not a recipe. Choose another --out.")
    names = STAGES[: STAGES.index(last_stage) + 1]
    table = StageTable(
        {name: STAGE_SUMMARIES.get(name, "all figures, on one page") for name in names}, console
    )
    stages = Recipe(config, out, table.console).build_stages()
    report = None
    with hold_folder(out):
        save_config(config, out / CONFIG_FILE)
        if not is_done(stages[-1], stages, out):
            _set_report_aside(out)
        with table:
            stopped = run_stages([stage for stage in stages if stage.name in names], out, table)
            if stopped is None and REPORT in names:
                report = _write_report(out, table)
    return RecipeResult(out=out, stopped=stopped, report=report, table=table)


def _set_report_aside(out: Path) -> None:
    """A report of stages that are made anew is not theirs."""
    for path in sorted(out.glob("report.*")):
        with storage_errors(path):
            (out / REPLACED).mkdir(exist_ok=True)
            path.replace(out / REPLACED / path.name)


def _write_report(out: Path, table: StageTable) -> tuple[Path, Path]:
    """Always anew: it takes a second, and reads files alone."""
    from nn2llm.recipe.report import write_report  # draws: matplotlib is loaded here

    start = time.perf_counter()
    table.begin(REPORT, goes_on=False)
    paths = write_report(out)
    seconds = time.perf_counter() - start
    table.end(
        REPORT,
        StageRecord(
            name=REPORT, key="", seconds=seconds, tokens=0, flops=0.0, headline=paths[0].name, metrics={}
        ),
    )
    return paths
