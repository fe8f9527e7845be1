"""Mathematics as a learner types it, read into a tree: `2/n sum((w x_i + b - y_i) x_i)`, `-x²/2`, `√(2π)`.

Read after expression_tokens.py. No eval: a small recursive-descent parser. Multiplication may be left
out (`2x`, `2(x+1)`, `w x`, and `wx` where w and x are symbols and wx is not); it binds as `*` does, from the
left, so `1/2x` is half of x, and the preview shows it. `^` and `**` bind tighter than a minus before them.
Σ takes the rest of its product, as on paper: `2/n Σ (w x_i + b - y_i) x_i`. Python's own spellings are read
too: `np.mean(…)`, `(…).mean()`, `len(x)`. expression_words.py has the sentences for unknown words.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nn2llm.course.grading.expression_tokens import (
    ExpressionError,
    Token,
    blank_left_side,
    fail,
    split_tokens,
)
from nn2llm.course.grading.expression_words import suggest_word

__all__ = [
    "CONSTANTS",
    "FUNCTIONS",
    "Apply",
    "Constant",
    "ExpressionError",
    "Letter",
    "Minus",
    "Node",
    "Pair",
    "SymbolSpec",
    "find_names",
    "parse_expression",
    "read_symbols",
]

FUNCTIONS = {
    "exp": (1, 1), "log": (1, 1), "ln": (1, 1), "log2": (1, 1), "log10": (1, 1), "sqrt": (1, 1),
    "sin": (1, 1), "cos": (1, 1), "tan": (1, 1), "tanh": (1, 1), "sinh": (1, 1), "cosh": (1, 1),
    "sigmoid": (1, 1), "relu": (1, 1), "abs": (1, 1), "sign": (1, 1),
    "sum": (1, 1), "mean": (1, 1), "max": (1, 8), "min": (1, 8),
}  # fmt: skip
"""Name → fewest and most arguments."""
CONSTANTS = ("pi", "e", "n")

_MAX_DEPTH = 40
_MAX_TREE = 120
"""Whoever walks the tree takes a few of Python's 1000 calls for each step down."""
_LIBRARIES = frozenset({"np", "numpy", "torch", "math"})
_INDICES = frozenset("ijkt")


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    """A letter that may be used, with the range of its random values."""

    name: str
    shape: tuple[str, ...] = ()
    low: float = -2.0
    high: float = 2.0


@dataclass(frozen=True, slots=True)
class Constant:
    """A number as written."""

    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A symbol, or pi, e, n. `index`: "i" (each element) or "1" (the first), as in x_i, x_1."""

    name: str
    index: str = ""


@dataclass(frozen=True, slots=True)
class Minus:
    """A minus before a term."""

    inside: "Node"


@dataclass(frozen=True, slots=True)
class Pair:
    """left `sign` right; sign is one of + - * / ^."""

    sign: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Apply:
    """A function of its arguments."""

    function: str
    arguments: tuple["Node", ...]


Node = Constant | Letter | Minus | Pair | Apply


def read_symbols(symbols: Mapping[str, Any] | Iterable[Any]) -> dict[str, SymbolSpec]:
    """Symbols by name, from exercises.yaml's mapping or its records."""
    found: dict[str, SymbolSpec] = {}
    if isinstance(symbols, Mapping):
        for name, options in symbols.items():
            given = dict(options or {})
            shape = given.get("shape", ())
            sizes = (shape,) if isinstance(shape, (str, int)) else tuple(shape)
            low, high = float(given.get("low", -2.0)), float(given.get("high", 2.0))
            found[name] = SymbolSpec(name, tuple(str(size) for size in sizes), low, high)
    else:
        item: Any
        for item in symbols:
            shape = tuple(str(size) for size in item.shape)
            found[item.name] = SymbolSpec(item.name, shape, float(item.low), float(item.high))
    return found


def parse_expression(
    text: str, symbols: Mapping[str, Any] | Iterable[Any] = (), *, forbid: Iterable[str] = ()
) -> Node:
    """The tree of an expression.

    Raises:
        ExpressionError: one sentence, with the place.
    """
    node = _Parser(text, read_symbols(symbols), frozenset(forbid)).parse()
    if _measure_depth(node) > _MAX_TREE:
        raise ExpressionError(f"This has more than {_MAX_TREE} steps in a row; an answer has fewer.", 0)
    return node


def _measure_depth(node: Node) -> int:
    """Steps from the whole to its innermost part: `x + x + x` is as deep as it is long."""
    deepest, rest = 0, [(node, 1)]
    while rest:
        part, depth = rest.pop()
        deepest = max(deepest, depth)
        if isinstance(part, Minus):
            rest.append((part.inside, depth + 1))
        elif isinstance(part, Pair):
            rest += [(part.left, depth + 1), (part.right, depth + 1)]
        elif isinstance(part, Apply):
            rest += [(one, depth + 1) for one in part.arguments]
    return deepest


def find_names(node: Node) -> set[str]:
    """Symbols, constants and functions that an expression uses."""
    if isinstance(node, Letter):
        return {node.name}
    if isinstance(node, Minus):
        return find_names(node.inside)
    if isinstance(node, Pair):
        return find_names(node.left) | find_names(node.right)
    if isinstance(node, Apply):
        return {node.function}.union(*(find_names(item) for item in node.arguments))
    return set()


class _Parser:
    def __init__(self, text: str, symbols: dict[str, SymbolSpec], forbid: frozenset[str]) -> None:
        self.text, self.symbols, self.forbid = text, symbols, forbid
        self.depth = 0
        # n is the length of the vectors: where there is none, n means nothing
        self.constants = CONSTANTS if any(item.shape for item in symbols.values()) else ("pi", "e")
        self.tokens = split_tokens(blank_left_side(text, symbols))
        self.place = 0

    def parse(self) -> Node:
        if self.tokens[0].kind == "end":
            raise ExpressionError("There is nothing here yet: type an expression.", 0)
        node = self._sum()
        token = self._next()
        if token.kind != "end":
            self._refuse(token)
        return node

    def _refuse(self, token: Token) -> None:
        if token.kind == "end":
            raise fail("Something is missing at the end", token.start)
        if token.text == ")":
            raise fail("A closing bracket without an opening one", token.start)
        if token.text == ",":
            raise fail(
                "A comma only separates arguments, as in max(0, x); write 0.5 with a point", token.start
            )
        if token.kind == "number":
            raise fail(f"Something is missing before {token.text}: `*`, `^` or `+`?", token.start)
        if token.text == ".":
            raise fail("The character `.` has no meaning here", token.start)
        raise fail(f"`{token.text}` cannot stand here", token.start)

    def _peek(self) -> Token:
        return self.tokens[self.place]

    def _next(self) -> Token:
        token = self.tokens[self.place]
        self.place = min(self.place + 1, len(self.tokens) - 1)
        return token

    # grammar: sum → product → signed → power → atom

    def _sum(self) -> Node:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise fail(f"Brackets are nested deeper than {_MAX_DEPTH}", self._peek().start)
        node = self._product()
        while self._peek().text in ("+", "-") and self._peek().kind == "sign":
            sign = self._next().text
            node = Pair(sign, node, self._product())
        self.depth -= 1
        return node

    def _product(self) -> Node:
        node = self._signed()
        while True:
            token = self._peek()
            if token.kind == "sign" and token.text in ("*", "/"):
                self._next()
                node = Pair(token.text, node, self._signed())
            elif token.kind == "name" or (token.kind == "sign" and token.text in ("(", "√")):
                node = Pair("*", node, self._power())
            else:
                return node

    def _signed(self) -> Node:
        token = self._peek()
        if token.kind == "sign" and token.text in ("-", "+"):
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise fail("Too many signs in a row", token.start)
            self._next()
            inside = self._signed()
            self.depth -= 1
            return Minus(inside) if token.text == "-" else inside
        return self._power()

    def _power(self) -> Node:
        node = self._atom()
        while self._peek().text == "." and self._peek().kind == "sign":
            node = self._method(node)
        token = self._peek()
        if token.kind == "superscript":
            self._next()
            try:
                value = int(token.text)
            except ValueError:
                raise fail("A raised sign without a number", token.start) from None
            node = Pair("^", node, Minus(Constant(-value, str(-value))) if value < 0 else
                        Constant(value, str(value)))  # fmt: skip
            token = self._peek()
        if token.kind == "sign" and token.text == "^":
            self._next()
            return Pair("^", node, self._signed())  # from the right: 2^3^2 is 2^9
        return node

    def _atom(self) -> Node:
        token = self._next()
        if token.kind == "number":
            follower = self._peek()
            if follower.kind == "number":
                raise fail("Two numbers in a row: a sign is missing between them", follower.start)
            value = float(token.text)
            if value > 1e100:
                raise fail(f"{token.text} is larger than any number needed here", token.start)
            return Constant(value, token.text)
        if token.kind == "name":
            return self._named(token)
        if token.kind == "sign" and token.text == "(":
            node = self._sum()
            self._close(token)
            return node
        if token.kind == "sign" and token.text == "√":
            return Apply("sqrt", (self._atom(),))
        self._refuse(token)
        raise AssertionError  # _refuse raises

    def _method(self, node: Node) -> Node:
        """`(…).mean()`, as torch and numpy write it."""
        dot, name = self._next(), self._next()
        if name.kind != "name":
            raise fail("The character `.` has no meaning here", dot.start)
        if name.text in self.forbid:
            raise fail(f"This answer must do without `{name.text}`", name.start)
        if name.text not in FUNCTIONS:
            raise fail(
                f"`.{name.text}` has no meaning here: methods such as `.mean()` and `.sum()` have", dot.start
            )
        opening = self._next()
        if opening.text != "(" or self._peek().text != ")":
            raise fail(f"`.{name.text}` needs empty brackets: write (…).{name.text}()", name.start)
        self._next()
        return Apply(name.text, (node,))

    def _sigma(self) -> Node:
        """Σ and what it adds up: the rest of the product behind it."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise fail("Too many sums in a row", self._peek().start)
        if self._peek().kind == "end":
            raise fail("Something is missing after Σ", self._peek().start)
        node = Apply("sum", (self._product(),))
        self.depth -= 1
        return node

    def _close(self, opening: Token) -> None:
        token = self._next()
        if token.text == ")" and token.kind == "sign":
            return
        if token.kind == "end":
            raise fail("This bracket is never closed", opening.start)
        self._refuse(token)

    def _named(self, token: Token) -> Node:
        if self._peek().text == "." and token.text in _LIBRARIES and token.text not in self.symbols:
            self._next()  # np.mean(…) is mean(…)
            token = self._next()
            if token.kind != "name" or token.text not in FUNCTIONS:
                raise fail("The character `.` has no meaning here", token.start - 1)
        if token.text == "len" and "len" not in self.symbols and self._length():
            return Letter("n")
        if token.text == "Sigma" and "Sigma" not in self.symbols:
            if "sum" in self.forbid:
                raise fail("This answer must do without `sum`", token.start)
            return self._sigma()
        called = self._peek().text == "(" and self._peek().kind == "sign"
        parts = self._split(token, called)
        node: Node | None = None
        for index, (name, subscript) in enumerate(parts):
            if name in self.forbid:
                raise fail(f"This answer must do without `{name}`", token.start)
            if name in FUNCTIONS and name not in self.symbols:
                if not (called and index == len(parts) - 1):
                    remedy = f"write {name}(…)^2" if self._peek().text == "^" else f"write {name}(…)"
                    raise fail(f"`{name}` needs brackets: {remedy}", token.start)
                part: Node = self._call(name, token)
            else:
                part = Letter(name, subscript)
            node = part if node is None else Pair("*", node, part)
        assert node is not None
        return node

    def _call(self, name: str, token: Token) -> Node:
        opening = self._next()
        if self._peek().text == ")":
            raise fail(f"`{name}()` needs something in its brackets", token.start)
        arguments = [self._sum()]
        while self._peek().text == "," and self._peek().kind == "sign":
            self._next()
            arguments.append(self._sum())
        self._close(opening)
        fewest, most = FUNCTIONS[name]
        if not fewest <= len(arguments) <= most:
            raise fail(f"`{name}` takes one argument, not {len(arguments)}", token.start)
        return Apply(name, tuple(arguments))

    def _split(self, token: Token, called: bool) -> list[tuple[str, str]]:
        """(name, index) of each symbol in a word: `wx` is w·x where only w and x are known."""
        whole = self._known(token.text)
        if whole is not None:
            return [whole]
        parts = self._split_word(token.text, called)
        if parts is not None:
            return parts
        known = [*self.symbols, *(name for name in self.constants if name not in self.symbols)]
        base, _, subscript = token.text.partition("_")
        if base in self.symbols and subscript:
            if not self.symbols[base].shape:
                raise fail(f"`{base}` is a single number here: write it without an index", token.start)
            raise fail(f"`{subscript}` is no index: write {base}_i or {base}", token.start)
        hint = suggest_word(token.text, self.symbols, known, FUNCTIONS, called=called)
        raise ExpressionError(
            f"`{token.text}` is not known here (at character {token.start + 1}).{hint}", token.start
        )

    def _length(self) -> bool:
        """Reads `(x)` of `len(x)` where x has n elements."""
        words = [token.text for token in self.tokens[self.place : self.place + 3]]
        if len(words) < 3 or words[0] != "(" or words[2] != ")" or "n" not in self.constants:
            return False
        if words[1] not in self.symbols or not self.symbols[words[1]].shape:
            return False
        self.place += 3
        return True

    def _known(self, word: str) -> tuple[str, str] | None:
        if word in self.symbols or word in self.constants:
            return word, ""
        base, _, subscript = word.partition("_")
        subscript = subscript.strip("{}")
        index = subscript in _INDICES or re.fullmatch(r"[1-3]", subscript)
        if base in self.symbols and self.symbols[base].shape and index:
            return base, subscript
        if word in FUNCTIONS:
            return word, ""
        return None

    def _split_word(self, word: str, called: bool) -> list[tuple[str, str]] | None:
        if not word:
            return []
        for length in range(len(word), 0, -1):
            head, rest = word[:length], word[length:]
            if rest.startswith("_") or (rest and rest[0].isdigit()):
                continue
            known = self._known(head)
            symbol = known is not None and (
                known[0] in self.symbols or (head in ("pi", "n") and head in self.constants)
            )
            if not symbol and not (not rest and called and head in FUNCTIONS):
                continue
            tail = self._split_word(rest, called)
            if tail is not None:
                return [known or (head, ""), *tail]
        return None
