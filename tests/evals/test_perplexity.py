"""Documents and running text: what is counted, once, and divided by what."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from nn2llm.core.errors import DataError, TokenizerError
from nn2llm.data.corpora import load_corpus
from nn2llm.data.prepare import prepare_dataset
from nn2llm.evals.perplexity import compute_bits_per_byte, score_documents, score_text, take_documents
from nn2llm.evals.scoring import ScoredSequence, score_sequences
from nn2llm.tokenizers import BPETokenizer, train_tokenizer
from nn2llm.train.evaluation import compute_validation_loss, count_tokens_per_byte
from tests.evals.conftest import TableModel, build_random_gpt

TEXTS = ["abba", "", "b", "aé" * 9, "bab\n"]


@pytest.fixture(scope="module")
def chars():
    return train_tokenizer("char", ["ab\né"])


@pytest.fixture(scope="module")
def bpe():
    return BPETokenizer.train(["the cat sat on the mat; the dog sat on the cat"], vocab_size=280)


def test_a_document_by_hand(chars):
    # ids: \n 0, a 1, b 2, é 3, end 4. From the start token: "a" with 1/2, else 1/6 each of the others.
    table = torch.full((5, 5), 0.2)
    table[4] = torch.tensor([1 / 8, 1 / 2, 1 / 8, 1 / 8, 1 / 8])  # the document begins
    table[1] = torch.tensor([0.1, 0.1, 0.6, 0.1, 0.1])  # after a: mostly b
    table[2] = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.6])  # after b: mostly the end
    scores = score_documents(TableModel(table.log()), chars, ["ab", "b", "é"])
    expected = [
        -math.log(1 / 2) - math.log(0.6) - math.log(0.6),
        -math.log(1 / 8) - math.log(0.6),
        -math.log(1 / 8) - math.log(0.2),
    ]
    np.testing.assert_allclose(scores.nats, expected, rtol=1e-6)
    assert scores.num_tokens.tolist() == [3, 2, 2]  # the end of the document counts, the start does not
    assert scores.num_bytes.tolist() == [2, 1, 2]
    total = sum(expected)
    assert scores.nats_per_token == pytest.approx(total / 7)
    assert scores.perplexity == pytest.approx(math.exp(total / 7))
    assert scores.bits_per_byte == pytest.approx(total / math.log(2) / 5)


def test_a_uniform_model_costs_log_v_a_token_exactly(chars):
    scores = score_documents(TableModel(torch.zeros(5, 5)), chars, TEXTS)
    np.testing.assert_allclose(scores.nats, scores.num_tokens * math.log(5), rtol=1e-6)
    assert scores.num_tokens.tolist() == [5, 1, 2, 19, 5]
    assert scores.perplexity == pytest.approx(5, rel=1e-6)
    text = score_text(TableModel(torch.zeros(5, 5)), chars, TEXTS, separate_documents=True)
    assert text.nats_per_token == pytest.approx(math.log(5), rel=1e-6)
    assert text.total_tokens == scores.total_tokens == 32


def test_documents_are_scored_alone_whatever_stands_beside_them(chars):
    model = build_random_gpt(5, max_seq_len=8)
    together = score_documents(model, chars, TEXTS, batch_size=4)
    for number, text in enumerate(TEXTS):
        alone = score_documents(model, chars, [text])
        assert alone.nats[0] == pytest.approx(together.nats[number], abs=1e-5)
    shuffled = score_documents(model, chars, TEXTS[::-1], batch_size=2)
    np.testing.assert_allclose(shuffled.nats[::-1], together.nats, atol=1e-5)


def test_a_document_equals_the_chain_rule_over_its_prefixes(chars):
    model = build_random_gpt(5, max_seq_len=32).eval()
    ids = [chars.end_of_text_id, *chars.encode(TEXTS[3]), chars.end_of_text_id]
    with torch.no_grad():
        logps = [
            model(torch.tensor([ids[:at]])).logits[0, -1].log_softmax(-1)[ids[at]].item()
            for at in range(1, len(ids))
        ]
    assert score_documents(model, chars, [TEXTS[3]]).nats[0] == pytest.approx(-sum(logps), abs=1e-4)


def test_the_probabilities_of_all_short_documents_add_up_to_one(chars):
    # What makes it -log P(document): over the strings of up to 2 characters and the rest, a distribution.
    model = build_random_gpt(5, max_seq_len=8).eval()
    letters = "\nabé"
    short = ["", *letters, *(one + two for one in letters for two in letters)]
    mass = np.exp(-score_documents(model, chars, short).nats).sum()
    with torch.no_grad():  # and the documents that go on after two characters
        begun = [[4, a, b] for a in range(4) for b in range(4)]
        logps = model(torch.tensor(begun)).logits.log_softmax(-1)
    mass += sum(
        (logps[n, 0, a] + logps[n, 1, b]).exp().item() * (1 - logps[n, 2, 4].exp().item())
        for n, (_, a, b) in enumerate(begun)
    )
    assert mass == pytest.approx(1, abs=1e-5)


def test_long_documents_go_through_a_window(chars):
    model = build_random_gpt(5, max_seq_len=8)
    text = "abbaé" * 6
    whole = score_documents(model, chars, [text], stride=3)
    assert whole.num_tokens[0] == 31
    running = score_text(model, chars, [text], separate_documents=True, stride=3)
    assert whole.nats[0] == pytest.approx(running.total_nats, abs=1e-4)


def test_running_text_starts_from_the_mark_and_has_one_after_each_document(chars):
    model = TableModel(torch.randn(5, 5, generator=torch.Generator().manual_seed(1)), max_seq_len=4)
    logps = model.table.log_softmax(-1)
    stream = [4, 1, 2, 4, 3, 4]  # start, "ab", mark, "é", mark
    expected = [-logps[a, b].item() for a, b in pairwise(stream)]
    scores = score_text(model, chars, ["ab", "é"], separate_documents=True)
    np.testing.assert_allclose(scores.nats, expected, rtol=1e-5)
    assert scores.num_bytes.tolist() == [1, 1, 0, 2, 0]
    assert scores.document_starts.tolist() == [0, 3]
    by_document = scores.sum_documents()
    np.testing.assert_allclose(by_document.nats, [sum(expected[:3]), sum(expected[3:])], rtol=1e-5)
    assert by_document.num_bytes.tolist() == [2, 2]
    assert by_document.num_tokens.tolist() == [3, 2]

    joined = score_text(model, chars, ["ab", "é"], separate_documents=False)
    stream = [4, 1, 2, 3]
    expected = [-logps[a, b].item() for a, b in pairwise(stream)]
    np.testing.assert_allclose(joined.nats, expected, rtol=1e-5)
    assert joined.document_starts.tolist() == [0]
    blocks = joined.sum_blocks(2)
    np.testing.assert_allclose(blocks.nats, [expected[0] + expected[1], expected[2]], rtol=1e-5)
    assert blocks.num_bytes.tolist() == [2, 2]
    assert blocks.num_tokens.tolist() == [2, 1]


def test_token_bytes_add_up_to_the_text(bpe):
    texts = ["the cat sat", "émigré ☃ on the mat", "\ud83d lone"]
    scores = score_text(TableModel(torch.zeros(280, 280)), bpe, texts, separate_documents=True)
    expected = [11, len("émigré ☃ on the mat".encode()), len("\ufffd lone".encode())]
    assert scores.sum_documents().num_bytes.tolist() == expected
    documents = score_documents(TableModel(torch.zeros(280, 280), max_seq_len=64), bpe, texts)
    assert documents.num_bytes.tolist() == expected


def test_rows_equal_the_held_out_loss_of_training(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the cat sat on the mat. " * 40)
    corpus = load_corpus(str(path))
    tokenizer = train_tokenizer("char", corpus.documents("train"))
    dataset = prepare_dataset(corpus, tokenizer, tmp_path / "data")
    model = build_random_gpt(tokenizer.vocab_size)
    loss = compute_validation_loss(model, dataset, batch_size=4, seq_len=16)
    # Training's rows begin with the text's first token, ours with the start token: leave that out by hand.
    ids = dataset.val[0 : len(dataset.val)].astype(np.int64)
    [nats] = score_sequences(model, [ScoredSequence(ids)], stride=16)
    assert nats.mean() == pytest.approx(loss, rel=1e-6)
    tokens_per_byte = count_tokens_per_byte(dataset, tokenizer.num_bytes_per_token())
    scores = score_text(model, tokenizer, corpus.documents("val"), separate_documents=False)
    assert scores.total_tokens == len(nats) + 1
    assert scores.bits_per_byte == pytest.approx(
        compute_bits_per_byte(scores.nats_per_token, tokens_per_byte), rel=1e-12
    )


def test_more_context_never_costs_a_model_that_uses_it(chars):
    # A model that copies what stood 6 tokens before: only rows longer than that can be sure.
    class Copier(TableModel):
        def compute_hidden(self, input_ids):
            hidden = torch.zeros(*input_ids.shape, 5)
            for place in range(5, input_ids.shape[1]):
                hidden[:, place] = 9.0 * torch.nn.functional.one_hot(input_ids[:, place - 5], 5)
            return hidden

    model = Copier(torch.eye(5), max_seq_len=12)
    text = "ab\néab" * 20
    losses = [
        score_text(model, chars, [text], separate_documents=False, stride=stride).nats_per_token
        for stride in (12, 6, 1)
    ]
    assert losses[0] > losses[1] + 0.3
    assert losses[1] == pytest.approx(losses[2], abs=0.1)
    # In disjoint rows of 12 the first 5 tokens of each are guessed blindly; and once, in 120 tokens, the
    # start token is copied instead of a character, which costs the 9 nats of its logit.
    blind, sure = math.log(5), math.log(1 + 4 * math.exp(-9))
    assert losses[0] == pytest.approx((5 * blind + 7 * sure) / 12 + 9 / 120, rel=1e-4)


def test_the_beginning_of_a_text(chars):
    model = TableModel(torch.zeros(5, 5))
    whole = score_text(model, chars, ["abba"], separate_documents=False, max_tokens=4)
    assert (whole.total_tokens, whole.total_bytes, whole.is_cut) == (4, 4, False)
    part = score_text(model, chars, iter(["abba", "éé"]), separate_documents=False, max_tokens=5)
    assert (part.total_tokens, part.total_bytes, part.is_cut) == (5, 6, True)
    part = score_text(model, chars, iter(["abba", "éé", "never read"]), separate_documents=True, max_tokens=5)
    assert (part.total_tokens, part.is_cut, part.document_starts.tolist()) == (5, True, [0])


def test_documents_are_taken_whole(chars):
    texts = ["ab", "abba", "b"]  # 3, 5 and 2 tokens with their ends
    assert take_documents(texts, chars) == (texts, False)
    assert take_documents(texts, chars, max_documents=2) == (texts[:2], True)
    assert take_documents(texts, chars, max_documents=3) == (texts, False)
    assert take_documents(texts, chars, max_tokens=8) == (texts[:2], True)
    assert take_documents(texts, chars, max_tokens=7) == (texts[:1], True)
    assert take_documents(texts, chars, max_tokens=10) == (texts, False)
    assert take_documents(texts, chars, max_tokens=1) == (texts[:1], True)  # one at least
    assert take_documents([], chars) == ([], False)


def test_nothing_to_score_is_said_in_a_sentence(chars):
    model = TableModel(torch.zeros(5, 5))
    with pytest.raises(DataError, match="There is no document to score"):
        score_documents(model, chars, [])
    for texts in ([], ["", ""]):
        with pytest.raises(DataError, match="There is no text to score"):
            score_text(model, chars, texts, separate_documents=True)


def test_another_alphabet_is_said_in_a_sentence(chars):
    with pytest.raises(TokenizerError, match=r"'ж' \(U\+0436\) is not among the 4 that this tokenizer knows"):
        score_documents(TableModel(torch.zeros(5, 5)), chars, ["ab", "ж"])
