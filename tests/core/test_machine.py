import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nn2llm.core import machine
from nn2llm.core.machine import count_usable_cores, describe_machine, list_versions, measure_memory

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and cgroups")

MEMINFO = "MemTotal:        8000000 kB\nMemFree:         1000000 kB\nMemAvailable:    6000000 kB\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/a/b\n"}, 8),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "250000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "300000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "50000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/host/path\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/d\n0::/\n",
                "sys/fs/cgroup/cpu/d/cpu.cfs_quota_us": "600000\n",
                "sys/fs/cgroup/cpu/d/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            6,
        ),
    ],
)
def test_cores_are_limited_by_the_tightest_cgroup(tmp_path: Path, files: dict[str, str], expected: int):
    assert count_usable_cores(write(tmp_path, files)) == expected


@linux_only
def test_cores_are_limited_by_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5, 7})
    assert count_usable_cores(tmp_path) == 3


@linux_only
def test_memory_without_a_limit_is_what_meminfo_says(tmp_path: Path):
    memory = measure_memory(write(tmp_path, {"proc/meminfo": MEMINFO}))
    assert (memory.total_bytes, memory.available_bytes) == (8_000_000 * 1024, 6_000_000 * 1024)


@linux_only
@pytest.mark.parametrize(
    "files",
    [
        {
            "proc/self/cgroup": "0::/c\n",
            "sys/fs/cgroup/c/memory.max": "1000000000",
            "sys/fs/cgroup/c/memory.current": "700000000",
            "sys/fs/cgroup/c/memory.stat": "anon 400000000\ninactive_file 200000000\n",
        },
        {
            "proc/self/cgroup": "4:memory:/c\n",
            "sys/fs/cgroup/memory/c/memory.limit_in_bytes": "1000000000",
            "sys/fs/cgroup/memory/c/memory.usage_in_bytes": "700000000",
            "sys/fs/cgroup/memory/c/memory.stat": "cache 9\ntotal_inactive_file 200000000\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        },
    ],
)
def test_memory_is_limited_by_the_cgroup_and_file_cache_counts_as_free(tmp_path: Path, files: dict[str, str]):
    memory = measure_memory(write(tmp_path, {"proc/meminfo": MEMINFO, **files}))
    # 1000 MB allowed, 700 MB used of which 200 MB are cache: 500 MB left
    assert (memory.total_bytes, memory.available_bytes) == (1_000_000_000, 500_000_000)


@linux_only
def test_memory_that_cannot_be_read_is_unknown(tmp_path: Path):
    assert measure_memory(tmp_path).total_bytes is None


def test_macos_memory_is_read_from_sysctl_and_vm_stat(monkeypatch: pytest.MonkeyPatch):
    vm_stat = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\n"
        "Pages free:                               10.\nPages active:                            500.\n"
        "Pages inactive:                           20.\nPages speculative:                         5.\n"
        "Pages wired down:                         90.\nPages purgeable:                           1.\n"
    )
    answers = {"sysctl": "17179869184\n", "vm_stat": vm_stat}
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 0, stdout=answers[command[0]]),
    )
    memory = measure_memory()
    assert memory.total_bytes == 16 * 2**30
    assert memory.available_bytes == 16384 * (10 + 20 + 5 + 1)


def test_windows_memory_structure_has_the_size_windows_checks():
    assert ctypes.sizeof(machine._MemoryStatus) == 64


def test_a_package_that_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "_PACKAGES", ("torch", "no-such-package"))
    versions = list_versions()
    assert versions["no-such-package"] == "missing"
    assert versions["torch"][0].isdigit()
    assert versions["python"].startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")


def test_this_machine_is_described(tmp_path: Path):
    here = describe_machine(tmp_path)
    assert 1 <= here.num_cores <= here.num_cores_installed
    assert here.disk_free_bytes > 0
    assert here.processor
    if sys.platform == "linux":
        assert here.memory.total_bytes is not None
        assert here.memory.available_bytes is not None
        assert 0 < here.memory.available_bytes <= here.memory.total_bytes
