"""The words of a typed expression: numbers, names, signs, each with its place.

Read by expression_parsing.py. Greek letters become names (α is alpha), × and · a star, x₁ is x_1, and raised
digits a power of their own; every character keeps its place, so that an error can point at it.
"""

import re
from collections.abc import Container
from dataclasses import dataclass

from nn2llm.core.errors import LessonError

__all__ = ["GREEK", "ExpressionError", "Token", "blank_left_side", "fail", "split_tokens"]

GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ϵ": "epsilon", "ζ": "zeta",
    "η": "eta", "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "µ": "mu", "ν": "nu",
    "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "ϕ": "phi",
    "χ": "chi", "ψ": "psi", "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi",
    "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_MAX_LENGTH = 500
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉ᵢⱼₖₜₙ", "0123456789ijktn", strict=True))
_PLAIN = {
    "−": "-", "–": "-", "—": "-", "×": "*", "·": "*", "⋅": "*", "∗": "*", "∙": "*", "÷": "/",
    "∕": "/", "⁄": "/", "[": "(", "]": ")", "∑": "Σ",
}  # fmt: skip
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>Σ|[^\W\d_][^\WΣ]*)|(?P<sign>\*\*|.))"
)
# bounds and index of a sum; its order is the vectors' own
_BOUNDS = re.compile(r"(?<=Σ)\s*(?:_(?:\{[^{}]*\}|\w)|[ᵢⱼₖ])(?:\s*\^(?:\{[^{}]*\}|\w))?")
_ELEMENT = re.compile(r"(?<![^\W\d_])([^\W\d_]\w*)\[")
_LEFT_SIDE = re.compile(r"([^=<>!]*?)=(?!=)")
_DERIVATIVE = re.compile(r"(?:∂|d)\s*(\w*)\s*/\s*(?:∂|d)\s*(\w+)\s*(\w*)")
_INSTEAD = {
    "@": "use sum(a*b) for a product that adds up",
    "=": "give the right-hand side alone, without `=`",
    "{": "use round brackets",
    "}": "use round brackets",
    "|": "use abs(…) for the bars",
    "\\": "write it without TeX commands: (a)/(b), sqrt(a), alpha",
    "'": "no primes: derivatives are what you work out",
    "!": "there are no factorials here",
    "%": "write a percentage as a number, such as 0.05",
    "∂": "work the derivative out: no ∂ in the answer",
    "∞": "there is no infinity here",
}


class ExpressionError(LessonError):
    """A text that is no expression; `position` counts characters from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the text; `start` counts characters from 0."""

    kind: str  # number, name, sign, superscript, end
    text: str
    start: int


def fail(message: str, position: int) -> ExpressionError:
    """An error that says where."""
    return ExpressionError(f"{message} (at character {position + 1})", position)


def split_tokens(text: str) -> list[Token]:
    """All tokens, the last of kind "end".

    Raises:
        ExpressionError: a character that means nothing here.
    """
    if len(text) > _MAX_LENGTH:
        raise ExpressionError(f"This is longer than {_MAX_LENGTH} characters; an answer is shorter.", 0)
    length = len(text)
    # read as a bracket, `x[0]` would be x times 0
    element = _ELEMENT.search(text)
    if element is not None:
        raise fail(
            f"`{element[1]}[…]` picks one element: write `{element[1]}`, it stands for all of them",
            element.end() - 1,
        )
    tokens: list[Token] = []
    text, place = _BOUNDS.sub(lambda match: " " * len(match[0]), _normalise(text)), 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:  # white space at the end
            break
        kind = str(match.lastgroup)
        start = match.start(kind)
        _add_token(tokens, kind, match[kind], start)
        place = match.end()
    tokens.append(Token("end", "", length))
    return tokens


def blank_left_side(text: str, symbols: Container[str]) -> str:
    """`∂L/∂w = …`, `slope_w = …`: spaces up to the sign, so that every other character keeps its place.

    `w = 3` stays as it is: a symbol that is known would be solved for.
    """
    found = _LEFT_SIDE.match(text)
    if found is None or not found[1].strip() or "=" in text[found.end() :] or not text[found.end() :].strip():
        return text
    left = found[1].strip()
    named = left.isidentifier() and left not in symbols
    return " " * found.end() + text[found.end() :] if named or _DERIVATIVE.fullmatch(left) else text


def _normalise(text: str) -> str:
    """Characters of other alphabets as plain ones, each in its place, so that positions stay true."""
    return "".join(_PLAIN.get(character, character) for character in text)


def _add_token(tokens: list[Token], kind: str, word: str, start: int) -> None:
    if kind == "name":
        _add_name(tokens, word, start)
    elif kind == "sign" and word in _SUPERSCRIPTS:
        last = tokens[-1] if tokens else None
        if last is not None and last.kind == "superscript" and last.start + len(last.text) == start:
            tokens[-1] = Token("superscript", last.text + _SUPERSCRIPTS[word], last.start)
        else:
            tokens.append(Token("superscript", _SUPERSCRIPTS[word], start))
    elif kind == "sign" and word in _INSTEAD:
        raise fail(f"`{word}` has no meaning here: {_INSTEAD[word]}", start)
    elif kind == "sign" and word not in ("+", "-", "*", "/", "^", "**", "(", ")", ",", "√", "."):
        raise fail(f"The character `{word}` has no meaning here", start)
    else:
        tokens.append(Token(kind, "^" if word == "**" else word, start))


def _add_name(tokens: list[Token], word: str, start: int) -> None:
    # ² and ₁ are letters or digits to \w; a name ends before a power, and x₁ is x_1
    cut = next((i for i, character in enumerate(word) if character in _SUPERSCRIPTS), len(word))
    name, power = word[:cut], word[cut:]
    if name:
        tokens.append(Token("name", _plain_name(name), start))
    for offset, character in enumerate(power):
        if character not in _SUPERSCRIPTS:
            _add_name(tokens, power[offset:], start + cut + offset)
            return
        _add_token(tokens, "sign", character, start + cut + offset)


def _plain_name(name: str) -> str:
    """Greek letters by name, x₁ as x_1."""
    text, low = "", False
    for character in name:
        if character in _SUBSCRIPTS:
            text += ("" if low else "_") + _SUBSCRIPTS[character]
            low = True
        else:
            text += GREEK.get(character, character)
            low = False
    return text
