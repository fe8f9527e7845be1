"""The stages of a micro-world's recipe that are given: the base model, and the pairs.

`BasedRecipe` takes its base model from elsewhere. `PairedRecipe` takes pairs from files as well: they stand
in the labeller's place, so there is no control, and nothing is known of how sure whoever chose was. The gold
score is still measured.
Read stages.py and sources.py before; real_stages.py goes on from here. Used by building.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from nn2llm.core.config_io import config_to_dict
from nn2llm.core.errors import ConfigError
from nn2llm.core.run_folder import RunFolder
from nn2llm.data.pair_batches import encode_pairs
from nn2llm.data.preferences import load_preferences, save_preferences
from nn2llm.evals.reply_scores import compute_row_scores
from nn2llm.evals.reward_accuracy import evaluate_reward_model
from nn2llm.models.chat_tokens import add_chat_tokens
from nn2llm.recipe.costs import Ledger, conclude
from nn2llm.recipe.engine import Stage, StageOutcome
from nn2llm.recipe.given_evaluation import GivenEvaluator
from nn2llm.recipe.keys import list_settings
from nn2llm.recipe.replying import load_writer
from nn2llm.recipe.sources import GivenData, fingerprint_file
from nn2llm.recipe.stages import Recipe, count_up
from nn2llm.recipe.task_sets import list_messages
from nn2llm.tokenizers.chat import ChatFormat, Message
from nn2llm.train.adopting import adopt_base, fingerprint_base
from nn2llm.train.checkpoint import load_reward_model
from nn2llm.train.policy_run import Observer

__all__ = ["SOURCES", "BasedRecipe", "PairedRecipe"]

SOURCES = ("nn2llm.recipe.sources",)
"""The program that splits what is given."""


class BasedRecipe(Recipe):
    """A recipe that may start from a given base model.

    Raises:
        CheckpointError: if that is neither a run nor a HuggingFace folder.
    """

    @property
    def summaries(self) -> dict[str, str]:
        """Name of each stage, in order, and what happens in it."""
        given = {"base": "takes the given model"} if self.config.given.base is not None else {}
        return super().summaries | given

    def build_stages(self) -> list[Stage]:
        """All of them, in order."""
        stages = super().build_stages()
        if self.data.base is None:
            return stages
        return self._exchange(stages, {"base": self._build_base_stage({"world": self.config.world_spec})})

    def _build_base_stage(self, settings: Mapping[str, Any]) -> Stage:
        assert self.data.base is not None
        return Stage(
            name="base",
            summary=self.summaries["base"],
            run=self._take_base,
            settings={**settings, "base": fingerprint_base(self.data.base)},
            trains=False,
        )

    def _exchange(self, stages: Sequence[Stage], others: Mapping[str, Stage]) -> list[Stage]:
        """The stages of this recipe, in order: some as they were, some others."""
        made = {stage.name: stage for stage in stages} | dict(others)
        return [replace(made[name], summary=summary) for name, summary in self.summaries.items()]

    @property
    def _shared_settings(self) -> dict[str, Any]:
        """What every stage depends on that draws or computes."""
        config = self.config
        return {
            "world": config.world_spec,
            "seed": config.seed,
            "machine": list_settings(config.machine),
        }

    @cached_property
    def data(self) -> GivenData:
        """The files, and the base model."""
        return GivenData(self.config, lambda text: self.console.print(text, markup=False, soft_wrap=True))

    def _take_base(self, folder: Path) -> StageOutcome:
        assert self.data.base is not None
        self.data.read_all()
        adopt_base(self.data.base, RunFolder(folder))
        writer = load_writer(folder, self._choose_device())
        context = writer.model.config.max_seq_len
        for name in ("ppo", "evaluation"):
            length = getattr(self.config, name).max_new_tokens
            if length >= context:
                raise ConfigError(
                    f"{name}.max_new_tokens is {length}, but {self.config.given.base} reads {context} tokens "
                    f"at most, prompt included. Set --{name}.max-new-tokens {max(1, context // 2)}, or give "
                    "a model with a longer context."
                )
        headline, metrics = self._measure_base(writer)
        return conclude(headline, Ledger(), metrics)


class PairedRecipe(BasedRecipe):
    """A recipe whose pairs come from files.

    Raises:
        DataError: if one of them is missing.
    """

    @property
    def summaries(self) -> dict[str, str]:
        """Name of each stage, in order, and what happens in it."""
        given = {
            "preferences": "takes the given pairs, and holds some out",
            "reward": "learns which reply was preferred",
        }
        return {name: text for name, text in (super().summaries | given).items() if name != "reward_control"}

    def build_stages(self) -> list[Stage]:
        """All of them, in order."""
        config, given = self.config, self.config.given
        split = {"val_fraction": given.val_fraction, "skip_unusable": given.skip_unusable}
        files = [fingerprint_file(path) for path in given.preferences]
        asked = None if given.ifeval is None else [fingerprint_file(given.ifeval), given.ifeval_tokens]
        others = {
            "preferences": Stage(
                name="preferences",
                summary="",
                run=self._take_preferences,
                settings=self._shared_settings | {"pairs": split | {"data": files}},
                needs=("sft",),
                programs=SOURCES,
                trains=False,
            ),
            "reward": Stage(
                name="reward",
                summary="",
                run=self._train_reward,
                settings={"reward": list_settings(config.resolve_reward(self.out))},
                needs=("sft", "preferences"),
                programs=("nn2llm.evals.reward_accuracy",),
            ),
            "evaluation": Stage(
                name="evaluation",
                summary="",
                run=self._evaluate,
                settings=self._shared_settings
                | {"evaluation": config_to_dict(config.evaluation), "ifeval": asked},
                needs=tuple(name for name in self.summaries if name != "evaluation"),
                programs=(
                    "nn2llm.recipe.given_evaluation",
                    "nn2llm.evals.ifeval",
                    "nn2llm.evals.ifeval_checks",
                    *SOURCES,
                ),
                trains=False,
            ),
        }
        return self._exchange(super().build_stages(), others)

    def _train_base(self, folder: Path) -> StageOutcome:
        if not RunFolder(folder).exists:
            self.data.read_all()
        return super()._train_base(folder)

    def _check_room(self) -> None:
        super()._check_room()
        writer = load_writer(self.out / "base")
        chat = ChatFormat(add_chat_tokens(writer.model, writer.tokenizer)[1])
        for pairs, what in zip(self.data.pairs, ("pairs", "held-out pairs"), strict=True):
            encode_pairs(pairs, chat, max_seq_len=writer.model.config.max_seq_len, what=what)

    def _take_preferences(self, folder: Path) -> StageOutcome:
        metrics = {}
        for pairs, split in zip(self.data.pairs, ("train", "val"), strict=True):
            save_preferences(folder / f"{split}.jsonl", pairs)
            metrics[f"{split}_num_pairs"] = float(len(pairs))
        headline = f"{metrics['train_num_pairs']:,.0f} pairs, {metrics['val_num_pairs']:,.0f} held out"
        return conclude(headline, Ledger(), metrics)

    def _judge(self, folder: Path, prefix: str, device: torch.device, ledger: Ledger) -> dict[str, Any]:
        model, tokenizer = load_reward_model(folder, device=device)
        pairs = encode_pairs(
            load_preferences(self.out / "preferences" / "val.jsonl"),
            ChatFormat(tokenizer),
            max_seq_len=model.config.max_seq_len,
            what="held-out pairs",
        )
        scores = compute_row_scores(model, pairs.rows)
        ledger.score(model, sum(len(row.ids) for row in pairs.rows))
        gaps = scores[pairs.chosen] - scores[pairs.rejected]
        return evaluate_reward_model(gaps, groups=pairs.prompts).to_dict()

    def _describe_judgement(self, judgement: Mapping[str, Any]) -> str:
        low, high = judgement["accuracy_low"], judgement["accuracy_high"]
        return f"{judgement['accuracy']:.1%} of held-out pairs ({low:.1%} to {high:.1%})"

    def _list_ppo_prompts(self) -> tuple[Sequence[Sequence[Message]], Observer | None]:
        """The gold score is watched; what the simulated labeller thinks does not matter here."""
        prompts, observe = super()._list_ppo_prompts()

        def watch(indices: Sequence[int], replies: Sequence[str]) -> dict[str, float]:
            return {"gold": observe(indices, replies)["gold"]} if observe is not None else {}

        return prompts, watch

    def _evaluate(self, folder: Path) -> StageOutcome:
        evaluator = self._build_evaluator()
        with self._show_progress(evaluator.num_steps) as progress:
            metrics, ledger = evaluator.run(folder, count_up(progress))
        return conclude(evaluator.describe(metrics), ledger, metrics)

    def _build_evaluator(self) -> GivenEvaluator:
        tasks, questions = self._sets.build_for_evaluation(), self._sets.build_questions()
        return GivenEvaluator(
            config=self.config,
            out=self.out,
            device=self._choose_device(),
            prompts=[list_messages(task) for task in tasks],
            tasks=tasks,
            questions=questions,
        )
