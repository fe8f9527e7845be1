"""Reading YAML with line numbers: a list of mappings whose every fault is named by line, value and remedy.

Read after front_matter.py. Used by reading.py. Scalars are taken as they were typed where text is wanted, so
that an author need not quote `no`, `2*x` or `1.10`.
"""

from collections.abc import Collection
from typing import Any

import yaml

from nn2llm.course.front_matter import ProblemList
from nn2llm.course.lesson import suggest

__all__ = ["MappingReader", "read_entries"]

_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_entries(text: str, problems: ProblemList, *, what: str) -> "list[MappingReader]":
    """The mappings of a YAML list; anything else in it is a problem. `what` names one: `an exercise`."""
    try:
        loader = _YamlLoader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or getattr(error, "reason", None) or "not readable"
        problems.add(
            mark.line + 1 if mark is not None else 1,
            f"This is not YAML ({said}). Put text with ':' or '#' in quotes, or below '|' on its own lines.",
            fatal=True,
        )
        return []
    if node is None:
        return []
    if not isinstance(node, yaml.SequenceNode):
        problems.add(node.start_mark.line + 1, f"This must be a list: begin {what} with '- '.", fatal=True)
        return []
    return _as_readers(node, problems, what)


def _as_readers(node: yaml.SequenceNode, problems: ProblemList, what: str) -> "list[MappingReader]":
    readers = []
    for item in node.value:
        if isinstance(item, yaml.MappingNode):
            readers.append(MappingReader(item, problems, what))
        else:
            problems.add(
                item.start_mark.line + 1,
                f"{what.capitalize()} is a mapping, here is {_show(item)}. Write 'name: value' under '- '.",
                fatal=True,
            )
    return readers


def _show(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value[:60])
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


class MappingReader:
    """Takes the keys of one YAML mapping; each fault is a problem at its line, and a default is returned."""

    def __init__(self, node: yaml.MappingNode, problems: ProblemList, what: str) -> None:
        self.problems = problems
        self.what = what
        self.line = node.start_mark.line + 1
        self.nodes: dict[str, yaml.Node] = {}
        self._key_lines: dict[str, int] = {}
        for key, value in node.value:
            name = str(getattr(key, "value", ""))
            if name in self.nodes:
                self.fail(name, f"{name} stands at line {self._key_lines[name]} already. Keep one of them.")
                continue
            self.nodes[name] = value
            self._key_lines[name] = key.start_mark.line + 1

    def __contains__(self, name: str) -> bool:
        return name in self.nodes

    def line_of(self, name: str) -> int:
        """The line of that key; of the mapping where it is missing."""
        return self._key_lines.get(name, self.line)

    def fail(self, name: str, message: str) -> None:
        """A problem at the key's line."""
        self.problems.add(self.line_of(name), message, fatal=True)

    def check_keys(self, known: Collection[str], required: Collection[str], name: str = "") -> None:
        """Unknown keys and missing ones are problems. `name`: of this mapping, for the message."""
        label = f"{self.what} {name!r}" if name else self.what
        for key in self.nodes:
            if key not in known:
                hint = suggest(key, known) or f" Keys are {', '.join(known)}."
                self.fail(key, f"{label.capitalize()} has an unknown key {key!r}.{hint}")
        missing = [key for key in required if key not in self.nodes]
        if missing:
            self.fail("", f"{label.capitalize()} lacks {', '.join(missing)}. Add {_them(missing)}.")

    def text(self, name: str, default: str = "") -> str:
        """A scalar as it was typed, without white space around it."""
        node = self.nodes.get(name)
        if node is None:
            return default
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            got = "empty" if isinstance(node, yaml.ScalarNode) else _show(node)
            self.fail(name, f"{name} is {got}. It must be text.")
            return default
        return str(node.value).strip()

    def one_of(self, name: str, known: Collection[str]) -> str:
        """A word of `known`; the first of them after a problem."""
        fallback = next(iter(known))
        if name not in self.nodes:
            return fallback
        word = self.text(name)
        if word and word not in known:
            hint = suggest(word, known) or f" Choose one of {', '.join(known)}."
            self.fail(name, f"{name} is {word!r}.{hint}")
        return word if word in known else fallback

    def number(self, name: str, default: float | None, low: float | None = None) -> float | None:
        """A finite number, at least `low`."""
        node = self.nodes.get(name)
        if node is None:
            return default
        try:
            value = float(node.value) if isinstance(node, yaml.ScalarNode) else float("nan")
        except ValueError:
            value = float("nan")
        if not abs(value) < float("inf") or (low is not None and value < low):
            wanted = "a number" if low is None else f"a number of at least {low:g}"
            self.fail(name, f"{name} is {_show(node)}. It must be {wanted}.")
            return default
        return value

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number between `low` and `high`, which is `low` after a problem."""
        node = self.nodes.get(name)
        if node is None:
            return low
        typed = node.value if isinstance(node, yaml.ScalarNode) else ""
        if not (str(typed).isdecimal() and low <= int(typed) <= high):
            self.fail(name, f"{name} is {_show(node)}. It must be a whole number from {low} to {high}.")
            return low
        return int(typed)

    def truth(self, name: str, default: bool) -> bool:
        """true or false."""
        node = self.nodes.get(name)
        if node is None:
            return default
        typed = str(node.value).lower() if isinstance(node, yaml.ScalarNode) else ""
        if typed not in ("true", "false"):
            self.fail(name, f"{name} is {_show(node)}. It must be true or false.")
            return default
        return typed == "true"

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; a single text counts as a list of one."""
        node = self.nodes.get(name)
        if node is None:
            return ()
        if isinstance(node, yaml.ScalarNode) and node.value.strip():
            return (str(node.value).strip(),)
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(item, yaml.ScalarNode) and item.value.strip() for item in items):
            self.fail(name, f"{name} must be a list of texts, like [one, two]; quote texts with ':' or ','.")
            return ()
        return tuple(str(item.value).strip() for item in items)

    def is_list(self, name: str) -> bool:
        """Whether the key holds a list."""
        return isinstance(self.nodes.get(name), yaml.SequenceNode)

    def entries(self, name: str, what: str) -> "list[MappingReader]":
        """A list of mappings."""
        node = self.nodes.get(name)
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.fail(name, f"{name} is {_show(node)}. It must be a list: begin {what} with '- '.")
            return []
        return _as_readers(node, self.problems, what)

    def mapping(self, name: str, what: str) -> "MappingReader | None":
        """A mapping; None where there is none."""
        node = self.nodes.get(name)
        if node is None:
            return None
        if isinstance(node, yaml.ScalarNode) and not node.value.strip():
            node = yaml.MappingNode("", [], node.start_mark, node.end_mark)  # `w:` is like `w: {}`
        if not isinstance(node, yaml.MappingNode):
            self.fail(name, f"{name} is {_show(node)}. It must be a mapping, like {{name: value}}.")
            return None
        return MappingReader(node, self.problems, what)


def _them(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"
