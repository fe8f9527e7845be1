"""The stages that `--study` adds to a recipe: other ways to align its SFT model, and over-optimisation shown.

    grpo                      GRPO against the recipe's reward model
    constitutional            by written principles, without a label
    ppo_free                  PPO against the same reward model without the KL term
    reward_300, …             reward models with fewer labels, or of another size (study_rewards.py)
    ppo_free_300, …           PPO without the KL term against the weakest of them
    best_of_n                 many replies to each prompt, scored by every reward model
    study                     all models on held-out tasks

They lie beside the recipe's own and stand on them, so a study of a finished recipe only adds.
Read stages.py and study_config.py before. Used by recipe.py; study_data.py reads what they leave.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from nn2llm.core.config_io import config_to_dict
from nn2llm.core.progress import TrainingProgress
from nn2llm.core.run_folder import RunFolder
from nn2llm.evals.constitution import load_constitution
from nn2llm.microworld import World, build_world
from nn2llm.microworld.gold import gold_score
from nn2llm.microworld.labellers import Labeller
from nn2llm.microworld.task import Task
from nn2llm.optim.schedules import ScheduleConfig
from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.recipe.costs import Ledger, conclude
from nn2llm.recipe.engine import Stage, StageOutcome
from nn2llm.recipe.judging import judge_reward_model, write_judgement
from nn2llm.recipe.keys import list_settings
from nn2llm.recipe.replying import load_writer
from nn2llm.recipe.report_series import read_course
from nn2llm.recipe.stages import count_up
from nn2llm.recipe.study_best_of_n import read_candidates, write_candidates
from nn2llm.recipe.study_evaluation import StudyEvaluator
from nn2llm.recipe.study_rewards import RewardVariant, list_optimised, list_variants, load_first
from nn2llm.recipe.task_sets import TaskSets, list_messages
from nn2llm.train.checkpoint import load_reward_model
from nn2llm.train.constitutional import run_constitutional
from nn2llm.train.constitutional_config import ConstitutionalConfig
from nn2llm.train.grpo import train_grpo
from nn2llm.train.grpo_config import GRPOConfig
from nn2llm.train.policy_run import Observer
from nn2llm.train.ppo import train_ppo
from nn2llm.train.ppo_config import PPOConfig
from nn2llm.train.reward import train_reward_model
from nn2llm.train.session import choose_machine
from nn2llm.train.stage_result import StageResult

__all__ = ["Study", "name_free_stage"]

_TASKS = ("nn2llm.microworld.tasks", "nn2llm.microworld.gold", "nn2llm.recipe.task_sets")
_LABELLERS = ("nn2llm.microworld.labellers", *_TASKS)


def name_free_stage(variant: RewardVariant) -> str:
    """The stage of PPO without the KL term against this reward model: ppo_free, ppo_free_300."""
    return "ppo_free" + variant.stage.removeprefix("reward")


class Study:
    """The stages of one config's study, in the folder of its recipe.

    Args:
        config: of everything.
        out: the recipe's folder.
        console: where trainers show their progress. None: on standard output.
    """

    def __init__(self, config: ChatGPTConfig, out: Path, console: Console | None = None) -> None:
        self.config, self.out, self.console = config, out, console
        self.variants = list_variants(config)
        self.optimised = list_optimised(config)

    @property
    def policies(self) -> dict[str, str]:
        """Every stage here that makes a chat model → the reward model that it is scored by."""
        by_words = ["constitutional"] if self.config.study.constitutional_num_prompts else []
        free = {name_free_stage(one): one.stage for one in self.optimised}
        return dict.fromkeys(["grpo", *by_words], "reward") | free

    @property
    def stage_names(self) -> list[str]:
        """All of them, in order."""
        return [stage.name for stage in self.build_stages()]

    def build_stages(self) -> list[Stage]:
        """All of them, in order; the recipe's own stages must come before."""
        config = self.config
        shared = {"world": config.world_spec, "seed": config.seed, "machine": list_settings(config.machine)}
        prompts = shared | {"num_prompts": config.num_ppo_prompts}
        labeller = config_to_dict(config.preferences.labeller)
        stages = [
            Stage(
                name="grpo", summary="compares replies to the same prompt", run=self._train_grpo,
                settings=prompts | {"grpo": list_settings(self.resolve_grpo()), "labeller": labeller},
                needs=("sft", "reward"), programs=_LABELLERS,
            ),
            *([self._build_constitutional()] if "constitutional" in self.policies else []),
            *(
                Stage(
                    name=one.stage, summary=_summarise_variant(one), run=partial(self._train_reward, one),
                    settings={"reward": list_settings(one.resolve(config, self.out)),
                              "num_prompts": one.num_prompts},
                    needs=("sft", "preferences"),
                    programs=("nn2llm.recipe.judging", "nn2llm.evals.reward_accuracy"),
                )
                for one in self.variants
                if not one.is_recipe
            ),
            *(
                Stage(
                    name=name_free_stage(one),
                    summary=f"PPO without the KL term{'' if one.is_recipe else f' on {one.stage}'}",
                    run=partial(self._train_free, one),
                    settings=prompts | {"ppo": list_settings(self.resolve_free(one)), "labeller": labeller},
                    needs=("sft", one.stage), programs=_LABELLERS,
                )
                for one in self.optimised
            ),
            Stage(
                name="best_of_n", summary=f"writes {config.study.num_replies} replies, keeps the best",
                run=self._write_candidates,
                settings=shared | {"num_prompts": self._num_prompts, "num_replies": config.study.num_replies,
                                   "evaluation": config_to_dict(config.evaluation), "labeller": labeller},
                needs=("sft", *(one.stage for one in self.variants)), trains=False,
                programs=("nn2llm.recipe.study_best_of_n", *_LABELLERS),
            ),
            Stage(
                name="study", summary="its models, on the tasks of evaluation", run=self._evaluate,
                settings=shared | {"policies": self.policies},
                needs=("evaluation", *self.policies, *(one.stage for one in self.optimised)), trains=False,
                programs=("nn2llm.recipe.study_evaluation", *_LABELLERS),
            ),
        ]  # fmt: skip
        return stages

    def _build_constitutional(self) -> Stage:
        config = self.resolve_constitutional()
        principles = [dataclasses.asdict(one) for one in load_constitution(config.constitution).principles]
        return Stage(
            name="constitutional",
            summary="revises and compares replies by principles",
            run=self._train_constitutional,
            settings={
                "world": self.config.world_spec,
                "constitutional": list_settings(config),
                "principles": principles,
            },
            needs=("sft",),
            programs=("nn2llm.evals.world_judge", *_LABELLERS),
        )

    @cached_property
    def _world(self) -> World:
        return build_world(self.config.build_world_config())

    @cached_property
    def _sets(self) -> TaskSets:
        return TaskSets(self.config, self._world)

    @property
    def _num_prompts(self) -> int:
        return min(self.config.study.num_prompts, self.config.evaluation.num_prompts)

    def _choose_device(self) -> torch.device:
        """Also sets the threads, as in stages.py."""
        return choose_machine(self.config.machine).device

    # --- what is trained with -------------------------------------------------------------------------------

    def resolve_grpo(self) -> GRPOConfig:
        """As PPO in all that both have."""
        config, study = self.config, self.config.study
        ppo = config.resolve_ppo(self.out)
        replies = study.grpo_num_prompts * study.grpo_group_size
        shared = {
            name: getattr(ppo, name)
            for name in (
                "init_from", "reward_model", "num_epochs", "max_new_tokens", "missing_end_penalty",
                "normalise_scores", "clip_range", "optimizer", "schedule", "max_grad_norm", "machine",
                "checkpoint_every",
            )
        }  # fmt: skip
        return GRPOConfig(
            **shared,
            steps=study.grpo_steps,
            num_prompts=study.grpo_num_prompts,
            group_size=study.grpo_group_size,
            minibatch_size=ppo.minibatch_size if replies % ppo.minibatch_size == 0 else replies,
            kl_coef=study.grpo_kl_coef,
            seed=config.derive_seed("grpo"),
        )

    def resolve_constitutional(self) -> ConstitutionalConfig:
        """The micro-world is critic and judge: right nine times out of ten, and never a human."""
        config, num = self.config, self.config.study.constitutional_num_prompts
        return ConstitutionalConfig(
            init_from=str(self.out.absolute() / "sft"),
            num_revision_prompts=num,
            num_pair_prompts=num,
            chunk_size=max(1, min(250, num // 4)),
            max_new_tokens=config.preferences.max_new_tokens,
            batch_size=config.preferences.batch_size,
            seed=config.derive_seed("constitutional"),
            machine=config.machine,
        )

    def resolve_free(self, variant: RewardVariant) -> PPOConfig:
        """The recipe's PPO, but for the KL term and the learning rate."""
        ppo = self.config.resolve_ppo(self.out)
        return dataclasses.replace(
            ppo,
            optimizer=dataclasses.replace(ppo.optimizer, adamw_lr=self.config.study.free_lr),
            schedule=ScheduleConfig(kind="constant"),
            kl_coef=0.0,
            target_kl=None,
            steps=self.config.study.free_steps,
            reward_model=str(self.out.absolute() / variant.stage),
            seed=self.config.derive_seed(name_free_stage(variant)),
        )

    # --- stages that train ----------------------------------------------------------------------------------

    def _train_grpo(self, folder: Path) -> StageOutcome:
        run, (prompts, observe) = RunFolder(folder), self._build_prompts()
        config = self.resolve_grpo()
        result = train_grpo(
            config, run, prompts=prompts, observe=observe, resume=run.exists, console=self.console
        )
        if result.interrupted:
            return StageOutcome(interrupted=True)
        return self._conclude_rl(folder, "reward", result, num_epochs=config.num_epochs, has_value=False)

    def _train_constitutional(self, folder: Path) -> StageOutcome:
        run = RunFolder(folder)
        result = run_constitutional(
            self.resolve_constitutional(), run, resume=run.exists, console=self.console
        )
        if result.interrupted:
            return StageOutcome(interrupted=True)
        ledger = Ledger()
        ledger.train(load_writer(folder).model.config, result.num_tokens)
        metrics = {name: value for name, value in result.metrics.items() if np.isfinite(value)}
        headline = (
            f"{metrics['broken']:.0%} of replies break a principle, {metrics['revised']:.0%} revised; "
            f"{metrics['num_pairs']:,.0f} pairs"
        )
        return conclude(headline, ledger, metrics, result=result)

    def _train_free(self, variant: RewardVariant, folder: Path) -> StageOutcome:
        run, (prompts, observe) = RunFolder(folder), self._build_prompts()
        config = self.resolve_free(variant)
        result = train_ppo(
            config, run, prompts=prompts, observe=observe, resume=run.exists, console=self.console
        )
        if result.interrupted:
            return StageOutcome(interrupted=True)
        return self._conclude_rl(folder, variant.stage, result, num_epochs=config.num_epochs, has_value=True)

    def _build_prompts(self) -> tuple[list[Any], Observer]:
        """The prompts of stage ppo, and what is to be known of the replies to them."""
        tasks = self._sets.build_for_ppo()
        labeller = Labeller(self.config.preferences.labeller)

        def observe(indices: Sequence[int], replies: Sequence[str]) -> dict[str, float]:
            asked = [tasks[index] for index in indices]
            golds = [gold_score(task, reply) for task, reply in zip(asked, replies, strict=True)]
            return {
                "gold": float(np.mean([gold.total for gold in golds])),
                "utility": float(np.mean([*map(labeller.weigh, golds, replies)])),
            }

        return [list_messages(task) for task in tasks], observe

    def _conclude_rl(
        self, folder: Path, reward: str, result: StageResult, *, num_epochs: int, has_value: bool
    ) -> StageOutcome:
        """What came of it, by the replies of the training itself: stage study has the held-out ones."""
        model, ledger = load_writer(folder).model.config, Ledger()
        rollout_tokens = result.num_tokens // num_epochs
        ledger.train(model, result.num_tokens)
        if has_value:
            ledger.train(model, result.num_tokens, has_head=False)
            ledger.read(model, rollout_tokens, has_head=False)
        for _ in range(3):  # written; policy, reference
            ledger.read(model, rollout_tokens)
        ledger.score(load_reward_model(self.out / reward)[0], rollout_tokens)
        course = read_course(RunFolder(folder).metrics_path)
        trends = course.trends if course is not None else {}
        metrics = {name: value for name, value in result.metrics.items() if name in ("gold", "reward", "kl")}
        headline = ", ".join(f"{name} {value:.2f}" for name, value in metrics.items())
        if {"gold", "reward", "kl"} <= set(trends):
            gold, proxy, kl = (trends[name] for name in ("gold", "reward", "kl"))
            best = f" -> {gold.best:.2f}" if gold.has_fallen_back else ""
            headline = (
                f"reward {proxy.start:.2f} -> {proxy.end:.2f}, gold {gold.start:.2f}{best} -> "
                f"{gold.end:.2f}, {kl.end:.1f} nats"
            )
            metrics = {"gold": gold.end, "best_gold": gold.best, "reward": proxy.end, "kl": kl.end}
        return conclude(headline, ledger, metrics, result=result)

    def _train_reward(self, variant: RewardVariant, folder: Path) -> StageOutcome:
        run, preferences = RunFolder(folder), self.out / "preferences"
        pairs, val_pairs = load_first(preferences, variant.num_prompts)
        result = train_reward_model(
            variant.resolve(self.config, self.out),
            run,
            pairs=pairs,
            val_pairs=val_pairs,
            resume=run.exists,
            console=self.console,
        )
        if result.interrupted:
            return StageOutcome(interrupted=True)
        ledger = Ledger()
        ledger.train_reward(load_reward_model(folder)[0], result.num_tokens)
        judgement = judge_reward_model(folder, preferences, device=self._choose_device(), ledger=ledger)
        judgement["num_training_pairs"] = len(pairs)
        write_judgement(folder, judgement)
        metrics = {name: judgement[name] for name in ("accuracy", "expected_accuracy", "best_possible")}
        headline = f"{judgement['accuracy']:.1%} of choices, best possible {judgement['best_possible']:.1%}"
        return conclude(headline, ledger, metrics, result=result)

    # --- stages that are written whole ----------------------------------------------------------------------

    def _write_candidates(self, folder: Path) -> StageOutcome:
        study = self.config.study
        tasks: list[Task] = self._sets.build_for_evaluation()[: self._num_prompts]
        with TrainingProgress(len(tasks) * study.num_replies, self.console) as progress:
            ledger = write_candidates(
                folder,
                load_writer(self.out / "sft", self._choose_device()),
                tasks,
                {one.stage: self.out / one.stage for one in self.variants},
                Labeller(self.config.preferences.labeller),
                num_replies=study.num_replies,
                settings=self.config.evaluation,
                seed=self.config.derive_seed("best of n"),
                progress=count_up(progress),
            )
        found = read_candidates(folder)
        best = np.take_along_axis(found.gold, found.scores["reward"].argmax(axis=1)[:, None], axis=1)
        metrics = {
            "gold_of_one": float(found.gold.mean()),
            "gold_of_best": float(best.mean()),
            "gold_possible": float(found.gold.max(axis=1).mean()),
            "num_different": found.num_different,
        }
        headline = (
            f"gold {metrics['gold_of_one']:.2f} -> {metrics['gold_of_best']:.2f} for the best of "
            f"{study.num_replies}"
        )
        return conclude(headline, ledger, metrics)

    def _evaluate(self, folder: Path) -> StageOutcome:
        evaluator = StudyEvaluator(
            self.config,
            self.out,
            self._sets.build_for_evaluation(),
            self.policies,
            self._choose_device(),
        )
        with TrainingProgress(evaluator.num_steps, self.console) as progress:
            metrics, ledger = evaluator.run(folder, count_up(progress))
        golds = ", ".join(f"{name.removesuffix('_gold')} {value:.2f}" for name, value in metrics.items())
        return conclude(f"gold: {golds}", ledger, metrics)


def _summarise_variant(variant: RewardVariant) -> str:
    labels = f"learns from {variant.num_prompts:,} prompts"
    if "_layers_" not in variant.stage:
        return labels
    layers = variant.num_checking_layers
    size = f"{layers} checking layer{'' if layers == 1 else 's'}" if layers else "a plain score head"
    return f"{labels}, {size}"
