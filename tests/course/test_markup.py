"""Plain words, anchors, sentences and terms of Markdown."""

import pytest

from nn2llm.course.markup import find_sentence, find_term, make_anchor, mask_code, spell_math, to_plain_text


@pytest.mark.parametrize(
    ("markdown", "plain"),
    [
        ("A *b* **c** `d_e` [f](g.md) ![h](i.png)", "A b c d_e f h"),
        ("- one\n- two\n\n> three", "one two three"),
        ("| a | b |\n|---|--:|\n| c | d |", "a b c d"),
        (r"The $\hat{y}$ and $\theta$, $x_i$, $\frac{1}{n}$, $\sqrt{n}$", "The ŷ and θ, x_i, 1/n, …"),
        ("1 <!-- from: fit -->1.43 2", "1 1.43 2"),
        ("It costs $5 or $6.", "It costs $5 or $6."),
        ("a\n```text\nb\n```\nc", "a c"),
        (r"2 \* 3", "2 * 3"),
        ("`*not bold*`", "*not bold*"),
    ],
)
def test_plain_text(markdown: str, plain: str):
    assert to_plain_text(markdown) == plain


def test_an_anchor_has_letters_digits_and_hyphens():
    assert make_anchor("What *goes* wrong: `lr = 10`?") == "what-goes-wrong-lr-10"
    assert make_anchor("?!") == ""


def test_masking_keeps_length_and_lines():
    text = "a `b` $c$\n```\nd\n```\ne"
    masked = mask_code(text)
    assert len(masked) == len(text)
    assert masked.split() == ["a", "e"]
    assert masked.count("\n") == text.count("\n")


def test_a_term_is_found_in_bold_only_whatever_its_case_and_number():
    assert find_term("learning rate", "The rate. **Learning\nrates** are") is not None
    assert find_term("shape", "shape and `**shape**` and **shaped**") is None


@pytest.mark.parametrize(
    ("markdown", "sentence"),
    [
        ("One. A **term** is e.g. this (eq. 2). Three.", "A **term** is e.g. this (eq. 2)."),
        ("Before it.\n\nA **term**\nis $x. y$ here! After.", "A **term** is $x. y$ here!"),
        ("- First thing.\n- A **term** is this\n- Last.", "A **term** is this"),
        ("1. First.\n2. A **term**, see 1.5, ends.", "A **term**, see 1.5, ends."),
        ("Say: *a **term** it is.* More.", "Say: *a **term** it is.*"),
    ],
)
def test_the_sentence_around_a_term(markdown: str, sentence: str):
    match = find_term("term", markdown)
    assert match is not None
    assert find_sentence(markdown, match.start()) == sentence


@pytest.mark.parametrize(
    ("markdown", "spelled"),
    [
        (r"Write $\partial L / \partial w$ for $n$ pages.", "Write ∂L / ∂w for n pages."),
        ("`cost = $x$` is code, $x$ is not, $5 and $6 are prices.",
         "`cost = $x$` is code, x is not, $5 and $6 are prices."),
        (r"$\mathbb{R}^n$ stays as it was typed", r"\mathbb{R}^n stays as it was typed"),
        ("**bold** and 2*x*y stay", "**bold** and 2*x*y stay"),
        (r"$\frac{a}{b}$ but $\frac{a + 1}{b}$", r"a/b but \frac{a + 1}{b}"),
    ],
)  # fmt: skip
def test_mathematics_in_letters_and_all_else_as_it_is(markdown: str, spelled: str):
    assert spell_math(markdown) == spelled
