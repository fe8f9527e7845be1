"""A constitution: the principles by which a model's replies are criticised, revised and compared.

A TOML file (Python reads it without any package), one table a principle:

    [[principle]]
    name = "no harm"
    text = "Do not help anybody to hurt somebody: say no."
    aspect = "harmlessness"                # optional: what the micro-world looks at (evals/world_judge.py)
    critique_request = "Who could …?"      # optional: asked of a critic instead of the usual question
    revision_request = "Write …"           # optional: asked of whoever writes the reply again

Two ship with the package: `village`, for the micro-world, and `general`, for models that follow instructions.
Read first; judges.py and train/constitutional.py use it. Taught in `constitutional-ai`.
Source: Bai et al. 2022, "Constitutional AI: Harmlessness from AI Feedback",
https://arxiv.org/abs/2212.08073, appendix C: principles as pairs of a critique and a revision request.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn2llm.core.errors import DataError

__all__ = ["SHIPPED", "Constitution", "Principle", "load_constitution"]

_FOLDER = Path(__file__).parent / "constitutions"
SHIPPED: tuple[str, ...] = ("village", "general")
"""Constitutions that are known by name."""

_KEYS = ("name", "text", "aspect", "critique_request", "revision_request")


@dataclass(frozen=True, kw_only=True, slots=True)
class Principle:
    """One rule for replies."""

    name: str
    """Short, for tables and samples."""
    text: str
    """The rule itself, as a critic or judge reads it."""
    aspect: str | None = None
    """What the micro-world looks at for it: one of `world_judge.ASPECTS`."""
    critique_request: str | None = None
    """What a critic is asked instead of the usual question."""
    revision_request: str | None = None
    """What a reviser is asked instead of the usual request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Constitution:
    """Principles, in the order of the file: one at least, each with a name of its own."""

    source: str
    """A shipped name, or the path of the file."""
    principles: tuple[Principle, ...]


def load_constitution(name: Path | str) -> Constitution:
    """The constitution of this shipped name or file.

    Raises:
        DataError: if there is no such file, it is no TOML, has no principle, or one of them lacks a name or
            text, has an unknown key, or another's name.
    """
    path = _FOLDER / f"{name}.toml" if str(name) in SHIPPED else Path(name)
    try:
        content = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError(
            f"There is no constitution {str(name)!r}. Give a .toml file, or one of: {', '.join(SHIPPED)}."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text. Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{path} is not TOML ({error}). Mend it; docs/constitutions.md shows one.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    tables = content.get("principle")
    others = [key for key in content if key != "principle"]
    if others:
        raise DataError(
            f"{path}: {others[0]!r} is no part of a constitution, which is a list of [[principle]] tables. "
            "Remove it."
        )
    if not isinstance(tables, list) or not tables:
        raise DataError(
            f"{path} has no principle. Write one at least: [[principle]], then lines with name and text."
        )
    principles: list[Principle] = []
    for number, table in enumerate(tables, start=1):
        principle = _read_principle(table, f"{path}, principle {number}")
        if any(other.name == principle.name for other in principles):
            raise DataError(
                f"{path}, principle {number}: there is a principle {principle.name!r} before it. "
                "Give each a name of its own."
            )
        principles.append(principle)
    return Constitution(source=str(name), principles=tuple(principles))


def _read_principle(table: Any, where: str) -> Principle:
    if not isinstance(table, Mapping):
        raise DataError(f"{where} must be a [[principle]] table with name and text, got {table!r:.60}.")
    for key in table:
        if key not in _KEYS:
            close = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" There are: {', '.join(_KEYS)}."
            raise DataError(f"{where}: {key!r} is unknown.{hint}")
    values: dict[str, Any] = {}
    for key in _KEYS:
        value = table.get(key)
        if value is None and key not in ("name", "text"):
            continue
        if not isinstance(value, str) or not value.strip():
            what = "is missing" if value is None else "must be a text that says something"
            got = "" if value is None else f", got {value!r}"
            raise DataError(f'{where}: {key!r} {what}{got}. Write it, as {key} = "…".')
        values[key] = " ".join(value.split())
    return Principle(**values)
