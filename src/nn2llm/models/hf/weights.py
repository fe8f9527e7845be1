"""Whose tensor is whose: the state dict of a GPT under transformers' names and layouts, and back.

Three things differ. GPT-2 keeps its matrices transposed (its `Conv1D` computes x W, `nn.Linear` x Wᵀ). Llama
and Qwen3 keep queries, keys and values apart where we have one matrix, in the same order of rows and heads;
RoPE turns the same pairs (x[i], x[i + D/2]), so no rows change places. Biases that GPT-2 always has are
written as zeros where ours has none.
Read architectures.py before.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from nn2llm.core.errors import CheckpointError
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.models.hf.architectures import Architecture

__all__ = ["COMPUTED", "compute_hf_shapes", "from_hf_weights", "to_hf_weights"]

COMPUTED = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")
"""Ends of names of tables that old versions of transformers saved beside the weights."""

_GPT2_NAMES = {
    "attention_norm": "ln_1",
    "attention.qkv": "attn.c_attn",
    "attention.proj": "attn.c_proj",
    "feed_forward_norm": "ln_2",
    "feed_forward.up": "mlp.c_fc",
    "feed_forward.down": "mlp.c_proj",
}
_LLAMA_NAMES = {
    "attention_norm": "input_layernorm",
    "attention.proj": "self_attn.o_proj",
    "attention.query_norm": "self_attn.q_norm",
    "attention.key_norm": "self_attn.k_norm",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.down": "mlp.down_proj",
}
_QKV_NAMES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")


def to_hf_weights(
    weights: Mapping[str, Tensor], config: GPTConfig, architecture: Architecture
) -> dict[str, Tensor]:
    """The state dict of `GPT(config)` as one of the architecture; new tensors, none shared.

    Tied embeddings are written once, as transformers does.
    """
    if architecture == "GPT2LMHeadModel":
        return _to_gpt2(weights, config)
    found = {theirs: weights[ours].clone() for ours, theirs in _pairs(config, architecture)}
    for layer in range(config.n_layer):
        for kind in _kinds(config):
            parts = weights[f"blocks.{layer}.attention.qkv.{kind}"].split(_qkv_rows(config))
            for name, part in zip(_QKV_NAMES, parts, strict=True):
                found[f"model.layers.{layer}.{name}.{kind}"] = part.clone()
    return found


def _to_gpt2(weights: Mapping[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
    found = {}
    for ours, theirs in _pairs(config, "GPT2LMHeadModel"):
        if ours in weights:
            # contiguous: a transposed view is not what a file can hold
            weight = weights[ours].T if _is_transposed(ours) else weights[ours]
            found[theirs] = weight.clone(memory_format=torch.contiguous_format)
        else:  # a bias that we do not have, as wide as its weight's rows are many
            matching = weights[ours.removesuffix("bias") + "weight"]
            found[theirs] = torch.zeros(len(matching), dtype=matching.dtype, device=matching.device)
    return found


def from_hf_weights(
    weights: Mapping[str, Tensor], config: GPTConfig, architecture: Architecture, *, where: str
) -> dict[str, Tensor]:
    """The state dict of `GPT(config)` from one of the architecture, in float32.

    `where` names the source in messages.

    Raises:
        CheckpointError: if a tensor is missing, is of another shape than the config says, or has no place.
    """
    _check_tensors(weights, config, architecture, where)
    found = {}
    for ours, theirs in _pairs(config, architecture):
        weight = weights[theirs].float()
        found[ours] = weight.T.contiguous() if _is_gpt2_matrix(ours, architecture) else weight
    if architecture != "GPT2LMHeadModel":
        for layer in range(config.n_layer):
            for kind in _kinds(config):
                parts = [weights[f"model.layers.{layer}.{name}.{kind}"].float() for name in _QKV_NAMES]
                found[f"blocks.{layer}.attention.qkv.{kind}"] = torch.cat(parts)
    return found


def compute_hf_shapes(config: GPTConfig, architecture: Architecture) -> dict[str, torch.Size]:
    """The shape of every tensor that a file of this model must hold, without building it."""
    with torch.device("meta"):
        weights = GPT(config).state_dict()
        return {name: tensor.shape for name, tensor in to_hf_weights(weights, config, architecture).items()}


def _check_tensors(
    weights: Mapping[str, Tensor], config: GPTConfig, architecture: Architecture, where: str
) -> None:
    expected = compute_hf_shapes(config, architecture)
    missing = [name for name in expected if name not in weights]
    if missing:
        raise CheckpointError(
            f"{where} lacks {_describe(missing)}, which {architecture} with this config.json has. "
            "Download the folder again, or export it again."
        )
    for name, shape in expected.items():
        if weights[name].shape != shape:
            raise CheckpointError(
                f"{where}: config.json and weights contradict each other: {name} should be "
                f"{_describe_shape(shape)} and is {_describe_shape(weights[name].shape)}. "
                "They are of different models; restore the config.json that belongs to these weights."
            )
    unexpected = [name for name in weights if name not in expected]
    if unexpected:
        raise CheckpointError(
            f"{where} holds {_describe(unexpected)}, which {architecture} with this config.json does not "
            "have. Without them the model would compute something else."
        )


def _describe(names: list[str]) -> str:
    more = f" and {len(names) - 3} more tensors" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _describe_shape(shape: torch.Size) -> str:
    return " × ".join(map(str, shape)) or "a single number"


def _pairs(config: GPTConfig, architecture: Architecture) -> Iterator[tuple[str, str]]:
    """(our name, their name) of each tensor that is one in both."""
    is_gpt2 = architecture == "GPT2LMHeadModel"
    trunk = "transformer." if is_gpt2 else "model."
    yield "token_embedding.weight", trunk + ("wte.weight" if is_gpt2 else "embed_tokens.weight")
    if is_gpt2:
        yield "position_embedding.weight", f"{trunk}wpe.weight"
    names = _GPT2_NAMES if is_gpt2 else _LLAMA_NAMES
    for layer in range(config.n_layer):
        theirs = f"{trunk}h.{layer}" if is_gpt2 else f"{trunk}layers.{layer}"
        for ours, name in names.items():
            if ours in {"attention.query_norm", "attention.key_norm"} and not config.qk_norm:
                continue
            # RMS norms have no bias; GPT-2 has them everywhere, also where ours has none
            for kind in ["weight"] if "norm" in ours and not is_gpt2 else _kinds(config, always=is_gpt2):
                yield f"blocks.{layer}.{ours}.{kind}", f"{theirs}.{name}.{kind}"
    for kind in ["weight", "bias"] if is_gpt2 else ["weight"]:
        yield f"final_norm.{kind}", trunk + (f"ln_f.{kind}" if is_gpt2 else f"norm.{kind}")
    if not config.tie_embeddings:
        yield "head.weight", "lm_head.weight"


def _kinds(config: GPTConfig, *, always: bool = False) -> list[str]:
    return ["weight", "bias"] if config.bias or always else ["weight"]


def _qkv_rows(config: GPTConfig) -> list[int]:
    """Rows of queries, keys and values in our one matrix."""
    kv_width = config.num_kv_heads * config.width_of_head
    return [config.n_head * config.width_of_head, kv_width, kv_width]


def _is_gpt2_matrix(ours: str, architecture: Architecture) -> bool:
    return architecture == "GPT2LMHeadModel" and _is_transposed(ours)


def _is_transposed(ours: str) -> bool:
    """Whether GPT-2 keeps this one as a Conv1D: the matrices of the blocks, not embeddings and head."""
    return ours.startswith("blocks.") and ours.endswith(".weight") and "norm" not in ours
