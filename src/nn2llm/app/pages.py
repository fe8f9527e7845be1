"""The pages: home, lesson, search, glossary, map, settings, machine. All can be read without JavaScript.

Read after views.py. Used by app/server.py.
"""

from contextlib import suppress
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from markupsafe import Markup

from nn2llm.app.api_learning import describe_review
from nn2llm.app.example import load_example
from nn2llm.app.map_picture import draw_map
from nn2llm.app.pictures import draw_curve
from nn2llm.app.road import LEGEND, build_road, judge_lesson
from nn2llm.app.views import get_site, render, render_error
from nn2llm.core.errors import LessonError, StorageError
from nn2llm.course.lesson import Route
from nn2llm.course.reading_time import compute_minutes
from nn2llm.course.rendering_exercises import list_exercises
from nn2llm.course.sittings import list_checkpoint_states

__all__ = ["router"]

router = APIRouter()
_ROUTES: dict[Route, str] = {"tour": "Tour", "core": "Core", "full": "Full"}
_FILE_TYPES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".csv", ".txt", ".json", ".pdf"}
"""Files beside lesson.md that its page may show or offer."""


@router.get("/")
def home(request: Request) -> HTMLResponse:
    """What will be built, the road, where to go on, the first model."""
    site = get_site(request)
    course = site.shelf.course
    road = build_road(course, site.store)
    snapshot = site.training.snapshot()
    return render(
        request,
        "home.html",
        course=course,
        road=road,
        checkpoints=list_checkpoint_states(course, site.store),
        training=snapshot,
        training_curve=_draw_training(snapshot),
        training_samples=_pick_samples(snapshot["samples"]),
        example=load_example(),
        problems=course.problems,
        trouble=site.store.trouble,
        review=describe_review(request),
        legend=LEGEND,
    )


@router.get("/fragments/training")
def training_fragment(request: Request) -> HTMLResponse:
    """The training panel of home alone, for its script."""
    snapshot = get_site(request).training.snapshot()
    return render(
        request,
        "training.html",
        training=snapshot,
        training_curve=_draw_training(snapshot),
        training_samples=_pick_samples(snapshot["samples"]),
    )


def _pick_samples(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Four of them: the first noise, two early ones, where most is learned, and the last."""
    count = len(samples)
    return [samples[at] for at in sorted({0, count // 12, count // 3, count - 1})] if samples else []


def _draw_training(snapshot: dict[str, Any]) -> Markup | None:
    floor = (snapshot["result"] or {}).get("floor")
    if floor is not None:
        # the curve is in nats a token, the floor in bits a byte: the same text, so the same ratio
        result = snapshot["result"]
        floor = floor["floor_bits_per_byte"] * result["val_loss"] / result["val_bits_per_byte"]
    return draw_curve(snapshot["points"], total_steps=snapshot["total_steps"], floor=floor)


@router.get("/lesson/{slug}")
def lesson(request: Request, slug: str) -> Response:
    """A lesson, or what is known of one that is coming or broken."""
    site = get_site(request)
    course = site.shelf.course
    try:
        entry = course.lesson(slug)
    except LessonError as error:
        return render_error(request, 404, str(error))
    before, after = course.neighbours(entry.slug, checkpoints=True)
    route = request.query_params.get("route", "")
    common: dict[str, Any] = {
        "entry": entry,
        "topic": next(topic for topic in course.topics if topic.number == entry.topic),
        "before": before,
        "after": after,
        "route": route if route in _ROUTES else site.settings()["route"],
        "routes": _ROUTES,
        "needs": [_name_need(site, need) for need in entry.needs],
        "unlocks": _list_unlocked(site, entry.slug),
        "notes": site.store.notes(entry.slug),
        "progress": site.store.progress().get(entry.slug),
        "stone": judge_lesson(course, site.store, entry),
    }
    if entry.slug in course.broken:
        path = course.broken[entry.slug].path
        found = [str(problem) for problem in course.problems if problem.path == path]
        return render(request, "lesson_missing.html", broken=found, **common)
    if not course.is_ready(entry.slug):
        return render(request, "lesson_missing.html", broken=[], **common)
    try:
        opened = site.shelf.open(entry.slug)
    except LessonError as error:
        return render(request, "lesson_missing.html", broken=[str(error)], **common)
    html = opened.rendered.html
    if common["route"] == "full":
        html = html.replace('<details class="fold"', '<details open class="fold"')
    html, sitting = _fill_checkpoint(site, opened.lesson, html)
    common["needs"] = [_name_need(site, need) for need in opened.lesson.needs]
    data = {
        "slug": entry.slug,
        "number": entry.number,
        "title": opened.lesson.title,
        "cells": [
            {"id": c.id, "kind": c.kind, "code": c.code, "line": c.line, "seconds": c.seconds}
            for c in opened.lesson.cells
        ],
        "ws": f"/ws/lesson/{entry.slug}",
        "exercises": list_exercises(entry.folder),
        "route": common["route"],
        "minutes_left": {
            name: {one.id: round(one.minutes_left, 1) for one in compute_minutes(opened.lesson, name)}
            for name in _ROUTES
        },
    }
    if data["exercises"]:
        site.warm_grader()
    done = common["progress"].sections_seen if common["progress"] is not None else ()
    minutes_left = sum(
        one.minutes for one in compute_minutes(opened.lesson, common["route"]) if one.id not in done
    )
    with suppress(StorageError):  # a lesson can be read while the disk is full
        site.store.mark_opened(entry.slug)
    return render(
        request,
        "lesson.html",
        lesson=opened.lesson,
        html=Markup(html),
        sitting=sitting,
        outline=opened.rendered.outline,
        words=opened.rendered.words,
        minutes_left=minutes_left,
        data=data,
        **common,
    )


def _list_unlocked(site: Any, slug: str) -> list[Any]:
    node = site.shelf.graph.nodes.get(slug)  # a checkpoint is none: nothing needs it
    return [] if node is None else [site.shelf.course.lesson(other) for other in node.needed_by]


def _fill_checkpoint(site: Any, lesson: Any, page: str) -> tuple[str, dict[str, Any] | None]:
    """A checkpoint's page with its mixed questions, and how it stands; any other page as it is, and None."""
    from nn2llm.course.checkpoint_page import describe_sitting, fill_mixed
    from nn2llm.course.checkpoints import is_checkpoint
    from nn2llm.course.sittings import open_sitting

    course = site.shelf.course
    if not is_checkpoint(lesson.entry):
        return page, None
    with suppress(StorageError):  # while the disk is full it can be read, without its mixed questions
        page = fill_mixed(page, course, open_sitting(course, site.store, lesson))
    return page, describe_sitting(course, site.store, lesson.entry.topic)


def _name_need(site: Any, slug: str) -> dict[str, Any]:
    entry = site.shelf.course.lesson(slug)
    progress = site.store.progress().get(slug)
    return {
        "entry": entry,
        "ready": site.shelf.course.is_ready(slug),
        "read": progress is not None and progress.read,
    }


@router.get("/search")
def search_page(request: Request, q: str = "") -> HTMLResponse:
    """Hits in lessons, goals and glossary."""
    site = get_site(request)
    hits = site.search(q) if q.strip() else []
    for hit in hits:
        hit["snippet"] = Markup(hit["snippet"])
    return render(request, "search.html", query=q, hits=hits)


@router.get("/lesson-file/{slug}/{path:path}")
def lesson_file(request: Request, slug: str, path: str) -> Response:
    """A picture or data file that stands in a lesson's folder; nothing else, and nothing outside it."""
    try:
        folder = get_site(request).shelf.course.lesson(slug).folder.resolve()
        file = (folder / path).resolve()
    except (LessonError, OSError, ValueError):
        return render_error(request, 404, f"There is no file for {slug[:80]!r}.")
    if not file.is_relative_to(folder) or file.suffix.lower() not in _FILE_TYPES or not file.is_file():
        return render_error(request, 404, f"The lesson {slug!r} has no picture or data file of that name.")
    return FileResponse(file)


@router.get("/glossary")
def glossary(request: Request) -> HTMLResponse:
    """Every term that a lesson explains, by letter."""
    site = get_site(request)
    letters: dict[str, list[Any]] = {}
    for term in site.glossary():
        letters.setdefault(term.term[:1].upper(), []).append(
            {
                "term": term.term,
                "html": Markup(term.html),
                "url": f"/lesson/{term.slug}#{term.anchor}",
                "number": term.number,
            }
        )
    return render(request, "glossary.html", letters=letters)


@router.get("/map")
def map_page(request: Request) -> HTMLResponse:
    """What needs what, as a picture and as a list."""
    site = get_site(request)
    course = site.shelf.course
    road = build_road(course, site.store)
    checkpoints = list_checkpoint_states(course, site.store)
    return render(
        request,
        "map.html",
        picture=draw_map(course, site.shelf.graph, road, checkpoints),
        road=road,
        checkpoints=checkpoints,
        graph=site.shelf.graph,
        course=course,
        legend=LEGEND,
    )


@router.get("/settings")
def settings_page(request: Request) -> HTMLResponse:
    """Theme, size, route, kernels; progress out and in."""
    return render(request, "settings.html")


@router.get("/machine")
def machine_page(request: Request) -> HTMLResponse:
    """What the doctor found. The first visit starts the check; the page loads itself again until it ends."""
    machine = get_site(request).machine
    report = machine.read_report()
    if report is None and machine.error is None:
        machine.start()
    checked_at = None
    if report is not None and "checked_at" in report:
        moment = datetime.fromtimestamp(report["checked_at"])
        checked_at = f"{moment.day} {moment:%B %Y, %H:%M}"
    return render(
        request,
        "machine.html",
        report=report,
        checked_at=checked_at,
        running=machine.is_running,
        error=machine.error,
    )
