"""Cut text into pieces before BPE: words with their leading space, numbers, punctuation, white space.

Read before bpe.py. BPE merges only inside a piece, so "dog", "dog." and "dog!" share one token, and training
counts each distinct piece once. The pattern is GPT-2's.
Used by bpe.py and fast.py; taught in `bpe`.
Source: Radford et al. 2019, section 2.2, and the `encoder.py` published with it.
"""

from collections.abc import Iterator

import regex

__all__ = ["GPT2_PATTERN", "find_safe_cut", "slice_text", "split_text"]

GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
r"""In order of preference: a contraction ('s, 'll); letters, numbers or other signs, with one space before;
white space but the last before a word, which is that word's (`\s+(?!\S)`: no non-space follows); the rest.
"""

# What is a letter depends on the version of Unicode. HuggingFace's tokenizers 0.23 and tiktoken 0.14 know
# Unicode 16; Python's `regex` is newer, and what only one of them calls a letter would get other ids. These
# are the letters and numbers that came later (test_presplit.py compares all 1.1 million characters).
_NEWER_THAN_UNICODE_16 = (
    r"\u0558\u058B\u058C\u088F\u0C5C\u0CDC\u208F\u209D-\u209F\uA7CE\uA7CF\uA7D2\uA7D4\uA7DD\uA7E2\uA7F1"
    r"\uAB6C\uAB6D\U000107BB-\U000107BF\U00010940-\U00010959\U00010EC5-\U00010EC7\U00010ED9-\U00010EEE"
    r"\U00011B0A\U00011DB0-\U00011DDB\U00011DE0-\U00011DE9\U00011DF1\U0001246F\U00012475-\U0001247F"
    r"\U00012550-\U00012686\U00016EA0-\U00016EB8\U00016EBB-\U00016ED3\U00016FF2-\U00016FF6"
    r"\U000187F8-\U000187FF\U00018CD6-\U00018CDA\U00018D09-\U00018D20\U00018D80-\U00018DF2"
    r"\U00018E00-\U00019191\U000191A0-\U000191D2\U0001B123-\U0001B128\U0001B168\U0001D6A6"
    r"\U0001DF1F-\U0001DF24\U0001DF2B-\U0001DF81\U0001DF90-\U0001DF96\U0001DFCD-\U0001DFFF"
    r"\U0001E6C0-\U0001E6DE\U0001E6E0-\U0001E6E2\U0001E6E4\U0001E6E5\U0001E6E7-\U0001E6ED"
    r"\U0001E6F0-\U0001E6F4\U0001E6FE\U0001E6FF\U0002B73A-\U0002B73F\U0002B81E\U0002CEA2-\U0002CEAD"
    r"\U000323B0-\U00033479\U0003D000-\U0003FC3F"
)
_LETTER = rf"[\p{{L}}--[{_NEWER_THAN_UNICODE_16}]]"
_NUMBER = rf"[\p{{N}}--[{_NEWER_THAN_UNICODE_16}]]"
_OTHER = rf"[[^\s\p{{L}}\p{{N}}]||[{_NEWER_THAN_UNICODE_16}]]"
_PATTERN = regex.compile(
    GPT2_PATTERN.replace(r"[^\s\p{L}\p{N}]", _OTHER)
    .replace(r" ?\p{L}", f" ?{_LETTER}")
    .replace(r" ?\p{N}", f" ?{_NUMBER}"),
    # Version 1 understands the differences and unions of sets above.
    flags=regex.VERSION1,
)

# How far beyond a piece the pattern looks to settle it: an apostrophe waits for the "ll" that may follow.
_LOOKAHEAD = 2


def split_text(text: str) -> list[str]:
    """The pieces of `text`; joined, they are the text again."""
    return _PATTERN.findall(text)


def find_safe_cut(text: str) -> int:
    """A position, as late as is easy to find, where cutting changes no piece whatever follows; 0 if none."""
    # No piece has a non-space before a space, so before the space of a word is always safe, and soon found.
    # (str.isspace is true for every character of \s, and for a few more, which costs nothing here.)
    cut = text.rfind(" ")
    while cut > 0 and text[cut - 1].isspace():
        cut = text.rfind(" ", 0, cut)
    if cut > 0:
        return cut
    # Text without spaces (Chinese, a long URL): after a piece that is settled. Not after white space: at the
    # end of a text it is one piece, and before a word its last character is apart.
    cut = 0
    for match in _PATTERN.finditer(text):
        if match.end() > len(text) - _LOOKAHEAD:
            break
        if not text[match.end() - 1].isspace():
            cut = match.end()
    return cut


def slice_text(text: str, num_characters: int) -> Iterator[str]:
    """Cut a long text at safe places into slices of about `num_characters`, to work on one at a time."""
    start, size = 0, num_characters
    while len(text) - start > size:
        cut = find_safe_cut(text[start : start + size])
        if cut == 0:
            size *= 2
            continue
        yield text[start : start + cut]
        start, size = start + cut, num_characters
    if start < len(text):
        yield text[start:]
