"""An expression as TeX, for the preview beside what the learner types: it shows how the text was understood.

Read expression_parsing.py before. Inside sum and mean, vectors carry the index i.
"""

from nn2llm.course.grading.expression_parsing import (
    Apply,
    Constant,
    Letter,
    Minus,
    Node,
    Pair,
    SymbolSpec,
)
from nn2llm.course.grading.expression_tokens import GREEK

__all__ = ["write_tex"]

_GREEK_NAMES = frozenset(GREEK.values())
_ACCENTS = {"hat": r"\hat", "bar": r"\bar", "tilde": r"\tilde"}
_FUNCTIONS = {
    "exp": r"\exp", "log": r"\log", "ln": r"\ln", "log2": r"\log_2", "log10": r"\log_{10}", "sin": r"\sin",
    "cos": r"\cos", "tan": r"\tan", "tanh": r"\tanh", "sinh": r"\sinh", "cosh": r"\cosh",
    "sigmoid": r"\sigma", "relu": r"\operatorname{ReLU}", "sign": r"\operatorname{sign}",
    "max": r"\max", "min": r"\min",
}  # fmt: skip
# How tightly each binds; brackets stand where something looser is inside something tighter.
_SUM, _PRODUCT, _SIGNED, _POWER, _ATOM = range(5)


def write_tex(node: Node, symbols: dict[str, SymbolSpec]) -> str:
    """TeX without dollars."""
    return _Writer(symbols).write(node, _SUM, False)


class _Writer:
    def __init__(self, symbols: dict[str, SymbolSpec]) -> None:
        self.symbols = symbols

    def write(self, node: Node, at_least: int, indexed: bool) -> str:
        text, binding = self._write(node, indexed)
        return text if binding >= at_least else rf"\left({text}\right)"

    def _write(self, node: Node, indexed: bool) -> tuple[str, int]:
        if isinstance(node, Constant):
            return _number(node.text), _ATOM
        if isinstance(node, Letter):
            return self._letter(node, indexed), _ATOM
        if isinstance(node, Minus):
            return f"-{self.write(node.inside, _PRODUCT, indexed)}", _SUM
        if isinstance(node, Pair):
            return self._pair(node, indexed)
        return self._apply(node, indexed)

    def _letter(self, node: Letter, indexed: bool) -> str:
        base, _, subscript = node.name.partition("_")
        if base in _ACCENTS and subscript:
            base, subscript = subscript, ""
        accent = _ACCENTS.get(subscript)
        text = _base(base)
        if accent:
            text, subscript = f"{accent}{{{text}}}", ""
        index = node.index
        spec = self.symbols.get(node.name)
        if not index and indexed and spec is not None and spec.shape:
            index = "i"
        marks = ",".join(part for part in (_subscript(subscript), index) if part)
        return f"{text}_{{{marks}}}" if marks else text

    def _pair(self, node: Pair, indexed: bool) -> tuple[str, int]:
        if node.sign == "/":
            above, below = self.write(node.left, _SUM, indexed), self.write(node.right, _SUM, indexed)
            return rf"\frac{{{above}}}{{{below}}}", _PRODUCT
        if node.sign == "^":
            power = self.write(node.right, _SUM, indexed)
            return f"{self.write(node.left, _ATOM, indexed)}^{{{power}}}", _POWER
        if node.sign == "*":
            left = self.write(node.left, _PRODUCT, indexed)
            right = self.write(node.right, _PRODUCT, indexed)
            if isinstance(node.right, Pair) and node.right.sign in "*/":
                # a*(b*c) as typed; a fraction needs no brackets
                right = self.write(node.right, _PRODUCT if node.right.sign == "/" else _POWER, indexed)
            trailing = isinstance(node.right, Apply) and node.right.function in ("sum", "mean")
            if trailing:  # 2/n Σ … needs no brackets, but whatever comes after it does
                return f"{left} \\, {self.write(node.right, _SUM, indexed)}", _SUM
            dot = r" \cdot " if right[0].isdigit() or right.startswith("-") else r" \, "
            return f"{left}{dot}{right}", _PRODUCT
        right = self.write(node.right, _PRODUCT, indexed)
        return f"{self.write(node.left, _SUM, indexed)} {node.sign} {right}", _SUM

    def _apply(self, node: Apply, indexed: bool) -> tuple[str, int]:
        first = node.arguments[0]
        if node.function == "sqrt":
            return rf"\sqrt{{{self.write(first, _SUM, indexed)}}}", _ATOM
        if node.function == "abs":
            return rf"\left|{self.write(first, _SUM, indexed)}\right|", _ATOM
        if node.function in ("sum", "mean"):
            before = r"\frac{1}{n} " if node.function == "mean" else ""
            return rf"{before}\sum_{{i}} {self.write(first, _PRODUCT, True)}", _SUM
        if node.function in ("max", "min") and len(node.arguments) == 1:
            inside = self.write(first, _SUM, True)
            return rf"{_FUNCTIONS[node.function]}_{{i}}\left({inside}\right)", _ATOM
        inside = ", ".join(self.write(item, _SUM, indexed) for item in node.arguments)
        return rf"{_FUNCTIONS[node.function]}\left({inside}\right)", _ATOM


def _number(text: str) -> str:
    mantissa, _, exponent = text.lower().partition("e")
    mantissa = mantissa.rstrip(".") or "0"
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


def _base(name: str) -> str:
    if name in _GREEK_NAMES:
        return "o" if name == "omicron" else f"\\{name}"
    return name if len(name) == 1 else rf"\mathrm{{{name}}}"


def _subscript(name: str) -> str:
    if not name:
        return ""
    return ",".join(_base(part) if not part.isdigit() else part for part in name.split("_"))
