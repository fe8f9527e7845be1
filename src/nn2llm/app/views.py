"""Templates: how a page is put into its frame, and errors into pages.

Jinja2 with autoescape: what is HTML already (a rendered lesson) is marked so by hand, in pages.py. Read after
state.py. Used by app/pages.py and app/server.py.
"""

from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from nn2llm import __version__
from nn2llm.app.bundle import REMEDY
from nn2llm.app.road import name_checkpoint_state
from nn2llm.app.security import NONCE_KEY
from nn2llm.core.errors import StorageError
from nn2llm.core.progress import format_count, format_duration
from nn2llm.course.portfolio_words import format_measured, name_state

if TYPE_CHECKING:
    from nn2llm.app.state import Site

__all__ = ["code_words", "get_site", "keep_hyphens", "render", "render_error", "say_minutes"]


_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E"
    "%3Cpath d='M5 27 C12 27 9 6 27 5' fill='none' stroke='%231d6070' stroke-width='3.5' "
    "stroke-linecap='round'/%3E%3Ccircle cx='27' cy='5' r='3.6' fill='%23a0522d'/%3E%3C/svg%3E"
)


def say_minutes(minutes: float) -> str:
    """`25 min`, `1 h`, `2 h 40 min`, `38 h`: to five minutes from an hour on, to hours from ten on."""
    whole = max(1, round(minutes))
    if whole < 60:
        return f"{whole} min"
    if whole >= 600:
        return f"{round(whole / 60)} h"
    hours, rest = divmod(5 * round(whole / 5), 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def keep_hyphens(text: str) -> Markup:
    """Words with a hyphen stay on one line of a title: "end-to-end" is not torn in two."""
    words = [
        Markup('<span class="one-line">{}</span>').format(word) if "-" in word else escape(word)
        for word in text.split(" ")
    ]
    return Markup(" ").join(words)


def code_words(sentence: str) -> Markup:
    """A sentence whose words between backticks are code."""
    pieces = sentence.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if at % 2 else escape(piece)
        for at, piece in enumerate(pieces)
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "minutes": say_minutes,
        "duration": format_duration,
        "count": format_count,
        "keep_hyphens": keep_hyphens,
        "code_words": code_words,
        "measured": format_measured,
        "evidence_state": name_state,
        "checkpoint_state": name_checkpoint_state,
    }
    return environment


def get_site(request: Request) -> "Site":
    """What the server holds."""
    site: Site = request.app.state.site
    return site


def render(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page from a template. Every template has: settings, url(name), bundle_built, nonce, version, path."""
    site = get_site(request)
    text = (
        _environment()
        .get_template(template)
        .render(
            settings=_read_settings(site),
            url=site.bundle.url,
            bundle_remedy=None if site.bundle.is_built else REMEDY,
            nonce=request.scope.get(NONCE_KEY, ""),
            version=__version__,
            path=request.url.path,
            icon=Markup(_ICON),
            **{"query": "", "sheets": [], "scripts": [], **values},
        )
    )
    return HTMLResponse(text, status_code=status)


def _read_settings(site: "Site") -> dict[str, Any]:
    """The defaults where the records cannot be read: the page that says so is a page too."""
    from nn2llm.app.state import SETTINGS

    try:
        return site.settings()
    except StorageError:
        return {name: default for name, (default, _) in SETTINGS.items()}


def render_error(request: Request, status: int, message: str, *, detail: str = "") -> Response:
    """An error in the frame of the pages, or as JSON under /api/."""
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": message}, status_code=status)
    title = "There is no such page" if status == 404 else HTTPStatus(status).phrase
    return render(request, "error.html", status=status, title=title, message=message, detail=detail)
