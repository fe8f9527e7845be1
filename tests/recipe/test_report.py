"""The report of a whole recipe, of parts of one, and what must not get into it."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from nn2llm.core.errors import DataError
from nn2llm.recipe import report_charts, training_charts
from nn2llm.recipe.charts import Chart
from nn2llm.recipe.report import strip_timings, write_report
from nn2llm.recipe.report_data import read_report
from nn2llm.recipe.report_html import build_html
from nn2llm.recipe.report_words import summarise
from tests.recipe.report_fixture import KINDS, POLICIES, STAGES, write_recipe

EVIL = "<script>alert(1)</script> <!-- timings --> & `code` <b>it's</b>"
VOID = {"meta", "link", "br", "path", "use", "rect"}


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    """A finished recipe with its report, in which two prompts and replies are nasty."""
    out = write_recipe(tmp_path_factory.mktemp("recipe") / "full", num_prompts=200)
    path = out / "evaluation" / "replies.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["messages"][-1]["content"] += EVIL
        for reply in line["replies"].values():
            reply["text"] += EVIL
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_report(out)
    return out


@pytest.fixture
def without_charts(monkeypatch):
    """For tests of everything else: the charts of a page take most of its time."""
    for module in (report_charts, training_charts):
        monkeypatch.setattr(module, "draw_chart", lambda *_, alt, **__: Chart("<svg></svg>", alt, 340))


class _Outline(HTMLParser):
    """Tags that are open, ids and text, to see that the page is well-formed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.scripts = 0
        self.sources: list[str] = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        href = values.get("href", "") or ""
        self.links += [href[1:]] if href.startswith("#") else []
        self.sources += [value for name, value in attrs if name in {"src", "srcset"}]
        self.sources += [href] if href and not href.startswith(("#", "data:")) else []
        self.scripts += tag == "script"

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_page_is_well_formed_and_needs_nothing_else(full):
    page = (full / "report.html").read_text(encoding="utf-8")
    outline = _Outline()
    outline.feed(page)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.links) <= set(outline.ids)
    assert outline.scripts == 0
    assert outline.sources == []
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3\.org/2000/svg)", page)


def test_whatever_a_model_writes_is_escaped(full):
    page = (full / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<b>it's</b>" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt; &lt;!-- timings --&gt; &amp; `code`") >= 30
    # a mark in a reply would have cut the page in two
    assert 'id="method"' in strip_timings(page)


def test_every_kind_is_shown_with_a_typical_and_the_worst_reply(full):
    report, _ = read_report(full)
    lines = [json.loads(line) for line in (full / "evaluation" / "replies.jsonl").read_text().splitlines()]
    assert report.sample_policy == "ppo"
    for kind in KINDS:
        shown = [sample for sample in report.samples if sample.kind == kind]
        golds = sorted(line["replies"]["ppo"]["gold"] for line in lines if line["kind"] == kind)
        assert shown[0].choice == "typical"
        assert shown[0].replies["ppo"]["gold"] == golds[len(golds) // 2]
        assert min(sample.replies["ppo"]["gold"] for sample in shown) == golds[0]
        gains = [
            line["replies"]["ppo"]["gold"] - line["replies"]["sft"]["gold"]
            for line in lines
            if line["kind"] == kind
        ]
        shown_gains = [sample.replies["ppo"]["gold"] - sample.replies["sft"]["gold"] for sample in shown]
        assert max(shown_gains) == max(gains)
        assert set(shown[0].replies) == set(POLICIES)


def test_the_same_figures_give_the_same_report_whatever_the_time(full, tmp_path):
    other = write_recipe(tmp_path / "elsewhere", num_prompts=200, seconds=7.0)
    for name in ("replies.jsonl", "summary.json"):
        (other / "evaluation" / name).write_bytes((full / "evaluation" / name).read_bytes())
    write_report(other)
    assert (other / "report.json").read_bytes() == (full / "report.json").read_bytes()
    for name in ("report.html", "report.md"):
        mine, theirs = ((folder / name).read_text(encoding="utf-8") for folder in (full, other))
        assert mine != theirs
        assert strip_timings(mine) == strip_timings(theirs)


def test_report_json_has_the_figures_and_no_time(full):
    figures = json.loads((full / "report.json").read_text(), parse_constant=pytest.fail)
    lines = [json.loads(line) for line in (full / "evaluation" / "replies.jsonl").read_text().splitlines()]
    gold = [line["replies"]["ppo"]["gold"] for line in lines]
    assert figures["behaviour"]["ppo"]["gold"]["estimate"] == pytest.approx(math.fsum(gold) / len(gold))
    assert figures["stages"]["base"] == {
        "tokens": 12_000_000,
        "flops": pytest.approx(7.44e13),
        "headline": "headline of base",
    }
    assert next(iter(figures["gold_by_group"]["sft"])) == "all"
    text = json.dumps(figures)
    assert "seconds" not in text
    assert "tokens_per_s" not in text
    assert full.name not in text


def test_the_markdown_has_the_main_tables(full):
    text = (full / "report.md").read_text(encoding="utf-8")
    for title in ("Scores by stage", "Win rates", "Base model", "Reward model", "PPO", "Cost"):
        assert f"## {title}\n" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert all(line.endswith(" |") for line in rows)
    assert len(text.splitlines()) < 120


@pytest.mark.parametrize(
    ("stages", "sections", "absent"),
    [
        (("base",), {"scores", "base", "cost"}, {"reward", "ppo", "dpo", "replies", "wins"}),
        (STAGES[:5], {"scores", "base", "reward", "cost"}, {"ppo", "dpo", "replies"}),
    ],
)
@pytest.mark.usefixtures("without_charts")
def test_a_recipe_under_way_shows_what_there_is(tmp_path, stages, sections, absent):
    out = write_recipe(tmp_path, stages=stages)
    page, text = (path.read_text(encoding="utf-8") for path in write_report(out))
    for name in sections:
        assert f'<section id="{name}">' in page
    for name in absent:
        assert f'<section id="{name}">' not in page
    assert "The evaluation has not been made yet" in page
    assert "Not done yet:" in text
    assert "PPO, DPO and Evaluation." in text


def test_until_the_evaluation_the_base_model_has_the_figures_of_its_own_stage(tmp_path):
    out = write_recipe(tmp_path, stages=("base",))
    floor = {
        "nats_per_document": 70.0,
        "floor_nats_per_document": 56.0,
        "percent_above": 25.0,
        "bits_per_byte": 0.4,
        "floor_bits_per_byte": 0.32,
    }
    record = json.loads((out / "base" / "stage.json").read_text())
    (out / "base" / "stage.json").write_text(json.dumps(record | {"metrics": floor | {"val_loss": 1.0}}))
    report, _ = read_report(out)
    assert report.base.percent_above == 25.0
    assert "25.0% above the floor" in summarise(report)


@pytest.mark.usefixtures("without_charts")
def test_ppo_is_shown_while_it_runs(tmp_path):
    out = write_recipe(tmp_path, stages=STAGES[:6], num_iterations=6)
    (out / "ppo" / "stage.json").unlink()
    report, timings = read_report(out)
    assert "ppo" in report.missing
    page = build_html(report, timings)
    assert "PPO is still under way" in page
    assert "6 iterations, too few to speak of a trend" in page


def test_a_folder_without_stages_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no stage that has ended.*nn2llm chatgpt --out"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("evaluation/replies.jsonl", '{"index": 0}\nnot json\n', "replies.jsonl, line 2: not a JSON object"),
        ("evaluation/replies.jsonl", '{"index": 0}\n', r"no 'replies'.*Delete .*evaluation"),
        ("evaluation/summary.json", "{", "summary.json is not valid JSON"),
        ("ppo/metrics.jsonl", '{"step": 1}\noops\n{"step": 2}\n', "metrics.jsonl, line 2"),
        ("base/stage.json", '{"tokens": 1}', "not as this version writes it"),
    ],
)
def test_a_damaged_file_is_named_and_nothing_is_written(tmp_path, file, content, message):
    out = write_recipe(tmp_path, num_prompts=20, num_iterations=3)
    (out / file).write_text(content)
    with pytest.raises(DataError, match=message):
        write_report(out)
    assert not list(out.glob("report.*"))


def test_one_prompt_a_group_is_no_reason_to_fail(tmp_path):
    out = write_recipe(tmp_path, num_prompts=len(KINDS), num_iterations=1)
    report, _ = read_report(out)
    assert report.groups["candour"] == 1
    interval = report.gold_by_group["ppo"]["candour"]
    assert interval.high - interval.low > 0.7
