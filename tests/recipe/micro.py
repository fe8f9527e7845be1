"""The smallest recipe, and the command that runs it in a process of its own (conftest.py gives SPEC)."""

import os
import sys

from nn2llm.models.gpt_config import GPTConfig
from nn2llm.optim.combined import OptimizerConfig
from nn2llm.recipe.config import (
    ChatGPTConfig,
    CheckConfig,
    DemonstrationsConfig,
    EvaluationConfig,
    PreferencesConfig,
)
from nn2llm.recipe.study_config import StudyConfig
from nn2llm.train.dpo_config import DPOConfig
from nn2llm.train.ppo_config import PPOConfig
from nn2llm.train.pretrain_config import PretrainConfig
from nn2llm.train.reward_config import RewardConfig
from nn2llm.train.session import MachineConfig
from nn2llm.train.sft_config import SFTConfig


def micro() -> ChatGPTConfig:
    """Every stage once, in a second each, for tests."""
    return ChatGPTConfig(
        world="microworld:people=15,megabytes=1",
        machine=MachineConfig(device="cpu", precision="fp32", num_threads=1),
        pretrain=PretrainConfig(
            vocab_size=400,
            model=GPTConfig(n_layer=1, n_head=2, n_embd=32, max_seq_len=160),
            optimizer=OptimizerConfig(muon_lr=0.03, adamw_lr=0.01, embedding_lr=0.1),
            document_mask=True,
            steps=24,
            batch_size=8,
            eval_every=12,
            eval_tokens=2000,
            sample_every=0,
            checkpoint_every=4,
        ),
        demonstrations=DemonstrationsConfig(num_tasks=80, num_val_tasks=8),
        sft=SFTConfig(batch_size=4, steps=20, eval_every=10, sample_tokens=8, checkpoint_every=4),
        preferences=PreferencesConfig(
            num_prompts=16, num_val_prompts=8, replies_per_prompt=3, max_new_tokens=16, batch_size=24
        ),
        reward=RewardConfig(batch_size=12, steps=12, eval_every=6, checkpoint_every=3),
        num_ppo_prompts=16,
        ppo=PPOConfig(
            init_from="",
            reward_model="",
            steps=5,
            batch_size=8,
            minibatch_size=4,
            max_new_tokens=16,
            sample_every=2,
            checkpoint_every=2,
        ),
        dpo=DPOConfig(batch_size=12, steps=12, eval_every=6, sample_tokens=8, checkpoint_every=3),
        checks=CheckConfig(num_prompts=8, num_questions=8, max_new_tokens=16),
        evaluation=EvaluationConfig(
            num_prompts=12, num_questions=8, num_probe_items=4, max_new_tokens=16, batch_size=12
        ),
        study=StudyConfig(
            grpo_steps=4,
            grpo_num_prompts=4,
            grpo_group_size=2,
            free_steps=4,
            label_counts=(8,),
            layer_counts=(1,),
            size_num_prompts=8,
            constitutional_num_prompts=0,  # its replies are all cut
            num_prompts=6,
            num_replies=4,
        ),
    )


def run_command(spec: dict[str, object]) -> int:
    """`nn2llm chatgpt` with `--preset micro`, its output in files."""
    for descriptor, path in ((1, spec["stdout"]), (2, spec["stderr"])):
        target = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(target, descriptor)
        os.close(target)
    os.environ.update(spec["environment"])  # type: ignore[call-overload]
    os.chdir(str(spec["folder"]))

    from nn2llm.cli import chatgpt
    from nn2llm.recipe.presets import PRESETS
    from nn2llm.train import starting

    # takes a second, and only `mfu` depends on it
    starting.measure_matmul_speed = lambda device, dtype: 1e11  # type: ignore[assignment]
    PRESETS["micro"] = micro
    return chatgpt.main(spec["argv"])  # type: ignore[arg-type]


if "SPEC" in globals():  # given by runpy
    sys.exit(run_command(globals()["SPEC"]))
