"""`nn2llm start`: the first thing a newcomer runs."""

import json
from pathlib import Path

import pytest

from nn2llm.cli.main import main


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NN2LLM_RUNS", raising=False)


def test_start_trains_compares_and_prints_samples_without_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["start", "--preset", "smoke"]) == 0
    output = capsys.readouterr().out
    for expected in ("Your first language model", "gzip", "xz", "your model", "'The ', continued"):
        assert expected in output
    metrics = (tmp_path / "runs/first-model-1/metrics.jsonl").read_text().splitlines()
    assert len(metrics) == 20
    # the figure in the table is the one measured
    best = min(record["val_bits_per_byte"] for record in map(json.loads, metrics) if "val_loss" in record)
    assert f"{best:.3f}" in output


def test_start_opens_the_model_that_is_there_and_trains_another_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["start", "--preset", "smoke"]) == 0
    before = (tmp_path / "runs/first-model-1/metrics.jsonl").read_bytes()
    capsys.readouterr()
    assert main(["start", "--preset", "smoke"]) == 0
    assert "Your model is in runs/first-model-1" in capsys.readouterr().out.replace("\\", "/")
    assert (tmp_path / "runs/first-model-1/metrics.jsonl").read_bytes() == before
    assert main(["start", "--preset", "smoke", "--again"]) == 0
    assert (tmp_path / "runs/first-model-2/config.json").exists()


def test_start_goes_on_with_a_run_that_was_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pretrain", "--preset", "smoke", "--out", "runs/first-model-1"]) == 0
    run = tmp_path / "runs/first-model-1"
    last = run / "checkpoints/step_00000020"
    for file in last.iterdir():
        file.unlink()
    last.rmdir()
    capsys.readouterr()
    assert main(["start", "--preset", "smoke"]) == 0
    output = capsys.readouterr().out
    assert "Going on with" in output
    assert "going on at step 10" in output
    assert last.is_dir()
