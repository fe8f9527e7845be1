"""What a stage depends on, as one hash: the name under which its result can be found again.

A key covers the stage's settings, the keys of the stages that it stands on, and the program text of what
makes its data. It does not cover what changes only the last bits or the place: torch's version, the number of
threads, the device, and where the run folder lies. So a finished stage is found again on another machine.
Used by engine.py and stages.py.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from nn2llm.core.config_io import config_to_dict
from nn2llm.core.errors import ConfigError

__all__ = ["compute_key", "hash_programs", "list_settings"]

_LEFT_OUT = frozenset({"device", "num_threads", "init_from", "reward_run", "reward_model"})
"""Where and how fast it is computed, and folders: the keys of the stages in them are counted instead."""
_PACKAGE = "nn2llm"
_FOLLOWED = f"{_PACKAGE}.microworld"
"""The room whose modules are followed through their imports: what makes the data is all there."""


def list_settings(config: Any) -> dict[str, Any]:
    """A config as JSON values, without what the result does not depend on."""
    return _drop(config_to_dict(config))


def _drop(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _drop(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if name not in _LEFT_OUT
    }


def compute_key(
    name: str, settings: Mapping[str, Any], *, needs: Iterable[str], programs: Sequence[str]
) -> str:
    """The key of a stage: SHA-256 in hexadecimal.

    Args:
        name: of the stage.
        settings: JSON values.
        needs: the keys of the stages that it stands on.
        programs: modules that make its data, as `hash_programs` takes them.
    """
    parts = [name, settings, list(needs), hash_programs(tuple(programs))]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def hash_programs(modules: tuple[str, ...]) -> str:
    """Hash of the text of these modules, and of all in the micro-world that they import.

    So a change to the labeller's program leaves the base model's key as it is.

    Raises:
        ConfigError: if there is no such module.
    """
    texts: dict[str, str] = {}
    todo = list(modules)
    while todo:
        module = todo.pop()
        if module in texts:
            continue
        texts[module] = _read_module(module)
        todo += [name for name in _list_imports(texts[module]) if name.startswith(_FOLLOWED)]
    digest = hashlib.sha256()
    for module, text in sorted(texts.items()):
        digest.update(f"{module}\n{text}\n".encode())
    return digest.hexdigest()


def _find_module(module: str) -> Traversable | None:
    """The file of a module of ours: NAME.py, or NAME/__init__.py."""
    first, *rest = module.split(".")
    if first != _PACKAGE or not rest:
        return None
    folder = files(_PACKAGE).joinpath(*rest[:-1])
    candidates = (folder / f"{rest[-1]}.py", folder / rest[-1] / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def _read_module(module: str) -> str:
    file = _find_module(module)
    if file is None:
        raise ConfigError(f"There is no module {module!r} to hash. Name one of {_PACKAGE}.")
    return file.read_text(encoding="utf-8").replace("\r\n", "\n")


def _list_imports(text: str) -> list[str]:
    """The modules of ours that a program imports; `from package import module` is that module."""
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in inner if _find_module(name) is not None]
            found += modules
            if len(modules) < len(inner):
                found.append(node.module)
    return [name for name in found if _find_module(name) is not None]
