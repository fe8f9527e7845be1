"""A model that learns new words: the special tokens of the chat template, where it lacks them.

Read tokenizers/chat.py before. Used by train/sft.py. Taught in `sft`.
"""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from nn2llm.models.gpt import GPT
from nn2llm.tokenizers.base import Tokenizer
from nn2llm.tokenizers.chat import CHAT_TOKENS

__all__ = ["add_chat_tokens"]

_NOISE = 0.1
_SEED = 0


@torch.no_grad()
def add_chat_tokens(model: GPT, tokenizer: Tokenizer) -> tuple[GPT, Tokenizer]:
    """A copy of `model` and `tokenizer` that has all of `CHAT_TOKENS`; the same two where nothing is missing.

    The new rows of the embedding, and of the head where it is not tied, are the mean of the old rows and a
    little noise: as inputs they say nothing yet, as outputs they begin no more probable than a word of the
    middle. (Rows near zero would be likely wherever all logits are negative: then what the model knows is
    gone from the first step. Source: John Hewitt 2021, https://nlp.stanford.edu/~johnhew/vocab-expansion.html.)
    Ids and rows of all older tokens stay, and the same model gives the same new rows.
    """
    missing = [name for name in CHAT_TOKENS if name not in tokenizer.special_tokens]
    if not missing:
        return model, tokenizer
    larger = tokenizer.with_special_tokens(missing)
    model = copy.deepcopy(model)
    model.config = replace(model.config, vocab_size=larger.vocab_size)
    generator = torch.Generator().manual_seed(_SEED)
    model.token_embedding.weight = _add_rows(model.token_embedding.weight, len(missing), generator)
    model.token_embedding.num_embeddings = larger.vocab_size
    if model.head is not None:
        model.head.weight = _add_rows(model.head.weight, len(missing), generator)
        model.head.out_features = larger.vocab_size
    return model, larger


def _add_rows(weight: Tensor, num_rows: int, generator: torch.Generator) -> nn.Parameter:
    """`V C` to `V + num_rows C`."""
    noise = torch.randn(num_rows, weight.shape[1], generator=generator).to(weight)
    new = weight.mean(dim=0) + _NOISE * weight.std(dim=0) * noise
    return nn.Parameter(torch.cat([weight, new]))
