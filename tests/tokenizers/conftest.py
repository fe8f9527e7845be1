"""GPT-2's published files, and tiktoken built from them (from disk: tiktoken would download its own)."""

import os
from pathlib import Path

import pytest
import tiktoken

from nn2llm.tokenizers.bpe import BPETokenizer
from nn2llm.tokenizers.formats import parse_gpt2_files
from nn2llm.tokenizers.presplit import GPT2_PATTERN


def build_tiktoken(tokenizer: BPETokenizer) -> tiktoken.Encoding:
    """tiktoken with the same vocabulary: in its files a token's rank is its id."""
    special = tokenizer.special_tokens
    ordinary = range(tokenizer.vocab_size - len(special))
    return tiktoken.Encoding(
        "same-as-ours",
        pat_str=GPT2_PATTERN,
        mergeable_ranks={tokenizer.token_bytes(token_id): token_id for token_id in ordinary},
        special_tokens=special,
    )


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = Path(os.environ.get("NN2LLM_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the shared data, looked for in {folder}; set NN2LLM_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def gpt2_files(shared_data: Path) -> tuple[Path, Path]:
    folder = shared_data / "tokenizer"
    return folder / "gpt2-encoder.json", folder / "gpt2-vocab.bpe"


@pytest.fixture(scope="session")
def gpt2(gpt2_files: tuple[Path, Path]) -> BPETokenizer:
    return BPETokenizer.from_vocabulary(parse_gpt2_files(*gpt2_files))


@pytest.fixture(scope="session")
def gpt2_tiktoken(gpt2: BPETokenizer) -> tiktoken.Encoding:
    return build_tiktoken(gpt2)


@pytest.fixture(scope="session")
def small() -> BPETokenizer:
    """A BPE of 400 ids, trained on a text with words, runs of spaces, contractions, accents and emoji."""
    text = "the cat isn't here;  they'll   find the hat\n\n\tin 2024, 2025 — où est l'été? 你好，你好！ 🙂🙂 "
    text += "<|endoftext|> "
    return BPETokenizer.train([text * 3, "aaaaaaaaaa  bbbb\r\n\r\n" * 4], vocab_size=400)


@pytest.fixture(scope="session")
def small_tiktoken(small: BPETokenizer) -> tiktoken.Encoding:
    return build_tiktoken(small)
