"""Downloads against a server on this machine that can cut off, forget ranges, change its file, or refuse."""

import hashlib
import http.server
import json
import random
import threading
from pathlib import Path

import pytest

from nn2llm.core.errors import DataError, StorageError
from nn2llm.data import corpora, downloads
from nn2llm.data.downloads import NamedDownload, RemoteFile, fetch_file

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """What it does is set by the test; what it was asked stands in `requests`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.etag: str | None = '"v1"'
        self.ranges = True
        self.cut_after: list[int] = []  # for each answer: bytes sent before the connection drops
        self.wrong_range = False
        self.requests: list[tuple[str, str | None, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        validator = self.headers.get("If-Range")
        server.requests.append((self.path, asked, validator))
        if self.path != "/data/file.txt":
            self.send_error(404, "Not Found")
            return
        start = 0
        unchanged = validator is None or validator == server.etag
        if asked and server.ranges and unchanged:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.content):
                self.send_error(416, "Range Not Satisfiable")
                return
            self.send_response(206)
            first = start + 1 if server.wrong_range else start
            self.send_header(
                "Content-Range", f"bytes {first}-{len(server.content) - 1}/{len(server.content)}"
            )
        else:
            self.send_response(200)
        body = server.content[start:]
        self.send_header("Content-Length", str(len(body)))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        if server.cut_after:
            body = body[: server.cut_after.pop(0)]
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("NN2LLM_MIRROR", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def file(server):
    return RemoteFile(
        name="file.txt", url=f"{server.url}/data/file.txt", sha256=SHA256, num_bytes=len(CONTENT)
    )


def leave_partial(folder: Path, num_bytes: int, *, url: str, validator: str | None) -> None:
    (folder / "file.txt.partial").write_bytes(CONTENT[:num_bytes])
    (folder / "file.txt.partial.json").write_text(json.dumps({"url": url, "validator": validator}))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_is_fetched_once_and_kept(server, file, tmp_path):
    seen = []
    path = fetch_file(file, tmp_path, progress=lambda name, here, total: seen.append((name, here, total)))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == ("file.txt", len(CONTENT), len(CONTENT))
    assert fetch_file(file, tmp_path) == path
    assert server.requests == [("/data/file.txt", None, None)]
    assert names(tmp_path) == ["file.txt"]


def test_a_dropped_connection_is_taken_up_where_it_broke(server, file, tmp_path):
    server.cut_after = [100_000, 50_000]
    assert fetch_file(file, tmp_path).read_bytes() == CONTENT
    assert server.requests == [
        ("/data/file.txt", None, None),
        ("/data/file.txt", "bytes=100000-", '"v1"'),
        ("/data/file.txt", "bytes=150000-", '"v1"'),
    ]


def test_a_fetch_that_brings_nothing_stops_and_the_next_call_goes_on(server, file, tmp_path):
    server.cut_after = [100_000, 0]
    with pytest.raises(DataError, match=r"cut off after 100,000 of 300,000 bytes.*goes on where it stopped"):
        fetch_file(file, tmp_path)
    assert names(tmp_path) == ["file.txt.partial", "file.txt.partial.json"]
    server.requests.clear()
    assert fetch_file(file, tmp_path).read_bytes() == CONTENT
    assert server.requests == [("/data/file.txt", "bytes=100000-", '"v1"')]


def test_a_server_without_ranges_sends_the_whole_file_again(server, file, tmp_path):
    server.ranges = False
    server.cut_after = [100_000]
    assert fetch_file(file, tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked, _ in server.requests] == [None, "bytes=100000-"]


def test_a_file_that_changed_meanwhile_is_fetched_from_the_start(server, tmp_path):
    url = f"{server.url}/data/file.txt"
    leave_partial(tmp_path, 1000, url=url, validator='"v1"')
    server.content, server.etag = CONTENT[::-1], '"v2"'
    assert fetch_file(RemoteFile(name="file.txt", url=url), tmp_path).read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_mark_of_the_version_only_a_checksum_allows_going_on(server, tmp_path, etag):
    server.etag = etag
    url = f"{server.url}/data/file.txt"
    for sha256, expected in ((SHA256, "bytes=1000-"), (None, None)):
        leave_partial(tmp_path, 1000, url=url, validator=None)
        server.requests.clear()
        path = fetch_file(RemoteFile(name="file.txt", url=url, sha256=sha256), tmp_path)
        assert path.read_bytes() == CONTENT
        assert server.requests == [("/data/file.txt", expected, None)]
        path.unlink()


def test_a_weak_etag_is_not_sent_back(server, file, tmp_path):
    server.etag = 'W/"weak"'  # it promises equal meaning, not equal bytes
    server.cut_after = [1000]
    assert fetch_file(file, tmp_path).read_bytes() == CONTENT
    assert server.requests[1] == ("/data/file.txt", "bytes=1000-", None)


def test_a_partial_file_of_another_address_or_with_damaged_notes_is_dropped(server, file, tmp_path):
    leave_partial(tmp_path, 1000, url="http://elsewhere/file.txt", validator='"v1"')
    fetch_file(file, tmp_path).unlink()
    leave_partial(tmp_path, 1000, url=file.url, validator='"v1"')
    (tmp_path / "file.txt.partial.json").write_text("{")
    fetch_file(file, tmp_path)
    assert [asked for _, asked, _ in server.requests] == [None, None]


def test_a_partial_file_longer_than_the_file_is_dropped(server, file, tmp_path):
    (tmp_path / "file.txt.partial").write_bytes(CONTENT + b"more")
    (tmp_path / "file.txt.partial.json").write_text(json.dumps({"url": file.url, "validator": '"v1"'}))
    assert fetch_file(file, tmp_path).read_bytes() == CONTENT
    assert [asked for _, asked, _ in server.requests] == ["bytes=300004-", None]


def test_a_wrong_checksum_or_size_deletes_the_file(server, tmp_path):
    url = f"{server.url}/data/file.txt"
    with pytest.raises(
        DataError, match=r"is not the file expected: sha256 .* instead of 0000.*It was deleted"
    ):
        fetch_file(RemoteFile(name="file.txt", url=url, sha256="0" * 64), tmp_path)
    with pytest.raises(DataError, match="300,000 bytes instead of 7"):
        fetch_file(RemoteFile(name="file.txt", url=url, num_bytes=7), tmp_path)
    assert names(tmp_path) == []


def test_a_kept_file_that_was_damaged_is_fetched_again(server, file, tmp_path):
    (tmp_path / "file.txt").write_bytes(b"\0" + CONTENT[1:])
    assert fetch_file(file, tmp_path).read_bytes() == CONTENT


def test_another_part_than_asked_for_is_refused(server, file, tmp_path):
    server.cut_after = [1000]
    server.wrong_range = True
    with pytest.raises(DataError, match="another part of the file"):
        fetch_file(file, tmp_path)
    assert names(tmp_path) == []


def test_404_says_what_to_do(server, tmp_path):
    missing = RemoteFile(name="file.txt", url=f"{server.url}/none.txt")
    with pytest.raises(DataError, match=r"answered 404 Not Found.*by hand.*python-docs.*NN2LLM_MIRROR"):
        fetch_file(missing, tmp_path)


def test_no_network_says_what_to_do(server, file, tmp_path):
    server.shutdown()
    server.server_close()  # now nothing listens on that port
    with pytest.raises(DataError, match=r"could not be reached for file\.txt.*python-docs.*NN2LLM_MIRROR"):
        fetch_file(file, tmp_path)


def test_the_mirror_replaces_scheme_and_host(server, tmp_path, monkeypatch):
    monkeypatch.setenv("NN2LLM_MIRROR", server.url + "/")
    elsewhere = RemoteFile(name="file.txt", url="https://nowhere.invalid/data/file.txt", sha256=SHA256)
    assert fetch_file(elsewhere, tmp_path).read_bytes() == CONTENT
    monkeypatch.setenv("NN2LLM_MIRROR", "https://host/base")
    assert downloads.apply_mirror("http://a.b/c/d.txt?x=1") == "https://host/base/c/d.txt?x=1"
    monkeypatch.setenv("NN2LLM_MIRROR", "ftp://host")
    with pytest.raises(DataError, match="'ftp://host', not an address"):
        downloads.apply_mirror("http://a.b/c")


def test_a_folder_that_cannot_be_written_is_a_storage_error(server, file, tmp_path):
    (tmp_path / "blocked").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="blocked"):
        fetch_file(file, tmp_path / "blocked")


def test_a_full_disk_is_a_storage_error_and_what_came_is_kept(server, file, tmp_path, full_disk):
    with pytest.raises(StorageError, match="No space left"):
        fetch_file(file, tmp_path)
    assert (tmp_path / "file.txt.partial").stat().st_size == 100_000


def test_a_named_corpus_is_fetched_into_the_home_folder_and_split(server, tmp_path, monkeypatch):
    server.content = b"0123456789" * 10
    remote = RemoteFile(name="file.txt", url=f"{server.url}/data/file.txt")
    monkeypatch.setitem(
        downloads.DOWNLOADS, "shakespeare", NamedDownload(summary="s", licence="l", train=remote)
    )
    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path / "home"))
    corpus = corpora.load_corpus("shakespeare")
    assert list(corpus.documents("val")) == ["0123456789"]
    assert (tmp_path / "home" / "corpora" / "file.txt").exists()


def test_a_named_corpus_with_its_own_held_out_file_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path))
    (tmp_path / "corpora").mkdir()
    for name, text in {"t": "one<|endoftext|>two", "v": "three<|endoftext|>four", "one": "alone"}.items():
        (tmp_path / "corpora" / f"{name}.txt").write_text(text)
    train, val, one = (
        RemoteFile(name=f"{name}.txt", url=f"http://nowhere.invalid/{name}") for name in ("t", "v", "one")
    )
    pair = NamedDownload(summary="s", licence="l", train=train, val=val)
    monkeypatch.setitem(downloads.DOWNLOADS, "pair", pair)
    corpus = corpora.load_corpus("pair")
    assert [list(corpus.documents(split)) for split in corpora.SPLITS] == [["one", "two"], ["three", "four"]]
    assert corpus.separates_documents
    running = NamedDownload(summary="s", licence="l", train=one, val=one)
    monkeypatch.setitem(downloads.DOWNLOADS, "running", running)
    assert not corpora.load_corpus("running").separates_documents
    assert corpus.fingerprint() != corpora.load_corpus("running").fingerprint()


def test_tiny_shakespeare_is_the_file_we_name():
    path = Path("/work/shared/data/text/tinyshakespeare.txt")
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    remote = downloads.DOWNLOADS["shakespeare"].train
    assert downloads._mismatch(remote, path) is None
