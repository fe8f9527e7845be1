import pytest

from nn2llm.core.errors import ConfigError, TokenizerError
from nn2llm.data import tokenizer_choice
from nn2llm.data.corpora import TextCorpus
from nn2llm.data.tokenizer_choice import build_tokenizer

CORPUS = TextCorpus(["the cat sat on the mat " * 10 + "Q"])  # one text: Q is held out


def test_char_knows_the_characters_that_are_only_held_out():
    tokenizer = build_tokenizer("char", CORPUS)
    assert tokenizer.kind == "char"
    assert tokenizer.decode(tokenizer.encode("Q cat")) == "Q cat"


def test_bpe_learns_from_the_training_part():
    tokenizer = build_tokenizer("bpe", CORPUS, vocab_size=262)
    assert tokenizer.vocab_size == 262
    assert len(tokenizer.encode("the")) < 3


def test_a_path_loads_that_tokenizer(tmp_path):
    tokenizer = build_tokenizer("char", CORPUS)
    tokenizer.save(tmp_path)
    assert build_tokenizer(str(tmp_path), CORPUS).fingerprint() == tokenizer.fingerprint()
    with pytest.raises(ConfigError, match="has its vocabulary already"):
        build_tokenizer(str(tmp_path), CORPUS, vocab_size=300)


def test_only_the_first_bytes_train_a_vocabulary():
    assert list(tokenizer_choice._take_bytes(iter(["abcd", "efgh", "ijkl"]), 6)) == ["abcd", "ef"]
    assert list(tokenizer_choice._take_bytes(iter(["ab", "cd"]), 100)) == ["ab", "cd"]
    assert list(tokenizer_choice._take_bytes(iter(["éééé"]), 4)) == ["éé"]


def test_an_unknown_tokenizer_and_a_small_vocabulary_are_refused():
    with pytest.raises(ConfigError, match=r"There is no tokenizer 'bpee'\. Choose char, bpe"):
        build_tokenizer("bpee", CORPUS)
    with pytest.raises(TokenizerError, match="100"):
        build_tokenizer("bpe", CORPUS, vocab_size=100)
