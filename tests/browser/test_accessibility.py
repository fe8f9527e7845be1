"""axe over the pages in both themes: no serious or critical finding (WCAG 2.2 A and AA)."""

from pathlib import Path

import pytest

AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
LESSON = "/lesson/linear-regression"
PAGES = (
    "/",
    "/search?q=slope",
    "/glossary",
    "/map",
    "/outcomes",
    "/settings",
    "/machine",
    "/lesson/perceptron",
)
ASK = """
async () => {
  const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const found = await axe.run(document, { runOnly: { type: "tag", values: tags } });
  return found.violations.flatMap(({ id, impact, nodes }) =>
    nodes.map(({ target, failureSummary }) => ({ id, impact, target: target.join(" "), failureSummary })));
}
"""


@pytest.fixture
def look(serve, open_context):
    """Open the course in a theme; gives the server, a page, and what axe finds serious on it."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed (run `python hatch_build.py --check`)")

    def open_page(theme):
        server = serve()
        page = open_context(viewport={"width": 1280, "height": 900}, color_scheme=theme).new_page()
        page.set_default_timeout(30_000)
        page.goto(server.link)

        def find_serious():
            # evaluated by the debugger, which the page's content security policy does not concern
            page.evaluate(AXE.read_text(encoding="utf-8"))
            return [one for one in page.evaluate(ASK) if one["impact"] in {"serious", "critical"}]

        return server, page, find_serious

    return open_page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_the_pages(look, theme):
    server, page, find_serious = look(theme)
    for path in PAGES:
        page.goto(server.base + path)
        page.wait_for_load_state("load")
        assert find_serious() == [], path
    page.goto(server.base + "/")
    page.locator(".topics summary").nth(1).click()
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    assert find_serious() == [], "home with a topic and the keys open"
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Search").fill("gradient")
    page.get_by_role("option").first.wait_for()
    page.keyboard.press("ArrowDown")
    assert find_serious() == [], "search as you type"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_a_lesson_at_work(look, cell, theme):
    server, page, find_serious = look(theme)
    page.goto(f"{server.base}{LESSON}?route=full")
    page.wait_for_selector(".math .katex")
    names = [one.get_attribute("data-cell") for one in page.locator(".cell[data-kind=code]:visible").all()]
    first, second = cell(page, names[0]), cell(page, names[1])
    first.run()
    second.type("import torch\nw = torch.ones(3, 2)\nw @ w")
    second.run(until="error")
    second.box.get_by_text("Plain traceback").click()
    page.locator('.equation[data-kind="derived"]').first.scroll_into_view_if_needed()
    page.locator(".eq-check", has_text="numerically checked").first.hover()
    page.wait_for_selector(".eq-tip:not([hidden])")
    page.locator(".cell-outputs svg").first.wait_for()
    assert find_serious() == []


def test_axe_itself_works(look):
    _, page, find_serious = look("light")
    page.evaluate(
        "() => document.querySelector('#main').insertAdjacentHTML('beforeend', '<img src=\"data:,\">')"
    )
    assert [one["id"] for one in find_serious()] == ["image-alt"]
