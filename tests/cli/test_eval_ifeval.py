"""`nn2llm eval RUN --ifeval FILE` on a tiny chat model."""

import json
from pathlib import Path

import pytest
import torch

from nn2llm.cli import eval as eval_command
from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.run_folder import RunFolder
from nn2llm.models.chat_tokens import add_chat_tokens
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.tokenizers import train_tokenizer
from nn2llm.train.adopting import write_model_run

ITEMS = [
    {"key": 1, "prompt": "Use no comma.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
    {
        "key": 2,
        "prompt": "In Hindi.",
        "instruction_id_list": ["language:response_language"],
        "kwargs": [{"language": "hi"}],
    },
]


@pytest.fixture
def chat_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tokenizer = train_tokenizer("bpe", ["the baker and the hen"], vocab_size=270)
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=tokenizer.vocab_size, n_layer=1, n_head=1, n_embd=8, max_seq_len=64)
    model, tokenizer = add_chat_tokens(GPT(config), tokenizer)
    Path("chat").mkdir()
    write_model_run(RunFolder(Path("chat")), model, tokenizer, {})
    Path("items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS) + "{broken\n")
    return Path("chat")


def test_shares_and_replies_are_printed_and_kept(chat_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["chat", "--ifeval", "items.jsonl", "--max-new-tokens", "5", "--device", "cpu", "--skip-unusable"]
    assert eval_command.main(argv) == 0
    shown = capsys.readouterr()
    assert "1 lines of items.jsonl are left out; the first: items.jsonl, line 3" in shown.err
    assert "1 items that ask for a language are left out" in shown.out
    record = json.loads((chat_run / "evals" / "ifeval-step-0.json").read_text())
    assert (record["num_left_out"], record["num_unusable"]) == (1, 1)
    (reply,) = record["replies"]
    assert (reply["key"], reply["prompt"]) == (1, "Use no comma.")
    assert reply["followed"] == [bool(reply["reply"].strip()) and "," not in reply["reply"]]
    assert record["ifeval"]["num_prompts"] == 1
    assert eval_command.main([*argv, "--json", "--name", "again"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((chat_run / "evals/again.json").read_text())


def test_what_cannot_work_is_one_sentence(chat_run: Path) -> None:
    with pytest.raises(DataError, match=r"items\.jsonl, line 3 is not JSON"):
        eval_command.main(["chat", "--ifeval", "items.jsonl", "--device", "cpu"])
    with pytest.raises(DataError, match="does not exist"):
        eval_command.main(["chat", "--ifeval", "missing.jsonl", "--device", "cpu"])
    with pytest.raises(ConfigError, match="max_new_tokens must be at least 1, got 0"):
        eval_command.main(["chat", "--ifeval", "items.jsonl", "--max-new-tokens", "0"])
