import io

import pytest
from rich.console import Console

from nn2llm.core import progress as progress_module
from nn2llm.core.progress import TrainingProgress, format_count, format_duration


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_module.time, "monotonic", clock)
    return clock


def plain() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=80)


def read(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0:00"),
        (7.4, "0:07"),
        (59.6, "1:00"),
        (754, "12:34"),
        (3723, "1:02:03"),
        (100_000, "27:46:40"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float, expected: str):
    assert format_duration(seconds) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0"), (987, "987"), (999.6, "1.00k"), (12_345, "12.3k"), (99_960, "100k"), (1_500_000, "1.50M"),
        (2e9, "2.00G"), (7.9e14, "790T"), (5e15, "5000T"),
    ],
)  # fmt: skip
def test_counts(number: float, expected: str):
    assert format_count(number) == expected


def test_without_a_terminal_it_prints_every_ten_seconds_and_at_evaluations(clock: Clock):
    console = plain()
    with TrainingProgress(100, console) as progress:
        for step in range(1, 101):  # one step every half second: 50 s in all
            clock.now += 0.5
            progress.update(step, loss=4.0 - step / 100, tokens_per_s=25_000, lr=1e-3)
            if step == 50:
                progress.update(step, val_loss=3.75)
    lines = read(console).splitlines()
    assert [int(line.split("/")[0].removeprefix("step")) for line in lines] == [1, 21, 41, 50, 70, 90, 100]
    assert lines[0] == "step   1/100  loss 3.990  0:50 left  25.0k tokens/s  lr 1.0e-03"
    assert lines[3] == "step  50/100  loss 3.500  0:25 left  val 3.750  25.0k tokens/s  lr 1.0e-03"
    assert lines[-1] == "step 100/100  loss 3.000  took 0:50  val 3.750  25.0k tokens/s  lr 1.0e-03"


def test_what_else_a_stage_shows_stands_by_its_name_the_first_before_the_time(clock: Clock):
    console = plain()
    with TrainingProgress(100, console) as progress:
        progress.update(1, extra={"reward": 0.5, "kl": 2.0})
        clock.now += 10
        progress.update(10, extra={"reward": 0.75})  # what is not given stays as it was
        clock.now += 10
        progress.update(20, loss=1.0, val_loss=3.0)
    assert read(console).splitlines() == [
        "step   1/100  reward 0.500  kl 2.000",
        "step  10/100  reward 0.750  1:30 left  kl 2.000",
        "step  20/100  loss 1.000  reward 0.750  1:20 left  kl 2.000  val 3.000",
    ]


def test_a_run_that_is_interrupted_prints_where_it_stopped(clock: Clock):
    console = plain()

    def train() -> None:
        with TrainingProgress(100, console) as progress:
            progress.update(1, loss=4.0)
            progress.update(2, loss=3.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert read(console).splitlines()[-1].startswith("step   2/100  loss 3.500")


def test_time_left_follows_the_last_half_minute_not_the_slow_start(clock: Clock):
    with TrainingProgress(1000, plain()) as progress:
        clock.now += 60  # compiling
        progress.update(1)
        for step in range(2, 102):
            clock.now += 1
            progress.update(step)
        assert progress.estimate_seconds_left() == pytest.approx(1000 - 101)


def test_time_left_of_a_resumed_run_counts_its_own_steps_only(clock: Clock):
    with TrainingProgress(1000, plain(), first_step=500) as progress:
        assert progress.estimate_seconds_left() is None
        clock.now += 10
        progress.update(510)
        assert progress.estimate_seconds_left() == pytest.approx(490)


def test_notes_are_printed_as_they_are():
    console = plain()
    long = "ROMEO: [bold]what[/bold] 3.14 " + "light " * 30
    with TrainingProgress(10, console) as progress:
        progress.note(long)
    assert read(console) == long + "\n"


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_on_a_terminal_the_line_fits_and_drops_the_least_important_parts(width: int, clock: Clock):
    console = Console(
        file=io.StringIO(), force_terminal=True, width=width, color_system=None, legacy_windows=False
    )
    progress = TrainingProgress(2000, console)
    clock.now += 12
    progress.update(120, loss=2.3121, tokens_per_s=27_100, lr=6e-4, val_loss=2.401)
    with console.capture() as capture:
        console.print(progress)
    line = capture.get().rstrip("\n")
    assert len(line) <= width - 1
    assert "step  120/2000" in line
    assert ("lr 6.0e-04" in line) == (width == 120)
    assert ("3:08 left" in line) == (width >= 40)
    assert ("━" in line) == (width >= 60)


def test_a_terminal_without_box_characters_gets_ascii(clock: Clock):
    console = Console(
        file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"),
        force_terminal=True,
        width=100,
        color_system=None,
    )
    progress = TrainingProgress(4, console)
    progress.update(1, loss=1.0)
    with console.capture() as capture:
        console.print(progress)
    assert capture.get().startswith("######------------------  step 1/4")


def test_on_a_terminal_notes_go_above_the_line_and_the_last_state_stays():
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    with TrainingProgress(4, console) as progress:
        progress.update(3, loss=1.0)
        progress.note("a sample")
        progress.update(4, loss=0.5)
    text = read(console)
    assert text.index("a sample") < text.rindex("step 4/4  loss 0.500")
    assert text.count("loss 0.500") == 1


def test_update_prints_nothing_between_its_lines():
    console = plain()
    with TrainingProgress(10**6, console) as progress:
        for step in range(1000):  # far less than ten seconds
            progress.update(step, loss=1.0, tokens_per_s=1.0, lr=1.0)
        assert len(read(console).splitlines()) == 1
