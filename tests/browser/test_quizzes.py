"""Questions in a browser: answered by keyboard, explained, kept over a restart, predicted, reviewed."""

import sqlite3
from contextlib import closing
from pathlib import Path

from .test_accessibility import ASK, AXE

QUIZ = """\
- id: slope
  concept: slopes
  kind: choice
  place: before
  see: "#the-question"
  text: "What is the slope of $x^2$?"
  options:
    - {text: "$x$", why: "That halves it."}
    - {text: "$2x$", why: "Yes, $2x$.", right: true}
- id: fits
  concept: shapes
  kind: multiple
  text: Which fit?
  options:
    - {text: "`(3,)`", why: "One axis.", right: true}
    - {text: "`(1, 3)`", why: "Two.", right: true}
    - {text: "`(2,)`", why: "No."}
- id: twice
  concept: doubling
  kind: predict
  place: inline
  cell: double
  text: What is printed?
  answer: "42"
  why: "Twice 21."
- id: many
  concept: counting
  kind: number
  text: How many?
  answer: 3
"""
BEFORE = "## Before you start\n\n<!-- quiz -->\n\n## The question"
END = "\n\n## Check yourself\n\n<!-- quiz -->\n"


def write_course(small_course) -> Path:
    folder = small_course({"start": "x = 21", "double": "print(2 * x)"})
    (lesson,) = folder.glob("*/01_first/lesson.md")
    text = lesson.read_text(encoding="utf-8").replace("## The question", BEFORE)
    text = text.replace('```python id="double"', '<!-- quiz: twice -->\n\n```python id="double"')
    lesson.write_text(text + END, encoding="utf-8")
    lesson.with_name("quiz.yaml").write_text(QUIZ, encoding="utf-8")
    return folder


def age(home: Path, days: int) -> None:
    """Everything that was answered was answered that many days ago."""
    with closing(sqlite3.connect(home / "course.db")) as connection, connection:
        for column in ("began_at", "due", "rated_at"):
            connection.execute(
                f"UPDATE reviews SET {column} ="
                f" strftime('%Y-%m-%dT%H:%M:%f', {column}, '-{days} days') || '+00:00'"
            )


def check_axe(page) -> None:
    """Nothing serious, in either theme."""
    if not AXE.is_file():
        return  # the tests of accessibility say so
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = page.evaluate(ASK)
        assert [one for one in found if one["impact"] in {"serious", "critical"}] == [], theme


def test_questions_are_answered_explained_kept_and_reviewed(serve, open_context, small_course):
    server = serve("--lessons", str(write_course(small_course)))
    page = open_context(viewport={"width": 1000, "height": 900}).new_page()
    page.goto(server.link)
    assert page.locator(".review-panel").count() == 0
    page.goto(server.base + "/lesson/first")

    # nothing tells the answer before one came
    slope = page.locator("#question-slope")
    slope.locator(".katex").first.wait_for()
    assert "That halves it" not in page.content()
    send = slope.get_by_role("button", name="Answer")
    assert send.is_disabled()

    # by keyboard alone, and wrong: word and sign, each option's reason, where to read again
    slope.locator("input").first.focus()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    slope.locator(".question-verdict").wait_for()
    assert page.evaluate("document.activeElement.className") == "question-result"
    assert "✗ Not right." in slope.locator(".question-verdict").inner_text()
    assert "✗ Not right. That halves it." in slope.locator("li").nth(0).inner_text()
    assert "✓ Right. Yes," in slope.locator("li").nth(1).inner_text()
    assert slope.locator("li").nth(1).locator(".why .katex").count() == 1
    assert slope.get_by_role("link", name="1.1 The first").get_attribute("href") == "#the-question"
    page.wait_for_function(
        "() => document.getElementById('spoken')?.textContent.includes('Not right. That halves it.')"
    )

    # again, right; the first answer stays the one that counts
    slope.get_by_role("button", name="Try again").click()
    assert slope.locator(".why").count() == 0
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    slope.locator(".question-verdict", has_text="✓ Right.").wait_for()
    assert "Your first answer was not right" in slope.inner_text()

    # several options, with Enter in a checkbox
    fits = page.locator("#question-fits")
    fits.locator("input").first.focus()
    page.keyboard.press("1")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    fits.locator(".question-verdict", has_text="✓ Right.").wait_for()

    # a number that is none is said, and can be mended
    many = page.locator("#question-many")
    many.get_by_role("textbox", name="Your answer").fill("some")
    page.keyboard.press("Enter")
    many.get_by_role("alert").wait_for()
    assert "some is no number. Type one like 0.25 or -3." in many.inner_text()
    many.get_by_role("textbox").fill("3")
    page.keyboard.press("Enter")
    many.locator(".question-verdict", has_text="✓ Right. You answered 3.").wait_for()

    # predict, then run: the cell runs by itself, with what it needs above, and both stand side by side
    note = page.locator('.cell[data-cell="double"] .predict-note')
    assert "Predict first" in note.inner_text()
    twice = page.locator("#question-twice")
    twice.get_by_role("textbox", name="Your prediction").fill("21")
    twice.get_by_role("button", name="Predict and run").click()
    twice.locator(".question-verdict").wait_for()
    assert "✗ Not right. You predicted 21, it is 42." in twice.locator(".question-verdict").inner_text()
    assert twice.locator(".came-out pre").inner_text() == "42"
    assert note.count() == 0
    assert page.locator('.cell[data-cell="start"]').get_attribute("data-status") == "done"

    check_axe(page)

    # a restart: all answers are there
    server.stop()
    page.goto("about:blank")
    server.start()
    page.goto(server.base + "/lesson/first")
    page.wait_for_function("() => document.querySelectorAll('.question[data-answered]').length === 4")
    assert slope.get_attribute("data-answered") == "right"
    assert slope.locator("input").nth(1).is_checked()
    assert twice.get_attribute("data-answered") == "wrong"
    assert note.count() == 0

    # another day: home says so, the review asks one at a time, and says what comes next
    server.stop()
    page.goto("about:blank")
    age(server.home, 5)
    server.start()
    page.goto(server.base + "/")
    assert "4 questions are due." in page.locator(".review-panel").inner_text()
    page.get_by_role("link", name="2-minute review").click()
    shown = page.locator(".question:visible")
    right = {"slope": "2", "fits": "12", "twice": "42", "many": "4"}  # the last one is wrong
    for number in range(1, 5):
        page.locator("[data-review-words]", has_text=f"Question {number} of 4").wait_for()
        assert shown.count() == 1
        name = shown.get_attribute("data-question")
        if shown.get_by_role("textbox").count():
            shown.get_by_role("textbox").fill(right[name])
        else:
            for key in right[name]:
                page.keyboard.press(key)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Finish" if number == 4 else "Next").wait_for()
        if number == 1:
            check_axe(page)
            page.get_by_role("button", name="Next").focus()
        page.keyboard.press("Enter")  # the button has the focus
    page.get_by_role("heading", name="3 of 4 right").wait_for()
    assert "Nothing else is due. Next: " in page.locator(".review-end").inner_text()
    page.goto(server.base + "/review")
    assert "Nothing is due; next" in page.locator("main").inner_text()


def test_without_javascript_the_questions_can_be_read(serve, open_context, small_course):
    server = serve("--lessons", str(write_course(small_course)))
    page = open_context(java_script_enabled=False).new_page()
    page.goto(server.link)
    page.goto(server.base + "/lesson/first")
    slope = page.locator("#question-slope")
    assert "What is the slope" in slope.inner_text()
    assert not slope.get_by_role("button").is_visible()
    slope.get_by_role("link").click()
    answer = page.locator("#question-slope .answer")
    assert not answer.get_by_text("That halves it").is_visible()
    answer.locator("summary").click()
    assert answer.get_by_text("That halves it").is_visible()
