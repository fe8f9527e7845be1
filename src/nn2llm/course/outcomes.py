"""What the learner can show for each of the course's four promises, and what is missing.

The syllabus promises that at the end the learner can explain how GPT-style models are built, train one from
scratch, fine-tune one with few parameters, and read papers. For each there is one kind of evidence: their own
text, a held-out score, a comparison with intervals, a critique. All of it was written by them or measured by
a run; nothing is made up here, and what is missing is said, with the lessons that bring it.

Read run_evidence.py and own_words.py before. Used by the page /outcomes and by portfolio.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nn2llm.core.errors import DataError, LessonError
from nn2llm.core.run_folder import runs_root
from nn2llm.course.lesson import Course, SyllabusLesson
from nn2llm.course.run_evidence import TrainedModel, TunedModel, find_trained_models, find_tuned_models

if TYPE_CHECKING:
    from nn2llm.course.store import Store

__all__ = [
    "CRITIQUE_FIELDS",
    "MIN_EXPLANATION_WORDS",
    "Critique",
    "ExerciseCount",
    "Outcomes",
    "Promise",
    "Said",
    "build_outcomes",
    "count_exercises",
    "count_words",
    "join_words",
    "save_evidence",
]

PromiseKey = Literal["explain", "train", "tune", "read"]
PromiseState = Literal["shown", "begun", "missing"]

MIN_EXPLANATION_WORDS = 150
"""A page to itself: with fewer, nobody has explained a model from end to end."""

_PROMISES: dict[PromiseKey, tuple[str, tuple[str, ...]]] = {
    "explain": (
        "Explain end-to-end how GPT-style models are built and aligned",
        ("mini-gpt", "next-token-prediction", "rlhf-overview", "chatgpt-recipe"),
    ),
    "train": ("Train a small language model from scratch", ("mini-gpt", "char-lm", "evaluating-lms")),
    "tune": (
        "Fine-tune a pretrained model with parameter-efficient methods",
        ("full-or-peft", "lora", "lora-with-peft", "fine-tuning-project"),
    ),
    "read": (
        "Read machine-learning papers with comprehension",
        ("paper-anatomy", "three-passes", "reading-attention", "reading-habit"),
    ),
}
"""The four promises of syllabus.yaml's outcome, and the lessons that bring most of each."""

CRITIQUE_FIELDS: dict[str, tuple[str, str]] = {
    "title": ("The paper", "Its title, authors and year."),
    "link": ("Where it is", "An address that others can open."),
    "claim": ("Its claim, in one sentence", "What would be new if it is true?"),
    "evidence": ("The evidence", "Which table, figure or proof carries the claim?"),
    "doubts": ("What does not convince you", "A baseline that is missing, a comparison that is not fair, …"),
    "measure": ("What you would measure", "The smallest experiment whose result could change your mind."),
}
"""(label, hint) of each part of a critique, in order."""

_MAX_TEXT = {"explanation": 60_000, "critique": 8_000, "learner": 100, "choice": 500}


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the learner wrote at the end of one lesson."""

    entry: SyllabusLesson
    text: str
    num_ticked: int
    """Of our points, how many theirs said too."""
    num_points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Critique:
    """What the learner thinks of a paper; a field not filled is empty."""

    title: str = ""
    link: str = ""
    claim: str = ""
    evidence: str = ""
    doubts: str = ""
    measure: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """Labels of the parts that are empty."""
        return tuple(label for name, (label, _) in CRITIQUE_FIELDS.items() if not getattr(self, name).strip())

    @property
    def is_empty(self) -> bool:
        """Whether nothing is written yet."""
        return len(self.missing) == len(CRITIQUE_FIELDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One promise and how far it is kept."""

    key: PromiseKey
    title: str
    state: PromiseState
    summary: str
    """The evidence in a sentence, or that there is none."""
    missing: tuple[str, ...]
    """What is still to do, in sentences."""
    lessons: tuple[SyllabusLesson, ...]
    """Those that bring it, written or coming."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExerciseCount:
    """The exercises of one topic's lessons that are written."""

    topic: int
    title: str
    num_exercises: int
    num_unaided: int
    num_with_solution: int
    """Passed after the solution was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Everything the page and the portfolio show."""

    learner: str
    """The name they gave; empty: none."""
    said: tuple[Said, ...]
    """In the order of the course."""
    explanation: str
    """Their text from end to end; empty: they have not begun it."""
    models: tuple[TrainedModel, ...]
    """The best first."""
    model: TrainedModel | None
    """The one that counts."""
    model_is_chosen: bool
    """By the learner; else it is the best."""
    tuned_models: tuple[TunedModel, ...]
    tuned: TunedModel | None
    """The one that counts."""
    tuned_is_chosen: bool
    critique: Critique
    promises: tuple[Promise, ...]
    problems: tuple[str, ...]
    """Files of evidence that could not be read, and why."""

    @property
    def num_shown(self) -> int:
        """Promises with their evidence."""
        return sum(promise.state == "shown" for promise in self.promises)

    def promise(self, key: PromiseKey) -> Promise:
        """The promise of that name."""
        return next(promise for promise in self.promises if promise.key == key)


def build_outcomes(course: Course, store: "Store", runs: Path | None = None) -> Outcomes:
    """Gather it all; `runs` is the folder of run folders (default: `runs_root()`)."""
    root = runs_root() if runs is None else runs
    held = store.evidence.all()
    said = tuple(
        Said(
            entry=entry,
            text=words.text.strip(),
            num_ticked=sum(words.points),
            num_points=len(words.points),
        )
        for entry in course.lessons
        if (words := store.words.get(entry.slug)).text.strip()
    )
    explanation = _text(held, "explanation", "text")
    models = find_trained_models(root)
    tuned_models, problems = find_tuned_models(root)
    chosen_model = _choose(models, _text(held, "model", "name"))
    chosen_tuned = _choose(tuned_models, _text(held, "tuned", "name"))
    # of several adapters the newest counts, which comes first; of none the newest fine-tune
    model = chosen_model or (models[0] if models else None)
    tuned = chosen_tuned or (tuned_models[0] if tuned_models else None)
    critique = Critique(**{name: _text(held, "critique", name) for name in CRITIQUE_FIELDS})
    judged = {
        "explain": _judge_explanation(course, said, explanation),
        "train": _judge_model(model),
        "tune": _judge_tuned(tuned),
        "read": _judge_critique(critique),
    }
    promises = tuple(
        Promise(
            key=key,
            title=title,
            state=judged[key][0],
            summary=judged[key][1],
            missing=judged[key][2],
            lessons=_find_lessons(course, slugs),
        )
        for key, (title, slugs) in _PROMISES.items()
    )
    return Outcomes(
        learner=_text(held, "learner", "name"),
        said=said,
        explanation=explanation,
        models=models,
        model=model,
        model_is_chosen=chosen_model is not None,
        tuned_models=tuned_models,
        tuned=tuned,
        tuned_is_chosen=chosen_tuned is not None,
        critique=critique,
        promises=promises,
        problems=problems,
    )


def join_words(said: tuple[Said, ...]) -> str:
    """What the text from end to end starts from: their words, a paragraph a lesson, in course order."""
    return "\n\n".join(" ".join(one.text.split()) for one in said)


def count_words(text: str) -> int:
    """Words with a letter or a digit in them."""
    return sum(any(sign.isalnum() for sign in word) for word in text.split())


def count_exercises(course: Course, store: "Store") -> tuple[ExerciseCount, ...]:
    """By topic, those of its written lessons; a topic without any is left out."""
    from nn2llm.course.exercises.model import load_exercises

    states = store.exercises.states()
    counts = []
    for topic in course.topics:
        names: list[tuple[str, str]] = []
        for entry in topic.lessons:
            if course.is_ready(entry.slug):
                try:
                    names += [(entry.slug, exercise.name) for exercise in load_exercises(entry.folder)]
                except LessonError:  # the lesson says so itself
                    continue
        passed = [states[name] for name in names if name in states and states[name].passed_at is not None]
        if names:
            counts.append(
                ExerciseCount(
                    topic=topic.number,
                    title=topic.title,
                    num_exercises=len(names),
                    num_unaided=sum(state.unaided for state in passed),
                    num_with_solution=sum(not state.unaided for state in passed),
                )
            )
    return tuple(counts)


def save_evidence(store: "Store", kind: str, data: Mapping[str, Any]) -> None:
    """Keep what the learner typed or chose on the page.

    `kind` and its fields: explanation {text}, model {name}, tuned {name}, learner {name},
    critique {title, link, claim, evidence, doubts, measure}.

    Raises:
        DataError: for another kind or field, or a text that is too long.
    """
    fields: dict[str, dict[str, int]] = {
        "explanation": {"text": _MAX_TEXT["explanation"]},
        "model": {"name": _MAX_TEXT["choice"]},
        "tuned": {"name": _MAX_TEXT["choice"]},
        "learner": {"name": _MAX_TEXT["learner"]},
        "critique": dict.fromkeys(CRITIQUE_FIELDS, _MAX_TEXT["critique"]),
    }
    if kind not in fields:
        raise DataError(f"There is no evidence {kind!r:.40}; there are {', '.join(fields)}.")
    kept: dict[str, str] = {}
    for name, value in data.items():
        limit = fields[kind].get(name)
        if limit is None or not isinstance(value, str):
            raise DataError(f"The field {name!r:.40} of {kind} is not as it should be: {value!r:.60}.")
        if len(value) > limit:
            raise DataError(f"{name} has {len(value):,} characters; {limit:,} fit. Shorten it.")
        kept[name] = value
    before = {name: _text({kind: store.evidence.get(kind) or {}}, kind, name) for name in fields[kind]}
    store.evidence.set(kind, before | kept)


def _text(held: Mapping[str, Any], kind: str, name: str) -> str:
    """What was kept, whatever another program wrote there."""
    record = held.get(kind)
    value = record.get(name) if isinstance(record, dict) else None
    return value if isinstance(value, str) else ""


def _choose(found: tuple[Any, ...], name: str) -> Any:
    return next((one for one in found if one.name == name), None)


def _find_lessons(course: Course, slugs: tuple[str, ...]) -> tuple[SyllabusLesson, ...]:
    return tuple(entry for entry in course.lessons if entry.slug in slugs)


_Judgement = tuple[PromiseState, str, tuple[str, ...]]


def _judge_explanation(course: Course, said: tuple[Said, ...], explanation: str) -> _Judgement:
    num_words = count_words(explanation)
    written = {one.entry.slug for one in said}
    ready = [entry for entry in course.lessons if course.is_ready(entry.slug)]
    open_ones = [entry.number for entry in ready if entry.slug not in written]
    num_lessons = len(course.lessons)
    coming = num_lessons - len(ready)
    missing: list[str] = []
    if num_words < MIN_EXPLANATION_WORDS:
        missing.append(
            f"Your text from end to end has {num_words} words; from {MIN_EXPLANATION_WORDS} on it counts."
            if num_words
            else "Write your text from end to end; it can start from what you wrote in the lessons."
        )
    if open_ones:
        some = ", ".join(open_ones[:6]) + (", …" if len(open_ones) > 6 else "")
        missing.append(f"You have not written your own words yet in {some}: they end each lesson.")
    if coming:
        missing.append(
            f"{coming} of the {num_lessons} lessons {'is' if coming == 1 else 'are'} not written yet: "
            "your text grows with them."
        )
    parts = [f"your own words in {_count(len(said), 'lesson')}"] if said else []
    parts += [f"a text of {_count(num_words, 'word')} from end to end"] if num_words else []
    summary = f"{', and '.join(parts)}."
    if not said and not num_words:
        return "missing", "Nothing yet: no lesson has your own words.", tuple(missing)
    state: PromiseState = "shown" if num_words >= MIN_EXPLANATION_WORDS else "begun"
    return state, summary[0].upper() + summary[1:], tuple(missing)


def _judge_model(model: TrainedModel | None) -> _Judgement:
    if model is None:
        return (
            "missing",
            "Nothing yet: no run that began from nothing has a held-out score.",
            ("Train your first model on the home page (minutes), or any with `nn2llm pretrain`.",),
        )
    missing = []
    if not model.is_whole:
        missing.append(
            f"{model.name} stopped at step {model.step:,} of {model.num_steps:,}; "
            "`nn2llm pretrain --resume` goes on."
        )
    if model.bits_per_byte.low is None:
        missing.append(
            f"The score has no interval yet: `nn2llm eval {model.name}` measures it on held-out text."
        )
    return (
        "shown",
        f"{model.name}: {model.bits_per_byte.estimate:.3f} bits a byte on text it has not read.",
        tuple(missing),
    )


def _judge_tuned(tuned: TunedModel | None) -> _Judgement:
    write = (
        "An adapter (LoRA and its relatives) trained on a base model, and measured on the same items as that "
        "base, with intervals: put the figures into `evidence.json` in its run folder."
    )
    if tuned is None:
        return "missing", "Nothing yet: no tuned model was measured against its base.", (write,)
    if tuned.kind != "adapter":
        return (
            "begun",
            f"{tuned.name}: all its weights were fine-tuned, which is not a parameter-efficient method yet.",
            (write,),
        )
    missing = []
    if tuned.difference is None:
        missing.append(
            "The difference was not measured item by item, so nobody can tell whether it is chance."
        )
    elif not tuned.is_better:
        missing.append(
            "The interval of the difference reaches 0 or the wrong side: the adapter may be no better."
        )
    return "shown", f"{tuned.name} beside {tuned.base}, on {tuned.n:,} items.", tuple(missing)


def _judge_critique(critique: Critique) -> _Judgement:
    if critique.is_empty:
        return (
            "missing",
            "Nothing yet: no paper was judged.",
            ("Take a paper and fill in the form, a sentence or two in each part.",),
        )
    if critique.missing:
        parts = ", ".join(label[0].lower() + label[1:] for label in critique.missing)
        return "begun", f"A critique of {critique.title.strip() or 'a paper'}.", (f"Still empty: {parts}.",)
    return "shown", f"A critique of {critique.title.strip()}.", ()


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
