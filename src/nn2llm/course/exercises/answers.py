"""accepted.py and mistakes.py as whole files of learners: read by ast, never run here.

    @mistake("gradient-step", check="check_one_step", says="added the slope", why="…")
    def gradient_step(w, b, x, y, learning_rate): ...

    mistake("derive-the-slope", field="slope_w", says="…", why="…", slope_w="mean(w*x+b-y)")
    accepted("derive-the-slope", "written out", slope_w="2/n*sum((w*x+b-y)*x)")

Read source.py before. Used by model.py. The text of an answer is its definition without our decorator, what
it needs of its file and of exercise.py, and the solution's other functions.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nn2llm.core.errors import LessonError
from nn2llm.course.exercises.records import Answer, Exercise
from nn2llm.course.exercises.source import Piece, Source, join_pieces, read_source
from nn2llm.course.exercises.texts import build_form, solve_fields
from nn2llm.course.front_matter import ProblemList
from nn2llm.course.lesson import suggest

__all__ = ["read_answer_file"]

Word = Literal["accepted", "mistake"]

_MISTAKE_KEYS = ("check", "field", "says", "why")


@dataclass(slots=True)
class _Call:
    """`@mistake(…)` over a definition, or `mistake(…)` on its own."""

    node: ast.Call
    piece: Piece
    values: dict[str, Any]
    label: str = ""

    @property
    def line(self) -> int:
        return self.node.lineno


def read_answer_file(
    folder: Path, word: Word, exercises: Mapping[str, Exercise], problems: ProblemList
) -> list[Answer]:
    """All answers of the lesson's accepted.py or mistakes.py; [] where the file is missing.

    Raises:
        LessonError: if a file that it needs is not Python.
    """
    path = folder / ("accepted.py" if word == "accepted" else "mistakes.py")
    if not path.is_file():
        return []
    reader = _Reader(folder, read_source(path), word, exercises, problems)
    return [answer for piece in reader.source.pieces for answer in reader.read(piece)]


class _Reader:
    def __init__(
        self,
        folder: Path,
        source: Source,
        word: Word,
        exercises: Mapping[str, Exercise],
        problems: ProblemList,
    ) -> None:
        self.folder, self.source, self.word = folder, source, word
        self.exercises, self.problems = exercises, problems
        self.listed = {name for exercise in exercises.values() for name in exercise.functions}
        self._files: dict[str, Source] = {}

    def read(self, piece: Piece) -> list[Answer]:
        """The answers in one statement: none, one, or one for each decorator of ours."""
        found = []
        for call in self._find_calls(piece):
            exercise = self._check(call)
            if exercise is None:
                continue
            text = self._build_form(call, exercise) if exercise.is_form else self._build(call, exercise)
            if text is not None:
                values = call.values
                found.append(
                    Answer(
                        exercise=exercise.name,
                        text=text,
                        label=call.label or str(values.get("says", "")),
                        line=call.line,
                        **{key: values[key] for key in _MISTAKE_KEYS if isinstance(values.get(key), str)},
                    )
                )
        return found

    def fail(self, line: int, message: str) -> None:
        self.problems.add(line, message, fatal=True)

    def _find_calls(self, piece: Piece) -> list[_Call]:
        nodes: list[ast.expr] = list(getattr(piece.node, "decorator_list", []))
        if isinstance(piece.node, ast.Expr):
            nodes.append(piece.node.value)
        calls = []
        for node in nodes:
            name = node.func if isinstance(node, ast.Call) else node
            if not isinstance(name, ast.Name) or name.id not in ("accepted", "mistake"):
                continue
            if name.id != self.word:
                self.fail(
                    node.lineno, f"{name.id} stands in {self.source.path.name}. Write {self.word}(…) here."
                )
            elif not isinstance(node, ast.Call):
                self.fail(node.lineno, f'@{name.id} names no exercise. Write @{name.id}("NAME", …).')
            else:
                values = self._read_values(node)
                if values is not None:
                    label = values.pop("", "")
                    calls.append(_Call(node, piece, values, label))
        return calls

    def _read_values(self, node: ast.Call) -> dict[str, Any] | None:
        try:
            values = {item.arg or "**": ast.literal_eval(item.value) for item in node.keywords}
            given = [ast.literal_eval(item) for item in node.args]
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            self.fail(node.lineno, f"{self.word}(…) takes plain values only. Write texts and numbers.")
            return None
        if not given or len(given) > 2 or not all(isinstance(item, str) for item in given):
            self.fail(
                node.lineno, f'{self.word}(…) begins with the exercise: {self.word}("NAME", …). Add it.'
            )
            return None
        values["exercise"] = given[0]
        values[""] = given[1] if len(given) > 1 else ""
        return values

    def _check(self, call: _Call) -> Exercise | None:
        name = call.values.pop("exercise")
        exercise = self.exercises.get(name)
        if exercise is None:
            self.fail(
                call.line,
                f"{self.word} names the exercise {name!r}, which is not in exercises.yaml."
                f"{suggest(name, self.exercises)} Mend the name.",
            )
            return None
        own = _MISTAKE_KEYS if self.word == "mistake" else ()
        fields = [item.name for item in exercise.fields]
        for key in call.values:
            if key not in own and key not in fields:
                hint = suggest(key, (*own, *fields)) or f" Known are {', '.join((*own, *fields)) or 'none'}."
                self.fail(call.line, f"{self.word} for {name!r} gives {key!r}, unknown.{hint}")
                return None
        if self.word == "accepted":
            if not call.label:
                self.fail(call.line, f'Say how it goes about it: accepted("{name}", "a loop").')
            return exercise
        missing = [key for key in ("says", "why") if not str(call.values.get(key, "")).strip()]
        if missing:
            self.fail(call.line, f"A mistake for {name!r} lacks {' and '.join(missing)}. Add it.")
        self._check_catcher(call, exercise, fields)
        return exercise

    def _check_catcher(self, call: _Call, exercise: Exercise, fields: list[str]) -> None:
        check, field = call.values.get("check"), call.values.get("field")
        if check is not None and check not in exercise.checks:
            self.fail(
                call.line,
                f"The check {check!r} is not one of {exercise.name!r}.{suggest(str(check), exercise.checks)} "
                "Name one of its checks.",
            )
        if field is not None and field not in fields:
            self.fail(
                call.line,
                f"{exercise.name!r} has no field {field!r}.{suggest(str(field), fields)} "
                "Name one of its fields.",
            )
        if check is None and field is None:
            key = "field" if exercise.is_form else "check"
            self.fail(call.line, f"A mistake for {exercise.name!r} lacks {key}=. Say which must catch it.")

    def _build_form(self, call: _Call, exercise: Exercise) -> str | None:
        values = {key: value for key, value in call.values.items() if key not in _MISTAKE_KEYS}
        if call.piece.is_definition:
            self.fail(
                call.line,
                f"{exercise.name!r} is filled in: write {self.word}(…, field=…) on its own, without def.",
            )
            return None
        if not values:
            self.fail(
                call.line, f"This answer to {exercise.name!r} fills in nothing. Give a field its value."
            )
            return None
        return build_form(exercise, solve_fields(exercise) | values)

    def _build(self, call: _Call, exercise: Exercise) -> str | None:
        piece = call.piece
        if not piece.is_definition:
            self.fail(
                call.line,
                f"{exercise.name!r} is code: put @{self.word}(…) over the function that is handed in.",
            )
            return None
        name = piece.names[0]
        if name not in exercise.functions:
            self.fail(
                call.line,
                f"{exercise.name!r} has no function {name!r}.{suggest(name, exercise.functions)} "
                f"Name it {' or '.join(exercise.functions)}.",
            )
            return None
        starter = self._file("exercise.py")
        helpers = self.source.helpers([piece], without=self.listed)
        parts = [*helpers, piece]
        others: list[Piece] = []
        for other in exercise.functions:
            if other != name and (found := self._file("solution.py").find(other)) is not None:
                others += [*self._file("solution.py").helpers([found], without=self.listed), found]
        own = {defined for part in parts for defined in part.names}
        starting = [found for function in exercise.functions if (found := starter.find(function)) is not None]
        given = [
            helper
            for helper in starter.helpers([*starting, *parts, *others], without=self.listed)
            if helper not in others and not own & set(helper.names)
        ]
        sources = [starter, self.source] + ([self._file("solution.py")] if others else [])
        imports = [item.text for source in sources for item in source.imports if not _is_ours(item.node)]
        rest = [*given, *dict.fromkeys(item for item in others if not own & set(item.names)), *parts]
        return join_pieces(
            imports,
            ((item.without_decorator(self.word), item.is_definition) for item in dict.fromkeys(rest)),
        )

    def _file(self, name: str) -> Source:
        if name not in self._files:
            path = self.folder / name
            if name == "solution.py" and not path.is_file():
                self._files[name] = Source(path)
            else:
                self._files[name] = read_source(path)
        return self._files[name]


def _is_ours(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nn2llm.course.grading")


def require_answers(problems: ProblemList) -> None:
    """Raise the first problem.

    Raises:
        LessonError: if there is one.
    """
    if problems.fatal is not None:
        raise LessonError(str(problems.fatal))
