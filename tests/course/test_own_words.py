"""The section "In one breath" as data: found, rendered for both kinds of page, and its lacks named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nn2llm.course.lesson import Course, Lesson
from nn2llm.course.loader import load_course, load_lesson
from nn2llm.course.own_words import find_own_words, find_words_problems
from nn2llm.course.rendering import render_lesson

SECTION = """\
## In one breath
<!-- tour -->

Write three sentences first.

<details>
<summary>Ours, to compare</summary>

Ours.

{points}

</details>

Next comes more.
"""
FOUR = "Did you say: (1) the **first**, (2) $f(1)$ as a step, (3) `x (2) y`, and (4) the last?"


@pytest.fixture
def read(lessons: Path, write_lesson: Callable[..., Path]) -> Callable[[str], Lesson]:
    """The lesson with that body."""

    def make(body: str) -> Lesson:
        write_lesson("tensors", body)
        course: Course = load_course(lessons)
        return load_lesson(course.lesson("tensors"))

    return make


def test_the_points_are_what_stands_behind_the_numbers(read: Callable[[str], Lesson]) -> None:
    words = find_own_words(read(SECTION.format(points=FOUR)))
    assert words is not None
    assert words.section == "in-one-breath"
    # numbers in code and mathematics are none
    assert words.points == ("the **first**", "$f(1)$ as a step", "`x (2) y`", "the last")


def test_the_last_paragraph_has_them_not_one_before(read: Callable[[str], Lesson]) -> None:
    words = find_own_words(read(SECTION.format(points="We take (1) and (2).\n\n" + FOUR)))
    assert words is not None
    assert len(words.points) == 4


@pytest.mark.parametrize("points", ["Did you say: (1) a, (3) b?", "No points.", "(2) b, (1) a?"])
def test_numbers_that_do_not_count_up_are_no_points(read: Callable[[str], Lesson], points: str) -> None:
    lesson = read(SECTION.format(points=points))
    words = find_own_words(lesson)
    assert words is not None
    assert words.points == ()
    [problem] = find_words_problems(lesson)
    assert "has 0 points to tick, not 4" in problem.message
    assert lesson.path.read_text().splitlines()[problem.line - 1] == "<details>"


def test_a_whole_section_has_no_problems(read: Callable[[str], Lesson]) -> None:
    assert find_words_problems(read(SECTION.format(points=FOUR))) == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("## The question\n\nWhat?\n", "There is no section '## In one breath'"),
        ("## In one breath\n\nWhat?\n", "has no fold 'Ours, to compare'"),
        (SECTION.format(points="Did you say: (1) a, (2) b, (3) c?"), "has 3 points to tick, not 4"),
    ],
)
def test_what_is_missing_is_named(read: Callable[[str], Lesson], body: str, says: str) -> None:
    lesson = read(body)
    [problem] = find_words_problems(lesson)
    assert says in problem.message


def test_another_fold_of_that_name_is_none(read: Callable[[str], Lesson]) -> None:
    body = SECTION.format(points=FOUR).replace("## In one breath", "## The idea")
    assert find_own_words(read(body)) is None
    assert "own-points" not in render_lesson(read(body)).html


def test_the_page_has_the_points_hidden_until_its_script_shows_them(read: Callable[[str], Lesson]) -> None:
    page = render_lesson(read(SECTION.format(points=FOUR))).html
    assert '<details class="fold ours"><summary>Ours, to compare</summary>' in page
    start = page.index('<ul class="own-points"')
    assert page[start:].split(">")[0].endswith(" hidden")
    # without JavaScript, and in the static site, the sentence itself is read, as it was
    sentence = page.rindex("<p>Did you say: (1) the", 0, start)
    assert page[sentence:start].count("<p>") == 1
    assert page[start:].count('<input type="checkbox"') == 4
    assert 'data-tex="f(1)"' in page[start:]


def test_lesson_1_6_has_its_words() -> None:
    assert find_words_problems(load_lesson(load_course().lesson("1.6"))) == []
