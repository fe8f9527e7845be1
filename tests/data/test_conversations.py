"""Conversations out of files: each form, each way to be broken, and real files whole."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from nn2llm.core.errors import DataError
from nn2llm.data.conversations import (
    Conversation,
    check_conversation,
    load_conversations,
    split_conversations,
)
from nn2llm.tokenizers.chat import Message

HELLO = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "I am."}]


def turns(*texts: str, system: str | None = None) -> tuple[Message, ...]:
    roles = ("user", "assistant")
    first = () if system is None else (Message(role="system", content=system),)
    return first + tuple(Message(role=roles[i % 2], content=text) for i, text in enumerate(texts))


def write(path: Path, *rows: Any) -> Path:
    """One object a line, or a list where the name ends in .json; .gz is compressed."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    is_list = path.name.removesuffix(".gz").endswith(".json")
    data = (f"[{','.join(lines)}]" if is_list else "\n".join(lines)).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


FORMS = {
    "messages": ({"messages": HELLO}, turns("Hello", "I am.")),
    "messages with a system prompt": (
        {"messages": [{"role": "system", "content": "Be kind."}, *HELLO]},
        turns("Hello", "I am.", system="Be kind."),
    ),
    "messages that end with the user": (
        {"messages": [*HELLO, HELLO[0]], "id": 3},
        turns("Hello", "I am.", "Hello"),
    ),
    "sharegpt": (
        {
            "conversations": [
                {"from": "system", "value": "Be kind."},
                {"from": "human", "value": "Hello"},
                {"from": "gpt", "value": "I am."},
                {"from": "human", "value": " So? "},
                {"from": "gpt", "value": "Yes."},
            ],
            "tools": "[]",
        },
        turns("Hello", "I am.", " So? ", "Yes.", system="Be kind."),
    ),
    "sharegpt with a system key": (
        {
            "system": "Be kind.",
            "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "I"}],
        },
        turns("Hi", "I", system="Be kind."),
    ),
    "alpaca": (
        {"instruction": "Add.", "input": "1 and 2", "output": "3"},
        turns("Add.\n\n1 and 2", "3"),
    ),
    "alpaca without input": ({"instruction": "Add 1.", "input": "", "output": "3"}, turns("Add 1.", "3")),
    "alpaca with null": ({"instruction": "Add 1.", "input": None, "output": "3"}, turns("Add 1.", "3")),
    "alpaca with history": (
        {"instruction": "c", "output": "d", "history": [["a", "b"]], "system": "s"},
        turns("a", "b", "c", "d", system="s"),
    ),
    "dolly": (
        {"instruction": "Who?", "context": "Tom came.", "response": "Tom.", "category": "closed_qa"},
        turns("Who?\n\nTom came.", "Tom."),
    ),
    "prompt": ({"prompt": "Who?", "response": "Tom."}, turns("Who?", "Tom.")),
    "completion": ({"prompt": "Who?", "completion": "Tom."}, turns("Who?", "Tom.")),
    "question": ({"question": "Who?", "answer": "Tom."}, turns("Who?", "Tom.")),
}


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".jsonl.gz", ".json.gz"])
def test_each_form_in_each_kind_of_file(tmp_path, suffix):
    path = write(tmp_path / f"data{suffix}", *(row for row, _ in FORMS.values()))
    for name, found in zip(FORMS, load_conversations(path), strict=True):
        assert found == Conversation(FORMS[name][1]), name


def test_empty_lines_are_no_conversations(tmp_path):
    path = write(tmp_path / "a.jsonl", "", FORMS["alpaca"][0], "  ", FORMS["dolly"][0], "")
    assert len(load_conversations(str(path))) == 2


UNUSABLE = {
    "an empty reply": ({"instruction": "Add.", "output": " \n"}, "Message 2 is an empty reply."),
    "an empty question": ({"question": "", "answer": "3"}, "Message 1 is an empty message of the user."),
    "an unknown role": (
        {"messages": [{"role": "bot", "content": "Hi"}]},
        "Message 1 has the unknown role 'bot'.",
    ),
    "a tool's role": (
        {"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": "b"}]},
        "Message 2 has the unknown role 'function_call'.",
    ),
    "two user turns": ({"messages": [HELLO[0], HELLO[0]]}, "Messages 1 and 2 are both of the user."),
    "no user before": ({"messages": HELLO[1:]}, "Message 1 is a reply to nothing."),
    "no reply": ({"messages": HELLO[:1]}, "The conversation has no reply of the assistant"),
    "no messages": ({"messages": []}, "A conversation needs at least one message, got none."),
    "tools": ({"messages": HELLO, "tools": '[{"name": "f"}]'}, "It has tools, which no chat template here"),
    "no list": ({"messages": "Hello"}, '"messages" must be a list of messages, got str.'),
    "no object": ({"messages": ["Hello"]}, 'Message 1 must be {"role": …, "content": …}, got \'Hello\'.'),
    "no content": ({"messages": [{"role": "user"}]}, 'Message 1: "value" is missing.'),
    "no text": (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        'Message 1: "content" must be a text, got list.',
    ),
    "a number": ({"instruction": "Add.", "output": 3}, '"output" must be a text, got int.'),
    "a null reply": ({"instruction": "Add.", "output": None}, '"output" must be a text, got NoneType.'),
    "a bad history": (
        {"instruction": "a", "output": "b", "history": [["a"]]},
        '"history" must be a list of [user, assistant] pairs',
    ),
    "half a character": ({"question": "\ud83d", "answer": "b"}, '"question" holds half of a surrogate pair.'),
    "another form": (
        {"text": "Hello"},
        "It is no conversation in a known form (its keys: 'text'). Known are",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used_is_named_with_its_line(tmp_path, name):
    row, words = UNUSABLE[name]
    lines = write(tmp_path / "a.jsonl", FORMS["alpaca"][0], row)
    with pytest.raises(DataError) as raised:
        load_conversations(lines)
    assert str(raised.value).startswith(f"{lines}, line 2: {words}")
    assert "\n" not in str(raised.value)
    entries = write(tmp_path / "a.json", FORMS["alpaca"][0], row)
    with pytest.raises(DataError) as raised:
        load_conversations(entries)
    assert str(raised.value).startswith(f"{entries}, entry 2: {words}")


def test_what_cannot_be_used_is_counted_where_that_is_asked(tmp_path):
    good = FORMS["alpaca"][0]
    rows = [row for one, _ in UNUSABLE.values() for row in (one, good)]
    left_out: list[str] = []
    path = write(tmp_path / "a.jsonl", *rows)
    assert len(load_conversations(path, on_unusable=left_out.append)) == len(UNUSABLE)
    for number, (line, (_, words)) in enumerate(zip(left_out, UNUSABLE.values(), strict=True)):
        assert line.startswith(f"{path}, line {2 * number + 1}: {words}")


@pytest.mark.parametrize(
    ("line", "words"), [('{"question": ', "line 2 is not JSON"), ("[1]", "line 2 must be a JSON object")]
)
def test_a_broken_line_is_named_and_left_out_on_request(tmp_path, line, words):
    path = tmp_path / "a.jsonl"
    good = '{"question": "a", "answer": "b"}'
    path.write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(DataError, match=words):
        load_conversations(path)
    left_out: list[str] = []
    assert len(load_conversations(path, on_unusable=left_out.append)) == 2
    assert [words in one for one in left_out] == [True]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b'{"question": ', "All is unusable; the first:"),
        ("a.json", b'[{"question":\n', "a.json is not JSON"),
        ("a.json", b"{}", "must hold a list of objects, but is an object"),
        ("a.jsonl", b"\xff\xfe", "is not UTF-8 text"),
        ("a.jsonl.gz", b"no gzip", "is damaged or cut off"),
        ("a.jsonl", b"\n", "holds no conversation. Give a file with"),
        ("a.json", b"[]", "holds no conversation"),
        ("a.txt", b"Hello", "is of no kind that can be read"),
        ("missing.jsonl", None, "does not exist"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        load_conversations(path, on_unusable=lambda text: None)
    assert words in str(raised.value)
    assert str(path) in str(raised.value)


# --- held out -----------------------------------------------------------------------------------------------


def test_the_same_question_is_never_on_both_sides():
    conversations = [Conversation(turns(f"question {i % 50}", f"answer {i}")) for i in range(500)]
    train, val = split_conversations(conversations, 0.1)
    assert len(train) + len(val) == 500
    assert len(val) in range(50, 60)  # whole groups of ten
    asked = [{one.messages[0]["content"] for one in side} for side in (train, val)]
    assert not asked[0] & asked[1]
    assert [one for one in conversations if one in val] == val  # in order
    again = split_conversations(conversations[::-1], 0.1)[1]
    assert again[::-1] == val  # whatever the order


def test_a_small_set_holds_out_one_and_a_fraction_of_0_none():
    conversations = [Conversation(turns(f"question {i}", "answer")) for i in range(5)]
    assert [len(side) for side in split_conversations(conversations, 0.05)] == [4, 1]
    assert split_conversations(conversations, 0) == (conversations, [])
    with pytest.raises(DataError, match=r"Of 1 conversations none is left to train on"):
        split_conversations(conversations[:1], 0.05)


def test_a_conversation_needs_a_reply():
    check_conversation(Conversation(turns("a", "b")))
    with pytest.raises(DataError, match="no reply of the assistant"):
        check_conversation(Conversation(turns("a")))


# --- real files ---------------------------------------------------------------------------------------------

REAL = {
    "sft/alpaca-cherry-5pct.json.gz": (3111, 0),
    "sft/alpaca-random-9k.json.gz": (9225, 4),  # four replies of the 9,229 are empty
    "sft/code-alpaca-new.json.gz": (4535, 0),
    "sft/dolly-3k.json.gz": (2996, 0),
    "sft/dolly-hhrlhf-train-small.jsonl.gz": (1000, 0),
    "sft/lima.json.gz": (1029, 0),
    "sft/gsm8k-train.jsonl.gz": (7473, 0),
    "sft/rasbt-instruction-data.json": (1100, 0),
    "sft/llamafactory-glaive-toolcall-en-demo.json.gz": (109, 191),  # the others call tools
    "pref/llamafactory-kto-en-demo.json.gz": (300, 0),
}


@pytest.mark.parametrize("name", REAL)
def test_a_real_file_loads_whole(shared_data, name):
    left_out: list[str] = []
    found = load_conversations(shared_data / name, on_unusable=left_out.append)
    assert (len(found), len(left_out)) == REAL[name]
    if not left_out:
        assert load_conversations(shared_data / name) == found
