"""`nn2llm export` and `nn2llm import`: from a run to a folder to a run, and what they say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nn2llm.cli import export, import_
from nn2llm.cli.export import collect_figures
from nn2llm.cli.run_reading import begins_documents
from nn2llm.core.errors import CheckpointError, ConfigError, Nn2llmError, StorageError
from nn2llm.core.run_folder import RunFolder, is_run_folder
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.tokenizers import train_tokenizer
from nn2llm.train.checkpoint import load_trained_model, save_checkpoint

TEXT = "To be, or not to be: that is the question.\nSystem User Assistant\n"
METRICS = [
    {"step": 1, "tokens": 1000, "loss": 3.0, "tokens_per_s": 100.0},
    {
        "step": 2,
        "tokens": 2000,
        "loss": 2.5,
        "tokens_per_s": 100.0,
        "val_loss": 2.25,
        "val_bits_per_byte": 1.75,
    },
    {
        "step": 3,
        "tokens": 3000,
        "loss": 2.4,
        "tokens_per_s": 100.0,
        "val_loss": 2.75,
        "val_bits_per_byte": 2.0,
    },
]


def build_run(folder: Path, **settings) -> Path:
    tokenizer = train_tokenizer("char", [TEXT])
    torch.manual_seed(0)
    sizes = {"max_seq_len": 16, "n_layer": 1, "n_head": 2, "n_embd": 16}
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, **(sizes | settings)))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    run.config_path.write_text(json.dumps({"corpus": "/home/me/hamlet.txt", "steps": 3, "eval_tokens": 512}))
    run.metrics_path.write_text("".join(json.dumps(entry) + "\n" for entry in METRICS))
    machine = {"torch": "2.99", "device": "cpu", "num_threads": 2, "precision": "fp32: asked for"}
    (folder / "machine.json").write_text(json.dumps(machine | {"matmul_flops_per_s": 1.2e11}))
    tokenizer.save(run.tokenizer_path)
    for step in (2, 3):
        save_checkpoint(
            run,
            step=step,
            model_config=model.config,
            weights=model.state_dict(),
            training_state={},
            best_step=2,
            keep=2,
        )
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Where runs are, and where we are."""
    monkeypatch.setenv("NN2LLM_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(root):
    return build_run(root / "runs" / "hamlet")


# There and back


def test_a_run_goes_out_and_comes_back(run, root, capsys):
    assert export.main(["hamlet", "--out", "out"]) == 0
    said = capsys.readouterr().out
    assert "as Qwen3ForCausalLM, then loading it back" in said
    assert "Compared with transformers" in said
    assert "Written: out (" in said
    assert import_.main(["out", "--out", "runs/again"]) == 0
    said = capsys.readouterr().out
    assert "Compared with transformers" in said
    assert "nn2llm sample runs/again" in said
    (model, tokenizer), (again, tokenizer_again) = (load_trained_model(name) for name in ("hamlet", "again"))
    assert tokenizer_again.fingerprint() == tokenizer.fingerprint()
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    assert {path.name for path in root.iterdir()} == {"runs", "out"}
    assert {path.name for path in (root / "runs").iterdir()} == {"hamlet", "again"}


def test_an_imported_run_is_a_run(run, capsys):
    from nn2llm.cli import runs, sample

    export.main(["hamlet", "--out", "out"])
    import_.main(["out", "--out", "runs/again"])
    assert is_run_folder(Path("runs/again"))
    capsys.readouterr()
    assert runs.main(["list"]) == 0
    assert "again" in capsys.readouterr().out
    assert runs.main(["show", "again"]) == 0
    assert "No losses written yet" in capsys.readouterr().out
    texts = []
    for name in ("hamlet", "again"):
        assert sample.main([name, "--prompt", "To", "--max-new-tokens", "9", "--device", "cpu"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert export.main(["again", "--out", "out2"]) == 0
    card = Path("out2/README.md").read_text()
    assert "| imported from | out |" in card
    assert "held-out" not in card


@pytest.mark.parametrize("masked", [True, False])
def test_where_a_prompt_stands_comes_back(run, masked):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"document_mask": masked}))
    assert export.main([str(run), "--out", "out"]) == 0  # transformers loads it with our key in config.json
    assert ('tokenizer.bos_token + "The"' in Path("out/README.md").read_text()) == masked
    assert import_.main(["out", "--out", "runs/back"]) == 0
    assert begins_documents(Path("runs/back")) == masked
    tuned = Path("runs/tuned")
    tuned.mkdir()
    (tuned / "config.json").write_text(json.dumps({"init_from": "runs/back"}))
    assert begins_documents(tuned) == masked


def test_pretraining_starts_from_an_import(run, root, monkeypatch, capsys):
    from nn2llm.cli import pretrain

    monkeypatch.setenv("NN2LLM_HOME", str(root / "home"))
    (root / "text.txt").write_text(TEXT * 60)
    export.main(["hamlet", "--out", "out"])
    import_.main(["out", "--out", "runs/again"])
    argv = ["--preset", "smoke", "--init-from", "runs/again", "--corpus", "text.txt", "--out", "runs/more"]
    argv += ["--steps", "1", "--seq-len", "16", "--schedule.warmup-steps", "0", "--sample-every", "0"]
    assert pretrain.main([*argv, "--num-threads", "1", "--device", "cpu"]) == 0
    assert load_trained_model("more")[0].config == load_trained_model("again")[0].config


def test_without_out_an_import_gets_a_name_of_its_own(run, root):
    export.main(["hamlet", "--out", "out"])
    import_.main(["out"])
    import_.main(["out"])
    assert {path.name for path in (root / "runs").iterdir()} == {"hamlet", "out-1", "out-2"}


def test_bfloat16(run):
    export.main(["hamlet", "--out", "out", "--dtype", "bfloat16"])
    assert json.loads(Path("out/config.json").read_text())["dtype"] == "bfloat16"
    assert "stored as bfloat16" in Path("out/README.md").read_text()


# The card


def test_the_card_has_the_figures_of_the_checkpoint_that_is_exported(run):
    # the best one, of step 2, not the last: at 100 tokens/s after 2,000 tokens
    assert dict(collect_figures(run).rows) == {
        "text": "hamlet.txt",
        "trained for": "2 steps, 2,000 tokens",
        "training time": "20.0 s",
        "held-out loss": "2.2500 nats a token, 1.7500 bits a byte (on the first 512 tokens)",
        "machine": "cpu, 2 threads, 120 GFLOP/s in matrix products, fp32, torch 2.99",
    }
    assert collect_figures(run).name == "hamlet"


def test_what_the_run_does_not_tell_is_left_out(run):
    (run / "machine.json").unlink()
    (run / "config.json").write_text("{}")
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 3.0}\n')
    assert dict(collect_figures(run).rows) == {}


# What they refuse


def refuse(main, argv, words, error=Nn2llmError):
    before = sorted(Path().rglob("*"))
    with pytest.raises(error, match=words) as caught:
        main(argv)
    assert "\n" not in str(caught.value)
    assert sorted(Path().rglob("*")) == before  # nothing half-written, nothing whole


def test_no_such_run(run):
    refuse(export.main, ["hamlte", "--out", "out"], "no run 'hamlte' .* Nearest: hamlet", CheckpointError)


def test_a_model_that_no_architecture_has(root):
    build_run(root / "runs" / "odd", feed_forward="relu2", logit_softcap=15.0)
    refuse(
        export.main,
        ["odd", "--out", "out"],
        "Qwen3ForCausalLM: logit_softcap is 15.0, it needs None; feed_forward is 'relu2', it needs",
        ConfigError,
    )


def test_a_folder_that_holds_something(run):
    refuse(export.main, ["hamlet", "--out", "runs"], "runs holds something already", ConfigError)
    export.main(["hamlet", "--out", "out"])
    refuse(import_.main, ["out", "--out", "runs/hamlet"], "hamlet holds something already", ConfigError)
    refuse(import_.main, ["out", "--out", "out/config.json"], "config.json is a file", ConfigError)


def test_a_damaged_folder_leaves_no_run(run):
    export.main(["hamlet", "--out", "out"])
    path = Path("out/model.safetensors")
    path.write_bytes(path.read_bytes()[:-1])
    refuse(import_.main, ["out", "--out", "runs/again"], "damaged or cut short", CheckpointError)


@pytest.mark.parametrize("moment", ["save_checkpoint", "replace_folder"])
def test_an_interrupted_import_leaves_no_run(run, root, monkeypatch, moment):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    export.main(["hamlet", "--out", "out"])
    if moment == "replace_folder":
        monkeypatch.setattr(import_, moment, interrupt)
    else:
        monkeypatch.setattr(f"nn2llm.train.adopting.{moment}", interrupt)
    with pytest.raises(KeyboardInterrupt):
        import_.main(["out", "--out", "runs/again"])
    assert {path.name for path in (root / "runs").iterdir()} == {"hamlet"}


def test_a_file_in_the_way_of_an_import(run):
    export.main(["hamlet", "--out", "out"])
    refuse(import_.main, ["out", "--out", "out/README.md/run"], "Could not write|Not allowed", StorageError)


KILLED = """
import os, sys
from nn2llm.models.hf import exporting

def die(*_, **__):
    print("imported" if "transformers" in sys.modules else "not imported", flush=True)
    os.kill(os.getpid(), 9)

exporting.compare_logits = die
from nn2llm.cli.export import main
main(sys.argv[1:])
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
def test_a_killed_export_has_nothing_under_its_name(run, root):
    argv = [sys.executable, "-c", KILLED, "hamlet", "--out", "out"]
    done = subprocess.run(argv, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == -9
    assert (
        done.stdout.splitlines()[-1] == b"not imported"
    )  # transformers, which takes seconds and may be absent
    assert not (root / "out").exists()
    assert (root / ".out.partial" / "model.safetensors").exists()  # it was well under way
    export.main(["hamlet", "--out", "out"])
    assert {path.name for path in root.iterdir()} == {"runs", "out"}


FRESH = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("out")
model = AutoModelForCausalLM.from_pretrained("out")
inputs = tokenizer("To be", return_tensors="pt")
print(repr(tokenizer.decode(model.generate(**inputs, max_new_tokens=8, do_sample=False)[0])))
"""


@pytest.mark.slow
def test_a_fresh_process_writes_the_same(run, capsys):
    from nn2llm.cli import sample

    export.main(["hamlet", "--out", "out"])
    capsys.readouterr()
    sample.main(
        ["hamlet", "--prompt", "To be", "--max-new-tokens", "8", "--temperature", "0", "--device", "cpu"]
    )
    ours = capsys.readouterr().out
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", FRESH], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == repr(ours.removesuffix("\n"))
