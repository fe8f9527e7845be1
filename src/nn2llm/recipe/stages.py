"""The stages of the recipe: what each depends on, what it calls, and what it says of itself.

    base -> sft -> preferences -> reward, reward_control -> ppo (on reward), dpo -> evaluation

Stages that train call the trainers of train/, which save and resume by themselves; preferences and evaluation
are written whole. After sft, ppo and dpo a short check on held-out tasks gives the headline.
Read engine.py, config.py and task_sets.py before. Used by recipe.py.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from nn2llm.core.config_io import config_to_dict
from nn2llm.core.progress import TrainingProgress
from nn2llm.core.run_folder import RunFolder, read_json_lines
from nn2llm.data.conversations import Conversation
from nn2llm.data.corpora import load_corpus
from nn2llm.data.preferences import PreferencePair, load_preferences
from nn2llm.evals.floor import compare_with_floor, read_documents
from nn2llm.evals.perplexity import score_documents
from nn2llm.generation.replies import encode_prompts
from nn2llm.microworld import World, build_world
from nn2llm.microworld.gold import gold_score
from nn2llm.microworld.labellers import Labeller
from nn2llm.microworld.task import Task
from nn2llm.models.chat_tokens import add_chat_tokens
from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.recipe.costs import Ledger, conclude
from nn2llm.recipe.engine import Stage, StageOutcome, load_record
from nn2llm.recipe.evaluation import Evaluator, answer_questions, summarise_floor
from nn2llm.recipe.judging import judge_reward_model, write_judgement
from nn2llm.recipe.keys import list_settings
from nn2llm.recipe.preferences import list_pair_files, write_preferences
from nn2llm.recipe.replying import Writer, load_writer
from nn2llm.recipe.task_sets import TaskSets, list_messages
from nn2llm.tokenizers.chat import ChatFormat, Message
from nn2llm.train.checkpoint import load_reward_model
from nn2llm.train.dpo import train_dpo
from nn2llm.train.policy_run import Observer
from nn2llm.train.ppo import train_ppo
from nn2llm.train.pretrain import pretrain
from nn2llm.train.reward import train_reward_model
from nn2llm.train.reward_config import RewardConfig
from nn2llm.train.session import choose_machine
from nn2llm.train.sft import finetune
from nn2llm.train.stage_result import StageResult

__all__ = ["STAGE_SUMMARIES", "Recipe", "count_up", "mean_gold"]

STAGE_SUMMARIES: dict[str, str] = {
    "base": "reads the village's texts, token by token",
    "sft": "learns from demonstrations to answer",
    "preferences": "writes replies, and a labeller compares them",
    "reward": "learns what the labeller prefers",
    "reward_control": "the same of a labeller without biases",
    "ppo": "learns to please the reward model",
    "dpo": "learns from the comparisons directly",
    "evaluation": "all models, on tasks that none has seen",
}
"""Name of each stage, in order, and what happens in it."""

_NUM_CURVE_PAIRS = 600
"""Held-out pairs behind the curve of a reward model's or DPO's accuracy."""
_TASKS = ("nn2llm.microworld.tasks", "nn2llm.microworld.gold", "nn2llm.recipe.task_sets")
_JUDGING = ("nn2llm.recipe.judging", "nn2llm.evals.reward_accuracy", "nn2llm.evals.preference_biases")


class Recipe:
    """The stages of one config in one folder.

    Args:
        config: of everything.
        out: the recipe's folder, which has a folder for each stage.
        console: where trainers show their progress.
    """

    def __init__(self, config: ChatGPTConfig, out: Path, console: Console) -> None:
        self.config, self.out, self.console = config, out, console

    @property
    def summaries(self) -> dict[str, str]:
        """Name of each stage, in order, and what happens in it."""
        return dict(STAGE_SUMMARIES)

    def build_stages(self) -> list[Stage]:
        """All of them, in order."""
        config, out = self.config, self.out
        shared = {"world": config.world_spec, "seed": config.seed, "machine": list_settings(config.machine)}
        tasks = shared | {"checks": config_to_dict(config.checks)}

        def stage(
            name: str, run: Callable[[Path], StageOutcome], settings: Mapping[str, Any], **options: Any
        ) -> Stage:
            return Stage(name=name, summary=STAGE_SUMMARIES[name], run=run, settings=settings, **options)

        return [
            stage(
                "base", self._train_base, {"pretrain": list_settings(config.resolve_pretrain())},
                programs=("nn2llm.microworld.world", "nn2llm.data.microworld_corpus"),
            ),
            stage(
                "sft", self._train_sft,
                tasks | {"sft": list_settings(config.resolve_sft(out)),
                         "demonstrations": config_to_dict(config.demonstrations)},
                needs=("base",), programs=("nn2llm.microworld.demonstrations", *_TASKS),
            ),
            stage(
                "preferences", self._write_preferences,
                shared | {"preferences": config_to_dict(config.preferences)},
                needs=("sft",), trains=False,
                programs=("nn2llm.microworld.labellers", "nn2llm.recipe.preferences", *_TASKS),
            ),
            stage(
                "reward", self._train_reward, {"reward": list_settings(config.resolve_reward(out))},
                needs=("sft", "preferences"), programs=_JUDGING,
            ),
            stage(
                "reward_control", self._train_reward_control,
                {"reward": list_settings(config.resolve_reward_control(out))},
                needs=("sft", "preferences"), programs=_JUDGING,
            ),
            stage(
                "ppo", self._train_ppo,
                tasks | {"ppo": list_settings(config.resolve_ppo(out)),
                         "num_prompts": config.num_ppo_prompts},
                needs=("sft", "reward"), programs=("nn2llm.microworld.labellers", *_TASKS),
            ),
            stage(
                "dpo", self._train_dpo, tasks | {"dpo": list_settings(config.resolve_dpo(out))},
                needs=("sft", "preferences"), programs=_TASKS,
            ),
            stage(
                "evaluation", self._evaluate,
                shared | {"evaluation": config_to_dict(config.evaluation)},
                needs=("base", "sft", "preferences", "reward", "reward_control", "ppo", "dpo"), trains=False,
                programs=("nn2llm.microworld.probes", "nn2llm.recipe.evaluation", "nn2llm.recipe.replying",
                          *_TASKS),
            ),
        ]  # fmt: skip

    @cached_property
    def world(self) -> World:
        """The village."""
        return build_world(self.config.build_world_config())

    @cached_property
    def _sets(self) -> TaskSets:
        return TaskSets(self.config, self.world)

    def _choose_device(self) -> torch.device:
        """Also sets the threads: what is computed must not depend on what ran before in this process."""
        return choose_machine(self.config.machine).device

    # --- stages that train ----------------------------------------------------------------------------------

    def _train_base(self, folder: Path) -> StageOutcome:
        run = RunFolder(folder)
        result = pretrain(self.config.resolve_pretrain(), run, resume=run.exists, console=self.console)
        if result.interrupted:
            return StageOutcome(interrupted=True)
        writer = load_writer(folder, self._choose_device())
        headline, metrics = self._measure_base(writer)
        ledger = Ledger()
        ledger.train(writer.model.config, int(read_json_lines(run.metrics_path)[-1]["tokens"]))
        return conclude(
            headline, ledger, metrics | {"val_loss": result.val_loss}, training_s=result.training_s
        )

    def _measure_base(self, writer: Writer) -> tuple[str, dict[str, float]]:
        """Headline and figures of a base model: against the floor."""
        texts = list(load_corpus(self.config.world_spec).documents("val"))
        scores = score_documents(writer.model, writer.tokenizer, texts)
        floor = summarise_floor(compare_with_floor(scores, read_documents(self.world, texts))[-1])
        return f"{floor['percent_above']:.1f}% above the floor", floor

    def _train_sft(self, folder: Path) -> StageOutcome:
        run = RunFolder(folder)
        if not run.exists:
            self._check_room()
        train, val = self._load_demonstrations()
        result = finetune(
            self.config.resolve_sft(self.out),
            run,
            conversations=train,
            val_conversations=val,
            resume=run.exists,
            console=self.console,
        )
        if result.interrupted:
            return StageOutcome(interrupted=True)
        headline, metrics = self._measure_sft(folder, result)
        ledger = Ledger()
        ledger.train(load_writer(folder).model.config, result.num_tokens)
        return conclude(headline, ledger, metrics, result=result)

    def _load_demonstrations(self) -> tuple[list[Conversation], list[Conversation]]:
        """(to learn from, held out)."""
        return self._sets.build_demonstrations()

    def _measure_sft(self, folder: Path, result: StageResult) -> tuple[str, dict[str, float]]:
        """Headline and figures of a fine-tuned model."""
        metrics = self._check(folder)
        return f"held-out questions {metrics['questions']:.0%}, gold {metrics['gold']:.2f}", metrics

    def _check_room(self) -> None:
        """Whether every prompt of the stages to come leaves room for a reply: not said after an hour.

        Raises:
            ConfigError: naming the first that does not.
        """
        writer = load_writer(self.out / "base")
        chat = ChatFormat(add_chat_tokens(writer.model, writer.tokenizer)[1])
        room = self.config.ppo.max_new_tokens
        tasks = [*self._sets.build_for_ppo(), *self._sets.build_for_evaluation()]
        prompts = [list_messages(task) for task in tasks]
        encode_prompts(chat, prompts, max_seq_len=writer.model.config.max_seq_len, room=room)

    def _train_reward(self, folder: Path) -> StageOutcome:
        return self._learn_choices(folder, "", self.config.resolve_reward(self.out))

    def _train_reward_control(self, folder: Path) -> StageOutcome:
        return self._learn_choices(folder, "control_", self.config.resolve_reward_control(self.out))

    def _learn_choices(self, folder: Path, prefix: str, config: RewardConfig) -> StageOutcome:
        run, pairs = RunFolder(folder), self.out / "preferences"
        train_pairs = [
            pair for path in list_pair_files(pairs, "train", prefix) for pair in load_preferences(path)
        ]
        result = train_reward_model(
            config,
            run,
            pairs=train_pairs,
            val_pairs=_load_for_curve(list_pair_files(pairs, "val", prefix)),
            resume=run.exists,
            console=self.console,
        )
        if result.interrupted:
            return StageOutcome(interrupted=True)
        ledger, device = Ledger(), self._choose_device()
        ledger.train_reward(load_reward_model(folder)[0], result.num_tokens)
        judgement = self._judge(folder, prefix, device, ledger)
        judgement["num_training_pairs"] = round(len(train_pairs) * min(1.0, config.epochs))
        write_judgement(folder, judgement)
        names = ("accuracy", "expected_accuracy", "best_possible", "gold_agreement")
        metrics = {name: judgement[name] for name in names if judgement[name] is not None}
        return conclude(self._describe_judgement(judgement), ledger, metrics, result=result)

    def _judge(self, folder: Path, prefix: str, device: torch.device, ledger: Ledger) -> dict[str, Any]:
        """All figures of a reward model on held-out pairs."""
        return judge_reward_model(folder, self.out / "preferences", prefix, device=device, ledger=ledger)

    def _describe_judgement(self, judgement: Mapping[str, Any]) -> str:
        return f"{judgement['accuracy']:.1%} of choices, best possible {judgement['best_possible']:.1%}"

    def _train_ppo(self, folder: Path) -> StageOutcome:
        run = RunFolder(folder)
        config = self.config.resolve_ppo(self.out)
        prompts, observe = self._list_ppo_prompts()
        result = train_ppo(
            config,
            run,
            prompts=prompts,
            observe=observe,
            resume=run.exists,
            console=self.console,
        )
        if result.interrupted:
            return StageOutcome(interrupted=True)
        model, num_tokens = load_writer(folder).model.config, result.num_tokens
        ledger = Ledger()
        ledger.train(model, num_tokens)
        ledger.train(model, num_tokens, has_head=False)  # the value model
        rollout_tokens = num_tokens // config.num_epochs
        for has_head in (True, True, True, False):  # written; policy, reference; value
            ledger.read(model, rollout_tokens, has_head=has_head)
        ledger.score(load_reward_model(self.out / "reward")[0], rollout_tokens)
        return self._conclude_aligned(folder, ledger, result)

    def _list_ppo_prompts(self) -> tuple[Sequence[Sequence[Message]], Observer | None]:
        """What PPO replies to, and what is watched that it does not see."""
        tasks = self._sets.build_for_ppo()
        labeller = Labeller(self.config.preferences.labeller)

        def observe(indices: Sequence[int], replies: Sequence[str]) -> dict[str, float]:
            """The true quality of its replies, and the labeller's opinion."""
            asked = [tasks[index] for index in indices]
            return {
                "gold": mean_gold(asked, replies),
                "utility": float(np.mean([*map(labeller.compute_utility, asked, replies)])),
            }

        return [list_messages(task) for task in tasks], observe

    def _train_dpo(self, folder: Path) -> StageOutcome:
        run, pairs = RunFolder(folder), self.out / "preferences"
        config = self.config.resolve_dpo(self.out)
        result = train_dpo(
            config,
            run,
            pairs=load_preferences(pairs / "train.jsonl"),
            val_pairs=_load_for_curve([pairs / "val.jsonl"]),
            resume=run.exists,
            console=self.console,
        )
        if result.interrupted:
            return StageOutcome(interrupted=True)
        model = load_writer(folder).model.config
        ledger = Ledger()
        ledger.train(model, result.num_tokens)
        epochs = max(1.0, read_json_lines(run.metrics_path)[-1]["epoch"])
        ledger.read(model, round(result.num_tokens / epochs))  # the reference, once
        return self._conclude_aligned(folder, ledger, result)

    def _conclude_aligned(self, folder: Path, ledger: Ledger, result: StageResult) -> StageOutcome:
        """Beside the SFT model, on the same tasks with the same seed."""
        metrics = self._check(folder)
        before = load_record(self.out / "sft")
        headline = f"gold {metrics['gold']:.2f}, held-out questions {metrics['questions']:.0%}"
        if before is not None:
            headline = (
                f"gold {before.metrics['gold']:.2f} -> {metrics['gold']:.2f}, held-out questions "
                f"{before.metrics['questions']:.0%} -> {metrics['questions']:.0%}"
            )
        return conclude(headline, ledger, metrics, result=result)

    def _check(self, folder: Path) -> dict[str, float]:
        """Gold score and right answers on some held-out tasks."""
        checks = self.config.checks
        tasks, questions = self._sets.build_for_checks()
        writer = load_writer(folder, self._choose_device())
        replies = writer.write(
            [list_messages(task) for task in tasks],
            max_new_tokens=checks.max_new_tokens,
            temperature=1.0,
            seed=self.config.derive_seed("evaluation replies"),
            batch_size=len(tasks),
        )
        answers = answer_questions(
            writer, questions, max_new_tokens=checks.max_new_tokens, batch_size=len(questions)
        )
        gold = mean_gold(tasks, [reply.text for reply in replies])
        return {"gold": gold, "questions": answers["accuracy"]}

    # --- stages that are written whole ----------------------------------------------------------------------

    def _write_preferences(self, folder: Path) -> StageOutcome:
        config = self.config.preferences
        train, val = self._sets.build_for_preferences()
        writer = load_writer(self.out / "sft", self._choose_device())
        total = (len(train) + len(val)) * config.replies_per_prompt
        with self._show_progress(total) as progress:
            metrics, ledger = write_preferences(
                folder,
                writer,
                config,
                train=train,
                val=val,
                derive_seed=self.config.derive_seed,
                progress=count_up(progress),
            )
        headline = f"{metrics['train_num_pairs']:,.0f} pairs, {metrics['val_num_pairs']:,.0f} held out"
        if "train_agrees_with_gold" in metrics:
            headline += f", the better reply chosen in {metrics['train_agrees_with_gold']:.0%}"
        return conclude(headline, ledger, metrics)

    def _evaluate(self, folder: Path) -> StageOutcome:
        evaluator = Evaluator(self.config, self.out, self.world, self._choose_device())
        with self._show_progress(evaluator.num_steps) as progress:
            metrics, ledger = evaluator.run(folder, count_up(progress))
        golds = ", ".join(f"{name.removesuffix('_gold')} {value:.2f}" for name, value in metrics.items())
        return conclude(f"gold: {golds}", ledger, metrics)

    def _show_progress(self, total: int) -> TrainingProgress:
        return TrainingProgress(total, self.console)


def count_up(progress: TrainingProgress) -> Callable[[int], None]:
    """What takes how many more are done."""

    def count(more: int) -> None:
        progress.update(progress.step + more)

    return count


def _load_for_curve(paths: Sequence[Path]) -> list[PreferencePair]:
    """Some held-out pairs of each kind, to watch while training; all are judged at the end."""
    each = _NUM_CURVE_PAIRS // len(paths)
    return [pair for path in paths for pair in load_preferences(path)[:each]]


def mean_gold(tasks: Sequence[Task], replies: Sequence[str]) -> float:
    """Of one reply a task."""
    return float(np.mean([gold_score(task, reply).total for task, reply in zip(tasks, replies, strict=True)]))
