"""Seconds to learn a byte-level BPE of 1,000 ids from 5 MB of books: our Python, HF `tokenizers` in Rust.

Why it is fair: the same texts, the same number of ids and the same way to cut words; by turns. Theirs uses
all cores, ours one.
"""

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from benchmarks.books import load_books
from benchmarks.measuring import format_table, median, median_ratio, time_by_turns
from benchmarks.options import Options
from nn2llm.tokenizers import train_tokenizer

VOCAB_SIZE = 1000
NUM_BYTES = 5_000_000


def train_peer(texts: list[str]) -> None:
    """The same vocabulary with HF tokenizers."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB_SIZE, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)


def run(options: Options) -> str:
    """Both, by turns."""
    texts = load_books(options.find_data("pretrain/books-00.jsonl.gz"), NUM_BYTES)
    seconds = time_by_turns(
        {
            "ours": lambda: train_tokenizer("bpe", texts, vocab_size=VOCAB_SIZE),
            "peer": lambda: train_peer(texts),
        },
        turns=options.repeats,
        warm_up=0,
    )
    row = (
        f"{median(seconds['ours']):.2f}",
        f"{median(seconds['peer']):.2f}",
        f"**{median_ratio(seconds['peer'], seconds['ours']):.2f}**",
    )
    return "\n".join(
        [
            f"Seconds to train a byte-level BPE of {VOCAB_SIZE:,} ids on 5 MB of books, "
            f"medians of {options.repeats} turns.",
            "",
            format_table(("ours, pure Python", "HF tokenizers, Rust", "peer / ours"), [row]),
        ]
    )
