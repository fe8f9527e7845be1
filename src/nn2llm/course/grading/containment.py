"""Put the process that will run a learner's code where it can do little harm, for good.

Read limits.py and linux.py before. Called by inside.py in the job's own process, before it sees the text.
Several layers, each of which may be missing on some system: resource limits, a user of its own, no network,
files only in its own folder. What all of them miss, the watching process ends (watching.py, oneshot.py).
Not a jail for enemies: the learner is alone here and could run the same code in a terminal.
"""

import contextlib
import os
import random
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from nn2llm.course.grading.limits import Limits

__all__ = [
    "RESERVE_BYTES",
    "can_change_user",
    "choose_user",
    "contain",
    "minimal_environment",
    "read_virtual_bytes",
    "restrict_environment",
]

RESERVE_BYTES = 64 << 20
"""Address space beyond the limit, to say in peace that the limit was reached."""

_MORE_PROCESSES = 4

# Numbers that neither people nor services nor containers are given (systemd.io/UIDS-GIDS).
_FREE_USERS = range(1_879_048_192, 2_147_000_000)
# Where only 65,536 users are mapped into a container.
_FEW_FREE_USERS = range(60_514, 61_000)

_KEPT_VARIABLES = (
    "PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "LANG", "LC_ALL", "LC_CTYPE",
    "TZ", "SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT", "NUMBER_OF_PROCESSORS",
)  # fmt: skip


def minimal_environment(folder: str) -> dict[str, str]:
    """What the grading processes are started with: no tokens, one thread, nothing written elsewhere."""
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        environment[threads] = "1"
    environment["MALLOC_ARENA_MAX"] = "2"  # each further one takes 64 MB of address space
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment["PYTHONUTF8"] = "1"
    environment.update(_folders(folder))
    return environment


def _folders(folder: str) -> dict[str, str]:
    names = ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "NN2LLM_HOME", "MPLCONFIGDIR")
    return dict.fromkeys(names, folder)


def restrict_environment(folder: str) -> None:
    """Let `os.environ` name the job's own folder wherever a program would write."""
    import tempfile

    os.environ.update(_folders(folder))
    tempfile.tempdir = None  # it may have been looked up by an import


def read_virtual_bytes() -> int:
    """Address space of this process; 0 where there is no /proc."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 0


def contain(
    limits: Limits,
    *,
    folder: str,
    user: int | None,
    protected: Iterable[int],
    lesson_folder: str,
    warm_bytes: int,
    dies_with_parent: bool,
) -> None:
    """All that holds for the rest of this process's life. On Windows nothing: its watcher does what it can.

    Args:
        user: a user of its own, where there is one (`choose_user`).
        protected: processes it must not signal.
        warm_bytes: address space before the job.
        dies_with_parent: the system ends this process with the *thread* that started it.
    """
    if sys.platform == "win32":
        return
    if not sys.platform.startswith("linux"):
        _limit_resources(limits, user=None, warm_bytes=0)
        return
    from nn2llm.course.grading import linux

    _limit_resources(limits, user=user, warm_bytes=warm_bytes)
    linux.write_only_below([folder, "/dev/shm", "/dev/null", "/dev/zero"])
    if not linux.refuse_network_and_signals(protected):
        linux.leave_network()
    if user is not None:
        _become(user, lesson_folder)
        linux.stay_dumpable()
    if dies_with_parent:
        linux.die_with_parent()


def _limit_resources(limits: Limits, *, user: int | None, warm_bytes: int) -> None:
    import resource

    def limit(what: int, soft: float, hard: float | None = None) -> None:
        _, ceiling = resource.getrlimit(what)
        hard = soft if hard is None else hard
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(what, (int(soft), int(hard)))

    limit(resource.RLIMIT_CORE, 0)
    # of all its threads; the watcher's clock comes first, unless nobody watches any more
    processor_s = 4 * int(limits.seconds) + 4
    limit(resource.RLIMIT_CPU, processor_s, processor_s + 2)
    limit(resource.RLIMIT_FSIZE, limits.file_mb << 20)
    limit(resource.RLIMIT_NOFILE, 256)
    limit(resource.RLIMIT_STACK, 8 << 20)
    if warm_bytes:
        allowed = warm_bytes + (limits.memory_mb << 20)
        limit(resource.RLIMIT_AS, allowed, allowed + RESERVE_BYTES)
    # A little more than allowed: who stays at the limit is seen to exceed it, and told so.
    processes = limits.processes + _MORE_PROCESSES
    if user is not None:
        limit(resource.RLIMIT_NPROC, processes)
    elif sys.platform.startswith("linux"):
        from nn2llm.course.grading.processes import count_tasks_of_user

        # this process is among those counted
        limit(resource.RLIMIT_NPROC, count_tasks_of_user(os.getuid()) + processes - 1)


# --- a user of its own ---


def choose_user(*, taken: Iterable[int] = ()) -> int | None:
    """A user nobody is, where this process is root and may give itself such a one; else None."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    used = set(taken)
    for users in (_FREE_USERS, _FEW_FREE_USERS):
        if _is_mapped("uid_map", users) and _is_mapped("gid_map", users):
            for _ in range(100):
                user = random.SystemRandom().choice(users)
                if user not in used:
                    return user
    return None


def _is_mapped(name: str, users: range) -> bool:
    try:
        lines = Path("/proc/self", name).read_text().splitlines()
    except OSError:
        return False
    spans = [[int(number) for number in line.split()] for line in lines]
    return any(first <= users[0] and users[-1] < first + count for first, _, count in spans)


def can_change_user() -> bool:
    """Try it in a process made for that: a container may forbid it even to root."""
    user = choose_user()
    if user is None:
        return False
    helper = os.fork()
    if helper == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(helper, 0)[1] == 0


def _become(user: int, lesson_folder: str) -> None:
    def change() -> None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)

    if all(_can_others_read(path) for path in _needed(lesson_folder)):
        change()
        return
    from nn2llm.course.grading import linux

    linux.keep_reading_everything(change)


def _needed(lesson_folder: str) -> list[Path]:
    here = Path(__file__).resolve()
    paths = [here, Path(os.__file__).resolve(), Path(sys.prefix)]
    torch = sys.modules.get("torch")
    if torch is not None and torch.__file__:
        paths.append(Path(torch.__file__).resolve())
    lesson = Path(lesson_folder).resolve()
    paths.append(lesson)
    if lesson.is_dir():
        paths.extend(path for path in lesson.iterdir() if path.is_file())
    return paths


def _can_others_read(path: Path) -> bool:
    try:
        needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
        return path.stat().st_mode & needed == needed and all(
            parent.stat().st_mode & stat.S_IXOTH for parent in path.parents
        )
    except OSError:
        return True  # not there: nobody needs it
