"""One preference: a prompt, the reply that somebody chose, and the one they rejected.

Read tokenizers/chat.py before, preference_layouts.py (how files write it) and preferences.py after.
"""

import math
from dataclasses import dataclass

from nn2llm.core.errors import DataError
from nn2llm.tokenizers.chat import Message, check_messages

__all__ = ["PreferencePair", "check_pair", "shorten"]


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two replies to one prompt, of which the first was preferred."""

    prompt: tuple[Message, ...]
    """The conversation so far; it ends with a user's turn."""
    chosen: str
    rejected: str
    margin: float | None = None
    """By how much the chosen reply is better, in units of the reward; None: not said."""


def check_pair(pair: PreferencePair) -> None:
    """Whether something can be learnt from a pair.

    Raises:
        DataError: if the prompt is no conversation that ends with a user, or the replies are empty or equal.
    """
    check_messages(pair.prompt)
    if (role := pair.prompt[-1]["role"]) != "user":
        raise DataError(
            f"The prompt ends with a message of the {role}. It must end with a user's turn, which the "
            "replies answer."
        )
    for name, reply in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        if not reply.strip():
            raise DataError(f"The {name} reply is empty. Write one, or leave the pair out.")
    if pair.chosen.strip() == pair.rejected.strip():
        raise DataError(
            f"The chosen and the rejected reply are equal ({shorten(pair.chosen)}), so nothing is "
            "preferred. Leave the pair out."
        )
    if pair.margin is not None and not math.isfinite(pair.margin):
        raise DataError(f"margin must be a number, got {pair.margin}.")


def shorten(value: object) -> str:
    """A value as Python writes it, cut to 60 characters: for messages."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
