"""Exercises on a lesson's page: readable without a script, and nothing of the answers in it."""

import re

import pytest

from nn2llm.course.inline import PageState
from nn2llm.course.rendering_exercises import list_exercises, render_exercise_place

YAML = r"""
- name: step
  kind: repair
  title: One <step> of $x^2$
  minutes: 8
  difficulty: 2
  functions: [step]
  checks: [check_step]
  task: |
    Mend `step`:

    $$ w \leftarrow w - 1 $$

    ### A heading of the task
  hints: [hinthint, hinthint, hinthint]
- name: form
  kind: diagnose
  title: Why?
  minutes: 3
  difficulty: 5
  task: Look.
  fields:
    - name: cause
      kind: multiple
      label: Which **causes**?
      options:
        - {value: lr, text: "the rate $\\eta$", why: whywhy}
        - {value: '"x"', text: "a shape", why: whywhy}
      answer: [lr]
    - name: slope
      kind: expression
      label: Slope
      answer: "answeranswer"
      symbols: {x: {shape: [n, 3], about: "all *inputs*"}, w: {about: weight}}
    - name: other
      kind: expression
      label: Other
      answer: "x"
      symbols: {x: {shape: [n, 3], about: "all *inputs*"}, z: {about: new}}
    - {name: miss, kind: number, label: Misses, answer: 117, unit: tokens}
  hints: [hinthint, hinthint, hinthint]
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "exercises.yaml").write_text(YAML)

    def render(name):
        return render_exercise_place(tmp_path, name, PageState(slug="lines"))

    return render


def test_title_kind_difficulty_minutes_task_and_where_to_do_it(place):
    html, title = place("step")
    assert title == "One <step> of $x^2$"
    assert html.startswith(
        '<section class="exercise" id="exercise-step" data-exercise="step" data-kind="repair"'
    )
    assert 'aria-labelledby="exercise-step-title"' in html
    assert 'One &lt;step&gt; of <span class="math" data-tex="x^2">' in html
    assert "Repair the code" in html
    assert '<span class="dots" role="img" aria-label="difficulty 2 of 5">●●○○○</span> · 8 min' in html
    assert 'data-tex="w \\leftarrow w - 1" data-display' in html
    assert "<code>nn2llm learn check lines step</code>" in html
    assert html.count("<section") == html.count("</section>") == 1


def test_a_tasks_own_heading_is_not_in_the_outline_but_has_an_anchor(tmp_path, place):
    (tmp_path / "exercises.yaml").write_text(YAML)
    state = PageState(slug="lines")
    html, _ = render_exercise_place(tmp_path, "step", state)
    assert '<h3 id="a-heading-of-the-task">' in html
    assert state.headings == []


def test_a_form_shows_its_questions_choices_and_symbols_once(place):
    html, _ = place("form")
    assert re.findall(r'data-field="(\w+)" data-kind="(\w+)"', html) == [
        ("cause", "multiple"), ("slope", "expression"), ("other", "expression"), ("miss", "number"),
    ]  # fmt: skip
    assert "Which <strong>causes</strong>?" in html
    assert re.findall(r'<li data-value="([^"]*)">', html) == ["lr", "&quot;x&quot;"]
    assert "several may hold" in html
    assert html.count("<code>x</code>") == 1  # the second field says what is new
    assert html.count("<code>z</code>") == 1
    assert "all <em>inputs</em></td><td>(n, 3)" in html
    assert "A number, in tokens." in html


def test_no_answer_hint_or_reason_is_on_the_page_or_in_its_data(tmp_path, place):
    text = place("step")[0] + place("form")[0] + repr(list_exercises(tmp_path))
    for secret in ("hinthint", "whywhy", "answeranswer", "117"):
        assert secret not in text
    assert [one["num_hints"] for one in list_exercises(tmp_path)] == [3, 3]
    assert list_exercises(tmp_path)[1]["fields"][3] == {
        "name": "miss", "kind": "number", "unit": "tokens", "min_words": None,
    }  # fmt: skip


def test_without_exercises_yaml_it_is_coming(tmp_path):
    html, title = render_exercise_place(tmp_path, "later", PageState())
    assert "Coming here: an exercise, <em>later</em>" in html
    assert title == ""
    assert list_exercises(tmp_path) == []


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        (YAML.replace("kind: repair", "kind: repare"), "exercises.yaml:3: kind is &#x27;repare&#x27;"),
        (YAML.replace("name: step", "name: stepp"), "no exercise &#x27;step&#x27;"),
        ("- name: <b>\n  x: [", "exercises.yaml:"),
    ],
)
def test_a_broken_file_says_in_the_page_what_is_wrong(tmp_path, yaml, words):
    (tmp_path / "exercises.yaml").write_text(yaml)
    html, _ = render_exercise_place(tmp_path, "step", PageState())
    assert words in html
    assert "cannot be shown" in html
    assert "<b>" not in html
    assert str(tmp_path) not in html
