"""Ways through a genre's program, found by trying all choices: they know nothing of how `Reader` reads."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from nn2llm.microworld.script import NeedChoiceError, Replayer, Script, Writer
from nn2llm.microworld.world import _BRANCHES, World

Program = Callable[[Script], object]


class Derivation(NamedTuple):
    """One row of choices and the whole text that it gives; `nats` is the sum of −log of what was chosen."""

    choices: tuple[int, ...]
    text: str
    nats: float
    drawn: tuple[str, ...]


def iterate_derivations(
    program: Program, choices: Sequence[int] = (), *, target: str | None = None
) -> Iterator[Derivation]:
    """All derivations that begin with `choices`; with a target, only those that give this text.

    `nats` leaves out what was chosen before: those of the choices after `choices`.
    """
    stack: list[tuple[tuple[int, ...], float]] = [(tuple(choices), 0.0)]
    while stack:
        prefix, nats = stack.pop()
        script = Replayer(prefix)
        try:
            program(script)
        except NeedChoiceError as need:
            if target is None or target.startswith(need.text):
                for number, probability in enumerate(need.probabilities):
                    stack.append(((*prefix, number), nats - math.log(probability)))
        else:
            if target is None or script.text == target:
                yield Derivation(prefix, script.text, nats, tuple(script.drawn))


def build_program(world: World) -> Program:
    """The whole of the world's texts as a program of one argument."""
    return lambda script: script.branch(_BRANCHES, world.cast)


class GuidedWriter(Writer):
    """Takes prescribed choices first, draws the others, and notes all; `tilt` makes some options commoner.

    With a tilt the options are drawn from probabilities that are in turn (1 + tilt) and (1 − tilt) times the
    right ones, normalised; `log_q` is the log-probability of what was drawn so.
    """

    def __init__(self, rng: random.Random, choices: Sequence[int] = (), *, tilt: float = 0.0) -> None:
        super().__init__(rng)
        self.log_q = 0.0
        self.choices: list[int] = []
        self._given = list(choices)
        self._tilt = tilt

    def _choose(self, probabilities: list[float]) -> int:
        if len(self.choices) < len(self._given):
            chosen = self._given[len(self.choices)]
        else:
            weights = [p * (1 + self._tilt * (-1) ** number) for number, p in enumerate(probabilities)]
            total = math.fsum(weights)
            (chosen,) = random.Random.choices(_Uniform(self._random), range(len(weights)), weights=weights)
            self.log_q += math.log(weights[chosen] / total)
        self.choices.append(chosen)
        return chosen

    def _draw_uniform(self, count: int) -> int:
        return self._choose([1 / count] * count)

    def _draw_weighted(self, cumulative: list[float]) -> int:
        return self._choose([b - a for a, b in zip([0.0, *cumulative], cumulative, strict=False)])


class _Uniform(random.Random):
    """A `Random` whose numbers come from a function."""

    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__(0)
        self.random = draw
