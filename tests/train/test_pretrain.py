"""A whole run: its curve, its best checkpoint, early stopping, a parent's weights, the profile."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from nn2llm.core.errors import CheckpointError, ConfigError, DataError, TrainingError
from nn2llm.core.run_folder import RunFolder
from nn2llm.train.checkpoint import (
    find_best_checkpoint,
    list_checkpoints,
    load_trained_model,
    verify_checkpoint,
)
from nn2llm.train.evaluation import compute_validation_loss
from nn2llm.train.presets import build_preset
from nn2llm.train.pretrain import Pretrainer, PretrainResult, pretrain
from nn2llm.train.pretrain_config import PretrainConfig
from tests.train.conftest import read_records, write_corpus

# The losses of the smoke preset at seed 1 on `write_corpus(…)`, on torch 2.13's CPU. After a change that is
# meant to change them: run this test with `-rP` or let it fail, and take over what it prints.
GOLDEN = [
    5.70378, 5.67067, 5.62985, 5.56973, 5.51647, 5.42944, 5.32421, 5.18583, 5.01506, 4.85413,
    4.6785, 4.55152, 4.41752, 4.30266, 4.24024, 4.14058, 4.08224, 4.05075, 4.02007, 4.00784,
]  # fmt: skip


def smoke(corpus: Path, **changes) -> PretrainConfig:
    base = replace(build_preset("smoke"), corpus=str(corpus), num_threads=1, device="cpu")
    return replace(base, **changes)


def train(config: PretrainConfig, folder: Path, **options) -> tuple[PretrainResult, str]:
    """The result, and what was printed."""
    text = io.StringIO()
    result = pretrain(config, RunFolder(folder), console=Console(file=text, width=200), **options)
    return result, text.getvalue()


def metrics(folder: Path) -> list[dict]:
    return read_records(folder / "metrics.jsonl")


@pytest.mark.skipif(not torch.__version__.startswith("2.13."), reason="stored for torch 2.13")
def test_the_golden_curve(corpus, tmp_path):
    train(smoke(corpus, sample_every=0), tmp_path / "run")
    losses = [record["loss"] for record in metrics(tmp_path / "run")]
    print("GOLDEN =", [round(loss, 5) for loss in losses])
    assert losses == pytest.approx(GOLDEN, abs=1e-4)


def test_a_run_leaves_everything_behind(corpus, tmp_path):
    result, printed = train(smoke(corpus), tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    records = metrics(run.path)
    assert [record["step"] for record in records] == list(range(1, 21))
    assert [record["tokens"] for record in records] == [256 * step for step in range(1, 21)]
    assert set(records[0]) == {"step", "tokens", "loss", "lr", "grad_norm"}
    evaluations = {record["step"]: record["val_loss"] for record in records if "val_loss" in record}
    assert sorted(evaluations) == [10, 20]
    assert result.val_loss == min(evaluations.values())
    assert result.step == 20
    assert not result.interrupted
    [sample] = read_records(run.samples_path)
    assert sample["step"] == 20
    assert sample["text"].strip() in printed
    assert [step for step, _ in list_checkpoints(run)] == [10, 20]
    stored = json.loads(run.config_path.read_text())
    assert stored["device"] == "cpu"
    assert stored["precision"] == "fp32"
    assert stored["num_threads"] == 1
    assert stored["model"]["vocab_size"] == 300
    machine = json.loads((run.path / "machine.json").read_text())
    assert machine["torch"] == torch.__version__
    lines = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    assert all(line["tokens_per_s"] > 0 and line["mfu"] > 0 for line in lines)


def test_the_loaded_model_is_the_one_that_was_evaluated(corpus, tmp_path):
    result, _ = train(smoke(corpus, eval_tokens=None), tmp_path / "run")
    model, tokenizer = load_trained_model(tmp_path / "run")
    from nn2llm.train.distributed import Processes
    from nn2llm.train.starting import prepare_data

    dataset = prepare_data(smoke(corpus), tokenizer, Processes())
    again = compute_validation_loss(model, dataset, batch_size=256, seq_len=32)
    assert again == pytest.approx(result.val_loss, abs=1e-6)


def test_the_best_checkpoint_is_kept_and_named(corpus, tmp_path, monkeypatch):
    """Steps 3 … 18 by threes evaluate to these; checkpoints every 6 steps, the best ones besides."""
    losses = {3: 5.0, 6: 4.0, 9: 3.0, 12: 3.5, 15: 3.2, 18: 3.1}
    monkeypatch.setattr(
        Pretrainer,
        "evaluate",
        lambda self: (self.stopping.observe(losses[self.step], self.step), {"val_loss": losses[self.step]})[
            1
        ],
    )
    config = smoke(corpus, steps=18, eval_every=3, checkpoint_every=6, keep_checkpoints=1, sample_every=0)
    result, _ = train(config, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    assert result.val_loss == 3.0
    assert [step for step, _ in list_checkpoints(run)] == [9, 18]
    assert json.loads((run.checkpoints_path / "best.json").read_text()) == {"step": 9}
    assert find_best_checkpoint(run).name == "step_00000009"


def test_early_stopping_ends_the_run_and_says_so(corpus, tmp_path):
    # With a huge rate the held-out loss only rises after the first evaluation.
    optimizer = replace(build_preset("smoke").optimizer, muon_lr=2.0, adamw_lr=0.5)
    config = smoke(
        corpus,
        steps=200,
        eval_every=2,
        early_stopping=3,
        optimizer=optimizer,
        max_loss_rise=1e9,
        sample_every=0,
    )
    result, printed = train(config, tmp_path / "run")
    evaluations = [record["val_loss"] for record in metrics(tmp_path / "run") if "val_loss" in record]
    best = evaluations.index(min(evaluations))
    assert len(evaluations) == best + 1 + 3
    assert result.step == 2 * len(evaluations) < 200
    assert not result.interrupted
    assert f"Stopped early at step {result.step}: no better held-out loss in 3 evaluations" in printed
    assert f"since step {2 * (best + 1)}." in printed
    again, printed = train(config, tmp_path / "run", resume=True)
    assert "is finished: it ended at step" in printed
    assert again.val_loss == result.val_loss


def test_an_absurd_learning_rate_stops_and_leaves_the_checkpoints_before_it(corpus, tmp_path):
    optimizer = replace(build_preset("smoke").optimizer, muon_lr=1e4, adamw_lr=1e4)
    config = smoke(corpus, steps=40, checkpoint_every=1, sample_every=0, optimizer=optimizer)
    with pytest.raises(TrainingError, match=r"(became nan|became inf|run away).*Lower --optimizer\.muon-lr"):
        train(config, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    done = metrics(run.path)[-1]["step"]
    assert list_checkpoints(run)[-1][0] == done
    for _, path in list_checkpoints(run):
        verify_checkpoint(path)


def test_a_child_starts_where_its_parent_ended(corpus, tmp_path):
    parent, _ = train(smoke(corpus, steps=60), tmp_path / "runs" / "parent")
    base = build_preset("smoke")
    config = smoke(
        corpus,
        steps=3,
        init_from="parent",
        sample_every=0,
        optimizer=replace(base.optimizer, muon_lr=0.0, adamw_lr=0.0),
        model=replace(base.model, n_layer=3),  # the parent's shape counts
    )
    child, _ = train(config, tmp_path / "child")
    losses = [record["loss"] for record in metrics(tmp_path / "child")]
    assert losses == pytest.approx([parent.val_loss] * 3, abs=0.25)
    assert child.val_loss == pytest.approx(parent.val_loss, abs=1e-6)  # nothing has moved
    stored = json.loads((tmp_path / "child" / "config.json").read_text())
    assert stored["model"]["n_layer"] == 2
    assert stored["init_from"] == "parent"
    own, parents = load_trained_model(tmp_path / "child")[1], load_trained_model("parent")[1]
    assert own.fingerprint() == parents.fingerprint()


def test_a_child_goes_on_without_its_parent(corpus, tmp_path):
    train(smoke(corpus), tmp_path / "runs" / "parent")
    config = smoke(corpus, init_from="parent")
    train(config, tmp_path / "child")
    shutil.rmtree(tmp_path / "runs" / "parent")
    shutil.rmtree(tmp_path / "child" / "checkpoints" / "step_00000020")
    before = metrics(tmp_path / "child")
    train(config, tmp_path / "child", resume=True)
    assert metrics(tmp_path / "child") == before


def test_a_missing_parent_is_refused(corpus, tmp_path):
    with pytest.raises(CheckpointError, match="no run 'parents'"):
        train(smoke(corpus, init_from="parents"), tmp_path / "child")
    assert not (tmp_path / "child").exists()


def test_a_child_with_longer_rows_than_its_parent_is_refused(corpus, tmp_path):
    train(smoke(corpus), tmp_path / "runs" / "parent")
    config = smoke(corpus, init_from="parent", seq_len=64, model=build_preset("tiny").model)
    with pytest.raises(ConfigError, match=r"seq_len 64 is longer than the 32 .* Set --seq-len 32\."):
        train(config, tmp_path / "child")


def test_a_run_is_not_overwritten(corpus, tmp_path):
    train(smoke(corpus, steps=1), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"already holds a run\. Add --resume"):
        train(smoke(corpus, steps=1), tmp_path / "run")


def test_other_text_under_the_same_name_is_noticed_on_resume(tmp_path):
    corpus = write_corpus(tmp_path / "text.txt")
    train(smoke(corpus), tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step_00000020")
    write_corpus(corpus, num_lines=500)
    with pytest.raises(CheckpointError, match="data position was saved with num_tokens"):
        train(smoke(corpus), tmp_path / "run", resume=True)


def test_a_tiny_text_is_refused_before_the_run_exists(tmp_path):
    corpus = tmp_path / "tiny.txt"
    corpus.write_text("abcde" * 2)
    letters = smoke(corpus, tokenizer="char", vocab_size=None)
    with pytest.raises(DataError, match=r"held-out part of .* has 1 tokens; two are needed .*Give more text"):
        train(replace(letters, seq_len=4), tmp_path / "run")
    corpus.write_text("abcdefghij" * 3)  # enough is held out, but no row can be filled
    with pytest.raises(DataError, match="one row and the token after it need 33"):
        train(letters, tmp_path / "run")
    corpus.write_text("abcdefghij" * 300)
    train(letters, tmp_path / "run")  # no half-started run stands in its way


def test_samples_do_not_change_the_run(corpus, tmp_path):
    model = replace(build_preset("smoke").model, dropout=0.2)
    train(smoke(corpus, model=model, sample_every=3), tmp_path / "often")
    train(smoke(corpus, model=model, sample_every=0), tmp_path / "never")
    assert metrics(tmp_path / "often") == metrics(tmp_path / "never")
    assert not read_records(tmp_path / "never" / "samples.jsonl")


def test_the_profile_is_shown_and_written(corpus, tmp_path, capsys):
    train(smoke(corpus, sample_every=0), tmp_path / "run", profile=True)
    printed = capsys.readouterr().out
    assert "Self CPU %" in printed
    assert "10 steps profiled" in printed
    trace = json.loads((tmp_path / "run" / "profile.json").read_text())
    assert any("aten::" in event.get("name", "") for event in trace["traceEvents"])
