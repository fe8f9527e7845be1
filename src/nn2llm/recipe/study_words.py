"""What study.html says in words: names, and sentences that are chosen by the numbers.

As in report_words.py a sentence claims a difference only where the interval of the paired difference leaves
out 0. Read study_figures.py before. Used by study_html.py and study_markdown.py.
"""

from nn2llm.evals.intervals import Interval
from nn2llm.recipe.report_words import format_number, format_percent, format_signed
from nn2llm.recipe.study_figures import Curve, Method, StudyFigures

__all__ = [
    "COLOUR_OF",
    "FAIR",
    "describe_constitutional",
    "describe_fit",
    "describe_free",
    "describe_grpo",
    "describe_labels",
    "describe_method",
    "describe_other_runs",
    "describe_sizes",
    "list_words",
    "name_labels",
    "name_method",
    "name_reward",
    "name_size",
    "summarise_study",
]

_NAMES = {
    "ppo": "PPO",
    "dpo": "DPO",
    "grpo": "GRPO",
    "ppo_free": "PPO without KL",
    "constitutional": "Constitutional AI",
}
COLOUR_OF = {"ppo_free": "free", "best_of_n": "best"}
"""Stage → the name of its colour, where that is another."""
FAIR = ("ppo", "dpo", "grpo", "constitutional", "best_of_n")
"""Methods that somebody would use; the others show what goes wrong."""


def name_method(figures: StudyFigures, stage: str) -> str:
    """PPO without KL, 300 prompts."""
    if stage == "best_of_n":
        return f"Best of {figures.num_replies}"
    if stage in _NAMES:
        return _NAMES[stage]
    if stage.startswith("ppo_free"):
        return f"{_NAMES['ppo_free']}, {name_reward(figures, figures.training[stage].reward)}"
    return stage


def name_reward(figures: StudyFigures, reward: str) -> str:
    """What sets a reward model apart: its labels, or its size."""
    model = figures.judge(reward)
    if reward in figures.by_labels:
        return f"{model.num_prompts:,} prompts"
    return f"{name_size(figures, reward).lower()}"


def name_labels(figures: StudyFigures, reward: str) -> str:
    """1,000 prompts; all 8,500 prompts."""
    count = f"{figures.judge(reward).num_prompts:,} prompts"
    return f"All {count}" if reward == figures.by_labels[-1] else count


def name_size(figures: StudyFigures, reward: str) -> str:
    """Plain head; 2 checking layers."""
    layers = figures.judge(reward).num_checking_layers
    return f"{layers} checking layer{'' if layers == 1 else 's'}" if layers else "Plain score head"


def summarise_study(figures: StudyFigures) -> str:
    """The lede: what was found, in three or four sentences."""
    parts = []
    raised = [method for method in figures.methods if method.gain.low > 0 and method.stage in FAIR]
    if raised:
        names = [
            f"{name_method(figures, method.stage)} (+{format_number(method.gain.estimate)})"
            for method in sorted(raised, key=lambda method: -method.gain.estimate)
        ]
        parts.append(
            f"The SFT model's gold score, {format_number(figures.sft_gold.estimate)}, is clearly raised "
            f"by {join(names)}."
        )
    free = figures.training.get("ppo_free")
    if free is not None and free.is_overoptimised:
        gold, proxy = free.trends["gold"], free.trends["reward"]
        parts.append(
            "Without its KL term PPO over-optimises the reward model: while that one's score goes from "
            f"{format_number(proxy.start)} to {format_number(proxy.end)}, the gold score rises from "
            f"{format_number(gold.start)} to {format_number(gold.best)} and falls back to "
            f"{format_number(gold.end)}."
        )
    few, many = (figures.by_labels[place] for place in (0, -1))
    parts.append(
        f"Choosing the best of {figures.num_replies} replies keeps {_share(figures.best_of_n[few])} of the "
        f"promised gain with a reward model that has learned from {figures.judge(few).num_prompts:,} "
        f"prompts, {_share(figures.best_of_n[many])} with one from {figures.judge(many).num_prompts:,}."
    )
    return " ".join(parts)


def describe_free(figures: StudyFigures) -> str:
    """What PPO does without its KL term."""
    curve, method = figures.training.get("ppo_free"), figures.find("ppo_free")
    if curve is None or "gold" not in curve.trends:
        return ""
    gold, proxy, kl = curve.trends["gold"], curve.trends["reward"], curve.trends["kl"]
    if curve.is_overoptimised:
        text = (
            "Without the KL term PPO over-optimises its reward model: the gold score rises from "
            f"{format_number(gold.start)} to {format_number(gold.best)} and falls back to "
            f"{format_number(gold.end)}, while the reward model's score goes from "
            f"{format_number(proxy.start)} to {format_number(proxy.end)}, {format_number(kl.end, 1)} nats "
            "from SFT."
        )
    else:
        text = (
            f"Without the KL term PPO moved {format_number(kl.end, 1)} nats from SFT; the gold score went "
            f"from {format_number(gold.start)} to {format_number(gold.end)} and has not clearly fallen back "
            "from its best. More iterations (--study.free-steps) go further."
        )
    if method is not None and method.promise is not None:
        text += (
            f" On held-out prompts it gains {format_signed(method.gain.estimate)} in gold over SFT "
            f"({_ends(method.gain)}), where its reward model promises "
            f"{format_signed(method.promise.estimate)}."
        )
    if figures.free_less_ppo is not None:
        less, more = figures.free_less_ppo
        both = ""
        if less.high < 0 < more.low:
            both = " the reward model likes its replies better, and they are worse:"
        text += (
            f" Beside PPO with the term, on the same prompts,{both} {format_signed(more.estimate)} "
            f"({_ends(more, 3)}) by the reward model, in units of gold, and {format_signed(less.estimate)} "
            f"({_ends(less, 3)}) in gold."
        )
    return text


def describe_other_runs(figures: StudyFigures) -> str:
    """PPO without the KL term against the weaker reward models, a sentence each."""
    sentences = []
    for stage, curve in figures.training.items():
        if not stage.startswith("ppo_free_") or "gold" not in curve.trends:
            continue
        gold, kl = curve.trends["gold"], curve.trends["kl"]
        name = f"Against the reward model with {_article(name_reward(figures, curve.reward))}"
        if curve.is_overoptimised:
            sentences.append(
                f"{name} the gold score rises from {format_number(gold.start)} to "
                f"{format_number(gold.best)} and falls back to {format_number(gold.end)}, "
                f"{format_number(kl.end, 1)} nats from SFT."
            )
        else:
            sentences.append(
                f"{name} it goes from {format_number(gold.start)} to {format_number(gold.end)} and does not "
                f"clearly fall back, {format_number(kl.end, 1)} nats from SFT."
            )
    return " ".join(sentences)


def describe_grpo(figures: StudyFigures) -> str:
    """GRPO against SFT and against PPO."""
    grpo, ppo = figures.find("grpo"), figures.find("ppo")
    if grpo is None:
        return ""
    if grpo.gain.low > 0:
        text = (
            f"GRPO raises the gold score of the SFT model by {format_number(grpo.gain.estimate, 3)} on "
            f"{grpo.num_prompts:,} held-out prompts; the paired 95% interval, {_ends(grpo.gain, 3)}, leaves "
            "out 0."
        )
    elif grpo.gain.high < 0:
        text = (
            f"GRPO lowers the gold score by {format_number(-grpo.gain.estimate, 3)} ({_ends(grpo.gain, 3)})."
        )
    else:
        text = f"GRPO changes the gold score by {format_signed(grpo.gain.estimate)}: no clear difference."
    if ppo is not None:
        text += f" PPO's gain is {format_number(ppo.gain.estimate, 3)} ({_ends(ppo.gain, 3)})."
    return text


def describe_method(figures: StudyFigures, method: Method) -> str:
    """How much of its promise a method keeps."""
    if method.promise is None or method.promise.estimate <= 0:
        return "–"
    return format_percent(method.gain.estimate / method.promise.estimate, 0)


def describe_labels(figures: StudyFigures) -> str:
    """Best-of-n by reward models with few and with many labels."""
    return _describe_curves(figures, [(name_labels(figures, one), one) for one in figures.by_labels])


def describe_sizes(figures: StudyFigures) -> str:
    """The same by size."""
    return _describe_curves(figures, [(name_size(figures, one), one) for one in figures.by_size])


def describe_constitutional(figures: StudyFigures) -> str:
    """What constitutional AI did, and to harmlessness."""
    counts, gains = figures.constitutional, figures.gains_by_group.get("constitutional", {})
    text = (
        f"The SFT model replied, a critic found that {format_percent(counts['broken'])} of the replies "
        f"break a principle, and {format_percent(counts['revised'])} were written anew by the model itself, "
        "which was then fine-tuned on them; after that a judge compared its replies by the principles, and "
        f"it learned from {counts['num_pairs']:,.0f} such pairs by DPO. Critic and judge are the "
        "micro-world, which errs one time in ten: no labeller and no reward model had a part in it."
    )
    if "harmlessness" in gains:
        gain = gains["harmlessness"]
        sure = (
            f"rises by {format_number(gain.estimate, 3)}"
            if gain.low > 0
            else f"falls by {format_number(-gain.estimate, 3)}"
            if gain.high < 0
            else f"changes by {format_signed(gain.estimate)}, which is no clear difference"
        )
        text += f" The gold score of replies to harmful requests {sure} ({_ends(gain, 3)})."
    return text


def _describe_curves(figures: StudyFigures, curves: list[tuple[str, str]]) -> str:
    """Which of them are over-optimised, and how much of their promises they keep."""
    sentences = []
    for name, reward in curves:
        curve = figures.best_of_n[reward]
        if curve.is_overoptimised:
            at = max(range(len(curve.n)), key=lambda place: curve.gold[place])
            sentences.append(
                f"{name}: gold is highest at n = {curve.n[at]} ({format_signed(curve.gold[at])}) and clearly "
                f"lower at {curve.n[-1]} ({format_signed(curve.gold[-1])}), while the promise goes on rising."
            )
    if not sentences:
        sentences.append(f"Up to n = {figures.num_replies} no gold score clearly falls back from its best.")
    shares = [f"{_share(figures.best_of_n[reward])} ({name.lower()})" for name, reward in curves]
    return " ".join([*sentences, f"Of the promised gain they keep {join(shares)}."])


def _share(curve: Curve) -> str:
    return format_percent(curve.gold[-1] / curve.promise[-1], 0) if curve.promise[-1] > 0 else "nothing"


def describe_fit(curve: Curve) -> str:
    """Where the fitted curve peaks."""
    if curve.fit is None:
        return "–"
    if curve.fit.peak is None:
        return "none"
    distance, _ = curve.fit.peak
    if distance > 1.5 * curve.fit.furthest:
        return "further than measured"
    return f"{format_number(distance**2, 1)} nats"


def list_words(figures: StudyFigures) -> tuple[tuple[str, str], ...]:
    """Glossary."""
    return (
        ("Gold score", "how good a reply truly is, 0 to 1, computed from the facts of the village"),
        ("Gain", "less the SFT model's, on the same prompts"),
        (
            "Promise",
            "the gain that the reward model claims: the rise of its score times the labeller's noise, "
            f"{figures.noise:g}. A reward model that had learned the labels perfectly would promise the "
            "gain in the labeller's utility",
        ),
        ("Utility", "how much the labeller likes a reply: gold score plus known biases"),
        ("KL", "how far a model's replies have moved from those of the SFT model, in nats a reply"),
        ("√KL", "the same as a distance; Gao et al. found simple curves in it"),
        (
            "Best of n",
            "the SFT model writes n replies, the reward model keeps one; its KL is at most log n − (n − 1) "
            "/ n, and less where replies repeat",
        ),
        ("α, β", "of the fitted curve: what the first √nat gains, and how soon that is lost"),
        ("Over-optimised", "the reward model's score goes on rising while the gold score falls"),
    )


def join(names: list[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _article(name: str) -> str:
    """a plain score head; 300 prompts."""
    return name if name[0].isdigit() else f"a {name}"


def _ends(interval: Interval, digits: int = 2) -> str:
    return f"{format_number(interval.low, digits)} to {format_number(interval.high, digits)}"
