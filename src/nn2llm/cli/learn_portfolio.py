"""`nn2llm learn portfolio`: what the learner can show, as two files.

Read course/portfolio.py, which does the work; the page /outcomes writes the same. Registered in learn.py.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

__all__ = ["PortfolioCommand", "write_portfolio_files"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PortfolioCommand:
    """Write what you can show: your words, models, comparisons, critique, exercises; HTML and Markdown."""

    out: Annotated[Path, arg(metavar="FOLDER")] = Path("portfolio")
    """Where portfolio.html and portfolio.md go."""
    name: str | None = None
    """Your name, to stand at the top. Default: the one you gave on the page Outcomes; none is left out."""
    runs: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of your run folders. Default: NN2LLM_RUNS, or ./runs."""
    overwrite: bool = False
    """Replace files that were changed since they were written."""
    lessons: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of lessons instead of those that come with nn2llm."""


def write_portfolio_files(command: PortfolioCommand) -> int:
    """Write both files and say how far each promise is kept.

    Raises:
        ConfigError: if a file there was changed since it was written.
        StorageError: if the disk does not take them.
    """
    from nn2llm.course.loader import load_course
    from nn2llm.course.outcomes import build_outcomes
    from nn2llm.course.portfolio import build_portfolio, write_portfolio
    from nn2llm.course.portfolio_words import name_state
    from nn2llm.course.store import Store

    course = load_course(command.lessons)
    store = Store()
    try:
        portfolio = build_portfolio(course, store, runs=command.runs, learner=command.name)
        outcomes = build_outcomes(course, store, command.runs)
    finally:
        store.close()
    for path in write_portfolio(portfolio, command.out, overwrite=command.overwrite):
        print(path)
    for number, promise in enumerate(outcomes.promises, start=1):
        state = {"shown": "evidence"}.get(promise.state, name_state(promise.state))
        print(f"{number}. {promise.title}: {state}")
        for sentence in promise.missing:
            print(f"   - {sentence}")
    for problem in outcomes.problems:
        print(problem)
    return 0
