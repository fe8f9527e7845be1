"""Run a folder in transformers beside our model: the same keys, logits, and ids of texts.

A folder that forgets a setting loads without a word and computes something else, so each export is loaded
back before it gets its name, and each import is held against the folder it came from.
transformers is imported here, and only when asked: it takes seconds, and may be absent.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer as HFTokenizer
from torch import Tensor

from nn2llm.core.errors import CheckpointError, Nn2llmError
from nn2llm.models.gpt import GPT
from nn2llm.models.hf.weights import COMPUTED
from nn2llm.tokenizers import TOKENIZER_FILE, Tokenizer

__all__ = ["Comparison", "compare_ids", "compare_logits", "import_transformers"]

TOLERANCE = 1e-5
"""Largest difference of two logits where the largest of them is at most 1; in proportion above."""

# Two models whose roundings are independent differ by little more than each differs from the exact one.
_ROUNDINGS = 8

# GPT-2's 124M take 20 s on two cores for 1,024 tokens; short contexts get more rows
_MAX_POSITIONS = 1024
_MAX_ROWS = 8

_TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "  two spaces,\ttab,\n\n\nlines \r\n and a trailing space ",
    "don't you're I'LL 'tis 3.14 10,000 x=[1,2];",
    "naïve café Ünïcödé Ελληνικά русский 日本語 العربية हिन्दी",
    "👩‍👩‍👧 🇪🇺 e\u0301 \u200b\ufeff\u00a0\u3000 \U00020000",
    "a . b , c ! d ? e 's f n't g",  # what a clean-up of tokenization spaces would change
    "one<|endoftext|>two <|endoftext|> <|user|>hi<|end|><|assistant|>",
    "x" * 300 + " " * 40 + "y",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What came of running both."""

    version: str | None
    """Of transformers; None: not compared."""
    reason: str = ""
    """Why not, in one sentence with a remedy."""
    num_rows: int = 0
    """Rows of random tokens."""
    num_positions: int = 0
    """Tokens in each."""
    max_difference: float = 0.0
    """Largest difference of two logits."""
    limit: float = 0.0
    """What it may be at most, for logits of this size."""
    num_texts: int = 0
    """Texts that got the same ids in both tokenizers."""

    def describe(self) -> str:
        """One or two sentences for people."""
        if self.version is None:
            return f"NOT compared with transformers: {self.reason}"
        texts = f"; the ids of {self.num_texts} texts are equal" if self.num_texts else ""
        return (
            f"Compared with transformers {self.version}: no tensor missing or unexpected; the logits of "
            f"{self.num_rows} × {self.num_positions} random tokens differ by at most "
            f"{self.max_difference:.1e} (allowed: {self.limit:.1e}){texts}."
        )


def import_transformers() -> tuple[Any, str]:
    """(the module, "") or (None, why not)."""
    try:
        import transformers
    except ImportError as error:
        if error.name == "transformers":
            return (
                None,
                "it is not installed. Install it with `pip install transformers`, and run this again.",
            )
        return None, f"it cannot be imported ({error}). Install it again with `pip install -U transformers`."
    except Exception as error:  # a version that does not go with this torch may raise anything
        return None, f"it cannot be imported ({error}). Install it again with `pip install -U transformers`."
    return transformers, ""


@torch.inference_mode()
def compare_logits(folder: Path, model: GPT, *, must_load: bool = True) -> Comparison:
    """Load `folder` with `AutoModelForCausalLM` in float32 and give both models the same random tokens.

    Where the folder's vocabulary is larger, its first `model.config.vocab_size` logits are compared.
    `must_load=False` is for folders of others: where transformers cannot load one, nothing is compared.

    Raises:
        CheckpointError: if transformers cannot load it, tensors are missing or unexpected, or logits differ.
    """
    transformers, reason = import_transformers()
    if transformers is None:
        return Comparison(version=None, reason=reason)
    version = transformers.__version__
    try:
        with _quiet(transformers), _loading(version):
            theirs, info = transformers.AutoModelForCausalLM.from_pretrained(
                str(folder), dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
    except CheckpointError as error:
        if must_load:
            raise
        return Comparison(version=None, reason=str(error))
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        names = sorted(name for name in map(str, info.get(kind) or []) if not name.endswith(COMPUTED))
        if names:
            raise CheckpointError(
                f"transformers {version} finds {kind.replace('_', ' ')}: {', '.join(names[:5])}. "
                "This is a mistake of nn2llm: please report it."
            )
    theirs.eval()
    was_training = model.training
    model.eval()
    num_positions = min(model.config.max_seq_len, _MAX_POSITIONS)
    num_rows = min(_MAX_ROWS, _MAX_POSITIONS // num_positions)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(model.config.vocab_size, (num_rows, num_positions), generator=generator)
    largest_difference, limit = 0.0, TOLERANCE
    for row in rows[:, None]:  # one at a time: logits are large
        ours = model(row.to(model.device)).logits.cpu()
        expected = theirs(row).logits[..., : model.config.vocab_size]
        limits = _compute_limits(expected)
        differences = (ours - expected).abs().amax(dim=(0, 2))
        # written so that NaN fails
        if not bool((differences <= limits).all()):
            limits = limits.clamp(min=_ROUNDINGS * _measure_rounding(model, row, ours))
        if not bool((differences <= limits).all()):
            position = int((differences / limits).nan_to_num(nan=float("inf")).argmax())
            raise CheckpointError(
                f"Our logits and those of transformers {version} differ by "
                f"{float(differences[position]):.2g} at position {position}; "
                f"{float(limits[position]):.2g} is allowed. "
                "Are the weights finite? Otherwise it is a mistake of nn2llm: please report it."
            )
        largest_difference = max(largest_difference, float(differences.max()))
        limit = max(limit, float(limits.max()))
    model.train(was_training)
    return Comparison(
        version=version,
        num_rows=num_rows,
        num_positions=num_positions,
        max_difference=largest_difference,
        limit=limit,
    )


def _compute_limits(logits: Tensor) -> Tensor:
    """How far logits may be apart at each position: float32 rounds in proportion to their size."""
    size = max(1.0, float(logits.abs().max()))
    return torch.full((logits.shape[1],), TOLERANCE * size)


def _measure_rounding(model: GPT, row: Tensor, logits: Tensor) -> float:
    """What float32 does to our own logits: the largest error, found by computing in float64.

    Deep models with large activations lose more digits than the size of their logits tells.
    """
    exact = copy.deepcopy(model).double()(row.to(model.device)).logits.cpu()
    return float((logits - exact).abs().nan_to_num(nan=0.0).max())


def compare_ids(folder: Path, tokenizer: Tokenizer, *, with_transformers: bool) -> int:
    """Give texts to our tokenizer and to the folder's; returns how many.

    The folder's `tokenizer.json` is read by `tokenizers`, and the whole folder by `AutoTokenizer` too where
    asked. Special tokens in a text are read as such by theirs, so by ours here.

    Raises:
        CheckpointError: if ids or decoded texts differ, or transformers cannot load the tokenizer.
    """
    texts = list(_build_texts(tokenizer))
    reference = HFTokenizer.from_file(str(folder / TOKENIZER_FILE))
    for text in texts:
        ids = tokenizer.encode(text, allowed_special=True)
        _demand_equal(reference.encode(text, add_special_tokens=False).ids, ids, text, "tokenizers")
    if with_transformers:
        transformers, _ = import_transformers()
        with _quiet(transformers):
            _compare_auto_tokenizer(transformers, folder, tokenizer, texts)
    return len(texts)


def _compare_auto_tokenizer(
    transformers: Any, folder: Path, tokenizer: Tokenizer, texts: Sequence[str]
) -> None:
    with _loading(transformers.__version__):
        auto = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    for text in texts:
        ids = tokenizer.encode(text, allowed_special=True)
        _demand_equal(auto(text)["input_ids"], ids, text, "AutoTokenizer")
        _demand_equal(auto.decode(ids), tokenizer.decode(ids), text, "AutoTokenizer, decoding")


def _demand_equal(theirs: Any, ours: Any, text: str, who: str) -> None:
    if theirs != ours:
        raise CheckpointError(
            f"The tokenizer of the folder and nn2llm's read {text[:40]!r} differently ({who}): "
            f"{str(theirs)[:60]} and {str(ours)[:60]}. It cannot stand for ours."
        )


def _build_texts(tokenizer: Tokenizer) -> Iterator[str]:
    """Texts that such a tokenizer may stumble over, and random ones of its own tokens."""
    for text in _TEXTS:
        try:
            tokenizer.encode(text, allowed_special=True)
        except Nn2llmError:  # a character tokenizer does not know them all
            continue
        yield text
    generator = torch.Generator().manual_seed(0)
    for length in (5, 20, 80):
        for ids in torch.randint(tokenizer.vocab_size, (5, length), generator=generator).tolist():
            # broken characters become U+FFFD, which a character tokenizer may not know
            text = tokenizer.decode_bytes(ids).decode(errors="ignore")
            if text:
                yield text


@contextmanager
def _loading(version: str) -> Iterator[None]:
    """Turn whatever transformers raises into one sentence."""
    try:
        yield
    except Exception as error:
        message = " ".join(str(error).split())
        raise CheckpointError(
            f"transformers {version} cannot load it ({type(error).__name__}: {message[:300].rstrip('.')}). "
            "nn2llm is tested with transformers 4.57 and newer."
        ) from error


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No progress bars and no warnings inside; as they were afterwards."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
