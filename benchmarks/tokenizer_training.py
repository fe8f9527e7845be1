"""Seconds to learn a byte-level BPE of 1,000 ids from 5 MB of books: our Python, HF `tokenizers` in Rust."""

import argparse
import gzip
import json
import statistics
import time
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from nn2llm.tokenizers import train_tokenizer

VOCAB_SIZE = 1000
NUM_BYTES = 5_000_000


def load_text(path: Path) -> list[str]:
    """The first 5 MB of the books, a document an element."""
    texts, size = [], 0
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            text = json.loads(line)["text"][: NUM_BYTES - size]
            texts.append(text)
            size += len(text.encode())
            if size >= NUM_BYTES:
                break
    return texts


def train_peer(texts: list[str]) -> None:
    """The same vocabulary with HF tokenizers."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB_SIZE, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)


def run(arguments: argparse.Namespace) -> str:
    """Time both by turns; medians."""
    texts = load_text(arguments.data / "pretrain" / "books-00.jsonl.gz")
    ours, peer = [], []
    for _ in range(arguments.repeats):
        start = time.perf_counter()
        train_tokenizer("bpe", texts, vocab_size=VOCAB_SIZE)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        train_peer(texts)
        peer.append(time.perf_counter() - start)
    ours_s, peer_s = statistics.median(ours), statistics.median(peer)
    return "\n".join(
        [
            f"Seconds to train a byte-level BPE of {VOCAB_SIZE:,} ids on 5 MB of books, "
            f"medians of {arguments.repeats}.",
            "",
            "| ours, pure Python | HF tokenizers, Rust | ours / HF |",
            "| --- | --- | --- |",
            f"| {ours_s:.2f} | {peer_s:.2f} | {ours_s / peer_s:.1f} |",
        ]
    )
