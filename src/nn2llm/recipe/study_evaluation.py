"""Stage study: the models of the study on the same held-out tasks that stage evaluation asked the others.

    replies.jsonl    a line a prompt: what each model of the study replied, its gold score, the labeller's
                     utility, the KL from the SFT model, and the score of the reward model that it was
                     optimised against; of the SFT model the scores of all these reward models

Replies of sft, ppo and dpo are in evaluation/replies.jsonl, of the same prompts in the same order.
Read evaluation.py before. Used by study_stages.py; study_data.py makes figures of both files.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nn2llm.core.files import write_bytes_atomic
from nn2llm.data.pair_batches import ReplyRow
from nn2llm.evals.reply_scores import compute_row_logps, compute_row_scores
from nn2llm.microworld.gold import gold_score
from nn2llm.microworld.labellers import Labeller
from nn2llm.microworld.task import Task
from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.recipe.costs import Ledger
from nn2llm.recipe.replying import build_reply_rows, load_writer
from nn2llm.recipe.report_series import read_records
from nn2llm.recipe.task_sets import list_messages
from nn2llm.train.checkpoint import load_reward_model

__all__ = ["StudyEvaluator"]

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, eq=False)
class StudyEvaluator:
    """Everything that the stage needs to know; `run` does it."""

    config: ChatGPTConfig
    out: Path
    tasks: Sequence[Task]
    """Those of stage evaluation."""
    policies: Mapping[str, str]
    """Stage of a model → stage of the reward model that it is scored by."""
    device: torch.device | str = "cpu"

    @property
    def num_steps(self) -> int:
        """What `progress` counts up to: replies written."""
        return len(self.policies) * len(self.tasks)

    def run(self, folder: Path, progress: Progress) -> tuple[dict[str, float], Ledger]:
        """Write the file; returns each model's mean gold score, and the cost.

        Raises:
            Nn2llmError: if a stage's model or file is missing or damaged.
        """
        ledger = Ledger()
        lines: list[dict[str, Any]] = [
            {"index": number, "kind": task.kind, "group": task.group, "replies": {}}
            for number, task in enumerate(self.tasks)
        ]
        for line, scores in zip(lines, self._score_sft(ledger), strict=True):
            line["sft_rewards"] = scores
        for policy, reward in self.policies.items():
            for line, record in zip(lines, self._write(policy, reward, ledger, progress), strict=True):
                line["replies"][policy] = record
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_bytes_atomic(folder / "replies.jsonl", text.encode())
        metrics = {
            f"{policy}_gold": float(np.mean([line["replies"][policy]["gold"] for line in lines]))
            for policy in self.policies
        }
        return metrics, ledger

    def _score_sft(self, ledger: Ledger) -> list[dict[str, float]]:
        """Of the SFT model's reply to each task, what each reward model says."""
        records = read_records(self.out / "evaluation" / "replies.jsonl")
        texts = [str(record["replies"]["sft"]["text"]) for record in records]
        writer = load_writer(self.out / "sft")
        assert writer.chat is not None
        prompts = writer.encode_prompts([list_messages(task) for task in self.tasks])
        # What is not quite text may have more tokens when it is read than when it was written.
        room = self.config.evaluation.max_new_tokens - 1
        end_id = writer.chat.end_id
        rows = [
            ReplyRow((*prompt, *writer.tokenizer.encode(text)[:room], end_id), len(prompt))
            for prompt, text in zip(prompts, texts, strict=True)
        ]
        scores: list[dict[str, float]] = [{} for _ in texts]
        for reward in dict.fromkeys(self.policies.values()):
            model, _ = load_reward_model(self.out / reward, device=self.device)
            for line, value in zip(scores, compute_row_scores(model, rows), strict=True):
                line[reward] = float(value)
            ledger.score(model, sum(len(row.ids) for row in rows))
        return scores

    def _write(self, policy: str, reward: str, ledger: Ledger, progress: Progress) -> list[dict[str, Any]]:
        """One reply a task, with everything that is known of it."""
        evaluation = self.config.evaluation
        writer = load_writer(self.out / policy, self.device)
        assert writer.chat is not None
        messages = [list_messages(task) for task in self.tasks]
        replies = writer.write(
            messages,
            max_new_tokens=evaluation.max_new_tokens,
            temperature=evaluation.temperature,
            # the seed of stage evaluation: where two models agree, they write the same
            seed=self.config.derive_seed("evaluation replies"),
            batch_size=evaluation.batch_size,
            progress=progress,
            ledger=ledger,
        )
        prompts = writer.encode_prompts(messages)
        num_tokens = sum(map(len, prompts)) + sum(len(reply.ids) for reply in replies)
        reward_model, _ = load_reward_model(self.out / reward, device=self.device)
        ended = build_reply_rows(prompts, replies, end_id=writer.chat.end_id)
        rewards = compute_row_scores(reward_model, ended)
        ledger.score(reward_model, num_tokens)
        reference = load_writer(self.out / "sft", self.device).model
        rows = build_reply_rows(prompts, replies)
        kls = compute_row_logps(writer.model, rows) - compute_row_logps(reference, rows)
        ledger.read(reference.config, 2 * num_tokens)
        labeller = Labeller(self.config.preferences.labeller)
        records = []
        for task, reply, score, kl in zip(self.tasks, replies, rewards, kls, strict=True):
            gold = gold_score(task, reply.text)
            records.append(
                {
                    "text": reply.text,
                    "gold": gold.total,
                    "utility": labeller.weigh(gold, reply.text),
                    "reward": float(score),
                    "kl": float(kl),
                    "num_tokens": len(reply.ids),
                    "finished": reply.finished,
                }
            )
        return records
