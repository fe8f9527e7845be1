"""Records that are damaged, held by another program, or come from somebody else's export."""

import json
import sqlite3
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from nn2llm.core.errors import DataError, StorageError
from nn2llm.course import database
from nn2llm.course.kernels.outputs import is_output, measure
from nn2llm.course.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = Store(tmp_path / "course.db")
    yield made
    made.close()


def _export(**tables: Any) -> dict[str, Any]:
    return {"format": "nn2llm-course", "version": 1, "tables": tables}


CELL = {"slug": "a", "cell": "fit", "outputs": "[]"}


@pytest.mark.parametrize(
    "data",
    [
        _export(cells=[{**CELL, "outputs": "[" * 100_000}]),
        _export(cells=[{**CELL, "outputs": '{"a": 1}'}]),
        _export(cells=[{**CELL, "elapsed_s": float("inf")}]),
        _export(cells=[{**CELL, "cell": "x" * 100_000}]),
        _export(cells=[{**CELL, "code": 5}]),
        _export(settings=[{"name": "theme", "value": "[" * 100_000, "changed_at": "2026-01-01"}]),
        _export(notes={"a": "b"}),
        _export(notes=[["a"]]),
        _export(notes=None),
        {**_export(), "version": 10**9},
        {**_export(), "version": 0},
        [],
        None,
    ],
    ids=range(13),
)
def test_a_hostile_export_is_refused_with_a_sentence_and_changes_nothing(store: Store, data: Any) -> None:
    store.set_notes("a", "mine")
    before = store.export_json()["tables"]
    with pytest.raises(DataError) as caught:
        store.import_json(data)
    assert len(str(caught.value)) < 500
    assert store.export_json()["tables"] == before


def test_quotes_and_commands_in_an_export_are_words(store: Store) -> None:
    name = "a'; DROP TABLE notes; --"
    store.import_json(_export(notes=[{"slug": name, "text": name, "changed_at": "2026"}]))
    assert store.all_notes() == {name: name}


def test_outputs_that_cannot_be_read_are_none(store: Store) -> None:
    store.save_cell_code("a", "fit", "mine")
    for text in ("no JSON", "[" * 100_000, "5", '{"kind": 1}'):
        store.write("UPDATE cells SET outputs = ?", (text,))
        assert store.load_cells("a")["fit"].outputs == []
        assert store.load_cells("a")["fit"].code == "mine"


@pytest.mark.parametrize(
    ("output", "good"),
    [
        ({"kind": "stream", "name": "stdout", "text": "x"}, True),
        ({"kind": "display", "data": {}}, True),
        ({"kind": "error", "name": "E", "message": "", "text": "", "frames": [], "tensors": []}, True),
        ({"kind": "error", "name": "E", "message": ""}, False),
        ({"kind": "stream", "text": 5, "name": "stdout"}, False),
        ({"kind": "display", "data": []}, False),
        ({"kind": "script"}, False),
        ({}, False),
        (5, False),
        (None, False),
    ],
)
def test_what_a_cell_can_have_shown(output: Any, good: bool) -> None:
    assert is_output(output) is good


def test_all_that_json_holds_is_measured() -> None:
    assert measure({"a": ["xx", {"bb": "ccc"}], "d": 1.5}) == 1 + 2 + 2 + 3 + 1 + 8
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert measure(deep) == 0


def test_a_database_that_another_program_holds_is_said_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_S", 0.1)
    store = Store(tmp_path / "course.db")
    store.set_notes("a", "before")
    other = sqlite3.connect(tmp_path / "course.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(StorageError, match="Another program holds it: close that one"):
            store.set_notes("a", "after")
        assert store.notes("a") == "before"
    finally:
        other.execute("ROLLBACK")
        other.close()
    store.set_notes("a", "after")
    assert store.notes("a") == "after"
    store.close()


def test_a_clock_that_jumps_back_loses_nothing(store: Store) -> None:
    for moment in ("2030-01-01T00:00:00.000+00:00", "2020-01-01T00:00:00.000+00:00"):
        store.clock = lambda moment=moment: datetime.fromisoformat(moment)
        store.set_notes("a", f"written {moment[:4]}")
        store.save_cell_code("a", "fit", moment)
        store.mark_opened("a")
        store.set_setting("theme", moment[:4])
    assert store.notes("a") == "written 2020"
    assert store.load_cells("a")["fit"].code == "2020-01-01T00:00:00.000+00:00"
    assert store.settings() == {"theme": "2020"}


def test_settings_are_kept_together_or_not_at_all(store: Store) -> None:
    store.set_setting("theme", "light")
    with pytest.raises((TypeError, StorageError)):
        store.set_settings({"theme": "dark", "size": {1, 2}})
    assert store.settings() == {"theme": "light"}


def test_threads_that_read_wait_for_no_error(store: Store) -> None:
    store.save_cell_result("a", "fit", outputs=[], session="s", status="done")
    wrong: list[BaseException] = []

    def work() -> None:
        try:
            for number in range(100):
                store.set_notes("a", json.dumps(number))
                store.load_cells("a")
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
