"""The reward models of a study: which there are, and what each learns from.

    reward                 the recipe's own: all labels
    reward_300             the same model, from the comparisons of the first 300 prompts
    reward_3000_layers_0   another size, from the comparisons of the first 3,000

Read preferences.py and study_config.py before. Used by study_stages.py and study_data.py.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from nn2llm.core.errors import DataError
from nn2llm.data.preferences import PreferencePair, load_preferences
from nn2llm.optim.combined import OptimizerConfig
from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.recipe.preferences import list_pair_files
from nn2llm.train.reward_config import RewardConfig

__all__ = ["RewardVariant", "list_by_labels", "list_by_size", "list_optimised", "list_variants", "load_first"]

_NUM_CURVE_PAIRS = 100


@dataclass(frozen=True, slots=True)
class RewardVariant:
    """One reward model."""

    stage: str
    """Its folder."""
    num_prompts: int
    """Of whose comparisons it learns."""
    num_checking_layers: int
    """0: a plain score head."""

    @property
    def is_recipe(self) -> bool:
        """Whether it is the recipe's own."""
        return self.stage == "reward"

    def resolve(self, config: ChatGPTConfig, out: Path) -> RewardConfig:
        """What it is trained with: the recipe's settings, but for its size and its labels."""
        base, study = config.resolve_reward(out), config.study
        optimizer = base.optimizer
        if self.num_checking_layers == 0 and base.num_checking_layers > 0:
            optimizer = OptimizerConfig(use_muon=False, adamw_lr=study.plain_lr, weight_decay=0.0)
        return dataclasses.replace(
            base,
            num_checking_layers=self.num_checking_layers,
            epochs=max(
                base.epochs, min(study.max_epochs, base.epochs * study.size_num_prompts / self.num_prompts)
            ),
            steps=None,
            optimizer=optimizer,
            eval_every=1_000_000,  # at the end alone
            seed=config.derive_seed(self.stage),
        )


def list_by_labels(config: ChatGPTConfig) -> list[RewardVariant]:
    """Of the recipe's size, from few labels to all: the recipe's own is the last."""
    own, total = config.reward.num_checking_layers, config.preferences.num_prompts
    counts = sorted({count for count in config.study.label_counts if count < total})
    return [*(RewardVariant(f"reward_{count}", count, own) for count in counts), _recipe(config)]


def list_by_size(config: ChatGPTConfig) -> list[RewardVariant]:
    """With equal labels, from no checking layers to many; the recipe's size is among them."""
    own, total = config.reward.num_checking_layers, config.preferences.num_prompts
    count = min(config.study.size_num_prompts, total)
    found = []
    for layers in sorted({own, *config.study.layer_counts}):
        if layers == own:
            found.append(_recipe(config) if count == total else RewardVariant(f"reward_{count}", count, own))
        else:
            found.append(RewardVariant(f"reward_{count}_layers_{layers}", count, layers))
    return found


def list_variants(config: ChatGPTConfig) -> list[RewardVariant]:
    """All reward models, the recipe's own first, each once."""
    return list(dict.fromkeys([_recipe(config), *list_by_labels(config), *list_by_size(config)]))


def list_optimised(config: ChatGPTConfig) -> list[RewardVariant]:
    """Those that PPO without the KL term is let loose on: the recipe's, the one with the fewest labels, and
    the smallest."""
    return list(dict.fromkeys([_recipe(config), list_by_labels(config)[0], list_by_size(config)[0]]))


def load_first(preferences: Path, num_prompts: int) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """The comparisons of the first prompts, with their stray pairs; and some held-out ones, for a figure at
    the end. Prompts are drawn at random, so the first are as good as any.

    Raises:
        DataError: if a file is missing or damaged.
    """
    train: list[PreferencePair] = []
    for path in list_pair_files(preferences, "train"):
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line]
        try:
            places = [int(json.loads(line)["prompt_index"]) for line in lines]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path} is not as this version writes it. Delete its folder and run the recipe again."
            ) from error
        pairs = load_preferences(path)
        train += [pair for pair, place in zip(pairs, places, strict=True) if place < num_prompts]
    if not train:
        raise DataError(
            f"{preferences} holds no comparison of its first {num_prompts} prompts. Raise study.label_counts "
            "and study.size_num_prompts."
        )
    return train, load_preferences(preferences / "val.jsonl")[:_NUM_CURVE_PAIRS]


def _recipe(config: ChatGPTConfig) -> RewardVariant:
    return RewardVariant("reward", config.preferences.num_prompts, config.reward.num_checking_layers)
