"""Cross-entropy: by hand, by property, and equal to torch's."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from nn2llm.losses import count_targets, cross_entropy, fast_cross_entropy, soft_cap


def make_problem(num=7, vocab=11, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num, vocab, generator=generator, dtype=dtype) * 3
    labels = torch.randint(vocab, (num,), generator=generator)
    labels[2] = -100
    return logits, labels


def test_value_by_hand():
    # softmax([log 1, log 3]) = [1/4, 3/4]
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    assert_close(
        cross_entropy(logits, torch.tensor([0, 1]), reduction="none"),
        torch.tensor([math.log(4), math.log(4 / 3)]),
    )


def test_equal_logits_give_log_v():
    assert_close(
        cross_entropy(torch.full((3, 65), 7.0), torch.tensor([0, 1, 64])), torch.tensor(math.log(65))
    )


def test_label_smoothing_by_hand():
    # target [0.9, 0.1] for e = 0.2 over two tokens
    logits = torch.tensor([[math.log(3), 0.0]])
    expected = -0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4)
    assert_close(cross_entropy(logits, torch.tensor([0]), label_smoothing=0.2), torch.tensor(expected))


def test_z_loss_by_hand():
    # logsumexp(0, 0) = log 2
    loss = cross_entropy(torch.zeros(1, 2), torch.tensor([0]), z_loss=0.5)
    assert_close(loss, torch.tensor(math.log(2) + 0.5 * math.log(2) ** 2))


def test_soft_cap_by_hand():
    assert_close(soft_cap(torch.tensor([0.0, 30.0, 1e9]), 30.0), torch.tensor([0.0, 30 * math.tanh(1), 30.0]))


def test_large_logits_stay_finite():
    logits = torch.tensor([[1e4, 0.0], [-1e4, -1e4]])
    assert_close(
        cross_entropy(logits, torch.tensor([1, 0]), reduction="none"), torch.tensor([1e4, math.log(2)])
    )


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 9),
    st.integers(2, 20),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.sampled_from(["mean", "sum", "none"]),
    st.integers(0, 1000),
)
def test_equals_torch(num, vocab, smoothing, reduction, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(num, vocab, generator=generator, dtype=torch.float64) * 5).requires_grad_()
    labels = torch.randint(vocab, (num,), generator=generator)
    labels[torch.rand(num, generator=generator) < 0.3] = -100
    labels[0] = 0  # at least one target
    ours = cross_entropy(logits, labels, label_smoothing=smoothing, reduction=reduction)
    theirs = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction=reduction)
    assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    ours_grad, theirs_grad = (torch.autograd.grad(x.sum(), logits)[0] for x in (ours, theirs))
    assert_close(ours_grad, theirs_grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_fast_equals_readable(reduction):
    logits, labels = make_problem()
    options = {"label_smoothing": 0.1, "z_loss": 0.01, "reduction": reduction}
    assert_close(fast_cross_entropy(logits, labels, **options), cross_entropy(logits, labels, **options))


def test_fast_raises_half_precision_to_float32():
    logits, labels = make_problem(dtype=torch.bfloat16)
    loss = fast_cross_entropy(logits, labels)
    assert loss.dtype == torch.float32
    assert_close(loss, cross_entropy(logits.float(), labels))


def test_sum_and_count_of_micro_batches_equal_one_batch():
    logits, labels = make_problem(num=9)
    parts = [(logits[i : i + 2], labels[i : i + 2]) for i in range(0, 9, 2)]
    total = sum(cross_entropy(x, y, reduction="sum") for x, y in parts)
    count = sum(count_targets(y) for _, y in parts)
    assert count == 8
    assert_close(total / count, cross_entropy(logits, labels))


def test_ignored_rows_have_no_gradient_and_no_loss():
    logits, labels = make_problem()
    logits.requires_grad_()
    loss = cross_entropy(logits, labels, z_loss=0.1, label_smoothing=0.1, reduction="none")
    loss.sum().backward()
    assert loss[2] == 0
    assert (logits.grad[2] == 0).all()
    assert (logits.grad[3] != 0).all()


def test_no_target_at_all_is_nan_as_in_torch():
    logits, labels = torch.zeros(2, 3), torch.tensor([-100, -100])
    assert cross_entropy(logits, labels).isnan()
    assert F.cross_entropy(logits, labels).isnan()
    assert cross_entropy(logits, labels, reduction="sum") == 0


@pytest.mark.parametrize("wrong", [-1, 11, 50_000])
def test_label_out_of_range_is_named(wrong):
    logits, labels = make_problem()
    labels[4] = wrong
    with pytest.raises(ValueError, match=rf"label {wrong} is outside \[0, 11\)"):
        cross_entropy(logits, labels)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label_smoothing": 1.5}, "label_smoothing"),
        ({"z_loss": -1.0}, "z_loss"),
        ({"reduction": "average"}, "reduction"),
    ],
)
def test_wrong_options_are_named(options, words):
    for function in (cross_entropy, fast_cross_entropy):
        with pytest.raises(Exception, match=words):  # beartype may refuse the literal first
            function(*make_problem(), **options)


def test_soft_cap_must_be_positive():
    with pytest.raises(ValueError, match="soft cap must be > 0, got 0"):
        soft_cap(torch.zeros(1), 0.0)
