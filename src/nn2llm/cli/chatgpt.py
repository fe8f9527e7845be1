"""`nn2llm chatgpt`: the whole recipe, from raw text to a chat model and its report card."""

import argparse
import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from tyro.conf import arg

from nn2llm.cli.start import ask_who_moves_in, uncapitalise
from nn2llm.core.config_io import load_config
from nn2llm.core.errors import ConfigError, Nn2llmError
from nn2llm.core.run_folder import new_run_path, runs_root
from nn2llm.microworld import parse_world_spec
from nn2llm.recipe.config import ChatGPTConfig, refuse_foreign_settings
from nn2llm.recipe.lock import is_held
from nn2llm.recipe.presets import PRESETS, build_preset
from nn2llm.recipe.recipe import CONFIG_FILE, REPORT, STAGES, RecipeResult, run_recipe

__all__ = ["ChatGPTCommand", "main"]

_NAME = "chatgpt"
_DEFAULT_PRESET = "laptop"


@dataclass(frozen=True, kw_only=True)
class ChatGPTCommand:
    """From raw text to a chat model, and a report of what each stage did."""

    settings: Annotated[ChatGPTConfig, arg(name="")]
    preset: str = _DEFAULT_PRESET
    """Named starting point; flags change it further."""
    device: Annotated[str | None, arg(metavar="NAME")] = None
    """auto, cpu, cuda, cuda:1, mps: short for --machine.device."""
    out: Annotated[Path | None, arg(metavar="RUN")] = None
    """Folder. Default: the newest unfinished runs/chatgpt-N with these settings, or a new one."""
    stage: Annotated[str, arg(metavar="NAME")] = REPORT
    """Only up to and including this stage: base, sft, preferences, reward, ppo, dpo, evaluation, report."""
    talk: bool = True
    """Open the chat in the end, where there is a terminal."""


def main(argv: list[str]) -> int:
    """Run `nn2llm chatgpt`; returns the exit code.

    Raises:
        Nn2llmError: for settings that do not work, or as the stages do.
    """
    given = _read_base_flags(argv)
    base = _choose_base(given.preset, given.out)
    command = tyro.cli(
        ChatGPTCommand,
        prog="nn2llm chatgpt",
        description=_describe(),
        default=ChatGPTCommand(settings=base),
        args=argv,
    )
    config = _settle_flags(command)
    refuse_foreign_settings(config, base)
    if command.stage not in STAGES:
        raise ConfigError(f"There is no stage {command.stage!r}. Choose from: {', '.join(STAGES)}.")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("The recipe runs in one process. Start it without torchrun.")
    console = Console(highlight=False)
    has_terminal = console.is_terminal and sys.stdin.isatty()
    out = command.out
    if out is None:
        out, config = _find_folder(config, takes_any=given.preset is None and config == base)
    is_new = not (out / CONFIG_FILE).exists()
    if is_new and has_terminal and config.build_world_config().name is None:
        world = ask_who_moves_in(parse_world_spec(config.world), console)
        config = dataclasses.replace(config, name=world.name, trade=world.trade)
    console.print(f"{'Into' if is_new else 'Going on in'} {out}.\n", markup=False, soft_wrap=True)
    result = run_recipe(config, out, last_stage=command.stage, console=console)
    if result.stopped is not None:
        console.print(
            f"\nStopped in {result.stopped}; everything is saved. Go on with: nn2llm chatgpt --out {out}",
            markup=False,
            soft_wrap=True,
        )
        return 130
    _report(result, console)
    if command.talk and has_terminal:
        from nn2llm.cli.chat import open_chat

        open_chat(out, console)
    return 0


def _describe() -> str:
    lines = [f"  {name:8} {(build.__doc__ or '').splitlines()[0]}" for name, build in PRESETS.items()]
    return "\n".join(
        [
            "From raw text to a chat model: base -> sft -> preferences -> reward -> ppo, dpo -> report.",
            "",
            "Presets:",
            *lines,
        ]
    )


def _read_base_flags(argv: list[str]) -> argparse.Namespace:
    """--preset and --out, on which the other flags' defaults depend."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--preset")
    parser.add_argument("--out", type=Path)
    try:
        return parser.parse_known_args(argv)[0]
    except argparse.ArgumentError:  # tyro, which sees the whole line, says what is wrong
        return argparse.Namespace(preset=None, out=None)


def _choose_base(preset: str | None, out: Path | None) -> ChatGPTConfig:
    """The config that flags change: of --preset; without, that of the folder in --out.

    Who has moved into the village there stays.
    """
    stored = None
    if out is not None and (out / CONFIG_FILE).exists():
        stored = load_config(ChatGPTConfig, out / CONFIG_FILE)
    if preset is None and stored is not None:
        return stored
    config = build_preset(preset or _DEFAULT_PRESET)
    if stored is None:
        return config
    return dataclasses.replace(config, name=stored.name, trade=stored.trade, pronoun=stored.pronoun)


def _settle_flags(command: ChatGPTCommand) -> ChatGPTConfig:
    config = command.settings
    if config.trade is not None:
        config = dataclasses.replace(config, trade=uncapitalise(config.trade))
    if command.device is not None:
        config = dataclasses.replace(
            config, machine=dataclasses.replace(config.machine, device=command.device)
        )
    return config


def _find_folder(config: ChatGPTConfig, *, takes_any: bool) -> tuple[Path, ChatGPTConfig]:
    """The newest unfinished recipe that fits, with its own config; or a new folder.

    Without flags any recipe fits; else one with the same settings. Who moved in there may be anybody, where
    the flags do not say.
    """
    following = new_run_path(_NAME)
    for number in range(int(following.name.rpartition("-")[2]) - 1, 0, -1):
        path = runs_root() / f"{_NAME}-{number}"
        if not (path / CONFIG_FILE).exists() or (path / "report.html").exists() or is_held(path):
            continue
        try:
            stored = load_config(ChatGPTConfig, path / CONFIG_FILE)
        except Nn2llmError:  # of another version
            continue
        anybody = config.name is None and config.trade is None
        wanted = (
            dataclasses.replace(config, name=stored.name, trade=stored.trade, pronoun=stored.pronoun)
            if anybody
            else config
        )
        if takes_any or dataclasses.replace(wanted, machine=stored.machine) == stored:
            return path, stored if takes_any else wanted
    return following, config


def _report(result: RecipeResult, console: Console) -> None:
    if not console.is_terminal:  # there the live table stands
        console.print(result.table.build(console.width))
    if result.report is None:
        console.print(f"\nGo on with: nn2llm chatgpt --out {result.out}", markup=False, soft_wrap=True)
        return
    page, short = result.report
    console.print(
        f"\nThe report: {page} (in short: {short}).\nTalk to it: nn2llm chat {result.out}\n",
        markup=False,
        soft_wrap=True,
    )
