"""Layouts that people share: read, written, and the same to TRL."""

import json

import pytest

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.data.preference_layouts import (
    LAYOUTS,
    Undecided,
    UnpairedReply,
    build_records,
    pair_up,
    parse_record,
)
from nn2llm.data.preferences import PreferencePair, load_preferences, save_preferences

USER = {"role": "user", "content": "Who bakes?"}
PAIR = PreferencePair((USER,), "Ada.", "I do.")
HUMAN = {"from": "human", "value": "Who bakes?"}
TALK = PreferencePair(
    (USER, {"role": "assistant", "content": "Ada."}, {"role": "user", "content": "Since when?"}),
    "Since Monday.",
    "Since Tuesday, I think.",
    0.5,
)


@pytest.mark.parametrize(
    "record",
    [
        # LLaMA-Factory
        {
            "conversations": [HUMAN],
            "chosen": {"from": "gpt", "value": "Ada."},
            "rejected": {"from": "gpt", "value": "I do."},
        },
        # Raschka's, from Alpaca's
        {"instruction": "Who bakes?", "input": "", "output": "Ada.", "chosen": "Ada.", "rejected": "I do."},
        # AlpacaEval
        {"instruction": "Who bakes?", "output_1": "Ada.", "output_2": "I do.", "preference": 1.0},
        {"instruction": "Who bakes?", "output_1": "I do.", "output_2": "Ada.", "preference": 2},
        # PandaLM
        {
            "instruction": "Who bakes?", "input": "", "response1": "I do.", "response2": "Ada.",
            "annotator1": 2, "annotator2": 0, "annotator3": 2,
        },
        # TRL's standard one with an implicit prompt
        {"chosen": "Who bakes? Ada.", "rejected": "Who bakes? I do."},
        {"prompt": "\n\nHuman: Who bakes?\n\nAssistant:", "chosen": " Ada.", "rejected": " I do."},
        # a label
        {"prompt": [USER], "first": "I do.", "second": "Ada.", "choice": "second", "repeat": False},
    ],
)  # fmt: skip
def test_layouts_say_the_same(record):
    assert parse_record(record) == PAIR


def test_what_an_instruction_is_about_follows_it():
    found = parse_record({"instruction": "Shorten.", "input": "A b c.", "chosen": "A.", "rejected": "B."})
    assert isinstance(found, PreferencePair)
    assert found.prompt[0]["content"] == "Shorten.\n\nA b c."


def test_the_shared_beginning_ends_with_a_word():
    found = parse_record({"chosen": "The sky is blue.", "rejected": "The sky is black."})
    assert found == PreferencePair(({"role": "user", "content": "The sky is"},), "blue.", "black.")
    found = parse_record({"chosen": "The sky is blue", "rejected": "The sky is blue indeed"})
    assert isinstance(found, PreferencePair)
    assert (found.prompt[0]["content"], found.chosen) == ("The sky is", "blue")  # not an empty reply


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"instruction": "a", "output_1": "b", "output_2": "c", "preference": 0}, "tied"),
        ({"instruction": "a", "output_1": "b", "output_2": "c", "preference": 1.5}, "tied"),
        ({"instruction": "a", "output_1": "b", "output_2": "c", "preference": None}, "without a verdict"),
        ({"instruction": "a", "response1": "b", "response2": "c", "annotator1": 0, "annotator2": 0}, "tied"),
        ({"response1": "b", "response2": "c", "annotator1": 1, "annotator2": 2}, "without a majority"),
        ({"response1": "b", "response2": "c"}, "without a majority"),
        ({"choice": "tie"}, "tied"),
        ({"choice": "skip"}, "skipped"),
        ({"choice": "first", "repeat": True}, "shown again"),
    ],
)
def test_nothing_is_preferred(record, why):
    assert parse_record(record) == Undecided(why)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            {"instruction": "a", "output_1": "b", "output_2": "c", "preference": 3},
            "'preference' must be 1 or 2",
        ),
        (
            {"instruction": "a", "output_1": "b", "output_2": 5, "preference": 1},
            "'output_2' must be a text, got 5",
        ),
        (
            {"instruction": "a", "response1": "b", "response2": "c", "annotator1": 4},
            "'annotator1' must be 1 or 2",
        ),
        ({"choice": "left", "prompt": "a"}, "'choice' must be first, second, tie or skip, got 'left'"),
        ({"choice": "first", "prompt": "a", "first": "b"}, "The key 'second' is missing"),
        ({"prompt": "a", "completion": "b", "label": "yes"}, "'label' must be true or false, got 'yes'"),
        ({"completion": "b", "label": True}, "The key 'prompt' is missing"),
        (
            {"prompt": "a", "completion": [USER, {"role": "assistant", "content": "b"}], "label": True},
            "'completion' must be the reply alone",
        ),
        (
            {"conversations": [{"from": "human"}], "chosen": "a", "rejected": "b"},
            "Message 1 of 'conversations'",
        ),
    ],
)
def test_what_is_broken_is_said(record, words):
    with pytest.raises(DataError, match=words):
        parse_record(record)


# Replies that were rated by themselves


def test_good_and_bad_replies_to_one_prompt_make_pairs(tmp_path):
    def rate(prompt, completion, label):
        return {"prompt": prompt, "completion": completion, "label": label}

    records = [
        rate("Who bakes?", "Ada.", True),
        rate("Other?", "alone", True),
        rate([USER], [{"role": "assistant", "content": "I do."}], False),
        {"prompt": "First", "chosen": "a", "rejected": "b"},
        {"messages": [USER, {"role": "assistant", "content": "Nobody."}], "label": 0},
        rate("Who bakes?", "Ada.", True),  # twice
    ]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    why = []
    pairs = load_preferences(path, on_undecided=why.append)
    assert pairs == [
        PreferencePair(({"role": "user", "content": "First"},), "a", "b"),
        PAIR,
        PreferencePair((USER,), "Ada.", "Nobody."),
    ]
    assert why == ["without a counterpart"]


def test_a_reply_that_is_good_and_bad_is_named_by_its_prompt(tmp_path):
    replies = [UnpairedReply((USER,), "Ada.", good) for good in (True, False)]
    assert pair_up(replies) == ([PreferencePair((USER,), "Ada.", "Ada.")], 0)
    path = tmp_path / "x.jsonl"
    lines = [json.dumps({"prompt": [USER], "completion": "Ada.", "label": good}) for good in (True, False)]
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"the replies to 'Who bakes\?': .* are equal"):
        load_preferences(path)


def test_a_line_that_is_no_json_is_left_out_on_request(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n{"prompt": \n[1]\n')
    with pytest.raises(DataError, match=r"line 2 is not JSON .*--skip-unusable"):
        load_preferences(path)
    complaints = []
    assert len(load_preferences(path, on_unusable=complaints.append)) == 1
    assert ["line 2 is not JSON" in complaints[0], "line 3 must be" in complaints[1]] == [True, True]
    path.write_text("{}\n")
    with pytest.raises(DataError, match=r"All is unusable; the first: .*line 1: The key 'chosen' is missing"):
        load_preferences(path, on_unusable=complaints.append)


# Written


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("pair", [PAIR, TALK])
def test_what_is_written_is_read_again(layout, pair, tmp_path):
    save_preferences(tmp_path / "x.jsonl", [pair], layout=layout)
    (found,) = load_preferences(tmp_path / "x.jsonl")
    margin = None if "unpaired" in layout else pair.margin
    assert found == PreferencePair(pair.prompt, pair.chosen, pair.rejected, margin)


def test_transcripts_refuse_what_they_cannot_hold(tmp_path):
    system = PreferencePair(({"role": "system", "content": "Be brief."}, USER), "a", "b")
    with pytest.raises(DataError, match=r"Pair 2 cannot be written as trl-text: A message of the system"):
        save_preferences(tmp_path / "x.jsonl", [PAIR, system], layout="trl-text")
    sly = PreferencePair((USER,), "a", "b\n\nHuman: And I say this")
    with pytest.raises(DataError, match=r"Pair 1 .* says Human: or Assistant: itself"):
        save_preferences(tmp_path / "x.jsonl", [sly], layout="trl-implicit-text")
    assert not list(tmp_path.iterdir())
    save_preferences(tmp_path / "x.jsonl", [system, sly], layout="trl")
    assert load_preferences(tmp_path / "x.jsonl") == [system, sly]
    with pytest.raises(ConfigError, match="unknown layout 'csv'"):
        save_preferences(tmp_path / "x.jsonl", [PAIR], layout="csv")


def test_trl_takes_what_we_write_and_agrees():
    """TRL's own helpers are the oracle: the kind, where the prompt ends, what an unpaired set holds."""
    data_utils = pytest.importorskip("trl.data_utils")
    datasets = pytest.importorskip("datasets")
    for pair in (PAIR, TALK):
        explicit, implicit, *unpaired = (
            record
            for layout in ("trl", "trl-implicit", "trl-unpaired")
            for record in build_records(pair, layout)
        )
        assert all(data_utils.is_conversational(record) for record in (explicit, implicit, *unpaired))
        keys = ("prompt", "chosen", "rejected")
        # "trl" is just what TRL makes of "trl-implicit"
        assert data_utils.extract_prompt(implicit) == {key: explicit[key] for key in keys}
        assert data_utils.maybe_extract_prompt(explicit) == explicit
        texts = {layout: build_records(pair, layout) for layout in LAYOUTS if layout.endswith("-text")}
        for records in texts.values():
            assert not any(data_utils.is_conversational(record) for record in records)
        # explicit and implicit texts are the same, cut at another place where the replies begin alike
        [text], [whole] = texts["trl-text"], texts["trl-implicit-text"]
        found = data_utils.extract_prompt(whole)
        for key in ("chosen", "rejected"):
            assert found["prompt"] + found[key] == text["prompt"] + text[key] == whole[key]
        assert found["prompt"].startswith(text["prompt"])
        for paired, layout in ((explicit, "trl-unpaired"), (text, "trl-unpaired-text")):
            dataset = datasets.Dataset.from_list([{key: paired[key] for key in keys}])
            expected = data_utils.unpair_preference_dataset(dataset).to_list()
            assert build_records(pair, layout) == expected


# Real files, where they are


@pytest.mark.parametrize(
    ("name", "num_pairs", "num_undecided", "num_unusable"),
    [
        ("alpaca-eval-gpt4-phi-2.json.gz", 775, 28, 2),
        ("llamafactory-dpo-en-demo.json.gz", 300, 0, 0),
        ("llamafactory-kto-en-demo.json.gz", 1, 298, 0),
        ("pandalm-testset-v1.json.gz", 836, 105, 58),
        ("rasbt-instruction-data-with-preference.json.gz", 1094, 0, 6),
        ("hh-rlhf-harmless-base-test.jsonl.gz", 2299, 0, 13),
    ],
)
def test_real_files(shared_data, name, num_pairs, num_undecided, num_unusable):
    path = shared_data / "pref" / name
    if not path.exists():
        pytest.skip(f"no {path}")
    undecided, unusable = [], []
    pairs = load_preferences(path, on_undecided=undecided.append, on_unusable=unusable.append)
    assert (len(pairs), len(undecided), len(unusable)) == (num_pairs, num_undecided, num_unusable)
