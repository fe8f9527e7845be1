"""The report card of a recipe: report.html to look at, report.md to paste, report.json to compare.

    OUT/report.html    self-contained: no script, no network; light and dark; prints
    OUT/report.md      the same figures in tables
    OUT/report.json    every figure of both, without times

Reads nothing but the files of OUT, and computes the same from the same files. Two runs with the same settings
have the same report.json; report.html and report.md differ only between their TIMINGS marks.
Read this first, then report_figures.py (what there is), report_data.py (from where), report_words.py (which
sentence is true when), report_html.py and report_markdown.py. Used by recipe.py. Taught in `chatgpt-recipe`.
"""

import re
from pathlib import Path

from nn2llm.core.files import write_bytes_atomic, write_json_atomic
from nn2llm.recipe.report_data import read_report
from nn2llm.recipe.report_html import build_html
from nn2llm.recipe.report_markdown import build_markdown

__all__ = ["strip_timings", "write_report"]


def write_report(out: Path, *, has_study: bool = False) -> tuple[Path, Path]:
    """Write the report of a recipe, finished or not; returns the paths of report.html and report.md.

    With `has_study` both name study.html, which study_report.py writes.

    Raises:
        DataError: if no stage has ended, or a file is damaged.
        StorageError: if the folder cannot be written.
    """
    report, timings = read_report(out)
    page, text = out / "report.html", out / "report.md"
    contents = {page: build_html(report, timings, has_study=has_study), text: build_markdown(report, timings)}
    if has_study:
        contents[text] += "\nThe study of other methods and of over-optimisation: study.html, study.md.\n"
    write_json_atomic(out / "report.json", report.to_dict())
    for path, content in contents.items():
        write_bytes_atomic(path, content.encode())
    return page, text


def strip_timings(content: str) -> str:
    """report.html or report.md without what differs between two equal runs: times, speed, the folder."""
    return re.sub(r"<!-- timings -->.*?<!-- /timings -->", "", content, flags=re.DOTALL)
