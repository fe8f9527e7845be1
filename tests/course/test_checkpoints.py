"""Checkpoints: found beside the lessons, mixed for the learner, passed by what they did."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nn2llm.cli.main import main
from nn2llm.core.errors import DataError, LessonError
from nn2llm.course.checkpoint_page import describe_sitting, fill_mixed
from nn2llm.course.checkpoints import (
    find_checkpoint_problems,
    is_checkpoint,
    list_checkpoints,
    parse_mixed,
    write_checkpoint_skeleton,
)
from nn2llm.course.lesson import Course, Placeholder
from nn2llm.course.loader import find_problems, load_course, load_lesson
from nn2llm.course.mixing import choose_mixed
from nn2llm.course.rendering import render_lesson
from nn2llm.course.search import SearchIndex
from nn2llm.course.site import build_site
from nn2llm.course.sittings import (
    Sitting,
    checkpoint_state,
    list_passed_checkpoints,
    note_answer,
    open_sitting,
    read_checkpoint_progress,
    read_sitting,
    take_again,
)
from nn2llm.course.store import Store
from tests.course.learning_course import write_learning_course
from tests.course.site_lessons import write_bundle

SLUG = "checkpoint-1"


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    made = Store(tmp_path / "course.db", clock)
    yield made
    made.close()


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return load_course(write_learning_course(tmp_path / "lessons"))


def answer_all(store: Store, sitting: Sitting, num_right: int) -> Sitting:
    after: Sitting | None = sitting
    for number, (slug, question) in enumerate(sitting.questions):
        after = note_answer(store, SLUG, slug, question, 0, number < num_right)
    assert after is not None
    return after


def pass_exercise(store: Store, name: str, *, slug: str = SLUG) -> None:
    store.exercises.record_attempt(slug, name, status="passed", text="x = 1", verdict={})


# --- where it stands ----------------------------------------------------------------------------------------


def test_a_checkpoint_is_found_by_slug_and_number_and_is_none_of_the_lessons(course: Course) -> None:
    entry = course.lesson(SLUG)
    assert entry == course.lesson("1.C") == course.checkpoints[1]
    assert is_checkpoint(entry)
    assert course.is_ready(SLUG)
    assert [lesson.slug for lesson in course.lessons] == ["sums", "means", "coming"]
    assert [one.slug for one in course.entries] == ["sums", "means", SLUG, "coming"]
    assert course.problems == []


def test_it_stands_between_the_topic_and_the_next(course: Course) -> None:
    before, after = course.neighbours(SLUG)
    assert before is not None
    assert after is not None
    assert (before.slug, after.slug) == ("means", "coming")
    assert course.neighbours("means")[1] == course.lesson("coming")  # the static site has no checkpoints
    assert course.neighbours("means", checkpoints=True)[1] == course.lesson(SLUG)


def test_one_that_is_coming_is_known_but_not_a_neighbour(tmp_path: Path) -> None:
    course = load_course(write_learning_course(tmp_path / "lessons", checkpoint=False))
    assert not course.is_ready(SLUG)
    assert course.neighbours("means", checkpoints=True)[1] == course.lesson("coming")
    with pytest.raises(LessonError, match="not written yet"):
        load_lesson(course.lesson(SLUG))


def test_a_topic_of_one_lesson_has_one_only_where_somebody_wrote_it(course: Course) -> None:
    assert set(list_checkpoints(course.topics)) == {1}
    folder = course.lesson("coming").folder.parent / "checkpoint"
    folder.mkdir(parents=True)
    (folder / "lesson.md").write_text("---\n")
    assert set(list_checkpoints(course.topics)) == {1, 2}


def test_it_needs_the_lessons_of_its_topic_and_an_unknown_need_is_a_problem(tmp_path: Path) -> None:
    folder = write_learning_course(tmp_path / "lessons")
    assert load_course(folder).lesson(SLUG).needs == ("sums", "means")
    path = folder / "01_foundations/checkpoint/lesson.md"
    path.write_text(path.read_text().replace("needs: []", "needs: [sums, meens]"))
    course = load_course(folder)
    assert course.lesson(SLUG).needs == ("sums",)
    assert [str(problem).split(": ", 1)[1] for problem in course.problems] == [
        "It needs 'meens', unknown. Did you mean 'means'? Take a slug of the syllabus."
    ]


def test_a_lesson_cannot_need_a_checkpoint(tmp_path: Path) -> None:
    folder = write_learning_course(tmp_path / "lessons")
    path = folder / "01_foundations/02_means/lesson.md"
    path.write_text(path.read_text().replace("needs: []", f"needs: [{SLUG}]"))
    assert f"It needs '{SLUG}', unknown." in str(load_course(folder).problems[0])


def test_problems_in_its_text_are_found_like_a_lessons(tmp_path: Path) -> None:
    folder = write_learning_course(tmp_path / "lessons")
    path = folder / "01_foundations/checkpoint/lesson.md"
    path.write_text(path.read_text() + "\n```python\nunclosed\n")
    assert any(
        "not closed" in str(one) and "checkpoint" in str(one) for one in find_problems(load_course(folder))
    )


# --- its format ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count"), [("mixed 6", 6), ("mixed  12", 12), ("mixed", None), ("one two", None), (None, None)]
)
def test_mixed_places_are_read(name: str | None, count: int | None) -> None:
    assert parse_mixed(Placeholder(kind="quiz", name=name, line=1)) == count


def test_a_whole_checkpoint_has_no_problems_and_each_lack_is_named(course: Course) -> None:
    lesson = load_lesson(course.lesson(SLUG))
    assert find_checkpoint_problems(lesson, ["implement", "repair"]) == []
    said = [problem.message for problem in find_checkpoint_problems(lesson, [])]
    assert said == [
        "This checkpoint has no task without scaffold: add an exercise of kind 'implement'.",
        "This checkpoint has no planted bug: add an exercise of kind 'repair'.",
    ]


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ("", "asks no mixed questions"),
        ("<!-- quiz: mixed 1 -->", "ask from 2 to 12"),
        ("<!-- quiz: mixed 3 -->\n\n<!-- quiz: mixed 3 -->", "one place for mixed questions"),
    ],
)
def test_what_is_wrong_with_its_mixed_questions_is_named(tmp_path: Path, mark: str, says: str) -> None:
    folder = write_learning_course(tmp_path / "lessons")
    path = folder / "01_foundations/checkpoint/lesson.md"
    path.write_text(path.read_text().replace("<!-- quiz: mixed 3 -->", mark))
    lesson = load_lesson(load_course(folder).lesson(SLUG))
    assert says in find_checkpoint_problems(lesson, ["implement", "repair"])[0].message


def test_a_lesson_asks_no_mixed_questions(tmp_path: Path) -> None:
    folder = write_learning_course(tmp_path / "lessons")
    path = folder / "01_foundations/02_means/lesson.md"
    path.write_text(path.read_text().replace("<!-- quiz -->", "<!-- quiz: mixed 3 -->"))
    [problem] = find_checkpoint_problems(load_lesson(load_course(folder).lesson("means")), [])
    assert "belong to a checkpoint" in problem.message


def test_the_skeleton_can_be_opened_and_is_never_written_over(tmp_path: Path) -> None:
    folder = write_learning_course(tmp_path / "lessons", checkpoint=False)
    path = write_checkpoint_skeleton(load_course(folder).lesson("1.C"))
    course = load_course(folder)
    assert course.problems == []
    assert course.is_ready(SLUG)
    lesson = load_lesson(course.lesson(SLUG))
    assert path == lesson.path
    assert find_checkpoint_problems(lesson, ["implement", "repair"]) == []
    with pytest.raises(LessonError, match="is there already"):
        write_checkpoint_skeleton(course.lesson(SLUG))


# --- which questions ----------------------------------------------------------------------------------------


def test_one_concept_is_asked_once(course: Course, store: Store) -> None:
    chosen = choose_mixed(course, store, 1, 12)
    # six questions of five concepts: the empty sum and the empty mean share one
    assert len(chosen) == len(set(chosen)) == 5
    assert len({("sums", "empty-sum"), ("means", "empty-mean")} & set(chosen)) == 1


def test_what_was_wrong_last_comes_first_and_what_was_right_last(
    course: Course, store: Store, clock: Clock
) -> None:
    for slug, question, right in [("sums", "two", True), ("sums", "order", True), ("means", "middle", False)]:
        store.quiz.record_answer(slug, question, 0, right)
    clock.now += timedelta(days=3)
    chosen = choose_mixed(course, store, 1, 5)
    assert chosen[0] == ("means", "middle")
    assert set(chosen[3:]) == {("sums", "two"), ("sums", "order")}


def test_what_was_just_seen_comes_back_only_where_nothing_else_is_left(course: Course, store: Store) -> None:
    store.quiz.record_answer("means", "middle", 0, False)
    store.quiz.record_answer("sums", "order", 0, True)
    store.reviews.begin("sums", "two", False)  # in a review, a moment ago
    chosen = choose_mixed(course, store, 1, 5)
    assert set(chosen[:2]) <= {("means", "outlier"), ("sums", "empty-sum"), ("means", "empty-mean")}
    assert set(chosen[2:]) == {("means", "middle"), ("sums", "two"), ("sums", "order")}


def test_the_choice_is_the_same_for_one_seed_and_takes_from_all_lessons(course: Course, store: Store) -> None:
    one = choose_mixed(course, store, 1, 4, seed="a")
    assert one == choose_mixed(course, store, 1, 4, seed="a")
    assert sorted(slug for slug, _ in one) == ["means", "means", "sums", "sums"]


def test_questions_that_need_a_cell_or_open_a_lesson_are_not_mixed(tmp_path: Path, store: Store) -> None:
    folder = write_learning_course(tmp_path / "lessons")
    quiz = folder / "01_foundations/01_sums/quiz.yaml"
    text = quiz.read_text().replace("id: two\n", "id: two\n  see: sums\n", 1)
    parts = text.split("- id: two")
    quiz.write_text(
        parts[0]
        + "- id: two"
        + parts[1].replace("place: end", "place: before")
        + "\n- id: guess\n  concept: guess\n  kind: predict\n  text: What?\n  answer: 2\n  cell: try\n"
    )
    chosen = choose_mixed(load_course(folder), store, 1, 12)
    assert not {("sums", "two"), ("sums", "guess")} & set(chosen)
    assert len(chosen) == 4


# --- sittings -----------------------------------------------------------------------------------------------


def test_a_sitting_keeps_its_questions_and_its_first_answers(course: Course, store: Store) -> None:
    lesson = load_lesson(course.lesson(SLUG))
    sitting = open_sitting(course, store, lesson)
    assert len(sitting.mixed) == 3
    assert sitting.own == ((SLUG, "last"),)
    assert (sitting.num_needed, sitting.num_answered, sitting.is_lost) == (4, 0, False)
    slug, question = sitting.mixed[0]
    assert note_answer(store, SLUG, slug, question, 1, False) is not None
    after = note_answer(store, SLUG, slug, question, 0, True)  # mended: the first counts
    assert after is not None
    assert after.first[slug, question] is False
    assert after.answers[slug, question] == 0
    assert open_sitting(course, store, lesson) == after == read_sitting(store, SLUG)


def test_an_answer_elsewhere_is_no_answer_of_the_sitting(course: Course, store: Store) -> None:
    sitting = open_sitting(course, store, load_lesson(course.lesson(SLUG)))
    slug, question = sitting.mixed[0]
    assert note_answer(store, slug, slug, question, 0, True) is None
    assert note_answer(store, SLUG, slug, "another", 0, True) is None
    assert read_sitting(store, SLUG) == sitting


def test_a_failed_sitting_is_taken_again_with_other_questions(course: Course, store: Store) -> None:
    lesson = load_lesson(course.lesson(SLUG))
    first = open_sitting(course, store, lesson)
    with pytest.raises(DataError, match="4 questions are not answered yet"):
        take_again(course, store, lesson)
    after = answer_all(store, first, num_right=3)
    assert after.is_lost
    assert not after.is_passed
    second = take_again(course, store, lesson)
    assert second.number == 2
    assert second.num_answered == 0
    # five concepts: two are new, one comes back
    assert len(set(second.mixed) - set(first.mixed)) >= 2
    passed = answer_all(store, second, num_right=4)
    assert passed.is_passed
    assert passed.passed_at is not None
    with pytest.raises(DataError, match="passed already"):
        take_again(course, store, lesson)


@pytest.mark.parametrize(("questions", "needed"), [(1, 1), (4, 4), (5, 4), (6, 5), (10, 8), (15, 12)])
def test_four_in_five_are_needed(questions: int, needed: int) -> None:
    sitting = Sitting(
        slug=SLUG,
        number=1,
        began_at="",
        mixed=tuple(("sums", f"q{i}") for i in range(questions)),
        own=(),
        first={},
        answers={},
        earlier=(),
        passed_at=None,
    )
    assert sitting.num_needed == needed


def test_a_question_that_was_taken_away_leaves_the_sitting(tmp_path: Path, store: Store) -> None:
    folder = write_learning_course(tmp_path / "lessons")
    course = load_course(folder)
    lesson = load_lesson(course.lesson(SLUG))
    sitting = open_sitting(course, store, lesson)
    gone = next(one for one in sitting.mixed if one[0] == "sums")
    quiz = folder / "01_foundations/01_sums/quiz.yaml"
    quiz.write_text(quiz.read_text().replace(f"id: {gone[1]}", f"id: {gone[1]}-new"))
    assert open_sitting(course, store, lesson).mixed == tuple(one for one in sitting.mixed if one != gone)


def test_records_of_another_version_begin_a_new_sitting(course: Course, store: Store) -> None:
    store.evidence.set(f"sitting:{SLUG}", {"number": "two", "mixed": 3})
    assert read_sitting(store, SLUG) is None
    assert open_sitting(course, store, load_lesson(course.lesson(SLUG))).number == 1


# --- passing ------------------------------------------------------------------------------------------------


def test_it_is_coming_ready_begun_and_passed(course: Course, store: Store, tmp_path: Path) -> None:
    bare = load_course(write_learning_course(tmp_path / "bare", checkpoint=False))
    assert checkpoint_state(bare, store, 1) == checkpoint_state(bare, store, 7) == "coming"
    assert checkpoint_state(course, store, 1) == "ready"
    sitting = open_sitting(course, store, load_lesson(course.lesson(SLUG)))
    assert checkpoint_state(course, store, 1) == "ready"  # opened is not begun
    answer_all(store, sitting, num_right=4)
    pass_exercise(store, "from-nothing")
    assert checkpoint_state(course, store, 1) == "begun"
    assert list_passed_checkpoints(course, store) == ()
    pass_exercise(store, "find-the-bug")
    assert checkpoint_state(course, store, 1) == "passed"
    assert list_passed_checkpoints(course, store) == ((course.lesson(SLUG), "2026-03-01"),)


def test_exercises_alone_do_not_pass_it(course: Course, store: Store) -> None:
    pass_exercise(store, "from-nothing")
    pass_exercise(store, "find-the-bug")
    assert checkpoint_state(course, store, 1) == "begun"
    answer_all(store, open_sitting(course, store, load_lesson(course.lesson(SLUG))), num_right=3)
    assert checkpoint_state(course, store, 1) == "begun"


def test_a_solution_seen_does_not_count_until_it_is_done_again(course: Course, store: Store) -> None:
    answer_all(store, open_sitting(course, store, load_lesson(course.lesson(SLUG))), num_right=4)
    store.exercises.see_solution(SLUG, "from-nothing")
    pass_exercise(store, "from-nothing")
    pass_exercise(store, "find-the-bug")
    progress = read_checkpoint_progress(course, store, 1)
    assert (progress.state, progress.num_unaided, progress.num_with_solution) == ("begun", 1, 1)
    pass_exercise(store, "from-nothing-again")
    assert checkpoint_state(course, store, 1) == "passed"


def test_one_whose_exercises_are_broken_is_coming(tmp_path: Path, store: Store) -> None:
    folder = write_learning_course(tmp_path / "lessons")
    (folder / "01_foundations/checkpoint/exercises.yaml").write_text("- name: [")
    assert checkpoint_state(load_course(folder), store, 1) == "coming"


# --- its page -----------------------------------------------------------------------------------------------


def test_the_page_asks_the_mixed_questions_of_this_sitting(course: Course, store: Store) -> None:
    lesson = load_lesson(course.lesson(SLUG))
    sitting = open_sitting(course, store, lesson)
    bare = render_lesson(lesson).html
    page = fill_mixed(bare, course, sitting)
    assert 'data-question="' in page
    assert "from 1.1 Sums" in page
    assert "from 1.2 Means &amp; medians" in page
    for slug, question in sitting.questions:
        assert page.count(f'data-question="{question}" data-lesson="{slug}"') == 1
        assert (f'data-question="{question}"' in bare) is (slug == SLUG)


def test_the_page_says_how_it_stands(course: Course, store: Store) -> None:
    lesson = load_lesson(course.lesson(SLUG))
    sitting = open_sitting(course, store, lesson)
    assert describe_sitting(course, store, 1)["sentences"] == [
        "4 questions. You pass with 4 right at the first try.",
        "0 of 2 exercises done unaided.",
    ]
    answer_all(store, sitting, num_right=3)
    said = describe_sitting(course, store, 1)
    assert said["can_take_again"] is True
    assert said["sentences"][0].startswith("3 of 4 right at the first try; 4 of 4 were needed.")
    answer_all(store, take_again(course, store, lesson), num_right=4)
    pass_exercise(store, "from-nothing")
    pass_exercise(store, "find-the-bug")
    said = describe_sitting(course, store, 1)
    assert (said["state"], said["can_take_again"]) == ("passed", False)
    assert said["sentences"][0] == "Passed on 2026-03-01."
    assert said["sentences"][1] == "Questions passed: 4 of 4 right at the first try. Sitting 2."


# --- elsewhere ----------------------------------------------------------------------------------------------


def test_it_is_found_by_its_words_and_its_number_and_one_that_is_coming_is_not(tmp_path: Path) -> None:
    index = SearchIndex(load_course(write_learning_course(tmp_path / "lessons")), tmp_path / "search.db")
    assert ("lesson", SLUG, True) in [(hit.kind, hit.slug, hit.ready) for hit in index.search("checkpoint")]
    assert ("section", SLUG, "a-planted-bug") in [
        (hit.kind, hit.slug, hit.anchor) for hit in index.search("planted")
    ]
    assert index.search("1.c")[0].slug == index.search("1.C")[0].slug == SLUG
    assert all(hit.kind != "lesson" for hit in index.search("2.C"))
    index.close()
    coming = load_course(write_learning_course(tmp_path / "other", checkpoint=False))
    index = SearchIndex(coming, tmp_path / "other.db")
    assert index.search("checkpoint") == ()
    index.close()


def test_the_static_site_has_its_page_and_says_what_stands_there_in_the_live_course(tmp_path: Path) -> None:
    course = load_course(write_learning_course(tmp_path / "lessons"))
    built = build_site(
        course, tmp_path / "site", run_cells=False, home=tmp_path, bundle=write_bundle(tmp_path / "bundle")
    )
    assert built.num_lessons == 3
    page = (built.folder / "lessons" / f"{SLUG}.html").read_text(encoding="utf-8")
    assert "questions of these lessons stand here, chosen for you" in page
    assert 'rel="prev" href="means.html"' in page
    assert f'rel="next" href="{SLUG}.html"' in (built.folder / "lessons" / "means.html").read_text("utf-8")
    for name in ("index.html", "map.html"):
        assert f'href="lessons/{SLUG}.html"' in (built.folder / name).read_text(encoding="utf-8")


def test_the_terminal_says_how_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_learning_course(tmp_path / "lessons")
    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path / "home"))
    assert main(["learn", "status", "--lessons", str(folder)]) == 0
    assert "   [ ] 1.C   Checkpoint  (ready)\n" in capsys.readouterr().out
    store = Store()
    pass_exercise(store, "find-the-bug")
    store.close()
    assert main(["learn", "status", "--lessons", str(folder)]) == 0
    assert "   [-] 1.C   Checkpoint  (begun, not passed yet)\n" in capsys.readouterr().out
