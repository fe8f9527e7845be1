"""Byte-level byte pair encoding (BPE), written to be read: training, then encoding.

The idea: begin with the 256 bytes as tokens, so any text can be written. Then, again and again, take the pair
of neighbouring tokens that occurs most often in the training text and make it one new token. The list of
those pairs, in order, is the whole tokenizer: encoding a new text replays it.

Read after base.py and presplit.py; fast.py gives the same ids sooner.
Taught in `bpe`.
Sources: Sennrich et al. 2016, https://arxiv.org/abs/1508.07909, algorithm 1; on bytes: Radford et al. 2019,
section 2.2.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Self

from nn2llm.core.errors import TokenizerError
from nn2llm.tokenizers.base import END_OF_TEXT, Tokenizer, replace_surrogates
from nn2llm.tokenizers.formats import BPEVocabulary, build_bpe_json
from nn2llm.tokenizers.presplit import find_safe_cut, slice_text, split_text

__all__ = ["NATURAL_BYTE_ORDER", "BPETokenizer", "Pair", "count_pieces", "learn_merges", "merge_pair"]

Pair = tuple[int, int]
"""The ids of two neighbouring tokens."""

NATURAL_BYTE_ORDER = bytes(range(256))

_MIN_PAIR_COUNT = 2  # A pair seen once saves one token in the whole corpus: not worth a row of the embedding.
_SLICE_CHARACTERS = 1 << 20
_MAX_CACHED_PIECES = 100_000


# --- Training -----------------------------------------------------------------------------------------------


def count_pieces(texts: Iterable[str]) -> dict[bytes, int]:
    """How often each distinct piece (a word with its space, say) occurs, as UTF-8 bytes.

    This is the first of two tricks that make training fast: 5 MB of English are a million pieces, but only
    30,000 different ones, and what happens inside a piece depends on the piece alone.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        for text_slice in slice_text(replace_surrogates(text), _SLICE_CHARACTERS):
            counts.update(split_text(text_slice))
    return {piece.encode(): count for piece, count in counts.items()}


def merge_pair(ids: Sequence[int], pair: Pair, new_id: int) -> list[int]:
    """Replace each `pair` in `ids` by `new_id`, from left to right: (1, 1) in [1, 1, 1] gives [new_id, 1]."""
    merged = []
    i = 0
    while i < len(ids):
        if i + 1 < len(ids) and (ids[i], ids[i + 1]) == pair:
            merged.append(new_id)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def learn_merges(
    piece_counts: Mapping[bytes, int],
    num_merges: int,
    *,
    on_merge: Callable[[int], None] | None = None,
) -> list[Pair]:
    """The `num_merges` pairs to merge, in order; merge k makes token 256 + k.

    Each step takes the pair with the highest count; of equal ones the smaller ids, so that the same text
    always gives the same tokenizer. Fewer pairs come back if no pair occurs twice any more.

    The second trick: count all pairs once, and after a merge correct only the pieces that contained the pair.

    Args:
        piece_counts: how often each distinct piece occurs.
        num_merges: how many new tokens to make.
        on_merge: called with the number of merges done, after each.
    """
    pieces = [list(piece) for piece in piece_counts]  # iterating over bytes gives the ids 0 to 255
    counts = list(piece_counts.values())
    pair_counts: Counter[Pair] = Counter()
    pieces_with: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, piece in enumerate(pieces):
        for pair in pairwise(piece):
            pair_counts[pair] += counts[index]
            pieces_with[pair].add(index)

    # The heap gives the most frequent pair without looking at all of them (heapq keeps the smallest on top,
    # so counts are negated). Once a pair is in the heap its count can only fall, while its entry stays as it
    # was. So an entry is never too low; one too high when it reaches the top goes back with today's count.
    heap = [(-count, pair) for pair, count in pair_counts.items()]
    heapq.heapify(heap)
    merges: list[Pair] = []
    while heap and len(merges) < num_merges:
        negated_count, pair = heapq.heappop(heap)
        count = pair_counts[pair]
        if count < _MIN_PAIR_COUNT:
            continue
        if count < -negated_count:
            heapq.heappush(heap, (-count, pair))
            continue

        new_id = 256 + len(merges)
        merges.append(pair)
        new_pairs: set[Pair] = set()
        for index in pieces_with.pop(pair):
            before = pieces[index]
            after = merge_pair(before, pair, new_id)
            pieces[index] = after
            for old in pairwise(before):
                pair_counts[old] -= counts[index]
            for new in pairwise(after):
                pair_counts[new] += counts[index]
                if new_id in new:
                    pieces_with[new].add(index)
                    new_pairs.add(new)
        for new in new_pairs:
            heapq.heappush(heap, (-pair_counts[new], new))
        if on_merge:
            on_merge(len(merges))
    return merges


# --- Encoding -----------------------------------------------------------------------------------------------


class BPETokenizer(Tokenizer):
    """Byte-level BPE. Ids 0 to 255 are the bytes, 256 + k is merge k, then come the special tokens.

    Args:
        merges: pairs of ids, in the order in which they were learnt.
        special_tokens: names that get the last ids.
        byte_order: the byte of each id below 256. Ours is the natural one; GPT-2 put printable bytes first.

    Raises:
        TokenizerError: if a merge uses an id that does not exist yet, or makes a token that exists.
    """

    kind: ClassVar[str] = "bpe"

    def __init__(
        self,
        merges: Sequence[Pair],
        special_tokens: Sequence[str] = (END_OF_TEXT,),
        *,
        byte_order: bytes = NATURAL_BYTE_ORDER,
    ) -> None:
        if sorted(byte_order) != list(range(256)):
            raise TokenizerError(
                f"byte_order must hold each of the 256 bytes once, got {len(set(byte_order))}."
            )
        tokens = [bytes([byte]) for byte in byte_order]
        for left, right in merges:
            if not (0 <= left < len(tokens) and 0 <= right < len(tokens)):
                raise TokenizerError(
                    f"Merge {(left, right)} uses an id that does not exist yet (there are {len(tokens)}); "
                    "the merges are damaged or out of order."
                )
            tokens.append(tokens[left] + tokens[right])
        super().__init__(tokens, special_tokens)
        self.merges = list(merges)
        self._byte_order = bytes(byte_order)
        self._byte_ids = {byte: token_id for token_id, byte in enumerate(byte_order)}
        self._merged_ids = {pair: 256 + rank for rank, pair in enumerate(merges)}
        self._cache: dict[bytes, list[int]] = {}

    @classmethod
    def from_vocabulary(cls, vocabulary: BPEVocabulary) -> Self:
        """The tokenizer that a file describes (see formats.py)."""
        return cls(vocabulary.merges, vocabulary.special_tokens, byte_order=vocabulary.byte_order)

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        vocab_size: int,
        special_tokens: Sequence[str] = (END_OF_TEXT,),
        on_merge: Callable[[int], None] | None = None,
    ) -> Self:
        """Learn merges from `texts`. The vocabulary is smaller than asked if no pair occurs twice any more.

        Raises:
            TokenizerError: if vocab_size is below 256 + the special tokens, or there is no text.
        """
        smallest = 256 + len(special_tokens)
        if vocab_size < smallest:
            raise TokenizerError(
                f"vocab_size must be at least {smallest} (256 bytes and {len(special_tokens)} special), "
                f"got {vocab_size}. Typical: 512 to 50257."
            )
        piece_counts = count_pieces(texts)
        if not piece_counts:
            raise TokenizerError(
                "There is no text to train a tokenizer on; choose a corpus that is not empty."
            )
        return cls(learn_merges(piece_counts, vocab_size - smallest, on_merge=on_merge), special_tokens)

    def truncated(self, vocab_size: int) -> Self:
        """The tokenizer of `vocab_size` ids that the same training would have given: the first merges.

        Raises:
            TokenizerError: if vocab_size is below 256 + the special tokens.
        """
        num_merges = vocab_size - 256 - len(self.special_tokens)
        if num_merges < 0:
            raise TokenizerError(
                f"vocab_size must be at least {256 + len(self.special_tokens)} "
                f"(256 bytes and {len(self.special_tokens)} special), got {vocab_size}."
            )
        return type(self)(self.merges[:num_merges], list(self.special_tokens), byte_order=self._byte_order)

    def with_special_tokens(self, names: Sequence[str]) -> Self:
        """See `Tokenizer.with_special_tokens`."""
        return type(self)(self.merges, [*self.special_tokens, *names], byte_order=self._byte_order)

    def _merge_bytes(self, piece: bytes) -> list[int]:
        """Ids of one piece: from its bytes, merge the pair that was learnt first, until none is left."""
        ids = [self._byte_ids[byte] for byte in piece]
        while len(ids) > 1:
            # A pair that was learnt earlier has the smaller id; one that never was has none.
            first = min(pairwise(ids), key=lambda pair: self._merged_ids.get(pair, self.vocab_size))
            if first not in self._merged_ids:
                break
            ids = merge_pair(ids, first, self._merged_ids[first])
        return ids

    def _encode_ordinary(self, text: str) -> list[int]:
        ids: list[int] = []
        for piece in map(str.encode, split_text(text)):
            if piece not in self._cache:
                if len(self._cache) >= _MAX_CACHED_PIECES:
                    self._cache.clear()
                self._cache[piece] = self._merge_bytes(piece)
            ids += self._cache[piece]
        return ids

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of bytes that need not be UTF-8; `decode_bytes` gives exactly them back.

        Where the text is broken there are no characters to split at, so all from the last whole piece on is
        one piece (with the white space before it, if it is white space too). tiktoken does the same.
        """
        try:
            return self._encode_ordinary(data.decode())
        except UnicodeDecodeError as error:
            pieces = split_text(data[: error.start].decode())
        ids = [self._encode_ordinary(piece) for piece in pieces]
        broken = data[len("".join(pieces[:-1]).encode()) :]
        flat = [token_id for piece_ids in ids[:-1] for token_id in piece_ids]
        if ids and self._is_blank(ids[-1][0]):
            while flat and self._is_blank(flat[-1]):
                broken = self.token_bytes(flat.pop()) + broken
        return flat + self._merge_bytes(broken)

    def _is_blank(self, token_id: int) -> bool:
        return not self.token_bytes(token_id).strip(b" \n\t")

    def _find_safe_cut(self, text: str) -> int:
        return find_safe_cut(text)

    def to_hf_json(self) -> dict[str, Any]:
        """See `Tokenizer.to_hf_json`."""
        return build_bpe_json(self._token_bytes[: 256 + len(self.merges)], self.merges, self.special_tokens)
