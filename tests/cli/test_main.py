"""`nn2llm`: which module runs, and how it ends."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nn2llm
from nn2llm import __version__
from nn2llm.cli import main as cli
from nn2llm.core.errors import ConfigError, DataError

SOURCE = Path(nn2llm.__file__).parents[1]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    """command(function) makes `nn2llm demo` call it."""

    def install(function) -> None:
        class Module:
            main = staticmethod(function)

        monkeypatch.setitem(sys.modules, "demo_command", Module)
        monkeypatch.setattr(cli, "COMMANDS", {"demo": cli.Command("demo_command", "a demonstration")})

    return install


def run(*argv: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "nn2llm", *argv],
        env={**os.environ, "PYTHONPATH": str(SOURCE), **environment},
        capture_output=True,
    )


@pytest.mark.parametrize("argv", [[], ["-h"], ["--help"], ["help"]])
def test_help_names_every_command(argv, capsys):
    assert cli.main(argv) == 0
    out = capsys.readouterr().out
    for name, command in cli.COMMANDS.items():
        assert f"  {name}" in out
        assert command.summary in out


def test_the_version_is_printed(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"nn2llm {__version__}\n"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("pretain", "Did you mean `nn2llm pretrain`?"), ("xyz", "`nn2llm --help` lists the commands.")],
)
def test_an_unknown_command_is_a_usage_error(name, hint, capsys):
    assert cli.main([name]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"error: unknown command {name!r}. {hint}\n"
    assert captured.out == ""


def test_the_rest_of_the_line_and_the_exit_code_are_passed_on(command):
    seen = []

    def demo(argv: list[str]) -> int:
        seen.append(argv)
        return 5

    command(demo)
    assert cli.main(["demo", "--a", "b"]) == 5
    assert seen == [["--a", "b"]]


@pytest.mark.parametrize(("error", "code"), [(DataError, 1), (ConfigError, 2)])
def test_an_error_is_one_line_on_stderr(command, capsys, error, code):
    def demo(argv: list[str]) -> int:
        raise error("The text is empty. Give more.")

    command(demo)
    assert cli.main(["demo"]) == code
    captured = capsys.readouterr()
    assert captured.err == "error: The text is empty. Give more.\n"
    assert captured.out == ""


def test_a_bug_shows_its_traceback(command):
    def demo(argv: list[str]) -> int:
        raise KeyError("ours")

    command(demo)
    with pytest.raises(KeyError):
        cli.main(["demo"])


def test_ctrl_c_is_130(command, capsys):
    def demo(argv: list[str]) -> int:
        raise KeyboardInterrupt

    command(demo)
    assert cli.main(["demo"]) == 130
    assert capsys.readouterr().err == "\nStopped.\n"


def test_what_the_terminal_cannot_show_is_replaced(command, monkeypatch):
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))

    def demo(argv: list[str]) -> int:
        print("é日")
        return 0

    command(demo)
    assert cli.main(["demo"]) == 0
    sys.stdout.flush()
    assert buffer.getvalue() == b"??\n"


def test_the_module_ends_with_the_exit_code_and_no_traceback():
    answer = run("pretian", PYTHONIOENCODING="latin-1")
    assert answer.returncode == 2
    assert answer.stderr == b"error: unknown command 'pretian'. Did you mean `nn2llm pretrain`?\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of a shell")
def test_a_reader_that_goes_early_is_no_error(tmp_path):
    script = tmp_path / "demo_early.py"
    script.write_text("def main(argv):\n    for n in range(100_000):\n        print(n)\n    return 0\n")
    code = (
        "import sys; from nn2llm.cli import main as cli; "
        "cli.COMMANDS['demo'] = cli.Command('demo_early', 'x'); sys.exit(cli.main(['demo']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{tmp_path}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"0\n"
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() == 0
