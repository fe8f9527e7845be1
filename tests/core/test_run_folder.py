"""The logs of a run, cut back on resume; runs found by name."""

import json
import os
from pathlib import Path

import pytest

from nn2llm.core.errors import CheckpointError, ConfigError, DataError, StorageError
from nn2llm.core.run_folder import (
    JsonLinesLog,
    RunFolder,
    find_run,
    find_runs,
    new_run_path,
    read_json_lines,
    require_empty,
    runs_root,
)


@pytest.fixture
def log_path(tmp_path) -> Path:
    return tmp_path / "run" / "metrics.jsonl"


def write(path: Path, *steps: int, keep_to_step: int = 0) -> None:
    log = JsonLinesLog(path, keep_to_step=keep_to_step)
    for step in steps:
        log.append({"step": step, "loss": 1 / step})
    log.close()


def steps(path: Path) -> list[int]:
    return [record["step"] for record in read_json_lines(path)]


def test_what_is_written_comes_back_exactly(log_path):
    write(log_path, 1, 2, 3)
    assert read_json_lines(log_path) == [{"step": step, "loss": 1 / step} for step in (1, 2, 3)]


def test_each_line_is_on_its_way_at_once(log_path):
    log = JsonLinesLog(log_path, keep_to_step=0)
    log.append({"step": 1, "text": "é\n日"})
    assert read_json_lines(log_path) == [{"step": 1, "text": "é\n日"}]
    log.sync()
    log.close()


def test_a_resumed_log_forgets_what_came_after_the_checkpoint(log_path):
    write(log_path, 1, 2, 3, 4, 5)
    write(log_path, 4, keep_to_step=3)
    assert steps(log_path) == [1, 2, 3, 4]
    write(log_path, keep_to_step=0)
    assert log_path.read_bytes() == b""


@pytest.mark.parametrize("tail", ['{"step": 3, "lo', '{"step": 3}', "\x00\x00\x00"])
def test_a_last_line_that_was_cut_short_is_left_out(log_path, tail):
    write(log_path, 1, 2)
    with open(log_path, "a") as file:
        file.write(tail)
    assert steps(log_path) == [1, 2]
    write(log_path, 3, keep_to_step=2)
    assert steps(log_path) == [1, 2, 3]


@pytest.mark.parametrize("line", ["{", "[]", "null", '{"loss": 1}', '{"step": "1"}', ""])
def test_a_damaged_line_in_the_midst_is_named(log_path, line):
    write(log_path, 1, 2)
    lines = log_path.read_text().splitlines()
    log_path.write_text("\n".join([lines[0], line, lines[1]]) + "\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl, line 2: not a JSON object with a step"):
        JsonLinesLog(log_path, keep_to_step=2)


def test_a_missing_log_is_named(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_json_lines(tmp_path / "nothing.jsonl")


def test_a_full_disk_is_a_sentence_and_closing_adds_no_other(log_path, monkeypatch):
    log = JsonLinesLog(log_path, keep_to_step=0)
    full = os.open("/dev/full", os.O_WRONLY) if Path("/dev/full").exists() else None
    if full is None:
        pytest.skip("no /dev/full here")
    os.dup2(full, log._file.fileno())
    os.close(full)
    with pytest.raises(StorageError, match=r"No space left to write .*metrics\.jsonl"):
        log.append({"step": 1})
    log.close()


def test_a_disk_that_takes_a_part_is_asked_again(log_path):
    log = JsonLinesLog(log_path, keep_to_step=0)

    class Slow:
        def __init__(self, file):
            self.file = file

        def write(self, data: bytes) -> int:
            return self.file.write(data[:5])

        def close(self) -> None:
            self.file.close()

    log._file = Slow(log._file)
    log.append({"step": 1, "loss": 2.5})
    log.close()
    assert read_json_lines(log_path) == [{"step": 1, "loss": 2.5}]


def make_run(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({}))
    (path / "metrics.jsonl").write_text("")
    return path


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NN2LLM_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_the_runs_folder_follows_the_environment(root, monkeypatch):
    assert runs_root() == root
    monkeypatch.setenv("NN2LLM_RUNS", "")
    assert runs_root() == Path("runs")


def test_a_run_is_found_by_name_by_path_and_below_folders(root, tmp_path):
    first, deep = make_run(root / "one"), make_run(root / "recipe" / "sft")
    outside = make_run(tmp_path / "elsewhere")
    assert find_run("one") == find_run(first) == find_run(Path("one")) == first
    assert find_run("recipe/sft") == deep
    assert find_run(outside) == outside
    assert find_run("elsewhere").resolve() == outside
    assert find_run("elsewhere", tmp_path) == outside
    assert find_runs(root) == [first, deep]


def test_a_missing_run_names_those_near(root):
    with pytest.raises(CheckpointError, match=r"no run 'one', nor any other in .*nn2llm pretrain --out"):
        find_run("one")
    make_run(root / "shakespeare-1")
    with pytest.raises(CheckpointError, match=r"no run 'shakespear-1' in .*Nearest: shakespeare-1\."):
        find_run(Path("shakespear-1"))
    (root / "half").mkdir()
    with pytest.raises(CheckpointError, match=r"half is not a run folder: it has no config\.json and no"):
        find_run("half")


def test_new_runs_are_numbered(root):
    assert new_run_path("text") == root / "text-1"
    make_run(root / "text-1")
    assert new_run_path("text") == root / "text-2"
    assert new_run_path("a b/../ä*") == root / "a-b-..-ä-1"
    assert new_run_path("...") == root / "run-1"


def test_a_run_is_there_once_its_config_is(tmp_path):
    run = RunFolder(tmp_path / "run")
    require_empty(run)
    run.path.mkdir()
    (run.path / "notes.txt").write_text("mine")
    require_empty(run)
    run.config_path.write_text("{}")
    with pytest.raises(ConfigError, match=r"already holds a run\. Add --resume .* or choose another --out"):
        require_empty(run)
