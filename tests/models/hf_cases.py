"""Models and tokenizers that the tests of HuggingFace folders share."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.tokenizers import BPETokenizer, CharTokenizer, FastBPETokenizer
from nn2llm.tokenizers.chat import CHAT_TOKENS

CLOSE = {"rtol": 0, "atol": 1e-5}

CHARACTERS = "".join(map(chr, range(ord("a"), ord("a") + 36))) + ":.!? \n"  # 42, and <|endoftext|>
VOCAB_SIZE = 43
MAX_SEQ_LEN = 24

GPT2: dict[str, Any] = {
    "position": "learned",
    "norm": "layernorm",
    "feed_forward": "gelu_tanh",
    "qk_norm": False,
    "bias": True,
}
LLAMA: dict[str, Any] = {"qk_norm": False}
QWEN3: dict[str, Any] = {}

OURS = {
    "gpt2": GPT2 | {"tie_embeddings": True},
    "gpt2-untied": GPT2 | {"n_hidden": 50, "norm_eps": 1e-2},
    "gpt2-no-bias": GPT2 | {"bias": False, "tie_embeddings": True},
    "gpt2-exact-gelu": GPT2 | {"feed_forward": "gelu", "head_dim": 8},
    "gpt2-relu2": GPT2 | {"feed_forward": "relu2"},
    "gpt2-relu": GPT2 | {"feed_forward": "relu", "n_embd": 30, "n_head": 3},
    "gpt2-silu": GPT2 | {"feed_forward": "silu"},
    "llama": LLAMA | {"rope_theta": 500.0},
    "llama-tied-grouped": LLAMA | {"tie_embeddings": True, "n_kv_head": 2, "n_hidden": 50},
    "llama-bias": LLAMA | {"bias": True, "norm_eps": 1e-2, "head_dim": 6},
    "llama-one-kv-head": LLAMA | {"n_kv_head": 1, "head_dim": 10, "window": MAX_SEQ_LEN},
    "qwen3": QWEN3 | {"norm_eps": 1e-2},
    "qwen3-tied-grouped": QWEN3 | {"tie_embeddings": True, "n_kv_head": 2, "head_dim": 10},
    "qwen3-odd-width": QWEN3 | {"n_embd": 30, "head_dim": 16, "n_hidden": 37, "rope_theta": 100.0},
}
"""Settings of our GPT that an architecture has, by a name that begins with it."""


def build_tokenizer() -> CharTokenizer:
    return CharTokenizer(CHARACTERS)


def build_bpe(*special: str) -> BPETokenizer:
    text = "Hello there, the other weather; hello 123 🙂\n" * 3
    return FastBPETokenizer.train([text], vocab_size=280, special_tokens=("<|endoftext|>", *special))


def build_chat_bpe() -> BPETokenizer:
    return build_bpe(*CHAT_TOKENS, "<|pad|>")


@torch.no_grad()
def make_busy(model: nn.Module, *, std: float = 0.2) -> Any:
    """Weights large enough that logits differ by much more than 1e-5; norms and biases that are not plain."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 2:
            parameter.copy_(std * noise)
        else:
            parameter.add_(0.2 * noise)
    return model.eval()


def build_ours(name: str = "qwen3", **changes: Any) -> GPT:
    sizes = {
        "vocab_size": VOCAB_SIZE,
        "max_seq_len": MAX_SEQ_LEN,
        "n_layer": 2,
        "n_head": 4,
        "n_embd": 32,
        "n_hidden": 80,
    }
    return make_busy(GPT(GPTConfig(**(sizes | OURS[name] | changes))))


def draw_ids(num_rows: int = 3, vocab_size: int = VOCAB_SIZE) -> torch.Tensor:
    """Rows as long as the context."""
    return torch.randint(vocab_size, (num_rows, MAX_SEQ_LEN), generator=torch.Generator().manual_seed(1))


def edit_json(path: Path, **changes: Any) -> None:
    """Change fields of a JSON object; `...` removes one."""
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in values.items() if value is not ...}))
