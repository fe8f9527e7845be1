"""Rows of conversations for fine-tuning: only replies are learnt, and no conversation sees another.

Read data/batches.py and data/conversations.py before. Used by train/sft.py. Taught in `sft`.

Conversations are short and of all lengths: one a row, most of a batch would be padding. So several share a
row, told apart by `document_ids` (a document mask keeps each to itself), and best-fit packing finds rows
that are nearly full: the longest first, each into the row that it fills best. A model whose positions count
from the start of a row (learned, sinusoidal) must find each conversation at position 0: there it gets a row
of its own. RoPE depends on distances alone.
Source: Ding et al. 2024, https://arxiv.org/abs/2404.10830 (best-fit packing).
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from nn2llm.data.batches import IGNORE_INDEX, Batch, RowLoader
from nn2llm.data.shards import Int64Array
from nn2llm.tokenizers import Tokenizer
from nn2llm.tokenizers.chat import EncodedChat

__all__ = ["ChatLoader", "ChatRows", "encode_document", "fit_chat", "pack_best_fit"]


def fit_chat(chat: EncodedChat, seq_len: int) -> EncodedChat | None:
    """The beginning of a conversation that ends with the last whole reply within a row; None if none does.

    A row of T positions holds T + 1 tokens: the last is only predicted. Half a reply would teach the model
    to stop in mid-sentence, so it is left out with all after it.
    """
    ends = [
        place + 1
        for place, is_reply in enumerate(chat.is_reply)
        if is_reply and (place + 1 == len(chat.ids) or not chat.is_reply[place + 1])
    ]
    fitting = [end for end in ends if end - 1 <= seq_len]
    if not fitting:
        return None
    return EncodedChat(chat.ids[: fitting[-1]], chat.is_reply[: fitting[-1]])


def encode_document(tokenizer: Tokenizer, text: str, seq_len: int) -> EncodedChat:
    """A text of pretraining as a row among conversations: after `<|endoftext|>`, every token is learnt.

    Its end is learnt too, where it fits into a row; the rest of a longer text is left out.
    """
    mark = tokenizer.end_of_text_id
    ids = [mark, *tokenizer.encode(text), mark][: seq_len + 1]
    return EncodedChat(ids, [False] + [True] * (len(ids) - 1))


def pack_best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Bins of at most `capacity`, nearly as few as can be: for each bin the places of its items in `lengths`.

    Best fit decreasing: the longest first, each into the bin that has the least room left for it. At most
    11/9 as many bins as the best packing needs, and 4 more (Johnson 1974).

    Raises:
        ValueError: if an item is longer than a bin, or shorter than 1.
    """
    if lengths and not 1 <= min(lengths) <= max(lengths) <= capacity:
        raise ValueError(
            f"lengths must lie in 1 … {capacity}, got {min(lengths)} to {max(lengths)}. Cut them first."
        )
    bins: list[list[int]] = []
    bins_with: list[list[int]] = [[] for _ in range(capacity + 1)]  # by the room left in them
    rooms = 0  # a set of numbers as the bits of one: bit r is there while bins_with[r] is not empty
    for item in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        length = lengths[item]
        large_enough = rooms >> length
        if large_enough:
            room = length + (large_enough & -large_enough).bit_length() - 1  # the lowest bit
            number = bins_with[room].pop()
            if not bins_with[room]:
                rooms &= ~(1 << room)
        else:
            room, number = capacity, len(bins)
            bins.append([])
        bins[number].append(item)
        if room > length:
            bins_with[room - length].append(number)
            rooms |= 1 << (room - length)
    return bins


class ChatRows:
    """Encoded conversations, laid out in rows.

    Args:
        chats: conversations as tokens. What does not fit into a row is left out, whole replies at a time.
        seq_len: positions T of a row.
        pad_id: fills rows up; never seen by a conversation, never a label.
        packed: several conversations may share a row; rows are then T wide. Else each has its own, and a
            batch is as wide as its longest.

    Attributes:
        num_left_out: conversations whose first reply already ends behind T.
        num_cut: conversations that lost later replies.
        num_tokens: input positions that hold conversations.
        num_labels: reply tokens, over all rows.
    """

    def __init__(self, chats: Sequence[EncodedChat], *, seq_len: int, pad_id: int, packed: bool) -> None:
        self.seq_len, self.packed = seq_len, packed
        self._pad_id = pad_id
        fitted = [(chat, fit_chat(chat, seq_len)) for chat in chats]
        self._chats = [kept for _, kept in fitted if kept is not None]
        self.num_left_out = len(fitted) - len(self._chats)
        self.num_cut = sum(
            kept is not None and sum(kept.is_reply) < sum(chat.is_reply) for chat, kept in fitted
        )
        lengths = [len(chat.ids) - 1 for chat in self._chats]
        self._rows = pack_best_fit(lengths, seq_len) if packed else [[i] for i in range(len(lengths))]
        self.num_tokens = sum(lengths)
        self.num_labels = sum(sum(chat.is_reply) for chat in self._chats)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._rows)

    @property
    def num_conversations(self) -> int:
        """Those that are in the rows."""
        return len(self._chats)

    @property
    def note(self) -> str | None:
        """One sentence on what does not fit into the rows; None where all fits."""
        if not self.num_left_out and not self.num_cut:
            return None
        number = self.num_left_out + self.num_conversations
        return (
            f"{self.num_left_out + self.num_cut:,} of {number:,} conversations are longer than "
            f"{self.seq_len} tokens: {self.num_left_out:,} are left out, {self.num_cut:,} end at an earlier "
            "reply. A model with a longer context keeps them."
        )

    def build_batch(self, rows: Sequence[int]) -> Batch:
        """The batch of these rows, [B, T]."""
        width = max(sum(len(self._chats[i].ids) - 1 for i in self._rows[row]) for row in rows)
        if self.packed:
            width = self.seq_len
        shape = (len(rows), width)
        inputs = np.full(shape, self._pad_id, dtype=np.int64)
        labels = np.full(shape, IGNORE_INDEX, dtype=np.int64)
        document_ids = np.zeros(shape, dtype=np.int64)
        for b, row in enumerate(rows):
            start = 0
            for number, i in enumerate(self._rows[row]):
                ids, is_reply = np.array(self._chats[i].ids), np.array(self._chats[i].is_reply)
                stop = start + len(ids) - 1
                inputs[b, start:stop] = ids[:-1]
                labels[b, start:stop] = np.where(is_reply[1:], ids[1:], IGNORE_INDEX)
                document_ids[b, start:stop] = number
                start = stop
            document_ids[b, start:] = len(self._rows[row])  # padding sees itself alone
        # Alone in its row, a conversation has only padding after it, where causal attention does not look.
        return Batch(
            torch.from_numpy(inputs),
            torch.from_numpy(labels),
            torch.from_numpy(document_ids) if self.packed else None,
        )

    def fingerprint(self) -> str:
        """A hash of all rows: equal exactly when the same tokens are learnt from the same rows."""
        digest = hashlib.sha256(f"{self.seq_len} {self.packed}".encode())
        for chat in self._chats:
            digest.update(np.array([len(chat.ids), *chat.ids], dtype=np.int64).tobytes())
            digest.update(bytes(chat.is_reply))
        return digest.hexdigest()


class ChatLoader(RowLoader):
    """Batches of `ChatRows`, in a new order in each epoch; stopped and taken up as in data/batches.py."""

    def __init__(self, rows: ChatRows, *, batch_size: int, seed: int) -> None:
        """Raises ValueError if batch_size < 1."""
        super().__init__(
            num_tokens=rows.num_tokens,
            num_rows=len(rows),
            batch_size=batch_size,
            seq_len=rows.seq_len,
            seed=seed,
            rank=0,
            world_size=1,
        )
        self._rows = rows
        self._fingerprint = rows.fingerprint()

    def _identity(self) -> dict[str, int | str]:
        return {**super()._identity(), "fingerprint": self._fingerprint}

    def _locate(self, epoch: int, places: Int64Array) -> Int64Array:
        return self._get_order(epoch)(places)

    def _build_batch(self, located: Int64Array) -> Batch:
        return self._rows.build_batch(located.tolist())
