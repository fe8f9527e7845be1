"""Lesson 1.6: the measured pages, and the pictures that are drawn from them.

Read beside lesson.md. Its cells import `load_pages`; its figure cells import the `draw_` functions.
Source of the table: Python 3.11's own manual (`pydoc_data.topics`, 79 pages), its tokens counted with GPT-2's
byte-level BPE (50,257 tokens) by the `tokenizers` library. The counts stand here, so that every Python
version and every machine, with or without a network, fits the same line.
"""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

__all__ = [
    "Page",
    "compare_fits",
    "draw_learning_rates",
    "draw_pages",
    "draw_path",
    "draw_scaled_bowls",
    "load_pages",
    "load_unseen_pages",
    "losses_at",
    "thousands",
]

# name, characters, symbols (neither letter, digit nor white space), GPT-2 tokens; shortest page first.
_TABLE = """
await 202 32 61 | callable-types 254 69 84 | bltin-null-object 282 35 77
bltin-ellipsis-object 302 47 92 | bltin-type-objects 307 33 79 | pass 373 46 110 | numbers 401 35 100
typesfunctions 428 27 95 | continue 451 51 114 | lambda 525 34 126 | break 548 57 150 | lists 559 35 124
imaginary 565 55 178 | shifting 565 74 156 | else 600 63 171 | if 600 63 171 | conversions 667 47 152
dynamic-features 688 70 177 | while 698 62 189 | bltin-code-objects 733 70 183 | atom-literals 779 33 193
yield 812 54 194 | bitwise 828 126 251 | unary 845 118 227 | attribute-references 853 72 198
truth 887 128 257 | floating 915 103 290 | nonlocal 930 68 225 | del 937 49 232 | return 1047 83 263
typesmodules 1052 125 308 | assert 1141 100 288 | exprlists 1144 120 323 | atom-identifiers 1228 62 277
power 1234 103 324 | integers 1366 187 530 | specialattrs 1396 136 397 | booleans 1473 147 405
global 1520 111 360 | in 1663 204 501 | typesmethods 1676 178 480 | slicings 1677 123 439
context-managers 1694 121 418 | id-classes 1696 133 445 | for 1824 116 536 | augassign 2011 196 527
dict 2067 144 544 | exceptions 2196 74 502 | subscriptions 2435 166 601 | class 2982 160 763
with 3268 319 1050 | binary 3604 321 971 | raise 3800 308 1011 | async 4505 467 1539
objects 4563 249 1116 | identifiers 4941 390 1451 | numeric-types 5750 1088 1929
typesseq-mutable 6129 1975 2886 | naming 6314 389 1520 | function 6821 457 1894
sequence-types 6842 742 1936 | calls 7064 518 1945 | operator-summary 7331 2308 2708 | try 7965 833 2432
import 8826 573 2336 | strings 9209 2256 3049 | execmodel 9527 547 2265 | comparisons 10240 956 2849
assignment 11204 678 2932 | typesmapping 12318 1500 4222 | customization 13600 1384 3965
attribute-access 13647 1421 3708 | debugger 20509 1538 5993 | typesseq 23487 4671 8580
string-methods 24736 2982 7944 | formatstrings 25256 5358 8887 | types 38568 3798 10760
compound 50368 4268 15162 | specialnames 62522 7123 18010
"""

_UNSEEN = (
    "typesmapping",
    "customization",
    "attribute-access",
    "debugger",
    "string-methods",
    "formatstrings",
    "types",
)


class Page(NamedTuple):
    """One page of the Python manual, measured."""

    name: str
    chars: int
    """Characters, spaces and line ends included."""
    symbols: int
    """Characters that are neither a letter, a digit nor white space."""
    tokens: int
    """Tokens after GPT-2's tokenizer."""


def load_pages(min_chars: int = 1_000, max_chars: int = 10_000) -> list[Page]:
    """The pages whose length lies between the two limits, shortest first."""
    cells = (cell.split() for line in _TABLE.strip().split("\n") for cell in line.split(" | "))
    pages = [Page(name, int(chars), int(symbols), int(tokens)) for name, chars, symbols, tokens in cells]
    return [page for page in pages if min_chars <= page.chars <= max_chars]


def load_unseen_pages() -> list[Page]:
    """Seven longer pages that share no text with the pages that the lesson fits, shortest first.

    (The other long ones, such as `compound`, hold pages like `for` and `with` word for word.)
    """
    return [page for page in load_pages(12_000, 40_000) if page.name in _UNSEEN]


def thousands() -> tuple[np.ndarray, np.ndarray]:
    """x, thousand characters, and y, thousand tokens, of the pages that the lesson fits."""
    pages = load_pages()
    return np.array([p.chars for p in pages]) / 1000, np.array([p.tokens for p in pages]) / 1000


def compare_fits() -> None:
    """Prints how far three fits to the 38 pages are off: on those pages, and on seven unseen ones.

    A has the characters, B the symbols as well, C also their squares and their product.
    """
    table = {}
    for name, columns in (("A", _take_characters), ("B", _take_both), ("C", _take_bent)):
        x, y = columns(load_pages()), np.array([page.tokens for page in load_pages()])
        best = np.linalg.lstsq(x, y, rcond=None)[0]
        unseen = columns(load_unseen_pages()) @ best
        table[name] = np.sqrt(np.mean((x @ best - y) ** 2)), unseen
    counted = np.array([page.tokens for page in load_unseen_pages()])
    print(f"{'':28}{'A':>7}{'B':>7}{'C':>7}")
    misses = "".join(f"{miss:7.0f}" for miss, _ in table.values())
    print("The 38 pages of the fit")
    print(f"{'  typical miss, in tokens':28}{misses}")
    print("\nSeven unseen pages: predicted against counted")
    for at, page in enumerate(load_unseen_pages()):
        row = "".join(f"{unseen[at] / counted[at] - 1:+7.0%}" for _, unseen in table.values())
        print(f"  {page.name:26}{row}")
    row = "".join(f"{unseen.sum() / counted.sum() - 1:+7.0%}" for _, unseen in table.values())
    print(f"{'  all seven added up':28}{row}")


def _take_characters(pages: list[Page]) -> np.ndarray:
    return np.array([[page.chars / 1000, 1.0] for page in pages])


def _take_both(pages: list[Page]) -> np.ndarray:
    return np.array([[page.chars / 1000, page.symbols / 1000, 1.0] for page in pages])


def _take_bent(pages: list[Page]) -> np.ndarray:
    x, s, one = _take_both(pages).T
    return np.stack([x, s, x * s, x * x, s * s, one], axis=1)


def losses_at(learning_rate: float, num_steps: int = 40) -> np.ndarray:
    """The loss before the first step on all pages and after each, from w = 0.1 and b = 0."""
    x, y = thousands()
    path = descend(x, y, learning_rate=learning_rate, num_steps=num_steps)
    return _loss(x, y, path[:, 0], path[:, 1])


def draw_pages() -> None:
    """Every page as a dot, and what the rule of four characters a token says."""
    x, y = thousands()
    _, axes = plt.subplots(figsize=(7.4, 3.8))
    axes.scatter(x, y, s=24, label="a page of the manual", zorder=3)
    ends = np.array([0, 10])
    axes.plot(ends, ends / 4, "--", color="C1", label="rule of thumb: 4 characters a token")
    axes.set_title("Pages of the Python manual")
    _label_data(axes)
    axes.legend(loc="lower right", frameon=False)


def draw_path(learning_rate: float = 0.02, num_steps: int = 500) -> None:
    """The path of gradient descent over the loss, and the line at four moments of it."""
    x, y = thousands()
    path = descend(x, y, learning_rate=learning_rate, num_steps=num_steps)
    _, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.9))

    weights, biases = np.meshgrid(np.linspace(0.05, 0.45, 161), np.linspace(-0.45, 0.45, 161))
    surface = _loss(x, y, weights, biases)
    levels = [0.065, 0.08, 0.12, 0.2, 0.35, 0.6, 1.0]
    contours = left.contour(weights, biases, surface, levels=levels, colors="C0", linewidths=1)
    left.clabel(contours, fmt="%g", fontsize=8)
    left.plot(*path.T, "o-", color="C3", markersize=3, linewidth=1, label=f"{num_steps} steps")
    left.plot(*path[0], "s", color="C3", markersize=8, label="start")
    left.plot(*path[-1], "*", color="C3", markersize=13, label="end")
    left.set(xlabel="weight w (tokens per character)", ylabel="bias b (thousand tokens)")
    left.set_title("The loss, seen from above")
    left.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)

    right.scatter(x, y, s=14, alpha=0.6)
    ends = np.array([0.0, 10.0])
    moments = ((0, ":"), (1, "-."), (2, "--"), (num_steps, "-"))
    for index, (step, style) in enumerate(moments):
        weight, bias = path[step]
        label = "start" if step == 0 else f"after step {step}"
        right.plot(ends, weight * ends + bias, style, color=f"C{index + 1}", label=label)
    right.set_title("The same steps, as lines through the pages")
    _label_data(right)
    right.legend(frameon=False, loc="upper left")


def draw_learning_rates(rates: Sequence[float] = (0.005, 0.02, 0.045, 0.05), num_steps: int = 40) -> None:
    """Loss against step for several learning rates, on a logarithmic axis."""
    _, axes = plt.subplots(figsize=(7.4, 3.8))
    for rate, marker in zip(rates, "osv^", strict=True):
        axes.semilogy(
            losses_at(rate, num_steps),
            marker=marker,
            markevery=5,
            markersize=5,
            label=f"learning rate {rate:g}",
        )
    axes.set(xlabel="step", ylabel="loss (thousand tokens)²", title="Four learning rates")
    axes.legend(frameon=False, loc="upper left")


def draw_scaled_bowls() -> None:
    """The same loss before and after the input is standardised, each with its descent."""
    x, y = thousands()
    _, panels = plt.subplots(1, 2, figsize=(7.6, 3.9))
    scaled = (x - x.mean()) / x.std()
    for axes, inputs, rate, title in (
        (panels[0], x, 0.02, "x in thousand characters"),
        (panels[1], scaled, 0.3, "x standardised"),
    ):
        path = descend(inputs, y, learning_rate=rate, num_steps=20, start=(0.0, 0.6))
        best = path_end(inputs, y)
        weights, biases = np.meshgrid(
            np.linspace(best[0] - 0.9, best[0] + 0.9, 161), np.linspace(best[1] - 0.9, best[1] + 0.9, 161)
        )
        surface = _loss(inputs, y, weights, biases)
        axes.contour(weights, biases, surface, levels=np.geomspace(0.07, 8, 9), colors="C0", linewidths=1)
        axes.plot(*path.T, "o-", color="C3", markersize=4, linewidth=1, label=f"20 steps of rate {rate:g}")
        axes.plot(*best, "*", color="C3", markersize=13, label="lowest point")
        axes.set(title=title, xlabel="weight w", ylabel="bias b (thousand tokens)", aspect="equal")
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16))


def descend(
    x: np.ndarray,
    y: np.ndarray,
    *,
    learning_rate: float,
    num_steps: int,
    start: tuple[float, float] = (0.1, 0.0),
) -> np.ndarray:
    """Gradient descent on the mean squared error: (w, b) before the first step and after each."""
    weight, bias = start
    path = [(weight, bias)]
    for _ in range(num_steps):
        error = weight * x + bias - y
        weight, bias = (
            weight - learning_rate * 2 * float((error * x).mean()),
            bias - learning_rate * 2 * float(error.mean()),
        )
        path.append((weight, bias))
    return np.array(path)


def path_end(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The lowest point, in closed form: equations (1.6.6) and (1.6.7)."""
    weight = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    return weight, float(y.mean() - weight * x.mean())


def _loss(x: np.ndarray, y: np.ndarray, weights: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """The mean squared error for each pair of weight and bias."""
    errors = weights[..., None] * x + biases[..., None] - y
    return np.asarray((errors**2).mean(axis=-1))


def _label_data(axes: Axes) -> None:
    axes.set(xlabel="length of the page (thousand characters)", ylabel="thousand tokens", xlim=(0, 10))
    axes.set_ylim(0, 3.6)
