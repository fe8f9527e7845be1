"""Several processes, one model: who am I, and sums over all of us.

Started by `torchrun`, each process reads its rows and computes its gradient; summing the gradients and
dividing by the number of labels over all processes gives the gradient of one large batch.
Used by train/pretrain.py.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor

from nn2llm.core.errors import DeviceError

__all__ = ["Processes"]

# One process tokenises the text while the others wait: hours, for a large one. Where a process fails,
# torchrun ends the others at once.
_TIMEOUT = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes of this run: one, unless started by torchrun."""

    rank: int = 0
    """Number of this process, from 0."""
    world_size: int = 1
    """Number of processes."""
    local_rank: int = 0
    """Number of this process on its machine: which GPU is its own."""

    @classmethod
    def join(cls, device_type: str) -> Self:
        """Meet the other processes, if torchrun started this one. `device_type` decides nccl or gloo.

        Raises:
            DeviceError: if there are more processes than GPUs.
        """
        if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
            return cls()
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        if device_type == "cuda":
            num_gpus = torch.cuda.device_count()
            if local_rank >= num_gpus:
                raise DeviceError(
                    f"torchrun started process {local_rank + 1} on a machine with {num_gpus} GPUs. "
                    f"Set --nproc-per-node {num_gpus}."
                )
            torch.cuda.set_device(local_rank)  # or nccl would gather all processes on the first GPU
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device_type == "cuda" else "gloo", timeout=_TIMEOUT)
        return cls(dist.get_rank(), dist.get_world_size(), local_rank)

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.world_size > 1:
            dist.all_reduce(tensor)
        return tensor

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether `flag` is set in any process: what one decides by it, all decide."""
        if self.world_size == 1:
            return flag
        return bool(self.sum(torch.tensor(int(flag), device=device)).item())

    def sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Sum every gradient over all processes: one message a dtype, since many small ones are slow."""
        if self.world_size == 1:
            return
        by_dtype: dict[torch.dtype, list[Tensor]] = {}
        for parameter in parameters:
            if parameter.grad is not None:
                by_dtype.setdefault(parameter.grad.dtype, []).append(parameter.grad)
        for gradients in by_dtype.values():
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(flat)
            pieces = flat.split([gradient.numel() for gradient in gradients])
            torch._foreach_copy_(
                gradients,
                [piece.view_as(gradient) for gradient, piece in zip(gradients, pieces, strict=True)],
            )

    def wait(self) -> None:
        """Wait for all processes."""
        if self.world_size > 1:
            dist.barrier()

    def leave(self) -> None:
        """Part from the others, at the end."""
        if self.world_size > 1 and dist.is_initialized():
            dist.destroy_process_group()
