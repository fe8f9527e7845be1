"""`nn2llm label`: what is shown, what each key does, how it goes on, and what it reports."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from nn2llm.cli import dpo, label
from nn2llm.cli.keypress import hold_keys, read_line_keys
from nn2llm.cli.label_loop import Screen, print_screen
from nn2llm.cli.label_tables import build_ranking_table
from nn2llm.cli.main import main as run_command
from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.files import read_json
from nn2llm.data.label_files import read_labels
from nn2llm.evals.intervals import Interval
from nn2llm.evals.ranking import ELO_PER_NAT, Strength
from nn2llm.train.checkpoint import load_trained_model
from nn2llm.train.lineage import trace_lineage
from tests.cli.labeller import Labeller, build_talker, prefer, type_keys
from tests.train.preference_runs import write_run

ALONE = ["--prompts", "prompts.jsonl", "--device", "cpu", "--max-new-tokens", "40"]
QUICK = ["--device", "cpu", "--machine.num-threads", "1", "--steps", "1", "--num-samples", "0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("label")
    model = build_talker(1)
    write_run(folder / "runs" / "mine", model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.01 * torch.randn_like(weight))
    write_run(folder / "runs" / "other", model)
    prompts = [f"say {first}{second}?" for first in "abcdefghijkl" for second in "mnopqrst"]
    lines = [json.dumps({"prompt": prompt}) + "\n" for prompt in prompts]
    (folder / "prompts.jsonl").write_text("".join(lines))
    return folder


@pytest.fixture(autouse=True)
def surroundings(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder / "prompts.jsonl", tmp_path)
    monkeypatch.setenv("NN2LLM_RUNS", str(folder / "runs"))
    monkeypatch.setenv("COLUMNS", "200")
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture
def run(monkeypatch):
    """run(labeller, *argv) → exit code; what the labeller saw is in `labeller.screens`."""

    def run(labeller: Labeller, *argv: str) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", labeller)
            patch.setattr(sys, "stdout", labeller.out)
            return label.main(list(argv))

    return run


def rank(reply):
    """A taste without ties: by the alphabet."""
    return int.from_bytes(reply.ljust(60).encode())


def choices(path):
    return [one.choice for one in read_labels(path).labels]


def test_from_the_first_key_to_the_last(run, tmp_path, capsys):
    labeller = type_keys(["1", "2", "T", "x", "s", "u", "first", "q", "1"])
    assert run(labeller, "mine", *ALONE, "--num", "6") == 0
    path = tmp_path / "labels" / "mine-1.jsonl"
    assert choices(path) == ["first", "second", "tie"]  # x and f are no keys; s was taken back
    assert [one["number"] for one in labeller.screens] == [1, 2, 3, 4, 5, 4]
    assert {one["of"] for one in labeller.screens} == {7}  # a pair comes again
    assert set(labeller.screens[0]) == {"number", "of", "prompt", "1", "2"}  # blind
    said = capsys.readouterr().err
    assert said.count("1 or 2 is better") == 2
    assert "Taken back." in said
    assert "3 pairs labelled (2 with a better reply, 1 tie), 0 skipped, of 6." in said
    assert "4 are left. Go on with: nn2llm label --out labels/mine-1.jsonl" in said
    assert "nn2llm dpo --init-from" in said
    assert "--epochs 8 --batch-size 8 --optimizer.adamw-lr 0.001" in said

    # the same command goes on, then begins another file with other pairs
    again = type_keys("1" * 9)
    assert run(again, "mine", *ALONE, "--num", "6") == 0
    assert "Going on with labels/mine-1.jsonl: 3 of 7 are answered." in capsys.readouterr().err
    assert again.screens[0] == labeller.screens[-1]
    assert len(again.screens) == 4
    assert read_labels(path).is_finished
    assert run(type_keys([]), "mine", *ALONE, "--num", "6") == 0
    one, two = (read_labels(tmp_path / "labels" / f"mine-{number}.jsonl").session for number in (1, 2))
    assert {pair.replies for pair in one.pairs}.isdisjoint(pair.replies for pair in two.pairs)


def test_the_file_says_whose_replies_and_those_are_that_models(run, folder):
    assert run(type_keys([]), "mine", *ALONE, "--num", "4", "--out", "a.jsonl", "--seed", "3") == 0
    session = read_labels("a.jsonl").session
    (model,) = session.models
    assert (model.name, model.lineage) == ("mine", trace_lineage(folder / "runs" / "mine"))
    for pair in session.pairs:
        assert pair.replies[0].strip() != pair.replies[1].strip()
    run(type_keys([]), "mine", *ALONE, "--num", "4", "--out", "b.jsonl", "--seed", "3")
    assert read_labels("b.jsonl").session == session  # the same seed, the same pairs


def test_two_models_and_a_ranking_at_the_end_only(run, capsys):
    argv = ["mine", "--against", "other", *ALONE, "--num", "6", "--repeats", "0", "--out", "a.jsonl"]
    assert run(type_keys("111"), *argv) == 0
    assert "Elo" not in (said := capsys.readouterr().err)
    assert "Chosen:" not in said  # more is to be judged: whose replies are liked stays hidden
    file = read_labels("a.jsonl")
    assert [one.name for one in file.session.models] == ["mine", "other"]
    assert {pair.models for pair in file.session.pairs} == {(0, 1)}

    def first_model(screen):
        ours = {pair.replies[0] for pair in file.session.pairs}
        return "1" if screen["1"] in ours else "2"

    assert run(Labeller(first_model), *argv) == 0
    said = capsys.readouterr().err
    assert "Elo" in said
    assert "mine" in said
    assert label.main(["--summary", "a.jsonl"]) == 0
    said = capsys.readouterr().out
    assert "Replies of other (" in said
    assert "Agreement with yourself: no pair was answered twice yet." in said


def test_two_labellers_of_the_same_pairs(run, capsys):
    run(prefer(rank), "mine", *ALONE, "--num", "6", "--out", "a.jsonl")
    run(prefer(rank), "--pairs", "a.jsonl", "--out", "b.jsonl")
    run(prefer(lambda reply: -rank(reply)), "--pairs", "a.jsonl", "--out", "c.jsonl")
    said = capsys.readouterr().err
    assert "Agreement with yourself: 1 of 1 pair shown again (100%)" in said
    sides = [[one.showing.swapped for one in read_labels(f"{name}.jsonl").labels] for name in "ab"]
    assert sides[0] != sides[1]  # each has sides of their own
    assert label.main(["--compare", "a.jsonl", "b.jsonl", "c.jsonl"]) == 0
    said = capsys.readouterr().out
    assert "3 labellers, 6 pairs that at least two labelled: Krippendorff's alpha " in said
    lines = {tuple(line.split()[:2]): line.split()[2:] for line in said.splitlines()[2:]}
    assert lines["a.jsonl", "b.jsonl"][:2] == ["6", "100%"]
    assert lines["a.jsonl", "c.jsonl"][:2] == ["6", "0%"]


def test_labels_go_to_training_and_those_of_another_model_are_asked_about(run, capsys, monkeypatch):
    run(prefer(rank), "mine", *ALONE, "--num", "6", "--out", "a.jsonl")
    argv = ["--preferences", "a.jsonl", "--val-fraction", "0", *QUICK]
    assert dpo.main(["--init-from", "mine", *argv, "--out", "fine"]) == 0
    assert "a.jsonl: 6 pairs; left out: 1 shown again." in capsys.readouterr().out
    other = ["--init-from", "other", *argv, "--out", "foreign"]
    said = r"a\.jsonl compares replies of mine \(.*\), which has no weights in common with other.*"
    with pytest.raises(ConfigError, match=said + "--allow-other-model"):
        dpo.main(other)
    assert dpo.main([*other, "--allow-other-model"]) == 0
    assert dpo.main(["--out", "foreign", "--resume"]) == 0  # was answered when it began
    # the model that was trained on them is a relative
    assert read_json(Path("fine/config.json"))["data"] == "a.jsonl"
    assert dpo.main(["--init-from", "fine", *argv, "--out", "finer"]) == 0

    capsys.readouterr()
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(getattr(sys, stream), "isatty", lambda: True, raising=False)
    for answer, code in (("n", 1), ("", 1), ("y", 0)):
        with monkeypatch.context() as patch:
            patch.setattr("builtins.input", lambda *_, answer=answer: answer)
            assert dpo.main([*other[:-1], f"asked-{answer}"]) == code
        said = capsys.readouterr().out
        assert "which has no weights in common with other" in said
        assert ("Nothing was trained." in said) == bool(code)


def test_forty_labels_move_the_model_to_the_taste(run, tmp_path):
    """A labeller who likes the letter "a" makes a model of random letters write more of it."""
    labeller = prefer(lambda reply: reply.count("a") / len(reply))
    assert run(labeller, "mine", *ALONE, "--num", "40", "--out", "a.jsonl") == 0
    labels = read_labels("a.jsonl")
    assert len(labels.session.pairs) == 40
    assert labels.is_finished
    argv = "--epochs 8 --batch-size 8 --optimizer.adamw-lr 0.01 --device cpu --machine.num-threads 1"
    given = ["--init-from", "mine", "--preferences", "a.jsonl", "--num-samples", "0", "--out", "b"]
    assert dpo.main([*given, *argv.split()]) == 0

    def share(name):
        run(type_keys([]), name, *ALONE, "--num", "20", "--seed", "77", "--out", f"{name}-after.jsonl")
        text = "".join(
            reply for pair in read_labels(f"{name}-after.jsonl").session.pairs for reply in pair.replies
        )
        return text.count("a") / len(text)

    assert load_trained_model("b")
    before, after = share("mine"), share("b")
    assert before < 0.06  # one letter in twenty-six
    assert after > 1.5 * before


# What cannot be


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "Whose replies are to be compared"),
        (["--out", "none.jsonl"], r"nn2llm label MODEL\. none\.jsonl does not exist yet"),
        (["mine"], "--prompts FILE is needed"),
        (["mine", "--num", "0"], "num must be at least 1, got 0"),
        (["mine", "--temperature", "0"], "temperature must be positive, got 0.0"),
        (["mine", "--repeats", "0.7"], "repeats must be between 0 and 0.5, got 0.7"),
        (["mine", "--against", "mine", *ALONE], "--against mine is the model itself"),
        (["mine", "--stage", "sft", *ALONE], "has no stage 'sft'"),
        (["mine", *ALONE, "--out", "x.txt"], r"Labels are written as \.jsonl, not as 'x\.txt'"),
        (["--pairs", "begun.jsonl"], "--pairs needs --out FILE"),
        (["--out", "begun.jsonl", "--num", "9"], "was begun with --num 3, got 9"),
        (["--out", "begun.jsonl", "--seed", "9"], "was begun with --seed 1, got 9"),
        (
            ["other", "--out", "begun.jsonl"],
            r"compares replies of mine \(.*, and other \(.* has other weights",
        ),
    ],
)
def test_a_wrong_command_is_one_sentence(run, argv, words):
    run(type_keys([]), "mine", *ALONE, "--num", "3", "--out", "begun.jsonl")
    with pytest.raises(ConfigError, match=words):
        run(type_keys([]), *argv)
    assert not os.path.exists("labels")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (
            ["mine", "--prompts", "prompts.jsonl", "--max-new-tokens", "1"],
            "There is nothing to compare: of 96",
        ),
        (["mine", "--prompts", "none.jsonl"], "none.jsonl does not exist"),
        (["--summary", "prompts.jsonl"], "line 1: This is no labels file"),
        (["--compare", "begun.jsonl"], "at least two labellers, got 1"),
    ],
)
def test_what_cannot_be_labelled_is_one_sentence(run, argv, words):
    run(type_keys([]), "mine", *ALONE, "--num", "3", "--out", "begun.jsonl")
    with pytest.raises(DataError, match=words):
        run(type_keys([]), *argv)
    assert not os.path.exists("labels")


def test_prompts_that_do_not_fit_and_too_few_pairs_are_said(run, tmp_path, capsys):
    with open("prompts.jsonl", "a") as file:
        file.write(json.dumps({"prompt": "a" * 80}) + "\n")
    assert run(type_keys([]), "mine", *ALONE, "--num", "97") == 0
    said = capsys.readouterr().err
    assert "1 of the prompts left out: too long for the context." in said
    assert "pairs, not 97: no more prompts gave two replies that differ." in said


def test_a_cut_off_line_is_said_and_ctrl_c_saves(run, tmp_path, capsys):
    run(type_keys("12"), "mine", *ALONE, "--num", "6", "--out", "a.jsonl")
    with open("a.jsonl", "a") as file:
        file.write('{"pair": 2, "pro')

    def press(screen):
        if screen["number"] == 4:
            raise KeyboardInterrupt
        return "1"

    assert run(Labeller(press), "--out", "a.jsonl") == 130
    said = capsys.readouterr().err
    assert "The last line of a.jsonl was cut off (16 bytes) and is removed: its pair comes again." in said
    assert "4 are left. Go on with" in said
    assert choices("a.jsonl") == ["first", "second", "first"]


# The terminal


def test_keys_come_without_enter_and_the_terminal_is_set_back(monkeypatch):
    termios = pytest.importorskip("termios")
    master, slave = os.openpty()
    with os.fdopen(slave, "r") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        before = termios.tcgetattr(slave)
        os.write(master, b"")
        with hold_keys() as read_key:
            assert not termios.tcgetattr(slave)[3] & termios.ICANON
            os.write(master, b"1T")
            assert (read_key(), read_key()) == ("1", "t")
            os.write(master, b"\x1b[A")  # an arrow
            assert read_key() == ""
            os.write(master, "ü".encode())
            assert read_key() == ""
            os.write(master, b"\x04")
            assert read_key() is None
        assert termios.tcgetattr(slave) == before
        with pytest.raises(KeyboardInterrupt), hold_keys():
            raise KeyboardInterrupt
        assert termios.tcgetattr(slave) == before
    os.close(master)


def test_lines_are_keys_too():
    read_key = read_line_keys(io.StringIO("1\n\n Undo \r\nq"))
    assert [read_key() for _ in range(5)] == ["1", "", "u", "q", None]


@pytest.mark.parametrize("width", [40, 100])
def test_a_screen_for_people(width):
    console = Console(file=io.StringIO(), width=width)
    prompt = ({"role": "user", "content": "[b]Who?\x1b[2J"},)
    print_screen(console, Screen(3, 9, prompt, "left [i]", "right"))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "3 of 9" in shown
    assert "user> [b]Who?\ufffd[2J" in shown  # no markup, and no steering the terminal
    lines = [line for line in shown.splitlines() if "left [i]" in line or "right" in line]
    assert len(lines) == (1 if width == 100 else 2)
    assert shown.index("left [i]") < shown.index("right")
    assert all(len(line) <= width for line in shown.splitlines())


def test_a_ranking_in_elo_points():
    interval = Interval(
        estimate=100 / ELO_PER_NAT, low=-20 / ELO_PER_NAT, high=220 / ELO_PER_NAT, standard_error=0.1
    )
    console = Console(file=io.StringIO(), width=80)
    console.print(build_ranking_table([Strength("ppo", interval, 12)]))
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines()[1].split() == ["ppo", "+100", "-20", "to", "+220", "12"]


def test_help_and_summaries_do_not_load_torch():
    check = "import sys, nn2llm.cli.label; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_help_is_listed(capsys):
    with pytest.raises(SystemExit):
        run_command(["label", "--help"])
    assert "--against" in capsys.readouterr().out
