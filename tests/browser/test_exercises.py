"""Exercises in Chromium, on the real server with the real grading: wrong, why, right, two editors, reload."""

from pathlib import Path
from typing import Any

import pytest

from .test_accessibility import ASK, AXE

EXERCISES = r"""
- name: gradient-step
  kind: implement
  title: One step downhill
  minutes: 5
  difficulty: 2
  functions: [gradient_step]
  checks: [check_one_step, check_flat]
  task: "Write `gradient_step(w, slope, rate)`: $w - \\eta s$."
  hints: ["Look at the **sign**.", "Subtract.", "`w - rate * slope`"]
- name: derive-the-slope
  kind: derive
  title: The slope
  minutes: 4
  difficulty: 3
  task: "What is $\\partial (w x - y)^2 / \\partial w$?"
  fields:
    - name: slope
      kind: expression
      label: "The slope is"
      answer: "2*(w*x-y)*x"
      symbols: {x: {about: input}, y: {about: target}, w: {about: slope}}
      suspects: [{is: "2*(w*x-y)", says: "The inner derivative is missing."}]
  hints: [One., Two., Three.]
- name: choose-a-rate
  kind: decide
  title: Which rate?
  minutes: 3
  difficulty: 1
  task: Three runs.
  fields:
    - name: rate
      kind: choice
      label: "Which run had the large rate?"
      options:
        - {value: a, text: "the one that *oscillates*", why: "It jumps over the **valley**."}
        - {value: b, text: "the slow one", why: "A slow run has a **small** rate."}
      answer: a
    - name: causes
      kind: multiple
      label: "What makes a loss NaN?"
      options:
        - {value: lr, text: "a large rate", why: "Values overflow."}
        - {value: log, text: "the log of 0", why: "It is minus infinity."}
        - {value: seed, text: "the seed", why: "A seed alone does not."}
      answer: [lr, log]
    - name: miss_tokens
      kind: number
      label: "How many tokens are missed?"
      answer: 117
      unit: tokens
      suspects: [{is: 250, says: "250 is the number of words."}]
    - {name: reason, kind: text, label: "Why?", min_words: 2}
  hints: [One., Two., Three.]
"""
FILES = {
    "exercises.yaml": EXERCISES,
    "exercise.py": 'import torch\n\n\ndef gradient_step(w, slope, rate):\n    """One step."""\n    ...\n',
    "solution.py": "def gradient_step(w, slope, rate):\n    return w - rate * slope\n",
    "checks.py": '''
from nn2llm.course.grading import generator, same
import torch


def check_one_step(learner, reference):
    """One step moves against the slope."""
    w, slope = torch.randn(2, 4, generator=generator())
    same(learner.gradient_step, reference.gradient_step, w, slope, rate=0.5, atol=1e-6,
         suspects={"You **added** the slope.": lambda w, slope, rate: w + rate * slope})


def check_flat(learner, reference):
    """Where it is flat nothing moves."""
    same(learner.gradient_step, reference.gradient_step, torch.ones(3), torch.zeros(3), rate=1.0)
''',
}
PLACES = "\n## Your turn\n\n" + "\n\n".join(
    f"<!-- exercise: {name} -->" for name in ("gradient-step", "derive-the-slope", "choose-a-rate")
)
WRONG = "def gradient_step(w, slope, rate):\n    print('here')\n    return w + rate * slope\n"
RIGHT = "def gradient_step(w, slope, rate):\n    return w - rate * slope\n"


class Panel:
    """An exercise on a page, worked with as a learner does."""

    def __init__(self, page: Any, name: str) -> None:
        self.page, self.name = page, name
        self.box = page.locator(f"#exercise-{name}")

    def open(self) -> "Panel":
        """Scroll there; wait until it is live."""
        self.box.scroll_into_view_if_needed()
        self.page.wait_for_selector(f"#exercise-{self.name}[data-live]")
        return self

    def type(self, code: str) -> None:
        """Replace its code."""
        self.box.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(code)

    @property
    def code(self) -> str:
        """What its editor shows."""
        lines = self.box.locator(".cm-line").all_inner_texts()
        return "\n".join(lines).replace("\u200b", "").replace("\n\n", "\n").rstrip("\n")

    def press(self, name: str) -> None:
        """A button of it."""
        self.box.get_by_role("button", name=name).click()

    def wait_for(self, status: str) -> Any:
        """The verdict, once it is that and about what stands there."""
        verdict = self.box.locator(f'.exercise-verdict[data-status="{status}"]:not(:has(.verdict-old))')
        verdict.wait_for()
        return verdict

    @property
    def path(self) -> Path:
        """The learner's file."""
        return Path(self.box.locator(".exercise-path").inner_text())


@pytest.fixture
def course(small_course):
    folder = small_course({"fit": "1 + 1"})
    lesson = folder / "01_foundations/01_first"
    for name, text in FILES.items():
        (lesson / name).write_text(text)
    with open(lesson / "lesson.md", "a") as file:
        file.write(PLACES)
    return folder


@pytest.fixture
def open_lesson(course, serve, open_context):
    """A server over that course and a page at its lesson."""

    def open_one(**options):
        server = serve("--lessons", str(course))
        page = open_context(viewport={"width": 1100, "height": 900}, **options).new_page()
        page.goto(server.link)
        page.goto(f"{server.base}/lesson/first")
        return server, page

    return open_one


def test_wrong_then_evidence_diagnosis_hint_right_and_all_of_it_lasts(open_lesson, course):
    server, page = open_lesson()
    panel = Panel(page, "gradient-step").open()
    assert panel.code.endswith("...")
    panel.type(WRONG)
    page.keyboard.press("Control+Enter")
    verdict = panel.wait_for("failed")
    assert verdict.evaluate("box => box === document.activeElement")
    assert "called" in verdict.locator("dt").all_inner_texts()
    assert "gradient_step(" in verdict.locator(".evidence dd").first.inner_text()
    tables = verdict.locator(".evidence-array")
    assert {"returned", "expected"} <= set(tables.locator("caption strong").all_inner_texts())
    assert "(4,) float32" in tables.locator("caption").first.inner_text()
    assert verdict.get_by_text("(first difference)").count() == 2
    assert verdict.locator(".check-word").all_inner_texts() == ["failed", "not run"]
    assert page.locator("#spoken").inner_text().startswith("Not right yet.")
    assert not verdict.get_by_text("here", exact=True).is_visible()
    verdict.get_by_text("Your code printed 1 line").click()
    verdict.get_by_text("here", exact=True).wait_for()
    # the diagnosis is one key away
    assert not verdict.get_by_text("You added the slope.").is_visible()
    verdict.focus()
    page.keyboard.press("d")
    verdict.get_by_text("You added the slope.").wait_for()
    page.keyboard.press("Escape")
    assert panel.box.locator(".cm-content").evaluate("box => box === document.activeElement")

    panel.press("Hint (1 of 3)")
    panel.box.get_by_text("Look at the sign.").wait_for()
    assert "almost" not in panel.box.inner_text()
    panel.box.get_by_role("button", name="Hint (2 of 3)").wait_for()

    # a crash shows the learner's line, here and in the editor
    panel.type("def gradient_step(w, slope, rate):\n    return boom\n")
    panel.press("Check")
    error = panel.wait_for("error")
    assert "return boom" in error.locator(".error-line-current").inner_text()
    assert "nn2llm" not in error.inner_text()
    assert panel.box.locator(".cm-failing-line").inner_text().strip() == "return boom"
    error.get_by_role("button", name="Go to line 2").click()
    page.keyboard.press("End")
    page.keyboard.type("s")
    panel.box.locator(".cm-failing-line").wait_for(state="detached")
    panel.box.get_by_text("about an earlier text of yours").wait_for()

    panel.type(RIGHT)
    page.keyboard.press("Control+Enter")
    verdict = panel.wait_for("passed")
    assert "done unaided" in verdict.inner_text()
    assert "What went wrong?" not in verdict.inner_text()

    # a new page, then a new server: everything comes from there
    page.reload()
    Panel(page, "gradient-step").open().wait_for("passed")
    server.stop()
    server.start()
    page.goto(server.link)
    page.goto(f"{server.base}/lesson/first")
    panel = Panel(page, "gradient-step").open()
    assert "done unaided" in panel.wait_for("passed").inner_text()
    assert panel.code == RIGHT.rstrip()
    panel.box.get_by_text("Look at the sign.").wait_for()
    panel.box.get_by_text("3 attempts").click()
    assert panel.box.locator(".attempt-word").all_inner_texts() == ["passed", "error", "failed"]
    panel.box.get_by_role("button", name="Bring back").last.click()
    panel.box.get_by_text("The text of that attempt is back.").wait_for()
    assert panel.code == WRONG.rstrip()
    panel.press("Bring mine back")
    assert panel.code == RIGHT.rstrip()


def test_a_file_changed_outside_is_taken_or_asked_about_never_lost(open_lesson, wait_until):
    _, page = open_lesson()
    panel = Panel(page, "gradient-step").open()
    panel.type("one = 1\n")
    wait_until(lambda: panel.path.exists() and panel.path.read_text() == "one = 1\n", "it was saved")
    # no change of its own: the new text is taken, and said
    panel.path.write_text("two = 2\n")
    panel.box.get_by_text("Taken over from another editor at").wait_for()
    assert panel.code == "two = 2"

    # text of its own that has not reached the server: both are shown
    page.route("**/save", lambda route: route.abort("connectionrefused"))
    panel.type("mine = 3\n")
    panel.box.get_by_text("Not saved: The course does not answer.").wait_for()
    panel.path.write_text("theirs = 4\n")
    notice = panel.box.locator(".exercise-conflict")
    notice.get_by_text("Changed in another editor at").wait_for()
    assert notice.locator(".diff-mine").inner_text().strip().endswith("mine = 3")
    assert notice.locator(".diff-theirs").inner_text().strip().endswith("theirs = 4")
    assert panel.code == "mine = 3"
    panel.press("Check")  # nothing is graded before the choice
    panel.box.get_by_text("Choose first which text to keep.").wait_for()
    assert panel.path.read_text() == "theirs = 4\n"
    page.unroute("**/save")
    notice.get_by_role("button", name="Take theirs").click()
    notice.wait_for(state="detached")
    assert panel.code == "theirs = 4"
    panel.press("Bring mine back")
    wait_until(lambda: panel.path.read_text() == "mine = 3\n", "mine is back")

    # the same, and mine is kept; theirs stays in the history
    page.route("**/save", lambda route: route.abort("connectionrefused"))
    panel.type("mine = 5\n")
    panel.box.get_by_text("Not saved: The course does not answer.").wait_for()
    panel.path.write_text("theirs = 6\n")
    notice.wait_for()
    page.unroute("**/save")
    notice.get_by_role("button", name="Keep mine").click()
    wait_until(lambda: panel.path.read_text() == "mine = 5\n", "mine is kept")
    history = panel.path.parent / ".history" / panel.path.stem
    assert "theirs = 6\n" in [old.read_text() for old in history.iterdir()]
    assert panel.code == "mine = 5"


@pytest.mark.slow
def test_what_could_not_be_sent_comes_back_after_a_reload_and_two_tabs_agree(open_lesson, wait_until):
    server, page = open_lesson()
    panel = Panel(page, "gradient-step").open()
    page.route("**/save", lambda route: route.abort("connectionrefused"))
    panel.type("draft = 1\n")
    panel.box.get_by_text("Not saved: The course does not answer.").wait_for()
    page.unroute("**/save")
    page.reload()
    panel = Panel(page, "gradient-step").open()
    assert panel.code == "draft = 1"
    wait_until(lambda: panel.path.exists() and panel.path.read_text() == "draft = 1\n", "the draft was saved")

    other = Panel(page.context.new_page(), "gradient-step")
    other.page.goto(f"{server.base}/lesson/first")
    other.open().type(RIGHT)
    other.page.keyboard.press("Control+Enter")
    other.wait_for("passed")
    page.bring_to_front()
    panel.wait_for("passed")  # this tab follows text and verdict
    assert panel.code == RIGHT.rstrip()


@pytest.mark.slow
def test_who_types_on_while_it_is_checked_loses_nothing_and_is_not_interrupted(open_lesson, wait_until):
    _, page = open_lesson()
    panel = Panel(page, "gradient-step").open()
    panel.type("import time\n\ntime.sleep(2)\n" + RIGHT)
    page.keyboard.press("Control+Enter")
    panel.box.get_by_text("It ends by itself after 10 s.").wait_for()
    page.keyboard.press("Control+End")
    page.keyboard.type("# typed on")
    panel.box.locator('.exercise-verdict[data-status="passed"]').wait_for()
    panel.box.get_by_text("about an earlier text of yours").wait_for()
    assert panel.box.locator(".cm-content").evaluate("box => box === document.activeElement")
    wait_until(lambda: panel.path.read_text().endswith("# typed on"), "what was typed on is saved")
    assert panel.box.locator(".exercise-conflict").count() == 0


def test_reset_and_solution_ask_first(open_lesson, wait_until):
    _, page = open_lesson()
    panel = Panel(page, "gradient-step").open()
    panel.type("mine = 1\n")
    panel.press("Solution")
    panel.box.get_by_text("counts as “solution seen”").wait_for()
    assert "rate * slope" not in panel.box.inner_text()
    panel.press("Not yet")
    panel.press("Solution")
    panel.press("Show it")
    panel.box.locator(".exercise-solution").get_by_text("rate").first.wait_for()
    panel.box.locator(".exercise-status", has_text="solution seen").wait_for()
    assert panel.code == "mine = 1"
    panel.press("Reset")
    panel.press("Begin again")
    panel.box.get_by_text("This is the first text again.").wait_for()
    assert panel.code.endswith("...")
    panel.press("Bring mine back")
    assert panel.code == "mine = 1"
    panel.type(RIGHT)
    panel.press("Check")
    assert "with the solution seen" in panel.wait_for("passed").inner_text()


def test_derive_draws_while_one_types_and_shows_where_two_formulas_disagree(open_lesson, wait_until):
    _, page = open_lesson()
    panel = Panel(page, "derive-the-slope").open()
    field = panel.box.get_by_label("The slope is")
    drawing = panel.box.locator(".expression-drawing .katex")
    field.fill("2*(w*x-y)")
    drawing.wait_for()
    drawn = drawing.first.inner_text()
    field.fill("2*(w*x-")
    trouble = panel.box.locator(".expression-trouble")
    trouble.locator("p").wait_for()
    assert drawing.first.inner_text() == drawn  # the last good one stays
    assert field.get_attribute("aria-invalid") is not None
    assert trouble.locator("mark").count() == 1
    field.fill("2*(w*x-y)")
    wait_until(lambda: trouble.inner_text() == "", "it can be read again")
    field.press("Enter")
    verdict = panel.wait_for("failed")
    assert "w" in verdict.locator(".evidence").inner_text()
    page.keyboard.press("d")
    verdict.get_by_text("The inner derivative is missing.").wait_for()
    assert 'slope = "2*(w*x-y)"' in panel.path.read_text()
    field.fill("2x(w x - y)")  # another way to write the right one
    field.press("Enter")
    panel.wait_for("passed")
    # the file in another editor
    panel.path.write_text('slope = "3*x"\n')
    panel.box.get_by_text("Taken over from another editor").wait_for()
    assert field.input_value() == "3*x"
    panel.path.write_text("slope = (\n")
    panel.box.get_by_text("Line 1 is not Python yet").wait_for()


def test_decide_explains_what_was_chosen_by_keyboard_alone(open_lesson):
    _, page = open_lesson()
    panel = Panel(page, "choose-a-rate").open()
    box = panel.box
    slow = box.get_by_role("radiogroup", name="Which run had the large rate?").get_by_label("the slow one")
    slow.focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # a large rate
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # the seed
    page.keyboard.press("Tab")
    page.keyboard.type("many")
    page.keyboard.press("Tab")
    box.get_by_text("many is not a number.").wait_for()
    page.keyboard.type("Because so.")
    box.get_by_label("How many tokens are missed?").fill("250")
    page.keyboard.press("Enter")
    verdict = panel.wait_for("failed")
    box.get_by_text("A slow run has a small rate.").wait_for()
    box.get_by_text("Values overflow.").wait_for()
    box.get_by_text("A seed alone does not.").wait_for()
    assert "valley" not in box.inner_text()  # what was not chosen says nothing
    assert "minus infinity" not in box.inner_text()
    verdict.focus()
    page.keyboard.press("d")
    verdict.get_by_text("250 is the number of words.").wait_for()
    page.reload()
    panel = Panel(page, "choose-a-rate").open()
    panel.wait_for("failed")
    box = panel.box
    assert box.get_by_label("the slow one").is_checked()
    assert box.get_by_label("How many tokens are missed?").input_value() == "250"
    box.get_by_text("A slow run has a small rate.").wait_for()
    box.get_by_label("the one that oscillates").check()
    box.get_by_label("the seed").uncheck()
    box.get_by_label("the log of 0").check()
    box.get_by_label("How many tokens are missed?").fill("117")
    panel.press("Check")
    panel.wait_for("passed")
    box.get_by_text("It jumps over the valley.").wait_for()


def test_the_task_can_be_read_without_a_script(open_lesson):
    _, page = open_lesson(java_script_enabled=False)
    text = page.locator(".text").inner_text()
    for words in ("One step downhill", "gradient_step(w, slope, rate)", "the slow one", "learn check first"):
        assert words in text
    assert "small rate" not in text


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_axe_finds_nothing_serious_in_an_exercise_at_work(open_lesson, theme):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed (run `python hatch_build.py --check`)")
    _, page = open_lesson(color_scheme=theme)

    def find_serious():
        page.evaluate(AXE.read_text(encoding="utf-8"))
        return [one for one in page.evaluate(ASK) if one["impact"] in {"serious", "critical"}]

    panel = Panel(page, "gradient-step").open()
    panel.type(WRONG)
    page.keyboard.press("Control+Enter")
    panel.wait_for("failed")
    page.keyboard.press("d")
    panel.press("Hint (1 of 3)")
    panel.press("Solution")
    panel.press("Show it")
    panel.box.get_by_text("1 attempt").click()
    derive = Panel(page, "derive-the-slope").open()
    derive.box.get_by_label("The slope is").fill("2*(w")
    derive.box.locator(".expression-trouble p").wait_for()
    decide = Panel(page, "choose-a-rate").open()
    decide.box.get_by_label("the slow one").check()
    decide.press("Check")
    decide.box.locator(".exercise-verdict").wait_for()
    assert find_serious() == []
    panel.type("def gradient_step(w, slope, rate):\n    return boom\n")
    page.keyboard.press("Control+Enter")
    panel.wait_for("error")
    page.route("**/save", lambda route: route.abort("connectionrefused"))
    panel.type("mine = 3\n")
    panel.box.get_by_text("Not saved: The course does not answer.").wait_for()
    panel.path.write_text("theirs = 4\n")
    panel.box.locator(".exercise-conflict").wait_for()
    assert find_serious() == []
