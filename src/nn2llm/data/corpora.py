"""One interface to text: a name, a path or a glob becomes documents to train on and documents held out.

Read after data/readers.py. Used by data/prepare.py, train/ and the commands. Nothing is read before
`documents` is called, and one document is in memory at a time.

The split depends on the text alone, never on order or a seed:
- one document: the first 90% of its characters train, the last 10% are held out (as in nanoGPT);
- up to 1,000 documents: in the order of their hashes, held out until a tenth of the bytes is reached;
- more: held out where the hash falls into the first tenth of its range, so no second look is needed;
- a named download with a held-out file of its own keeps it.
Equal documents have equal hashes, so none is on both sides.
"""

import difflib
import glob
import hashlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from nn2llm.core.errors import DataError
from nn2llm.data.downloads import DOWNLOADS, DownloadProgress, NamedDownload, RemoteFile, fetch_file
from nn2llm.data.hub import fetch_hub_file, is_hub_name
from nn2llm.data.python_docs import iterate_python_docs
from nn2llm.data.readers import SUFFIXES, get_suffix, read_documents
from nn2llm.microworld import MICROWORLD, is_world_spec

__all__ = [
    "CORPUS_NAMES",
    "PYTHON_DOCS",
    "SPLITS",
    "Corpus",
    "DownloadedCorpus",
    "FileCorpus",
    "PythonDocsCorpus",
    "Split",
    "TextCorpus",
    "check_split",
    "load_corpus",
]

Split = Literal["train", "val"]
SPLITS: tuple[Split, Split] = ("train", "val")
PYTHON_DOCS = "python-docs"
CORPUS_NAMES: dict[str, str] = {
    MICROWORLD: "a village with known truth, made by a seed; see `nn2llm data inspect microworld`",
    PYTHON_DOCS: "the reference manual inside Python itself, 0.4 MB, always there",
    **{name: download.summary for name, download in DOWNLOADS.items()},
}

_HELD_OUT = 0.1
_FEW_DOCUMENTS = 1000


@dataclass(frozen=True, slots=True)
class _SplitRule:
    """How a corpus is split: a cut in its only document, or a test on a document's hash."""

    kind: Literal["cut", "chosen", "threshold"]
    held_out: frozenset[bytes] = frozenset()

    def is_held_out(self, digest: bytes) -> bool:
        if self.kind == "chosen":
            return digest in self.held_out
        return int.from_bytes(digest[:8], "big") < _HELD_OUT * 2**64


class Corpus(ABC):
    """Documents under a name, split into "train" and "val"."""

    name: str

    @abstractmethod
    def _iterate_all(self) -> Iterator[str]:
        """Every document, train and held out, in a fixed order."""

    @abstractmethod
    def describe(self) -> str:
        """One line for a person: what the text is and where it comes from. Reads no text."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash that changes when the text does; cheap (for files: path, size and time of change)."""

    @property
    def separates_documents(self) -> bool:
        """False where each split is one running text, so that no end of a document needs a mark."""
        return self._split_rule.kind != "cut"

    def documents(self, split: Split) -> Iterator[str]:
        """The documents of one split, in a fixed order.

        Raises:
            DataError: if the corpus is missing, empty, damaged, or cannot be split.
        """
        check_split(split)
        rule = self._split_rule
        for text in self._iterate_all():
            if rule.kind == "cut":
                cut = int(len(text) * (1 - _HELD_OUT))
                yield text[:cut] if split == "train" else text[cut:]
            elif rule.is_held_out(_digest(text)) == (split == "val"):
                yield text

    @cached_property
    def _split_rule(self) -> _SplitRule:
        sizes: dict[bytes, int] = {}
        num_documents, num_chars = 0, 0
        for text in self._iterate_all():
            num_documents += 1
            num_chars = len(text)
            digest = _digest(text)
            sizes[digest] = sizes.get(digest, 0) + len(text.encode())
            if len(sizes) > _FEW_DOCUMENTS:
                return _SplitRule("threshold")
        if num_documents == 0:
            raise DataError(f"The corpus {self.name} holds no text. Give one with at least a few sentences.")
        if num_documents == 1:
            if num_chars < 2:
                raise DataError(
                    f"The corpus {self.name} is a single character: nothing could be held out. Add text."
                )
            return _SplitRule("cut")
        if len(sizes) == 1:
            raise DataError(
                f"All {num_documents} documents of the corpus {self.name} are the same text, so none can be "
                "held out. Add other documents."
            )
        return _SplitRule("chosen", _choose_held_out(sizes))


def _choose_held_out(sizes: dict[bytes, int]) -> frozenset[bytes]:
    """The first hashes in order, as many as come nearest to a tenth of the bytes: at least one, not all."""
    ordered = sorted(sizes)
    goal = _HELD_OUT * sum(sizes.values())
    taken, best_count, best_gap = 0, 1, float("inf")
    for count, digest in enumerate(ordered[:-1], start=1):
        taken += sizes[digest]
        if abs(taken - goal) < best_gap:
            best_count, best_gap = count, abs(taken - goal)
    return frozenset(ordered[:best_count])


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def check_split(split: str) -> None:
    """Raise ValueError unless `split` is "train" or "val"."""
    if split not in SPLITS:
        raise ValueError(f"split must be 'train' or 'val', got {split!r}.")


class TextCorpus(Corpus):
    """Documents given in memory: for tests, lessons and text made by a program."""

    def __init__(self, texts: list[str], *, name: str = "texts") -> None:
        self.name = name
        self._texts = texts

    def _iterate_all(self) -> Iterator[str]:
        return (text for text in self._texts if text.strip())

    def describe(self) -> str:
        """One line for a person."""
        return f"{self.name}: {len(self._texts)} texts in memory"

    def fingerprint(self) -> str:
        """Hash of the texts."""
        return _hash_parts("text", *self._texts)


class PythonDocsCorpus(Corpus):
    """The sections of Python's reference manual; see data/python_docs.py."""

    name = PYTHON_DOCS

    def _iterate_all(self) -> Iterator[str]:
        return iterate_python_docs()

    def describe(self) -> str:
        """One line for a person."""
        version = ".".join(map(str, sys.version_info[:2]))
        return f"{PYTHON_DOCS}: the reference manual inside Python {version}"

    def fingerprint(self) -> str:
        """Hash of the sections."""
        return _hash_parts(PYTHON_DOCS, *iterate_python_docs())


class FileCorpus(Corpus):
    """Documents in files of `readers.SUFFIXES`, file after file in the order of their paths."""

    def __init__(self, paths: list[Path], *, name: str, text_field: str = "text") -> None:
        self.name = name
        self.paths = sorted(paths)
        self.text_field = text_field

    def _iterate_all(self) -> Iterator[str]:
        for path in self.paths:
            yield from read_documents(path, text_field=self.text_field)

    def describe(self) -> str:
        """One line for a person."""
        num_bytes = sum(_stat(path).st_size for path in self.paths)
        files = "1 file" if len(self.paths) == 1 else f"{len(self.paths)} files"
        return f"{self.name}: {files}, {num_bytes / 1e6:.1f} MB on disk"

    def fingerprint(self) -> str:
        """Hash of each file's path, size and time of change, and of the field read."""
        return _hash_parts("files", self.text_field, *map(_describe_file, self.paths))


class DownloadedCorpus(Corpus):
    """A text of `downloads.DOWNLOADS`, fetched when it is first read."""

    def __init__(self, name: str, *, progress: DownloadProgress | None = None) -> None:
        self.name = name
        self.download: NamedDownload = DOWNLOADS[name]
        self._progress = progress

    def _iterate_all(self) -> Iterator[str]:
        return read_documents(self._fetch(self.download.train))

    def documents(self, split: Split) -> Iterator[str]:
        """The documents of one split; the source's own held-out file where it has one."""
        check_split(split)
        if self.download.val is None:
            return super().documents(split)
        file = self.download.train if split == "train" else self.download.val
        return read_documents(self._fetch(file))

    @property
    def separates_documents(self) -> bool:
        """False where each split is one running text."""
        if self.download.val is None:
            return super().separates_documents
        documents = self.documents("val")
        next(documents, None)
        return next(documents, None) is not None

    def describe(self) -> str:
        """One line for a person."""
        return f"{self.name}: {self.download.summary} ({self.download.licence})"

    def fingerprint(self) -> str:
        """Hash of the addresses and checksums."""
        files = [file for file in (self.download.train, self.download.val) if file is not None]
        return _hash_parts("download", *(f"{file.url} {file.num_bytes} {file.sha256}" for file in files))

    def _fetch(self, file: RemoteFile) -> Path:
        return fetch_file(file, progress=self._progress)


def _hash_parts(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)  # with lengths: ["ab", "c"] is not ["a", "bc"]
    return digest.hexdigest()


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _describe_file(path: Path) -> str:
    stat = _stat(path)
    return f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"


def load_corpus(spec: str, *, text_field: str = "text", progress: DownloadProgress | None = None) -> Corpus:
    """The corpus that `spec` names: a name of `CORPUS_NAMES`, a file, a folder, a glob, or an "hf:" name.

    A folder means all files of `readers.SUFFIXES` in it, at any depth; one that `nn2llm data prepare` made,
    its tokens. A file wins over a name. "hf:OWNER/NAME/PATH" is a file on HuggingFace (data/hub.py), fetched
    now.
    `text_field` is the field of a JSON line that holds the text; `progress` hears of a download.

    Raises:
        DataError: if there is no such name, file or match.
    """
    if not spec.strip():
        raise DataError(
            f"No corpus was named. Choose one of {', '.join(CORPUS_NAMES)}, or the path of a text file."
        )
    try:
        path = Path(spec).expanduser()
        is_file, is_folder = path.is_file(), path.is_dir()
    except (OSError, RuntimeError) as error:  # a name too long, a home of nobody
        raise DataError(f"{spec[:80]!r} is not the name or path of a corpus ({error}).") from error
    if is_hub_name(spec):
        file = fetch_hub_file(spec, suffixes=SUFFIXES, progress=progress)
        return FileCorpus([file], name=spec, text_field=text_field)
    if is_file:
        if get_suffix(path) is None:
            raise DataError(
                f"{path} is not a text that can be read. Give a file ending in {', '.join(SUFFIXES)}."
            )
        return FileCorpus([path], name=spec, text_field=text_field)
    if is_world_spec(spec):
        from nn2llm.data.microworld_corpus import (
            MicroworldCorpus,
        )  # it is a Corpus, so it imports this module

        return MicroworldCorpus(spec)
    if spec == PYTHON_DOCS:
        return PythonDocsCorpus()
    if spec in DOWNLOADS:
        return DownloadedCorpus(spec, progress=progress)
    if is_folder:
        from nn2llm.data.prepare import is_dataset_folder  # it imports this module
        from nn2llm.data.prepared_corpus import PreparedCorpus

        return PreparedCorpus(path) if is_dataset_folder(path) else _load_folder(path, spec, text_field)
    if glob.has_magic(spec):
        found = [Path(match) for match in glob.glob(str(path), recursive=True)]
        paths = [match for match in found if match.is_file() and get_suffix(match)]
        if not paths:
            others = f" (only {len(found)} of other kinds)" if found else ""
            raise DataError(f"No file matches {spec!r}{others}. Give files ending in {', '.join(SUFFIXES)}.")
        return FileCorpus(paths, name=spec, text_field=text_field)
    raise _unknown_corpus(spec, path)


def _load_folder(path: Path, spec: str, text_field: str) -> Corpus:
    paths = [file for file in path.rglob("*") if file.is_file() and get_suffix(file)]
    if not paths:
        raise DataError(
            f"The folder {path} holds no text file. Put files ending in {', '.join(SUFFIXES)} there."
        )
    return FileCorpus(paths, name=spec, text_field=text_field)


def _unknown_corpus(spec: str, path: Path) -> DataError:
    close = difflib.get_close_matches(spec, CORPUS_NAMES, n=1)
    if close:
        return DataError(f"There is no corpus {spec!r}. Did you mean {close[0]!r}?")
    looks_like_path = os.sep in spec or "/" in spec or path.suffix != ""
    if looks_like_path:
        neighbours: dict[str, Path] = {}
        with suppress(OSError):
            neighbours = {file.name: file for file in path.parent.iterdir()}
        near = difflib.get_close_matches(path.name, neighbours, n=1)
        hint = f"Did you mean {str(neighbours[near[0]])!r}?" if near else "Check the path."
        return DataError(f"There is no file {spec!r}. {hint}")
    return DataError(
        f"There is no corpus {spec!r}. Choose one of {', '.join(CORPUS_NAMES)}, or the path of a text file."
    )
