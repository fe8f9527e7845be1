"""The data of constitutional AI: replies criticised and revised, and replies compared, chunk by chunk.

A chunk is a function of the settings, the model and its own number. It is written when it is whole, so a run
that was killed goes on at the first one that is missing and comes to the same data.
Read helpers.py and evals/judges.py before. Used by constitutional.py.
Source: Bai et al. 2022, https://arxiv.org/abs/2212.08073, sections 3.1 (critique and revision) and 4.1 (AI
preferences: one principle, drawn at random, for each comparison).
"""

import hashlib
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nn2llm.core.files import read_json
from nn2llm.data.conversations import Conversation
from nn2llm.data.preferences import PreferencePair
from nn2llm.evals.constitution import Principle
from nn2llm.evals.judges import JudgeRequest, Verdict, judge_pairs
from nn2llm.generation.replies import continue_prompts, encode_prompts
from nn2llm.generation.rows import compute_row_seeds
from nn2llm.generation.sampling import SamplingConfig
from nn2llm.microworld.task import Task
from nn2llm.models.gpt import GPT
from nn2llm.tokenizers.chat import ChatFormat, Message
from nn2llm.train.constitutional_config import ConstitutionalConfig
from nn2llm.train.helpers import Draft, Finding, Helper

__all__ = [
    "Chunk",
    "Item",
    "ReplySampler",
    "list_counts",
    "load_chunk",
    "read_conversations",
    "read_pairs",
    "summarise",
    "write_pairs",
    "write_revisions",
]


@dataclass(frozen=True, slots=True)
class Item:
    """A prompt, and the micro-world's task that it is, where it is one."""

    prompt: tuple[Message, ...]
    task: Task | None = None


@dataclass(slots=True)
class Chunk:
    """What a chunk of prompts came to."""

    records: list[dict[str, Any]] = field(default_factory=list)
    """Conversations or pairs, with where they come from."""
    counts: dict[str, int] = field(default_factory=dict)
    """How many prompts, and what happened to them."""

    def count(self, name: str, number: int = 1) -> None:
        """Count one more, or so many."""
        self.counts[name] = self.counts.get(name, 0) + number

    def add(self, other: "Chunk") -> None:
        """Both in one."""
        self.records += other.records
        for name, number in other.counts.items():
            self.count(name, number)


class ReplySampler:
    """The model that is to improve, and how its replies are drawn."""

    def __init__(self, model: GPT, chat: ChatFormat, config: ConstitutionalConfig) -> None:
        self.model, self.chat, self._config = model, chat, config

    def sample(self, prompts: Sequence[Sequence[Message]], purpose: str) -> list[str]:
        """A reply to each prompt; "" in place of one that was cut before its end, or holds a special token,
        which nobody could write.

        It depends on the prompt, its place, the config's seed and the purpose alone.

        Raises:
            ConfigError: if a prompt leaves no room in the context.
        """
        digest = hashlib.sha256(f"{self._config.seed} {purpose}".encode()).digest()
        replies = continue_prompts(
            self.model,
            self.chat,
            encode_prompts(self.chat, prompts, max_seq_len=self.model.config.max_seq_len),
            max_new_tokens=self._config.max_new_tokens,
            sampling=SamplingConfig(temperature=self._config.temperature),
            seeds=compute_row_seeds(int.from_bytes(digest[:4], "big"), len(prompts)),
            batch_size=self._config.batch_size,
        )
        special = set(self.chat.tokenizer.special_tokens.values())
        return [
            reply.text if reply.finished and special.isdisjoint(reply.ids[:-1]) else "" for reply in replies
        ]


# --- critique and revision ----------------------------------------------------------------------------------


def write_revisions(
    sampler: ReplySampler,
    helper: Helper,
    principles: Sequence[Principle],
    items: Sequence[Item],
    config: ConstitutionalConfig,
    *,
    name: str,
) -> Chunk:
    """One reply to each prompt, read by principle after principle until one is broken, and then revised.

    A reply that keeps them is learnt as it is. Replies drawn from the model itself move it nowhere on
    average; beside the revisions they hold it in place in all that the constitution says nothing about.

    Raises:
        Nn2llmError: if the helper cannot be asked, or a prompt leaves no room for a reply.
    """
    chunk = Chunk()
    drafts = [
        Draft(item.prompt, reply, item.task)
        for item, reply in zip(
            items, sampler.sample([item.prompt for item in items], f"{name} drafts"), strict=True
        )
        if reply
    ]
    chunk.count("prompts", len(items))
    chunk.count("unusable", len(items) - len(drafts))
    faults, failed = _find_faults(
        helper, drafts, _draw_principles(principles, len(drafts), config, name), chunk
    )
    broken = [at for at, fault in enumerate(faults) if fault is not None]
    revisions = helper.revise(
        [drafts[at] for at in broken],
        [fault for fault in faults if fault is not None],
        principles,
        lambda prompts, purpose: sampler.sample(prompts, f"{name} {purpose}"),
    )
    revised = dict(zip(broken, revisions, strict=True))
    for at, draft in enumerate(drafts):
        if at in failed:
            continue
        fault, reply = faults[at], revised.get(at, draft.reply)
        if fault is not None:
            chunk.count("broken")
            chunk.count(f"broken: {fault[0].name}")
        if reply is None:
            chunk.count("unrevised")
            continue
        record: dict[str, Any] = {"messages": [*draft.prompt, {"role": "assistant", "content": reply}]}
        if fault is not None:
            principle, finding = fault
            record |= {"before": draft.reply, "principle": principle.name, "critique": finding.critique}
            chunk.count("revised")
        chunk.records.append(record)
    return chunk


def _find_faults(
    helper: Helper, drafts: Sequence[Draft], drawn: Sequence[Sequence[Principle]], chunk: Chunk
) -> tuple[list[tuple[Principle, Finding] | None], set[int]]:
    """(the first principle that each draft breaks and the critique, the drafts without a usable answer)."""
    faults: list[tuple[Principle, Finding] | None] = [None] * len(drafts)
    failed: set[int] = set()
    for turn in range(max(map(len, drawn), default=0)):
        waiting = [at for at in range(len(drafts)) if faults[at] is None and at not in failed]
        by = [drawn[at][turn] for at in waiting]
        findings = helper.criticise([drafts[at] for at in waiting], by)
        chunk.count("asked", len(waiting))
        for at, principle, finding in zip(waiting, by, findings, strict=True):
            if finding is None:
                failed.add(at)
            elif finding.is_broken:
                faults[at] = principle, finding
    chunk.count("failed", len(failed))
    return faults, failed


def _draw_principles(
    principles: Sequence[Principle], num: int, config: ConstitutionalConfig, name: str
) -> list[list[Principle]]:
    """For each reply or pair, the principles it is read by, in a drawn order."""
    rng = random.Random(f"{config.seed} {name} principles")
    most = config.principles_per_reply or len(principles)
    return [rng.sample(list(principles), min(most, len(principles))) for _ in range(num)]


# --- preferences --------------------------------------------------------------------------------------------


def write_pairs(
    sampler: ReplySampler,
    helper: Helper,
    principles: Sequence[Principle],
    items: Sequence[Item],
    config: ConstitutionalConfig,
    *,
    name: str,
) -> Chunk:
    """Several replies to each prompt, of which any two that differ are compared, by principle after principle
    in a drawn order until the judge prefers one.

    Raises:
        Nn2llmError: if the judge cannot be asked, or a prompt leaves no room for a reply.
    """
    chunk = Chunk()
    step = config.replies_per_prompt
    texts = sampler.sample([item.prompt for item in items for _ in range(step)], f"{name} replies")
    requests: list[JudgeRequest] = []
    for at, item in enumerate(items):
        different = dict.fromkeys(text for text in texts[step * at : step * at + step] if text)
        requests += [
            JudgeRequest(item.prompt, first, second, task=item.task)
            for first, second in itertools.combinations(different, 2)
        ]
    chunk.count("prompts", len(items))
    chunk.count("compared", len(requests))
    drawn = _draw_principles(principles, len(requests), config, name)
    waiting = list(range(len(requests)))
    for turn in range(max(map(len, drawn), default=0)):
        by = [drawn[at][turn] for at in waiting]
        asked = [
            JudgeRequest(request.prompt, request.first, request.second, principle, request.task)
            for request, principle in zip((requests[at] for at in waiting), by, strict=True)
        ]
        judged = judge_pairs(helper.judge, asked, swap=config.swap)
        chunk.count("asked", len(asked))
        chunk.count("failed", judged.num_failed)
        chunk.count("order_decided", judged.num_order_decided)
        ties = []
        for at, request, verdict in zip(waiting, asked, judged.verdicts, strict=True):
            if verdict is not None and verdict.choice == "tie":
                ties.append(at)
            elif verdict is not None:
                chunk.records.append(_record_pair(request, verdict))
                assert request.principle is not None
                chunk.count(f"by: {request.principle.name}")
        waiting = ties
    chunk.count("pairs", len(chunk.records))
    chunk.count("ties", len(waiting))
    return chunk


def _record_pair(request: JudgeRequest, verdict: Verdict) -> dict[str, Any]:
    assert request.principle is not None
    is_first = verdict.choice == "first"
    chosen, rejected = (request.first, request.second) if is_first else (request.second, request.first)
    return {
        "prompt": list(request.prompt),
        "chosen": chosen,
        "rejected": rejected,
        "principle": request.principle.name,
        "probability": verdict.soft if is_first else 1 - verdict.soft,
        "reason": verdict.reason,
    }


# --- records as what stages learn from ----------------------------------------------------------------------


def read_conversations(records: Sequence[dict[str, Any]]) -> list[Conversation]:
    """Of `write_revisions`."""
    return [Conversation(tuple(record["messages"])) for record in records]


def read_pairs(records: Sequence[dict[str, Any]]) -> list[PreferencePair]:
    """Of `write_pairs`."""
    return [
        PreferencePair(tuple(record["prompt"]), record["chosen"], record["rejected"]) for record in records
    ]


# --- what is written of chunks ------------------------------------------------------------------------------


def load_chunk(path: Path) -> Chunk:
    """What was written of a chunk. Raises DataError where it is damaged."""
    values = read_json(path)
    return Chunk(values["records"], values["counts"])


def summarise(kind: str, counts: dict[str, int]) -> dict[str, float]:
    """Counts as shares."""

    def share(name: str, of: str) -> float:
        return counts.get(name, 0) / max(1, counts.get(of, 0))

    if kind == "revisions":
        return {
            "broken": share("broken", "prompts"),
            "revised": share("revised", "prompts"),
            "unrevised": share("unrevised", "prompts"),
            "revision_failed": share("failed", "asked"),
        }
    return {
        "num_pairs": float(counts.get("pairs", 0)),
        "ties": share("ties", "compared"),
        "order_decided": share("order_decided", "asked"),
        "pairs_failed": share("failed", "asked"),
    }


def list_counts(counts: dict[str, int]) -> str:
    """For messages."""
    return ", ".join(f"{name} {number}" for name, number in counts.items())
