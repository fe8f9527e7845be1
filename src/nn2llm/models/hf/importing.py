"""Read a HuggingFace folder: config.json, safetensors and a tokenizer become our GPT and our Tokenizer.

Everything is read before anything is written, and what does not fit is refused with its name: an import that
leaves a thing out would give a model that is a little wrong, and nobody would know.
Weights in pickle (`pytorch_model.bin`) are refused: reading them can run code.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer as HFTokenizer
from torch import Tensor

from nn2llm.core.errors import CheckpointError, DataError, TokenizerError
from nn2llm.core.files import read_json
from nn2llm.models.gpt import GPT
from nn2llm.models.hf.architectures import BEGINS_DOCUMENTS, Architecture, parse_hf_config
from nn2llm.models.hf.comparing import Comparison, compare_ids, compare_logits
from nn2llm.models.hf.weights import COMPUTED, from_hf_weights
from nn2llm.tokenizers import TOKENIZER_FILE, Tokenizer, load_tokenizer

__all__ = ["Imported", "load_from_hf"]

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_FLOATS = {torch.float32, torch.float16, torch.bfloat16}


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What a folder held."""

    model: GPT
    tokenizer: Tokenizer
    architecture: Architecture
    comparison: Comparison
    begins_documents: bool
    """Whether a prompt should stand after `<|endoftext|>`."""
    notes: list[str]
    """What was done to make it fit, a sentence each."""


def load_from_hf(folder: Path) -> Imported:
    """Read a folder with a GPT-2, Llama or Qwen3 model; compared with transformers where it is installed.

    Embedding rows beyond the tokenizer's ids (vocabularies are padded to round numbers) are left out: no text
    produces them, and no token of ours could be written for them.

    Raises:
        CheckpointError: if a file is missing or damaged, or the model has what ours has not.
        TokenizerError: if the tokenizer is of another kind than ours.
    """
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "does not exist"
        raise CheckpointError(
            f"{folder} {what}. Name a folder with a config.json and a {_WEIGHTS}, downloaded from "
            "HuggingFace or written by `nn2llm export`."
        )
    if not (folder / "config.json").exists():
        raise CheckpointError(
            f"{folder} holds no config.json. Name a folder downloaded from HuggingFace or written by "
            "`nn2llm export`."
        )
    values = _read_object(folder / "config.json")
    architecture, config = parse_hf_config(values, where=f"{folder}/config.json")
    tokenizer, notes = _load_tokenizer(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size:,} ids, but the model only "
            f"{config.vocab_size:,}. They are of different models."
        )
    tensors = _tidy(_load_tensors(folder), folder, architecture, tied=config.tie_embeddings)
    weights = from_hf_weights(tensors, config, architecture, where=str(folder))
    num_padding = config.vocab_size - tokenizer.vocab_size
    if num_padding:
        for name in ("token_embedding.weight", "head.weight"):
            if name in weights:
                weights[name] = weights[name][: tokenizer.vocab_size].clone()
        notes.append(
            f"The model has {config.vocab_size:,} embedding rows for {tokenizer.vocab_size:,} tokens: the "
            f"last {num_padding:,}, which no text produces, are left out."
        )
        config = replace(config, vocab_size=tokenizer.vocab_size)
    model = GPT(config)
    model.load_state_dict(weights)
    model.eval()
    comparison = compare_logits(folder, model, must_load=False)
    if (folder / TOKENIZER_FILE).exists():
        num_texts = compare_ids(folder, tokenizer, with_transformers=False)
        comparison = replace(comparison, num_texts=num_texts)
    return Imported(
        model=model,
        tokenizer=tokenizer,
        architecture=architecture,
        comparison=comparison,
        begins_documents=values.get(BEGINS_DOCUMENTS) is True,
        notes=notes,
    )


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except DataError as error:
        raise CheckpointError(str(error)) from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds {type(content).__name__}, not an object. Download it again.")
    return content


def _load_tokenizer(folder: Path) -> tuple[Tokenizer, list[str]]:
    """The tokenizer, and what it does differently from the folder's."""
    try:
        tokenizer = load_tokenizer(folder)
    except TokenizerError as error:
        if (folder / "tokenizer.model").exists() and not (folder / TOKENIZER_FILE).exists():
            reason = "tokenizer.model is SentencePiece's"
        else:
            reason = str(error).rstrip(".")
        raise TokenizerError(
            f"The tokenizer of {folder} cannot be imported: {reason}. nn2llm has byte-level BPE with GPT-2's "
            "splitting and character tokenizers."
        ) from error
    notes = []
    path = folder / TOKENIZER_FILE
    if path.exists():
        theirs = HFTokenizer.from_file(str(path))
        if theirs.encode("a").ids != theirs.encode("a", add_special_tokens=False).ids:
            added = [token for token in theirs.encode("a").tokens if token in tokenizer.special_tokens]
            notes.append(f"Its tokenizer adds {' and '.join(added)} to every text; nn2llm adds nothing.")
    return tokenizer, notes


def _load_tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors of model.safetensors, or of the shards that its index names."""
    if (folder / _WEIGHTS).exists():
        return _load_file(folder / _WEIGHTS)
    if not (folder / _INDEX).exists():
        if any(folder.glob("pytorch_model*.bin")):
            raise CheckpointError(
                f"{folder} holds its weights as pytorch_model.bin, and reading that can run code. Convert it "
                "where you trust it: `AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(NEW)` in "
                "transformers writes safetensors."
            )
        raise CheckpointError(f"{folder} holds no {_WEIGHTS} and no {_INDEX}. Download the folder again.")
    weight_map = _read_object(folder / _INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise CheckpointError(f"{folder / _INDEX} has no weight_map of tensor to file. Download it again.")
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(weight_map.values())):
        if Path(name).name != name:  # "../elsewhere": an index names files beside it
            raise CheckpointError(f"{folder / _INDEX} names a file outside its folder: {name!r}.")
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder / name} is missing; by {_INDEX} it holds {_count(weight_map, name)} tensors. "
                "Download it again."
            )
        tensors |= _load_file(folder / name)
    lost = [tensor for tensor in weight_map if tensor not in tensors]
    if lost:
        raise CheckpointError(
            f"{folder / weight_map[lost[0]]} does not hold {lost[0]}, as {_INDEX} says. Download it again."
        )
    return tensors


def _count(weight_map: dict[str, str], name: str) -> int:
    return sum(file == name for file in weight_map.values())


def _load_file(path: Path) -> dict[str, Tensor]:
    try:
        tensors = safetensors.torch.load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or cut short ({error}). Download it again.") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in _FLOATS and not name.endswith(COMPUTED):
            raise CheckpointError(
                f"{path}: {name} is {str(tensor.dtype).removeprefix('torch.')}: the weights are quantised. "
                "Import the original, in float32, float16 or bfloat16."
            )
    return tensors


def _tidy(
    tensors: dict[str, Tensor], folder: Path, architecture: Architecture, *, tied: bool
) -> dict[str, Tensor]:
    """Without computed tables and a head that repeats the embeddings, under full names."""
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith(COMPUTED)}
    trunk, embedding = (
        ("transformer.", "wte.weight")
        if architecture == "GPT2LMHeadModel"
        else ("model.", "embed_tokens.weight")
    )
    if embedding in tensors:  # saved without its head, as OpenAI's GPT-2 on HuggingFace is
        tensors = {
            name if name == "lm_head.weight" else trunk + name: tensor for name, tensor in tensors.items()
        }
    head, embeddings = tensors.get("lm_head.weight"), tensors.get(trunk + embedding)
    if tied and head is not None and embeddings is not None:
        if head.shape != embeddings.shape or not torch.equal(head, embeddings):
            raise CheckpointError(
                f"{folder}: config.json says tie_word_embeddings, but lm_head.weight differs from "
                f"{trunk}{embedding}. Set it to false in config.json if the head was trained by itself."
            )
        del tensors["lm_head.weight"]
    return tensors
