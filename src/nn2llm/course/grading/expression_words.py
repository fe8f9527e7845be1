"""What to say of a word that an expression does not know.

Used by expression_parsing.py.
"""

import difflib
import re
import unicodedata
from collections.abc import Collection, Mapping

__all__ = ["suggest_word"]

_OTHER_WORDS = {
    "average": "mean", "avg": "mean", "expectation": "mean", "total": "sum", "add": "sum", "square": "^2",
    "pow": "^", "power": "^", "len": "n", "length": "n", "size": "n", "N": "n",
}  # fmt: skip


def suggest_word(
    word: str, symbols: Mapping[str, object], known: list[str], functions: Collection[str], *, called: bool
) -> str:
    """ " Did you mean `mean`?", or which names there are. `called`: a bracket stands behind the word."""
    digits = re.fullmatch(r"([^\W\d]+)(\d+)", word)
    if digits and digits[1] in symbols:
        return f" Write {digits[1]}*{digits[2]} or {digits[1]}^{digits[2]}."
    everything = [*known, *functions]
    other = _OTHER_WORDS.get(word) or _OTHER_WORDS.get(word.lower())
    if other is not None and (other in everything or other.startswith("^")):
        return f" Did you mean `{other}`?"
    small = next((name for name in everything if name.lower() == word.lower()), None)
    if small is not None:
        return f" Did you mean `{small}`?"
    close = difflib.get_close_matches(word, everything, n=1, cutoff=0.6)
    if close:
        return f" Did you mean `{close[0]}`?"
    names = f" Known are {', '.join(symbols) or 'numbers only'}"
    if any(unicodedata.name(letter, "").endswith("WITH CIRCUMFLEX") for letter in word):
        return f"{names}: write it out in these."
    if called:
        return f"{names}, and functions such as mean, sum and exp."
    return f"{names}."
