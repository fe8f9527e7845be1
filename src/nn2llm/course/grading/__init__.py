"""What a lesson's checks.py imports: comparisons that show their evidence, and name a mistake only when sure.

A check is a function `check_*(learner, reference)` whose docstring's first line is what must hold, as the
learner reads it. Checks run in the order that exercises.yaml lists; the first that fails ends the grading.

    from nn2llm.course.grading import generator, same

    def check_one_step(learner, reference):
        '''One step moves w and b against their slopes.'''
        x, y = torch.randn(2, 20, generator=generator())
        same(learner.gradient_step, reference.gradient_step, 0.1, 0.0, x, y, learning_rate=0.02,
             suspects={"You added the slope; subtract it.": lambda w, b, x, y, learning_rate: ...})

`learner.NAME` and `reference.NAME` are the functions and classes of the two texts. `learner.source` is the
text, `learner.printed()` what it printed since the check began, `"name" in learner` whether it defines a
name. In form kinds `learner.FIELD` is the value.

- `same(f, reference, *args, **kwargs)`: both get copies of the same arguments, and start from the same state
  of the global random generators. Kind, shape, dtype and values must agree; right in any style are an int or
  a tensor of shape () for a float, a tuple for a list, int32 for int64. An argument that is changed in place
  fails. Options: `atol`, `rtol` (by default what the coarsest dtype at hand allows), `allow_inplace`,
  `compare_arguments` (afterwards they must be as the reference leaves them), `dtype=False`, `take` (items of
  a generator), `suspects`. Instead of a reference function the expected value may stand.
- `same_gradients(f, reference, *args, wrt=[0, "x"])`: results, then gradients; a detached result is said.
- `same_module(Class, ReferenceClass, *init, inputs=(x,))`: built alike, given the same weights (by name,
  else by order), compared by outputs; `gradients=True` by gradients too. Suspects are classes.
- `raises(f, ValueError, *args)`: these arguments must be refused.
- `require(condition, "Rows sum to 1", returned=..., expected=..., diagnosis=...)`: any other condition. A
  `diagnosis` of your own must be certain. The call shown is the learner's last. A plain `assert` works as
  well.
- `generator()`: a torch.Generator, seeded afresh each grading; the evidence says the seed, and a verdict
  repeats.

**Suspects** are known mistakes: {what to say: function that makes this mistake}; or `suspect("Say.", f)` in
a list, which is a decorator too. When a check fails it is run again with other numbers, and a suspect is
named only if the learner's value is that suspect's, and no other's, in every call that offers suspects, and
lies far from the reference's. So list suspects in every `same` of a check that they concern; let numbers be
random and not whole (a few whole numbers that agree prove nothing); and keep two suspects from coinciding.
Without a suspect, what holds of every call is said: transposed, sign turned, 2 times the expected, an
argument returned, always the same value, the right numbers in another shape or order. When unsure nothing is
said.

An answer that passes is not believed at once: a known wrong answer (mistakes.py) must still fail in the same
process, and what the checks use must be unchanged. mistakes.py and accepted.py mark their texts by `mistake`
and `accepted`.

Read in this order: evidence.py, plain.py, compare.py, session.py, calls.py, suspects.py, structure.py,
running.py; expressions.py for derive exercises. The separate process: limits.py, service.py. Importing this
loads no torch.
"""

from typing import TYPE_CHECKING, Any

from nn2llm.course.grading.answers import accepted, mistake

if TYPE_CHECKING:
    from nn2llm.course.grading.calls import raises, require, same
    from nn2llm.course.grading.gradients import same_gradients
    from nn2llm.course.grading.modules import same_module
    from nn2llm.course.grading.session import CheckFailed, generator
    from nn2llm.course.grading.suspects import Suspect, suspect

__all__ = [
    "CheckFailed",
    "Suspect",
    "accepted",
    "generator",
    "mistake",
    "raises",
    "require",
    "same",
    "same_gradients",
    "same_module",
    "suspect",
]

_HOMES = {
    "CheckFailed": "session",
    "Suspect": "suspects",
    "generator": "session",
    "raises": "calls",
    "require": "calls",
    "same": "calls",
    "same_gradients": "gradients",
    "same_module": "modules",
    "suspect": "suspects",
}


def __getattr__(name: str) -> Any:
    # the server of the pages imports this package for the process part; torch comes in with the first check
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
