"""Questions as HTML: forms that a script brings to life, or, where nothing asks the server, folded answers.

Read after inline.py and quiz_places.py. Used by rendering.py, app/api_learning.py and the static site.
frontend/src/lesson/quiz*.ts and app/styles/quiz.css stand on its classes and data attributes. On the live
page nothing tells which option is right before an answer came.
"""

import html
from collections.abc import Sequence
from typing import Any

from nn2llm.core.errors import LessonError
from nn2llm.course.inline import Links, PageState, render_inline, render_prose
from nn2llm.course.lesson import Course
from nn2llm.course.markup import INLINE_MATH, to_plain_text
from nn2llm.course.quizzes import Option, Question, judge_answer

__all__ = ["describe_result", "render_place", "render_question"]

_ASKED = {
    "choice": "Choose one.",
    "multiple": "Choose all that are right.",
    "number": "Type a number.",
    "predict": "Predict first, then run the cell.",
}


def render_place(
    slug: str,
    questions: Sequence[Question],
    state: PageState,
    *,
    name: str = "",
    attributes: str = "",
    answers: bool = False,
) -> str:
    """The questions of one placeholder: `name` as it has it, `attributes` as they will stand there."""
    begin = f'<div class="quiz" data-quiz="{html.escape(name)}"{attributes}>'
    if not questions:
        text = "" if name.startswith("mixed ") else "<p>Coming here: questions to check yourself.</p>"
        return f"{begin}{text}</div>"
    pieces = [
        render_question(slug, question, state, number=number if len(questions) > 1 else None, answers=answers)
        for number, question in enumerate(questions, start=1)
    ]
    return begin + "\n".join(pieces) + "</div>"


def render_question(
    slug: str,
    question: Question,
    state: PageState,
    *,
    number: int | None = None,
    answers: bool = False,
    heading: str = "",
) -> str:
    """One question. With `answers` it is text to read, its answers in a fold; else a form for the script.

    Args:
        slug: of its lesson.
        question: what is asked.
        state: of the page, for links and mathematics.
        number: where it stands among those beside it.
        answers: whether the page holds the answers, and no form.
        heading: plain text beside the number, such as the lesson that it is from: it stands on another page
            then, where a prediction has no cell to run.
    """
    name = html.escape(f"question-{slug}-{question.id}" if heading else f"question-{question.id}")
    data = f'data-question="{html.escape(question.id)}" data-lesson="{html.escape(slug)}"'
    data += f' data-kind="{question.kind}"'
    cell = None if heading else question.cell
    if cell is not None:
        data += f' data-cell="{html.escape(cell)}"'
    titles = [f"Question {number}" if number else "Question", *([heading] if heading else [])]
    head = f'<p class="question-head" id="{name}-head">{html.escape(" · ".join(titles))}</p>'
    text = f'<div class="question-text" id="{name}-text">{_block(question.text, state)}</div>'
    begin = f'<section class="question" id="{name}" {data}'
    if answers:
        return (
            f'{begin} aria-labelledby="{name}-head">{head}{text}{_list_options(question, state)}'
            f'<details class="answer"><summary>Answer</summary>{_tell_answer(question, state)}</details>'
            "</section>"
        )
    controls = _choose(question, name, state) if question.options else _type(question, name)
    return (
        f'{begin}><form autocomplete="off"><fieldset aria-labelledby="{name}-head {name}-text" '
        f'aria-describedby="{name}-how">{head}{text}'
        f'<p class="question-how" id="{name}-how">{_say_how(question, cell)}</p>{controls}</fieldset>'
        f'<p class="question-send"><button type="submit" disabled>'
        f"{'Predict and run' if cell is not None else 'Answer'}</button></p>"
        f'</form><div class="question-result" hidden></div>'
        f'<noscript><p class="soft"><a href="/lesson/{html.escape(slug)}/answers#question-'
        f'{html.escape(question.id)}">The answer, on a page of its own</a></p></noscript></section>'
    )


def describe_result(question: Question, answer: Any, slug: str, course: Course) -> dict[str, Any]:
    """What the page shows after an answer: whether it is right, every option's why, where to read again.

    {"right", "rights": [per option], "whys": [HTML per option], "why": HTML, "expected": words,
    "see": {"url", "title"} or None}

    Raises:
        DataError: if it is no answer to this question.
    """
    right = judge_answer(question, answer)
    state = PageState(slug=slug, course=course)
    return {
        "right": right,
        "rights": [option.right for option in question.options],
        "whys": [render_inline(option.why, state) for option in question.options],
        "why": render_inline(question.why, state) if question.why else "",
        "expected": question.shown_answer,
        "see": None if right else _find_see(question, slug, course, state.links),
    }


def _find_see(question: Question, slug: str, course: Course, links: Links) -> dict[str, Any] | None:
    if question.see is None:
        return None
    target, _, anchor = question.see.partition("#")
    try:
        entry = course.lesson(target or slug)
    except LessonError:
        return None  # the author sees it among the lesson's mistakes
    if not course.is_ready(entry.slug):
        anchor = ""
    where = f"{entry.number} {entry.title}" + ("" if course.is_ready(entry.slug) else " (coming)")
    address = links.lesson.format(slug=entry.slug) + (f"#{anchor}" if anchor else "")
    return {"url": f"#{anchor}" if not target and anchor else address, "title": where}


def _say_how(question: Question, cell: str | None) -> str:
    how = _ASKED[question.kind]
    if question.kind == "predict" and cell is None:
        how = "Predict it."
    if question.options:
        how += f'<span class="keys"> Keys <kbd>1</kbd> to <kbd>{len(question.options)}</kbd>.</span>'
    return how


def _choose(question: Question, name: str, state: PageState) -> str:
    kind = "checkbox" if question.kind == "multiple" else "radio"
    items = [
        f'<li data-option="{at}"><label>'
        f'<input type="{kind}" name="{name}" value="{at}"{_name_formula(option)}> '
        f'<span class="option-text">{_inline(option.text, state)}</span></label></li>'
        for at, option in enumerate(question.options)
    ]
    return f'<ol class="options">{"".join(items)}</ol>'


def _name_formula(option: Option) -> str:
    """A label that is a drawn formula and nothing else has no text: the input says it in plain letters."""
    if INLINE_MATH.sub("", option.text).strip(" .,;:?!"):
        return ""
    return f' aria-label="{html.escape(to_plain_text(option.text))}"'


def _type(question: Question, name: str) -> str:
    label = "Your prediction" if question.kind == "predict" else "Your answer"
    numeric = ' inputmode="text"' if not isinstance(question.answer, float) else ""
    return (
        f'<p class="question-type"><label for="{name}-input">{label}</label> '
        f'<input id="{name}-input" type="text" maxlength="200" spellcheck="false"{numeric}></p>'
    )


# For pages without a server behind them.


def _list_options(question: Question, state: PageState) -> str:
    items = [f"<li>{_inline(option.text, state)}</li>" for option in question.options]
    return f'<ol class="options plain">{"".join(items)}</ol>' if items else ""


def _tell_answer(question: Question, state: PageState) -> str:
    if not question.options:
        why = f" {_inline(question.why, state)}" if question.why else ""
        return f"<p><b>{html.escape(question.shown_answer)}</b>.{why}</p>"
    items = [f"<li>{_mark(option)} {_inline(option.why, state)}</li>" for option in question.options]
    return f'<ol class="options plain whys">{"".join(items)}</ol>'


def _mark(option: Option) -> str:
    return '<b class="mark right">✓ Right.</b>' if option.right else '<b class="mark wrong">✗ Not right.</b>'


def _block(markdown: str, state: PageState) -> str:
    return _keep_terms(markdown, state, render_prose)


def _inline(markdown: str, state: PageState) -> str:
    return _keep_terms(markdown, state, render_inline)


def _keep_terms(markdown: str, state: PageState, draw: Any) -> str:
    """Rendered without defining a term: what a question makes bold is no definition."""
    terms, state.terms = state.terms, {}
    try:
        drawn: str = draw(markdown, state)
    finally:
        state.terms = terms
    return drawn
