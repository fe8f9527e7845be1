"""`nn2llm pretrain --mine` and `nn2llm sample --mine`: what is said, what is refused, and when."""

import json
from pathlib import Path

import pytest
import torch

from nn2llm.cli.main import main
from nn2llm.course.mygpt import adopt_part
from nn2llm.train.mine import describe_own_parts
from tests.models.part_answers import attention, source

TEXT = "".join(
    f"the {animal} sat on the {place}.\n" for animal in ["cat", "dog", "cow"] for place in ["mat", "rug"]
)
QUICK = ["--preset", "smoke", "--num-threads", "1", "--device", "cpu", "--sample-every", "0", "--steps", "2",
         "--corpus", "words.txt"]  # fmt: skip


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


@pytest.fixture
def adopt(tmp_path):
    def adopt_one(part: str, text: str | None = None) -> Path:
        exercise = f"write-{part.replace('_', '-')}"
        return adopt_part(
            tmp_path / "home", part, source(part, text).text, slug="a-lesson", exercise=exercise
        )

    return adopt_one


def pretrain(*argv: str | Path) -> int:
    return main(["pretrain", *map(str, argv)])


def refused(capsys, *argv: str | Path, code: int = 2) -> str:
    """The one line on stderr."""
    assert pretrain(*argv) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err.removeprefix("error: ").strip()


def test_a_run_says_whose_part_is_whose(tmp_path, adopt, capsys):
    for part in ("attention", "gelu", "sampling"):
        adopt(part)
    assert pretrain("--mine", *QUICK, "--out", "run") == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert "Your GPT: 1 of the 13 parts that this run calls is yours." in out
    assert ["attention", "yours", "a-lesson/write-attention"] in lines
    assert ["rope", "library", "lesson", "rope-and-alibi"] in lines
    assert "Yours, but not called by this run: gelu (add --model.feed-forward gelu)." in out
    assert "Yours, but not called by this run: sampling (nn2llm sample --mine calls it)." in out
    assert "Your part agrees with the library in 6 checks on fresh inputs." in out
    assert "times as long as the library's." in out
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert list(config["mine"]) == ["attention"]


def test_a_wrong_part_refuses_the_run_before_anything_is_written(tmp_path, adopt, capsys):
    adopt("adamw")
    adopt("attention", attention(scale=""))
    message = refused(capsys, "--mine", *QUICK, "--out", "run", code=1)
    assert message.startswith("Your part attention ")
    assert "check 'no mask' fails: scaled_dot_product_attention(query=float32 (2, 3, 5, 4), " in message
    assert "returned float32 (2, 3, 5, 4) [" in message
    assert "expected float32" in message
    assert "`nn2llm learn check a-lesson write-attention`; or train without it by --mine-without" in message
    assert not (tmp_path / "run").exists()
    assert pretrain("--mine-without", "attention", *QUICK, "--out", "run") == 0  # as it said
    assert list(json.loads((tmp_path / "run/config.json").read_text())["mine"]) == ["adamw"]


def test_a_part_that_does_not_fit_the_run_s_size_refuses_it_too(tmp_path, adopt, capsys):
    adopt("swiglu", source("swiglu").text.replace("return", "assert len(gate) < 6, 'two rows'\n    return"))
    message = refused(capsys, "--mine", *QUICK, "--out", "run", code=1)
    assert "Your part swiglu failed on 8 rows of 32 tokens, the size of this run: AssertionError" in message
    assert not (tmp_path / "run").exists()


def test_prints_are_left_out_and_that_is_said(adopt, capsys):
    adopt("swiglu", source("swiglu").text.replace("return", "print('again')\n    return"))
    assert pretrain("--mine", *QUICK, "--out", "run") == 0
    out = capsys.readouterr().out
    assert "What your part swiglu prints is left out" in out
    assert "again" not in out


def test_a_folder_of_the_user_s_own_is_never_emptied(tmp_path, adopt, capsys):
    """--out may be any folder, and `mine` is a usual name."""
    adopt("adamw")
    (tmp_path / "run/mine").mkdir(parents=True)
    (tmp_path / "run/mine/diary.txt").write_text("dear diary")
    refused(capsys, "--mine", *QUICK, "--corpus", "no-such-text", "--out", "run", code=1)
    assert [path.name for path in (tmp_path / "run/mine").iterdir()] == ["diary.txt"]
    assert pretrain("--mine", *QUICK, "--out", "run") == 0
    assert (tmp_path / "run/mine/diary.txt").read_text() == "dear diary"


def test_rows_that_are_not_split_are_said(adopt, capsys):
    adopt("training_step")
    assert pretrain("--mine", *QUICK, "--micro-batch-size", "2", "--out", "run") == 0
    assert "Your training_step takes all 8 rows at once: micro_batch_size 2 does not split them." in (
        capsys.readouterr().out
    )


def test_a_part_that_was_changed_by_hand_is_checked_anew(adopt, capsys):
    path = adopt("rms_norm")
    path.write_text(path.read_text().replace(".mean(", ".sum("))
    assert "Your part rms_norm" in refused(capsys, "--mine", *QUICK, code=1)


def test_flags_that_name_parts(tmp_path, adopt, capsys):
    adopt("adamw")
    adopt("rms_norm")
    assert pretrain("--mine-parts", "rms-norm", "--out", "a", *QUICK) == 0
    assert pretrain("--mine-parts", "rms_norm,adamw", "--out", "b", *QUICK) == 0
    assert list(json.loads((tmp_path / "a/config.json").read_text())["mine"]) == ["rms_norm"]
    assert list(json.loads((tmp_path / "b/config.json").read_text())["mine"]) == ["rms_norm", "adamw"]
    capsys.readouterr()
    assert "You have no part rope yet" in refused(capsys, "--mine-parts", "rope", *QUICK)
    assert "Did you mean 'adamw'" in refused(capsys, "--mine-without", "adam", *QUICK)


def test_without_any_part_it_says_where_they_come_from(tmp_path, capsys):
    assert "You have no part of a GPT yet." in refused(capsys, "--mine", *QUICK)
    assert not (tmp_path / "runs").exists()


def test_a_run_that_does_not_start_leaves_nothing(tmp_path, adopt, capsys):
    adopt("adamw")
    assert "no-such-text" in refused(
        capsys, "--mine", *QUICK, "--corpus", "no-such-text", "--out", "run", code=1
    )
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/note.txt").write_text("mine")
    refused(capsys, "--mine", *QUICK, "--corpus", "no-such-text", "--out", "run", code=1)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["note.txt"]


def test_a_run_is_never_written_over(adopt, capsys):
    adopt("adamw")
    assert pretrain(*QUICK, "--out", "run") == 0
    before = sorted(Path("run").rglob("*"))
    assert "already holds a run" in refused(capsys, "--mine", *QUICK, "--out", "run")
    assert sorted(Path("run").rglob("*")) == before


def test_resume_takes_the_run_s_own_code(tmp_path, adopt, capsys):
    path = adopt("swiglu")
    assert pretrain("--mine", *QUICK, "--out", "run") == 0
    path.write_text("nonsense(")  # what stands in mygpt now does not matter
    capsys.readouterr()
    assert pretrain("--out", "run", "--resume") == 0
    assert "Going on with your swiglu, as copied into run/mine: 2 checks passed." in capsys.readouterr().out
    assert pretrain("--mine", "--out", "run", "--resume") == 0  # says what is so already
    assert "goes on with the parts that it was started with: swiglu" in refused(
        capsys, "--mine-parts", "swiglu", "--out", "run", "--resume"
    )
    assert "was started with other settings: seed is 1" in refused(
        capsys, "--seed", "5", "--out", "run", "--resume"
    )
    (tmp_path / "run/mine/swiglu.py").unlink()
    assert "swiglu.py cannot be read" in refused(capsys, "--out", "run", "--resume", code=1)


def test_a_run_without_own_parts_goes_on_without(adopt, capsys):
    adopt("adamw")
    assert pretrain(*QUICK, "--out", "run") == 0
    assert "was started without --mine" in refused(capsys, "--mine", "--out", "run", "--resume")


def test_resume_starts_a_run_where_there_is_none(tmp_path, adopt):
    adopt("adamw")
    assert pretrain("--mine", *QUICK, "--out", "run", "--resume") == 0
    assert (tmp_path / "run/mine/adamw.py").exists()


def test_the_config_of_such_a_run_starts_another(tmp_path, adopt):
    adopt("adamw")
    assert pretrain("--mine", *QUICK, "--out", "a") == 0
    assert pretrain("--config", "a", "--out", "b") == 0
    assert "mine" not in json.loads((tmp_path / "b/config.json").read_text())
    assert pretrain("--config", "a", "--mine", "--out", "c") == 0
    assert "mine" in json.loads((tmp_path / "c/config.json").read_text())


def test_runs_show_lists_the_parts(adopt, capsys):
    adopt("adamw")
    assert pretrain("--mine", *QUICK, "--out", "runs/own") == 0
    assert main(["runs", "show", "own"]) == 0
    out = capsys.readouterr().out
    assert any(line.startswith("mine ") and "adamw=" in line for line in out.splitlines())


def test_sample_writes_with_the_library_s_parts_and_says_so(adopt, capsys):
    adopt("attention")
    assert pretrain("--mine", *QUICK, "--out", "runs/own") == 0
    capsys.readouterr()
    line = ["sample", "own", "--prompt", "the ", "--max-new-tokens", "8", "--device", "cpu"]
    assert main(line) == 0
    plain = capsys.readouterr()
    assert "Trained with your attention; the library's parts write, on the same weights." in plain.err
    assert main([*line, "--mine"]) == 2
    assert "You have no part sampling in" in capsys.readouterr().err
    adopt("sampling")
    assert main([*line, "--mine"]) == 0
    own = capsys.readouterr()
    assert "Temperature and top-k by your part sampling." in own.err
    assert own.out == plain.out  # the same rule, the same draw


def test_a_model_that_was_trained_from_it_says_so_too(adopt, capsys):
    adopt("attention")
    assert pretrain("--mine", *QUICK, "--out", "runs/own") == 0
    assert pretrain("--init-from", "runs/own", *QUICK[2:], "--out", "runs/child") == 0
    assert describe_own_parts(Path("runs/child")) == (
        "runs/own, which it was trained from, was trained with your attention; the library's parts write, on "
        "the same weights."
    )
    capsys.readouterr()
    assert main(["chat", "own", "--prompt", "the ", "--max-new-tokens", "3", "--device", "cpu"]) == 0
    assert "Trained with your attention" in capsys.readouterr().err


def test_a_rule_that_fails_while_it_writes_is_named(adopt, capsys):
    text = source("sampling").text.replace(
        "    probs = torch.s", "    assert logits.shape[-1] < 99, 'big'\n    probs = torch.s"
    )
    adopt("sampling", text)
    assert pretrain(*QUICK, "--out", "runs/own") == 0
    capsys.readouterr()
    assert main(["sample", "own", "--mine", "--prompt", "the ", "--device", "cpu"]) == 1
    message = capsys.readouterr().err
    assert "Your part sampling failed while it wrote: AssertionError: big" in message
    assert "leave out --mine" in message


def test_sample_refuses_a_wrong_rule(adopt, capsys):
    text = source("sampling").text.replace("logits / temperature", "logits * temperature")
    adopt("sampling", text)
    assert pretrain(*QUICK, "--out", "runs/own") == 0
    capsys.readouterr()
    assert main(["sample", "own", "--mine", "--prompt", "the "]) == 1
    assert "check 'a temperature below 1' fails" in capsys.readouterr().err
