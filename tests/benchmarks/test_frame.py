"""What the benchmarks stand on: the command line, turns, ratios, RESULTS.md."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import __main__ as command
from benchmarks.measuring import format_table, median, median_ratio, time_by_turns
from benchmarks.options import BENCHMARKS, parse_options
from benchmarks.results import HEADER, describe, describe_checkout, split_sections, write_section
from nn2llm.core.errors import ConfigError, DataError

# The command line


def test_without_arguments_everything_is_measured():
    options = parse_options([])
    assert options.names == tuple(BENCHMARKS)
    assert (options.repeats, options.nanogpt, options.dry_run) == (3, None, False)


def test_every_name_is_a_module():
    folder = Path(command.__file__).parent
    assert all((folder / f"{name}.py").is_file() for name in BENCHMARKS)


def test_names_come_once_in_the_order_asked_for():
    options = parse_options(["startup", "time_to_loss", "startup", "--repeats", "1", "--nanogpt", "x"])
    assert options.names == ("startup", "time_to_loss")
    assert (options.repeats, options.nanogpt) == (1, Path("x"))


def test_the_data_folder_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("NN2LLM_SHARED_DATA", "/somewhere")
    assert parse_options([]).data == Path("/somewhere")
    assert parse_options(["--data", "here"]).data == Path("here")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["time_to_los"], r"No benchmark 'time_to_los'\. There are: time_to_loss, "),
        (["--repeats", "0"], r"--repeats must be at least 1, got 0\."),
    ],
)
def test_a_wrong_command_line_is_said_in_a_sentence(arguments, message):
    with pytest.raises(ConfigError, match=message):
        parse_options(arguments)


def test_missing_data_is_named(tmp_path):
    options = parse_options(["--data", str(tmp_path)])
    with pytest.raises(DataError, match=r"text/a\.txt does not exist\. Name the folder .* with --data"):
        options.find_data("text/a.txt")
    (tmp_path / "a.txt").write_text("a")
    assert options.find_data("a.txt") == tmp_path / "a.txt"


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Two benchmarks that measure nothing, and a RESULTS.md of their own."""

    def fail(options):
        raise DataError("There is no text.")

    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path))  # main sets both
    monkeypatch.setenv("GOMP_SPINCOUNT", "2000")
    monkeypatch.setattr(command, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setitem(sys.modules, "benchmarks.time_to_loss", SimpleNamespace(run=fail))
    monkeypatch.setitem(
        sys.modules, "benchmarks.startup", SimpleNamespace(run=lambda options: f"{options.repeats} turns")
    )
    return tmp_path / "RESULTS.md"


def test_one_that_cannot_run_is_skipped_and_the_others_go_on(measured, capsys):
    assert command.main(["time_to_loss", "startup"]) == 0
    assert "time_to_loss: skipped. There is no text." in capsys.readouterr().out
    sections = split_sections(measured.read_text())
    assert list(sections) == ["startup"]
    assert sections["startup"].startswith("3 turns\n\n*")


def test_where_none_has_run_it_fails(measured):
    assert command.main(["time_to_loss"]) == 1
    assert not measured.exists()


def test_a_dry_run_writes_nothing(measured, capsys):
    assert command.main(["startup", "--dry-run"]) == 0
    assert "3 turns" in capsys.readouterr().out
    assert not measured.exists()


def test_a_wrong_nanogpt_path_is_said_before_anything_is_measured(measured, tmp_path, capsys):
    assert command.main(["startup", "--nanogpt", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(
        f"error: --nanogpt {tmp_path} has no model.py. Name a checkout of https://"
    )
    assert captured.err.count("\n") == 1
    assert captured.out == ""


# Turns, medians, ratios


def test_turns_alternate_their_order_and_leave_out_the_warm_up():
    now, calls = [0.0], []

    def build(name, seconds):
        def function():
            calls.append(name)
            now[0] += seconds.pop(0)

        return function

    functions = {"a": build("a", [100, 1, 2, 3]), "b": build("b", [100, 10, 20, 30])}
    seconds = time_by_turns(functions, turns=3, clock=lambda: now[0])
    assert seconds == {"a": [1, 2, 3], "b": [10, 20, 30]}
    assert calls == ["b", "a", "a", "b", "b", "a", "a", "b"]


def test_a_ratio_is_the_median_of_the_turns_own():
    # turn by turn 2, 3, 4; a busy moment in turn 2 hit both. The medians alone would give 8 / 2 = 4.
    assert median_ratio([2, 30, 8], [1, 10, 2]) == 3
    assert median([3, 1, 2]) == 2
    assert median([4, 1]) == 2.5


def test_turns_must_match():
    with pytest.raises(ValueError, match="zip"):
        median_ratio([1, 2], [1])


def test_a_table():
    assert format_table(("a", "b"), [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |"
    with pytest.raises(ValueError, match="2 cells"):
        format_table(("a", "b"), [(1,)])


# RESULTS.md


def test_a_section_is_added_in_its_place_and_replaced_alone(tmp_path):
    path, order = tmp_path / "RESULTS.md", ["one", "two"]
    write_section(path, "two", "second\n\n| ## | not a title |", order=order)
    write_section(path, "one", "first", order=order)
    assert path.read_text() == f"{HEADER}\n\n## one\n\nfirst\n\n## two\n\nsecond\n\n| ## | not a title |\n"
    write_section(path, "one", "\nnew\n", order=order)
    assert split_sections(path.read_text()) == {"one": "new", "two": "second\n\n| ## | not a title |"}


def test_a_section_that_no_benchmark_writes_any_more_goes(tmp_path):
    path = tmp_path / "RESULTS.md"
    path.write_text("# Old\n\n## gone\n\nx\n\n## kept\n\ny\n")
    write_section(path, "new", "z", order=["kept", "new"])
    assert split_sections(path.read_text()) == {"kept": "y", "new": "z"}


def test_the_description_names_machine_and_versions():
    text = describe()
    for word in ("cores", "python 3.", "torch ", "transformers ", "tokenizers ", "tiktoken ", "numpy "):
        assert word in text


def test_a_checkout_is_named_by_its_commit_or_by_its_file(tmp_path):
    (tmp_path / "model.py").write_text("x = 1\n")
    # printf 'x = 1\n' | sha256sum
    assert describe_checkout(tmp_path) == "(model.py with SHA-256 9e26bf3699…)"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "a"]):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert describe_checkout(tmp_path) == head[:10]
