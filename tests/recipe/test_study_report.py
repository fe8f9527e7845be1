"""The pages of a study: figures by hand, what the page says, and what must not get into it."""

import dataclasses
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from nn2llm.core.errors import DataError
from nn2llm.evals.best_of_n import bound_best_of_n_kl
from nn2llm.recipe import study_charts
from nn2llm.recipe.charts import Chart
from nn2llm.recipe.report import strip_timings
from nn2llm.recipe.report_figures import Timings
from nn2llm.recipe.study_best_of_n import read_candidates
from nn2llm.recipe.study_data import choose_n, compute_best_of_n, read_study
from nn2llm.recipe.study_figures import StudyFigures
from nn2llm.recipe.study_html import build_study_html
from nn2llm.recipe.study_report import write_study
from nn2llm.recipe.study_words import describe_free, describe_labels, name_method, summarise_study
from tests.recipe.study_fixture import NUM_CANDIDATE_PROMPTS, NUM_PROMPTS, NUM_REPLIES, write_study_folder

EVIL = "<script>alert(1)</script> <!-- timings --> & `code` <b>it's</b>"
VOID = {"meta", "link", "br", "path", "use", "rect"}


class Outline(HTMLParser):
    """Tags that are open, ids, links and what is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [values["id"] or ""] if "id" in values else []
        if tag == "a":
            self.links.append(values.get("href") or "")
        if tag in ("script", "img") or (tag == "link" and values.get("href") != "data:,"):
            self.loaded.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def check_page(page: str) -> Outline:
    """Well-formed, every link within it leads somewhere, and nothing else is loaded."""
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert outline.loaded == []
    assert len(outline.ids) == len(set(outline.ids))
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    assert {link for link in outline.links if not link.startswith(("#", "https://arxiv.org"))} == {
        "report.html"
    }
    assert not re.search(r"url\((?!#)|@import", page)
    assert "nan" not in re.sub(r"<[^>]*>", " ", page).split()
    return outline


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study_folder(tmp_path_factory.mktemp("study") / "out")


@pytest.fixture(scope="module")
def figures(folder: Path) -> StudyFigures:
    return read_study(folder)[0]


def test_best_of_n_by_hand(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "best_of_n"
    out.mkdir()
    lines = [
        # the reward model is right about the first prompt and wrong about the second
        {"gold": [0.2, 0.8], "utility": [0.3, 0.9], "scores": {"reward": [1.0, 3.0]}, "drawn": [0, 1]},
        {"gold": [0.5, 0.1], "utility": [0.5, 0.1], "scores": {"reward": [0.0, 2.0]}, "drawn": [1, 0]},
    ]
    (out / "replies.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = read_candidates(out)
    assert found.gold.tolist() == [[0.2, 0.8], [0.1, 0.5]]
    assert found.scores["reward"].tolist() == [[1.0, 3.0], [2.0, 0.0]]
    assert found.num_different == 2

    curve = compute_best_of_n(found, "reward", 0.2)
    assert curve.n == (1, 2)
    assert curve.kl == pytest.approx((0, math.log(2) - 0.5))
    # of one: 0.5 and 0.3; of two: 0.8 and 0.1
    assert curve.gold == pytest.approx((0, 0.45 - 0.4))
    assert curve.utility == pytest.approx((0, 0.5 - 0.45))
    assert curve.promise == pytest.approx((0, 0.2 * (2.5 - 1.5)))
    assert curve.fit is None  # one point does not make a parabola
    assert curve.fall is not None
    assert curve.fall.estimate == 0


def test_n_are_powers_of_two_and_what_lies_between() -> None:
    assert choose_n(2) == (1, 2)
    assert choose_n(16) == (1, 2, 3, 4, 6, 8, 12, 16)
    assert choose_n(10) == (1, 2, 3, 4, 6, 8, 10)


def test_training_gives_back_the_curve_that_it_was_drawn_from(figures: StudyFigures) -> None:
    curve = figures.training["ppo_free"]
    assert curve.fit is not None
    assert (curve.fit.alpha, curve.fit.beta) == pytest.approx((0.5, 0.4), abs=0.02)
    assert curve.fit.start == pytest.approx(0.6, abs=0.01)
    assert curve.gold[0] == pytest.approx(0, abs=0.02)
    assert curve.promise[-1] == pytest.approx(0.2 * 2.5 * 2.5, abs=0.02)
    assert curve.is_overoptimised
    assert not figures.training["ppo"].is_overoptimised
    assert set(figures.training) == {"ppo", "grpo", "ppo_free", "ppo_free_4", "ppo_free_8"}


def test_methods_are_compared_on_the_same_prompts(folder: Path, figures: StudyFigures) -> None:
    grpo = figures.find("grpo")
    assert grpo is not None
    assert grpo.comparison is not None
    new = [json.loads(line) for line in (folder / "study/replies.jsonl").read_text().splitlines()]
    old = [json.loads(line) for line in (folder / "evaluation/replies.jsonl").read_text().splitlines()]
    gains = [
        b["replies"]["grpo"]["gold"] - a["replies"]["sft"]["gold"] for a, b in zip(old, new, strict=True)
    ]
    assert grpo.gain.estimate == pytest.approx(np.mean(gains))
    assert 0 < grpo.gain.low < grpo.gain.high
    assert grpo.num_prompts == NUM_PROMPTS
    harmless = [gain for gain, line in zip(gains, old, strict=True) if line["group"] == "harmlessness"]
    assert figures.gains_by_group["grpo"]["harmlessness"].estimate == pytest.approx(np.mean(harmless))
    assert figures.groups == {"instructions": 13, "answers": 14, "harmlessness": 13}
    best = figures.find("best_of_n")
    assert best is not None
    assert best.kl_bound == bound_best_of_n_kl(NUM_REPLIES)
    assert best.num_prompts == NUM_CANDIDATE_PROMPTS
    free = figures.find("ppo_free")
    assert free is not None
    assert free.promise is not None
    assert free.gain.high < 0 < free.promise.low
    assert figures.free_less_ppo is not None
    gold, reward = figures.free_less_ppo
    ppo = figures.find("ppo")
    assert ppo is not None
    assert ppo.promise is not None
    assert gold.estimate == pytest.approx(free.gain.estimate - ppo.gain.estimate)
    assert reward.estimate == pytest.approx(free.promise.estimate - ppo.promise.estimate)


def test_exploits_are_worse_replies_that_score_higher(figures: StudyFigures) -> None:
    assert {exploit.kind for exploit in figures.exploits} == {"question", "harm", "list"}
    for exploit in figures.exploits:
        assert exploit.gold[1] < exploit.gold[0]
        assert exploit.reward[1] > exploit.reward[0]


def test_reward_models_stand_by_labels_and_by_size(figures: StudyFigures) -> None:
    assert figures.by_labels == ("reward_4", "reward_8", "reward")
    assert figures.by_size == ("reward_8", "reward_8_layers_1", "reward_8_layers_2")
    assert figures.judge("reward_8_layers_2").num_checking_layers == 2
    assert figures.judge("reward_4").num_pairs == 36
    assert name_method(figures, "ppo_free_4") == "PPO without KL, 4 prompts"
    assert name_method(figures, "best_of_n") == "Best of 16"


def test_words_follow_the_figures(figures: StudyFigures) -> None:
    assert "over-optimises" in describe_free(figures)
    assert "likes its replies better, and they are worse" in describe_free(figures)
    assert "falls back" in summarise_study(figures)
    calm = dataclasses.replace(figures, training=figures.training | {"ppo_free": figures.training["ppo"]})
    assert "has not clearly fallen back" in describe_free(calm)
    assert "over-optimises" not in summarise_study(calm)
    assert "no gold score clearly falls back" in describe_labels(figures)
    assert "More iterations" not in describe_free(figures)


@pytest.fixture
def without_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take most of a page's time."""
    monkeypatch.setattr(study_charts, "draw_chart", lambda *_, alt, **__: Chart("<svg></svg>", alt, 340))


@pytest.mark.parametrize("which", ["methods", "training", "best_of_n", "progress"])
def test_charts_are_drawn_and_say_their_figures(figures: StudyFigures, which: str) -> None:
    panels = {
        "training": [("Fewest", figures.training["ppo_free_4"])],
        "best_of_n": [("Fewest", figures.best_of_n["reward_4"])],
    }
    if which in panels:
        chart = study_charts.draw_curves(which, panels[which], wide=False)
        words = "promised"
    elif which == "methods":
        chart, words = study_charts.draw_methods(figures, wide=False), "PPO without KL −0.3"
    else:
        chart, words = study_charts.draw_progress(figures, ["ppo", "grpo"], wide=False), "GRPO ends at"
    assert words in chart.alt
    assert "#0a" not in chart.svg  # every colour is a variable
    assert chart.svg.count("√KL") >= 1


@pytest.mark.slow
def test_the_page_with_its_charts_is_whole(folder: Path) -> None:
    page, _ = write_study(folder)
    outline = check_page(page.read_text(encoding="utf-8"))
    assert page.read_text(encoding="utf-8").count("<svg") == 10
    assert outline.ids


@pytest.mark.usefixtures("without_charts")
def test_the_page_is_whole_and_stands_alone(folder: Path) -> None:
    page, text = write_study(folder)
    outline = check_page(page.read_text(encoding="utf-8"))
    assert {
        "methods", "free", "labels", "sizes", "best-of-n", "grpo", "constitutional", "method", "cost",
    } <= set(outline.ids)  # fmt: skip
    words = text.read_text(encoding="utf-8")
    assert "| GRPO |" in words
    assert "nan" not in words
    assert json.loads((folder / "study.json").read_text())["num_replies"] == NUM_REPLIES


@pytest.mark.usefixtures("without_charts")
def test_equal_studies_have_equal_pages_but_for_times(folder: Path, tmp_path: Path) -> None:
    other = write_study_folder(tmp_path / "other")
    record = other / "grpo" / "stage.json"
    record.write_text(record.read_text().replace("12.5", "99.5"))
    pages = [build_study_html(*read_study(out)) for out in (folder, other)]
    assert pages[0] != pages[1]
    assert strip_timings(pages[0]) == strip_timings(pages[1])


@pytest.mark.usefixtures("without_charts")
def test_what_models_write_is_escaped(figures: StudyFigures) -> None:
    evil = tuple(
        dataclasses.replace(one, before=EVIL, after=EVIL, messages=({"role": "user", "content": EVIL},))
        for one in figures.exploits
    )
    timings = Timings("out", dict.fromkeys(figures.stages, 1.0))
    check_page(build_study_html(dataclasses.replace(figures, exploits=evil), timings))


@pytest.mark.usefixtures("without_charts")
def test_without_some_stages_the_page_has_no_such_section(figures: StudyFigures) -> None:
    bare = dataclasses.replace(
        figures,
        methods=tuple(one for one in figures.methods if one.stage in ("ppo", "best_of_n")),
        training={},
        by_size=figures.by_size[:1],
        exploits=(),
    )
    outline = check_page(build_study_html(bare, Timings("out", dict.fromkeys(figures.stages, 1.0))))
    assert not {"free", "sizes", "grpo", "constitutional"} & set(outline.ids)


def test_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    out = write_study_folder(tmp_path / "out")
    path = out / "study" / "replies.jsonl"
    path.write_text(path.read_text().replace('"sft_rewards"', '"rewards"'))
    with pytest.raises(DataError, match=r"no 'sft_rewards'.*Delete .*study"):
        read_study(out)
    path = out / "best_of_n" / "replies.jsonl"
    path.write_text('{"gold": [1.0]}\n')
    with pytest.raises(DataError, match=r"best_of_n.* and run the study again"):
        read_study(out)
    path.unlink()
    with pytest.raises(DataError, match="missing or damaged"):
        read_study(out)
