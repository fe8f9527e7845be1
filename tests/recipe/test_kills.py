"""A recipe that was killed or stopped in any stage ends with the numbers of one that never was."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nn2llm.recipe.engine import load_record
from nn2llm.recipe.report_data import read_report
from nn2llm.recipe.stages import STAGE_SUMMARIES
from nn2llm.train.checkpoint import load_reward_model, load_trained_model
from tests.recipe.micro import micro
from tests.train.conftest import Command, count_lines, read_records, wait_until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills POSIX processes")

TRAINING = ("base", "sft", "reward", "reward_control", "ppo", "dpo")
Start = Callable[..., Command]


def read_stage(out: Path, name: str) -> dict[str, Any]:
    """Everything that a stage says, timings apart."""
    folder = out / name
    record = json.loads((folder / "stage.json").read_text())
    del record["seconds"]
    found: dict[str, Any] = {"record": record}
    for path in sorted(folder.glob("*.jsonl")) + sorted(folder.glob("summary.json")):
        if path.name in ("metrics.jsonl", "samples.jsonl"):
            lines = read_records(path)
            found[path.name] = [{k: v for k, v in line.items() if k != "seconds"} for line in lines]
        else:
            found[path.name] = path.read_text(encoding="utf-8")
    for path in sorted(folder.glob("checkpoints/*/model.safetensors"))[-1:]:
        found[path.parent.name] = path.read_bytes()  # an older one may be left of a session that was killed
    return found


def kill(start: Start, out: Path, ready: Callable[[], bool], *argv: str) -> None:
    """Start it, kill it when it is ready for that."""
    command = start("--out", out, *argv)
    wait_until(ready, command)
    command.signal(signal.SIGKILL)
    assert command.wait() == -signal.SIGKILL, f"too late: {command.out}\n{command.err}"


def finish(start: Start, out: Path, *argv: str) -> Command:
    command = start("--out", out, *argv)
    assert command.wait() == 0, f"{command.out}\n{command.err}"
    return command


def is_trained(stage: Path) -> bool:
    """After its last step, before its record: in the check that gives the headline."""
    config = stage / "config.json"
    if not config.exists():
        return False
    steps = json.loads(config.read_text())["steps"]
    return (stage / f"checkpoints/step_{steps:08d}").exists()


@pytest.fixture(scope="module")
def reference(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base and sft of a recipe that never stopped."""
    out = tmp_path_factory.mktemp("reference") / "out"
    finish(start, out, "--stage", "sft")
    return out


def test_killed_in_a_step_and_in_the_check_after_it_goes_on(
    start: Start, reference: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    kill(start, out, lambda: count_lines(out / "sft/metrics.jsonl") >= 6, "--stage", "sft")
    kill(start, out, lambda: is_trained(out / "sft"), "--stage", "sft")
    command = finish(start, out, "--stage", "sft")
    assert "base: done before" in command.out
    assert "sft: going on" in command.out
    for name in ("base", "sft"):
        assert read_stage(out, name) == read_stage(reference, name)


def test_ctrl_c_saves_and_says_how_to_go_on(start: Start, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = start("--out", out, "--stage", "sft")
    wait_until(lambda: count_lines(out / "base/metrics.jsonl") >= 3, command)
    command.signal(signal.SIGINT)
    assert command.wait() == 130
    assert command.out.endswith(
        f"Stopped in base; everything is saved. Go on with: nn2llm chatgpt --out {out}\n"
    )
    assert "nn2llm pretrain" not in command.out
    assert command.err == ""
    assert not (out / "base/stage.json").exists()
    finish(start, out, "--stage", "base")
    assert read_stage(out, "base") == read_stage(reference, "base")


@pytest.fixture(scope="module")
def whole(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole recipe that never stopped."""
    out = tmp_path_factory.mktemp("whole") / "out"
    finish(start, out, "--no-talk")
    return out


@pytest.mark.slow
def test_killed_in_every_stage_the_report_is_the_same(start: Start, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    for name in STAGE_SUMMARIES:
        stage, partial = out / name, out / f".{name}.partial"
        if name in TRAINING:
            kill(start, out, lambda stage=stage: count_lines(stage / "metrics.jsonl") >= 3)
            kill(start, out, lambda stage=stage: is_trained(stage))
        else:
            kill(start, out, lambda partial=partial: partial.exists())
    finish(start, out)
    for name in STAGE_SUMMARIES:
        assert read_stage(out, name) == read_stage(whole, name), name
    assert (out / "report.md").exists()
    assert read_report(out)[0] == read_report(whole)[0]


@pytest.mark.slow
def test_a_whole_recipe_leaves_what_the_report_and_other_commands_read(whole: Path) -> None:
    config = micro()
    lines = [json.loads(line) for line in (whole / "evaluation/replies.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(config.evaluation.num_prompts))
    for line in lines:
        assert line["messages"][-1]["role"] == "user"
        assert list(line["replies"]) == ["base", "sft", "ppo", "dpo"]
        for policy, reply in line["replies"].items():
            assert 0 <= reply["gold"] <= 1
            assert reply["num_tokens"] <= config.evaluation.max_new_tokens
            is_base = policy == "base"
            assert (reply["reward"] is None, reply["kl"] is None) == (is_base, is_base)
        assert line["replies"]["sft"]["kl"] == 0
    summary = json.loads((whole / "evaluation/summary.json").read_text())
    assert summary["world"] == config.world
    assert summary["floor"]["percent_above"] > 0
    assert {probe["name"] for probe in summary["probes"]} == {"grammar", "recall", "context", "few_shot"}
    assert set(summary["held_out_questions"]) == {"base", "sft", "ppo", "dpo"}
    for reward in (summary["reward"], summary["reward"]["control"]):
        assert reward["own_replies"]["num_pairs"] == 24  # 8 prompts, 3 replies each
        assert reward["num_pairs"] == 48  # and each of them beside a stray one
        assert 0.5 <= reward["best_possible"] <= 1
    iterations = read_records(whole / "ppo/metrics.jsonl")
    assert len(iterations) == config.ppo.steps
    assert {"reward", "gold", "utility", "kl"} <= set(iterations[0])
    for name in STAGE_SUMMARIES:
        record = load_record(whole / name)
        assert record is not None
        assert record.tokens > 0
        assert record.flops > 0
    for name in ("base", "sft", "ppo", "dpo"):
        load_trained_model(whole / name)
    for name in ("reward", "reward_control"):
        load_reward_model(whole / name)
    assert "nan" not in (whole / "report.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_changed_setting_sets_the_report_aside(start: Start, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    command = finish(start, out, "--dpo.beta", "0.3", "--stage", "dpo")
    assert "made anew: dpo" in command.out
    assert "ppo: done before" in command.out
    assert not (out / "report.html").exists()
    assert (out / ".replaced/report.html").exists()
