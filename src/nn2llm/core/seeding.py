"""Random numbers: seed them all, save their states, put them back exactly.

Used by train/ (a resumed run draws the numbers it would have drawn) and by tests.
The saved state holds only tensors, numbers and lists, so `torch.load(weights_only=True)` reads it.
"""

import random
from typing import Any

import numpy as np
import torch

from nn2llm.core.errors import CheckpointError, ConfigError

__all__ = ["capture_random_state", "compute_step_seed", "restore_random_state", "seed_everything"]

_MAX_SEED = 2**32 - 1


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch, on every device.

    Raises:
        ConfigError: if the seed is not in 0 … 2³² − 1, the range NumPy takes.
    """
    if not 0 <= seed <= _MAX_SEED:
        raise ConfigError(f"seed must be between 0 and {_MAX_SEED}, got {seed}.")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # CUDA and MPS too


def compute_step_seed(seed: int, step: int, rank: int) -> int:
    """A seed for what a step draws (dropout): its own in each step and process, whatever was drawn before."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0])


def capture_random_state() -> dict[str, Any]:
    """The state of every generator, as tensors, numbers and lists that `torch.save` can hold."""
    version, words, next_gauss = random.getstate()
    numpy_state: Any = np.random.get_state(legacy=False)
    state: dict[str, Any] = {
        "python": {"version": version, "words": torch.tensor(words), "next_gauss": next_gauss},
        "numpy": {
            "key": torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
            "pos": int(numpy_state["state"]["pos"]),
            "has_gauss": int(numpy_state["has_gauss"]),
            "gauss": float(numpy_state["gauss"]),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Put back what `capture_random_state` returned; the next draws are the same ones.

    States of GPUs that this machine does not have are passed over.

    Raises:
        CheckpointError: if `state` is not such a state; the generators then stay as they were.
    """
    try:
        python, numpy_part = state["python"], state["numpy"]
        python_state = (python["version"], tuple(python["words"].tolist()), python["next_gauss"])
        numpy_state = {
            "bit_generator": "MT19937",
            "state": {"key": numpy_part["key"].numpy().astype(np.uint32), "pos": numpy_part["pos"]},
            "has_gauss": numpy_part["has_gauss"],
            "gauss": numpy_part["gauss"],
        }
        torch_state, cuda_states = state["torch"].cpu(), [one.cpu() for one in state["cuda"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"The saved random state is damaged ({type(error).__name__}: {error}). "
            "Resume from another checkpoint."
        ) from error
    before = capture_random_state()
    try:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        for index, one in enumerate(cuda_states[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(one, index)
        if "mps" in state and torch.backends.mps.is_available():
            torch.mps.set_rng_state(state["mps"].cpu())
    except (ValueError, TypeError, RuntimeError) as error:
        restore_random_state(before)
        raise CheckpointError(
            f"The saved random state does not fit ({error}). Resume from another checkpoint."
        ) from error
