"""Questions of a lesson: quiz.yaml as records, where each stands, and whether an answer is right.

Read after parsing.py. Used by loader.py, quiz_rendering.py, review.py and app/api_learning.py. Nothing here
raises for a bad file: problems are gathered with their lines, what is wrong in one question drops that one.

quiz.yaml is a list. Keys of a question: id, concept, kind (choice, multiple, predict, number), place (before,
inline, end), text, options ({text, why, right: true}), answer and atol (predict, number), why (of such an
answer), cell (predict), see ("slug#anchor"), review (default true). Text, options and whys are Markdown.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from nn2llm.core.errors import DataError
from nn2llm.course.front_matter import ProblemList
from nn2llm.course.lesson import suggest

__all__ = ["QUIZ_FILE", "Option", "Question", "judge_answer", "load_questions", "read_quiz"]

QUIZ_FILE = "quiz.yaml"

QuestionKind = Literal["choice", "multiple", "predict", "number"]
QuestionPlace = Literal["before", "inline", "end"]

# The C parser is ten times as fast; a PyYAML built without it has only the other.
_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_KINDS = ("choice", "multiple", "predict", "number")
_PLACES = ("before", "inline", "end")
_KEYS = (
    "id", "concept", "kind", "place", "text", "options", "answer", "atol", "why", "cell", "see", "review",
)  # fmt: skip
_OPTION_KEYS = ("text", "why", "right")
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MOST_OPTIONS = 9  # one key each


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One of the answers to choose from."""

    text: str
    """Markdown."""
    why: str
    """Markdown: why it is right, or what it confuses."""
    right: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of a lesson."""

    id: str
    """Unique in the lesson; the learner's answers are kept under it."""
    concept: str
    """What it tests, for the review."""
    kind: QuestionKind
    place: QuestionPlace
    text: str
    """Markdown."""
    options: tuple[Option, ...] = ()
    answer: float | tuple[str, ...] | None = None
    """Of a question without options: a number, or the ways to write the right words (the first is shown)."""
    atol: float = 0.0
    """How far a number may be off."""
    why: str = ""
    """Markdown: why the answer is what it is."""
    cell: str | None = None
    """Whose printout holds the answer of a prediction."""
    see: str | None = None
    """Where a wrong answer leads: `slug#anchor`, `slug`, or `#anchor` in the same lesson."""
    review: bool = True
    """Whether it comes back in the review."""
    line: int = 1

    @property
    def shown_answer(self) -> str:
        """The right answer as words: of a question without options."""
        if isinstance(self.answer, tuple):
            return self.answer[0]
        return "" if self.answer is None else f"{self.answer:.10g}"


def judge_answer(question: Question, answer: Any) -> bool:
    """Whether an answer, as the page sends it, is right.

    Args:
        question: what was asked.
        answer: the number of the option (from 0); of a `multiple` question a list of them; else words or a
            number.

    Raises:
        DataError: if it is no answer to this question.
    """
    if question.kind == "multiple":
        if not isinstance(answer, list) or not all(_is_option(one, question) for one in answer):
            raise DataError(f"The answer is {answer!r:.40}. Send the numbers of the options chosen.")
        return set(answer) == {at for at, option in enumerate(question.options) if option.right}
    if question.options:
        if not _is_option(answer, question):
            raise DataError(f"The answer is {answer!r:.40}. Send the number of one of the options.")
        return question.options[answer].right
    if isinstance(answer, bool) or not isinstance(answer, str | int | float) or not str(answer).strip():
        raise DataError(f"The answer is {answer!r:.40}. Type a number or words.")
    if isinstance(question.answer, float):
        value = _read_number(answer)
        if value is None:
            if question.kind == "number":
                raise DataError(
                    f"The answer is {answer!r:.40}, which is no number. Type one like 0.25 or -3."
                )
            return False
        return math.isclose(value, question.answer, rel_tol=1e-9, abs_tol=question.atol)
    return any(_fold(str(answer)) == _fold(one) for one in question.answer or ())


def _is_option(answer: Any, question: Question) -> bool:
    return isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(question.options)


def _read_number(answer: str | float) -> float | None:
    """`1,234.5`, `−3`, `25%`, `2/3` too: what people type."""
    if not isinstance(answer, str):
        return float(answer) if math.isfinite(answer) else None
    text = answer.strip().replace("\u2212", "-").replace(" ", "")
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    factor = 0.01 if text.endswith("%") else 1.0
    above, slash, below = text.removesuffix("%").partition("/")
    try:
        value = float(above) / (float(below) if slash else 1.0) * factor
    except (ValueError, ZeroDivisionError):
        return None
    return value if math.isfinite(value) else None


def _fold(words: str) -> str:
    """Without spaces, case, quotes and a word like torch.Size around a shape: `torch.Size([38, 38])`."""
    text = re.sub(r"[\s'\"`]+", "", words).casefold().replace("\u2212", "-")
    text = re.sub(r"^torch\.size\(?\[?(.*?)\]?\)?$", r"(\1)", text)
    return re.sub(r"^\[(.*)\]$", r"(\1)", text).rstrip(".")


# From disk


def load_questions(folder: Path) -> tuple[Question, ...]:
    """The good questions of a lesson's folder; kept in memory while quiz.yaml is the same."""
    path = folder / QUIZ_FILE
    try:
        status = path.stat()
    except OSError:
        return ()
    return _load(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _load(path: Path, changed_ns: int, size: int) -> tuple[Question, ...]:
    return read_quiz(path, ProblemList(path))


def read_quiz(path: Path, problems: ProblemList) -> tuple[Question, ...]:
    """The questions of a quiz.yaml; what is wrong is added to `problems`, and that question left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        problems.add(0, f"The questions could not be read ({error}). Save the file as UTF-8.")
        return ()
    try:
        loader = _YamlLoader(text)
        try:
            node = loader.get_single_node()
            values = loader.construct_document(node) if node is not None else []
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "not readable"
        line = mark.line + 1 if mark is not None else 1
        problems.add(line, f"The questions are not YAML ({what}). Put text with ':' or '#' in quotes.")
        return ()
    except (TypeError, ValueError, RecursionError):
        problems.add(1, "The questions are not YAML (a key or value cannot be read). Use plain words.")
        return ()
    if not isinstance(values, list):
        problems.add(
            1, f"The file is {values!r:.40}. Write a list of questions, each begun with '- id: NAME'."
        )
        return ()
    questions: list[Question] = []
    lines: dict[str, int] = {}
    for value, item in zip(values, node.value if node is not None else [], strict=True):
        question = _Reader(value, item, problems).read()
        if question is None:
            continue
        if question.id in lines:
            problems.add(
                question.line,
                f"The id {question.id!r} stands at line {lines[question.id]} already. Give each its own.",
            )
            continue
        lines[question.id] = question.line
        questions.append(question)
    return tuple(questions)


class _Reader:
    """Takes the keys of one question one by one; each fault is a problem at the key's line."""

    def __init__(self, values: Any, node: Any, problems: ProblemList) -> None:
        self.problems = problems
        self.line: int = node.start_mark.line + 1
        self.num_faults = 0
        self.good = isinstance(values, dict)
        self.values: dict[str, Any] = values if isinstance(values, dict) else {}
        self.nodes: dict[str, Any] = {str(key.value): value for key, value in node.value} if self.good else {}
        self.lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value} if self.good else {}
        if not self.good:
            problems.add(self.line, f"A question is {values!r:.40}. Write keys: {', '.join(_KEYS)}.")

    def fail(self, key: str, message: str, *, line: int | None = None) -> None:
        self.num_faults += 1
        self.problems.add(line or self.lines.get(key, self.line), message)

    def read(self) -> Question | None:
        if not self.good:
            return None
        for key in self.nodes:
            if key not in _KEYS:
                self.fail(
                    key,
                    f"A question has an unknown key {key!r}.{suggest(key, _KEYS)} Keys are "
                    f"{', '.join(_KEYS)}.",
                )
        name = self.take_text("id")
        if name and not _NAME.fullmatch(name):
            self.fail("id", f"id is {name!r}. Use small letters, digits and hyphens, like two-slopes.")
        kind = self.take_word("kind", _KINDS)
        place = self.take_word("place", _PLACES, default="end")
        concept, text = self.take_text("concept"), self.take_text("text")
        options = self.take_options(kind)
        answer = self.take_answer(kind, options)
        cell, see = self.take_text("cell", needed=False), self.take_text("see", needed=False)
        if kind == "predict" and not cell:
            self.fail("", f"The prediction {name!r} names no cell. Add cell: ID of the cell that shows it.")
        if kind != "predict" and cell:
            self.fail("cell", f"Only a prediction has a cell, this is {kind!r}. Write kind: predict.")
        if place == "before" and not see:
            self.fail("", f"The question {name!r} opens the lesson. Add see: where a wrong answer leads.")
        if see and not re.fullmatch(r"[\w-]*(?:#[^\s#]+)?", see):
            self.fail("see", f"see is {see!r}. Write slug#anchor, like tensors#broadcasting.")
        review = self.values.get("review", True)
        if not isinstance(review, bool):
            self.fail("review", f"review is {review!r}. Write true or false.")
        why = self.take_text("why", needed=False)
        if why and options:
            self.fail("why", "A question with options has a why in each of them. Move it there.")
        atol = self.take_atol(answer)
        if self.num_faults:
            return None
        return Question(
            id=name,
            concept=concept,
            kind=cast(QuestionKind, kind),
            place=cast(QuestionPlace, place),
            text=text,
            options=options,
            answer=answer,
            atol=atol,
            why=why,
            cell=cell or None,
            see=see or None,
            review=review,
            line=self.line,
        )

    def take_text(self, key: str, *, needed: bool = True) -> str:
        if key not in self.nodes:
            if needed:
                self.fail("", f"A question lacks {key}. Add '{key}: …'.")
            return ""
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip():
            self.fail(key, f"{key} is {value!r:.60}. Give it text, in quotes where it holds ':' or '#'.")
            return ""
        return value.strip()

    def take_word(self, key: str, allowed: Sequence[str], default: str = "") -> str:
        if key not in self.nodes and default:
            return default
        value = self.take_text(key)
        if value and value not in allowed:
            self.fail(key, f"{key} is {value!r}.{suggest(value, allowed)} It is one of {', '.join(allowed)}.")
        return value

    def take_options(self, kind: str) -> tuple[Option, ...]:
        node = self.nodes.get("options")
        if node is None:
            if kind in ("choice", "multiple"):
                self.fail("", f"A question of kind {kind} has no options. Add two or more, each with a why.")
            return ()
        values = self.values.get("options")
        if kind == "number":
            self.fail("options", "A question of kind number has options. Give it an answer, or kind: choice.")
            return ()
        if not isinstance(values, list) or not 2 <= len(values) <= _MOST_OPTIONS:
            self.fail("options", f"options is {values!r:.60}. Write a list of 2 to {_MOST_OPTIONS}.")
            return ()
        options = [self.take_option(value, item) for value, item in zip(values, node.value, strict=True)]
        num_right = sum(option.right for option in options)
        if num_right == 0:
            self.fail("options", "No option is right. Write 'right: true' at the one that is.")
        elif num_right > 1 and kind != "multiple":
            self.fail(
                "options",
                f"{num_right} options are right, a question of kind {kind} has one. Write kind: multiple, "
                "or mark one.",
            )
        return tuple(options)

    def take_option(self, value: Any, node: Any) -> Option:
        line = node.start_mark.line + 1
        if not isinstance(value, dict):
            self.fail("", f"An option is {value!r:.60}. Write '- text: …' and 'why: …'.", line=line)
            return Option(text="", why="")
        for key in value:
            if key not in _OPTION_KEYS:
                hint = suggest(str(key), _OPTION_KEYS)
                self.fail(
                    "", f"An option has an unknown key {key!r}.{hint} Keys are text, why, right.", line=line
                )
        texts = {}
        for key in ("text", "why"):
            # a bare number is a fine answer to choose from
            found = value.get(key)
            usable = isinstance(found, str | int | float) and not isinstance(found, bool)
            texts[key] = str(found).strip() if usable else ""
            if not texts[key]:
                about = "what it says" if key == "text" else "why it is right, or what it confuses"
                got = f"'s {key} is {found!r}" if found is not None else f" has no {key}"
                self.fail("", f"An option{got}. Say {about}, in quotes.", line=line)
        right = value.get("right", False)
        if not isinstance(right, bool):
            self.fail("", f"right is {right!r}. Write 'right: true', or leave it out.", line=line)
        return Option(text=texts["text"], why=texts["why"], right=right is True)

    def take_answer(self, kind: str, options: tuple[Option, ...]) -> float | tuple[str, ...] | None:
        value = self.values.get("answer")
        if "answer" not in self.nodes:
            if kind == "number" or (kind == "predict" and "options" not in self.nodes):
                self.fail(
                    "", f"A question of kind {kind} has no answer. Add 'answer: …' as it must come out."
                )
            return None
        if options or kind in ("choice", "multiple"):
            self.fail("answer", "A question with options has an answer too. Mark one option 'right: true'.")
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
        if kind == "number":
            self.fail("answer", f"answer is {value!r:.60}. Give a number.")
            return None
        words: list[Any] = value if isinstance(value, list) else [value]
        if not words or not all(isinstance(one, str) and one.strip() for one in words):
            self.fail(
                "answer", f"answer is {value!r:.60}. Give a number, words, or a list of ways to say it."
            )
            return None
        return tuple(one.strip() for one in words)

    def take_atol(self, answer: float | tuple[str, ...] | None) -> float:
        value = self.values.get("atol", 0.0)
        good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
        if not good or ("atol" in self.nodes and not isinstance(answer, float)):
            self.fail("atol", f"atol is {value!r:.40}. Give how far a numeric answer may be off, like 0.01.")
            return 0.0
        return float(value)
