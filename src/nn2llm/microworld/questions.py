"""Questions and answers: about the village, and about a few sentences just read.

Read after portraits.py. `ASKED` holds, for each kind of fact, its question in several wordings and the
answer, short and as a sentence; dialogues.py and probes.py use it too. All questions of one document are
answered in one style, so what style it is can only be learned from the context.
"""

from typing import Any, NamedTuple

from nn2llm.core.errors import ConfigError
from nn2llm.microworld import vocabulary as words
from nn2llm.microworld.cast import Cast, without
from nn2llm.microworld.script import Script
from nn2llm.microworld.wordings import Branches, Variants

__all__ = [
    "ASKED",
    "KINDS",
    "Asked",
    "FactQuestion",
    "ask",
    "know_answer",
    "list_questions_about",
    "pools_of",
]


class Asked(NamedTuple):
    """How a kind of fact is asked for and answered. `{p}` is the one asked about, `{k}` a relative."""

    questions: Variants
    quoted: Variants
    """The questions in quotation marks."""
    short: str
    full: str


def _asked(short: str, full: str, *questions: str) -> Asked:
    quoted = Variants(*(f'"{question}"' for question in questions))
    return Asked(Variants(*questions), quoted, short, full)


ASKED: dict[str, Asked] = {
    "trade": _asked(
        "{p.trade.a}",
        "{p} is {p.trade.a}",
        "What does [p<adults] do for a living?",
        "What is [p<adults]'s trade?",
    ),
    "helper": _asked(
        "at {p.trade.workplace}",
        "{p} helps at {p.trade.workplace}",
        "Where does [p<children] help after school?",
        "Where can you find [p<children] after school?",
    ),
    "home": _asked(
        "in {p.home}",
        "{p} lives in {p.home}",
        "Where does [p<people] live?",
        "In which lane is [p<people]'s house?",
    ),
    "kin": _asked("{k.person}", "{p}'s {k} is {k.person}", "Who is [p<with_kin]'s [k]?"),
    "pet": _asked(
        "{p.pet.kind.a}",
        "{p} has {p.pet.kind.a}",
        "What kind of animal does [p<people] have?",
        "Which animal lives with [p<people]?",
    ),
    "pet_name": _asked(
        "{p.pet}",
        "{p}'s {p.pet.kind} is called {p.pet}",
        "What is [p<people]'s {p.pet.kind} called?",
        "What is the name of [p<people]'s {p.pet.kind}?",
    ),
    "food": _asked(
        "{p.food}",
        "{p} likes {p.food} best",
        "What does [p<people] like to eat best?",
        "What is [p<people]'s favourite dish?",
    ),
    "pastime": _asked(
        "{p.pastime}",
        "{p} loves {p.pastime}",
        "What does [p<people] love to do in the evening?",
        "How does [p<people] spend the evening?",
    ),
    "workplace": _asked(
        "at {p.trade.workplace}",
        "the {p.trade} works at {p.trade.workplace}",
        "Where does the [p<workers.trade] work?",
        "Where can you find the [p<workers.trade]?",
    ),
    "near": _asked(
        "{p.beside}",
        "{p.trade.workplace} stands beside {p.beside}",
        "What does [p<workers.trade.workplace] stand beside?",
        "Which place is closest to [p<workers.trade.workplace]?",
    ),
    "goods": _asked(
        "{p} the {p.trade}", "{p} the {p.trade} makes them", "Who makes [p<workers.trade.goods]?"
    ),
    "tool": _asked(
        "{p} the {p.trade}", "{p} the {p.trade} works with it", "Who works with [p<workers.trade.tool.a]?"
    ),
    "lane": _asked("to {p.toward}", "{p} leads to {p.toward}", "Where does [p<lanes] lead?"),
}
"""By kind of `FACT_KINDS`."""
KINDS = tuple(ASKED)
QUESTIONS = [asked.questions for asked in ASKED.values()]


def pools_of(c: Cast, *left_out: object) -> dict[str, Any]:
    """The pools of all questions, without some people."""
    return {
        "adults": without(c.adults, *left_out),
        "children": without(c.children, *left_out),
        "people": without(c.people, *left_out),
        "with_kin": without(c.with_kin, *left_out),
        "workers": without(c.workers, *left_out),
        "lanes": without(c.lanes, *left_out),
        "k": lambda known: known["p"].kin,
    }


def know_answer(s: Script, kind: str) -> None:
    """Make `{short}` and `{full}` known: the answer, with a capital and without a full stop."""
    asked = ASKED[kind]
    for role, wording in (("short", asked.short), ("full", asked.full)):
        answer = wording.format_map(s.known)
        s.know(**{role: answer[0].upper() + answer[1:]})


class FactQuestion(NamedTuple):
    """A question about one person, with the right answer: short, and as a sentence; without a full stop."""

    kind: str
    text: str
    short: str
    full: str


def list_questions_about(c: Cast, name: str) -> list[FactQuestion]:
    """What can be asked about a person, each in its first wording.

    Raises:
        ConfigError: if nobody of the village has that name.
    """
    person = next((person for person in c.people if person.name == name), None)
    if person is None:
        raise ConfigError(
            f"Nobody in the village is called {name!r}. `nn2llm data inspect` lists who is there."
        )
    kinds = ["helper" if person.is_child else "trade", "home", "pet", "pet_name", "food", "pastime"]
    questions: list[FactQuestion] = []
    for kind, kin in [*((kind, None) for kind in kinds), *(("kin", kin) for kin in person.kin)]:
        asked = ASKED[kind]
        known = {"p": person, "k": kin}
        text = asked.questions.render(0, known)
        short, full = (answer.format_map(known) for answer in (asked.short, asked.full))
        questions.append(FactQuestion(kind, text, short[0].upper() + short[1:], full[0].upper() + full[1:]))
    return questions


class _Labels(NamedTuple):
    question: Variants
    answer: Variants


_LABELS = (
    _Labels(Variants("Question:"), Variants("Answer:")),
    _Labels(Variants("Q:"), Variants("A:")),
)
_STYLES = (Variants("{short}."), Variants("{full}."))


def _ask_facts(s: Script, c: Cast) -> None:
    """Two to five questions, all of one kind or each of another kind than the one before."""
    labels = _LABELS[s.say_one_of([label.question for label in _LABELS])]
    kind = s.say_one_of(QUESTIONS, **pools_of(c))
    style = _answer(s, kind, labels, None)
    told = [s.known["p"]]
    s.new_line()
    s.say(labels.question)
    kind, same = s.branch(_NEXT_KIND, c, kind, told)
    _answer(s, kind, labels, style)
    for _ in range(3):
        told.append(s.known["p"])
        s.new_line()
        if not s.maybe(0.65, labels.question):
            break
        kind, _ = (_ask_same if same else _ask_other)(s, c, kind, told)
        _answer(s, kind, labels, style)


def _ask_same(s: Script, c: Cast, kind: int, told: list[object]) -> tuple[int, bool]:
    s.say(QUESTIONS[kind], **pools_of(c, *told))
    return kind, True


def _ask_other(s: Script, c: Cast, kind: int, told: list[object]) -> tuple[int, bool]:
    others = [number for number in range(len(KINDS)) if number != kind]
    chosen = s.say_one_of([QUESTIONS[number] for number in others], **pools_of(c, *told))
    return others[chosen], False


_NEXT_KIND = Branches((1.0, _ask_same), (1.0, _ask_other))


def _answer(s: Script, kind: int, labels: _Labels, style: int | None) -> int:
    know_answer(s, KINDS[kind])
    s.new_line()
    s.say(labels.answer)
    if style is None:
        return s.say_one_of(_STYLES)
    s.say(_STYLES[style])
    return style


# --- questions about a few sentences: the answer stands in the document, not in the village

_PUT = Variants(
    "[a] put {a.his} [q] [t] [spot].",
    "[a] left {a.his} [q] [t] [spot].",
    "[a] keeps {a.his} [q] [t] [spot].",
)
_PUT_2 = Variants(
    "[b] put {b.his} [q2] [t2] [spot2].",
    "[b] left {b.his} [q2] [t2] [spot2].",
    "[b] keeps {b.his} [q2] [t2] [spot2].",
)
_WHERE = (
    Variants("Question: Where is the {t}?", "Question: Where is {a}'s {t}?"),
    Variants("Question: Where is the {t2}?", "Question: Where is {b}'s {t2}?"),
    Variants("Question: Whose {t} is {spot}?", "Question: Who owns {t.a}?"),
    Variants("Question: Whose {t2} is {spot2}?", "Question: Who owns {t2.a}?"),
    Variants("Question: What is {spot}?"),
    Variants("Question: What is {spot2}?"),
)
_WHERE_ANSWERS = ("{spot}", "{spot2}", "{a}", "{b}", "{a}'s {q} {t}", "{b}'s {q2} {t2}")

_HAS = Variants("[a] has [n] [fruit].", "[a] bought [n] [fruit].", "[a] found [n] [fruit].")
_HAS_2 = Variants("[b] has [n2] [fruit2].", "[b] bought [n2] [fruit2].", "[b] found [n2] [fruit2].")
_HOW_MANY = (
    Variants("Question: How many {fruit} does {a} have?"),
    Variants("Question: How many {fruit2} does {b} have?"),
    Variants("Question: Who has {n} {fruit}?"),
    Variants("Question: Who has {n2} {fruit2}?"),
)
_HOW_MANY_ANSWERS = ("{n}", "{n2}", "{a}", "{b}")

_OWNED = Variants("[a] had [q.a] [t].", "Once, [a] owned [q.a] [t].", "[a] made [q.a] [t].")
_PASSED = Variants(
    "On [day] {a} gave it to [b].",
    "[b] bought it from {a} for [n] [fruit].",
    "[b] got it from {a} for [n] [fruit].",
    "[b] wanted it so much that {a} gave it away.",
)
_PASSED_ON = Variants(
    "Later {b} gave it to [x].",
    "Then [x] got it as a present from {b}.",
    "A week after that, {b} sold it to [x].",
)
_WHO_HAS = (
    Variants("Question: Who has the {t} now?", "Question: Whose is the {q} {t} today?"),
    Variants("Question: Who had the {t} first?"),
    Variants("Question: What does {owner} have now?"),
)
_WHO_HAS_ANSWERS = ("{owner}", "{a}", "the {q} {t}")
_REPLY = Variants("Answer: {reply}.")


def _ask_and_answer(s: Script, groups: tuple[Variants, ...], answers: tuple[str, ...]) -> None:
    """One or two of the questions."""
    left = list(zip(groups, answers, strict=True))
    s.new_line()
    chosen: int | None = s.say_one_of([group for group, _ in left])
    for number in range(2):
        assert chosen is not None
        reply = left.pop(chosen)[1].format_map(s.known)
        s.know(reply=reply[0].upper() + reply[1:])
        s.new_line()
        s.say(_REPLY)
        s.new_line()
        if number == 1:
            return
        chosen = s.maybe_one_of(0.5, [group for group, _ in left])
        if chosen is None:
            return


def _ask_where(s: Script, c: Cast) -> None:
    s.say(_PUT, a=c.people, q=words.QUALITIES, t=c.things, spot=words.SPOTS)
    known = s.known
    s.say(
        _PUT_2,
        b=without(c.people, known["a"]),
        q2=words.QUALITIES,
        t2=without(c.things, known["t"]),
        spot2=without(words.SPOTS, known["spot"]),
    )
    _ask_and_answer(s, _WHERE, _WHERE_ANSWERS)


def _ask_how_many(s: Script, c: Cast) -> None:
    s.say(_HAS, a=c.people, n=words.NUMBERS, fruit=words.BASKETS)
    known = s.known
    s.say(
        _HAS_2,
        b=without(c.people, known["a"]),
        n2=words.NUMBERS,
        fruit2=without(words.BASKETS, known["fruit"]),
    )
    _ask_and_answer(s, _HOW_MANY, _HOW_MANY_ANSWERS)


def _ask_who_has(s: Script, c: Cast) -> None:
    s.say(_OWNED, a=c.people, q=words.QUALITIES, t=c.things)
    a = s.known["a"]
    s.say(_PASSED, b=without(c.people, a), day=words.DAYS, n=words.NUMBERS, fruit=words.BASKETS)
    b = s.known["b"]
    again = s.maybe(0.5, _PASSED_ON, x=without(c.people, a, b))
    s.know(owner=s.known["x"] if again else b)
    _ask_and_answer(s, _WHO_HAS, _WHO_HAS_ANSWERS)


_ASKING = Branches((5.0, _ask_facts), (1.2, _ask_where), (0.8, _ask_how_many), (1.0, _ask_who_has))


def ask(s: Script, c: Cast) -> None:
    """Questions with their answers, about the village or about what has just been said."""
    s.branch(_ASKING, c)
