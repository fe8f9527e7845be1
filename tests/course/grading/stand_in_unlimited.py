"""The stand-in for a system without limits: importing this in the warm server switches them off.

What is left is the process that watches, without pidfd too.
"""

import os

from nn2llm.course.grading import containment, linux
from tests.course.grading.stand_in import run_job

__all__ = ["run_job"]

containment._limit_resources = lambda *_args, **_named: None  # type: ignore[assignment]
del os.pidfd_open
linux.write_only_below = lambda _: False  # type: ignore[assignment]
linux.refuse_network_and_signals = lambda _: True  # type: ignore[assignment]
