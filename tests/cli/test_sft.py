"""`nn2llm sft`: what flags mean, and what is said of those that cannot work."""

import json
from pathlib import Path

import pytest
import torch

from nn2llm.cli.sft import main
from nn2llm.core.config_io import load_config
from nn2llm.core.errors import Nn2llmError
from nn2llm.core.run_folder import RunFolder
from nn2llm.train.checkpoint import save_checkpoint
from nn2llm.train.sft_config import SFTConfig
from tests.models.hf_cases import build_bpe, build_ours

QUICK = ["--steps", "2", "--machine.num-threads", "1", "--device", "cpu", "--num-samples", "0"]


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """A parent run, `runs/base`, and some conversations."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NN2LLM_RUNS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    tokenizer = build_bpe()
    model = build_ours(vocab_size=tokenizer.vocab_size, max_seq_len=48)
    run = RunFolder(tmp_path / "runs" / "base")
    weights = model.state_dict()
    save_checkpoint(
        run, step=1, model_config=model.config, weights=weights, training_state={}, best_step=1, keep=1
    )
    tokenizer.save(run.tokenizer_path)
    run.metrics_path.write_text('{"step": 1}\n')
    run.config_path.write_text("{}")
    rows = [{"instruction": f"hello {i}", "output": "the other"} for i in range(30)]
    (tmp_path / "talk.jsonl").write_text("\n".join(map(json.dumps, rows)))
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)


def sft(*argv: str | Path) -> int:
    return main([*QUICK, "--init-from", "base", "--data", "talk.jsonl", *map(str, argv)])


def refused(*argv: str | Path) -> str:
    with pytest.raises(Nn2llmError) as raised:
        main([str(word) for word in argv])
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_run_is_reported_and_named_after_its_parent(tmp_path, capsys):
    assert sft() == 0
    out = capsys.readouterr().out
    assert "Held-out loss " in out
    assert "nats a reply token, after 2 steps" in out
    assert "Talk with it: nn2llm chat runs/base-sft-1" in out
    config = load_config(SFTConfig, tmp_path / "runs" / "base-sft-1" / "config.json")
    assert (config.init_from, config.data, config.steps) == ("base", "talk.jsonl", 2)


def test_flags_set_the_config(tmp_path):
    assert sft("--out", "a", "--optimizer.adamw-lr", "0.5", "--no-packing", "--no-add-chat-tokens") == 0
    config = load_config(SFTConfig, tmp_path / "a" / "config.json")
    assert (config.optimizer.adamw_lr, config.packing, config.add_chat_tokens) == (0.5, False, False)
    assert (config.optimizer.muon_lr, config.machine.num_threads) == (SFTConfig().optimizer.muon_lr, 1)


def test_a_config_read_back_starts_the_same_run(tmp_path):
    assert sft("--out", "a", "--seed", "5") == 0
    assert main(["--config", "a/config.json", "--out", "b"]) == 0
    assert main(["--config", "a", "--out", "c", "--steps", "1"]) == 0  # a run will do
    a, b, c = (load_config(SFTConfig, tmp_path / name / "config.json") for name in "abc")
    assert a == b
    assert (c.seed, c.steps) == (5, 1)
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in "ab"
    ]
    assert losses[0] == losses[1]


def test_resuming_with_the_same_line_or_none(capsys):
    assert sft("--out", "a", "--resume") == 0  # starts it
    assert sft("--out", "a", "--resume") == 0
    assert "a is finished: it ended at step 2 of 2." in capsys.readouterr().out
    assert main(["--out", "a", "--resume"]) == 0
    assert main(["--config", "a", "--out", "a", "--resume"]) == 0


def test_resuming_with_other_settings_names_them():
    assert sft("--out", "a") == 0
    assert refused("--out", "a", "--resume", "--steps", "3", "--optimizer.beta1", "0.5") == (
        "a was started with other settings: steps is 2 in the run, 3 here; "
        "optimizer.beta1 is 0.9 in the run, 0.5 here. "
        "Resume without these flags, or start a new run with another --out."
    )


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--resume"], "--resume needs --out RUN"),
        (["--data", "talk.jsonl"], "--init-from RUN is needed: which model is to learn?"),
        (["--init-from", "base"], "--data FILE is needed: conversations, as .json or .jsonl"),
        (["--init-from", "bas", "--data", "talk.jsonl"], "There is no run 'bas' in runs. Nearest: base."),
        (["--init-from", "base", "--data", "talk.json"], "talk.json does not exist. Check the path."),
        (["--init-from", "base", "--data", "bad.jsonl"], "bad.jsonl, line 2: Message 2 is an empty reply."),
        (["--init-from", "base", "--data", "broken.jsonl"], "broken.jsonl, line 2 is not JSON"),
        (["--init-from", "base", "--data", "talk.jsonl", "--device", "cuda:99"], "Device 'cuda:99' is not"),
        (["--config", "nothing.json"], "nothing.json does not exist."),
        (["--steps", "0"], "steps must be at least 1, got 0."),
    ],
)
def test_what_cannot_work_is_one_sentence(tmp_path, argv, words):
    (tmp_path / "bad.jsonl").write_text(
        '{"question": "a", "answer": "b"}\n{"question": "a", "answer": ""}\n{"question": "a", "answer": "b"}'
    )
    (tmp_path / "broken.jsonl").write_text('{"question": "a", "answer": "b"}\n{"question":')
    assert words in refused(*argv)
    assert not (tmp_path / "runs" / "base-sft-1").exists()


def test_unusable_conversations_can_be_left_out(tmp_path, capsys):
    with (tmp_path / "talk.jsonl").open("a") as file:
        file.write('\n{"question": "a", "answer": ""}')
    assert sft("--skip-unusable") == 0
    out = capsys.readouterr().out
    assert (
        "1 of 31 conversations left out; the first: talk.jsonl, line 31: Message 2 is an empty reply." in out
    )


def test_help_lists_the_flags(capsys):
    with pytest.raises(SystemExit) as raised:
        main(["--help"])
    assert raised.value.code == 0
    out = capsys.readouterr().out
    for flag in (
        "--init-from",
        "--data",
        "--val-data",
        "--out",
        "--resume",
        "--epochs",
        "--device",
        "--seed",
    ):
        assert flag in out
