"""`nn2llm grpo`: from two runs and a file of prompts to a better run, in one line."""

import json
from pathlib import Path

import pytest
import torch

from nn2llm.cli.grpo import main
from nn2llm.core.errors import ConfigError
from nn2llm.core.run_folder import RunFolder, read_json_lines
from nn2llm.train.checkpoint import load_trained_model
from tests.train.ppo_cases import PROMPTS, build_gpt, build_reward_model, save_run

SMALL = [
    *("--steps", "3", "--num-prompts", "2", "--group-size", "4", "--minibatch-size", "4"),
    *("--max-new-tokens", "5", "--device", "cpu", "--machine.num-threads", "1"),
]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NN2LLM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("COLUMNS", "200")
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture
def given(tmp_path: Path) -> list[str]:
    """The flags that are always needed."""
    save_run(tmp_path / "runs" / "sft", build_gpt())
    save_run(tmp_path / "runs" / "reward", build_reward_model())
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": list(prompt)}) + "\n" for prompt in PROMPTS))
    return ["--init-from", "sft", "--reward-model", "reward", "--prompts", str(prompts)]


def test_a_run_from_the_command_line(given, tmp_path, capsys):
    assert main([*given, *SMALL]) == 0
    run = RunFolder(tmp_path / "runs" / "sft-grpo-1")
    assert len(read_json_lines(run.metrics_path)) == 3
    load_trained_model(run.path)
    out = capsys.readouterr().out
    assert "7 prompts, 3 iterations of 2 × 4 replies" in out
    assert "In the last of 3 iterations" in out
    assert f"nn2llm chat {run.path}" in out
    assert main(["--out", str(run.path), "--resume"]) == 0  # nothing is left to do
    with pytest.raises(ConfigError, match="other settings: group_size is 4 in the run, 2 here"):
        main(["--out", str(run.path), "--resume", "--group-size", "2"])


@pytest.mark.parametrize("missing", ["--init-from", "--reward-model", "--prompts"])
def test_what_is_missing_is_named(given, missing):
    place = given.index(missing)
    with pytest.raises(ConfigError, match=f"{missing} [A-Z]+ is needed"):
        main([*given[:place], *given[place + 2 :], *SMALL])
