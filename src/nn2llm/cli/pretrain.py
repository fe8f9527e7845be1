"""`nn2llm pretrain`: train a GPT from text."""

import argparse
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from nn2llm.cli.prepared_text import refuse_other_vocabulary
from nn2llm.cli.stage_options import describe_stop
from nn2llm.core.config_io import config_differences
from nn2llm.core.errors import ConfigError
from nn2llm.core.run_folder import RunFolder, new_run_path, require_empty
from nn2llm.models.parts import PartSource
from nn2llm.train.mine import keep_run_parts
from nn2llm.train.presets import PRESETS, build_depth_config, build_preset
from nn2llm.train.pretrain import PretrainResult, pretrain
from nn2llm.train.pretrain_config import MineConfig, PretrainConfig, load_pretrain_config

__all__ = ["PretrainCommand", "main"]


@dataclass(frozen=True, kw_only=True)
class PretrainCommand:
    """Train a GPT from text, into a run folder: metrics, samples, checkpoints."""

    settings: Annotated[PretrainConfig, tyro.conf.arg(name="")]
    preset: str = "tiny"
    """Named starting point; flags change it further."""
    depth: int | None = None
    """A whole config from the number of layers: width, context, batch, steps, learning rates."""
    config: Path | None = None
    """Start from this config.json, of another run for instance."""
    out: Path | None = None
    """Run folder. Default: runs/CORPUS-1, -2, …"""
    resume: bool = False
    """Go on with the run in --out where it stopped; starts it where there is none yet."""
    profile: bool = False
    """Show where the time of a step goes, and write a trace."""
    mine: bool = False
    """Train with the parts of a GPT that you wrote in the course; the library fills the gaps."""
    mine_parts: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Only these of your parts (attention, rms_norm, …). Says --mine."""
    mine_without: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """All of your parts but these. Says --mine."""


def main(argv: list[str]) -> int:
    """Run `nn2llm pretrain`; returns the exit code."""
    base = _choose_base(argv)
    command = tyro.cli(
        PretrainCommand,
        prog="nn2llm pretrain",
        description=_describe(),
        default=PretrainCommand(settings=base),
        args=argv,
    )
    _check_init_from(command.settings, base)
    if command.out is None:
        if command.resume:
            raise ConfigError("--resume needs --out RUN: which run is to go on?")
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ConfigError("Under torchrun --out RUN is needed, so that all processes agree on it.")
    run = RunFolder(command.out or new_run_path(_name_run(command.settings)))
    console = Console(highlight=False)
    settings = command.settings
    parts: dict[str, PartSource] = {}
    if command.resume and run.exists:
        _check_unchanged(settings, run)
        _resume_mine(command, run, console)
    else:
        refuse_other_vocabulary(argv, settings.corpus)
        if _wants_mine(command):
            settings, parts = _start_mine(command, run, console)
    with keep_run_parts(run, parts):
        result = pretrain(settings, run, resume=command.resume, profile=command.profile, console=console)
    if result.is_main and result.interrupted:
        go_on = f"nn2llm pretrain --out {run.path} --resume"
        console.print(describe_stop(result.step, result.total_steps, go_on), soft_wrap=True)
    elif result.is_main:
        _report(result, console)
    return 130 if result.interrupted else 0


def _wants_mine(command: PretrainCommand) -> bool:
    return command.mine or bool(command.mine_parts or command.mine_without)


def _start_mine(
    command: PretrainCommand, run: RunFolder, console: Console
) -> tuple[MineConfig, dict[str, PartSource]]:
    from nn2llm.cli.mine import split_names, start_mine

    require_empty(run)  # said before the parts are checked, which takes longer
    return start_mine(
        command.settings,
        console,
        only=split_names(command.mine_parts),
        without=split_names(command.mine_without),
    )


def _resume_mine(command: PretrainCommand, run: RunFolder, console: Console) -> None:
    """A run that was begun with own parts goes on with them, and no other does."""
    stored = load_pretrain_config(run.config_path)
    if isinstance(stored, MineConfig):
        if command.mine_parts or command.mine_without:
            raise ConfigError(
                f"{run.path} goes on with the parts that it was started with: {', '.join(stored.mine)}. "
                "Leave out --mine-parts and --mine-without."
            )
        from nn2llm.cli.mine import recheck_mine

        recheck_mine(stored, run, console)
    elif _wants_mine(command):
        raise ConfigError(
            f"{run.path} was started without --mine and goes on so. Leave it out, or choose another --out."
        )


def _describe() -> str:
    lines = [f"  {name:12} {(build.__doc__ or '').splitlines()[0]}" for name, build in PRESETS.items()]
    return "\n".join(
        ["Train a GPT from text, into a run folder: metrics, samples, checkpoints.", "", "Presets:", *lines]
    )


def _choose_base(argv: list[str]) -> PretrainConfig:
    """The config that flags change: of --config, --depth or --preset; with --resume the run's own."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("preset", "depth", "config", "out"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--resume", action="store_true")
    try:
        chosen, _ = parser.parse_known_args(argv)
    except argparse.ArgumentError:
        return build_preset("tiny")  # tyro, which sees the whole line, says what is wrong
    given = [name for name in ("preset", "depth", "config") if getattr(chosen, name) is not None]
    if len(given) > 1:
        raise ConfigError(f"--{given[0]} and --{given[1]} exclude each other: each sets a whole config.")
    if chosen.config is not None:
        path = Path(chosen.config)
        return _load_settings(path / "config.json" if path.is_dir() else path)
    if chosen.depth is not None:
        try:
            depth = int(chosen.depth)
        except ValueError as error:
            raise ConfigError(f"--depth must be a whole number, got {chosen.depth!r}.") from error
        return build_depth_config(depth)
    if (
        chosen.preset is None
        and chosen.resume
        and chosen.out is not None
        and RunFolder(Path(chosen.out)).exists
    ):
        return _load_settings(RunFolder(Path(chosen.out)).config_path)
    return build_preset(chosen.preset or "tiny")


def _load_settings(path: Path) -> PretrainConfig:
    """What flags change; whose parts a run called is not among it."""
    config = load_pretrain_config(path)
    return config.without_mine() if isinstance(config, MineConfig) else config


def _check_init_from(given: PretrainConfig, base: PretrainConfig) -> None:
    """--init-from brings model and tokenizer; flags that set them too are refused, not ignored."""
    if given.init_from is None:
        return
    ignored = [name for name in config_differences(base, given) if name.startswith("model.")]
    ignored += [name for name in ("tokenizer", "vocab_size") if getattr(given, name) != getattr(base, name)]
    if ignored:
        flags = ", ".join("--" + name.replace("_", "-") for name in ignored)
        raise ConfigError(f"--init-from brings its own model and tokenizer. Leave out {flags}.")


def _check_unchanged(given: PretrainConfig, run: RunFolder) -> None:
    """--resume takes its settings from the run; flags that say otherwise are refused, not ignored."""
    stored = _load_settings(run.config_path)
    # What the run has resolved is no change.
    given = replace(
        given,
        device=stored.device if given.device == "auto" else given.device,
        precision=stored.precision if given.precision == "auto" else given.precision,
        num_threads=given.num_threads or stored.num_threads,
        model=stored.model
        if stored.init_from is not None and given.init_from == stored.init_from
        else replace(given.model, vocab_size=given.model.vocab_size or stored.model.vocab_size),
    )
    differences = config_differences(stored, given)
    if differences:
        listed = "; ".join(
            f"{name} is {old!r} in the run, {new!r} here" for name, (old, new) in differences.items()
        )
        raise ConfigError(
            f"{run.path} was started with other settings: {listed}. "
            "Resume without these flags, or start a new run with another --out."
        )


def _name_run(config: PretrainConfig) -> str:
    """The stem of a new run's folder: the corpus, without its path; of `books/*.txt` the folder."""
    path = Path(config.corpus)
    name = path.name.split(".")[0]
    return path.parent.name if "*" in name or "?" in name else name


def _report(result: PretrainResult, console: Console) -> None:
    console.print(
        f"Held-out loss {result.val_loss:.4f} nats a token, {result.val_bits_per_byte:.3f} bits a byte, "
        f"after {result.step:,} steps and {result.training_s:.1f} s of training.\n"
        f"Write with it: nn2llm sample {result.run.path}",
        soft_wrap=True,
    )
