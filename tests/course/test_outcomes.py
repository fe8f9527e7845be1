"""The four promises: each is shown by what is really there, and what is missing is said."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nn2llm.core.errors import DataError
from nn2llm.course.lesson import Course
from nn2llm.course.loader import load_course
from nn2llm.course.outcomes import (
    CRITIQUE_FIELDS,
    MIN_EXPLANATION_WORDS,
    build_outcomes,
    count_exercises,
    count_words,
    join_words,
    save_evidence,
)
from nn2llm.course.run_evidence import find_trained_models, find_tuned_models, read_evidence_file
from nn2llm.course.store import Store
from tests.course.learning_course import write_learning_course

EVIDENCE: dict[str, Any] = {
    "format": "nn2llm evidence 1",
    "kind": "adapter",
    "base": "runs/base-1",
    "metric": "right answers",
    "higher_is_better": True,
    "score": {"estimate": 0.62, "low": 0.58, "high": 0.66},
    "base_score": {"estimate": 0.41, "low": 0.37, "high": 0.45},
    "difference": {"estimate": 0.21, "low": 0.17, "high": 0.25},
    "n": 500,
    "command": "nn2llm eval runs/lora-1",
    "measured_on": "2026-03-05",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "course.db")
    yield made
    made.close()


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return load_course(write_learning_course(tmp_path / "lessons"))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


def write_run(folder: Path, metrics: list[dict[str, Any]], **config: Any) -> Path:
    """A run folder of `nn2llm pretrain`, without its checkpoints."""
    folder.mkdir(parents=True)
    settings = {"corpus": "text.txt", "model": {"n_layer": 2}, "steps": 20, "init_from": None} | config
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    return folder


def measure(step: int, bits: float, **more: Any) -> dict[str, Any]:
    return {
        "step": step,
        "tokens": 100 * step,
        "loss": 2.0,
        "val_loss": bits,
        "val_bits_per_byte": bits,
    } | more


# --- models trained from scratch ----------------------------------------------------------------------------


def test_a_run_is_told_by_its_best_evaluation_and_its_last_step(runs: Path) -> None:
    lines = [measure(5, 1.5), measure(10, 1.2), measure(15, 1.3), {"step": 20, "tokens": 2000, "loss": 1.0}]
    write_run(runs / "deep/a", lines)
    [model] = find_trained_models(runs)
    assert (model.name, model.val_loss, model.bits_per_byte.estimate) == ("deep/a", 1.2, 1.2)
    assert (model.tokens, model.step, model.num_steps, model.is_whole) == (2000, 20, 20, True)
    assert (model.bits_per_byte.low, model.floor_bits_per_byte, model.num_parameters) == (None, None, None)


def test_the_best_comes_first_and_one_that_stopped_says_so(runs: Path) -> None:
    write_run(runs / "worse", [measure(20, 1.4)])
    write_run(runs / "stopped", [measure(7, 1.1)])
    models = find_trained_models(runs)
    assert [(model.name, model.is_whole) for model in models] == [("stopped", False), ("worse", True)]


@pytest.mark.parametrize(
    ("metrics", "config"),
    [
        ([measure(20, 1.1)], {"init_from": "runs/base"}),  # went on from another
        ([measure(20, 1.1)], {"corpus": None}),  # an import, or another stage
        ([measure(20, 1.1)], {"model": None}),
        ([{"step": 20, "tokens": 2000, "loss": 1.0}], {}),  # never measured
        ([measure(20, float("nan"))], {}),
    ],
)
def test_what_is_no_measured_model_from_scratch_does_not_count(
    runs: Path, metrics: list[dict[str, Any]], config: dict[str, Any]
) -> None:
    write_run(runs / "a", metrics, **config)
    assert find_trained_models(runs) == ()


def test_damaged_files_count_as_missing(runs: Path) -> None:
    folder = write_run(runs / "a", [measure(20, 1.1)])
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"val_loss": [\n{"step": 21, "tokens": 21')
    (folder / "first_model.json").write_text("{")
    (folder / "evals").mkdir()
    (folder / "evals/a.json").write_text("[1, 2]")
    [model] = find_trained_models(runs)
    assert (model.bits_per_byte.estimate, model.tokens) == (1.1, 2000)
    (folder / "config.json").write_text("null")
    assert find_trained_models(runs) == ()
    assert find_trained_models(runs / "missing") == ()


def test_an_evaluation_gives_the_interval_and_the_floor(runs: Path) -> None:
    folder = write_run(runs / "a", [measure(20, 1.1)], corpus="microworld")
    (folder / "evals").mkdir()
    record = {
        "corpus": "microworld",
        "split": "val",
        "text": {
            "figures": [
                {"bits_per_byte": {"estimate": 1.2, "low": 1.0, "high": 1.3}},
                {"bits_per_byte": {"estimate": 1.05, "low": 1.0, "high": 1.1}},
            ]
        },
        "microworld": {
            "floor": [
                {"genre": "story", "floor_bits_per_byte": {"estimate": 0.7}},
                {"genre": "all", "floor_bits_per_byte": {"estimate": 0.9}},
            ]
        },
    }
    (folder / "evals/own.json").write_text(json.dumps(record))
    other = record | {"corpus": "another", "text": {"figures": [{"bits_per_byte": {"estimate": 9}}]}}
    (folder / "evals/other.json").write_text(json.dumps(other))
    [model] = find_trained_models(runs)
    assert (model.bits_per_byte.estimate, model.bits_per_byte.low, model.bits_per_byte.high) == (
        1.05,
        1.0,
        1.1,
    )
    assert model.floor_bits_per_byte == 0.9


@pytest.mark.parametrize(
    ("file", "record"),
    [
        ("first_model.json", {"floor": {"floor_bits_per_byte": 0.17}}),
        ("stage.json", {"metrics": {"floor_bits_per_byte": 0.17}}),
    ],
)
def test_the_floor_of_a_first_model_and_of_a_recipe(runs: Path, file: str, record: dict[str, Any]) -> None:
    folder = write_run(runs / "a", [measure(20, 0.2)])
    (folder / file).write_text(json.dumps(record))
    assert find_trained_models(runs)[0].floor_bits_per_byte == 0.17


def test_parts_of_their_own_are_named(runs: Path) -> None:
    write_run(runs / "a", [measure(20, 1.1)], mine={"attention": "0" * 64, "token_embedding": "1" * 64})
    assert find_trained_models(runs)[0].own_parts == ("attention", "token embedding")


def test_a_run_that_changes_is_read_again(runs: Path) -> None:
    folder = write_run(runs / "a", [measure(10, 1.5)])
    assert find_trained_models(runs)[0].step == 10
    with open(folder / "metrics.jsonl", "a") as file:
        file.write(json.dumps(measure(20, 1.2)) + "\n")
    assert (find_trained_models(runs)[0].step, find_trained_models(runs)[0].val_loss) == (20, 1.2)


# --- tuned models -------------------------------------------------------------------------------------------


def write_evidence(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "evidence.json"
    path.write_text(
        json.dumps({key: value for key, value in (EVIDENCE | changes).items() if value != "drop"})
    )
    return path


def test_an_evidence_file_is_read(runs: Path) -> None:
    write_evidence(runs / "lora-1")
    [tuned], problems = find_tuned_models(runs)
    assert problems == ()
    assert (tuned.name, tuned.kind, tuned.base, tuned.n) == ("lora-1", "adapter", "runs/base-1", 500)
    assert tuned.difference is not None
    assert (tuned.difference.low, tuned.is_better, tuned.measured_on) == (0.17, True, "2026-03-05")


@pytest.mark.parametrize(
    ("changes", "better"),
    [
        ({}, True),
        ({"difference": {"estimate": 0.21, "low": -0.01, "high": 0.4}}, False),
        ({"higher_is_better": False}, False),
        ({"difference": None}, None),
    ],
)
def test_better_is_what_the_interval_says(
    tmp_path: Path, changes: dict[str, Any], better: bool | None
) -> None:
    assert read_evidence_file(write_evidence(tmp_path, **changes)).is_better is better


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"format": "x"}, "the format is 'x'"),
        ({"kind": "prompt"}, "kind is 'prompt'. Write adapter"),
        ({"base": " "}, "base is ' '. Give it as text."),
        ({"command": "drop"}, "command is None. Give it as text."),
        ({"higher_is_better": "yes"}, "higher_is_better is 'yes'. Write true or false."),
        ({"n": 1}, "n is 1. Write how many items"),
        ({"n": True}, "n is True. Write how many items"),
        ({"score": 0.6}, "score is 0.6. Write {"),
        ({"score": {"estimate": 0.6, "low": 0.7, "high": 0.8}}, "with low <= estimate <= high"),
        ({"base_score": None}, "base_score is None"),
        (
            {"difference": {"estimate": 0.5, "low": 0.4, "high": 0.6}},
            "It is score minus base_score, which is 0.21",
        ),
        ({"measured_on": "yesterday"}, "measured_on is 'yesterday'. Write a day"),
    ],
)
def test_what_is_wrong_in_an_evidence_file_is_said_in_one_sentence(
    runs: Path, changes: dict[str, Any], says: str
) -> None:
    path = write_evidence(runs / "a", **changes)
    with pytest.raises(DataError) as caught:
        read_evidence_file(path)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    found, problems = find_tuned_models(runs)
    assert found == ()
    assert problems == (str(caught.value),)  # the page shows it, and the others


def test_a_recipe_gives_its_fine_tune_and_adapters_come_first(runs: Path) -> None:
    interval = {"estimate": 0.6, "low": 0.5, "high": 0.7}
    report = {
        "comparisons": [{"first": "sft", "second": "base", "num_prompts": 60, "difference": interval}],
        "gold_by_group": {
            "sft": {"all": interval},
            "base": {"all": {"estimate": 0.0, "low": 0.0, "high": 0.1}},
        },
    }
    (runs / "chat").mkdir()
    (runs / "chat/report.json").write_text(json.dumps(report))
    write_evidence(runs / "lora-1", measured_on="2020-01-01")
    found, _ = find_tuned_models(runs)
    assert [(one.name, one.kind, one.base) for one in found] == [
        ("lora-1", "adapter", "runs/base-1"),
        ("chat/sft", "fine-tune", "chat/base"),
    ]
    assert (found[1].n, found[1].is_better) == (60, True)


# --- the promises -------------------------------------------------------------------------------------------


def test_with_nothing_everything_is_missing_and_says_what_to_do(
    course: Course, store: Store, runs: Path
) -> None:
    outcomes = build_outcomes(course, store, runs)
    assert [promise.state for promise in outcomes.promises] == ["missing"] * 4
    assert outcomes.num_shown == 0
    assert all(promise.summary.startswith("Nothing yet") and promise.missing for promise in outcomes.promises)
    assert "in 1.1, 1.2" in outcomes.promise("explain").missing[1]


def test_the_lessons_that_bring_each_promise_are_those_of_the_course(store: Store, runs: Path) -> None:
    outcomes = build_outcomes(load_course(), store, runs)
    for promise in outcomes.promises:
        assert len(promise.lessons) >= 3
    assert [entry.slug for entry in outcomes.promise("tune").lessons][:2] == ["full-or-peft", "lora"]


def test_own_words_are_gathered_in_the_order_of_the_course(course: Course, store: Store, runs: Path) -> None:
    store.words.set("means", "Means divide.\nBy the count.", [True, True, False, True])
    store.words.set("sums", " Sums add. ", [])
    store.words.set("coming", "  ", [])
    outcomes = build_outcomes(course, store, runs)
    assert [(one.entry.slug, one.num_ticked, one.num_points) for one in outcomes.said] == [
        ("sums", 0, 0),
        ("means", 3, 4),
    ]
    assert join_words(outcomes.said) == "Sums add.\n\nMeans divide. By the count."
    promise = outcomes.promise("explain")
    assert (promise.state, promise.summary) == ("begun", "Your own words in 2 lessons.")


def test_the_explanation_counts_from_a_page_on(course: Course, store: Store, runs: Path) -> None:
    save_evidence(store, "explanation", {"text": "word " * (MIN_EXPLANATION_WORDS - 1) + "- ,"})
    promise = build_outcomes(course, store, runs).promise("explain")
    assert (promise.state, promise.summary) == ("begun", "A text of 149 words from end to end.")
    save_evidence(store, "explanation", {"text": "word " * MIN_EXPLANATION_WORDS})
    promise = build_outcomes(course, store, runs).promise("explain")
    assert promise.state == "shown"
    assert "1 of the 3 lessons is not written yet" in promise.missing[-1]


def test_words_are_counted_where_there_is_a_letter_or_a_digit() -> None:
    assert count_words("a 2b — … l'été 名") == 4


def test_the_learner_chooses_which_model_counts(course: Course, store: Store, runs: Path) -> None:
    write_run(runs / "a", [measure(20, 1.1)])
    write_run(runs / "b", [measure(20, 1.2)])
    outcomes = build_outcomes(course, store, runs)
    assert outcomes.model is not None
    assert (outcomes.model.name, outcomes.model_is_chosen) == ("a", False)
    save_evidence(store, "model", {"name": "b"})
    outcomes = build_outcomes(course, store, runs)
    assert outcomes.model is not None
    assert (outcomes.model.name, outcomes.model_is_chosen) == ("b", True)
    promise = outcomes.promise("train")
    assert (promise.state, promise.summary) == ("shown", "b: 1.200 bits a byte on text it has not read.")
    assert "`nn2llm eval b`" in promise.missing[0]


def test_a_choice_that_was_deleted_falls_back_to_the_best(course: Course, store: Store, runs: Path) -> None:
    write_run(runs / "a", [measure(20, 1.1)])
    save_evidence(store, "model", {"name": "gone"})
    outcomes = build_outcomes(course, store, runs)
    assert outcomes.model is not None
    assert (outcomes.model.name, outcomes.model_is_chosen) == ("a", False)


def test_an_adapter_is_shown_and_a_full_fine_tune_is_only_a_beginning(
    course: Course, store: Store, runs: Path
) -> None:
    write_evidence(runs / "full", kind="fine-tune")
    promise = build_outcomes(course, store, runs).promise("tune")
    assert promise.state == "begun"
    assert "not a parameter-efficient method" in promise.summary
    write_evidence(runs / "lora")
    promise = build_outcomes(course, store, runs).promise("tune")
    assert (promise.state, promise.missing) == ("shown", ())
    write_evidence(runs / "lora", difference={"estimate": 0.21, "low": -0.1, "high": 0.5})
    assert "may be no better" in build_outcomes(course, store, runs).promise("tune").missing[0]


def test_a_critique_is_shown_when_it_is_whole(course: Course, store: Store, runs: Path) -> None:
    save_evidence(store, "critique", {"title": "A paper", "claim": "It is so."})
    promise = build_outcomes(course, store, runs).promise("read")
    assert (promise.state, promise.summary) == ("begun", "A critique of A paper.")
    assert promise.missing == (
        "Still empty: where it is, the evidence, what does not convince you, what you would measure.",
    )
    save_evidence(store, "critique", dict.fromkeys(set(CRITIQUE_FIELDS) - {"title", "claim"}, "text"))
    promise = build_outcomes(course, store, runs).promise("read")
    assert (promise.state, promise.missing) == ("shown", ())  # what was written before stays


@pytest.mark.parametrize(
    ("kind", "data", "says"),
    [
        ("sitting:checkpoint-1", {"text": "x"}, "There is no evidence 'sitting:checkpoint-1'"),
        ("critique", {"author": "x"}, "The field 'author' of critique is not as it should be"),
        ("critique", {"title": 3}, "The field 'title' of critique is not as it should be: 3"),
        ("learner", {"name": "x" * 101}, "name has 101 characters; 100 fit"),
    ],
)
def test_what_is_no_evidence_is_refused(store: Store, kind: str, data: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        save_evidence(store, kind, data)
    assert store.evidence.all() == {}


def test_records_that_another_program_wrote_do_no_harm(course: Course, store: Store, runs: Path) -> None:
    store.evidence.set("critique", {"title": 7})
    store.evidence.set("explanation", {})
    outcomes = build_outcomes(course, store, runs)
    assert outcomes.critique.is_empty
    assert outcomes.explanation == ""


def test_exercises_are_counted_by_topic(course: Course, store: Store) -> None:
    [count] = count_exercises(course, store)
    assert (count.topic, count.num_exercises, count.num_unaided, count.num_with_solution) == (1, 1, 0, 0)
    store.exercises.see_solution("means", "mean-of")
    store.exercises.record_attempt("means", "mean-of", status="passed", text="", verdict={})
    [count] = count_exercises(course, store)
    assert (count.num_unaided, count.num_with_solution) == (0, 1)
