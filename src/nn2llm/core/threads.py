"""How many CPU threads write best. Used by train/ for samples and by the command line."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["few_threads"]

# From here on a step reads enough memory (40 MB) to be worth two threads.
_MANY_PARAMETERS = 10_000_000


@contextmanager
def few_threads(model: "nn.Module") -> Iterator[None]:
    """One CPU thread while a small model writes; as many as before afterwards.

    A step of one token is too little work to share: on two busy cores 2 layers of 96 wrote 449 tokens/s with
    one thread and 50 with two, which mostly waited for each other.
    """
    import torch  # not at the top: the command line asks its questions before torch is loaded

    num_threads = torch.get_num_threads()
    weights = list(model.parameters())
    if weights[0].device.type == "cpu" and sum(weight.numel() for weight in weights) < _MANY_PARAMETERS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)
