"""What a form's file says: one assignment a field, literals only. Parsed, never run.

The file is written by texts.py (`build_form`), or by the learner in any editor. Used by the pages.
"""

import ast
from typing import Any

from nn2llm.core.errors import DataError
from nn2llm.course.exercises.records import Exercise
from nn2llm.course.lesson import suggest

__all__ = ["read_form"]


def read_form(exercise: Exercise, text: str) -> dict[str, Any]:
    """The values of the fields that have one; a field that is `...` or missing has none.

    Raises:
        DataError: if the text is no such file; says the line and what to write.
    """
    try:
        body = ast.parse(text).body
    except SyntaxError as error:
        raise DataError(
            f"Line {error.lineno or 1} of your file cannot be read ({error.msg}). Write one field a line, "
            f"like {_show_example(exercise)}; Reset begins again."
        ) from error
    except (ValueError, MemoryError, RecursionError) as error:
        raise DataError("Your file cannot be read as Python. Reset begins again.") from error
    names = [field.name for field in exercise.fields]
    values: dict[str, Any] = {}
    for statement in body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        target = _find_target(statement)
        if target is None:
            raise DataError(
                f"Line {statement.lineno} of your file is no answer to a field. Write lines like "
                f"{_show_example(exercise)}."
            )
        name, node = target
        if name not in names:
            hint = suggest(name, names) or f" Fields are {', '.join(names)}."
            raise DataError(
                f"Line {statement.lineno} of your file answers {name!r}, which is no field.{hint}"
            )
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
            raise DataError(
                f"Line {statement.lineno} of your file gives {name} no plain value. Write a text in quotes, "
                "a number or a list."
            ) from error
        values.pop(name, None)
        if value is not ...:
            values[name] = value
    return values


def _find_target(statement: ast.stmt) -> tuple[str, ast.expr] | None:
    if (
        isinstance(statement, ast.Assign)
        and len(statement.targets) == 1
        and isinstance(statement.targets[0], ast.Name)
    ):
        return statement.targets[0].id, statement.value
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
        return statement.target.id, statement.value
    return None


def _show_example(exercise: Exercise) -> str:
    examples = {"number": "12", "multiple": '["a", "b"]', "choice": '"a"', "expression": '"2*x"'}
    field = exercise.fields[0]
    return f"{field.name} = {examples.get(field.kind, chr(34) + 'words' + chr(34))}"
