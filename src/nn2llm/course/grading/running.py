"""Run the checks of one exercise on one text, in the process made for it: `run_job(job, report)`.

Read session.py, loading.py and raised.py before. The order matters: exercise, checks and reference are loaded
first, then a picture is taken of all they use (tampering.py), and only then the learner's text is run. Form
kinds are read by forms.py and run nothing.
"""

import os
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from nn2llm.core.errors import LessonError
from nn2llm.course.grading import diagnosing, tampering
from nn2llm.course.grading.evidence import CheckResult, Evidence, LearnerError, Verdict
from nn2llm.course.grading.forms import grade_form
from nn2llm.course.grading.loading import (
    Grader,
    find_line,
    find_placeholders,
    keep_modules,
    lesson_path,
    load_grader,
    title_of,
)
from nn2llm.course.grading.namespaces import LEARNERS_MODULE, Learner, Reference, suggest_name
from nn2llm.course.grading.printing import Printed, capture
from nn2llm.course.grading.raised import (
    describe_raised,
    find_remedy,
    has_learner_frame,
    register_text,
)
from nn2llm.course.grading.reaching import find_reach
from nn2llm.course.grading.refusals import hide_answers
from nn2llm.course.grading.session import CheckFailed, Session, describe_error, new_session

__all__ = ["run_job"]

_clock = time.perf_counter


class Job(Protocol):
    """What limits.GradingJob has."""

    @property
    def lesson_folder(self) -> str: ...
    @property
    def exercise(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def seed(self) -> int: ...


def run_job(job: Job, report: Callable[[dict[str, Any]], None]) -> None:
    """Grade the text and report one verdict, whatever it does (what it does to this process apart)."""
    started = _clock()
    folder = Path(job.lesson_folder).resolve()
    verdict = Verdict(job.exercise, "stopped", "", job.seed)
    try:
        with lesson_path(folder), keep_modules():
            grader = load_grader(folder, job.exercise)
            if grader.exercise.is_form:
                verdict = grade_form(grader, job.text, job.seed)
            else:
                verdict = _grade_code(grader, job.text, job.seed)
    except LessonError as error:
        verdict.message = _grader_failed(str(error))
    except Exception as error:
        # our own fault, or the work of a text that took our tools away
        verdict = Verdict(job.exercise, "stopped", _grader_failed(str(describe_error(error))), job.seed)
    verdict.elapsed_s = round(_clock() - started, 4)
    report(verdict.to_json())


def _grader_failed(why: str) -> str:
    return f"The grader of this exercise is broken, so your answer was not judged: {why}"


def _grade_code(grader: Grader, text: str, seed: int) -> Verdict:
    reach = find_reach(text)
    if reach is not None:
        word, line = reach
        message = (
            f"Line {line} uses `{word}`, which reaches into the checker beside your code, "
            "so nothing was run. No exercise needs it: take that out."
        )
        return Verdict(grader.exercise.name, "stopped", message, seed)
    picture = tampering.take_picture(grader.modules)
    verdict = grade_text(grader, text, seed, picture)
    if verdict.status == "passed":
        touched = picture.find_changes() or tampering.find_blind_spot(
            grader, lambda answer: grade_text(grader, answer, seed).status
        )
        if touched:
            verdict.status = "stopped"
            verdict.message = tampering.describe(touched)
    return verdict


def grade_text(grader: Grader, text: str, seed: int, picture: "tampering.Picture | None" = None) -> Verdict:
    """The verdict on one text, before it is asked whether the grader is still sound.

    Without a picture it is a known answer that is graded, silently.
    """
    exercise = grader.exercise
    file = f"{exercise.name.replace('-', '_')}.py"
    verdict = Verdict(exercise.name, "failed", "", seed)
    verdict.checks = [
        CheckResult(name, title_of(name, check), "not run") for name, check in grader.checks.items()
    ]
    register_text(file, text)
    with (
        new_session(seed) as session,
        capture(file, muted=picture is None) as printed,
        _close_folder(grader.folder),
    ):
        try:
            names = _load_text(text, file, session)
        except BaseException as error:
            _tell_error(verdict, error, file, session, "")
        else:
            _run_checks(grader, verdict, names, text, file, session, printed, picture)
    verdict.printed, verdict.cut, verdict.warnings = printed.text(), printed.cut, printed.warnings
    return verdict


@contextmanager
def _close_folder(folder: Path) -> Iterator[None]:
    """While the learner's text and the checks run, solution.py can be neither imported nor opened.

    So checks.py imports what it needs of its lesson at its top.
    """
    path = str(folder)
    inside = path in sys.path
    hidden = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        # as text: there are some two thousand modules, and a Path of each took half of a verdict's time
        if isinstance(file, str) and os.path.dirname(file) == path:
            hidden[name] = sys.modules.pop(name)
    sys.path[:] = [entry for entry in sys.path if entry != path]
    try:
        with hide_answers(path):
            yield
    finally:
        if inside and path not in sys.path:
            sys.path.insert(0, path)
        sys.modules.update(hidden)


def _load_text(text: str, file: str, session: Session) -> dict[str, Any]:
    """Run the text as a module of its own; what it raises is the learner's."""
    module = types.ModuleType(f"{LEARNERS_MODULE}{file.removesuffix('.py')}")
    module.__file__ = file
    sys.modules[module.__name__] = module  # dataclasses, pickle and typing look their module up by name
    session.begin("loading")
    with session.inside_learner():
        exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def _run_checks(
    grader: Grader,
    verdict: Verdict,
    names: dict[str, Any],
    text: str,
    file: str,
    session: Session,
    printed: Printed,
    picture: "tampering.Picture | None",
) -> None:
    missing = _find_missing(grader, names)
    if missing:
        verdict.message = missing
        return
    start = 0
    learner = Learner(names, source=text, printed=lambda: printed.text(start))
    reference = Reference(grader.reference)
    placeholders = find_placeholders(text, grader.exercise.functions)
    for result, (name, check) in zip(verdict.checks, grader.checks.items(), strict=True):
        start = printed.size
        session.begin(name)
        result.status = "failed"
        try:
            check(learner, reference)
            result.status = "passed"
            if session.mode != "judge" or any(record.difference for record in session.records):
                session.touched.append("the grader's own notes, so that a wrong value went by")
        except CheckFailed as failure:
            if session.raised is failure:  # raised by the learner's code itself
                _tell_error(verdict, failure, file, session, name)
            else:
                _tell_failure(verdict, result, failure)
                if failure.suspected and failure.diagnosis is None and not placeholders:
                    muted, printed.muted = printed.muted, True
                    others = {key: item for key, item in grader.checks.items() if key != name}
                    result.diagnosis = diagnosing.diagnose(session, check, learner, reference, others)
                    printed.muted = muted
                if result.diagnosis is None and not placeholders:
                    result.diagnosis = _find_exchanged(grader, names)
        except BaseException as error:
            _tell_other(verdict, result, error, file, session, name, grader, picture)
        if session.touched:
            result.status = "failed"
            verdict.status, verdict.message = "stopped", tampering.describe(session.touched)
            return
        if picture is not None and (traced := picture.end_tracing()):
            result.status = "failed"
            verdict.status, verdict.message = "stopped", tampering.describe(traced)
            return
        if result.status == "failed":
            if placeholders and verdict.status != "stopped":
                _tell_unfinished(verdict, placeholders)
            return
    verdict.status = "passed"
    count = len(verdict.checks)
    verdict.message = "The check passes." if count == 1 else f"All {count} checks pass."


def _find_exchanged(grader: Grader, names: dict[str, Any]) -> str | None:
    for function in grader.exercise.functions:
        said = diagnosing.name_exchanged_parameters(names[function], grader.reference[function])
        if said is not None:
            return said
    return None


def _find_missing(grader: Grader, names: dict[str, Any]) -> str:
    for function in grader.exercise.functions:
        if function not in names:
            own = [name for name, value in names.items() if callable(value) and not name.startswith("__")]
            return f"Your text defines no `{function}`, which the checks call.{suggest_name(function, own)}"
        if not callable(names[function]):
            kind = type(names[function]).__name__
            return f"`{function}` must be a function; yours is of type {kind}. Write `def {function}(…):`."
    return ""


def _tell_failure(verdict: Verdict, result: CheckResult, failure: CheckFailed) -> None:
    result.evidence, result.diagnosis = failure.evidence, failure.diagnosis
    line = failure.evidence.lines[0] if failure.evidence.lines else "It does not hold."
    verdict.status = "unfinished" if failure.unfinished else "failed"
    verdict.message = f"The check “{result.title.rstrip('.')}” fails: {continue_sentence(line)}"


def continue_sentence(line: str) -> str:
    """A sentence after a colon: "Nothing …" as "nothing …", but "NaN …" and "`x` …" as they are."""
    rest = line.partition(" ")[0][1:]
    return line[0].lower() + line[1:] if not rest or rest.islower() else line


def _tell_unfinished(verdict: Verdict, placeholders: dict[str, int]) -> None:
    where = " and ".join(f"`{name}` (line {line})" for name, line in placeholders.items())
    verdict.status = "unfinished"
    verdict.message = f"Not finished yet: `...` or an empty body still stands in {where}."


def _tell_error(verdict: Verdict, error: BaseException, file: str, session: Session, check: str) -> None:
    described = describe_raised(error, file)
    verdict.status, verdict.error = "error", described
    remedy = find_remedy(described, file)
    verdict.message = f"{_sentence(described)} {remedy}".rstrip()


def _sentence(error: LearnerError) -> str:
    message = error.message.splitlines()[0] if error.message else ""
    said = f"`{error.name}`: {message}" if message else f"`{error.name}`"
    if error.name in ("SyntaxError", "IndentationError", "TabError"):
        return (
            f"Line {error.line} is not Python yet: {message}."
            if error.line
            else f"Not Python yet: {message}."
        )
    where = f"Line {error.line} raises" if error.line else "Your code raises"
    text = f"{where} {said}"
    return text if text.endswith((".", "?", "!")) else text + "."


def _tell_other(
    verdict: Verdict,
    result: CheckResult,
    error: BaseException,
    file: str,
    session: Session,
    name: str,
    grader: Grader,
    picture: "tampering.Picture | None",
) -> None:
    """No CheckFailed: the learner's exception, a plain assert of the check, or the grader's own fault."""
    learners = session.raised is error or has_learner_frame(error, file)
    if learners:
        _tell_error(verdict, error, file, session, name)
        result.evidence = Evidence(called=session.last_call, returned=describe_error(error))
    elif isinstance(error, AssertionError):
        line = str(error) or "A condition of this check does not hold."
        _tell_failure(verdict, result, CheckFailed(Evidence(called=session.last_call, lines=[line])))
    elif picture is not None and (changed := picture.find_changes()):
        # not broken: taken apart by the text
        verdict.status, verdict.message = "stopped", tampering.describe(changed)
    else:
        line_number = find_line(error, str(grader.folder / "checks.py"))
        why = f"checks.py, line {line_number}, {name}: {describe_error(error)}"
        verdict.status, verdict.message = "stopped", _grader_failed(why)
