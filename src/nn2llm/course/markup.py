"""Small readings of a lesson's Markdown that need no Markdown parser: anchors, plain words, sentences.

Read after lesson.py. Used by parsing.py, checks.py, glossary.py, search.py and rendering.py.
"""

import re
import unicodedata
from functools import lru_cache

__all__ = [
    "COMMENT",
    "EQUATION_REFERENCE",
    "INLINE_MATH",
    "QUOTED_NUMBER",
    "find_paragraph",
    "find_sentence",
    "find_term",
    "make_anchor",
    "mask_code",
    "spell_math",
    "take_anchor",
    "to_plain_text",
]

COMMENT = re.compile(r"<!--\s*(.*?)\s*-->", re.DOTALL)
EQUATION_REFERENCE = re.compile(r"\((\d+\.\d+\.\d+[a-z]?)\)")
QUOTED_NUMBER = re.compile(
    r"<!--\s*from:\s*(?P<cell>[\w-]*)\s*-->"
    r"(?P<wrap>`|\$|)(?P<number>[-+−]?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][-+]?\d+)?%?)(?P=wrap)"
)
"""`<!-- from: fit -->1.43`; the number may stand in backticks or dollars."""

INLINE_MATH = re.compile(
    r"\$\$((?:\\.|[^$\\])+)\$\$" + r"|\$(?![\s$])((?:\\.|[^$\\])+?)(?<!\s)\$(?!\d)", re.DOTALL
)
"""`$$display$$` or `$inline$`; no space inside the dollars and no digit after, so prices stay prices."""

_FENCE = re.compile(r"^ *(`{3,}|~{3,}).*?(?:^ *\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_MATH = re.compile(r"(?<![\\$\w])" + INLINE_MATH.pattern, re.DOTALL)
_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_LINE_MARK = re.compile(r"^\s{0,3}(?:#{1,6}\s+|>\s?|[-*+]\s+|\d+[.)]\s+)", re.MULTILINE)
_TABLE_RULE = re.compile(r"^\s*\|?[\s:|-]+\|?\s*$", re.MULTILINE)
_ITEM = re.compile(r"^ *(?:[-*+]\s|\d+[.)]\s|\|)", re.MULTILINE)
_EMPHASIS = re.compile(r"(\*{1,3}|~~)(?=\S)(.+?)(?<=\S)\1", re.DOTALL)
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_LETTERS = (
    "alpha beta gamma delta epsilon eta theta kappa mu nu pi rho sigma tau phi chi psi omega"  # λ below
)
_SYMBOLS = {name: unicodedata.lookup(f"GREEK SMALL LETTER {name.upper()}") for name in _LETTERS.split()}
_SYMBOLS["lambda"] = "λ"
_SYMBOLS |= {
    "times": "×",
    "cdot": "·",
    "leq": "≤",
    "le": "≤",
    "geq": "≥",
    "ge": "≥",
    "approx": "≈",
    "to": "→",
    "partial": "∂",
    "nabla": "∇",
    "sum": "∑",
    "in": "∈",
    "pm": "±",
    "neq": "≠",
    "infty": "∞",
    "odot": "⊙",
    "top": "ᵀ",
    "dots": "…",
    "ldots": "…",
    "cdots": "…",
    "Delta": "Δ",
    "Sigma": "Σ",
    "quad": " ",
}
_ACCENTS = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303"}
_RESERVED = ("eq-", "term-", "cell-", "exercise-", "question-")  # the anchors of what is no heading
_ABBREVIATIONS = ("e.g.", "i.e.", "cf.", "vs.", "etc.", "eq.", "fig.", "al.", "sec.")


def make_anchor(text: str) -> str:
    """`The question, again` → `the-question-again`; empty where the text has no letters."""
    plain = to_plain_text(text).lower()
    return re.sub(r"[\s_]+", "-", re.sub(r"[^\w\s-]", "", plain).strip())


def take_anchor(title: str, taken: set[str]) -> str:
    """The anchor of a heading, unlike any in `taken`, to which it is added."""
    anchor = make_anchor(title) or "section"
    if anchor.startswith(_RESERVED):
        anchor = f"section-{anchor}"
    unique, count = anchor, 1
    while unique in taken:
        count += 1
        unique = f"{anchor}-{count}"
    taken.add(unique)
    return unique


@lru_cache(maxsize=512)  # each term of a lesson is looked for in the same texts
def mask_code(markdown: str, *, math: bool = True) -> str:
    """The text with code (and mathematics) turned to spaces: same length, same lines."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match.group())

    text = _CODE.sub(blank, _FENCE.sub(blank, markdown))
    return _MATH.sub(blank, text) if math else text


def to_plain_text(markdown: str) -> str:
    """Words for search and for titles: marks removed, fenced code left out, short mathematics in letters."""
    text = COMMENT.sub("", _FENCE.sub(" ", markdown))
    kept: list[str] = []

    def keep(words: str) -> str:
        kept.append(words)
        return f"\x00{len(kept) - 1}\x00"

    text = _CODE.sub(lambda match: keep(match.group(2)), text)
    text = _MATH.sub(lambda match: keep(_spell(match.group().strip("$").strip())), text)
    text = _LINK.sub(r"\1", _IMAGE.sub(r"\1", text))
    text = _LINE_MARK.sub("", _TABLE_RULE.sub("", text))
    text = _EMPHASIS.sub(r"\2", _EMPHASIS.sub(r"\2", text))
    text = _ESCAPE.sub(r"\1", text).replace("|", " ")
    text = re.sub("\x00(\\d+)\x00", lambda match: kept[int(match.group(1))], text)
    return " ".join(text.split())


def spell_math(markdown: str) -> str:
    """The text with mathematics in letters, for comments and terminals; code and all else as they are.

    What letters cannot say stays as it was typed, without its dollars.
    """
    kept: list[str] = []

    def keep(match: re.Match[str]) -> str:
        kept.append(match.group())
        return f"\x00{len(kept) - 1}\x00"

    def spell(match: re.Match[str]) -> str:
        tex = match.group().strip("$").strip()
        spelled = _spell_letters(tex)
        return tex if "\\" in spelled else spelled

    text = _MATH.sub(spell, _CODE.sub(keep, _FENCE.sub(keep, markdown.replace("\x00", ""))))
    return re.sub("\x00(\\d+)\x00", lambda match: kept[int(match.group(1))], text)


def _spell(tex: str) -> str:
    """`\\hat{y}` → `ŷ`; an ellipsis for what letters cannot say."""
    text = _spell_letters(tex)
    return text if "\\" not in text and len(text) <= 40 else "…"


def _spell_letters(tex: str) -> str:
    """Accents, Greek and common signs in letters; a backslash is left where something is not known."""
    text = re.sub(
        r"\\(hat|bar|tilde)\s*(?:\{(\w)\}|(\w))",
        lambda match: unicodedata.normalize("NFC", (match[2] or match[3]) + _ACCENTS[match[1]]),
        tex,
    )
    text = re.sub(r"\\(?:mathbf|mathrm|text|mathit|boldsymbol|operatorname)\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\\frac\{(\w+)\}\{(\w+)\}", r"\1/\2", text)
    text = re.sub(r"\\([a-zA-Z]+)\s*", lambda match: _SYMBOLS.get(match[1], match[0]), text)
    return re.sub(r"\\[,;:! ]", " ", text)


def find_term(term: str, markdown: str) -> re.Match[str] | None:
    """Where `**term**` first stands in bold outside code; upper case and a plural s do not matter."""
    words = r"\s+".join(re.escape(word) for word in term.split())
    return re.search(
        rf"(?<![\w*])\*\*({words}(?:s|es)?)\*\*(?!\w)", mask_code(markdown, math=False), re.IGNORECASE
    )


def find_paragraph(markdown: str, at: int) -> tuple[int, int]:
    """Start and end of the paragraph, list item or table row around position `at`."""
    gap = markdown.rfind("\n\n", 0, at)
    start = gap + 2 if gap >= 0 else 0
    gap = markdown.find("\n\n", at)
    end = gap if gap >= 0 else len(markdown)
    for mark in _ITEM.finditer(markdown, start, end):
        if mark.start() > at:
            return start, mark.start()
        start = mark.start()
    return start, end


def find_sentence(markdown: str, at: int) -> str:
    """The sentence around position `at`, as Markdown on one line."""
    start, end = find_paragraph(markdown, at)
    masked = mask_code(markdown[start:end])
    begin, stop = 0, len(masked)
    for match in re.finditer(r"[.!?][\"'”’)*_]*(?=\s|$)", masked):
        word = masked[: match.start() + 1].split()[-1].lower() if masked[: match.start() + 1].split() else ""
        if word.lstrip("(*_") in _ABBREVIATIONS:
            continue
        if match.end() <= at - start:
            begin = match.end()
        else:
            stop = match.end()
            break
    sentence = _LINE_MARK.sub("", markdown[start:end][begin:stop].strip(), count=1)
    return " ".join(COMMENT.sub("", sentence).split())
