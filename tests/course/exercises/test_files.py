"""The learner's files: never overwritten silently, never half written, nothing of it outside the folder."""

import os
import threading
from pathlib import Path

import pytest

from nn2llm.core.errors import DataError, StorageError
from nn2llm.course.exercises import files as files_module
from nn2llm.course.exercises.files import LARGEST_BYTES, FileConflict, LearnerFiles

PLACE = ("linear-regression", "gradient-step")


@pytest.fixture
def files(tmp_path: Path) -> LearnerFiles:
    return LearnerFiles(tmp_path / "home")


def test_a_file_is_where_an_editor_finds_it(files: LearnerFiles, tmp_path: Path) -> None:
    state = files.read(*PLACE)
    assert state.path == tmp_path / "home" / "exercises" / "linear-regression" / "gradient_step.py"
    assert (state.exists, state.text, state.version) == (False, "", "")
    state = files.write(*PLACE, "x = 1\n", base="")
    assert state.exists
    assert len(state.version) == 16
    assert files.read(*PLACE) == state
    if os.name == "posix":
        assert state.path.stat().st_mode & 0o077 == 0
        assert state.path.parent.stat().st_mode & 0o077 == 0
    assert not list(state.path.parent.glob("*.partial"))


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A", ".", "a.py", "a\x00", "-", "a--b", "ä"])
def test_a_name_that_is_none_is_refused(files: LearnerFiles, name: str) -> None:
    for place in ((name, "x"), ("x", name)):
        with pytest.raises(DataError, match="names no exercise"):
            files.path(*place)


def test_what_was_changed_elsewhere_is_not_overwritten(files: LearnerFiles) -> None:
    state = files.write(*PLACE, "mine\n", base="")
    state.path.write_text("theirs\n", encoding="utf-8")
    with pytest.raises(FileConflict, match="was changed elsewhere meanwhile") as caught:
        files.write(*PLACE, "mine too\n", base=state.version)
    assert caught.value.disk.text == "theirs\n"
    assert state.path.read_text(encoding="utf-8") == "theirs\n"
    with pytest.raises(FileConflict):  # somebody made it while the page thought there was none
        files.write(*PLACE, "mine too\n", base="")
    assert (
        files.write(*PLACE, "theirs\n", base=state.version).text == "theirs\n"
    )  # the same text is no conflict
    saved = files.write(*PLACE, "mine too\n", base=caught.value.disk.version)
    assert saved.text == "mine too\n"


def test_of_many_writers_one_wins_and_the_others_hear_of_it(files: LearnerFiles) -> None:
    base = files.write(*PLACE, "start\n", base="").version
    won, lost = [], []

    def write(number: int) -> None:
        try:
            won.append(files.write(*PLACE, f"{number}\n", base=base).text)
        except FileConflict:
            lost.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert len(lost) == 7
    assert files.read(*PLACE).text == won[0]


def test_everything_overwritten_is_kept_and_the_oldest_dropped(
    files: LearnerFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_module, "_KEPT", 5)
    path = files.path(*PLACE)
    for number in range(8):
        files.write(*PLACE, f"ours {number}\n", base=None)
        path.write_text(f"by hand {number}\n", encoding="utf-8")
    files.write(*PLACE, "end\n", base=None)
    kept = [item.read_text(encoding="utf-8") for item in files.history(*PLACE)]
    assert kept == [f"by hand {number}\n" for number in range(3, 8)]


def test_of_the_pages_own_saves_one_a_minute_is_kept(
    files: LearnerFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(files_module.time, "monotonic", lambda: now[0])
    base = ""
    for number in range(10):
        base = files.write(*PLACE, f"typed {number}\n", base=base).version
        now[0] += 20
    kept = [item.read_text(encoding="utf-8") for item in files.history(*PLACE)]
    assert kept == ["typed 0\n", "typed 3\n", "typed 6\n"]


def test_what_a_reset_takes_away_is_always_kept_and_comes_back(files: LearnerFiles) -> None:
    assert files.overwritten(*PLACE) is None
    base = ""
    for number in range(3):  # within one minute: of these only the first is kept
        base = files.write(*PLACE, f"typed {number}\n", base=base).version
    files.write(*PLACE, "starter\n", base=None)
    assert files.overwritten(*PLACE) == "typed 2\n"
    files.write(*PLACE, "typed 2\n", base=None)
    assert files.overwritten(*PLACE) == "starter\n"


def test_a_deleted_file_is_made_anew_from_the_latest_text(files: LearnerFiles) -> None:
    state = files.write(*PLACE, "mine\n", base="")
    state.path.unlink()
    assert not files.read(*PLACE).exists
    assert files.latest(*PLACE) == "mine\n"
    assert files.write(*PLACE, "again\n", base=state.version).text == "again\n"
    assert files.latest("linear-regression", "other") is None
    state.path.write_text("by hand\n", encoding="utf-8")
    files.remember(files.read(*PLACE))
    assert files.latest(*PLACE) == "by hand\n"


def test_line_ends_and_a_byte_order_mark_of_other_editors_are_read(files: LearnerFiles) -> None:
    files.write(*PLACE, "x\r\ny\n", base="")
    files.path(*PLACE).write_bytes(b"\xef\xbb\xbfa = 1\r\nb = 2\r")
    assert files.read(*PLACE).text == "a = 1\nb = 2\n"
    assert files.write(*PLACE, "\ud800", base=None).text == "?"


def test_odd_and_huge_files_are_refused_in_one_sentence(files: LearnerFiles) -> None:
    path = files.write(*PLACE, "x\n", base="").path
    path.write_bytes(b"a\nb\xff\n")
    with pytest.raises(DataError, match=r"gradient_step\.py:2: this line is not UTF-8"):
        files.read(*PLACE)
    assert files.write(*PLACE, "back\n", base=None).text == "back\n"
    path.write_bytes(b"#" * (LARGEST_BYTES + 1))
    for act in (lambda: files.read(*PLACE), lambda: files.write(*PLACE, "x", base=None)):
        with pytest.raises(DataError, match="larger than 1,000,000 bytes"):
            act()
    path.unlink()
    with pytest.raises(DataError, match="has 1,000,001 bytes"):
        files.write(*PLACE, "#" * (LARGEST_BYTES + 1), base=None)
    path.mkdir()
    with pytest.raises(DataError, match="is no file"):
        files.read(*PLACE)


@pytest.mark.skipif(os.name == "nt", reason="links and pipes as on POSIX")
def test_links_lead_nowhere_else_and_a_pipe_does_not_hang(files: LearnerFiles, tmp_path: Path) -> None:
    path = files.write(*PLACE, "x\n", base="").path
    secret = tmp_path / "secret.py"
    secret.write_text("secret", encoding="utf-8")
    path.unlink()
    path.symlink_to(secret)
    for act in (lambda: files.read(*PLACE), lambda: files.write(*PLACE, "mine", base=None)):
        with pytest.raises(DataError, match="a link that leads out of"):
            act()
    assert secret.read_text(encoding="utf-8") == "secret"
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(DataError, match=r"cannot be reached|leads out"):
        files.read(*PLACE)
    path.unlink()
    inside = files.write("linear-regression", "other", "inside\n", base="").path
    path.symlink_to(inside)
    assert files.write(*PLACE, "through\n", base=None).text == "through\n"
    assert path.is_symlink()
    assert inside.read_text(encoding="utf-8") == "through\n"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="is no file"):
        files.read(*PLACE)
    (tmp_path / "elsewhere").mkdir()
    (files.root / "autograd").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="a link that leads out of"):
        files.write("autograd", "x", "text", base="")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_disk_that_takes_nothing_is_said(files: LearnerFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    state = files.write(*PLACE, "x\n", base="")

    def refuse(source: object, target: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("nn2llm.core.files.os.replace", refuse)
    with pytest.raises(StorageError, match=r"Read-only file system.*set NN2LLM_HOME"):
        files.write(*PLACE, "y\n", base=state.version)
    assert files.read(*PLACE) == state
    files.remember(state)  # not worth an error
