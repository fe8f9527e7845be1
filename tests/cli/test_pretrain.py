"""`nn2llm pretrain`: what flags mean, and what is said of those that cannot work."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from nn2llm.cli.main import main
from nn2llm.core.config_io import config_from_dict, config_to_dict, load_config
from nn2llm.train.presets import PRESETS, build_depth_config, build_preset
from nn2llm.train.pretrain import PretrainResult
from nn2llm.train.pretrain_config import PretrainConfig

TEXT = "".join(
    f"the {animal} sat on the {place}.\n" for animal in ["cat", "dog", "cow"] for place in ["mat", "rug"]
)
QUICK = ["--preset", "smoke", "--num-threads", "1", "--device", "cpu", "--sample-every", "0", "--steps", "2"]


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NN2LLM_RUNS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    # Measuring takes a second, and only `mfu` depends on it.
    monkeypatch.setattr("nn2llm.train.starting.measure_matmul_speed", lambda device, dtype: 1e11)
    (tmp_path / "words.txt").write_text(TEXT * 40)
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)


def pretrain(*argv: str | Path) -> int:
    return main(["pretrain", *map(str, argv)])


def refused(capsys, *argv: str | Path, code: int = 2) -> str:
    """The one line on stderr."""
    assert pretrain(*argv) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("error: ").strip()


def test_a_run_is_reported_and_named_after_its_text(tmp_path, capsys):
    assert pretrain(*QUICK, "--corpus", "words.txt") == 0
    out = capsys.readouterr().out
    assert "Held-out loss" in out
    assert "Write with it: nn2llm sample runs/words-1" in out
    assert (tmp_path / "runs" / "words-1" / "config.json").exists()


def test_help_lists_the_presets(capsys):
    with pytest.raises(SystemExit) as raised:
        pretrain("--help")
    assert raised.value.code == 0
    out = capsys.readouterr().out
    for name in PRESETS:
        assert f"  {name}" in out
    assert "--model.n-layer" in out
    assert "Traceback" not in out


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_comes_back_from_its_json(name):
    config = build_preset(name)
    assert (
        config_from_dict(PretrainConfig, json.loads(json.dumps(config_to_dict(config))), where="x") == config
    )


def test_a_config_read_back_starts_the_same_run(tmp_path):
    assert pretrain(*QUICK, "--corpus", "words.txt", "--out", "a", "--seed", "5") == 0
    assert pretrain("--config", "a/config.json", "--out", "b") == 0
    assert pretrain("--config", "a", "--out", "c", "--steps", "1") == 0  # a run will do
    a, b, c = (load_config(PretrainConfig, tmp_path / name / "config.json") for name in "abc")
    assert a == b
    assert a.seed == c.seed == 5
    assert c.steps == 1
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in "ab"
    ]
    assert losses[0] == losses[1]


def test_flags_change_a_preset(tmp_path):
    flags = ["--model.n-head", "4", "--optimizer.muon-lr", "0.5", "--model.dropout", "0.25"]
    assert pretrain(*QUICK, "--corpus", "words.txt", "--out", "a", *flags) == 0
    config = load_config(PretrainConfig, tmp_path / "a" / "config.json")
    assert (config.model.n_head, config.optimizer.muon_lr, config.model.dropout) == (4, 0.5, 0.25)
    assert config.model.n_embd == 32


def test_resuming_with_the_same_line_or_none(capsys):
    line = [*QUICK, "--corpus", "words.txt", "--out", "a", "--resume"]
    assert pretrain(*line) == 0  # starts it
    assert pretrain(*line) == 0
    assert "is finished" in capsys.readouterr().out
    assert pretrain("--out", "a", "--resume") == 0
    assert pretrain("--out", "a", "--resume", "--steps", "2") == 0  # says what is so already


def test_resuming_with_other_settings_names_them(capsys):
    assert pretrain(*QUICK, "--corpus", "words.txt", "--out", "a") == 0
    capsys.readouterr()
    error = refused(capsys, "--out", "a", "--resume", "--steps", "3", "--model.n-layer", "7")
    assert error == (
        "a was started with other settings: "
        "model.n_layer is 2 in the run, 7 here; steps is 2 in the run, 3 here. "
        "Resume without these flags, or start a new run with another --out."
    )
    assert "started with other settings" in refused(capsys, "--out", "a", "--resume", "--preset", "tiny")


def test_a_run_is_not_overwritten(capsys):
    assert pretrain(*QUICK, "--corpus", "words.txt", "--out", "a") == 0
    capsys.readouterr()
    assert "a already holds a run. Add --resume" in refused(
        capsys, *QUICK, "--corpus", "words.txt", "--out", "a"
    )


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--resume"], "--resume needs --out RUN"),
        (["--preset", "smoke2"], "unknown preset 'smoke2'. Did you mean 'smoke'?"),
        (["--depth", "0"], "depth must be at least 1, got 0."),
        (["--depth", "-2"], "depth must be at least 1, got -2."),
        (["--depth", "x"], "--depth must be a whole number, got 'x'."),
        (["--depth", "2.5"], "--depth must be a whole number, got '2.5'."),
        (["--depth=2", "--preset=smoke"], "--preset and --depth exclude each other"),
        (["--config", "nothing.json"], "nothing.json does not exist."),
        (
            ["--model.n-head", "3"],
            "n_head must divide n_embd, got n_head=3 and n_embd=32. Choose one of 1, 2, 4",
        ),
        (["--model.n-kv-head", "3"], "n_kv_head must divide n_head, got n_kv_head=3 and n_head=2."),
        (["--seq-len", "33"], "seq_len 33 is longer than the model's max_seq_len 32."),
        (["--micro-batch-size", "3"], "micro_batch_size must divide batch_size, got 3 and 8."),
        (["--steps", "0"], "steps must be at least 1, got 0."),
        (["--batch-size", "-1"], "batch_size must be at least 1, got -1."),
        (["--eval-tokens", "0"], "eval_tokens must be at least 1, got 0."),
        (["--sample-every", "-1"], "sample_every must be at least 0, got -1."),
        (["--max-grad-norm", "0"], "max_grad_norm must be positive, got 0.0."),
        (["--max-loss-rise", "0"], "max_loss_rise must be positive, got 0.0."),
        (["--optimizer.beta1", "1"], "beta1 must be in [0, 1), got 1.0."),
        (["--schedule.floor", "2"], "floor must be in [0, 1], got 2.0."),
        (["--model.vocab-size", "50"], "model.vocab_size is 50, but the tokenizer's is "),
        (["--tokenizer", "bpf"], "There is no tokenizer 'bpf'."),
        (["--schedule.warmup-steps", "3"], "warmup_steps must be at most steps, got 3 and 2."),
        (["--seed", "-1"], "seed must be between 0 and 4294967295, got -1."),
        (["--init-from", "nobody", "--model.n-layer", "3"], "Leave out --model.n-layer"),
        (["--init-from", "nobody", "--tokenizer", "char"], "Leave out --tokenizer"),
    ],
)
def test_a_setting_that_cannot_work_is_one_sentence(capsys, tmp_path, argv, words):
    base = [] if argv[0].startswith(("--preset", "--depth", "--config")) else QUICK
    assert words in refused(capsys, *base, *([] if "--resume" in argv else ["--corpus", "words.txt"]), *argv)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--corpus", "wrds.txt"], "There is no file 'wrds.txt'. Did you mean 'words.txt'?"),
        (["--corpus", "empty.txt"], "The corpus empty.txt holds no text."),
        (["--corpus", "words.txt", "--vocab-size", "100"], "256"),
        (["--corpus", "words.txt", "--device", "cuda:99"], "Device 'cuda:99' is not available."),
        (["--corpus", "words.txt", "--precision", "fp16"], "fp16 needs a CUDA GPU, got 'cpu'."),
        (["--corpus", "words.txt", "--init-from", "nobody"], "no run 'nobody'"),
    ],
)
def test_what_is_missing_is_one_sentence(capsys, tmp_path, argv, words):
    (tmp_path / "empty.txt").write_text("")
    assert words in refused(capsys, *QUICK, *argv, code=1)
    assert not (tmp_path / "runs" / "words-1" / "config.json").exists()


def test_a_run_of_a_glob_has_the_name_of_its_folder(capsys, tmp_path):
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "one.txt").write_text((tmp_path / "words.txt").read_text())
    assert pretrain(*QUICK, "--corpus", "books/*.txt") == 0
    assert (tmp_path / "runs" / "books-1" / "config.json").exists()


def test_a_config_with_a_wrong_name_or_type_is_named(capsys, tmp_path):
    config = config_to_dict(build_preset("smoke"))
    (tmp_path / "c.json").write_text(json.dumps({**config, "stepz": 3}))
    assert "'stepz' is not a setting of PretrainConfig. Did you mean 'steps'?" in refused(
        capsys, "--config", "c.json"
    )
    (tmp_path / "c.json").write_text(json.dumps({**config, "steps": "many"}))
    assert "c.json: steps must be int, got 'many'." in refused(capsys, "--config", "c.json")


def test_a_flag_of_a_wrong_type_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as raised:
        pretrain("--steps", "many")
    assert raised.value.code == 2
    assert "many" in capsys.readouterr().err


def test_a_loss_that_is_no_number_ends_with_1(capsys):
    flags = ["--optimizer.muon-lr", "1e30", "--optimizer.adamw-lr", "1e30", "--steps", "20"]
    error = refused(capsys, *QUICK, "--corpus", "words.txt", "--out", "a", *flags, code=1)
    assert "--optimizer.muon-lr" in error


def test_a_damaged_checkpoint_names_the_remedy_and_it_works(capsys, tmp_path):
    flags = ["--steps", "20", "--corpus", "words.txt", "--out", "a"]
    assert pretrain(*QUICK, *flags) == 0
    capsys.readouterr()
    before = (tmp_path / "a" / "metrics.jsonl").read_text()
    newest = tmp_path / "a" / "checkpoints" / "step_00000020"
    (newest / "training.pt").write_bytes(b"")
    error = refused(capsys, "--out", "a", "--resume", code=1)
    assert "training.pt is damaged" in error
    assert "Delete a/checkpoints/step_00000020 to go on from the checkpoint before it." in error
    shutil.rmtree(newest)
    assert pretrain("--out", "a", "--resume") == 0
    after = (tmp_path / "a" / "metrics.jsonl").read_text()
    losses = [[json.loads(line)["loss"] for line in text.splitlines()] for text in (before, after)]
    assert losses[0] == losses[1]


def test_depth_alone_sets_a_config(monkeypatch):
    seen = []

    def note(config, run, **options) -> PretrainResult:
        seen.append(config)
        return PretrainResult(
            run=run,
            step=1,
            total_steps=1,
            val_loss=2.0,
            val_bits_per_byte=1.0,
            training_s=0.1,
            interrupted=False,
            is_main=True,
        )

    monkeypatch.setattr("nn2llm.cli.pretrain.pretrain", note)
    assert pretrain("--depth", "3", "--out", "a") == 0
    assert seen == [build_depth_config(3)]
    assert pretrain("--depth", "3", "--out", "a", "--steps", "7") == 0
    assert seen[1].steps == 7
