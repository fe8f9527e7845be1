"""GRPO: exact at its first step, better replies within seconds, the same numbers after an interruption."""

import math
import os
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.testing import assert_close

from nn2llm.core.errors import CheckpointError, ConfigError, TrainingError
from nn2llm.core.run_folder import RunFolder
from nn2llm.losses.grpo import group_advantages
from nn2llm.optim.combined import OptimizerConfig
from nn2llm.optim.schedules import ScheduleConfig
from nn2llm.train.checkpoint import load_trained_model
from nn2llm.train.grpo import GRPOTrainer, train_grpo
from nn2llm.train.grpo_config import GRPOConfig
from nn2llm.train.rollouts import compute_reply_logprobs, split_rows, write_rollouts
from nn2llm.train.session import MachineConfig
from tests.train.conftest import read_records
from tests.train.ppo_cases import CHAT, PROMPTS, build_gpt, build_reward_model, save_run

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs `sft` and `reward`."""
    folder = tmp_path_factory.mktemp("runs")
    save_run(folder / "sft", build_gpt())
    save_run(folder / "reward", build_reward_model())
    return folder


def build_config(folder: Path, **changes: object) -> GRPOConfig:
    """4 iterations of 3 prompts with 4 replies each."""
    settings = {
        "init_from": str(folder / "sft"),
        "reward_model": str(folder / "reward"),
        "steps": 4,
        "num_prompts": 3,
        "group_size": 4,
        "minibatch_size": 4,
        "max_new_tokens": 6,
        "optimizer": OptimizerConfig(use_muon=False, adamw_lr=1e-2, weight_decay=0.0),
        "machine": MachineConfig(device="cpu", precision="fp32", num_threads=1),
    }
    return GRPOConfig(**(settings | changes))  # type: ignore[arg-type]


def count_a(indices, replies) -> list[float]:
    """A program that likes the letter "a"."""
    return [float(reply.count("a")) for reply in replies]


def start(trainer: GRPOTrainer):
    """The first iteration's replies, scores and minibatches."""
    indices = [index for index in (0, 3, 5) for _ in range(4)]
    rollouts, replies = write_rollouts(
        trainer.policy, CHAT, [trainer.prompts.ids[index] for index in indices], max_new_tokens=6, seed=1
    )
    return rollouts, trainer.score(rollouts, indices, replies), split_rows(12, 4, seed=1, epoch=0)


# --- one iteration ------------------------------------------------------------------------------------------


def test_first_iteration_is_exact(folder):
    """The policy is its own reference, its first ratios are 1 to the bit, a group's advantages add to 0."""
    trainer = GRPOTrainer(build_config(folder), PROMPTS)
    rollouts, scores, minibatches = start(trainer)
    experience, figures = trainer.assess(rollouts, scores, minibatches)
    assert figures["kl"] == 0
    assert torch.equal(experience.logprobs, experience.ref_logprobs)
    assert experience.advantages.view(3, 4).sum(dim=1).abs().max() < 1e-5
    for rows in minibatches:
        part = experience.select(rows)
        logprobs, _ = compute_reply_logprobs(trainer.policy, part.rollouts)
        assert (logprobs == part.logprobs).all()
    part = experience.select(minibatches[0])
    moved = trainer.move_policy(part)
    assert_close(moved["policy_loss"], -part.advantages.mean(), rtol=0, atol=1e-6)
    assert moved["clip_fraction"] == moved["approx_kl"] == 0
    assert trainer.move_policy(part)["approx_kl"] > 0


def test_advantages_by_hand(folder):
    trainer = GRPOTrainer(build_config(folder, missing_end_penalty=2.0, scale_advantages=False), PROMPTS)
    rollouts, scores, minibatches = start(trainer)
    assert 0 < rollouts.finished.sum() < 12
    experience, figures = trainer.assess(rollouts, scores, minibatches)
    outcomes = (scores - scores.mean()) / scores.std(correction=0) - 2.0 * ~rollouts.finished
    assert_close(experience.advantages, group_advantages(outcomes, 4, scale=False), rtol=0, atol=1e-5)
    assert figures["reward"] == pytest.approx(scores.mean().item())
    assert figures["group_deviation"] == pytest.approx(scores.view(3, 4).std(dim=1).mean().item())
    assert figures["finished"] == pytest.approx(rollouts.finished.float().mean().item())


def test_each_prompt_of_an_iteration_gets_its_group(folder):
    seen = []

    def check(indices, replies):
        seen.append(list(indices))
        return count_a(indices, replies)

    trainer = GRPOTrainer(build_config(folder, reward_model=None), PROMPTS, check=check)
    for _ in range(3):
        trainer.train_step()
    for indices in seen:
        groups = [indices[at : at + 4] for at in range(0, 12, 4)]
        assert all(len(set(group)) == 1 for group in groups)
    drawn = [indices[at] for indices in seen for at in range(0, 12, 4)]
    assert sorted(drawn[:7]) == list(range(7))  # all once before any comes again


def test_equal_scores_leave_the_policy(folder):
    config = build_config(folder, reward_model=None, missing_end_penalty=0.0, kl_coef=0.0)
    trainer = GRPOTrainer(config, PROMPTS, check=lambda _, replies: [0.5] * len(replies))
    record = trainer.train_step()
    assert record["equal_groups"] == 1
    before = build_gpt().state_dict()
    assert all(torch.equal(before[name], weight) for name, weight in trainer.policy.state_dict().items())


# --- a run --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("averaging", ["reply", "token", "constant"])
def test_a_programs_reward_rises(folder, tmp_path, averaging):
    config = build_config(
        folder,
        reward_model=None,
        steps=16,
        num_prompts=4,
        group_size=8,
        minibatch_size=16,
        kl_coef=0.0,
        averaging=averaging,
        schedule=ScheduleConfig(kind="constant"),
    )
    run = RunFolder(tmp_path / "grpo")
    result = train_grpo(config, run, prompts=PROMPTS, check=count_a, console=QUIET)
    records = read_records(run.metrics_path)
    assert result.step == 16
    assert records[-1]["reward"] > records[0]["reward"] + 1.5  # of at most 6 letters
    assert records[-1]["kl"] > 1
    assert records[-1]["entropy"] < records[0]["entropy"]


def test_a_dear_kl_keeps_the_policy(folder):
    last = {}
    for kl_coef in (0.0, 30.0):
        config = build_config(
            folder, reward_model=None, steps=12, num_prompts=6, minibatch_size=12, kl_coef=kl_coef
        )
        trainer = GRPOTrainer(config, PROMPTS, check=count_a)
        kls = [trainer.train_step()["kl"] for _ in range(config.steps)]
        last[kl_coef] = sum(kls[-5:]) / 5
    assert last[0.0] > 10 * max(last[30.0], 0.01)


class Crash(Exception):
    pass


@pytest.mark.parametrize("stop", ["crash", "signal"])
def test_resumed_run_equals_one_that_never_stopped(folder, tmp_path, stop):
    config = build_config(folder, steps=5, checkpoint_every=2, sample_every=1)
    whole = RunFolder(tmp_path / "whole")
    train_grpo(config, whole, prompts=PROMPTS, console=QUIET)
    calls = []

    def stop_at_fourth(indices, replies):
        calls.append(1)
        if len(calls) == 4:
            if stop == "crash":
                raise Crash
            os.kill(os.getpid(), signal.SIGTERM)
        return {}

    run = RunFolder(tmp_path / "run")
    if stop == "crash":
        with pytest.raises(Crash):
            train_grpo(config, run, prompts=PROMPTS, observe=stop_at_fourth, console=QUIET)
    else:
        stopped = train_grpo(config, run, prompts=PROMPTS, observe=stop_at_fourth, console=QUIET)
        assert (stopped.interrupted, stopped.step, stopped.total_steps) == (True, 4, 5)
    torch.manual_seed(99)
    train_grpo(config, run, prompts=PROMPTS, resume=True, console=QUIET)

    def strip(path):
        return [{k: v for k, v in one.items() if k != "seconds"} for one in read_records(path)]

    assert strip(run.metrics_path) == strip(whole.metrics_path)
    assert strip(run.samples_path) == strip(whole.samples_path)
    ours, theirs = (load_trained_model(one.path)[0].state_dict() for one in (run, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


# --- what cannot work ---------------------------------------------------------------------------------------


def test_other_prompts_are_refused_when_resuming(folder, tmp_path):
    run = RunFolder(tmp_path / "grpo")
    train_grpo(build_config(folder, steps=1), run, prompts=PROMPTS, console=QUIET)
    with pytest.raises(CheckpointError, match=r"These 6 prompts are not those .* Resume with the same"):
        train_grpo(build_config(folder), run, prompts=PROMPTS[:6], resume=True, console=QUIET)


def test_rewards_come_from_one_place(folder):
    with pytest.raises(ConfigError, match=r"a program \(check=\): got neither"):
        GRPOTrainer(build_config(folder, reward_model=None), PROMPTS)
    with pytest.raises(ConfigError, match="got both"):
        GRPOTrainer(build_config(folder), PROMPTS, check=count_a)
    with pytest.raises(ConfigError, match=r"init_from is missing: .* --init-from RUN"):
        GRPOTrainer(build_config(folder, init_from=""), PROMPTS)


@pytest.mark.parametrize("given", [[1.0] * 11, [math.nan] * 12])
def test_a_program_that_does_not_score_is_named(folder, given):
    trainer = GRPOTrainer(build_config(folder, reward_model=None), PROMPTS, check=lambda *_: given)
    with pytest.raises(TrainingError, match=f"one number a reply, got {len(given)} for 12 replies"):
        trainer.train_step()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"group_size": 1}, "group_size must be at least 2, got 1"),
        ({"minibatch_size": 5}, r"must divide num_prompts \* group_size, got 5 and 2 \* 4"),
        ({"clip_range": 1.0}, r"clip_range must be in \(0, 1\), got 1.0"),
        ({"clip_range_high": 0.0}, "clip_range_high must be > 0, got 0.0"),
        ({"kl_coef": -0.1}, "kl_coef must be a number >= 0, got -0.1"),
        ({"averaging": "median"}, "unknown averaging 'median'. Choose from: reply, token, constant"),
        ({"sample_every": -1}, "sample_every must be at least 0, got -1"),
        ({"seed": -1}, "seed must be between 0"),
        ({"schedule": ScheduleConfig(warmup_steps=9)}, "warmup_steps must be at most steps"),
    ],
)
def test_settings_out_of_range(changes, match):
    with pytest.raises(ConfigError, match=match):
        GRPOConfig(**({"steps": 8, "num_prompts": 2, "group_size": 4, "minibatch_size": 4} | changes))
