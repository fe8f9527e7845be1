"""Stage evaluation where pairs are given: all models on the same held-out prompts, and on IFEval's items.

    replies.jsonl   a line a prompt: what each stage replied, the reward model's score, the KL from the SFT
                    model; in a micro-world also the gold score
    ifeval.jsonl    a line an item: what each stage replied, and which instructions it followed (strictly)
    summary.json    what the reward model is worth, IFEval's shares, in a micro-world held-out questions

Nothing here needs a world: `tasks` and `questions` are there where there is one.
Read evaluation.py, replying.py and evals/ifeval.py before. Used by given_stages.py and real_stages.py.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nn2llm.core.files import write_bytes_atomic, write_json_atomic
from nn2llm.evals.ifeval import IFEvalReport, IFEvalSet, check_reply, evaluate_ifeval
from nn2llm.evals.reply_scores import compute_row_logps, compute_row_scores
from nn2llm.generation.replies import Reply
from nn2llm.microworld.gold import gold_score
from nn2llm.microworld.task import Task
from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.recipe.costs import Ledger
from nn2llm.recipe.evaluation import POLICIES, answer_questions
from nn2llm.recipe.judging import load_judgement
from nn2llm.recipe.replying import Writer, build_reply_rows, load_writer
from nn2llm.tokenizers.chat import Message
from nn2llm.train.checkpoint import load_reward_model

__all__ = ["GivenEvaluator", "write_item_replies"]

Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GivenEvaluator:
    """Everything that the stage needs to know; `run` does it."""

    config: ChatGPTConfig
    out: Path
    device: torch.device | str
    prompts: Sequence[Sequence[Message]]
    """Each leaves room for a reply."""
    tasks: Sequence[Task] = ()
    """Of the prompts, where a world knows them."""
    questions: Sequence[Task] = ()
    """With one right answer, where there is a world."""
    ifeval: IFEvalSet | None = None

    @property
    def policies(self) -> tuple[str, ...]:
        """The stages that write, in order: those that this recipe has."""
        has_pairs = bool(self.config.given.preferences)
        return POLICIES if has_pairs else tuple(name for name in POLICIES if name in {"base", "sft"})

    @property
    def num_steps(self) -> int:
        """What `progress` counts up to: replies written."""
        num_items = 0 if self.ifeval is None else len(self.ifeval.items)
        return len(self.policies) * (len(self.prompts) + len(self.questions) + num_items)

    def run(self, folder: Path, progress: Progress) -> tuple[dict[str, float], Ledger]:
        """Write all files; returns the metrics and the cost.

        Raises:
            Nn2llmError: if a stage's model is missing or damaged.
        """
        ledger = Ledger()
        lines: list[dict[str, Any]] = [
            {"index": index, "messages": list(prompt), "replies": {}}
            for index, prompt in enumerate(self.prompts)
        ]
        for line, task in zip(lines, self.tasks, strict=False):
            line |= {"kind": task.kind, "group": task.group}
        answered: dict[str, Any] = {}
        followed: dict[str, IFEvalReport] = {}
        items: list[dict[str, Any]] = [
            {"key": item.key, "prompt": item.prompt, "instructions": [name for name, _ in item.instructions],
             "replies": {}}
            for item in (self.ifeval.items if self.ifeval is not None else ())
        ]  # fmt: skip
        for policy in self.policies:
            writer = load_writer(self.out / policy, self.device)
            for line, record in zip(lines, self._write(policy, writer, ledger, progress), strict=True):
                line["replies"][policy] = record
            if self.questions:
                answered[policy] = answer_questions(
                    writer,
                    self.questions,
                    max_new_tokens=self.config.evaluation.max_new_tokens,
                    batch_size=self.config.evaluation.batch_size,
                    ledger=ledger,
                    progress=progress,
                )
            if self.ifeval is not None:
                texts = write_item_replies(
                    writer,
                    [item.prompt for item in self.ifeval.items],
                    max_new_tokens=self.config.given.ifeval_tokens,
                    batch_size=self.config.evaluation.batch_size,
                    ledger=ledger,
                    progress=progress,
                )
                followed[policy] = evaluate_ifeval(self.ifeval.items, texts)
                for line, item, text in zip(items, self.ifeval.items, texts, strict=True):
                    line["replies"][policy] = {"text": text, "followed": check_reply(item, text)}
        has_reward = bool(self.config.given.preferences)
        summary = {
            "num_prompts": len(lines),
            "temperature": self.config.evaluation.temperature,
            "reward": load_judgement(self.out / "reward") if has_reward else None,
            "held_out_questions": answered,
            "ifeval": {policy: asdict(report) for policy, report in followed.items()},
            "ifeval_left_out": 0 if self.ifeval is None else self.ifeval.num_left_out,
        }
        _write_lines(folder / "replies.jsonl", lines)
        if items:
            _write_lines(folder / "ifeval.jsonl", items)
        write_json_atomic(folder / "summary.json", summary)
        return self._collect(lines, followed), ledger

    def describe(self, metrics: Mapping[str, float]) -> str:
        """The stage's headline."""
        parts = []
        for name, title in (("gold", "gold"), ("reward", "reward"), ("ifeval", "IFEval")):
            digits = ".1%" if name == "ifeval" else ".2f"
            found = [
                f"{policy} {metrics[f'{policy}_{name}']:{digits}}"
                for policy in self.policies
                if f"{policy}_{name}" in metrics
            ]
            if found:
                parts.append(f"{title}: {', '.join(found)}")
        return "; ".join(parts) or f"{len(self.prompts):,} prompts replied to"

    def _collect(
        self, lines: Sequence[Mapping[str, Any]], followed: Mapping[str, IFEvalReport]
    ) -> dict[str, float]:
        metrics: dict[str, float] = {}
        for policy in self.policies:
            for name in ("gold", "reward", "kl"):
                values = [line["replies"][policy].get(name) for line in lines]
                if values and None not in values:
                    metrics[f"{policy}_{name}"] = float(np.mean(values))
            if policy in followed:
                metrics[f"{policy}_ifeval"] = followed[policy].prompt_strict.estimate
        return metrics

    def _write(self, policy: str, writer: Writer, ledger: Ledger, progress: Progress) -> list[dict[str, Any]]:
        """One reply a prompt, with everything that is known of it."""
        evaluation = self.config.evaluation
        replies = writer.write(
            self.prompts,
            max_new_tokens=evaluation.max_new_tokens,
            temperature=evaluation.temperature,
            # one seed for all stages: where two models agree, they write the same
            seed=self.config.derive_seed("evaluation replies"),
            batch_size=evaluation.batch_size,
            progress=progress,
            ledger=ledger,
        )
        rewards, kls = self._score(policy, writer, replies, ledger)
        records: list[dict[str, Any]] = [
            {
                "text": reply.text,
                "reward": reward,
                "kl": kl,
                "num_tokens": len(reply.ids),
                "finished": reply.finished,
            }
            for reply, reward, kl in zip(replies, rewards, kls, strict=True)
        ]
        for record, task in zip(records, self.tasks, strict=False):
            gold = gold_score(task, record["text"])
            record |= {"gold": gold.total, "parts": dict(gold.parts)}
        return records

    def _score(
        self, policy: str, writer: Writer, replies: Sequence[Reply], ledger: Ledger
    ) -> tuple[Sequence[float | None], Sequence[float | None]]:
        """Reward of each reply, and log p(reply) less that of the SFT model; None where there is none."""
        nothing: list[float | None] = [None] * len(replies)
        if writer.chat is None:
            return nothing, nothing
        prompts = writer.encode_prompts(self.prompts)
        num_tokens = sum(map(len, prompts)) + sum(len(reply.ids) for reply in replies)
        rewards: Sequence[float | None] = nothing
        if self.config.given.preferences:
            reward_model, _ = load_reward_model(self.out / "reward", device=self.device)
            ended = build_reply_rows(prompts, replies, end_id=writer.chat.end_id)
            rewards = compute_row_scores(reward_model, ended).tolist()
            ledger.score(reward_model, num_tokens)
        if policy in {"base", "sft"}:
            return rewards, [0.0] * len(replies) if policy == "sft" else nothing
        reference = load_writer(self.out / "sft", self.device).model
        rows = build_reply_rows(prompts, replies)
        kls = compute_row_logps(writer.model, rows) - compute_row_logps(reference, rows)
        ledger.read(reference.config, 2 * num_tokens)
        return rewards, kls.tolist()


def write_item_replies(
    writer: Writer,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    batch_size: int,
    ledger: Ledger | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """The most probable reply to each prompt; "" to one that leaves no room in the context."""
    asked: list[list[Message]] = [[{"role": "user", "content": prompt}] for prompt in prompts]
    context = writer.model.config.max_seq_len
    fits = [len(_encode(writer, one)) < context for one in asked]
    if not any(fits):
        return [""] * len(fits)
    replies = writer.write(
        [one for one, there_is_room in zip(asked, fits, strict=True) if there_is_room],
        max_new_tokens=max_new_tokens,
        temperature=0.0,
        seed=0,
        batch_size=batch_size,
        progress=progress,
        ledger=ledger,
    )
    texts = iter(replies)
    return [next(texts).text if there_is_room else "" for there_is_room in fits]


def _encode(writer: Writer, prompt: Sequence[Message]) -> Sequence[int]:
    if writer.chat is not None:
        return writer.chat.encode(prompt, add_generation_prompt=True).ids
    return writer.encode_prompts([prompt])[0]


def _write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_bytes_atomic(path, text.encode())
