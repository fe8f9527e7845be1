"""Labels that a person gives: pairs of replies of a model, in an order that is fair, and the choices.

    labels/sft-1.jsonl
      {"nn2llm_labels": 1, "models": [{"name", "path", "lineage"}], …}            what the replies come from
      {"prepared": 0, "prompt": [...], "replies": [a, b], "models": [0, 0]}         a line a pair
      …
      {"pair": 0, "prompt": [...], "first": b, "second": a, "choice": "first", …}   a line a choice

All pairs stand there before anybody chooses, so that choosing never waits for a model. A choice's line says
all by itself, `first` being the reply that was shown first: other programs can read these lines alone.

Which pair comes next follows from the header and the choices alone (`find_next`): so a labeller can stop at
any time, and taking a choice back is to remove its line. Position is balanced: of every four pairs, two are
shown with their replies exchanged. Some pairs come again later, exchanged once more ("repeats"): they tell
how far the labeller agrees with themselves, and are no new preferences.
Read preference_layouts.py before, label_files.py after. Used by cli/label.py and evals/labelling.py. Taught
in `preference-data`.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.data.preference_pairs import shorten
from nn2llm.tokenizers.chat import Message, check_messages

__all__ = ["Choice", "Label", "LabelSession", "LabelledModel", "PreparedPair", "Showing", "find_next",
           "parse_label", "parse_models", "parse_prepared", "parse_session", "plan_showings"]  # fmt: skip

VERSION = 1
_BLOCK = 4
_GAP = 10
"""Other pairs between a pair and its repeat, where there are so many."""

Choice = Literal["first", "second", "tie", "skip"]
"""Which reply is better, of those on the screen."""


@dataclass(frozen=True, slots=True)
class LabelledModel:
    """A model whose replies are compared."""

    name: str
    """As the user knows it: of its stage or run."""
    path: str
    """Where its run was."""
    lineage: tuple[str, ...]
    """SHA-256 of its weights, and of those that it was trained from (train/lineage.py)."""


@dataclass(frozen=True, slots=True)
class PreparedPair:
    """Two replies to a prompt."""

    number: int
    prompt: tuple[Message, ...]
    replies: tuple[str, str]
    models: tuple[int, int]
    """Which of the session's models wrote each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSession:
    """What a labels file begins with."""

    models: tuple[LabelledModel, ...]
    pairs: tuple[PreparedPair, ...]
    seed: int
    """Of the order of sides and repeats."""
    repeats: float
    """Part of the pairs that is shown again."""
    settings: dict[str, Any]
    """How the replies were made: whoever goes on with other settings is told."""

    def to_records(self) -> list[dict[str, Any]]:
        """The lines of the file, up to the first choice."""
        models = [{"name": one.name, "path": one.path, "lineage": list(one.lineage)} for one in self.models]
        header = {
            "nn2llm_labels": VERSION,
            "models": models,
            "seed": self.seed,
            "repeats": self.repeats,
            "settings": self.settings,
        }
        return [
            header,
            *(
                {
                    "prepared": pair.number,
                    "prompt": list(pair.prompt),
                    "replies": list(pair.replies),
                    "models": list(pair.models),
                }
                for pair in self.pairs
            ),
        ]


@dataclass(frozen=True, slots=True)
class Showing:
    """One screen of two replies."""

    pair: int
    swapped: bool
    """The second reply stands first."""
    repeat: bool


@dataclass(frozen=True, slots=True)
class Label:
    """What a person said to one screen."""

    showing: Showing
    choice: Choice
    seconds: float | None = None
    """How long they looked."""

    @property
    def reply(self) -> int | None:
        """Which of the pair's replies was chosen, 0 or 1, wherever it stood; None: a tie or skipped."""
        if self.choice not in ("first", "second"):
            return None
        return int((self.choice == "second") != self.showing.swapped)

    def to_record(self, session: LabelSession) -> dict[str, Any]:
        """Its line of the file."""
        pair = session.pairs[self.showing.pair]
        order = (1, 0) if self.showing.swapped else (0, 1)
        first, second = (pair.replies[place] for place in order)
        return {
            "pair": pair.number,
            "prompt": list(pair.prompt),
            "first": first,
            "second": second,
            "choice": self.choice,
            "models": [session.models[pair.models[place]].name for place in order],
            "swapped": self.showing.swapped,
            "repeat": self.showing.repeat,
            **({} if self.seconds is None else {"seconds": self.seconds}),
        }


def plan_showings(num_pairs: int, *, repeats: float, seed: int) -> list[Showing]:
    """The order in which pairs are shown; pairs keep their order, repeats come between them.

    Of every four new pairs two are exchanged. `repeats` of the pairs, spread evenly, come again after ten
    others (fewer where there are not so many), with their replies on the other sides.

    Raises:
        ConfigError: if num_pairs < 1 or repeats is no share.
    """
    if num_pairs < 1:
        raise ConfigError(f"There must be at least 1 pair to label, got {num_pairs}.")
    if not 0 <= repeats <= 0.5:
        raise ConfigError(f"repeats must be between 0 and 0.5, got {repeats}. Typical: 0.1.")
    rng = random.Random(f"showings {seed}")
    sides: list[bool] = []
    while len(sides) < num_pairs:
        block = [True, False] * (_BLOCK // 2)
        rng.shuffle(block)
        sides += block
    gap = min(_GAP, num_pairs // 2)
    num_repeats = min(round(repeats * num_pairs), num_pairs - gap)
    again: dict[int, list[int]] = {}  # after which pair → which one comes again
    room = num_pairs - gap
    for number in range(num_repeats):
        pair = rng.randrange(number * room // num_repeats, (number + 1) * room // num_repeats)
        again.setdefault(pair + gap, []).append(pair)
    plan: list[Showing] = []
    for pair in range(num_pairs):
        plan.append(Showing(pair, sides[pair], repeat=False))
        plan += [Showing(earlier, not sides[earlier], repeat=True) for earlier in again.get(pair, [])]
    return plan


def find_next(plan: Sequence[Showing], labels: Sequence[Label]) -> Showing | None:
    """The first screen that was not answered; None: all were. A pair that was skipped is not shown again."""
    done = {(label.showing.pair, label.showing.repeat) for label in labels}
    skipped = {label.showing.pair for label in labels if label.choice == "skip" and not label.showing.repeat}
    for showing in plan:
        if (showing.pair, showing.repeat) in done or (showing.repeat and showing.pair in skipped):
            continue
        return showing
    return None


# --- lines of a file ----------------------------------------------------------------------------------------


def parse_session(header: Mapping[str, Any], pairs: Sequence[PreparedPair]) -> LabelSession:
    """What `LabelSession.to_records` wrote.

    Raises:
        DataError: if the header is of another version or not whole, or the pairs are.
    """
    if header.get("nn2llm_labels") != VERSION:
        raise DataError(
            f"These labels are of version {header.get('nn2llm_labels')!r}, and this nn2llm reads {VERSION}."
        )
    try:
        models = parse_models(header)
        seed, repeats, settings = header["seed"], header["repeats"], header["settings"]
        whole = isinstance(seed, int) and isinstance(repeats, int | float) and isinstance(settings, dict)
    except (KeyError, TypeError) as error:
        raise DataError("The first line of the labels is damaged. Restore it from a copy.") from error
    if not whole or not pairs or [pair.number for pair in pairs] != list(range(len(pairs))):
        raise DataError("The labels lack a line that was written at their beginning. Restore it from a copy.")
    if any(model not in range(len(models)) for pair in pairs for model in pair.models):
        raise DataError("A pair of the labels is of a model that they do not name. Restore it from a copy.")
    return LabelSession(models=models, pairs=tuple(pairs), seed=seed, repeats=repeats, settings=settings)


def parse_models(header: Mapping[str, Any]) -> tuple[LabelledModel, ...]:
    """The models of a header. Raises KeyError or TypeError where it is damaged."""
    return tuple(
        LabelledModel(str(one["name"]), str(one["path"]), tuple(map(str, one["lineage"])))
        for one in header["models"]
    )


def parse_prepared(record: Mapping[str, Any]) -> PreparedPair:
    """A pair's line. Raises DataError if it is none."""
    number, prompt, replies, models = (record.get(key) for key in ("prepared", "prompt", "replies", "models"))
    if (
        not isinstance(number, int)
        or not isinstance(prompt, list)
        or not _holds_two(replies, str)
        or not _holds_two(models, int)
    ):
        raise DataError(f"This is no pair to label: {shorten(dict(record))}.")
    check_messages(cast(list[Message], prompt))
    assert isinstance(replies, list)
    assert isinstance(models, list)
    return PreparedPair(number, tuple(prompt), (replies[0], replies[1]), (models[0], models[1]))


def _holds_two(value: Any, kind: type) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(one, kind) for one in value)


def parse_label(record: Mapping[str, Any], session: LabelSession) -> Label:
    """A choice's line.

    Raises:
        DataError: if it is none, or not about a pair of this session.
    """
    pair, choice = record.get("pair"), record.get("choice")
    if choice not in get_args(Choice):
        raise DataError(f"'choice' must be first, second, tie or skip, got {shorten(choice)}.")
    if not isinstance(pair, int) or pair not in range(len(session.pairs)):
        raise DataError(f"It is about pair {shorten(pair)}, and there are {len(session.pairs)}.")
    swapped, repeat = record.get("swapped"), record.get("repeat")
    if not isinstance(swapped, bool) or not isinstance(repeat, bool):
        raise DataError("'swapped' and 'repeat' must be true or false.")
    seconds = record.get("seconds")
    return Label(
        Showing(pair, swapped, repeat),
        cast(Choice, choice),
        float(seconds) if isinstance(seconds, int | float) else None,
    )
