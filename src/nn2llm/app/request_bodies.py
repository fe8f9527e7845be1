"""What a request to the JSON interface holds: its object, a field of it, the lesson it names.

Each refuses with an HTTPException whose sentence the page shows. Used by api.py and the other api_*.py.
"""

import json
from typing import Any

from fastapi import HTTPException, Request

from nn2llm.app.views import get_site
from nn2llm.core.errors import LessonError

__all__ = ["find_slug", "read_body", "take"]


async def read_body(request: Request) -> dict[str, Any]:
    """The JSON object of a request; 400 where it has none."""
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):  # nested too deep
        body = None
    if not isinstance(body, dict):
        raise HTTPException(400, "The request's body is not a JSON object.")
    return body


def take(body: dict[str, Any], key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
    """A field of that type (True is no number); 400 where it is another or missing without a default."""
    value = body.get(key, default)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise HTTPException(400, f"The field {key!r} is missing or not as it should be: {value!r:.60}.")
    return value


def find_slug(request: Request, slug_or_number: str) -> str:
    """The slug of a lesson or checkpoint; 404 where there is none."""
    try:
        return get_site(request).shelf.course.lesson(slug_or_number).slug
    except LessonError as error:
        raise HTTPException(404, str(error)) from error
