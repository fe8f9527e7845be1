"""The server's application: routes, static files, errors, and what lives as long as it runs.

Read after pages.py, api.py and sockets.py. Used by app/running.py and the tests.
"""

import asyncio
import logging
import mimetypes
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import NotModifiedResponse, StaticFiles

from nn2llm.app import api, api_exercises, api_learning, api_outcomes, pages, pages_mygpt, sockets
from nn2llm.app.bundle import is_hashed
from nn2llm.app.security import AccessRules, Guard
from nn2llm.app.state import Site
from nn2llm.app.views import render_error
from nn2llm.core.errors import Nn2llmError

__all__ = ["build_app", "build_guarded_app"]

_LOG = logging.getLogger("nn2llm.app")
_WARM_UP_AFTER_S = 0.3
"""Home, which the browser asks for first, need not share the processor with the warming up."""
_FOREVER = "public, max-age=31536000, immutable"


class _BundleFiles(StaticFiles):
    """Static files, packed ones where the build made them. A name with a hash is never asked for again."""

    async def check_config(self) -> None:
        """The folder may be missing: pages say so; a file of it is simply not found."""

    def file_response(self, full_path: Any, stat_result: Any, scope: Any, status_code: int = 200) -> Response:
        packed = f"{full_path}.gz"
        headers = Headers(scope=scope)
        if "gzip" in headers.get("accept-encoding", "") and os.path.isfile(packed):
            kind = mimetypes.guess_type(full_path)[0] or "application/octet-stream"
            response: Response = FileResponse(
                packed, status_code, media_type=kind, stat_result=os.stat(packed)
            )
            response.headers["content-encoding"] = "gzip"
            if self.is_not_modified(response.headers, headers):
                response = NotModifiedResponse(response.headers)
        else:
            response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["vary"] = "accept-encoding"
        response.headers["cache-control"] = _FOREVER if is_hashed(Path(full_path).name) else "no-cache"
        return response


def build_app(site: Site, *, with_kernels: bool = True) -> FastAPI:
    """The application without its guard; with_kernels=False leaves the lessons' cells alone."""

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        if with_kernels:
            await site.open_kernels()
        warming = asyncio.create_task(_warm_up(site)) if with_kernels else None
        try:
            yield
        finally:
            if warming is not None:
                warming.cancel()
                await asyncio.gather(warming, return_exceptions=True)
            await site.close()

    app = FastAPI(lifespan=live, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.site = site
    app.add_middleware(GZipMiddleware, minimum_size=2000, compresslevel=5)
    app.include_router(pages.router)
    app.include_router(pages_mygpt.router)
    app.include_router(api.router)
    app.include_router(api_exercises.router)
    app.include_router(api_learning.router)
    app.include_router(api_outcomes.router)
    app.include_router(sockets.router)
    app.add_api_route("/widgets/{name}", _serve_widget, methods=["GET"])
    app.mount("/static", _BundleFiles(directory=site.bundle.folder, check_dir=False), name="static")
    app.add_exception_handler(StarletteHTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_bad_request)
    app.add_exception_handler(Nn2llmError, _answer_own_error)
    app.add_exception_handler(Exception, _answer_bug)
    return app


async def _warm_up(site: Site) -> None:
    """Once the server answers: what the first page view would have to wait for."""
    await asyncio.sleep(_WARM_UP_AFTER_S)
    await asyncio.to_thread(site.warm_up)


def build_guarded_app(site: Site, rules: AccessRules, *, with_kernels: bool = True) -> Guard:
    """The application behind its guard: what is served."""
    return Guard(build_app(site, with_kernels=with_kernels), rules)


def _serve_widget(request: Request, name: str) -> Response:
    """The script or style of a widget that a kernel showed; named by its contents."""
    pool = request.app.state.site.pool
    text = None if pool is None else pool.widget_files.get(name)
    if text is None:
        raise HTTPException(404, "This widget's kernel has gone. Run its cell again.")
    kind = "text/css" if name.endswith(".css") else "text/javascript"
    return Response(text, media_type=kind, headers={"cache-control": _FOREVER})


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    message = str(error.detail)
    if error.status_code == 404 and not isinstance(error, HTTPException):
        message = f"Nothing is at {request.url.path[:200]!r}. Home has the road with all lessons."
    return render_error(request, error.status_code, message)


async def _answer_bad_request(request: Request, error: Exception) -> Response:
    return render_error(request, 400, "The request is not as it should be; load the page again.")


async def _answer_own_error(request: Request, error: Exception) -> Response:
    return render_error(request, 500, str(error))


async def _answer_bug(request: Request, error: Exception) -> Response:
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    log = request.app.state.site.home / "logs" / "server.log"
    return render_error(
        request, 500, f"The server failed at this page; the other pages go on. {log} says why."
    )
