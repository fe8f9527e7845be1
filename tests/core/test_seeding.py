import io
import random

import numpy as np
import pytest
import torch

from nn2llm.core.errors import CheckpointError, ConfigError
from nn2llm.core.seeding import capture_random_state, restore_random_state, seed_everything


def draw() -> list[float]:
    # gauss and standard_normal keep a spare value between calls: the part of a state that is easy to forget
    values = [random.random(), random.gauss(0, 1), np.random.rand(), np.random.standard_normal()]
    return [*values, *torch.rand(3).tolist(), *torch.randn(5).tolist(), *torch.randperm(7).tolist()]


def test_the_same_seed_draws_the_same_numbers_and_another_seed_others():
    seed_everything(3)
    first = draw()
    seed_everything(3)
    assert draw() == first
    seed_everything(4)
    assert draw() != first


def test_a_state_saved_with_torch_and_restored_draws_the_same_numbers():
    seed_everything(11)
    draw()  # leaves a spare gaussian in Python's and NumPy's generators
    file = io.BytesIO()
    torch.save(capture_random_state(), file)
    expected = [draw(), draw()]
    seed_everything(99)
    file.seek(0)
    restore_random_state(torch.load(file, weights_only=True))
    assert [draw(), draw()] == expected


def test_capturing_draws_nothing():
    seed_everything(5)
    expected = draw()
    seed_everything(5)
    capture_random_state()
    assert draw() == expected


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed: int):
    with pytest.raises(ConfigError, match=f"seed must be between 0 and 4294967295, got {seed}"):
        seed_everything(seed)


@pytest.mark.parametrize(
    ("key", "value"),
    [("torch", torch.zeros(3, dtype=torch.uint8)), ("torch", None), ("python", {}), ("numpy", {"key": 1})],
)
def test_a_damaged_state_is_refused_and_changes_nothing(key: str, value: object):
    seed_everything(1)
    good = capture_random_state()
    expected = draw()
    restore_random_state(good)
    with pytest.raises(CheckpointError, match="random state"):
        restore_random_state({**capture_random_state(), "python": seeded_python_state(), key: value})
    assert draw() == expected


def seeded_python_state() -> dict[str, object]:
    """Another valid state of Python's generator, so that a half-restored state would show."""
    here = random.getstate()
    random.seed(1234)
    state = capture_random_state()["python"]
    random.setstate(here)
    return state
