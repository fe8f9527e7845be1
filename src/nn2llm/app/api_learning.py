"""Questions and reviews: the JSON interface /api/quiz and /api/review, the pages /review and …/answers.

Read after api.py; course/quizzes.py, quiz_rendering.py and review.py do the work. Used by app/server.py;
frontend/src/lesson/quiz*.ts and frontend/src/site/review.ts are the other end.
"""

import asyncio
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup

from nn2llm.app.exercise_views import make_sendable
from nn2llm.app.request_bodies import find_slug, read_body, take
from nn2llm.app.views import get_site, render, render_error
from nn2llm.core.errors import DataError, LessonError
from nn2llm.course.quizzes import Question, judge_answer, load_questions

__all__ = ["describe_review", "router"]

router = APIRouter()

_MOST_CHARACTERS = 1000
"""Of an answer: a number, a few words, or the numbers of a few options."""


def _find_question(request: Request, slug_or_number: str, name: str) -> tuple[str, Question]:
    slug = find_slug(request, slug_or_number)
    questions = load_questions(get_site(request).shelf.course.lesson(slug).folder)
    for question in questions:
        if question.id == name:
            return slug, question
    raise HTTPException(404, f"The lesson {slug!r} has no question {name[:80]!r}. Load its page again.")


# --- questions ----------------------------------------------------------------------------------------------


@router.get("/api/quiz/{slug}")
def get_quiz(request: Request, slug: str, page: str = "") -> dict[str, Any]:
    """The answers so far, by question, each with what is shown after it. `page`: where they are shown."""
    from nn2llm.course.quiz_rendering import describe_result
    from nn2llm.course.sittings import read_sitting

    slug, site = find_slug(request, slug), get_site(request)
    course = site.shelf.course
    records = site.store.quiz.answers(slug)
    answers = {name: (record.last_answer, record.first_right) for name, record in records.items()}
    sitting = read_sitting(site.store, page) if page else None
    if sitting is not None:  # what was answered in a lesson, or in a sitting before, is not answered here
        answers = {
            name: (sitting.answers[lesson, name], right)
            for (lesson, name), right in sitting.first.items()
            if lesson == slug and (lesson, name) in sitting.answers
        }
    found = {}
    for question in load_questions(course.lesson(slug).folder):
        if question.id not in answers:
            continue
        answer, first_right = answers[question.id]
        try:
            result = describe_result(question, answer, slug, course)
        except DataError:
            continue  # the question has changed since: it is asked again
        found[question.id] = {"answer": answer, "first_right": first_right, **result}
    return {"slug": slug, "questions": make_sendable(found)}


@router.post("/api/quiz/{slug}/{name}")
async def post_answer(request: Request, slug: str, name: str) -> dict[str, Any]:
    """{"answer", "review", "page"}: keeps an answer; returns whether it is right, and why.

    "review": it was asked in the review, and counts there alone. "page": the slug of the page it stands on,
    where that is not the question's own lesson.
    """
    body = await read_body(request)
    if "answer" not in body or len(str(body["answer"])) > _MOST_CHARACTERS:
        raise HTTPException(400, "The request holds no answer, or one that is too long. Answer it again.")
    slug, question = _find_question(request, slug, name)
    reviewing, page = take(body, "review", bool, False), take(body, "page", str, "")
    try:
        return await asyncio.to_thread(
            _keep_answer, get_site(request), slug, question, make_sendable(body["answer"]), reviewing, page
        )
    except DataError as error:
        raise HTTPException(400, str(error)) from error


def _keep_answer(
    site: Any, slug: str, question: Question, answer: Any, reviewing: bool, page: str
) -> dict[str, Any]:
    from nn2llm.course.quiz_rendering import describe_result

    course, store = site.shelf.course, site.store
    result = describe_result(question, answer, slug, course)
    right = judge_answer(question, answer)
    if not reviewing:
        store.quiz.record_answer(slug, question.id, answer, right)
        result["first_right"] = store.quiz.answers(slug)[question.id].first_right
    if question.review:
        _note_review(store, slug, question.id, right, reviewing=reviewing or (page not in ("", slug)))
    if page:
        sitting = _note_sitting(site, page, slug, question.id, answer, right)
        if sitting is not None:
            result |= sitting
    return result


def _note_review(store: Any, slug: str, name: str, right: bool, *, reviewing: bool) -> None:
    """The first answer makes the card; in a review, one answer a day moves it."""
    from nn2llm.course.review import end_of_day

    card = store.reviews.card(slug, name)
    if card is None:
        store.reviews.begin(slug, name, right)
    elif reviewing and card.due < end_of_day(store.clock()):
        store.reviews.rate(slug, name, right)


def _note_sitting(
    site: Any, page: str, slug: str, name: str, answer: Any, right: bool
) -> dict[str, Any] | None:
    """How the checkpoint stands after it; None where that page is no checkpoint that asks it."""
    from nn2llm.course.checkpoint_page import describe_sitting
    from nn2llm.course.sittings import note_answer

    course = site.shelf.course
    try:
        entry = course.lesson(page)
    except LessonError:
        return None
    sitting = note_answer(site.store, entry.slug, slug, name, answer, right)
    if sitting is None:
        return None
    return {
        "first_right": sitting.first[slug, name],
        "sitting": describe_sitting(course, site.store, entry.topic),
    }


@router.get("/lesson/{slug}/answers")
def answers_page(request: Request, slug: str) -> Response:
    """The questions of a lesson with folded answers: for readers without JavaScript."""
    from nn2llm.course.inline import PageState
    from nn2llm.course.quiz_rendering import render_question

    course = get_site(request).shelf.course
    try:
        entry = course.lesson(slug)
    except LessonError as error:
        return render_error(request, 404, str(error))
    state = PageState(slug=entry.slug, course=course)
    pieces = [
        render_question(entry.slug, question, state, number=number, answers=True)
        for number, question in enumerate(load_questions(entry.folder), start=1)
    ]
    return render(request, "answers.html", entry=entry, html=Markup("\n".join(pieces)))


# --- the review ---------------------------------------------------------------------------------------------


def describe_review(request: Request) -> dict[str, Any]:
    """What is due and what comes, as home, the page and the script say it."""
    from nn2llm.course.review import build_review, say_day

    site = get_site(request)
    review = build_review(site.shelf.course, site.store)
    next_words = None
    if review.next_at is not None:
        next_words = say_day(review.next_at, site.store.clock())
    return {
        "minutes": review.minutes,
        "due": review.num_due,
        "begun": review.begun,
        "questions": [
            {"slug": item.entry.slug, "id": item.question.id, "lesson": f"{item.entry.number}"}
            for item in review.questions
        ],
        "exercises": [
            {
                "slug": item.entry.slug,
                "name": item.name,
                "title": item.exercise.title,
                "minutes": item.exercise.minutes,
                "number": item.entry.number,
                "url": f"/review/{item.entry.slug}/{item.name}",
            }
            for item in review.exercises
        ],
        "next": None
        if review.next_at is None
        else {"at": review.next_at.isoformat(), "words": next_words, "questions": review.num_next},
    }


@router.get("/api/review")
def get_review(request: Request) -> dict[str, Any]:
    """{"minutes", "due", "questions": [{"slug", "id"}], "exercises", "next": {"at", "words", …}}."""
    return describe_review(request)


@router.get("/review")
def review_page(request: Request) -> HTMLResponse:
    """What is due, a question at a time; without JavaScript all of them, one below the other."""
    from nn2llm.course.inline import PageState
    from nn2llm.course.quiz_rendering import render_question
    from nn2llm.course.review import build_review

    site = get_site(request)
    course = site.shelf.course
    review = build_review(course, site.store)
    pieces = [
        render_question(
            item.entry.slug,
            item.question,
            PageState(slug=item.entry.slug, course=course),
            number=number,
            heading=f"from {item.entry.number} {item.entry.title}",
        )
        for number, item in enumerate(review.questions, start=1)
    ]
    return render(request, "review.html", review=describe_review(request), html=Markup("\n".join(pieces)))


@router.get("/review/{slug}/{name}")
def review_exercise_page(request: Request, slug: str, name: str) -> Response:
    """A short exercise that has come back, on a page of its own: NAME ends in `-again`."""
    from nn2llm.course.inline import PageState
    from nn2llm.course.records_exercises import AGAIN
    from nn2llm.course.rendering_exercises import list_exercises, render_exercise_place

    site = get_site(request)
    course = site.shelf.course
    base = name.removesuffix(AGAIN)
    try:
        entry = course.lesson(slug)
    except LessonError as error:
        return render_error(request, 404, str(error))
    infos = [one for one in list_exercises(entry.folder) if one["name"] == base]
    if name == base or not infos:
        return render_error(request, 404, f"No exercise {name[:80]!r} comes back in {entry.slug!r}.")
    text, title = render_exercise_place(entry.folder, base, PageState(slug=entry.slug, course=course))
    # the same exercise under its second name: the script asks for that one's file and records
    text = text.replace(f"exercise-{base}", f"exercise-{name}").replace(
        f'data-exercise="{base}"', f'data-exercise="{name}"'
    )
    site.warm_grader()
    return render(
        request,
        "review_exercise.html",
        entry=entry,
        slug=entry.slug,
        title=title,
        html=Markup(text),
        data={"slug": entry.slug, "exercises": [{**infos[0], "name": name}]},
    )
