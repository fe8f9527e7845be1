"""An exercise as HTML: title, kind, difficulty, minutes, the task, what a form asks. No answer, no hint.

It can be read without JavaScript and in the static site; frontend/src/lesson/exercise makes it live and
stands on its classes and data attributes. Read after inline.py. Used by rendering.py, and by app/pages.py
(`list_exercises`).
"""

import html
from pathlib import Path
from typing import Any

from nn2llm.core.errors import LessonError
from nn2llm.course.exercises.model import Exercise, Field, Symbol, find_exercise, load_exercises
from nn2llm.course.inline import PageState, render_inline, render_prose

__all__ = ["KIND_WORDS", "list_exercises", "render_exercise_place"]

KIND_WORDS = {
    "implement": "Write the code",
    "repair": "Repair the code",
    "diagnose": "Find the cause",
    "decide": "Decide",
    "derive": "Find the formula",
}
_SECONDS = 10.0
"""A check ends after this long where the exercise sets no limit of its own."""
_SYMBOLS = (
    '<table class="field-symbols"><caption>You may use</caption><thead><tr><th scope="col">symbol</th>'
    '<th scope="col">meaning</th><th scope="col">shape</th></tr></thead><tbody>{rows}</tbody></table>'
)


def render_exercise_place(folder: Path, name: str, state: PageState, tour: str = "") -> tuple[str, str]:
    """(HTML, title) of the exercise; where exercises.yaml is broken, of a notice that says what is wrong.

    A lesson without exercises.yaml says that the exercise is coming.
    """
    anchor = html.escape(name)
    if not (folder / "exercises.yaml").is_file():
        return (
            f'<div class="exercise" id="exercise-{anchor}" data-exercise="{anchor}"{tour}>'
            f"<p>Coming here: an exercise, <em>{anchor}</em>.</p></div>",
            "",
        )
    try:
        exercise = find_exercise(folder, name)
    except LessonError as error:
        words = html.escape(str(error).removeprefix(f"{folder}/"))
        return (
            f'<div class="exercise exercise-broken" id="exercise-{anchor}"{tour}>'
            f"<p><strong>The exercise <em>{anchor}</em> cannot be shown.</strong> {words}</p></div>",
            "",
        )
    return _render(exercise, state, tour), exercise.title


def list_exercises(folder: Path) -> list[dict[str, Any]]:
    """What the page's script must know of each exercise; [] where exercises.yaml is broken or missing."""
    try:
        exercises = load_exercises(folder)
    except LessonError:
        return []
    return [
        {
            "name": exercise.name,
            "kind": exercise.kind,
            "title": exercise.title,
            "functions": list(exercise.functions),
            "fields": [
                {
                    "name": field.name,
                    "kind": field.kind,
                    "unit": field.unit or None,
                    "min_words": field.min_words or None,
                }
                for field in exercise.fields
            ],
            "num_hints": len(exercise.hints),
            "seconds": exercise.limits.get("seconds", _SECONDS),
        }
        for exercise in exercises
    ]


def _render(exercise: Exercise, state: PageState, tour: str) -> str:
    name = html.escape(exercise.name)
    title = f"exercise-{name}-title"
    listed: set[str] = set()
    fields = "".join(_render_field(field, state, listed) for field in exercise.fields)
    if fields:
        fields = f'<div class="exercise-fields">{fields}</div>\n'
    command = f"nn2llm learn check {html.escape(state.slug)} {name}"
    return (
        f'<section class="exercise" id="exercise-{name}" data-exercise="{name}" data-kind="{exercise.kind}"'
        f'{tour} aria-labelledby="{title}">\n'
        f'<h3 id="{title}">{render_inline(exercise.title, state)}</h3>\n'
        f'<p class="exercise-facts"><span class="exercise-kind">{KIND_WORDS[exercise.kind]}</span> · '
        f'<span class="dots" role="img" aria-label="difficulty {exercise.difficulty} of 5">'
        f"{'●' * exercise.difficulty}{'○' * (5 - exercise.difficulty)}</span> · {exercise.minutes} min</p>\n"
        f'<div class="exercise-task">\n{_render_markdown(exercise.task, state)}</div>\n{fields}'
        f'<p class="exercise-how">To do it, open the course with <code>nn2llm start</code> in a browser with '
        f"JavaScript, or write your answer in a file and check it in a terminal: <code>{command}</code>.</p>"
        "\n</section>"
    )


def _render_markdown(markdown: str, state: PageState) -> str:
    text = render_prose(markdown, state)
    state.headings.clear()  # a task's own headings are not in the outline
    return text


def _render_field(field: Field, state: PageState, listed: set[str]) -> str:
    """`listed`: rows of symbols that stand above already; those of this field are added."""
    name = html.escape(field.name)
    label = _render_markdown(field.label, state)
    more = ""
    if field.options:
        more = "".join(
            f'<li data-value="{html.escape(option.value)}">{render_inline(option.text, state)}</li>'
            for option in field.options
        )
        marks = "of which several may hold" if field.kind == "multiple" else "of which one holds"
        more = f'<ul class="field-options" aria-label="Choices, {marks}">{more}</ul>'
    elif field.symbols:
        rows = [row for symbol in field.symbols if (row := _render_symbol(symbol, state)) not in listed]
        listed.update(rows)
        more = _SYMBOLS.format(rows="".join(rows)) if rows else ""
    elif field.unit:
        more = f'<p class="field-unit">A number, in {html.escape(field.unit)}.</p>'
    return (
        f'<div class="exercise-field" data-field="{name}" data-kind="{field.kind}">'
        f'<div class="field-label">{label}</div>{more}</div>\n'
    )


def _render_symbol(symbol: Symbol, state: PageState) -> str:
    return (
        f'<tr><th scope="row"><code>{html.escape(symbol.name)}</code></th>'
        f"<td>{render_inline(symbol.about, state)}</td><td>{_say_shape(symbol.shape)}</td></tr>"
    )


def _say_shape(shape: tuple[str, ...]) -> str:
    if not shape:
        return "a number"
    inside = ", ".join(html.escape(size) for size in shape)
    return f"({inside}{',' if len(shape) == 1 else ''})"
