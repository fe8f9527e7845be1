"""A chat model behind an address: any server that speaks OpenAI's `POST /chat/completions`.

vLLM, llama.cpp, Ollama and the hosted ones do. What goes wrong on the way is repeated, later and later; what
is answered is kept in a file at once, so that nothing is asked (or paid for) twice; what was agreed to be
spent is not exceeded, but for the tokens of requests that are under way. Standard library only. Used by
chat_models.py.
Sources: https://platform.openai.com/docs/api-reference/chat; Retry-After: RFC 9110, section 10.2.3.
"""

import email.utils
import hashlib
import http.client
import json
import math
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.files import storage_errors
from nn2llm.tokenizers.base import replace_surrogates
from nn2llm.tokenizers.chat import Message

__all__ = ["BudgetError", "Endpoint", "EndpointConfig"]

_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Answers after which the same request may succeed."""
_MAX_ANSWER_BYTES = 10_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointConfig:
    """How a model behind an address is asked."""

    api_key_env: str | None = None
    """Name of the environment variable that holds the API key. The key itself is stored nowhere."""
    max_requests: int = 10_000
    """Requests at most in this session; what is answered already is not asked again."""
    max_tokens: int | None = None
    """Tokens at most in this session, read and written, as the server counts them."""
    concurrency: int = 4
    """Requests under way at once."""
    timeout_s: float = 60.0
    """Seconds to wait for an answer."""
    max_retries: int = 5
    """Times that a request which failed on the way is repeated."""

    def __post_init__(self) -> None:
        for name in ("max_requests", "concurrency"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ConfigError(f"max_tokens must be at least 1, got {self.max_tokens}.")
        if self.max_retries < 0:
            raise ConfigError(f"max_retries must be at least 0, got {self.max_retries}.")
        if not (math.isfinite(self.timeout_s) and self.timeout_s > 0):
            raise ConfigError(f"timeout_s must be a number > 0, got {self.timeout_s}. Typical: 60.")


class BudgetError(DataError):
    """As many requests or tokens as were allowed are spent; all answers so far are kept."""


class _Passing(Exception):
    """What went wrong this time, and how long the server asks to wait."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would turn a POST into a GET, and send the key to wherever it is told."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


class Endpoint:
    """Asks one model of one server.

    Args:
        base_url: such as http://localhost:8000/v1; /chat/completions is added.
        model: its name there.
        config: key, budget, patience.
        cache: a .jsonl file of what was answered; None: nothing is kept.
        sleep: waits so many seconds (tests give one that does not).

    Attributes:
        num_requests: requests sent in this session, repeated ones among them.
        num_tokens: tokens they took, as far as the server says.

    Raises:
        ConfigError: if this is no address, or the key's variable is not set.
    """

    def __init__(
        self,
        base_url: str,
        model: str | None,
        config: EndpointConfig | None = None,
        *,
        cache: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.config = config or EndpointConfig()
        parts = urllib.parse.urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(f"{base_url!r} is no address of a server. Give one like http://host:8000/v1.")
        if parts.username is not None or parts.password is not None:
            raise ConfigError("The server's address holds a password. Use --endpoint.api-key-env instead.")
        if not model:
            raise ConfigError(
                f"--judge-model NAME is needed: which model of {parts.netloc} is to be asked? "
                f"Its list is at {base_url.rstrip('/')}/models."
            )
        self.url = base_url.rstrip("/") + "/chat/completions"
        self.model, self.host = model, parts.netloc
        self.num_requests = self.num_tokens = 0
        self._key = self._read_key()
        self._sleep, self._cache_path = sleep, cache
        self._kept: dict[str, str] = {}
        self._lock = threading.Lock()
        self._opener = urllib.request.build_opener(_NoRedirects)
        if cache is not None:
            self._load_cache(cache)

    def complete(
        self, conversations: Sequence[Sequence[Message]], *, max_new_tokens: int, attempt: int = 0
    ) -> list[str | None]:
        """What the model says next in each conversation, at temperature 0; None: an answer without text.

        A larger `attempt` asks anew, at temperature 0.7, what was answered unusably before.

        Raises:
            BudgetError: if the budget is spent first.
            DataError: if the server cannot be reached, or refuses. All answers so far are kept.
        """
        bodies = [self._build_body(one, max_new_tokens, attempt) for one in conversations]
        keys = [hashlib.sha256(f"{self.url}\n{body}".encode()).hexdigest() for body in bodies]
        missing = {key: body for key, body in zip(keys, bodies, strict=True) if key not in self._kept}
        with ThreadPoolExecutor(self.config.concurrency) as pool:
            futures = [pool.submit(self._ask, key, body) for key, body in missing.items()]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)  # those under way end, and are kept
                raise
        return [self._kept[key] or None for key in keys]

    def check(self) -> None:
        """Ask for one word, without repeating: whether server, key and model are there.

        Raises:
            DataError: if not.
        """
        body = self._build_body([{"role": "user", "content": "Say yes."}], 8, 0)
        try:
            self._send(body)
        except _Passing as error:
            raise self._give_up(str(error)) from error

    # --- one request ----------------------------------------------------------------------------------------

    def _ask(self, key: str, body: str) -> None:
        for number in range(self.config.max_retries + 1):
            try:
                text = self._send(body)
                break
            except _Passing as error:
                if number == self.config.max_retries:
                    raise self._give_up(f"{error}, {number + 1} times") from error
                wait_s = _FIRST_WAIT_S * 2**number if error.wait_s is None else error.wait_s
                self._sleep(min(wait_s, _LONGEST_WAIT_S))
        with self._lock:
            self._kept[key] = text
            if self._cache_path is not None:
                line = (json.dumps({"key": key, "text": text}) + "\n").encode()
                with storage_errors(self._cache_path), open(self._cache_path, "ab", buffering=0) as file:
                    file.write(line)

    def _send(self, body: str) -> str:
        self._spend()
        request = urllib.request.Request(self.url, data=body.encode(), method="POST")
        request.add_header("Content-Type", "application/json")
        request.add_header("User-Agent", "nn2llm")
        if self._key is not None:
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        try:
            with self._opener.open(request, timeout=self.config.timeout_s) as response:
                content = response.read(_MAX_ANSWER_BYTES)
        except urllib.error.HTTPError as error:
            said = self._hide(error.read(2000).decode("utf-8", "replace").strip())[:200]
            if error.code in _PASSING:
                raise _Passing(
                    f"it answered {error.code} {error.reason}", _read_wait(error.headers.get("Retry-After"))
                ) from error
            advice = {
                401: "Set --endpoint.api-key-env to the variable that holds a valid key.",
                403: "Set --endpoint.api-key-env to the variable that holds a key with this right.",
                404: "Check the address, which usually ends in /v1, and --judge-model.",
            }.get(error.code, "Check the address and --judge-model.")
            raise DataError(
                f"{self.url} answered {error.code} {error.reason}: {said or 'nothing more'}. {advice}"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise _Passing(str(reason) or type(reason).__name__) from error
        return self._read_answer(content)

    def _read_answer(self, content: bytes) -> str:
        """The text of an answer; "" where it has none."""
        try:
            answer = json.loads(content)
            text = answer["choices"][0]["message"]["content"]
            if text is not None and not isinstance(text, str):
                raise TypeError("content is no text")
            usage = answer.get("usage") or {}
            total = usage.get("total_tokens", 0)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _Passing(f"it sent no chat completion but {content[:80]!r}") from error
        with self._lock:
            self.num_tokens += total if isinstance(total, int) else 0
        return replace_surrogates(text or "").strip()

    def _spend(self) -> None:
        """Count one request, where there is still something to spend."""
        most, tokens = self.config.max_requests, self.config.max_tokens
        with self._lock:
            if self.num_requests >= most or (tokens is not None and self.num_tokens >= tokens):
                spent = f"{self.num_requests:,} requests and {self.num_tokens:,} tokens"
                raise BudgetError(
                    f"The budget for {self.host} is spent ({spent}). All answers are kept: go on with "
                    "--resume, which may spend as much again."
                )
            self.num_requests += 1

    def _give_up(self, reason: str) -> DataError:
        return DataError(
            f"{self.host} could not be asked for a completion ({self._hide(reason)}). Check that the server "
            f"runs and that {self.url} is its address; its answers so far are kept, and --resume goes on."
        )

    # --- key and cache --------------------------------------------------------------------------------------

    def _read_key(self) -> str | None:
        name = self.config.api_key_env
        if name is None:
            return None
        key = os.environ.get(name, "").strip()
        if not key:
            raise ConfigError(
                f"The environment variable {name} is not set (--endpoint.api-key-env). "
                f"Set it to the API key of {self.host}; give the variable's name here, never the key."
            )
        return key

    def _hide(self, text: str) -> str:
        """Some servers repeat the key that they refuse."""
        return text if self._key is None else text.replace(self._key, "…")

    def _build_body(self, messages: Sequence[Message], max_new_tokens: int, attempt: int) -> str:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": list(messages),
            "max_tokens": max_new_tokens,
            "temperature": 0.7 if attempt else 0.0,
        }
        return json.dumps(body | ({"seed": attempt} if attempt else {}))

    def _load_cache(self, path: Path) -> None:
        if not path.exists():
            with storage_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            return
        with storage_errors(path):
            content = path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if whole != content:  # a crash cut the last line short: the next one must not stand behind it
                with open(path, "r+b") as file:
                    file.truncate(len(whole))
        for line in whole.splitlines():
            try:
                record = json.loads(line)
                self._kept[record["key"]] = record["text"]
            except (ValueError, LookupError, TypeError):
                continue  # it is asked again


def _read_wait(header: str | None) -> float | None:
    """Seconds that a Retry-After asks for: a number, or a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None
