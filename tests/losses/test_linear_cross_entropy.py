"""The chunked loss: equal to the plain path, with its gradients, and small in memory."""

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from nn2llm.losses import cross_entropy, linear_cross_entropy, soft_cap


def make_problem(num=13, width=6, vocab=17, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(num, width, generator=generator, dtype=dtype).requires_grad_()
    weight = torch.randn(vocab, width, generator=generator, dtype=dtype).requires_grad_()
    labels = torch.randint(vocab, (num,), generator=generator)
    labels[::5] = -100
    return hidden, weight, labels


def plain(hidden, weight, labels, *, softcap=None, **options):
    logits = hidden @ weight.T
    return cross_entropy(logits if softcap is None else soft_cap(logits, softcap), labels, **options)


OPTIONS = [
    {},
    {"softcap": 2.0},
    {"z_loss": 0.05},
    {"label_smoothing": 0.2},
    {"softcap": 3.0, "z_loss": 0.01, "label_smoothing": 0.1, "reduction": "sum"},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("chunk_size", [1, 4, 13, 100])
def test_equals_plain_path(options, dtype, tolerance, chunk_size):
    hidden, weight, labels = make_problem(dtype=dtype)
    ours = linear_cross_entropy(hidden, weight, labels, chunk_size=chunk_size, **options)
    theirs = plain(hidden, weight, labels, **options)
    assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    # a factor behind the loss, as a GradScaler or an accumulation puts there
    ours_grads = torch.autograd.grad(3 * ours, (hidden, weight))
    theirs_grads = torch.autograd.grad(3 * theirs, (hidden, weight))
    for ours_grad, theirs_grad in zip(ours_grads, theirs_grads, strict=True):
        assert_close(ours_grad, theirs_grad, rtol=tolerance, atol=5 * tolerance)


@pytest.mark.parametrize("options", OPTIONS)
def test_gradcheck(options):
    hidden, weight, labels = make_problem(num=5, width=3, vocab=4)
    assert torch.autograd.gradcheck(
        lambda h, w: linear_cross_entropy(h, w, labels, chunk_size=2, **options), (hidden, weight)
    )


def test_backward_twice_gives_the_same_gradient():
    hidden, weight, labels = make_problem()
    loss = linear_cross_entropy(hidden, weight, labels, chunk_size=4)
    first = torch.autograd.grad(loss, (hidden, weight), retain_graph=True)
    second = torch.autograd.grad(loss, (hidden, weight))
    assert_close(first, second, rtol=0, atol=0)


def test_frozen_weight_gets_no_gradient():
    hidden, weight, labels = make_problem()
    frozen = weight.detach()
    (ours,) = torch.autograd.grad(linear_cross_entropy(hidden, frozen, labels, chunk_size=4), hidden)
    (theirs,) = torch.autograd.grad(plain(hidden, frozen, labels), hidden)
    assert_close(ours, theirs)


def test_bf16_autocast_keeps_logits_in_float32():
    hidden, weight, labels = make_problem(num=64, width=32, vocab=50, dtype=torch.float32)
    hidden = (hidden / 4).detach().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = linear_cross_entropy(hidden, weight, labels, chunk_size=16, softcap=15.0)
    grads = torch.autograd.grad(loss, (hidden, weight))
    assert loss.dtype == grads[0].dtype == grads[1].dtype == torch.float32

    # exactly what the plain path gives, for a product rounded to bfloat16 and all else in float32
    logits = (hidden.bfloat16() @ weight.bfloat16().T).float()
    assert_close(loss, cross_entropy(soft_cap(logits, 15.0), labels), rtol=1e-6, atol=1e-6)
    exact = torch.autograd.grad(plain(hidden, weight, labels, softcap=15.0), (hidden, weight))
    for ours, theirs in zip(grads, exact, strict=True):
        assert (ours - theirs).norm() < 0.01 * theirs.norm()  # bfloat16 has 8 bits: 0.4% a number


class LargestTensor(TorchDispatchMode):
    """Remembers the size of the largest tensor that any operation returned."""

    num_elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.num_elements = max(self.num_elements, tensor.numel())
        return result


def test_no_tensor_is_larger_than_a_chunk_of_logits():
    num, width, vocab, chunk_size = 96, 4, 200, 8
    hidden, weight, labels = make_problem(num=num, width=width, vocab=vocab)
    with LargestTensor() as chunked:
        linear_cross_entropy(
            hidden, weight, labels, chunk_size=chunk_size, softcap=5.0, z_loss=0.1
        ).backward()
    with LargestTensor() as whole:
        plain(hidden, weight, labels, softcap=5.0, z_loss=0.1).backward()
    assert whole.num_elements == num * vocab  # the monitor sees what it should
    assert chunked.num_elements == chunk_size * vocab


def test_no_gradient_is_made_without_need():
    hidden, weight, labels = make_problem(
        num=8, width=50, vocab=10
    )  # weight: 500 numbers, logits: 20 a chunk
    with torch.no_grad(), LargestTensor() as monitor:
        loss = linear_cross_entropy(hidden, weight, labels, chunk_size=2)
    assert not loss.requires_grad
    # the weight itself is seen (transposed, converted); a gradient of it would be made by zeros_like
    assert_close(loss, plain(hidden, weight, labels).detach())
    assert monitor.num_elements == 500


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"chunk_size": 0}, "chunk_size must be at least 1, got 0"),
        ({"softcap": -1.0}, "soft cap must be > 0, got -1"),
        ({"reduction": "none"}, "got 'none'"),
        ({"z_loss": -0.1}, "z_loss"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(ValueError, match=words):
        linear_cross_entropy(*make_problem(), **options)


@pytest.mark.skipif(not hasattr(torch.nn.functional, "linear_cross_entropy"), reason="torch older than 2.13")
def test_equals_torch():
    hidden, weight, labels = make_problem()
    ours = linear_cross_entropy(hidden, weight, labels, chunk_size=4, label_smoothing=0.1)
    theirs = torch.nn.functional.linear_cross_entropy(hidden, weight, labels, label_smoothing=0.1)
    assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
