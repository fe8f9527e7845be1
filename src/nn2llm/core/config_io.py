"""Configs to and from JSON: what a run was started with, written beside it and read back.

A config is a frozen dataclass of plain values and other such dataclasses. Reading checks every name and
type, so that a file edited by hand, or written by another version, fails with one sentence.
"""

import dataclasses
import difflib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.files import read_json, write_json_atomic

__all__ = ["config_differences", "config_from_dict", "config_to_dict", "load_config", "save_config"]

Config = TypeVar("Config")


def config_to_dict(config: Any) -> dict[str, Any]:
    """A config as nested dictionaries of JSON values.

    A whole number in the place of a float becomes one, as it does in `config_from_dict`: configs that are
    equal give the same JSON, from which recipe/keys.py computes what has to be made anew.
    """
    hints = typing.get_type_hints(type(config))
    return {
        field.name: _to_json(hints[field.name], getattr(config, field.name))
        for field in dataclasses.fields(config)
    }


def _to_json(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return config_to_dict(value)
    arguments = typing.get_args(hint)
    if isinstance(value, tuple):
        return tuple(_to_json(arguments[0] if arguments else None, item) for item in value)
    takes_float = hint is float or (float in arguments and int not in arguments)
    if takes_float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def config_from_dict(cls: type[Config], values: Any, *, where: str) -> Config:
    """Build a config of class `cls` from what `config_to_dict` gave; absent fields get their defaults.

    `where` names the source in messages.

    Raises:
        ConfigError: for an unknown name or a value of the wrong type, or as the config's own checks say.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected an object with named values, got {values!r}.")
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(typing.cast(Any, cls))]
    arguments: dict[str, Any] = {}
    for name, value in values.items():
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" It has {', '.join(names)}."
            raise ConfigError(f"{where}: {name!r} is not a setting of {cls.__name__}.{hint}")
        arguments[name] = _convert(hints[name], value, where=f"{where}: {name}")
    return cls(**arguments)


def _convert(hint: Any, value: Any, *, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return config_from_dict(hint, value, where=where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        if value in arguments:
            return value
        raise ConfigError(f"{where} must be one of {', '.join(map(repr, arguments))}, got {value!r}.")
    if origin in {types.UnionType, typing.Union}:
        if value is None and type(None) in arguments:
            return None
        rest = [argument for argument in arguments if argument is not type(None)]
        return _convert(rest[0], value, where=where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} must be a list, got {value!r}.")
        item = arguments[0]
        return tuple(_convert(item, element, where=where) for element in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where} must be {hint.__name__}, got {value!r}.")
    return value


def config_differences(old: Any, new: Any) -> dict[str, tuple[Any, Any]]:
    """Fields in which two configs differ, nested names joined by dots: name → (old value, new value)."""
    return _differences(config_to_dict(old), config_to_dict(new), prefix="")


def _differences(old: dict[str, Any], new: dict[str, Any], *, prefix: str) -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    for name in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found |= _differences(before, after, prefix=f"{prefix}{name}.")
        elif before != after:
            found[prefix + name] = (before, after)
    return found


def save_config(config: Any, path: Path) -> None:
    """Write a config as JSON. Raises StorageError where the disk does not take it."""
    write_json_atomic(path, config_to_dict(config))


def load_config(cls: type[Config], path: Path) -> Config:
    """Read a config of class `cls`.

    Raises:
        ConfigError: if the file is missing, is not JSON, or does not fit `cls`.
    """
    try:
        values = read_json(path)
    except DataError as error:
        raise ConfigError(str(error)) from error
    return config_from_dict(cls, values, where=str(path))
