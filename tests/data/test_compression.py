import gzip
import random

import pytest

from nn2llm.data.compression import compute_compression_baselines


def test_gzip_is_that_of_the_library():
    val = b"to be or not to be, that is the question. " * 20
    bits = compute_compression_baselines(b"", val)
    assert bits.gzip == len(gzip.compress(val, 9)) * 8 / len(val)
    assert bits.xz_after_train == bits.xz


def test_noise_does_not_compress_but_noise_read_before_does():
    noise = random.Random(0).randbytes(20_000)
    alone = compute_compression_baselines(b"", noise)
    assert 8 <= alone.gzip < 8.1
    assert 8 <= alone.xz < 8.1
    assert compute_compression_baselines(noise, noise).xz_after_train < 0.2


def test_only_the_end_of_a_long_training_text_is_read():
    noise = random.Random(0).randbytes(5_000)
    train = noise + bytes(10_000)
    assert compute_compression_baselines(train, noise, max_train_bytes=10_000).xz_after_train > 8
    assert compute_compression_baselines(train, noise, max_train_bytes=15_000).xz_after_train < 0.2


def test_no_text_is_refused():
    with pytest.raises(ValueError, match="at least one byte"):
        compute_compression_baselines(b"abc", b"")
