"""Which of transformers' architectures a GPT is, and its `config.json`, in both directions.

Our GPT is one class with many settings, theirs are many classes with few. Three of theirs are special cases
of ours: GPT-2 (learned positions, LayerNorm), Llama (RoPE, RMSNorm, SwiGLU), Qwen3 (Llama with norms on
queries and keys). What none of them can say is refused here, setting by setting: a folder that leaves one out
loads without a word and computes something else.
Dropout and `init` matter only while training: GPT-2 has a dropout like ours, the others have none.
Read models/gpt_config.py before.
Sources: the configuration_*.py files of transformers 4.57 and 5.23.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar, cast, get_args

from nn2llm.core.errors import CheckpointError, ConfigError
from nn2llm.models.gpt_config import GPTConfig

__all__ = ["BEGINS_DOCUMENTS", "Architecture", "build_hf_config", "choose_architecture", "parse_hf_config"]

Architecture = Literal["GPT2LMHeadModel", "LlamaForCausalLM", "Qwen3ForCausalLM"]
"""What we can write and read, by the name in a `config.json`."""

_MODEL_TYPES: dict[Architecture, str] = {
    "GPT2LMHeadModel": "gpt2",
    "LlamaForCausalLM": "llama",
    "Qwen3ForCausalLM": "qwen3",
}

BEGINS_DOCUMENTS = "nn2llm_begins_documents"
"""Our own key in `config.json`: true where a prompt should stand after `<|endoftext|>`."""

_ACTIVATIONS = {"gelu_tanh": "gelu_new", "gelu": "gelu", "relu": "relu", "relu2": "relu2", "silu": "silu"}
"""GPT-2's `activation_function` by our name."""
_ACTIVATIONS_READ = {theirs: ours for ours, theirs in _ACTIVATIONS.items()} | {
    "gelu_pytorch_tanh": "gelu_tanh",
    "swish": "silu",
}

_Value = TypeVar("_Value", bound=int | float | bool | str)


# --- out ----------------------------------------------------------------------------------------------------


def choose_architecture(config: GPTConfig) -> Architecture:
    """The architecture that computes what `GPT(config)` does.

    Raises:
        ConfigError: if there is none; the message names the nearest, and each setting that it does not have.
    """
    misfits = {name: _list_misfits(config, name) for name in _MODEL_TYPES}
    nearest = min(misfits, key=lambda name: len(misfits[name]))
    if not misfits[nearest]:
        return nearest
    lacking = "; ".join(
        f"{field} is {value!r}, it needs {wanted}" for field, value, wanted in misfits[nearest]
    )
    raise ConfigError(
        f"No architecture of transformers computes what this model does. The nearest is {nearest}: "
        f"{lacking}. Train one with those settings to export it."
    )


def _list_misfits(config: GPTConfig, architecture: Architecture) -> list[tuple[str, Any, str]]:
    """(setting, its value, what the architecture needs instead) for each that does not fit."""
    found: list[tuple[str, Any, str]] = []

    def need(field: str, *allowed: Any) -> None:
        value = getattr(config, field)
        if value not in allowed:
            found.append((field, value, " or ".join(map(repr, allowed))))

    need("norm_position", "pre")
    need("logit_softcap", None)
    if config.window is not None and config.window < config.max_seq_len:  # a wider one never hides anything
        found.append(("window", config.window, "None"))
    if architecture == "GPT2LMHeadModel":
        need("position", "learned")
        need("norm", "layernorm")
        need("feed_forward", *_ACTIVATIONS)
        need("qk_norm", False)
        need("n_kv_head", None, config.n_head)
        if config.width_of_head * config.n_head != config.n_embd:
            found.append(
                ("head_dim", config.head_dim, f"n_embd / n_head = {config.n_embd / config.n_head:g}")
            )
        return found
    need("position", "rope")
    need("norm", "rmsnorm")
    need("feed_forward", "swiglu")
    if architecture == "Qwen3ForCausalLM":
        need("qk_norm", True)
        need("bias", False)  # it has them in attention alone
    else:
        need("qk_norm", False)
        if config.n_embd % config.n_head:  # its config refuses that, whatever head_dim says
            found.append(("n_embd", config.n_embd, f"a multiple of n_head = {config.n_head}"))
    return found


def build_hf_config(
    config: GPTConfig,
    architecture: Architecture,
    *,
    dtype: str = "float32",
    special_ids: Mapping[str, int | list[int]] | None = None,
) -> dict[str, Any]:
    """The `config.json` of `GPT(config)` as this architecture.

    `special_ids` are bos_token_id, eos_token_id and pad_token_id, as far as there are any. Fields that have
    changed their names between transformers 4 and 5 are written under both.
    """
    values: dict[str, Any] = {
        "architectures": [architecture],
        "model_type": _MODEL_TYPES[architecture],
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tie_embeddings,
        "dtype": dtype,
        "torch_dtype": dtype,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        **(special_ids or {}),
    }
    if architecture == "GPT2LMHeadModel":
        return values | {
            "n_positions": config.max_seq_len,
            "n_ctx": config.max_seq_len,
            "n_embd": config.n_embd,
            "n_layer": config.n_layer,
            "n_head": config.n_head,
            "n_inner": config.width_of_hidden,
            "activation_function": _ACTIVATIONS[config.feed_forward],
            "layer_norm_epsilon": config.eps_of_norm,
            "resid_pdrop": config.dropout,
            "embd_pdrop": config.dropout,
            "attn_pdrop": config.dropout,
            "scale_attn_weights": True,
            "scale_attn_by_inverse_layer_idx": False,
            "reorder_and_upcast_attn": False,
            "add_cross_attention": False,
        }
    values |= {
        "max_position_embeddings": config.max_seq_len,
        "hidden_size": config.n_embd,
        "intermediate_size": config.width_of_hidden,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.width_of_head,
        "hidden_act": "silu",
        "rms_norm_eps": config.eps_of_norm,
        "rope_theta": config.rope_theta,
        "rope_scaling": None,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "attention_bias": config.bias,
        "attention_dropout": 0.0,
    }
    if architecture == "LlamaForCausalLM":
        return values | {"mlp_bias": config.bias}
    return values | {"use_sliding_window": False, "sliding_window": None}


# --- in -----------------------------------------------------------------------------------------------------


def parse_hf_config(values: Mapping[str, Any], *, where: str) -> tuple[Architecture, GPTConfig]:
    """The architecture and our config that a `config.json` describes; absent fields as in transformers.

    `where` names the file in messages.

    Raises:
        CheckpointError: for another architecture, a feature that our GPT does not have, or values that
            cannot be.
    """
    architecture = _find_architecture(values, where)
    if values.get("quantization_config") is not None:
        method = values["quantization_config"]
        method = method.get("quant_method", method) if isinstance(method, dict) else method
        raise CheckpointError(
            f"{where} says that the weights are quantised ({method}). Import the original, in float32, "
            "float16 or bfloat16."
        )
    fields = _Fields(values, where, architecture)
    read = _read_gpt2 if architecture == "GPT2LMHeadModel" else _read_llama
    try:
        return architecture, read(fields)
    except ConfigError as error:  # of GPTConfig: heads that do not divide the width, and the like
        raise CheckpointError(f"{where} describes a model that cannot be: {error}") from error


def _find_architecture(values: Mapping[str, Any], where: str) -> Architecture:
    supported = get_args(Architecture)
    names = values.get("architectures")
    if not names:
        by_type = {model_type: name for name, model_type in _MODEL_TYPES.items()}
        names = [by_type.get(str(values.get("model_type")), values.get("model_type"))]
    if isinstance(names, list) and len(names) == 1 and names[0] in supported:
        return cast(Architecture, names[0])
    found = ", ".join(map(str, names)) if isinstance(names, list) else repr(names)
    raise CheckpointError(
        f"{where} is of architecture {found}, which nn2llm does not read. It reads {', '.join(supported)}."
    )


class _Fields:
    """The values of a `config.json`, each checked when it is asked for."""

    def __init__(self, values: Mapping[str, Any], where: str, architecture: Architecture) -> None:
        self.values, self.where, self.architecture = values, where, architecture

    def get(self, name: str, kind: type[_Value], default: _Value | None = None) -> _Value:
        """The value of a field; where it is absent or null, the default, if there is one."""
        value = self.values.get(name)
        if value is None:
            if default is None:
                raise CheckpointError(f"{self.where} has no {name}, which {self.architecture} needs.")
            return default
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return cast(_Value, float(value))
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise CheckpointError(f"{self.where}: {name} must be {kind.__name__}, got {value!r}.")
        return value

    def refuse(self, name: str, why: str) -> CheckpointError:
        """The error for a feature that our GPT does not have."""
        return CheckpointError(
            f"{self.where}: {name} is {self.values.get(name)!r}, but nn2llm's GPT {why}. "
            "A model with it cannot be imported."
        )

    def refuse_unless(self, name: str, *allowed: Any, why: str) -> None:
        if self.values.get(name, allowed[0]) not in allowed:
            raise self.refuse(name, why)


def _read_gpt2(fields: _Fields) -> GPTConfig:
    fields.refuse_unless("scale_attn_weights", True, why="always divides scores by √head_dim")
    fields.refuse_unless(
        "scale_attn_by_inverse_layer_idx", False, None, why="does not scale scores by the layer"
    )
    fields.refuse_unless("add_cross_attention", False, None, why="has no cross-attention")
    activation = fields.get("activation_function", str, "gelu_new")
    if activation not in _ACTIVATIONS_READ:
        raise fields.refuse("activation_function", f"has {', '.join(sorted(_ACTIVATIONS_READ))}")
    n_embd = fields.get("n_embd", int)
    return GPTConfig(
        vocab_size=fields.get("vocab_size", int),
        max_seq_len=fields.get("n_positions", int),
        n_layer=fields.get("n_layer", int),
        n_head=fields.get("n_head", int),
        n_embd=n_embd,
        n_hidden=fields.get("n_inner", int, 4 * n_embd),
        norm="layernorm",
        norm_eps=_default_as_none(fields.get("layer_norm_epsilon", float, 1e-5), 1e-5),
        position="learned",
        feed_forward=cast(Any, _ACTIVATIONS_READ[activation]),
        qk_norm=False,
        bias=True,
        tie_embeddings=fields.get("tie_word_embeddings", bool, True),
        dropout=fields.get("resid_pdrop", float, 0.1),
        init="gpt2",
    )


def _read_llama(fields: _Fields) -> GPTConfig:
    is_qwen3 = fields.architecture == "Qwen3ForCausalLM"
    fields.refuse_unless("hidden_act", "silu", "swish", why="has SwiGLU with silu in this architecture")
    if is_qwen3:
        fields.refuse_unless("use_sliding_window", False, None, why="imports full attention only")
        layer_types = fields.values.get("layer_types") or []
        if not isinstance(layer_types, list) or any(kind != "full_attention" for kind in layer_types):
            raise fields.refuse("layer_types", "imports full attention only")
        fields.refuse_unless("attention_bias", False, None, why="has biases everywhere or nowhere")
        bias = False
    else:
        bias = fields.get("attention_bias", bool, False)
        if fields.get("mlp_bias", bool, False) != bias:
            raise fields.refuse("attention_bias", "has biases everywhere or nowhere, and mlp_bias differs")
    n_embd, n_head = fields.get("hidden_size", int), fields.get("num_attention_heads", int)
    return GPTConfig(
        vocab_size=fields.get("vocab_size", int),
        max_seq_len=fields.get("max_position_embeddings", int, 32768 if is_qwen3 else 2048),
        n_layer=fields.get("num_hidden_layers", int),
        n_head=n_head,
        n_kv_head=_default_as_none(fields.get("num_key_value_heads", int, n_head), n_head),
        n_embd=n_embd,
        head_dim=_read_head_dim(fields, n_embd, n_head),
        n_hidden=fields.get("intermediate_size", int),
        norm="rmsnorm",
        norm_eps=_default_as_none(fields.get("rms_norm_eps", float, 1e-6), 1e-6),
        position="rope",
        rope_theta=_read_rope_theta(fields),
        feed_forward="swiglu",
        qk_norm=is_qwen3,
        bias=bias,
        tie_embeddings=fields.get("tie_word_embeddings", bool, False),
        init="gpt2",
    )


def _read_head_dim(fields: _Fields, n_embd: int, n_head: int) -> int | None:
    """Qwen3's is 128 where it is absent, Llama's hidden_size / num_attention_heads."""
    if fields.values.get("head_dim") is None and fields.architecture == "LlamaForCausalLM":
        return None
    head_dim = fields.get("head_dim", int, 128)
    return None if head_dim * n_head == n_embd else head_dim


def _read_rope_theta(fields: _Fields) -> float:
    """The base of the frequencies; transformers 5 keeps it in `rope_parameters`, 4 beside `rope_scaling`."""
    theta = fields.get("rope_theta", float, 10000.0)
    fields.refuse_unless("partial_rotary_factor", 1.0, 1, None, why="turns whole heads")
    for name in ("rope_scaling", "rope_parameters"):
        rope = fields.values.get(name)
        if rope is None:
            continue
        if not isinstance(rope, dict) or rope.get("rope_type", rope.get("type", "default")) != "default":
            raise fields.refuse(name, "has RoPE without scaling")
        unknown = set(rope) - {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
        if unknown or rope.get("partial_rotary_factor") not in (None, 1.0):
            raise fields.refuse(name, "has the same plain RoPE in all layers, of whole heads")
        theta = _Fields(rope, f"{fields.where}: {name}", fields.architecture).get("rope_theta", float, theta)
    return theta


def _default_as_none(value: _Value, default: _Value) -> _Value | None:
    """None for what our config fills in by itself."""
    return None if value == default else value
