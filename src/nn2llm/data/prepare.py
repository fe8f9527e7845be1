"""Tokenise a corpus once, and keep the tokens with what is needed to use them.

Read after data/corpora.py and data/shards.py. Used by train/ and `nn2llm data prepare`. A dataset folder:

    manifest.json   corpus, tokenizer, and for each split its tokens, bytes and documents
    train/ val/     token shards
    tokenizer/      the tokenizer, so that the tokens can be read back

`<|endoftext|>` stands after each document. A corpus that is one running text (tiny Shakespeare) gets none:
the cut between its training and held-out part is no end, and so every token predicted is text.
"""

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from nn2llm.core.errors import DataError
from nn2llm.core.files import read_json, replace_folder, storage_errors, sync_folder, write_json_atomic
from nn2llm.data.corpora import SPLITS, Corpus, Split
from nn2llm.data.shards import DEFAULT_SHARD_TOKENS, ShardWriter, TokenShards

__all__ = [
    "PrepareProgress",
    "SplitCounts",
    "TextEncoder",
    "TokenDataset",
    "check_target",
    "is_dataset_folder",
    "load_dataset",
    "prepare_dataset",
]

_FORMAT = "nn2llm token dataset 1"
_MANIFEST = "manifest.json"
_BATCH_CHARS = 1 << 20
_PIECE_CHARS = 1 << 18


class TextEncoder(Protocol):
    """What preparing asks of a tokenizer; every `nn2llm.tokenizers` tokenizer has it."""

    @property
    def kind(self) -> str:
        """Its name: "char", "bpe"."""
        ...

    @property
    def vocab_size(self) -> int:
        """V: ids are 0 to V-1."""
        ...

    @property
    def end_of_text_id(self) -> int:
        """The id of `<|endoftext|>`."""
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""
        ...

    def encode_stream(self, chunks: Iterator[str]) -> Iterator[list[int]]:
        """The ids of one text that comes in pieces."""
        ...

    def fingerprint(self) -> str:
        """A hash of vocabulary and merges."""
        ...

    def save(self, folder: Path) -> None:
        """Write itself into `folder`."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SplitCounts:
    """The size of one split."""

    num_documents: int
    num_bytes: int
    """UTF-8 bytes of the text; marks between documents are not counted."""
    num_tokens: int
    """Tokens of the stream, marks between documents counted."""


PrepareProgress = Callable[[Split, SplitCounts], None]
"""Called now and then with the split at work and what it holds so far."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TokenDataset:
    """A prepared folder. `counts["val"].num_bytes` is what bits per byte divide by."""

    folder: Path
    train: TokenShards
    val: TokenShards
    counts: dict[Split, SplitCounts]
    corpus_name: str
    corpus_fingerprint: str
    tokenizer_kind: str
    tokenizer_fingerprint: str
    vocab_size: int
    end_of_text_id: int
    separates_documents: bool
    """True: `<|endoftext|>` stands after each document. False: the text runs on and has none."""

    @property
    def val_num_bytes(self) -> int:
        """UTF-8 bytes of the held-out text."""
        return self.counts["val"].num_bytes

    @property
    def val_num_tokens(self) -> int:
        """Tokens of the held-out stream."""
        return self.counts["val"].num_tokens

    @property
    def first_prompt(self) -> list[int]:
        """What a sample starts from: the mark between documents, or the first token of a text without."""
        return [self.end_of_text_id if self.separates_documents else int(self.train[0:1][0])]

    @property
    def tokenizer_folder(self) -> Path:
        """Where the tokenizer lies, for `tokenizers.load_tokenizer`."""
        return self.folder / "tokenizer"


def prepare_dataset(
    corpus: Corpus,
    tokenizer: TextEncoder,
    folder: Path,
    *,
    replace: bool = True,
    progress: PrepareProgress | None = None,
    max_shard_tokens: int = DEFAULT_SHARD_TOKENS,
) -> TokenDataset:
    """Tokenise both splits of `corpus` into `folder`, the whole folder or nothing.

    A finished folder of the same corpus and tokenizer is opened as it is; a damaged one is made again. One of
    another corpus or tokenizer is replaced, or refused with `replace=False`. Under torchrun let one rank
    prepare and the others wait.

    Raises:
        DataError: if the text cannot be read, or `folder` holds something that may not be replaced.
        StorageError: if the disk is full or the folder cannot be written.
    """
    identity: dict[str, Any] = {
        "format": _FORMAT,
        "corpus": corpus.name,
        "corpus_fingerprint": corpus.fingerprint(),
        "tokenizer_kind": tokenizer.kind,
        "tokenizer_fingerprint": tokenizer.fingerprint(),
        "vocab_size": tokenizer.vocab_size,
        "end_of_text_id": tokenizer.end_of_text_id,
    }
    ready = _open_if_same(folder, identity, replace)
    if ready is not None:
        return ready
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        separates = corpus.separates_documents
        splits: dict[str, dict[str, int]] = {}
        for split in SPLITS:
            with ShardWriter(
                partial / split,
                vocab_size=tokenizer.vocab_size,
                fingerprint=tokenizer.fingerprint(),
                max_shard_tokens=max_shard_tokens,
            ) as writer:
                counts = _write_split(corpus, split, tokenizer, writer, separates, progress)
            splits[split] = dataclasses.asdict(counts)
        with storage_errors(partial):
            (partial / "tokenizer").mkdir()
            tokenizer.save(partial / "tokenizer")
        manifest = {**identity, "separates_documents": separates, "splits": splits}
        write_json_atomic(partial / _MANIFEST, manifest)
        with storage_errors(folder):
            sync_folder(partial)
        replace_folder(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return load_dataset(folder)


def check_target(folder: Path) -> None:
    """Whether `prepare_dataset` may write `folder`: replacing deletes, so never what it did not write.

    Raises:
        DataError: if `folder` is a file, or holds anything but a dataset.
    """
    if not folder.exists() or is_dataset_folder(folder):
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise DataError(
            f"{folder} exists and is not a token dataset. Choose another --out, or empty it first."
        )


def _open_if_same(folder: Path, identity: dict[str, Any], replace: bool) -> TokenDataset | None:
    """The dataset in `folder` if it is the one wanted; None if it may be (over)written."""
    if not folder.exists():
        return None
    manifest = _read_manifest(folder) if folder.is_dir() else None
    if manifest is None:
        check_target(folder)
        return None
    if any(manifest.get(key) != value for key, value in identity.items()):
        if not replace:
            raise DataError(
                f"{folder} holds another dataset ({manifest.get('corpus')}, {manifest.get('tokenizer_kind')} "
                f"tokenizer of {manifest.get('vocab_size')}). Choose another --out, or add --replace."
            )
        return None
    try:
        return load_dataset(folder)
    except DataError:
        return None  # damaged: made again from the text


def _write_split(
    corpus: Corpus,
    split: Split,
    tokenizer: TextEncoder,
    writer: ShardWriter,
    separates: bool,
    progress: PrepareProgress | None,
) -> SplitCounts:
    mark = [tokenizer.end_of_text_id] if separates else []
    counts = SplitCounts(num_documents=0, num_bytes=0, num_tokens=0)
    for texts in _group_texts(corpus.documents(split)):
        if len(texts) == 1:
            for ids in tokenizer.encode_stream(_iterate_pieces(texts[0])):
                writer.append(ids)
                if progress is not None:
                    progress(split, dataclasses.replace(counts, num_tokens=writer.num_tokens))
            writer.append(mark)
        else:
            for ids in tokenizer.encode_batch(texts):
                writer.append(ids + mark)
        counts = SplitCounts(
            num_documents=counts.num_documents + len(texts),
            num_bytes=counts.num_bytes + sum(len(text.encode()) for text in texts),
            num_tokens=writer.num_tokens,
        )
        if progress is not None:
            progress(split, counts)
    return counts


def _group_texts(documents: Iterator[str]) -> Iterator[list[str]]:
    """Documents in groups of about 1 Mi characters, so that a fast tokenizer can use all cores."""
    group: list[str] = []
    num_chars = 0
    for text in documents:
        if group and num_chars + len(text) > _BATCH_CHARS:
            yield group
            group, num_chars = [], 0
        group.append(text)
        num_chars += len(text)
    if group:
        yield group


def _iterate_pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _PIECE_CHARS):
        yield text[start : start + _PIECE_CHARS]


def is_dataset_folder(folder: Path) -> bool:
    """Whether `prepare_dataset` made `folder` (its manifest says so; nothing else is checked)."""
    return _read_manifest(folder) is not None


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = read_json(folder / _MANIFEST)
    except (DataError, OSError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("format") == _FORMAT else None


def load_dataset(folder: Path, *, verify: bool = False) -> TokenDataset:
    """Open a prepared folder; `verify=True` reads every byte and checks the checksums.

    Raises:
        DataError: if it is not a dataset folder, or is damaged.
    """
    manifest = _read_manifest(folder)
    if manifest is None:
        raise DataError(f"{folder} is not a token dataset. Make one with `nn2llm data prepare --out FOLDER`.")
    try:
        splits = manifest["splits"]
        counts: dict[Split, SplitCounts] = {split: SplitCounts(**splits[split]) for split in SPLITS}
        dataset = TokenDataset(
            folder=folder,
            train=TokenShards(folder / "train", verify=verify),
            val=TokenShards(folder / "val", verify=verify),
            counts=counts,
            corpus_name=str(manifest["corpus"]),
            corpus_fingerprint=str(manifest["corpus_fingerprint"]),
            tokenizer_kind=str(manifest["tokenizer_kind"]),
            tokenizer_fingerprint=str(manifest["tokenizer_fingerprint"]),
            vocab_size=int(manifest["vocab_size"]),
            end_of_text_id=int(manifest["end_of_text_id"]),
            separates_documents=bool(manifest["separates_documents"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{folder / _MANIFEST} is damaged ({error!r}). "
            "Delete the folder and run `nn2llm data prepare` again."
        ) from error
    for split, shards in zip(SPLITS, (dataset.train, dataset.val), strict=True):
        expected = dataset.counts[split].num_tokens
        if len(shards) != expected or shards.fingerprint != dataset.tokenizer_fingerprint:
            raise DataError(
                f"{folder / split} holds {len(shards):,} tokens instead of {expected:,}, or those of another "
                "tokenizer. Delete the folder and run `nn2llm data prepare` again."
            )
    return dataset
