import gc
import threading

import numpy as np
import pytest
import torch

from nn2llm.core.errors import CheckpointError
from nn2llm.data.batches import PackedLoader
from nn2llm.data.prefetch import PrefetchLoader

TOKENS = np.random.default_rng(0).integers(0, 50, 500).astype(np.uint16)


def make_loader():
    return PackedLoader(TOKENS, batch_size=3, seq_len=8, seed=0, end_of_text_id=0)


def take(loader, count):
    batches = [loader.next_batch() for _ in range(count)]
    return [torch.stack([batch.input_ids, batch.labels, batch.document_ids]) for batch in batches]


@pytest.fixture
def prefetch():
    made = []

    def make(loader, **options):
        made.append(PrefetchLoader(loader, **options))
        return made[-1]

    yield make
    for loader in made:
        loader.close()


@pytest.mark.parametrize("depth", [1, 4])
def test_batches_and_state_are_those_of_the_loader_itself(prefetch, depth):
    plain, ahead = make_loader(), prefetch(make_loader(), depth=depth)
    assert ahead.state_dict() == plain.state_dict()
    for _ in range(60):
        assert torch.equal(take(plain, 1)[0], take(ahead, 1)[0])
        assert ahead.state_dict() == plain.state_dict()


def test_the_state_leads_on_with_the_batch_after_the_last_one_handed_out(prefetch):
    ahead = prefetch(make_loader(), depth=4)
    take(ahead, 7)
    state = ahead.state_dict()
    expected = take(ahead, 5)
    plain = make_loader()
    plain.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(take(plain, 5), expected, strict=True))
    ahead.load_state_dict(state)
    assert ahead.state_dict() == state
    assert all(torch.equal(a, b) for a, b in zip(take(ahead, 5), expected, strict=True))


def test_closing_loses_no_batch(prefetch):
    plain, ahead = make_loader(), prefetch(make_loader(), depth=3)
    expected = take(plain, 6)
    got = take(ahead, 3)
    ahead.close()
    got += take(ahead, 3)
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


class FailingLoader:
    def __init__(self) -> None:
        self.loader = make_loader()

    def next_batch(self):
        if self.loader.num_sequences >= 6:
            raise OSError("the disk has gone")
        return self.loader.next_batch()

    def state_dict(self):
        return self.loader.state_dict()

    def load_state_dict(self, state):
        self.loader.load_state_dict(state)


def test_an_error_comes_out_in_its_turn_and_again(prefetch):
    ahead = prefetch(FailingLoader(), depth=4)
    take(ahead, 2)
    for _ in range(2):
        with pytest.raises(OSError, match="the disk has gone"):
            ahead.next_batch()
    assert ahead.state_dict()["num_sequences"] == 6


def test_a_wrong_state_is_refused_and_the_position_stays(prefetch):
    plain, ahead = make_loader(), prefetch(make_loader())
    take(plain, 3)
    take(ahead, 3)
    with pytest.raises(CheckpointError, match="seed"):
        ahead.load_state_dict({**ahead.state_dict(), "seed": 5})
    assert torch.equal(take(plain, 1)[0], take(ahead, 1)[0])


def test_a_forgotten_loader_ends_its_thread():
    before = set(threading.enumerate())
    ahead = PrefetchLoader(make_loader())
    take(ahead, 1)
    (worker,) = set(threading.enumerate()) - before
    del ahead
    gc.collect()
    worker.join(timeout=60)
    assert not worker.is_alive()


def test_depth_below_one_is_refused():
    with pytest.raises(ValueError, match="depth must be >= 1, got 0"):
        PrefetchLoader(make_loader(), depth=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_the_batches_are_the_same(prefetch):
    plain, ahead = make_loader(), prefetch(make_loader(), device="cuda")
    for _ in range(100):
        busy = torch.randn(1000, 1000, device="cuda") @ torch.randn(1000, 1000, device="cuda")
        batch, expected = ahead.next_batch(), plain.next_batch()
        assert batch.input_ids.is_cuda
        assert torch.equal(batch.input_ids.cpu(), expected.input_ids)
        assert torch.equal(batch.labels.cpu(), expected.labels)
        assert busy.isfinite().all()
