"""exercises.yaml as records, each fault named by line.

Read records.py and yaml_reading.py before. Used by model.py.
"""

import keyword
import re
from pathlib import Path

from nn2llm.course.exercises.records import (
    CODE_KINDS,
    FIELD_KINDS,
    KINDS,
    Exercise,
    Field,
    Option,
    Suspect,
    Symbol,
)
from nn2llm.course.exercises.yaml_reading import MappingReader, read_entries
from nn2llm.course.front_matter import ProblemList

__all__ = ["NUM_HINTS", "read_exercises"]

NUM_HINTS = 3
"""Where to look, what to do, almost the line."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

_REQUIRED = ("name", "kind", "title", "minutes", "difficulty", "task", "hints")
_KEYS = (
    *_REQUIRED, "functions", "fields", "checks", "part", "reference", "returns", "core", "limits",
)  # fmt: skip
_FIELD_KEYS = {
    "expression": ("answer", "symbols", "suspects", "atol", "forbid"),
    "choice": ("options", "answer"),
    "multiple": ("options", "answer"),
    "number": ("answer", "atol", "rtol", "unit", "suspects", "whole", "follows", "by_choice"),
    "text": ("answer", "min_words"),
}


def read_exercises(path: Path, problems: ProblemList) -> tuple[Exercise, ...]:
    """The exercises of that exercises.yaml. What is wrong is in `problems`, and a default in its place."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        problems.add(0, f"The exercises could not be read ({what}). Save the file as UTF-8.", fatal=True)
        return ()
    exercises: dict[str, Exercise] = {}
    for entry in read_entries(text, problems, what="an exercise"):
        exercise = _read_exercise(entry)
        if exercise.name in exercises:
            entry.fail(
                "name",
                f"The exercise {exercise.name!r} stands at line {exercises[exercise.name].line} already. "
                "Give each its own name.",
            )
            continue
        exercises[exercise.name] = exercise
    return tuple(exercises.values())


def _read_exercise(entry: MappingReader) -> Exercise:
    name = entry.text("name")
    entry.check_keys(_KEYS, _REQUIRED, name)
    if name and not _NAME.fullmatch(name):
        entry.fail(
            "name", f"name is {name!r}. Use small letters, digits and single hyphens, like gradient-step."
        )
    kind = entry.one_of("kind", KINDS)
    functions = _read_functions(entry, kind)
    hints = entry.texts("hints")
    if "hints" in entry and len(hints) != NUM_HINTS:
        entry.fail(
            "hints",
            f"hints has {len(hints)}. Write three: where to look, what to do, almost the line.",
        )
    reference = entry.text("reference") or None
    if reference is not None and not _REFERENCE.fullmatch(reference):
        entry.fail("reference", f"reference is {reference!r}. Write module:symbol, like nn2llm.optim:SGD.")
        reference = None
    exercise = Exercise(
        name=name,
        kind=kind,  # type: ignore[arg-type]
        title=entry.text("title"),
        minutes=entry.whole("minutes", 1, 240),
        difficulty=entry.whole("difficulty", 1, 5),
        task=entry.text("task"),
        line=entry.line,
        functions=functions,
        fields=_read_fields(entry, kind),
        checks=entry.texts("checks"),
        hints=hints,
        part=entry.text("part") or None,
        reference=reference,
        returns=entry.truth("returns", False),
        core=entry.truth("core", True),
        limits=_read_limits(entry),
    )
    for group in ("functions", "checks"):
        values = getattr(exercise, group)
        if len(set(values)) < len(values):
            entry.fail(group, f"{group} names one of {', '.join(values)} twice. Name each once.")
    if exercise.is_form:
        for key in ("functions", "reference", "part"):
            if key in entry:
                entry.fail(key, f"{key} is for implement and repair, this is {kind}. Remove it.")
        if "fields" not in entry:
            entry.fail("", f"The exercise {name!r} ({kind}) lacks fields. List what the learner fills in.")
        if not exercise.checks and exercise.fields and all(f.answer is None for f in exercise.fields):
            entry.fail("fields", f"Nothing is judged in {name!r}. Give a field its answer, or name checks.")
    else:
        if "fields" in entry:
            entry.fail("fields", f"fields are for derive, decide and diagnose, this is {kind}. Remove them.")
        missing = [key for key in ("functions", "checks") if key not in entry]
        if missing:
            entry.fail("", f"The exercise {name!r} ({kind}) lacks {' and '.join(missing)}. Add a list.")
    return exercise


def _read_functions(entry: MappingReader, kind: str) -> tuple[str, ...]:
    functions = entry.texts("functions")
    for name in functions:
        if not _is_python_name(name):
            entry.fail("functions", f"functions names {name!r}, which is no name in Python. Mend it.")
    return functions if kind in CODE_KINDS else ()


def _is_python_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def _read_limits(entry: MappingReader) -> dict[str, float]:
    limits = entry.mapping("limits", "limits")
    if limits is None:
        return {}
    limits.check_keys(("seconds", "memory_mb"), ())
    found = {name: limits.number(name, None, low=0.1) for name in ("seconds", "memory_mb")}
    return {name: value for name, value in found.items() if value is not None}


def _read_fields(entry: MappingReader, kind: str) -> tuple[Field, ...]:
    if kind in CODE_KINDS:
        return ()
    fields: dict[str, Field] = {}
    for reader in entry.entries("fields", "a field"):
        field = _read_field(reader)
        if field.name in fields:
            reader.fail("name", f"The field {field.name!r} is there twice. Give each its own name.")
        fields[field.name] = field
        leader = fields.get(field.follows)
        if field.follows and (leader is None or leader.kind != "choice"):
            reader.fail("follows", f"follows is {field.follows!r}. Name a choice field that stands before.")
        elif leader is not None and not set(field.by_choice) <= {item.value for item in leader.options}:
            reader.fail("by_choice", f"by_choice has other values than the options of {leader.name}.")
    return tuple(fields.values())


def _read_by_choice(reader: MappingReader) -> dict[str, float]:
    cases = reader.mapping("by_choice", "by_choice")
    if cases is None:
        return {}
    found = {key: cases.number(key, None) for key in cases.nodes}
    return {key: value for key, value in found.items() if value is not None}


def _read_field(reader: MappingReader) -> Field:
    name, kind = reader.text("name"), reader.one_of("kind", FIELD_KINDS)
    known = ("name", "kind", "label", *_FIELD_KEYS[kind])
    reader.check_keys(known, ("name", "kind", "label"), name)
    if name and not _is_python_name(name):
        reader.fail("name", f"name is {name!r}. The learner's file assigns to it: use a name like slope_w.")
    options = _read_options(reader, kind)
    return Field(
        name=name,
        kind=kind,  # type: ignore[arg-type]
        label=reader.text("label"),
        line=reader.line,
        answer=_read_answer(reader, kind, options),
        symbols=_read_symbols(reader, kind),
        suspects=_read_suspects(reader, kind),
        options=options,
        forbid=reader.texts("forbid"),
        atol=reader.number("atol", None, low=0.0),
        rtol=reader.number("rtol", None, low=0.0),
        unit=reader.text("unit") if "unit" in reader else "",
        whole=reader.truth("whole", False),
        follows=reader.text("follows") if "follows" in reader else "",
        by_choice=_read_by_choice(reader),
        min_words=reader.whole("min_words", 0, 1000),
    )


def _read_options(reader: MappingReader, kind: str) -> tuple[Option, ...]:
    if kind not in ("choice", "multiple"):
        return ()
    options: dict[str, Option] = {}
    for entry in reader.entries("options", "an option"):
        value = entry.text("value")
        entry.check_keys(("value", "text", "why"), ("value", "text", "why"), value)
        if value in options:
            entry.fail("value", f"The option {value!r} is there twice. Give each its own value.")
        options[value] = Option(value=value, text=entry.text("text"), why=entry.text("why"))
    if len(options) < 2:
        reader.fail("options", f"A {kind} field needs two options at least, here {len(options)}. Add some.")
    return tuple(options.values())


def _read_answer(
    reader: MappingReader, kind: str, options: tuple[Option, ...]
) -> str | float | tuple[str, ...] | None:
    if "answer" not in reader:
        if kind == "expression":
            reader.fail("", "An expression field lacks its answer. Write one, like 2*x.")
        return None
    if kind == "number":
        return reader.number("answer", None)
    if kind == "multiple":
        if not reader.is_list("answer"):
            reader.fail("answer", "The answer of a multiple field is a list, like [a, c].")
        chosen = reader.texts("answer")
    else:
        chosen = (reader.text("answer"),)
    values = [option.value for option in options]
    for value in chosen:
        if options and value not in values:
            reader.fail(
                "answer", f"answer is {value!r}, which is no option. Options are {', '.join(values)}."
            )
    return chosen if kind == "multiple" else chosen[0] or None


def _read_symbols(reader: MappingReader, kind: str) -> tuple[Symbol, ...]:
    if kind != "expression":
        return ()
    symbols = reader.mapping("symbols", "a symbol")
    if symbols is None or not symbols.nodes:
        reader.fail("symbols", "An expression field needs symbols, like {x: {shape: n}, w: {}}.")
        return ()
    found = []
    for name in symbols.nodes:
        if not _SYMBOL.fullmatch(name) or keyword.iskeyword(name):
            symbols.fail(name, f"The symbol {name!r} is no name in Python. Use letters, like w or slope.")
        entry = symbols.mapping(name, "a symbol")
        if entry is None:
            continue
        entry.check_keys(("shape", "low", "high", "about"), (), name)
        low, high = entry.number("low", -2.0), entry.number("high", 2.0)
        assert low is not None
        assert high is not None
        if not low < high:
            entry.fail("high", f"The symbol {name!r} goes from {low:g} to {high:g}. Make high the larger.")
        found.append(
            Symbol(name=name, shape=entry.texts("shape"), low=low, high=high, about=entry.text("about"))
        )
    return tuple(found)


def _read_suspects(reader: MappingReader, kind: str) -> tuple[Suspect, ...]:
    if kind not in ("expression", "number"):
        return ()
    found = []
    for entry in reader.entries("suspects", "a suspect"):
        entry.check_keys(("is", "says"), ("is", "says"))
        value = entry.number("is", 0.0) if kind == "number" else entry.text("is")
        found.append(Suspect(value=value if value is not None else 0.0, says=entry.text("says")))
    return tuple(found)
