"""Stories: ten plots in which people of the village lose, mend, swap, carry and give things.

Read after mishaps.py and dealings.py. The facts of the village are needed to foretell a story, and no story
contradicts them. Used by world.py.
"""

from nn2llm.microworld.cast import Cast
from nn2llm.microworld.dealings import tell_errand, tell_gift, tell_lend, tell_lesson, tell_swap
from nn2llm.microworld.mishaps import tell_broken, tell_hungry, tell_lost, tell_pet, tell_shelter
from nn2llm.microworld.script import Script
from nn2llm.microworld.wordings import Branches

__all__ = ["tell_story"]

_PLOTS = Branches(
    (1.0, tell_lost),
    (1.4, tell_broken),
    (1.2, tell_gift),
    (1.2, tell_errand),
    (1.0, tell_pet),
    (1.0, tell_swap),
    (0.8, tell_shelter),
    (0.8, tell_hungry),
    (0.8, tell_lend),
    (0.8, tell_lesson),
)


def tell_story(s: Script, c: Cast) -> None:
    """One story: four to eight sentences."""
    s.branch(_PLOTS, c)
