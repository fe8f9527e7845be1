"""Old or new, never half: what stands on disk after a failure at any moment."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from nn2llm.core.errors import DataError, StorageError
from nn2llm.core.files import (
    compute_sha256,
    read_json,
    replace_folder,
    storage_errors,
    write_bytes_atomic,
    write_json_atomic,
)


def refuse(number: int):
    def raise_error(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    return raise_error


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_bytes_are_written_and_folders_made(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write_bytes_atomic(path, b"one")
    write_bytes_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("operation", ["os.replace", "os.fsync", "builtins.open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failure_leaves_the_old_file_alone(tmp_path, monkeypatch, operation, number):
    path = tmp_path / "file"
    write_bytes_atomic(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(operation, refuse(number))
        with pytest.raises(StorageError):
            write_bytes_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_ctrl_c_while_writing_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes_atomic(path, b"old")

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_bytes_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, r"No space left to write x/y \(No space left on device\)\. Free some disk space"),
        (errno.EDQUOT, r"No space left to write x/y"),
        (errno.EFBIG, r"No space left to write x/y \(File too large\)"),
        (errno.EACCES, r"Not allowed to write x/y \(Permission denied\)\. Choose a folder you own"),
        (errno.EROFS, r"Not allowed to write x/y"),
        (errno.EIO, r"Could not write x/y: Input/output error\."),
    ],
)
def test_each_error_becomes_a_sentence(number, words):
    with pytest.raises(StorageError, match=words), storage_errors(Path("x/y")):
        refuse(number)()


def test_other_errors_pass_through():
    with pytest.raises(KeyError), storage_errors(Path("x")):
        raise KeyError("y")


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Could not write"):
        write_bytes_atomic(tmp_path / "file" / "below", b"")


def test_json_comes_back_and_is_readable(tmp_path):
    value = {"text": "é 日本", "list": [1, 2.5, None, True]}
    write_json_atomic(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value
    assert "日本" in (tmp_path / "x.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("data", [b"", b"{", b'{"a": 1}}', b"\xff\xfe"])
def test_what_is_not_json_is_named(tmp_path, data):
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(DataError, match=r"x\.json is not valid JSON .*Delete it or restore it"):
        read_json(tmp_path / "x.json")


def test_a_missing_json_is_named(tmp_path):
    with pytest.raises(DataError, match=r"x\.json does not exist"):
        read_json(tmp_path / "x.json")


def make_folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "file").write_text(content)
    return path


def test_a_folder_replaces_another(tmp_path):
    target = make_folder(tmp_path / "target", "old")
    replace_folder(make_folder(tmp_path / "partial", "new"), target)
    assert (target / "file").read_text() == "new"
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_folder_is_never_half_replaced(tmp_path, monkeypatch, failing):
    target, partial = make_folder(tmp_path / "target", "old"), make_folder(tmp_path / "partial", "new")
    calls, original = [0], os.replace

    def replace(*args):
        calls[0] += 1
        if calls[0] == failing:
            refuse(errno.EIO)()
        original(*args)

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", replace)
        with pytest.raises(StorageError):
            replace_folder(partial, target)
    assert (target / "file").read_text() == "old"
    replace_folder(partial, target)
    assert (target / "file").read_text() == "new"
    assert names(tmp_path) == ["target"]


def test_the_checksum_is_sha256(tmp_path):
    data = os.urandom((1 << 20) + 17)  # more than one piece
    (tmp_path / "x").write_bytes(data)
    assert compute_sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()
