"""study.html: one page that needs no script, no network and no other file, a section for each question.

Read study_words.py, study_charts.py and html_parts.py before. Used by study_report.py.
"""

from collections.abc import Callable, Sequence
from html import escape

from nn2llm.core.progress import format_count, format_duration
from nn2llm.evals.intervals import Interval
from nn2llm.recipe.html_parts import (
    Section,
    build_page,
    build_percent_range,
    build_range,
    build_responsive,
    build_table,
    note,
    paragraph,
    typeset,
)
from nn2llm.recipe.report_figures import Timings
from nn2llm.recipe.report_words import format_number, format_percent, format_signed, name_group, name_kind
from nn2llm.recipe.study_charts import draw_curves, draw_methods, draw_progress
from nn2llm.recipe.study_figures import Curve, Exploit, StudyFigures
from nn2llm.recipe.study_words import (
    COLOUR_OF,
    FAIR,
    describe_constitutional,
    describe_fit,
    describe_free,
    describe_grpo,
    describe_labels,
    describe_method,
    describe_other_runs,
    describe_sizes,
    list_words,
    name_labels,
    name_method,
    name_reward,
    name_size,
    summarise_study,
)

__all__ = ["build_study_html"]

TITLE = "One chat model, aligned in many ways"
_INTRODUCTION = """<p>How the SFT model, the reward model, PPO and DPO came about is in the recipe’s own
<a href="report.html">report card</a>.</p>
"""


def build_study_html(figures: StudyFigures, timings: Timings) -> str:
    """The page."""
    sections = [section for build in _SECTIONS if (section := build(figures)) is not None]
    sections.append(_build_cost(figures, timings))
    return build_page(
        title=TITLE,
        eyebrow="nn2llm · the study of a recipe",
        lede=summarise_study(figures),
        introduction=_INTRODUCTION,
        sections=sections,
        figures_file="study.json",
    )


def _swatch(figures: StudyFigures, stage: str) -> str:
    colour = COLOUR_OF.get(stage, "free" if stage.startswith("ppo_free") else stage)
    return (
        f'<span class="swatch" style="--colour: var(--{colour})"></span>{escape(name_method(figures, stage))}'
    )


def _build_methods(figures: StudyFigures) -> Section:
    rows = []
    for method in figures.methods:
        promise = method.promise
        rows.append(
            [
                _swatch(figures, method.stage),
                build_range(method.gold),
                build_range(method.gain, 3),
                build_range(method.kl) if method.kl else f"≤ {format_number(method.kl_bound or 0.0)}",
                build_range(method.utility),
                build_range(promise) if promise else "–",
                describe_method(figures, method),
            ]
        )
    head = ["method", "gold", "gain over SFT", "KL, nats", "gain in utility", "promised gain", "kept"]
    body = paragraph(
        "All methods start from the same SFT model. PPO, GRPO and best-of-n follow the same reward model, "
        "DPO the labels that it has learned from, constitutional AI neither. What one gets for going away "
        "from SFT is the gain in gold. What the reward model promises may be more, because it has errors "
        "and its labels have biases, or less, because it is not as sure as it could be."
    )
    body += build_responsive(
        draw_methods(figures, wide=False),
        draw_methods(figures, wide=True),
        "Gain of the gold score over SFT against the distance from it. Marks: held-out prompts, with paired "
        "95% intervals. Lines: PPO, GRPO and PPO without KL on their way, on training prompts; best-of-n "
        "for every n, at the distance that it has at most.",
    )
    body += build_table(head, rows)
    body += paragraph(
        f"The SFT model's own gold score is {format_number(figures.sft_gold.estimate)}, on "
        f"{figures.num_prompts:,} held-out prompts; best-of-n is measured on "
        f"{figures.num_candidate_prompts:,} of them. “Kept” is the gain in gold as a share of the promised "
        "gain.",
        kind="small",
    )
    body += _build_groups(figures)
    return Section(name="methods", title="All methods, at their distance", short="Methods", body=body)


def _build_groups(figures: StudyFigures) -> str:
    """Gains by group of prompts, folded."""
    stages = [stage for stage in figures.gains_by_group if stage in (*FAIR, "ppo_free")]
    rows = []
    for group, count in figures.groups.items():
        gains = [figures.gains_by_group[stage].get(group) for stage in stages]
        cells = ["–" if gain is None else build_range(gain, mark=_mark(gain)) for gain in gains]
        rows.append([f"{escape(name_group(group))}<span class=small> · {count:,}</span>", *cells])
    head = ["gain of gold · prompts", *(_swatch(figures, stage) for stage in stages)]
    return f"<details><summary>By group of prompts</summary>\n{build_table(head, rows)}</details>\n"


def _mark(gain: Interval) -> str:
    if gain.low > 0:
        return ' <span class="up" role="img" aria-label="clearly above SFT">▲</span>'
    return ' <span class="down" role="img" aria-label="clearly below SFT">▼</span>' if gain.high < 0 else ""


def _build_free(figures: StudyFigures) -> Section | None:
    stages = [stage for stage in figures.training if stage.startswith("ppo_free")]
    if not stages:
        return None
    panels = [(_title(figures, stage), figures.training[stage]) for stage in stages]
    body = paragraph(describe_free(figures))
    if others := describe_other_runs(figures):
        body += paragraph(others)
    body += build_responsive(
        draw_curves("free", panels, wide=False),
        draw_curves("free", panels, wide=True),
        "PPO without the KL term against reward models of different quality; a dot is an iteration, thick "
        "lines are smoothed. Where the promise goes on rising and gold falls, the policy has found replies "
        "that the reward model is wrong about.",
    )
    body += _build_fits(figures, [(_title(figures, stage), figures.training[stage]) for stage in stages])
    body += _build_exploits(figures)
    return Section(name="free", title="PPO without its KL term", short="Without KL", body=body)


def _title(figures: StudyFigures, stage: str) -> str:
    return name_reward(figures, figures.training[stage].reward).capitalize()


def _build_exploits(figures: StudyFigures) -> str:
    if not figures.exploits:
        return ""
    return "<h3>Replies that the reward model likes better, and that are worse</h3>\n" + "".join(
        map(_build_exploit, figures.exploits)
    )


def _build_exploit(exploit: Exploit) -> str:
    turns = "".join(
        f'<p class="{"assistant" if turn["role"] == "assistant" else "user"}">{escape(turn["content"])}</p>'
        for turn in exploit.messages
    )
    replies = "".join(
        f'<div style="--colour: var(--{colour})"><div class="top"><b>{name}</b><span>gold '
        f"{format_number(gold)}, reward {format_number(reward)}</span></div>"
        f'<div class="text">{escape(text.strip()) or "<span class=empty>says nothing</span>"}</div></div>\n'
        for colour, name, text, gold, reward in (
            ("sft", "SFT", exploit.before, exploit.gold[0], exploit.reward[0]),
            ("free", "PPO without KL", exploit.after, exploit.gold[1], exploit.reward[1]),
        )
    )
    return (
        f'<div class="sample"><h4>{escape(name_kind(exploit.kind))}</h4>\n<div class="turns">{turns}</div>\n'
        f'<div class="replies">{replies}</div></div>\n'
    )


def _build_grpo(figures: StudyFigures) -> Section | None:
    if figures.find("grpo") is None:
        return None
    settings = figures.settings
    body = paragraph(
        "GRPO has no value model: a reply's advantage is its score against those of the other replies to "
        f"the same prompt, here {settings['grpo_group_size']} to each of {settings['grpo_num_prompts']} "
        "prompts an "
        f"iteration, with a KL weight of {settings['grpo_kl_coef']:g} in the loss. " + describe_grpo(figures)
    )
    stages = [stage for stage in ("ppo", "grpo") if stage in figures.training]
    if stages:
        body += build_responsive(
            draw_progress(figures, stages, wide=False),
            draw_progress(figures, stages, wide=True),
            "Mean gold score of the replies of each iteration, on training prompts, and how far they are "
            "from SFT.",
        )
    return Section(name="grpo", title="GRPO beside PPO", short="GRPO", body=body)


def _build_constitutional(figures: StudyFigures) -> Section | None:
    if figures.find("constitutional") is None:
        return None
    stages = [stage for stage in ("ppo", "dpo", "constitutional") if stage in figures.gains_by_group]
    rows = []
    for group in figures.groups:
        gains = [figures.gains_by_group[stage].get(group) for stage in stages]
        cells = ["–" if gain is None else build_range(gain, 3, mark=_mark(gain)) for gain in gains]
        rows.append([escape(name_group(group)), *cells])
    body = paragraph(describe_constitutional(figures))
    body += build_table(["gain of gold over SFT", *(_swatch(figures, stage) for stage in stages)], rows)
    return Section(name="constitutional", title="Constitutional AI", short="Constitutional AI", body=body)


def _build_best_of_n(figures: StudyFigures) -> Section:
    curve = figures.best_of_n["reward"]
    shown = [place for place, n in enumerate(curve.n) if n & (n - 1) == 0 or n == curve.n[-1]]
    rows = [
        [
            str(curve.n[place]),
            format_number(curve.kl[place]),
            f'{format_signed(curve.gold[place])}<span class="range">'
            f"{format_number(curve.gold_ends[place][0], 3)} to "
            f"{format_number(curve.gold_ends[place][1], 3)}</span>",
            format_signed(curve.utility[place]),
            format_signed(curve.promise[place]),
        ]
        for place in shown
    ]
    body = paragraph(
        "The SFT model writes n replies to a prompt and the reward model keeps one. No weight moves. From "
        f"{figures.num_replies} replies to each of {figures.num_candidate_prompts:,} held-out prompts "
        f"({format_number(figures.num_different, 1)} of them different, on average) follows what every n up "
        f"to {figures.num_replies} would give."
    )
    body += build_table(["n", "KL at most, nats", "gain in gold", "gain in utility", "promised gain"], rows)
    return Section(name="best-of-n", title="Best of n", short="Best of n", body=body)


def _build_labels(figures: StudyFigures) -> Section:
    panels = [(name_labels(figures, reward), figures.best_of_n[reward]) for reward in figures.by_labels]
    rows = [_judge(figures, reward, name_labels(figures, reward)) for reward in figures.by_labels]
    body = paragraph(
        "The same replies, chosen by reward models that have learned from more and more comparisons. "
        + describe_labels(figures)
    )
    body += build_responsive(
        draw_curves("labels", panels, wide=False),
        draw_curves("labels", panels, wide=True),
        "Best-of-n by reward models with few labels and with many: what each promises, and what comes of it. "
        "The band is the 95% interval over prompts.",
    )
    body += build_table(_JUDGED, rows)
    body += _build_fits(figures, panels)
    return Section(name="labels", title="Over-optimisation by number of labels", short="Labels", body=body)


def _build_sizes(figures: StudyFigures) -> Section | None:
    if len(figures.by_size) < 2:
        return None
    panels = [(name_size(figures, reward), figures.best_of_n[reward]) for reward in figures.by_size]
    rows = [_judge(figures, reward, name_size(figures, reward)) for reward in figures.by_size]
    count = figures.judge(figures.by_size[0]).num_prompts
    body = paragraph(
        f"Reward models of different sizes, all from the comparisons of {count:,} prompts. Checking layers "
        "stand above the SFT model's own; a plain score head has no layer of its own, so the whole model is "
        "trained. " + describe_sizes(figures)
    )
    body += build_responsive(
        draw_curves("sizes", panels, wide=False),
        draw_curves("sizes", panels, wide=True),
        "Best-of-n by reward models of different sizes. The band is the 95% interval over prompts.",
    )
    body += build_table(_JUDGED, rows)
    body += _build_fits(figures, panels)
    return Section(
        name="sizes", title="Over-optimisation by size of the reward model", short="Sizes", body=body
    )


_JUDGED = ["reward model", "pairs", "held-out choices", "best possible", "replies to their prompt"]


def _judge(figures: StudyFigures, reward: str, name: str) -> list[str]:
    model = figures.judge(reward)
    return [
        escape(name),
        "–" if model.num_pairs is None else f"{model.num_pairs:,}",
        build_percent_range(model.accuracy),
        "–" if model.best_possible is None else format_percent(model.best_possible),
        "–" if model.own_accuracy is None else format_percent(model.own_accuracy),
    ]


def _build_fits(figures: StudyFigures, panels: Sequence[tuple[str, Curve]]) -> str:
    rows = [
        [
            escape(name),
            format_signed(curve.at_end(curve.gold)),
            format_signed(curve.at_end(curve.promise)),
            *(
                ["–", "–", "–", "–"]
                if curve.fit is None
                else [
                    format_number(curve.fit.alpha, 3),
                    format_number(curve.fit.beta, 3),
                    format_number(curve.fit.r_squared),
                    describe_fit(curve),
                ]
            ),
        ]
        for name, curve in panels
    ]
    is_training = not panels[0][1].n
    form = "d (α − β log d)" if is_training else "d (α − β d)"
    caption = f"Gains in the end, and the curve fitted to gold: {form}, d = √KL"
    head = ["reward model", "gain in gold", "promised", "α", "β", "R²", "peak at a KL of"]
    return build_table(head, rows, caption=caption)


def _build_method(figures: StudyFigures) -> Section:
    settings = figures.settings
    body = paragraph(
        f"Held-out prompts are those of the recipe's evaluation: {figures.num_prompts:,}, which ask for "
        "facts that no demonstration told. Every model writes one reply to each at temperature 1, with the "
        "same random numbers; intervals are bootstrap over prompts, paired where two models are compared."
    )
    body += paragraph(
        "On the way of a training run, gold, utility and KL are means of an iteration's replies to training "
        "prompts, and gains count from the start that a fit to all iterations gives: the first alone is as "
        f"noisy as any other. Reward models with few labels read them up to {settings['max_epochs']:g} "
        f"times, in no more steps than {settings['size_num_prompts']:,} prompts take. A reward model with "
        "few labels has other mistakes, and it is also less sure: both make its promise differ."
    )
    body += note(
        "One seed is one village, one SFT model and one labeller. Curves of other seeds differ by more than "
        "their intervals."
    )
    body += (
        "<p>Curves: Gao, Schulman and Hilton 2023, "
        '<a href="https://arxiv.org/abs/2210.10760">Scaling laws for reward model overoptimization</a>. '
        "The KL of best-of-n: "
        '<a href="https://arxiv.org/abs/2112.09332">Nakano et al. 2021</a>, a bound: '
        '<a href="https://arxiv.org/abs/2401.01879">Beirami et al. 2024</a>.</p>\n'
    )
    words = "".join(
        f"<dt>{typeset(word)}</dt><dd>{typeset(meaning)}</dd>\n" for word, meaning in list_words(figures)
    )
    body += f'<h3>What the words mean</h3>\n<dl class="words">\n{words}</dl>\n'
    return Section(name="method", title="How it was measured", short="Method and words", body=body)


def _build_cost(figures: StudyFigures, timings: Timings) -> Section:
    rows = [
        [
            escape(stage),
            format_duration(timings.seconds[stage]),
            format_count(each.tokens),
            f'<span class="words">{escape(each.headline)}</span>',
        ]
        for stage, each in figures.stages.items()
    ]
    total = ["All", format_duration(sum(timings.seconds.values())), "", ""]
    head = ["stage", "time", "tokens", '<span class="words">result</span>']
    body = build_table(head, [total, *rows], total_row=True)
    body += f"<p>Talk to one of them: <code>nn2llm chat {escape(timings.folder)} --stage grpo</code></p>\n"
    return Section(name="cost", title="What each stage cost", short="Cost", body=body, is_timing=True)


_SECTIONS: tuple[Callable[[StudyFigures], Section | None], ...] = (
    _build_methods,
    _build_free,
    _build_labels,
    _build_sizes,
    _build_best_of_n,
    _build_grpo,
    _build_constitutional,
    _build_method,
)
