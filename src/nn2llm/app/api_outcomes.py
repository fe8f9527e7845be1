"""What the learner can show: the page /outcomes, their own words, their evidence, the portfolio.

Read after api.py; the work is in course/outcomes.py and course/portfolio.py. Used by app/server.py;
frontend/src/lesson/words.ts and frontend/src/site/outcomes.ts are the other end.
"""

import asyncio
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from nn2llm.app.request_bodies import find_slug, read_body, take
from nn2llm.app.views import get_site, render, render_error
from nn2llm.core.errors import ConfigError, DataError, LessonError

__all__ = ["router"]

router = APIRouter()

_MAX_WORDS = 20_000
_MAX_POINTS = 12
_TYPES = {"html": "text/html", "md": "text/markdown"}
_SHOWN_MODELS = 8


# --- own words ----------------------------------------------------------------------------------------------


@router.get("/api/words/{slug}")
def get_words(request: Request, slug: str) -> dict[str, Any]:
    """What the learner wrote under "In one breath", and the points they ticked ([]: ours was not opened)."""
    words = get_site(request).store.words.get(find_slug(request, slug))
    return {"text": words.text, "points": list(words.points)}


@router.post("/api/words/{slug}")
async def post_words(request: Request, slug: str) -> dict[str, Any]:
    """{"text", "points": [true, …]}: keeps both."""
    body = await read_body(request)
    slug, text, points = find_slug(request, slug), take(body, "text", str), take(body, "points", list, [])
    if len(text) > _MAX_WORDS:
        raise HTTPException(
            413, f"{len(text):,} characters are too long for three sentences; {_MAX_WORDS:,} fit."
        )
    if len(points) > _MAX_POINTS or not all(isinstance(point, bool) for point in points):
        raise HTTPException(400, f"points must be at most {_MAX_POINTS} times true or false: {points!r:.60}.")
    await asyncio.to_thread(get_site(request).store.words.set, slug, text, points)
    return {"slug": slug, "saved": True}


# --- checkpoints --------------------------------------------------------------------------------------------


@router.get("/api/checkpoint/{slug}")
def get_checkpoint(request: Request, slug: str) -> dict[str, Any]:
    """How a checkpoint stands, and what was answered in its sitting, by "lesson/question"."""
    return _describe_checkpoint(request, _find_checkpoint(request, slug))


@router.post("/api/checkpoint/{slug}/again")
async def post_again(request: Request, slug: str) -> dict[str, Any]:
    """{}: other questions, where those of the sitting cannot be passed any more."""
    from nn2llm.course.sittings import take_again

    site, entry = get_site(request), _find_checkpoint(request, slug)
    try:
        lesson = (await asyncio.to_thread(site.shelf.open, entry.slug)).lesson
        await asyncio.to_thread(take_again, site.shelf.course, site.store, lesson)
    except LessonError as error:
        raise HTTPException(404, str(error)) from error
    except DataError as error:
        raise HTTPException(409, str(error)) from error
    return _describe_checkpoint(request, entry)


def _find_checkpoint(request: Request, slug: str) -> Any:
    from nn2llm.course.checkpoints import is_checkpoint

    course = get_site(request).shelf.course
    entry = course.lesson(find_slug(request, slug))
    if not is_checkpoint(entry):
        raise HTTPException(404, f"{entry.number} {entry.title} is a lesson, not a checkpoint.")
    return entry


def _describe_checkpoint(request: Request, entry: Any) -> dict[str, Any]:
    from nn2llm.course.checkpoint_page import describe_sitting
    from nn2llm.course.sittings import read_sitting

    site = get_site(request)
    sitting = read_sitting(site.store, entry.slug)
    return {
        **describe_sitting(site.shelf.course, site.store, entry.topic),
        "answers": {} if sitting is None else {"/".join(one): said for one, said in sitting.answers.items()},
    }


# --- what they can show -------------------------------------------------------------------------------------


def _gather(request: Request) -> Any:
    from nn2llm.course.outcomes import build_outcomes

    site = get_site(request)
    return build_outcomes(site.shelf.course, site.store, site.training.root)


@router.get("/outcomes")
def outcomes_page(request: Request) -> HTMLResponse:
    """The four promises, the evidence for each, and what is missing."""
    from nn2llm.course.outcomes import CRITIQUE_FIELDS, MIN_EXPLANATION_WORDS

    site = get_site(request)
    outcomes = _gather(request)
    return render(
        request,
        "outcomes.html",
        outcomes=outcomes,
        course=site.shelf.course,
        critique_fields=CRITIQUE_FIELDS,
        min_words=MIN_EXPLANATION_WORDS,
        shown_models=_SHOWN_MODELS,
        folder=site.home / "portfolio",
        data={"paragraphs": [" ".join(one.text.split()) for one in outcomes.said]},
    )


@router.post("/api/outcomes/{kind}")
async def post_evidence(request: Request, kind: str) -> dict[str, Any]:
    """{field: text}: keeps the learner's explanation, critique, name, or which model counts."""
    from nn2llm.course.outcomes import save_evidence
    from nn2llm.course.portfolio_words import name_state

    body = await read_body(request)
    try:
        await asyncio.to_thread(save_evidence, get_site(request).store, kind, body)
    except DataError as error:
        raise HTTPException(400, str(error)) from error
    outcomes = await asyncio.to_thread(_gather, request)
    return {
        "promises": [
            {
                "key": promise.key,
                "state": promise.state,
                "state_words": name_state(promise.state),
                "summary": promise.summary,
                "missing": list(promise.missing),
            }
            for promise in outcomes.promises
        ]
    }


# --- the portfolio ------------------------------------------------------------------------------------------


def _build(request: Request) -> Any:
    from nn2llm.course.portfolio import build_portfolio

    site = get_site(request)
    return build_portfolio(site.shelf.course, site.store, runs=site.training.root, home=site.home)


@router.get("/outcomes/portfolio.{kind}")
def get_portfolio(request: Request, kind: str) -> Response:
    """The portfolio as a file to keep: html or md."""
    if kind not in _TYPES:
        return render_error(request, 404, f"The portfolio comes as html or md, not as {kind[:20]!r}.")
    portfolio = _build(request)
    return Response(
        portfolio.html if kind == "html" else portfolio.markdown,
        media_type=_TYPES[kind],
        headers={"content-disposition": f'attachment; filename="portfolio.{kind}"'},
    )


@router.post("/api/portfolio")
async def post_portfolio(request: Request) -> dict[str, Any]:
    """{"overwrite"}: writes portfolio.html and portfolio.md into NN2LLM_HOME/portfolio."""
    from nn2llm.course.portfolio import write_portfolio

    body = await read_body(request)
    overwrite = take(body, "overwrite", bool, False)
    folder = get_site(request).home / "portfolio"
    portfolio = await asyncio.to_thread(_build, request)
    try:
        paths = await asyncio.to_thread(write_portfolio, portfolio, folder, overwrite=overwrite)
    except ConfigError as error:
        raise HTTPException(409, str(error)) from error
    return {"paths": [str(path) for path in paths]}
