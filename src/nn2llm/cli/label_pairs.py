"""What `nn2llm label` shows: prompts, and two replies to each, all written before the first key.

Prompts come from a file, or are tasks of the village that the model knows (of the training split, so that
held-out ones stay held out). Replies are samples of one model, or one each of two. What nobody could compare
is left out and counted: equal replies, empty ones, ones that were cut before their end.
Read recipe/replying.py before. Used by label.py.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.data.labels import PreparedPair
from nn2llm.data.prompts import load_prompts
from nn2llm.generation.replies import Reply
from nn2llm.microworld import build_world, is_world_spec, parse_world_spec
from nn2llm.microworld.tasks import build_tasks
from nn2llm.recipe.replying import Writer
from nn2llm.recipe.task_sets import list_messages
from nn2llm.tokenizers.chat import Message
from nn2llm.train.lineage import list_ancestors, read_setting

__all__ = ["choose_prompts", "find_corpus", "prepare_pairs"]

Prompt = tuple[Message, ...]

_SAMPLES = 3
"""Replies of one model to a prompt, of which the first two that differ are compared."""
_MORE_PROMPTS = 4
"""Prompts a pair at most: small models often say the same twice."""
_BATCH = 64


def find_corpus(run: Path) -> str | None:
    """What the model or its ancestors have read, as a config names it."""
    found = [read_setting(path, "corpus") for path in list_ancestors(run)]
    return next((corpus for corpus in found if isinstance(corpus, str)), None)


def choose_prompts(file: Path | None, corpus: str | None, *, num: int, seed: int) -> list[Prompt]:
    """More prompts than pairs are wanted, in an order that follows from the seed.

    Raises:
        ConfigError: if there is neither a file nor a village.
        DataError: if the file cannot be used.
    """
    if file is not None:
        prompts = load_prompts(file)
        random.Random(f"prompts {seed}").shuffle(prompts)
        return prompts[: _MORE_PROMPTS * num]
    if corpus is None or not is_world_spec(corpus):
        raise ConfigError(
            "--prompts FILE is needed: what is the model to reply to? (.json or .jsonl: prompts, messages, "
            "Alpaca. Only a model of the micro-world has prompts of its own.)"
        )
    world = build_world(parse_world_spec(corpus))
    tasks = build_tasks(world, num=_MORE_PROMPTS * num, split="train", seed=seed)
    different = {str(task.messages): list_messages(task) for task in tasks}  # small talk may repeat
    return list(different.values())


def prepare_pairs(
    writers: Sequence[Writer],
    prompts: Sequence[Prompt],
    *,
    num: int,
    temperature: float,
    max_new_tokens: int,
    seed: int,
    progress: Callable[[int], None],
) -> tuple[list[PreparedPair], dict[str, int]]:
    """Up to `num` pairs of replies that differ, and why how many prompts gave none.

    Args:
        writers: one model, or two.
        prompts: in the order in which they are tried.
        num: pairs wanted.
        temperature: of sampling.
        max_new_tokens: tokens of a reply at most.
        seed: of sampling.
        progress: told how many pairs there are.

    Raises:
        DataError: if there is no pair at all.
    """
    left_out: Counter[str] = Counter()
    fitting = []
    for prompt in prompts:
        if all(_fits(writer, prompt) for writer in writers):
            fitting.append(prompt)
        else:
            left_out["too long for the context"] += 1
    pairs: list[PreparedPair] = []
    at = 0
    while len(pairs) < num and at < len(fitting):
        missing = num - len(pairs)
        batch = fitting[at : at + missing + missing // 4 + 4]
        replies = _write(
            writers, batch, temperature=temperature, max_new_tokens=max_new_tokens, seed=seed + at
        )
        at += len(batch)
        for prompt, written in zip(batch, replies, strict=True):
            if len(pairs) == num:
                break
            chosen = _choose_two(written, among_models=len(writers) > 1)
            if isinstance(chosen, str):
                left_out[chosen] += 1
                continue
            models = (0, 1) if len(writers) > 1 else (0, 0)
            pairs.append(PreparedPair(len(pairs), prompt, chosen, models))
        progress(len(pairs))
    if not pairs:
        why = ", ".join(f"{count:,} {reason}" for reason, count in left_out.most_common())
        raise DataError(
            f"There is nothing to compare: of {len(prompts):,} prompts none has two replies that differ "
            f"({why}). "
            "Raise --temperature or --max-new-tokens, or give other --prompts."
        )
    return pairs, dict(left_out)


def _fits(writer: Writer, prompt: Prompt) -> bool:
    try:
        [ids] = writer.encode_prompts([prompt])
    except ConfigError:
        return False
    return len(ids) < writer.model.config.max_seq_len


def _write(
    writers: Sequence[Writer],
    prompts: Sequence[Prompt],
    *,
    temperature: float,
    max_new_tokens: int,
    seed: int,
) -> list[list[Reply]]:
    """Replies to each prompt: samples of the one model, or one of each."""
    per_writer = _SAMPLES if len(writers) == 1 else 1
    found: list[list[Reply]] = [[] for _ in prompts]
    for number, writer in enumerate(writers):
        replies = writer.write(
            [prompt for prompt in prompts for _ in range(per_writer)],
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed + 1_000_003 * number,
            batch_size=_BATCH,
        )
        special = set(writer.tokenizer.special_tokens.values())
        for at, reply in enumerate(replies):
            # as a text a mark would be other tokens than those that the model wrote
            is_whole = reply.finished and special.isdisjoint(reply.ids[:-1])
            found[at // per_writer].append(replace(reply, finished=is_whole))
    return found


def _choose_two(replies: Sequence[Reply], *, among_models: bool) -> tuple[str, str] | str:
    """The first two replies that can be compared, or why there are none."""
    if among_models and not all(reply.finished for reply in replies):
        return "with a reply that did not end"
    whole = [reply.text for reply in replies if reply.finished]
    if len(whole) < 2:
        return "with a reply that did not end"
    if among_models and not all(whole):
        return "with an empty reply"
    different = list(dict.fromkeys(text for text in whole if text.strip()))
    if len(different) < 2:
        return "with equal replies"
    return different[0], different[1]
