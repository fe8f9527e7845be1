"""The portfolio: everything is in it, nothing the learner typed is more than text, no change is lost."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from nn2llm.core.errors import ConfigError
from nn2llm.course.lesson import Course
from nn2llm.course.loader import load_course
from nn2llm.course.outcomes import CRITIQUE_FIELDS, save_evidence
from nn2llm.course.portfolio import Portfolio, build_portfolio, write_portfolio
from nn2llm.course.portfolio_markdown import escape_markdown
from nn2llm.course.portfolio_words import is_link
from nn2llm.course.run_evidence import Measured, TrainedModel
from nn2llm.course.store import Store
from tests.course.learning_course import write_learning_course
from tests.course.test_outcomes import measure, write_evidence, write_run

NASTY = """<script>alert(1)</script> & <img src=x onerror=y> `code` *bold* [link](javascript:x) $x$ |
# no heading
    no code block
- no item
1. no number
> no quote <!-- no comment -->"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "course.db")
    yield made
    made.close()


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return load_course(write_learning_course(tmp_path / "lessons"))


def build(course: Course, store: Store, tmp_path: Path, **more: str) -> Portfolio:
    return build_portfolio(course, store, runs=tmp_path / "runs", home=tmp_path, **more)


class Tags(HTMLParser):
    """The tags and attributes of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def fill(store: Store, text: str) -> None:
    """Put `text` wherever a learner can type."""
    store.words.set("means", text, [True, False])
    save_evidence(store, "explanation", {"text": text})
    save_evidence(store, "critique", dict.fromkeys(CRITIQUE_FIELDS, text))
    save_evidence(store, "learner", {"name": text[:100]})


def test_an_empty_one_says_what_is_missing(course: Course, store: Store, tmp_path: Path) -> None:
    made = build(course, store, tmp_path)
    assert "<h1>What I can show</h1>" in made.html
    assert made.markdown.startswith("# What I can show\n")
    for text in (made.html, made.markdown):
        assert text.count("Nothing yet") == 4
        assert "0 of 4 promises with evidence" in " ".join(text.split())
        assert "None yet." in text


def test_everything_is_in_both(course: Course, store: Store, tmp_path: Path) -> None:
    write_run(tmp_path / "runs/tiny", [measure(20, 1.25)])
    write_evidence(tmp_path / "runs/lora")
    save_evidence(store, "learner", {"name": "Ada B."})
    save_evidence(store, "critique", {"title": "A paper", "link": "https://example.org/p?a=1&b=2"})
    store.words.set("sums", "Sums add up.")
    store.exercises.record_attempt("means", "mean-of", status="passed", text="", verdict={})
    (tmp_path / "mygpt").mkdir()
    (tmp_path / "mygpt/attention.py").write_text("def attend(query, key, value, mask):\n    return value\n")
    made = build(course, store, tmp_path)
    page = Tags(made.html)
    for text in (page.text, made.markdown.replace("\\", "")):
        for part in (
            "Ada B.: what I can show",
            "1.250",
            "0.620 (0.580 to 0.660)",
            "0.210 (0.170 to 0.250)",
            "runs/base-1",
            "Sums add up.",
            "A paper",
            "1 Foundations",
            "nn2llm 0",
            store.now()[:10],
        ):
            assert part in text, part
    assert ("href", "https://example.org/p?a=1&b=2") in page.attributes
    assert "<https://example.org/p?a=1&b=2>" in made.markdown
    assert "Parts of a GPT written by the learner" in made.html
    assert "| 1 Foundations | 1 | 0 | 1 |" in made.markdown


def test_a_name_can_be_given_for_once(course: Course, store: Store, tmp_path: Path) -> None:
    save_evidence(store, "learner", {"name": "Ada"})
    assert "Bo: what I can show" in build(course, store, tmp_path, learner="Bo").html
    assert "Ada: what I can show" in build(course, store, tmp_path).html


def test_what_the_learner_typed_is_text_in_the_html(course: Course, store: Store, tmp_path: Path) -> None:
    plain = Tags(build(course, store, tmp_path).html)
    fill(store, NASTY)
    made = Tags(build(course, store, tmp_path).html)
    assert set(made.tags) <= set(plain.tags) | {"p", "h3", "strong", "footer"}
    assert not {"script", "img", "a"} & set(made.tags)
    assert not any(name.startswith("on") or name in ("src", "href") for name, _ in made.attributes)
    assert made.text.count("<script>alert(1)</script> & <img src=x onerror=y>") >= 3


def test_what_the_learner_typed_is_text_in_the_markdown(course: Course, store: Store, tmp_path: Path) -> None:
    fill(store, NASTY)
    made = build(course, store, tmp_path).markdown
    tokens = MarkdownIt("commonmark").enable("table").parse(made)
    kinds = {token.type for token in tokens} | {
        child.type for token in tokens for child in token.children or []
    }
    assert not kinds & {"fence", "code_block", "code_inline", "image", "em_open", "html_inline", "link_open"}
    headings = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]
    assert not any("no heading" in heading for heading in headings[1:])
    quoted = [token.content for token in tokens if token.type == "html_block"]
    assert all(re.fullmatch(r"<!-- nn2llm portfolio [0-9a-f]{64} -->\n", text) for text in quoted)
    # and whoever reads it as Markdown reads what was typed
    shown = "".join(
        child.content if child.type == "text" else "\n" if child.type.endswith("break") else ""
        for token in tokens
        for child in token.children or []
    )
    lines = "\n".join(line.strip() for line in NASTY.splitlines())
    assert shown.count(lines) >= 3


@pytest.mark.parametrize(
    "text", ["", "plain words", "ünï\ncödé", "a\\b", "1) x", "+ x", "===", "a_b_c", "\\*"]
)
def test_markdown_shows_what_was_escaped(text: str) -> None:
    [*_, inline] = [
        token for token in MarkdownIt().parse(escape_markdown(text)) if token.type == "inline"
    ] or [None]
    children = [] if inline is None else inline.children or []
    shown = "".join("\n" if child.type == "softbreak" else child.content for child in children)
    assert shown == text


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("https://arxiv.org/abs/1706.03762", True),
        ("http://example.org", True),
        ("javascript:alert(1)", False),
        ("https://a b", False),
        ('https://a"onclick=x', False),
        ("data:text/html,x", False),
        ("", False),
    ],
)
def test_only_an_address_of_the_web_becomes_a_link(text: str, good: bool) -> None:
    assert is_link(text) is good


def test_the_html_stands_alone_in_light_and_dark_and_on_paper(
    course: Course, store: Store, tmp_path: Path
) -> None:
    page = build(course, store, tmp_path).html
    assert not re.search(r"<(script|link|img|iframe)|@import|url\(", page)
    assert "color-scheme: light dark" in page
    assert "@media print" in page


def test_files_are_replaced_only_while_nobody_changed_them(
    course: Course, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    paths = write_portfolio(build(course, store, tmp_path), folder)
    assert [path.name for path in paths] == ["portfolio.html", "portfolio.md"]
    store.words.set("sums", "Sums add up.")
    write_portfolio(build(course, store, tmp_path), folder)  # as it was written
    assert "Sums add up." in paths[1].read_text()
    changed = paths[1].read_text().replace("Sums add up.", "I wrote more.")
    paths[1].write_text(changed)
    before = paths[0].read_text()
    store.words.set("sums", "Once more.")
    with pytest.raises(ConfigError, match=r"portfolio\.md was changed since it was written"):
        write_portfolio(build(course, store, tmp_path), folder)
    assert (paths[0].read_text(), paths[1].read_text()) == (before, changed)  # neither
    write_portfolio(build(course, store, tmp_path), folder, overwrite=True)
    assert "Once more." in paths[0].read_text()
    assert "Once more." in paths[1].read_text()


def test_a_file_in_the_place_of_the_folder_is_refused(course: Course, store: Store, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(ConfigError, match="is a file, not a folder"):
        write_portfolio(build(course, store, tmp_path), tmp_path / "mine")


def test_a_model_that_stopped_says_so() -> None:
    from nn2llm.course.portfolio_words import describe_model

    model = TrainedModel(
        name="a",
        path=Path("a"),
        corpus="text",
        num_parameters=1_200_000,
        tokens=2000,
        step=5,
        num_steps=20,
        val_loss=1.0,
        bits_per_byte=Measured(estimate=0.5, low=0.4, high=0.6),
        floor_bits_per_byte=0.3,
        trained_on="2026-01-01",
        own_parts=("attention",),
    )
    rows = dict(describe_model(model))
    assert rows["Steps"] == "5 of 20: it was stopped"
    assert rows["Held-out bits a byte"] == "0.500 (0.400 to 0.600)"
    assert rows["Parts written by the learner"] == "attention"
    assert rows["The best that any model can reach"] == "0.300 bits a byte"
