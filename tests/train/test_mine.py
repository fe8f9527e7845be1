"""Training with the learner's own parts: to the library's loss, resumed with the same code, or not at all."""

import dataclasses
import io
import json
import shutil
import sys

import pytest
import torch
from rich.console import Console

from nn2llm.core.errors import CheckpointError, ConfigError
from nn2llm.core.run_folder import RunFolder
from nn2llm.models.parts import PARTS, PartError
from nn2llm.models.parts.loading import load_functions
from nn2llm.optim.combined import OptimizerConfig
from nn2llm.optim.schedules import ScheduleConfig
from nn2llm.train.checkpoint import load_trained_model
from nn2llm.train.mine import build_mine_config, plan_mine, read_run_parts, store_run_parts
from nn2llm.train.mine_trainer import measure_slowdown
from nn2llm.train.presets import build_preset
from nn2llm.train.pretrain import pretrain
from nn2llm.train.pretrain_config import MineConfig, PretrainConfig, load_pretrain_config
from tests.models.part_answers import RIGHT, source
from tests.train.conftest import read_records

ATOL = 1e-4
"""Nats: what float32 leaves between two orders of the same sums after ten steps."""
GPT2_STYLE = {"norm": "layernorm", "position": "sinusoidal", "feed_forward": "gelu", "qk_norm": False}


def smoke(corpus, model=None, **changes) -> PretrainConfig:
    base = build_preset("smoke")
    shape = dataclasses.replace(base.model, max_seq_len=16, **(model or {}))
    settings = {
        "corpus": str(corpus), "model": shape, "num_threads": 1, "device": "cpu", "steps": 10,
        "batch_size": 4,        "sample_every": 0, "checkpoint_every": 5, "eval_tokens": 512,
    }  # fmt: skip
    return dataclasses.replace(base, **{**settings, **changes})


def train(config: PretrainConfig, folder, *, mine=None, resume=False):
    """(losses, what was printed); `mine`: the sources of the learner's parts."""
    run, text = RunFolder(folder), io.StringIO()
    if mine is not None and not resume:
        plan = plan_mine(mine, config)
        config = build_mine_config(config, plan)
        store_run_parts(run, plan.used)
    result = pretrain(config, run, resume=resume, console=Console(file=text, width=200))
    return [r["loss"] for r in read_records(run.metrics_path)], result.val_loss, text.getvalue()


def test_a_slow_but_right_attention_trains_to_the_library_s_loss(corpus, tmp_path):
    losses, val_loss, _ = train(smoke(corpus, steps=6), tmp_path / "library")
    slow = {"attention": source("attention", RIGHT["attention"][1])}
    own, own_val, printed = train(smoke(corpus, steps=6), tmp_path / "mine", mine=slow)
    assert own == pytest.approx(losses, abs=ATOL)
    assert own_val == pytest.approx(val_loss, abs=ATOL)
    assert own != losses  # it was called: the same sums in another order
    assert "times as long as the library's" in printed


ALL = {name: source(name) for name in PARTS}


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ({}, {}),
        (
            GPT2_STYLE,
            {
                "schedule": ScheduleConfig(kind="cosine", warmup_steps=3, floor=0.1),
                "optimizer": OptimizerConfig(use_muon=False, weight_decay=0.1),
                "max_grad_norm": 0.5,
                "document_mask": True,
                "micro_batch_size": 2,
            },
        ),
    ],
    ids=["qwen", "gpt2"],
)
def test_all_parts_together_train_to_the_library_s_loss(corpus, tmp_path, model, changes):
    config = smoke(corpus, model, **changes)
    losses, val_loss, _ = train(config, tmp_path / "library")
    own, own_val, _ = train(config, tmp_path / "mine", mine=ALL)
    assert own == pytest.approx(losses, abs=ATOL)
    assert own_val == pytest.approx(val_loss, abs=ATOL)
    norms, own_norms, rates, own_rates = (
        [record[key] for record in read_records(tmp_path / folder / "metrics.jsonl")]
        for key in ("grad_norm", "lr")
        for folder in ("library", "mine")
    )
    assert own_norms == pytest.approx(norms, rel=1e-3)
    assert own_rates == pytest.approx(rates)


@pytest.mark.parametrize("name", ["training_step", "gradient_clipping", "adamw", "cosine_schedule"])
def test_each_part_of_a_step_is_really_called(corpus, tmp_path, name):
    text = f"CALLS = 0\n{source(name).text}"
    function = PARTS[name].functions[0]
    text += (
        f"_own = {function}\ndef {function}(*arguments):\n    global CALLS\n    CALLS += 1\n"
        "    return _own(*arguments)\n"
    )
    config = smoke(
        corpus, steps=2, max_grad_norm=1.0, schedule=ScheduleConfig(kind="cosine"),
        optimizer=OptimizerConfig(use_muon=False),
    )  # fmt: skip
    train(config, tmp_path / "mine", mine={name: source(name, text)})
    assert sys.modules[f"mygpt_part_{name}"].CALLS >= 2


def test_the_run_remembers_whose_parts_they_are(corpus, tmp_path):
    mine = {"rms_norm": source("rms_norm", slug="residual-stream", exercise="rms-norm")}
    train(smoke(corpus, steps=1), tmp_path / "run", mine=mine)
    config = load_pretrain_config(tmp_path / "run" / "config.json")
    assert isinstance(config, MineConfig)
    assert config.mine == {"rms_norm": mine["rms_norm"].sha256}
    assert config.without_mine().precision == "fp32"
    listed = json.loads((tmp_path / "run/mine/parts.json").read_text())
    assert listed["rms_norm"]["slug"] == "residual-stream"
    assert (tmp_path / "run/mine/rms_norm.py").read_text() == mine["rms_norm"].text
    model, _ = load_trained_model(tmp_path / "run")  # a model like any other
    assert type(model.blocks[0]).__module__ == "nn2llm.models.gpt"


def test_a_config_without_own_parts_says_nothing_of_them(corpus, tmp_path):
    train(smoke(corpus, steps=1), tmp_path / "run")
    assert "mine" not in json.loads((tmp_path / "run" / "config.json").read_text())
    assert type(load_pretrain_config(tmp_path / "run" / "config.json")) is PretrainConfig


def test_resuming_goes_on_with_the_same_code(corpus, tmp_path):
    config, mine = smoke(corpus), {"adamw": source("adamw"), "attention": source("attention")}
    whole, _, _ = train(config, tmp_path / "whole", mine=mine)
    plan = plan_mine(mine, config)
    run = RunFolder(tmp_path / "half")
    store_run_parts(run, plan.used)
    pretrain(build_mine_config(config, plan), run, console=Console(quiet=True))
    # as if it had been killed at step 5
    for folder in run.checkpoints_path.glob("step_00000010"):
        shutil.rmtree(folder)
    resumed, _, printed = train(config, tmp_path / "half", resume=True)
    assert resumed == whole
    assert "going on at step 5" in printed
    assert "times as long" not in printed


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_resuming_without_the_run_s_own_code_is_refused(corpus, tmp_path, damage):
    train(smoke(corpus, steps=1), tmp_path / "run", mine={"attention": source("attention")})
    copied = tmp_path / "run/mine/attention.py"
    if damage == "gone":
        copied.unlink()
        words = "was trained with your own attention, and .*attention.py cannot be read"
    else:
        copied.write_text(copied.read_text() + "# a thought\n")
        words = "attention.py is not the code that .* was started with"
    before = (tmp_path / "run/metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match=words):
        train(smoke(corpus), tmp_path / "run", resume=True)
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("calls", [3, 20])
def test_code_that_fails_while_training_is_said_in_one_sentence(corpus, tmp_path, calls):
    """While its cost is measured, and later."""
    text = (
        "CALLS = 0\ndef swiglu(gate, value):\n    global CALLS\n    CALLS += 1\n"
        f"    assert CALLS < {calls}, 'tired'\n    return gate * gate.sigmoid() * value\n"
    )
    with pytest.raises(
        PartError, match=r"Your part swiglu failed at step \d+: AssertionError: tired, in line 5"
    ):
        train(smoke(corpus), tmp_path / "run", mine={"swiglu": source("swiglu", text)})


def test_a_part_that_ends_the_program_while_training_is_named(corpus, tmp_path):
    text = source("swiglu").text.replace(
        "return", "global N\n    N += 1\n    if N > 20:\n        exit()\n    return"
    )
    mine = {"swiglu": source("swiglu", f"N = 0\n{text}")}
    with pytest.raises(
        PartError, match=r"Your part swiglu failed at step \d+: it ends the program"
    ) as raised:
        train(smoke(corpus), tmp_path / "run", mine=mine)
    remedy = (
        f"{tmp_path / 'run'} keeps the code that it began with: mend mygpt/swiglu.py; then start a new run."
    )
    assert remedy in str(raised.value)


def test_the_innermost_part_is_named(corpus, tmp_path):
    """A block calls attention: the frames of both are in the traceback."""
    broken = source("attention").text.replace(
        "    return", "    global N\n    N += 1\n    assert N < 20\n    return"
    )
    mine = {
        "attention": source("attention", f"N = 0\n{broken}"),
        "transformer_block": source("transformer_block"),
        "gpt": source("gpt"),
    }
    with pytest.raises(PartError, match=r"Your part attention failed at step \d+: AssertionError"):
        train(smoke(corpus), tmp_path / "run", mine=mine)


# --- the plan -----------------------------------------------------------------------------------------------


def test_the_plan_tells_parts_gaps_and_what_is_idle(corpus):
    mine = {name: source(name) for name in ("attention", "gelu", "adamw", "sampling")}
    plan = plan_mine(mine, smoke(corpus))
    assert list(plan.used) == ["attention", "adamw"]
    assert [part.name for part in plan.idle] == ["gelu", "sampling"]
    gaps = [part.name for part in plan.gaps]
    assert "rms_norm" in gaps
    assert not {"attention", "gelu", "layer_norm", "sampling"} & set(gaps)
    assert list(plan_mine(mine, smoke(corpus), without=["adamw"]).used) == ["attention"]
    assert list(plan_mine(mine, smoke(corpus), only=["adamw"]).used) == ["adamw"]


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [
        ([], {}, "You have no part of a GPT yet.* lesson tensors"),
        (["gelu"], {}, r"calls none of your parts \(gelu\). Add --model.feed-forward gelu"),
        (["attention"], {"without": ["attention"]}, r"None of your parts \(attention\) is left"),
        (["attention"], {"only": ["rope"]}, "no part rope yet: an exercise of the lesson rope-and-alibi"),
        (
            ["gelu", "adamw"],
            {"only": ["gelu"]},
            "does not call your part gelu. Add --model.feed-forward gelu",
        ),
        (["sampling", "adamw"], {"only": ["sampling"]}, "It is for `nn2llm sample --mine`"),
        (["adamw"], {"without": ["adam"]}, "no part 'adam' of a GPT. Did you mean 'adamw'"),
    ],
)
def test_a_plan_that_cannot_work_is_refused(corpus, names, options, words):
    with pytest.raises(ConfigError, match=words):
        plan_mine({name: source(name) for name in names}, smoke(corpus), **options)


def test_half_precision_and_several_processes_are_refused(corpus, monkeypatch):
    plan = plan_mine({"adamw": source("adamw")}, smoke(corpus))
    with pytest.raises(ConfigError, match="--mine trains in fp32, got precision bf16"):
        build_mine_config(smoke(corpus, precision="bf16"), plan)
    compiled = build_mine_config(smoke(corpus, precision="auto", compile=True), plan)
    assert compiled.precision == "fp32"
    assert not compiled.compile
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="--mine trains in one process"):
        build_mine_config(smoke(corpus), plan)


def test_code_left_by_a_start_that_was_killed_does_not_stay(corpus, tmp_path):
    run = RunFolder(tmp_path / "run")
    store_run_parts(run, {"rope": source("rope"), "adamw": source("adamw")})
    store_run_parts(run, {"adamw": source("adamw")})
    assert sorted(path.name for path in (run.path / "mine").iterdir()) == ["adamw.py", "parts.json"]


def test_measuring_leaves_weights_and_random_numbers_alone(corpus, tmp_path):
    train(smoke(corpus, steps=1), tmp_path / "run", mine={"adamw": source("adamw")})
    config = load_pretrain_config(tmp_path / "run/config.json")
    model, _ = load_trained_model(tmp_path / "run")
    functions = load_functions(read_run_parts(RunFolder(tmp_path / "run"), config))
    before, numbers = [p.clone() for p in model.parameters()], torch.get_rng_state()
    ratio = measure_slowdown(model, functions, config.optimizer, num_rows=2, seq_len=8)
    assert ratio > 0
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
    assert torch.equal(numbers, torch.get_rng_state())
