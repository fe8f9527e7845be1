"""Texts that turn the grader's tools: none may pass wrongly, crash the verdict, or hang it.

Each runs in a fork of one process that has torch, as in the grading service, so that what it breaks stays
there.
"""
# ruff: noqa: E501, for the texts

import json
import subprocess
import sys
from textwrap import dedent
from typing import Any

import pytest

from nn2llm.course.grading.reaching import find_reach
from tests.course.grading.grading_lessons import STEP, write_lesson

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="forks")

WRONG = "\ndef gradient_step(w, b, x, y, learning_rate):\n    return w, b\n"

# Right answers that set something process-wide which is nobody's harm.
HARMLESS = {
    "sum of its own": "sum = 3\ntorch = __import__('torch')\n" + STEP,
    "seeds": "import random\nimport numpy as np\nimport torch\ntorch.manual_seed(0)\nnp.random.seed(0)\n"
    "random.seed(0)\n" + STEP,
    "default dtype": "import torch\ntorch.set_default_dtype(torch.float64)\n" + STEP,
    "no gradients": "import torch\ntorch.set_grad_enabled(False)\n" + STEP,
    "print options": "import torch\nimport numpy as np\ntorch.set_printoptions(precision=2)\n"
    "np.set_printoptions(precision=2)\nnp.seterr(all='ignore')\n" + STEP,
    "optimizers and vmap": "import torch\nfrom torch.func import vmap, grad\n"
    "p = torch.nn.Parameter(torch.ones(2))\no = torch.optim.AdamW([p])\np.sum().backward()\no.step()\n"
    "vmap(grad(lambda x: x * x))(torch.ones(3))\nimport torch.utils.data, torch.distributions\n" + STEP,
    "a class of its own": "import torch\nclass Net(torch.nn.Module):\n    pass\nNet()\n" + STEP,
    "threads and exit handlers": "import atexit, threading\natexit.register(lambda: 1 / 0)\n"
    "threading.Thread(target=lambda: None).start()\n" + STEP,
    "warnings": "import warnings\nwarnings.filterwarnings('ignore')\nwarnings.warn('x')\n" + STEP,
}

# What `find_reach` would refuse before anything runs: here the layers behind it are tried.
HIDE = "import importlib, sys\ndef reach(name): return importlib.import_module('nn2llm.course.' + name)\n"

# Wrong answers that help themselves; the status that each may have.
HOSTILE = {
    "allclose is always true": (
        "import torch\ntorch.allclose = torch.equal = lambda *a, **k: True\n" + WRONG,
        {"failed"},
    ),
    "all and abs are patched": (
        "import builtins, numpy as np, torch\nbuiltins.abs = lambda x: 0\nnp.abs = np.any = lambda *a, **k: 0\n"
        "np.all = lambda *a, **k: True\ntorch.Tensor.abs = lambda s: s * 0\n" + WRONG,
        {"failed", "stopped"},
    ),
    "right, but mean is patched": (STEP + "\ntorch.Tensor.mean = torch.Tensor.sum\n", {"failed", "stopped"}),
    "same does nothing": (
        HIDE + "g, c = reach('grading'), reach('grading.calls')\n"
        "g.same = c.same = lambda *a, **k: None\n" + WRONG,
        {"failed", "stopped"},
    ),
    "compare says yes": (
        HIDE + "reach('grading.calls').compare = lambda *a, **k: None\n" + WRONG,
        {"stopped"},
    ),
    "the code of compare is swapped": (
        "import nn2llm.course.grading.compare as c\nc.compare.__code__ = (lambda *a, **k: None).__code__\n"
        + WRONG,
        {"stopped"},
    ),
    "judge is a mock": (
        "import nn2llm.course.grading.calls as c\nc.judge.__code__ = (lambda *a, **k: None).__code__\n" + WRONG,
        {"stopped"},
    ),
    "the checks are emptied": (
        "import sys\nm = sys.modules['nn2llm_lesson_checks']\n"
        "m.check_one_step.__code__ = m.check_single_pair.__code__ = (lambda a, b: None).__code__\n" + WRONG,
        {"stopped"},
    ),
    "the solution is replaced": (
        "import sys\nm = sys.modules['nn2llm_lesson_solution']\n" + WRONG + "m.gradient_step = gradient_step\n"
        "m.gradient_step = gradient_step\n",
        {"failed", "stopped"},
    ),
    "the solution's code is replaced": (
        "import sys\nm = sys.modules['nn2llm_lesson_solution']\n"
        + WRONG
        + "m.gradient_step.__code__ = gradient_step.__code__\n",
        {"stopped"},
    ),
    "the solution's insides are replaced": (
        "import sys\nm = sys.modules['nn2llm_lesson_solution']\nclass T: pass\n" + WRONG + "m.torch = T\n",
        {"failed", "stopped"},
    ),
    "equal to everything": (
        "class Yes(float):\n    __eq__ = __le__ = __ge__ = lambda s, o: True\n    __ne__ = lambda s, o: False\n"
        "    __sub__ = __rsub__ = lambda s, o: 0.0\n    __float__ = lambda s: 0.1\n    __hash__ = float.__hash__\n"
        "def gradient_step(w, b, x, y, learning_rate):\n    return Yes(w), Yes(b)\n",
        {"failed"},
    ),
    "a tensor that is anything": (
        "import torch\nclass Yes(torch.Tensor):\n    @classmethod\n"
        "    def __torch_function__(cls, f, types, args=(), kwargs=None): return torch.tensor(True)\n"
        "def gradient_step(w, b, x, y, learning_rate):\n"
        "    return torch.ones(()).as_subclass(Yes), torch.ones(()).as_subclass(Yes)\n",
        {"failed"},
    ),
    "lies about its class": (
        "class Liar:\n    __class__ = property(lambda s: float)\n    def __array__(self, *a, **k): raise SystemExit\n"
        "    def __getattr__(self, name): raise KeyboardInterrupt(name)\n    def __repr__(self): 1 / 0\n"
        "    __eq__ = lambda s, o: True\n    __hash__ = None\n"
        "def gradient_step(w, b, x, y, learning_rate):\n    return Liar(), Liar()\n",
        {"failed"},
    ),
    "a tuple that changes": (
        "class Odd(tuple):\n    __len__ = lambda s: 2\n    __iter__ = lambda s: iter((1 / 0, 1))\n"
        "    __getitem__ = lambda s, i: 1 / 0\n"
        "def gradient_step(w, b, x, y, learning_rate):\n    return Odd((w, b))\n",
        {"failed"},
    ),
    "asks its caller for the reference": (
        "import sys\ndef gradient_step(w, b, x, y, learning_rate):\n    frame = getattr(sys, '_get' + 'frame')()\n"
        "    local, back = 'f_' + 'locals', 'f_' + 'back'\n"
        "    while not hasattr(getattr(frame, local).get('reference'), 'gradient_step'):\n"
        "        frame = getattr(frame, back)\n"
        "    return getattr(frame, local)['reference'].gradient_step(w, b, x, y, learning_rate)\n",
        {"stopped"},
    ),
    "traces": (
        "import sys\ndef trace(*a): return trace\n"
        "def gradient_step(w, b, x, y, learning_rate):\n    sys.settrace(trace)\n    return w, b\n",
        {"failed", "stopped"},
    ),
    "right, and traces": (STEP + "\nimport sys\nsys.settrace(lambda *a: None)\n", {"stopped"}),
    "right, and profiles": (STEP + "\nimport sys\nsys.setprofile(lambda *a: None)\n", {"stopped"}),
    "fixed seeds": (
        "import torch, random\ntorch.manual_seed = lambda s: None\n"
        "torch.randn = lambda *a, **k: torch.zeros(*a)\n" + WRONG,
        {"failed", "stopped"},
    ),
    "closes the streams": ("import sys\nsys.stdout.close()\nsys.stderr = None\nsys.stdout = 3\n" + WRONG, {"failed"}),
    "no modules": ("import sys\nsys.modules.clear()\n" + WRONG, {"failed", "error", "stopped"}),
    "no recursion": ("import sys\nsys.setrecursionlimit(60)\n" + WRONG, {"failed", "error", "stopped"}),
    "an exception that bites": (
        "class Bite(BaseException):\n    __str__ = __repr__ = lambda s: 1 / 0\n"
        "    __class__ = property(lambda s: 1 / 0)\n    __traceback__ = 3\n"
        "def gradient_step(w, b, x, y, learning_rate):\n    raise Bite\n",
        {"error"},
    ),
    "changes the arguments' class": (
        "import torch\ndef gradient_step(w, b, x, y, learning_rate):\n    x.data = torch.zeros(3)\n    return w, b\n",
        {"failed"},
    ),
    "an endless result": (
        "def gradient_step(w, b, x, y, learning_rate):\n    def endless():\n        while True: yield w\n"
        "    return endless()\n",
        {"failed"},
    ),
    "edits the session": (
        HIDE + "s = reach('grading.session')\ndef gradient_step(w, b, x, y, learning_rate):\n"
        "    s.current().mode = 'diagnose'\n    return w, b\n",
        {"stopped"},
    ),
}  # fmt: skip

RUNNER = """
import gc, json, os, resource, sys
from nn2llm.course.grading.limits import GradingJob
from nn2llm.course.grading.running import run_job
folder, cases = sys.argv[1], json.load(sys.stdin)
results = {}
gc.collect(), gc.freeze()  # or each fork's first collection copies all of torch's objects
for name, text in cases.items():
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        end = os._exit
        put, dumps = os.write, json.dumps
        resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        job = GradingJob(lesson_folder=folder, exercise="gradient-step", text=text, seed=5)
        try:
            run_job(job, lambda verdict: put(write, dumps(verdict).encode()))
        except BaseException as error:
            put(write, dumps({"status": "CRASHED", "message": repr(type(error))}).encode())
        end(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    results[name] = json.loads(data) if data else {"status": "NOTHING", "message": ""}
with open(sys.argv[2], "w") as file:
    json.dump(results, file)
"""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("tampering")
    lesson = write_lesson(folder / "lesson")
    cases = {f"harmless {name}": text for name, text in HARMLESS.items()}
    cases |= {f"hostile {name}": dedent(text) for name, (text, _) in HOSTILE.items()}
    cases["reaches"] = "import sys\nprint(sys.modules)\n" + STEP
    out = folder / "verdicts.json"
    subprocess.run(
        [sys.executable, "-c", RUNNER, str(lesson), str(out)],
        input=json.dumps(cases).encode(),
        check=True,
        timeout=200,
        stdout=subprocess.DEVNULL,
    )
    return json.loads(out.read_text())


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_harmless_settings_do_not_cost_the_pass(verdicts, name):
    verdict = verdicts[f"harmless {name}"]
    assert verdict["status"] == "passed", verdict["message"]


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_no_wrong_answer_passes(verdicts, name):
    verdict = verdicts[f"hostile {name}"]
    assert verdict["status"] in HOSTILE[name][1], verdict["message"]
    assert verdict["message"]


def test_what_was_changed_is_named(verdicts):
    assert "`sys.settrace`" in verdicts["hostile right, and traces"]["message"]
    assert "`nn2llm.course.grading.calls.compare`" in verdicts["hostile compare says yes"]["message"]
    assert "checker's own `gradient_step`" in verdicts["hostile asks its caller for the reference"]["message"]


FRAMES = "while f is not None:\n    f = f.f_back\n"


@pytest.mark.parametrize(
    ("text", "word", "line"),
    [
        ("import gc\nx = 1\ngc.get_objects()\n", "gc.get_objects", 3),
        ("import sys\nf = sys._getframe()\n" + FRAMES, "sys._getframe", 2),
        ("f = me.gi_frame\n" + FRAMES, "me.gi_frame", 1),
        ("try:\n    1 / 0\nexcept Exception as e:\n    f = e.__traceback__.tb_frame\n", "tb_frame", 4),
        ("import sys\nf = getattr(sys, '_getframe')()\n", "_getframe", 2),
        ("import sys\nf = sys.modules['nn2llm_lesson_solution']\n", "sys.modules", 2),
        ("from sys import modules as m\n", "sys.modules", 1),
        ("from inspect import currentframe\n", "inspect.currentframe", 1),
        ("import nn2llm.course.grading.tampering as t\n", "nn2llm.course.grading.tampering", 1),
        ("from nn2llm.course import grading\n", "nn2llm.course.grading", 1),
        ("__import__('nn2llm.course.grading.evidence')\n", "nn2llm.course.grading.evidence", 1),
    ],
)
def test_a_text_that_reaches_for_the_checker_is_named(text, word, line):
    assert find_reach(text + STEP) == (word, line)


@pytest.mark.parametrize(
    "text",
    [
        *HARMLESS.values(),
        "import gc, sys, inspect\ngc.collect()\nprint(sys.version, inspect.signature(len))\n",
        "def stack(modules): return modules.stack(torch.stack([modules.trace()]))\n",
        "from nn2llm.course.grading import accepted, mistake\n",
        "from nn2llm.nn.functional import softmax\nfrom nn2llm import course\nfrom . import x\n",
        "a text that is no Python",
        "x = '\\0' '\ud800'",
        "(" * 3000,
        "-" * 100_000 + "1",
    ],
)
def test_what_an_exercise_may_use_reaches_for_nothing(text):
    assert find_reach(text) is None


def test_a_text_that_reaches_is_not_run(verdicts):
    verdict = verdicts["reaches"]
    assert (verdict["status"], verdict["checks"]) == ("stopped", [])
    assert "Line 2 uses `sys.modules`" in verdict["message"]
    assert verdict["printed"] == ""
