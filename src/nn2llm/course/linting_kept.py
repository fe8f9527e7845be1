"""Graders that were proved already are not proved again while nothing that they depend on has changed.

As results.py does for cells. Used by linting.py. Only a lesson without a fault is kept: what is wrong is said
every time. Grading the answers of a lesson takes ten seconds or more, and most runs of the linter follow a
change of its text alone.
"""

import hashlib
import platform
import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

import nn2llm
from nn2llm.core.errors import DataError
from nn2llm.core.files import read_json, write_json_atomic
from nn2llm.core.home import get_home
from nn2llm.course.lesson import Lesson

__all__ = ["is_proved", "keep_proved"]

_NOT_FOR_GRADERS = ("lesson.md", "quiz.yaml")
_OUT_OF_REACH = ("app", "cli", "lessons", "course")
_IN_REACH = ("course/grading", "course/exercises", "course/linting_graders.py")
_PACKAGES = ("torch", "numpy")


def is_proved(lesson: Lesson, seeds: Sequence[int], home: Path | None = None) -> bool:
    """Whether its graders were found right, with these seeds, as they are now."""
    try:
        kept = read_json(_path_of(lesson, home))
        return bool(kept["fingerprint"] == _compute_fingerprint(lesson, seeds))
    except (DataError, OSError, KeyError, TypeError):
        return False


def keep_proved(lesson: Lesson, seeds: Sequence[int], home: Path | None = None) -> None:
    """Note that its graders are right.

    Raises:
        StorageError: if that cannot be written.
    """
    write_json_atomic(_path_of(lesson, home), {"fingerprint": _compute_fingerprint(lesson, seeds)})


def _path_of(lesson: Lesson, home: Path | None) -> Path:
    return (home or get_home()) / "results" / f"graders-{lesson.slug}.json"


def _compute_fingerprint(lesson: Lesson, seeds: Sequence[int]) -> str:
    digest = hashlib.sha256(f"{list(seeds)} {_fingerprint_of_code()}".encode())
    for path in sorted(path for path in lesson.folder.rglob("*") if path.is_file()):
        if path.name not in _NOT_FOR_GRADERS and "__pycache__" not in path.parts:
            digest.update(path.relative_to(lesson.folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@cache
def _fingerprint_of_code() -> str:
    digest = hashlib.sha256(f"{sys.version} {platform.machine()}".encode())
    for name in _PACKAGES:
        try:
            digest.update(f"{name} {metadata.version(name)}".encode())
        except metadata.PackageNotFoundError:
            continue
    root = Path(nn2llm.__file__).parent
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root).as_posix()
        if not place.startswith(_OUT_OF_REACH) or place.startswith(_IN_REACH):
            digest.update(place.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
