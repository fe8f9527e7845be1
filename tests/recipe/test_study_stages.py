"""What a study adds to a recipe: its reward models, the stages in their order, and what each depends on."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.run_folder import RunFolder
from nn2llm.data.preference_pairs import PreferencePair
from nn2llm.data.preferences import save_preferences
from nn2llm.evals.reply_scores import compute_row_scores
from nn2llm.microworld import build_world
from nn2llm.microworld.gold import gold_score
from nn2llm.microworld.labellers import Labeller
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.recipe import study_stages
from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.recipe.engine import compute_keys
from nn2llm.recipe.presets import build_preset
from nn2llm.recipe.recipe import list_stages
from nn2llm.recipe.replying import Writer, build_reply_rows
from nn2llm.recipe.stages import STAGE_SUMMARIES, Recipe
from nn2llm.recipe.study_best_of_n import read_candidates, write_candidates
from nn2llm.recipe.study_config import StudyConfig
from nn2llm.recipe.study_rewards import (
    RewardVariant,
    list_by_labels,
    list_by_size,
    list_optimised,
    list_variants,
    load_first,
)
from nn2llm.recipe.study_stages import Study
from nn2llm.recipe.task_sets import TaskSets
from nn2llm.tokenizers import CharTokenizer
from nn2llm.tokenizers.base import END_OF_TEXT
from nn2llm.tokenizers.chat import CHAT_TOKENS, ChatFormat
from nn2llm.train.checkpoint import load_reward_model
from nn2llm.train.constitutional_config import ConstitutionalConfig
from nn2llm.train.stage_result import StageResult
from tests.recipe.micro import micro
from tests.recipe.test_evaluation import write_reward_run


def change(config: ChatGPTConfig, **values: object) -> ChatGPTConfig:
    """Settings of the study."""
    return dataclasses.replace(config, study=dataclasses.replace(config.study, **values))  # type: ignore[arg-type]


def list_keys(config: ChatGPTConfig) -> dict[str, str]:
    out = Path("nowhere")
    return compute_keys([*Recipe(config, out, Console()).build_stages(), *Study(config, out).build_stages()])


def test_reward_models_of_the_laptop() -> None:
    config = build_preset("laptop")
    few, some, many = (RewardVariant(f"reward_{n}", n, 3) for n in (300, 1000, 3000))
    recipe = RewardVariant("reward", 7500, 3)
    assert recipe.is_recipe
    assert not few.is_recipe
    plain, thin = (RewardVariant(f"reward_3000_layers_{n}", 3000, n) for n in (0, 1))
    assert list_by_labels(config) == [few, some, many, recipe]
    assert list_by_size(config) == [plain, thin, many]
    assert list_variants(config) == [recipe, few, some, many, plain, thin]
    assert list_optimised(config) == [recipe, few, plain]


def test_label_counts_beyond_the_recipes_are_left_out() -> None:
    config = change(micro(), label_counts=(99, 8, 8), size_num_prompts=99)
    assert [one.stage for one in list_by_labels(config)] == ["reward_8", "reward"]
    assert [one.stage for one in list_by_size(config)] == ["reward", "reward_16_layers_1"]


def test_few_labels_are_read_more_than_once() -> None:
    config, out = build_preset("laptop"), Path("out")
    epochs = [one.resolve(config, out).epochs for one in list_by_labels(config)]
    assert epochs == [3.0, 3.0, 2.0, 2.0]
    plain, thin, _ = list_by_size(config)
    assert not plain.resolve(config, out).optimizer.use_muon
    assert plain.resolve(config, out).optimizer.adamw_lr == config.study.plain_lr
    assert thin.resolve(config, out).optimizer == config.reward.optimizer
    seeds = {one.resolve(config, out).seed for one in list_variants(config)}
    assert len(seeds) == len(list_variants(config))


def test_the_first_prompts_comparisons(tmp_path: Path) -> None:
    def pair(number: int, chosen: str) -> PreferencePair:
        return PreferencePair(({"role": "user", "content": f"number {number}?"},), chosen, "no")

    for name, places in (("train", [0, 0, 1, 2]), ("stray_train", [1, 2]), ("val", [0, 1])):
        pairs = [pair(place, f"{name} {at}") for at, place in enumerate(places)]
        save_preferences(tmp_path / f"{name}.jsonl", pairs, extras=[{"prompt_index": n} for n in places])
    train, val = load_first(tmp_path, 2)
    assert [one.chosen for one in train] == ["train 0", "train 1", "train 2", "stray_train 0"]
    assert [one.chosen for one in val] == ["val 0", "val 1"]
    with pytest.raises(DataError, match=r"no comparison of its first 0 prompts.*study\.label_counts"):
        load_first(tmp_path, 0)
    save_preferences(tmp_path / "train.jsonl", [pair(0, "yes")])
    with pytest.raises(DataError, match="not as this version writes it"):
        load_first(tmp_path, 2)


def test_stages_come_after_what_they_need_and_are_named_in_order() -> None:
    config = change(micro(), constitutional_num_prompts=24)
    keys = list_keys(config)  # raises where a stage needs a later one
    names = [
        "grpo", "constitutional", "reward_8", "reward_8_layers_1", "ppo_free", "ppo_free_8", "best_of_n",
        "study",
    ]  # fmt: skip
    assert list(keys) == [*STAGE_SUMMARIES, *names]
    assert list_stages(config, study=True) == (*STAGE_SUMMARIES, *names, "report")
    assert list_stages(config) == (*STAGE_SUMMARIES, "report")
    assert "constitutional" not in list_keys(change(config, constitutional_num_prompts=0))


def test_a_setting_changes_the_keys_of_what_depends_on_it_alone() -> None:
    config = change(micro(), constitutional_num_prompts=24)
    before = list_keys(config)
    for values, changed in (
        ({"free_steps": 5}, {"ppo_free", "ppo_free_8", "study"}),
        ({"grpo_kl_coef": 0.1}, {"grpo", "study"}),
        ({"num_replies": 5}, {"best_of_n"}),
        ({"constitutional_num_prompts": 30}, {"constitutional", "study"}),
    ):
        after = list_keys(change(config, **values))
        assert {name for name in before if before[name] != after[name]} == changed, values
    # the recipe's own KL coefficient is nothing to PPO without it
    after = list_keys(dataclasses.replace(config, ppo=dataclasses.replace(config.ppo, kl_coef=0.2)))
    assert {"ppo", "evaluation", "study"} == {name for name in before if before[name] != after[name]}


def test_ppo_without_its_kl_term_and_grpo_are_otherwise_as_ppo() -> None:
    config, out = build_preset("laptop"), Path("out")
    study = Study(config, out)
    ppo = config.resolve_ppo(out)
    free = study.resolve_free(list_by_labels(config)[0])
    assert (free.kl_coef, free.target_kl, free.steps) == (0.0, None, config.study.free_steps)
    assert free.reward_model.endswith("reward_300")
    assert (free.batch_size, free.value_optimizer) == (ppo.batch_size, ppo.value_optimizer)
    assert (free.optimizer.adamw_lr, free.schedule.kind) == (config.study.free_lr, "constant")
    grpo = study.resolve_grpo()
    assert (grpo.batch_size, grpo.max_new_tokens) == (ppo.batch_size, ppo.max_new_tokens)
    assert (grpo.optimizer, grpo.kl_coef) == (ppo.optimizer, 0.3)
    odd = change(config, grpo_num_prompts=5, grpo_group_size=3)
    assert Study(odd, out).resolve_grpo().minibatch_size == 15  # 32 does not divide it


def test_every_different_reply_is_judged_once_and_every_draw_is_kept(tmp_path: Path) -> None:
    run = write_reward_run(tmp_path / "reward")
    reward_model, tokenizer = load_reward_model(run)
    torch.manual_seed(3)
    words = "abcd\u2028"
    assert tokenizer.vocab_size == CharTokenizer(words, [END_OF_TEXT, *CHAT_TOKENS]).vocab_size
    config = GPTConfig(vocab_size=tokenizer.vocab_size, n_layer=1, n_head=1, n_embd=8, max_seq_len=24)
    writer = Writer(GPT(config), tokenizer, ChatFormat(tokenizer))
    tasks = [
        dataclasses.replace(task, messages=({"role": "user", "content": text},))
        for task, text in zip(
            TaskSets(micro(), build_world(micro().build_world_config())).build_for_ppo(),
            ("ab", "cad"),
            strict=False,
        )
    ]
    settings = dataclasses.replace(micro().evaluation, max_new_tokens=2, batch_size=5)
    out = tmp_path / "best_of_n"
    out.mkdir()
    labeller = Labeller()
    write_candidates(out, writer, tasks, {"reward": run}, labeller, num_replies=40, settings=settings, seed=7)
    lines = [json.loads(line) for line in (out / "replies.jsonl").read_text("utf-8").split("\n") if line]
    found = read_candidates(out)
    assert found.gold.shape == found.scores["reward"].shape == (2, 40)
    prompts = writer.encode_prompts([task.messages for task in tasks])
    replies = writer.write(
        [task.messages for task in tasks for _ in range(40)],
        max_new_tokens=2, temperature=1.0, seed=7, batch_size=5,
    )  # fmt: skip
    for number, (task, line) in enumerate(zip(tasks, lines, strict=True)):
        own = replies[40 * number : 40 * (number + 1)]
        assert [line["replies"][place] for place in line["drawn"]] == [reply.text for reply in own]
        assert len(line["replies"]) == len({tuple(reply.ids) for reply in own}) < 40
        assert set(line["drawn"]) == set(range(len(line["replies"])))
        rows = build_reply_rows([prompts[number]] * 40, own, end_id=writer.chat.end_id)  # type: ignore[union-attr]
        assert np.allclose(found.scores["reward"][number], compute_row_scores(reward_model, rows), atol=1e-5)
        golds = [gold_score(task, reply.text).total for reply in own]
        assert found.gold[number].tolist() == golds
        utilities = [labeller.compute_utility(task, reply.text) for reply in own]
        assert found.utility[number].tolist() == pytest.approx(utilities)


def test_constitutional_ai_says_what_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = change(build_preset("smoke"), constitutional_num_prompts=40)
    seen = []

    def run(settings: ConstitutionalConfig, run: RunFolder, **options: object) -> StageResult:
        seen.append((settings, options["resume"]))
        metrics = {"broken": 0.3, "revised": 0.25, "num_pairs": 1200.0, "dpo_val_accuracy": float("nan")}
        return StageResult(
            run=run, step=8, total_steps=8, interrupted=len(seen) == 1, training_s=2.0, num_tokens=1000,
            metrics=metrics,
        )  # fmt: skip

    monkeypatch.setattr(study_stages, "run_constitutional", run)
    gpt = GPT(GPTConfig(vocab_size=16, n_layer=1, n_head=1, n_embd=8, max_seq_len=24))
    monkeypatch.setattr(study_stages, "load_writer", lambda *_: Writer(gpt, CharTokenizer("a"), None))
    study = Study(config, tmp_path)
    (stage,) = [stage for stage in study.build_stages() if stage.name == "constitutional"]
    assert stage.run(tmp_path / "constitutional").interrupted
    outcome = stage.run(tmp_path / "constitutional")
    assert outcome.headline == "30% of replies break a principle, 25% revised; 1,200 pairs"
    assert "dpo_val_accuracy" not in outcome.metrics  # JSON has no NaN
    settings, resume = seen[0]
    assert not resume
    assert (settings.num_revision_prompts, settings.num_pair_prompts, settings.chunk_size) == (40, 40, 10)
    assert settings.init_from == str(tmp_path / "sft")
    assert settings.judge == "world"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"free_steps": 0}, "study.free_steps must be at least 1, got 0"),
        ({"num_replies": 1}, "study.num_replies must be at least 2, got 1"),
        ({"label_counts": ()}, "study.label_counts must name one number"),
        ({"layer_counts": (-1,)}, "study.layer_counts must be at least 0"),
        ({"grpo_kl_coef": -0.1}, "study.grpo_kl_coef must be a number >= 0, got -0.1"),
        ({"plain_lr": 0.0}, "study.plain_lr must be a number > 0, got 0.0"),
        ({"max_epochs": 0.5}, "study.max_epochs must be a number >= 1, got 0.5"),
        ({"constitutional_num_prompts": -1}, "study.constitutional_num_prompts must be at least 0, got -1"),
    ],
)
def test_settings_that_cannot_work(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        StudyConfig(**values)  # type: ignore[arg-type]
