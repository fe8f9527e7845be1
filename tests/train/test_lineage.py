"""Where a model comes from."""

import json
import shutil

import pytest

from nn2llm.core.errors import CheckpointError
from nn2llm.train.lineage import are_relatives, fingerprint_model, list_ancestors, trace_lineage
from tests.train.preference_runs import build_model, write_run


def set_parent(run, parent):
    (run / "config.json").write_text(json.dumps({"init_from": str(parent)}))


@pytest.fixture
def family(tmp_path, monkeypatch):
    monkeypatch.setenv("NN2LLM_RUNS", str(tmp_path))
    runs = [write_run(tmp_path / name, build_model(seed=seed)) for seed, name in enumerate("abc", start=1)]
    set_parent(runs[1], runs[0])
    set_parent(runs[2], "b")  # by its name
    return runs


def test_a_line_goes_back_as_far_as_folders_are_there(family):
    base, sft, dpo = family
    prints = [fingerprint_model(run) for run in family]
    assert len(set(prints)) == 3
    assert trace_lineage(dpo) == tuple(reversed(prints))
    assert trace_lineage(base) == (prints[0],)
    shutil.rmtree(base)
    assert trace_lineage(dpo) == (prints[2], prints[1])
    shutil.rmtree(sft / "checkpoints")
    assert trace_lineage(dpo) == (prints[2],)
    with pytest.raises(CheckpointError, match="has no checkpoint yet"):
        trace_lineage(sft)


def test_a_copy_is_the_same_model_and_a_circle_ends(family, tmp_path):
    base, sft, dpo = family
    shutil.copytree(sft, tmp_path / "copy")
    assert trace_lineage(tmp_path / "copy") == trace_lineage(sft)
    set_parent(base, dpo)
    assert list_ancestors(dpo)[1:] == [tmp_path / "b", base]
    (dpo / "config.json").write_text("[]")
    assert list_ancestors(dpo) == [dpo]


def test_relatives():
    assert are_relatives(("sft", "base"), ("ppo", "sft", "base"))
    assert are_relatives(("ppo", "sft"), ("dpo", "sft"))
    assert not are_relatives(("sft", "base"), ("other",))
