"""How many weights a run's checkpoint holds, read from the headers of its safetensors files alone.

Imports the standard library only: the course's server and `nn2llm runs` must not wait for torch.
Format: https://github.com/huggingface/safetensors#format (length of the header, then JSON).
"""

import json
import math
import struct
from pathlib import Path

__all__ = ["count_stored_parameters"]

_MAX_HEADER_BYTES = 100_000_000


def count_stored_parameters(run: Path) -> int | None:
    """Sum of the sizes of all tensors in the newest checkpoint; None where no file tells."""
    for checkpoint in sorted((run / "checkpoints").glob("step_*"), reverse=True):
        files = sorted(checkpoint.glob("model*.safetensors"))
        try:
            return sum(map(_count_tensors, files)) if files else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
            continue
    return None


def _count_tensors(path: Path) -> int:
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(min(length, _MAX_HEADER_BYTES)))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
