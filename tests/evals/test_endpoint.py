"""A model behind an address: answers kept, failures repeated, budgets kept to, keys never shown."""

import http.server
import json
import threading

import pytest

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.evals.endpoint import BudgetError, Endpoint, EndpointConfig
from tests.evals.chat_server import run_server


@pytest.fixture
def server():
    with run_server() as server:
        yield server


def ask(text):
    return [{"role": "user", "content": text}]


def build(server, tmp_path=None, *, waits=None, **options):
    waits = [] if waits is None else waits
    cache = None if tmp_path is None else tmp_path / "answers.jsonl"
    config = EndpointConfig(**{"concurrency": 1, "timeout_s": 5, **options})
    return Endpoint(server.url, "tiny", config, cache=cache, sleep=waits.append)


def test_what_is_sent_and_what_comes_back(server):
    server.answer = lambda number, body: f"  you said {body['messages'][-1]['content']}\n"
    endpoint = build(server)
    answers = endpoint.complete([ask("one"), ask("two"), ask("one")], max_new_tokens=7)
    assert answers == ["you said one", "you said two", "you said one"]
    assert len(server.bodies) == 2  # the same question is asked once
    assert server.bodies[0] == {
        "path": "/v1/chat/completions", "model": "tiny", "messages": ask("one"), "max_tokens": 7,
        "temperature": 0.0,
    }  # fmt: skip
    assert (endpoint.num_requests, endpoint.num_tokens) == (2, 20)
    assert "Authorization" not in server.headers[0]


def test_another_attempt_asks_anew_and_by_sampling(server):
    server.answer = lambda number, body: str(number)
    endpoint = build(server)
    assert endpoint.complete([ask("x")], max_new_tokens=7) == ["0"]
    assert endpoint.complete([ask("x")], max_new_tokens=7, attempt=1) == ["1"]
    assert (server.bodies[1]["temperature"], server.bodies[1]["seed"]) == (0.7, 1)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_answers_stand_in_the_order_of_the_questions(server, concurrency):
    server.answer = lambda number, body: body["messages"][0]["content"].upper()
    texts = [f"q{number}" for number in range(12)]
    endpoint = build(server, concurrency=concurrency)
    assert endpoint.complete([ask(text) for text in texts], max_new_tokens=3) == [
        text.upper() for text in texts
    ]


def test_what_is_kept_is_not_asked_again_and_a_line_cut_short_is(server, tmp_path):
    build(server, tmp_path).complete([ask("one"), ask("two")], max_new_tokens=3)
    path = tmp_path / "answers.jsonl"
    path.write_bytes(path.read_bytes()[:-5])  # killed in the midst of the second line
    server.answer = lambda number, body: "again"
    endpoint = build(server, tmp_path)
    assert endpoint.complete([ask("one"), ask("two")], max_new_tokens=3) == ["A", "again"]
    assert endpoint.num_requests == 1
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 2
    build(server, tmp_path, max_requests=1).complete([ask("one"), ask("two")], max_new_tokens=3)
    assert len(server.bodies) == 3


def test_an_answer_without_text_is_none(server):
    server.answer = lambda number, body: b'{"choices": [{"message": {"content": null}}], "usage": null}'
    assert build(server).complete([ask("x")], max_new_tokens=3) == [None]


def test_half_a_character_is_replaced_since_no_file_can_hold_it(server):
    server.answer = lambda number, body: b'{"choices": [{"message": {"content": "a\\ud83db"}}]}'
    (answer,) = build(server).complete([ask("x")], max_new_tokens=3)
    assert answer.encode().decode() == answer
    assert (answer[0], answer[-1]) == ("a", "b")


# --- what goes wrong on the way -----------------------------------------------------------------------------


def test_a_busy_server_is_asked_again_as_late_as_it_says(server):
    said = [(429, "slow down", {"Retry-After": "7"}), (429, "slow down", {"Retry-After": "900"}), "A"]
    server.answer = lambda number, body: said[number]
    waits = []
    assert build(server, waits=waits).complete([ask("x")], max_new_tokens=3) == ["A"]
    assert waits == [7.0, 60.0]  # never longer than a minute


def test_waits_double_where_the_server_does_not_say(server):
    said = [(500, "oh"), (503, "oh", {"Retry-After": "soon"}), (0, ""), b"<html>no JSON</html>", b"[]", "A"]
    server.answer = lambda number, body: said[number]
    waits = []
    assert build(server, waits=waits).complete([ask("x")], max_new_tokens=3) == ["A"]
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((500, "broken"), "it answered 500 Internal Server Error, 3 times"),
        (b"hello", "it sent no chat completion but b'hello', 3 times"),
        (b'{"choices": []}', "it sent no chat completion but"),
        (b'{"choices": [{"message": {"content": 7}}]}', "it sent no chat completion but"),
        ((0, ""), "3 times"),
    ],
)
def test_a_server_that_never_answers_is_given_up(server, tmp_path, answer, reason):
    server.answer = lambda number, body: "A" if number == 0 else answer
    endpoint = build(server, tmp_path, max_retries=2)
    with pytest.raises(DataError, match="could not be asked for a completion") as error:
        endpoint.complete([ask("one"), ask("two")], max_new_tokens=3)
    assert reason in str(error.value)
    assert len(server.bodies) == 4
    server.answer = lambda number, body: "B"  # it is back: what was answered before is kept
    assert build(server, tmp_path).complete([ask("one"), ask("two")], max_new_tokens=3) == ["A", "B"]


def test_one_that_does_not_answer_in_time_is_given_up(server):
    release = threading.Event()

    def wait(number, body):
        release.wait()
        return "A"

    server.answer = wait
    with pytest.raises(DataError, match="timed out"):
        build(server, timeout_s=0.05, max_retries=0).complete([ask("x")], max_new_tokens=3)
    release.set()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 307])
def test_a_refusal_is_not_repeated(server, status):
    server.answer = lambda number, body: (status, "no such model", {"Location": "/elsewhere"})
    with pytest.raises(DataError, match=f"answered {status}.*no such model") as error:
        build(server).complete([ask("x")], max_new_tokens=3)
    assert len(server.bodies) == 1
    assert ("api-key-env" in str(error.value)) == (status in (401, 403))


def test_nobody_there_is_said_at_once():
    # a port that was free a moment ago
    unused = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    port = unused.server_port
    unused.server_close()
    waits = []
    endpoint = Endpoint(f"http://127.0.0.1:{port}/v1", "tiny", sleep=waits.append)
    with pytest.raises(DataError, match=rf"127\.0\.0\.1:{port} could not be asked .*refused"):
        endpoint.check()
    assert waits == []


# --- budgets and keys ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [{"max_requests": 3}, {"max_tokens": 30}])
def test_a_budget_stops_and_keeps_what_was_answered(server, tmp_path, budget):
    questions = [ask(f"q{number}") for number in range(5)]
    with pytest.raises(BudgetError, match=r"budget for 127.* is spent \(3 requests and 30 tokens\)"):
        build(server, tmp_path, **budget).complete(questions, max_new_tokens=3)
    assert len(server.bodies) == 3
    assert build(server, tmp_path, **budget).complete(questions, max_new_tokens=3) == ["A"] * 5
    assert len(server.bodies) == 5


def test_repeated_requests_count_for_the_budget(server):
    server.answer = lambda number, body: (500, "oh")
    with pytest.raises(BudgetError):
        build(server, max_requests=2, max_retries=9).complete([ask("x")], max_new_tokens=3)
    assert len(server.bodies) == 2


def test_the_key_is_sent_and_shown_nowhere(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-secret")
    build(server, tmp_path, api_key_env="MY_KEY").complete([ask("x")], max_new_tokens=3)
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in (tmp_path / "answers.jsonl").read_text()
    server.answer = lambda number, body: (401, "the key sk-secret is wrong")
    with pytest.raises(DataError, match="the key … is wrong"):
        build(server, api_key_env="MY_KEY").complete([ask("x")], max_new_tokens=3)


@pytest.mark.parametrize(
    ("url", "model", "options", "message"),
    [
        ("localhost:8000", "tiny", {}, "is no address of a server"),
        ("http://me:pw@host/v1", "tiny", {}, "holds a password"),
        ("http://host/v1", None, {}, "--judge-model NAME is needed"),
        ("http://host/v1", "tiny", {"api_key_env": "NN2LLM_NO_SUCH_KEY"}, "NN2LLM_NO_SUCH_KEY is not set"),
    ],
)
def test_what_cannot_be_asked_is_said(url, model, options, message):
    with pytest.raises(ConfigError, match=message):
        Endpoint(url, model, EndpointConfig(**options))


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_requests", 0), ("concurrency", 0), ("max_tokens", 0), ("max_retries", -1), ("timeout_s", 0.0)],
)
def test_settings_that_cannot_work(name, value):
    with pytest.raises(ConfigError, match=f"{name} must be"):
        EndpointConfig(**{name: value})
