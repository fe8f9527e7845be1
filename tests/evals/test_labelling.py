"""What labels say about who gave them, and about the models."""

from pathlib import Path

import pytest

from nn2llm.core.errors import DataError
from nn2llm.data.label_files import Labels
from nn2llm.data.labels import Label, LabelledModel, LabelSession, PreparedPair, Showing
from nn2llm.evals.labelling import compare_labels, rank_models, summarise_labels

SFT, PPO = LabelledModel("sft", "a", ("1", "0")), LabelledModel("ppo", "b", ("2", "1", "0"))


def build_session(num=8, models=(SFT,), *, exchanged=()):
    """`exchanged`: pairs whose replies were prepared in the other order."""
    pairs = []
    for number in range(num):
        replies, who = (f"a{number}", f"b{number}"), (0, len(models) - 1)
        if number in exchanged:
            replies, who = replies[::-1], who[::-1]
        pairs.append(PreparedPair(number, ({"role": "user", "content": f"q{number}"},), replies, who))
    return LabelSession(models=models, pairs=tuple(pairs), seed=1, repeats=0.1, settings={})


def label(pair, choice, *, swapped=False, repeat=False, seconds=None):
    return Label(Showing(pair, swapped, repeat), choice, seconds)


def build_file(labels, name="x", **options):
    return Labels(Path(name), build_session(**options), tuple(labels), (), 0, 0)


def test_counts_position_and_time():
    labels = [
        label(0, "first", seconds=1.0),
        label(1, "first", swapped=True, seconds=9.0),
        label(2, "second", seconds=2.0),
        label(3, "tie"),
        label(4, "skip"),
        label(0, "first", swapped=True, repeat=True),  # no new pair, but a position
    ]
    found = summarise_labels(build_session(), labels)
    assert (found.num_chosen, found.num_ties, found.num_skipped) == (3, 1, 1)
    assert found.first is not None
    assert found.first.estimate == 0.75
    assert found.median_seconds == 2.0
    assert found.chosen_by_model == {}


def test_agreement_with_oneself_by_hand():
    labels = [label(0, "first"), label(1, "first"), label(2, "second"), label(3, "tie"), label(4, "skip")]
    again = [
        label(0, "second", swapped=True, repeat=True),  # the same reply
        label(1, "first", swapped=True, repeat=True),  # the same side: the other reply
        label(2, "first", swapped=True, repeat=True),
        label(3, "tie", swapped=True, repeat=True),
        label(4, "first", swapped=True, repeat=True),  # skipped before: says nothing
    ]
    repeats = summarise_labels(build_session(), labels + again).repeats
    assert (repeats.num_pairs, repeats.num_equal, repeats.num_same_side) == (4, 3, 1)
    # said: 1 1 2 tie, then 1 2 2 tie. Seen 3/4; by chance (2·1 + 1·2 + 1·1) / 16 = 5/16
    assert repeats.kappa == pytest.approx((3 / 4 - 5 / 16) / (1 - 5 / 16))


def test_whoever_always_takes_what_stands_first_never_agrees():
    labels = [label(pair, "first", swapped=bool(pair % 2)) for pair in range(4)]
    labels += [label(pair, "first", swapped=not pair % 2, repeat=True) for pair in range(4)]
    found = summarise_labels(build_session(), labels)
    assert (found.repeats.num_equal, found.repeats.num_same_side, found.repeats.kappa) == (0, 4, -1.0)
    assert found.first is not None
    assert found.first.estimate == 1.0


def test_without_repeats_there_is_no_agreement():
    repeats = summarise_labels(build_session(), [label(0, "first")]).repeats
    assert (repeats.num_pairs, repeats.kappa) == (0, None)
    empty = summarise_labels(build_session(), [])
    assert (empty.first, empty.median_seconds, empty.num_chosen) == (None, None, 0)


def test_two_labellers_whatever_order_they_saw():
    one = build_file([label(0, "first"), label(1, "first"), label(2, "tie"), label(3, "skip")])
    # the same opinions about 0 (shown the other way round) and 2, another about 1
    other = build_file(
        [label(0, "second", swapped=True), label(1, "second"), label(2, "tie"), label(3, "first")], "y"
    )
    agreement = compare_labels([one, other])
    assert agreement.num_pairs == 3
    [(num_pairs, num_equal, kappa)] = agreement.by_two.values()
    assert (num_pairs, num_equal) == (3, 2)
    # a a tie against a b tie: seen 2/3; by chance (2·1 + 0·1 + 1·1) / 9 = 1/3
    assert kappa == pytest.approx(1 / 2)
    # files in which the same replies were prepared the other way round agree all the same
    turned = build_file([label(0, "second"), label(1, "first")], "z", exchanged=(0,))
    assert compare_labels([one, turned]).by_two == {(0, 1): (2, 2, None)}


def test_three_labellers_and_krippendorffs_alpha():
    files = [
        build_file([label(pair, choice) for pair, choice in enumerate(said)])
        for said in (["first", "first", "second"], ["first", "first", "second"], ["first", "second"])
    ]
    agreement = compare_labels(files)
    assert agreement.num_pairs == 3
    assert set(agreement.by_two) == {(0, 1), (0, 2), (1, 2)}
    # coincidences a-a 3 + 1, a-b and b-a 1 each, b-b 2; so n = 8, n_a = 5, n_b = 3
    assert agreement.alpha == pytest.approx(1 - (2 / 8) / (2 * 5 * 3 / (8 * 7)))


def test_labellers_without_a_common_pair():
    one, other = build_file([label(0, "first")]), build_file([label(1, "first")], "y")
    with pytest.raises(DataError, match="No pair of replies was labelled in two of these files: x, y"):
        compare_labels([one, other])
    with pytest.raises(DataError, match="at least two labellers, got 1"):
        compare_labels([one])


def test_a_ranking_of_models():
    labels = [label(pair, "first", swapped=pair < 6) for pair in range(8)]  # 6 for ppo, 2 for sft
    labels += [label(7, "second", repeat=True)]  # counts for agreement alone
    file = build_file(labels, models=(SFT, PPO))
    best, worst = rank_models([file])
    assert (best.name, worst.name, best.num_choices) == ("ppo", "sft", 8)
    assert best.strength.estimate > 0 > worst.strength.estimate
    assert summarise_labels(file.session, labels).chosen_by_model == {"ppo": 6, "sft": 2}
    assert rank_models([build_file(labels)]) == []  # one model alone
    # two models of one name are told apart by their weights
    other = LabelledModel("sft", "c", ("3", "0"))
    names = {one.name for one in rank_models([build_file([label(0, "first")], models=(SFT, other))])}
    assert names == {"sft 1", "sft 3"}


def test_models_that_were_never_compared_have_no_ranking():
    a, b = (LabelledModel(name, name, (name,)) for name in "ab")
    files = [build_file([label(0, "first")], models=two) for two in ((SFT, PPO), (a, b))]
    with pytest.raises(DataError, match=r"These labels give no ranking: .* were never compared"):
        rank_models(files)
