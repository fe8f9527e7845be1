"""Prompts out of files of prompts, preferences and conversations; broken lines are named."""

import gzip
import json

import pytest

from nn2llm.core.errors import DataError
from nn2llm.data.prompts import load_prompts

HELLO = {"role": "user", "content": "Hello"}
HI = {"role": "assistant", "content": "Hi"}
MORE = {"role": "user", "content": "More"}


def write(path, *rows):
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return path


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"prompt": "Hello"}, {"prompt": [HELLO, HI, MORE]}], [(HELLO,), (HELLO, HI, MORE)]),
        ([{"prompt": "Hello", "kind": "greeting"}], [(HELLO,)]),
        ([{"prompt": "Hello", "chosen": "Hi", "rejected": "No"}], [(HELLO,)]),
        ([{"messages": [HELLO, HI, MORE, HI]}], [(HELLO, HI, MORE)]),
        ([{"prompt": "Hello", "completion": "Hi"}], [(HELLO,)]),
        ([{"instruction": "Hello", "output": "Hi"}], [(HELLO,)]),
    ],
    ids=["prompts", "extra keys", "preferences", "messages", "completions", "alpaca"],
)
def test_every_kind_of_file(tmp_path, rows, expected):
    assert load_prompts(write(tmp_path / "file.jsonl", *rows)) == expected


def test_each_prompt_once_in_order(tmp_path):
    rows = [{"prompt": "b"}, {"prompt": "a"}, {"prompt": "b"}]
    prompts = load_prompts(write(tmp_path / "prompts.jsonl.gz", *rows))
    assert [prompt[0]["content"] for prompt in prompts] == ["b", "a"]
    pair = {"prompt": "Hello", "chosen": "Hi", "rejected": "No"}
    other = pair | {"rejected": "Never"}
    assert load_prompts(write(tmp_path / "pairs.jsonl", pair, other)) == [(HELLO,)]


@pytest.mark.parametrize(
    ("second", "match"),
    [
        ({"prompt": ""}, r"prompts.jsonl, line 2: .*empty"),
        ({"prompt": [HELLO, HI]}, r"line 2: The last message is the assistant's.* End with a user's"),
        ({"prompt": [{"role": "boss", "content": "x"}]}, r"line 2: .*unknown role 'boss'"),
        ({"prompt": 3}, r"line 2: 'prompt' must be a text or a list of messages.* got 3"),
        ({"prompt": [{"role": "user"}]}, r"line 2: 'prompt' must be a text or a list"),
        ({"text": "x"}, r"line 2: The key 'prompt' is missing \(there are: 'text'\)"),
    ],
)
def test_a_broken_line_is_named(tmp_path, second, match):
    with pytest.raises(DataError, match=match):
        load_prompts(write(tmp_path / "prompts.jsonl", {"prompt": "Hello"}, second))


def test_an_empty_file_and_one_that_is_no_json(tmp_path):
    with pytest.raises(DataError, match="holds no prompts"):
        load_prompts(write(tmp_path / "empty.jsonl"))
    path = tmp_path / "broken.jsonl"
    path.write_text('{"prompt": "Hello"}\n{"prompt": \n')
    with pytest.raises(DataError, match="line 2"):
        load_prompts(path)
