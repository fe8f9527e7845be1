"""What the commands of fine-tuning stages share: where settings come from, and what --resume refuses."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from nn2llm.core.config_io import config_differences, load_config
from nn2llm.core.errors import ConfigError
from nn2llm.core.run_folder import RunFolder
from nn2llm.train.session import MachineConfig

__all__ = ["check_unchanged", "choose_base"]

Config = TypeVar("Config")


def choose_base(cls: type[Config], argv: list[str]) -> Config:
    """The config that flags change: of --config, with --resume the run's own, else the defaults."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("config", "out"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--resume", action="store_true")
    try:
        chosen, _ = parser.parse_known_args(argv)
    except argparse.ArgumentError:
        return cls()  # tyro, which sees the whole line, says what is wrong
    if chosen.config is not None:
        path = Path(chosen.config)
        return load_config(cls, path / "config.json" if path.is_dir() else path)
    if chosen.resume and chosen.out is not None and (run := RunFolder(Path(chosen.out))).exists:
        return load_config(cls, run.config_path)
    return cls()


def check_unchanged(given: Any, run: RunFolder) -> None:
    """--resume takes its settings from the run; flags that say otherwise are refused, not ignored.

    `given` has a `machine: MachineConfig`, in which "auto" agrees with whatever the run has resolved.

    Raises:
        ConfigError: naming each setting that differs.
    """
    stored = load_config(type(given), run.config_path)
    machine: MachineConfig = given.machine
    machine = replace(
        machine,
        device=stored.machine.device if machine.device == "auto" else machine.device,
        precision=stored.machine.precision if machine.precision == "auto" else machine.precision,
        num_threads=machine.num_threads or stored.machine.num_threads,
    )
    differences = config_differences(stored, replace(given, machine=machine))
    if differences:
        listed = "; ".join(
            f"{name} is {old!r} in the run, {new!r} here" for name, (old, new) in differences.items()
        )
        raise ConfigError(
            f"{run.path} was started with other settings: {listed}. "
            "Resume without these flags, or start a new run with another --out."
        )
