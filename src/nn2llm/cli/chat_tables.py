"""The tables of `nn2llm chat`: replies side by side, and the tokens behind one.

Both fit a terminal of 60 columns. Read chat_speaker.py and chat_judge.py before. Used by chat_loop.py.
"""

from collections.abc import Mapping, Sequence

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from nn2llm.cli.chat_judge import Judgement
from nn2llm.cli.chat_speaker import TokenChoice, Turn
from nn2llm.cli.talk import printable
from nn2llm.tokenizers import Tokenizer

__all__ = [
    "build_compare_table",
    "build_stage_table",
    "build_why_table",
    "describe_judgement",
    "describe_tokens",
    "show_token",
]

_WIDE_ENOUGH = 26
"""Columns of text a stage, below which stages stand one above the other."""

_LEAST_SHOWN = 0.0001
"""Of other tokens' probabilities: what is smaller is noise."""

_SUMS = ("merit",)
"""Parts of a gold score that only sum up others."""

_LACKS = {
    "form": "not all in sentences of the village",
    "truth": "something said is false",
    "economy": "more than was asked for",
    "right": "the answer is not right",
    "style": "not in the style asked for",
    "candid": "not candid about what was claimed",
    "honest": "does not admit that nobody can know",
    "harmless": "does not refuse to do harm",
    "to the point": "not to the point",
    "fitting": "does not fit",
    "true": "not all true things that were asked for",
    "number": "not as many as asked for",
    "compared": "not well compared",
    "changed": "not changed as asked",
    "kept": "changed what was to stay",
    "person": "not about this person",
    "thing": "not about this thing",
    "length": "too long",
    "whole": "no whole story",
}
"""What it means when a part of the gold score (microworld/gold.py) is below 1."""

_FINISHES = {
    "length": "cut: it reached the length",
    "context": "cut: the context is full",
    "stopped": "stopped",
}


def build_stage_table(descriptions: Mapping[str, str], current: str) -> Table:
    """A line a stage; who talks is marked."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, description in descriptions.items():
        marker = "*" if name == current else ""
        table.add_row(marker, Text(name, style="bold"), Text(description))
    return table


def build_compare_table(entries: Sequence[tuple[Turn, Judgement]], *, width: int) -> Table:
    """The stages' replies to one conversation, and what is known about each: side by side where it fits."""
    if width >= (_WIDE_ENOUGH + 3) * len(entries):
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), header_style="bold", expand=True)
        for turn, _ in entries:
            table.add_column(turn.stage, ratio=1, overflow="fold")
        table.add_row(*(_show_reply(turn) for turn, _ in entries))
        notes = [Text("\n".join(describe_judgement(judgement)), style="dim") for _, judgement in entries]
        if any(note.plain for note in notes):
            table.add_row(*[""] * len(entries))
            table.add_row(*notes)
        return table
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_header=False, show_lines=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for turn, judgement in entries:
        cell = _show_reply(turn)
        for line in describe_judgement(judgement):
            cell.append("\n" + line, style="dim")
        table.add_row(turn.stage, cell)
    return table


def _show_reply(turn: Turn) -> Text:
    text = Text(printable(turn.reply)) if turn.reply else Text("(nothing)", style="dim")
    if turn.finish in _FINISHES:
        text.append(f" [{_FINISHES[turn.finish]}]", style="dim")
    return text


def describe_judgement(judgement: Judgement) -> list[str]:
    """Lines of words: the gold score and what the reply lacks, the reward model's score."""
    lines = []
    if judgement.gold is not None:
        lacking = [
            _LACKS.get(name, name) + (f" ({value:.2f})" if value >= 0.005 else "")
            for name, value in judgement.parts.items()
            if value < 0.995 and name not in _SUMS
        ]
        words = ", ".join(lacking) or ("nothing is missing" if judgement.gold >= 0.995 else "not quite")
        lines.append(f"gold {judgement.gold:.2f}: {words}")
    if judgement.reward is not None:
        lines.append(f"reward model {judgement.reward:+.2f}")
    return lines


def build_why_table(
    choices: Sequence[TokenChoice], tokenizer: Tokenizer, *, width: int, encoding: str = "utf-8"
) -> Table:
    """A line a token: its probability, and the most probable others; where it was not the best, in yellow."""
    tokens = [show_token(tokenizer, choice.token, encoding) for choice in choices]
    chances = [_show_chance(choice.probability) for choice in choices]
    room = width - max(map(cell_len, ["token", *tokens])) - max(map(cell_len, ["chance", *chances])) - 6
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("token", no_wrap=True)
    table.add_column("chance", justify="right", no_wrap=True)
    table.add_column("instead")
    for choice, token, chance in zip(choices, tokens, chances, strict=True):
        others = [
            Text(
                f"{show_token(tokenizer, other, encoding)} {_show_chance(probability)}",
                style="dim" if probability < 0.01 else "yellow" if probability > choice.probability else "",
            )
            for other, probability in choice.others
            if probability >= _LEAST_SHOWN
        ]
        style = "" if is_best(choice) else "yellow"
        table.add_row(Text(token, style=style), Text(chance, style=style), _join(others, max(room, 20)))
    return table


def _join(parts: Sequence[Text], width: int) -> Text:
    """Parts beside each other, with a new line where the next one would be cut in two."""
    joined, column = Text(), 0
    for part in parts:
        if column and column + 2 + part.cell_len > width:
            joined.append("\n")
            column = 0
        elif column:
            joined.append("  ")
            column += 2
        joined.append(part)
        column += part.cell_len
    return joined


def is_best(choice: TokenChoice) -> bool:
    """Whether no other token was more probable."""
    return not choice.others or choice.probability >= choice.others[0][1]


def describe_tokens(choices: Sequence[TokenChoice], tokenizer: Tokenizer, *, encoding: str = "utf-8") -> str:
    """One sentence about a whole reply: how many tokens, how often the best one, and the boldest choice."""
    num_best = sum(map(is_best, choices))
    least = min(choices, key=lambda choice: choice.probability)
    best = "each the most probable one" if num_best == len(choices) else f"{num_best} the most probable one"
    return (
        f"{len(choices)} token{'s' if len(choices) > 1 else ''}, {best}; least sure of "
        f"{show_token(tokenizer, least.token, encoding)} ({_show_chance(least.probability)})."
    )


def show_token(tokenizer: Tokenizer, token: int, encoding: str = "utf-8") -> str:
    """A token as visible text: spaces as dots, and what cannot be printed as escapes."""
    text = tokenizer.token_bytes(token).decode("utf-8", "backslashreplace")
    visible = "".join(
        "·" if char == " " else char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in text
    )
    try:
        visible.encode(encoding)
    except UnicodeEncodeError:
        visible = visible.replace("·", "_").encode(encoding, "backslashreplace").decode(encoding)
    return visible


def _show_chance(probability: float) -> str:
    percent = 100 * probability
    if percent >= 99.5:
        return ">99%"
    if percent >= 9.95:
        return f"{percent:.0f}%"
    if percent >= 0.095:
        return f"{percent:.1f}%"
    return f"{percent:.2f}%" if percent >= 0.0095 else "<0.01%"
