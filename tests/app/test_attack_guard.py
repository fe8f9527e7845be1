"""The server seen by another page of the browser, by another user of the machine, and by strange requests."""

import re
import socket
from pathlib import Path

import httpx
import pytest

from nn2llm.app.state import Site
from nn2llm.app.tickets import LIFE_S, TicketBook, make_proof, make_ticket
from nn2llm.core.errors import StorageError

from .conftest import CHANGES, COOKIE, OWN, TOKEN, Ask
from .test_security import server  # noqa: F401 - a fixture

FOLLOWED = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@pytest.mark.parametrize(
    "other",
    ['foo={"a": 1}', "a b=1", "x=é", '"q"=1', 'foo="open', "path=/", "=", "nn2llm-8731=wrong", "a=b=c"],
)
def test_a_cookie_of_another_program_at_this_host_hides_ours_not(ask: Ask, other: str) -> None:
    for line in (f"{other}; nn2llm-8731={TOKEN}", f"nn2llm-8731={TOKEN}; {other}"):
        headers = [(b"host", b"127.0.0.1:8731"), (b"cookie", line.encode("latin-1"))]
        assert ask("GET", "/api/ping", headers=headers).status_code == 200
    headers = [(b"host", b"127.0.0.1:8731"), (b"cookie", other.encode("latin-1"))]
    assert ask("GET", "/api/ping", headers=headers).status_code == 403


@pytest.mark.parametrize("fetch_site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    ("mode", "dest"),
    [("no-cors", "image"), ("no-cors", "script"), ("cors", "empty"), ("navigate", "iframe"),
     ("navigate", "embed")],
)  # fmt: skip
def test_another_page_may_not_embed_or_fetch_anything(
    ask: Ask, fetch_site: str, mode: str, dest: str
) -> None:
    headers = {**OWN, **COOKIE, "sec-fetch-site": fetch_site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}
    for path in ("/", "/api/export", "/lesson/first-lesson", "/lesson-file/first-lesson/dots.svg"):
        answer = ask("GET", path, headers=headers)
        assert answer.status_code == 403
        assert "only its own pages may" in answer.text
    assert ask("POST", "/api/notes/first-lesson", headers={**CHANGES, **headers}).status_code == 403


def test_a_link_on_another_page_leads_here_and_our_own_pages_are_served(ask: Ask) -> None:
    for site in ("same-site", "cross-site", "same-origin", "none"):
        assert (
            ask("GET", "/", headers={**OWN, **COOKIE, **FOLLOWED, "sec-fetch-site": site}).status_code == 200
        )
    fetched = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
    assert ask("GET", "/api/progress", headers={**OWN, **COOKIE, **fetched}).status_code == 200


def test_a_link_without_cookie_offers_the_way_in_and_one_with_the_token_needs_no_second_click(
    ask: Ask,
) -> None:
    headers = {**OWN, **FOLLOWED, "sec-fetch-site": "cross-site"}
    refused = ask("GET", '/lesson/first-lesson?q="><script>', headers=headers)
    assert refused.status_code == 403
    assert '<a href="/lesson/first-lesson?q=%22%3E%3Cscript%3E">' in refused.text
    # a redirect would go on without the cookie, since the link stood on another site
    opened = ask("GET", f"/lesson/first-lesson?token={TOKEN}", headers=headers)
    assert opened.status_code == 200
    assert TOKEN not in opened.text
    assert 'http-equiv="refresh" content="0; url=/lesson/first-lesson"' in opened.text
    assert opened.headers["set-cookie"].startswith("nn2llm-8731=")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_other_methods_change_nothing(ask: Ask, method: str) -> None:
    assert ask(method, "/api/notes/first-lesson", headers=OWN).status_code == 403
    assert (
        ask(method, "/api/notes/first-lesson", headers={**CHANGES, "content-length": "0"}).status_code == 405
    )
    assert "access-control-allow-origin" not in ask(method, "/api/export", headers=CHANGES).headers


@pytest.mark.parametrize("path", ["/", "/nothing", "/api/ping"])
def test_a_refused_head_has_no_body(ask: Ask, path: str) -> None:
    answer = ask("HEAD", path, headers=OWN)
    assert (answer.status_code, answer.content) == (403, b"")


@pytest.mark.parametrize("length", ["9" * 5000, "9" * 19, "-1", "1e3", "²", "33554433"])
def test_a_strange_length_is_refused(ask: Ask, length: str) -> None:
    headers = [(k.encode(), v.encode()) for k, v in CHANGES.items()] + [
        (b"content-length", length.encode("latin-1"))
    ]
    assert ask("POST", "/api/import", headers=headers, content=b"").status_code in (411, 413)


def test_a_picture_opened_by_itself_runs_nothing(ask: Ask, lessons: Path) -> None:
    file = lessons / "00_beginning/01_first_lesson/dots.svg"
    file.write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    policy = ask("GET", "/lesson-file/first-lesson/dots.svg").headers["content-security-policy"]
    assert policy.endswith("; sandbox")
    assert "script-src 'self'" in policy
    assert "sandbox" not in ask("GET", "/").headers["content-security-policy"]


def test_the_token_stands_on_no_page_and_is_sent_to_nobody(ask: Ask) -> None:
    for path in ("/", "/lesson/first-lesson", "/settings", "/machine", "/api/export", "/nothing"):
        answer = ask("GET", path)
        assert TOKEN not in answer.text + str(answer.headers)
        assert answer.headers["referrer-policy"] == "no-referrer"


MARKUP = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


def test_notes_queries_and_addresses_are_text(ask: Ask) -> None:
    assert ask("POST", "/api/notes/first-lesson", json={"text": "</textarea>" + MARKUP}).status_code == 200
    for path in (
        "/lesson/first-lesson",
        f"/search?q={MARKUP}",
        f"/lesson/{MARKUP}",
        f"/{MARKUP}",
        f"/lesson-file/{MARKUP}/x.png",
    ):
        text = ask("GET", path).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
    hits = ask("GET", f"/api/search?q={MARKUP} marmalade").json()["hits"]
    assert all("<script" not in hit["snippet"] for hit in hits)


def test_markup_in_a_lesson_is_text(ask: Ask, lessons: Path) -> None:
    path = lessons / "00_beginning/01_first_lesson/lesson.md"
    hostile = (
        f"\n## A {MARKUP}\n\n{MARKUP} **marmalade{MARKUP}** $x{MARKUP}$\n\n[a](javascript:alert(1)) "
        "[b](data:text/html,x) [c](JaVaScRiPt:alert(1)) ![d](javascript:alert(1)) <javascript:alert(1)>\n\n"
        f"| {MARKUP} |\n| --- |\n| {MARKUP} |\n\n```text{MARKUP}\n{MARKUP}\n```\n\n```html\n{MARKUP}\n```\n"
    )  # fmt: skip
    path.write_text(path.read_text() + hostile)
    text = ask("GET", "/lesson/first-lesson").text
    assert "alert(1)" in text  # it is shown
    assert not re.search(r"<script>|<img src=x|(?:href|src)=.?(?:javascript|data:text)", text, re.IGNORECASE)
    assert "<script>" not in ask("GET", "/glossary").text


# --- bodies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/api/import", "/api/settings", "/api/notes/first-lesson", "/api/training/start"]
)
@pytest.mark.parametrize(
    "body", [b"[" * 300_000, b'{"a":' * 100_000, b"\xff\xfe", b"", b"null", b"[1]", b'"x"']
)
def test_a_body_that_is_no_object_is_one_sentence(ask: Ask, path: str, body: bytes) -> None:
    answer = ask("POST", path, content=body)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("settings", '{"max_kernels": Infinity}'),
        ("settings", '{"max_kernels": NaN}'),
        ("settings", '{"kernel_memory_gb": 1e999}'),
        ("settings", '{"theme": []}'),
        ("settings", '{"\\ud800": 1}'),
        ("time/first-lesson", '{"seconds": NaN}'),
        ("notes/first-lesson", '{"text": {}}'),
        ("training/start", '{"name": "\\ud800", "trade": "baker"}'),
    ],
)
def test_values_that_are_none_are_refused_and_the_pages_go_on(ask: Ask, path: str, body: str) -> None:
    answer = ask("POST", f"/api/{path}", content=body.encode())
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert ask("GET", "/settings").status_code == 200


def test_half_a_surrogate_pair_is_stored_as_a_question_mark(ask: Ask) -> None:
    assert ask("POST", "/api/notes/first-lesson", content=b'{"text": "a\\ud800"}').status_code == 200
    assert ask("POST", "/api/progress/first-lesson", content=b'{"section": "a\\ud800"}').status_code == 200
    assert ask("GET", "/api/notes/first-lesson").json()["text"] == "a?"


def test_an_import_cannot_break_the_pages(ask: Ask, site: Site) -> None:
    row = {"name": "max_kernels", "value": "Infinity", "changed_at": "9999-01-01T00:00:00+00:00"}
    tables = {"settings": [row, {**row, "name": "theme", "value": "[]"}]}
    body = {"format": "nn2llm-course", "version": 1, "tables": tables}
    assert ask("POST", "/api/import", json=body).status_code == 200
    site.store.write("UPDATE settings SET value = 'no JSON' WHERE name = 'theme'", ())
    assert ask("GET", "/").status_code == 200
    assert ask("GET", "/api/settings").json()["max_kernels"] == 3


def test_a_lesson_can_be_read_while_the_disk_is_full(
    ask: Ask, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise StorageError("course.db could not be used (disk is full). Free disk space.")

    monkeypatch.setattr(site.store, "writing", full)
    assert ask("GET", "/lesson/first-lesson").status_code == 200
    answer = ask("POST", "/api/notes/first-lesson", json={"text": "x"})
    assert (answer.status_code, answer.json()["error"]) == (
        500,
        "course.db could not be used (disk is full). Free disk space.",
    )


def test_damaged_records_are_said_on_a_whole_page(ask: Ask, site: Site) -> None:
    site.store.connection.close()
    answer = ask("GET", "/")
    assert answer.status_code == 500
    assert "course.db could not be used" in answer.text
    assert "</html>" in answer.text


# --- tickets and proofs -------------------------------------------------------------------------------------


def test_a_ticket_opens_once_and_not_for_long() -> None:
    book = TicketBook(TOKEN)
    ticket = make_ticket(TOKEN, now=1000.0)
    assert not book.redeem(ticket, now=1000.0 + LIFE_S + 1)
    assert not book.redeem(ticket, now=900.0)  # the clock was set back
    assert book.redeem(ticket, now=1001.0)
    assert not book.redeem(ticket, now=1001.0)
    assert book.redeem(make_ticket(TOKEN, now=1000.0), now=1000.0)
    for wrong in ("", "...", "once.2000.x.y", make_ticket("other", now=1000.0), ticket[:-1], "é" + ticket):
        assert not book.redeem(wrong, now=1000.0)


def test_the_guard_takes_a_ticket_once(ask: Ask) -> None:
    ticket = make_ticket(TOKEN)
    assert TOKEN not in ticket
    answer = ask("GET", f"/settings?token={ticket}", headers=OWN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
    assert answer.headers["set-cookie"].startswith(f"nn2llm-8731={TOKEN};")
    assert ask("GET", f"/settings?token={ticket}", headers=OWN).status_code == 403
    assert ask("GET", f"/?token={make_ticket('other')}", headers=OWN).status_code == 403


def test_a_proof_is_given_without_cookie_and_is_good_for_this_port_alone(ask: Ask) -> None:
    answer = ask("GET", "/api/ping", headers={**OWN, "x-nn2llm-challenge": "abc"})
    assert answer.json() == {"name": "nn2llm", "proof": make_proof(TOKEN, 8731, "abc")}
    assert make_proof(TOKEN, 8732, "abc") != make_proof(TOKEN, 8731, "abc") != make_proof(TOKEN, 8731, "abd")
    for headers in (
        {**OWN, "x-nn2llm-challenge": "a" * 101},
        OWN,
        {"host": "evil.example", "x-nn2llm-challenge": "a"},
    ):
        assert ask("GET", "/api/ping", headers=headers).status_code in (403, 421)
    assert ask("GET", "/api/progress", headers={**OWN, "x-nn2llm-challenge": "abc"}).status_code == 403


# --- the wire -----------------------------------------------------------------------------------------------


def _speak(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionError:
            return b""


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"\x00\x01\x02 nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /api/import HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /api/import HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Length: 5\r\nConnection: close\r\n\r\n",
    ],
    ids=["long header", "long address", "nonsense", "two hosts", "two lengths", "chunked and length"],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_the_server_goes_on(server: int, request_: bytes) -> None:  # noqa: F811
    assert not _speak(server, request_).startswith(b"HTTP/1.1 2")
    own = {"cookie": f"nn2llm-{server}={TOKEN}"}
    for host in ("127.0.0.1", "localhost", "[::1]"):
        answer = httpx.get(f"http://127.0.0.1:{server}/api/ping", headers={**own, "host": f"{host}:{server}"})
        assert answer.status_code == 200
