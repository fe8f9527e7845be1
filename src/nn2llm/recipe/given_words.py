"""What the report of a recipe on given data says in words: sentences that are chosen by the numbers.

Read given_figures.py and report_words.py before. Used by given_sections.py and given_markdown.py.
"""

from nn2llm.recipe.given_figures import GivenFigures, PolicyFigures
from nn2llm.recipe.report_figures import Report
from nn2llm.recipe.report_words import (
    POLICY_NAMES,
    describe_base,
    describe_difference,
    describe_missing,
    describe_questions,
    format_gap,
    format_number,
    format_percent,
)
from nn2llm.recipe.score import Score

__all__ = [
    "GIVEN_GLOSSARY",
    "IFEVAL_ROWS",
    "describe_given_measurement",
    "describe_rewards",
    "format_share",
    "name_instruction",
    "summarise_given",
]

GIVEN_GLOSSARY = (
    ("Base model", "has read raw text and predicts how it goes on; it has never seen a conversation"),
    ("SFT", "supervised fine-tuning: the base model, trained on replies that somebody wrote"),
    ("Reward model", "learns from pairs of replies which one people prefer; its score is only an estimate"),
    (
        "PPO",
        "reinforcement learning: the SFT model writes, and is moved to what the reward model scores high",
    ),
    ("DPO", "learns from the same pairs directly, without a reward model and without writing"),
    ("Bits per byte", "how many bits a model needs for each byte of text; fewer is better"),
    ("Nats a token", "the loss that training minimises; comparable between models of one tokenizer alone"),
    ("KL", "how far a model's replies have moved from those of the SFT model, in nats a reply"),
    ("IFEval", "prompts whose instructions a program can check (Zhou et al. 2023)"),
    ("Strict, loose", "the reply as it is; or also without its first line, its last line, or asterisks"),
    ("95% interval", "of 100 such intervals about 95 hold the true value for prompts of these kinds"),
)
IFEVAL_ROWS = (
    ("prompt_strict", "all of a prompt, strict"),
    ("prompt_loose", "all of a prompt, loose"),
    ("instruction_strict", "single instructions, strict"),
    ("instruction_loose", "single instructions, loose"),
)


def format_share(share: Score) -> str:
    """41.2% (38.0% to 44.5%)."""
    return f"{format_percent(share.estimate)} ({format_percent(share.low)} to {format_percent(share.high)})"


def name_instruction(name: str) -> str:
    """length_constraints:number_words → number words."""
    return name.partition(":")[2].replace("_", " ") or name


def summarise_given(report: Report) -> str:
    """The report in one paragraph."""
    given = report.given
    assert given is not None
    sentences = [
        _describe_base(given) or describe_base(report),
        _describe_sft(given) or describe_questions(report),
        _describe_reward(report),
        *(describe_rewards(policy, figures) for policy, figures in given.policies.items()),
        *(describe_difference(report, policy, "sft") for policy in ("ppo", "dpo")),
        _describe_ifeval(given),
        describe_missing(report),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _describe_base(given: GivenFigures) -> str:
    base = given.base
    if base is None:
        return ""
    return (
        f"The base model needs {format_number(base.bits_per_byte, 3)} bits a byte for text that it has never "
        f"seen (gzip {format_number(base.gzip_bits_per_byte, 2)}, xz "
        f"{format_number(base.xz_bits_per_byte, 2)}), {format_number(base.nats_per_token, 2)} nats a token."
    )


def _describe_sft(given: GivenFigures) -> str:
    if given.reply_loss is None:
        return ""
    before, after = given.reply_loss
    verb = "lowered" if after < before else "did not lower"
    return (
        f"Fine-tuning on {given.counts.get('conversations', 0):,} conversations {verb} the loss of held-out "
        f"replies: {format_number(before)} nats a token before, {format_number(after)} after."
    )


def _describe_reward(report: Report) -> str:
    given, parts = report.given, []
    if report.reward is not None:
        score = report.reward.accuracy
        parts.append(("The reward model", Score(score.estimate, score.low, score.high, score.count)))
    if given is not None and given.dpo_accuracy is not None:
        parts.append(("DPO, by its own implicit reward,", given.dpo_accuracy))
    sentences = []
    for who, share in parts:
        sure = "" if share.low > 0.5 or share.high < 0.5 else ", which is not clearly better than guessing"
        sentences.append(
            f"{who} ranks {format_percent(share.estimate)} of {share.count:,} held-out pairs as people did "
            f"({format_percent(share.low)} to {format_percent(share.high)}){sure}."
        )
    return " ".join(sentences)


def describe_rewards(policy: str, figures: PolicyFigures) -> str:
    """What a stage did to the reward of the same prompts, and how far it went; "" for base and SFT."""
    gain = figures.reward_gain
    if gain is None or figures.kl is None:
        return ""
    distance = f"at {format_number(figures.kl.estimate, 1)} nats from SFT"
    size = f"{format_number(abs(gain.estimate))} ({format_gap(gain)})"
    if gain.low > 0 or gain.high < 0:
        verb = "raised" if gain.low > 0 else "lowered"
        return f"{POLICY_NAMES[policy]} {verb} the reward of its replies by {size} {distance}."
    return f"{POLICY_NAMES[policy]} made no clear difference to the reward ({format_gap(gain)}) {distance}."


def _describe_ifeval(given: GivenFigures) -> str:
    if not given.ifeval:
        return ""
    shares = ", ".join(
        f"{POLICY_NAMES[policy]} {format_percent(figures.prompt_strict.estimate)}"
        for policy, figures in given.ifeval.items()
    )
    count = next(iter(given.ifeval.values())).prompt_strict.count
    return f"All instructions of an IFEval prompt are followed in: {shares} (of {count:,} prompts, strict)."


def describe_given_measurement(report: Report) -> list[str]:
    """How the figures were made."""
    given = report.given
    assert given is not None
    told = []
    names = {
        "base": "the base model is {}",
        "corpus": "the text is {}",
        "sft_data": "the conversations are of {}",
        "preferences": "the pairs are of {}",
        "ifeval": "IFEval's prompts are of {}",
    }
    sources = [names[name].format(f"`{value}`") for name, value in given.sources.items()]
    if sources:
        text = "; ".join(sources)
        told.append(f"{text[0].upper()}{text[1:]}. The seed is {report.settings.get('seed', 1)}.")
    counts = given.counts
    if "val_conversations" in counts or "val_pairs" in counts:
        held = [
            f"{counts[name]:,} {what}"
            for name, what in (("val_conversations", "conversations"), ("val_pairs", "pairs"))
            if name in counts
        ]
        told.append(
            f"Held out, and never trained on: {' and '.join(held)}, chosen by a hash of their prompts, so "
            "that no prompt is on both sides. Whether any of them also stands in the base model's text was "
            "not looked for."
        )
    if report.num_prompts:
        text = f"Every stage replied to the same {report.num_prompts:,} held-out prompts"
        if report.temperature is not None:
            text += f", drawn at temperature {report.temperature:g}"
        told.append(
            text + ". The intervals resample prompts (bootstrap, paired where stages are compared); they say "
            "nothing about another training seed, and of 20 intervals about one misses by chance."
        )
    if report.reward is not None:
        told.append(
            "Rewards are the reward model's own scores: a stage that is trained on them, as PPO is, may "
            "raise them without better replies."
            + ("" if given.has_world else " Nobody knows here how good a reply truly is; read some below.")
        )
    if given.ifeval:
        text = (
            "IFEval: the most probable reply to each prompt, checked by our own program from the paper's "
            "descriptions; sentences and words are found by rules, so figures differ a little from the "
            "authors'."
        )
        if given.ifeval_left_out:
            text += (
                f" {given.ifeval_left_out} items that ask for a language are left out: to detect it would "
                "need another library."
            )
        told.append(text)
    return told
