"""A server on this machine that speaks OpenAI's chat completions, as well or badly as a test wants."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Answer = str | tuple[int, str] | tuple[int, str, dict[str, str]] | bytes
"""What is sent: a completion's text, (status, body[, headers]), or these bytes with status 200."""


class ChatServer(http.server.ThreadingHTTPServer):
    """`answer(request number, body)` says what is sent; what was asked stands in `bodies` and `headers`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: Callable[[int, dict[str, Any]], Answer] = lambda number, body: "A"
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(http.server.BaseHTTPRequestHandler):
    server: ChatServer

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            number = len(server.bodies)
            server.bodies.append({"path": self.path, **body})
            server.headers.append(dict(self.headers))
        answer = server.answer(number, body)
        status, content, headers = 200, b"", {}
        if isinstance(answer, str):
            message = {"role": "assistant", "content": answer}
            content = json.dumps({"choices": [{"message": message}], "usage": {"total_tokens": 10}}).encode()
        elif isinstance(answer, bytes):
            content = answer
        else:
            status, content, headers = answer[0], answer[1].encode(), answer[2] if len(answer) > 2 else {}
        if status == 0:  # the connection drops
            self.connection.close()
            return
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def run_server() -> Iterator[ChatServer]:
    server = ChatServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
