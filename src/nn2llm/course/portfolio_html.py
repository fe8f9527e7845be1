"""The portfolio as one HTML file: no script, nothing is loaded, light and dark, good on paper.

Read portfolio.py before, which calls it. Every text goes through `html.escape`.
"""

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from nn2llm.course.outcomes import CRITIQUE_FIELDS, Promise
from nn2llm.course.portfolio_words import describe_model, describe_tuned, is_link, name_state

if TYPE_CHECKING:
    from nn2llm.course.portfolio import Contents

__all__ = ["write_html"]

_STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#26221c, #e6e1d6); --soft: light-dark(#625a4e, #aea697);
  --paper: light-dark(#fcfaf5, #191b1d); --line: light-dark(#ddd4c3, #3a3e42);
  --accent: light-dark(#1d5f6e, #82c3cf); }
body { max-width: 42rem; margin: 2.5rem auto; padding: 0 1.2rem; background: var(--paper); color: var(--ink);
  font: 1.05rem/1.6 Charter, "Bitstream Charter", Georgia, "Liberation Serif", serif;
  overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.25; font-weight: 600; text-wrap: balance; }
h1 { font-size: 1.9rem; font-weight: 500; margin-bottom: 0.3em; }
h2 { font-size: 1.3rem; margin: 2.4em 0 0.5em; padding-top: 1em; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6em 0 0.4em; }
a { color: var(--accent); }
.soft { color: var(--soft); }
.state { font: 600 0.8rem/1.5 system-ui, sans-serif; color: var(--soft); }
.said { white-space: pre-line; }
table { width: 100%; border-collapse: collapse; font-size: 0.95rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35em 0.8em 0.35em 0; border-bottom: 1px solid var(--line); text-align: start;
  vertical-align: top; overflow-wrap: anywhere; }
th { width: 40%; font-weight: inherit; color: var(--soft); }
thead th { width: auto; }
@media print { body { margin: 0; max-width: none; font-size: 10.5pt; } h2, h3 { break-after: avoid; }
  table, tr { break-inside: avoid; } :root { color-scheme: light; } }
"""


def write_html(contents: "Contents") -> str:
    """The whole file."""
    outcomes = contents.outcomes
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(contents.title)}</title>",
        f"<style>{_STYLE}</style></head><body><main>",
        f"<h1>{escape(contents.title)}</h1>",
        f'<p class="soft">From the course {escape(contents.course)}, {contents.day}. {outcomes.num_shown} of '
        f"{len(outcomes.promises)} promises with evidence; {contents.num_read} of {contents.num_lessons} "
        "lessons read. All here was written by the learner or measured by a run.</p>",
    ]
    for number, promise in enumerate(outcomes.promises, start=1):
        parts += [
            f"<section><h2>{number}. {escape(promise.title)} "
            f'<span class="state">· {name_state(promise.state)}</span></h2>',
            f"<p>{escape(promise.summary)}</p>",
            *_write_evidence(contents, promise),
            "</section>",
        ]
    parts += _write_exercises(contents)
    versions = ", ".join(f"{escape(name)} {escape(version)}" for name, version in contents.versions)
    parts.append(f'<footer><h2>Made with</h2><p class="soft">{versions}; {contents.day}.</p></footer>')
    return "\n".join([*parts, "</main></body></html>"])


def _write_evidence(contents: "Contents", promise: Promise) -> list[str]:
    outcomes = contents.outcomes
    if promise.key == "explain":
        parts = (
            ["<h3>From end to end</h3>", _text(outcomes.explanation)] if outcomes.explanation.strip() else []
        )
        if outcomes.said:
            parts.append("<h3>Lesson by lesson</h3>")
        for one in outcomes.said:
            parts.append(
                f"<p><strong>{escape(one.entry.number)} {escape(one.entry.title)}</strong></p>"
                f"{_text(one.text)}"
            )
        return parts
    if promise.key == "train" and outcomes.model is not None:
        return [_table(describe_model(outcomes.model))]
    if promise.key == "tune" and outcomes.tuned is not None:
        return [_table(describe_tuned(outcomes.tuned))]
    if promise.key == "read" and not outcomes.critique.is_empty:
        parts = []
        for name, (label, _) in CRITIQUE_FIELDS.items():
            value = getattr(outcomes.critique, name).strip()
            if value:
                shown = _link(value) if name == "link" else _text(value)
                parts.append(f"<h3>{escape(label)}</h3>{shown}")
        return parts
    return []


def _write_exercises(contents: "Contents") -> list[str]:
    parts = ["<section><h2>Exercises and checkpoints</h2>"]
    if contents.exercises:
        rows = "".join(
            f"<tr><td>{one.topic} {escape(one.title)}</td><td>{one.num_unaided}</td>"
            f"<td>{one.num_with_solution}</td><td>{one.num_exercises}</td></tr>"
            for one in contents.exercises
        )
        parts.append(
            "<table><thead><tr><th>Topic</th><th>Done unaided</th><th>With the solution seen</th>"
            f"<th>Of</th></tr></thead><tbody>{rows}</tbody></table>"
        )
    else:
        parts.append("<p>No exercises yet.</p>")
    parts.append("<h3>Checkpoints passed</h3>")
    parts.append(
        _list(f"{escape(entry.title)}, {escape(day)}" for entry, day in contents.checkpoints)
        or "<p>None yet.</p>"
    )
    if contents.parts:
        parts.append("<h3>Parts of a GPT written by the learner</h3>")
        parts.append(
            _list(
                escape(part.name)
                + (f' <span class="soft">from {escape(part.lesson)}</span>' if part.lesson else "")
                + (f' <span class="soft">{escape(part.day)}</span>' if part.day else "")
                for part in contents.parts
            )
        )
    return [*parts, "</section>"]


def _text(text: str) -> str:
    return f'<p class="said">{escape(text.strip())}</p>'


def _link(text: str) -> str:
    if not is_link(text):
        return _text(text)
    return f'<p><a href="{escape(text)}" rel="noreferrer">{escape(text)}</a></p>'


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{escape(what)}</th><td>{escape(value)}</td></tr>" for what, value in rows)
    return f"<table><tbody>{cells}</tbody></table>"


def _list(items: Iterable[str]) -> str:
    inside = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul>{inside}</ul>" if inside else ""
