"""A folder that `nn2llm data prepare` made, as a corpus: no tokenising, and its text can be read back.

Read data/prepare.py and data/corpora.py before. Used by data/corpora.py and train/starting.py, so that a run
starts from tokens that another machine, or another hour, has prepared.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from nn2llm.data.corpora import Corpus, Split, check_split
from nn2llm.data.prepare import TokenDataset, load_dataset
from nn2llm.tokenizers import Tokenizer, load_tokenizer

__all__ = ["PreparedCorpus"]

_PIECE_TOKENS = 1 << 18


class PreparedCorpus(Corpus):
    """The documents of a token dataset, decoded.

    Raises:
        DataError: if the folder is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self.dataset: TokenDataset = load_dataset(folder)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The one that its tokens were made with.

        Raises:
            TokenizerError: if it is missing or damaged.
        """
        return load_tokenizer(self.dataset.tokenizer_folder)

    @property
    def separates_documents(self) -> bool:
        """As when it was prepared."""
        return self.dataset.separates_documents

    def documents(self, split: Split) -> Iterator[str]:
        """The documents of one split, decoded one by one."""
        check_split(split)
        shards = self.dataset.train if split == "train" else self.dataset.val
        if not self.separates_documents:
            yield self.tokenizer.decode(shards[0 : len(shards)].tolist())
            return
        end = self.dataset.end_of_text_id
        pending: list[int] = []
        for start in range(0, len(shards), _PIECE_TOKENS):
            ids = np.asarray(shards[start : min(start + _PIECE_TOKENS, len(shards))])
            begin = 0
            for cut in np.flatnonzero(ids == end).tolist():
                yield self.tokenizer.decode([*pending, *ids[begin:cut].tolist()])
                pending, begin = [], cut + 1
            pending += ids[begin:].tolist()
        if pending:
            yield self.tokenizer.decode(pending)

    def _iterate_all(self) -> Iterator[str]:
        yield from self.documents("train")
        yield from self.documents("val")

    def describe(self) -> str:
        """One line for a person."""
        num_tokens = sum(count.num_tokens for count in self.dataset.counts.values())
        return f"{self.name}: {self.dataset.corpus_name}, prepared, {num_tokens:,} tokens"

    def fingerprint(self) -> str:
        """That of the text it was made from."""
        return self.dataset.corpus_fingerprint
