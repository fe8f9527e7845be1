"""Form kinds: the learner's file is one assignment a field, read by ast and never run.

Read loading.py and expressions.py before. Every field is judged, so that one Check tells about all of them.
The right choice or number is not shown beside a wrong one: that would end the exercise. Used by running.py.
"""

import ast
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nn2llm.course.exercises.model import Field
from nn2llm.course.grading.evidence import CheckResult, CheckStatus, Evidence, LearnerError, Verdict
from nn2llm.course.grading.expressions import compare_expressions
from nn2llm.course.grading.loading import Grader, title_of
from nn2llm.course.grading.namespaces import Learner, Reference, suggest_name
from nn2llm.course.grading.raised import describe_raised, register_text
from nn2llm.course.grading.session import CheckFailed, derive_seed, new_session
from nn2llm.course.grading.showing import write_number

__all__ = ["FormError", "grade_form", "read_form"]

_MAX_LENGTH = 20_000


class FormError(Exception):
    """A line of a form that is no `name = value`."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.line = line


def read_form(text: str, names: tuple[str, ...]) -> dict[str, Any]:
    """{field: value} as the text assigns them; Ellipsis for `...`. Fields that are missing are left out.

    Raises:
        SyntaxError: the text is not Python.
        FormError: a line that is no assignment of a literal to a field of the form.
    """
    tree = ast.parse(text)
    values: dict[str, Any] = {}
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
            hint = suggest_name(target.id, list(names)) or f" The fields are {', '.join(names)}."
            raise FormError(f"There is no field `{target.id}` here.{hint}", node.lineno)
        try:
            values[target.id] = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise FormError(
                f"`{target.id}` must be a plain value (a number, a text in quotes, or a list of these), "
                "not something to compute: this file is read, not run.",
                node.lineno,
            ) from None
    return values


def grade_form(grader: Grader, text: str, seed: int) -> Verdict:
    """Judge every field, then the checks of checks.py if there are any."""
    exercise = grader.exercise
    verdict = Verdict(exercise.name, "failed", "", seed)
    file = f"{exercise.name.replace('-', '_')}.py"
    try:
        if len(text) > _MAX_LENGTH:
            raise FormError(f"This file has {len(text):,} characters; a form is much shorter.", None)
        values = read_form(text, tuple(field.name for field in exercise.fields))
    except FormError as error:
        where = f"Line {error.line}: " if error.line else ""
        verdict.status, verdict.message = "error", f"{where}{error}"
        verdict.error = LearnerError("FormError", str(error), [], error.line)
        return verdict
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, SyntaxError):
            error.filename = file
        register_text(file, text)
        described = describe_raised(error, file)
        verdict.status, verdict.error = "error", described
        at = f"Line {described.line}" if described.line else "The file"
        first = described.message.splitlines()[0] if described.message else ""
        verdict.message = f"{at} is not Python yet: {first}. Is a text in quotes, from one to the other?"
        return verdict
    unanswered = []
    for field in exercise.fields:
        value = values.get(field.name, ...)
        if _is_blank(value):
            unanswered.append(field.name)
            lines = ["There is no answer here yet."]
            verdict.checks.append(_result(field, "not run", Evidence(lines=lines)))
        else:
            verdict.checks.append(_judge(field, value, seed))
    wrong = [result for result in verdict.checks if result.status == "failed"]
    if not wrong and not unanswered:
        wrong = _run_checks(grader, values, text, seed, verdict)
    _summarise(verdict, wrong, unanswered, len(exercise.fields))
    return verdict


def _is_blank(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip() in ("", "...", "…")
    return value is Ellipsis or value is None or (isinstance(value, (list, tuple, set)) and len(value) == 0)


def _result(
    field: Field, status: CheckStatus, evidence: Evidence | None = None, diagnosis: str | None = None
) -> CheckResult:
    return CheckResult(field.name, " ".join(field.label.split()), status, evidence, diagnosis, field.name)


def _fail(field: Field, value: Any, line: str, diagnosis: str | None = None, **more: Any) -> CheckResult:
    evidence = Evidence(called=f"{field.name} = {_show(value)}", lines=[line, *more.pop("lines", [])], **more)
    return _result(field, "failed", evidence, diagnosis)


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:198] + " …"


def _judge(field: Field, value: Any, seed: int) -> CheckResult:
    judges: dict[str, Callable[[Field, Any, int], CheckResult]] = {
        "expression": _judge_expression,
        "choice": _judge_choice,
        "multiple": _judge_multiple,
        "number": _judge_number,
        "text": _judge_text,
    }
    return judges[field.kind](field, value, seed)


def _judge_expression(field: Field, value: Any, seed: int) -> CheckResult:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = repr(value)  # slope = 2 says what it means
    if not isinstance(value, str):
        line = f"An expression in quotes is wanted, not {_kind(value)}."
        return _fail(field, value, line)
    if field.answer is None:
        return _result(field, "passed")
    found = compare_expressions(
        value,
        str(field.answer),
        field.symbols,
        atol=field.atol,
        rtol=field.rtol,
        suspects=[{"is": str(item.value), "says": item.says} for item in field.suspects],
        forbid=field.forbid,
        generator=np.random.default_rng(derive_seed(seed, field.name)),
    )
    if found.right:
        return _result(field, "passed")
    if found.right is None:
        line = found.error or "This is no expression."
        caret = (
            [value, " " * found.position + "^"] if found.position is not None and "\n" not in value else []
        )
        return _fail(field, value, line, lines=caret)
    return _fail(
        field,
        value,
        found.lines[0],
        found.diagnosis,
        lines=found.lines[1:],
        returned=found.yours,
        expected=found.expected,
        difference=found.difference,
    )


def _judge_choice(field: Field, value: Any, seed: int) -> CheckResult:
    values = [option.value for option in field.options]
    value = value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value
    chosen = str(value).strip() if isinstance(value, (str, int, float)) else None
    if chosen not in values:
        return _fail(field, value, f"One of {_list(values)} is wanted, in quotes, not {_show(value)}.")
    if field.answer is None or chosen == field.answer:
        return _result(field, "passed")
    why = next((option.why for option in field.options if option.value == chosen), "")
    return _fail(field, value, f"`{chosen}` is not the answer.", why or None)


def _judge_multiple(field: Field, value: Any, seed: int) -> CheckResult:
    values = [option.value for option in field.options]
    given = value if isinstance(value, (list, tuple, set)) else [value]
    chosen = [str(item).strip() for item in given]
    unknown = sorted(set(chosen) - set(values))
    if unknown:
        line = f"{_list(unknown)} is none of the options: a list of some of {_list(values)} is wanted."
        return _fail(field, value, line)
    if field.answer is None or set(chosen) == set(field.answer):
        return _result(field, "passed")
    false = [item for item in values if item in chosen and item not in field.answer]
    missing = [item for item in field.answer if item not in chosen]
    lines = []
    if false:
        lines.append(
            f"{len(false)} of your {len(set(chosen))} {'does' if len(false) == 1 else 'do'} not belong."
        )
    if missing:
        right = len(set(chosen)) - len(false)
        lines.append(f"{right} of the right ones {'is' if right == 1 else 'are'} there; some are missing.")
    whys = {option.value: option.why for option in field.options}
    diagnosis = " ".join(f"`{item}`: {whys[item]}" for item in false if whys.get(item)) or None
    return _fail(field, value, " ".join(lines), diagnosis)


def _judge_number(field: Field, value: Any, seed: int) -> CheckResult:
    number = value
    if isinstance(value, str):
        try:
            number = float(value.replace("_", "").replace(",", "").strip().removesuffix(field.unit).strip())
        except ValueError:
            number = value
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return _fail(field, value, f"A number is wanted, not {_kind(value)}.")
    if not math.isfinite(number):
        return _fail(field, value, "A finite number is wanted.")
    if field.answer is None:
        return _result(field, "passed")
    tolerance = _number_tolerance(field)
    if abs(number - field.answer) <= tolerance:
        return _result(field, "passed")
    fitting = [
        item.says
        for item in field.suspects
        if isinstance(item.value, (int, float)) and abs(number - item.value) <= tolerance
        and abs(item.value - field.answer) > tolerance
    ]  # fmt: skip
    unit = f" {field.unit}" if field.unit else ""
    word = "more" if number > field.answer else "less"
    line = f"{write_number(number, 8)}{unit} is {word} than the answer."
    return _fail(field, value, line, fitting[0] if len(fitting) == 1 else None)


def _number_tolerance(field: Field) -> float:
    # 1e-9 of it by default: 0.1 + 0.2 is 0.3
    relative = field.rtol if field.rtol is not None else (1e-9 if field.atol is None else 0.0)
    return float((field.atol or 0.0) + relative * abs(field.answer)) + 1e-12


def _judge_text(field: Field, value: Any, seed: int) -> CheckResult:
    if not isinstance(value, str):
        return _fail(field, value, f"A text in quotes is wanted, not {_kind(value)}.")
    count = len(value.split())
    if count < field.min_words:
        words = f"{count} word{'' if count == 1 else 's'}"
        return _fail(field, value, f"Write at least {field.min_words} words; there are {words} so far.")
    return _result(field, "passed")


def _kind(value: Any) -> str:
    names = {
        str: "a text", bool: "True or False", int: "a number", float: "a number", list: "a list",
        tuple: "a tuple", dict: "a dict", set: "a set",
    }  # fmt: skip
    return names.get(type(value), type(value).__name__)


def _list(values: list[str]) -> str:
    return ", ".join(f'"{value}"' for value in values)


def _run_checks(
    grader: Grader, values: dict[str, Any], text: str, seed: int, verdict: Verdict
) -> list[CheckResult]:
    """checks.py of a form: functions of the values; the first that fails ends it."""
    learner, reference = Learner(values, source=text), Reference(grader.reference)
    for name, check in grader.checks.items():
        result = CheckResult(name, title_of(name, check), "passed")
        verdict.checks.append(result)
        with new_session(seed) as session:
            session.begin(name)
            try:
                check(learner, reference)
            except CheckFailed as failure:
                result.status, result.evidence, result.diagnosis = (
                    "failed",
                    failure.evidence,
                    failure.diagnosis,
                )
            except AssertionError as error:
                result.status = "failed"
                result.evidence = Evidence(lines=[str(error) or "A condition of this check does not hold."])
        if result.status == "failed":
            return [result]
    return []


def _summarise(verdict: Verdict, wrong: list[CheckResult], unanswered: list[str], count: int) -> None:
    if wrong:
        verdict.status = "failed"
        first = wrong[0]
        line = first.evidence.lines[0] if first.evidence and first.evidence.lines else "it is not right."
        verdict.message = f"{first.field or first.title}: {line}"
        if len(wrong) > 1:
            verdict.message += f" ({len(wrong)} of {count} answers are not right.)"
    elif unanswered:
        verdict.status = "unfinished"
        done = count - len(unanswered)
        names = ", ".join(f"`{name}`" for name in unanswered)
        right = f"{done} of {count} right; " if done else ""
        verdict.message = f"Not finished yet: {right}still without an answer: {names}."
    else:
        verdict.status = "passed"
        verdict.message = "Right." if count == 1 else f"All {count} answers are right."
