"""The pages of a study: study.html to look at, study.md to paste, study.json to compare.

    OUT/study.html    self-contained: no script, no network; light and dark; prints
    OUT/study.md      the same figures in tables
    OUT/study.json    every figure of both, without times

Reads nothing but the files of OUT, as report.py does. Read this first, then study_figures.py (what there is),
study_data.py (from where), study_words.py (which sentence is true when), study_html.py and study_markdown.py.
Used by recipe.py. Taught in `reward-hacking`.
"""

from pathlib import Path

from nn2llm.core.files import write_bytes_atomic, write_json_atomic
from nn2llm.recipe.study_data import read_study
from nn2llm.recipe.study_html import build_study_html
from nn2llm.recipe.study_markdown import build_study_markdown

__all__ = ["write_study"]


def write_study(out: Path) -> tuple[Path, Path]:
    """Write the pages of a study that is done; returns the paths of study.html and study.md.

    Raises:
        DataError: if a file is missing or damaged.
        StorageError: if the folder cannot be written.
    """
    figures, timings = read_study(out)
    page, text = out / "study.html", out / "study.md"
    contents = {page: build_study_html(figures, timings), text: build_study_markdown(figures, timings)}
    write_json_atomic(out / "study.json", figures.to_dict())
    for path, content in contents.items():
        write_bytes_atomic(path, content.encode())
    return page, text
