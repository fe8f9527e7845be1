"""Multiple choice: what is scored at the boundary, and who gets a point."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from nn2llm.core.errors import DataError
from nn2llm.evals.choices import ChoiceScores, score_choices, summarise_choices
from nn2llm.tokenizers import BPETokenizer, train_tokenizer
from tests.evals.conftest import TableModel, build_random_gpt


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    kind: str = "animal"
    prompt: str = ""
    choices: tuple[str, ...]
    answer: int = 0


@pytest.fixture(scope="module")
def chars():
    return train_tokenizer("char", ["abc d"])


@pytest.fixture(scope="module")
def merging():
    """Knows " the" and " there" as tokens, so that "in the" + "re" swallows the prompt's last one."""
    tokenizer = BPETokenizer.train(["in there, in there, in the, there in there"] * 3, vocab_size=266)
    assert len(tokenizer.encode(" there")) == 1
    assert len(tokenizer.encode(" the")) == 1
    return tokenizer


def whole_logps(model, ids: list[int], first: int) -> float:
    """log P of ids[first:], a pass a token."""
    with torch.no_grad():
        return sum(
            model(torch.tensor([ids[:at]])).logits[0, -1].log_softmax(-1)[ids[at]].item()
            for at in range(first, len(ids))
        )


def test_a_continuation_is_scored_given_its_prompt(chars):
    model = build_random_gpt(chars.vocab_size, max_seq_len=16).eval()
    item = Item(prompt="ab c", choices=("a", "cab"))
    [scores] = score_choices(model, chars, [item])
    start = [chars.end_of_text_id]
    expected = [whole_logps(model, start + chars.encode("ab c" + choice), 5) for choice in item.choices]
    np.testing.assert_allclose(scores.logps, expected, atol=1e-5)
    assert scores.num_tokens.tolist() == [1, 3]


def test_whole_sentences_are_scored_from_the_start_token(chars):
    model = build_random_gpt(chars.vocab_size, max_seq_len=16).eval()
    [scores] = score_choices(model, chars, [Item(choices=("ab", "abca"))])
    start = [chars.end_of_text_id]
    expected = [whole_logps(model, start + chars.encode(text), 1) for text in ("ab", "abca")]
    np.testing.assert_allclose(scores.logps, expected, atol=1e-5)
    assert scores.num_tokens.tolist() == [2, 4]  # the first character too, the end not


def test_choices_that_merge_with_the_prompt_are_scored_from_where_any_differs(merging):
    model = build_random_gpt(merging.vocab_size, max_seq_len=32).eval()
    item = Item(prompt="in the", choices=("re", "n"))
    prompt_ids = merging.encode("in the")
    full = [merging.encode(text) for text in ("in there", "in then")]
    # "re" swallows the end of the prompt; "n" leaves it as it was
    assert full[0][: len(prompt_ids)] != prompt_ids
    assert full[1][: len(prompt_ids)] == prompt_ids
    common = next(n for n, (a, b) in enumerate(zip(full[0], prompt_ids, strict=False)) if a != b)
    assert 0 < common < len(prompt_ids)
    [scores] = score_choices(model, merging, [item])
    start = [merging.end_of_text_id]
    expected = [whole_logps(model, start + ids, 1 + common) for ids in full]
    np.testing.assert_allclose(scores.logps, expected, atol=1e-4)
    assert scores.num_tokens.tolist() == [len(ids) - common for ids in full]
    # so their difference is that of the whole texts, whatever the tokenizer does
    whole = [whole_logps(model, start + ids, 1) for ids in full]
    assert scores.logps[0] - scores.logps[1] == pytest.approx(whole[0] - whole[1], abs=1e-4)


def test_the_choices_of_an_item_see_the_same_end_of_a_long_prompt(chars):
    model = build_random_gpt(chars.vocab_size, max_seq_len=8).eval()
    item = Item(prompt="abcd abcd abcd ", choices=("a", "bcd"))
    [scores] = score_choices(model, chars, [item])
    # 8 tokens are read to predict the last of "bcd": 6 of the prompt and "bc"; "a" sees the same 6
    context = chars.encode("abcd abcd abcd ")[-6:]
    expected = [whole_logps(model, context + chars.encode(choice), 6) for choice in item.choices]
    np.testing.assert_allclose(scores.logps, expected, atol=1e-5)


def test_batches_do_not_matter(chars):
    model = build_random_gpt(chars.vocab_size, max_seq_len=16).eval()
    items = [
        Item(prompt="abcd "[: n % 5], choices=("a" * (1 + n % 3), "b", "cd" * (1 + n % 7)), answer=n % 3)
        for n in range(20)
    ]
    together = score_choices(model, chars, items, batch_size=7)
    for item, scores in zip(items, together, strict=True):
        [alone] = score_choices(model, chars, [item], batch_size=1)
        np.testing.assert_allclose(scores.logps, alone.logps, atol=1e-5)


def scores_of(*logps: float, num_tokens=None, num_bytes=None) -> ChoiceScores:
    ones = [1] * len(logps)
    return ChoiceScores(np.array(logps), np.array(num_tokens or ones), np.array(num_bytes or ones))


def test_accuracy_by_hand():
    items = [
        Item(kind="home", choices=("a", "b"), answer=0),
        Item(kind="trade", choices=("a", "b", "c", "d"), answer=2),
        Item(kind="home", choices=("a", "b"), answer=1),
    ]
    scores = [
        scores_of(math.log(0.3), math.log(0.1)),  # right, 3 : 1
        scores_of(-2.0, -1.0, -1.5, -3.0),  # wrong
        scores_of(-1.0, -3.0),  # wrong
    ]
    home, trade, overall = summarise_choices(items, scores)
    assert (home.kind, trade.kind, overall.kind) == ("home", "trade", "all")
    assert (home.num_items, trade.num_items, overall.num_items) == (2, 1, 3)
    assert home.accuracy.estimate == 0.5
    assert trade.accuracy.estimate == 0
    assert overall.accuracy.estimate == pytest.approx(1 / 3)
    assert (home.chance, trade.chance) == (0.5, 0.25)
    assert overall.chance == pytest.approx((0.5 + 0.25 + 0.5) / 3)
    assert home.mean_probability == pytest.approx((0.75 + 1 / (1 + math.exp(2))) / 2)
    assert overall.accuracy.low < 1 / 3 < overall.accuracy.high


def test_a_tie_shares_the_point():
    items = [Item(choices=("a", "b", "c"), answer=n) for n in range(3)]
    [result, _] = summarise_choices(items, [scores_of(-1.0, -1.0 + 1e-9, -2.0)] * 3)
    assert result.accuracy.estimate == pytest.approx((0.5 + 0.5 + 0) / 3)


def test_a_model_without_opinion_gets_the_chance_level_wherever_the_answer_stands(chars):
    model = TableModel(torch.zeros(chars.vocab_size, chars.vocab_size), max_seq_len=16)
    for answer in (0, 3):
        items = [Item(prompt="ab "[: n % 4], choices=("a", "b", "c", "d"), answer=answer) for n in range(8)]
        [result, _] = summarise_choices(items, score_choices(model, chars, items))
        assert result.accuracy.estimate == pytest.approx(0.25)
        assert result.mean_probability == pytest.approx(0.25)


def test_length_counts_unless_it_is_divided_away():
    item = Item(choices=("a", "a long one"), answer=1)
    scores = [scores_of(-2.0, -3.0, num_tokens=[1, 3], num_bytes=[1, 10])]
    assert summarise_choices([item], scores)[0].accuracy.estimate == 0
    assert summarise_choices([item], scores, normalisation="token")[0].accuracy.estimate == 1
    by_byte = summarise_choices([item], scores, normalisation="byte")[0]
    assert by_byte.mean_probability == pytest.approx(1 / (1 + math.exp(-2.0 + 0.3)))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (Item(choices=("a",)), r"has 1 choice\(s\); give at least two"),
        (Item(choices=("a", "")), "empty or repeated choice"),
        (Item(choices=("a", "a")), "empty or repeated choice"),
        (Item(choices=("a", "b"), answer=2), "says that choice 2 is right, of 2"),
    ],
)
def test_items_that_cannot_be_answered_are_refused(chars, item, message):
    with pytest.raises(DataError, match=message):
        score_choices(TableModel(torch.zeros(6, 6)), chars, [item])


def test_no_items_and_missing_scores_are_refused():
    with pytest.raises(DataError, match="There is no item to score"):
        summarise_choices([], [])
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        summarise_choices([Item(choices=("a", "b"))], [])
