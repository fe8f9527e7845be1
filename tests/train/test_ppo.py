"""PPO: exact at its first step, better replies within seconds, the same numbers after an interruption."""

import dataclasses
import json
import math
import os
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.testing import assert_close

from nn2llm.core.errors import CheckpointError, ConfigError, DataError, TrainingError
from nn2llm.core.run_folder import RunFolder
from nn2llm.losses.gae import compute_gae
from nn2llm.losses.ppo import whiten
from nn2llm.optim.schedules import ScheduleConfig
from nn2llm.train.checkpoint import load_trained_model
from nn2llm.train.ppo import PPOTrainer, adapt_kl_coef, train_ppo
from nn2llm.train.ppo_config import PPOConfig
from nn2llm.train.rollouts import Rollouts, compute_reply_logprobs, split_rows, write_rollouts
from tests.train.conftest import read_records
from tests.train.ppo_cases import (
    CHAT,
    PROMPTS,
    SHAPE,
    TOKENIZER,
    CountingRewardModel,
    build_config,
    build_gpt,
    build_reward_model,
    save_run,
)

QUIET = Console(quiet=True)
FIGURES = {
    *("step", "tokens", "reward", "reward_penalised", "kl", "kl_coef", "entropy", "clip_fraction"),
    *("explained_variance", "reply_length", "policy_loss", "value_loss", "seconds"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs `sft` and `reward`."""
    folder = tmp_path_factory.mktemp("runs")
    save_run(folder / "sft", build_gpt())
    save_run(folder / "reward", build_reward_model())
    return folder


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reward model that likes the letter "a"."""

    def load(run, device):
        return CountingRewardModel.from_gpt(build_gpt()).eval(), TOKENIZER

    monkeypatch.setattr("nn2llm.train.rollouts.load_reward_model", load)


def draw(trainer: PPOTrainer) -> tuple[Rollouts, list[torch.Tensor]]:
    """The first iteration's replies and minibatches."""
    rollouts, _ = write_rollouts(trainer.policy, CHAT, trainer.prompts.ids, max_new_tokens=6, seed=1)
    return rollouts, split_rows(len(PROMPTS), 3, seed=1, epoch=0)


def weights_of(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_trained_model(run.path)[0].state_dict()


# --- one iteration ------------------------------------------------------------------------------------------


def test_first_iteration_is_exact(folder):
    """The policy is its own reference, and its first ratios are 1 to the bit."""
    trainer = PPOTrainer(build_config(folder), PROMPTS)
    rollouts, minibatches = draw(trainer)
    experience, figures = trainer.assess(rollouts, trainer.score(rollouts), minibatches)
    assert figures["kl"] == 0
    for rows in minibatches:
        part = experience.select(rows)
        logprobs, _ = compute_reply_logprobs(trainer.policy, part.rollouts)
        assert (logprobs == part.logprobs).all()
        assert logprobs.requires_grad
    # so the first step's loss is -mean(A), nothing is clipped, and no policy has moved
    part = experience.select(minibatches[0])
    moved = trainer.move_policy(part)
    expected = -part.advantages[part.rollouts.mask].mean()
    assert_close(moved["policy_loss"], expected, rtol=0, atol=1e-6)
    assert moved["clip_fraction"] == moved["approx_kl"] == 0
    assert trainer.move_policy(part)["approx_kl"] > 0


def test_rewards_and_advantages_by_hand(folder):
    """Of the scores, the penalties, and the penalty for a missing end; then GAE over reply tokens alone."""
    config = build_config(folder, kl_coef=0.5, missing_end_penalty=2.0, kl_estimator="k2")
    trainer = PPOTrainer(config, PROMPTS)
    with torch.no_grad():
        for weight in trainer.policy.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    rollouts, minibatches = draw(trainer)
    assert 0 < rollouts.finished.sum() < len(PROMPTS)
    scores = trainer.score(rollouts)
    assert (trainer.score_mean, trainer.score_deviation) == (
        pytest.approx(scores.mean().item()),
        pytest.approx(scores.std(correction=0).item()),
    )
    experience, figures = trainer.assess(rollouts, scores, minibatches)

    normalised = (scores - scores.mean()) / scores.std(correction=0)
    logprobs = compute_reply_logprobs(trainer.policy, rollouts)[0]
    ref_logprobs = compute_reply_logprobs(trainer.reference, rollouts)[0]
    values = (trainer.value_model.compute_values(rollouts.input_ids) - scores.mean()) / scores.std(
        correction=0
    )
    rewards = torch.zeros_like(logprobs)
    for row in range(len(PROMPTS)):
        for place in rollouts.mask[row].nonzero()[:, 0].tolist():
            ratio = logprobs[row, place] - ref_logprobs[row, place]
            rewards[row, place] = -0.5 * ratio**2 / 2
        rewards[row, rollouts.last[row] - 1] += normalised[row] - 2.0 * (not rollouts.finished[row])
    advantages, returns = compute_gae(rewards, values, rollouts.mask, gamma=1.0, gae_lambda=0.95)
    assert_close(experience.returns, returns.detach(), rtol=0, atol=1e-5)
    assert_close(experience.advantages, whiten(advantages.detach(), rollouts.mask), rtol=0, atol=1e-4)
    assert not experience.advantages[~rollouts.mask].any()
    # one more by hand: with lambda 0.95, the last token's advantage is its reward less its value
    last = rollouts.last[0] - 1
    assert_close(returns[0, last], rewards[0, last])
    kl = (logprobs - ref_logprobs).sum(dim=1).mean().item()
    assert figures["kl"] == pytest.approx(kl, abs=1e-5)
    # the reward less all penalties, in the reward model's units
    penalised = rewards.sum(dim=1).mean() * scores.std(correction=0) + scores.mean()
    assert figures["reward"] == pytest.approx(scores.mean().item())
    assert figures["reward_penalised"] == pytest.approx(penalised.item(), abs=1e-5)
    assert figures["finished"] == pytest.approx(rollouts.finished.float().mean().item())


def test_scores_as_they_are(folder):
    config = build_config(folder, normalise_scores=False, whiten_rewards=True)
    trainer = PPOTrainer(dataclasses.replace(config, missing_end_penalty=1.0), PROMPTS)
    rollouts, minibatches = draw(trainer)
    scores = trainer.score(rollouts)
    assert (trainer.score_mean, trainer.score_deviation) == (0.0, 1.0)
    _, figures = trainer.assess(rollouts, scores, minibatches)
    cut = 1 - rollouts.finished.float().mean().item()
    assert figures["reward_penalised"] == pytest.approx(scores.mean().item() - cut, abs=1e-5)


def test_reply_length_counts_the_end_token(folder):
    trainer = PPOTrainer(build_config(folder), PROMPTS)
    rollouts, minibatches = draw(trainer)
    _, figures = trainer.assess(rollouts, trainer.score(rollouts), minibatches)
    prompt_lengths = torch.tensor([len(ids) for ids in trainer.prompts.ids])
    assert figures["reply_length"] == (rollouts.last + 1 - prompt_lengths).float().mean().item()


def test_value_warmup_leaves_the_policy(folder):
    trainer = PPOTrainer(build_config(folder, value_warmup_steps=1), PROMPTS)
    value_before = trainer.value_model.score.weight.clone()
    record = trainer.train_step()
    assert all(
        (a == b).all()
        for a, b in zip(trainer.policy.parameters(), trainer.reference.parameters(), strict=True)
    )
    assert (record["clip_fraction"], record["policy_loss"]) == (0, 0)
    assert not (trainer.value_model.score.weight == value_before).all()
    record = trainer.train_step()
    assert record["policy_loss"] != 0
    assert record["kl"] == 0  # written before the policy's first step
    assert trainer.train_step()["kl"] != 0


def test_entropy_bonus_raises_entropy(folder, counting):
    def run(entropy_coef):
        trainer = PPOTrainer(build_config(folder, entropy_coef=entropy_coef, steps=6), PROMPTS)
        return [trainer.train_step()["entropy"] for _ in range(6)]

    plain, rewarded = run(0.0), run(1.0)
    assert plain[0] == rewarded[0]
    assert rewarded[-1] > plain[-1] + 0.1


def test_adaptive_coefficient_by_hand():
    assert adapt_kl_coef(0.5, kl=6.6, target_kl=6.0) == pytest.approx(0.5 * 1.01)
    assert adapt_kl_coef(0.5, kl=60.0, target_kl=6.0) == pytest.approx(
        0.5 * 1.02
    )  # at most a fifth of a tenth
    assert adapt_kl_coef(0.5, kl=0.0, target_kl=6.0) == pytest.approx(0.5 * 0.98)


def test_coefficient_adapts_from_one_iteration_to_the_next(folder):
    trainer = PPOTrainer(build_config(folder, kl_coef=0.1, target_kl=2.0), PROMPTS)
    first, second = trainer.train_step(), trainer.train_step()
    assert first["kl_coef"] == 0.1
    assert second["kl_coef"] == pytest.approx(0.1 * 0.98)  # the first iteration's KL is 0


# --- a run --------------------------------------------------------------------------------------------------


def test_reward_rises(folder, counting, tmp_path):
    config = build_config(
        folder,
        steps=16,
        batch_size=32,
        minibatch_size=16,
        kl_coef=0.0,
        schedule=ScheduleConfig(kind="constant"),
    )
    run = RunFolder(tmp_path / "ppo")
    result = train_ppo(config, run, prompts=PROMPTS, console=QUIET)
    records = read_records(run.metrics_path)
    first, last = records[0]["reward"], records[-1]["reward"]
    assert result.step == 16
    assert last > first + 2  # of at most 6 new letters
    assert records[-1]["kl"] > 2
    assert records[-1]["entropy"] < records[0]["entropy"]
    assert result.metrics["reward"] == last


def test_a_dear_kl_keeps_the_policy(folder, counting):
    """The first step cannot know it (the KL is 0 there); the next ones bring the policy back."""
    last = {}
    for kl_coef in (0.0, 1e9):
        config = build_config(folder, steps=12, batch_size=24, minibatch_size=12, kl_coef=kl_coef)
        trainer = PPOTrainer(config, PROMPTS)
        kls = [trainer.train_step()["kl"] for _ in range(config.steps)]
        last[kl_coef] = sum(kls[-5:]) / 5
    assert last[0.0] > 5
    assert last[1e9] < 0.2


def test_a_run_leaves_figures_samples_and_the_policy(folder, tmp_path):
    seen = []

    def observe(indices, replies):
        seen.append((list(indices), list(replies)))
        return {"gold": 0.25, "utility": float(len(seen))}

    run = RunFolder(tmp_path / "ppo")
    config = build_config(folder, sample_every=2, num_samples=2)
    result = train_ppo(config, run, prompts=PROMPTS, observe=observe, console=QUIET)
    records = read_records(run.metrics_path)
    assert [record["step"] for record in records] == [1, 2, 3, 4]
    assert all(set(record) >= FIGURES for record in records)
    assert [record["utility"] for record in records] == [1, 2, 3, 4]
    assert result.metrics["gold"] == 0.25
    assert [len(indices) for indices, _ in seen] == [8] * 4
    samples = read_records(run.samples_path)
    assert [sample["step"] for sample in samples] == [2, 2, 4, 4]
    indices, replies = seen[1]
    assert samples[0]["text"] == replies[0]
    assert samples[1]["messages"] == list(PROMPTS[indices[1]])
    assert isinstance(samples[0]["reward"], float)
    # every token of every reply and prompt, twice through
    assert result.num_tokens == records[-1]["tokens"] > 2 * 4 * 8 * 6
    model, tokenizer = load_trained_model(run.path)
    assert tokenizer.fingerprint() == TOKENIZER.fingerprint()
    before = build_gpt().state_dict()
    assert any(not torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert json.loads(run.config_path.read_text())["machine"]["precision"] == "fp32"
    assert not result.interrupted


class Crash(Exception):
    pass


@pytest.mark.parametrize("stop", ["crash", "signal"])
def test_resumed_run_equals_one_that_never_stopped(folder, tmp_path, stop):
    config = build_config(
        folder, steps=5, checkpoint_every=2, target_kl=0.5, sample_every=1, entropy_coef=0.01
    )
    whole = RunFolder(tmp_path / "whole")
    train_ppo(config, whole, prompts=PROMPTS, console=QUIET)

    def stop_at_fourth(indices, replies, calls=[]):  # noqa: B006 - counts its calls
        calls.append(1)
        if len(calls) == 4:
            if stop == "crash":
                raise Crash
            os.kill(os.getpid(), signal.SIGTERM)
        return {}

    run = RunFolder(tmp_path / "run")
    if stop == "crash":  # what the third step wrote is cut off again
        with pytest.raises(Crash):
            train_ppo(config, run, prompts=PROMPTS, observe=stop_at_fourth, console=QUIET)
    else:
        stopped = train_ppo(config, run, prompts=PROMPTS, observe=stop_at_fourth, console=QUIET)
        assert (stopped.interrupted, stopped.step) == (True, 4)
    torch.manual_seed(99)
    result = train_ppo(config, run, prompts=PROMPTS, resume=True, console=QUIET)

    def strip(path):
        return [{k: v for k, v in one.items() if k != "seconds"} for one in read_records(path)]

    assert strip(run.metrics_path) == strip(whole.metrics_path)
    assert strip(run.samples_path) == strip(whole.samples_path)
    ours, theirs = weights_of(run), weights_of(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    # once more, with nothing left to do
    again = train_ppo(config, run, prompts=PROMPTS, resume=True, console=QUIET)
    assert (again.metrics, again.num_tokens) == (result.metrics, result.num_tokens)


# --- what cannot work ---------------------------------------------------------------------------------------


def test_other_prompts_are_refused_when_resuming(folder, tmp_path):
    run = RunFolder(tmp_path / "ppo")
    train_ppo(build_config(folder, steps=1), run, prompts=PROMPTS, console=QUIET)
    with pytest.raises(CheckpointError, match=r"These 6 prompts are not those .* Resume with the same"):
        train_ppo(build_config(folder), run, prompts=PROMPTS[:6], resume=True, console=QUIET)
    with pytest.raises(ConfigError, match="already holds a run"):
        train_ppo(build_config(folder), run, prompts=PROMPTS, console=QUIET)


def test_bad_input_is_one_sentence_and_leaves_nothing(folder, tmp_path):
    run = RunFolder(tmp_path / "ppo")

    def refuse(error, match, given=PROMPTS, **changes):
        with pytest.raises(error, match=match):
            train_ppo(build_config(folder, **changes), run, prompts=given, console=QUIET)
        assert not run.path.exists()

    refuse(ConfigError, "got an empty list", given=[])
    refuse(ConfigError, r"prompts are missing: .* --prompts FILE", given=None)
    refuse(DataError, "nowhere.jsonl does not exist", given=None, prompts="nowhere.jsonl")
    refuse(ConfigError, r"init_from is missing: .* --init-from RUN", init_from="")
    refuse(ConfigError, r"reward_model is missing: .* --reward-model RUN", reward_model="")
    refuse(ConfigError, r"Prompt 3 has 13 tokens.* reply of 20 tokens", max_new_tokens=20)
    refuse(DataError, r"Prompt 0: .*empty", given=[({"role": "user", "content": ""},)])
    refuse(CheckpointError, "There is no run", init_from="nowhere")
    refuse(CheckpointError, "holds a language model", reward_model=str(folder / "sft"))
    refuse(CheckpointError, "is a reward model", init_from=str(folder / "reward"))


def test_tokenizers_must_agree(folder, tmp_path):
    larger = TOKENIZER.with_special_tokens(["<|system|>"])
    shape = dataclasses.replace(SHAPE, vocab_size=larger.vocab_size)
    other = save_run(tmp_path / "other", build_reward_model(config=shape), tokenizer=larger, config=shape)
    config = build_config(folder, reward_model=str(other))
    with pytest.raises(
        ConfigError, match=r"sft \(12 tokens\) and .*other \(13 tokens\) differ.* Train it from"
    ):
        PPOTrainer(config, PROMPTS)


def test_a_reward_model_with_a_short_context_limits_the_prompts(folder, tmp_path):
    shape = dataclasses.replace(SHAPE, max_seq_len=16)
    short = save_run(tmp_path / "short", build_reward_model(config=shape), config=shape)
    with pytest.raises(ConfigError, match="in a context of 16"):
        PPOTrainer(build_config(folder, reward_model=str(short)), PROMPTS)


def test_figures_that_are_no_numbers_stop_the_run(folder, tmp_path, monkeypatch):
    def broken(self, part):
        return {"value_loss": torch.tensor(math.nan), "value_grad_norm": torch.tensor(1.0)}

    monkeypatch.setattr(PPOTrainer, "move_value_model", broken)
    run = RunFolder(tmp_path / "ppo")
    with pytest.raises(TrainingError, match=r"value_loss became nan in iteration 1\. Lower"):
        train_ppo(build_config(folder), run, prompts=PROMPTS, console=QUIET)
    assert not list(run.checkpoints_path.glob("step_*"))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"minibatch_size": 3}, "minibatch_size must divide batch_size, got 3 and 8"),
        ({"clip_range": 1.0}, r"clip_range must be in \(0, 1\), got 1.0"),
        ({"kl_coef": -0.1}, "kl_coef must be a number >= 0, got -0.1"),
        ({"kl_coef": math.inf}, "kl_coef must be a number >= 0, got inf"),
        ({"target_kl": 0.0}, "target_kl must be > 0, got 0.0"),
        ({"kl_coef": 0.0, "target_kl": 6.0}, "multiplies kl_coef, which is 0"),
        ({"gamma": 1.1}, r"gamma must be in \[0, 1\], got 1.1"),
        ({"kl_estimator": "k4"}, "unknown kl_estimator 'k4'. Choose from: k1, k2, k3"),
        ({"value_warmup_steps": -1}, "value_warmup_steps must be at least 0, got -1"),
        ({"seed": -1}, "seed must be between 0"),
        ({"schedule": ScheduleConfig(warmup_steps=9)}, "warmup_steps must be at most steps"),
    ],
)
def test_settings_out_of_range(changes, match):
    with pytest.raises(ConfigError, match=match):
        PPOConfig(**({"steps": 8, "batch_size": 8, "minibatch_size": 4} | changes))
