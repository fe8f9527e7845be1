"""The chat template: how a conversation becomes the one text that a model reads and continues.

It is a Jinja text, rendered with the list `messages` of {"role": "system" | "user" | "assistant", "content":
text}, with `bos_token`, `eos_token`, and `add_generation_prompt`, which ends the text where the assistant
begins to write. HuggingFace's `apply_chat_template` and vLLM render it from an exported folder, supervised
fine-tuning from here: one text for all. What stands between `{% generation %}` and `{% endgeneration %}` is
what the assistant writes, the end of its turn included, so what the loss counts
(`apply_chat_template(..., return_assistant_tokens_mask=True)`).

Contents are not escaped: where a template is rendered to one text and that is encoded as a whole, a user who
writes "<|end|>" ends their turn. Whoever trains or serves should encode contents by themselves
(`Tokenizer.encode` reads special tokens in text as plain text).
Used by models/hf (which writes it) and fine-tuning. Taught in `sft`.
"""

from nn2llm.core.errors import TokenizerError
from nn2llm.tokenizers.base import Tokenizer

__all__ = ["CHAT_TEMPLATE", "CHAT_TOKENS", "PLAIN_CHAT_TEMPLATE", "choose_chat_template"]

CHAT_TOKENS = ("<|user|>", "<|assistant|>", "<|end|>")
"""Special tokens that `CHAT_TEMPLATE` needs: who speaks, and the end of a turn. `<|system|>` is one where it
is in the tokenizer, and plain text elsewhere."""

CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
    {%- if message['role'] == 'assistant' -%}
        {{- '<|assistant|>' -}}
        {%- generation -%}
            {{- message['content'] + '<|end|>' -}}
        {%- endgeneration -%}
    {%- elif message['role'] in ['system', 'user'] -%}
        {{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}
    {%- else -%}
        {{- raise_exception('unknown role ' + message['role'] + ': use system, user or assistant') -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|assistant|>' -}}
{%- endif -%}
"""
"""<|endoftext|><|user|>Hi<|end|><|assistant|>Hello.<|end|>"""

PLAIN_CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
    {%- if message['role'] == 'assistant' -%}
        {{- 'Assistant:' -}}
        {%- generation -%}
            {{- ' ' + message['content'] | trim + eos_token -}}
        {%- endgeneration -%}
    {%- elif message['role'] in ['system', 'user'] -%}
        {{- message['role'] | capitalize + ': ' + message['content'] | trim + '\\n' -}}
    {%- else -%}
        {{- raise_exception('unknown role ' + message['role'] + ': use system, user or assistant') -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- 'Assistant:' -}}
{%- endif -%}
"""
"""For a tokenizer without `CHAT_TOKENS`: the lines of a play. The text ends at "Assistant:", without a space,
since BPE's words begin with theirs: the reply's first token is " Hello"."""

_WORDS = "System: User: Assistant: \n"


def choose_chat_template(tokenizer: Tokenizer) -> str | None:
    """`CHAT_TEMPLATE`, the plain one, or None for a character tokenizer that cannot write even that."""
    if all(name in tokenizer.special_tokens for name in CHAT_TOKENS):
        return CHAT_TEMPLATE
    try:
        tokenizer.encode(_WORDS)
    except TokenizerError:
        return None
    return PLAIN_CHAT_TEMPLATE
