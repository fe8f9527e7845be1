"""The grading service when answers are friendly: one at a time, several, before, between and after."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nn2llm.core.errors import LessonError, Nn2llmError
from nn2llm.course.grading.limits import GradingJob, Limits
from nn2llm.course.grading.reading import VerdictReader, find_excess_files
from nn2llm.course.grading.refusals import NO_KEYBOARD, NoKeyboard
from nn2llm.course.grading.service import GradingService
from nn2llm.course.grading.stopped import explain_exit, finish_verdict
from tests.course.grading.attacks import RUNNER, build_job, find_left, wait_for_the_end

ROOT = Path(__file__).parents[3]
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a warm server needs Linux")


@pytest.fixture(scope="module")
def service() -> Iterator[GradingService]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("SECRET_TOKEN", "do-not-tell")
        with GradingService(runner=RUNNER) as service:
            yield service


@pytest.fixture
def own_service(monkeypatch) -> Iterator[GradingService]:
    """For tests that end it, or its server."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with GradingService(runner=RUNNER, imports=()) as service:
        yield service


def wait_until(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := holds()):
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.01)
    return found


def ask(service: GradingService, body: str, **options: Any) -> Any:
    verdict = service.grade(build_job(body, **options))
    assert verdict["status"] == "passed", verdict
    return verdict["message"]


# --- plain data ---


def test_limits_can_be_changed_by_an_exercise():
    limits = Limits().changed({"seconds": 20, "memory_mb": 1024})
    assert (limits.seconds, limits.memory_mb, limits.processes) == (20, 1024, 16)
    assert Limits().changed(None) == Limits()


@pytest.mark.parametrize("changes", [{"second": 3}, {"seconds": 0}, {"seconds": "3"}, {"memory_mb": True}])
def test_limits_that_are_none_are_refused(changes):
    with pytest.raises(LessonError, match="limit"):
        Limits().changed(changes)


@pytest.mark.parametrize("limits", [None, Limits(seconds=2.5)])
def test_a_job_travels_as_json(limits):
    job = GradingJob(lesson_folder="/a", exercise="b", text="ä\ud800", seed=2**40, limits=limits)
    assert GradingJob.from_json(json.loads(json.dumps(job.to_json()))) == job


# --- the verdict's pipe ---

LINE = b'\nsecret {"status": "passed"}\n'


@given(st.lists(st.integers(0, 60)), st.binary(max_size=30))
def test_a_verdict_is_found_however_it_is_cut_and_whatever_stands_before(cuts, junk):
    stream = junk + LINE
    reader = VerdictReader("secret")
    ends = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
    for begin, end in zip([0, *ends], ends, strict=False):
        reader.add(stream[begin:end])
    assert reader.verdict == {"status": "passed"}


@pytest.mark.parametrize(
    "stream",
    [
        b'\nsecrex {"status": "passed"}\n',
        b'{"status": "passed"}\n',
        b'\nsecret {"status": "pas',
        b"\nsecret no JSON\n",
        b'\nsecret ["no", "verdict"]\n',
    ],
)
def test_what_does_not_begin_with_the_secret_or_is_no_object_is_no_verdict(stream):
    reader = VerdictReader("secret")
    reader.add(stream)
    assert reader.verdict is None
    reader.add(LINE)
    if not stream.endswith(b"pas"):
        assert reader.verdict == {"status": "passed"}


def test_the_first_verdict_stays():
    reader = VerdictReader("secret")
    reader.add(LINE)
    reader.add(b'\nsecret {"status": "failed"}\n')
    assert reader.verdict == {"status": "passed"}


def test_files_are_counted_by_bytes_and_by_names(tmp_path):
    limits = Limits(file_mb=1, files=5)
    for i in range(5):
        (tmp_path / str(i)).write_bytes(bytes(100_000))
    assert not find_excess_files(str(tmp_path), limits)
    (tmp_path / "5").mkdir()
    assert find_excess_files(str(tmp_path), limits)
    (tmp_path / "5").rmdir()
    (tmp_path / "0").write_bytes(bytes(800_000))
    assert find_excess_files(str(tmp_path), limits)


# --- sentences ---


@pytest.mark.parametrize(
    ("error", "by"),
    [
        ({"name": "MemoryError", "message": ""}, "memory"),
        ({"name": "RuntimeError", "message": "DefaultCPUAllocator: can't allocate memory: …"}, "memory"),
        ({"name": "BlockingIOError", "message": "Resource temporarily unavailable"}, "processes"),
        ({"name": "RuntimeError", "message": "can't start new thread"}, "processes"),
        ({"name": "OSError", "message": "[Errno 27] File too large"}, "files"),
        ({"name": "SystemExit", "message": "0"}, "exit"),
        ({"name": "ValueError", "message": "no"}, None),
    ],
)
def test_an_error_that_a_limit_caused_is_told_as_the_limit(error, by):
    verdict = finish_verdict({"status": "error", "message": "m", "error": error}, Limits(), printed="seen")
    assert verdict.get("stopped_by") == by
    assert verdict["status"] == ("error" if by is None else "stopped")
    assert verdict["error"] == error
    assert verdict["printed"] == "seen"


@pytest.mark.parametrize(
    ("code", "printed", "by"),
    [
        (0, "", "exit"),
        (87, "", "channel"),
        (-9, "", "killed"),
        (-11, "", "crash"),
        (-24, "", "time"),
        (-25, "", "files"),
        (-64, "", "killed"),
        (-6, "terminate called after throwing an instance of 'std::bad_alloc'", "memory"),
    ],
)
def test_an_end_without_verdict_is_explained(code, printed, by):
    assert explain_exit(code, Limits(), printed=printed).by == by


@pytest.mark.parametrize("read", [lambda f: f.read(), lambda f: f.readline(), next, lambda f: f.readlines()])
def test_nothing_can_be_typed_in(read):
    with pytest.raises(EOFError, match="Nothing can be typed in here") as caught:
        read(NoKeyboard())
    assert str(caught.value) == NO_KEYBOARD


# --- one job ---


@on_linux
def test_an_answer_computes_with_torch_in_one_thread(service):
    body = (
        "x = torch.ones(64, 64, requires_grad=True)\n(x @ x).sum().backward()\n"
        "return int(x.grad[0, 0]), torch.get_num_threads(), len(os.listdir('/proc/self/task'))"
    )
    assert ask(service, body) == "(128, 1, 1)"


@on_linux
def test_it_runs_in_an_empty_folder_of_its_own_that_is_removed(service):
    body = (
        "open('a', 'w').write('b')\n"
        "return os.getcwd() + '|' + ','.join(os.listdir()) + '|' + os.environ['HOME']"
    )
    first, second = (ask(service, body).split("|") for _ in range(2))
    assert first[1] == "a"
    assert first[0] == first[2] != second[0]
    assert not Path(first[0]).exists()


@on_linux
def test_no_token_can_be_read(service):
    body = "return dict(os.environ), [open(f'/proc/{p}/environ').read() for p in ('self', os.getpid())]"
    seen = ask(service, body)
    assert "PATH" in seen
    assert "do-not-tell" not in seen


@on_linux
def test_it_is_a_session_of_its_own_with_limits(service):
    body = (
        "import resource as r\n"
        "return os.getsid(0) == os.getpid() == os.getpgrp(), r.getrlimit(r.RLIMIT_CORE), "
        "r.getrlimit(r.RLIMIT_NOFILE)[0], sorted(os.listdir('/proc/self/fd'))[:4]"
    )
    assert ask(service, body) == "(True, (0, 0), 256, ['0', '1', '2', '3'])"


@on_linux
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs root")
def test_each_job_of_root_has_a_user_of_its_own_without_rights(service):
    body = (
        "rights = [line.split()[1] for line in open('/proc/self/status') if line.startswith('CapInh')]\n"
        "return os.getresuid(), os.getgroups(), rights"
    )
    users = set()
    for _ in range(2):
        ids, groups, rights = eval(ask(service, body))
        assert len(set(ids)) == 1
        assert ids[0] > 60_000
        assert (groups, int(rights[0], 16)) == ([], 0)
        users.add(ids[0])
    assert len(users) == 2


@on_linux
def test_a_lesson_that_only_its_owner_can_read_is_read(service, tmp_path):
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    (folder / "solution.py").write_text("right = 1")
    (folder / "solution.py").chmod(0o600)
    assert (
        ask(service, "return open(job.lesson_folder + '/solution.py').read()", folder=str(folder))
        == "right = 1"
    )


@on_linux
def test_a_text_of_any_size_and_letters_arrives(service):
    text = "é\u2028𝛼" * 100_000
    assert ask(service, f"return len({text!r})") == "300000"


@on_linux
def test_its_own_limits_hold(service):
    verdict = service.grade(build_job("while True: pass", Limits(seconds=0.3)))
    assert verdict["message"].startswith("Stopped after 0.3 s")


@on_linux
def test_a_runner_that_fails_or_says_nothing_is_said(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for runner, says in (("run_badly", "ValueError: broken"), ("say_nothing", "it reported nothing")):
        with GradingService(runner=f"tests.course.grading.stand_in:{runner}", imports=()) as service:
            verdict = service.grade(build_job("pass"))
            assert verdict["status"] == "error"
            assert says in verdict["message"]
            assert "not your code's fault" in verdict["message"]


# --- several, and the server's life ---


@on_linux
def test_two_run_at_once_and_the_others_wait(own_service, tmp_path):
    own_service.warm()
    folder = own_service._backend.folder
    verdicts: list[dict[str, Any]] = []
    body = "while not os.path.exists(job.lesson_folder + '/go'): pass\nreturn 1"
    job = build_job(body, Limits(seconds=60), folder=str(tmp_path))
    threads = [threading.Thread(target=lambda: verdicts.append(own_service.grade(job))) for _ in range(5)]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        running = len(list(folder.glob("job-*")))
        most = max(most, running)
        if running == 2:
            (tmp_path / "go").touch()
        time.sleep(0.005)
    assert [verdict["message"] for verdict in verdicts] == ["1"] * 5
    assert most == 2


@on_linux
def test_a_server_that_died_is_replaced_and_the_job_run(own_service):
    ask(own_service, "return 1")
    first = own_service._backend
    first.process.kill()
    first.process.wait()
    assert ask(own_service, "return 2") == "2"
    assert own_service._backend is not first
    assert not first.folder.exists()


@on_linux
def test_a_server_that_dies_with_the_job_unbegun_costs_one_try(own_service):
    own_service.warm()
    server = own_service._backend
    os.kill(server.process.pid, signal.SIGSTOP)  # it takes nothing any more
    verdicts: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: verdicts.append(own_service.grade(build_job("return 3"))))
    thread.start()
    wait_until(lambda: server._connections)
    server.process.kill()
    thread.join(60)
    assert verdicts[0]["message"] == "3"


@on_linux
def test_a_job_under_way_survives_its_server(own_service):
    verdicts: list[dict[str, Any]] = []
    body = (
        "server = int(job.exercise)\n"
        "while os.path.exists(f'/proc/{server}/stat') and alive(server): pass\n"
        "return 4"
    )
    text = "def alive(p): return open(f'/proc/{p}/stat').read().rsplit(')')[-1].split()[0] not in 'ZX'\n"
    own_service.warm()
    server = own_service._backend
    job = build_job(body)
    job = GradingJob(
        lesson_folder="/",
        exercise=str(server.process.pid),
        text=text + job.text,
        seed=0,
        limits=Limits(seconds=30),
    )
    thread = threading.Thread(target=lambda: verdicts.append(own_service.grade(job)))
    thread.start()
    wait_until(lambda: list(server.folder.glob("job-*")))
    server.process.kill()
    thread.join(60)
    assert verdicts[0]["message"] == "4"
    assert wait_for_the_end(server._marker, set()) == {}


@on_linux
def test_a_watcher_that_is_killed_is_said_and_leaves_nothing(own_service):
    verdicts: list[dict[str, Any]] = []
    body = "if os.fork() == 0: os.setsid()\ntime.sleep(59.87654)"
    thread = threading.Thread(target=lambda: verdicts.append(own_service.grade(build_job(body))))
    thread.start()
    wait_until(lambda: own_service._backend and list(own_service._backend.folder.glob("job-*")))
    server = own_service._backend

    def find_watcher() -> int | None:
        pids = find_left(server._marker, {server.process.pid})
        parents = {
            pid: int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]) for pid in pids
        }
        watchers = [pid for pid, parent in parents.items() if parent == server.process.pid]
        return watchers[0] if len(pids) == 3 else None

    os.kill(wait_until(find_watcher), signal.SIGKILL)
    thread.join(60)
    assert verdicts[0]["stopped_by"] == "watcher"
    assert wait_for_the_end(server._marker, {server.process.pid}) == {}
    assert ask(own_service, "return 5") == "5"


@on_linux
def test_closing_ends_what_runs_and_says_so(own_service):
    verdicts: list[dict[str, Any]] = []
    body = "if os.fork() == 0: os.setsid()\ntime.sleep(59.87654)"
    thread = threading.Thread(target=lambda: verdicts.append(own_service.grade(build_job(body))))
    thread.start()
    wait_until(lambda: own_service._backend and list(own_service._backend.folder.glob("job-*")))
    server = own_service._backend
    own_service.close()
    own_service.close()
    thread.join(60)
    assert verdicts[0]["stopped_by"] == "closed"
    assert wait_for_the_end(server._marker, set()) == {}
    assert not server.folder.exists()
    assert own_service.grade(build_job("return 1"))["stopped_by"] == "closed"
    own_service.warm()
    assert own_service._backend is None


@on_linux
def test_nothing_is_left_when_the_pages_server_is_killed(tmp_path):
    program = (
        "import sys, threading, time\n"
        "from tests.course.grading.attacks import RUNNER, build_job\n"
        "from nn2llm.course.grading.service import GradingService\n"
        "service = GradingService(runner=RUNNER, imports=())\n"
        "service.warm()\n"
        "job = build_job('if os.fork() == 0: os.setsid()\\ntime.sleep(59.87654)')\n"
        "threading.Thread(target=service.grade, args=(job,), daemon=True).start()\n"
        "print(service._backend._marker, service._backend.folder, flush=True)\n"
        "time.sleep(60)\n"
    )
    pages = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        assert pages.stdout is not None
        marker, folder = pages.stdout.readline().split()
        wait_until(lambda: len(find_left(marker, set())) >= 4)
    finally:
        pages.kill()
        pages.wait()
    assert wait_for_the_end(marker, set()) == {}
    wait_until(lambda: not Path(folder).exists())


@pytest.mark.parametrize("forking", [pytest.param(True, marks=on_linux), False])
def test_a_server_that_cannot_start_says_why(forking, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with GradingService(runner="no_such_module:run_job", forking=forking) as service:
        verdict = service.grade(build_job("return 1"))
    assert verdict["stopped_by"] == "start"
    assert "No module named 'no_such_module'" in verdict["message"]
    assert "nn2llm doctor" in verdict["message"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("forking", [pytest.param(True, marks=on_linux), False])
def test_a_python_that_cannot_be_started_says_why(forking, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with GradingService(forking=forking) as service:
        service.warm()
        verdict = service.grade(build_job("return 1"))
    assert verdict["stopped_by"] == "start"
    assert "No such file" in verdict["message"]
    assert list(tmp_path.iterdir()) == []


# --- where there is no fork ---


def test_one_shot_processes_grade_too(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with GradingService(runner=RUNNER, forking=False, imports=("torch",)) as service:
        service.warm()
        first = service._backend._spare
        body = "return int(torch.ones(3).sum()), os.getcwd() == os.environ['HOME'], torch.get_num_threads()"
        assert ask(service, body) == "(3, True, 1)"
        assert first.popen.poll() is not None
        assert not first.folder.exists()
        described = service.describe()
        assert (described["mode"], described["warm"]) == ("one-shot", True)
        assert "seconds" in described["says"]
        service._backend._spare.popen.kill()  # a spare one that died is not used
        service._backend._spare.popen.wait()
        assert ask(service, "return 2") == "2"


@on_linux
def test_a_service_says_how_it_grades(service):
    ask(service, "return 1")
    described = service.describe()
    assert (described["mode"], described["warm"]) == ("forking", True)


def test_forking_is_refused_elsewhere(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert GradingService().forking is False
    with pytest.raises(Nn2llmError, match="Linux only"):
        GradingService(forking=True)


def test_the_pages_server_imports_no_torch_and_needs_no_fork():
    program = (
        "import sys, os, subprocess, tempfile, asyncio\n"
        "for name in ('resource', 'fcntl', 'pwd', 'grp'):\n"
        "    sys.modules[name] = None\n"
        "for name in ('fork', 'setsid', 'pidfd_open', 'geteuid', 'waitstatus_to_exitcode'):\n"
        "    delattr(os, name)\n"
        "import nn2llm.course.grading.service, nn2llm.course.grading.oneshot, nn2llm.course.grading.inside\n"
        "from nn2llm.course.grading.service import GradingService\n"
        "GradingService(forking=False).close()\n"
        "print([name for name in ('torch', 'numpy', 'jupyter_client') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done.stderr


@on_linux
def test_a_server_that_is_still_starting_is_not_waited_for(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    service = GradingService(runner=RUNNER, imports=("tests.course.grading.stand_in_stuck",))
    service.warm()
    process = service._backend.process
    calls = []
    kill, wait = process.kill, process.wait
    monkeypatch.setattr(process, "kill", lambda: (calls.append("kill"), kill()))
    monkeypatch.setattr(process, "wait", lambda *args: (calls.append("wait"), wait(*args))[1])
    service.close()
    assert calls[0] == "kill"
    assert process.returncode == -signal.SIGKILL
