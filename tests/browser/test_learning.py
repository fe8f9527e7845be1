"""One learner's story in Chromium: lesson, exercise, questions, checkpoint, portfolio, and a week later.

The server is real, so are the grading and the files. Afterwards it is started again, eight days later by its
clock: all states are still there, and the review has come.
"""

from pathlib import Path
from typing import Any

from tests.course.learning_course import MEAN_RIGHT, MEAN_WRONG, SPREAD_RIGHT

WORDS = "A mean is a sum divided by a count. It moves with every value. Check it on two numbers."
RIGHT = {"order": 1}
"""Which option is right, where it is not the first."""


class Reader:
    """A page, used as the learner does."""

    def __init__(self, server: Any, page: Any) -> None:
        self.server, self.page = server, page

    def go(self, path: str) -> "Reader":
        """Open a page of the course."""
        self.page.goto(f"{self.server.base}{path}")
        return self

    def exercise(self, name: str) -> Any:
        """Its panel, alive."""
        box = self.page.locator(f"#exercise-{name}")
        box.scroll_into_view_if_needed()
        self.page.wait_for_selector(f"#exercise-{name}[data-live]")
        return box

    def write(self, name: str, code: str) -> Any:
        """Replace the code of an exercise."""
        box = self.exercise(name)
        box.locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.page.keyboard.insert_text(code)
        return box

    def check(self, name: str, code: str, status: str) -> Any:
        """Write it and check it; returns the verdict."""
        box = self.write(name, code)
        box.get_by_role("button", name="Check").click()
        return self.verdict(name, status)

    def verdict(self, name: str, status: str) -> Any:
        """The verdict of an exercise, once it is that."""
        verdict = self.exercise(name).locator(f'.exercise-verdict[data-status="{status}"]')
        verdict.wait_for()
        return verdict

    def question(self, identity: str) -> Any:
        """A question of the page."""
        return self.page.locator(f'.question[data-question="{identity}"]')

    def answer(self, identity: str, *, right: bool = True) -> Any:
        """Choose an option and send it; returns the question, told whether it is right."""
        question = self.question(identity)
        option = RIGHT.get(identity, 0)
        question.locator(f'input[value="{option if right else 1 - option}"]').check()
        question.locator("button[type=submit]").click()
        return self.answered(identity, right=right)

    def answered(self, identity: str, *, right: bool = True) -> Any:
        """A question that is answered, and whether that was right."""
        result = self.question(identity).locator(".question-result")
        result.get_by_text("Right." if right else "Not right").first.wait_for()
        return self.question(identity)

    def stands(self, sentence: str) -> None:
        """Wait until the checkpoint says so."""
        self.page.locator("[data-sitting]").get_by_text(sentence).wait_for()


def test_a_lesson_a_checkpoint_a_portfolio_and_a_week_later(serve, open_context, learning_course, wait_until):
    server = serve("--lessons", str(learning_course))
    reader = Reader(server, open_context(viewport={"width": 1100, "height": 900}).new_page())
    page = reader.page
    page.goto(server.link)

    # A wrong answer: the evidence first, the diagnosis when it is asked for, then a hint, then the right one.
    reader.go("/lesson/means")
    verdict = reader.check("mean-of", MEAN_WRONG, "failed")
    assert "mean_of(" in verdict.inner_text()
    assert "3.98" in verdict.inner_text()  # what came back, before any word on why
    assert "did not divide" not in verdict.inner_text()
    verdict.get_by_role("button", name="What went wrong?").click()
    verdict.get_by_text("did not divide by how many there are").wait_for()
    box = reader.exercise("mean-of")
    box.get_by_role("button", name="Hint (1 of 3)").click()
    box.get_by_text("Look at what is added up.").wait_for()
    assert "done unaided" in reader.check("mean-of", MEAN_RIGHT, "passed").inner_text()

    # The file, changed in another editor while the page holds text that is not saved: neither is lost.
    path = Path(box.locator(".exercise-path").inner_text())
    assert path.read_text() == MEAN_RIGHT
    page.route("**/save", lambda route: route.abort("connectionrefused"))
    reader.write("mean-of", MEAN_RIGHT + "# mine\n")
    box.get_by_text("Not saved: The course does not answer.").wait_for()
    path.write_text(MEAN_RIGHT + "# theirs\n")
    conflict = box.locator(".exercise-conflict")
    conflict.wait_for()
    assert "# mine" in conflict.locator(".diff-mine").inner_text()
    assert "# theirs" in conflict.locator(".diff-theirs").inner_text()
    page.unroute("**/save")
    conflict.get_by_role("button", name="Keep mine").click()
    wait_until(lambda: path.read_text() == MEAN_RIGHT + "# mine\n", "mine is kept")
    assert any(
        "# theirs" in old.read_text() for old in (path.parent / ".history").rglob("*.py*") if old.is_file()
    )

    # Questions, right and wrong; each option says why.
    assert "Because of grows." in reader.answer("outlier").inner_text()
    reader.answer("middle", right=False)

    # Their own words first, then ours.
    ours = page.locator("details.ours")
    assert not ours.is_visible()
    compare = page.get_by_role("button", name="Compare with ours")
    assert compare.is_disabled()
    page.locator("#own-words").fill(WORDS)
    compare.click()
    ours.get_by_text("We say it like this.").wait_for()
    page.locator(".own-points input").nth(1).check()
    page.locator(".own-words-state", has_text="Saved.").wait_for()
    wait_until(lambda: page.locator("#own-words").input_value() == WORDS, "the words stay")
    page.get_by_role("button", name="Mark as read").click()

    # The checkpoint: a sitting that is lost, one with other questions, and both tasks.
    reader.go("/lesson/checkpoint-1")
    reader.stands("4 questions. You pass with 4 right at the first try.")
    asked = page.locator(".question").evaluate_all("all => all.map(one => one.dataset.question)")
    reader.answer(asked[0], right=False)
    reader.stands("0 of 1 right at the first try; 4 of 4 were needed.")
    page.get_by_role("button", name="Take other questions").click()
    reader.stands("4 questions. You pass with 4 right at the first try. Sitting 2.")
    asked = page.locator(".question").evaluate_all("all => all.map(one => one.dataset.question)")
    for identity in asked:
        reader.answer(identity)
    reader.stands("Questions passed: 4 of 4 right at the first try.")
    reader.check("from-nothing", SPREAD_RIGHT, "passed")
    reader.check("find-the-bug", MEAN_RIGHT, "passed")
    reader.stands("Passed on 20")

    # What they can show, as a page and as files.
    reader.go("/outcomes")
    page.get_by_role("button", name="Add my words from the lessons").click()
    page.locator("#explain", has_text="and a text of 19 words from end to end").wait_for()
    page.locator("#critique-title").fill("A paper of <2026>")
    page.locator("#read", has_text="A critique of A paper of <2026>.").wait_for()
    page.get_by_role("button", name="Write the portfolio").click()
    page.get_by_text("Written: ").wait_for()
    portfolio = server.home / "portfolio/portfolio.html"
    for text in (WORDS, "A paper of &lt;2026&gt;", "Checkpoint: Foundations"):
        assert text in portfolio.read_text()
    with page.expect_download() as download:
        page.get_by_role("link", name="Markdown").click()
    assert "What I can show" in Path(download.value.path()).read_text()

    # Started again, eight days later.
    server.stop()
    server.start(days_later=8)
    page.goto(server.link)
    road = page.locator(".road").inner_text()
    assert "done unaided" in road
    assert "1 of 2 read" in road
    page.locator(".road details", has_text="Foundations").evaluate("details => { details.open = true; }")
    assert "passed" in page.locator(".road .checkpoint").inner_text()
    reader.go("/lesson/means")
    assert "done unaided" in reader.verdict("mean-of", "passed").inner_text()
    assert "# mine" in reader.exercise("mean-of").locator(".cm-content").inner_text()
    reader.exercise("mean-of").get_by_text("Look at what is added up.").wait_for()
    reader.answered("outlier")
    reader.answered("middle", right=False)
    page.locator(".own-points input").nth(1).wait_for()
    assert page.locator("#own-words").input_value() == WORDS
    assert [box.is_checked() for box in page.locator(".own-points input").all()] == [
        False,
        True,
        False,
        False,
    ]
    reader.go("/lesson/checkpoint-1")
    reader.stands("Passed on 20")
    for identity in asked:
        reader.answered(identity)
    reader.go("/outcomes")
    assert WORDS in page.locator("#explanation").input_value()
    assert page.locator("#critique-title").input_value() == "A paper of <2026>"

    # The review has come, with what was wrong among it, and the exercise is back, blank.
    reader.go("/review")
    page.wait_for_selector("[data-review][data-live]")
    due = page.locator(".question").evaluate_all("all => all.map(one => one.dataset.question)")
    assert "middle" in due
    for number, identity in enumerate(due, start=1):
        reader.answer(identity)
        page.get_by_role("button", name="Next" if number < len(due) else "Finish").click()
    page.get_by_role("heading", name=f"{len(due)} of {len(due)} right").wait_for()
    page.get_by_role("link", name="The mean").click()
    code = reader.exercise("mean-of-again").locator(".cm-content").inner_text()
    assert "..." in code
    assert "sum(values)" not in code
