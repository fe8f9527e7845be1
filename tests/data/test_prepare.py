import json

import numpy as np
import pytest

from nn2llm.core.errors import DataError
from nn2llm.data.corpora import SPLITS, TextCorpus
from nn2llm.data.prepare import is_dataset_folder, load_dataset, prepare_dataset

TEXTS = [f"story {number}, naïve 🙂" for number in range(30)]
END = 256


def test_end_of_text_follows_each_document_and_bytes_are_exact(tmp_path, byte_tokenizer):
    corpus = TextCorpus(TEXTS)
    dataset = prepare_dataset(corpus, byte_tokenizer, tmp_path / "d")
    for split, shards in zip(SPLITS, (dataset.train, dataset.val), strict=True):
        documents = list(corpus.documents(split))
        expected = [token for text in documents for token in [*text.encode(), END]]
        assert shards[:].tolist() == expected
        counts = dataset.counts[split]
        assert counts.num_documents == len(documents)
        assert counts.num_bytes == len("".join(documents).encode())
        assert counts.num_tokens == counts.num_bytes + len(documents)
    assert dataset.val_num_bytes == len("".join(corpus.documents("val")).encode())
    assert dataset.val_num_tokens == len(dataset.val)
    assert dataset.separates_documents
    assert (dataset.vocab_size, dataset.end_of_text_id) == (257, END)
    assert (dataset.tokenizer_folder / "tokenizer.json").exists()


def test_a_running_text_has_no_marks(tmp_path, byte_tokenizer):
    dataset = prepare_dataset(TextCorpus(["0123456789é"]), byte_tokenizer, tmp_path / "d")
    assert bytes(dataset.train[:].tolist()) == b"012345678"
    assert bytes(dataset.val[:].tolist()).decode() == "9é"
    assert dataset.val_num_bytes == 3
    assert not dataset.separates_documents


def test_long_documents_and_groups_of_documents_come_out_the_same(tmp_path, byte_tokenizer, monkeypatch):
    whole = prepare_dataset(TextCorpus(TEXTS), byte_tokenizer, tmp_path / "whole")
    monkeypatch.setattr("nn2llm.data.prepare._BATCH_CHARS", 40)  # two documents a group
    monkeypatch.setattr("nn2llm.data.prepare._PIECE_CHARS", 7)
    small = prepare_dataset(TextCorpus(TEXTS), byte_tokenizer, tmp_path / "small", max_shard_tokens=10)
    assert small.train.num_shards > 1
    assert np.array_equal(whole.train[:], small.train[:])
    assert np.array_equal(whole.val[:], small.val[:])
    assert small.counts == whole.counts


def test_a_finished_folder_is_used_again_only_for_the_same_corpus_and_tokenizer(
    tmp_path, byte_tokenizer, monkeypatch
):
    prepare_dataset(TextCorpus(TEXTS), byte_tokenizer, tmp_path / "d")
    calls = byte_tokenizer.num_calls
    prepare_dataset(TextCorpus(TEXTS), byte_tokenizer, tmp_path / "d")
    assert byte_tokenizer.num_calls == calls
    other = prepare_dataset(TextCorpus(TEXTS[:20]), byte_tokenizer, tmp_path / "d")
    assert sum(counts.num_documents for counts in other.counts.values()) == 20
    monkeypatch.setattr(byte_tokenizer, "fingerprint", lambda: "other")
    calls = byte_tokenizer.num_calls
    assert prepare_dataset(TextCorpus(TEXTS), byte_tokenizer, tmp_path / "d").tokenizer_fingerprint == "other"
    assert byte_tokenizer.num_calls > calls
    with pytest.raises(DataError, match=r"holds another dataset.*--replace"):
        prepare_dataset(TextCorpus(TEXTS[:9]), byte_tokenizer, tmp_path / "d", replace=False)


def test_a_damaged_dataset_is_refused_when_loaded_and_made_again_when_prepared(tmp_path, byte_tokenizer):
    folder = tmp_path / "d"
    prepare_dataset(TextCorpus(TEXTS), byte_tokenizer, folder, max_shard_tokens=50)
    sorted((folder / "train").iterdir())[-1].unlink()
    with pytest.raises(DataError, match=r"tokens instead of"):
        load_dataset(folder)
    shard = folder / "val" / "shard_00000.bin"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert prepare_dataset(TextCorpus(TEXTS), byte_tokenizer, folder).counts["val"].num_documents > 0
    load_dataset(folder, verify=True)


def test_a_flipped_byte_is_found_when_verified(tmp_path, byte_tokenizer):
    prepare_dataset(TextCorpus(TEXTS), byte_tokenizer, tmp_path / "d")
    shard = tmp_path / "d" / "val" / "shard_00000.bin"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\7")
    load_dataset(tmp_path / "d")
    with pytest.raises(DataError, match="checksum"):
        load_dataset(tmp_path / "d", verify=True)


def test_a_folder_of_something_else_is_never_replaced(tmp_path, byte_tokenizer):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="is not a token dataset"):
        prepare_dataset(TextCorpus(TEXTS), byte_tokenizer, tmp_path)
    with pytest.raises(DataError, match="is not a token dataset"):
        prepare_dataset(TextCorpus(TEXTS), byte_tokenizer, tmp_path / "thesis.txt")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    prepare_dataset(TextCorpus(TEXTS), byte_tokenizer, tmp_path / "empty")


def test_stopping_half_way_leaves_the_old_dataset_and_no_rest(tmp_path, byte_tokenizer):
    prepare_dataset(TextCorpus(TEXTS), byte_tokenizer, tmp_path / "d")

    def stop(split, counts):
        if split == "val":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_dataset(TextCorpus(TEXTS[:20]), byte_tokenizer, tmp_path / "d", progress=stop)
    assert sum(counts.num_documents for counts in load_dataset(tmp_path / "d").counts.values()) == 30
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_progress_counts_up_to_the_end(tmp_path, byte_tokenizer):
    seen = {}
    dataset = prepare_dataset(
        TextCorpus(TEXTS),
        byte_tokenizer,
        tmp_path / "d",
        progress=lambda split, counts: seen.update({split: counts}),
    )
    assert seen == dataset.counts


@pytest.mark.parametrize(
    "damage", [{"splits": {}}, {"vocab_size": "many"}, {"splits": {"train": {}, "val": {}}}]
)
def test_a_damaged_manifest_is_one_sentence(tmp_path, byte_tokenizer, damage):
    prepare_dataset(TextCorpus(TEXTS), byte_tokenizer, tmp_path / "d")
    path = tmp_path / "d" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        load_dataset(tmp_path / "d")


def test_a_folder_without_a_manifest_is_no_dataset(tmp_path):
    assert not is_dataset_folder(tmp_path / "none")
    (tmp_path / "manifest.json").write_text('{"format": "something else"}')
    assert not is_dataset_folder(tmp_path)
    with pytest.raises(DataError, match=r"is not a token dataset.*data prepare"):
        load_dataset(tmp_path)
