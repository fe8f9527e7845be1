"""Exercises from a lesson's folder: records, starters, solutions, answers, and every fault by its line."""

import subprocess
import sys
from pathlib import Path

import pytest

from nn2llm.core.errors import LessonError
from nn2llm.course.exercises.model import (
    Exercise,
    Field,
    Option,
    build_starter,
    find_exercise,
    load_exercises,
    read_answers,
    read_solution,
)
from nn2llm.course.exercises.problems import find_exercise_problems, read_exercise_files
from nn2llm.course.exercises.texts import build_form
from nn2llm.course.lesson import Placeholder

from .sample import CHECKS, EXERCISE, EXERCISES, FILES, write_sample

NAMES = ("double-it", "mend-the-mean", "derive-the-slope", "which-one")
PLACES = [Placeholder(kind="exercise", name=name, line=10 + at) for at, name in enumerate(NAMES)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sample(tmp_path / "lesson")


def problems_of(folder: Path) -> list[str]:
    return [str(problem).removeprefix(f"{folder}/") for problem in find_exercise_problems(folder, PLACES)]


def run_text(text: str, call: str) -> object:
    names: dict[str, object] = {}
    exec(text, names)
    return eval(call, names)


def test_a_folder_without_exercises_has_none(tmp_path: Path) -> None:
    assert load_exercises(tmp_path) == ()
    assert find_exercise_problems(tmp_path, []) == []
    with pytest.raises(LessonError, match="this lesson has none yet"):
        find_exercise(tmp_path, "x")


def test_records_carry_what_the_file_says(folder: Path) -> None:
    double, mean, slope, choice = load_exercises(folder)
    assert (double.name, double.kind, double.minutes, double.difficulty, double.line) == (
        "double-it", "implement", 5, 1, 1,
    )  # fmt: skip
    assert (double.functions, double.checks, double.returns, double.core) == (
        ("double",), ("check_double",), False, True,
    )  # fmt: skip
    assert (mean.returns, slope.core, mean.is_form, slope.is_form) == (True, False, False, True)
    assert double.hints == ("Look at x.", "Multiply it.", "return 2 * ...")
    (field,) = slope.fields
    assert (field.answer, field.symbols[0].name, field.symbols[0].about) == ("2*x", "x", "the input")
    assert (field.suspects[0].value, field.suspects[0].says) == ("x", "You forgot the 2.")
    fit, misses, reason = choice.fields
    assert [option.value for option in fit.options] == ["a", "b"]
    assert (misses.answer, misses.atol, misses.unit, reason.min_words) == (117.0, 2.0, "tokens", 3)
    assert choice.find_field("fit") is fit
    assert choice.find_field("none") is None


def test_a_starter_has_the_imports_the_listed_functions_and_what_they_use(folder: Path) -> None:
    double, mean, *_ = load_exercises(folder)
    assert build_starter(folder, double) == (
        'import math\n\n\ndef double(x):\n    """Twice `x`, a number."""\n    ...\n'
    )
    text = build_starter(folder, mean)
    assert "# How many items there are.\ndef count" in text
    assert "UNUSED" not in text
    assert "def double" not in text
    assert run_text(text, "mean([2, 4])") == 2.0


def test_constants_that_are_built_up_and_used_in_turn_come_along(folder: Path) -> None:
    exercise = "A = {}\nA['x'] = 1\nB, C = 2, A\nFAR = 0\n\n\ndef double(x):\n    ...\n\n    return C\n"
    write_sample(folder, exercise_py=exercise)
    text = build_starter(folder, find_exercise(folder, "double-it"))
    assert text.startswith("A = {}\nB, C = 2, A\n\n\ndef double")


def test_a_form_says_what_is_asked_and_its_solution_is_filled_in(folder: Path) -> None:
    form = build_starter(folder, find_exercise(folder, "which-one"))
    assert form.count("= ...") == 3
    for words in ("#   a: The first", "# A number, in tokens.", "Write 3 words or more."):
        assert words in form
    solved = read_solution(folder, find_exercise(folder, "which-one"))
    assert run_text(solved, "(fit, misses, len(reason.split()))") == ("b", 117, 3)
    assert 'slope = "2*x"' in read_solution(folder, find_exercise(folder, "derive-the-slope"))


def test_whatever_stands_in_a_label_the_form_stays_python_and_can_be_read() -> None:
    option = Option(value="a", text="The $\\partial L$\n\nand `code`", why="")
    label = "One of $\\hat y$\r\x0cor\u2028two; " + "a long label " * 20
    field = Field(name="fit", kind="choice", label=label, line=1, options=(option,), answer="a")
    exercise = Exercise(
        name="x", kind="decide", title="", minutes=1, difficulty=1, task="", line=1, fields=(field,)
    )
    form = build_form(exercise, {"fit": "a"})
    assert "# One of ŷ or two; a long label" in form
    assert "#   a: The ∂L and `code`\n" in form
    assert [line for line in form.splitlines() if not line.startswith("# ")] == ['fit = "a"']
    assert max(map(len, form.splitlines())) <= 88


def test_a_solution_is_the_lessons_or_a_symbol_of_the_library(folder: Path) -> None:
    assert run_text(read_solution(folder, find_exercise(folder, "mend-the-mean")), "mean([2, 4])") == 3.0
    library = EXERCISES.replace(
        "functions: [double]", "functions: [double]\n  reference: statistics:median_low"
    )
    write_sample(folder, exercises_yaml=library)
    text = read_solution(folder, find_exercise(folder, "double-it"))
    assert "def median_low(data):" in text
    assert text.endswith("double = median_low\n")
    ours = EXERCISES.replace("functions: [double]", "functions: [double]\n  reference: nn2llm.optim:SGD")
    write_sample(folder, exercises_yaml=ours)
    assert "class SGD" in read_solution(folder, find_exercise(folder, "double-it"))


def test_answers_are_whole_files_that_run(folder: Path) -> None:
    accepted, mistakes = read_answers(folder, find_exercise(folder, "double-it"))
    assert [answer.label for answer in accepted] == ["adding", "numpy", "a shift of the exponent"]
    assert [run_text(answer.text, "double(3)") for answer in accepted] == [6, 6, 6]
    assert [run_text(answer.text, "double(3)") for answer in mistakes] == [9, 5, -6]
    first = mistakes[0]
    assert (first.check, first.says, first.why, first.line) == (
        "check_double", "squared it", "Two and square sound alike.", 6,
    )  # fmt: skip
    assert "mistake" not in first.text
    accepted, mistakes = read_answers(folder, find_exercise(folder, "mend-the-mean"))
    # the other listed function is the solution's, the helper the starter's
    assert [run_text(answer.text, "spread([1, 3])") for answer in accepted] == [1, 1, 1]
    assert run_text(mistakes[0].text, "mean([2, 4])") == 2.0


def test_answers_of_forms_fill_in_the_rest_of_the_solution(folder: Path) -> None:
    _, (wrong,) = read_answers(folder, find_exercise(folder, "which-one"))
    assert (wrong.field, run_text(wrong.text, "(fit, misses)")) == ("fit", ("a", 117))


def test_a_helper_of_the_answers_own_wins_over_the_starters(folder: Path) -> None:
    accepted = (
        "from nn2llm.course.grading import accepted\n\n\ndef count(values):\n    return 1\n\n\n"
        '@accepted("mend-the-mean", "own")\ndef mean(values):\n    return sum(values) / count(values)\n'
    )
    write_sample(folder, accepted_py=accepted)
    ((answer,), _) = read_answers(folder, find_exercise(folder, "mend-the-mean"))
    assert answer.text.count("def count") == 1
    assert run_text(answer.text, "mean([2, 4])") == 6.0


def test_the_sample_is_without_problems(folder: Path) -> None:
    report = read_exercise_files(folder, PLACES)
    assert [str(problem) for problem in report.problems] == []
    assert not report.broken
    assert (len(report.accepted), len(report.mistakes), report.remarks) == (9, 10, [])


YAML_FAULTS = [
    (
        "minutes: 5\n  difficulty: 1",
        "minuts: 5\n  difficulty: 1",
        4,
        "unknown key 'minuts'. Did you mean 'minutes'?",
    ),
    ("  title: Double a number\n", "", 1, "lacks title. Add it."),
    ("kind: implement", "kind: implment", 2, "kind is 'implment'. Did you mean 'implement'?"),
    ("difficulty: 1", "difficulty: 6", 5, "difficulty is '6'. It must be a whole number from 1 to 5."),
    ("name: double-it", "name: Double_it", 1, "small letters, digits and single hyphens"),
    ("name: double-it", "name: mend-the-mean", 12, "stands at line 1 already"),
    ("name: double-it", "name: double-again", 1, "ends in '-again'"),
    ('Multiply it., "return', '"return', 10, "hints has 2. Write three"),
    (
        "functions: [double]",
        "functions: [doble]",
        1,
        "'doble', which exercise.py has not. Did you mean 'double'?",
    ),
    ("functions: [double]", "functions: [double, double]", 8, "twice"),
    ("functions: [double]", "functions: ['2x']", 8, "no name in Python"),
    ("checks: [check_double]", "checks: [check_dobule]", 1, "Did you mean 'check_double'?"),
    ("checks: [check_double]\n", "\n", 1, "(implement) lacks checks"),
    ("checks: [check_double]", "checks: {a: b}", 9, "checks must be a list of texts"),
    ("returns: true", "returns: perhaps", 20, "It must be true or false."),
    ("answer: 2*x", "anser: 2*x", 35, "unknown key 'anser'. Did you mean 'answer'?"),
    ("kind: expression", "kind: expresion", 33, "Did you mean 'expression'?"),
    ("symbols: {x: {about: the input}}", "symbols: {}", 36, "needs symbols"),
    ("{about: the input}", "{shap: n}", 36, "unknown key 'shap'. Did you mean 'shape'?"),
    ("{about: the input}", "{low: 3}", 36, "goes from 3 to 2"),
    ("answer: b", "answer: c", 51, "answer is 'c', which is no option. Options are a, b."),
    ("why: It is better.", "wy: It is better.", 54, "unknown key 'wy'. Did you mean 'why'?"),
    ("answer: 117", "answer: many", 55, "answer is 'many'. It must be a number."),
    ("answer: 117", "answer: 117, follows: which", 55, "Name a choice field that stands before."),
    ("answer: 117", "answer: 117, whole: perhaps", 55, "It must be true or false."),
    ("core: false", "functions: [double]", 29, "functions is for implement and repair, this is derive"),
    (
        "checks: [check_double]",
        "checks: [check_double]\n  limits: {secnds: 3}",
        10,
        "Did you mean 'seconds'?",
    ),
    ("checks: [check_double]", "checks: [check_double]\n  part: atention", 1, "part is 'atention'"),
    ("checks: [check_double]", "checks: [check_double]\n  reference: a b", 10, "Write module:symbol"),
    (
        "checks: [check_double]",
        "checks: [check_double]\n  reference: no_such.thing:x",
        1,
        "no module 'no_such.thing'",
    ),
]


@pytest.mark.parametrize(("good", "bad", "line", "says"), YAML_FAULTS)
def test_a_fault_in_exercises_yaml_is_named_at_its_line(
    folder: Path, good: str, bad: str, line: int, says: str
) -> None:
    assert good in EXERCISES
    write_sample(folder, exercises_yaml=EXERCISES.replace(good, bad, 1))
    found = problems_of(folder)
    assert any(text.startswith(f"exercises.yaml:{line}: ") and says in text for text in found), found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- name: [", "exercises.yaml:2: This is not YAML"),
        ("name: x\n", "exercises.yaml:1: This must be a list: begin an exercise with '- '."),
        ("- double\n", "An exercise is a mapping, here is 'double'"),
        ("- name: a\n  name: b\n", "name stands at line 1 already"),
        ("# nothing yet\n", "exercises.yaml: No exercise is written yet."),
        ("\x00", "not YAML"),
    ],
)
def test_what_is_no_list_of_exercises_is_said(folder: Path, text: str, says: str) -> None:
    write_sample(folder, exercises_yaml=text)
    assert any(says in problem for problem in problems_of(folder)), problems_of(folder)


def test_loading_raises_the_first_fault_with_path_and_line(folder: Path) -> None:
    write_sample(folder, exercises_yaml=EXERCISES.replace("difficulty: 1", "difficulty: 9", 1))
    with pytest.raises(LessonError, match=r"exercises\.yaml:5: difficulty is '9'"):
        load_exercises(folder)
    (folder / "exercises.yaml").write_bytes(b"- name: \xff")
    with pytest.raises(LessonError, match="UTF-8"):
        load_exercises(folder)


def test_an_unknown_exercise_is_named_with_the_one_meant(folder: Path) -> None:
    with pytest.raises(LessonError, match=r"'double-ti'.* Did you mean 'double-it'\?"):
        find_exercise(folder, "double-ti")


def test_places_and_exercises_belong_together(folder: Path, tmp_path: Path) -> None:
    places = [*PLACES[:3], PLACES[0], Placeholder(kind="exercise", name="wich-one", line=20)]
    found = [str(item).removeprefix(f"{folder}/") for item in find_exercise_problems(folder, places)]
    assert found == [
        "exercises.yaml:40: The exercise 'which-one' stands nowhere in lesson.md. "
        "Write '<!-- exercise: which-one -->' there.",
        "lesson.md:10: The exercise 'double-it' stands at line 10 already. Keep one of them.",
        "lesson.md:20: There is no exercise 'wich-one' in exercises.yaml. Did you mean 'which-one'? "
        "Mend the name.",
    ]
    (problem,) = find_exercise_problems(tmp_path, PLACES[:1])
    assert "'double-it' stands here, but this lesson has no exercises.yaml" in problem.message


CODE_FAULTS = [
    ("mistakes.py", '("double-it"', '("double-ti"', "6: mistake names the exercise 'double-ti'"),
    (
        "mistakes.py",
        '"check_double"',
        '"check_dubble"',
        "6: The check 'check_dubble' is not one of 'double-it'. Did",
    ),
    ("mistakes.py", ', why="A slip."', "", "11: A mistake for 'double-it' lacks why."),
    ("mistakes.py", 'check="check_double", ', "", "6: A mistake for 'double-it' lacks check=. Say which"),
    ("mistakes.py", 'field="slope"', 'field="slop"', "'derive-the-slope' has no field 'slop'. Did you mean"),
    ("mistakes.py", 'slope="x")', 'slop="x")', "gives 'slop', unknown. Did you mean 'slope'?"),
    ("mistakes.py", 'why="A slip."', "why=str(3)", "takes plain values only"),
    ("mistakes.py", "def double", "def dubble", "has no function 'dubble'. Did you mean 'double'?"),
    ("mistakes.py", "@mistake", "@accepted", "accepted stands in mistakes.py"),
    ("mistakes.py", "", "def (", "40: this is not Python"),
    ("mistakes.py", "x + TWO", "x**TWO", "11: This is the same answer as at line 6."),
    ("mistakes.py", '@mistake("double-it"', "# (", "2 mistakes for 'double-it'. Write 3 at least."),
    ("mistakes.py", 'mistake("derive', "# (", "2 mistakes for the field 'slope' of 'derive-the-slope'"),
    ("accepted.py", '"adding"', '""', "Say how it goes about it"),
    ("accepted.py", "@accepted", "# ", "accepted.py: 2 accepted answers for 'double-it'."),
    ("accepted.py", None, None, "accepted.py: No accepted answers for 'double-it'."),
    ("checks.py", None, None, "checks.py: this file is missing."),
    ("checks.py", "", "\n\ndef check_more(learner, reference):\n    pass\n", "No exercise names check_more."),
    ("checks.py", '    """Any number is doubled."""\n', "", "5: check_double has no docstring"),
    ("solution.py", "def double", "def dubble", "The solution of 'double-it' is missing."),
    ("solution.py", None, None, "solution.py: this file is missing."),
    ("exercise.py", "", "(", "exercise.py:25: this is not Python"),
]


@pytest.mark.parametrize(("name", "good", "bad", "says"), CODE_FAULTS)
def test_a_fault_in_the_other_files_is_named(
    folder: Path, name: str, good: str | None, bad: str | None, says: str
) -> None:
    path = folder / name
    if good is None or bad is None:
        path.unlink()
    else:
        assert good in FILES[name]
        path.write_text(FILES[name].replace(good, bad, 1) if good else FILES[name] + bad, encoding="utf-8")
    found = problems_of(folder)
    assert any(says in problem for problem in found), found


def test_more_mistakes_are_wished_for_where_an_exercise_is_hard(folder: Path) -> None:
    write_sample(folder, exercises_yaml=EXERCISES.replace("difficulty: 2", "difficulty: 4", 1))
    report = read_exercise_files(folder, PLACES)
    assert report.problems == []
    (remark,) = report.remarks
    assert "3 mistakes for 'mend-the-mean'" in remark


def test_torch_is_not_imported_and_nothing_of_the_lesson_runs(folder: Path) -> None:
    write_sample(folder, checks_py="raise SystemExit(3)\n" + CHECKS, exercise_py=EXERCISE + "\n\n1 / 0\n")
    code = (
        "import sys; from pathlib import Path; "
        "from nn2llm.course.exercises.problems import read_exercise_files as read; "
        f"assert not read(Path({str(folder)!r})).broken; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
