import json
import subprocess
import sys
from functools import cache

import pytest

from nn2llm.core.errors import ConfigError
from nn2llm.data import microworld_corpus
from nn2llm.data.corpora import CORPUS_NAMES, load_corpus
from nn2llm.data.microworld_corpus import NUM_HELD_OUT, MicroworldCorpus
from nn2llm.data.prepare import load_dataset, prepare_dataset
from nn2llm.microworld import WorldConfig

SPEC = "microworld:seed=2,name=Zoë,trade=baker,megabytes=1"


@cache
def read_split(split: str) -> list[str]:
    return list(load_corpus(SPEC).documents(split))


def test_a_name_stands_for_the_corpus():
    corpus = load_corpus(SPEC)
    assert isinstance(corpus, MicroworldCorpus)
    assert corpus.name == SPEC
    assert corpus.config == WorldConfig(seed=2, name="Zoë", trade="baker", megabytes=1)
    assert corpus.build_world().village.learner.name == "Zoë"
    assert isinstance(load_corpus("microworld"), MicroworldCorpus)
    assert "microworld" in CORPUS_NAMES


def test_a_bad_name_is_refused_when_it_is_loaded():
    with pytest.raises(ConfigError, match=r"'colour=red'"):
        load_corpus("microworld:colour=red")


def test_documents_are_the_same_each_time_and_held_out_ones_are_as_many_as_promised():
    corpus = load_corpus(SPEC)
    assert list(corpus.documents("val")) == read_split("val")
    assert len(read_split("val")) == NUM_HELD_OUT
    train = corpus.documents("train")
    assert [next(train) for _ in range(50)] == read_split("train")[:50]
    assert corpus.separates_documents


def test_megabytes_are_respected_to_a_document_and_more_go_on_where_fewer_end():
    train = read_split("train")
    num_chars = sum(map(len, train))
    assert num_chars - len(train[-1]) < 1_000_000 <= num_chars
    longer = MicroworldCorpus(SPEC.replace("megabytes=1", "megabytes=2")).documents("train")
    assert [next(longer) for _ in range(len(train))][-5:] == train[-5:]
    assert list(MicroworldCorpus(SPEC.replace("megabytes=1", "megabytes=2")).documents("val")) == read_split(
        "val"
    )


def test_no_held_out_story_is_trained_on():
    world = load_corpus(SPEC).build_world()
    val = {world.read(text).story for text in read_split("val")}
    train = {world.read(text).story for text in read_split("train")[:1000]}
    assert not {story for story in val if story[0] == "story"} & train


def test_the_splits_are_drawn_apart():
    """Not the same random numbers twice: short documents of facts may be in both, most are not."""
    val = read_split("val")
    assert len(set(val) & set(read_split("train"))) < len(val) / 4


def test_an_unknown_split_is_refused_before_anything_is_read():
    with pytest.raises(ValueError, match="split must be 'train' or 'val', got 'test'"):
        next(load_corpus(SPEC).documents("test"))


def test_the_fingerprint_changes_with_the_config_and_the_program(monkeypatch):
    prints = [
        MicroworldCorpus(spec).fingerprint()
        for spec in (
            "microworld",
            "microworld:seed=1",
            "microworld:people=20",
            "microworld:megabytes=2",
            "microworld:name=Ada,trade=baker",
            "microworld:name=Ada,trade=miller",
            "microworld:name=Ada,trade=baker,pronoun=she",
        )
    ]
    assert len(set(prints)) == len(prints)
    assert (
        MicroworldCorpus("microworld:seed=0").fingerprint() == prints[0]
    )  # the same world, written otherwise
    monkeypatch.setattr(microworld_corpus, "_hash_program", lambda: "another version")
    assert MicroworldCorpus("microworld").fingerprint() != prints[0]


def test_the_fingerprint_is_the_same_in_another_process():
    program = f"from nn2llm.data.corpora import load_corpus; print(load_corpus({SPEC!r}).fingerprint())"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.strip() == load_corpus(SPEC).fingerprint()


def test_it_is_described_in_one_line():
    text = load_corpus("microworld:megabytes=3").describe()
    assert "3 MB" in text
    assert "\n" not in text


def test_shards_are_made_of_it_and_used_again(tmp_path, byte_tokenizer):
    dataset = prepare_dataset(load_corpus(SPEC), byte_tokenizer, tmp_path / "d")
    assert dataset.counts["val"].num_documents == NUM_HELD_OUT
    assert dataset.val_num_bytes == len("".join(read_split("val")).encode())
    assert dataset.separates_documents
    first = bytes(dataset.val[: len(read_split("val")[0].encode())].tolist()).decode()
    assert first == read_split("val")[0]
    calls = byte_tokenizer.num_calls
    prepare_dataset(load_corpus(SPEC), byte_tokenizer, tmp_path / "d")
    assert byte_tokenizer.num_calls == calls
    load_dataset(tmp_path / "d", verify=True)
    (manifest,) = (tmp_path / "d").glob("*.json")
    assert SPEC in json.dumps(json.loads(manifest.read_text()), ensure_ascii=False)
