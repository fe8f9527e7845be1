import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.core.errors import DataError
from nn2llm.data import readers
from nn2llm.data.readers import END_OF_TEXT, read_documents


def write(path, text, compress=False):
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if compress else data)
    return path


def test_a_txt_file_is_one_document_byte_for_byte(tmp_path):
    text = "  first line\r\n\nnaïve 🙂\n"
    assert list(read_documents(write(tmp_path / "a.txt", text))) == [text]
    assert list(read_documents(write(tmp_path / "a.txt.gz", text, compress=True))) == [text]


def test_end_of_text_marks_separate_documents_of_a_txt_file(tmp_path):
    path = write(
        tmp_path / "a.txt", "one\n<|endoftext|>\ntwo\n\nlines\n<|endoftext|>\n\n<|endoftext|>three\n"
    )
    assert list(read_documents(path)) == ["one", "two\n\nlines", "three"]


@settings(deadline=None)
@given(
    documents=st.lists(st.text("ab<|>\n", max_size=12), min_size=1, max_size=5),
    chunk=st.integers(1, 9),
)
def test_splitting_does_not_depend_on_where_the_chunks_end(documents, chunk):
    text = END_OF_TEXT.join(documents)
    chunks = [text[start : start + chunk] for start in range(0, len(text), chunk)]
    expected = [piece.strip("\r\n") for piece in text.split(END_OF_TEXT)] if END_OF_TEXT in text else [text]
    assert list(readers._split_documents(chunks)) == expected


def test_jsonl_reads_the_chosen_field_and_skips_what_is_empty(tmp_path):
    lines = '{"text": "a", "body": "b\\n"}\n\n{"text": "", "body": "c"}\n'
    path = write(tmp_path / "a.jsonl", lines)
    assert list(read_documents(path)) == ["a"]
    assert list(read_documents(path, text_field="body")) == ["b\n", "c"]
    assert list(read_documents(write(tmp_path / "a.jsonl.gz", lines, compress=True))) == ["a"]


def test_a_byte_order_mark_is_no_text(tmp_path):
    assert list(read_documents(write(tmp_path / "a.txt", "\ufeffhello"))) == ["hello"]
    assert list(read_documents(write(tmp_path / "a.jsonl", '\ufeff{"text": "x"}'))) == ["x"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "cut', "line 2 is not JSON"),
        ("[1, 2]", "line 2 is not a JSON object but a list"),
        ('{"body": "x"}', "line 2 has no field 'text' (fields: 'body')"),
        ('{"text": 3}', "line 2: field 'text' is not text but a int"),
        ('{"text": "\\ud83d"}', "line 2: field 'text' holds half of a surrogate pair"),
        ("[" * 100_000, "line 2 is not JSON"),
    ],
)
def test_a_broken_line_is_named_with_file_and_number(tmp_path, line, message):
    path = write(tmp_path / "a.jsonl", json.dumps({"text": "good"}) + "\n" + line + "\n")
    with pytest.raises(DataError) as error:
        list(read_documents(path))
    assert message in str(error.value)
    assert "a.jsonl" in str(error.value)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_text_that_is_not_utf8_is_refused_with_a_remedy(tmp_path, name):
    with pytest.raises(DataError, match=r"not UTF-8 text \(byte 0xe9 does not fit\).*iconv"):
        list(read_documents(write(tmp_path / name, b"caf\xe9 au lait")))


def test_missing_damaged_and_unknown_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt does not exist"):
        list(read_documents(tmp_path / "none.txt"))
    whole = gzip.compress(b"text " * 1000)
    with pytest.raises(DataError, match=r"cut\.txt\.gz is damaged or cut off"):
        list(read_documents(write(tmp_path / "cut.txt.gz", whole[:-20])))
    with pytest.raises(DataError, match=r"no\.txt\.gz is damaged or cut off"):
        list(read_documents(write(tmp_path / "no.txt.gz", "not gzip")))
    with pytest.raises(DataError, match=r"a\.pdf is not a text that can be read"):
        list(read_documents(write(tmp_path / "a.pdf", "x")))
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        list(read_documents(tmp_path / "folder.txt"))
