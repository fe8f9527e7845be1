import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.core.errors import DataError
from nn2llm.data import corpora, python_docs
from nn2llm.data.corpora import CORPUS_NAMES, SPLITS, TextCorpus, load_corpus


def split(texts):
    corpus = TextCorpus(texts)
    return [list(corpus.documents(name)) for name in SPLITS]


def test_one_document_is_cut_after_nine_tenths_of_its_characters(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("äbcdefghijklmnopqrstu")  # 21 characters: the cut is at int(18.9)
    corpus = load_corpus(str(path))
    assert list(corpus.documents("train")) == ["äbcdefghijklmnopqr"]
    assert list(corpus.documents("val")) == ["stu"]
    assert not corpus.separates_documents


@settings(deadline=None)
@given(
    texts=st.lists(st.text("abc", min_size=1, max_size=30), min_size=2, max_size=30), seed=st.integers(0, 9)
)
def test_every_document_is_on_one_side_whatever_the_order(texts, seed):
    if len(set(texts)) == 1:
        with pytest.raises(DataError, match="are the same text"):
            split(texts)
        return
    train, val = split(texts)
    assert sorted(train + val) == sorted(texts)
    assert train
    assert val
    assert not set(train) & set(val)
    shuffled = texts[:]
    random.Random(seed).shuffle(shuffled)
    assert [set(part) for part in split(shuffled)] == [set(train), set(val)]
    assert TextCorpus(texts).separates_documents


@pytest.mark.parametrize("count", [50, 999, 1500])
def test_about_a_tenth_of_the_bytes_is_held_out(count):
    rng = random.Random(count)
    train, val = split([f"document {number} " + "x" * rng.randrange(40) for number in range(count)])
    held_out = sum(map(len, val)) / sum(map(len, train + val))
    # Few documents: as near as their lengths allow. Many: binomial, standard deviation 0.008.
    assert held_out == pytest.approx(0.1, abs=0.02 if count < 1000 else 0.03)


def test_a_document_stays_on_its_side_when_others_come_to_a_large_corpus():
    texts = [f"document {number}" for number in range(1200)]
    train, val = split(texts)
    longer_train, longer_val = split([*texts, *(f"more {number}" for number in range(500))])
    assert set(train) < set(longer_train)
    assert set(val) < set(longer_val)


def test_few_documents_are_held_out_in_the_order_of_their_hashes():
    sizes = {b"\x03": 10, b"\x01": 4, b"\x02": 5, b"\x04": 81}
    # A tenth is 10: \x01 alone makes 4, with \x02 9, with \x03 19.
    assert corpora._choose_held_out(sizes) == {b"\x01", b"\x02"}
    assert corpora._choose_held_out({b"\x01": 99, b"\x02": 1}) == {b"\x01"}


def test_python_docs_is_real_text_and_no_section_is_on_both_sides():
    corpus = load_corpus("python-docs")
    train, val = (list(corpus.documents(name)) for name in SPLITS)
    text = "".join(train)
    assert sum(map(len, train)) > 200_000
    assert 'The "if" statement' in text + "".join(val)
    assert sum(map(len, val)) / sum(map(len, train + val)) == pytest.approx(0.1, abs=0.05)
    # Held-out text that was trained on would make every measure too good.
    trained = {" ".join(p.split()) for section in train for p in section.split("\n\n") if len(p) > 60}
    held_out = [" ".join(p.split()) for section in val for p in section.split("\n\n") if len(p) > 60]
    assert sum(len(p) for p in held_out if p in trained) < 0.05 * sum(map(len, held_out))
    assert list(load_corpus("python-docs").documents("val")) == val


def test_python_docs_sections_are_cut_at_titles_and_repeats_are_left_out(monkeypatch):
    body = "A sentence that is long enough to count as a paragraph of its own. " * 4
    other = "Another paragraph, which stands only in the longer of the two pages. " * 4
    topics = {
        "long": f"Long\n****\n\n{other}\n\n\nShared\n======\n\n{body}\n",
        "short": f"Shared\n******\n\n{body}\n",
    }
    monkeypatch.setattr("pydoc_data.topics.topics", topics)
    assert list(python_docs.iterate_python_docs()) == [
        f"Long\n****\n\n{other.strip()}\n",
        f"Shared\n======\n\n{body.strip()}\n",
    ]


def test_python_without_its_manual_says_what_to_use(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydoc_data.topics", None)
    with pytest.raises(DataError, match=r"no pydoc_data.*path of a text file"):
        list(load_corpus("python-docs").documents("train"))


def test_a_glob_and_a_folder_read_all_their_texts(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "b.txt").write_text("text b")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"line {n}"}) + "\n" for n in range(20)))
    (tmp_path / "deep" / "c.txt").write_text("text c")
    (tmp_path / "notes.pdf").write_text("no text")
    by_glob = load_corpus(str(tmp_path / "*"))
    texts = {text for name in SPLITS for text in by_glob.documents(name)}
    assert texts == {"text b", *(f"line {n}" for n in range(20))}
    by_folder = load_corpus(str(tmp_path))
    assert {text for name in SPLITS for text in by_folder.documents(name)} == texts | {"text c"}
    deep = load_corpus(str(tmp_path / "**" / "*.txt"))
    assert {text for name in SPLITS for text in deep.documents(name)} == {"text b", "text c"}


def test_the_fingerprint_changes_with_the_text_and_the_field(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n')
    before = load_corpus(str(path)).fingerprint()
    assert load_corpus(str(path)).fingerprint() == before
    assert load_corpus(str(path), text_field="body").fingerprint() != before
    path.write_text('{"text": "ab"}\n')
    assert load_corpus(str(path)).fingerprint() != before
    assert TextCorpus(["ab", "c"]).fingerprint() != TextCorpus(["a", "bc"]).fingerprint()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("shakespare", "There is no corpus 'shakespare'. Did you mean 'shakespeare'?"),
        ("python-doc", "Did you mean 'python-docs'?"),
        ("xyzzy", "Choose one of microworld, python-docs, shakespeare"),
        ("", "No corpus was named"),
        ("HERE/storis.txt", "Did you mean 'HERE/stories.txt'?"),
        ("HERE/none/a.txt", "There is no file 'HERE/none/a.txt'. Check the path."),
        ("HERE/*.jsonl", "No file matches 'HERE/*.jsonl'"),
        ("HERE/*.pdf", "(only 1 of other kinds)"),
        ("HERE/book.pdf", "book.pdf is not a text that can be read"),
        ("HERE/empty", "holds no text file"),
        ("x" * 5000, "is not the name or path of a corpus"),
        ("~nobody-of-this-name/a.txt", "is not the name or path of a corpus"),
    ],
)
def test_a_corpus_that_is_not_there_is_answered_with_one_sentence(tmp_path, spec, message):
    (tmp_path / "stories.txt").write_text("x")
    (tmp_path / "book.pdf").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as error:
        load_corpus(spec.replace("HERE", str(tmp_path)))
    assert message.replace("HERE", str(tmp_path)) in str(error.value)


@pytest.mark.parametrize(("content", "message"), [(" \n", "holds no text"), ("x", "single character")])
def test_an_empty_corpus_is_refused(tmp_path, content, message):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(DataError, match=message):
        list(load_corpus(str(tmp_path / "a.txt")).documents("train"))


def test_a_file_that_is_gone_is_named(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("text")
    corpus = load_corpus(str(path))
    path.unlink()
    with pytest.raises(DataError, match=r"a\.txt cannot be read"):
        corpus.fingerprint()


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="must be 'train' or 'val', got 'test'"):
        next(TextCorpus(["a b", "c d"]).documents("test"))


def test_every_name_describes_itself_without_a_network():
    for name in CORPUS_NAMES:
        corpus = load_corpus(name)
        assert corpus.describe().startswith(f"{name}: ")
