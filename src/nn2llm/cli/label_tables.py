"""What `nn2llm label` says about labels. Read evals/labelling.py before. Used by label.py."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from nn2llm.data.label_files import Labels
from nn2llm.evals.labelling import LabellerAgreement, LabelSummary
from nn2llm.evals.ranking import ELO_PER_NAT, Strength

__all__ = ["build_agreement_table", "build_ranking_table", "describe_agreement", "describe_labels"]


def describe_labels(labels: Labels, summary: LabelSummary, *, blind: bool = False) -> list[str]:
    """Lines about one labeller; `blind`: without what tells whose replies were liked."""
    num = summary.num_chosen + summary.num_ties
    lines = [
        f"{labels.path}: {_count(num, 'pair')} labelled ({summary.num_chosen} with a better reply, "
        f"{_count(summary.num_ties, 'tie')}), {summary.num_skipped} skipped, "
        f"of {len(labels.session.pairs)}."
    ]
    if summary.first is not None:
        first = summary.first
        lines.append(
            f"Position: the reply shown first was chosen {first.estimate:.0%} of the time "
            f"(95% interval {first.low:.0%} to {first.high:.0%}; half of each kind stood there)."
        )
    lines.append(_describe_repeats(summary))
    if summary.median_seconds is not None:
        lines.append(f"Time: {summary.median_seconds:.1f} s a pair in the middle.")
    if summary.chosen_by_model and not blind:
        wins = ", ".join(f"{name} {count}" for name, count in summary.chosen_by_model.items())
        lines.append(f"Chosen: {wins}.")
    return lines


def _describe_repeats(summary: LabelSummary) -> str:
    repeats = summary.repeats
    if not repeats.num_pairs:
        return "Agreement with yourself: no pair was answered twice yet."
    line = (
        f"Agreement with yourself: {repeats.num_equal} of {_count(repeats.num_pairs, 'pair')} shown again "
        f"({repeats.num_equal / repeats.num_pairs:.0%}), Cohen's kappa {_show(repeats.kappa)}."
    )
    if repeats.num_same_side:
        line += f" {repeats.num_same_side} went to the same side instead of to the same reply."
    return line


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _show(value: float | None) -> str:
    return "not defined (always the same choice)" if value is None else f"{value:.2f}"


def describe_agreement(agreement: LabellerAgreement, num_labellers: int) -> str:
    """One line about several labellers."""
    return (
        f"{num_labellers} labellers, {agreement.num_pairs} pairs that at least two labelled: "
        f"Krippendorff's alpha {_show(agreement.alpha)}."
    )


def build_agreement_table(agreement: LabellerAgreement, paths: Sequence[Path]) -> Table:
    """A line for every two labellers."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("labellers", ""):
        table.add_column(name)
    for name in ("pairs", "alike", "Cohen's kappa"):
        table.add_column(name, justify="right")
    for (one, other), (num_pairs, num_equal, kappa) in agreement.by_two.items():
        share = f"{num_equal / num_pairs:.0%}" if num_pairs else "–"
        shown = _show(kappa) if num_pairs else "–"
        table.add_row(Text(str(paths[one])), Text(str(paths[other])), str(num_pairs), share, shown)
    return table


def build_ranking_table(ranking: Sequence[Strength]) -> Table:
    """Models by how often they are preferred, on the Elo scale."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("model")
    for name in ("Elo", "95% interval", "pairs"):
        table.add_column(name, justify="right")
    for one in ranking:
        elo, low, high = (
            ELO_PER_NAT * value for value in (one.strength.estimate, one.strength.low, one.strength.high)
        )
        table.add_row(Text(one.name), f"{elo:+.0f}", f"{low:+.0f} to {high:+.0f}", str(one.num_choices))
    return table
