"""What the report says in words: names, glossary, and sentences that are chosen by the numbers.

A sentence claims a difference only where the 95% interval of the paired difference leaves out 0, and says so
where it does not. Read report_data.py before. Used by report_html.py and report_markdown.py.
"""

import re
from collections.abc import Sequence

from nn2llm.evals.intervals import Interval
from nn2llm.evals.win_rates import Comparison
from nn2llm.recipe.report_figures import Probe, Report

__all__ = [
    "GLOSSARY",
    "GROUP_MEANINGS",
    "POLICY_NAMES",
    "SAMPLE_NAMES",
    "STAGE_NAMES",
    "choose_probes",
    "describe_base",
    "describe_control",
    "describe_course",
    "describe_difference",
    "describe_measurement",
    "describe_missing",
    "describe_questions",
    "describe_sample_rule",
    "format_gap",
    "format_interval",
    "format_number",
    "format_percent",
    "format_signed",
    "name_feature",
    "name_group",
    "name_kind",
    "name_probe",
    "summarise",
]

POLICY_NAMES = {"base": "Base", "sft": "SFT", "ppo": "PPO", "dpo": "DPO"}
STAGE_NAMES = {
    "base": "Base model",
    "sft": "SFT",
    "preferences": "Preferences",
    "reward": "Reward model",
    "reward_control": "Unbiased control",
    "ppo": "PPO",
    "dpo": "DPO",
    "evaluation": "Evaluation",
}
GROUP_MEANINGS = {
    "instructions": "does what was asked, in the form that was asked for",
    "answers": "gives the right answer to a question about the village",
    "honesty": "says that it does not know where nobody can know",
    "harmlessness": "does not help to harm somebody of the village",
    "candour": "does not agree with what is false to please: the opposite of sycophancy",
    "small talk": "greets, thanks and takes leave as one does",
}
SAMPLE_NAMES = {"typical": "In the middle", "gained": "Largest gain", "worst": "Lowest score"}
GLOSSARY = (
    (
        "Base model",
        "has read raw text and predicts how it goes on; it has never seen a conversation with a user",
    ),
    ("SFT", "supervised fine-tuning: the base model, trained on replies that somebody wrote"),
    ("Labeller", "compares two replies; here simulated: gold score plus known biases, with known noise"),
    ("Reward model", "learns from the labeller's choices to score a reply; its score is the proxy"),
    (
        "PPO",
        "reinforcement learning: the SFT model writes, and is moved to what the reward model scores high",
    ),
    ("DPO", "learns from the same choices directly, without a reward model and without writing"),
    ("Gold score", "how good a reply truly is, 0 to 1, computed from the facts of the village"),
    ("Utility", "how much the labeller likes a reply: gold score plus bias"),
    ("Win rate of A over B", "prompts where A's reply has the higher gold score, and half of the ties"),
    ("Floor", "the loss of the program that wrote the text: no model can be below it"),
    ("Bits per byte", "how many bits a model needs for each byte of text; fewer is better"),
    ("KL", "how far a model's replies have moved from those of the SFT model, in nats a reply"),
    ("95% interval", "of 100 such intervals about 95 hold the true value for prompts of these kinds"),
    (
        "Best possible",
        "the labeller is not always of one mind, so not even their own utility predicts all choices",
    ),
)


def name_group(group: str) -> str:
    """A group's name in a table or chart."""
    return group.capitalize()


def name_kind(kind: str) -> str:
    """A kind of prompt: "false_claim" is "False claim"."""
    return kind.replace("_", " ").capitalize()


def name_feature(name: str) -> str:
    """What a labeller may look at: "gold" is the true quality. Units in brackets are left out."""
    return "quality (gold)" if name == "gold" else re.sub(r"\s*\(.*\)", "", name.replace("_", " "))


def name_probe(probe: Probe) -> str:
    """A line of a table of probes: "recall, pet name"; a probe as a whole has its name alone."""
    name = probe.name.replace("_", "-").capitalize()
    kind = probe.kind.replace("_", " ")
    if kind == "all":
        return name
    return f"{name}, {kind[:-1] if kind == '1 examples' else kind}"


def choose_probes(report: Report) -> list[Probe]:
    """What a chart has room for: each skill as a whole, and few-shot by the number of examples."""
    return [probe for probe in report.probes if probe.kind == "all" or probe.name == "few_shot"]


def format_number(value: float, digits: int = 2) -> str:
    """With a true minus sign, and no minus before a zero."""
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def format_signed(value: float, digits: int = 3) -> str:
    """A difference: always with its sign."""
    text = format_number(value, digits)
    return text if text.startswith("−") else f"+{text}"


def format_percent(value: float, digits: int = 1) -> str:
    """0.741 → 74.1%."""
    return format_number(100 * value, digits) + "%"


def format_interval(interval: Interval, digits: int = 2) -> str:
    """The ends of the interval of a mean: "0.94 to 0.97"."""
    return f"{format_number(interval.low, digits)} to {format_number(interval.high, digits)}"


def format_gap(interval: Interval, digits: int = 2) -> str:
    """The ends of the interval of a difference; neither looks like the 0 that it is not."""
    while digits < 6 and any(
        end != 0 and float(f"{end:.{digits}f}") == 0 for end in (interval.low, interval.high)
    ):
        digits += 1
    return format_interval(interval, digits)


def describe_difference(report: Report, first: str, second: str, *, subject: str | None = None) -> str:
    """What the step from `second` to `first` did to the gold score; "" where one is not there."""
    pair = report.compare(first, second)
    if pair is None:
        return ""
    subject = subject or POLICY_NAMES[first]
    before, after = (report.gold_by_group[name]["all"].estimate for name in (second, first))
    digits = 2 if abs(after - before) >= 0.01 else 3
    levels = f"from {format_number(before, digits)} to {format_number(after, digits)}"
    interval = f"95% interval of the difference {format_gap(pair.difference, digits)}"
    if pair.is_clear:
        verb = "raised" if pair.difference.low > 0 else "lowered"
        return f"{subject} {verb} the gold score {levels} ({interval})."
    if pair.difference.low > 0 or pair.difference.high < 0:
        return (
            f"{subject} changed the gold score of {pair.num_different} of {pair.num_prompts:,} replies, "
            f"{levels} on average: too few to say that it made a difference."
        )
    return f"{subject} made no clear difference to the gold score: {levels}, and the {interval} includes 0."


def summarise(report: Report) -> str:
    """The report in one paragraph."""
    sentences = [
        describe_base(report),
        describe_questions(report),
        describe_difference(report, "sft", "base", subject="Fine-tuning on demonstrations (SFT)"),
        _describe_reward(report),
        describe_difference(report, "ppo", "sft"),
        describe_difference(report, "dpo", "sft"),
        _compare_aligned(report.compare("dpo", "ppo")),
        _describe_losses(report),
        describe_missing(report),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def describe_base(report: Report) -> str:
    """How far the base model is above the floor; "" where that was not measured."""
    if report.base is None:
        return ""
    above = report.base.percent_above
    if above <= 0:
        return "On text that it has never seen, the base model is at the floor, the lowest loss there can be."
    return (
        f"On text that it has never seen, the base model's loss is {format_number(above, 1)}% above the "
        "floor, the lowest there can be."
    )


def describe_questions(report: Report) -> str:
    """What SFT answers; "" where there are no such questions."""
    scores = report.held_out_questions
    if "sft" not in scores:
        return ""
    text = (
        f"After SFT it answers {format_percent(scores['sft'].estimate)} of {scores['sft'].count} questions "
        "that no demonstration asked"
    )
    if "base" in scores:
        text += f" (the base model: {format_percent(scores['base'].estimate)})"
    return text + "."


def _describe_reward(report: Report) -> str:
    reward = report.reward
    if reward is None:
        return ""
    text = (
        f"The reward model ranks {format_percent(reward.accuracy.estimate)} of {reward.accuracy.count:,} "
        "held-out pairs as the labeller did"
    )
    if reward.best_possible is not None:
        text += f"; the best possible is {format_percent(reward.best_possible)}"
    return text + "."


def _compare_aligned(pair: Comparison | None) -> str:
    if pair is None:
        return ""
    difference = pair.difference
    if pair.is_clear:
        where = "above" if difference.low > 0 else "below"
        size = f"{format_number(abs(difference.estimate), 3)} ({format_gap(difference, 3)})"
        return f"DPO's gold score is {where} PPO's by {size}."
    size = format_gap(difference, 3)
    return f"Between the mean gold scores of DPO and PPO there is no clear difference ({size})."


def _describe_losses(report: Report) -> str:
    """Groups of prompts on which an aligned model is clearly worse than SFT."""
    parts = []
    for policy, gains in report.gains_by_group.items():
        lost = [
            f"{group} ({format_gap(pair.difference)})"
            for group, pair in gains.items()
            if pair.is_clear and pair.difference.high < 0
        ]
        if lost:
            parts.append(f"{POLICY_NAMES[policy]} is worse than SFT at {_join(lost)}.")
    return " ".join(parts)


def describe_course(report: Report) -> list[str]:
    """What happened while PPO went on, and what of it is over-optimisation."""
    sentences: list[str] = []
    course = report.ppo
    if course is None:
        return sentences
    trends = course.trends
    reward, gold = trends.get("reward"), trends.get("gold")
    if reward is None or gold is None:
        return [f"PPO has done {course.num_iterations} iterations, too few to speak of a trend."]
    part = "tenth" if course.num_iterations >= 30 else "three"
    sentences.append(
        f"From the first {part} to the last {part} of {course.num_iterations} iterations the reward model's "
        f"score went from {format_number(reward.start)} to {format_number(reward.end)} and the gold score of "
        f"the same replies from {format_number(gold.start)} to {format_number(gold.end)}."
    )
    if gold.has_fallen_back:
        text = (
            f"The gold score was best around iteration {gold.best_step:.0f} ({format_number(gold.best)}) and "
            "has fallen since"
        )
        if course.is_hacked:
            text += (
                ", while the reward model's score went on rising: reward hacking, the model has found what "
                "the reward model likes and the truth does not"
            )
        sentences.append(text + ".")
    elif gold.has_risen:
        sentences.append("The gold score did not fall back from its best by more than noise.")
    elif reward.has_risen:
        sentences.append(
            "The reward model's score rose beyond noise; the gold score of these replies did not."
        )
    gain = report.bias_gains.get("ppo")
    if gain is None:
        return sentences
    size = f"{format_number(gain.estimate, 3)} ({format_gap(gain, 3)})"
    if gain.low > 0:
        sentences.append(
            f"On the evaluation's prompts the labeller's utility grew by {size} more than the gold "
            "score: that much of what PPO learned pleases the labeller and makes no reply better."
        )
    elif gain.high < 0:
        sentences.append(
            "On the evaluation's prompts the labeller's utility grew by "
            f"{format_number(-gain.estimate, 3)} less than the gold score: PPO gave up some of what only "
            "pleases the labeller."
        )
    else:
        sentences.append(
            "On the evaluation's prompts the labeller's utility and the gold score grew alike "
            f"(difference {size}, which includes 0)."
        )
    return sentences


def describe_sample_rule(report: Report) -> str:
    """How the replies that are shown were chosen."""
    policy, before = report.sample_policy, report.sample_before
    if policy is None:
        return ""
    name = POLICY_NAMES[policy]
    gain = f", the one where {name} gained most over {POLICY_NAMES[before]}" if before else ""
    return (
        f"Nobody picked these. Of each kind of prompt: the one in the middle when all are sorted by the gold "
        f"score of {name}'s reply{gain}, and the one with the lowest score, often a failure. Of equals, the "
        "first in the file."
    )


def describe_missing(report: Report) -> str:
    """What is not there yet; "" where all is."""
    if not report.missing:
        return ""
    return f"Not done yet: {_join([STAGE_NAMES[stage] for stage in report.missing])}."


def describe_measurement(report: Report) -> list[str]:
    """How the figures were made."""
    settings = report.settings
    told = []
    if report.num_prompts:
        text = f"Every stage replied to the same {report.num_prompts:,} prompts"
        if report.temperature is not None:
            text += f", drawn at temperature {report.temperature:g}"
        told.append(
            text + ". None of them was in any training data, and the facts that they ask for were asked and "
            "told in no demonstration; the base model has read them in raw text."
        )
        told.append(
            "Each reply has a gold score computed by a program that knows the village. No person and no "
            "language model judged. Prompts are what the intervals resample (bootstrap, paired where stages "
            "are compared); they say nothing about another training seed, and of 20 intervals about one "
            "misses by chance."
        )
    if report.reward is not None:
        text = f"The reward model was measured on {report.reward.accuracy.count:,} pairs of held-out prompts"
        if "preferences.labeller.noise" in settings:
            text += f", labelled with noise {settings['preferences.labeller.noise']:g}"
        told.append(f"{text}. {describe_control(report)}")
    if report.ppo is not None:
        told.append(
            "Curves of PPO are means over the replies of each iteration, to training prompts: thin lines as "
            "logged, thick lines smoothed. Gold score and utility were only watched: PPO saw neither."
        )
    if "world" in settings:
        text = f"The text is the micro-world `{settings['world']}`"
        if "seed" in settings:
            text += f"; the seed of the recipe is {settings['seed']}"
        told.append(text + ". What holds in this village need not hold for other text and larger models.")
    return told


def _join(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]


def describe_control(report: Report) -> str:
    """What the control learned from, beside the reward model."""
    models = (report.reward, report.reward_control)
    whole, part = (None if model is None else model.num_training_pairs for model in models)
    pairs = "the same pairs"
    if whole is not None and part is not None and part < whole:
        pairs = f"{part:,} of the same {whole:,} pairs"
    return (
        f"The control is the same model trained on {pairs}, labelled by somebody with the same noise and no "
        "bias."
    )
