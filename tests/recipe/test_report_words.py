"""A sentence of the report is chosen by the numbers, and says nothing that they do not."""

import dataclasses

import pytest

from nn2llm.evals.intervals import Interval
from nn2llm.recipe.report_data import read_report
from nn2llm.recipe.report_words import (
    describe_control,
    describe_course,
    format_gap,
    format_interval,
    format_number,
    format_signed,
    name_feature,
    name_probe,
    summarise,
)
from tests.recipe.report_fixture import STAGES, write_recipe


def interval(low: float, high: float) -> Interval:
    return Interval(estimate=(low + high) / 2, low=low, high=high, standard_error=0.0)


def read(folder, **options):
    return read_report(write_recipe(folder, **{"num_prompts": 240} | options))[0]


def test_numbers():
    assert format_number(-0.001) == "0.00"
    assert format_number(-1.5, 1) == "−1.5"
    assert format_signed(0.165) == "+0.165"
    assert format_signed(-0.02, 2) == "−0.02"
    assert format_interval(interval(0.0003, 0.5)) == "0.00 to 0.50"


def test_an_end_of_a_difference_never_looks_like_the_0_that_it_is_not():
    assert format_gap(interval(0.17, 0.21)) == "0.17 to 0.21"
    assert format_gap(interval(0.0004, 0.02)) == "0.0004 to 0.0200"
    assert format_gap(interval(-0.0012, 0.01)) == "−0.001 to 0.010"
    assert format_gap(interval(0.0, 0.0)) == "0.00 to 0.00"


def test_a_clear_gain_is_told_with_its_interval(tmp_path):
    report = read(tmp_path)
    pair = report.compare("ppo", "sft")
    before, after = (report.behaviour[name].gold.estimate for name in ("sft", "ppo"))
    assert pair.difference.low > 0
    text = summarise(report)
    assert (
        f"PPO raised the gold score from {before:.2f} to {after:.2f} (95% interval of the difference "
        f"{pair.difference.low:.2f} to {pair.difference.high:.2f})."
    ) in text
    assert "Not done yet" not in text


def test_no_gain_is_called_no_gain(tmp_path):
    text = summarise(read(tmp_path, flat=True))
    assert "PPO made no clear difference to the gold score" in text
    assert "includes 0" in text
    assert "Between the mean gold scores of DPO and PPO there is no clear difference" in text
    assert "PPO raised" not in text


def test_a_loss_is_called_a_loss(tmp_path):
    report = read(tmp_path, swapped=("sft", "ppo"))
    assert report.compare("ppo", "sft").difference.high < 0
    text = summarise(report)
    assert "PPO lowered the gold score" in text
    assert "PPO is worse than SFT at " in text
    assert "PPO raised" not in text


def test_what_is_missing_is_said(tmp_path):
    text = summarise(read(tmp_path, stages=STAGES[:4]))
    assert text == "Not done yet: Unbiased control, PPO, DPO and Evaluation."


def test_reward_hacking_is_told_where_it_is(tmp_path):
    hacked, sound = read(tmp_path / "a", hacking=True), read(tmp_path / "b")
    assert hacked.ppo.is_hacked
    text = " ".join(describe_course(hacked))
    assert "reward hacking" in text
    assert "did not fall back" not in text
    # the best is put near where the fixture's gold turns, at two fifths of 60 iterations
    assert 14 < hacked.ppo.trends["gold"].best_step < 34
    assert not sound.ppo.is_hacked
    assert "did not fall back from its best by more than noise" in " ".join(describe_course(sound))


@pytest.mark.parametrize("seed", range(8))
def test_noise_alone_is_never_called_hacking(tmp_path, seed):
    report = read(tmp_path, seed=seed, num_prompts=24)
    assert not report.ppo.is_hacked


def test_names():
    assert name_feature("gold") == "quality (gold)"
    assert name_feature("length (10 words)") == "length"
    assert name_feature("kind_words") == "kind words"


def test_probes_have_a_line_each(tmp_path):
    names = [name_probe(probe) for probe in read(tmp_path, num_prompts=24).probes]
    assert len(set(names)) == len(names)
    assert "Recall" in names
    assert "Few-shot, 1 example" in names


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ((20_000, 10_000), "trained on 10,000 of the same 20,000 pairs, labelled"),
        ((20_000, 20_000), "trained on the same pairs, labelled"),
        ((None, None), "trained on the same pairs, labelled"),
    ],
)
def test_the_control_says_what_it_learned_from(tmp_path, pairs, words):
    report = read_report(write_recipe(tmp_path, num_prompts=40, num_iterations=4))[0]
    models = [
        dataclasses.replace(model, num_training_pairs=num)
        for model, num in zip((report.reward, report.reward_control), pairs, strict=True)
    ]
    report = dataclasses.replace(report, reward=models[0], reward_control=models[1])
    assert words in describe_control(report)
