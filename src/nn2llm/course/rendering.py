"""A lesson as HTML: sections, cells, equations, folds. It can be read without JavaScript.

Read after inline.py. Used by the pages and the static site. Its classes and data attributes are what the
stylesheet and frontend/ stand on: change them together. Mathematics keeps its TeX, in `data-tex` and as text.
"""

import html
from collections.abc import Iterable
from pathlib import Path

from nn2llm.course.highlighting import highlight_code
from nn2llm.course.inline import (
    Links,
    PageState,
    format_math,
    learn_references,
    render_block,
    render_inline,
    render_prose,
)
from nn2llm.course.lesson import (
    Block,
    Cell,
    Course,
    Equation,
    Fold,
    Heading,
    Lesson,
    Placeholder,
    Prose,
    RenderedLesson,
    Section,
    walk_blocks,
)
from nn2llm.course.markup import make_anchor, to_plain_text
from nn2llm.course.own_words import OwnWords, find_words_in_section
from nn2llm.course.quiz_places import place_questions
from nn2llm.course.quiz_rendering import render_place
from nn2llm.course.quizzes import Question, load_questions
from nn2llm.course.rendering_exercises import render_exercise_place

__all__ = ["render_lesson"]

_CELL_SUMMARIES = {"figure": "How this figure is drawn", "verify": "How this is checked"}


def render_lesson(
    lesson: Lesson, *, course: Course | None = None, links: Links | None = None, answers: bool = False
) -> RenderedLesson:
    """The lesson's page. With `course`, references to equations of other lessons are links too.

    With `answers`, questions hold their answers in folds, for pages that no server stands behind.
    """
    state = PageState(
        slug=lesson.slug,
        links=links or Links(),
        course=course,
        equations=frozenset(equation.number for equation in lesson.equations if equation.number),
        terms={" ".join(term.lower().split()): f"term-{make_anchor(term)}" for term in lesson.terms},
        anchors={section.id for section in lesson.sections},
    )
    for block in walk_blocks(lesson.blocks):
        if isinstance(block, Prose):
            learn_references(block.markdown, state)
    return _Renderer(state, lesson.folder, answers=answers).render(lesson)


class _Renderer:
    def __init__(self, state: PageState, folder: Path, *, answers: bool = False) -> None:
        self.state = state
        self.folder = folder
        self.answers = answers
        self.questions: dict[int, tuple[Question, ...]] = {}
        self.outline: list[tuple[int, str, str]] = []
        self.words = 0
        self.fold_depth = 0
        self.own_words: OwnWords | None = None
        self.drawn_equations: set[str] = set()

    def render(self, lesson: Lesson) -> RenderedLesson:
        self.questions = place_questions(lesson.blocks, load_questions(lesson.folder))
        pieces = [self.render_section(section) for section in lesson.sections]
        return RenderedLesson(html="\n".join(pieces), outline=tuple(self.outline), words=self.words)

    def render_section(self, section: Section) -> str:
        route = "tour" if section.tour else "core"
        begin = f'<section class="part" id="{html.escape(section.id)}" data-route="{route}"'
        if not section.tour and any(getattr(block, "tour", False) for block in section.blocks):
            begin += " data-has-tour"  # the tour shows its heading and the marked blocks
        self.own_words = find_words_in_section(section)
        if self.own_words is not None:
            begin += " data-own-words"
        heading = ""
        if section.title:
            plain = to_plain_text(section.title)
            self.outline.append((2, section.id, plain))
            self.words += len(plain.split())
            heading = f"<h2>{render_inline(section.title, self.state)}</h2>\n"
        return f"{begin}>\n{heading}{self.render_blocks(section.blocks)}\n</section>"

    def render_blocks(self, blocks: Iterable[Block]) -> str:
        return "\n".join(self.render_block(block) for block in blocks)

    def render_block(self, block: Block) -> str:
        match block:
            case Prose():
                return self.render_prose(block)
            case Cell():
                return self.render_cell(block)
            case Equation():
                return self.render_equation(block)
            case Fold():
                return self.render_fold(block)
            case Placeholder():
                return self.render_placeholder(block)
            case Heading():
                return ""  # the section has it

    def render_prose(self, block: Prose) -> str:
        if not self.fold_depth:
            self.words += len(to_plain_text(block.markdown).split())
        if block.tour:
            first, rest = render_block(block.markdown, self.state)
            text = f'<div data-route="tour">\n{first}</div>\n{rest}'
        else:
            text = render_prose(block.markdown, self.state)
        for level, anchor, title in self.state.headings:
            if level == 3 and not self.fold_depth:
                self.outline.append((3, anchor, to_plain_text(title)))
        self.state.headings.clear()
        if self.own_words is not None and block is self.own_words.points_block:
            text += self.render_points(self.own_words.points)
        return text

    def render_points(self, points: Iterable[str]) -> str:
        """What the reader ticks once theirs is written; hidden until the page's script shows it."""
        items = "".join(
            '<li><label><input type="checkbox" autocomplete="off"> '
            f"{render_inline(point, self.state)}</label></li>"
            for point in points
        )
        return f'<ul class="own-points" aria-label="Did you say" hidden>{items}</ul>\n'

    def render_cell(self, cell: Cell) -> str:
        name = html.escape(cell.id)
        attributes = f'data-cell="{name}" data-kind="{cell.kind}" id="cell-{name}"{_tour(cell.tour)}'
        if cell.eq is not None:
            attributes += f' data-eq="{html.escape(cell.eq)}"'
        if cell.seconds is not None:
            attributes += f' data-seconds="{cell.seconds:g}"'
        title = f'<span class="cell-title">{html.escape(cell.title)}</span>' if cell.title else ""
        code = (
            f'<pre class="cell-code" data-code><code class="language-python">'
            f"{highlight_code(cell.code, 'python')}</code></pre>"
        )
        if cell.kind in ("code", "slow"):
            label = html.escape(cell.title or f"Cell {cell.id}")
            return (
                f'<section class="cell" {attributes} aria-label="{label}">'
                f'<div class="cell-bar">{title}</div>{code}'
                f'<div class="cell-outputs" aria-live="polite"></div></section>'
            )
        summary = _CELL_SUMMARIES[cell.kind]
        if cell.eq is not None:
            summary = f"How ({html.escape(cell.eq)}) is checked"
        if cell.title:
            summary += f": {html.escape(cell.title)}"
        fold = (
            f'<details class="cell cell-figure" {attributes}><summary>{summary}</summary>'
            f'<div class="cell-bar"></div>{code}'
        )
        # what a figure shows stands below its fold: it is seen while the code is not
        if cell.kind == "figure":
            return f'{fold}</details>\n<div class="cell-outputs" data-cell="{name}" aria-live="polite"></div>'
        return f'{fold}<div class="cell-outputs" aria-live="polite"></div></details>'

    def render_equation(self, equation: Equation) -> str:
        drawing = format_math(equation.tex, display=True)
        number = equation.number
        if number is None or number in self.drawn_equations:
            return f'<figure class="equation"{_tour(equation.tour)}>{drawing}</figure>'
        self.drawn_equations.add(number)
        kind = f' data-kind="{equation.kind}"' if equation.kind else ""
        label = f' <span class="eq-kind">{equation.kind}</span>' if equation.kind else ""
        return (
            f'<figure class="equation" id="eq-{number}" data-eq="{number}"{kind}{_tour(equation.tour)}>'
            f'{drawing}<figcaption><a href="#eq-{number}">({number})</a>{label} '
            f'<button class="eq-check" type="button" hidden></button></figcaption></figure>'
        )

    def render_fold(self, fold: Fold) -> str:
        self.fold_depth += 1
        inside = self.render_blocks(fold.blocks)
        self.fold_depth -= 1
        summary = render_inline(fold.summary, self.state)
        is_ours = self.own_words is not None and fold is self.own_words.fold
        kind = "fold ours" if is_ours else "fold"  # the full route opens the others alone
        return f'<details class="{kind}"{_tour(fold.tour)}><summary>{summary}</summary>\n{inside}\n</details>'

    def render_placeholder(self, place: Placeholder) -> str:
        if place.kind == "quiz":
            return self.render_quiz(place)
        text, title = render_exercise_place(self.folder, place.name or "", self.state, _tour(place.tour))
        if title and not self.fold_depth:
            self.outline.append((3, f"exercise-{place.name}", to_plain_text(title)))
        return text

    def render_quiz(self, place: Placeholder) -> str:
        return render_place(
            self.state.slug,
            self.questions.get(place.line, ()),
            self.state,
            name=place.name or "",
            attributes=_tour(place.tour),
            answers=self.answers,
        )


def _tour(marked: bool) -> str:
    return ' data-route="tour"' if marked else ""
