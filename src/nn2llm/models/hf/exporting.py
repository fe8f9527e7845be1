"""Write a GPT and its tokenizer as a folder that transformers, vLLM and others load without any code of ours.

    config.json               the model's settings, in transformers' words
    model.safetensors         weights
    tokenizer.json            all of the tokenizer
    tokenizer_config.json     how transformers is to use it
    chat_template.jinja       how a conversation becomes a text (tokenizers/chat.py)
    generation_config.json    where a text ends
    README.md                 the model card

The folder is written under another name, loaded back and compared (comparing.py), then renamed: what has the
name is whole and right.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch

from nn2llm.core.errors import ConfigError
from nn2llm.core.files import replace_folder, storage_errors, write_bytes_atomic, write_json_atomic
from nn2llm.models.accounting import count_parameters
from nn2llm.models.gpt import GPT
from nn2llm.models.hf.architectures import (
    BEGINS_DOCUMENTS,
    Architecture,
    build_hf_config,
    choose_architecture,
)
from nn2llm.models.hf.card import Figures, build_card
from nn2llm.models.hf.comparing import Comparison, compare_ids, compare_logits
from nn2llm.models.hf.weights import to_hf_weights
from nn2llm.tokenizers import END_OF_TEXT, Tokenizer
from nn2llm.tokenizers.chat import choose_chat_template

__all__ = ["Dtype", "Export", "export_to_hf", "require_free"]

Dtype = Literal["float32", "bfloat16"]

_DTYPES: dict[Dtype, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """What was written."""

    folder: Path
    architecture: Architecture
    num_parameters: int
    num_bytes: int
    """Of the weights' file."""
    has_chat_template: bool
    comparison: Comparison


def require_free(folder: Path) -> None:
    """Refuse to write over what is there.

    Raises:
        ConfigError: if `folder` is a file, or holds anything.
    """
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        what = "holds something already" if folder.is_dir() else "is a file"
        raise ConfigError(f"{folder} {what}. Choose another --out, or delete it first.")


def export_to_hf(
    model: GPT,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    dtype: Dtype = "float32",
    figures: Figures | None = None,
    begins_documents: bool = False,
) -> Export:
    """Write `model` and `tokenizer` into the new folder `folder`, whole and compared, or not at all.

    Args:
        model: float32 weights, on any device.
        tokenizer: with exactly the model's vocabulary.
        folder: must not exist, or be empty.
        dtype: of the weights in the file; with bfloat16 the comparison is of the rounded weights.
        figures: what the card says of the run.
        begins_documents: whether a prompt should stand after `<|endoftext|>`, as after training with document
            masks; kept in config.json under `BEGINS_DOCUMENTS`, which transformers leaves alone.

    Raises:
        ConfigError: if no architecture fits the model, or `folder` holds something.
        CheckpointError: if transformers computes something else from it.
        StorageError: if the disk does not take it.
    """
    require_free(folder)
    architecture = choose_architecture(model.config)
    if tokenizer.vocab_size != model.config.vocab_size:
        raise ConfigError(
            f"The tokenizer has {tokenizer.vocab_size} ids, the model {model.config.vocab_size}: they are "
            "not of one run. Export a model with its own tokenizer."
        )
    stored = {name: tensor.detach().cpu().to(_DTYPES[dtype]) for name, tensor in model.state_dict().items()}
    weights = to_hf_weights(stored, model.config, architecture)
    if dtype != "float32":
        rounded = GPT(model.config)
        rounded.load_state_dict(stored)
        model = rounded.eval()
    special_ids = _choose_special_ids(tokenizer)
    chat_template = choose_chat_template(tokenizer)
    data = safetensors.torch.save(weights, metadata={"format": "pt"})
    partial = folder.with_name(f".{folder.name}.partial")
    with storage_errors(folder):
        shutil.rmtree(partial, ignore_errors=True)  # of an export that was killed
        partial.mkdir(parents=True)
    try:
        write_bytes_atomic(partial / "model.safetensors", data)
        config = build_hf_config(model.config, architecture, dtype=dtype, special_ids=special_ids)
        if begins_documents:
            config[BEGINS_DOCUMENTS] = True
        write_json_atomic(partial / "config.json", config)
        write_json_atomic(partial / "generation_config.json", special_ids)
        tokenizer.save(partial)
        write_json_atomic(
            partial / "tokenizer_config.json", _build_tokenizer_config(tokenizer, model.config.max_seq_len)
        )
        if chat_template is not None:
            write_bytes_atomic(partial / "chat_template.jinja", chat_template.encode())
        comparison = _compare(partial, model, tokenizer)
        card = build_card(
            model.config,
            architecture,
            tokenizer,
            figures or Figures(),
            comparison,
            dtype=dtype,
            has_chat_template=chat_template is not None,
            begins_documents=begins_documents,
        )
        write_bytes_atomic(partial / "README.md", card.encode())
        replace_folder(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Export(
        folder=folder,
        architecture=architecture,
        num_parameters=count_parameters(model),
        num_bytes=len(data),
        has_chat_template=chat_template is not None,
        comparison=comparison,
    )


def _compare(folder: Path, model: GPT, tokenizer: Tokenizer) -> Comparison:
    comparison = compare_logits(folder, model)
    num_texts = compare_ids(folder, tokenizer, with_transformers=comparison.version is not None)
    return replace(comparison, num_texts=num_texts)


_END_OF_TURN = "<|end|>"
_PADDING = "<|pad|>"


def _choose_special_ids(tokenizer: Tokenizer) -> dict[str, Any]:
    """Where texts begin and end, and what fills up rows.

    Our texts stand in a row with <|endoftext|> between them, so it begins a text as well as it ends one. It
    fills up rows too where there is no token for that, as is usual with GPT-2; the attention mask hides it.
    """
    special = tokenizer.special_tokens
    ends = [special[name] for name in (END_OF_TEXT, _END_OF_TURN) if name in special]
    return {
        "bos_token_id": tokenizer.end_of_text_id,
        "eos_token_id": ends if len(ends) > 1 else ends[0],
        "pad_token_id": special.get(_PADDING, tokenizer.end_of_text_id),
    }


def _build_tokenizer_config(tokenizer: Tokenizer, max_seq_len: int) -> dict[str, Any]:
    # PreTrainedTokenizerFast: the one class that takes tokenizer.json as it is. Those named after a model
    # build their own splitting rules around its vocabulary. No unk_token: bytes are never unknown, and a
    # character tokenizer refuses what it does not know.
    padding = _PADDING if _PADDING in tokenizer.special_tokens else END_OF_TEXT
    others = [name for name in tokenizer.special_tokens if name not in {END_OF_TEXT, padding}]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_seq_len,
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "pad_token": padding,
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        **({"additional_special_tokens": others} if others else {}),
    }
