"""A course with exercises, quizzes, own words and a checkpoint, small enough to read.

Topic 1 has the lessons 1.1 (sums) and 1.2 (means) and a checkpoint; topic 2 has one lesson that is coming.
"""

from pathlib import Path

__all__ = ["MEAN_RIGHT", "MEAN_WRONG", "SPREAD_RIGHT", "write_learning_course"]

SYLLABUS = """\
title: "A small course"
about: "About it."
outcome: "What you can do."
topics:
  - number: 1
    name: foundations
    title: "Foundations"
    about: "The base."
    lessons:
      - {number: "1.1", slug: sums, title: "Sums", goal: "Add numbers up.", needs: []}
      - {number: "1.2", slug: means, title: "Means & medians", goal: "Find the middle.", needs: [sums]}
  - number: 2
    name: later
    title: "Later"
    about: "What comes."
    lessons:
      - {number: "2.1", slug: coming, title: "Coming", goal: "Wait for it.", needs: [means]}
"""

_HEAD = """\
---
number: "{number}"
slug: {slug}
title: "{title}"
minutes: 5
difficulty: 1
needs: []
teaches: []
terms: []
sources: []
---

"""

_BREATH = """
## In one breath
<!-- tour -->

Write three sentences first: what {slug} are for.

<details>
<summary>Ours, to compare</summary>

We say it like this.

Did you say: (1) what goes in, (2) what comes out, (3) what may go wrong with $n = 0$, (4) how to check it?

</details>

Next comes another lesson.
"""

_LESSON = """\
## The question

How are {slug} made?

```python id="try"
print(1 + 1)
```

## Your turn

{exercises}

## Check yourself

<!-- quiz -->
"""


def _question(identity: str, concept: str, text: str, *options: str, right: int = 0) -> str:
    lines = [f"- id: {identity}", f"  concept: {concept}", "  kind: choice", "  place: end"]
    lines += [f'  text: "{text}"', "  options:"]
    for at, option in enumerate(options):
        mark = ", right: true" if at == right else ""
        lines.append(f'    - {{text: "{option}", why: "Because of {option}."{mark}}}')
    return "\n".join(lines) + "\n"


_QUIZZES = {
    "sums": [
        _question("empty-sum", "empty", "What is the sum of nothing?", "0", "1", "nothing"),
        _question("order", "order", "Does the order matter?", "yes", "no", right=1),
        _question("two", "adding", "What is 1 + 1?", "2", "3"),
    ],
    "means": [
        _question("empty-mean", "empty", "What is the mean of nothing?", "undefined", "0"),
        _question("outlier", "outliers", "One value grows a lot. The mean", "grows", "stays"),
        _question("middle", "median", "One value grows a lot. The median", "stays", "grows"),
    ],
    "checkpoint": [_question("last", "both", "The mean is the sum over", "the count", "two")],
}

_EXERCISES = {
    "means": """\
- name: mean-of
  kind: implement
  title: The mean
  minutes: 5
  difficulty: 1
  task: |
    Give back the mean of `values`, a list of numbers.
  functions: [mean_of]
  returns: true
  checks: [check_by_hand, check_at_random]
  hints: ["Look at what is added up.", "Add them up, divide by their number.", "`return sum(values) / …`"]
""",
    "checkpoint": """\
- name: from-nothing
  kind: implement
  title: The spread
  minutes: 5
  difficulty: 2
  task: |
    Give back the largest of `values` minus the smallest.
  functions: [spread_of]
  checks: [check_spread]
  hints: ["Two functions of Python.", "The largest minus the smallest.", "`return max(values) - …`"]

- name: find-the-bug
  kind: repair
  title: A mean that is wrong
  minutes: 5
  difficulty: 2
  task: |
    This mean is wrong. Mend it.
  functions: [mean_of]
  checks: [check_by_hand]
  hints: ["Try it on [1, 2].", "How many are there?", "`len(values)`"]
""",
}

_EXERCISE = {
    "means": '''\
"""What the learner starts from."""


def mean_of(values):
    """The mean of a list."""
    ...
''',
    "checkpoint": '''\
"""What the learner starts from."""


def spread_of(values):
    """The largest minus the smallest."""
    ...


def mean_of(values):
    """The mean of a list."""
    return sum(values) / (len(values) + 1)
''',
}

_SOLUTION = '''\
"""The answers."""


def mean_of(values):
    """The mean of a list."""
    return sum(values) / len(values)


def spread_of(values):
    """The largest minus the smallest."""
    return max(values) - min(values)
'''

_CHECKS = '''\
"""The graders."""

import torch

from nn2llm.course.grading import generator, same

SUSPECTS = {"You added them up and did not divide by how many there are.": lambda values: sum(values)}


def check_by_hand(learner, reference):
    """The mean of three numbers."""
    same(learner.mean_of, reference.mean_of, [0.31, 0.27, 3.4], suspects=SUSPECTS)


def check_at_random(learner, reference):
    """The mean of numbers drawn afresh."""
    same(learner.mean_of, reference.mean_of, torch.rand(9, generator=generator()).tolist(), suspects=SUSPECTS)


def check_spread(learner, reference):
    """The spread of numbers drawn afresh."""
    same(learner.spread_of, reference.spread_of, torch.rand(9, generator=generator()).tolist())
'''

_MISTAKES = {
    "means": '''\
"""Wrong answers."""

from nn2llm.course.grading import mistake


@mistake("mean-of", check="check_by_hand", says="did not divide", why="The last step is forgotten.")
def mean_of(values):
    return sum(values)
''',
    "checkpoint": '''\
"""Wrong answers."""

from nn2llm.course.grading import mistake


@mistake("from-nothing", check="check_spread", says="returned", why="The largest is taken for the spread.")
def spread_of(values):
    return max(values)


@mistake("find-the-bug", check="check_by_hand", says="did not divide", why="The division is dropped.")
def mean_of(values):
    return sum(values)
''',
}

MEAN_WRONG = "def mean_of(values):\n    return sum(values)\n"
MEAN_RIGHT = "def mean_of(values):\n    return sum(values) / len(values)\n"
SPREAD_RIGHT = "def spread_of(values):\n    return max(values) - min(values)\n"

_CHECKPOINT = """\
## What you know
<!-- tour -->

<!-- quiz: mixed 3 -->

One more, of this page:

<!-- quiz: last -->

## A task without scaffold

<!-- exercise: from-nothing -->

## A planted bug

<!-- exercise: find-the-bug -->

```python id="try"
print(2 + 2)
```
"""


def write_learning_course(folder: Path, *, checkpoint: bool = True) -> Path:
    """Write it into `folder` (made here); returns the folder."""
    topic = folder / "01_foundations"
    places = {"sums": "01_sums", "means": "02_means"} | ({"checkpoint": "checkpoint"} if checkpoint else {})
    facts = {
        "sums": ("1.1", "sums", "Sums"),
        "means": ("1.2", "means", "Means & medians"),
        "checkpoint": ("1.C", "checkpoint-1", "Checkpoint: Foundations"),
    }
    for name, place in places.items():
        number, slug, title = facts[name]
        lesson = topic / place
        lesson.mkdir(parents=True)
        exercises = "<!-- exercise: mean-of -->" if name == "means" else "Nothing to do here."
        body = _CHECKPOINT if name == "checkpoint" else _LESSON.format(slug=slug, exercises=exercises)
        body += "" if name == "checkpoint" else _BREATH.format(slug=slug)
        (lesson / "lesson.md").write_text(_HEAD.format(number=number, slug=slug, title=title) + body)
        (lesson / "quiz.yaml").write_text("\n".join(_QUIZZES[name]))
        if name in _EXERCISES:
            (lesson / "exercises.yaml").write_text(_EXERCISES[name])
            (lesson / "exercise.py").write_text(_EXERCISE[name])
            (lesson / "solution.py").write_text(_SOLUTION)
            (lesson / "checks.py").write_text(_CHECKS)
            (lesson / "mistakes.py").write_text(_MISTAKES[name])
    (folder / "syllabus.yaml").write_text(SYLLABUS)
    return folder
