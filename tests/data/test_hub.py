"""Files of HuggingFace data sets, from a server on this machine that answers as the hub does."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nn2llm.core.errors import DataError
from nn2llm.data.conversations import load_conversations
from nn2llm.data.corpora import load_corpus
from nn2llm.data.hub import HubName, fetch_hub_file, parse_hub_name
from nn2llm.data.preferences import load_preferences

CHAT = json.dumps({"instruction": "Hi", "output": "Hello"}) + "\n"
PAIR = json.dumps({"prompt": "a", "chosen": "b", "rejected": "c"}) + "\n"
FILES = {
    "/datasets/ada/chats/resolve/main/train.jsonl": CHAT,
    "/datasets/ada/pairs/resolve/v1/data/train.jsonl": PAIR,
    "/datasets/ada/text/resolve/main/a.txt": "Once upon a time. " * 20,
    "/api/datasets/ada/chats/tree/main?recursive=true": json.dumps(
        [
            {"type": "directory", "path": "data"},
            {"type": "file", "path": "README.md"},
            {"type": "file", "path": "train.jsonl"},
        ]
    ),
    "/api/datasets/ada/many/tree/main?recursive=true": json.dumps(
        [{"type": "file", "path": f"{number}.jsonl"} for number in range(10)]
    ),
    "/api/datasets/ada/none/tree/main?recursive=true": json.dumps([{"type": "file", "path": "a.arrow"}]),
    "/api/datasets/ada/odd/tree/main?recursive=true": "<html>",
}


class Handler(http.server.BaseHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012 - one server a test

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path not in FILES:
            self.send_error(404, "Not Found")
            return
        body = FILES[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """The paths that were asked for."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NN2LLM_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path / "home"))
    Handler.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Handler.asked
        server.shutdown()
        thread.join()


def test_names() -> None:
    assert parse_hub_name("hf:a/b") == HubName("a/b", "", "main")
    assert parse_hub_name("hf:a/b/c/d.json@v1") == HubName("a/b", "c/d.json", "v1")
    for wrong in ("hf:a", "hf:", "hf:a//b", "hf:a/b/../c", "hf:a/b/c?d", "hf:a/b@../x"):
        with pytest.raises(
            DataError, match=r"is no name of a file on HuggingFace\. Write hf:OWNER/NAME/PATH"
        ):
            parse_hub_name(wrong)


def test_a_file_is_fetched_once_for_every_reader(hub: list[str], tmp_path: Path) -> None:
    for _ in range(2):
        (chat,) = load_conversations("hf:ada/chats/train.jsonl")
        assert chat.messages[1]["content"] == "Hello"
    assert hub == ["/datasets/ada/chats/resolve/main/train.jsonl"]
    kept = tmp_path / "home/corpora/hub/ada/chats/main/train.jsonl"
    assert kept.read_text() == CHAT
    assert next(load_corpus("hf:ada/text/a.txt").documents("val")).strip()


def test_folders_and_revisions_are_part_of_the_address(hub: list[str]) -> None:
    assert [pair.chosen for pair in load_preferences("hf:ada/pairs/data/train.jsonl@v1")] == ["b"]
    with pytest.raises(DataError, match="404"):
        fetch_hub_file("hf:ada/pairs/data/other.jsonl@v1", suffixes=(".jsonl",))
    assert hub == [f"/datasets/ada/pairs/resolve/v1/data/{name}.jsonl" for name in ("train", "other")]


def test_the_only_readable_file_need_not_be_named(hub: list[str]) -> None:
    assert len(load_conversations("hf:ada/chats")) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:ada/many", "has 10 files that can be read. Name one: hf:ada/many/0.jsonl, .* and 2 more"),
        ("hf:ada/none", "has no file that can be read here"),
        ("hf:ada/odd", "did not answer with a list of files"),
        ("hf:ada/gone", "answered 404 Not Found"),
        ("hf:ada/gone/a.jsonl", "answered 404 Not Found"),
        ("hf:ada/chats/README.md", "is of no kind that can be read here"),
    ],
)
def test_what_is_not_there_is_one_sentence(hub: list[str], name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_conversations(name)


def test_a_hub_that_cannot_be_reached_is_one_sentence(
    hub: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    for name in ("hf:ada/other", "hf:ada/other/a.jsonl"):
        with pytest.raises(
            DataError, match=r"127\.0\.0\.1:1 could not be reached.*give the path of the file"
        ):
            load_conversations(name)
