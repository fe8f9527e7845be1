"""The Python reference manual that ships inside Python: real English text that is always there.

Read after data/readers.py. Used by data/corpora.py (`python-docs`). Source: `pydoc_data.topics` of the
standard library, PSF licence. About 0.4 MB, and a little different in each Python version.

Its 79 topics are pages of very unequal length (0.2 to 62 kB), and many repeat: the page "if" stands again,
word for word, inside the page "compound". So each titled section is a document, and a section that mostly
repeats an earlier one is left out; else the held-out text would have been trained on.
"""

import importlib
import re
from collections.abc import Iterator

from nn2llm.core.errors import DataError

__all__ = ["iterate_python_docs"]

# A title, underlined over its whole length by one repeated character.
_TITLE = re.compile(r"^(?P<title>\S.*)\n(?P<line>([*=\-^~])\3{2,})$", re.MULTILINE)
_MIN_SECTION_CHARS = 200
_MIN_PARAGRAPH_CHARS = 40
_MAX_REPEATED = 0.5


def iterate_python_docs() -> Iterator[str]:
    """The sections of the manual, each once, in a fixed order.

    Raises:
        DataError: if this Python was built without `pydoc_data`.
    """
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError as error:
        raise DataError(
            "This Python has no pydoc_data, so no python-docs. Give --corpus the path of a text file."
        ) from error
    seen: set[str] = set()
    # Longest page first: a section that stands alone and in a long page is kept where its neighbours are.
    for name in sorted(topics, key=lambda name: (-len(topics[name]), name)):
        for section in _split_sections(topics[name]):
            paragraphs = {_normalise(p) for p in section.split("\n\n")}
            long = {p for p in paragraphs if len(p) >= _MIN_PARAGRAPH_CHARS} or paragraphs
            repeated = sum(len(p) for p in long & seen)
            seen |= long
            if repeated <= _MAX_REPEATED * sum(len(p) for p in long):
                yield section


def _normalise(paragraph: str) -> str:
    """White space and the underline of a title do not make a paragraph new."""
    return " ".join(_TITLE.sub(r"\g<title>", paragraph).split())


def _split_sections(page: str) -> Iterator[str]:
    """Cut a page before each title; a section too short to read goes with the next one."""
    text = "\n".join(line.rstrip() for line in page.strip().split("\n"))
    starts = [m.start() for m in _TITLE.finditer(text) if len(m["title"]) == len(m["line"])]
    pending = ""
    for start, stop in zip([0, *starts], [*starts, len(text)], strict=True):
        pending += text[start:stop]
        if len(pending.strip()) >= _MIN_SECTION_CHARS:
            yield pending.strip() + "\n"
            pending = ""
    if pending.strip():
        yield pending.strip() + "\n"
