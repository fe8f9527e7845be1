"""Stage evaluation: every model on tasks that none has seen, base on its text.

    replies.jsonl   a line a prompt: what each stage replied, its gold score, the labeller's utility, the
                    reward model's score and the KL from the SFT model
    summary.json    base against the floor, probes, held-out questions, what judging.py found

All figures of the report come from these two files; report.py computes means and intervals.
Read task_sets.py and judging.py before. Used by stages.py.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nn2llm.core.files import write_bytes_atomic, write_json_atomic
from nn2llm.data.corpora import load_corpus
from nn2llm.evals.floor import FloorComparison, read_documents
from nn2llm.evals.intervals import wilson_interval
from nn2llm.evals.microworld_probes import MicroworldReport, ModelScorer, probe_microworld
from nn2llm.evals.reply_scores import compute_row_logps, compute_row_scores
from nn2llm.generation.replies import Reply
from nn2llm.microworld import World
from nn2llm.microworld.gold import gold_score
from nn2llm.microworld.labellers import Labeller
from nn2llm.microworld.task import Task
from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.recipe.costs import Ledger
from nn2llm.recipe.judging import load_judgement
from nn2llm.recipe.replying import Writer, build_reply_rows, load_writer
from nn2llm.recipe.task_sets import TaskSets, list_messages
from nn2llm.train.checkpoint import load_reward_model

__all__ = ["POLICIES", "Evaluator", "answer_questions", "summarise_floor"]

POLICIES = ("base", "sft", "ppo", "dpo")
"""The stages that write replies."""

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluator:
    """Everything that the stage needs to know; `run` does it."""

    config: ChatGPTConfig
    out: Path
    world: World
    device: torch.device | str = "cpu"

    @property
    def num_steps(self) -> int:
        """What `progress` counts up to: replies written."""
        evaluation = self.config.evaluation
        return len(POLICIES) * (evaluation.num_prompts + evaluation.num_questions)

    def run(self, folder: Path, progress: Progress) -> tuple[dict[str, float], Ledger]:
        """Write both files; returns the metrics and the cost.

        Raises:
            Nn2llmError: if a stage's model is missing or damaged, or a prompt leaves no room in the context.
        """
        ledger = Ledger()
        sets = TaskSets(self.config, self.world)
        tasks, questions = sets.build_for_evaluation(), sets.build_questions()
        lines: list[dict[str, Any]] = [
            {
                "index": index,
                "kind": task.kind,
                "group": task.group,
                "messages": list(list_messages(task)),
                "replies": {},
            }
            for index, task in enumerate(tasks)
        ]
        answered: dict[str, Any] = {}
        for policy in POLICIES:
            writer = load_writer(self.out / policy, self.device)
            records = self._write_replies(policy, writer, tasks, ledger, progress)
            for line, record in zip(lines, records, strict=True):
                line["replies"][policy] = record
            answered[policy] = answer_questions(
                writer,
                questions,
                max_new_tokens=self.config.evaluation.max_new_tokens,
                batch_size=self.config.evaluation.batch_size,
                ledger=ledger,
                progress=progress,
            )
        report = self._probe(ledger)
        summary = {
            "world": self.config.world_spec,
            "num_prompts": len(tasks),
            "temperature": self.config.evaluation.temperature,
            "floor": summarise_floor(report.floor[-1]),
            "probes": _summarise_probes(report),
            "held_out_questions": answered,
            "reward": load_judgement(self.out / "reward")
            | {"control": load_judgement(self.out / "reward_control")},
        }
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        write_bytes_atomic(folder / "replies.jsonl", text.encode())
        write_json_atomic(folder / "summary.json", summary)
        metrics = {
            f"{policy}_gold": float(np.mean([line["replies"][policy]["gold"] for line in lines]))
            for policy in POLICIES
        }
        return metrics, ledger

    def _write_replies(
        self, policy: str, writer: Writer, tasks: Sequence[Task], ledger: Ledger, progress: Progress
    ) -> list[dict[str, Any]]:
        """One reply a task, with everything that is known of it."""
        evaluation = self.config.evaluation
        prompts = [list_messages(task) for task in tasks]
        replies = writer.write(
            prompts,
            max_new_tokens=evaluation.max_new_tokens,
            temperature=evaluation.temperature,
            # one seed for all stages: where two models agree, they write the same
            seed=self.config.derive_seed("evaluation replies"),
            batch_size=evaluation.batch_size,
            progress=progress,
            ledger=ledger,
        )
        rewards, kls = self._score(policy, writer, writer.encode_prompts(prompts), replies, ledger)
        labeller = Labeller(self.config.preferences.labeller)
        records = []
        for task, reply, reward, kl in zip(tasks, replies, rewards, kls, strict=True):
            gold = gold_score(task, reply.text)
            records.append(
                {
                    "text": reply.text,
                    "gold": gold.total,
                    "parts": dict(gold.parts),
                    "utility": labeller.compute_utility(task, reply.text),
                    "reward": reward,
                    "kl": kl,
                    "num_tokens": len(reply.ids),
                    "finished": reply.finished,
                }
            )
        return records

    def _score(
        self,
        policy: str,
        writer: Writer,
        prompts: Sequence[Sequence[int]],
        replies: Sequence[Reply],
        ledger: Ledger,
    ) -> tuple[Sequence[float | None], Sequence[float | None]]:
        """Reward of each reply, and log p(reply) less that of the SFT model; None for base."""
        if writer.chat is None:
            return [None] * len(replies), [None] * len(replies)
        num_tokens = sum(map(len, prompts)) + sum(len(reply.ids) for reply in replies)
        reward_model, _ = load_reward_model(self.out / "reward", device=self.device)
        ended = build_reply_rows(prompts, replies, end_id=writer.chat.end_id)
        rewards = compute_row_scores(reward_model, ended).tolist()
        ledger.score(reward_model, num_tokens)
        if policy == "sft":
            return rewards, [0.0] * len(replies)
        reference = load_writer(self.out / "sft", self.device).model
        rows = build_reply_rows(prompts, replies)
        kls = compute_row_logps(writer.model, rows) - compute_row_logps(reference, rows)
        ledger.read(reference.config, 2 * num_tokens)
        return rewards, kls.tolist()

    def _probe(self, ledger: Ledger) -> MicroworldReport:
        """The floor, and what the base model knows."""
        writer = load_writer(self.out / "base", self.device)
        scorer = ModelScorer(model=writer.model, tokenizer=writer.tokenizer)
        texts = list(load_corpus(self.config.world_spec).documents("val"))
        ledger.read(writer.model.config, sum(map(len, writer.tokenizer.encode_batch(texts))))
        return probe_microworld(
            scorer,
            self.world,
            read_documents(self.world, texts),
            num_items=self.config.evaluation.num_probe_items,
            seed=self.config.derive_seed("probes"),
        )


def answer_questions(
    writer: Writer,
    questions: Sequence[Task],
    *,
    max_new_tokens: int,
    batch_size: int,
    ledger: Ledger | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """How many questions with one right answer the most probable reply answers rightly."""
    replies = writer.write(
        [list_messages(task) for task in questions],
        max_new_tokens=max_new_tokens,
        temperature=0.0,
        seed=0,
        batch_size=batch_size,
        progress=progress,
        ledger=ledger,
    )
    right = sum(
        gold_score(task, reply.text).parts["right"] for task, reply in zip(questions, replies, strict=True)
    )
    share = wilson_interval(right, len(questions))
    return {"accuracy": share.estimate, "low": share.low, "high": share.high, "count": len(questions)}


def summarise_floor(comparison: FloorComparison) -> dict[str, float]:
    """Base against the floor, over all genres."""
    return {
        "nats_per_document": comparison.model_nats.estimate,
        "floor_nats_per_document": comparison.floor_nats.estimate,
        "percent_above": 100 * (comparison.ratio.estimate - 1),
        "bits_per_byte": comparison.model_bits_per_byte.estimate,
        "floor_bits_per_byte": comparison.floor_bits_per_byte.estimate,
    }


def _summarise_probes(report: MicroworldReport) -> list[dict[str, Any]]:
    return [
        {
            "name": probe.probe,
            "kind": kind.kind,
            "accuracy": kind.accuracy.estimate,
            "low": kind.accuracy.low,
            "high": kind.accuracy.high,
            "chance": kind.chance,
            "count": kind.num_items,
        }
        for probe in report.probes
        for kind in probe.kinds
    ]
