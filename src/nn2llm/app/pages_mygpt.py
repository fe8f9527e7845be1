"""The page /mygpt: which parts of a GPT are the learner's, what gives the others, how to train with them.

Read models/parts and course/mygpt.py before; app/pages.py holds the other pages. Used by app/server.py.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from nn2llm.app.views import get_site, render
from nn2llm.core.errors import LessonError, Nn2llmError
from nn2llm.core.files import read_json
from nn2llm.core.run_folder import find_runs, read_json_lines
from nn2llm.course.mygpt import FOLDER, MyPart, read_parts
from nn2llm.models.parts import PARTS, Part, Stage, suggest_flags

if TYPE_CHECKING:
    from nn2llm.course.lesson import Course, SyllabusLesson

__all__ = ["router"]

router = APIRouter()

_STAGES: dict[Stage, tuple[str, str]] = {
    "embedding": ("Before the blocks", "tokens become vectors, and who may look at whom"),
    "block": ("Inside a block", "the same in every layer, one after the other"),
    "model": ("Around the blocks", "from the first vector to the last"),
    "training": ("A training step", "from the scores to better weights"),
    "writing": ("Writing", "from the scores to the next token"),
}
"""Heading and a few words for each stage, in the order in which data flows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """One part as the page shows it."""

    part: Part
    mine: MyPart | None
    lesson: "SyllabusLesson | None"
    """What gives it, or gave it."""
    is_ready: bool
    """Whether that lesson is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trained:
    """The last run with the learner's parts."""

    name: str
    parts: tuple[str, ...]
    step: int
    """Of that loss; the last so far where there is none."""
    val_loss: float | None
    """Nats a token, the best so far; None before the first evaluation."""
    bits_per_byte: float | None


@router.get("/mygpt")
def mygpt(request: Request) -> HTMLResponse:
    """The parts in the order of the data flow, and the command that trains with them."""
    site = get_site(request)
    course = site.shelf.course
    mine = read_parts(site.home)
    stages = [
        (*_STAGES[stage], [_build_box(course, part, mine) for part in PARTS.values() if part.stage == stage])
        for stage in _STAGES
    ]
    trained = _find_last_run(site.training.root)
    return render(
        request,
        "mygpt.html",
        stages=stages,
        num_mine=len(mine),
        num_parts=len(PARTS),
        tokenizer=_find_lesson(course, "bpe"),
        command=_build_command(set(mine)),
        samples="sampling" in mine,
        trained=trained,
        folder=str(site.home / FOLDER),
    )


def _build_box(course: "Course", part: Part, parts: dict[str, MyPart]) -> _Box:
    mine = parts.get(part.name)
    slug = part.lesson if mine is None or mine.source.slug is None else mine.source.slug
    lesson = _find_lesson(course, slug)
    return _Box(part=part, mine=mine, lesson=lesson, is_ready=lesson is not None and course.is_ready(slug))


def _find_lesson(course: "Course", slug: str) -> "SyllabusLesson | None":
    try:
        return course.lesson(slug)
    except LessonError:
        return None


def _build_command(names: set[str]) -> str | None:
    """What trains with all of the learner's parts that go together; None where there is nothing to train."""
    if not any(PARTS[name].stage != "writing" for name in names):
        return None
    return " ".join(["nn2llm pretrain --mine", *suggest_flags(names)])


def _find_last_run(root: Path) -> _Trained | None:
    """The newest run below `root` whose config names parts; what cannot be read is passed over."""
    found: list[tuple[float, Path, dict[str, Any]]] = []
    for run in find_runs(root):
        try:
            config = read_json(run / "config.json")
            if isinstance(config, dict) and isinstance(config.get("mine"), dict) and config["mine"]:
                found.append(((run / "metrics.jsonl").stat().st_mtime, run, config))
        except (Nn2llmError, OSError):
            continue
    if not found:
        return None
    _, run, config = max(found, key=lambda one: one[0])
    try:
        records = read_json_lines(run / "metrics.jsonl")
    except (Nn2llmError, OSError):
        records = []
    evaluated = [one for one in records if isinstance(one.get("val_loss"), float)]
    best = min(evaluated, key=lambda one: float(one["val_loss"]), default={})
    return _Trained(
        name=run.relative_to(root).as_posix(),
        parts=tuple(config["mine"]),
        step=int(best["step"] if best else max((one["step"] for one in records), default=0)),
        val_loss=best.get("val_loss"),
        bits_per_byte=best.get("val_bits_per_byte"),
    )
