"""Hostile answers: each gets a clear verdict, nothing of it is left, and the next answer is graded."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nn2llm.course.grading.service import GradingJob, GradingService
from tests.course.grading.attacks import (
    ATTACKS,
    LIMITS,
    PASSES,
    RUNNER,
    SHORT,
    SLEEPER,
    Attack,
    build_job,
    wait_for_the_end,
)

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a warm server needs Linux")

ROOT = Path(__file__).parents[3]
OTHER_USER = 61_234


@pytest.fixture(scope="module")
def service() -> Iterator[GradingService]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with GradingService(runner=RUNNER, limits=LIMITS, imports=("torch",)) as service:
            yield service


def check_verdict(attack: Attack, verdict: dict[str, Any]) -> None:
    assert (verdict["status"], verdict.get("stopped_by")) == (attack.status, attack.by), verdict
    assert attack.says in verdict["message"]
    assert verdict["exercise"] == "x"
    assert verdict["seed"] == 5
    assert isinstance(verdict["checks"], list)
    assert {"elapsed_s", "error", "printed", "cut"} <= set(verdict)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_contained(service, name):
    attack = ATTACKS[name]
    verdict = service.grade(build_job(attack.body, attack.limits))
    check_verdict(attack, verdict)
    server = service._backend
    assert wait_for_the_end(server._marker, {server.process.pid}) == {}
    assert list(server.folder.glob("job-*")) == []
    pid = server.process.pid
    check_verdict(PASSES, service.grade(build_job(PASSES.body)))
    assert service._backend.process.pid == pid  # the very same server


def test_what_was_printed_before_the_end_is_shown(service):
    verdict = service.grade(build_job(ATTACKS["os._exit()"].body))
    assert verdict["printed"] == "seen\n"
    verdict = service.grade(build_job(ATTACKS["loops for ever"].body, SHORT))
    assert verdict["printed"] == "begun\n"


def test_a_limit_keeps_the_line_that_reached_it(service):
    verdict = service.grade(build_job("\nx = torch.ones(10**9)"))
    assert verdict["stopped_by"] == "memory"
    assert verdict["error"]["line"] == 6


def test_half_the_memory_is_allowed(service):
    verdict = service.grade(build_job("return int(torch.ones(60_000_000).sum())"))
    assert verdict["message"] == "60000000"


def test_a_data_loader_with_workers_is_allowed(service):
    body = (
        "from torch.utils.data import DataLoader\n"
        "return [len(batch) for batch in DataLoader(range(8), 4, num_workers=2)]"
    )
    assert service.grade(build_job(body))["message"] == "[4, 4]"


AS_OTHER_USER = (
    "loops for ever",
    "a list that grows",
    "memory by many processes",
    "forks",
    "forks, each of them",
    "threads",
    "kills itself",
    "kills its parent",
    "kills everybody",
    "kills its parent, past Python",
    "closes all descriptors",
    "forges a verdict",
    "a socket past Python",
    "writes elsewhere",
    "deletes elsewhere, past Python",
    "a file too large",
    "leaves a daemon",
    "leaves a daemon and loops",
    "leaves its folder locked",
)


@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs root, to become another user"
)
def test_attacks_are_contained_for_a_server_that_is_not_root():
    # Where Python is installed in root's home, another user must be allowed to read there.
    done = subprocess.run(
        [
            "setpriv", "--reuid", str(OTHER_USER), "--regid", str(OTHER_USER), "--clear-groups",
            "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search",
            sys.executable, "-m", "tests.course.grading.attacks", *AS_OTHER_USER,
        ],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr
    assert lines.pop() == {"uid": OTHER_USER}
    assert [line["name"] for line in lines] == [*AS_OTHER_USER, "passes"]
    for line in lines:
        check_verdict(ATTACKS.get(line["name"], PASSES), line["verdict"])
        assert line["left"] == {}, line["name"]


LIMITED_BY_WATCHING = (
    "memory by many processes",
    "tensors that grow",
    "forks",
    "forks, each of them",
    "leaves a daemon and loops",
)
ENDS = ("os._exit()", "crashes", "closes all descriptors", "forges a verdict")


def test_what_the_system_does_not_limit_the_watcher_stops(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    runner = "tests.course.grading.stand_in_unlimited:run_job"
    with GradingService(runner=runner, limits=LIMITS, imports=("torch",)) as service:
        for name in LIMITED_BY_WATCHING:
            attack = ATTACKS[name]
            wait = f"\ntime.sleep({SLEEPER})"
            verdict = service.grade(build_job(attack.body + wait, attack.limits))
            assert (verdict["status"], verdict["stopped_by"]) == ("stopped", attack.by), name
            assert verdict["error"] is None, name  # nothing in the process itself refused
            server = service._backend
            assert wait_for_the_end(server._marker, {server.process.pid}) == {}
        for name in ENDS:
            check_verdict(ATTACKS[name], service.grade(build_job(ATTACKS[name].body)))
        check_verdict(PASSES, service.grade(build_job(PASSES.body)))


ONE_SHOT = (
    "loops for ever",
    "a list that grows",
    "forks, each of them",
    "prints",
    "forges a verdict",
    "leaves a daemon",
)


def test_one_shot_processes_contain_as_well(monkeypatch, tmp_path):
    # in the environment of each process of this service, and of no other's
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{tmp_path}")
    with GradingService(runner=RUNNER, limits=LIMITS, forking=False, imports=()) as service:
        for name in ONE_SHOT:
            attack = ATTACKS[name]
            check_verdict(attack, service.grade(build_job(attack.body, attack.limits)))
        spare = service._backend._spare
        assert wait_for_the_end(str(tmp_path), {spare.popen.pid}) == {}
        folder = spare.folder
    assert wait_for_the_end(str(tmp_path), set()) == {}
    assert not folder.exists()


@pytest.mark.parametrize("forking", [True, False])
def test_the_line_of_an_endless_loop_is_named(forking, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    text = "def answer():\n    while True:\n        work()\n\n\ndef work():\n    while True: pass\n"
    with GradingService(runner=RUNNER, limits=SHORT, imports=(), forking=forking) as service:
        verdict = service.grade(GradingJob(lesson_folder="/", exercise="x", text=text))
    assert verdict["message"].startswith("Stopped after 0.5 s, the limit. It was at line 7.")


def test_one_shot_processes_are_watched_without_proc(monkeypatch, tmp_path):
    """As on macOS: psutil finds, measures and ends them."""
    monkeypatch.setattr("nn2llm.course.grading.oneshot._LINUX", False)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{tmp_path}")
    with GradingService(runner=RUNNER, limits=LIMITS, forking=False, imports=()) as service:
        for name in ("loops for ever", "forks, each of them", "memory in one process", "many files"):
            attack = ATTACKS.get(name, HOLDS_MEMORY)
            check_verdict(attack, service.grade(build_job(attack.body, attack.limits)))
        assert service.grade(build_job("return 6"))["message"] == "6"
    assert wait_for_the_end(str(tmp_path), set()) == {}


HOLDS_MEMORY = Attack(
    "for _ in range(4):\n"
    "    if os.fork() == 0:\n"
    f"        x = b'x' * 250_000_000; time.sleep({SLEEPER})\n"
    f"time.sleep({SLEEPER})",
    "stopped",
    "memory",
    "512 MB",
)
