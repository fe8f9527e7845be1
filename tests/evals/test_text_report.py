"""The report on a text: which ways of scoring, what the intervals draw, what gzip makes of the same bytes."""

import gzip
import math
from pathlib import Path

import pytest
import torch

from nn2llm.core.errors import DataError
from nn2llm.data.corpora import TextCorpus, load_corpus
from nn2llm.evals.perplexity import score_documents, score_text
from nn2llm.evals.text_report import evaluate_text
from nn2llm.tokenizers import train_tokenizer
from tests.evals.conftest import TableModel, build_random_gpt


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer("char", ["abcdefghijklmnopqrstuvwxyz .0123456789é"])


@pytest.fixture(scope="module")
def documents() -> TextCorpus:
    return TextCorpus([f"document {n} says {n * n}." for n in range(400)], name="numbers")


@pytest.fixture
def running(tmp_path: Path):
    path = tmp_path / "running.txt"
    path.write_text("the cat sat on the mat. the dog sat on the cat. " * 40)
    return load_corpus(str(path))


def test_many_documents_are_scored_in_rows_and_alone(tokenizer, documents):
    model = build_random_gpt(tokenizer.vocab_size)
    report = evaluate_text(model, tokenizer, documents, batch_size=8)
    texts = list(documents.documents("val"))
    rows, alone = report.figures
    assert (rows.way, rows.stride, alone.way, alone.stride) == ("rows", 16, "alone", 8)
    expected = score_text(model, tokenizer, texts, separate_documents=True)
    assert rows.bits_per_byte.estimate == pytest.approx(expected.bits_per_byte, rel=1e-5)
    expected = score_documents(model, tokenizer, texts)
    assert alone.bits_per_byte.estimate == pytest.approx(expected.bits_per_byte, rel=1e-5)
    assert alone.nats_per_token.estimate == pytest.approx(expected.nats_per_token, rel=1e-5)
    assert alone.perplexity.estimate == pytest.approx(math.exp(expected.nats_per_token), rel=1e-5)
    for figures in report.figures:
        assert (figures.unit, figures.num_units) == ("document", len(texts))
        assert figures.num_bytes == report.num_bytes == sum(map(len, texts))
        assert figures.num_tokens == report.num_bytes + len(texts)
        for interval in (figures.bits_per_byte, figures.perplexity, figures.nats_per_token):
            assert interval.low < interval.estimate < interval.high
    assert report.num_documents == len(texts)
    assert not report.is_cut


def test_a_running_text_is_scored_in_rows_and_through_a_window(tokenizer, running):
    model = build_random_gpt(tokenizer.vocab_size)
    report = evaluate_text(model, tokenizer, running, seq_len=12, stride=4)
    [text] = running.documents("val")
    rows, sliding = report.figures
    assert (rows.way, rows.stride, sliding.way, sliding.stride) == ("rows", 12, "sliding", 4)
    expected = score_text(model, tokenizer, [text], separate_documents=False, seq_len=12, stride=4)
    assert sliding.bits_per_byte.estimate == pytest.approx(expected.bits_per_byte, rel=1e-5)
    # 192 characters: fewer than 50 rows of 12, so shorter stretches would be drawn if 16 were not the least
    assert sliding.num_tokens == len(text) == 192
    assert (sliding.unit, sliding.num_units) == ("stretch of 12 tokens", 16)
    assert report.num_documents == 1


def test_disjoint_rows_alone_where_the_stride_is_a_row(tokenizer, running, documents):
    model = TableModel(torch.zeros(tokenizer.vocab_size, tokenizer.vocab_size))
    report = evaluate_text(model, tokenizer, running, stride=8)
    assert [figures.way for figures in report.figures] == ["rows"]
    report = evaluate_text(model, tokenizer, running, stride=8, rows=False)
    assert [figures.way for figures in report.figures] == ["rows"]
    report = evaluate_text(model, tokenizer, documents, rows=False)
    assert [figures.way for figures in report.figures] == ["alone"]


def test_few_documents_are_drawn_in_stretches(tokenizer):
    corpus = TextCorpus([f"{n} " * 300 for n in range(12)])
    report = evaluate_text(TableModel(torch.zeros(40, 40)), tokenizer, corpus, split="train")
    assert [figures.way for figures in report.figures] == ["rows", "sliding"]
    assert "stretch of" in report.figures[0].unit


def test_a_uniform_model_costs_the_logarithm_of_the_vocabulary(tokenizer, running):
    size = tokenizer.vocab_size
    report = evaluate_text(TableModel(torch.zeros(size, size)), tokenizer, running)
    for figures in report.figures:
        assert figures.perplexity.estimate == pytest.approx(size, rel=1e-6)
        assert figures.bits_per_byte.estimate == pytest.approx(math.log2(size), rel=1e-6)  # ASCII


def test_compressors_see_the_same_bytes(tokenizer, running):
    report = evaluate_text(TableModel(torch.zeros(40, 40)), tokenizer, running)
    data = "".join(running.documents("val")).encode()
    assert report.baselines.gzip == pytest.approx(8 * len(gzip.compress(data, 9, mtime=0)) / len(data))
    assert report.xz_has_read_training_text
    assert report.baselines.xz_after_train < report.baselines.xz  # the training text holds it all
    report = evaluate_text(TableModel(torch.zeros(40, 40)), tokenizer, running, split="all")
    assert not report.xz_has_read_training_text
    assert report.num_bytes == 48 * 40


def test_limits(tokenizer, documents, running):
    model = TableModel(torch.zeros(40, 40))
    report = evaluate_text(model, tokenizer, documents, max_documents=25)
    assert (report.num_documents, report.is_cut) == (25, True)
    report = evaluate_text(model, tokenizer, documents, max_tokens=700)
    assert report.is_cut
    assert 650 < report.figures[0].num_tokens <= 700
    report = evaluate_text(model, tokenizer, running, max_tokens=100)
    assert report.is_cut
    assert report.figures[0].num_tokens == report.num_bytes == 100


def test_a_cut_leaves_no_half_character(tokenizer):
    bpe = train_tokenizer("bpe", ["é" * 9], vocab_size=257)  # every byte a token
    corpus = TextCorpus(["é" * 100])
    report = evaluate_text(TableModel(torch.zeros(257, 257)), bpe, corpus, split="all", max_tokens=31)
    assert report.num_bytes == 30


def test_too_little_text_is_said_in_a_sentence(tokenizer):
    corpus = TextCorpus(["ab"], name="tiny")
    with pytest.raises(DataError, match=r"text of tiny to evaluate on has 1 bytes; .* Give at least 16\."):
        evaluate_text(TableModel(torch.zeros(40, 40)), tokenizer, corpus)


def test_a_text_of_one_token_is_said_in_a_sentence():
    word = "extraordinarily so"
    bpe = train_tokenizer("bpe", [word] * 9, vocab_size=280)
    assert len(bpe.encode(word)) == 2
    model = TableModel(torch.zeros(280, 280))
    evaluate_text(model, bpe, TextCorpus([word]), split="all")
    one = train_tokenizer("bpe", ["extraordinarilyso"] * 9, vocab_size=280)
    with pytest.raises(DataError, match="is a single token, which has no interval"):
        evaluate_text(model, one, TextCorpus(["extraordinarilyso"]), split="all")
