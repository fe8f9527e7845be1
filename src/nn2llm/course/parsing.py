"""The text of a lesson as blocks: sections, prose, cells, equations, folds, places for exercises.

Read after front_matter.py and markup.py. Used by loader.py. One pass over the lines; what stands between the
marks of the format stays Markdown. Nothing raises: problems are gathered with their lines.
"""

import re
from dataclasses import dataclass, field, replace

from nn2llm.course.front_matter import ProblemList
from nn2llm.course.lesson import (
    Block,
    Cell,
    CellKind,
    Equation,
    EquationKind,
    Fold,
    Heading,
    Placeholder,
    Prose,
    suggest,
)
from nn2llm.course.markup import take_anchor

__all__ = ["parse_body"]

_FENCE = re.compile(r"^( *)(`{3,}|~{3,})\s*(.*?)\s*$")
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)(?:\s+#+)?\s*$")
_INFO = re.compile(r"""([^\s=]+)(?:=(?:"([^"]*)"|'([^']*)'|(\S*)))?""")
_TAG = re.compile(r"\\tag\*?\{([^{}]*)\}")
_EQUATION_NUMBER = re.compile(r"\d+\.\d+\.\d+[a-z]?")
_NAME = re.compile(r"[A-Za-z0-9][\w-]*")

_WORDS: dict[str, CellKind] = {"verify": "verify", "figure": "figure", "slow": "slow"}
_KEYS = ("id", "eq", "seconds", "title", "raises")
_KINDS: dict[str, EquationKind] = {"definition": "definition", "derived": "derived", "quoted": "quoted"}
_MARKS = ("tour", "eq", "exercise", "quiz", "from")


@dataclass(slots=True)
class _Frame:
    """The lesson itself, or a fold that is open."""

    line: int
    blocks: list[Block] = field(default_factory=list)
    summary: str = ""
    tour: bool = False


def parse_body(lines: list[str], body_line: int, problems: ProblemList) -> tuple[Block, ...]:
    """The blocks of the lesson's text, which begins at line `body_line` (counted from 1) of `lines`."""
    return _Parser(lines, problems).parse(body_line)


class _Parser:
    def __init__(self, lines: list[str], problems: ProblemList) -> None:
        self.lines = lines
        self.problems = problems
        self.frames = [_Frame(line=1)]
        self.prose: list[str] = []
        self.prose_line = 0
        self.tour_line = 0  # of a <!-- tour --> whose block has not come yet
        self.eq_mark: tuple[int, str, EquationKind] | None = None  # likewise
        self.anchors = {"start"}
        self.cell_lines: dict[str, int] = {}

    def parse(self, body_line: int) -> tuple[Block, ...]:
        at = body_line
        while at <= len(self.lines):
            at = self.take(at)
        self.end_prose()
        self.drop_marks()
        while len(self.frames) > 1:
            frame = self.frames.pop()
            self.problems.add(
                frame.line, "This <details> is not closed. End it with a line '</details>'.", fatal=True
            )
            self.frames[-1].blocks.extend(frame.blocks)
        return tuple(self.frames[0].blocks)

    # A line is taken by the first of these that wants it; each returns the number of the next line.

    def take(self, at: int) -> int:
        line = self.lines[at - 1]
        if match := _FENCE.match(line):
            return self.take_fence(at, match)
        if line.startswith("<!--"):
            return self.take_comment(at)
        if line.startswith("$$"):
            return self.take_equation(at)
        if match := _HEADING.match(line):
            return self.take_heading(at, len(match[1]), match[2])
        if re.match(r"</?(details|summary)\b", line, re.IGNORECASE):
            return self.take_fold(at)
        self.add_prose(at, line)
        return at + 1

    def take_fence(self, at: int, opening: re.Match[str]) -> int:
        indent, marks, info = opening.groups()
        if marks[0] == "`" and "`" in info:  # code within a line
            self.add_prose(at, self.lines[at - 1])
            return at + 1
        closing = re.compile(rf"^ *{re.escape(marks[0])}{{{len(marks)},}}\s*$")
        end = next((n for n in range(at + 1, len(self.lines) + 1) if closing.match(self.lines[n - 1])), None)
        if end is None:
            self.problems.add(at, f"This code block is not closed. End it with a line {marks!r}.", fatal=True)
            end = len(self.lines) + 1
        language = info.split(maxsplit=1)[0] if info else ""
        if language == "python" and not indent:
            code = "\n".join(self.lines[at : end - 1]).rstrip()
            self.add_cell(at, info[len(language) :], code)
        else:
            if language == "python":
                self.problems.add(
                    at,
                    "A python block that is indented cannot run. Begin it at the margin, or write ```text.",
                )
            for number in range(at, min(end, len(self.lines)) + 1):
                self.add_prose(number, self.lines[number - 1])
        return end + 1

    def take_comment(self, at: int) -> int:
        end = next((n for n in range(at, len(self.lines) + 1) if "-->" in self.lines[n - 1]), None)
        if end is None:
            self.problems.add(at, "This comment is not closed. End it with '-->'.", fatal=True)
            return len(self.lines) + 1
        text, _, rest = "\n".join(self.lines[at - 1 : end])[4:].partition("-->")
        text = text.strip()
        if rest.strip():  # <!-- from: fit -->1.43 at the start of a line
            for number in range(at, end + 1):
                self.add_prose(number, self.lines[number - 1])
        else:
            self.take_mark(at, text)
        return end + 1

    def take_mark(self, at: int, text: str) -> None:
        words = text.replace(":", " ", 1).split()
        word = words[0] if words else ""
        if text == "tour":
            self.end_prose()
            blocks = self.frames[-1].blocks
            if blocks and isinstance(blocks[-1], Heading):
                blocks[-1] = replace(blocks[-1], tour=True)
            else:
                self.tour_line = at
        elif word == "eq":
            self.end_prose()
            self.take_equation_mark(at, words[1:])
        elif text == "quiz" or text.startswith("quiz:") or (word == "exercise" and len(words) == 2):
            self.end_prose()
            tour = self.take_tour()
            if word == "quiz":
                self.add(Placeholder(kind="quiz", name=" ".join(words[1:]) or None, line=at, tour=tour))
            else:
                self.add(Placeholder(kind="exercise", name=words[1], line=at, tour=tour))
        elif word in _MARKS:
            self.problems.add(
                at,
                f"The mark {text!r} is not complete. Marks are 'tour', 'eq 1.6.2 derived', 'exercise: NAME', "
                "'quiz', 'quiz: ID ID', and 'from: CELL' before a number.",
            )
        elif hint := suggest(word.lower(), _MARKS):
            self.problems.add(at, f"Unknown mark {text!r}.{hint}")
        # any other comment is the author's own

    def take_equation_mark(self, at: int, words: list[str]) -> None:
        if len(words) != 2 or not _EQUATION_NUMBER.fullmatch(words[0]) or words[1] not in _KINDS:
            got = " ".join(words)
            hint = suggest(words[-1], _KINDS) if words else ""
            self.problems.add(
                at,
                f"An equation is marked 'eq {got}'.{hint} Write its number, then definition, derived or "
                "quoted, like 'eq 1.6.2 derived'.",
            )
        else:
            self.eq_mark = (at, words[0], _KINDS[words[1]])

    def take_equation(self, at: int) -> int:
        first = self.lines[at - 1][2:]
        if "$$" in first and not first.rstrip().endswith("$$"):  # a sentence that begins with mathematics
            self.add_prose(at, self.lines[at - 1])
            return at + 1
        end = at
        while end <= len(self.lines):
            line = self.lines[end - 1][2 if end == at else 0 :]
            if line.rstrip().endswith("$$"):
                break
            end += 1
        if end > len(self.lines):
            self.problems.add(at, "This equation is not closed. End it with '$$'.", fatal=True)
            return end
        tex = "\n".join(self.lines[at - 1 : end]).strip()[2:-2].strip()
        self.end_prose()
        mark, self.eq_mark = self.eq_mark, None
        tags = _TAG.findall(tex)
        number, kind = (tags[0] if tags else None), None
        if len(tags) > 1:
            self.problems.add(at, f"One equation has {len(tags)} tags. Number it once, or split it.")
        if number is not None and not _EQUATION_NUMBER.fullmatch(number):
            self.problems.add(at, f"The tag {number!r} is not a number like 1.6.2. Renumber the equation.")
            number = None
        if mark is not None and mark[1] != number:
            self.problems.add(
                mark[0], f"The mark says eq {mark[1]}, the equation \\tag{{{number or ''}}}. Make them equal."
            )
        if mark is not None:
            kind = mark[2]
        elif number is not None:
            self.problems.add(
                at, f"Equation {number} is not marked. Write '<!-- eq {number} derived -->' before it."
            )
        self.add(
            Equation(tex=_TAG.sub("", tex).strip(), number=number, kind=kind, line=at, tour=self.take_tour())
        )
        return end + 1

    def take_heading(self, at: int, level: int, title: str) -> int:
        if level == 1:
            if any(frame.blocks for frame in self.frames) or self.prose:
                self.problems.add(at, "A heading '# ' can only be the first line. Use '## ' for a section.")
                level = 2
            else:
                return at + 1  # for GitHub; the page has the title of the front matter
        if level == 2 and len(self.frames) > 1:
            self.problems.add(
                at, f"A section cannot begin inside <details>: {title!r}. Use '### ', or close the fold."
            )
            level = 3
        if level > 2:
            self.add_prose(at, f"{'#' * level} {title}")
            return at + 1
        self.end_prose()
        self.drop_marks()
        self.add(Heading(title=title, id=take_anchor(title, self.anchors), line=at))
        return at + 1

    def take_fold(self, at: int) -> int:
        line = self.lines[at - 1].strip()
        self.end_prose()
        if re.fullmatch(r"</details>", line, re.IGNORECASE):
            self.drop_marks()
            if len(self.frames) == 1:
                self.problems.add(at, "</details> without <details>. Remove it or open the fold.", fatal=True)
                return at + 1
            frame = self.frames.pop()
            self.add(
                Fold(summary=frame.summary, blocks=tuple(frame.blocks), line=frame.line, tour=frame.tour)
            )
            return at + 1
        end, text = at, line
        while "</summary>" not in text.lower() and end < min(len(self.lines), at + 3):
            end += 1
            text += " " + self.lines[end - 1].strip()
        match = re.fullmatch(r"<details>\s*<summary>\s*(.*?)\s*</summary>", text, re.IGNORECASE)
        if match is None:
            self.problems.add(
                at,
                f"A fold begins with {line!r}. Write '<details><summary>Deeper: TITLE</summary>'.",
            )
            end = at
        self.frames.append(_Frame(line=at, summary=match[1] if match else "Deeper", tour=self.take_tour()))
        return end + 1

    # What the above are made of.

    def add(self, block: Block) -> None:
        if self.eq_mark is not None:
            self.problems.add(
                self.eq_mark[0],
                f"No equation follows the mark eq {self.eq_mark[1]}. Put it right before one.",
            )
            self.eq_mark = None
        self.frames[-1].blocks.append(block)

    def add_prose(self, at: int, line: str) -> None:
        if not self.prose:
            if not line.strip():
                return
            self.prose_line = at
        self.prose.append(line)

    def end_prose(self) -> None:
        if self.prose:
            text = "\n".join(self.prose).rstrip()
            self.prose = []
            self.add(Prose(markdown=text, line=self.prose_line, tour=self.take_tour()))

    def take_tour(self) -> bool:
        marked, self.tour_line = bool(self.tour_line), 0
        return marked

    def drop_marks(self) -> None:
        """At the end of a section or fold: a mark that still waits marks nothing."""
        if self.tour_line:
            self.problems.add(
                self.tour_line, "Nothing follows this tour mark. Put it before a block or under a heading."
            )
            self.tour_line = 0
        if self.eq_mark is not None:
            self.problems.add(
                self.eq_mark[0],
                f"No equation follows the mark eq {self.eq_mark[1]}. Put it right before one.",
            )
            self.eq_mark = None

    def add_cell(self, at: int, info: str, code: str) -> None:
        self.end_prose()
        kind: CellKind = "code"
        keys: dict[str, str] = {}
        for match in _INFO.finditer(info):
            word = match[1]
            value = next((group for group in match.groups()[1:] if group is not None), None)
            if value is None and word in _WORDS:
                if kind != "code":
                    self.problems.add(
                        at, f"A cell is {kind!r} and {word!r}. Choose one of {', '.join(_WORDS)}.", fatal=True
                    )
                kind = _WORDS[word]
            elif value is not None and word in _KEYS:
                keys[word] = value
            else:
                self.problems.add(
                    at,
                    f"Unknown word {match[0]!r} after ```python.{suggest(word, (*_WORDS, *_KEYS))} "
                    f'Words are {", ".join(_WORDS)}, keys {", ".join(f"{key}=" for key in _KEYS)}"…".',
                    fatal=True,
                )
        if not code.strip():
            self.problems.add(at, "This cell is empty. Write its code, or remove it.")
        self.add(
            Cell(
                id=self.take_cell_id(at, keys.get("id")),
                kind=kind,
                code=code,
                line=at + 1,
                eq=self.take_eq(at, kind, keys.get("eq")),
                seconds=self.take_seconds(at, kind, keys.get("seconds")),
                title=keys.get("title") or None,
                raises=keys.get("raises") or None,
                tour=self.take_tour(),
            )
        )

    def take_cell_id(self, at: int, name: str | None) -> str:
        if name is None:
            number = 1 + sum(key.startswith("cell-") for key in self.cell_lines)
            name = f"cell-{number}"
        elif not _NAME.fullmatch(name):
            self.problems.add(
                at, f'The cell\'s id is {name!r}. Use letters, digits and hyphens, like id="fit".', fatal=True
            )
        elif name in self.cell_lines:
            self.problems.add(
                at,
                f"The cell id {name!r} stands at line {self.cell_lines[name]} already. Give each its own.",
                fatal=True,
            )
        self.cell_lines.setdefault(name, at)
        return name

    def take_eq(self, at: int, kind: CellKind, eq: str | None) -> str | None:
        if eq is not None and kind != "verify":
            self.problems.add(
                at, f'Only a verify cell has eq=, this is {kind!r}. Write ```python verify eq="{eq}".'
            )
            return None
        return eq

    def take_seconds(self, at: int, kind: CellKind, text: str | None) -> float | None:
        if text is None:
            if kind == "slow":
                self.problems.add(at, 'A slow cell says how long it takes. Add seconds="40".')
            return None
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < 1e6:
            self.problems.add(at, f'seconds is {text!r}. Give a number of seconds, like seconds="40".')
            return None
        if kind != "slow":
            self.problems.add(at, f"Only a slow cell has seconds=, this is {kind!r}. Add the word slow.")
        return seconds
