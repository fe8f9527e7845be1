"""The terminal comes back as it was, however reading keys ends."""

import os
import signal
import subprocess
import sys

import pytest

PROGRAM = """
from nn2llm.cli.keypress import hold_keys

with hold_keys() as read:
    print("ready", flush=True)
    while (key := read()) not in (None, "q"):
        print("key", key, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="terminals of Windows are other ones")
@pytest.mark.parametrize("end", ["q", signal.SIGTERM, signal.SIGINT])
def test_the_terminal_is_set_back(end):
    import termios

    outer, inner = os.openpty()
    try:
        before = termios.tcgetattr(inner)
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=inner,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            assert termios.tcgetattr(inner) != before  # keys come one by one
            os.write(outer, b"T")
            assert process.stdout.readline() == "key t\n"
            if isinstance(end, str):
                os.write(outer, end.encode())
            else:
                process.send_signal(end)
            code = process.wait(timeout=20)
        assert termios.tcgetattr(inner) == before
        assert code == {"q": 0, signal.SIGTERM: 143, signal.SIGINT: -2}[end]
    finally:
        os.close(outer)
        os.close(inner)
