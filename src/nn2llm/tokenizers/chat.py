"""The chat template: how a conversation becomes the one text that a model reads and continues.

It is a Jinja text, rendered with the list `messages` of {"role": "system" | "user" | "assistant", "content":
text}, with `bos_token`, `eos_token`, and `add_generation_prompt`, which ends the text where the assistant
begins to write. HuggingFace's `apply_chat_template` and vLLM render it from an exported folder, supervised
fine-tuning from here: one text for all. What stands between `{% generation %}` and `{% endgeneration %}` is
what the assistant writes, the end of its turn included, so what the loss counts
(`apply_chat_template(..., return_assistant_tokens_mask=True)`).

Contents are not escaped: where a template is rendered to one text and that is encoded as a whole, a user who
writes "<|end|>" ends their turn. `ChatFormat` gives the same ids for all other conversations, and encodes
what people wrote as plain text, so that nobody can end a turn or begin another's.
Used by models/hf (which writes the template), fine-tuning, and all that talks. Taught in `sft`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from nn2llm.core.errors import DataError, TokenizerError
from nn2llm.tokenizers.base import Tokenizer

__all__ = [
    "CHAT_TEMPLATE",
    "CHAT_TOKENS",
    "PLAIN_CHAT_TEMPLATE",
    "ChatFormat",
    "EncodedChat",
    "Message",
    "check_messages",
    "choose_chat_template",
]

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


# --- conversations as tokens --------------------------------------------------------------------------------


class Message(TypedDict):
    """One turn of a conversation."""

    role: str
    """system, user or assistant."""
    content: str


@dataclass(frozen=True, slots=True)
class EncodedChat:
    """A conversation as tokens."""

    ids: list[int]
    is_reply: list[bool]
    """Of each id: whether the assistant writes it. The end of its turn is one of these."""


def check_messages(messages: Sequence[Message]) -> None:
    """Whether this is a conversation: a system prompt or none, then user and assistant in turn.

    Raises:
        DataError: if it is empty, a role is unknown or out of turn, or a message says nothing.
    """
    if not messages:
        raise DataError("A conversation needs at least one message, got none.")
    previous = None
    for number, message in enumerate(messages, start=1):
        role, content = message["role"], message["content"]
        if role not in {"system", "user", "assistant"}:
            raise DataError(f"Message {number} has the unknown role {role!r}. Use system, user or assistant.")
        if not content.strip():
            what = "reply" if role == "assistant" else f"message of the {role}"
            raise DataError(f"Message {number} is an empty {what}. Write something, or leave it out.")
        if role == "system" and number > 1:
            raise DataError(f"Message {number} is a system prompt. It can only be the first message.")
        if role == "assistant" and previous in {None, "system"}:
            raise DataError(f"Message {number} is a reply to nothing. A user speaks before the assistant.")
        if role == previous:
            raise DataError(
                f"Messages {number - 1} and {number} are both of the {role}. Join them: user and assistant "
                "take turns."
            )
        previous = role


class ChatFormat:
    """How conversations become tokens of one tokenizer, and replies text again.

    Args:
        tokenizer: with `CHAT_TOKENS`, conversations are written as in `CHAT_TEMPLATE`, else in the plain one.

    Attributes:
        end_id: the token that ends a reply: `<|end|>`, or the end of text in the plain template.

    Raises:
        TokenizerError: if neither can be written.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        template = choose_chat_template(tokenizer)
        if template is None:
            raise TokenizerError(
                f"This tokenizer of {tokenizer.vocab_size} characters can write no conversation: it lacks "
                f"the special tokens {', '.join(CHAT_TOKENS)} and some letters of {_WORDS!r}. "
                "Fine-tune the run with `nn2llm sft`, which adds them, or use a BPE tokenizer."
            )
        self.tokenizer = tokenizer
        self.template = template
        self._is_plain = template == PLAIN_CHAT_TEMPLATE
        self.end_id = tokenizer.end_of_text_id if self._is_plain else tokenizer.special_tokens[CHAT_TOKENS[2]]

    def check(self, messages: Sequence[Message]) -> None:
        """See `check_messages`."""
        check_messages(messages)

    def encode(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> EncodedChat:
        """The ids of a conversation, `<|endoftext|>` first; with the prompt, a reply follows directly.

        What is said is plain text: `<|end|>` in it is seven characters, never the token.

        Raises:
            DataError: if this is no conversation (see `check_messages`).
            TokenizerError: if a character is unknown (character tokenizers only).
        """
        check_messages(messages)
        ids, is_reply = [self.tokenizer.end_of_text_id], [False]
        prompt: list[Message] = []  # what was said since the last reply
        for message in messages:
            if message["role"] != "assistant":
                prompt.append(message)
                continue
            before = self._encode_prompt(prompt, asks=True)
            reply = self.encode_reply(message["content"])
            ids += before + reply
            is_reply += [False] * len(before) + [True] * len(reply)
            prompt = []
        end = self._encode_prompt(prompt, asks=add_generation_prompt)
        return EncodedChat(ids + end, is_reply + [False] * len(end))

    def encode_reply(self, text: str) -> list[int]:
        """What the model writes for this reply, `end_id` included.

        The ids of a prompt (with `add_generation_prompt`) and these are the ids of both.
        """
        if self._is_plain:
            # The space belongs to the reply, since BPE's words begin with theirs.
            text = " " + text.strip()
        return [*self.tokenizer.encode(text), self.end_id]

    def decode_reply(self, ids: Sequence[int]) -> str:
        """The text of a reply: all before `end_id` (or the end of text), stripped."""
        ends = {self.end_id, self.tokenizer.end_of_text_id}
        length = next((i for i, token_id in enumerate(ids) if token_id in ends), len(ids))
        return self.tokenizer.decode(ids[:length]).strip()

    def _encode_prompt(self, messages: Sequence[Message], *, asks: bool) -> list[int]:
        """Turns of system and user, then the assistant's mark where it is to write."""
        special = self.tokenizer.special_tokens
        if self._is_plain:
            # Encoded as one text, as the template gives it.
            lines = [
                f"{message['role'].capitalize()}: {message['content'].strip()}\n" for message in messages
            ]
            return self.tokenizer.encode("".join(lines) + ("Assistant:" if asks else ""))
        ids: list[int] = []
        for message in messages:
            mark = f"<|{message['role']}|>"
            if mark in special:
                ids += [special[mark], *self.tokenizer.encode(message["content"])]
            else:
                ids += self.tokenizer.encode(mark + message["content"])
            ids.append(self.end_id)
        return [*ids, special["<|assistant|>"]] if asks else ids
