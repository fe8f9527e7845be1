"""From tokens to text as they are written: whole characters, and never the beginning of a stop string.

A byte-level token may end in the middle of a UTF-8 character, and a stop string may begin in one token and
end in another. `TextStream` holds such beginnings back until the next tokens decide.
Read after tokenizers/base.py. Used by engine.py.
"""

import codecs
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from nn2llm.core.errors import ConfigError

__all__ = ["TextStream", "TokenDecoder"]


@runtime_checkable
class TokenDecoder(Protocol):
    """The part of a tokenizer that generation needs."""

    def token_bytes(self, token_id: int, /) -> bytes:
        """The UTF-8 bytes that a token stands for."""
        ...


class TextStream:
    """Turns one row's tokens into text, piece by piece.

    The pieces put together do not depend on how the text is cut into tokens. Bytes that are not UTF-8
    become U+FFFD, as in `tokenizer.decode`.

    Attributes:
        text: all that has been given out.
        stopped: a stop string was found; the text ends before it, and further tokens add nothing.
    """

    def __init__(self, tokenizer: TokenDecoder, stop_strings: Sequence[str] = ()) -> None:
        if "" in stop_strings:
            raise ConfigError("A stop string must have at least one character, got ''. Leave it out.")
        self.text = ""
        self.stopped = False
        self._tokenizer = tokenizer
        self._stop_strings = tuple(stop_strings)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""

    def push(self, token_id: int) -> str:
        """Take one more token; returns the text that is certain now, often "" or more than one character."""
        return self._take(self._decoder.decode(self._tokenizer.token_bytes(token_id)), final=False)

    def finish(self) -> str:
        """No more tokens will come: returns what was held back."""
        return self._take(self._decoder.decode(b"", final=True), final=True)

    def _take(self, text: str, *, final: bool) -> str:
        if self.stopped:
            return ""
        self._held += text
        found = self._find_stop()
        if found is not None:
            self.stopped = True
            keep = found
        else:
            keep = len(self._held) - (0 if final else self._count_undecided())
        piece, self._held = self._held[:keep], self._held[keep:]
        self.text += piece
        return piece

    def _find_stop(self) -> int | None:
        """Where the stop string that is complete first begins; of two complete at once, the longer."""
        starts = [(self._held.find(stop), len(stop)) for stop in self._stop_strings]
        ends = [(start + length, start) for start, length in starts if start >= 0]
        return min(ends)[1] if ends else None

    def _count_undecided(self) -> int:
        """Length of the longest ending that may yet grow into a stop string."""
        longest = max((len(stop) for stop in self._stop_strings), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            ending = self._held[-length:]
            if any(stop.startswith(ending) for stop in self._stop_strings):
                return length
        return 0
