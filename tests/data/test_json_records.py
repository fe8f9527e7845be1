"""JSON objects out of files, and the place of each in complaints."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from nn2llm.core.errors import DataError
from nn2llm.data.json_records import read_json_records

OBJECTS = [{"a": 1}, {"a": "two\u2028lines"}]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".json", ".json.gz", ".JSONL"])
def test_reads_all_kinds(tmp_path, suffix):
    if "jsonl" in suffix.lower():
        # a byte order mark, an empty line, Windows' line ends, and U+2028 unescaped inside a text
        lines = [json.dumps(one, ensure_ascii=False) for one in OBJECTS]
        data = b"\xef\xbb\xbf" + "\r\n\r\n".join(lines).encode()
    else:
        data = json.dumps(OBJECTS, ensure_ascii=False).encode()
    records = list(read_json_records(write(tmp_path / f"x{suffix}", data)))
    assert [record.value for record in records] == OBJECTS


def test_says_where_each_object_stands(tmp_path):
    records = list(read_json_records(write(tmp_path / "x.jsonl", b'\n{"a": 1}\n\n{"a": 2}\n')))
    assert [record.where for record in records] == [
        f"{tmp_path}/x.jsonl, line 2",
        f"{tmp_path}/x.jsonl, line 4",
    ]
    records = list(read_json_records(write(tmp_path / "x.json", b'[{"a": 1}]')))
    assert records[0].where == f"{tmp_path}/x.json, entry 1"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("x.jsonl", b'{"a": 1}\n{"a": }\n', ["line 2 is not JSON", "Mend or remove that line"]),
        ("x.jsonl", b'{"a": 1}\n[1]\n', ["line 2 must be a JSON object, but is a list"]),
        ("x.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', ["line 2 is not UTF-8", "0xff"]),
        ("x.jsonl", b"[" * 100_000, ["line 1 is not JSON"]),
        ("x.json", b'{"a": 1}', ["must hold a list of objects, but is an object"]),
        ("x.json", b'[{"a": 1}, 7]', ["entry 2 must be a JSON object, but is a number"]),
        ("x.json", b'[\n{"a": 1},\nx]', ["x.json is not JSON", "at line 3"]),
        ("x.txt", b"", ["x.txt is of no kind that can be read", ".jsonl.gz"]),
    ],
)
def test_names_what_is_broken(tmp_path, name, data, words):
    with pytest.raises(DataError) as caught:
        list(read_json_records(write(tmp_path / name, data)))
    for word in words:
        assert word in str(caught.value)


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        list(read_json_records(tmp_path / "none.jsonl"))
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        list(read_json_records(tmp_path / "folder.jsonl"))
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(b'{"a": 1}\n' * 100)[:-20])
    with pytest.raises(DataError, match="damaged or cut off"):
        list(read_json_records(cut))


def test_reads_parquet_where_pyarrow_is_there(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    path = tmp_path / "x.parquet"
    rows = [{"prompt": "a", "chosen": [{"role": "user", "content": str(number)}]} for number in range(3)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    records = list(read_json_records(path))
    assert [record.value for record in records] == rows
    assert records[2].where == f"{path}, row 3"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match=r"x\.parquet is damaged or cut off"):
        list(read_json_records(path))


def test_parquet_without_pyarrow_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"needs pyarrow\. Run `pip install pyarrow`"):
        list(read_json_records(tmp_path / "x.parquet"))
