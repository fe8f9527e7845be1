"""quiz.yaml: read, placed, judged, rendered; and each fault named with its line and remedy."""

from pathlib import Path

import pytest

from nn2llm.core.errors import DataError
from nn2llm.course.front_matter import ProblemList
from nn2llm.course.inline import PageState
from nn2llm.course.lesson import Lesson
from nn2llm.course.loader import find_problems, load_course, load_lesson
from nn2llm.course.quiz_places import place_questions
from nn2llm.course.quiz_rendering import describe_result, render_question
from nn2llm.course.quizzes import Question, judge_answer, load_questions, read_quiz
from nn2llm.course.rendering import render_lesson

CHOICE = """\
- id: sign
  concept: descent
  kind: choice
  text: "Which way does a step go where $f'(w) > 0$?"
  options:
    - {text: "to a smaller $w$", why: "Against the slope.", right: true}
    - {text: "to a larger $w$", why: "That is ascent."}
"""
WARM = """\
- id: shapes
  concept: broadcasting
  kind: multiple
  place: before
  text: Which shapes fit `(38, 1)`?
  see: "tensors#the-shape"
  options:
    - {text: "`(38,)`", why: "Yes", right: true}
    - {text: "`(1, 5)`", why: Too, right: true}
    - {text: "`(7, 2)`", why: 38 meets 7}
"""
PREDICT = """\
- id: what-shape
  concept: broadcasting
  kind: predict
  place: inline
  text: What shape comes out?
  cell: fit
  answer: ["(38, 38)", "38 x 38"]
  why: Each meets *every* other.
"""
NUMBER = """\
- id: miss
  concept: loss
  kind: number
  text: How many?
  answer: 250
  atol: 2
  review: false
"""
ALL = CHOICE + WARM + PREDICT + NUMBER


@pytest.fixture
def read_text(tmp_path: Path):
    def read(text: str) -> tuple[tuple[Question, ...], list[str]]:
        path = tmp_path / "quiz.yaml"
        path.write_text(text, encoding="utf-8")
        problems = ProblemList(path)
        questions = read_quiz(path, problems)
        return questions, [f"{problem.line}: {problem.message}" for problem in problems.found]

    return read


def test_all_kinds_are_read(read_text):
    questions, problems = read_text(ALL)
    assert problems == []
    sign, shapes, what_shape, miss = questions
    assert [option.right for option in sign.options] == [True, False]
    assert (sign.place, sign.review, sign.line) == ("end", True, 1)
    assert (shapes.place, shapes.see, shapes.options[2].why) == ("before", "tensors#the-shape", "38 meets 7")
    assert (what_shape.cell, what_shape.shown_answer) == ("fit", "(38, 38)")
    assert (miss.answer, miss.atol, miss.review, miss.shown_answer) == (250.0, 2.0, False, "250")
    assert miss.line == 26


def change(old: str, new: str, of: str = CHOICE) -> str:
    assert old in of
    return of.replace(old, new)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (change("concept:", "concpt:"), "2: A question has an unknown key 'concpt'. Did you mean 'concept'?"),
        (change("  concept: descent\n", ""), "1: A question lacks concept. Add 'concept: …'."),
        (change(", right: true", ""), "5: No option is right. Write 'right: true'"),
        (change("ascent.", "ascent.").replace('ascent."', 'ascent.", right: true'), "5: 2 options are right"),
        (change(', why: "That is ascent."', ""), "7: An option has no why. Say why it"),
        (change("right: true", "rigth: true"), "6: An option has an unknown key 'rigth'. Did you mean"),
        (change("right: true", 'right: "yes"'), "6: right is 'yes'. Write 'right: true'"),
        (change("kind: choice", "kind: chioce"), "3: kind is 'chioce'. Did you mean 'choice'? It is one of"),
        (change("id: sign", "id: The Sign"), "1: id is 'The Sign'. Use small letters"),
        (CHOICE.partition("  options")[0], "1: A question of kind choice has no options. Add two or more"),
        (CHOICE.rpartition("    -")[0], "5: options is [{'text'"),
        (CHOICE + "  answer: 3\n", "8: A question with options has an answer too. Mark one option"),
        (CHOICE + "  cell: fit\n", "8: Only a prediction has a cell, this is 'choice'. Write kind: predict."),
        (CHOICE + "  why: so\n", "8: A question with options has a why in each of them. Move it there."),
        (CHOICE + "  place: befor\n", "8: place is 'befor'. Did you mean 'before'?"),
        (CHOICE + "  place: before\n", "1: The question 'sign' opens the lesson. Add see:"),
        (CHOICE + "  see: a b\n", "8: see is 'a b'. Write slug#anchor"),
        (CHOICE + "  review: maybe\n", "8: review is 'maybe'. Write true or false."),
        (CHOICE + "  atol: 1\n", "8: atol is 1. Give how far a numeric answer may be off"),
        (CHOICE + CHOICE, "8: The id 'sign' stands at line 1 already. Give each its own."),
        (change("  cell: fit\n", "", PREDICT), "1: The prediction 'what-shape' names no cell."),
        (change('  answer: ["(38, 38)", "38 x 38"]\n', "", PREDICT), "1: A question of kind predict has no"),
        (change('"Against the slope."', "yes"), "6: An option's why is True. Say why it is right"),
        (change('["(38, 38)", "38 x 38"]', "[]", PREDICT), "7: answer is []. Give a number, words"),
        (change("answer: 250", "answer: many", NUMBER), "5: answer is 'many'. Give a number."),
        (change("  answer: 250\n", "", NUMBER), "1: A question of kind number has no answer."),
        (change("atol: 2", "atol: -2", NUMBER), "6: atol is -2."),
        ("- just words\n", "1: A question is 'just words'. Write keys: id,"),
        ("id: sign\n", "1: The file is {'id': 'sign'}. Write a list of questions"),
        ("- id: [\n", "2: The questions are not YAML"),
        ("- ? [1, 2]\n  : 3\n", "1: The questions are not YAML"),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_line_and_drops_only_that_question(read_text, text: str, says: str):
    questions, problems = read_text(text)
    assert any(problem.startswith(says) for problem in problems), problems
    if text.startswith("- id") and "YAML" not in says and "already" not in says:
        questions, problems = read_text(text + change("id: sign", "id: good"))
        assert [question.id for question in questions] == ["good"]


def test_a_file_that_is_no_text_or_not_there(tmp_path: Path):
    path = tmp_path / "quiz.yaml"
    assert read_quiz(path, ProblemList(path)) == ()
    assert load_questions(tmp_path) == ()
    path.write_bytes(b"\xff\xfe")
    problems = ProblemList(path)
    assert read_quiz(path, problems) == ()
    assert "Save the file as UTF-8" in problems.found[0].message
    path.write_text("")
    problems = ProblemList(path)
    assert read_quiz(path, problems) == ()
    assert problems.found == []


# Answers


@pytest.fixture
def questions(read_text) -> dict[str, Question]:
    return {question.id: question for question in read_text(ALL)[0]}


@pytest.mark.parametrize(
    ("name", "answer", "right"),
    [
        ("sign", 0, True),
        ("sign", 1, False),
        ("shapes", [0, 1], True),
        ("shapes", [1, 0], True),
        ("shapes", [0], False),
        ("shapes", [0, 1, 2], False),
        ("shapes", [], False),
        ("what-shape", "(38, 38)", True),
        ("what-shape", " (38,38) ", True),
        ("what-shape", "torch.Size([38, 38])", True),
        ("what-shape", "[38, 38]", True),
        ("what-shape", "38 X 38", True),
        ("what-shape", "(38, 1)", False),
        ("what-shape", 38, False),
        ("miss", 252, True),
        ("miss", "248.0", True),
        ("miss", "252.1", False),
        ("miss", "−250", False),
    ],
)
def test_answers_are_judged(questions, name: str, answer: object, right: bool):
    assert judge_answer(questions[name], answer) is right


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("sign", 2), ("sign", -1), ("sign", True), ("sign", "0"), ("sign", None), ("sign", [0]),
        ("sign", 0.0),
        ("shapes", 0), ("shapes", [3]), ("shapes", ["a"]), ("shapes", [True]),
        ("what-shape", "  "), ("what-shape", ["(38, 38)"]), ("what-shape", None),
        ("miss", "many"), ("miss", float("nan")), ("miss", True), ("miss", "1e999"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_said(questions, name: str, answer: object):
    with pytest.raises(DataError, match=r"The answer is .*\. (Send|Type)|which is no number\. Type"):
        judge_answer(questions[name], answer)


@pytest.mark.parametrize(
    ("typed", "value"), [("1,234.5", 1234.5), ("25%", 0.25), ("2/3", 2 / 3), (" 1e-3 ", 0.001), ("−3", -3)]
)
def test_numbers_are_read_as_people_type_them(typed: str, value: float):
    question = Question(
        id="q", concept="c", kind="number", place="end", text="t", answer=float(value), atol=1e-12
    )
    assert judge_answer(question, typed)


# Places


BODY = """\
## Before you start

<!-- quiz -->

## The question

<!-- quiz: what-shape -->

```python id="fit"
print(1)
```

## Check yourself

<!-- quiz -->
"""


@pytest.fixture
def make(lessons: Path, write_lesson):
    """Write lesson 1.2 with a body and a quiz.yaml; returns the lesson and what is wrong in the course."""

    def build(body: str, quiz: str | None) -> tuple[Lesson, list[str]]:
        write_lesson("tensors", "## The shape\n\nWords.\n")
        path = write_lesson("gradient-descent", body)
        if quiz is not None:
            path.with_name("quiz.yaml").write_text(quiz, encoding="utf-8")
        course = load_course(lessons)
        found = [f"{p.path.name}:{p.line}: {p.message}" for p in find_problems(course)]
        return load_lesson(course.lesson("gradient-descent")), found

    return build


def list_places(lesson: Lesson) -> list[list[str]]:
    placed = place_questions(lesson.blocks, load_questions(lesson.folder))
    return [[question.id for question in placed[line]] for line in sorted(placed)]


def test_each_question_stands_in_its_place(make):
    lesson, problems = make(BODY, ALL)
    assert problems == []
    assert list_places(lesson) == [["shapes"], ["what-shape"], ["sign", "miss"]]


def test_without_an_opening_place_nothing_is_lost(make):
    lesson, _ = make(BODY.replace("Before you start", "First"), ALL)
    assert list_places(lesson) == [[], ["what-shape"], ["sign", "shapes", "miss"]]


@pytest.mark.parametrize(
    ("body", "quiz", "says"),
    [
        (BODY.replace("what-shape", "what-shpae"), ALL,
         "lesson.md:14: There is no question 'what-shpae'. Did you mean 'what-shape'?"),
        (BODY + "\n<!-- quiz: what-shape -->\n", ALL, "lesson.md:24: The question 'what-shape' stands"),
        (BODY + "\n<!-- quiz -->\n", ALL, "lesson.md:22: This placeholder shows no question"),
        (BODY.replace("<!-- quiz: what-shape -->", ""), ALL,
         "quiz.yaml:18: The question 'what-shape' has place: inline, but no placeholder names it."),
        ("## A\n\n<!-- quiz: sign -->\n", CHOICE + NUMBER, "quiz.yaml:8: The question 'miss' stands"),
        (BODY.replace('id="fit"', 'id="fitting"'), ALL,
         "quiz.yaml:18: The question 'what-shape' is about the cell 'fit', which is not in lesson.md."),
        (BODY, ALL.replace("#the-shape", "#the-shpae"),
         "quiz.yaml:8: see of 'shapes' leads to 'tensors#the-shpae', but tensors has no place 'the-shpae'. "
         "Did you mean 'the-shape'?"),
        (BODY, ALL.replace("tensors#", "tensor#"), "quiz.yaml:8: see of 'shapes' leads to 'tensor', which"),
        (BODY, None, "lesson.md:14: There is no question 'what-shape'."),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(make, body: str, quiz: str | None, says: str):
    _, problems = make(body, quiz)
    assert any(problem.startswith(says) for problem in problems), "\n".join(problems)


def test_a_see_into_a_lesson_that_is_coming_is_left_alone(make):
    _, problems = make(BODY, ALL.replace("tensors#the-shape", "last-one#anything"))
    assert problems == []


def test_a_broken_quiz_leaves_the_lesson_open(make):
    lesson, problems = make(BODY, "- id: [")
    assert any(": The questions are not YAML" in problem for problem in problems)
    assert any("quiz.yaml" in str(problem) for problem in lesson.problems)
    assert "Coming here" in render_lesson(lesson).html


# HTML


def test_the_live_page_does_not_hold_the_answers(make):
    html = render_lesson(make(BODY, ALL)[0]).html
    assert html.count('class="question"') == 4
    assert html.count('type="radio"') == 2
    assert html.count('type="checkbox"') == 3
    for secret in ("Against the slope", "That is ascent", "38 x 38", "(38, 38)", "data-right", "250"):
        assert secret not in html
    assert '<span class="math" data-tex="w">' in html  # mathematics inside options
    assert "<code>(38,)</code>" in html
    assert 'data-cell="fit"' in html


def test_the_static_page_has_the_answers_in_folds_and_no_form(make):
    html = render_lesson(make(BODY, ALL)[0], answers=True).html
    assert "<form" not in html
    assert "<input" not in html
    assert html.count('<details class="answer">') == 4
    assert '<b class="mark right">✓ Right.</b> Against the slope.' in html
    assert '<b class="mark wrong">✗ Not right.</b> That is ascent.' in html
    assert "<b>(38, 38)</b>. Each meets <em>every</em> other." in html


def test_what_a_question_says_in_tags_is_text(read_text):
    (question,), _ = read_text(change("Which way", "<script>alert(1)</script> Which way"))
    html = render_question('"><script>', question, PageState())
    assert "<script>" not in html


def test_an_option_that_is_only_a_formula_has_a_name(read_text):
    (question,), _ = read_text(change('"to a smaller $w$"', '"$-2w$."'))
    page = render_question("a", question, PageState())
    assert page.count("aria-label=") == 1
    assert 'value="0" aria-label="-2w."' in page


def test_a_question_defines_no_term(make):
    body = BODY.replace("## Check yourself", "A **slope** is a number.\n\n## Check yourself")
    lesson, _ = make(body, ALL.replace("What shape", "What **slope**"))
    html = render_lesson(lesson).html
    assert "<strong>slope</strong> comes out" in html


def test_a_result_says_why_of_each_option_and_where_to_read_again(questions, lessons: Path, write_lesson):
    write_lesson("tensors", "## The shape\n\nWords.\n")
    course = load_course(lessons)
    result = describe_result(questions["shapes"], [0], "gradient-descent", course)
    assert (result["right"], result["rights"]) == (False, [True, True, False])
    assert result["whys"] == ["Yes", "Too", "38 meets 7"]
    assert result["see"] == {"url": "/lesson/tensors#the-shape", "title": "1.1 Tensors"}
    assert describe_result(questions["shapes"], [0, 1], "gradient-descent", course)["see"] is None
    predicted = describe_result(questions["what-shape"], "(1,)", "gradient-descent", course)
    assert (predicted["expected"], predicted["why"]) == ("(38, 38)", "Each meets <em>every</em> other.")


def test_a_place_in_the_same_lesson_and_one_that_is_coming(lessons: Path, write_lesson, read_text):
    write_lesson("tensors", "## The shape\n\nWords.\n")
    course = load_course(lessons)
    for see, url, title in (
        ("#the-shape", "#the-shape", "1.1 Tensors"),
        ("last-one#x", "/lesson/last-one", "1.10 The last (coming)"),
    ):
        (question,), _ = read_text(CHOICE + f'  see: "{see}"\n')
        assert describe_result(question, 1, "tensors", course)["see"] == {"url": url, "title": title}
