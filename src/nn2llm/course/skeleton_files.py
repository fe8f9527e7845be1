"""The files of a new lesson beside lesson.md: begun, with examples in comments. Used by skeleton.py.

Nothing in them could be taken for the real thing: the linter says that nothing is written yet.
"""

from pathlib import Path

from nn2llm.core.files import write_bytes_atomic

__all__ = ["FILES", "write_files"]

_EXERCISES = """\
# One entry an exercise; lesson.md places it with <!-- exercise: add-up -->. Three hints each.
#
# - name: add-up
#   kind: implement            # implement, repair (code); diagnose, decide, derive (fields to fill in)
#   title: Add up
#   minutes: 5
#   difficulty: 1
#   task: Give back the sum of the list `values`.
#   functions: [add_up]        # of exercise.py
#   checks: [check_add_up]     # of checks.py
#   hints:
#     - Where to look.
#     - What to do.
#     - Almost the line.
#
# - name: derive-it
#   kind: derive
#   title: The slope
#   minutes: 5
#   difficulty: 2
#   task: Write down the slope of $x^2$.
#   hints: [Where to look., What to do., Almost the line.]
#   fields:
#     - name: slope
#       kind: expression       # expression, choice, multiple, number, text
#       label: The slope along $x$
#       answer: 2*x
#       symbols: {x: {about: the input}}
#       suspects:
#         - {is: x, says: You forgot the 2.}
"""

_CHECKS = '''\
"""The graders of this lesson.

from nn2llm.course.grading import generator, same
import torch


def check_add_up(learner, reference):
    "Any list is added up."        # its docstring: what the learner reads
    values = torch.randn(5, generator=generator()).tolist()
    same(
        learner.add_up,
        reference.add_up,
        values,
        suspects={"You left out the last one.": lambda values: sum(values[:-1])},
    )
"""
'''

_MISTAKES = '''\
"""What learners really write, three for each exercise or more, and the words that they must read.

from nn2llm.course.grading import mistake


@mistake("add-up", check="check_add_up", says="left out the last", why="A range ends before its end.")
def add_up(values): ...


mistake("derive-it", field="slope", says="forgot the 2", why="A slip.", slope="x")
"""
'''

_ACCEPTED = '''\
"""Right answers that go about it differently, three for each exercise.

from nn2llm.course.grading import accepted


@accepted("add-up", "a loop")
def add_up(values): ...


accepted("derive-it", "a sum", slope="x + x")
"""
'''

_QUIZ = """\
# One entry a question. `<!-- quiz -->` in lesson.md shows those of `before` in its first section, and all
# that are left at its end; `<!-- quiz: one two -->` shows these.
#
# - id: one
#   concept: sums
#   kind: choice               # choice, multiple, predict (with cell:), number
#   place: end                 # before (with see: slug#anchor), inline, end
#   text: What is $1 + 1$?
#   options:
#     - {text: "2", why: "Yes: two ones.", right: true}
#     - {text: "11", why: "That writes them side by side."}
"""

FILES = {
    "exercises.yaml": _EXERCISES,
    "exercise.py": '"""What the learner starts from: signatures with docstring and shapes, and `...`."""\n',
    "solution.py": '"""The reference: one right answer to each exercise, in the words of the lesson."""\n',
    "checks.py": _CHECKS,
    "mistakes.py": _MISTAKES,
    "accepted.py": _ACCEPTED,
    "quiz.yaml": _QUIZ,
}
"""Name and text."""


def write_files(folder: Path) -> None:
    """Write them into a lesson's folder; those that are there already stay.

    Raises:
        StorageError: if one cannot be written.
    """
    for name, text in FILES.items():
        if not (folder / name).exists():
            write_bytes_atomic(folder / name, text.encode())
