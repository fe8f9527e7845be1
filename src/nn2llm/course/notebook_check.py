"""`check("linear-regression/gradient-step", gradient_step)` in a notebook: grade what a cell defines.

Read exercises/service.py before. Used by cells.py. The graded text is what the cells say (imports, the listed
functions, what they use), as a file that stands alone. It becomes the learner's file, so that browser, editor
and notebook show one work; a file that was changed elsewhere meanwhile is left alone, and that is said.
"""

import ast
import atexit
import inspect
import linecache
import sys
import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from nn2llm.core.errors import LessonError
from nn2llm.course.exercises.source import Source, cut_source, join_pieces
from nn2llm.course.exercises.texts import build_form
from nn2llm.course.lesson import suggest
from nn2llm.course.verdict_page import format_verdict, render_verdict

if TYPE_CHECKING:
    from nn2llm.course.exercises.model import Exercise
    from nn2llm.course.exercises.service import Exercises
    from nn2llm.course.grading.service import GradingService
    from nn2llm.course.lesson import Course

__all__ = ["Checked", "check_in_notebook", "collect_text"]


class Checked:
    """A verdict, as Jupyter shows it. `bool(…)` says whether all passed."""

    def __init__(self, verdict: dict[str, Any], title: str, path: str, notes: tuple[str, ...] = ()) -> None:
        self.verdict, self.title, self.path, self.notes = verdict, title, path, notes

    def __bool__(self) -> bool:
        return bool(self.verdict.get("status") == "passed")

    def __repr__(self) -> str:
        return format_verdict(self.verdict, self.title, self.path, self.notes)

    def _repr_html_(self) -> str:
        return render_verdict(self.verdict, self.title, self.path, self.notes)


def check_in_notebook(
    exercise: str, functions: tuple[Any, ...], fields: Mapping[str, Any], *, course: "Course | None" = None
) -> Checked:
    """Save, grade and record; see `nn2llm.course.cells.check`."""
    from nn2llm.core.home import get_home
    from nn2llm.course.exercises.service import Exercises
    from nn2llm.course.loader import load_course
    from nn2llm.course.store import Store

    slug, _, name = exercise.partition("/")
    if not name:
        raise LessonError(f'{exercise!r} names no exercise. Write "lesson/exercise", like "tensors/add-up".')
    store = Store()
    try:
        exercises = Exercises(course or load_course(), store, get_home(), _get_service())
        task = exercises.find(slug, name)
        if task.exercise.is_form:
            text = _fill_in(task.exercise, functions, fields)
        else:
            text = _collect(task.exercise, functions, fields)
        return _grade(exercises, task.slug, task.name, text, task.exercise.title)
    finally:
        store.close()


@cache
def _get_service() -> "GradingService":
    """One grading process for this notebook; it ends with it."""
    from nn2llm.course.grading.service import GradingService

    service = GradingService()
    atexit.register(service.close)
    return service


def _grade(exercises: "Exercises", slug: str, name: str, text: str, title: str) -> Checked:
    disk = exercises.files.read(slug, name)
    task = exercises.find(slug, name)
    ours = not disk.exists or disk.text == exercises.starter(task) or exercises.files.is_marked(disk)
    if ours or disk.text == text:
        verdict = exercises.check(slug, name, text, disk.version)
        exercises.files.mark(exercises.files.read(slug, name))
        return Checked(verdict, title, str(disk.path))
    verdict = exercises.check_text(slug, name, text)
    note = (
        "Your file has another text, from the page or an editor: it was left as it is, and the text of the "
        "notebook was checked alone. To go on here, first run "
        f"`nn2llm learn reset {slug} {name}`; it keeps that text."
    )
    return Checked(verdict, title, str(disk.path), (note,))


def _fill_in(exercise: "Exercise", functions: tuple[Any, ...], fields: Mapping[str, Any]) -> str:
    names = [field.name for field in exercise.fields]
    if functions:
        raise LessonError(f"{exercise.name!r} is filled in by name, like {names[0]}=…. Name each answer.")
    for key in fields:
        if key not in names:
            hint = suggest(key, names) or f" It has {', '.join(names)}."
            raise LessonError(f"{exercise.name!r} has no field {key!r}.{hint}")
    answered = {key: _as_literal(key, value) for key, value in fields.items() if value is not Ellipsis}
    return build_form(exercise, answered)


def _as_literal(name: str, value: Any) -> object:
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:  # a tensor or array of one number
        value = value.item()
    values = list(value) if isinstance(value, list | tuple | set) else [value]
    if not all(isinstance(item, str | int | float) for item in values):
        raise LessonError(f"{name} is {value!r:.60}. Give text, a number, or a list of texts.")
    return sorted(values) if isinstance(value, set) else value


def _collect(exercise: "Exercise", functions: tuple[Any, ...], fields: Mapping[str, Any]) -> str:
    wanted = exercise.functions
    if fields:
        raise LessonError(
            f"{exercise.name!r} takes functions, not {', '.join(fields)}=. Give {_list(wanted)}."
        )
    if not functions or not all(callable(item) for item in functions):
        raise LessonError(f"check({exercise.name!r}, …) takes what you wrote: give {_list(wanted)}.")
    given = {getattr(item, "__name__", ""): item for item in functions}
    scope = getattr(functions[0], "__globals__", None) or vars(sys.modules["__main__"])
    for name in wanted:
        if name not in given and callable(scope.get(name)):
            given[name] = scope[name]
    missing = [name for name in wanted if name not in given]
    if missing:
        raise LessonError(f"{exercise.name!r} asks for {_list(wanted)}; define {_list(missing)} first.")
    return collect_text([given[name] for name in wanted])


def _list(names: "tuple[str, ...] | list[str]") -> str:
    return " and ".join(names)


def collect_text(functions: list[Callable[..., Any]]) -> str:
    """What these functions are defined as, with the imports and helpers they use, as a file of its own.

    Raises:
        LessonError: if their source is not there: typed into a plain Python prompt.
    """
    return _Collector().collect(functions)


class _Collector:
    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.imports: list[str] = []
        self.parts: dict[str, tuple[str, bool]] = {}
        self.seen: set[str] = set()

    def collect(self, functions: list[Callable[..., Any]]) -> str:
        for function in functions:
            self.take(function)
        return join_pieces(self.imports, self.parts.values())

    def take(self, function: Callable[..., Any]) -> None:
        name = function.__name__
        if name in self.seen:
            return
        self.seen.add(name)
        source = self.find_source(function)
        piece = source.find(name)
        if piece is None:
            raise LessonError(f"The cell that defined {name} was changed since. Run it again, then check.")
        helpers = source.helpers([piece], without=self.seen)
        imported = {defined for item in source.imports for defined in item.names}
        self.imports += [item.text for item in source.imports]
        own = {defined for item in helpers for defined in item.names} | imported | {name}
        self.seen |= own
        for item in [*helpers, piece]:
            for used in sorted(item.used_names() - own):
                self.take_from_notebook(used, getattr(function, "__globals__", {}))
        for item in [*helpers, piece]:
            self.parts.setdefault(item.text, (item.text, item.is_definition))

    def take_from_notebook(self, name: str, scope: Mapping[str, Any]) -> None:
        """A name of another cell: a module becomes an import, a function its source, a plain value itself."""
        if name in self.seen or name not in scope:
            return
        value = scope[name]
        if isinstance(value, types.ModuleType):
            self.seen.add(name)
            self.imports.append(f"import {value.__name__} as {name}".replace(f" as {value.__name__}", ""))
        elif isinstance(value, types.FunctionType | type):
            if getattr(value, "__module__", "") == scope.get("__name__"):
                self.take(value)
            elif getattr(value, "__name__", "") and value.__module__ not in ("builtins", None):
                self.seen.add(name)
                renamed = "" if value.__name__ == name else f" as {name}"
                self.imports.append(f"from {value.__module__} import {value.__name__}{renamed}")
        elif isinstance(value, bool | int | float | str):
            self.seen.add(name)
            self.parts.setdefault(name, (f"{name} = {value!r}", False))

    def find_source(self, function: Callable[..., Any]) -> Source:
        file = _find_file(function)
        if file not in self.sources:
            text = "".join(linecache.getlines(file))
            if not text.strip():
                raise LessonError(
                    f"The text of {function.__name__} is not known here. Define it in a cell of a notebook."
                )
            self.sources[file] = cut_source(_without_magics(text))
        return self.sources[file]


def _find_file(function: Any) -> str:
    """The file or cell in which a function or class was defined."""
    if isinstance(function, type):
        methods = (item for item in vars(function).values() if isinstance(item, types.FunctionType))
        method = next(methods, None)
        if method is not None:
            return str(method.__code__.co_filename)
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        raise LessonError(f"{function!r:.60} is no function that was written here. Give the function itself.")
    return str(code.co_filename)


def _without_magics(text: str) -> str:
    """Lines like `%timeit` and `!ls` are no Python; they are left out."""
    try:
        ast.parse(text)
    except SyntaxError:
        lines = ("" if line.lstrip()[:1] in ("%", "!") else line for line in text.split("\n"))
        return "\n".join(lines)
    return text
