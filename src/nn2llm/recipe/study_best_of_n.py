"""Stage best_of_n: many replies of the SFT model to each held-out prompt, and what every judge says of them.

    replies.jsonl    a line a prompt: its different replies, each with gold score, the labeller's utility and
                     the score of every reward model; and which of them each of the N draws was

Nothing is trained: from these scores follows what best-of-n would give for every n up to N and every reward
model. A small model writes the same reply often, so each different one is judged once.

Read evals/best_of_n.py and replying.py before. Used by study_stages.py and study_data.py.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn2llm.core.errors import DataError
from nn2llm.core.files import write_bytes_atomic
from nn2llm.evals.reply_scores import compute_row_scores
from nn2llm.generation.replies import Reply
from nn2llm.microworld.gold import gold_score
from nn2llm.microworld.labellers import Labeller
from nn2llm.microworld.task import Task
from nn2llm.recipe.config import EvaluationConfig
from nn2llm.recipe.costs import Ledger
from nn2llm.recipe.replying import Writer, build_reply_rows
from nn2llm.recipe.report_series import read_records
from nn2llm.recipe.task_sets import list_messages
from nn2llm.train.checkpoint import load_reward_model

__all__ = ["Candidates", "read_candidates", "write_candidates"]

Float64Array = npt.NDArray[np.float64]

REPLIES = "replies.jsonl"


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """N replies to each of M prompts, as numbers."""

    gold: Float64Array
    """[M, N] true quality."""
    utility: Float64Array
    """[M, N] what the labeller thinks."""
    scores: dict[str, Float64Array]
    """Stage of a reward model → [M, N] its scores."""
    num_different: float
    """Different replies to a prompt, on average."""


def write_candidates(
    folder: Path,
    writer: Writer,
    tasks: Sequence[Task],
    rewards: Mapping[str, Path],
    labeller: Labeller,
    *,
    num_replies: int,
    settings: EvaluationConfig,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> Ledger:
    """Write the stage's file; `rewards` are the runs of the reward models. Returns the cost.

    Raises:
        Nn2llmError: if a model is missing or damaged, or a prompt leaves no room in the context.
    """
    assert writer.chat is not None
    ledger = Ledger()
    prompts = [list_messages(task) for task in tasks]
    replies = writer.write(
        [prompt for prompt in prompts for _ in range(num_replies)],
        max_new_tokens=settings.max_new_tokens,
        temperature=1.0,  # the KL of best-of-n is from the model itself
        seed=seed,
        batch_size=settings.batch_size,
        progress=progress,
        ledger=ledger,
    )
    different: list[list[Reply]] = []
    drawn: list[list[int]] = []
    for number in range(len(tasks)):
        own = replies[number * num_replies : (number + 1) * num_replies]
        places: dict[tuple[int, ...], int] = {}
        drawn.append([places.setdefault(tuple(reply.ids), len(places)) for reply in own])
        first = {tuple(reply.ids): reply for reply in reversed(own)}
        different.append([first[ids] for ids in places])

    encoded = writer.encode_prompts(prompts)
    rows = build_reply_rows(
        [prompt for prompt, own in zip(encoded, different, strict=True) for _ in own],
        [reply for own in different for reply in own],
        end_id=writer.chat.end_id,
    )
    scores: dict[str, list[list[float]]] = {}
    for name, run in rewards.items():
        model, _ = load_reward_model(run, device=writer.model.device)
        values = compute_row_scores(model, rows).tolist()
        ledger.score(model, sum(len(row.ids) for row in rows))
        scores[name] = _split(values, [len(own) for own in different])

    lines = []
    for number, (task, own) in enumerate(zip(tasks, different, strict=True)):
        golds = [gold_score(task, reply.text) for reply in own]
        lines.append(
            {
                "index": number,
                "kind": task.kind,
                "group": task.group,
                "messages": list(prompts[number]),
                "replies": [reply.text for reply in own],
                "gold": [gold.total for gold in golds],
                "utility": [labeller.weigh(gold, reply.text) for gold, reply in zip(golds, own, strict=True)],
                "scores": {name: values[number] for name, values in scores.items()},
                "drawn": drawn[number],
            }
        )
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    write_bytes_atomic(folder / REPLIES, text.encode())
    return ledger


def read_candidates(folder: Path) -> Candidates:
    """What `write_candidates` wrote.

    Raises:
        DataError: if the file is missing or damaged.
    """
    path = folder / REPLIES
    lines = read_records(path)
    try:
        return Candidates(
            gold=_gather(lines, [line["gold"] for line in lines]),
            utility=_gather(lines, [line["utility"] for line in lines]),
            scores={
                name: _gather(lines, [line["scores"][name] for line in lines]) for name in lines[0]["scores"]
            },
            num_different=float(np.mean([len(line["gold"]) for line in lines])),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is not as this version writes it. Delete {folder} and run the study again."
        ) from error


def _gather(lines: Sequence[dict[str, Any]], values: Sequence[Sequence[float]]) -> Float64Array:
    """From a value for each different reply to one for each draw."""
    rows = [[own[place] for place in line["drawn"]] for line, own in zip(lines, values, strict=True)]
    return np.array(rows, dtype=np.float64)


def _split(values: Sequence[float], sizes: Sequence[int]) -> list[list[float]]:
    ends = np.cumsum(sizes).tolist()
    return [list(values[end - size : end]) for end, size in zip(ends, sizes, strict=True)]
