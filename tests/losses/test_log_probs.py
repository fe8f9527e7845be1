"""Log-probabilities of given tokens: by hand, equal on both paths, and independent of padding."""

import math

import pytest
import torch
from torch.testing import assert_close

from nn2llm.losses import compute_logprobs, cross_entropy, mean_logps, soft_cap, sum_logps
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig


def make_problem(batch=3, length=5, width=4, vocab=7, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(batch, length, width, generator=generator, dtype=dtype).requires_grad_()
    weight = torch.randn(vocab, width, generator=generator, dtype=dtype).requires_grad_()
    labels = torch.randint(vocab, (batch, length), generator=generator)
    labels[0, :2] = labels[1, 4:] = -100
    return hidden, weight, labels


def test_values_by_hand():
    # softmax([log 1, log 3]) = [1/4, 3/4]
    logits = torch.tensor([0.0, math.log(3)]).expand(1, 3, 2)
    labels = torch.tensor([[-100, 0, 1]])
    expected = torch.tensor([[0.0, math.log(1 / 4), math.log(3 / 4)]])
    logprobs = compute_logprobs(logits, labels)
    assert_close(logprobs, expected)
    assert_close(sum_logps(logprobs), torch.tensor([math.log(3 / 16)]))
    assert_close(mean_logps(logprobs, labels), torch.tensor([math.log(3 / 16) / 2]))


def test_a_row_without_labels_is_zero():
    labels = torch.full((2, 3), -100)
    logprobs = compute_logprobs(torch.randn(2, 3, 5), labels)
    assert_close(sum_logps(logprobs), torch.zeros(2))
    assert_close(mean_logps(logprobs, labels), torch.zeros(2))
    hidden = torch.randn(2, 3, 4, requires_grad=True)
    logprobs = compute_logprobs((hidden, torch.randn(5, 4)), labels)
    assert_close(logprobs, torch.zeros(2, 3))
    logprobs.sum().backward()
    assert_close(hidden.grad, torch.zeros_like(hidden))


def test_equals_negative_cross_entropy():
    hidden, weight, labels = make_problem()
    logits = hidden @ weight.T
    expected = -cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
    assert_close(compute_logprobs(logits, labels), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("max_logits", [1, 7, 14, 28, 10**6])  # 1, 1, 2, 4 rows and all at a time
def test_hidden_states_give_the_same_with_gradients(softcap, max_logits):
    hidden, weight, labels = make_problem()
    logits = hidden @ weight.T
    expected = compute_logprobs(logits if softcap is None else soft_cap(logits, softcap), labels)
    ours = compute_logprobs((hidden, weight), labels, softcap=softcap, max_logits=max_logits)
    assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    upstream = torch.linspace(-1, 2, ours.numel(), dtype=ours.dtype).view_as(ours)
    grads = torch.autograd.grad(ours, (hidden, weight), upstream)
    expected_grads = torch.autograd.grad(expected, (hidden, weight), upstream)
    assert_close(grads, expected_grads, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        again = compute_logprobs((hidden, weight), labels, softcap=softcap, max_logits=max_logits)
    assert_close(again, ours.detach(), rtol=0, atol=0)


def test_chunks_keep_few_logits_for_the_backward_pass():
    hidden, weight, labels = make_problem(batch=4, length=16, vocab=50)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        compute_logprobs((hidden, weight), labels, max_logits=250)
    assert max(kept) <= weight.numel() == 200  # none of the logits, 50 rows x 50 tokens in chunks of 250
    kept.clear()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        compute_logprobs((hidden, weight), labels)
    assert max(kept) == 50 * 50  # the monitor sees what it should


def test_half_precision_gives_float32():
    hidden, weight, labels = make_problem(dtype=torch.bfloat16)
    assert compute_logprobs((hidden, weight), labels).dtype == torch.float32
    assert compute_logprobs(hidden @ weight.T, labels).dtype == torch.float32


@pytest.mark.parametrize("softcap", [None, 3.0])
def test_of_a_gpt_equal_its_loss(softcap):
    torch.manual_seed(0)
    model = GPT(GPTConfig(n_layer=1, n_head=2, n_embd=8, vocab_size=11, max_seq_len=8, logit_softcap=softcap))
    ids = torch.randint(11, (2, 6))
    labels = ids.roll(-1, dims=1)
    labels[:, -1] = -100
    hidden = model.compute_hidden(ids)
    logprobs = compute_logprobs((hidden, model.head_weight), labels, softcap=softcap)
    assert_close(-logprobs.sum(), model.compute_loss(hidden, labels, reduction="sum"), rtol=1e-6, atol=1e-6)
    assert_close(logprobs, compute_logprobs(model.compute_logits(hidden), labels), rtol=1e-6, atol=1e-6)


def test_padding_and_batch_do_not_change_a_reply():
    torch.manual_seed(0)
    model = GPT(GPTConfig(n_layer=2, n_head=2, n_embd=16, vocab_size=23, max_seq_len=16)).eval()
    rows = [torch.randint(23, (length,)) for length in (4, 9, 16)]

    def score(rows):
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        labels = torch.full_like(ids, -100)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            labels[i, 1 : len(row) - 1] = row[2:]  # the reply begins at the third token
        with torch.no_grad():
            return sum_logps(compute_logprobs((model.compute_hidden(ids), model.head_weight), labels))

    together = score(rows)
    alone = torch.cat([score([row]) for row in rows])
    assert_close(together, alone, rtol=0, atol=1e-5)
    assert_close(score(rows[::-1]).flip(0), together, rtol=0, atol=1e-5)


def test_soft_cap_beside_logits_is_refused():
    with pytest.raises(ValueError, match=r"softcap=30\.0 is for"):
        compute_logprobs(torch.zeros(1, 2, 3), torch.zeros(1, 2, dtype=torch.long), softcap=30.0)


def test_soft_cap_must_be_positive():
    with pytest.raises(ValueError, match="soft cap must be > 0, got -1"):
        compute_logprobs((torch.zeros(1, 2, 3), torch.zeros(4, 3)), torch.zeros(1, 2).long(), softcap=-1.0)
