"""What Linux offers to hold a process in, and Python does not: a few system calls through ctypes.

Used by containment.py alone. Nothing happens on import; each function says what it did and fails quietly
where the kernel or a container forbids it: several layers stand over each other.
Sources: prctl(2), seccomp(2), capabilities(7), landlock(7).
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Callable, Iterable

__all__ = [
    "become_subreaper",
    "die_with_parent",
    "keep_reading_everything",
    "leave_network",
    "refuse_network_and_signals",
    "stay_dumpable",
    "write_only_below",
]

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_SET_SECCOMP = 22
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_SIGKILL = 9
_CAP_DAC_READ_SEARCH = 2

# Machine → its number in seccomp's data, and of the calls socket and kill.
_CALLS = {"x86_64": (0xC000003E, 41, 62), "aarch64": (0xC00000B7, 198, 129)}


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> bool:
    return _libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0) == 0


def become_subreaper() -> bool:
    """Orphans among the descendants become children of this process, so none gets out of sight."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> bool:
    """SIGKILL as soon as the parent ends. A change of user clears it: call it afterwards."""
    return _prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def stay_dumpable() -> bool:
    """After a change of user a process may not read its own /proc entries, which torch does."""
    return _prctl(_PR_SET_DUMPABLE, 1)


def keep_reading_everything(change_user: Callable[[], None]) -> bool:
    """Change the user by the given call, and keep of root's rights only that of reading any file.

    For courses in a folder that no other user may enter, as /root is in most containers.
    """
    libc = _libc()
    kept = _prctl(_PR_SET_KEEPCAPS, 1)
    change_user()
    header = struct.pack("Ii", 0x20080522, 0)
    bit = 1 << _CAP_DAC_READ_SEARCH
    data = struct.pack("6I", bit, bit, 0, 0, 0, 0)  # effective, permitted, inheritable; low and high halves
    return libc.capset(header, data) == 0 and kept


def refuse_network_and_signals(protected: Iterable[int]) -> bool:
    """No sockets but local ones, and no signal to `protected` processes, nor to "all": for good, and for
    all descendants. False where the machine's system call numbers are not known here or seccomp is missing.
    """
    known = _CALLS.get(platform.machine())
    if known is None:
        return False
    architecture, socket_call, kill_call = known
    whom = [target for pid in protected for target in (pid, -pid)]  # negative: its group
    # (what, operand, where to if equal, where to if not); None goes on to the next step
    steps: list[tuple[str, int, str | None, str | None]] = [
        ("load", 4, None, None),  # the machine
        ("equal", architecture, None, "allow"),
        ("load", 0, None, None),  # the number of the call
        ("equal", kill_call, "whom", None),
        ("equal", socket_call, None, "allow"),
        ("load", 16, None, None),  # a socket's family: 1 is local
        ("equal", 1, "allow", "refuse"),
        ("whom", 16, None, None),  # a signal's target
        *(("equal", pid & 0xFFFFFFFF, "refuse", None) for pid in (-1, *whom)),
        ("allow", 0x7FFF0000, None, None),
        ("refuse", 0x00050000 | errno.EACCES, None, None),
    ]
    place = {step[0]: i for i, step in enumerate(steps)}
    codes = {"load": 0x20, "whom": 0x20, "equal": 0x15, "allow": 0x06, "refuse": 0x06}
    program = b""
    for i, (what, operand, yes, no) in enumerate(steps):
        jumps = [0 if target is None else place[target] - i - 1 for target in (yes, no)]
        program += struct.pack("HBBI", codes[what], *jumps, operand)
    buffer = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(buffer))
    if not _prctl(_PR_SET_NO_NEW_PRIVS, 1):
        return False
    return _libc().prctl(_PR_SET_SECCOMP, ctypes.c_ulong(2), ctypes.c_char_p(described), 0, 0) == 0


def leave_network() -> bool:
    """A network namespace without any interface; root alone may, and it takes some milliseconds."""
    return _libc().unshare(0x40000000) == 0


def write_only_below(folders: Iterable[str]) -> bool:
    """Landlock: from now on files can be made, changed or removed only below `folders`; on newer kernels no
    TCP connection either, and no signal to a process that is not below this one. False without it.
    """
    libc = _libc()
    create, add, restrict = 444, 445, 446  # the same on every machine
    version = libc.syscall(create, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    # write_file, remove_dir, remove_file, make_char … make_sym: bits 1, 4 to 12; refer 13, truncate 14
    handled = (1 << 1) | sum(1 << bit for bit in range(4, 13))
    handled |= (1 << 13 if version >= 2 else 0) | (1 << 14 if version >= 3 else 0)
    wanted = struct.pack("Q", handled)
    if version >= 4:
        wanted += struct.pack("Q", 0b11)  # bind and connect
    if version >= 6:
        wanted += struct.pack("Q", 0b11)  # abstract sockets and signals
    rules = libc.syscall(create, wanted, ctypes.c_size_t(len(wanted)), ctypes.c_uint32(0))
    if rules < 0:
        return False
    try:
        for folder in folders:
            try:
                descriptor = os.open(folder, os.O_PATH)
            except OSError:
                continue
            try:
                is_folder = os.path.isdir(folder)
                allowed = handled if is_folder else handled & ((1 << 1) | (1 << 14))
                libc.syscall(add, rules, 1, struct.pack("=Qi", allowed, descriptor), ctypes.c_uint32(0))
            finally:
                os.close(descriptor)
        if not _prctl(_PR_SET_NO_NEW_PRIVS, 1):
            return False
        return libc.syscall(restrict, rules, ctypes.c_uint32(0)) == 0
    finally:
        os.close(rules)
