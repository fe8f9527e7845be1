"""The held-out loss: every token once, summed by hand."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nn2llm.data.corpora import TextCorpus, load_corpus
from nn2llm.data.prepare import TokenDataset, prepare_dataset
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.tokenizers import train_tokenizer
from nn2llm.train.evaluation import (
    compute_bits_per_byte,
    compute_validation_loss,
    count_tokens_per_byte,
)


@pytest.fixture
def dataset(corpus: Path, tmp_path: Path) -> TokenDataset:
    text = load_corpus(str(corpus))
    return prepare_dataset(text, train_tokenizer("char", text.documents("train")), tmp_path / "data")


@pytest.fixture
def model(dataset: TokenDataset) -> GPT:
    torch.manual_seed(0)
    config = GPTConfig(
        vocab_size=dataset.vocab_size,
        n_layer=1,
        n_head=2,
        n_embd=16,
        max_seq_len=16,
        dropout=0.5,
        init="gpt2",
    )
    model = GPT(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model.train()


@pytest.mark.parametrize(("batch_size", "seq_len"), [(4, 16), (3, 7), (1000, 16)])
def test_the_loss_is_that_of_a_loop_over_every_token(dataset, model, batch_size, seq_len):
    got = compute_validation_loss(model, dataset, batch_size=batch_size, seq_len=seq_len)
    assert model.training  # left as it was
    tokens = dataset.val[0 : len(dataset.val)].tolist()
    exact = GPT(model.config)
    exact.load_state_dict(model.state_dict())
    exact.double().eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(tokens) - 1, seq_len):
            row = tokens[start : start + seq_len + 1]
            logprobs = exact(torch.tensor([row[:-1]])).logits[0].log_softmax(-1)
            for place, token in enumerate(row[1:]):
                total -= logprobs[place, token].item()
                count += 1
    assert count == len(tokens) - 1  # every token after the first, once
    assert got == pytest.approx(total / count, rel=1e-6)


def test_only_the_first_tokens_where_asked(dataset, model):
    part = compute_validation_loss(model, dataset, batch_size=2, seq_len=16, max_tokens=32)
    logprobs = model.eval()(torch.tensor(dataset.val[0:32].astype("int64")).view(2, 16)).logits.log_softmax(
        -1
    )
    labels = torch.tensor(dataset.val[1:33].astype("int64")).view(2, 16, 1)
    assert part == pytest.approx(-logprobs.gather(2, labels).mean().item(), rel=1e-5)


def test_a_uniform_model_has_the_loss_of_its_vocabulary(dataset, model):
    with torch.no_grad():
        model.head.weight.zero_()
    loss = compute_validation_loss(model, dataset, batch_size=8, seq_len=16)
    assert loss == pytest.approx(math.log(dataset.vocab_size), rel=1e-6)
    # one character is one byte here: log2 of the vocabulary
    assert compute_bits_per_byte(loss, 1.0) == pytest.approx(math.log2(dataset.vocab_size), rel=1e-6)


def test_bits_per_byte_by_hand(dataset):
    # 2 nats a token, 300 tokens of 1200 bytes: 600 nats are 600 / ln 2 bits
    counts = {**dataset.counts, "val": replace(dataset.counts["val"], num_tokens=300, num_bytes=1200)}
    tokens_per_byte = count_tokens_per_byte(replace(dataset, counts=counts), np.ones(dataset.vocab_size))
    assert compute_bits_per_byte(2.0, tokens_per_byte) == pytest.approx(600 / math.log(2) / 1200)


def test_a_part_of_the_text_is_divided_by_its_own_bytes(tmp_path):
    corpus = TextCorpus(["aaaa" * 50 + "éééé" * 50])  # held out: the last tenth, two bytes a character
    tokenizer = train_tokenizer("char", ["aé"])
    dataset = prepare_dataset(corpus, tokenizer, tmp_path / "data")
    sizes = tokenizer.num_bytes_per_token()
    assert count_tokens_per_byte(dataset, sizes) == 0.5
    assert count_tokens_per_byte(dataset, sizes, max_tokens=7) == 0.5
    # as if the tokens of the beginning were longer than the rest
    assert count_tokens_per_byte(dataset, 3 * sizes, max_tokens=7) == pytest.approx(1 / 6)


def test_with_a_document_mask_a_document_is_predicted_from_its_mark_alone(tmp_path):
    corpus = TextCorpus([f"{n} is a number" for n in range(60)])
    dataset = prepare_dataset(corpus, train_tokenizer("char", corpus.documents("train")), tmp_path / "data")
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=dataset.vocab_size, n_layer=1, n_head=1, n_embd=8, max_seq_len=16)
    model = GPT(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    got = compute_validation_loss(model, dataset, batch_size=64, seq_len=16, document_mask=True)
    # each document by itself, from its mark on; all fit into a row (RoPE sees only distances)
    tokens = dataset.val[0 : len(dataset.val)].tolist()
    total, count = 0.0, 0
    piece: list[int] = []
    for token, label in itertools.pairwise(tokens):
        piece = [token] if token == dataset.end_of_text_id else [*piece, token]
        logprobs = model(torch.tensor([piece])).logits[0, -1].log_softmax(-1)
        total -= logprobs[label].item()
        count += 1
    assert got == pytest.approx(total / count, rel=1e-5)
