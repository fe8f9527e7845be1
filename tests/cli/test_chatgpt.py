"""`nn2llm chatgpt` around the recipe: flags, folders, what is asked and said. The recipe itself is a fake."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nn2llm.cli import chatgpt
from nn2llm.core.config_io import save_config
from nn2llm.core.errors import ConfigError
from nn2llm.recipe.config import ChatGPTConfig
from nn2llm.recipe.presets import build_preset
from nn2llm.recipe.recipe import RecipeResult, run_recipe
from nn2llm.recipe.table import StageTable


@dataclasses.dataclass
class Fake:
    """What `run_recipe` was called with."""

    calls: list[tuple[ChatGPTConfig, Path, str]] = dataclasses.field(default_factory=list)
    stopped: str | None = None

    def run(self, config: ChatGPTConfig, out: Path, *, last_stage: str, console: Console) -> RecipeResult:
        self.calls.append((config, out, last_stage))
        save_config(config, out / "config.json")
        report = None
        if self.stopped is None and last_stage == "report":
            report = (out / "report.html", out / "report.md")
            report[0].write_text("")
        table = StageTable({"base": "reads"}, console)
        return RecipeResult(out=out, stopped=self.stopped, report=report, table=table)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NN2LLM_RUNS", raising=False)
    fake = Fake()
    monkeypatch.setattr(chatgpt, "run_recipe", fake.run)
    return fake


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, str]]:
    """A terminal, and the folders that a chat was opened with."""
    opened: list[Any] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(chatgpt, "Console", lambda **options: Console(force_terminal=True, **options))
    monkeypatch.setattr("nn2llm.cli.chat.open_chat", lambda path, console: opened.append(path))
    return opened


def test_flags_change_the_preset_and_the_report_is_named(fake: Fake, capsys: Any) -> None:
    argv = ["--preset", "smoke", "--ppo.steps", "3", "--name", "Ada", "--trade", "Baker", "--device", "cpu"]
    assert chatgpt.main(argv) == 0
    ((config, out, last_stage),) = fake.calls
    smoke = build_preset("smoke")
    assert config == dataclasses.replace(
        smoke,
        name="Ada",
        trade="baker",
        ppo=dataclasses.replace(smoke.ppo, steps=3),
        machine=dataclasses.replace(smoke.machine, device="cpu"),
    )
    assert (out, last_stage) == (Path("runs/chatgpt-1"), "report")
    text = capsys.readouterr().out.replace("\\", "/")
    assert "Into runs/chatgpt-1." in text
    assert "The report: runs/chatgpt-1/report.html (in short: runs/chatgpt-1/report.md)." in text


def test_an_interrupted_recipe_says_how_to_go_on(fake: Fake, capsys: Any) -> None:
    fake.stopped = "ppo"
    assert chatgpt.main(["--preset", "smoke"]) == 130
    text = capsys.readouterr().out.replace("\\", "/")
    assert text.endswith(
        "Stopped in ppo; everything is saved. Go on with: nn2llm chatgpt --out runs/chatgpt-1\n"
    )


def test_one_stage_at_a_time(fake: Fake, capsys: Any) -> None:
    assert chatgpt.main(["--preset", "smoke", "--stage", "sft"]) == 0
    assert "Go on with: nn2llm chatgpt --out" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"no stage 'rl'\. Choose from: base, sft, preferences"):
        chatgpt.main(["--stage", "rl"])


def leave_unfinished(number: int, **changes: Any) -> Path:
    out = Path(f"runs/chatgpt-{number}")
    save_config(dataclasses.replace(build_preset("smoke"), **changes), out / "config.json")
    return out


def test_without_out_the_newest_unfinished_one_that_fits_goes_on(fake: Fake) -> None:
    leave_unfinished(1, name="Ada", trade="baker")
    leave_unfinished(2, seed=7)
    (leave_unfinished(3, seed=8) / "report.html").write_text("")
    for argv, number, name in [
        ([], 2, None),  # any, with its own settings
        (["--preset", "smoke"], 1, "Ada"),  # whoever lives there
        (["--preset", "smoke", "--seed", "7"], 2, None),
        (["--preset", "smoke", "--device", "cpu"], 1, "Ada"),  # where it computes changes nothing
        (["--preset", "smoke", "--seed", "8"], 4, None),  # that one is finished
        (["--preset", "smoke", "--name", "Bo", "--trade", "baker"], 4, "Bo"),
    ]:
        fake.stopped = "base"
        before = {path: path.read_bytes() for path in Path("runs").rglob("*.json")}
        assert chatgpt.main(argv) == 130
        config, out, _ = fake.calls[-1]
        assert (out, config.name) == (Path(f"runs/chatgpt-{number}"), name), argv
        if out / "config.json" not in before:
            (out / "config.json").unlink()
            out.rmdir()
    assert fake.calls[0][0].seed == 7


def test_with_out_the_folders_own_settings_are_changed(fake: Fake) -> None:
    leave_unfinished(1, name="Ada", trade="baker", seed=7)
    assert chatgpt.main(["--out", "runs/chatgpt-1", "--dpo.beta", "0.3"]) == 0
    config = fake.calls[-1][0]
    assert (config.name, config.seed, config.dpo.beta) == ("Ada", 7, 0.3)
    assert chatgpt.main(["--out", "runs/chatgpt-1", "--preset", "smoke"]) == 0
    config = fake.calls[-1][0]
    assert (config.name, config.seed) == ("Ada", 1)  # a preset changes all, but who lives there


def test_on_a_terminal_it_asks_who_moves_in_and_opens_the_chat(
    fake: Fake, terminal: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["Ada", "Software engineer"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    ask: Callable[..., Any] = chatgpt.ask_who_moves_in
    monkeypatch.setattr(
        chatgpt, "ask_who_moves_in", lambda *given: ask(*given, read_line=lambda _: next(answers))
    )
    assert chatgpt.main(["--preset", "smoke"]) == 0
    assert (fake.calls[0][0].name, fake.calls[0][0].trade) == ("Ada", "software engineer")
    assert terminal == [Path("runs/chatgpt-1")]
    assert chatgpt.main(["--out", "runs/chatgpt-1", "--no-talk"]) == 0  # not asked again
    assert len(terminal) == 1


def test_what_cannot_work_is_one_sentence(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"unknown preset 'gpu'\. There are: smoke, laptop"):
        chatgpt.main(["--preset", "gpu"])
    with pytest.raises(ConfigError, match=r"--sft\.seed is set by the recipe for all stages\. Use --seed"):
        chatgpt.main(["--sft.seed", "3"])
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="Start it without torchrun"):
        chatgpt.main(["--preset", "smoke"])


def test_a_single_run_is_not_taken_for_a_recipe(tmp_path: Path) -> None:
    for name in ("config.json", "metrics.jsonl"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ConfigError, match="holds a single run, not a recipe"):
        run_recipe(build_preset("smoke"), tmp_path)
    with pytest.raises(ConfigError, match="no stage 'rl'"):
        run_recipe(build_preset("smoke"), tmp_path, last_stage="rl")
