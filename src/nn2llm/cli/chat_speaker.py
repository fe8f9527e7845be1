"""A model that takes part in a conversation: what it is shown, what it writes, and how sure it was.

A chat model is shown the conversation by its template (tokenizers/chat.py) and writes until it ends its turn.
A base model knows no turns: it is shown the last message as a line of text and continues up to the next line
break. Read chat_stages.py before. Used by chat_loop.py and chat_tables.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from nn2llm.cli.chat_stages import STAGES
from nn2llm.cli.talk import Settings
from nn2llm.core.errors import ConfigError
from nn2llm.core.threads import few_threads
from nn2llm.generation.engine import stream
from nn2llm.models.gpt import GPT
from nn2llm.tokenizers import Tokenizer
from nn2llm.tokenizers.chat import CHAT_TOKENS, ChatFormat, Message
from nn2llm.train.checkpoint import load_trained_model

__all__ = ["Prompt", "Speaker", "TokenChoice", "Turn", "load_speaker", "to_messages"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A message and its reply."""

    user: str
    reply: str
    stage: str
    """Who replied."""
    prompt_ids: tuple[int, ...]
    """What the model was shown."""
    reply_ids: tuple[int, ...]
    """What it wrote, the end of its turn included where it came so far."""
    finish: str
    """Why it ended: "end", "length", "context", or "stopped" by the user."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is shown of a conversation."""

    ids: list[int]
    num_forgotten: int
    """Turns, the oldest ones, that are left out to make room."""


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """One written token, and what the model thought of it and of others, before temperature."""

    token: int
    probability: float
    others: tuple[tuple[int, float], ...]
    """The most probable other tokens, with their probabilities."""


def to_messages(turns: Sequence[Turn], user: str | None = None) -> list[Message]:
    """Turns, and what the user says next, as messages."""
    messages: list[Message] = []
    for turn in turns:
        messages.append({"role": "user", "content": turn.user})
        messages.append({"role": "assistant", "content": turn.reply})
    if user is not None:
        messages.append({"role": "user", "content": user})
    return messages


def load_speaker(name: str, run: Path, device: torch.device) -> "Speaker":
    """The model of a run, on `device`.

    Raises:
        CheckpointError: if there is no checkpoint, it is damaged, or it is no model that writes.
    """
    model, tokenizer = load_trained_model(run, device=device)
    return Speaker(name, model, tokenizer)


class Speaker:
    """A model and its side of a conversation.

    Attributes:
        name: of its stage.
        is_base: it was never taught to chat (its tokenizer has no tokens for turns, or it is the base stage).
        description: what it is, in words.
        context: tokens it can see, its own included.
    """

    def __init__(self, name: str, model: GPT, tokenizer: Tokenizer) -> None:
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.is_base = name == "base" or any(mark not in tokenizer.special_tokens for mark in CHAT_TOKENS)
        self.description = STAGES["base"] if self.is_base else STAGES.get(name, "a chat model")
        self.context = model.config.max_seq_len
        self._chat = None if self.is_base else ChatFormat(tokenizer)

    def build_prompt(self, turns: Sequence[Turn], user: str, max_new_tokens: int) -> Prompt:
        """As many of the newest turns as leave room for a reply, and the message.

        Raises:
            ConfigError: if the message alone fills the context.
            TokenizerError: if it has a character that the tokenizer does not know.
        """
        if self._chat is None:  # one line of text, and nothing before it
            prompt = Prompt([self.tokenizer.end_of_text_id, *self.tokenizer.encode(user + "\n")], 0)
        else:
            room = min(max_new_tokens, self.context // 4)
            for num_forgotten in range(len(turns) + 1):
                messages = to_messages(turns[num_forgotten:], user)
                prompt = Prompt(self._chat.encode(messages, add_generation_prompt=True).ids, num_forgotten)
                if len(prompt.ids) + room <= self.context:
                    break
        if len(prompt.ids) >= self.context:
            raise ConfigError(
                f"This message takes {len(prompt.ids)} tokens, and {self.name} has a context of "
                f"{self.context}, its reply included. Write a shorter one."
            )
        return prompt

    def write(
        self, prompt: Prompt, user: str, settings: Settings, *, on_text: Callable[[str], None] | None = None
    ) -> Turn:
        """Reply; Ctrl-C ends the reply where it is.

        Args:
            prompt: from `build_prompt`.
            user: the message it answers.
            settings: how tokens are chosen, and how many.
            on_text: called with each piece of text as it comes.
        """
        written, ids, finish = "", None, "stopped"
        try:
            with few_threads(self.model):
                for piece in stream(
                    self.model,
                    [prompt.ids],
                    max_new_tokens=settings.max_new_tokens,
                    sampling=settings.sampling,
                    tokenizer=self.tokenizer,
                    # Not only the end of a turn: who opens another one, or a text, has ended this one too.
                    stop_token_ids=self.tokenizer.special_tokens.values(),
                    stop_strings=("\n",) if self.is_base else (),
                    seed=settings.seed,
                ):
                    text = piece.text if written else piece.text.lstrip()
                    written += text
                    if on_text is not None and text:
                        on_text(text)
                    if piece.generation is not None:
                        ids = piece.generation.ids
                        reasons = {"max_new_tokens": "length", "context_full": "context"}
                        finish = reasons.get(piece.generation.finish_reason, "end")
        except KeyboardInterrupt:
            finish = "stopped"
        reply = written.strip()
        if ids is None:  # stopped: the tokens of what had come
            ids = tuple(self._encode_begun(reply)) if reply else ()
        return Turn(
            user=user,
            reply=reply,
            stage=self.name,
            prompt_ids=tuple(prompt.ids),
            reply_ids=ids,
            finish=finish,
        )

    def _encode_begun(self, reply: str) -> list[int]:
        return self.tokenizer.encode(reply) if self._chat is None else self._chat.encode_reply(reply)[:-1]

    @torch.inference_mode()
    def explain(self, turn: Turn, *, num_others: int = 5) -> list[TokenChoice]:
        """Of each token of a reply: its probability after all before it, and the best others."""
        ids = [*turn.prompt_ids, *turn.reply_ids]
        with few_threads(self.model):
            hidden = self.model.compute_hidden(torch.tensor([ids[:-1]], device=self.model.device))
            logits = self.model.compute_logits(hidden[:, len(turn.prompt_ids) - 1 :])[0]
        probabilities = logits.float().softmax(dim=-1)
        best = probabilities.topk(min(num_others + 1, probabilities.shape[-1]), dim=-1)
        choices = []
        for position, token in enumerate(turn.reply_ids):
            candidates = zip(best.indices[position].tolist(), best.values[position].tolist(), strict=True)
            others = [(other, value) for other, value in candidates if other != token][:num_others]
            choices.append(TokenChoice(token, float(probabilities[position, token]), tuple(others)))
        return choices
