"""Two processes are one: the same losses, one set of files, and together they stop."""

import os
import signal
import socket
from pathlib import Path

import pytest

from nn2llm.core.run_folder import RunFolder
from nn2llm.train.checkpoint import list_checkpoints
from tests.train.conftest import SMOKE, count_lines, read_records, wait_until

FLAGS = [*SMOKE, "--steps", "10", "--eval-every", "5", "--checkpoint-every", "5", "--sample-tokens", "8"]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="starts POSIX processes")


@pytest.fixture
def start_two(start):
    """The two processes that `torchrun --nproc-per-node 2` would start."""

    def start_both(*argv: str | Path):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        return [
            start(*argv, environment=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in (0, 1)
        ]

    return start_both


def run_two(start_two, *argv: str | Path, expect: int = 0):
    commands = start_two(*argv)
    assert [command.wait() for command in commands] == [expect] * 2, [command.err for command in commands]
    return commands


def losses(out: Path) -> list[float]:
    return [record["loss"] for record in read_records(out / "metrics.jsonl")]


def val_losses(out: Path) -> list[float]:
    return [record["val_loss"] for record in read_records(out / "metrics.jsonl") if "val_loss" in record]


def test_two_processes_have_the_losses_of_one(run, start_two, corpus, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    run("pretrain", *FLAGS, "--corpus", corpus, "--out", one)
    main, other = run_two(start_two, "pretrain", *FLAGS, "--corpus", corpus, "--out", two)
    assert losses(two) == pytest.approx(losses(one), rel=1e-6)
    assert val_losses(two) == pytest.approx(val_losses(one), rel=1e-6)
    assert len(losses(two)) == 10
    tokens = [[record["tokens"] for record in read_records(out / "metrics.jsonl")] for out in (one, two)]
    assert tokens[0] == tokens[1]
    assert "Held-out loss" in main.out
    assert other.out == ""  # one process speaks


def test_a_run_of_one_process_goes_on_with_two(run, start_two, corpus, tmp_path):
    """Loader, optimizer and guards fit any number of processes."""
    one, two = tmp_path / "one", tmp_path / "two"
    for out in (one, two):
        run("pretrain", *FLAGS, "--corpus", corpus, "--out", out)
    for step, path in list_checkpoints(RunFolder(two)):
        if step == 10:
            path.rename(two / "aside")
    run_two(start_two, "pretrain", "--out", two, "--resume")
    assert losses(two) == pytest.approx(losses(one), rel=1e-6)


def test_with_dropout_each_process_drops_by_itself_and_resumes(start_two, corpus, tmp_path):
    flags = [*FLAGS, "--corpus", corpus, "--model.dropout", "0.2"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for out in (whole, parts):
        run_two(start_two, "pretrain", *flags, "--out", out)
    next(path for step, path in list_checkpoints(RunFolder(parts)) if step == 10).rename(parts / "aside")
    run_two(start_two, "pretrain", "--out", parts, "--resume")
    assert losses(parts) == losses(whole)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_stops_both(start_two, corpus, tmp_path, rank):
    out = tmp_path / "run"
    commands = start_two("pretrain", *FLAGS, "--steps", "2000", "--corpus", corpus, "--out", out)
    wait_until(lambda: count_lines(out / "metrics.jsonl") >= 3, commands[0])
    commands[rank].signal(signal.SIGTERM)
    assert [command.wait() for command in commands] == [130, 130]
    assert "everything is saved" in commands[0].out
    assert list_checkpoints(RunFolder(out))[-1][0] == count_lines(out / "metrics.jsonl") < 2000


def test_rows_that_cannot_be_shared_out_are_refused(start_two, corpus, tmp_path):
    out = tmp_path / "run"
    commands = start_two("pretrain", *FLAGS, "--batch-size", "7", "--corpus", corpus, "--out", out)
    assert commands[0].wait() == 2
    commands[1].signal(signal.SIGKILL)  # as torchrun does
    assert commands[0].err == "error: batch_size must be a multiple of the 2 processes, got 7.\n"
    assert not out.exists()


def test_under_torchrun_the_run_must_be_named(start_two, corpus):
    for command in run_two(start_two, "pretrain", *FLAGS, "--corpus", corpus, expect=2):
        assert command.err.startswith("error: Under torchrun --out RUN is needed")
