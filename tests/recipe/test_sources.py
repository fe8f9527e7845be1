"""What is given to a recipe: which files are read, how they are split, and what each world implies."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from nn2llm.core.errors import DataError
from nn2llm.core.run_folder import RunFolder
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.recipe.given_config import GivenConfig
from nn2llm.recipe.sources import (
    GivenData,
    fingerprint_corpus,
    fingerprint_file,
    keep_fitting,
    settle_world,
)
from nn2llm.tokenizers import train_tokenizer
from nn2llm.tokenizers.chat import CHAT_TOKENS, ChatFormat, Message
from nn2llm.train.adopting import write_model_run


def build(**given: Any) -> ChatGPTConfig:
    return dataclasses.replace(ChatGPTConfig(), given=GivenConfig(**given))


def write(path: Path, rows: list[object]) -> str:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def chat(number: int) -> dict[str, str]:
    return {"instruction": f"Question {number}?", "output": f"Answer {number}."}


def pair(number: int) -> dict[str, str]:
    return {"prompt": f"Which {number}?", "chosen": "This.", "rejected": "That."}


def write_base(folder: Path, corpus: str | None) -> str:
    tokenizer = train_tokenizer("bpe", ["the hen and the baker"], vocab_size=270)
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, n_layer=1, n_head=1, n_embd=8, max_seq_len=16))
    folder.mkdir()
    write_model_run(RunFolder(folder), model, tokenizer, {} if corpus is None else {"corpus": corpus})
    return str(folder)


def test_what_is_given_implies_the_world(tmp_path: Path) -> None:
    village = "microworld:people=15,name=Ada,trade=baker"
    assert settle_world(build()) == build()
    assert settle_world(build(preferences=("x",))) == build(preferences=("x",))
    assert settle_world(build(corpus="text.txt")).world == "none"
    assert settle_world(build(base=write_base(tmp_path / "a", village))).world == village
    assert settle_world(build(base=write_base(tmp_path / "b", "shakespeare"))).world == "none"
    assert settle_world(build(base=write_base(tmp_path / "c", None))).world == "none"


def test_files_are_read_one_after_the_other_and_split_by_prompt(tmp_path: Path) -> None:
    files = (
        write(tmp_path / "a.jsonl", [chat(number) for number in range(12)]),
        write(tmp_path / "b.jsonl", [chat(number) for number in range(8, 20)]),  # four of them again
    )
    pairs = write(tmp_path / "p.jsonl", [pair(number) for number in range(20) for _ in range(2)])
    data = GivenData(build(sft_data=files, preferences=(pairs,), val_fraction=0.25))
    train, val = data.conversations
    assert len(train) + len(val) == 24
    asked = [{one.messages[0]["content"] for one in part} for part in (train, val)]
    assert not asked[0] & asked[1]
    assert len(data.pairs[1]) == 10  # five prompts of twenty, two pairs each
    prompts = data.list_training_prompts()
    assert len(prompts) == 15  # each once
    held_out = data.list_held_out_prompts()
    assert len(held_out) == 5 + len(asked[1])
    # by turns: a conversation's, then a pair's
    assert [prompt[0]["content"].split()[0] for prompt in held_out[:4]] == ["Question", "Which"] * 2
    assert {prompt[0]["content"] for prompt in held_out}.isdisjoint(
        {prompt[0]["content"] for prompt in prompts} | asked[0]
    )


def test_broken_lines_are_named_or_left_out_and_counted(tmp_path: Path) -> None:
    rows = [*map(chat, range(6)), "{", chat(7), {"instruction": "x", "output": ""}]
    path = write(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match="line 7 is not JSON"):
        _ = GivenData(build(sft_data=(path,))).conversations
    said: list[str] = []
    data = GivenData(build(sft_data=(path,), skip_unusable=True), said.append)
    assert sum(map(len, data.conversations)) == 7
    (line,) = said
    assert line.startswith(f"{path}: 2 of 9 conversations left out; the first: {path}, line 7 is not JSON")


def test_unknown_layouts_say_their_keys(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": "x", "label": 1}])
    with pytest.raises(DataError, match=r"line 1: .*'text', 'label'"):
        _ = GivenData(build(sft_data=(path,))).conversations
    with pytest.raises(DataError, match=r"line 1: .*'text', 'label'"):
        _ = GivenData(build(preferences=(path,))).pairs


def test_too_few_pairs_to_hold_any_out(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [pair(1), pair(2), pair(3)])
    with pytest.raises(DataError, match=r"Of 3 pairs 1 is held out.*raise --val-fraction 0\.1"):
        _ = GivenData(build(preferences=(path,))).pairs


def test_fingerprints_are_of_contents_not_of_places(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for fingerprint, name in ((fingerprint_file, "x.jsonl"), (fingerprint_corpus, "x.txt")):
        paths = [tmp_path / name, tmp_path / "b" / name]
        for path in paths:
            path.write_text("the same text\n")
        first, second = (fingerprint(str(path)) for path in paths)
        assert first == second
        paths[1].write_text("another text\n")
        assert fingerprint(str(paths[1])) != first
    with pytest.raises(DataError, match="does not exist"):
        fingerprint_file(str(tmp_path / "missing.jsonl"))


def test_prompts_that_leave_no_room_are_left_out() -> None:
    tokenizer = train_tokenizer("char", ["abc "]).with_special_tokens(list(CHAT_TOKENS))
    prompts = [(Message(role="user", content="a" * length),) for length in (1, 5, 20)]
    template = ChatFormat(tokenizer)
    lengths = [len(template.encode(prompt, add_generation_prompt=True).ids) for prompt in prompts]
    assert keep_fitting(template, prompts, max_seq_len=lengths[1] + 3, room=3) == prompts[:2]
    assert keep_fitting(template, prompts, max_seq_len=lengths[1] + 2, room=3) == prompts[:1]
