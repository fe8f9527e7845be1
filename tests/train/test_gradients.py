"""One step's gradient is the same, however its rows are shared out."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.testing import assert_close

from nn2llm.core.errors import TrainingError
from nn2llm.core.run_folder import RunFolder
from nn2llm.core.seeding import compute_step_seed
from nn2llm.data.batches import Batch
from nn2llm.train.distributed import Processes
from nn2llm.train.presets import build_preset
from nn2llm.train.pretrain import Pretrainer, pretrain
from nn2llm.train.pretrain_config import PretrainConfig
from nn2llm.train.starting import start_run
from tests.train.conftest import read_records


def smoke(corpus: Path, **changes) -> PretrainConfig:
    base = replace(build_preset("smoke"), corpus=str(corpus), num_threads=1, device="cpu", sample_every=0)
    return replace(base, **changes)


def build_trainer(config: PretrainConfig, folder: Path) -> Pretrainer:
    run, processes = RunFolder(folder), Processes()
    return Pretrainer(start_run(config, run, processes), run, processes, Console(quiet=True))


def train(config: PretrainConfig, folder: Path) -> list[float]:
    pretrain(config, RunFolder(folder), console=Console(quiet=True))
    return [record["loss"] for record in read_records(folder / "metrics.jsonl")]


def gradients(trainer: Pretrainer, batch: Batch) -> tuple[float, list[torch.Tensor]]:
    trainer.optimizer.zero_grad()
    loss, _ = trainer.compute_gradients(batch)
    return loss.item(), [parameter.grad.clone() for parameter in trainer.parameters]


@pytest.fixture
def trainer(corpus, tmp_path) -> Pretrainer:
    """In float64, so that only rounding is left between two ways to add up."""
    trainer = build_trainer(smoke(corpus), tmp_path / "run")
    trainer.model.double()
    with torch.no_grad():  # away from the zeros it starts with
        for parameter in trainer.parameters:
            parameter.add_(0.05 * torch.randn(parameter.shape, dtype=parameter.dtype))
    return trainer


@pytest.mark.parametrize("micro_batch_size", [1, 2, 3, 8])
@pytest.mark.parametrize("masked", [False, True])
def test_micro_batches_add_up_to_one_batch(trainer, micro_batch_size, masked):
    batch = trainer.loader.next_batch()
    if masked:  # rows with 0, 4, 8, … labels: a mean of means would be wrong
        for row in range(8):
            batch.labels[row, 4 * row :] = -100
    whole_loss, whole = gradients(trainer, batch)
    trainer.micro_batch_size = micro_batch_size
    parts_loss, parts = gradients(trainer, batch)
    assert parts_loss == pytest.approx(whole_loss, rel=1e-7)  # the total is kept in float32
    for part, one in zip(parts, whole, strict=True):
        assert_close(part, one, rtol=1e-9, atol=1e-12)


def test_the_loss_of_a_step_is_the_mean_over_its_labels(trainer):
    batch = trainer.loader.next_batch()
    batch.labels[0, 5:] = -100
    loss, num_labels = trainer.compute_gradients(batch)
    logits = trainer.model(batch.input_ids).logits
    each = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), batch.labels.flatten(), ignore_index=-100, reduction="none"
    )
    assert int(num_labels) == 8 * 32 - 27
    assert loss.item() == pytest.approx(each.sum().item() / (8 * 32 - 27), rel=1e-6)


def test_a_batch_without_labels_moves_nothing(trainer):
    batch = trainer.loader.next_batch()
    batch.labels.fill_(-100)
    loss, grads = gradients(trainer, batch)
    assert loss == 0
    assert all(not grad.any() for grad in grads)


def test_runs_in_micro_batches_have_the_losses_of_whole_ones(corpus, tmp_path):
    whole = train(smoke(corpus, steps=10), tmp_path / "whole")
    parts = train(smoke(corpus, steps=10, micro_batch_size=1), tmp_path / "parts")
    assert parts == pytest.approx(whole, abs=2e-5)


def test_gradient_checkpointing_gives_the_same_losses(corpus, tmp_path):
    model = replace(build_preset("smoke").model, dropout=0.1)  # the recomputed pass drops the same
    plain = train(smoke(corpus, steps=6, model=model), tmp_path / "plain")
    again = train(smoke(corpus, steps=6, model=model, gradient_checkpointing=True), tmp_path / "again")
    assert again == pytest.approx(plain, abs=1e-6)


def test_bfloat16_stays_near_float32(corpus, tmp_path):
    full = train(smoke(corpus), tmp_path / "full")
    half = train(smoke(corpus, precision="bf16"), tmp_path / "half")
    assert half != full
    assert half == pytest.approx(full, rel=0.02)  # bfloat16 keeps 8 bits
    assert full[-1] < 0.85 * full[0]


def test_an_overflow_in_fp16_moves_no_weight_at_all(corpus, tmp_path):
    """Also not those whose own gradients are fine: Muon's and AdamW's parts skip the step together."""
    trainer = build_trainer(smoke(corpus, max_grad_norm=1.0), tmp_path / "run")
    trainer.precision = replace(trainer.precision, needs_grad_scaler=True)
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    trainer.train_step()
    scale = trainer.scaler.get_scale()
    compute = trainer.compute_gradients

    def overflow(batch: Batch):
        answer = compute(batch)
        trainer.model.blocks[0].attention.qkv.weight.grad[0, 0] = torch.inf
        return answer

    trainer.compute_gradients = overflow
    before = [parameter.detach().clone() for parameter in trainer.parameters]
    record = trainer.train_step()
    assert record["step"] == 2
    for parameter, old in zip(trainer.parameters, before, strict=True):
        assert torch.equal(parameter, old)
    assert trainer.scaler.get_scale() == scale / 2
    trainer.compute_gradients = compute
    trainer.train_step()
    assert not torch.equal(trainer.parameters[0], before[0])


def test_scaled_gradients_give_the_steps_of_unscaled_ones(corpus, tmp_path):
    plain = build_trainer(smoke(corpus, max_grad_norm=0.1), tmp_path / "plain")
    scaled = build_trainer(smoke(corpus, max_grad_norm=0.1), tmp_path / "scaled")
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for _ in range(4):
        one, other = plain.train_step(), scaled.train_step()
        # a power of two scales without rounding
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-6)
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-6)


def test_a_gradient_that_overflows_stops_before_it_is_saved(corpus, tmp_path):
    trainer = build_trainer(smoke(corpus, checkpoint_every=1), tmp_path / "run")
    compute = trainer.compute_gradients

    def overflow(batch: Batch):
        answer = compute(batch)
        trainer.parameters[0].grad[0, 0] = torch.nan
        return answer

    trainer.compute_gradients = overflow
    with pytest.raises(TrainingError, match="gradient's norm became nan at step 1"):
        trainer.train()
    trainer.close()
    assert not trainer.run.checkpoints_path.exists()


def test_clipping_bounds_the_step(corpus, tmp_path):
    trainer = build_trainer(smoke(corpus, max_grad_norm=1e-3), tmp_path / "run")
    assert trainer.train_step()["grad_norm"] > 1e-3  # the norm before
    trainer.compute_gradients(trainer.loader.next_batch())


def test_each_step_and_process_draws_by_itself():
    seeds = {
        compute_step_seed(seed, step, rank) for seed in (1, 2) for step in range(20) for rank in range(4)
    }
    assert len(seeds) == 160
    assert compute_step_seed(1, 2, 3) == compute_step_seed(1, 2, 3)


def test_a_document_mask_trains_and_tells_documents_apart(tmp_path):
    corpus = tmp_path / "documents.jsonl"
    corpus.write_text(
        "".join(f'{{"text": "the {n} cat sat on the mat and saw the dog"}}\n' for n in range(200))
    )
    masked = train(smoke(corpus, document_mask=True), tmp_path / "masked")
    plain = train(smoke(corpus), tmp_path / "plain")
    assert masked != plain
    assert masked[-1] < 0.8 * masked[0]
