"""One `nn2llm` command in a process of its own; `conftest.py` starts it and says what to run, in SPEC."""

import os
import sys

spec = globals()["SPEC"]  # given by runpy
for descriptor, path in ((1, spec["stdout"]), (2, spec["stderr"])):
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(target, descriptor)
    os.close(target)
os.environ.update(spec["environment"])
os.chdir(spec["folder"])

# The environment comes first.
from nn2llm.cli.main import main  # noqa: E402
from nn2llm.train import starting  # noqa: E402

starting.measure_matmul_speed = lambda device, dtype: 1e11  # takes a second, and only `mfu` depends on it

if spec["max_file_bytes"] is not None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (spec["max_file_bytes"], spec["max_file_bytes"]))
sys.exit(main(spec["argv"]))
