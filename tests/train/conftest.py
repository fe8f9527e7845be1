"""A tiny text, and `nn2llm` commands in processes that can be killed.

The processes are forked from a server that has torch imported but has computed nothing, so that one starts in
a tenth of a second instead of several. `test_resume.py` starts the real `python -m nn2llm` as well.
"""

import json
import multiprocessing
import multiprocessing.forkserver
import os
import random
import runpy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import nn2llm

SOURCE = Path(nn2llm.__file__).parents[1]
SMOKE = ["--preset", "smoke", "--num-threads", "1", "--device", "cpu"]
MEASURED = ("tokens_per_s", "mfu")
"""What a metrics line says of the machine, and so may differ between equal runs."""


WORDS = (
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "ran",
    "on",
    "under",
    "mat",
    "tree",
    "and",
    "or",
    "house",
    "big",
    "red",
)


def write_corpus(path: Path, *, num_lines: int = 400, seed: int = 1) -> Path:
    """Lines of random words: one running text."""
    draw = random.Random(seed)
    lines = (" ".join(draw.choices(WORDS, k=8)) + ".\n" for _ in range(num_lines))
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "words.txt")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NN2LLM_HOME for all tests of this room: the tiny text is tokenised once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def server() -> Any:
    """What forks the commands; they find nn2llm where we did, from whatever folder."""
    if not hasattr(os, "fork"):
        return multiprocessing
    context = multiprocessing.get_context("forkserver")
    # torch.optim imports torch._dynamo when it builds an optimizer.
    context.set_forkserver_preload(["nn2llm.cli.pretrain", "torch._dynamo"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(SOURCE))
        multiprocessing.forkserver.ensure_running()
    return context


@pytest.fixture(autouse=True)
def surroundings(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NN2LLM_HOME", str(home))
    monkeypatch.setenv("NN2LLM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    # Measuring takes a second, and only `mfu` depends on it.
    monkeypatch.setattr("nn2llm.train.starting.measure_matmul_speed", lambda device, dtype: 1e11)
    num_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(num_threads)


@dataclass
class Command:
    """A command that runs, or has run."""

    process: Any
    folder: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.is_alive()

    def signal(self, number: int) -> None:
        if self.process.is_alive():
            os.kill(self.process.pid, number)

    def wait(self) -> int:
        """The exit code; negative for a signal."""
        self.process.join(120)
        assert self.process.exitcode is not None, f"still running: {self.out}\n{self.err}"
        return self.process.exitcode

    @property
    def out(self) -> str:
        return (self.folder / "stdout").read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return (self.folder / "stderr").read_text(encoding="utf-8")


@pytest.fixture
def start(
    server: Any, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> Iterator[Callable[..., Command]]:
    """start("pretrain", …) → a Command under way."""
    commands: list[Command] = []

    def start_one(
        *argv: str | Path, max_file_bytes: int | None = None, environment: dict[str, str] | None = None
    ) -> Command:
        folder = tmp_path_factory.mktemp("command")
        names = ("NN2LLM_HOME", "NN2LLM_RUNS", "COLUMNS", "OMP_NUM_THREADS")
        spec = {
            "argv": [str(word) for word in argv],
            "stdout": str(folder / "stdout"),
            "stderr": str(folder / "stderr"),
            "environment": {name: os.environ[name] for name in names if name in os.environ}
            | (environment or {}),
            "folder": str(tmp_path),
            "max_file_bytes": max_file_bytes,
        }
        script = str(Path(__file__).with_name("run_command.py"))
        process = server.Process(
            target=runpy.run_path, args=(script,), kwargs={"init_globals": {"SPEC": spec}}
        )
        process.start()
        commands.append(Command(process, folder))
        return commands[-1]

    yield start_one
    for command in commands:
        if command.process.is_alive():
            command.process.kill()
            command.process.join()


@pytest.fixture
def run(start: Callable[..., Command]) -> Callable[..., Command]:
    """run("pretrain", …) → a Command that has ended as expected."""

    def run_one(*argv: str | Path, expect: int = 0, **options: Any) -> Command:
        command = start(*argv, **options)
        code = command.wait()
        assert code == expect, f"exit code {code}\n{command.out}\n{command.err}"
        assert "Traceback" not in command.err
        return command

    return run_one


def wait_until(condition: Callable[[], bool], command: Command) -> None:
    """Until `condition`, or the command has ended; fails after a minute."""
    end = time.monotonic() + 60
    while not condition() and command.is_alive:
        assert time.monotonic() < end, f"nothing happened: {command.out}\n{command.err}"
        time.sleep(0.001)


def read_records(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl or samples.jsonl, without what was measured."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in record.items() if name not in MEASURED} for record in records]


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
