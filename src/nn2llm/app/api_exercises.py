"""The JSON interface of exercises: /api/exercise/SLUG/NAME…, and /api/expression for the drawn formula.

Everything that waits (files, records, the grading itself) runs in threads, so that pages stay quick while an
answer is checked. What is written names the version that it began from: where the file has another by now,
409 tells the page both. Read after api.py and exercise_views.py. Used by app/server.py.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from nn2llm.app.exercise_views import (
    make_mark,
    make_sendable,
    view_disk,
    view_solution,
    view_state,
    view_verdict,
)
from nn2llm.app.request_bodies import find_slug, read_body, take
from nn2llm.app.views import get_site
from nn2llm.core.errors import DataError, LessonError
from nn2llm.course.exercises.files import FileConflict
from nn2llm.course.exercises.model import Exercise
from nn2llm.course.inline import PageState, render_inline

__all__ = ["router"]

router = APIRouter(prefix="/api")

MAX_TEXT = 200_000
"""Characters of an answer."""
MAX_EXPRESSION = 500
_MAX_FIELDS = 100
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

Result = TypeVar("Result")


async def _run(work: Callable[..., Result], *arguments: Any) -> Result:
    """In a thread; what is wrong with the lesson or the learner's file is said in its own sentence."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except LessonError as error:
        raise HTTPException(404, str(error)) from error
    except DataError as error:
        raise HTTPException(400, str(error)) from error


class _Place:
    """One exercise of one request."""

    def __init__(self, request: Request, slug: str, name: str) -> None:
        self.site = get_site(request)
        self.slug = find_slug(request, slug)
        self.name = name
        self.exercises = self.site.exercises

    def find(self) -> Exercise:
        return self.exercises.find(self.slug, self.name).exercise

    def view(self) -> dict[str, Any]:
        """How it stands."""
        state = self.exercises.state(self.slug, self.name)
        records = self.site.store.exercises
        state["num_attempts"] = records.state(self.slug, self.name).attempts
        last = records.attempt(state["attempts"][-1]["id"]) if state["attempts"] else None
        seen: dict[str, Any] = make_sendable(
            view_state(self.find(), self.slug, state, "" if last is None else last.text)
        )
        return seen

    def read_text(self, body: dict[str, Any]) -> str:
        """The text that a request wants written: as it stands there, or a form's values as its file.

        Raises:
            HTTPException: if it has neither, or too much.
        """
        exercise = self.find()
        if not exercise.is_form:
            text: str = take(body, "text", str)
            _limit(len(text), "An answer")
            return text
        values = take(body, "fields", dict)
        known = {field.name for field in exercise.fields}
        unknown = sorted(set(map(str, values)) - known)
        if unknown or len(values) > _MAX_FIELDS:
            raise HTTPException(400, f"There is no field {unknown[0]!r:.60}; load the page again.")
        text = _build_form(exercise, {name: value for name, value in values.items() if value is not None})
        _limit(len(text), "An answer")
        return text

    def conflict(self, error: FileConflict) -> Response:
        """Both texts, for the learner to choose."""
        disk = error.disk
        return JSONResponse(
            {
                "error": "The file was changed in another editor meanwhile: choose which text to keep.",
                "disk": make_sendable(view_disk(self.find(), disk.text, disk.version, disk.path)),
            },
            status_code=409,
        )


def _limit(size: int, what: str, most: int = MAX_TEXT) -> None:
    if size > most:
        raise HTTPException(413, f"{what} of {size:,} characters is too long; {most:,} fit.")


def _build_form(exercise: Exercise, values: dict[str, Any]) -> str:
    from nn2llm.course.exercises.texts import build_form

    for field in exercise.fields:
        value = values.get(field.name)
        fits = {
            "number": isinstance(value, int | float) and not isinstance(value, bool),
            "multiple": isinstance(value, list) and all(isinstance(one, str) for one in value),
        }.get(field.kind, isinstance(value, str))
        if value is not None and not fits:
            raise HTTPException(
                400, f"The field {field.name!r} cannot be {value!r:.60}; load the page again."
            )
    return build_form(exercise, {name: _clean(value) for name, value in values.items()})


def _clean(value: Any) -> Any:
    """Texts without the control characters that no line of a Python file can hold."""
    if isinstance(value, str):
        return _CONTROL.sub("", value.replace("\r\n", "\n").replace("\r", "\n"))
    return [_clean(item) for item in value] if isinstance(value, list) else value


def _take_base(body: dict[str, Any]) -> str:
    base: str = take(body, "base", str)
    return base


@router.get("/exercise/{slug}/{name}")
async def get_exercise(request: Request, slug: str, name: str) -> dict[str, Any]:
    """How an exercise stands: the learner's text, the last verdict, the hints seen, the attempts."""
    return await _run(_Place(request, slug, name).view)


@router.get("/exercise/{slug}/{name}/version")
async def get_version(request: Request, slug: str, name: str) -> dict[str, Any]:
    """{"version": of the file, "mark": of everything}: what an open page asks again and again."""
    place = _Place(request, slug, name)

    def look() -> dict[str, Any]:
        version = place.exercises.version(place.slug, name)
        record = place.site.store.exercises.state(place.slug, name)
        mark = make_mark(
            num_attempts=record.attempts,
            hints=record.hints_seen,
            solution_seen=record.solution_seen_at is not None,
            status=record.status,
        )
        return {"version": version, "mark": mark}

    return await _run(look)


@router.post("/exercise/{slug}/{name}/save")
async def save(request: Request, slug: str, name: str) -> Any:
    """{"text" or "fields", "base"}: writes the learner's file; 409 where it has changed since."""
    body, place = await read_body(request), _Place(request, slug, name)

    def write() -> Any:
        try:
            file = place.exercises.save(place.slug, name, place.read_text(body), _take_base(body))
        except FileConflict as error:
            return place.conflict(error)
        return {"version": file.version}

    return await _run(write)


@router.post("/exercise/{slug}/{name}/prepare")
async def prepare(request: Request, slug: str, name: str) -> dict[str, Any]:
    """Begins the learner's file where there is none yet, so that another editor can open it."""
    await read_body(request)
    place = _Place(request, slug, name)
    await _run(place.exercises.prepare, place.slug, name)
    return {"state": await _run(place.view)}


@router.post("/exercise/{slug}/{name}/check")
async def check(request: Request, slug: str, name: str) -> Any:
    """{"text" or "fields", "base"}: saves and grades; one check of an exercise at a time."""
    body, place = await read_body(request), _Place(request, slug, name)
    running = place.site.checks_running
    if (place.slug, name) in running:
        raise HTTPException(409, "This exercise is being checked already. Wait for that verdict.")

    def grade() -> Any:
        text = place.read_text(body)
        try:
            verdict = place.exercises.check(place.slug, name, text, _take_base(body))
        except FileConflict as error:
            return place.conflict(error)
        verdict = make_sendable(view_verdict(place.find(), place.slug, verdict, text))
        return {"verdict": verdict, "state": place.view()}

    running.add((place.slug, name))
    # Where the page goes away meanwhile, its check still ends, is recorded, and only then makes room.
    task = asyncio.create_task(_run(grade))
    task.add_done_callback(lambda _: running.discard((place.slug, name)))
    return await asyncio.shield(task)


@router.post("/exercise/{slug}/{name}/hint")
async def hint(request: Request, slug: str, name: str) -> dict[str, Any]:
    """The next hint counts as seen, and stands in the state."""
    await read_body(request)
    place = _Place(request, slug, name)
    await _run(place.exercises.hint, place.slug, name)
    return {"state": await _run(place.view)}


@router.post("/exercise/{slug}/{name}/solution")
async def solution(request: Request, slug: str, name: str) -> dict[str, Any]:
    """The solution; it counts as seen."""
    await read_body(request)
    place = _Place(request, slug, name)
    source = await _run(place.exercises.solution, place.slug, name)
    return {"solution_html": view_solution(source), "state": await _run(place.view)}


@router.post("/exercise/{slug}/{name}/reset")
async def reset(request: Request, slug: str, name: str) -> dict[str, Any]:
    """Begins again; the old text is kept in the history."""
    await read_body(request)
    place = _Place(request, slug, name)
    await _run(place.exercises.reset, place.slug, name)
    return {"state": await _run(place.view)}


@router.post("/exercise/{slug}/{name}/restore")
async def restore(request: Request, slug: str, name: str) -> dict[str, Any]:
    """{"attempt": id}: the text of that attempt, as a new version."""
    body, place = await read_body(request), _Place(request, slug, name)
    await _run(place.exercises.restore, place.slug, name, take(body, "attempt", str)[:100])
    return {"state": await _run(place.view)}


@router.post("/expression")
async def preview_expression(request: Request) -> dict[str, Any]:
    """{"text", "slug", "name", "field"} → {"tex", "error", "position"}: a formula drawn, or why not."""
    body = await read_body(request)
    text = take(body, "text", str)
    _limit(len(text), "An expression", MAX_EXPRESSION)
    place = _Place(request, take(body, "slug", str), take(body, "name", str))
    wanted = take(body, "field", str)
    fields = (await _run(place.find)).fields
    field = next((one for one in fields if one.name == wanted and one.kind == "expression"), None)
    if field is None:
        raise HTTPException(404, f"The exercise {place.name!r} has no such expression; load the page again.")

    def draw() -> dict[str, Any]:
        from nn2llm.course.grading.expressions import preview_expression

        seen = preview_expression(text, field.symbols, forbid=field.forbid)
        said = render_inline(seen["error"], PageState(slug=place.slug)) if seen["error"] else None
        return {**seen, "error_html": said}

    return await _run(draw)
