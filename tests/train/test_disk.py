"""No space left: one sentence, exit code 1, and the last whole checkpoint goes on."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nn2llm.core.run_folder import RunFolder
from nn2llm.train.checkpoint import list_checkpoints, verify_checkpoint
from tests.train.conftest import SMOKE, read_records

FLAGS = [*SMOKE, "--steps", "40", "--eval-every", "10", "--checkpoint-every", "10", "--sample-tokens", "8"]
# A checkpoint's largest file, the optimizer's state, has about 330 kB.

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="limits of POSIX processes")


@pytest.fixture
def stopped(run, corpus, tmp_path) -> Path:
    """A run of 40 steps whose last checkpoint is that of step 30."""
    out = tmp_path / "run"
    run("pretrain", *FLAGS, "--corpus", corpus, "--out", out)
    for step, path in list_checkpoints(RunFolder(out)):
        if step > 30:
            shutil.rmtree(path)
    return out


def assert_one_sentence(command, *words: str) -> None:
    assert command.err.count("\n") == 1
    assert command.err.startswith("error: No space left to write ")
    assert "what was saved before is whole" in command.err
    for word in words:
        assert word in command.err


def test_a_checkpoint_that_does_not_fit(run, corpus, stopped, tmp_path):
    before = read_records(stopped / "metrics.jsonl")
    command = run("pretrain", "--out", stopped, "--resume", expect=1, max_file_bytes=100_000)
    assert_one_sentence(command, "checkpoints", ".safetensors")
    checkpoints = list_checkpoints(RunFolder(stopped))
    assert [step for step, _ in checkpoints] == [30]
    verify_checkpoint(checkpoints[0][1])
    assert not list((stopped / "checkpoints").glob(".*"))
    run("pretrain", "--out", stopped, "--resume")
    assert read_records(stopped / "metrics.jsonl") == before


def test_a_log_that_does_not_fit(run, stopped):
    before = read_records(stopped / "metrics.jsonl")
    # room for the lines up to step 30, and half of the next
    lines = (stopped / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    limit = sum(map(len, lines[:30])) + len(lines[30]) // 2
    command = run("pretrain", "--out", stopped, "--resume", expect=1, max_file_bytes=limit)
    assert_one_sentence(command, "metrics.jsonl")
    assert not (stopped / "metrics.jsonl").read_bytes().endswith(b"\n")  # half a line
    run("pretrain", "--out", stopped, "--resume")
    assert read_records(stopped / "metrics.jsonl") == before


def test_tokens_that_do_not_fit(run, corpus, tmp_path):
    environment = {"NN2LLM_HOME": str(tmp_path / "new home")}
    line = ["pretrain", *FLAGS, "--tokenizer", "char", "--corpus", corpus, "--out", tmp_path / "run"]
    command = run(*line, expect=1, max_file_bytes=10_000, environment=environment)
    assert_one_sentence(command)
    assert not (tmp_path / "run" / "config.json").exists()
    assert [path for path in (tmp_path / "new home").rglob("*") if path.is_file()] == []
    run(*line, environment=environment)  # the same line works once there is space


def test_a_full_file_system(run, corpus, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here ({mounted.stderr.strip()})")
    try:
        out = disk / "run"
        flags = [*FLAGS, "--corpus", corpus, "--keep-checkpoints", "1", "--checkpoint-every", "3"]
        command = run("pretrain", *flags, "--model.n-embd", "48", "--out", out, expect=1)
        assert_one_sentence(command)
        [(step, path)] = list_checkpoints(RunFolder(out))
        verify_checkpoint(path)
        assert step == 3
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        run("pretrain", "--out", out, "--resume")
        assert [record["step"] for record in read_records(out / "metrics.jsonl")] == list(range(1, 41))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
