"""A prepared folder as a corpus: the same text, the same split, no second tokenising."""

from pathlib import Path

import pytest

from nn2llm.core.errors import DataError
from nn2llm.data.corpora import SPLITS, TextCorpus, load_corpus
from nn2llm.data.prepare import prepare_dataset
from nn2llm.data.prepared_corpus import PreparedCorpus
from nn2llm.tokenizers import train_tokenizer

DOCUMENTS = [f"The {word} of this village is called {name}. Ö…" for word in "abcdefgh" for name in "ABC"]


@pytest.mark.parametrize("texts", [DOCUMENTS, ["One running text, without an end in its midst. " * 9]])
def test_it_holds_the_text_it_was_made_of(tmp_path: Path, texts: list[str]) -> None:
    corpus = TextCorpus(texts)
    tokenizer = train_tokenizer("bpe", texts, vocab_size=300)
    # small files: documents go on from one into the next
    prepare_dataset(corpus, tokenizer, tmp_path / "tokens", max_shard_tokens=64)
    prepared = load_corpus(str(tmp_path / "tokens"))
    assert isinstance(prepared, PreparedCorpus)
    for split in SPLITS:
        assert list(prepared.documents(split)) == list(corpus.documents(split))
    assert prepared.separates_documents == corpus.separates_documents
    assert prepared.fingerprint() == corpus.fingerprint()
    assert prepared.tokenizer.fingerprint() == tokenizer.fingerprint()
    num_tokens = sum(len(shards) for shards in (prepared.dataset.train, prepared.dataset.val))
    assert f"prepared, {num_tokens:,} tokens" in prepared.describe()


def test_a_damaged_one_is_said(tmp_path: Path) -> None:
    tokenizer = train_tokenizer("bpe", DOCUMENTS, vocab_size=300)
    prepare_dataset(TextCorpus(DOCUMENTS), tokenizer, tmp_path / "tokens")
    manifest = tmp_path / "tokens" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"num_tokens"', '"tokens"'))
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        load_corpus(str(tmp_path / "tokens"))
