"""Say no in one clear sentence: to the network, to the keyboard, to files and processes that are not its own.

Called by inside.py before a learner's code runs. Python's audit hooks see every attempt and cannot be taken
off again; the kernel says no as well where it can (containment.py), but only "Permission denied".
Source: PEP 578, https://docs.python.org/3/library/audit_events.html
"""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

__all__ = ["NoKeyboard", "hide_answers", "refuse_what_an_exercise_needs_not"]

NO_NETWORK = "An exercise has no network. Take out what connects to another machine, or downloads."
NO_KEYBOARD = "Nothing can be typed in here: take out input(), and use the function's arguments."

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_HARMLESS = ("/dev/null", "/dev/zero", "/dev/shm/", "\\\\.\\nul")
_ANSWERS = frozenset(
    {"solution.py", "accepted.py", "mistakes.py", "checks.py", "exercises.yaml", "quiz.yaml"}
)
_hidden_folders: list[str] = []


class NoKeyboard(io.TextIOBase):
    """In the place of stdin."""

    def _refuse(self) -> NoReturn:
        raise EOFError(NO_KEYBOARD)

    def readable(self) -> bool:
        """As a terminal is."""
        return True

    def read(self, size: int | None = -1, /) -> str:
        """Raises EOFError, always."""
        self._refuse()

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        """Raises EOFError, always."""
        self._refuse()

    def __next__(self) -> str:  # type: ignore[override]
        self._refuse()


def refuse_what_an_exercise_needs_not(folder: str) -> None:
    """From now on network, files outside `folder` and signals to others raise a PermissionError."""
    root = os.path.realpath(folder)
    guards: dict[str, Callable[[tuple[Any, ...]], None]] = {
        "socket.__new__": _guard_family,
        "socket.getaddrinfo": _refuse_network,
        "socket.gethostbyname": _refuse_network,
        "socket.connect": _guard_address,
        "socket.bind": _guard_address,
        "socket.sendto": _guard_address,
        "open": lambda arguments: _guard_open(root, arguments),
        "shutil.rmtree": lambda arguments: _guard_paths(root, arguments[:1], arguments[1:]),
    }
    for event in ("os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.truncate", "os.utime"):
        guards[event] = lambda arguments: _guard_paths(root, arguments[:1], arguments[-1:])
    for event in ("os.rename", "os.link"):
        guards[event] = lambda arguments: _guard_paths(root, arguments[:2], arguments[-1:])
    guards["os.symlink"] = lambda arguments: _guard_paths(root, arguments[1:2], arguments[-1:])
    guards["os.kill"] = guards["os.killpg"] = _guard_signal
    find = guards.get

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        guard = find(event)
        if guard is not None:
            guard(arguments)

    sys.addaudithook(hook)


@contextmanager
def hide_answers(folder: str) -> Iterator[None]:
    """Meanwhile the files that hold the answers of the lesson in `folder` cannot be opened.

    Only in a process that refuses (`refuse_what_an_exercise_needs_not`); elsewhere it changes nothing.
    """
    _hidden_folders.append(os.path.realpath(folder))
    try:
        yield
    finally:
        _hidden_folders.pop()


def _refuse_network(_: tuple[Any, ...]) -> NoReturn:
    raise PermissionError(NO_NETWORK)


def _guard_family(arguments: tuple[Any, ...]) -> None:
    # -1 takes the family from a descriptor that is there already
    if arguments[1] not in _LOCAL_FAMILIES:
        raise PermissionError(NO_NETWORK)


def _guard_address(arguments: tuple[Any, ...]) -> None:
    if isinstance(arguments[1], tuple):  # a local socket's address is a name
        raise PermissionError(NO_NETWORK)


def _guard_open(root: str, arguments: tuple[Any, ...]) -> None:
    path, _, flags = arguments
    if _hidden_folders and _holds_answers(path):
        raise PermissionError("An exercise does not read the lesson's own answers. Take that out.")
    if isinstance(flags, int) and flags & _WRITING:
        _guard_paths(root, (path,), (), follow=True)


def _holds_answers(path: Any) -> bool:
    try:
        folder, name = os.path.split(os.path.realpath(os.fsdecode(path)))
    except (TypeError, ValueError, OSError):
        return False  # a descriptor, or no path at all
    return name in _ANSWERS and folder in _hidden_folders


def _guard_paths(root: str, paths: Iterable[Any], folders: Iterable[Any], *, follow: bool = False) -> None:
    base = next((f"/proc/self/fd/{fd}" for fd in folders if isinstance(fd, int) and fd >= 0), "")
    for path in paths:
        if isinstance(path, int):
            continue  # a descriptor: opening it was judged before
        try:
            name = os.fsdecode(path)
            full = os.path.join(base, name)
            if follow:
                real = os.path.realpath(full)
            else:  # removing a link leaves what it points to alone
                real = os.path.join(os.path.realpath(os.path.dirname(full)), os.path.basename(full))
        except (TypeError, ValueError, OSError):
            continue  # no path at all: the call itself will say so
        if real != root and not real.startswith((root + os.sep, *_HARMLESS)):
            raise PermissionError(
                f"An exercise writes only in its own folder, and {name!r} is outside of it. "
                "Return the value instead of writing it, or use a plain file name."
            )


def _guard_signal(arguments: tuple[Any, ...]) -> None:
    target = arguments[0]
    if not isinstance(target, int) or target == 0 or _is_own(abs(target)):
        return
    raise PermissionError(
        f"An exercise may not end processes that it did not start (it asked for {target}). Take that out."
    )


def _is_own(pid: int) -> bool:
    """This process, its group, or one below it (where /proc tells; elsewhere only itself)."""
    own = os.getpid()
    while pid > 1:
        if pid == own:
            return True
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                text = file.read()
        except OSError:
            return False
        pid = int(text[text.rindex(b")") + 2 :].split(b" ", 2)[1])
    return False


def _local_families() -> frozenset[int]:
    import socket

    return frozenset({-1, getattr(socket, "AF_UNIX", -1)})


_LOCAL_FAMILIES = _local_families()
