"""A study that was killed in any of its stages ends with the numbers of one that never was."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from nn2llm.cli.chat_stages import open_folder
from nn2llm.recipe.engine import load_record
from nn2llm.recipe.stages import STAGE_SUMMARIES
from nn2llm.recipe.study_data import read_study
from nn2llm.recipe.study_stages import Study
from nn2llm.train.checkpoint import load_reward_model, load_trained_model
from tests.recipe.micro import micro
from tests.recipe.test_kills import finish, kill, read_stage
from tests.train.conftest import Command, count_lines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="kills POSIX processes"),
]
Start = Callable[..., Command]
NAMES = Study(micro(), Path()).stage_names
WHOLE = ("best_of_n", "study")


@pytest.fixture(scope="module")
def recipe(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished recipe without a study."""
    out = tmp_path_factory.mktemp("recipe") / "out"
    finish(start, out, "--no-talk")
    return out


@pytest.fixture(scope="module")
def studied(start: Start, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a study that was never stopped."""
    out = tmp_path_factory.mktemp("studied") / "out"
    shutil.copytree(recipe, out)
    command = finish(start, out, "--study", "--no-talk")
    assert "evaluation: done before" in command.out
    return out


def test_a_study_only_adds(recipe: Path, studied: Path) -> None:
    for name in STAGE_SUMMARIES:
        assert read_stage(studied, name) == read_stage(recipe, name), name
    for name in NAMES:
        record = load_record(studied / name)
        assert record is not None
        assert record.tokens > 0
    for name in ("grpo", "ppo_free", "ppo_free_8"):
        load_trained_model(studied / name)
    for name in ("reward_8", "reward_8_layers_1"):
        load_reward_model(studied / name)
    assert load_reward_model(studied / "reward_8_layers_1")[0].num_checking_layers == 1
    figures, _ = read_study(studied)
    assert figures.num_prompts == micro().evaluation.num_prompts
    assert [method.stage for method in figures.methods] == [
        "ppo", "dpo", "grpo", "ppo_free", "ppo_free_8", "best_of_n",
    ]  # fmt: skip
    assert {"grpo", "ppo_free"} <= set(open_folder(studied).stages)
    assert 'href="study.html"' in (studied / "report.html").read_text(encoding="utf-8")
    assert 'href="study.html"' not in (recipe / "report.html").read_text(encoding="utf-8")


def test_killed_in_every_stage_the_study_is_the_same(
    start: Start, recipe: Path, studied: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    shutil.copytree(recipe, out)
    for name in NAMES:
        stage, partial = out / name, out / f".{name}.partial"
        if name in WHOLE:
            kill(start, out, lambda partial=partial: partial.exists(), "--study")
        else:
            kill(start, out, lambda stage=stage: count_lines(stage / "metrics.jsonl") >= 2, "--study")
    finish(start, out, "--study")
    for name in NAMES:
        assert read_stage(out, name) == read_stage(studied, name), name
    assert read_study(out)[0] == read_study(studied)[0]


def test_a_study_stays_until_what_it_stands_on_changes(start: Start, studied: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(studied, out)
    command = finish(start, out, "--no-talk")
    assert "study.html" in command.out
    assert (out / "study.html").exists()
    command = finish(start, out, "--dpo.beta", "0.3", "--no-talk")
    assert "made anew: dpo, evaluation" in command.out
    assert not (out / "study.html").exists()
    assert (out / ".replaced/study.html").exists()
    assert 'href="study.html"' not in (out / "report.html").read_text(encoding="utf-8")
    command = finish(start, out, "--dpo.beta", "0.3", "--study", "--no-talk")
    assert "ppo_free: done before" in command.out
    assert "made anew: study" in command.out
    assert (out / "study.html").exists()
