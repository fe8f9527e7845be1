"""Loss against the floor: a world whose entropy is known, and models at, above and (falsely) below it."""

import itertools
import math
import random
from typing import NamedTuple

import numpy as np
import pytest
import torch

from nn2llm.core.errors import DataError
from nn2llm.evals.floor import compare_with_floor, read_documents
from nn2llm.evals.perplexity import DocumentScores, score_documents
from nn2llm.tokenizers import train_tokenizer
from tests.evals.conftest import TableModel


class Document(NamedTuple):
    text: str
    genre: str
    nats: float


class CoinWorld:
    """A document is a row of letters, "a" with probability `bias`, ended after each with probability 1/4."""

    def __init__(self, bias: float) -> None:
        self.bias = bias

    def sample(self, rng: random.Random) -> str:
        text = ""
        while True:
            text += "a" if rng.random() < self.bias else "b"
            if rng.random() < 0.25:
                return text

    def read(self, text: str) -> Document:
        if not text or set(text) - {"a", "b"}:
            raise DataError(f"{text!r} is not of this world. Give one.")
        letters = sum(-math.log(self.bias if letter == "a" else 1 - self.bias) for letter in text)
        nats = letters - math.log(0.25) - (len(text) - 1) * math.log(0.75)
        return Document(text, "long" if len(text) > 4 else "short", nats)

    def build_model(self) -> TableModel:
        """The same as a bigram table over a, b and the end."""
        letters = torch.tensor([self.bias, 1 - self.bias])
        later = torch.cat([0.75 * letters, torch.tensor([0.25])])
        first = torch.cat([letters, torch.tensor([1e-30])])
        return TableModel(torch.stack([later, later, first]).log(), max_seq_len=64)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = random.Random(0)
    return [CoinWorld(0.7).sample(rng) for _ in range(400)]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer("char", ["ab"])


def test_the_world_itself_as_a_model_stands_on_the_floor(texts, tokenizer):
    world = CoinWorld(0.7)
    scores = score_documents(world.build_model(), tokenizer, texts)
    floor = read_documents(world, texts)
    np.testing.assert_allclose(
        scores.nats, [document.nats for document in floor], rtol=1e-5
    )  # document by document
    result = compare_with_floor(scores, floor)[-1]
    assert result.kl.estimate == pytest.approx(0, abs=1e-5)
    assert result.ratio.estimate == pytest.approx(1, abs=1e-6)
    assert not result.is_below_floor
    # the entropy of a document: (H(0.7) + H(1/4)) times 4 letters on average
    entropy = 4 * sum(-p * math.log(p) for p in (0.7, 0.3)) + 4 * sum(-p * math.log(p) for p in (0.25, 0.75))
    assert result.floor_nats.low < entropy < result.floor_nats.high


def test_the_excess_of_another_world_is_the_divergence(texts, tokenizer):
    scores = score_documents(CoinWorld(0.5).build_model(), tokenizer, texts)
    result = compare_with_floor(scores, read_documents(CoinWorld(0.7), texts))[-1]
    kl = 4 * (0.7 * math.log(0.7 / 0.5) + 0.3 * math.log(0.3 / 0.5))  # a letter's, times 4 letters
    assert result.kl.low < kl < result.kl.high
    # by hand from the documents
    difference = np.array(
        [text.count("a") * math.log(0.7) + text.count("b") * math.log(0.3) for text in texts]
    )
    difference += np.array([len(text) for text in texts]) * math.log(2)
    assert result.kl.estimate == pytest.approx(difference.mean(), abs=1e-4)
    assert result.kl.standard_error == pytest.approx(difference.std(ddof=1) / 20, rel=0.1)
    num_bytes = sum(map(len, texts))
    assert result.num_bytes == num_bytes
    assert result.model_bits_per_byte.estimate == pytest.approx(scores.bits_per_byte)
    assert result.excess_bits_per_byte.estimate == pytest.approx(
        difference.sum() / math.log(2) / num_bytes, abs=1e-5
    )
    assert result.excess_bits_per_byte.estimate == pytest.approx(
        result.model_bits_per_byte.estimate - result.floor_bits_per_byte.estimate
    )
    assert result.ratio.estimate == pytest.approx(result.model_nats.estimate / result.floor_nats.estimate)
    # paired: surer than the losses themselves
    assert result.kl.standard_error < result.floor_nats.standard_error


def test_better_than_possible_is_noticed(texts, tokenizer):
    scores = score_documents(CoinWorld(0.7).build_model(), tokenizer, texts)
    result = compare_with_floor(scores, read_documents(CoinWorld(0.4), texts))[-1]  # not their world
    assert result.is_below_floor


def test_genres_are_compared_by_themselves(texts, tokenizer):
    world = CoinWorld(0.7)
    scores = score_documents(world.build_model(), tokenizer, texts)
    documents = read_documents(world, texts)
    documents[0] = documents[0]._replace(genre="lonely")  # one document has no interval
    results = compare_with_floor(scores, documents)
    assert [result.genre for result in results] == ["long", "short", "all"]
    assert results[0].num_documents == [document.genre for document in documents].count("long")
    assert results[2].num_documents == 400
    assert results[0].floor_nats.estimate > results[2].floor_nats.estimate > results[1].floor_nats.estimate


def test_a_document_of_another_world_is_named():
    with pytest.raises(DataError, match=r"Document 2 of 3 has no floor\. 'cab' is not of this world"):
        read_documents(CoinWorld(0.5), ["ab", "cab", "a"])


def test_scores_must_belong_to_the_documents():
    scores = DocumentScores(nats=np.ones(3), num_bytes=np.ones(3, int), num_tokens=np.ones(3, int))
    with pytest.raises(ValueError, match="one score a document: got 2 documents, 3 scores"):
        compare_with_floor(scores, read_documents(CoinWorld(0.5), ["a", "b"]))


def test_the_coin_world_is_a_distribution():
    # the fake is right: the probabilities of all documents of up to 12 letters and the tail add up to 1
    world = CoinWorld(0.7)
    short = itertools.chain.from_iterable(itertools.product("ab", repeat=n) for n in range(1, 9))
    mass = math.fsum(math.exp(-world.read("".join(letters)).nats) for letters in short)
    assert mass == pytest.approx(1 - 0.75**8)
