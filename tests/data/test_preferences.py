"""Preference files: all layouts, and one clear sentence for what is broken."""

import gzip
import json
import math

import pytest

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.data.preferences import (
    PreferencePair,
    check_pair,
    load_preferences,
    save_preferences,
    split_preferences,
)

USER = {"role": "user", "content": "Who bakes?"}
SYSTEM = {"role": "system", "content": "Be brief."}
GOOD, BAD = {"role": "assistant", "content": "Ada."}, {"role": "assistant", "content": "I do."}


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": [USER], "chosen": "Ada.", "rejected": "I do."},
        {"prompt": "Who bakes?", "chosen": "Ada.", "rejected": "I do."},
        {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},  # TRL, conversations
        {"chosen": [USER, GOOD], "rejected": [USER, BAD]},  # TRL, the prompt in both
        {"prompt": "Who bakes?", "chosen": [USER, GOOD], "rejected": [USER, BAD], "score_chosen": 9},
        {"prompt": [USER], "chosen": [USER, GOOD], "rejected": [USER, BAD], "margin": None},
        {
            "chosen": "\n\nHuman: Who bakes?\n\nAssistant: Ada.",
            "rejected": "\n\nHuman: Who bakes?\n\nAssistant: I do.",
        },
        {"prompt": "\n\nHuman: Who bakes?\n\nAssistant:", "chosen": "Ada.", "rejected": "I do."},
    ],
)
def test_all_layouts_say_the_same(tmp_path, record):
    assert load_preferences(write(tmp_path / "x.jsonl", record)) == [PreferencePair((USER,), "Ada.", "I do.")]


def test_longer_conversations_in_all_layouts(tmp_path):
    before = [SYSTEM, USER, GOOD, {"role": "user", "content": "Really?"}]
    pair = PreferencePair(tuple(before), "Yes.", "No.")
    yes, no = ({"role": "assistant", "content": text} for text in ("Yes.", "No."))
    records = [
        {"prompt": before, "chosen": "Yes.", "rejected": "No."},
        {"chosen": [*before, yes], "rejected": [*before, no]},
        # the prompt is only how it began
        {"prompt": before[:2], "chosen": [*before, yes], "rejected": [*before, no]},
    ]
    assert load_preferences(write(tmp_path / "x.jsonl", *records)) == [pair] * 3
    start = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
    (found,) = load_preferences(
        write(tmp_path / "x.jsonl", {"chosen": f"{start} d", "rejected": f"{start} e"})
    )
    assert [message["content"] for message in found.prompt] == ["a", "b", "c"]
    assert (found.chosen, found.rejected) == ("d", "e")


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_what_was_saved_is_loaded(tmp_path, name):
    pairs = [
        PreferencePair((SYSTEM, USER), "Ada, \u2028 she\n", "I do. ü", 0.5),
        PreferencePair((USER,), "a", "b"),
    ]
    save_preferences(tmp_path / name, pairs, extras=[{"kind": "x", "golds": [1.0, 0.0]}, {}])
    assert load_preferences(tmp_path / name) == pairs
    assert list(tmp_path.iterdir()) == [tmp_path / name]
    data = (tmp_path / name).read_bytes()
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode()
    assert json.loads(text.split("\n")[0])["golds"] == [1.0, 0.0]
    save_preferences(tmp_path / name, pairs, extras=[{"kind": "x", "golds": [1.0, 0.0]}, {}])
    assert (tmp_path / name).read_bytes() == data  # equal files for equal pairs: caches go by hashes


def test_half_a_surrogate_pair_becomes_a_character_that_can_be_written(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"prompt": "a\\ud83d", "chosen": "\\ud83d!", "rejected": "b"}\n')
    (pair,) = load_preferences(path)
    assert (pair.prompt[0]["content"], pair.chosen) == ("a\ufffd", "\ufffd!")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"prompt": "a", "chosen": "b"}, "The key 'rejected' is missing (there are: 'prompt', 'chosen')"),
        ({"chosen": "b", "rejected": "c"}, "The key 'prompt' is missing"),
        (
            {"prompt": "a", "chosen": "b ", "rejected": "b"},
            "The chosen and the rejected reply are equal ('b ')",
        ),
        ({"prompt": "a", "chosen": " \n", "rejected": "b"}, "The chosen reply is empty"),
        ({"prompt": "a", "chosen": "b", "rejected": ""}, "The rejected reply is empty"),
        ({"prompt": "  ", "chosen": "b", "rejected": "c"}, "Message 1 is an empty message of the user"),
        ({"prompt": [], "chosen": "b", "rejected": "c"}, "needs at least one message"),
        (
            {"prompt": [{"role": "bot", "content": "x"}], "chosen": "b", "rejected": "c"},
            "Message 1 has the unknown role 'bot'",
        ),
        ({"prompt": [USER, GOOD], "chosen": "b", "rejected": "c"}, "ends with a message of the assistant"),
        ({"prompt": [SYSTEM], "chosen": "b", "rejected": "c"}, "ends with a message of the system"),
        (
            {"prompt": 7, "chosen": "b", "rejected": "c"},
            "'prompt' must be a text or a list of messages, got 7",
        ),
        (
            {"prompt": [{"role": "user"}], "chosen": "b", "rejected": "c"},
            "with 'role' and 'content' as texts",
        ),
        ({"prompt": "a", "chosen": ["b"], "rejected": "c"}, "Message 1 of 'chosen' must be an object"),
        ({"prompt": "a", "chosen": [], "rejected": []}, "'chosen' must end with the assistant's reply"),
        (
            {"prompt": "a", "chosen": [USER], "rejected": [BAD]},
            "'chosen' must end with the assistant's reply",
        ),
        (
            {"chosen": [USER, GOOD], "rejected": [{"role": "user", "content": "Other?"}, BAD]},
            "differ before their last reply",
        ),
        (
            {"prompt": [SYSTEM], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
            "'chosen' does not go on from 'prompt'",
        ),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "margin": "x"}, "margin must be a number, got 'x'"),
        (
            {"prompt": "a", "chosen": "b", "rejected": "c", "margin": math.nan},
            "margin must be a number, got nan",
        ),
    ],
)
def test_broken_pairs_are_named_by_their_line(tmp_path, record, words):
    fine = {"prompt": "a", "chosen": "b", "rejected": "c"}
    path = write(tmp_path / "x.jsonl", fine, record)
    with pytest.raises(DataError) as caught:
        load_preferences(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert words in str(caught.value)
    complaints = []
    assert len(load_preferences(path, on_unusable=complaints.append)) == 1
    assert [f"{complaint} (--skip-unusable counts and skips such ones.)" for complaint in complaints] == [
        str(caught.value)
    ]


def test_a_file_without_pairs_and_a_name_that_cannot_be_written(tmp_path):
    with pytest.raises(DataError, match="holds no preferences"):
        load_preferences(write(tmp_path / "x.jsonl"))
    with pytest.raises(ConfigError, match=r"\.jsonl or \.jsonl\.gz"):
        save_preferences(tmp_path / "x.csv", [])


def test_pairs_made_in_code_are_checked_as_well():
    check_pair(PreferencePair((USER,), "a", "b", 1.0))
    with pytest.raises(DataError, match="equal"):
        check_pair(PreferencePair((USER,), "a", "a"))


def test_a_prompt_is_on_one_side_whatever_stands_beside_it():
    pairs = [
        PreferencePair(({"role": "user", "content": f"q{number // 3}"},), f"a{number}", "b")
        for number in range(300)
    ]
    train, val = split_preferences(pairs, 0.1)
    assert (len(train), len(val)) == (270, 30)
    sides = [{pair.prompt[0]["content"] for pair in side} for side in (train, val)]
    assert not sides[0] & sides[1]
    again = split_preferences(pairs[::-1], 0.1)
    assert {pair.chosen for pair in again[1]} == {pair.chosen for pair in val}
    assert split_preferences(pairs, 0.0) == (pairs, [])
    assert len(split_preferences(pairs, 0.0001)[1]) == 3  # one prompt at least
    with pytest.raises(DataError, match="Of 1 prompts none is left to train on when val_fraction"):
        split_preferences(pairs[:3], 0.5)
