"""The files of a tokenizer: HuggingFace's `tokenizer.json`, and GPT-2's `encoder.json` with `vocab.bpe`.

Read after base.py; only plain data here, no tokenizer. Both formats write bytes as printable characters, so
that a token is a JSON string: `BYTE_TO_CHAR` is GPT-2's table for that (a space becomes "Ġ", U+0120).
Used by bpe.py, characters.py and loading.py.
Sources: `bytes_to_unicode` in GPT-2's encoder.py; https://huggingface.co/docs/tokenizers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nn2llm.core.errors import DataError, TokenizerError
from nn2llm.core.files import read_json

__all__ = [
    "BYTE_TO_CHAR",
    "GPT2_BYTE_ORDER",
    "BPEVocabulary",
    "build_bpe_json",
    "build_char_json",
    "bytes_to_chars",
    "describe_damage",
    "parse_gpt2_files",
    "parse_hf_json",
]


def _build_byte_to_char() -> dict[int, str]:
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    unprintable = [byte for byte in range(256) if byte not in printable]
    table = {byte: chr(byte) for byte in printable}
    return table | {byte: chr(256 + i) for i, byte in enumerate(unprintable)}


BYTE_TO_CHAR = _build_byte_to_char()
"""A printable character for each byte: itself where it is printable, else one from U+0100 on."""

GPT2_BYTE_ORDER = bytes(BYTE_TO_CHAR)
"""The byte of each of GPT-2's ids 0 to 255: printable ones first."""


class BPEVocabulary(NamedTuple):
    """All that defines a byte-level BPE: ids 0-255 are bytes, 256 + k is merge k, special tokens are last."""

    byte_order: bytes
    merges: list[tuple[int, int]]
    special_tokens: list[str]


def bytes_to_chars(data: bytes) -> str:
    """`data`, written in GPT-2's printable characters."""
    return "".join(BYTE_TO_CHAR[byte] for byte in data)


def build_bpe_json(
    tokens: Sequence[bytes], merges: Sequence[tuple[int, int]], special_tokens: Mapping[str, int]
) -> dict[str, Any]:
    """`tokenizer.json` of a byte-level BPE. `tokens` are the ordinary ones, in the order of their ids."""
    names = [bytes_to_chars(token) for token in tokens]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {name: token_id for token_id, name in enumerate(names)},
        "merges": [[names[left], names[right]] for left, right in merges],
    }
    return _build_json(model, byte_level, byte_level, special_tokens)


def build_char_json(characters: Sequence[str], special_tokens: Mapping[str, int]) -> dict[str, Any]:
    """`tokenizer.json` of a character tokenizer: split between all characters, look up, join without spaces.

    WordLevel refuses a character it does not know; a BPE without merges would drop it silently.
    """
    split = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}
    vocabulary = {character: token_id for token_id, character in enumerate(characters)}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"}
    return _build_json(model, split, {"type": "Fuse"}, special_tokens)


def _build_json(
    model: dict[str, Any], pre_tokenizer: dict[str, Any], decoder: dict[str, Any], special: Mapping[str, int]
) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": token_id, "content": name, **flags} for name, token_id in special.items()],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }


def parse_hf_json(path: Path) -> tuple[list[str], list[str]] | BPEVocabulary:
    """Read a `tokenizer.json`: (characters, special tokens), or a byte-level BPE.

    Raises:
        TokenizerError: if it is missing, damaged, or of a kind that this room does not write.
    """
    content = _read(path)
    try:
        model, pre_tokenizer = content["model"], content["pre_tokenizer"] or {}
        kinds = (model["type"], pre_tokenizer.get("type"))
        added = sorted(content["added_tokens"], key=lambda token: token["id"])
        special_tokens = [token["content"] for token in added]
        vocabulary: dict[str, int] = dict(model["vocab"])
        if kinds == ("WordLevel", "Split"):
            if not all(isinstance(name, str) and len(name) == 1 for name in vocabulary):
                raise ValueError("a token is not one character")
            characters = sorted(vocabulary)
            _check_ids(
                [*characters, *special_tokens],
                vocabulary | {token["content"]: token["id"] for token in added},
            )
            return characters, special_tokens
        plain = not content.get("normalizer") and not pre_tokenizer.get("add_prefix_space")
        if kinds == ("BPE", "ByteLevel") and plain and pre_tokenizer.get("use_regex", True):
            merges = [
                tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]
            ]
            vocabulary |= {token["content"]: token["id"] for token in added}
            return _arrange_bpe(vocabulary, merges, special_tokens)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise describe_damage(path, error) from error
    raise TokenizerError(
        f"{path} holds a tokenizer of another kind ({kinds[0]} with pre-tokenizer {kinds[1]}). "
        "nn2llm reads the tokenizers that it trains, and GPT-2's."
    )


def parse_gpt2_files(encoder_json: Path, vocab_bpe: Path) -> BPEVocabulary:
    """Read GPT-2's vocabulary (token to id) and merges (one pair a line, most frequent first).

    Raises:
        TokenizerError: if a file is missing or damaged, or the two do not belong together.
    """
    vocabulary = _read(encoder_json)
    try:
        lines = vocab_bpe.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise TokenizerError(f"{vocab_bpe} does not exist; GPT-2's tokenizer needs it.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise describe_damage(vocab_bpe, error) from error
    try:
        merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
        special_tokens = sorted(
            set(vocabulary) - set(BYTE_TO_CHAR.values()) - {"".join(pair) for pair in merges},
            key=lambda name: vocabulary[name],
        )
        return _arrange_bpe(vocabulary, merges, special_tokens)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise describe_damage(vocab_bpe, error) from error


def _arrange_bpe(
    vocabulary: dict[str, int], merges: Sequence[tuple[str, ...]], special_tokens: list[str]
) -> BPEVocabulary:
    byte_of_id = {vocabulary[char]: byte for byte, char in BYTE_TO_CHAR.items()}
    byte_order = bytes(byte_of_id[token_id] for token_id in range(256))
    merged = [left + right for left, right in merges]
    _check_ids([*(BYTE_TO_CHAR[byte] for byte in byte_order), *merged, *special_tokens], vocabulary)
    pairs = [(vocabulary[left], vocabulary[right]) for left, right in merges]
    return BPEVocabulary(byte_order, pairs, special_tokens)


def _check_ids(names: list[str], vocabulary: dict[str, int]) -> None:
    """The ids must be 0, 1, 2, … in the order of `names`: bytes or characters, merges, special tokens."""
    for token_id, name in enumerate(names):
        if vocabulary[name] != token_id:
            raise ValueError(f"token {name!r} has id {vocabulary[name]}, not {token_id}")
    if len(vocabulary) != len(names):
        raise ValueError(f"{len(vocabulary)} tokens, {len(names)} of them made by the merges")


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except DataError as error:
        raise TokenizerError(str(error)) from error
    except OSError as error:
        raise describe_damage(path, error) from error


def describe_damage(path: Path, error: Exception) -> TokenizerError:
    """The error to raise where `path` was read, but `error` came of it."""
    reason = str(error).rstrip(".")
    if isinstance(error, KeyError):
        reason = f"{error} is missing"
    elif isinstance(error, TypeError | AttributeError):
        reason = f"its structure is another one: {error}"
    return TokenizerError(
        f"{path} cannot be used as a tokenizer ({reason}). "
        "Restore it from a copy, or train one: `nn2llm tokenizer train --help`."
    )
