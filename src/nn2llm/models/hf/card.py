"""The model card of an exported folder: README.md, as HuggingFace shows it.

What only the run knows (text, losses, time) comes in as rows of plain text; `nn2llm export` collects them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nn2llm import __version__
from nn2llm.models.accounting import compute_parameters
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.models.hf.architectures import Architecture
from nn2llm.models.hf.comparing import Comparison
from nn2llm.tokenizers.base import Tokenizer

__all__ = ["Figures", "build_card"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What a card says of the run."""

    name: str = "a model trained with nn2llm"
    """Title of the card."""
    rows: Mapping[str, str] = field(default_factory=dict)
    """Name → text, in the order of the table: "text", "held-out loss", …"""


def build_card(
    config: GPTConfig,
    architecture: Architecture,
    tokenizer: Tokenizer,
    figures: Figures,
    comparison: Comparison,
    *,
    dtype: str,
    has_chat_template: bool,
    begins_documents: bool,
) -> str:
    """The card as Markdown, with the YAML head that the hub reads."""
    counts = compute_parameters(config)
    kv_heads = "" if config.num_kv_heads == config.n_head else f" ({config.num_kv_heads} for keys and values)"
    rows = {
        "parameters": f"{counts.total:,} ({counts.non_embedding:,} without embeddings), stored as {dtype}",
        "shape": f"{config.n_layer} layers, {config.n_head} heads{kv_heads}, width {config.n_embd}, "
        f"context {config.max_seq_len} tokens",
        "architecture": f"`{architecture}`",
        "tokenizer": f"{tokenizer.kind}, {tokenizer.vocab_size:,} ids",
        **figures.rows,
    }
    table = "\n".join(f"| {_escape(name)} | {_escape(text)} |" for name, text in rows.items())
    num_new = max(1, min(50, config.max_seq_len // 2))
    chat = _CHAT if has_chat_template else ""
    # trained with document masks, it knows texts from their beginning, and that is the mark
    prompt = 'tokenizer.bos_token + "The"' if begins_documents else '"The "'
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags:
- nn2llm
---

# {figures.name}

A language model trained with nn2llm {__version__}.

| | |
| --- | --- |
{table}

{comparison.describe()}

## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # the path of this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
inputs = tokenizer({prompt}, return_tensors="pt")
output = model.generate(**inputs, max_new_tokens={num_new}, do_sample=True, temperature=0.8)
print(tokenizer.decode(output[0]))
```

The model reads at most {config.max_seq_len} tokens, prompt and reply together. "<|endoftext|>" in a text is
read as the end-of-text token, which nn2llm itself does only where it is asked to;
`tokenizer(text, split_special_tokens=True)` reads it as plain text.
Back into nn2llm: `nn2llm import FOLDER --out runs/NAME`.
{chat}
## Limits and licence

It has learnt from the text above and knows nothing else; what it writes may be wrong or offensive.
nn2llm is under the MIT licence; the licence of these weights is their owner's to choose, as far as the text
that they were trained on allows.
"""


_CHAT = """
`tokenizer.apply_chat_template` works. It is a format, not a skill: a model that was not fine-tuned on
conversations continues them as it does any text.
"""


def _escape(text: str) -> str:
    """One line, without what would end a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")
