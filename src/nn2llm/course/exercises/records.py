"""What an exercise is made of: plain records, as exercises.yaml, mistakes.py and accepted.py give them.

Read first in this folder; model.py reads them from a lesson's folder. Text that a learner sees is Markdown.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

__all__ = [
    "CODE_KINDS",
    "FIELD_KINDS",
    "KINDS",
    "Answer",
    "Exercise",
    "ExerciseKind",
    "Field",
    "FieldKind",
    "Option",
    "Suspect",
    "Symbol",
]

ExerciseKind: TypeAlias = Literal["implement", "repair", "diagnose", "decide", "derive"]
FieldKind: TypeAlias = Literal["expression", "choice", "multiple", "number", "text"]

KINDS: tuple[str, ...] = get_args(ExerciseKind)
FIELD_KINDS: tuple[str, ...] = get_args(FieldKind)
CODE_KINDS = ("implement", "repair")
"""The learner writes Python that runs. In the other kinds, the forms, they fill in fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """A letter that an expression may use, and the random values it is tested with."""

    name: str
    shape: tuple[str, ...] = ()
    """Sizes by name or number, as in ("n",) or ("n", "3"); () is a single number."""
    low: float = -2.0
    high: float = 2.0
    about: str = ""
    """What it stands for, as in `inputs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One choice of a `choice` or `multiple` field."""

    value: str
    """What the learner's file says for it, as in `b`."""
    text: str
    why: str
    """Why it is right, or wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A wrong answer that learners give, and what to tell them."""

    value: str | float
    """`is:` in the YAML: an expression or a number."""
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One thing to fill in, in the kinds derive, decide and diagnose."""

    name: str
    """A Python name: the learner's file assigns to it."""
    kind: FieldKind
    label: str
    line: int
    """In exercises.yaml."""
    answer: Any = None
    """An expression or choice as text, choices as a tuple of texts, a number; None: any answer will do."""
    symbols: tuple[Symbol, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    options: tuple[Option, ...] = ()
    forbid: tuple[str, ...] = ()
    """Names that an expression must not use."""
    atol: float | None = None
    rtol: float | None = None
    unit: str = ""
    whole: bool = False
    """The answer of a number, rounded to a whole one, is right too."""
    follows: str = ""
    """The choice field on which a number depends; `by_choice`: the answers that go with wrong choices."""
    by_choice: dict[str, float] = field(default_factory=dict)
    min_words: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """One exercise of a lesson."""

    name: str
    kind: ExerciseKind
    title: str
    minutes: int
    difficulty: int
    """1 to 5."""
    task: str
    """What to do."""
    line: int
    """In exercises.yaml."""
    functions: tuple[str, ...] = ()
    """Functions or classes of exercise.py that the learner writes or repairs."""
    fields: tuple[Field, ...] = ()
    checks: tuple[str, ...] = ()
    """Functions of checks.py, in the order in which they run."""
    hints: tuple[str, ...] = ()
    """Where to look, what to do, almost the line."""
    part: str | None = None
    """The part of the learner's own GPT that this code becomes."""
    reference: str | None = None
    """`module:symbol`; None: solution.py's definition of the same name."""
    returns: bool = False
    """It comes back, blank, a week after it was passed."""
    core: bool = True
    """Needed for the lesson to count as done."""
    limits: dict[str, float] = field(default_factory=dict)
    """`seconds` and `memory_mb`, where the usual limits do not fit."""

    @property
    def is_form(self) -> bool:
        """Whether the learner fills in fields instead of writing code."""
        return self.kind not in CODE_KINDS

    def find_field(self, name: str) -> Field | None:
        """The field of that name."""
        return next((item for item in self.fields if item.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole file as a learner could hand it in, of accepted.py or mistakes.py."""

    exercise: str
    text: str
    label: str
    """How it goes about it (accepted), or what it gets wrong (mistakes)."""
    line: int
    """In its file."""
    check: str | None = None
    """A mistake: the check that must fail, and be the first."""
    field: str | None = None
    """A mistake in a form: the field that must be judged wrong."""
    says: str = ""
    """A mistake: words that must stand in the diagnosis or the message."""
    why: str = ""
    """A mistake: why a learner would write it."""
