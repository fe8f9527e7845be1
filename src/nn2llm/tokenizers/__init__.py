"""Text to ids and back, from one token a character to GPT-2's byte pairs.

Read in this order: base.py, characters.py, presplit.py, bpe.py, fast.py;
formats.py and loading.py handle files.
"""

from nn2llm.tokenizers.base import END_OF_TEXT, TOKENIZER_FILE, Tokenizer
from nn2llm.tokenizers.bpe import BPETokenizer
from nn2llm.tokenizers.characters import CharTokenizer
from nn2llm.tokenizers.fast import FastBPETokenizer
from nn2llm.tokenizers.loading import DEFAULT_VOCAB_SIZE, load_gpt2_tokenizer, load_tokenizer, train_tokenizer

__all__ = [
    "DEFAULT_VOCAB_SIZE",
    "END_OF_TEXT",
    "TOKENIZER_FILE",
    "BPETokenizer",
    "CharTokenizer",
    "FastBPETokenizer",
    "Tokenizer",
    "load_gpt2_tokenizer",
    "load_tokenizer",
    "train_tokenizer",
]
