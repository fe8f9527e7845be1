"""The portfolio as Markdown, for a repository or a text editor.

Read portfolio.py before, which calls it. What the learner typed is escaped: it cannot become a heading, a
link, HTML or mathematics by accident.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from nn2llm.course.outcomes import CRITIQUE_FIELDS, Promise
from nn2llm.course.portfolio_words import describe_model, describe_tuned, is_link, name_state

if TYPE_CHECKING:
    from nn2llm.course.portfolio import Contents

__all__ = ["escape_markdown", "write_markdown"]

_SIGNS = re.compile(r"([\\`*_{}\[\]<>#|~$!&])")
_LINE_START = re.compile(r"^([-+=])", re.MULTILINE)
_NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)", re.MULTILINE)


def escape_markdown(text: str) -> str:
    """The text with everything that Markdown would take for a mark escaped; lines stay lines."""
    lines = (line.strip() for line in text.strip().splitlines())  # four spaces would begin a block of code
    escaped = _SIGNS.sub(r"\\\1", "\n".join(lines))
    return _NUMBERED.sub(r"\1\\\2", _LINE_START.sub(r"\\\1", escaped))


def write_markdown(contents: "Contents") -> str:
    """The whole file."""
    outcomes = contents.outcomes
    lines = [
        f"# {_line(contents.title)}",
        "",
        f"From the course {_line(contents.course)}, {contents.day}. {outcomes.num_shown} of "
        f"{len(outcomes.promises)} promises with evidence; {contents.num_read} of {contents.num_lessons} "
        "lessons read. All here was written by the learner or measured by a run.",
    ]
    for number, promise in enumerate(outcomes.promises, start=1):
        lines += [
            "",
            f"## {number}. {promise.title} ({name_state(promise.state)})",
            "",
            escape_markdown(promise.summary),
        ]
        lines += _write_evidence(contents, promise)
    lines += _write_exercises(contents)
    versions = ", ".join(f"{name} {version}" for name, version in contents.versions)
    return "\n".join([*lines, "", "## Made with", "", f"{escape_markdown(versions)}; {contents.day}."])


def _write_evidence(contents: "Contents", promise: Promise) -> list[str]:
    outcomes = contents.outcomes
    if promise.key == "explain":
        lines = (
            ["", "### From end to end", "", _quote(outcomes.explanation)]
            if outcomes.explanation.strip()
            else []
        )
        if outcomes.said:
            lines += ["", "### Lesson by lesson"]
        for one in outcomes.said:
            lines += ["", f"**{one.entry.number} {_line(one.entry.title)}**", "", _quote(one.text)]
        return lines
    if promise.key == "train" and outcomes.model is not None:
        return _table(describe_model(outcomes.model))
    if promise.key == "tune" and outcomes.tuned is not None:
        return _table(describe_tuned(outcomes.tuned))
    if promise.key == "read":
        lines = []
        for name, (label, _) in CRITIQUE_FIELDS.items():
            value = getattr(outcomes.critique, name).strip()
            if value:
                lines += [
                    "",
                    f"### {label}",
                    "",
                    f"<{value}>" if name == "link" and is_link(value) else _quote(value),
                ]
        return lines
    return []


def _write_exercises(contents: "Contents") -> list[str]:
    lines = ["", "## Exercises and checkpoints", ""]
    if contents.exercises:
        lines += ["| Topic | Done unaided | With the solution seen | Of |", "| --- | ---: | ---: | ---: |"]
        lines += [
            f"| {one.topic} {_line(one.title)} | {one.num_unaided} | {one.num_with_solution} "
            f"| {one.num_exercises} |"
            for one in contents.exercises
        ]
    else:
        lines.append("No exercises yet.")
    lines += ["", "### Checkpoints passed", ""]
    lines += [f"- {_line(entry.title)}, {day}" for entry, day in contents.checkpoints] or ["None yet."]
    if contents.parts:
        lines += ["", "### Parts of a GPT written by the learner", ""]
        for part in contents.parts:
            where = f", from {_line(part.lesson)}" if part.lesson else ""
            lines.append(f"- {_line(part.name)}{where}{f', {part.day}' if part.day else ''}")
    return lines


def _line(text: str) -> str:
    return escape_markdown(" ".join(text.split()))


def _quote(text: str) -> str:
    # two spaces at the end of a line keep it a line
    lines = escape_markdown(text).split("\n")
    return "\n".join(f"> {line}  " if line else ">" for line in lines).rstrip()


def _table(rows: Iterable[tuple[str, str]]) -> list[str]:
    return [
        "",
        "| What | Value |",
        "| --- | --- |",
        *(f"| {what} | {_line(value)} |" for what, value in rows),
    ]
