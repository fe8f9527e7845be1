"""`nn2llm runs`: what the tables and plots say, and what delete refuses."""

import json
import math
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nn2llm.cli.curves import Curve, draw_curves, format_count, smooth
from nn2llm.cli.main import main
from nn2llm.cli.run_reading import (
    compute_seconds,
    flatten_config,
    read_metrics,
    summarize_run,
)
from nn2llm.core.errors import CheckpointError, ConfigError, DataError, StorageError
from nn2llm.core.run_folder import find_run, find_runs


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """An empty runs folder, the one that commands look at."""
    monkeypatch.setenv("NN2LLM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def make_run(
    path: Path, *, steps: int = 20, done: int = 20, age_s: float = 0, lr: float = 0.01, **config
) -> Path:
    """A run of 100 tokens a step at 50 tokens/s; the loss is 4 / sqrt(step), evaluated every fifth step."""
    path.mkdir(parents=True)
    settings = {"steps": steps, "seed": 1, "model": {"n_layer": 2, "n_embd": 64}, "optimizer": {"lr": lr}}
    (path / "config.json").write_text(json.dumps(settings | config))
    lines = []
    for step in range(1, done + 1):
        entry = {"step": step, "tokens": 100 * step, "loss": 4 / math.sqrt(step), "tokens_per_s": 50.0}
        if step % 5 == 0:
            entry |= {"val_loss": 4 / math.sqrt(step) + 0.1, "val_bits_per_byte": 2.0 + 1 / step}
        lines.append(json.dumps(entry) + "\n")
    (path / "metrics.jsonl").write_text("".join(lines))
    when = os.path.getmtime(path / "metrics.jsonl") - age_s
    os.utime(path / "metrics.jsonl", (when, when))
    return path


def run_command(*argv: str) -> int:
    return main(["runs", *argv])


# Reading


def test_summary_of_a_finished_run(root):
    run = make_run(root / "a")
    header = json.dumps({"w": {"shape": [3, 4]}, "b": {"shape": [4]}, "__metadata__": {}}).encode()
    checkpoint = run / "checkpoints" / "step_00000020"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    summary = summarize_run(run, root)
    assert (summary.name, summary.state, summary.step, summary.num_steps) == ("a", "done", 20, 20)
    assert summary.num_parameters == 3 * 4 + 4
    assert summary.tokens == 2000
    assert summary.seconds == pytest.approx(40)
    assert summary.loss == pytest.approx(sum(4 / math.sqrt(step) for step in range(11, 21)) / 10)
    assert summary.val_loss == pytest.approx(4 / math.sqrt(20) + 0.1)
    assert summary.val_bits_per_byte == pytest.approx(2.05)
    assert summary.size_bytes == sum(file.stat().st_size for file in run.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("done", "age_s", "state"), [(20, 9e6, "done"), (7, 0, "running"), (7, 9e6, "stopped"), (0, 9e6, "empty")]
)
def test_state_is_told_from_steps_and_age(root, done, age_s, state):
    assert summarize_run(make_run(root / "a", done=done, age_s=age_s), root).state == state


def test_slow_steps_are_not_taken_for_a_stop(root):
    run = make_run(root / "slow", steps=5, done=2)
    entries = [
        {"step": 1, "tokens": 100, "tokens_per_s": 1.0},
        {"step": 2, "tokens": 200, "tokens_per_s": 1.0},
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    changed_at = (run / "metrics.jsonl").stat().st_mtime
    # A step takes 100 s: silence of 300 s is no sign of anything, silence of 600 s is.
    assert summarize_run(run, root, now=changed_at + 300).state == "running"
    assert summarize_run(run, root, now=changed_at + 600).state == "stopped"


def test_time_counts_tokens_over_speed_and_survives_gaps():
    metrics = [
        {"step": 1, "tokens": 100, "tokens_per_s": 50},
        {"step": 2},
        {"step": 3, "tokens": 300, "tokens_per_s": 100},
    ]
    assert compute_seconds(metrics) == [2, 2, 4]


def test_a_last_line_cut_short_is_passed_over_and_another_is_named(root):
    run = make_run(root / "a")
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 21, "lo')
    assert [entry["step"] for entry in read_metrics(run)] == list(range(1, 21))
    lines = (run / "metrics.jsonl").read_text().splitlines()
    lines[3] = "garbage"
    (run / "metrics.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError, match="line 4"):
        read_metrics(run)


def test_losses_that_are_not_numbers_do_not_hide_the_others(root):
    run = make_run(root / "a")
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"step": 21, "tokens": 2100, "loss": NaN, "val_loss": NaN}\n{"step": 22, "loss": null}\n')
    summary = summarize_run(run, root)
    assert summary.step == 22
    assert summary.val_loss == pytest.approx(4 / math.sqrt(20) + 0.1)
    assert summary.loss is not None
    assert math.isfinite(summary.loss)


def test_runs_are_found_below_folders_but_not_behind_links(root, tmp_path):
    make_run(root / "a")
    make_run(root / "recipe" / "sft")
    make_run(tmp_path / "elsewhere")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "not-a-run").mkdir()
    assert [run.relative_to(root).as_posix() for run in find_runs(root)] == ["a", "recipe/sft"]


def test_a_run_is_named_by_name_or_path(root, monkeypatch):
    run = make_run(root / "a")
    monkeypatch.chdir(root.parent)
    assert find_run("a", root) == find_run(str(run), root) == run
    assert find_run("runs/a", root).resolve() == run


def test_a_missing_run_names_the_nearest(root):
    with pytest.raises(CheckpointError, match="no run 'x', nor any other"):
        find_run("x", root)
    make_run(root / "shakespeare")
    make_run(root / "village")
    with pytest.raises(CheckpointError, match="Nearest: shakespeare"):
        find_run("shakespear", root)
    (root / "half").mkdir()
    with pytest.raises(CheckpointError, match=r"no config\.json and no metrics\.jsonl"):
        find_run("half", root)


def test_flatten_config_names_settings_by_their_path():
    assert flatten_config({"a": 1, "b": {"c": {"d": None}, "e": []}, "f": {}}) == {
        "a": 1,
        "b.c.d": None,
        "b.e": [],
        "f": {},
    }


# Curves


def test_smoothing_keeps_a_straight_line_and_the_first_value():
    assert smooth([5.0, 4.0, 3.0, 2.0, 1.0], 1) == pytest.approx([5, 4, 3, 2, 1.5])
    assert smooth([1.0, 9.0], 0) == [1, 9]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (7, "7"), (999, "999"), (1000, "1k"), (1234, "1.23k"), (999_900, "1M"), (2.5e9, "2.5B")],
)
def test_counts_are_short(value, text):
    assert format_count(value) == text


def draw(*curves: Curve, **changes) -> list[str]:
    options = {"width": 60, "height": 12, "x_label": "step", "y_label": "loss"} | changes
    return draw_curves(curves, **options).plain.split("\n")


def test_a_falling_line_starts_at_the_upper_left_and_ends_at_the_lower_right():
    lines = draw(Curve(name="train", x=[0, 10], y=[4, 1]))
    plot = [line.partition("│")[2] or line.partition("┤")[2] for line in lines[1:13]]
    width = max(map(len, plot))
    # Dot 1 is the upper left one of a braille cell, dot 8 the lower right one.
    assert ord(plot[0][0]) & 0x01
    assert ord(plot[-1][width - 1]) & 0x80
    columns = [next(i for i, char in enumerate(line) if char != " ") for line in plot]
    assert columns == sorted(columns)


def test_axes_are_named_and_numbered():
    lines = draw(Curve(name="train", x=[0, 100], y=[1.0, 3.0]))
    assert lines[0] == "loss (linear)"
    assert any(line.strip() == "step (linear)" for line in lines)
    assert [match[1] for line in lines if (match := re.match(r" *([\d.]+) ┤", line))] == ["3", "2", "1"]
    names = next(line for line in lines if line.split()[:1] == ["0"])
    assert names.split() == ["0", "25", "50", "75", "100"]
    assert lines[-1].split()[-1] == "train"


def test_points_carry_their_letter_and_the_last_is_always_drawn():
    lines = draw(Curve(name="validation", x=[0, 50, 51, 100], y=[3, 2, 2, 1], kind="points", mark="A"))
    body = "".join(lines[1:13])
    assert body.count("A") == 3  # two points a cell apart share a letter
    assert lines[12].rstrip().endswith("A")


def test_logarithmic_axes_leave_out_what_has_no_logarithm():
    lines = draw(Curve(name="t", x=[0, 1, 1000], y=[1.0, 10.0, 100.0]), x_scale="log", y_scale="log")
    assert lines[0] == "loss (log)"
    ticks = next(line for line in lines if "1k" in line)
    assert ticks.split() == ["1", "10", "100", "1k"]


@settings(deadline=None, max_examples=80)
@given(
    points=st.lists(
        st.tuples(st.floats(0, 1e12), st.one_of(st.floats(1e-6, 1e6), st.just(math.nan), st.just(math.inf))),
        max_size=30,
    ),
    width=st.integers(20, 120),
    scale=st.sampled_from(["linear", "log"]),
)
def test_any_curve_fits_the_width(points, width, scale):
    curve = Curve(name="t", x=[x for x, _ in points], y=[y for _, y in points])
    for line in draw(curve, width=width, x_scale=scale, y_scale=scale)[1:13]:
        assert len(line) <= max(width, 30)


# Commands


def test_list_shows_newest_first_and_damaged_runs_below(root, capsys):
    make_run(root / "old", age_s=9e6, done=7)
    make_run(root / "new")
    make_run(root / "bad")
    (root / "bad" / "config.json").write_text("{")
    assert run_command("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[0].split()) == "run state steps params loss val bits/B tokens size age"
    assert lines[1].split()[:3] == ["new", "done", "20"]
    mean_loss = sum(4 / math.sqrt(step) for step in range(11, 21)) / 10
    assert lines[1].split()[4:8] == [f"{mean_loss:.3f}", "0.994", "2.050", "2k"]
    assert lines[2].split()[:3] == ["old", "stopped", "7/20"]
    assert lines[3].startswith("damaged:")
    assert "bad" in lines[3]


def test_list_without_runs_says_how_to_get_one(root, capsys):
    assert run_command("list", "--runs", str(root / "none")) == 0
    assert "nn2llm pretrain" in capsys.readouterr().out


def test_show_prints_config_results_and_curve_and_writes_the_png(root, capsys):
    run = make_run(root / "a")
    assert run_command("show", "a") == 0
    out = capsys.readouterr().out
    assert re.search(r"model\s+n_layer=2\s+n_embd=64", out)
    assert re.search(r"best validation loss, nats per token\s+0\.9944", out)
    assert "loss, nats per token (linear)" in out
    with Image.open(run / "curves.png") as image:
        assert image.size == (1600, 900)
        assert len(image.convert("RGB").getcolors(maxcolors=1 << 20)) > 50  # a blank one has one


def test_show_writes_the_png_where_it_is_told(root, tmp_path):
    make_run(root / "a")
    assert run_command("show", "a", "--png", str(tmp_path / "x" / "plot.png"), "--by", "time") == 0
    assert (tmp_path / "x" / "plot.png").is_file()
    assert not (root / "a" / "curves.png").exists()


def test_show_of_a_run_without_steps_writes_no_png(root, capsys):
    run = make_run(root / "a", done=0)
    assert run_command("show", "a") == 0
    assert "No losses written yet" in capsys.readouterr().out
    assert not (run / "curves.png").exists()


def test_a_png_that_cannot_be_written_is_one_sentence(root, capsys):
    make_run(root / "a")
    (root / "file").write_text("")
    assert run_command("show", "a", "--png", str(root / "file" / "plot.png")) == StorageError.exit_code
    error = capsys.readouterr().err
    assert error.startswith("error: Could not write")
    assert "Traceback" not in error


def test_compare_shows_only_what_differs(root, capsys):
    make_run(root / "a", lr=0.01)
    make_run(root / "b", lr=0.02, done=10, extra="x")
    assert run_command("compare", "a", "b") == 0
    out = capsys.readouterr().out
    assert re.search(r"optimizer\.lr\s+0\.01\s+0\.02", out)
    assert re.search(r"extra\s+–\s+x", out)
    assert "n_embd" not in out
    assert re.search(r"bits per byte there\s+2\.0500\s+2\.1000", out)
    assert re.search(r"steps\s+20\s+10/20", out)
    assert "tokens (linear)" in out
    assert (root / "compare.png").is_file()


def test_compare_of_equal_configs_says_so(root, capsys):
    make_run(root / "a")
    make_run(root / "b")
    assert run_command("compare", "a", "b", "--by", "time") == 0
    out = capsys.readouterr().out
    assert "The configs are equal." in out
    assert "training time, s (linear)" in out


def test_compare_needs_two_runs(root, capsys):
    make_run(root / "a")
    assert run_command("compare", "a") == ConfigError.exit_code
    assert "two runs or more, got 1" in capsys.readouterr().err


# Delete


def test_delete_takes_the_run_and_leaves_what_a_link_in_it_points_to(root, tmp_path):
    run, other = make_run(root / "a"), make_run(root / "b")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious.txt").write_text("keep")
    (run / "link").symlink_to(tmp_path / "outside")
    assert run_command("delete", "a", "--yes") == 0
    assert not run.exists()
    assert other.exists()
    assert (tmp_path / "outside" / "precious.txt").read_text() == "keep"


def test_delete_asks_and_takes_only_yes(root, monkeypatch, capsys):
    run = make_run(root / "a", age_s=9e6)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    for answer in ("", "no", "j"):
        monkeypatch.setattr("builtins.input", lambda answer=answer: answer)
        assert run_command("delete", "a") == 0
        assert run.exists()
    assert "Kept." in capsys.readouterr().out
    monkeypatch.setattr("builtins.input", lambda: "yes")
    assert run_command("delete", "a") == 0
    assert not run.exists()


def test_delete_without_a_terminal_needs_yes(root, capsys):
    run = make_run(root / "a")
    assert run_command("delete", "a") == ConfigError.exit_code
    assert "add --yes" in capsys.readouterr().err
    assert run.exists()


def test_delete_checks_all_runs_before_it_takes_one(root):
    run = make_run(root / "a")
    assert run_command("delete", "a", "nothing", "--yes") == 1
    assert run.exists()


@pytest.mark.parametrize("kept_file", ["config.json", "metrics.jsonl"])
def test_delete_refuses_what_is_not_a_run_folder(root, capsys, kept_file):
    folder = make_run(root / "a")
    for name in {"config.json", "metrics.jsonl"} - {kept_file}:
        (folder / name).unlink()
    assert run_command("delete", str(folder), "--yes") == 1
    assert "not a run folder" in capsys.readouterr().err
    assert folder.exists()


def test_delete_refuses_a_link_and_a_run_behind_one(root, tmp_path, capsys):
    outside = make_run(tmp_path / "elsewhere" / "b")
    (root / "link").symlink_to(outside)
    (root / "folder").symlink_to(tmp_path / "elsewhere")
    for name in ("link", "folder/b", str(root / "link")):
        assert run_command("delete", name, "--yes") == 1
        assert "by hand" in capsys.readouterr().err
        assert (outside / "config.json").exists()


def test_delete_refuses_to_leave_the_runs_folder_by_dots(root, monkeypatch, capsys):
    outside = make_run(root.parent / "elsewhere")
    monkeypatch.chdir(root.parent.parent)
    assert run_command("delete", "../elsewhere", "--yes") == 1
    assert "no run '../elsewhere'" in capsys.readouterr().err
    assert outside.exists()


def test_help_and_a_wrong_option(capsys):
    with pytest.raises(SystemExit) as stop:
        run_command("show", "--help")
    assert stop.value.code == 0
    assert "RUN/curves.png" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        run_command("list", "--nonsense")
    assert stop.value.code == 2
