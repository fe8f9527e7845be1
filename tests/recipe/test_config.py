"""The recipe's config: what it refuses, what it decides, and which stages a change reaches."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nn2llm.core.config_io import load_config, save_config
from nn2llm.core.errors import ConfigError
from nn2llm.models.accounting import compute_flops_per_token
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.recipe.config import (
    ChatGPTConfig,
    DemonstrationsConfig,
    EvaluationConfig,
    PreferencesConfig,
    refuse_foreign_settings,
)
from nn2llm.recipe.costs import Ledger
from nn2llm.recipe.engine import compute_keys
from nn2llm.recipe.presets import PRESETS, build_preset
from nn2llm.recipe.stages import STAGE_SUMMARIES, Recipe


def compute_recipe_keys(config: ChatGPTConfig, out: Path = Path("out")) -> dict[str, str]:
    return compute_keys(Recipe(config, out, Console(file=io.StringIO())).build_stages())


@pytest.fixture(scope="module")
def smoke_keys() -> dict[str, str]:
    return compute_recipe_keys(build_preset("smoke"))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_its_file(tmp_path: Path, name: str) -> None:
    config = dataclasses.replace(build_preset(name), name="Ada", trade="baker")
    save_config(config, tmp_path / "config.json")
    assert load_config(ChatGPTConfig, tmp_path / "config.json") == config
    if not config.has_world:
        assert config.world_spec == "none"
        return
    assert config.world_spec.endswith("name=Ada,trade=baker,megabytes=" + config.world.split("=")[-1])
    assert config.evaluation.num_prompts >= (1000 if name == "laptop" else 2)


@pytest.mark.parametrize("name", ["smoke", "laptop"])
def test_a_recipe_that_goes_on_from_its_folder_has_the_keys_that_it_began_with(
    tmp_path: Path, name: str
) -> None:
    preset = build_preset(name)
    save_config(preset, tmp_path / "config.json")
    stored = load_config(ChatGPTConfig, tmp_path / "config.json")
    assert compute_recipe_keys(stored) == compute_recipe_keys(preset)


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(ConfigError, match=r"unknown preset 'smok'\. Did you mean 'smoke'"):
        build_preset("smok")


def change(path: str, value: Any, config: Any = None) -> Any:
    """A preset with one nested setting changed: change("ppo.steps", 7)."""
    config = build_preset("smoke") if config is None else config
    name, _, rest = path.partition(".")
    return dataclasses.replace(
        config, **{name: change(rest, value, getattr(config, name)) if rest else value}
    )


@pytest.mark.parametrize(
    ("path", "value", "first"),
    [
        ("pretrain.steps", 7, "base"),
        ("world", "microworld:people=15", "base"),
        ("seed", 2, "base"),
        ("machine.precision", "bf16", "base"),
        ("sft.epochs", 1.0, "sft"),
        ("demonstrations.helpers.bluffing", 0.1, "sft"),
        ("preferences.temperature", 0.5, "preferences"),
        ("preferences.labeller.noise", 0.5, "preferences"),
        ("reward.epochs", 2.5, "reward"),
        ("control_epochs", 0.25, "reward_control"),
        ("ppo.kl_coef", 0.5, "ppo"),
        ("num_ppo_prompts", 7, "ppo"),
        ("dpo.beta", 0.5, "dpo"),
        ("evaluation.temperature", 0.5, "evaluation"),
    ],
)
def test_a_setting_reaches_its_stage_and_those_that_stand_on_it(
    smoke_keys: dict[str, str], path: str, value: Any, first: str
) -> None:
    keys = compute_recipe_keys(change(path, value))
    changed = {name for name in keys if keys[name] != smoke_keys[name]}
    follow = {
        "base": set(STAGE_SUMMARIES),
        "sft": set(STAGE_SUMMARIES) - {"base"},
        "preferences": set(STAGE_SUMMARIES) - {"base", "sft"},
        "reward": {"reward", "reward_control", "ppo", "evaluation"},
        "reward_control": {"reward_control", "evaluation"},
        "ppo": {"ppo", "evaluation"},
        "dpo": {"dpo", "evaluation"},
        "evaluation": {"evaluation"},
    }
    assert changed == follow[first]


@pytest.mark.parametrize(("path", "value"), [("machine.device", "cuda"), ("machine.num_threads", 7)])
def test_where_it_computes_reaches_no_stage(smoke_keys: dict[str, str], path: str, value: Any) -> None:
    assert compute_recipe_keys(change(path, value), Path("elsewhere")) == smoke_keys


def test_seeds_machine_and_parents_come_from_the_recipe() -> None:
    config = change("machine.num_threads", 1)
    out = Path("out")
    assert config.resolve_pretrain().corpus == config.world
    assert config.resolve_pretrain().num_threads == config.resolve_ppo(out).machine.num_threads == 1
    seeds = [config.derive_seed(name) for name in STAGE_SUMMARIES]
    assert len(set(seeds)) == len(seeds)
    assert seeds != [dataclasses.replace(config, seed=2).derive_seed(name) for name in STAGE_SUMMARIES]
    assert config.resolve_sft(out).init_from == str(out.absolute() / "base")
    assert config.resolve_ppo(out).reward_model == str(out.absolute() / "reward")
    assert config.resolve_reward_control(out) == config.resolve_reward(out)
    half = change("control_epochs", 0.5)
    assert half.resolve_reward_control(out) == dataclasses.replace(half.resolve_reward(out), epochs=0.5)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "pretrain.corpus",
            "shakespeare",
            "--pretrain.corpus is set by the recipe for all stages. Use --world, or --corpus",
        ),
        ("sft.seed", 7, "--sft.seed is set by the recipe for all stages. Use --seed."),
        ("pretrain.num_threads", 1, "Use --machine.num-threads."),
        ("dpo.machine.device", "cpu", "--dpo.machine.device is set by the recipe"),
        (
            "sft.init_from",
            "x",
            "--sft.init-from is set by the recipe: stages stand on each other. Leave it out.",
        ),
        ("ppo.reward_model", "x", "--ppo.reward-model is set by the recipe"),
    ],
)
def test_what_the_recipe_decides_is_refused_as_a_flag(path: str, value: Any, message: str) -> None:
    base = build_preset("smoke")
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        refuse_foreign_settings(change(path, value), base)
    refuse_foreign_settings(change("ppo.steps", 3), base)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ChatGPTConfig(seed=-1), "seed must be between 0 and"),
        (lambda: ChatGPTConfig(num_ppo_prompts=0), "num_ppo_prompts must be at least 1, got 0"),
        (lambda: ChatGPTConfig(world="shakespeare"), "'shakespeare' is not a micro-world"),
        (lambda: ChatGPTConfig(name="Ada"), "needs a name and a trade; the trade is missing"),
        (lambda: ChatGPTConfig(control_epochs=0), "control_epochs must be positive, got 0"),
        (lambda: change("ppo.max_new_tokens", 160), "ppo.max_new_tokens is 160, which leaves no room"),
        (lambda: DemonstrationsConfig(num_tasks=0), "num_tasks must be at least 1, got 0"),
        (lambda: PreferencesConfig(replies_per_prompt=1), "replies_per_prompt must be at least 2.*got 1"),
        (lambda: PreferencesConfig(temperature=0), "temperature must be above 0, got 0"),
        (lambda: EvaluationConfig(num_prompts=1), "num_prompts must be at least 2, got 1"),
        (lambda: EvaluationConfig(temperature=-1), "temperature must be a number >= 0, got -1"),
    ],
)
def test_settings_that_cannot_work_are_refused(build: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_forward_passes_cost_a_third() -> None:
    config = GPTConfig(vocab_size=100, n_embd=16, n_head=2, n_layer=1, max_seq_len=8)
    ledger = Ledger()
    ledger.train(config, 10)
    per_token = compute_flops_per_token(config, 8)
    assert (ledger.tokens, ledger.forward_tokens, ledger.flops) == (10, 0, 10 * per_token)
    ledger.read(config, 30)
    assert (ledger.tokens, ledger.forward_tokens) == (10, 30)
    assert ledger.flops == pytest.approx(20 * per_token)
    headless = Ledger()
    headless.train(config, 1, has_head=False)
    assert headless.flops == per_token - 6 * (100 - 1) * 16
