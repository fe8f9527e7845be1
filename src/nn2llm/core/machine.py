"""What this machine has: cores, memory, disk, accelerator, versions.

Inside a container the limits that count are the container's, so cgroup limits are read before the
hardware's figures. Used by `nn2llm doctor`, by core/device.py (threads) and by train/ (what fits).
Imports torch only to name the accelerators.
"""

import ctypes
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Accelerator",
    "Machine",
    "Memory",
    "count_usable_cores",
    "describe_machine",
    "list_accelerators",
    "list_versions",
    "measure_memory",
]

_PACKAGES = ("torch", "numpy", "tokenizers", "safetensors")
# cgroup v1 writes "no limit" as the largest multiple of the page size that fits in 63 bits
_NO_LIMIT_BYTES = 1 << 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Main memory in bytes; None where the system does not say."""

    total_bytes: int | None
    available_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accelerator:
    """One GPU, as torch names it (`cuda:0`, `mps`). `memory_bytes` is None where memory is shared."""

    device: str
    name: str
    memory_bytes: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """All that `nn2llm doctor` says of the machine before it measures anything."""

    system: str
    processor: str
    num_cores: int
    """Cores this process may use."""
    num_cores_installed: int
    memory: Memory
    accelerators: tuple[Accelerator, ...]
    disk_free_bytes: int
    versions: dict[str, str]


def describe_machine(folder: Path | None = None) -> Machine:
    """Look at the machine; `disk_free_bytes` is that of the disk that holds `folder` (default: here)."""
    return Machine(
        system=f"{platform.system()} {platform.release()} ({platform.machine()})",
        processor=_read_processor_name(),
        num_cores=count_usable_cores(),
        num_cores_installed=os.cpu_count() or 1,
        memory=measure_memory(),
        accelerators=list_accelerators(),
        disk_free_bytes=shutil.disk_usage(folder or Path.cwd()).free,
        versions=list_versions(),
    )


def list_versions() -> dict[str, str]:
    """Versions of Python, nn2llm and the packages that numbers depend on. A missing one is "missing"."""
    from nn2llm import __version__

    versions = {"python": platform.python_version(), "nn2llm": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "missing"
    return versions


def list_accelerators() -> tuple[Accelerator, ...]:
    """The GPUs torch can see: CUDA (NVIDIA, AMD), or the one of an Apple chip."""
    import torch

    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found.append(
            Accelerator(device=f"cuda:{index}", name=properties.name, memory_bytes=properties.total_memory)
        )
    if torch.backends.mps.is_available():
        found.append(Accelerator(device="mps", name=f"GPU of {_read_processor_name()}", memory_bytes=None))
    return tuple(found)


def count_usable_cores(root: Path = Path("/")) -> int:
    """Cores this process may use: the least of what is installed, its affinity, and its cgroup's quota."""
    num_cores = os.cpu_count() or 1
    if sys.platform == "linux":
        num_cores = min(num_cores, len(os.sched_getaffinity(0)))
    quota = _read_cpu_quota(root)
    return max(1, min(num_cores, int(quota))) if quota is not None else num_cores


def measure_memory(root: Path = Path("/")) -> Memory:
    """Main memory, total and available now, no more than the cgroup allows."""
    if sys.platform == "win32":
        return _measure_windows_memory()
    if sys.platform == "darwin":
        return _measure_macos_memory()
    try:
        text = (root / "proc/meminfo").read_text()
    except OSError:
        return Memory(total_bytes=None, available_bytes=None)
    kibibytes = {key: int(value) for key, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    if "MemTotal" not in kibibytes or "MemAvailable" not in kibibytes:
        return Memory(total_bytes=None, available_bytes=None)
    total, available = kibibytes["MemTotal"] * 1024, kibibytes["MemAvailable"] * 1024
    for limit, used in _read_memory_limits(root):
        total, available = min(total, limit), min(available, max(0, limit - used))
    return Memory(total_bytes=total, available_bytes=available)


def _read_cgroup_folders(root: Path, controller: str) -> list[Path]:
    """The folders whose limits bind this process, innermost first; version 2, then version 1."""
    folders: list[Path] = []
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            base = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            base = root / "sys/fs/cgroup" / controller
        else:
            continue
        inner = base / path.lstrip("/")
        # Inside a container the path may be the host's, and only the mount's own root is there.
        folders += [folder for folder in (inner, *inner.parents) if folder.is_relative_to(base)]
    return folders


def _read_int(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _read_cpu_quota(root: Path) -> float | None:
    """Cores that the tightest quota allows, or None if there is none."""
    quotas = []
    for folder in _read_cgroup_folders(root, "cpu"):
        try:
            quota, period = (folder / "cpu.max").read_text().split()
            if quota != "max":
                quotas.append(int(quota) / int(period))
        except (OSError, ValueError):
            pass
        old_quota, old_period = (
            _read_int(folder / "cpu.cfs_quota_us"),
            _read_int(folder / "cpu.cfs_period_us"),
        )
        if old_quota is not None and old_quota > 0 and old_period:
            quotas.append(old_quota / old_period)
    return min(quotas, default=None)


def _read_memory_limits(root: Path) -> list[tuple[int, int]]:
    """(limit, used without the file cache) in bytes, of every cgroup that limits this process."""
    limits = []
    for folder in _read_cgroup_folders(root, "memory"):
        for limit_name, used_name in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            limit, used = _read_int(folder / limit_name), _read_int(folder / used_name)
            if limit is not None and limit < _NO_LIMIT_BYTES:
                limits.append((limit, max(0, (used or 0) - _read_file_cache(folder))))
    return limits


def _read_file_cache(folder: Path) -> int:
    """Bytes of file cache the kernel gives back when asked; a cgroup counts them as used."""
    try:
        text = (folder / "memory.stat").read_text()
    except OSError:
        return 0
    found = re.search(r"^(?:total_)?inactive_file (\d+)$", text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def _read_processor_name() -> str:
    if sys.platform == "linux":
        try:
            found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        except OSError:
            found = None
        if found:
            return found.group(1)
    if sys.platform == "darwin":
        return _run("sysctl", "-n", "machdep.cpu.brand_string").strip() or platform.machine()
    return platform.processor() or platform.machine()


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _measure_macos_memory() -> Memory:
    total = _run("sysctl", "-n", "hw.memsize").strip()
    return Memory(
        total_bytes=int(total) if total.isdigit() else None,
        available_bytes=_parse_vm_stat(_run("vm_stat")),
    )


def _parse_vm_stat(text: str) -> int | None:
    """Bytes macOS can hand out: pages free, inactive, speculative and purgeable."""
    page_size = re.search(r"page size of (\d+) bytes", text)
    pages = re.findall(r"^Pages (?:free|inactive|speculative|purgeable):\s+(\d+)\.", text, re.MULTILINE)
    return int(page_size.group(1)) * sum(map(int, pages)) if page_size and pages else None


class _MemoryStatus(ctypes.Structure):
    """Windows' MEMORYSTATUSEX."""

    _fields_ = [
        ("length", ctypes.c_uint32),
        ("load_percent", ctypes.c_uint32),
        ("total", ctypes.c_uint64),
        ("available", ctypes.c_uint64),
        ("page_file_total", ctypes.c_uint64),
        ("page_file_available", ctypes.c_uint64),
        ("virtual_total", ctypes.c_uint64),
        ("virtual_available", ctypes.c_uint64),
        ("virtual_extended", ctypes.c_uint64),
    ]


def _measure_windows_memory() -> Memory:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 (the attribute exists on Windows alone)
    if not kernel.GlobalMemoryStatusEx(ctypes.byref(status)):
        return Memory(total_bytes=None, available_bytes=None)
    return Memory(total_bytes=int(status.total), available_bytes=int(status.available))
