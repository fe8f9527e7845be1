"""The smallest recipe in processes that can be killed, started as tests/train/conftest.py explains."""

import multiprocessing
import multiprocessing.forkserver
import os
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.train.conftest import SOURCE, Command


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NN2LLM_HOME for all tests of this room: the text is tokenised once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def server() -> Any:
    """What forks the commands."""
    if not hasattr(os, "fork"):
        return multiprocessing
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nn2llm.cli.chatgpt", "torch._dynamo"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(SOURCE))
        multiprocessing.forkserver.ensure_running()
    return context


@pytest.fixture(scope="session")
def start(
    server: Any, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Command]]:
    """start("--out", …) → `nn2llm chatgpt --preset micro …` under way."""
    commands: list[Command] = []

    def start_one(*argv: str | Path) -> Command:
        folder = tmp_path_factory.mktemp("command")
        spec = {
            "argv": ["--preset", "micro", *map(str, argv)],
            "stdout": str(folder / "stdout"),
            "stderr": str(folder / "stderr"),
            "environment": {"NN2LLM_HOME": str(home), "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
            "folder": str(folder),
        }
        script = str(Path(__file__).with_name("micro.py"))
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
