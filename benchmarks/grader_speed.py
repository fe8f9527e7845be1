"""Seconds until the verdict on an answer is there, its process started and ended included.

Lesson 1.6's gradient step, by 50 right and 50 wrong answers that take turns, on the warm server; then by one
new process each, as on systems that cannot fork. What is timed is what the page waits for:
GradingService.grade, from a server that already waits.
"""

import itertools
import statistics
import time
from pathlib import Path

import nn2llm
from benchmarks.measuring import format_table
from benchmarks.options import Options
from nn2llm.core.errors import DataError
from nn2llm.course.exercises.model import load_exercises, read_answers, read_solution
from nn2llm.course.grading.service import GradingJob, GradingService, Limits

LESSON = Path(nn2llm.__file__).parent / "lessons" / "01_foundations" / "06_linear_regression"
EXERCISE = "gradient-step"
VERDICTS = 50
LIMIT_S = 0.5
"""The course promises this median."""
_LOOP = "def gradient_step(w, b, x, y, learning_rate):\n    while True:\n        pass\n"


def run(options: Options) -> str:
    """The table.

    Raises:
        DataError: if a verdict is not the one expected: its time would mean nothing.
    """
    exercise = next(found for found in load_exercises(LESSON) if found.name == EXERCISE)
    right = read_solution(LESSON, exercise)
    _, mistakes = read_answers(LESSON, exercise)
    figures: dict[str, list[float]] = {}

    def measure(service: GradingService, what: str, text: str, status: str, seed: int) -> None:
        limits = Limits(seconds=1) if status == "stopped" else None
        job = GradingJob(lesson_folder=str(LESSON), exercise=EXERCISE, text=text, seed=seed, limits=limits)
        begin = time.perf_counter()
        verdict = service.grade(job)
        figures.setdefault(what, []).append(time.perf_counter() - begin)
        if verdict["status"] != status:
            raise DataError(f"{what}: the verdict is {verdict['status']}: {verdict['message']}")

    for turn in range(options.repeats):
        with GradingService() as service:
            measure(service, "first verdict of a cold server", right, "passed", turn)
    with GradingService() as service:
        measure(service, "", right, "passed", 0)
        for seed, mistake in zip(range(VERDICTS), itertools.cycle(mistakes), strict=False):
            measure(service, "right answer", right, "passed", seed)
            measure(service, "wrong answer", mistake.text, "failed", seed)
        for seed in range(options.repeats):
            measure(service, "endless loop, stopped after 1 s", _LOOP, "stopped", seed)
    with GradingService(forking=False) as service:
        for seed in range(options.repeats):
            measure(service, "right answer, a new process each", right, "passed", seed)
    del figures[""]
    rows = [
        (what, len(times), f"{statistics.median(times):.2f} s", f"{max(times):.2f} s", _limit_of(what))
        for what, times in figures.items()
    ]
    return "\n".join(
        [
            f"The verdict on `{EXERCISE}` of lesson 1.6, the start of its process included.",
            "",
            format_table(("what", "verdicts", "median", "worst", "limit of the median"), rows),
        ]
    )


def _limit_of(what: str) -> str:
    return f"{LIMIT_S:g} s" if what in {"right answer", "wrong answer"} else ""
