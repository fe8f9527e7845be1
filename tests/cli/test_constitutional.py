"""`nn2llm constitutional`: from a run, prompts and a judge to a better run, in one line."""

import json
from pathlib import Path

import pytest
import torch

from nn2llm.cli.constitutional import main
from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.run_folder import RunFolder, read_json_lines
from nn2llm.train.checkpoint import load_trained_model
from tests.evals.chat_server import run_server
from tests.train.ppo_cases import PROMPTS, build_gpt, save_run

SMALL = [
    *(
        "--num-revision-prompts",
        "7",
        "--num-pair-prompts",
        "7",
        "--chunk-size",
        "4",
        "--max-new-tokens",
        "20",
    ),
    *("--sft.steps", "2", "--dpo.steps", "2", "--device", "cpu", "--machine.num-threads", "1"),
    *(
        "--sft.val-fraction",
        "0",
        "--dpo.val-fraction",
        "0",
        "--replies-per-prompt",
        "8",
        "--judge-model",
        "tiny",
    ),
]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NN2LLM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("COLUMNS", "200")
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture
def server():
    with run_server() as server:
        server.answer = answer
        yield server


def answer(number, body):
    """Every reply breaks the rule, the new one says "bed", and the longer one of two is better."""
    text = body["messages"][-1]["content"]
    if len(body["messages"]) == 3:
        return "bed"
    if "[Reply A]" not in text:
        return "YES. It is bad."
    first, second = text.split("[Reply A]\n")[1].split("\n\n[End")[0].split("\n\n[Reply B]\n")
    return "A" if len(first) > len(second) else "B" if len(second) > len(first) else "T"


@pytest.fixture
def given(tmp_path: Path, server) -> list[str]:
    """The flags that are always needed."""
    save_run(tmp_path / "runs" / "sft", build_gpt())
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": list(prompt)}) + "\n" for prompt in PROMPTS))
    return ["--init-from", "sft", "--prompts", str(prompts), "--judge", server.url]


def test_a_run_from_the_command_line(given, tmp_path, capsys):
    assert main([*given, *SMALL]) == 0
    run = RunFolder(tmp_path / "runs" / "sft-constitutional-1")
    assert [line["part"] for line in read_json_lines(run.metrics_path)] == ["revisions"] * 2 + ["pairs"] * 2
    load_trained_model(run.path)
    out = capsys.readouterr().out
    assert "7 prompts, 4 principles of village, judged by tiny of 127.0.0.1" in out
    assert "The judge preferred one of two replies" in out
    assert f"nn2llm chat {run.path}" in out
    assert main(["--out", str(run.path), "--resume"]) == 0  # nothing is left to do
    assert main(["--out", str(run.path), "--resume", "--endpoint.max-requests", "3"]) == 0  # a new budget
    with pytest.raises(ConfigError, match=r"other settings: red_team is 3\.0 in the run, 2\.0 here"):
        main(["--out", str(run.path), "--resume", "--red-team", "2"])


@pytest.mark.parametrize(("only", "command"), [("revisions", "sft"), ("pairs", "dpo")])
def test_only_data_and_what_to_do_with_it(given, tmp_path, capsys, only, command):
    assert main([*given, *SMALL, "--only", only]) == 0
    data = tmp_path / "runs" / "sft-constitutional-1" / f"{only}.jsonl"
    assert data.exists()
    flag = {"sft": "--data", "dpo": "--preferences"}[command]
    assert f"nn2llm {command} --init-from sft {flag} {data}" in capsys.readouterr().out


def test_a_spent_budget_is_one_sentence_and_resume_goes_on(given, tmp_path, server, capsys):
    out = str(tmp_path / "runs" / "x")
    with pytest.raises(DataError, match=r"The budget for 127.*is spent.*--resume"):
        main([*given, *SMALL, "--out", out, "--endpoint.max-requests", "2", "--endpoint.concurrency", "1"])
    asked = len(server.bodies)
    assert main(["--out", out, "--resume", "--endpoint.max-requests", "10000"]) == 0
    questions = [json.dumps(body["messages"]) for body in server.bodies]
    assert asked == 2
    assert len(set(questions)) == len(questions) - 1  # "are you there?" alone is asked twice


def test_what_is_missing_is_named(given):
    with pytest.raises(ConfigError, match="--init-from RUN is needed"):
        main(SMALL)
    with pytest.raises(ConfigError, match="--judge-model NAME is needed"):
        main(given)
    with pytest.raises(DataError, match="There is no constitution 'nowhere'"):
        main([*given, *SMALL, "--constitution", "nowhere"])
