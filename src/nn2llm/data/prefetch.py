"""Make the next batches while the model works on this one, and copy them to the GPU on the side.

Read after data/batches.py. Used by train/. A thread reads and casts, puts the batch into pinned memory and
starts its copy on a CUDA stream of its own, so the copy runs beside the model's kernels. The state is that of
the last batch handed out, not of those made ahead.
"""

import queue
import threading
import weakref
from typing import Any, NamedTuple, Protocol

import torch

from nn2llm.data.batches import Batch

__all__ = ["BatchSource", "PrefetchLoader"]

_POLL_S = 0.1


class BatchSource(Protocol):
    """What can be prefetched: every loader of data/batches.py."""

    def next_batch(self) -> Batch:
        """The next batch."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a position."""
        ...


class _Ready(NamedTuple):
    batch: Batch
    state: dict[str, Any]
    copied: "torch.cuda.Event | None"


class PrefetchLoader:
    """`loader`, `depth` batches ahead, on `device`. The wrapped loader must not be used beside it.

    Gives the same batches as the loader itself. Errors of the loader come out of `next_batch`.
    """

    def __init__(self, loader: BatchSource, device: torch.device | str = "cpu", *, depth: int = 2) -> None:
        if depth < 1:
            raise ValueError(f"depth must be >= 1, got {depth}.")
        self.device = torch.device(device)
        self._loader = loader
        self._depth = depth
        self._state = loader.state_dict()
        self._worker: _Worker | None = None

    def next_batch(self) -> Batch:
        """The next batch, on the device."""
        if self._worker is None:
            self._worker = _Worker(self._loader, self.device, self._depth)
            # A loader that is forgotten must not leave a thread that waits for ever.
            weakref.finalize(self, self._worker.stopping.set)
        ready = self._worker.take()
        self._state = ready.state
        if ready.copied is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(ready.copied)
            for tensor in (ready.batch.input_ids, ready.batch.labels, ready.batch.document_ids):
                if tensor is not None:
                    # Made on another stream: its memory may be reused only after this stream is done with it.
                    tensor.record_stream(stream)
        return ready.batch

    def state_dict(self) -> dict[str, Any]:
        """The position after the last batch handed out."""
        return dict(self._state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a position; what was made ahead is thrown away."""
        self.close()
        self._loader.load_state_dict(state)
        self._state = self._loader.state_dict()

    def close(self) -> None:
        """Stop the thread. `next_batch` starts it again where the last batch handed out ended."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
            self._loader.load_state_dict(self._state)


class _Worker:
    """The thread and its queue; knows nothing of the PrefetchLoader, so that one can be collected."""

    def __init__(self, loader: BatchSource, device: torch.device, depth: int) -> None:
        self.stopping = threading.Event()
        self._loader = loader
        self._device = device
        self._queue: queue.Queue[_Ready | Exception] = queue.Queue(maxsize=depth)
        self._thread = threading.Thread(target=self._run, name="nn2llm-prefetch", daemon=True)
        self._thread.start()

    def take(self) -> _Ready:
        item = self._queue.get()
        if isinstance(item, Exception):
            self._put(item)  # the thread has ended: whoever asks again hears the same
            raise item
        return item

    def stop(self) -> None:
        self.stopping.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            stream = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None
            while not self.stopping.is_set():
                batch = self._loader.next_batch()
                self._put(self._send(batch, self._loader.state_dict(), stream))
        except Exception as error:  # handed to the thread that asks, not lost in this one
            self._put(error)

    def _send(self, batch: Batch, state: dict[str, Any], stream: "torch.cuda.Stream | None") -> _Ready:
        if stream is None:
            return _Ready(batch.to(self._device), state, None)
        with torch.cuda.stream(stream):
            on_device = batch.pin_memory().to(self._device, non_blocking=True)
            copied = torch.cuda.Event()
            copied.record(stream)
        return _Ready(on_device, state, copied)

    def _put(self, item: "_Ready | Exception") -> None:
        while not self.stopping.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
                return
            except queue.Full:
                continue
