"""One token a character: the smallest vocabulary, and the longest sequences.

Read after base.py. The first step of the ladder (bpe.py is the next): easy to see through, quick to learn on
small corpora, and helpless before a character that it has never seen.
Used by the first pretraining runs; taught beside `bpe`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

from nn2llm.core.errors import TokenizerError
from nn2llm.tokenizers.base import END_OF_TEXT, Tokenizer, replace_surrogates
from nn2llm.tokenizers.formats import build_char_json

__all__ = ["CharTokenizer"]


class CharTokenizer(Tokenizer):
    """Characters in the order of their code points, then the special tokens.

    Raises:
        TokenizerError: if there are no characters.
    """

    kind: ClassVar[str] = "char"

    def __init__(self, characters: Iterable[str], special_tokens: Sequence[str] = (END_OF_TEXT,)) -> None:
        self._characters = sorted(set(characters))
        if not self._characters:
            raise TokenizerError(
                "There is no text to train a tokenizer on; choose a corpus that is not empty."
            )
        super().__init__([character.encode() for character in self._characters], special_tokens)
        self._ids = {character: token_id for token_id, character in enumerate(self._characters)}

    @classmethod
    def train(
        cls, texts: Iterable[str], *, special_tokens: Sequence[str] = (END_OF_TEXT,)
    ) -> "CharTokenizer":
        """A tokenizer that knows every character of `texts`. Raises TokenizerError if there are none."""
        characters: set[str] = set()
        for text in texts:
            characters.update(replace_surrogates(text))
        return cls(characters, special_tokens)

    def with_special_tokens(self, names: Sequence[str]) -> Self:
        """See `Tokenizer.with_special_tokens`."""
        return type(self)(self._characters, [*self.special_tokens, *names])

    def _encode_ordinary(self, text: str) -> list[int]:
        try:
            return [self._ids[character] for character in text]
        except KeyError as error:
            character = error.args[0]
            raise TokenizerError(
                f"The character {character!r} (U+{ord(character):04X}) is not among the "
                f"{len(self._characters)} that this tokenizer knows. Leave it out, train on text that "
                "contains it, or use a BPE tokenizer, which encodes any text."
            ) from None

    def _find_safe_cut(self, text: str) -> int:
        return len(text)

    def to_hf_json(self) -> dict[str, Any]:
        """See `Tokenizer.to_hf_json`."""
        return build_char_json(self._characters, self.special_tokens)
