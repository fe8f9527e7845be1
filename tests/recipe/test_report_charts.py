"""Charts: valid SVG whose colours are all variables, whose text is text, and whose ids are its own."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest
from matplotlib.figure import Figure

from nn2llm.recipe.charts import COLOURS, draw_chart, error_bars, label_ends, style_axes
from nn2llm.recipe.report_charts import draw_base_loss, draw_frontier, draw_gold_by_group, draw_probes
from nn2llm.recipe.report_data import read_report
from nn2llm.recipe.report_figures import Score
from nn2llm.recipe.training_charts import (
    draw_biases,
    draw_calibration,
    draw_dpo,
    draw_ppo_course,
    draw_ppo_health,
    draw_reward_accuracy,
)
from tests.recipe.report_fixture import write_recipe


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return read_report(write_recipe(tmp_path_factory.mktemp("charts"), num_prompts=80, num_iterations=30))[0]


@pytest.fixture(scope="module")
def charts(report):
    return {
        "gold": draw_gold_by_group(report, wide=False),
        "base": draw_base_loss(report.curves["base"], report.base),
        "probes": draw_probes(report.probes),
        "frontier": draw_frontier(report),
        "accuracy": draw_reward_accuracy(report),
        "calibration": draw_calibration(report.reward, report.reward_control),
        "biases": draw_biases(report.reward, report.reward_control),
        "course": draw_ppo_course(report.ppo, noise=0.15, wide=False),
        "health": draw_ppo_health(report.ppo, wide=False),
        "dpo": draw_dpo(report.curves["dpo"], wide=True),
    }


def test_charts_are_xml_with_words_for_those_who_cannot_see_them(charts):
    for chart in charts.values():
        root = ET.fromstring(chart.svg)
        assert root.get("role") == "img"
        assert root.get("aria-label") == chart.alt
        assert root.get("width") is None  # the page decides
        assert len(chart.alt) > 40
        texts = ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]
        assert len(texts) > 8


def test_every_colour_is_a_variable_and_every_font_the_pages(charts):
    used = set()
    for chart in charts.values():
        assert not re.search(r"(fill|stroke): #|rgb\(|font-family|<style|<metadata", chart.svg)
        used |= set(re.findall(r"var\(--([a-z]+)\)", chart.svg))
    assert used <= set(COLOURS)
    assert {"base", "sft", "ppo", "dpo", "proxy", "utility", "gold", "ink", "muted", "line"} <= used


def test_ids_are_not_shared_and_all_references_lead_somewhere(charts):
    seen: set[str] = set()
    for chart in charts.values():
        ids = set(re.findall(r'id="([^"]+)"', chart.svg))
        assert set(re.findall(r'(?:url\(|href=")#([^")]+)', chart.svg)) == ids
        assert not ids & seen
        seen |= ids


def test_the_same_figures_give_the_same_picture(report, charts):
    assert draw_frontier(report).svg == charts["frontier"].svg


def test_axes_have_labels_with_units(charts):
    for name, label in {
        "base": "tokens read, millions",
        "frontier": "KL from SFT, nats a reply",
        "course": "nats a reply",
        "accuracy": "held-out pairs ranked right, %",
        "biases": "log-odds of being preferred, typical pair",
    }.items():
        assert label in charts[name].svg


def test_alt_texts_have_the_numbers(report, charts):
    gold = report.behaviour["ppo"].gold.estimate
    assert f"PPO: All {gold:.2f}" in charts["gold"].alt
    assert "fall from" in charts["base"].alt
    assert "kind words" in charts["biases"].alt


def test_without_the_labellers_noise_the_proxy_has_an_axis_of_its_own(report):
    chart = draw_ppo_course(report.ppo, noise=None, wide=False)
    assert "Reward model's score" in chart.svg
    assert "Gain since the start" not in chart.svg


def test_labels_at_line_ends_do_not_overlap():
    places = []

    def paint(figure):
        axes = figure.add_subplot()
        axes.set(xlim=(0, 1), ylim=(0, 1))
        label_ends(
            axes, [(1, 0.99, "a", "ink"), (1, 1.0, "b", "ink"), (1, 0.98, "c", "ink"), (1, 0.1, "d", "ink")]
        )
        places.extend(sorted(text.xy[1] for text in axes.texts))

    draw_chart("ends", paint, alt="four names at the ends of lines, of which three are close", height=200)
    assert places[0] == pytest.approx(0.1)
    assert all(after - before > 0.08 for before, after in itertools.pairwise(places))
    assert places[-1] <= 1.0


def test_error_bars_reach_from_the_estimate_to_the_ends():
    down, up = error_bars([Score(0.5, 0.4, 0.7, 10), Score(1.0, 0.9, 1.0, 10)])
    assert down == pytest.approx([0.1, 0.1])
    assert up == pytest.approx([0.2, 0.0])


@pytest.mark.parametrize(
    ("grid", "shown"), [("x", (True, False)), ("y", (False, True)), ("both", (True, True))]
)
def test_a_grid_stands_along_the_axes_that_were_asked_for(grid, shown):
    axes = Figure().add_subplot()
    axes.grid(True)
    style_axes(axes, grid=grid)
    assert tuple(axis.get_gridlines()[0].get_visible() for axis in (axes.xaxis, axes.yaxis)) == shown
