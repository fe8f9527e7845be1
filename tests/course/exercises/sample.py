"""A lesson with exercises of each kind, small enough to read: what the tests of this folder stand on."""

from pathlib import Path

EXERCISES = """\
- name: double-it
  kind: implement
  title: Double a number
  minutes: 5
  difficulty: 1
  task: |
    Give back $2x$.
  functions: [double]
  checks: [check_double]
  hints: [Look at x., Multiply it., "return 2 * ..."]

- name: mend-the-mean
  kind: repair
  title: Mend the mean
  minutes: 5
  difficulty: 2
  task: The mean is wrong. Find out why.
  functions: [mean, spread]
  checks: [check_mean, check_spread]
  returns: true
  hints: [Look at the end., Count the items., "sum(values) / ..."]

- name: derive-the-slope
  kind: derive
  title: The slope
  minutes: 5
  difficulty: 2
  task: Derive $x^2$.
  core: false
  hints: [Which rule?, Twice what?, "2*..."]
  fields:
    - name: slope
      kind: expression
      label: The slope of $x^2$ along $x$
      answer: 2*x
      symbols: {x: {about: the input}}
      suspects:
        - {is: x, says: You forgot the 2.}

- name: which-one
  kind: decide
  title: Which one
  minutes: 5
  difficulty: 1
  task: Choose.
  hints: [Read., Compare., "Not the first ..."]
  fields:
    - name: fit
      kind: choice
      label: The best fit
      answer: b
      options:
        - {value: a, text: The first, why: It is worse.}
        - {value: b, text: The second, why: It is better.}
    - {name: misses, kind: number, label: How many miss, answer: 117, atol: 2, unit: tokens}
    - {name: reason, kind: text, label: Why, min_words: 3}
"""

EXERCISE = '''\
"""What the learner starts from."""

import math

UNUSED = 1


def double(x):
    """Twice `x`, a number."""
    ...


# How many items there are.
def count(values):
    return len(values)


def mean(values):
    """The mean of a list of numbers."""
    return sum(values) / (count(values) + 1)  # a planted bug


def spread(values):
    return math.sqrt(mean([(value - mean(values)) ** 2 for value in values]))
'''

SOLUTION = """\
import math


def double(x):
    return 2 * x


def mean(values):
    return sum(values) / len(values)


def spread(values):
    return math.sqrt(mean([(value - mean(values)) ** 2 for value in values]))
"""

CHECKS = '''\
from nn2llm.course.grading import generator, same
import torch


def check_double(learner, reference):
    """Any number is doubled."""
    x = torch.randn(1, generator=generator()).item()
    same(
        learner.double,
        reference.double,
        x,
        suspects={
            "You squared it: two times, not to the power of two.": lambda x: x**2,
            "You added 2: multiply instead.": lambda x: x + 2,
            "You turned its sign: twice, not minus twice.": lambda x: -2 * x,
        },
    )


def check_mean(learner, reference):
    """The mean is the sum by the count."""
    same(
        learner.mean,
        reference.mean,
        torch.randn(5, generator=generator()).tolist(),
        suspects={
            "You divided by one too many.": lambda values: sum(values) / (len(values) + 1),
            "You divided by one too few.": lambda values: sum(values) / (len(values) - 1),
            "You forgot to divide.": lambda values: sum(values),
        },
    )


def check_spread(learner, reference):
    """The spread is the root of the mean square."""
    values = torch.randn(5, generator=generator()).tolist()
    same(learner.spread, reference.spread, values)
'''

MISTAKES = """\
from nn2llm.course.grading import mistake

TWO = 2


@mistake("double-it", check="check_double", says="squared it", why="Two and square sound alike.")
def double(x):
    return x**TWO


@mistake("double-it", check="check_double", says="added 2", why="A slip.")
def double(x):
    return x + TWO


@mistake("double-it", check="check_double", says="its sign", why="A slip.")
def double(x):
    return -2 * x


@mistake("mend-the-mean", check="check_mean", says="one too many", why="Nothing was mended.")
def mean(values):
    return sum(values) / (count(values) + 1)


@mistake("mend-the-mean", check="check_mean", says="one too few", why="As for a sample.")
def mean(values):
    return sum(values) / (count(values) - 1)


@mistake("mend-the-mean", check="check_mean", says="forgot to divide", why="A sum is no mean.")
def mean(values):
    return sum(values)


mistake("derive-the-slope", field="slope", says="forgot the 2", why="A slip.", slope="x")
mistake("derive-the-slope", field="slope", says="x", why="The square is still there.", slope="2*x**2")
mistake("derive-the-slope", field="slope", says="x", why="The rule was not used.", slope="x**2")
mistake("which-one", field="fit", says="worse", why="The first looks good.", fit="a")
"""

ACCEPTED = """\
from nn2llm.course.grading import accepted
import numpy as np


@accepted("double-it", "adding")
def double(x):
    return x + x


@accepted("double-it", "numpy")
def double(x):
    return float(np.multiply(x, 2))


@accepted("double-it", "a shift of the exponent")
def double(x):
    return x / 0.5


@accepted("mend-the-mean", "numpy")
def mean(values):
    return float(np.mean(values))


@accepted("mend-the-mean", "a loop")
def mean(values):
    total = 0.0
    for value in values:
        total += value
    return total / count(values)


@accepted("mend-the-mean", "shares")
def mean(values):
    return sum(value / len(values) for value in values)


accepted("derive-the-slope", "a sum", slope="x+x")
accepted("derive-the-slope", "turned round", slope="x*2")
accepted("derive-the-slope", "a quotient", slope="x/0.5")
"""

FILES = {
    "exercises.yaml": EXERCISES,
    "exercise.py": EXERCISE,
    "solution.py": SOLUTION,
    "checks.py": CHECKS,
    "mistakes.py": MISTAKES,
    "accepted.py": ACCEPTED,
}


def write_sample(folder: Path, **changed: str | None) -> Path:
    """The lesson's files in `folder`; `checks_py=…` writes another text, None leaves the file out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        text = changed.get(name.replace(".", "_"), text)
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8")
    return folder
