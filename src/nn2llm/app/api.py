"""The JSON interface under /api/: progress, notes, time, settings, export, search, training, machine.

A request that changes something needs Origin and X-NN2LLM (security.py). Every error is {"error": sentence}.
The records are written in threads: where another program holds the database, only who writes waits.
Read after state.py and training.py. Used by app/server.py; frontend/src/site is the other end.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from nn2llm import __version__
from nn2llm.app.request_bodies import find_slug, read_body, take
from nn2llm.app.state import SETTINGS, is_allowed
from nn2llm.app.training import to_json
from nn2llm.app.views import get_site
from nn2llm.core.errors import ConfigError, DataError, Nn2llmError

__all__ = ["router"]

router = APIRouter(prefix="/api")

_MAX_NOTES = 200_000
_MAX_SECONDS = 3600
_POLL_S = 1.0
_BUSY = {"starting", "running", "measuring"}


@router.get("/ping")
def ping() -> dict[str, str]:
    """Who is there: a second `nn2llm start` asks."""
    return {"name": "nn2llm", "version": __version__}


@router.get("/progress")
def get_progress(request: Request) -> dict[str, Any]:
    """What was opened and read, by slug."""
    return {
        slug: {
            "read": record.read,
            "section": record.section,
            "sections_seen": record.sections_seen,
            "seconds": round(record.seconds),
        }
        for slug, record in get_site(request).store.progress().items()
    }


@router.post("/progress/{slug}")
async def post_progress(request: Request, slug: str) -> dict[str, Any]:
    """{"read"} marks as read or not; {"section"}: the learner has read past it, and goes on there."""
    body = await read_body(request)
    slug, store = find_slug(request, slug), get_site(request).store
    if "section" in body:
        await asyncio.to_thread(store.set_section, slug, take(body, "section", str)[:200])
    if "read" in body:
        await asyncio.to_thread(store.set_read, slug, take(body, "read", bool))
    record = (await asyncio.to_thread(store.progress)).get(slug)
    return {"slug": slug, "read": record is not None and record.read}


@router.get("/notes/{slug}")
def get_notes(request: Request, slug: str) -> dict[str, Any]:
    """The learner's notes on a lesson."""
    return {"slug": slug, "text": get_site(request).store.notes(slug)}


@router.post("/notes/{slug}")
async def post_notes(request: Request, slug: str) -> dict[str, Any]:
    """{"text"}: keeps the learner's notes."""
    body = await read_body(request)
    slug, text = find_slug(request, slug), take(body, "text", str)
    if len(text) > _MAX_NOTES:
        raise HTTPException(413, f"Notes of {len(text):,} characters are too long; {_MAX_NOTES:,} fit.")
    await asyncio.to_thread(get_site(request).store.set_notes, slug, text)
    return {"slug": slug, "saved": True}


@router.post("/time/{slug}")
async def post_time(request: Request, slug: str) -> dict[str, Any]:
    """{"seconds"}: time spent on a lesson since the last call."""
    body = await read_body(request)
    slug, seconds = find_slug(request, slug), take(body, "seconds", (int, float))
    if not 0 <= seconds <= _MAX_SECONDS:
        raise HTTPException(400, f"seconds must be between 0 and {_MAX_SECONDS}, got {seconds}.")
    await asyncio.to_thread(get_site(request).store.add_time, slug, float(seconds))
    return {"slug": slug}


@router.get("/settings")
def get_settings(request: Request) -> dict[str, Any]:
    """All settings."""
    return get_site(request).settings()


@router.post("/settings")
async def post_settings(request: Request) -> dict[str, Any]:
    """{name: value, …}: changes those settings, all or none."""
    site, body = get_site(request), await read_body(request)
    for name, value in body.items():
        if name not in SETTINGS:
            raise HTTPException(400, f"There is no setting {name!r}; there are {', '.join(SETTINGS)}.")
        default, allowed = SETTINGS[name]
        if not is_allowed(value, default, allowed):
            choices = (
                ", ".join(map(str, allowed)) if isinstance(default, str) else "{} to {}".format(*allowed)
            )
            raise HTTPException(400, f"{name} cannot be {value!r:.40}. Choose: {choices}.")
    await asyncio.to_thread(site.store.set_settings, body)
    await asyncio.to_thread(site.apply_settings)
    return {"settings": await asyncio.to_thread(site.settings)}


@router.get("/export")
def export(request: Request) -> Response:
    """Progress, notes, code and settings as one file."""
    return Response(
        json.dumps(get_site(request).store.export_json(), indent=1, ensure_ascii=False),
        media_type="application/json",
        headers={"content-disposition": 'attachment; filename="nn2llm-progress.json"'},
    )


@router.post("/import")
async def import_(request: Request) -> dict[str, Any]:
    """Takes in what /api/export gave; what is newer stays."""
    body = await read_body(request)
    try:
        summary = await asyncio.to_thread(get_site(request).store.import_json, body)
    except DataError as error:
        raise HTTPException(400, str(error)) from error
    return {"imported": summary}


@router.get("/search")
def search(request: Request, q: str = "") -> dict[str, Any]:
    """Hits while one types."""
    return {"query": q, "hits": get_site(request).search(q, limit=8) if q.strip() else []}


# --- the first model ----------------------------------------------------------------------------------------


@router.get("/training")
def get_training(request: Request) -> dict[str, Any]:
    """How the first model stands."""
    return get_site(request).training.snapshot()


@router.get("/training/events")
async def training_events(request: Request) -> StreamingResponse:
    """Server-sent events: a snapshot now, then one whenever it changes, until nothing runs any more."""
    site = get_site(request)
    training = site.training

    async def follow() -> AsyncIterator[str]:
        last = ""
        while True:
            snapshot = await asyncio.to_thread(training.snapshot)
            text = to_json(snapshot)
            if text != last:
                yield f"data: {text}\n\n"
                last = text
            if snapshot["state"] not in _BUSY:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(site.stopping.wait(), _POLL_S)
                return

    return StreamingResponse(follow(), media_type="text/event-stream")


@router.post("/training/start")
async def start_training(request: Request) -> dict[str, Any]:
    """{"name", "trade", "pronoun", "again"}: trains in the background; without a name, goes on."""
    body, training = await read_body(request), get_site(request).training
    name, trade = take(body, "name", str, ""), take(body, "trade", str, "")
    pronoun, again = take(body, "pronoun", str, "they"), take(body, "again", bool, False)
    try:
        return await asyncio.to_thread(training.start, name, trade, pronoun, again=again)
    except ConfigError as error:
        raise HTTPException(409 if "already" in str(error) and not name else 400, str(error)) from error
    except Nn2llmError as error:
        raise HTTPException(500, str(error)) from error


@router.post("/training/stop")
async def stop_training(request: Request) -> dict[str, Any]:
    """Saves and stops."""
    return await asyncio.to_thread(get_site(request).training.stop)


@router.post("/machine/check")
async def check_machine(request: Request) -> JSONResponse:
    """Begins a check of the machine."""
    get_site(request).machine.start()
    return JSONResponse({"state": "running"}, status_code=202)
