"""DPO: the gradient, what is learnt, the reference that stays, and what a run that was killed comes to."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from torch.testing import assert_close

from nn2llm.core.errors import CheckpointError, ConfigError, DataError
from nn2llm.core.run_folder import RunFolder
from nn2llm.data.pair_batches import encode_pairs
from nn2llm.data.preferences import PreferencePair, save_preferences
from nn2llm.evals.reply_scores import compute_reply_logps, compute_row_logps
from nn2llm.losses import cdpo_loss, dpo_loss, hinge_loss, ipo_loss
from nn2llm.optim.combined import OptimizerConfig
from nn2llm.optim.schedules import ScheduleConfig
from nn2llm.tokenizers.chat import ChatFormat
from nn2llm.train.checkpoint import load_trained_model
from nn2llm.train.dpo import DPOTrainer, train_dpo
from nn2llm.train.dpo_config import DPOConfig
from nn2llm.train.session import choose_machine
from tests.train.preference_runs import (
    CPU,
    Killed,
    build_chat,
    build_console,
    build_model,
    draw_pairs,
    kill_at,
    read_log,
    write_run,
)

FAST = OptimizerConfig(use_muon=False, adamw_lr=2e-3, weight_decay=0.0)
LOSSES = {
    "dpo": lambda *logps: dpo_loss(*logps, beta=0.3),
    "ipo": lambda *logps: ipo_loss(*logps, beta=0.3),
    "hinge": lambda *logps: hinge_loss(*logps, beta=0.3),
    "cdpo": lambda *logps: cdpo_loss(*logps, beta=0.3, label_smoothing=0.2),
}


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("parent") / "sft")


def build_config(parent, **options):
    return DPOConfig(
        **{
            "init_from": str(parent), "machine": CPU, "batch_size": 16, "optimizer": FAST, "num_samples": 1,
            "sample_tokens": 4, **options,
        }
    )  # fmt: skip


def build_trainer(pairs, *, model=None, reference=None, dtype=torch.float32, **options):
    """All pairs in one step; the reference is another model, or the same one."""
    model = (model or build_model()).to(dtype)
    config = DPOConfig(
        **{
            "machine": CPU, "steps": 10, "batch_size": 1000, "micro_batch_size": None, "beta": 0.3, **options,
        }
    )  # fmt: skip
    data = encode_pairs(pairs, build_chat(), max_seq_len=64)
    ref_logps = torch.from_numpy(compute_row_logps((reference or model).to(dtype), data.rows)).to(dtype)
    return DPOTrainer(config, model, choose_machine(CPU), data, ref_logps)


def gradients_of(model):
    return [weight.grad.clone() for weight in model.parameters()]


# --- the gradient -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_rows_computed_once_give_the_gradient_of_all_pairs_computed_apart(loss, per_token):
    pairs = draw_pairs(2, replies_per_prompt=3)
    model, reference = build_model(seed=1).double(), build_model(seed=2).double()
    trainer = build_trainer(
        pairs, model=model, reference=reference, dtype=torch.float64, loss=loss, label_smoothing=0.2,
        per_token=per_token,
    )  # fmt: skip
    (batch,) = trainer.loader.load_step(0)
    assert (batch.num_pairs, len(batch.input_ids)) == (6, 6)
    ours, chosen_rewards, rejected_rewards = trainer.compute_gradients([batch])
    gradients = gradients_of(model)
    model.zero_grad()

    chat, total, margins = build_chat(), 0.0, []

    def log_p(model, prompt, reply):
        ids = torch.tensor([prompt + reply])
        logprobs = model(ids).logits[0].log_softmax(-1)
        return logprobs[range(len(prompt) - 1, ids.shape[1] - 1), reply].sum()

    for pair in pairs:
        prompt = chat.encode(pair.prompt, add_generation_prompt=True).ids
        replies = [chat.encode_reply(text) for text in (pair.chosen, pair.rejected)]
        policy = [log_p(model, prompt, reply) for reply in replies]
        with torch.no_grad():
            ref = [log_p(reference, prompt, reply) for reply in replies]
        margins.append(0.3 * ((policy[0] - ref[0]) - (policy[1] - ref[1])).item())
        divisors = [len(reply) if per_token else 1 for reply in replies] * 2
        four = [(logp / divisor)[None] for logp, divisor in zip([*policy, *ref], divisors, strict=True)]
        plain = LOSSES[loss](*four).sum() / len(pairs)
        plain.backward()
        total += plain.item()
    assert ours == pytest.approx(total, abs=1e-6, rel=1e-6)
    for a, b in zip(gradients, gradients_of(model), strict=True):
        assert_close(a, b, rtol=1e-8, atol=1e-11)
    assert sorted(chosen_rewards - rejected_rewards) == pytest.approx(sorted(margins), rel=1e-9)


def test_micro_batches_give_the_same_gradient():
    pairs = draw_pairs(12, replies_per_prompt=3)
    trainers = [
        build_trainer(
            pairs, reference=build_model(seed=2), dtype=torch.float64, micro_batch_size=size
        )
        for size in (None, 5)
    ]  # fmt: skip
    losses = [trainer.compute_gradients(trainer.loader.load_step(0))[0] for trainer in trainers]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    for a, b in zip(*(gradients_of(trainer.model) for trainer in trainers), strict=True):
        assert_close(a, b, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(("loss", "start"), [("dpo", math.log(2)), ("cdpo", math.log(2)), ("hinge", 1.0)])
def test_at_first_policy_is_reference_and_steps_raise_the_margin(loss, start):
    trainer = build_trainer(draw_pairs(20), loss=loss, beta=0.1, optimizer=FAST)
    first = trainer.train_step()
    assert first["loss"] == pytest.approx(start, abs=1e-5)
    for name in ("margin", "chosen_reward", "rejected_reward"):
        assert first[name] == pytest.approx(0.0, abs=1e-5)
    records = [trainer.train_step() for _ in range(5)]
    assert records[-1]["loss"] < records[0]["loss"] < start
    assert records[-1]["margin"] > records[0]["margin"] > 0
    assert records[-1]["margin"] == pytest.approx(
        records[-1]["chosen_reward"] - records[-1]["rejected_reward"], abs=1e-6
    )


def test_preferences_that_go_round_in_a_circle_cancel_and_training_goes_on():
    prompt = draw_pairs(1)[0].prompt
    circle = [PreferencePair(prompt, *two) for two in (("sun", "hen"), ("hen", "mill"), ("mill", "sun"))]
    # The hinge has the same slope for all three, whatever the rounding of their margins.
    trainer = build_trainer(circle, loss="hinge", beta=0.1, optimizer=OptimizerConfig())
    first = trainer.train_step()
    assert first["grad_norm"] == 0.0
    assert all(weight.isfinite().all() for weight in trainer.model.parameters())
    assert trainer.train_step()["loss"] == pytest.approx(1.0, abs=1e-3)


def test_ipo_stops_at_its_gap():
    fast = OptimizerConfig(use_muon=False, adamw_lr=4e-3, weight_decay=0.0)
    trainer = build_trainer(draw_pairs(3), loss="ipo", beta=0.5, optimizer=fast, steps=40)
    assert trainer.train_step()["loss"] == pytest.approx(1.0, abs=1e-5)  # 1 / (4 beta²)
    last = [trainer.train_step() for _ in range(39)][-1]
    assert last["margin"] == pytest.approx(0.5, abs=0.1)  # beta h = beta / (2 beta)
    assert last["loss"] < 0.1


def test_in_bfloat16_policy_and_reference_still_agree_at_first(parent, tmp_path):
    # the reference is computed as the policy is: what is left is rounding by the rows beside it
    run = RunFolder(tmp_path / "run")
    machine = replace(CPU, precision="bf16")
    train_dpo(build_config(parent, machine=machine, steps=1, beta=1.0), run, pairs=draw_pairs(20))
    (record,) = read_log(run.metrics_path)
    assert abs(record["chosen_reward"]) < 2e-3
    assert record["loss"] == pytest.approx(math.log(2), abs=2e-3)


# --- a whole run --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(parent, tmp_path_factory):
    run = RunFolder(tmp_path_factory.mktemp("dpo") / "run")
    console = build_console()
    result = train_dpo(
        build_config(parent, eval_every=8), run, pairs=draw_pairs(120, replies_per_prompt=3),
        val_pairs=draw_pairs(30, seed=5, replies_per_prompt=3), console=console,
    )  # fmt: skip
    return run, result, console.file.getvalue()


def test_what_was_preferred_becomes_more_probable_than_what_was_not(parent, finished):
    run, result, said = finished
    clean = draw_pairs(40, seed=9)
    prompts = [pair.prompt for pair in clean]
    gaps = []
    for path in (parent, run.path):
        model, tokenizer = load_trained_model(path)
        chosen, rejected = (
            compute_reply_logps(model, ChatFormat(tokenizer), prompts, replies)
            for replies in ([p.chosen for p in clean], [p.rejected for p in clean])
        )
        gaps.append(chosen - rejected)
    assert (gaps[1] > gaps[0] + 1).mean() > 0.9
    assert result.metrics["val_accuracy"] > 0.95
    assert result.metrics["val_margin"] > 0.3
    assert result.metrics["val_loss"] < math.log(2) - 0.1
    assert (result.step, result.interrupted) == (23, False)
    assert "360 pairs of 360 replies to 120 prompts (90 held out)" in said


def test_what_the_run_holds(parent, finished):
    run, result, said = finished
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "config.json", "metrics.jsonl", "samples.jsonl", "tokenizer", "checkpoints", "preferences.json",
        "reference.safetensors",
    }  # fmt: skip
    records = read_log(run.metrics_path)
    assert [record["step"] for record in records if "val_margin" in record] == [8, 16, 23]
    assert records[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert records[-1]["tokens"] == result.num_tokens
    samples = read_log(run.samples_path)
    assert [sample["step"] for sample in samples] == [8, 16, 23]
    assert set(samples[0]) == {"step", "messages", "text", "chosen", "rejected"}
    assert samples[0]["messages"][0]["content"] in said
    # what the parent thinks of the training replies
    reference = safetensors.torch.load_file(run.path / "reference.safetensors")
    data = encode_pairs(draw_pairs(120, replies_per_prompt=3), build_chat(), max_seq_len=64)
    expected = compute_row_logps(load_trained_model(parent)[0], data.rows)
    np.testing.assert_allclose(reference["train"].numpy(), expected, rtol=1e-6, atol=1e-5)


@pytest.fixture(scope="module")
def never_stopped(parent, tmp_path_factory):
    """Config, pairs, run and result: what a run that was killed must come to."""
    pairs = draw_pairs(20, replies_per_prompt=3)
    config = build_config(parent, checkpoint_every=2, eval_every=3, micro_batch_size=8, epochs=1.5)
    run = RunFolder(tmp_path_factory.mktemp("whole") / "run")
    return config, pairs, run, train_dpo(config, run, pairs=pairs)


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_killed_run_ends_like_one_that_never_stopped(never_stopped, tmp_path, monkeypatch, step):
    config, pairs, whole, expected = never_stopped
    assert expected.step == 6
    killed = RunFolder(tmp_path / "killed")
    with monkeypatch.context() as patch:
        kill_at(patch, DPOTrainer, step)
        with pytest.raises(Killed):
            train_dpo(config, killed, pairs=pairs)
    with monkeypatch.context() as patch:  # the reference is taken from the run, not computed again
        patch.setattr("nn2llm.train.dpo._write_reference", None)
        result = train_dpo(config, killed, pairs=pairs, resume=True)
    assert (result.step, result.metrics) == (expected.step, expected.metrics)  # to the bit
    assert read_log(killed.metrics_path) == read_log(whole.metrics_path)
    assert read_log(killed.samples_path) == read_log(whole.samples_path)
    ours, theirs = (load_trained_model(run.path)[0].state_dict() for run in (killed, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_run_killed_before_it_began_starts_anew(parent, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    config = build_config(parent, steps=2)

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("nn2llm.train.dpo.save_config", die)  # the reference is there, the mark of a run is not
        with pytest.raises(Killed):
            train_dpo(config, run, pairs=draw_pairs(40))
    assert (run.path / "reference.safetensors").exists()
    assert train_dpo(config, run, pairs=draw_pairs(40), resume=True).step == 2


def test_from_files_without_anything_held_out(parent, tmp_path):
    save_preferences(tmp_path / "train.jsonl", draw_pairs(20))
    config = build_config(parent, data=str(tmp_path / "train.jsonl"), val_fraction=0.0)
    run = RunFolder(tmp_path / "run")
    result = train_dpo(config, run)
    assert "val_loss" not in result.metrics
    assert read_log(run.samples_path) == []
    assert json.loads(run.config_path.read_text())["steps"] == 2


def test_without_samples(parent, tmp_path):
    run = RunFolder(tmp_path / "run")
    train_dpo(build_config(parent, num_samples=0, steps=1), run, pairs=draw_pairs(30))
    assert read_log(run.samples_path) == []


# --- what does not work -------------------------------------------------------------------------------------


def test_a_reference_that_is_damaged_or_of_other_pairs(parent, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    with monkeypatch.context() as patch:
        kill_at(patch, DPOTrainer, 2)
        with pytest.raises(Killed):
            train_dpo(build_config(parent, checkpoint_every=1), run, pairs=draw_pairs(40))
    with pytest.raises(DataError, match="was started with other preferences"):
        train_dpo(build_config(parent), run, pairs=draw_pairs(39), resume=True)
    (run.path / "reference.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="what the reference thinks of the replies, cannot be read"):
        train_dpo(build_config(parent), run, pairs=draw_pairs(40), resume=True)


def test_pairs_that_are_too_long(parent, tmp_path):
    long = PreferencePair(({"role": "user", "content": "say"},), "a" * 60, "b")
    with pytest.raises(DataError, match="All 1 pairs of the preferences are longer than the context of 64"):
        train_dpo(build_config(parent, val_fraction=0.0), RunFolder(tmp_path / "none"), pairs=[long])
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"init_from": ""}, "init_from is missing"),
        ({"init_from": "nowhere"}, "There is no run 'nowhere'"),
        ({}, "Preferences are missing: what is to be learnt"),
    ],
)
def test_what_cannot_start_leaves_nothing_behind(parent, tmp_path, options, words):
    with pytest.raises((ConfigError, CheckpointError), match=words):
        train_dpo(build_config(parent, **options), RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beta": 0.0}, "beta must be > 0, got 0.0"),
        ({"beta": math.nan}, "beta must be > 0, got nan"),
        ({"loss": "kto"}, "unknown loss 'kto'"),
        ({"label_smoothing": 0.5}, r"label_smoothing must be in \[0, 0.5\)"),
        ({"sample_tokens": 0}, "sample_tokens must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"steps": 5, "schedule": ScheduleConfig(warmup_steps=6)}, "warmup_steps must be at most steps"),
    ],
)
def test_settings_that_cannot_work(options, words):
    with pytest.raises(ConfigError, match=words):
        DPOConfig(**options)
