"""Preference pairs as tokens, and in batches that compute nothing twice.

K replies to one prompt make up to K (K - 1) / 2 pairs, but only K different rows. So a pair is two numbers
of rows, and all pairs of a prompt stand in one batch: K forward passes instead of K (K - 1). That is cheaper,
and InstructGPT found that such pairs overfit when they are spread over an epoch, since each reply is then
trained on K - 1 times (Ouyang et al. 2022, https://arxiv.org/abs/2203.02155, section 3.5). As token trees
(nn/trees.py) the K replies share their prompt as well: 1.45 times faster on the micro-world.

What stands in the batch of a step follows from (seed, step) alone, so a resumed run needs no state of its
loader. Read after data/preferences.py. Used by train/reward.py, train/dpo.py and evals/reply_scores.py.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nn2llm.core.errors import DataError
from nn2llm.data.batches import IGNORE_INDEX
from nn2llm.data.permutation import EpochOrder
from nn2llm.data.preferences import PreferencePair, check_pair
from nn2llm.nn.trees import TokenTree
from nn2llm.tokenizers.chat import ChatFormat, Message

__all__ = [
    "EncodedPairs",
    "PairBatch",
    "PairLoader",
    "ReplyRow",
    "RowBatch",
    "TreeBatch",
    "build_rows",
    "encode_pairs",
    "encode_row",
]

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReplyRow:
    """A prompt and a reply to it, as one row of tokens."""

    ids: tuple[int, ...]
    """The whole conversation; the last token is the one that ends the reply."""
    num_prompt: int
    """How many of them are the prompt; the model writes the rest."""

    @property
    def prompt(self) -> tuple[int, ...]:
        """The prompt's tokens."""
        return self.ids[: self.num_prompt]


@dataclass(frozen=True, slots=True)
class RowBatch:
    """N rows of at most T tokens, padded at the right, where causal attention does not look."""

    input_ids: Tensor
    """[N, T]"""
    labels: Tensor
    """[N, T] the token after each of `input_ids` where that is the reply's, its end included; else -100."""
    last: Tensor
    """[N] position of the token that ends the reply: where a reward is read."""

    def to(self, device: torch.device | str) -> Self:
        """The batch on `device`."""
        moved = {field.name: getattr(self, field.name).to(device) for field in dataclasses.fields(self)}
        return type(self)(**moved)


@dataclass(frozen=True, slots=True)
class PairBatch(RowBatch):
    """P pairs over N different rows."""

    row_ids: Tensor
    """[N] the rows' numbers in their `EncodedPairs`."""
    chosen_rows: Tensor
    """[P] which of the N rows was chosen,"""
    rejected_rows: Tensor
    """[P] and over which."""
    margins: Tensor
    """[P] float32; 0 where a pair has none."""

    @property
    def num_pairs(self) -> int:
        """P."""
        return len(self.chosen_rows)

    @property
    def num_tokens(self) -> int:
        """Tokens of all rows, padding left out."""
        return int(self.last.sum()) + len(self.last)


@dataclass(frozen=True, slots=True)
class TreeBatch:
    """P pairs over the replies to B prompts, each prompt there once: see nn/trees.py."""

    input_ids: Tensor
    """[B, T] a prompt and its replies in each row, padded at the right."""
    tree: TokenTree
    """Which token belongs to which reply."""
    ends: Tensor
    """[B, S] where each reply ends; 0 where a prompt has fewer than S."""
    row_ids: Tensor
    """[N] the replies' numbers in their `EncodedPairs`."""
    chosen: Tensor
    """[P] which of the B × S ends, counted row by row, was chosen,"""
    rejected: Tensor
    """[P] and over which."""
    margins: Tensor
    """[P] float32; 0 where a pair has none."""

    @property
    def num_pairs(self) -> int:
        """P."""
        return len(self.chosen)

    @property
    def num_tokens(self) -> int:
        """Tokens of all rows, padding left out."""
        return int((self.tree.branches >= 0).sum())

    def to(self, device: torch.device | str) -> Self:
        """The batch on `device`."""
        moved = {field.name: getattr(self, field.name).to(device) for field in dataclasses.fields(self)}
        return type(self)(**moved)


def encode_row(chat: ChatFormat, prompt: Sequence[Message], reply: str) -> ReplyRow:
    """A prompt, the mark where the assistant begins, its reply and the end of it.

    Raises:
        DataError: if the prompt is no conversation.
        TokenizerError: if a character is unknown (character tokenizers only).
    """
    prompt_ids = chat.encode(prompt, add_generation_prompt=True).ids
    return ReplyRow((*prompt_ids, *chat.encode_reply(reply)), len(prompt_ids))


def build_rows(rows: Sequence[ReplyRow], *, pad_id: int) -> RowBatch:
    """Rows as tensors. Raises ValueError if there is none."""
    if not rows:
        raise ValueError("rows must hold at least one row, got none.")
    lengths = [len(row.ids) for row in rows]
    input_ids = np.full((len(rows), max(lengths)), pad_id, dtype=np.int64)
    labels = np.full_like(input_ids, IGNORE_INDEX)
    for number, row in enumerate(rows):
        input_ids[number, : len(row.ids)] = row.ids
        labels[number, row.num_prompt - 1 : len(row.ids) - 1] = row.ids[row.num_prompt :]
    return RowBatch(
        torch.from_numpy(input_ids), torch.from_numpy(labels), torch.tensor([n - 1 for n in lengths])
    )


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPairs:
    """Pairs as tokens: P pairs over the different rows among them, pairs of a prompt side by side."""

    rows: tuple[ReplyRow, ...]
    chosen: Int64Array
    """[P] numbers of rows."""
    rejected: Int64Array
    """[P]"""
    margins: npt.NDArray[np.float32]
    """[P] 0 where a pair has none."""
    prompts: Int64Array
    """[P] number of the pair's prompt, from 0, in order."""
    kept: Int64Array
    """[P] where the pair stood among those given; what was too long is missing."""
    num_left_out: int
    """Pairs with a row longer than the context."""
    pad_id: int

    @property
    def num_pairs(self) -> int:
        """P."""
        return len(self.chosen)

    @property
    def num_prompts(self) -> int:
        """How many different prompts there are."""
        return int(self.prompts[-1]) + 1

    def count_steps(self, batch_size: int) -> int:
        """Steps of an epoch with about so many pairs each: never more than there are prompts."""
        return min(self.num_prompts, -(-self.num_pairs // batch_size))

    def build_batch(self, pairs: Int64Array) -> PairBatch:
        """The pairs with these numbers; each row that they need stands there once."""
        row_ids, places = self._find_rows(pairs)
        batch = build_rows([self.rows[row] for row in row_ids], pad_id=self.pad_id)
        return PairBatch(
            batch.input_ids,
            batch.labels,
            batch.last,
            row_ids=torch.from_numpy(row_ids),
            chosen_rows=torch.from_numpy(places[: len(pairs)]),
            rejected_rows=torch.from_numpy(places[len(pairs) :]),
            margins=torch.from_numpy(self.margins[pairs]),
        )

    def build_tree_batch(self, pairs: Int64Array) -> TreeBatch:
        """The same pairs, with the replies to a prompt behind one copy of it."""
        row_ids, places = self._find_rows(pairs)
        rows = [self.rows[row] for row in row_ids]
        members: dict[tuple[int, ...], list[int]] = {}
        for at, row in enumerate(rows):
            members.setdefault(row.prompt, []).append(at)
        trees = [[rows[at] for at in group] for group in members.values()]
        lengths = [tree[0].num_prompt + sum(len(row.ids) - row.num_prompt for row in tree) for tree in trees]
        input_ids = np.full((len(trees), max(lengths)), self.pad_id, dtype=np.int64)
        positions, branches = np.zeros_like(input_ids), np.full_like(input_ids, -1)
        ends = np.zeros((len(trees), max(map(len, trees))), dtype=np.int64)
        scores = np.zeros(len(rows), dtype=np.int64)
        for number, (tree, group) in enumerate(zip(trees, members.values(), strict=True)):
            at = tree[0].num_prompt
            input_ids[number, :at] = tree[0].prompt
            positions[number, :at], branches[number, :at] = np.arange(at), 0
            for branch, row in enumerate(tree, start=1):
                reply = slice(at, at + len(row.ids) - row.num_prompt)
                input_ids[number, reply] = row.ids[row.num_prompt :]
                positions[number, reply] = np.arange(row.num_prompt, len(row.ids))
                branches[number, reply] = branch
                at = reply.stop
                ends[number, branch - 1] = at - 1
            scores[group] = number * ends.shape[1] + np.arange(len(tree))
        return TreeBatch(
            input_ids=torch.from_numpy(input_ids),
            tree=TokenTree(torch.from_numpy(positions), torch.from_numpy(branches)),
            ends=torch.from_numpy(ends),
            row_ids=torch.from_numpy(row_ids),
            chosen=torch.from_numpy(scores[places[: len(pairs)]]),
            rejected=torch.from_numpy(scores[places[len(pairs) :]]),
            margins=torch.from_numpy(self.margins[pairs]),
        )

    def _find_rows(self, pairs: Int64Array) -> tuple[Int64Array, Int64Array]:
        """(numbers of the different rows [N], where among them are all chosen, then all rejected ones)."""
        both = np.concatenate([self.chosen[pairs], self.rejected[pairs]])
        return np.unique(both, return_inverse=True)

    def fingerprint(self) -> str:
        """A hash of all tokens, pairs and margins."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(np.array([len(row.ids), row.num_prompt, *row.ids], dtype="<i8").tobytes())
        for values in (self.chosen, self.rejected):
            digest.update(values.astype("<i8").tobytes())
        digest.update(self.margins.astype("<f4").tobytes())
        return digest.hexdigest()


def encode_pairs(
    pairs: Sequence[PreferencePair], chat: ChatFormat, *, max_seq_len: int, what: str = "preferences"
) -> EncodedPairs:
    """Pairs as tokens, sorted by prompt (in the order in which prompts appear first).

    A pair that does not fit into `max_seq_len` tokens is left out: cut off, its reply would be another one.

    Raises:
        DataError: if there is none, one of them is broken (see `check_pair`), or all are too long.
        TokenizerError: if a character is unknown (character tokenizers only).
    """
    if not pairs:
        raise DataError(f"The {what} hold no pair. Give at least one.")
    prompt_numbers: dict[tuple[tuple[str, str], ...], int] = {}
    prompt_ids: list[list[int]] = []
    rows: dict[tuple[int, str], int] = {}
    encoded: list[ReplyRow] = []
    found: list[tuple[int, int, int, float, int]] = []
    longest = 0
    for index, pair in enumerate(pairs):
        try:
            check_pair(pair)
        except DataError as error:
            raise DataError(f"Pair {index + 1} of the {what}: {error}") from error
        key = tuple((message["role"], message["content"]) for message in pair.prompt)
        prompt = prompt_numbers.setdefault(key, len(prompt_numbers))
        if prompt == len(prompt_ids):
            prompt_ids.append(chat.encode(pair.prompt, add_generation_prompt=True).ids)
        numbers = []
        for reply in (pair.chosen, pair.rejected):
            number = rows.setdefault((prompt, reply), len(encoded))
            if number == len(encoded):
                ids = prompt_ids[prompt]
                encoded.append(ReplyRow((*ids, *chat.encode_reply(reply)), len(ids)))
            numbers.append(number)
        length = max(len(encoded[number].ids) for number in numbers)
        longest = max(longest, length)
        if length <= max_seq_len:
            found.append((prompt, index, numbers[0], pair.margin or 0.0, numbers[1]))
    if not found:
        raise DataError(
            f"All {len(pairs):,} pairs of the {what} are longer than the context of {max_seq_len} tokens "
            f"(the longest has {longest}). Shorten prompts and replies, or take a model with a longer one."
        )
    found.sort(key=lambda pair: pair[0])  # stable: within a prompt as they came
    used = sorted({number for pair in found for number in (pair[2], pair[4])})
    place = {number: at for at, number in enumerate(used)}
    _, prompts = np.unique([pair[0] for pair in found], return_inverse=True)
    return EncodedPairs(
        rows=tuple(encoded[number] for number in used),
        chosen=np.array([place[pair[2]] for pair in found], dtype=np.int64),
        rejected=np.array([place[pair[4]] for pair in found], dtype=np.int64),
        margins=np.array([pair[3] for pair in found], dtype=np.float32),
        prompts=prompts.astype(np.int64),
        kept=np.array([pair[1] for pair in found], dtype=np.int64),
        num_left_out=len(pairs) - len(found),
        pad_id=chat.tokenizer.end_of_text_id,
    )


class PairLoader:
    """The batches of every step, from (seed, step) alone; whole prompts, so about `batch_size` pairs each.

    An epoch takes every pair once, in an order of its own, in batches that are as equal as prompts allow:
    none is a small rest.

    Args:
        data: what to train on.
        batch_size: pairs a step, about; a prompt with more makes a batch by itself.
        micro_batch_size: pairs at once, about; None: the whole batch. Prompts of about one length go
            together, so that less is padded.
        seed: of the order.
    """

    def __init__(
        self, data: EncodedPairs, *, batch_size: int, micro_batch_size: int | None = None, seed: int
    ) -> None:
        for name, size in (("batch_size", batch_size), ("micro_batch_size", micro_batch_size)):
            if size is not None and size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}.")
        self.data, self.seed, self.micro_batch_size = data, seed, micro_batch_size
        starts = np.searchsorted(data.prompts, np.arange(data.num_prompts + 1))
        self._groups = [np.arange(start, stop) for start, stop in itertools.pairwise(starts)]
        lengths = np.array([len(row.ids) for row in data.rows])
        self._lengths = np.maximum(lengths[data.chosen], lengths[data.rejected])
        self.steps_per_epoch = data.count_steps(batch_size)
        self._epoch = -1
        self._batches: list[list[Int64Array]] = []

    def load_step(self, step: int) -> list[PairBatch]:
        """The micro-batches of step `step`, counted from 0 through all epochs."""
        return [self.data.build_batch(pairs) for pairs in self.list_pairs(step)]

    def load_trees(self, step: int) -> list[TreeBatch]:
        """The same pairs, with the replies to a prompt behind one copy of it."""
        return [self.data.build_tree_batch(pairs) for pairs in self.list_pairs(step)]

    def list_pairs(self, step: int) -> list[Int64Array]:
        """Numbers of the pairs in each micro-batch of a step."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            order = EpochOrder(len(self._groups), seed=self.seed, epoch=epoch)(np.arange(len(self._groups)))
            groups = [self._groups[number] for number in order]
            self._batches, self._epoch = _share_out(groups, self.steps_per_epoch), epoch
        groups = self._batches[place]
        if self.micro_batch_size is None:
            return [np.concatenate(groups)]
        groups = sorted(groups, key=lambda pairs: int(self._lengths[pairs].max()))
        num_parts = min(len(groups), -(-sum(map(len, groups)) // self.micro_batch_size))
        return [np.concatenate(part) for part in _share_out(groups, num_parts)]


def _share_out(groups: Sequence[Int64Array], num_parts: int) -> list[list[Int64Array]]:
    """Cut a list of groups into `num_parts` parts with about equally many members; none is empty."""
    total = sum(map(len, groups))
    parts: list[list[Int64Array]] = []
    taken, at = 0, 0
    for number in range(1, num_parts + 1):
        goal = total * number / num_parts
        part = [groups[at]]
        taken, at = taken + len(groups[at]), at + 1
        # One more while that ends nearer to the goal, and enough is left for the parts to come.
        while len(groups) - at > num_parts - number and taken + len(groups[at]) / 2 <= goal:
            part.append(groups[at])
            taken, at = taken + len(groups[at]), at + 1
        parts.append(part)
    parts[-1] += groups[at:]
    return parts
