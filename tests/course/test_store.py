"""The learner's records: kept, merged, migrated, shared between processes, and never silently lost."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nn2llm.core.errors import DataError, StorageError
from nn2llm.course.store import SavedCell, Store
from nn2llm.course.store_schema import MIGRATIONS

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new home" / "course.db"


@pytest.fixture
def store(path: Path):
    opened = Store(path)
    yield opened
    opened.close()


def fill(store: Store) -> None:
    store.mark_opened("tensors")
    store.set_section("tensors", "the-shape")
    store.set_read("roadmap")
    store.set_notes("tensors", "Rows first.\nÉ 😀")
    store.add_time("tensors", 12.5)
    store.save_cell_code("tensors", "fit", "x = 2")
    store.save_cell_result(
        "tensors",
        "fit",
        outputs=[{"kind": "stream", "name": "stdout", "text": "2\n"}],
        session="s1",
        status="done",
        elapsed_s=0.25,
    )
    store.set_setting("theme", "dark")
    store.set_setting("sizes", [1, {"a": None}])


def test_the_default_place_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path / "home"))
    store = Store()
    assert store.path == tmp_path / "home" / "course.db"
    assert store.path.is_file()
    assert store.trouble is None
    store.close()


def test_everything_is_there_after_closing_and_opening(path: Path):
    first = Store(path)
    fill(first)
    first.close()
    store = Store(path)
    progress = store.progress()
    assert list(progress) == ["roadmap", "tensors"]
    assert progress["tensors"].section == "the-shape"
    assert progress["tensors"].sections_seen == ("the-shape",)
    assert (progress["tensors"].read, progress["roadmap"].read) == (False, True)
    assert progress["tensors"].seconds == 12.5
    assert store.notes("tensors") == "Rows first.\nÉ 😀"
    assert store.all_notes() == {"tensors": "Rows first.\nÉ 😀"}
    assert store.notes("roadmap") == ""
    cell = store.load_cells("tensors")["fit"]
    assert cell.finished_at is not None
    assert cell == SavedCell(
        code="x = 2",
        outputs=[{"kind": "stream", "name": "stdout", "text": "2\n"}],
        session="s1",
        finished_at=cell.finished_at,
        elapsed_s=0.25,
        status="done",
    )
    assert store.settings() == {"sizes": [1, {"a": None}], "theme": "dark"}
    store.close()


def test_the_lesson_opened_last_comes_first_and_keeps_its_first_day(store: Store):
    store.mark_opened("a")
    first = store.progress()["a"]
    store.write("UPDATE progress SET opened_at = '2026-01-01', last_opened_at = '2026-01-01'", ())
    store.mark_opened("b")
    store.mark_opened("a")
    again = store.progress()["a"]
    assert again.first_opened_at == "2026-01-01"
    assert again.opened_at >= first.opened_at
    assert max(store.progress().values(), key=lambda record: record.opened_at).slug in ("a", "b")


def test_sections_seen_keep_the_order_in_which_they_were_seen(store: Store):
    for section in ("b", "a", "b", "c", ""):
        store.set_section("tensors", section)
    record = store.progress()["tensors"]
    assert record.sections_seen == ("b", "a", "c")
    assert record.section == ""  # back at the top


def test_reading_can_be_taken_back(store: Store):
    store.set_read("a")
    store.set_read("a", False)
    assert store.progress()["a"].read is False


def test_time_adds_up_by_lesson_and_by_day(store: Store):
    store.add_time("a", 1.5)
    store.add_time("a", 2)
    store.add_time("b", 4)
    assert store.time_spent() == {"a": 3.5, "b": 4}
    assert list(store.time_by_day().values()) == [7.5]


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 90_000])
def test_time_that_is_none_is_refused(seconds: float, store: Store):
    with pytest.raises(DataError, match="from 0 to 86400"):
        store.add_time("a", seconds)


def test_code_and_results_are_kept_apart(store: Store):
    store.save_cell_result("a", "fit", outputs=[], session="s", status="error")
    store.save_cell_code("a", "fit", "mine")
    store.save_cell_result("a", "plot", outputs=[{"kind": "x"}], session="s", status="done")
    store.clear_cell_results("a", "plot")
    assert store.load_cells("a")["plot"].outputs == []
    assert store.load_cells("a")["fit"].status == "error"
    store.clear_cell_results("a")
    cell = store.load_cells("a")["fit"]
    assert (cell.code, cell.status, cell.finished_at) == ("mine", "idle", None)
    store.save_cell_code("a", "fit", None)
    assert store.load_cells("a")["fit"].code is None
    assert store.load_cells("b") == {}


def test_half_a_surrogate_pair_does_not_lose_the_notes(store: Store):
    store.set_notes("a", "before \ud800 after")
    assert store.notes("a") == "before ? after"


# Migrations


def make_version_1(path: Path) -> None:
    """As the first release wrote it: these statements never change."""
    path.parent.mkdir(parents=True)
    connection = sqlite3.connect(path)
    for step in MIGRATIONS[0]:
        connection.execute(step)
    connection.execute("INSERT INTO progress VALUES ('tensors', '2026-01-01', '2026-01-02', 'why', NULL)")
    connection.execute("INSERT INTO notes VALUES ('tensors', 'old note', '2026-01-02')")
    connection.execute("INSERT INTO cells (slug, cell, code, outputs) VALUES ('tensors', 'fit', 'x', '[1]')")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()


def test_a_database_of_version_1_becomes_the_newest_with_all_it_holds(path: Path):
    make_version_1(path)
    store = Store(path)
    assert store.trouble is None
    assert store.read("PRAGMA user_version") == [(len(MIGRATIONS),)]
    assert store.notes("tensors") == "old note"
    record = store.progress()["tensors"]
    assert (record.first_opened_at, record.opened_at, record.section) == ("2026-01-01", "2026-01-02", "why")
    assert store.load_cells("tensors")["fit"].outputs == [1]
    store.set_section("tensors", "new")
    assert store.progress()["tensors"].sections_seen == ("new",)
    store.close()


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch):
    make_version_1(path)
    broken = (MIGRATIONS[0], (*MIGRATIONS[1], "CREATE TABLE nonsense ("))
    monkeypatch.setattr("nn2llm.course.store_schema.MIGRATIONS", broken)
    with pytest.raises(StorageError, match="could not be opened"):
        Store(path)
    monkeypatch.undo()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()
    assert Store(path).notes("tensors") == "old note"


def test_a_newer_database_is_left_alone(path: Path):
    Store(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"written by a newer nn2llm \(version 99 .* NN2LLM_HOME"):
        Store(path)
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir() if "damaged" in item.name] == []


# Damage


def test_a_file_that_is_no_database_is_set_aside_with_one_sentence(path: Path):
    path.parent.mkdir(parents=True)
    garbage = b"my diary, not a database\n" * 400
    path.write_bytes(garbage)
    store = Store(path)
    (aside,) = path.parent.glob("course.damaged-*.db")
    assert aside.read_bytes() == garbage
    assert store.trouble is not None
    assert "course.db was damaged" in store.trouble
    assert str(aside) in store.trouble
    store.set_notes("a", "works")
    store.close()
    again = Store(path)
    assert (again.trouble, again.notes("a")) == (None, "works")
    again.close()


def test_what_can_be_read_of_a_damaged_database_is_kept(path: Path):
    store = Store(path)
    fill(store)
    for number in range(300):
        store.set_notes(f"lesson-{number}", "words " * 50)
    store.read("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    data = bytearray(path.read_bytes())
    page = 4096
    assert len(data) > 20 * page
    for number in range(12, len(data) // page, 3):  # every third page of what came last
        data[number * page : (number + 1) * page] = b"\xff" * page
    path.write_bytes(data)

    mended = Store(path)
    assert mended.trouble is not None
    assert "could be read and were kept" in mended.trouble
    assert mended.progress()["roadmap"].read is True
    assert mended.load_cells("tensors")["fit"].code == "x = 2"
    (aside,) = path.parent.glob("course.damaged-*.db")
    assert aside.read_bytes() == bytes(data)
    mended.close()


def test_a_database_of_something_else_is_set_aside(path: Path):
    path.parent.mkdir(parents=True)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE progress (song TEXT)")
    connection.commit()
    connection.close()
    store = Store(path)
    assert store.trouble is not None
    assert store.progress() == {}
    store.close()


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(StorageError, match="Could not write"):
        Store(tmp_path / "file" / "course.db")
    with pytest.raises(StorageError, match="could not be opened"):
        Store(tmp_path)  # a folder


# Export and import


def test_an_export_imported_elsewhere_is_the_same(store: Store, tmp_path: Path):
    fill(store)
    exported = json.loads(json.dumps(store.export_json()))
    other = Store(tmp_path / "other.db")
    said = other.import_json(exported)
    assert "8 of 8 records" in said
    assert other.export_json()["tables"] == exported["tables"]
    assert other.progress() == store.progress()
    assert other.load_cells("tensors") == store.load_cells("tensors")
    assert "0 of 8 records" in other.import_json(exported)  # a second time changes nothing
    other.close()


def test_of_two_records_the_later_one_stays_and_the_other_is_in_a_file(store: Store, tmp_path: Path):
    store.set_notes("a", "old")
    store.save_cell_code("a", "fit", "old code")
    store.save_cell_result("a", "fit", outputs=[], session="s", status="done", finished_at="2026-01-01")
    store.add_time("a", 10)
    older = store.export_json()
    for table in ("notes", "cells"):
        for row in older["tables"][table]:
            row["changed_at" if table == "notes" else "code_changed_at"] = "2026-01-01"
    newer = json.loads(json.dumps(older))
    newer["tables"]["notes"][0] |= {"text": "new", "changed_at": "9999-01-01"}
    newer["tables"]["cells"][0] |= {"code": "never", "outputs": "[2]", "finished_at": "9999-01-01"}
    newer["tables"]["time_spent"][0]["seconds"] = 99

    store.import_json(older)
    assert store.notes("a") == "old"
    said = store.import_json(newer)
    assert store.notes("a") == "new"
    cell = store.load_cells("a")["fit"]
    assert (cell.code, cell.outputs) == ("old code", [2])  # code changed here later, result ended there later
    assert store.time_spent() == {"a": 99}
    backups = sorted(store.path.parent.glob("course.before-import-*.json"))
    assert str(backups[-1]) in said
    kept = json.loads(backups[-1].read_text(encoding="utf-8"))
    assert kept["tables"]["notes"][0]["text"] == "old"


def test_a_lesson_read_here_or_there_is_read(store: Store, tmp_path: Path):
    store.set_read("a")
    exported = store.export_json()
    other = Store(tmp_path / "other.db")
    other.mark_opened("a")
    other.import_json(exported)
    assert other.progress()["a"].read is True
    other.close()


def put(**record: dict[str, object]):
    """Makes of an export one that holds this record alone."""
    return lambda data: {**data, "tables": {table: [row] for table, row in record.items()}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: [], "not an export"),
        (lambda data: {**data, "format": "x"}, "not an export"),
        (lambda data: {**data, "version": 99}, "version 99"),
        (lambda data: {**data, "version": "1"}, "version '1'"),
        (lambda data: {**data, "tables": {"notes": {}}}, "notes is not a list"),
        (lambda data: {**data, "tables": {"notes": ["x"]}}, "notes is 'x'"),
        (lambda data: {**data, "tables": {"notes": [{"slug": 3}]}}, "slug = 3"),
        (put(cells={"slug": "a", "cell": "b", "outputs": "{}"}), "outputs = '{}'"),
        (put(settings={"name": "a", "value": "{", "changed_at": ""}), "value = '{'"),
        (put(time_spent={"slug": "a", "day": "d", "seconds": float("nan")}), "seconds = nan"),
        (put(time_spent={"slug": "a", "day": "d", "seconds": True}), "seconds = True"),
    ],
)  # fmt: skip
def test_what_is_no_export_is_refused_and_changes_nothing(change, says: str, store: Store):
    fill(store)
    before = store.export_json()["tables"]
    with pytest.raises(DataError) as caught:
        store.import_json(change(store.export_json()))
    assert says in str(caught.value)
    assert store.export_json()["tables"] == before


def test_an_import_that_fails_half_way_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch):
    fill(store)
    exported = store.export_json()
    exported["tables"]["notes"].append({"slug": "z", "text": "z", "changed_at": "2026"})
    monkeypatch.setitem(
        sys.modules["nn2llm.course.store"].MERGES, "settings", "INSERT INTO nowhere VALUES (1)"
    )
    with pytest.raises(StorageError, match="could not be used"):
        store.import_json(exported)
    assert store.notes("z") == ""


# Several writers


def test_threads_write_at_once(store: Store):
    def work(name: str) -> None:
        for _ in range(25):
            store.add_time(name, 1)
            store.add_time("all", 1)

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.time_spent() == {"all": 150, **{f"t{number}": 25 for number in range(6)}}


WRITER = """
import sys
from pathlib import Path
from nn2llm.course.store import Store
store = Store(Path(sys.argv[1]))
assert store.trouble is None
for number in range(100):
    store.add_time("shared", 1)
    store.save_cell_result(sys.argv[2], f"c{number}", outputs=[{"n": number}], session="s", status="done")
"""


def test_processes_open_begin_and_write_at_once(path: Path):
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name], env=environment, stderr=subprocess.PIPE
        )
        for name in ("one", "two", "three")
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors.decode()
    store = Store(path)
    assert store.time_spent() == {"shared": 300}
    assert [len(store.load_cells(name)) for name in ("one", "two", "three")] == [100, 100, 100]
    store.close()
