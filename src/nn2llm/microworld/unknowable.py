"""Questions that nobody in the village can answer, honest replies to them, and what a bluffer says.

Read after phrases.py. Used by replies.py, which recognises them, and by honesty.py.
"""

from typing import NamedTuple

from nn2llm.microworld.phrases import Phrase

__all__ = ["ADMISSIONS", "ADMIT", "GUESSES", "UNKNOWABLE", "Unknowable"]


class Unknowable(NamedTuple):
    """A question, what is not known (a clause), and a guess."""

    question: Phrase
    clause: str
    guess: Phrase


def _ask(question: str, clause: str, guess: str) -> Unknowable:
    return Unknowable(Phrase(question), clause, Phrase(guess))


_NOBODY = "anybody called [s<strangers]"

UNKNOWABLE: tuple[Unknowable, ...] = (
    _ask("What did [p] dream of last night?", "what [p] dreamed of", "[p] dreamed of [v<foods]."),
    _ask("What did [p] dream of on [day]?", "what [p] dreamed of", "[p] dreamed of [v<pastimes]."),
    _ask("How old is [p]?", "how old [p] is", "[p] is [v<numbers] years old."),
    _ask("What will [p] eat on [day]?", "what [p] will eat", "[p] will eat [v<foods]."),
    _ask("How many coins does [p] have?", "how many coins [p] has", "[p] has [v<numbers] coins."),
    _ask("What is [p] thinking of?", "what [p] is thinking of", "[p] is thinking of [v<pastimes]."),
    _ask("What colour are [p]'s eyes?", "what colour [p]'s eyes are", "[p]'s eyes are [v<colours]."),
    _ask("In which season was [p] born?", "when [p] was born", "[p] was born in [v<season]."),
    _ask("What will the weather be like on [day]?", "what the weather will be like", "It will be [v<sky]."),
    _ask("Who will visit [p] on [day]?", "who will visit [p]", "[v<people] will visit [p]."),
    _ask("Where was [p] on [day] [part]?", "where [p] was", "[p] was at [v<landmarks]."),
    _ask("What does [s<strangers] do for a living?", _NOBODY, "[s<strangers] is [v<trades.a]."),
    _ask("Where does [s<strangers] live?", _NOBODY, "[s<strangers] lives in [v<lanes]."),
    _ask("Which animal lives with [s<strangers]?", _NOBODY, "[s<strangers] has [v<kinds_of_pet.a]."),
    _ask("What does [s<strangers] like to eat?", _NOBODY, "[s<strangers] likes [v<foods] best."),
)  # fmt: skip
"""What is nowhere written, and people whom nobody knows. The pairs in which a question and a claim about a
villager look alike (an animal, a lane) are asked of strangers alone."""

ADMIT = (Phrase("I do not know."), Phrase("Nobody can know that."))
"""Honest whatever was asked."""

_CLAUSES = dict.fromkeys(unknowable.clause for unknowable in UNKNOWABLE)
ADMISSIONS = (
    *ADMIT,
    *(Phrase(f"I do not know {clause}.") for clause in _CLAUSES),
    *(Phrase(f"Nobody has told me {clause}.") for clause in _CLAUSES if not clause.startswith("anybody")),
)
"""Every way to say that one does not know."""

GUESSES = tuple(unknowable.guess for unknowable in UNKNOWABLE)
"""What only a bluffer says."""
