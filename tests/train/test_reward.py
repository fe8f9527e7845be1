"""Reward models: the gradient, what is learnt, what is kept, and what a run that was killed comes to."""

import json
import math
import os
import signal

import pytest
import torch
from torch.testing import assert_close

from nn2llm.core.errors import CheckpointError, ConfigError, DataError
from nn2llm.core.run_folder import RunFolder
from nn2llm.data.pair_batches import encode_pairs
from nn2llm.data.preferences import PreferencePair, save_preferences, split_preferences
from nn2llm.evals.reply_scores import compute_row_scores, score_replies
from nn2llm.losses import bradley_terry_loss, centering_penalty
from nn2llm.models.reward_model import RewardModel
from nn2llm.optim.combined import OptimizerConfig
from nn2llm.optim.schedules import ScheduleConfig
from nn2llm.tokenizers.chat import ChatFormat
from nn2llm.train.checkpoint import load_reward_model, load_trained_model
from nn2llm.train.reward import RewardTrainer, train_reward_model
from nn2llm.train.reward_config import RewardConfig
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


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("parent") / "sft")


def build_config(parent, **options):
    return RewardConfig(
        **{"init_from": str(parent), "machine": CPU, "batch_size": 16, "optimizer": FAST, **options}
    )


def build_trainer(pairs, *, model=None, **options):
    config = RewardConfig(
        **{"machine": CPU, "steps": 10, "batch_size": 1000, "micro_batch_size": None, **options}
    )
    chat = build_chat()
    data = encode_pairs(pairs, chat, max_seq_len=64)
    return RewardTrainer(config, model or build_scorer(), choose_machine(CPU), data)


def build_scorer(**options):
    model = RewardModel.from_gpt(build_model(**options))
    torch.nn.init.normal_(model.score.weight, std=0.5)
    return model


def gradients_of(model):
    return [weight.grad.clone() for weight in model.parameters()]


# --- the gradient -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("center_coef", [0.0, 0.3])
def test_rows_computed_once_give_the_gradient_of_all_pairs_computed_apart(center_coef):
    pairs = [
        PreferencePair(pair.prompt, pair.chosen, pair.rejected, margin=0.1 * number)
        for number, pair in enumerate(draw_pairs(3, replies_per_prompt=4))
    ]
    trainer = build_trainer(pairs, center_coef=center_coef, model=build_scorer().double())
    assert (trainer.data.num_pairs, len(trainer.data.rows)) == (18, 12)
    loss, gaps = trainer.compute_gradients(trainer.loader.load_trees(0))
    ours = gradients_of(trainer.model)
    trainer.model.zero_grad()

    chat, total = build_chat(), 0.0
    for pair in pairs:
        scores = []
        for reply in (pair.chosen, pair.rejected):
            prompt = chat.encode(pair.prompt, add_generation_prompt=True).ids
            ids = torch.tensor([prompt + chat.encode_reply(reply)])
            scores.append(trainer.model.compute_values(ids)[:, -1])
        plain = bradley_terry_loss(*scores, margins=torch.tensor([pair.margin]))
        plain = (plain + center_coef * centering_penalty(*scores)).sum() / len(pairs)
        plain.backward()
        total += plain.item()
    assert loss == pytest.approx(total, abs=1e-6)
    for a, b in zip(ours, gradients_of(trainer.model), strict=True):
        assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert len(gaps) == 18


def test_micro_batches_give_the_same_gradient():
    pairs = draw_pairs(12, replies_per_prompt=3)
    whole = build_trainer(pairs, model=build_scorer().double())
    parts = build_trainer(pairs, model=build_scorer().double(), micro_batch_size=5)
    parts.model.load_state_dict(whole.model.state_dict())
    assert len(parts.loader.load_trees(0)) > 3
    losses = [trainer.compute_gradients(trainer.loader.load_trees(0))[0] for trainer in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    for a, b in zip(gradients_of(whole.model), gradients_of(parts.model), strict=True):
        assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_margins_can_be_left_out():
    pairs = [PreferencePair(pair.prompt, pair.chosen, pair.rejected, 2.0) for pair in draw_pairs(4)]
    plain = [PreferencePair(pair.prompt, pair.chosen, pair.rejected) for pair in pairs]

    def loss(pairs, **options):
        trainer = build_trainer(pairs, **options)
        return trainer.compute_gradients(trainer.loader.load_trees(0))[0]

    assert loss(pairs) > loss(plain) + 0.5
    assert loss(pairs, use_margins=False) == loss(plain)


def test_the_first_loss_is_log_2_and_a_step_lowers_it():
    pairs = draw_pairs(20)
    trainer = build_trainer(pairs, model=RewardModel.from_gpt(build_model()), optimizer=FAST)
    first = trainer.train_step()
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["accuracy"] == 0.5
    losses = [trainer.train_step()["loss"] for _ in range(6)]
    assert losses[-1] < losses[0] < math.log(2)


def test_preferences_that_go_round_in_a_circle_cancel_and_training_goes_on():
    prompt = draw_pairs(1)[0].prompt
    circle = [PreferencePair(prompt, *two) for two in (("sun", "hen"), ("hen", "mill"), ("mill", "sun"))]
    trainer = build_trainer(circle, model=RewardModel.from_gpt(build_model()), optimizer=OptimizerConfig())
    first = trainer.train_step()  # Muon too has to bear a gradient of zero
    assert first["grad_norm"] == 0.0
    assert all(weight.isfinite().all() for weight in trainer.model.parameters())
    assert trainer.train_step()["loss"] == pytest.approx(math.log(2), abs=1e-6)


def test_the_head_has_a_learning_rate_of_its_own():
    rates = OptimizerConfig(use_muon=True, adamw_lr=1e-3, head_lr=5e-3)
    trainer = build_trainer(draw_pairs(4), optimizer=rates)
    kinds = {group["kind"]: group["lr"] for group in trainer.optimizer.param_groups}
    assert kinds["head"] == 5e-3
    trainer.train_step()


# --- a whole run --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(parent, tmp_path_factory):
    """A run on a rule that can be learnt, and its result."""
    run = RunFolder(tmp_path_factory.mktemp("reward") / "run")
    config = build_config(parent, eval_every=20, val_fraction=0.1)
    console = build_console()
    result = train_reward_model(
        config, run, pairs=draw_pairs(240, replies_per_prompt=3, noise=0.1), console=console
    )
    return run, result, console.file.getvalue()


def test_a_rule_is_learnt_in_seconds(parent, finished):
    run, result, said = finished
    clean = draw_pairs(60, seed=9)
    model, tokenizer = load_reward_model(run.path)
    chat = ChatFormat(tokenizer)
    prompts = [pair.prompt for pair in clean]
    good = score_replies(model, chat, prompts, [pair.chosen for pair in clean])
    bad = score_replies(model, chat, prompts, [pair.rejected for pair in clean])
    assert (good > bad).mean() >= 0.98
    assert result.metrics["val_accuracy"] > 0.8  # a tenth of the labels is wrong
    assert (result.step, result.interrupted) == (41, False)
    assert "training: 27,968 parameters, 648 pairs of 648 replies to 216 prompts (72 held out)" in said


def test_replies_of_the_training_set_score_0_on_average(finished):
    run, result, _ = finished
    model, tokenizer = load_reward_model(run.path)
    train, _ = split_preferences(draw_pairs(240, replies_per_prompt=3, noise=0.1), 0.1)
    data = encode_pairs(train, ChatFormat(tokenizer), max_seq_len=64)
    scores = compute_row_scores(model, data.rows)
    assert abs(scores.mean()) < 1e-5
    assert scores.std() > 0.3
    assert model.offset.item() == pytest.approx(result.metrics["offset"])


def test_what_the_run_holds(finished):
    run, result, _ = finished
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "config.json", "metrics.jsonl", "samples.jsonl", "tokenizer", "checkpoints", "preferences.json",
    }  # fmt: skip
    config = json.loads(run.config_path.read_text())
    assert config["steps"] == 41
    assert config["machine"] == {"device": "cpu", "precision": "fp32", "num_threads": 1}
    records = read_log(run.metrics_path)
    assert [record["step"] for record in records] == list(range(1, 42))
    assert [record["step"] for record in records if "val_accuracy" in record] == [20, 40, 41]
    assert records[-1]["tokens"] == result.num_tokens
    assert records[-1]["lr"] < records[0]["lr"]
    samples = read_log(run.samples_path)
    assert 1 <= len(samples) <= 3
    assert all(sample["score_gap"] < 0 and sample["step"] == 41 for sample in samples)


def test_each_kind_of_model_is_loaded_by_its_own_function(parent, finished):
    run, _, _ = finished
    with pytest.raises(CheckpointError, match="is a reward model: it scores replies and writes none"):
        load_trained_model(run.path)
    with pytest.raises(CheckpointError, match="nn2llm reward --init-from"):
        load_reward_model(parent)
    with pytest.raises(CheckpointError, match="is a reward model"):
        train_reward_model(build_config(run.path), RunFolder(run.path / "x"), pairs=draw_pairs(4))


def test_a_finished_run_stays_as_it_is(parent, finished):
    run, result, _ = finished
    before = run.metrics_path.read_bytes()
    console = build_console()
    again = train_reward_model(
        build_config(parent), run, pairs=draw_pairs(240, replies_per_prompt=3, noise=0.1), resume=True,
        console=console,
    )  # fmt: skip
    assert (again.step, again.metrics, again.num_tokens) == (41, result.metrics, result.num_tokens)
    assert run.metrics_path.read_bytes() == before
    assert "is finished: it ended at step 41" in console.file.getvalue()
    with pytest.raises(ConfigError, match="already holds a run"):
        train_reward_model(build_config(parent), run, pairs=draw_pairs(4))


@pytest.fixture(scope="module")
def never_stopped(parent, tmp_path_factory):
    """Config, pairs, run and result: what a run that was killed must come to."""
    pairs = draw_pairs(20, replies_per_prompt=3)
    config = build_config(parent, checkpoint_every=2, eval_every=3, micro_batch_size=8, epochs=1.5)
    run = RunFolder(tmp_path_factory.mktemp("whole") / "run")
    return config, pairs, run, train_reward_model(config, run, pairs=pairs)


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_killed_run_ends_like_one_that_never_stopped(never_stopped, tmp_path, monkeypatch, step):
    config, pairs, whole, expected = never_stopped
    assert expected.step == 6
    killed = RunFolder(tmp_path / "killed")
    with monkeypatch.context() as patch:
        kill_at(patch, RewardTrainer, step)
        with pytest.raises(Killed):
            train_reward_model(config, killed, pairs=pairs)
    result = train_reward_model(config, killed, pairs=pairs, resume=True)
    assert (result.step, result.metrics) == (expected.step, expected.metrics)  # to the bit
    assert read_log(killed.metrics_path) == read_log(whole.metrics_path)
    assert read_log(killed.samples_path) == read_log(whole.samples_path)
    ours, theirs = (load_reward_model(run.path)[0].state_dict() for run in (killed, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_signal_stops_after_the_step_and_everything_is_saved(parent, tmp_path, monkeypatch):
    pairs, run, console = draw_pairs(40), RunFolder(tmp_path / "run"), build_console()
    whole = RewardTrainer.train_step

    def train_step(self):
        if self.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(self)

    with monkeypatch.context() as patch:
        patch.setattr(RewardTrainer, "train_step", train_step)
        result = train_reward_model(build_config(parent, steps=5), run, pairs=pairs, console=console)
    assert (result.step, result.total_steps, result.interrupted) == (2, 5, True)
    result = train_reward_model(build_config(parent), run, pairs=pairs, resume=True, console=console)
    assert (result.step, result.interrupted) == (5, False)
    assert "going on at step 2" in console.file.getvalue()


def test_from_files_and_from_lists_is_the_same(parent, tmp_path):
    pairs, val_pairs = draw_pairs(20), draw_pairs(5, seed=3)
    save_preferences(tmp_path / "train.jsonl", pairs)
    save_preferences(tmp_path / "val.jsonl.gz", val_pairs, extras=[{"kind": "x"}] * 5)
    files = {"data": str(tmp_path / "train.jsonl"), "val_data": str(tmp_path / "val.jsonl.gz")}
    runs = [RunFolder(tmp_path / name) for name in ("lists", "files")]
    one = train_reward_model(build_config(parent), runs[0], pairs=pairs, val_pairs=val_pairs)
    two = train_reward_model(build_config(parent, **files), runs[1])
    assert one.metrics == two.metrics
    assert read_log(runs[0].metrics_path) == read_log(runs[1].metrics_path)


def test_dropout_is_off_and_untied_heads_are_left_behind(tmp_path):
    parent = write_run(tmp_path / "sft", build_model(dropout=0.5, tie_embeddings=False))
    runs = [RunFolder(tmp_path / name) for name in "ab"]
    results = [train_reward_model(build_config(parent, steps=3), run, pairs=draw_pairs(8)) for run in runs]
    assert results[0].metrics == results[1].metrics
    assert "gpt.head.weight" not in load_reward_model(runs[0].path)[0].state_dict()


def test_layers_above_the_parents_are_kept(parent, tmp_path):
    run = RunFolder(tmp_path / "run")
    before = load_trained_model(parent)[0].state_dict()
    train_reward_model(build_config(parent, num_checking_layers=1, steps=2), run, pairs=draw_pairs(20))
    model, _ = load_reward_model(run.path)
    assert model.num_checking_layers == 1
    assert all(torch.equal(weight, before[name]) for name, weight in model.gpt.state_dict().items())
    train_reward_model(build_config(parent), run, pairs=draw_pairs(20), resume=True)
    with pytest.raises(ConfigError, match="num_checking_layers must be at least 0"):
        RewardConfig(num_checking_layers=-1)


def test_new_checking_layers_do_not_depend_on_what_the_process_did_before(parent, tmp_path):
    weights = []
    for number in range(2):
        torch.manual_seed(number)
        run = RunFolder(tmp_path / f"run-{number}")
        train_reward_model(build_config(parent, num_checking_layers=1, steps=2), run, pairs=draw_pairs(20))
        weights.append(load_reward_model(run.path)[0].state_dict())
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name


# --- what does not work -------------------------------------------------------------------------------------


def test_pairs_that_are_too_long_are_counted(parent, tmp_path):
    long = PreferencePair(({"role": "user", "content": "say"},), "a" * 60, "b")
    console = build_console()
    train_reward_model(
        build_config(parent, steps=1), RunFolder(tmp_path / "run"), pairs=[*draw_pairs(30), long],
        val_pairs=[*draw_pairs(3), long, long], console=console,
    )  # fmt: skip
    said = console.file.getvalue()
    assert "1 of 31 pairs are longer than the context of 64 tokens and are left out." in said
    assert "2 of 5 held-out pairs are longer" in said
    with pytest.raises(DataError, match="All 1 pairs of the preferences are longer than the context of 64"):
        train_reward_model(build_config(parent, val_fraction=0.0), RunFolder(tmp_path / "none"), pairs=[long])
    assert not (tmp_path / "none").exists()


def test_a_run_that_goes_on_needs_its_own_pairs(parent, tmp_path, monkeypatch):
    run = RunFolder(tmp_path / "run")
    with monkeypatch.context() as patch:
        kill_at(patch, RewardTrainer, 2)
        with pytest.raises(Killed):
            train_reward_model(build_config(parent, checkpoint_every=1), run, pairs=draw_pairs(40))
    with pytest.raises(DataError, match="was started with other preferences"):
        train_reward_model(build_config(parent), run, pairs=draw_pairs(40, seed=2), resume=True)


def test_unusable_pairs_stop_the_run_or_are_left_out(parent, tmp_path):
    lines = [json.dumps({"prompt": "say a", "chosen": f"good {x}", "rejected": "bad"}) for x in "abcd"]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join([*lines, '{"prompt": "say b", "chosen": "x", "rejected": "x"}']))
    config = build_config(parent, data=str(path), val_fraction=0.0, steps=1)
    with pytest.raises(DataError, match=r"pairs.jsonl, line 5: The chosen and the rejected reply are equal"):
        train_reward_model(config, RunFolder(tmp_path / "run"))
    console = build_console()
    config = build_config(parent, data=str(path), val_fraction=0.0, steps=1, skip_unusable=True)
    train_reward_model(config, RunFolder(tmp_path / "run"), console=console)
    assert "1 of 5 pairs left out; the first:" in console.file.getvalue()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"init_from": ""}, "init_from is missing"),
        ({"init_from": "nowhere"}, "There is no run 'nowhere'"),
        ({}, "Preferences are missing: what is to be learnt"),
        ({"data": "missing.jsonl"}, "missing.jsonl does not exist"),
    ],
)
def test_what_cannot_start_leaves_nothing_behind(parent, tmp_path, options, words):
    with pytest.raises((ConfigError, CheckpointError, DataError), match=words):
        train_reward_model(build_config(parent, **options), RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"micro_batch_size": 0}, "micro_batch_size must be at least 1"),
        ({"num_samples": -1}, "num_samples must be at least 0"),
        ({"epochs": 0.0}, "epochs must be positive"),
        ({"val_fraction": 1.0}, r"val_fraction must be in \[0, 1\)"),
        ({"max_grad_norm": 0.0}, "max_grad_norm must be positive"),
        ({"seed": -1}, "seed must be between"),
        ({"center_coef": -0.1}, "center_coef must be a number >= 0"),
        ({"center_coef": math.nan}, "center_coef must be a number >= 0"),
        ({"steps": 5, "schedule": ScheduleConfig(warmup_steps=6)}, "warmup_steps must be at most steps"),
    ],
)
def test_settings_that_cannot_work(options, words):
    with pytest.raises(ConfigError, match=words):
        RewardConfig(**options)


def test_a_warm_up_longer_than_the_epochs_is_refused_before_the_run_begins(parent, tmp_path):
    config = build_config(parent, schedule=ScheduleConfig(warmup_steps=100))
    with pytest.raises(ConfigError, match="warmup_steps must be at most steps, got 100 and 3"):
        train_reward_model(config, RunFolder(tmp_path / "run"), pairs=draw_pairs(50))
    assert not (tmp_path / "run").exists()
