"""What the recipe is started with: one config of everything, saved as OUT/config.json.

Folders, seeds, devices and data of the stages are the recipe's own business: `resolve_*` fill them in, and
`refuse_foreign_settings` names the flags that try to. Read before stages.py; presets.py holds named configs.
"""

import dataclasses
import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from nn2llm.core.config_io import config_differences
from nn2llm.core.errors import ConfigError
from nn2llm.microworld import WorldConfig, format_world_spec, parse_world_spec
from nn2llm.microworld.demonstrations import DemonstrationConfig
from nn2llm.microworld.labellers import LabellerConfig
from nn2llm.recipe.given_config import GivenConfig
from nn2llm.recipe.study_config import StudyConfig
from nn2llm.train.dpo_config import DPOConfig
from nn2llm.train.ppo_config import PPOConfig
from nn2llm.train.pretrain_config import MAX_SEED, PretrainConfig
from nn2llm.train.reward_config import RewardConfig
from nn2llm.train.session import MachineConfig
from nn2llm.train.sft_config import SFTConfig

__all__ = [
    "NO_WORLD",
    "ChatGPTConfig",
    "CheckConfig",
    "DemonstrationsConfig",
    "EvaluationConfig",
    "PreferencesConfig",
    "refuse_foreign_settings",
]


NO_WORLD = "none"
"""`world` where text, conversations and preferences are given."""


def _check_counts(config: object, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ConfigError(f"{name} must be at least 1, got {getattr(config, name)}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class DemonstrationsConfig:
    """What SFT learns from: tasks, and replies to them, most of which are good."""

    num_tasks: int = 4000
    """Tasks to learn from, each with a reply."""
    num_val_tasks: int = 200
    """Held-out tasks, for the held-out loss."""
    chained: float = 0.25
    """Part of the tasks that stand in one conversation with the one before, whatever that was about: a model
    that has only seen fresh conversations repeats itself in the midst of a long one."""
    rewriting: float = 1.0
    """How many times as often as users will ask for it a sentence to rewrite is demonstrated. To copy what
    stands in the prompt is what a small model learns last, and all at once."""
    helpers: DemonstrationConfig = field(default_factory=DemonstrationConfig)
    """Who wrote the replies: how often they are careless, bluff, flatter or help to harm."""

    def __post_init__(self) -> None:
        _check_counts(self, "num_tasks", "num_val_tasks")
        if not 0 <= self.chained < 1:
            raise ConfigError(f"chained must be in [0, 1), got {self.chained}. Typical: 0.25.")
        if not 0 < self.rewriting < math.inf:
            raise ConfigError(f"rewriting must be a number > 0, got {self.rewriting}. Typical: 1 to 3.")


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferencesConfig:
    """What the reward model and DPO learn from: replies of the SFT model, and what a labeller prefers."""

    num_prompts: int = 2500
    """Prompts to learn from."""
    num_val_prompts: int = 800
    """Held-out prompts, whose pairs measure the reward model."""
    replies_per_prompt: int = 4
    """Replies to each, of which all different ones are compared two by two."""
    stray_replies: int = 1
    """Replies to other kinds of prompts that each prompt's own are compared with as well, for the reward
    model alone: it must learn that what is right for one prompt is wrong for another."""
    temperature: float = 1.0
    """At which they are drawn."""
    max_new_tokens: int = 48
    """Tokens a reply at most."""
    batch_size: int = 128
    """Replies written at once."""
    labeller: LabellerConfig = field(default_factory=LabellerConfig)
    """Who chooses: by what is good, with noise, and with a liking for what is not."""

    def __post_init__(self) -> None:
        _check_counts(self, "num_prompts", "num_val_prompts", "max_new_tokens", "batch_size")
        if self.replies_per_prompt < 2:
            raise ConfigError(
                f"replies_per_prompt must be at least 2, to compare them; got {self.replies_per_prompt}."
            )
        if self.stray_replies < 0:
            raise ConfigError(f"stray_replies must be at least 0, got {self.stray_replies}.")
        if not self.temperature > 0:
            raise ConfigError(
                f"temperature must be above 0, got {self.temperature}: at 0 all replies are equal."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckConfig:
    """A short look at a stage's model as it ends, for its headline; the report has stage evaluation."""

    num_prompts: int = 200
    """Held-out tasks, replied to at temperature 1."""
    num_questions: int = 200
    """Held-out questions, answered by the most probable reply."""
    max_new_tokens: int = 48
    """Tokens a reply at most."""

    def __post_init__(self) -> None:
        _check_counts(self, "num_prompts", "num_questions", "max_new_tokens")


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    """What all models are asked in the end."""

    num_prompts: int = 1000
    """Held-out tasks that each stage replies to."""
    num_questions: int = 300
    """Held-out questions with one right answer."""
    num_probe_items: int = 200
    """Items a probe of the base model."""
    temperature: float = 1.0
    """At which replies are drawn. The KL is that of the models themselves only at 1."""
    max_new_tokens: int = 48
    """Tokens a reply at most."""
    batch_size: int = 128
    """Replies written at once."""

    def __post_init__(self) -> None:
        _check_counts(self, "num_questions", "num_probe_items", "max_new_tokens", "batch_size")
        if self.num_prompts < 2:
            raise ConfigError(f"num_prompts must be at least 2, got {self.num_prompts}.")
        if not self.temperature >= 0:
            raise ConfigError(f"temperature must be a number >= 0, got {self.temperature}. Typical: 1.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatGPTConfig:
    """The whole recipe, from raw text to an aligned chat model."""

    world: Annotated[str, arg(metavar="SPEC")] = "microworld:people=16,megabytes=9"
    """The micro-world that the models know, such as microworld:seed=1,people=20,megabytes=10. none: real
    data, and no gold score."""
    given: Annotated[GivenConfig, arg(name="")] = field(default_factory=GivenConfig)
    """What is not made here."""
    name: Annotated[str | None, arg(metavar="NAME")] = None
    """Your name: you move into that village. Asked for on a terminal."""
    trade: Annotated[str | None, arg(metavar="TRADE")] = None
    """What you do, such as baker or software engineer."""
    pronoun: str = "they"
    """she, he or they."""
    seed: int = 1
    """Of everything that is drawn in every stage."""
    machine: MachineConfig = field(default_factory=MachineConfig)
    """Where every stage computes."""
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    """Stage base: predict the village's texts."""
    demonstrations: DemonstrationsConfig = field(default_factory=DemonstrationsConfig)
    """What stage sft learns from."""
    sft: SFTConfig = field(default_factory=SFTConfig)
    """Stage sft: answer as the demonstrations do."""
    preferences: PreferencesConfig = field(default_factory=PreferencesConfig)
    """Stage preferences: replies, and which of two a labeller prefers."""
    reward: RewardConfig = field(default_factory=RewardConfig)
    """Stages reward and reward_control: predict the labeller's choice."""
    control_epochs: float | None = None
    """Times through the pairs in stage reward_control, which only has to show that biases come from the
    labels. Default: those of reward."""
    num_ppo_prompts: int = 4000
    """Prompts of stage ppo."""
    ppo: PPOConfig = field(default_factory=lambda: PPOConfig(init_from="", reward_model=""))
    """Stage ppo: write what the reward model scores high, near the SFT model."""
    dpo: DPOConfig = field(default_factory=DPOConfig)
    """Stage dpo: learn from the pairs directly."""
    checks: CheckConfig = field(default_factory=CheckConfig)
    """After stages sft, ppo and dpo."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """Stage evaluation: all models on tasks that none has seen."""
    study: StudyConfig = field(default_factory=StudyConfig)
    """What --study adds."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MAX_SEED:
            raise ConfigError(f"seed must be between 0 and {MAX_SEED}, got {self.seed}.")
        _check_counts(self, "num_ppo_prompts")
        if self.control_epochs is not None and not self.control_epochs > 0:
            raise ConfigError(
                f"control_epochs must be positive, got {self.control_epochs}. Typical: 0.5 to 1."
            )
        # a given base has a context of its own (sources.py looks)
        context = math.inf if self.given.base is not None else self.pretrain.model.max_seq_len
        for name in ("preferences", "ppo", "checks", "evaluation"):
            length = getattr(self, name).max_new_tokens
            if length >= context:
                raise ConfigError(
                    f"{name}.max_new_tokens is {length}, which leaves no room for a prompt in a context of "
                    f"{context} tokens. Set --{name}.max-new-tokens {context // 2} or a larger "
                    "--pretrain.model.max-seq-len."
                )
        if self.has_world:
            self.build_world_config()

    @property
    def has_world(self) -> bool:
        """Whether there is a micro-world, which knows the truth."""
        return self.world != NO_WORLD

    @property
    def is_judged_by_world(self) -> bool:
        """Whether everything that is measured comes from the micro-world, its labeller included."""
        return self.has_world and not self.given.preferences

    def build_world_config(self) -> WorldConfig:
        """The world, with the learner in it.

        Raises:
            ConfigError: if the world's name, or the learner's name or trade, does not work.
        """
        world = parse_world_spec(self.world)
        if self.name is None and self.trade is None:
            return world
        return dataclasses.replace(world, name=self.name, trade=self.trade, pronoun=self.pronoun)

    @property
    def world_spec(self) -> str:
        """The name of that world as a corpus."""
        if not self.has_world:
            return NO_WORLD
        return format_world_spec(self.build_world_config())

    def derive_seed(self, purpose: str) -> int:
        """A seed of its own for each purpose: what one stage draws says nothing about another's."""
        digest = hashlib.sha256(f"{self.seed} {purpose}".encode()).digest()
        return int.from_bytes(digest[:4], "big") % (MAX_SEED + 1)

    # --- the stages' configs, with what the recipe decides filled in ----------------------------------------

    def resolve_pretrain(self) -> PretrainConfig:
        """Of stage base."""
        return dataclasses.replace(
            self.pretrain,
            corpus=self.given.corpus or self.world_spec,
            seed=self.derive_seed("base"),
            device=self.machine.device,
            precision=self.machine.precision,
            num_threads=self.machine.num_threads,
        )

    def resolve_sft(self, out: Path) -> SFTConfig:
        """Of stage sft."""
        return dataclasses.replace(
            self.sft,
            init_from=str(out.absolute() / "base"),
            replay=self.world_spec if self.has_world else None,
            seed=self.derive_seed("sft"),
            machine=self.machine,
        )

    def resolve_reward(self, out: Path) -> RewardConfig:
        """Of stage reward."""
        return dataclasses.replace(
            self.reward,
            init_from=str(out.absolute() / "sft"),
            seed=self.derive_seed("reward"),
            machine=self.machine,
        )

    def resolve_reward_control(self, out: Path) -> RewardConfig:
        """Of stage reward_control."""
        config = self.resolve_reward(out)
        return (
            config if self.control_epochs is None else dataclasses.replace(config, epochs=self.control_epochs)
        )

    def resolve_ppo(self, out: Path) -> PPOConfig:
        """Of stage ppo."""
        return dataclasses.replace(
            self.ppo,
            init_from=str(out.absolute() / "sft"),
            reward_model=str(out.absolute() / "reward"),
            seed=self.derive_seed("ppo"),
            machine=self.machine,
        )

    def resolve_dpo(self, out: Path) -> DPOConfig:
        """Of stage dpo."""
        return dataclasses.replace(
            self.dpo,
            init_from=str(out.absolute() / "sft"),
            seed=self.derive_seed("dpo"),
            machine=self.machine,
        )


_DECIDED_HERE = {
    "corpus": "--world, or --corpus for real text",
    "device": "--machine.device",
    "precision": "--machine.precision",
    "num_threads": "--machine.num-threads",
    "seed": "--seed",
}
_STAGES = ("pretrain", "sft", "reward", "ppo", "dpo")
_DATA = ("init_from", "reward_model", "data", "val_data", "replay", "prompts", "pairs", "val_pairs")


def refuse_foreign_settings(given: ChatGPTConfig, base: ChatGPTConfig) -> None:
    """Refuse flags of a stage that the recipe sets itself: they would be ignored.

    Raises:
        ConfigError: naming the first, and what to use instead.
    """
    for name in config_differences(base, given):
        stage, *path = name.split(".")
        if stage not in _STAGES or not path:
            continue
        flag = "--" + name.replace("_", "-")
        last = path[-1]
        if last in _DECIDED_HERE and path in ([last], ["machine", last]):
            raise ConfigError(f"{flag} is set by the recipe for all stages. Use {_DECIDED_HERE[last]}.")
        if path == [last] and last in _DATA:
            if stage in ("reward", "dpo"):
                flag = flag.replace("data", "preferences")  # as these stages name it (train/pair_config.py)
            raise ConfigError(f"{flag} is set by the recipe: stages stand on each other. Leave it out.")
