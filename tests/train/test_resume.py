"""A run that was killed or stopped ends as one that never was."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nn2llm.core.run_folder import RunFolder
from nn2llm.train.checkpoint import list_checkpoints, verify_checkpoint
from tests.train.conftest import SMOKE, SOURCE, count_lines, read_records, wait_until

STEPS = 60
FLAGS = [
    *SMOKE, "--steps", str(STEPS), "--model.dropout", "0.2", "--checkpoint-every", "7", "--eval-every", "15",
    "--sample-every", "20", "--sample-tokens", "8",
]  # fmt: skip

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills POSIX processes")


@pytest.fixture(scope="module")
def reference(tmp_path_factory, corpus, home) -> Path:
    """The run that never stopped; a real `python -m nn2llm`."""
    out = tmp_path_factory.mktemp("reference") / "run"
    environment = {**os.environ, "NN2LLM_HOME": str(home), "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-m", "nn2llm", "pretrain", *FLAGS, "--corpus", str(corpus), "--out", str(out)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return out


def assert_same(out: Path, reference: Path, note: str = "") -> None:
    records = read_records(out / "metrics.jsonl")
    assert [record["step"] for record in records] == list(range(1, STEPS + 1)), note
    assert records == read_records(reference / "metrics.jsonl"), note  # to the bit
    assert read_records(out / "samples.jsonl") == read_records(reference / "samples.jsonl"), note


def kill_and_resume(start, corpus: Path, out: Path, *, seed: int, num_kills: int) -> int:
    """Kill at random moments, some of them while a checkpoint is written; returns how many kills hit."""
    draw = random.Random(seed)
    hits = 0
    line = ["pretrain", *FLAGS, "--corpus", corpus, "--out", out, "--resume"]
    for _ in range(num_kills):
        command = start(*line)
        first = count_lines(out / "metrics.jsonl")
        wait_until(lambda first=first: count_lines(out / "metrics.jsonl") != first, command)
        if draw.random() < 0.5:
            wait_until(lambda: any((out / "checkpoints").glob(".step_*")), command)
            for _ in range(draw.randrange(3000)):
                pass  # some instant of the writing
        else:
            goal = count_lines(out / "metrics.jsonl") + draw.randrange(1, 25)
            wait_until(lambda goal=goal: count_lines(out / "metrics.jsonl") >= goal, command)
        command.signal(signal.SIGKILL)
        hits += command.wait() == -signal.SIGKILL
        for _, path in list_checkpoints(RunFolder(out)):
            verify_checkpoint(path)  # whatever has a checkpoint's name is whole
    assert start(*line).wait() == 0
    return hits


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_run_ends_like_one_that_never_stopped(start, corpus, tmp_path, reference, seed):
    hits = kill_and_resume(start, corpus, tmp_path / "run", seed=seed, num_kills=3)
    assert hits, f"seed {seed}: no kill hit a living process"
    assert_same(tmp_path / "run", reference, f"seed {seed}")


@pytest.mark.slow
def test_a_run_killed_many_times_ends_like_one_that_never_stopped(start, corpus, tmp_path, reference):
    for seed in range(100, 106):
        out = tmp_path / f"run-{seed}"
        kill_and_resume(start, corpus, out, seed=seed, num_kills=8)
        assert_same(out, reference, f"seed {seed}")


@pytest.mark.slow
def test_the_command_itself_survives_kills(corpus, home, tmp_path, reference):
    """`python -m nn2llm` in a new interpreter each time, killed after any time from its start."""
    draw = random.Random(7)
    out = tmp_path / "run"
    line = [sys.executable, "-m", "nn2llm", "pretrain", *FLAGS, "--corpus", str(corpus), "--out", str(out)]
    environment = {**os.environ, "NN2LLM_HOME": str(home), "PYTHONPATH": str(SOURCE)}
    for _ in range(6):
        process = subprocess.Popen([*line, "--resume"], env=environment, stdout=subprocess.DEVNULL)
        try:
            process.wait(timeout=draw.uniform(0.5, 8))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    subprocess.run([*line, "--resume"], env=environment, check=True, capture_output=True)
    assert_same(out, reference)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(start, run, corpus, tmp_path, reference, number):
    out = tmp_path / "run"
    command = start("pretrain", *FLAGS, "--corpus", corpus, "--out", out)
    wait_until(lambda: count_lines(out / "metrics.jsonl") >= 9, command)
    command.signal(number)
    assert command.wait() == 130
    assert f"everything is saved. Go on with: nn2llm pretrain --out {out} --resume" in command.out
    assert command.err == ""
    done = count_lines(out / "metrics.jsonl")
    assert 9 <= done < STEPS
    assert list_checkpoints(RunFolder(out))[-1][0] == done
    going_on = run("pretrain", "--out", out, "--resume")
    assert f"going on at step {done}" in going_on.out
    assert_same(out, reference)


def test_ctrl_c_stops_the_command_itself(corpus, home, tmp_path, reference):
    """As in a terminal: a new interpreter, and a signal to its process group."""
    out = tmp_path / "run"
    line = [sys.executable, "-m", "nn2llm", "pretrain", *FLAGS, "--corpus", str(corpus), "--out", str(out)]
    process = subprocess.Popen(
        line,
        env={**os.environ, "NN2LLM_HOME": str(home), "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while count_lines(out / "metrics.jsonl") < 3 and process.poll() is None:
        pass
    os.killpg(process.pid, signal.SIGINT)
    out_text, err_text = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "everything is saved" in out_text
    assert err_text == ""


def test_a_finished_run_says_so_and_changes_nothing(run, corpus, tmp_path):
    out = tmp_path / "run"
    run("pretrain", *SMOKE, "--corpus", corpus, "--out", out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    command = run("pretrain", "--out", out, "--resume")
    assert f"{out} is finished: it ended at step 20 of 20." in command.out
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_run_without_a_checkpoint_starts_from_its_beginning(start, run, corpus, tmp_path):
    out, other = tmp_path / "run", tmp_path / "other"
    flags = [*SMOKE, "--corpus", corpus, "--eval-every", "20", "--checkpoint-every", "20"]
    command = start("pretrain", *flags, "--out", out)
    wait_until(lambda: count_lines(out / "metrics.jsonl") >= 3, command)
    command.signal(signal.SIGKILL)
    command.wait()
    run("pretrain", "--out", out, "--resume")
    run("pretrain", *flags, "--out", other)
    assert read_records(out / "metrics.jsonl") == read_records(other / "metrics.jsonl")
