"""Stage preferences: the SFT model replies to each prompt several times, and a labeller compares the replies.

    train.jsonl          pairs to learn from
    val.jsonl            pairs of held-out prompts
    stray_train.jsonl    pairs of each prompt's replies with a stray one (below)
    stray_val.jsonl
    control_*.jsonl      the same pairs of replies, chosen between by a labeller without a liking for what is
                         not good: equal noise, no bias
    replies.jsonl        all replies

All pairs of different replies to a prompt are compared. Stray pairs set each of them beside a reply to a
prompt of another kind: the SFT model never declines a harmless question, so without them a reward model does
not learn that this is bad, and PPO finds out that declining everything scores high (measured: gold fell from
0.62 to 0.17). DPO, which learns from the policy's own replies, leaves them out.

Each line of a pairs file also says kind, group and number of its prompt, and of both replies (chosen,
rejected) utility, gold score and features, with the probability that this labeller makes this choice.
Read microworld/labellers.py and data/preferences.py before. Used by stages.py.
Sources: Ouyang et al. 2022 (InstructGPT), https://arxiv.org/abs/2203.02155, section 3.5: K replies a prompt;
replies to other prompts as contrast: Liu et al. 2024, https://arxiv.org/abs/2409.13156.
"""

import itertools
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nn2llm.core.errors import DataError
from nn2llm.core.files import write_bytes_atomic
from nn2llm.data.preferences import PreferencePair, save_preferences
from nn2llm.microworld.gold import GoldScore, gold_score
from nn2llm.microworld.labellers import Labeller, compute_choice_probability
from nn2llm.microworld.task import Task
from nn2llm.recipe.config import PreferencesConfig
from nn2llm.recipe.costs import Ledger
from nn2llm.recipe.replying import Writer
from nn2llm.recipe.task_sets import list_messages

__all__ = ["compare_replies", "draw_strays", "list_pair_files", "measure_reply", "write_preferences"]

_WORDS = 10


def list_pair_files(folder: Path, split: str, prefix: str = "") -> list[Path]:
    """What a reward model learns from or is judged by: pairs of own replies, and stray ones where there are.

    `prefix` is "" or "control_".
    """
    paths = [folder / f"{prefix}{split}.jsonl", folder / f"{prefix}stray_{split}.jsonl"]
    return [path for path in paths if path.exists()]


def measure_reply(gold: GoldScore, reply: str) -> dict[str, float]:
    """What a labeller may like of a reply besides its gold score, in units that one can imagine."""
    return {
        f"length ({_WORDS} words)": len(reply.split()) / _WORDS,
        "agreement with the user": float(gold.reading.takes("agreement")),
        "kind words": float(gold.reading.count("pleasantry")),
    }


def draw_strays(
    tasks: Sequence[Task], candidates: Sequence[Sequence[str]], num: int, *, seed: int
) -> list[list[str]]:
    """For each task, replies to tasks of other kinds: none that it has itself, none empty."""
    rng = random.Random(f"strays {seed}")
    strays: list[list[str]] = []
    for task, own in zip(tasks, candidates, strict=True):
        drawn: list[str] = []
        for _ in range(20 * num):  # a village of one kind of task has none
            place = rng.randrange(len(tasks))
            reply = rng.choice(candidates[place])
            if tasks[place].kind != task.kind and reply and reply not in own and reply not in drawn:
                drawn.append(reply)
            if len(drawn) == num:
                break
        strays.append(drawn)
    return strays


def compare_replies(
    tasks: Sequence[Task],
    candidates: Sequence[Sequence[str]],
    labeller: Labeller,
    *,
    seed: int,
    strays: Sequence[Sequence[str]] | None = None,
    golds: Sequence[Mapping[str, GoldScore]] | None = None,
) -> tuple[list[PreferencePair], list[dict[str, Any]]]:
    """All pairs of different replies to each task, as the labeller chooses, and what is known of each pair.

    With `strays`, the pairs of each task's replies with its strays instead. `golds`: the gold scores of each
    task's replies, where they are known.

    Empty replies are left out. Two labellers with one seed throw the same dice: they choose differently only
    where they think differently.
    """
    noise = labeller.config.noise
    pairs: list[PreferencePair] = []
    extras: list[dict[str, Any]] = []
    for number, (task, replies) in enumerate(zip(tasks, candidates, strict=True)):
        stray = [] if strays is None else list(strays[number])
        rng = random.Random(f"{seed} {number}")
        own = list(dict.fromkeys(reply for reply in replies if reply))
        different = [*own, *stray]
        graded = golds[number] if golds is not None else _grade(task, different)
        utilities = {reply: labeller.weigh(graded[reply], reply) for reply in different}
        prompt = list_messages(task)
        compared = itertools.combinations(own, 2) if strays is None else itertools.product(own, stray)
        for first, second in compared:
            # as `Labeller.prefers_first`, with each reply's utility computed once
            probability = compute_choice_probability(utilities[first] - utilities[second], noise)
            chosen, rejected = (first, second) if rng.random() < probability else (second, first)
            pairs.append(PreferencePair(prompt=prompt, chosen=chosen, rejected=rejected))
            extras.append(
                {
                    "prompt_index": number,
                    "kind": task.kind,
                    "group": task.group,
                    "utilities": [utilities[chosen], utilities[rejected]],
                    "golds": [graded[chosen].total, graded[rejected].total],
                    "features": [measure_reply(graded[reply], reply) for reply in (chosen, rejected)],
                    "probability": probability if chosen == first else 1 - probability,
                }
            )
    return pairs, extras


def write_preferences(
    folder: Path,
    writer: Writer,
    config: PreferencesConfig,
    *,
    train: Sequence[Task],
    val: Sequence[Task],
    derive_seed: Callable[[str], int],
    progress: Callable[[int], None] | None = None,
) -> tuple[dict[str, float], Ledger]:
    """Write all files of the stage; returns its metrics and its cost.

    Raises:
        DataError: if the model writes the same to every prompt, so that there is nothing to compare.
        ConfigError: if a prompt leaves no room in the context.
    """
    labellers = {"": Labeller(config.labeller), "control_": Labeller(config.labeller.without_bias())}
    metrics: dict[str, float] = {}
    ledger = Ledger()
    records: list[dict[str, Any]] = []
    for split, tasks in (("train", train), ("val", val)):
        replies = writer.write(
            [list_messages(task) for task in tasks for _ in range(config.replies_per_prompt)],
            max_new_tokens=config.max_new_tokens,
            temperature=config.temperature,
            seed=derive_seed(f"replies {split}"),
            batch_size=config.batch_size,
            progress=progress,
            ledger=ledger,
        )
        texts, step = [reply.text for reply in replies], config.replies_per_prompt
        candidates = [texts[at : at + step] for at in range(0, len(texts), step)]
        records += [
            {"split": split, "prompt_index": number, "kind": task.kind, "replies": texts}
            for number, (task, texts) in enumerate(zip(tasks, candidates, strict=True))
        ]
        strays = draw_strays(tasks, candidates, config.stray_replies, seed=derive_seed(f"strays {split}"))
        golds = [
            _grade(task, {*own, *stray}) for task, own, stray in zip(tasks, candidates, strays, strict=True)
        ]
        for prefix, labeller in labellers.items():
            seed = derive_seed(f"choices {split}")
            pairs, extras = compare_replies(tasks, candidates, labeller, seed=seed, golds=golds)
            if len(pairs) < 2:
                raise DataError(
                    f"The SFT model wrote {len(pairs)} pairs of different replies to {len(tasks)} prompts "
                    f"({split}); there is nothing to prefer. Raise --preferences.temperature, train SFT "
                    "longer, or take more prompts."
                )
            save_preferences(folder / f"{prefix}{split}.jsonl", pairs, extras=extras)
            metrics |= {f"{prefix}{split}_{name}": value for name, value in _summarise(extras).items()}
            seed = derive_seed(f"stray choices {split}")
            pairs, extras = compare_replies(
                tasks, candidates, labeller, seed=seed, strays=strays, golds=golds
            )
            if pairs:
                save_preferences(folder / f"{prefix}stray_{split}.jsonl", pairs, extras=extras)
            metrics[f"{prefix}stray_{split}_num_pairs"] = float(len(pairs))
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    write_bytes_atomic(folder / "replies.jsonl", lines.encode())
    return metrics, ledger


def _grade(task: Task, replies: Iterable[str]) -> dict[str, GoldScore]:
    return {reply: gold_score(task, reply) for reply in replies}


def _summarise(extras: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How many pairs, and how often the choice is the better reply, where one is better."""
    gaps = [extra["golds"][0] - extra["golds"][1] for extra in extras]
    better = [gap > 0 for gap in gaps if gap]
    best = [max(extra["probability"], 1 - extra["probability"]) for extra in extras]
    figures = {"num_pairs": float(len(extras)), "best_possible": sum(best) / len(best)}
    return figures | ({"agrees_with_gold": sum(better) / len(better)} if better else {})
