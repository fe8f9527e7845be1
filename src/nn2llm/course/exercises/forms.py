"""The learner's file of a form, read by ast and never run: one assignment a field.

Written by texts.py (`build_form`), or by the learner in any editor; read by the grader (grading/forms.py) and
the page. What people type there who never saw Python (`6.6%`, `6,6`, `fit = b`, an apostrophe inside
single quotes) gets a sentence of its own, or is understood.
"""

import ast
import re
from typing import Any

from nn2llm.course.lesson import suggest

__all__ = ["FormError", "count_words", "explain_syntax", "read_form", "read_number"]

_PERCENT = re.compile(r"\s*(\w+)\s*=\s*([-+]?\d[\d.,]*)\s*%\s*(?:#.*)?")
_APOSTROPHE = re.compile(r"\s*(\w+)\s*=\s*'[^'\"]*'\w")
# Chinese, Japanese, Korean syllables apart, Thai, Lao, Burmese, Khmer: no spaces between words
_SPACELESS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


class FormError(Exception):
    """A line of a form that is no `name = value`."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.line = line


def read_form(text: str, names: tuple[str, ...]) -> dict[str, Any]:
    """{field: value} as the text assigns them; Ellipsis for `...`. Fields that are missing are left out.

    Raises:
        SyntaxError: the text is not Python.
        FormError: a line that is no assignment of a literal to a field of the form, or a second one.
    """
    tree = ast.parse(text)
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for index, node in enumerate(tree.body):
        if index == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        if isinstance(node, ast.AnnAssign):
            target = node.target
        value = getattr(node, "value", None)
        if not isinstance(target, ast.Name) or not isinstance(value, ast.expr):
            raise FormError("Only lines like `name = value` belong in this file.", node.lineno)
        if target.id not in names:
            hint = suggest(target.id, names) or f" The fields are {', '.join(names)}."
            raise FormError(f"There is no field `{target.id}` here.{hint}", node.lineno)
        if target.id in lines:
            line = lines[target.id]
            raise FormError(f"`{target.id}` has its answer at line {line} already. Keep one.", node.lineno)
        lines[target.id] = node.lineno
        values[target.id] = _read_value(target.id, value)
    return values


def _read_value(name: str, node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        raise FormError(f'`{node.id}` is not in quotes: write `{name} = "{node.id}"`.', node.lineno)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise FormError(
            f"`{name}` must be a plain value (a number, a text in quotes, or a list of these), "
            "not something to compute: this file is read, not run.",
            node.lineno,
        ) from None


def explain_syntax(error: BaseException, text: str, line: int | None, said: str) -> str:
    """One sentence about a form that is not Python; `said`: what Python says of that line."""
    lines = text.split("\n")
    here = lines[line - 1] if line and line <= len(lines) else ""
    if isinstance(error, SyntaxError) and (found := _PERCENT.fullmatch(here)):
        return (
            f"Line {line}: write the number without `%`, as in `{found[1]} = {found[2].replace(',', '.')}`."
        )
    if isinstance(error, SyntaxError) and (found := _APOSTROPHE.match(here)):
        return f'Line {line}: the text ends at its apostrophe. Put it in double quotes: `{found[1]} = "…"`.'
    at = f"Line {line}" if line else "The file"
    return f"{at} is not Python yet: {said}. Is a text in quotes, from one to the other?"


def read_number(value: Any, unit: str) -> Any:
    """A number typed as a text: `"6.6 %"`, `"6,6"`, `"1,234"`. Whatever is none comes back as it is."""
    if not isinstance(value, str):
        return value
    text = value.replace("_", "").strip()
    for word in (unit, "percent", "per cent", "%") if unit == "%" else (unit,):
        text = text.removesuffix(word).strip() if word else text
    # three digits behind each comma are thousands, others stand behind a decimal comma
    if re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?", text):
        text = text.replace(",", "")
    elif re.fullmatch(r"[-+]?\d*,\d+", text):
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        return value


def count_words(text: str) -> int:
    """Words of a text; in scripts without spaces each character counts as one."""
    return len(_SPACELESS.findall(text)) + len(
        [word for word in _SPACELESS.sub(" ", text).split() if any(letter.isalnum() for letter in word)]
    )
