"""The engine, with stages that write a file: what is found again, made anew, resumed, and whole."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.recipe.engine import Stage, StageOutcome, StageRecord, compute_keys, load_record, run_stages
from nn2llm.recipe.keys import compute_key, hash_programs, list_settings
from nn2llm.recipe.lock import hold_folder, is_held
from nn2llm.train.interrupts import Interrupts
from nn2llm.train.session import MachineConfig


@dataclass
class Viewer:
    """Remembers what it was told."""

    events: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def find(self, name: str, record: StageRecord) -> None:
        self.events.append(f"found {name}")

    def begin(self, name: str, *, goes_on: bool) -> None:
        self.events.append(f"{'resumed' if goes_on else 'began'} {name}")

    def end(self, name: str, record: StageRecord) -> None:
        self.events.append(f"ended {name}")

    def note(self, text: str) -> None:
        self.notes.append(text)


class Killed(BaseException):
    """Stands for kill -9: nothing of ours runs after it, but `finally`."""


def make_stages(
    settings: dict[str, Any] | None = None, *, before: Callable[[str], None] = lambda name: None
) -> list[Stage]:
    """base <- sft <- preferences <- dpo; a stage that trains counts to three in its folder."""
    settings = settings or {}

    def train(name: str) -> Callable[[Path], StageOutcome]:
        def run(folder: Path) -> StageOutcome:
            (folder / "config.json").write_text("{}")
            counter = folder / "counter"
            for step in range(int(counter.read_text()) if counter.exists() else 0, 3):
                before(f"{name} {step}")
                counter.write_text(str(step + 1))
            return StageOutcome(headline=f"{name} is good", tokens=30, flops=1e3, metrics={"gold": 0.5})

        return run

    def write(folder: Path) -> StageOutcome:
        (folder / "train.jsonl").write_text("half")
        before("preferences")
        (folder / "train.jsonl").write_text("whole")
        return StageOutcome(headline="10 pairs")

    def stage(name: str, needs: tuple[str, ...], **options: Any) -> Stage:
        return Stage(name=name, summary=name, settings={"lr": settings.get(name, 1)}, needs=needs, **options)

    return [
        stage("base", (), run=train("base")),
        stage("sft", ("base",), run=train("sft")),
        stage("preferences", ("sft",), run=write, trains=False),
        stage("dpo", ("sft", "preferences"), run=train("dpo")),
    ]


NAMES = ["base", "sft", "preferences", "dpo"]


def test_stages_run_in_order_and_are_found_again(tmp_path: Path) -> None:
    first, second = Viewer(), Viewer()
    assert run_stages(make_stages(), tmp_path, first) is None
    assert first.events == [f"{what} {name}" for name in NAMES for what in ("began", "ended")]
    record = load_record(tmp_path / "base")
    assert record is not None
    assert (record.headline, record.tokens, record.flops, record.metrics) == (
        "base is good", 30, 1e3, {"gold": 0.5},
    )  # fmt: skip
    keys = {"name", "key", "seconds", "tokens", "flops", "headline", "metrics"}
    assert set(json.loads((tmp_path / "base/stage.json").read_text())) == keys
    assert run_stages(make_stages(), tmp_path, second) is None
    assert second.events == [f"found {name}" for name in NAMES]
    assert first.notes == second.notes == []


def test_a_changed_setting_makes_its_stage_and_those_after_it_anew(tmp_path: Path) -> None:
    run_stages(make_stages(), tmp_path, Viewer())
    viewer = Viewer()
    run_stages(make_stages({"sft": 2}), tmp_path, viewer)
    assert viewer.events[0] == "found base"
    assert viewer.events[1:] == [f"{what} {name}" for name in NAMES[1:] for what in ("began", "ended")]
    (note,) = viewer.notes
    assert "anew: sft, preferences, dpo." in note
    assert str(tmp_path / ".replaced") in note
    assert (tmp_path / ".replaced/sft/counter").read_text() == "3"
    assert not (tmp_path / ".replaced/base").exists()


def test_a_changed_setting_of_a_side_branch_leaves_the_others(tmp_path: Path) -> None:
    run_stages(make_stages(), tmp_path, Viewer())
    viewer = Viewer()
    run_stages(make_stages({"dpo": 2}), tmp_path, viewer)
    assert viewer.events == ["found base", "found sft", "found preferences", "began dpo", "ended dpo"]


@pytest.mark.parametrize("moment", ["base 0", "sft 1", "sft 2", "preferences", "dpo 0", "dpo 2"])
def test_a_killed_stage_goes_on_from_what_it_has_and_a_half_written_one_is_made_anew(
    tmp_path: Path, moment: str
) -> None:
    def die(where: str) -> None:
        if where == moment:
            raise Killed

    with pytest.raises(Killed):
        run_stages(make_stages(before=die), tmp_path, Viewer())
    killed = moment.split()[0]
    for name in NAMES[NAMES.index(killed) :]:
        assert load_record(tmp_path / name) is None
    assert not (tmp_path / "preferences/train.jsonl").exists() or killed == "dpo"
    steps: list[str] = []
    viewer = Viewer()
    assert run_stages(make_stages(before=steps.append), tmp_path, viewer) is None
    assert steps[0] == moment  # nothing before it is done twice
    assert f"{'began' if killed == 'preferences' else 'resumed'} {killed}" in viewer.events
    assert (tmp_path / "preferences/train.jsonl").read_text() == "whole"
    assert viewer.notes == []
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_stage_begun_with_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    def die(where: str) -> None:
        if where == "sft 1":
            raise Killed

    with pytest.raises(Killed):
        run_stages(make_stages(before=die), tmp_path, Viewer())
    steps: list[str] = []
    viewer = Viewer()
    run_stages(make_stages({"sft": 5}, before=steps.append), tmp_path, viewer)
    assert steps[0] == "sft 0"
    assert "anew: sft." in viewer.notes[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["sft 1", "preferences"])
def test_a_signal_stops_between_whole_states(tmp_path: Path, moment: str, number: int) -> None:
    def stop(where: str) -> None:
        if where == moment:
            os.kill(os.getpid(), number)

    handler = signal.getsignal(signal.SIGTERM)
    assert run_stages(make_stages(before=stop), tmp_path, Viewer()) == moment.split()[0]
    assert signal.getsignal(signal.SIGTERM) == handler
    assert not list(tmp_path.glob(".*"))
    assert run_stages(make_stages(), tmp_path, Viewer()) is None


def test_a_trainer_that_reports_a_signal_leaves_its_stage_unfinished_and_its_time_counts(
    tmp_path: Path,
) -> None:
    outcomes = [StageOutcome(interrupted=True), StageOutcome(headline="done", training_s=1000.0)]
    stage = Stage(name="base", summary="", settings={}, run=lambda folder: outcomes.pop(0))
    viewer = Viewer()
    assert run_stages([stage], tmp_path, viewer) == "base"
    assert load_record(tmp_path / "base") is None
    assert run_stages([stage], tmp_path, viewer) is None
    record = load_record(tmp_path / "base")
    assert record is not None
    assert record.seconds == 1000.0  # the trainer counts what a killed session took
    assert viewer.events == ["began base", "resumed base", "ended base"]


def test_a_signal_in_the_last_step_of_a_stage_stops_before_the_next(tmp_path: Path) -> None:
    def press(moment: str) -> None:
        if moment == "base 2":
            with Interrupts():  # as a trainer that has no further step to stop
                signal.raise_signal(signal.SIGTERM)

    viewer = Viewer()
    assert run_stages(make_stages(before=press), tmp_path, viewer) == "sft"
    assert viewer.events == ["began base", "ended base"]
    assert run_stages(make_stages(), tmp_path, viewer) is None
    assert viewer.events[2:5] == ["found base", "began sft", "ended sft"]


def test_an_error_leaves_the_stages_before_it_done(tmp_path: Path) -> None:
    def fail(where: str) -> None:
        if where == "preferences":
            raise DataError("no pairs")

    with pytest.raises(DataError, match="no pairs"):
        run_stages(make_stages(before=fail), tmp_path, Viewer())
    assert load_record(tmp_path / "sft") is not None
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_is_no_stage_is_moved_aside_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/mine.txt").write_text("mine")
    run_stages(make_stages(), tmp_path, Viewer())
    assert (tmp_path / ".replaced/base/mine.txt").read_text() == "mine"


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"key": 1}'])
def test_a_damaged_record_counts_as_none(tmp_path: Path, text: str) -> None:
    run_stages(make_stages(), tmp_path, Viewer())
    (tmp_path / "dpo/stage.json").write_text(text)
    viewer = Viewer()
    run_stages(make_stages(), tmp_path, viewer)
    assert viewer.events[-2:] == ["began dpo", "ended dpo"]


def test_a_stage_needs_those_before_it() -> None:
    stages = make_stages()
    with pytest.raises(ConfigError, match="'dpo' needs 'sft', which does not come before it"):
        compute_keys(stages[3:])


# --- keys ---------------------------------------------------------------------------------------------------


def test_a_key_depends_on_settings_needs_name_and_programs() -> None:
    def key(
        name: str = "sft",
        settings: dict[str, Any] | None = None,
        needs: tuple[str, ...] = ("a",),
        programs: tuple[str, ...] = ("nn2llm.microworld.village",),
    ) -> str:
        return compute_key(name, settings or {"lr": 1, "x": [1]}, needs=needs, programs=programs)

    assert key() == key(settings={"x": [1], "lr": 1})  # the order says nothing
    others = [key("dpo"), key(settings={"lr": 2, "x": [1]}), key(needs=("b",)), key(programs=())]
    assert len({key(), *others}) == 5


def test_device_threads_and_folders_are_not_in_a_key() -> None:
    here = list_settings(MachineConfig(device="cpu", num_threads=1))
    assert here == list_settings(MachineConfig(device="cuda", num_threads=8)) == {"precision": "auto"}


def test_programs_are_followed_through_the_microworld(monkeypatch: pytest.MonkeyPatch) -> None:
    from nn2llm.recipe import keys

    read = keys._read_module
    seen: list[str] = []

    def note(module: str) -> str:
        seen.append(module)
        return read(module)

    monkeypatch.setattr(keys, "_read_module", note)
    hash_programs.cache_clear()
    before = hash_programs(("nn2llm.microworld.probes", "nn2llm.evals.floor"))
    assert {"nn2llm.microworld.vocabulary", "nn2llm.microworld.script"} <= set(seen)
    assert not [name for name in seen if name.startswith("nn2llm.core")]
    monkeypatch.setattr(
        keys, "_read_module", lambda module: read(module) + ("# new" if module.endswith("vocabulary") else "")
    )
    hash_programs.cache_clear()
    assert hash_programs(("nn2llm.microworld.probes", "nn2llm.evals.floor")) != before
    hash_programs.cache_clear()


def test_an_unknown_program_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no module 'nn2llm\.microworld\.nothing'"):
        hash_programs(("nn2llm.microworld.nothing",))


# --- the lock -----------------------------------------------------------------------------------------------


def test_a_folder_is_for_one_process_at_a_time(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "out")
    with hold_folder(tmp_path / "out"):
        assert is_held(tmp_path / "out")
        with (
            pytest.raises(ConfigError, match=r"Another nn2llm is at work in .*out\. Wait"),
            hold_folder(tmp_path / "out"),
        ):
            pass
    assert not is_held(tmp_path / "out")
