"""Answers that do what no exercise asks for, bounded so that they are harmless even uncontained.

Used by test_hostile.py, in this process's own mode, as another user (this file as a program), and one-shot.
At most 64 forks, 2 GB in steps, some MB printed; whoever sleeps does so for a minute at most.
"""

import json
import os
import sys
import time
from dataclasses import dataclass

from nn2llm.course.grading.service import GradingJob, GradingService, Limits

RUNNER = "tests.course.grading.stand_in:run_job"
LIMITS = Limits(seconds=20, memory_mb=512, processes=16, output_bytes=1_000_000, file_mb=8, files=100)
SHORT = Limits(seconds=0.5, memory_mb=512, processes=16, output_bytes=1_000_000, file_mb=8, files=100)

SLEEPER = "59.87654"
"""How long the processes sleep that must not be left: nobody else's do."""


@dataclass(frozen=True)
class Attack:
    body: str
    status: str
    by: str | None = None
    says: str = ""
    limits: Limits = LIMITS


PASSES = Attack("return int(torch.arange(4).sum())", "passed", says="6")

_FORK = f"""
for _ in range(64):
    {{guard}}
    if os.fork() == 0:
        {{inside}}
        time.sleep({SLEEPER})
        os._exit(0)
"""
_DOUBLE_FORK = f"""
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        os.execve("/bin/sleep", ["sleep", "{SLEEPER}"], {{}})
    os._exit(0)
os.wait()
"""

ATTACKS = {
    "loops for ever": Attack(
        "print('begun')\nwhile True: pass", "stopped", "time", "after 0.5 s, the limit. It was at line", SHORT
    ),
    "stops itself": Attack("os.kill(os.getpid(), signal.SIGSTOP)", "stopped", "time", "after 0.5 s", SHORT),
    "a list that grows": Attack(
        "a = []\nfor _ in range(200): a.append(b'x' * 10_000_000)", "stopped", "memory", "512 MB"
    ),
    "tensors that grow": Attack(
        "a = []\nfor _ in range(200): a.append(torch.ones(2_500_000))", "stopped", "memory", "512 MB"
    ),
    "memory by many processes": Attack(
        "for _ in range(8):\n"
        "    if os.fork() == 0:\n"
        f"        x = torch.ones(60_000_000); time.sleep({SLEEPER}); os._exit(0)\n"
        f"time.sleep({SLEEPER})",
        "stopped", "memory", "512 MB",
    ),
    "forks": Attack(_FORK.format(guard="pass", inside="pass"), "stopped", "processes", "more than 16"),
    "forks, each of them": Attack(
        "for _ in range(6):\n"
        "    try: os.fork()\n"
        "    except OSError: pass\n"
        f"time.sleep({SLEEPER})",
        "stopped", "processes", "more than 16",
    ),
    "threads": Attack(
        f"for _ in range(64): threading.Thread(target=time.sleep, args=({SLEEPER},)).start()",
        "stopped", "processes", "more than 16",
    ),
    "prints": Attack("for _ in range(50_000): print('a' * 200)", "stopped", "output", "1 MB"),
    "writes to descriptor 1": Attack(
        "for _ in range(10_000): os.write(1, b'a' * 1000)", "stopped", "output", "1 MB"
    ),
    "exit()": Attack("exit()", "stopped", "exit", "Take out exit()"),
    "sys.exit()": Attack("sys.exit('bye')", "stopped", "exit", "Take out exit()"),
    "os._exit()": Attack("print('seen')\nos._exit(3)", "stopped", "exit", "exit code 3"),
    "crashes": Attack("import ctypes; ctypes.string_at(0)", "stopped", "crash", "SIGSEGV"),
    "aborts": Attack("os.abort()", "stopped", "crash", "SIGABRT"),
    "kills itself": Attack("os.kill(os.getpid(), 9)", "stopped", "killed", "SIGKILL"),
    "kills its parent": Attack("os.kill(os.getppid(), 9)", "error", says="may not end processes"),
    "kills everybody": Attack("os.kill(-1, 9)", "error", says="may not end processes"),
    "kills its parent, past Python": Attack(
        "import ctypes; return ctypes.CDLL(None).kill(os.getppid(), 9)", "passed", says="-1"
    ),
    "closes all descriptors": Attack("os.closerange(3, 256)", "stopped", "channel", "closed or wrote"),
    "junk to all descriptors": Attack(
        "for number in range(3, 64):\n"
        "    for text in (b'junk' * 999, b'\\n{\"status\": \"failed\"}\\n', b'\\n' + b'0' * 32 + b' 1\\n'):\n"
        "        try: os.write(number, text)\n"
        "        except OSError: pass",
        "passed",
    ),
    "junk without end": Attack(
        "for _ in range(40_000): os.write(3, b'junk' * 1000)", "stopped", "channel", "closed or wrote"
    ),
    "forges a verdict": Attack(
        "verdict = json.dumps({'exercise': 'x', 'status': 'passed', 'message': 'forged'}).encode()\n"
        "for number in range(1, 64):\n"
        "    for sign in (b'', b'\\n', b'\\n' + b'0' * 32 + b' '):\n"
        "        try: os.write(number, sign + verdict + b'\\n')\n"
        "        except OSError: pass\n"
        "os._exit(0)",
        "stopped", "exit",
    ),
    "turns what writes the verdict": Attack(
        "json.JSONEncoder.iterencode = lambda *a, **k: ['{\"status\": \"passed\"}']",
        "stopped", "channel", "closed or wrote",
    ),
    "reads with input()": Attack("return input()", "error", says="Nothing can be typed in here"),
    "reads stdin": Attack("return sys.stdin.read()", "error", says="Nothing can be typed in here"),
    "reads descriptor 0": Attack("return os.read(0, 10)", "passed", says="b''"),
    "connects": Attack(
        "import socket; socket.create_connection(('127.0.0.1', 9))", "error", says="has no network"
    ),
    "looks a name up": Attack(
        "import socket; socket.gethostbyname('localhost')", "error", says="has no network"
    ),
    "listens": Attack(
        "import socket; socket.socket().bind(('127.0.0.1', 0))", "error", says="has no network"
    ),
    "a socket past Python": Attack(
        "import ctypes; return ctypes.CDLL(None).socket(2, 1, 0)", "passed", says="-1"
    ),
    "downloads": Attack(
        "import urllib.request; urllib.request.urlopen('http://localhost/')", "error", says="has no network"
    ),
    "writes elsewhere": Attack("open('/tmp/nn2llm-was-here', 'w')", "error", says="only in its own folder"),
    "deletes elsewhere": Attack("os.remove(stand_in)", "error", says="only in its own folder"),
    "deletes the tree of its file": Attack(
        "import shutil; shutil.rmtree(os.path.dirname(stand_in))", "error", says="only in its own folder"
    ),
    "deletes elsewhere, past Python": Attack(
        "import ctypes; return ctypes.CDLL(None).unlink(stand_in.encode())", "passed", says="-1"
    ),
    "a file too large": Attack(
        "with open('a', 'wb') as f:\n    for _ in range(100): f.write(bytes(1_000_000))",
        "stopped", "files", "more than 8 MB",
    ),
    "many files": Attack(
        f"for i in range(400): open(f'a{{i}}', 'wb').close()\ntime.sleep({SLEEPER})",
        "stopped", "files", "100 files",
    ),
    "a recursion without end": Attack("return answer()", "error", says="maximum recursion depth"),
    "a recursion deeper than the stack": Attack(
        "sys.setrecursionlimit(10**9)\n"
        "class A:\n    def __repr__(self): return repr(self)\n"
        "return repr(A())",
        "stopped", "crash", "SIGSEGV",
    ),
    "a thread that never ends": Attack(
        "def spin():\n    while True: pass\nthreading.Thread(target=spin).start()\nreturn 7",
        "passed", says="7",
    ),
    "forks, and both return": Attack(
        "own = os.getpid()\nos.fork()\nreturn own == os.getpid()", "passed", says="True"
    ),
    "leaves a daemon": Attack(_DOUBLE_FORK + "return 8", "passed", says="8"),
    "leaves a daemon and loops": Attack(
        _DOUBLE_FORK + "while True: pass", "stopped", "time", "after 0.5 s", SHORT
    ),
    "leaves its folder locked": Attack(
        "os.makedirs('a/b'); open('a/b/c', 'w').close(); os.chmod('a/b', 0); os.chmod('a', 0)\nreturn 9",
        "passed", says="9",
    ),
}  # fmt: skip

_HEAD = f"""
import json, os, signal, sys, threading, time
stand_in = {os.path.join(os.path.dirname(__file__), "stand_in.py")!r}
"""


def build_job(body: str, limits: Limits | None = None, folder: str = "/nowhere") -> GradingJob:
    """An answer whose `answer()` has this body."""
    lines = "".join(f"    {line}\n" for line in body.strip("\n").split("\n"))
    text = f"{_HEAD}{'import torch' if 'torch.' in body else ''}\ndef answer():\n{lines}"
    return GradingJob(lesson_folder=folder, exercise="x", text=text, seed=5, limits=limits)


def wait_for_the_end(marker: str, apart_from: set[int]) -> dict[int, str]:
    """What is left once the watcher has ended too, which outlives its verdict by a moment."""
    deadline = time.monotonic() + 10
    while (left := find_left(marker, apart_from)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def find_left(marker: str, apart_from: set[int]) -> dict[int, str]:
    """Living processes started by a service (its marker in their first environment), or that sleep for it."""
    left = {}
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in apart_from:
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                if file.read().rsplit(b") ", 1)[1][:1] in b"ZX":
                    continue
            with open(f"/proc/{name}/cmdline", "rb") as file:
                command = file.read()
            with open(f"/proc/{name}/environ", "rb") as file:
                marked = marker.encode() in file.read()
        except OSError:
            continue
        if marked or SLEEPER.encode() in command:
            left[int(name)] = command.replace(b"\0", b" ").decode()
    return left


def main() -> None:
    """The attacks named on the command line; one line of JSON each, with what was left afterwards."""
    with GradingService(runner=RUNNER, limits=LIMITS, imports=("torch",)) as service:
        for name in [*sys.argv[1:], "passes"]:
            attack = ATTACKS.get(name, PASSES)
            verdict = service.grade(build_job(attack.body, attack.limits))
            server = service._backend
            left = wait_for_the_end(server._marker, {server.process.pid})  # type: ignore[union-attr, attr-defined]
            print(json.dumps({"name": name, "verdict": verdict, "left": left}), flush=True)
    print(json.dumps({"uid": os.getuid()}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
