"""What a person's labels say about themselves, about each other, and about the models.

With oneself: pairs that were shown twice, their replies exchanged the second time. With a habit of taking
what stands first, or of tossing a coin, these disagree. With others: files over the same pairs of replies,
however they were ordered. About models: a ranking, where replies come from several.
Read agreement.py, ranking.py and data/labels.py before. Used by cli/label.py. Taught in `preference-data`.
"""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nn2llm.core.errors import DataError
from nn2llm.data.label_files import Labels
from nn2llm.data.labels import Label, LabelledModel, LabelSession
from nn2llm.evals.agreement import compute_cohens_kappa, compute_krippendorffs_alpha
from nn2llm.evals.intervals import Interval, wilson_interval
from nn2llm.evals.ranking import Choice, Strength, rank_by_choices

__all__ = [
    "LabelSummary",
    "LabellerAgreement",
    "Repeats",
    "compare_labels",
    "rank_models",
    "summarise_labels",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeats:
    """Agreement with oneself, over pairs that were answered twice."""

    num_pairs: int
    num_equal: int
    """The same reply, or a tie, both times."""
    kappa: float | None
    """Cohen's; None where there is nothing to measure (always the same choice, or no pair)."""
    num_same_side: int
    """The other reply, since it stood on the same side: a sign of a habit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSummary:
    """One labeller."""

    num_chosen: int
    num_ties: int
    num_skipped: int
    """These three without repeats."""
    first: Interval | None
    """How often the reply shown first was chosen, where one was, repeats included; None: never chosen."""
    repeats: Repeats
    median_seconds: float | None
    chosen_by_model: dict[str, int]
    """How often the reply of each model was chosen over one of another; empty where there is one model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabellerAgreement:
    """How far labellers agree."""

    num_pairs: int
    """Labelled by at least two."""
    alpha: float | None
    """Krippendorff's, of all together."""
    by_two: dict[tuple[int, int], tuple[int, int, float | None]]
    """Two labellers' numbers → pairs that both labelled, how many of them alike, Cohen's kappa."""


def summarise_labels(session: LabelSession, labels: Sequence[Label]) -> LabelSummary:
    """One labeller's choices."""
    new = [label for label in labels if not label.showing.repeat]
    counts = Counter(label.choice for label in new)
    sides = Counter(label.choice for label in labels)
    num_sided = sides["first"] + sides["second"]
    seconds = sorted(label.seconds for label in labels if label.seconds is not None)
    chosen: Counter[str] = Counter()
    for label in new:
        models = session.pairs[label.showing.pair].models
        if label.reply is not None and models[0] != models[1]:
            chosen[session.models[models[label.reply]].name] += 1
    return LabelSummary(
        num_chosen=counts["first"] + counts["second"],
        num_ties=counts["tie"],
        num_skipped=counts["skip"],
        first=wilson_interval(sides["first"], num_sided) if num_sided else None,
        repeats=_compare_repeats(labels),
        median_seconds=seconds[len(seconds) // 2] if seconds else None,
        chosen_by_model=dict(chosen.most_common()),
    )


def _compare_repeats(labels: Sequence[Label]) -> Repeats:
    answered = [label for label in labels if label.choice != "skip"]
    before = {label.showing.pair: label for label in answered if not label.showing.repeat}
    twice = [
        (before[label.showing.pair], label)
        for label in answered
        if label.showing.repeat and label.showing.pair in before
    ]
    first, second = (
        ([_name(label.reply) for label in column] for column in zip(*twice, strict=True))
        if (twice)
        else ([], [])
    )
    return Repeats(
        num_pairs=len(twice),
        num_equal=sum(one == other for one, other in zip(first, second, strict=True)),
        kappa=compute_cohens_kappa(first, second) if twice else None,
        num_same_side=sum(
            one.choice == other.choice and one.reply is not None for one, other in twice
        ),  # the sides were exchanged: the same side is the other reply
    )


def _name(reply: int | None) -> str:
    return "tie" if reply is None else f"reply {reply + 1}"


def compare_labels(files: Sequence[Labels]) -> LabellerAgreement:
    """How far the labellers of several files agree about the pairs that they share; skips and repeats apart.

    Raises:
        DataError: if there are fewer than two files, or no two of them share a pair.
    """
    if len(files) < 2:
        raise DataError(f"Agreement needs the labels of at least two labellers, got {len(files)}.")
    rows = [_label_by_content(one) for one in files]
    items = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    items = [item for item in items if sum(item in row for row in rows) > 1]
    if not items:
        names = ", ".join(str(one.path) for one in files)
        raise DataError(
            f"No pair of replies was labelled in two of these files: {names}. Let the second labeller have "
            "the same pairs with `nn2llm label --pairs FILE --out OTHER`."
        )
    by_two = {}
    for (number, one), (other_number, other) in itertools.combinations(enumerate(rows), 2):
        shared = [item for item in items if item in one and item in other]
        first, second = [one[item] for item in shared], [other[item] for item in shared]
        num_equal = sum(a == b for a, b in zip(first, second, strict=True))
        kappa = compute_cohens_kappa(first, second) if shared else None
        by_two[number, other_number] = (len(shared), num_equal, kappa)
    table = [[row.get(item) for item in items] for row in rows]
    return LabellerAgreement(num_pairs=len(items), alpha=compute_krippendorffs_alpha(table), by_two=by_two)


def _label_by_content(file: Labels) -> dict[str, str]:
    """What was said of each pair of replies, by its content, whichever reply was prepared as the first."""
    found: dict[str, str] = {}
    for label in file.labels:
        if label.showing.repeat or label.choice == "skip":
            continue
        pair = file.session.pairs[label.showing.pair]
        order = sorted(range(2), key=lambda place: pair.replies[place])
        content = json.dumps([pair.prompt, [pair.replies[place] for place in order]])
        item = hashlib.sha256(content.encode(errors="replace")).hexdigest()
        found[item] = "tie" if label.reply is None else f"reply {order.index(label.reply) + 1}"
    return found


def rank_models(files: Sequence[Labels]) -> list[Strength]:
    """Bradley-Terry strengths of the models whose replies were compared with each other's, repeats apart.

    Empty where replies of one model alone were compared.

    Raises:
        DataError: if two sets of models were never compared with each other.
    """
    names = _name_models([model for one in files for model in one.session.models])
    choices = []
    for one in files:
        for label in one.labels:
            first, second = (one.session.models[number] for number in
                             one.session.pairs[label.showing.pair].models)  # fmt: skip
            if label.showing.repeat or label.choice == "skip" or first.lineage == second.lineage:
                continue
            outcome = 0.5 if label.reply is None else 1.0 - label.reply
            choices.append(Choice(names[first.lineage], names[second.lineage], outcome))
    if not choices:
        return []
    try:
        return rank_by_choices(choices)
    except ValueError as error:
        raise DataError(f"These labels give no ranking: {error}") from error


def _name_models(models: Sequence[LabelledModel]) -> dict[tuple[str, ...], str]:
    """Names by lineage; two models of one name are told apart by their weights."""
    lineages: dict[str, set[tuple[str, ...]]] = {}
    for model in models:
        lineages.setdefault(model.name, set()).add(model.lineage)
    return {
        model.lineage: model.name
        if len(lineages[model.name]) == 1
        else f"{model.name} {model.lineage[0][:8]}"
        for model in models
    }
