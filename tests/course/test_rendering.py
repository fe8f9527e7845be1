"""A lesson as HTML: what the stylesheet and the frontend stand on, and nothing that the pages forbid."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.course.inline import Links
from nn2llm.course.lesson import RenderedLesson
from nn2llm.course.loader import find_problems, load_course, load_lesson
from nn2llm.course.rendering import render_lesson

from .conftest import WriteLesson

VOID = {"img", "br", "hr", "input"}


class Checker(HTMLParser):
    """Every element is closed, every id is there once, no style, no script, no handler."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert name != "style"
            assert not name.startswith("on"), (tag, name)
            if name == "id":
                self.ids.append(value or "")
        assert tag not in ("script", "style", "iframe")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def check(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    assert len(checker.ids) == len(set(checker.ids)), sorted(checker.ids)
    return checker


@pytest.fixture
def render(lessons: Path, write_lesson: WriteLesson):
    def render_body(body: str, **fields: str) -> RenderedLesson:
        write_lesson("tensors", body, **fields)
        course = load_course(lessons)
        rendered = render_lesson(load_lesson(course.lesson("tensors")), course=course)
        check(rendered.html)
        return rendered

    return render_body


def test_sections_have_their_route_and_stand_in_the_outline(render):
    rendered = render(
        "Before.\n\n## The *question*\n<!-- tour -->\n\nOne.\n\n### A detail\n\n## More\n\nTwo three.\n\n"
        "<details><summary>Deeper: $x$</summary>\n\n### Hidden\n\nFour.\n</details>\n"
    )
    assert rendered.outline == (
        (2, "the-question", "The question"),
        (3, "a-detail", "A detail"),
        (2, "more", "More"),
    )
    assert '<section class="part" id="start" data-route="core">' in rendered.html
    assert (
        '<section class="part" id="the-question" data-route="tour">\n<h2>The <em>question</em></h2>'
        in rendered.html
    )
    assert '<h3 id="a-detail">A detail</h3>' in rendered.html
    assert (
        '<details class="fold"><summary>Deeper: <span class="math" data-tex="x">x</span></summary>'
        in rendered.html
    )
    assert '<h3 id="hidden">' in rendered.html
    assert rendered.words == 9  # Before, The question, One, A detail, More, Two three: the fold is not core


def test_a_marked_paragraph_is_on_the_tour_and_its_section_says_so(render):
    html = render("## A\n\nNo.\n\n<!-- tour -->\nYes *this*.\n\nNot this.\n").html
    assert '<section class="part" id="a" data-route="core" data-has-tour>' in html
    assert '<div data-route="tour">\n<p>Yes <em>this</em>.</p>\n</div>\n<p>Not this.</p>' in html


def test_mathematics_keeps_its_tex_and_is_never_markdown(render):
    html = render(
        "It is $a_i * b_i * c < \\hat{y}$, not $5 or $6, and $$x_1 + x_2$$ too.\n\n$$\na & b\n$$\n"
    ).html
    assert (
        '<span class="math" data-tex="a_i * b_i * c &lt; \\hat{y}">a_i * b_i * c &lt; \\hat{y}</span>' in html
    )
    assert "not $5 or $6" in html
    assert '<span class="math" data-tex="x_1 + x_2" data-display>' in html
    assert (
        '<figure class="equation">'
        '<div class="math" data-tex="a &amp; b" data-display>a &amp; b</div></figure>' in html
    )


def test_mathematics_at_the_start_of_a_line_that_ends_in_a_digit(render):
    assert '<span class="math" data-tex="x">x</span> is 3' in render("$x$ is 3\n").html


def test_equations_are_numbered_marked_and_linked(render):
    rendered = render(
        "<!-- eq 1.1.1 derived -->\n$$ a \\tag{1.1.1} $$\n\nBy (1.1.1), `(1.1.1)`, [see (1.1.1)](#x), "
        "(1.1.7) and (1.2.4).\n\n"
        '```python verify id="check" eq="1.1.1"\nverify()\n```\n'
    )
    assert (
        '<figure class="equation" id="eq-1.1.1" data-eq="1.1.1" data-kind="derived">'
        '<div class="math" data-tex="a" data-display>a</div><figcaption><a href="#eq-1.1.1">(1.1.1)</a> '
        '<span class="eq-kind">derived</span> <button class="eq-check" type="button" hidden></button>'
        "</figcaption></figure>"
    ) in rendered.html
    assert 'By <a class="eq-ref" href="#eq-1.1.1">(1.1.1)</a>, <code>(1.1.1)</code>' in rendered.html
    assert '<a href="#x">see (1.1.1)</a>' in rendered.html
    assert "(1.1.7) and" in rendered.html  # no such equation: left as it is
    assert '<a class="eq-ref" href="/lesson/gradient-descent#eq-1.2.4">(1.2.4)</a>' in rendered.html
    assert "<summary>How (1.1.1) is checked</summary>" in rendered.html


def test_an_equation_that_stands_twice_has_its_anchor_once(render):
    render("<!-- eq 1.1.1 quoted -->\n$$ a \\tag{1.1.1} $$\n<!-- eq 1.1.1 quoted -->\n$$ a \\tag{1.1.1} $$\n")


def test_cells(render):
    html = render(
        '```python id="fit" title="Fit & see"\nfor x in "<b>":\n    pass\n```\n'
        '```python slow id="long" seconds="40"\nx\n```\n'
        '```python figure id="plot"\nx\n```\n'
    ).html
    assert (
        '<section class="cell" data-cell="fit" data-kind="code" id="cell-fit" aria-label="Fit &amp; see">'
        '<div class="cell-bar"><span class="cell-title">Fit &amp; see</span></div>'
        '<pre class="cell-code" data-code><code class="language-python"><span class="k">for</span>'
    ) in html
    assert "&lt;b&gt;" in html
    assert '<div class="cell-outputs" aria-live="polite"></div></section>' in html
    assert 'data-kind="slow" id="cell-long" data-seconds="40"' in html
    assert (
        '<details class="cell cell-figure" data-cell="plot" data-kind="figure" id="cell-plot">'
        "<summary>How this figure is drawn</summary>"
    ) in html
    assert '</details>\n<div class="cell-outputs" data-cell="plot" aria-live="polite"></div>' in html


@pytest.mark.parametrize("code", ["\n\nx = 1", "x = '''\n\n  a\n'''", "a\tb", "def f(:", "é = '😀'"])
def test_the_code_shown_is_the_code(code: str, render):
    text = check(render(f"```python\n{code}\n```\n").html).text
    assert text.strip("\n") == code.strip("\n")
    assert code in text


def test_terms_are_marked_where_they_are_bold_first(render):
    html = render(
        "The **Learning\nrate** and **learning rate** and **other**.\n\n- **Shapes** `x`\n",
        terms="[learning rate, shape]",
    ).html
    assert (
        'The <dfn class="term" id="term-learning-rate">Learning\nrate</dfn> and '
        "<strong>learning rate</strong>" in html
    )
    assert "<strong>other</strong>" in html
    assert '<dfn class="term" id="term-shape">Shapes</dfn>' in html


def test_quoted_numbers_and_comments(render):
    html = render(
        "It is <!-- from: fit -->1.43, <!-- from: fit -->`2` <!-- or so -->now.\n\n```python id='fit'\n1\n```"
    ).html
    assert 'It is <span class="quoted" data-from="fit">1.43</span>,' in html
    assert '<span class="quoted" data-from="fit"><code>2</code></span> now.' in html


def test_tables_images_links_and_static_code(render, lessons: Path):
    (lessons / "01_foundations" / "01_tensors").mkdir(parents=True)
    (lessons / "01_foundations" / "01_tensors" / "a.svg").write_text("<svg/>", encoding="utf-8")
    html = render(
        "| a | b |\n|---|--:|\n| 1 | 2 |\n\n![An *a*](a.svg)\n\n[out](https://example.org) [file](./a.svg) "
        "[on](../02_gradient_descent/lesson.md#why) [up](../../00_introduction/01_roadmap/lesson.md) "
        "[here](#x)\n\n"
        "```bash\nls <dir>\n```\n\n```nosuchlanguage\n<x>\n```\n"
    ).html
    assert '<div class="table-wrap" tabindex="0" role="group" aria-label="Table"><table>' in html
    assert '<th class="align-right" scope="col">b</th>' in html
    assert '<td class="align-right">2</td>' in html
    assert '<img src="/lesson-file/tensors/a.svg" alt="An a" loading="lazy">' in html
    assert '<a href="https://example.org" rel="noopener noreferrer" class="external">out</a>' in html
    assert '<a href="/lesson-file/tensors/a.svg">file</a>' in html
    assert '<a href="/lesson/gradient-descent#why">on</a>' in html
    assert '<a href="/lesson/roadmap">up</a>' in html
    assert '<a href="#x">here</a>' in html
    assert '<pre class="code" tabindex="0"><code class="language-bash">ls' in html
    assert '<code class="language-nosuchlanguage">&lt;x&gt;</code>' in html


def test_a_static_site_has_its_own_addresses(lessons: Path, write_lesson: WriteLesson):
    write_lesson("tensors", "[on](../02_gradient_descent/lesson.md) [file](a.csv)\n")
    lesson = load_lesson(load_course(lessons).lesson("tensors"))
    links = Links(lesson="../{slug}/index.html", file="files/{path}")
    html = render_lesson(lesson, links=links).html
    assert '<a href="../gradient-descent/index.html">on</a> <a href="files/a.csv">file</a>' in html


def test_html_and_dangerous_links_are_shown_as_typed(render):
    html = render('<script>alert(1)</script>\n\n<b onclick="x">b</b> [x](javascript:alert(1))\n').html
    assert "&lt;script&gt;" in html
    assert "href" not in html


def test_places_for_exercises_and_the_quiz(render):
    html = render("<!-- exercise: fit-it -->\n<!-- tour -->\n<!-- quiz -->\n").html
    assert '<div class="exercise" id="exercise-fit-it" data-exercise="fit-it">' in html
    assert '<div class="quiz" data-quiz="" data-route="tour">' in html


PIECES = [
    "$", "$$", "`", "```", "```python", "**", "*", "<!-- tour -->", "<!-- from: a -->1", "<details>",
    "</details>", "<summary>s</summary>", "## ", "(1.1.1)", "|", "---", "\n", "\n\n", "\\", "[a](b)", "![",
    "word", "1", "- ", "&", '"', "\\tag{1.1.1}", "~~~", "    ",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
@settings(deadline=None, max_examples=100)
def test_whatever_is_typed_is_a_page_or_a_problem(tmp_path_factory, body: str):
    from .conftest import SYLLABUS

    folder = tmp_path_factory.getbasetemp() / "typed"
    path = folder / "01_foundations" / "01_tensors" / "lesson.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    (folder / "syllabus.yaml").write_text(SYLLABUS, encoding="utf-8")
    front = 'number: "1.1"\nslug: tensors\ntitle: T\nminutes: 3\ndifficulty: 1\nterms: [word]'
    path.write_text(f"---\n{front}\n---\n{body}", encoding="utf-8")
    course = load_course(folder)
    problems = find_problems(course)
    if any(problem.fatal for problem in problems):
        return
    lesson = load_lesson(course.lesson("tensors"))
    checker = check(render_lesson(lesson).html)
    assert all(problem.line <= body.count("\n") + 9 for problem in problems)
    assert not re.search(r"\x00", checker.text)


def test_addresses_named_below_a_cell_serve_the_text_above_it(render):
    html = render(
        "See [the page][p].\n\n```python\n1\n```\n\n`[p]: no` here.\n\n[p]: https://example.org/x\n"
    ).html
    assert (
        '<p>See <a href="https://example.org/x" rel="noopener noreferrer" class="external">the page</a>.'
        in html
    )


def test_a_small_heading_never_takes_the_anchor_of_a_cell(render):
    html = render('## A\n\n### Cell fit\n\n### A\n\n```python id="fit"\n1\n```\n').html
    assert '<h3 id="section-cell-fit">' in html
    assert '<h3 id="a-2">' in html
