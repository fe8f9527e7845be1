"""study.md: the study's figures as short tables, for a terminal, a chat or a pull request.

Read study_words.py before. Used by study_report.py.
"""

from collections.abc import Sequence

from nn2llm.core.progress import format_duration
from nn2llm.recipe.report_figures import Timings
from nn2llm.recipe.report_words import format_interval, format_number, format_percent, format_signed
from nn2llm.recipe.study_figures import StudyFigures
from nn2llm.recipe.study_words import (
    describe_fit,
    describe_grpo,
    describe_method,
    name_labels,
    name_method,
    name_reward,
    name_size,
    summarise_study,
)

__all__ = ["build_study_markdown"]


def build_study_markdown(figures: StudyFigures, timings: Timings) -> str:
    """The whole file."""
    parts = [
        "# One chat model, aligned in many ways",
        summarise_study(figures),
        describe_grpo(figures),
        "## All methods, on held-out prompts",
        _table(
            [
                "method",
                "gold",
                "gain over SFT (95% interval)",
                "KL, nats",
                "utility",
                "promised gain",
                "kept",
            ],
            [
                [
                    name_method(figures, method.stage),
                    format_number(method.gold.estimate),
                    f"{format_signed(method.gain.estimate)} ({format_interval(method.gain, 3)})",
                    format_number(method.kl.estimate)
                    if method.kl
                    else f"at most {format_number(method.kl_bound or 0.0)}",
                    format_signed(method.utility.estimate),
                    format_signed(method.promise.estimate) if method.promise else "–",
                    describe_method(figures, method),
                ]
                for method in figures.methods
            ],
        ),
        "## Reward models",
        _table(
            ["reward model", "held-out choices", "best possible"],
            [
                [
                    f"{name_size(figures, model.reward)}, {model.num_prompts:,} prompts",
                    format_percent(model.accuracy.estimate),
                    "–" if model.best_possible is None else format_percent(model.best_possible),
                ]
                for model in figures.rewards
            ],
        ),
        "## Over-optimisation",
        "Best of n: gain in gold = d (α − β d); training without the KL term: d (α − β log d); d = √KL.",
        _table(
            ["", "α", "β", "R²", "peak at a KL of", "gain at the end", "promised"],
            [
                *(
                    _fit(f"best of n, {name_labels(figures, reward).lower()}", figures, reward)
                    for reward in figures.by_labels
                ),
                *(
                    _fit(f"best of n, {name_size(figures, reward).lower()}", figures, reward)
                    for reward in figures.by_size
                    if reward not in figures.by_labels
                ),
                *(
                    _fit(f"PPO without KL, {name_reward(figures, curve.reward)}", figures, stage)
                    for stage, curve in figures.training.items()
                    if stage.startswith("ppo_free")
                ),
            ],
        ),
        "Charts, replies and what the words mean are in study.html; all figures in study.json.",
        "<!-- timings -->\n\n## Cost\n\n"
        + _table(
            ["stage", "time", "result"],
            [
                [stage, format_duration(timings.seconds[stage]), each.headline]
                for stage, each in figures.stages.items()
            ],
        )
        + f"\n\nAll: {format_duration(sum(timings.seconds.values()))}\n\n<!-- /timings -->",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _fit(name: str, figures: StudyFigures, key: str) -> list[str]:
    curve = figures.training[key] if key in figures.training else figures.best_of_n[key]
    fit = curve.fit
    known = (
        ["–", "–", "–"]
        if fit is None
        else [format_number(fit.alpha, 3), format_number(fit.beta, 3), format_number(fit.r_squared)]
    )
    return [
        name,
        *known,
        describe_fit(curve),
        format_signed(curve.at_end(curve.gold)),
        format_signed(curve.at_end(curve.promise)),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of GitHub's Markdown; the first column is left-aligned."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
