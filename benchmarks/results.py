"""RESULTS.md: one section a benchmark, with the machine, the versions and the day."""

import datetime
import hashlib
import importlib.metadata
import platform
import subprocess
from collections.abc import Collection
from pathlib import Path

from nn2llm.core.machine import describe_machine

RESULTS = Path(__file__).with_name("RESULTS.md")

HEADER = """# Results

Written by `make bench`. Both sides of a figure took turns in one run; figures are medians over the turns.
A ratio is the median of the turns' own ratios, so it may differ a little from the ratio of the medians."""

_PACKAGES = ("torch", "transformers", "tokenizers", "tiktoken", "numpy")


def describe(nanogpt: Path | None = None) -> str:
    """The machine, the versions and the day: a figure without them means little."""
    machine = describe_machine()
    versions = [f"python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} missing")
    if nanogpt is not None:
        versions.append(f"nanoGPT {describe_checkout(nanogpt)}")
    day = datetime.date.today().isoformat()
    return (
        f"*{machine.processor}, {machine.num_cores} cores, {machine.system}; {', '.join(versions)}; {day}.*"
    )


def describe_checkout(folder: Path) -> str:
    """The commit of a git checkout; where it is none, the beginning of its model.py's SHA-256."""
    # the folder's own .git alone: git would also find that of a repository around it
    if (folder / ".git").exists():
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), "rev-parse", "--short=10", "HEAD"],
                capture_output=True, text=True, check=True, timeout=10,
            )  # fmt: skip
            return done.stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass
    digest = hashlib.sha256((folder / "model.py").read_bytes()).hexdigest()
    return f"(model.py with SHA-256 {digest[:10]}…)"


def split_sections(text: str) -> dict[str, str]:
    """Title → text of each `## ` section."""
    sections = {}
    for part in ("\n" + text).split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        sections[title.strip()] = body.strip()
    return sections


def write_section(path: Path, name: str, text: str, *, order: Collection[str]) -> None:
    """Replace the section `name` of the file, or add it; sections not in `order` are dropped."""
    sections = split_sections(path.read_text(encoding="utf-8")) if path.exists() else {}
    sections[name] = text.strip()
    parts = [f"## {title}\n\n{sections[title]}" for title in order if title in sections]
    path.write_text("\n\n".join([HEADER, *parts]) + "\n", encoding="utf-8")
