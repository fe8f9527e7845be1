import io
import re

from rich.console import Console

from nn2llm.core.progress import TrainingProgress
from nn2llm.recipe.engine import StageRecord
from nn2llm.recipe.table import StageTable


def record(name: str, headline: str, seconds: float = 62.0) -> StageRecord:
    return StageRecord(name=name, key="", seconds=seconds, tokens=0, flops=0.0, headline=headline, metrics={})


def run(table: StageTable) -> None:
    with table:
        table.find("base", record("base", "4.8% above the floor"))
        table.begin("sft", goes_on=True)
        with TrainingProgress(10, table.console) as progress:
            progress.update(5, loss=1.5)
            table.refresh()
            progress.note("a sample")
        table.end("sft", record("sft", "gold 0.68"))
        table.note("a note")
        table.begin("ppo", goes_on=False)


SUMMARIES = {"base": "reads", "sft": "learns to answer", "ppo": "learns to please", "dpo": "compares"}


def test_without_a_terminal_each_stage_is_a_line() -> None:
    file = io.StringIO()
    run(StageTable(SUMMARIES, Console(file=file, width=200)))
    lines = file.getvalue().splitlines()
    assert lines[0] == "base: done before, in 1:02; 4.8% above the floor"
    assert lines[1] == "sft: going on …"
    assert "step  5/10  loss 1.500" in lines[2]
    assert lines[3:] == ["a sample", "sft: done in 1:02; gold 0.68", "a note", "ppo: learns to please …"]


def test_on_a_terminal_the_table_is_live_with_the_stages_progress_below() -> None:
    file = io.StringIO()
    run(StageTable(SUMMARIES, Console(file=file, width=120, force_terminal=True, color_system=None)))
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", file.getvalue())
    assert "step  5/10  loss 1.500" in text
    assert text.index("what happens") < text.index("step  5/10")
    assert "a note" in text
    assert "a sample" not in text  # trainers' stories would push the table about
    last = text[text.rindex("what happens") :]
    assert "✓  base   reads             1:02  4.8% above the floor (done before)" in last
    assert "▸  ppo" in last
    assert "·  dpo" in last


def test_a_narrow_table_leaves_out_what_happens() -> None:
    table = StageTable(SUMMARIES, Console(file=io.StringIO()))
    table.end("base", record("base", "a headline of many words that goes on and on, over several lines"))
    file = io.StringIO()
    Console(file=file, width=60).print(table.build(60))
    assert "reads" not in file.getvalue()
    assert max(map(len, file.getvalue().splitlines())) <= 60
    ascii_only = io.StringIO()
    Console(file=ascii_only, width=60).print(table.build(60, ascii_only=True))
    assert ascii_only.getvalue().isascii()
