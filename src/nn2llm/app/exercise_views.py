"""Exercises as the page needs them: states and verdicts with their Markdown as HTML, a form's values.

Read after course/exercises. Used by api_exercises.py; frontend/src/lesson/exercise/types.ts says the same in
TypeScript. Answers and hints that were not asked for never leave the server.
"""

import hashlib
import html
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nn2llm.course.exercises.forms import FormError, explain_syntax, read_form
from nn2llm.course.exercises.model import Exercise
from nn2llm.course.grading.stopped import is_whole
from nn2llm.course.highlighting import highlight_code
from nn2llm.course.inline import PageState, render_inline, render_prose

__all__ = ["make_mark", "make_sendable", "view_disk", "view_solution", "view_state", "view_verdict"]


def make_mark(*, num_attempts: int, hints: int, solution_seen: bool, status: str) -> str:
    """Changes with all that the page shows but the text, which has its version: it polls both."""
    whole = f"{num_attempts} {hints} {solution_seen} {status}"
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def view_disk(exercise: Exercise, text: str, version: str, path: Path) -> dict[str, Any]:
    """The learner's file: its text and, for a form, the values in it or why they cannot be read."""
    try:
        moment = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        changed_at = moment.isoformat(timespec="seconds")
    except OSError:
        changed_at = None
    values, trouble = _read_values(exercise, text)
    return {
        "text": text,
        "version": version,
        "changed_at": changed_at,
        "values": values,
        "form_error": trouble,
    }


def _read_values(exercise: Exercise, text: str) -> tuple[dict[str, Any] | None, str | None]:
    if not exercise.is_form:
        return None, None
    try:
        values = read_form(text, tuple(field.name for field in exercise.fields))
    except FormError as error:
        return None, f"Line {error.line} of your file: {error}"
    except SyntaxError as error:
        return None, explain_syntax(error, text, error.lineno, str(error.msg))
    except (ValueError, RecursionError, MemoryError):
        return None, "Your file cannot be read as Python. Reset begins again."
    return {name: _make_plain(value) for name, value in values.items() if value is not ...}, None


def _make_plain(value: Any) -> Any:
    """What the form's inputs can show: a text, a finite number, or a list of texts."""
    if isinstance(value, list | tuple | set):
        return [str(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str) else str(value)


def make_sendable(value: Any) -> Any:
    """JSON that can be sent, whatever a learner's code said: no lone surrogate, no NaN."""
    if isinstance(value, str):
        return value.encode("utf-8", errors="replace").decode("utf-8")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): make_sendable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [make_sendable(item) for item in value]
    return value


def view_state(
    exercise: Exercise, slug: str, state: dict[str, Any], graded_text: str | None
) -> dict[str, Any]:
    """`Exercises.state` for the page. `graded_text`: what the last verdict is about."""
    attempts = state["attempts"]
    last = state["last"] if is_whole(state["last"] or {}) else None  # one imported may be anything
    version = state["version"]
    return {
        **view_disk(exercise, state["text"], version, Path(state["path"])),
        "path": str(state["path"]),
        "status": state["status"],
        "unaided": state["unaided"],
        "solution_seen": state["solution_seen"],
        "hints": [_render(hint, slug) for hint in exercise.hints[: state["hints_seen"]]],
        "attempts": [
            {"id": one["id"], "at": one["at"], "status": one["status"], "message": one["message"]}
            for one in attempts[::-1]
        ],
        "last": None if last is None else view_verdict(exercise, slug, last, graded_text or ""),
        "last_is_current": last is not None and last.get("version") == version,
        "mark": make_mark(
            num_attempts=state["num_attempts"],
            hints=state["hints_seen"],
            solution_seen=state["solution_seen"],
            status=state["status"],
        ),
    }


def view_verdict(exercise: Exercise, slug: str, verdict: dict[str, Any], text: str) -> dict[str, Any]:
    """A verdict with what is Markdown in it as HTML, and why each option that was chosen holds or not."""
    checks = verdict.get("checks", [])
    judged = {check["field"] for check in checks if check.get("field")}
    return {
        **verdict,
        "checks": [_view_check(exercise, slug, check) for check in checks],
        "message_html": _render(_leave_status_away(verdict.get("message", "")), slug),
        "part_html": _render(verdict["part"], slug) if verdict.get("part") else None,
        "whys": _explain_choices(exercise, slug, text, judged),
    }


def _leave_status_away(message: str) -> str:
    """The page's heading says "Not finished yet" already; a terminal has the message alone."""
    return message.removeprefix("Not finished yet: ")


def _view_check(exercise: Exercise, slug: str, check: dict[str, Any]) -> dict[str, Any]:
    page = PageState(slug=slug)
    diagnosis, evidence = check.get("diagnosis"), check.get("evidence")
    field = next((one for one in exercise.fields if one.name == check.get("field")), None)
    if field is not None and field.options:
        diagnosis = None  # each chosen option says why itself
    if evidence:
        told = evidence.get("lines", []) if field is None or field.kind != "choice" else []
        lines = [render_inline(line, page) for line in told]
        evidence = {**evidence, "lines_html": lines}
    return {
        **check,
        "evidence": evidence or None,
        "field_kind": field.kind if field else None,
        "title_html": render_inline(check.get("title") or check["name"], page),
        "diagnosis_html": _render(diagnosis, slug) if diagnosis else None,
    }


def _explain_choices(exercise: Exercise, slug: str, text: str, judged: set[str]) -> dict[str, dict[str, str]]:
    values, _ = _read_values(exercise, text)
    whys: dict[str, dict[str, str]] = {}
    for field in exercise.fields:
        value = (values or {}).get(field.name)
        chosen = value if isinstance(value, list) else [value]
        said = {one.value: _render(one.why, slug) for one in field.options if one.value in chosen}
        if said and field.name in judged:
            whys[field.name] = said
    return whys


def view_solution(source: str) -> str:
    """Python as HTML."""
    return (
        '<pre class="code" tabindex="0"><code class="language-python">'
        f"{highlight_code(source.rstrip(), 'python')}</code></pre>"
    )


def _render(markdown: str, slug: str) -> str:
    try:
        return render_prose(markdown, PageState(slug=slug))
    except RecursionError:  # a learner's own words, nested a thousand times
        return f"<p>{html.escape(markdown[:2000])}</p>"
