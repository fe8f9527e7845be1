"""The learner's own GPT: code of exercises that pass and are marked `part: NAME` becomes NN2LLM_HOME/mygpt.

    mygpt/
      attention.py   one file a part, with a comment that says where it is from
      parts.json     of each part: hash, lesson, exercise, time
      __init__.py    so that `import mygpt` works from NN2LLM_HOME; written anew with each part
      README.md      what this folder is
      .history/      every text that was replaced

Which parts there are says models/parts; `nn2llm pretrain --mine` checks and uses them. A file that was
changed by hand counts as the learner's as well: it is checked like any other before it trains.
Imports no torch: the course's server calls it. Used by course/exercises, app/pages_mygpt.py and cli/.
"""

from __future__ import annotations

import ast
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nn2llm.core.errors import ConfigError, DataError, LessonError
from nn2llm.core.files import read_json, storage_errors, write_bytes_atomic, write_json_atomic
from nn2llm.models.parts import PARTS, Part, PartSource, compute_part_hash, find_part
from nn2llm.recipe.lock import hold_folder

__all__ = ["FOLDER", "MyPart", "adopt_part", "list_sources", "read_parts"]

FOLDER = "mygpt"
_MANIFEST = "parts.json"
_LOCK = threading.Lock()
"""The server checks exercises in several threads; each adds to one manifest."""
_WAIT_S = 10.0
"""For another process that adds a part: it takes milliseconds."""

_README = """# Your GPT

Each file here is a part of a GPT that you wrote: code of an exercise that passed. From this folder's parent,
`import mygpt` gives you all of them.

    nn2llm pretrain --mine

trains a language model with them. Parts that are missing are the library's, and it says which. Before it
trains, every part is compared with the library's on fresh inputs, so change them as you like. What a passed
exercise replaces is kept in `.history/`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MyPart:
    """A part that the learner has."""

    part: Part
    source: PartSource
    adopted_at: str | None
    """When the exercise passed, as ISO 8601; None for one that was written by hand."""
    edited: bool
    """Whether the file is another than the one that passed."""


def adopt_part(home: Path, part: str, text: str, *, slug: str, exercise: str) -> Path:
    """Keep the code of a passed exercise as a part of the learner's GPT; returns its file.

    What stood there before is kept in .history, unless it is the same code.

    Raises:
        LessonError: if there is no such part, or `text` does not define its functions.
        StorageError: if the disk does not take it.
    """
    known = _find(part, slug, exercise)
    missing = [name for name in known.functions if name not in _list_definitions(text, slug, exercise)]
    if missing:
        raise LessonError(
            f"The exercise {exercise!r} of {slug!r} is marked `part: {known.name}`, which needs "
            f"{' and '.join(missing)}; its code has none. Name the function {known.signatures[0]}."
        )
    folder = home / FOLDER
    path = folder / f"{known.name}.py"
    now = datetime.now().astimezone()
    code = f"{_write_header(known, slug, exercise, now)}\n{text.strip()}\n"
    with _alone_in(folder):
        manifest = _read_manifest(folder)
        entry = manifest.get(known.name, {})
        old = _read_text(path)
        if old is None or _strip_header(old) != _strip_header(code):
            if old is not None:
                _keep(folder, path, old)
            write_bytes_atomic(path, code.encode())
        elif entry.get("sha256") == compute_part_hash(old):
            return path  # the same again: the first time counts
        else:
            code = old
        manifest[known.name] = {
            "sha256": compute_part_hash(code),
            "slug": slug,
            "exercise": exercise,
            "adopted_at": now.isoformat(timespec="seconds"),
        }
        write_json_atomic(folder / _MANIFEST, {name: manifest[name] for name in sorted(manifest)})
        _write_package(folder)
    return path


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other threads and processes (the server, `nn2llm learn watch`) away from the manifest.

    Raises:
        LessonError: if another process does not let go.
    """
    deadline = time.monotonic() + _WAIT_S
    with _LOCK, ExitStack() as stack:
        while True:
            try:
                stack.enter_context(hold_folder(folder))
                break
            except ConfigError as error:
                if time.monotonic() > deadline:
                    raise LessonError(
                        f"Another nn2llm has been writing to {folder} for {_WAIT_S:g} s. End it, and check "
                        "the exercise again."
                    ) from error
            time.sleep(0.02)
        yield


def read_parts(home: Path) -> dict[str, MyPart]:
    """The learner's parts by name, in the order of `PARTS`.

    Raises:
        StorageError: if a file is there and cannot be read.
    """
    folder = home / FOLDER
    manifest = _read_manifest(folder)
    found: dict[str, MyPart] = {}
    for name, part in PARTS.items():
        path = folder / f"{name}.py"
        text = _read_text(path)
        if text is None:
            continue
        entry = manifest.get(name, {})
        source = PartSource(
            name=name, text=text, path=str(path), slug=entry.get("slug"), exercise=entry.get("exercise")
        )
        found[name] = MyPart(
            part=part,
            source=source,
            adopted_at=entry.get("adopted_at"),
            edited=source.sha256 != entry.get("sha256"),
        )
    return found


def list_sources(home: Path) -> dict[str, PartSource]:
    """The learner's parts as `train.mine` takes them."""
    return {name: mine.source for name, mine in read_parts(home).items()}


def _find(part: str, slug: str, exercise: str) -> Part:
    try:
        return find_part(part)
    except ConfigError as error:
        raise LessonError(
            f"The exercise {exercise!r} of {slug!r} is marked `part: {part}`. {error}"
        ) from error


def _list_definitions(text: str, slug: str, exercise: str) -> set[str]:
    """Names that the text defines at its top level; it is parsed, never run."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise LessonError(
            f"The code of {exercise!r} in {slug!r} cannot become a part: {error}. Check the exercise again."
        ) from error
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def _write_header(part: Part, slug: str, exercise: str, now: datetime) -> str:
    return (
        f"# Part `{part.name}` of your GPT: {part.title}.\n"
        f"# From the exercise `{exercise}` of the lesson `{slug}`, passed on {now:%Y-%m-%d} at {now:%H:%M}.\n"
        "# Change it as you like: `nn2llm pretrain --mine` compares it with the library before it trains.\n"
    )


def _strip_header(text: str) -> str:
    """The code alone: the same code passed twice is no new version."""
    lines = text.replace("\r\n", "\n").split("\n")
    while lines and (not lines[0].strip() or lines[0].startswith("#")):
        lines.pop(0)
    return "\n".join(lines).strip()


def _keep(folder: Path, path: Path, text: str) -> None:
    """Copy what is about to be replaced to .history/NAME-1.py, -2, …"""
    number = 1
    while (kept := folder / ".history" / f"{path.stem}-{number}.py").exists():
        number += 1
    write_bytes_atomic(kept, text.encode())


def _write_package(folder: Path) -> None:
    """`__init__.py` with all functions of all parts, and the README where there is none."""
    names = [name for name in PARTS if (folder / f"{name}.py").is_file()]
    imports = [f"from .{name} import {', '.join(PARTS[name].functions)}" for name in names]
    exported = sorted(function for name in names for function in PARTS[name].functions)
    text = "\n".join(
        [
            '"""Your GPT, part by part. Written anew by nn2llm whenever an exercise adds one."""',
            "",
            *imports,
            "",
            f"__all__ = {exported!r}",
            "",
        ]
    )
    write_bytes_atomic(folder / "__init__.py", text.encode())
    readme = folder / "README.md"
    if not readme.exists():
        write_bytes_atomic(readme, _README.encode())


def _read_manifest(folder: Path) -> dict[str, Any]:
    """What is known of each part; missing or damaged, it knows nothing, and the code still counts."""
    try:
        manifest = read_json(folder / _MANIFEST)
    except (DataError, OSError):
        return {}
    if not isinstance(manifest, dict):
        return {}
    return {name: entry for name, entry in manifest.items() if isinstance(entry, dict)}


def _read_text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", errors="replace").replace("\r\n", "\n")
    except FileNotFoundError:
        return None
    except OSError:
        with storage_errors(path):
            raise
