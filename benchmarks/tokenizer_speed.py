"""Megabytes encoded and decoded a second with GPT-2's vocabulary: ours, HF `tokenizers`, tiktoken.

4 MB of books, in documents of about 8,000 characters. One document after another on one core
("one by one"), and all in one call with all cores ("batch"); ids back to text one by one.

Why it is fair: all three are built from the same two files and must give the same ids and the same text
before anything is timed; by turns. `tokenizers` and tiktoken are called directly, not through transformers,
which adds to them. Ours and `tokenizers` keep a table of the words they have met: each turn starts with new
ones, built off the clock, so that no turn profits from the one before.
"""

from collections.abc import Callable
from pathlib import Path

import tiktoken
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from benchmarks.books import count_bytes, cut_into_documents, load_books
from benchmarks.measuring import format_table, median, median_ratio, time_by_turns
from benchmarks.options import Options
from nn2llm.core.device import choose_num_threads
from nn2llm.tokenizers import FastBPETokenizer, load_gpt2_tokenizer
from nn2llm.tokenizers.presplit import GPT2_PATTERN

NUM_BYTES = 4_000_000
DOCUMENT_CHARACTERS = 8_000
NAMES = {"ours": "ours", "hf": "HF tokenizers", "tiktoken": "tiktoken"}


class Encoders:
    """The three, from GPT-2's two files."""

    def __init__(self, encoder_json: Path, vocab_bpe: Path) -> None:
        self._files = encoder_json, vocab_bpe
        self.ours: FastBPETokenizer
        self.hf: Tokenizer
        self.renew()
        special = self.ours.end_of_text_id
        ranks = {self.ours.token_bytes(i): i for i in range(self.ours.vocab_size) if i != special}
        self.tiktoken = tiktoken.Encoding(
            "gpt2-files",
            pat_str=GPT2_PATTERN,
            mergeable_ranks=ranks,
            special_tokens={"<|endoftext|>": special},
        )

    def renew(self) -> None:
        """Build anew what remembers words; tiktoken does not."""
        encoder_json, vocab_bpe = self._files
        self.ours = load_gpt2_tokenizer(encoder_json, vocab_bpe)
        self.hf = Tokenizer(models.BPE.from_file(str(encoder_json), str(vocab_bpe)))
        self.hf.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.hf.decoder = decoders.ByteLevel()

    def list_one_by_one(self, texts: list[str]) -> dict[str, Callable[[], list[list[int]]]]:
        """One document after another."""
        return {
            "ours": lambda: [self.ours.encode(text) for text in texts],
            "hf": lambda: [self.hf.encode(text).ids for text in texts],
            "tiktoken": lambda: [self.tiktoken.encode_ordinary(text) for text in texts],
        }

    def list_batch(self, texts: list[str]) -> dict[str, Callable[[], list[list[int]]]]:
        """All at once."""
        cores = choose_num_threads()
        return {
            "ours": lambda: self.ours.encode_batch(texts),
            "hf": lambda: [encoding.ids for encoding in self.hf.encode_batch_fast(texts)],
            "tiktoken": lambda: self.tiktoken.encode_ordinary_batch(texts, num_threads=cores),
        }

    def list_decoding(self, rows: list[list[int]]) -> dict[str, Callable[[], list[str]]]:
        """Ids back to text, one by one."""
        return {
            "ours": lambda: [self.ours.decode(ids) for ids in rows],
            "hf": lambda: [self.hf.decode(ids, skip_special_tokens=False) for ids in rows],
            "tiktoken": lambda: [self.tiktoken.decode(ids) for ids in rows],
        }


def check_equal(results: dict[str, Callable[[], list]]) -> list:
    """What all of them give.

    Raises:
        AssertionError: naming who differs, and in which document.
    """
    name, *others = results
    expected = results[name]()
    for other in others:
        got = results[other]()
        assert len(got) == len(expected), f"{other} gives {len(got)} results, {name} {len(expected)}"
        for number, (theirs, ours) in enumerate(zip(got, expected, strict=True)):
            assert theirs == ours, f"document {number}: {other} and {name} differ"
    return expected


def run(options: Options) -> str:
    """The three tasks, by turns."""
    books = load_books(options.find_data("pretrain/books-00.jsonl.gz"), NUM_BYTES)
    texts = cut_into_documents(books, DOCUMENT_CHARACTERS)
    megabytes = count_bytes(texts) / 1e6
    encoders = Encoders(
        options.find_data("tokenizer/gpt2-encoder.json"), options.find_data("tokenizer/gpt2-vocab.bpe")
    )
    rows = check_equal(encoders.list_one_by_one(texts))
    assert check_equal(encoders.list_batch(texts)) == rows
    assert check_equal(encoders.list_decoding(rows)) == texts
    table = []
    for task, functions in (
        ("encode, one by one", encoders.list_one_by_one(texts)),
        (f"encode, batch, {choose_num_threads()} cores", encoders.list_batch(texts)),
        ("decode", encoders.list_decoding(rows)),
    ):
        seconds: dict[str, list[float]] = {name: [] for name in functions}
        for _ in range(options.repeats):
            encoders.renew()
            for name, (once,) in time_by_turns(functions, turns=1, warm_up=0).items():
                seconds[name].append(once)
        speeds = [f"{megabytes / median(seconds[name]):.1f}" for name in NAMES]
        ratios = [
            f"**{median_ratio(seconds[name], seconds['ours']):.2f}**" for name in NAMES if name != "ours"
        ]
        table.append((task, *speeds, *ratios))
    header = ("MB/s", *NAMES.values(), "ours / HF", "ours / tiktoken")
    return "\n".join(
        [
            f"GPT-2's vocabulary, {megabytes:.1f} MB of books in {len(texts)} documents, "
            f"medians of {options.repeats} turns, words not met before.",
            "",
            format_table(header, table),
        ]
    )
