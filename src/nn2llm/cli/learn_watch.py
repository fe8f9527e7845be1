"""`nn2llm learn watch`: check an exercise each time its file is saved.

Read learn_exercises.py before. The files are looked at several times a second (that works on every disk and
with every editor); a file that is deleted, half written or no text is said so, and the watch goes on. On a
terminal single keys give the diagnosis, a hint, another check.
"""

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from nn2llm.core.errors import Nn2llmError

if TYPE_CHECKING:
    from rich.console import Console

    from nn2llm.cli.keypress import ReadKey
    from nn2llm.course.exercises.service import Exercises, Task

__all__ = ["Watch", "Watcher", "watch"]

_POLL_S = 0.2
_KEYS = "d what it is   h hint   r check again   q leave"


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """Check an exercise each time you save its file, in any editor. Ctrl-C ends it."""

    lesson: Annotated[Positional[str], arg(metavar="LESSON")]
    """Its number or slug, as in 1.6 or linear-regression."""
    exercise: Annotated[Positional[str], arg(metavar="EXERCISE")] = ""
    """Its name. Default: all of the lesson that you have begun, or else all."""
    lessons: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of lessons instead of those that come with nn2llm."""


class Watcher:
    """Looks at the files of some exercises, and checks those that have changed."""

    def __init__(self, exercises: "Exercises", tasks: "list[Task]", console: "Console") -> None:
        self.exercises, self.tasks, self.console = exercises, tasks, console
        self._seen: dict[str, str] = {}  # the version checked last, by exercise; "" while its file is gone
        self._stamps: dict[str, object] = {}
        self._last: tuple[Task, dict[str, Any]] | None = None

    def begin(self) -> None:
        """Say where the files are, and check what was begun."""
        from nn2llm.cli.learn_verdict import say_path

        for task in self.tasks:
            state = self.exercises.prepare(task.slug, task.name)
            self.console.print(f"{task.exercise.title}: {say_path(state.path)}")
        for task in self.tasks:
            self.check(task)

    def step(self) -> bool:
        """Look once; True if something was checked."""
        checked = False
        for task in self.tasks:
            path = self.exercises.files.path(task.slug, task.name)
            stamp = _read_stamp(path)
            if stamp == self._stamps.get(task.name):
                continue
            self._stamps[task.name] = stamp
            if stamp is None:
                self._seen[task.name] = ""
                self.say(f"{path} is gone. Save it again, or press r to have it back as it was last.")
                continue
            checked = self._check_if_new(task) or checked
        return checked

    def _check_if_new(self, task: "Task") -> bool:
        try:
            version = self.exercises.files.read(task.slug, task.name).version
        except Nn2llmError as error:
            self.say(str(error))
            return False
        if version == self._seen.get(task.name) or not version:  # saved without a change, or gone again
            return False
        self.check(task)
        return True

    def check(self, task: "Task") -> None:
        """Grade what is on disk and print the verdict."""
        from nn2llm.cli.learn_verdict import print_verdict

        path = self.exercises.files.path(task.slug, task.name)
        try:
            verdict = self.exercises.check(task.slug, task.name)
        except Nn2llmError as error:
            self.say(str(error))
            return
        finally:
            self._stamps[task.name] = _read_stamp(path)
        self._seen[task.name] = str(verdict["version"])
        self._last = task, verdict
        self.console.print()
        print_verdict(self.console, verdict, title=task.exercise.title, path=path)
        states = [self.exercises.store.exercises.state(item.slug, item.name) for item in self.tasks]
        passed = sum((state.last_verdict or {}).get("status") == "passed" for state in states)
        if len(states) > 1:
            self.say(f"{passed} of {len(states)} pass.")

    def press(self, key: str) -> bool:
        """What a key asks for; False to leave."""
        from nn2llm.cli.learn_verdict import print_diagnosis

        if key == "q":
            return False
        if self._last is None:
            return True
        task, verdict = self._last
        if key == "d":
            print_diagnosis(self.console, verdict)
        elif key == "h":
            try:
                number, text = self.exercises.hint(task.slug, task.name)
                self.say(f"Hint {number} of {len(task.exercise.hints)}: {text}")
            except Nn2llmError as error:
                self.say(str(error))
        elif key == "r":
            for item in self.tasks:
                if item.name == task.name or self._seen.get(item.name) == "":
                    self.check(item)
        return True

    def say(self, sentence: str) -> None:
        """One sentence."""
        from nn2llm.cli.learn_verdict import print_sentence

        print_sentence(self.console, sentence)


def _read_stamp(path: Path) -> object:
    """Changes when the file is written; None while it is gone."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return (facts.st_mtime_ns, facts.st_size, facts.st_ino)


def watch(command: Watch) -> int:
    """Watch until Ctrl-C or q."""
    from nn2llm.cli.learn_exercises import list_begun, open_exercises
    from nn2llm.cli.learn_verdict import make_console

    console = make_console()
    with open_exercises(command.lessons) as exercises:
        tasks, _ = list_begun(exercises, command.lesson, command.exercise)
        exercises.service.warm()
        watcher = Watcher(exercises, tasks, console)
        try:
            with _keys() as read_key:
                watcher.begin()
                tell_keys = (lambda: console.print(f"  {_KEYS}", style="dim")) if read_key else (lambda: None)
                tell_keys()
                if read_key is None:
                    console.print("  Watching; Ctrl-C ends it.")
                run_watch(watcher, read_key, tell_keys)
        except KeyboardInterrupt:
            pass
        console.print("\nNo longer watching. Your files stay where they are.")
    return 0


def run_watch(
    watcher: Watcher, read_key: "ReadKey | None", tell_keys: Callable[[], None] = lambda: None
) -> None:
    """Look and listen in turn, until a key says to leave or no more keys can come."""
    while True:
        if watcher.step():
            tell_keys()
        if read_key is None:
            time.sleep(_POLL_S)
        elif _key_waits(_POLL_S):
            key = read_key()
            if key is None or not watcher.press(key):
                return


@contextmanager
def _keys() -> "Iterator[ReadKey | None]":
    """Single keys, where stdin is a terminal."""
    from nn2llm.cli.keypress import hold_keys

    interactive = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    with hold_keys() if interactive else nullcontext(None) as read_key:
        yield read_key


def _key_waits(seconds: float) -> bool:
    if os.name == "nt":
        import msvcrt

        deadline = time.monotonic() + seconds
        while not msvcrt.kbhit():  # type: ignore[attr-defined]
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True
    return bool(select.select([sys.stdin.fileno()], [], [], seconds)[0])
