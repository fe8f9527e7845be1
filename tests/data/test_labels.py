"""Labels: the order in which pairs are shown, the file, and what becomes of it when something goes wrong."""

import json
import os
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.core.errors import ConfigError, DataError, StorageError
from nn2llm.data.label_files import (
    LabelFile,
    create_label_file,
    list_label_files,
    read_label_models,
    read_labels,
)
from nn2llm.data.labels import (
    Label,
    LabelledModel,
    LabelSession,
    PreparedPair,
    Showing,
    find_next,
    plan_showings,
)
from nn2llm.data.preferences import load_preferences
from nn2llm.data.prompts import load_prompts

SFT, PPO = (
    LabelledModel("sft", "runs/sft", ("aa", "cc")),
    LabelledModel("ppo", "runs/ppo", ("bb", "aa", "cc")),
)


def build_session(num=6, *, repeats=0.0, models=(SFT,), seed=1):
    pairs = tuple(
        PreparedPair(
            number,
            ({"role": "user", "content": f"q{number}"},),
            (f"a{number}", f"b{number}"),
            (0, len(models) - 1),
        )
        for number in range(num)
    )
    return LabelSession(models=models, pairs=pairs, seed=seed, repeats=repeats, settings={"num": num})


def open_new(path, **options):
    create_label_file(path, build_session(**options))
    return LabelFile(path)


def answer(file, *choices):
    for choice in choices:
        showing = file.find_next()
        assert showing is not None
        file.append(Label(showing, choice))


# The order


@given(
    num=st.integers(1, 120), repeats=st.floats(0, 0.5), seed=st.integers(0, 1000),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_every_pair_once_and_repeats_later_on_the_other_side(num, repeats, seed):
    plan = plan_showings(num, repeats=repeats, seed=seed)
    new = [showing for showing in plan if not showing.repeat]
    assert [showing.pair for showing in new] == list(range(num))
    sides = {showing.pair: showing.swapped for showing in new}
    for start in range(0, num - 3, 4):
        assert sum(sides[pair] for pair in range(start, start + 4)) == 2  # balanced at any time
    again = [showing for showing in plan if showing.repeat]
    gap = min(10, num // 2)
    assert len(again) == len({showing.pair for showing in again}) == min(round(repeats * num), num - gap)
    for showing in again:
        assert showing.swapped is not sides[showing.pair]
        first = plan.index(Showing(showing.pair, sides[showing.pair], repeat=False))
        assert plan.index(showing) - first > gap


def test_repeats_are_spread_over_the_session():
    plan = plan_showings(60, repeats=0.1, seed=3)
    at = [number for number, showing in enumerate(plan) if showing.repeat]
    assert len(at) == 6
    assert at[0] < 25
    assert at[-1] > 50


@pytest.mark.parametrize(
    ("num", "repeats", "words"),
    [(0, 0.1, "at least 1 pair"), (5, 0.6, "between 0 and 0.5"), (5, -1, "between")],
)
def test_a_plan_that_cannot_be(num, repeats, words):
    with pytest.raises(ConfigError, match=words):
        plan_showings(num, repeats=repeats, seed=1)


def test_a_skipped_pair_is_not_shown_again_and_a_line_that_is_missing_is():
    plan = plan_showings(6, repeats=0.5, seed=1)
    labels = []
    while (showing := find_next(plan, labels)) is not None:
        labels.append(Label(showing, "skip"))
    assert [label.showing.pair for label in labels] == list(range(6))
    assert find_next(plan, labels[:2] + labels[3:]) == plan[2]


def test_which_reply_was_chosen_wherever_it_stood():
    chosen = {
        (choice, swapped): Label(Showing(0, swapped, repeat=False), choice).reply
        for choice in ("first", "second", "tie", "skip")
        for swapped in (False, True)
    }
    assert chosen == {
        ("first", False): 0, ("second", False): 1, ("first", True): 1, ("second", True): 0,
        ("tie", False): None, ("tie", True): None, ("skip", False): None, ("skip", True): None,
    }  # fmt: skip


# The file


def test_what_was_answered_is_there_again(tmp_path):
    path = tmp_path / "labels" / "x.jsonl"
    with open_new(path, repeats=0.5, models=(SFT, PPO)) as file:
        answer(file, "first", "tie")
        showing = file.find_next()
    found = read_labels(path)
    assert found.session == build_session(repeats=0.5, models=(SFT, PPO))
    assert [label.choice for label in found.labels] == ["first", "tie"]
    with LabelFile(path) as file:
        assert (file.find_next(), file.mended, file.num_planned) == (showing, 0, 9)
        answer(file, *["second"] * 7)
        assert file.find_next() is None
    assert read_labels(path).is_finished
    assert read_label_models(path) == [SFT, PPO]


def test_each_line_says_all_by_itself(tmp_path):
    with open_new(tmp_path / "x.jsonl", num=8, models=(SFT, PPO)) as file:
        answer(file, *["first"] * 8)
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()][9:]
    for number, line in enumerate(lines):
        mine, other = ("sft", "a"), ("ppo", "b")
        (left, first), (right, second) = (other, mine) if line["swapped"] else (mine, other)
        assert line["models"] == [left, right]
        assert (line["first"], line["second"]) == (f"{first}{number}", f"{second}{number}")
    assert Counter(line["swapped"] for line in lines) == {True: 4, False: 4}


def test_undo_takes_back_across_repeats_and_sessions(tmp_path):
    path = tmp_path / "x.jsonl"
    with open_new(path, repeats=0.5) as file:
        assert file.undo() is None
        sizes, shown = [], []
        while (showing := file.find_next()) is not None:
            sizes.append(path.stat().st_size)
            shown.append(showing)
            # the pair that comes again was skipped at first: so it does not come
            file.append(Label(showing, "first"))
    assert [showing.repeat for showing in shown].count(True) == 3
    with LabelFile(path) as file:  # another session
        for size, showing in zip(reversed(sizes), reversed(shown), strict=True):
            undone = file.undo()
            assert undone is not None
            assert undone.showing == showing
            assert path.stat().st_size == size  # nothing is left of it
            assert file.find_next() == showing
        assert file.undo() is None
        # another answer to the first: its repeat is gone, and undo brings it back
        planned = file.num_planned
        repeated = next(showing for showing in file._plan if showing.repeat).pair
        answer(file, *["first"] * repeated, "skip")
        assert file.num_planned == planned - 1
        file.undo()
        assert file.num_planned == planned


@pytest.mark.parametrize("keep", [1, 20, -2])
def test_a_line_cut_off_by_a_crash_is_removed_and_its_pair_shown_again(tmp_path, keep):
    path = tmp_path / "x.jsonl"
    with open_new(path) as file:
        answer(file, "first")
        whole = path.read_bytes()
        showing = file.find_next()
        answer(file, "second")
    last = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + last[:keep])
    assert read_labels(path).cut_off == len(last[:keep])  # reading alone mends nothing
    assert path.read_bytes() != whole
    with pytest.raises(DataError, match=r"line 9 is not JSON.*--skip-unusable"):
        load_preferences(path)
    with LabelFile(path) as file:
        assert (file.mended, len(file.labels), file.find_next()) == (len(last[:keep]), 1, showing)
        assert path.read_bytes() == whole
        answer(file, "second")
    assert path.read_bytes() == whole + last


def test_a_full_disk_loses_nothing_of_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "x.jsonl"
    with open_new(path) as file:
        answer(file, "first")
        before = path.read_bytes()
        with monkeypatch.context() as patch:

            def fail(descriptor):
                raise OSError(28, "No space left on device")

            patch.setattr(os, "fsync", fail)
            with pytest.raises(StorageError, match="No space left"):
                answer(file, "second")
        assert path.read_bytes() == before
        assert len(file.labels) == 1
        answer(file, "tie")
    assert [label.choice for label in read_labels(path).labels] == ["first", "tie"]


def test_two_labellers_at_once_are_refused(tmp_path):
    pytest.importorskip("fcntl")
    said = r"Somebody labels .*x\.jsonl already"
    with open_new(tmp_path / "x.jsonl"), pytest.raises(ConfigError, match=said):
        LabelFile(tmp_path / "x.jsonl")
    LabelFile(tmp_path / "x.jsonl").close()


def change(record, **values):
    return json.dumps({**json.loads(record), **values})


@pytest.mark.parametrize(
    ("number", "edit", "words"),
    [
        (1, lambda line: change(line, nn2llm_labels=9), r"x\.jsonl.*: These labels are of version 9"),
        (1, lambda line: '{"a": 1}', "line 1: This is no labels file of `nn2llm label`"),
        (1, lambda line: change(line, models=[{}]), "The first line of the labels is damaged"),
        (1, lambda line: change(line, models=[]), "a model that they do not name"),
        (2, lambda line: "", "The labels lack a line"),
        (3, lambda line: change(line, replies=["a"]), "line 3: This is no pair to label"),
        (8, lambda line: "{", "line 8: This is not JSON"),
        (8, lambda line: "[1]", "line 8: This is no JSON object"),
        (8, lambda line: change(line, choice="left"), "line 8: 'choice' must be first, second, tie or skip"),
        (8, lambda line: change(line, pair=77), "line 8: It is about pair 77, and there are 6"),
        (8, lambda line: change(line, repeat=None), "line 8: 'swapped' and 'repeat' must be true or false"),
    ],
)
def test_a_broken_line_is_named(tmp_path, number, edit, words):
    path = tmp_path / "x.jsonl"
    with open_new(path) as file:
        answer(file, "first", "second")
    lines = path.read_text().splitlines()
    lines[number - 1] = edit(lines[number - 1])
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=words):
        LabelFile(path)


def test_files_that_are_none(tmp_path):
    (tmp_path / "x.jsonl").write_text("")
    with pytest.raises(DataError, match="its first line is missing"):
        read_labels(tmp_path / "x.jsonl")
    with pytest.raises(DataError, match="does not exist"):
        LabelFile(tmp_path / "y.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(tmp_path)
    with pytest.raises(ConfigError, match="exists already"):
        create_label_file(tmp_path / "x.jsonl", build_session())
    with pytest.raises(ConfigError, match=r"written as \.jsonl, not as 'x\.json'"):
        create_label_file(tmp_path / "x.json", build_session())


def test_files_by_number(tmp_path):
    for name in ("m-2.jsonl", "m-10.jsonl", "m-x.jsonl", "n-1.jsonl"):
        (tmp_path / name).touch()
    assert [path.name for _, path in list_label_files(tmp_path, "m")] == ["m-2.jsonl", "m-10.jsonl"]


# As prompts and preferences


def test_a_labels_file_gives_its_prompts(tmp_path):
    with open_new(tmp_path / "x.jsonl") as file:
        answer(file, "first", "skip")
    assert [prompt[0]["content"] for prompt in load_prompts(tmp_path / "x.jsonl")] == [
        f"q{number}" for number in range(6)
    ]


def test_labels_go_straight_in(tmp_path):
    path = tmp_path / "x.jsonl"
    with open_new(path, repeats=0.5) as file:
        answer(file, "first", "second", "tie", "skip")
        while (showing := file.find_next()) is not None:
            file.append(Label(showing, "first"))
        labels = list(file.labels)
    why = []
    pairs = load_preferences(path, on_undecided=why.append)
    num_repeats = sum(label.showing.repeat for label in labels)
    assert num_repeats in (1, 2, 3)
    assert Counter(why) == {"tied": 1, "skipped": 1, "shown again": num_repeats}
    new = [label for label in labels if not label.showing.repeat and label.reply is not None]
    assert [(pair.prompt[0]["content"], pair.chosen, pair.rejected) for pair in pairs] == [
        (
            f"q{one.showing.pair}",
            f"{'ab'[one.reply]}{one.showing.pair}",
            f"{'ba'[one.reply]}{one.showing.pair}",
        )
        for one in new
    ]
    # two files in one
    both = tmp_path / "both.jsonl"
    both.write_bytes(path.read_bytes() * 2)
    assert load_preferences(both) == pairs * 2
    assert read_label_models(both) == [SFT]


def test_labels_without_a_choice_say_what_there_is(tmp_path):
    with open_new(tmp_path / "x.jsonl") as file:
        answer(file, "tie", "skip", "tie")
    with pytest.raises(DataError, match=r"holds no preferences \(only 2 tied, 1 skipped\)"):
        load_preferences(tmp_path / "x.jsonl")
