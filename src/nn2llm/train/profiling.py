"""Where the time of a step goes: torch's profiler over a few steps, after a few to warm up.

`nn2llm pretrain --profile` prints the table and writes a trace for chrome://tracing or Perfetto.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch.profiler import ProfilerActivity, profile, schedule

__all__ = ["StepProfiler"]

_WARMUP_STEPS, _PROFILED_STEPS = 5, 10


class StepProfiler:
    """A context manager around the loop; `step()` is called after each training step."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.trace_path = folder / "profile.json"
        self._device = device
        activities = [ProfilerActivity.CPU]
        if device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        self._profile = profile(
            activities=activities,
            schedule=schedule(wait=0, warmup=_WARMUP_STEPS, active=_PROFILED_STEPS, repeat=1),
            on_trace_ready=self._report,
            record_shapes=True,
        )

    def __enter__(self) -> Self:
        self._profile.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._profile.__exit__(kind, error, trace)

    def step(self) -> None:
        """Tell the profiler that a training step has ended."""
        self._profile.step()

    def _report(self, finished: profile) -> None:
        key = "self_device_time_total" if self._device.type == "cuda" else "self_cpu_time_total"
        print(finished.key_averages().table(sort_by=key, row_limit=15, max_name_column_width=48))
        finished.export_chrome_trace(str(self.trace_path))
        print(f"{_PROFILED_STEPS} steps profiled; the trace is in {self.trace_path}.")
