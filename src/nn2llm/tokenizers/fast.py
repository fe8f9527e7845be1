"""The same BPE, quickly: HuggingFace's `tokenizers` merges, and a word met before is looked up.

Read after bpe.py: vocabulary, decoding, files and special tokens are the same code; only the work on pieces
differs. tests/tokenizers/test_agreement.py proves the ids equal. Used by loading.py, so by all other rooms.

Two ways, measured on 5 MB of books with GPT-2's merges on 2 busy cores: `tokenizers` from text to ids on both
took 2.8 s; splitting here, with its merges for new pieces and a table for known ones, took 1.5 s on one. So
the second is the way here, and the first for batches on machines with more cores.
"""

import os
from collections.abc import Sequence
from itertools import chain

from tokenizers import Tokenizer as HFTokenizer
from tokenizers import models, pre_tokenizers

from nn2llm.tokenizers.base import END_OF_TEXT, replace_surrogates
from nn2llm.tokenizers.bpe import NATURAL_BYTE_ORDER, BPETokenizer, Pair
from nn2llm.tokenizers.formats import bytes_to_chars
from nn2llm.tokenizers.presplit import slice_text, split_text

__all__ = ["FastBPETokenizer"]

_CORES_WORTH_THREADS = 4
_SLICE_CHARACTERS = 1 << 16  # 4,096 took 1.6 times as long, and one slice of 5 MB three times
_SLICES_AT_ONCE = 256  # bounds memory: `tokenizers` keeps offsets and more, some 100 bytes a token
_MAX_CACHED_PIECES = 1_000_000


class FastBPETokenizer(BPETokenizer):
    """`BPETokenizer`, with the same arguments, errors and ids."""

    def __init__(
        self,
        merges: Sequence[Pair],
        special_tokens: Sequence[str] = (END_OF_TEXT,),
        *,
        byte_order: bytes = NATURAL_BYTE_ORDER,
    ) -> None:
        super().__init__(merges, special_tokens, byte_order=byte_order)
        names = [bytes_to_chars(token) for token in self._token_bytes[: 256 + len(merges)]]
        self._model = models.BPE(
            vocab={name: token_id for token_id, name in enumerate(names)},
            merges=[(names[left], names[right]) for left, right in merges],
        )
        # Without added tokens: special ones are cut out before (`encode`), so here they are plain text.
        self._whole = HFTokenizer(self._model)
        self._whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        self._ids_of_piece = _PieceTable(self)

    def _merge_bytes(self, piece: bytes) -> list[int]:
        return [token.id for token in self._model.tokenize(bytes_to_chars(piece))]

    def _encode_ordinary(self, text: str) -> list[int]:
        slices = map(split_text, slice_text(text, _SLICE_CHARACTERS))
        return list(chain.from_iterable(map(self._ids_of_piece.__getitem__, chain.from_iterable(slices))))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """See `Tokenizer.encode_batch`."""
        if (os.cpu_count() or 1) < _CORES_WORTH_THREADS:
            return super().encode_batch(texts)
        return self._encode_in_threads(texts)

    def _encode_in_threads(self, texts: Sequence[str]) -> list[list[int]]:
        # Long texts are sliced, so that one of them does not keep a single core busy while the others wait.
        slices = [
            (index, part)
            for index, text in enumerate(texts)
            for part in slice_text(replace_surrogates(text), _SLICE_CHARACTERS)
        ]
        ids: list[list[int]] = [[] for _ in texts]
        for start in range(0, len(slices), _SLICES_AT_ONCE):
            group = slices[start : start + _SLICES_AT_ONCE]
            for (index, _), encoding in zip(
                group, self._whole.encode_batch_fast([part for _, part in group]), strict=True
            ):
                ids[index] += encoding.ids
        return ids


class _PieceTable(dict[str, list[int]]):
    """The ids of each piece met so far; Python calls `__missing__` for a new one."""

    def __init__(self, tokenizer: FastBPETokenizer) -> None:
        super().__init__()
        self._merge_bytes = tokenizer._merge_bytes

    def __missing__(self, piece: str) -> list[int]:
        if len(self) >= _MAX_CACHED_PIECES:
            self.clear()
        ids = self[piece] = self._merge_bytes(piece.encode())
        return ids
