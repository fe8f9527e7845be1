"""Words and figures that both forms of the portfolio and the page use. Read run_evidence.py before."""

from nn2llm.core.progress import format_count
from nn2llm.course.run_evidence import Measured, TrainedModel, TunedModel

__all__ = ["describe_model", "describe_tuned", "format_measured", "is_link", "name_state"]

_STATES = {"shown": "evidence below", "begun": "begun", "missing": "not yet"}


def name_state(state: str) -> str:
    """What stands beside a promise."""
    return _STATES[state]


def format_measured(measured: Measured | None) -> str:
    """`0.189 (0.185 to 0.193)`; the interval only where there is one."""
    if measured is None:
        return "not measured"
    estimate = f"{measured.estimate:.3f}"
    if measured.low is None or measured.high is None:
        return estimate
    return f"{estimate} ({measured.low:.3f} to {measured.high:.3f})"


def describe_model(model: TrainedModel) -> list[tuple[str, str]]:
    """(what, value) of a model trained from scratch."""
    rows = [
        ("Run", model.name),
        ("Text", model.corpus),
        ("Parameters", "unknown" if model.num_parameters is None else format_count(model.num_parameters)),
        ("Tokens trained on", "unknown" if model.tokens is None else format_count(model.tokens)),
        ("Held-out loss", f"{model.val_loss:.3f} nats a token"),
        ("Held-out bits a byte", format_measured(model.bits_per_byte)),
    ]
    if model.floor_bits_per_byte is not None:
        rows.append(("The best that any model can reach", f"{model.floor_bits_per_byte:.3f} bits a byte"))
    if model.own_parts:
        rows.append(("Parts written by the learner", ", ".join(model.own_parts)))
    if not model.is_whole:
        rows.append(("Steps", f"{model.step:,} of {model.num_steps:,}: it was stopped"))
    return [*rows, ("Trained", model.trained_on)]


def describe_tuned(tuned: TunedModel) -> list[tuple[str, str]]:
    """(what, value) of a tuned model beside its base."""
    kinds = {
        "adapter": "adapter: the base stays as it is",
        "fine-tune": "fine-tune of all weights, no adapter",
    }
    better = "higher" if tuned.higher_is_better else "lower"
    return [
        ("Run", tuned.name),
        ("Kind", kinds[tuned.kind]),
        ("Base", tuned.base),
        ("Measure", f"{tuned.metric} ({better} is better)"),
        ("Base's score", format_measured(tuned.base_score)),
        ("Tuned score", format_measured(tuned.score)),
        ("Difference, item by item", format_measured(tuned.difference)),
        ("Items", f"{tuned.n:,}"),
        ("Command", tuned.command),
        ("Measured", tuned.measured_on),
    ]


def is_link(text: str) -> bool:
    """Whether a text is an address that may become a link: no script, no space, no quote."""
    return text.startswith(("https://", "http://")) and not any(
        sign.isspace() or sign in "<>\"'`" for sign in text
    )
