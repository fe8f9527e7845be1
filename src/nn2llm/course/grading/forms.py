"""Form kinds: the learner's file is one assignment a field, and each is judged on its own.

Read loading.py, exercises/forms.py and expressions.py before. Every field is judged, so that one Check tells
about all of them. The right choice or number is not shown beside a wrong one: that would end the exercise.
Used by running.py.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nn2llm.course.exercises.forms import (
    FormError,
    count_words,
    explain_syntax,
    read_form,
    read_number,
)
from nn2llm.course.exercises.model import Exercise, Field, Option, Suspect
from nn2llm.course.grading.evidence import CheckResult, CheckStatus, Evidence, LearnerError, Verdict
from nn2llm.course.grading.expressions import compare_expressions
from nn2llm.course.grading.loading import Grader, title_of
from nn2llm.course.grading.namespaces import Learner, Reference
from nn2llm.course.grading.raised import describe_raised, register_text
from nn2llm.course.grading.session import CheckFailed, derive_seed, new_session
from nn2llm.course.grading.showing import write_number

__all__ = ["FormError", "grade_form", "read_form"]

_MAX_LENGTH = 20_000
_NEAR = 0.01  # of a suspect's value


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
        first = described.message.splitlines()[0] if described.message else ""
        verdict.message = explain_syntax(error, text, described.line, first)
        return verdict
    unanswered = []
    for field in exercise.fields:
        value = values.get(field.name, ...)
        if _is_blank(value):
            unanswered.append(field.name)
            lines = ["There is no answer here yet."]
            verdict.checks.append(_result(field, "not run", Evidence(lines=lines)))
        else:
            verdict.checks.append(_judge(_follow(field, exercise, values), value, seed))
    wrong = [result for result in verdict.checks if result.status == "failed"]
    if not wrong and not unanswered:
        wrong = _run_checks(grader, values, text, seed, verdict)
    _summarise(verdict, wrong, unanswered, len(exercise.fields))
    return verdict


def _follow(field: Field, exercise: Exercise, values: dict[str, Any]) -> Field:
    """A number that depends on a choice, with the answer that belongs to the learner's choice.

    Who chose wrongly and read off the right number for that choice has made one mistake, not two.
    """
    leader = exercise.find_field(field.follows) if field.follows else None
    chosen = None if leader is None else _find_option(leader, values.get(leader.name))
    if chosen is None or chosen.value not in field.by_choice:
        return field
    others = [item for value, item in field.by_choice.items() if value != chosen.value]
    says = "This is the average of another choice than yours."
    suspects = tuple(Suspect(value=item, says=says) for item in [*others, field.answer])
    return replace(field, answer=field.by_choice[chosen.value], suspects=suspects)


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
    option = _find_option(field, value)
    if option is None:
        return _fail(field, value, f"One of {_list(values)} is wanted, in quotes, not {_show(value)}.")
    if field.answer is None or option.value == field.answer:
        return _result(field, "passed")
    return _fail(field, value, f"`{option.value}` is not the answer.", option.why or None)


def _find_option(field: Field, value: Any) -> Option | None:
    """The option that is meant: its value, perhaps with a text behind it, or its text; capital or small."""
    value = value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    exact = [option for option in field.options if option.value == str(value).strip()]
    words = {_fold(str(value)), _fold(str(value).partition(":")[0])}  # "B: the second line" means b
    near = [option for option in field.options if words & {_fold(option.value), _fold(option.text)}]
    found = exact or near
    return found[0] if len(found) == 1 else None


def _fold(text: str) -> str:
    return " ".join(text.split()).rstrip(".:)").casefold()


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
    number = read_number(value, field.unit)
    if _is_comma_number(value):
        whole, part = value
        line = f"A number is wanted, with a point: {whole}.{part}, not {whole},{part}."
        return _fail(field, value, line)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return _fail(field, value, f"A number is wanted, not {_kind(value)}.")
    if not math.isfinite(number):
        return _fail(field, value, "A finite number is wanted.")
    if field.answer is None:
        return _result(field, "passed")
    tolerance = _number_tolerance(field)
    if _is_right(number, field, tolerance):
        return _result(field, "passed")
    unit = f" {field.unit}" if field.unit else ""
    word = "more" if number > field.answer else "less"
    line = f"{write_number(number, 8)}{unit} is {word} than the answer."
    return _fail(field, value, line, _diagnose_number(number, field, tolerance))


def _is_comma_number(value: Any) -> bool:
    """`6,6` without quotes, which Python reads as two numbers."""
    return isinstance(value, tuple) and len(value) == 2 and all(type(item) is int for item in value)


def _is_right(number: float, field: Field, tolerance: float) -> bool:
    rounded = field.whole and number == math.floor(field.answer + 0.5)
    return rounded or abs(number - field.answer) <= tolerance


def _diagnose_number(number: float, field: Field, tolerance: float) -> str | None:
    # A suspect is met more closely than the answer: 8.0 may be many things, where 8.1 is one
    fitting = {
        item.says
        for item in field.suspects
        if isinstance(item.value, (int, float))
        and abs(number - item.value) <= min(tolerance, _NEAR * abs(item.value)) + 1e-12
        and abs(item.value - field.answer) > tolerance
    }
    if fitting:
        return fitting.pop() if len(fitting) == 1 else None
    if number < 0 < field.answer and _is_right(-number, field, tolerance):
        return "Only the sign is not right."
    if field.unit == "%" and _is_right(100 * number, field, tolerance):
        return "This is a part of 1. In percent it is 100 times as much."
    return None


def _number_tolerance(field: Field) -> float:
    # 1e-9 of it by default: 0.1 + 0.2 is 0.3
    relative = field.rtol if field.rtol is not None else (1e-9 if field.atol is None else 0.0)
    return float((field.atol or 0.0) + relative * abs(field.answer)) + 1e-12


def _judge_text(field: Field, value: Any, seed: int) -> CheckResult:
    if not isinstance(value, str):
        return _fail(field, value, f"A text in quotes is wanted, not {_kind(value)}.")
    count = count_words(value)
    if count < field.min_words:
        words = "is 1 word" if count == 1 else f"are {count} words"
        return _fail(field, value, f"Write at least {field.min_words} words; there {words} so far.")
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
