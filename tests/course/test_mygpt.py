"""What passes becomes a part: files, manifest, package, earlier versions; and what is damaged or edited."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import nn2llm
from nn2llm.core.errors import LessonError, StorageError
from nn2llm.course.mygpt import adopt_part, list_sources, read_parts
from nn2llm.models.parts import compute_part_hash
from nn2llm.recipe.lock import hold_folder

GELU = "def gelu(x):\n    return 0.5 * x\n"
OTHER = f"import math\n\n\n{GELU}"
HEADS = "def split_heads(x, n_head): ...\n\n\ndef merge_heads(heads): ...\n"


def adopt(home: Path, text: str = GELU, part: str = "gelu", exercise: str = "write-gelu") -> Path:
    return adopt_part(home, part, text, slug="activations", exercise=exercise)


def manifest(home: Path) -> dict:
    return json.loads((home / "mygpt/parts.json").read_text())


def test_a_part_is_kept_with_where_it_is_from(tmp_path):
    path = adopt(tmp_path)
    assert path == tmp_path / "mygpt" / "gelu.py"
    text = path.read_text()
    assert text.startswith("# Part `gelu` of your GPT: GELU.\n# From the exercise `write-gelu` of the lesson")
    assert text.endswith(GELU)
    [mine] = read_parts(tmp_path).values()
    assert (mine.source.slug, mine.source.exercise, mine.edited) == ("activations", "write-gelu", False)
    assert mine.adopted_at is not None
    assert manifest(tmp_path)["gelu"]["sha256"] == compute_part_hash(text) == mine.source.sha256
    assert "nn2llm pretrain --mine" in (tmp_path / "mygpt/README.md").read_text()


def test_the_package_can_be_imported_from_home(tmp_path):
    adopt(tmp_path)
    adopt(tmp_path, HEADS, part="heads", exercise="heads")
    code = "import mygpt; print(mygpt.__all__, mygpt.gelu.__module__)"
    environment = {**os.environ, "PYTHONPATH": str(Path(nn2llm.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout.strip() == "['gelu', 'merge_heads', 'split_heads'] mygpt.gelu"


def test_an_earlier_version_is_kept_and_the_same_code_is_none(tmp_path):
    first = adopt(tmp_path).read_text()
    when = manifest(tmp_path)["gelu"]["adopted_at"]
    adopt(tmp_path)
    assert not (tmp_path / "mygpt/.history").exists()
    assert manifest(tmp_path)["gelu"]["adopted_at"] == when
    adopt(tmp_path, OTHER)
    assert (tmp_path / "mygpt/.history/gelu-1.py").read_text() == first
    adopt(tmp_path)
    assert "import math" in (tmp_path / "mygpt/.history/gelu-2.py").read_text()


def test_a_part_changed_by_hand_is_noticed_and_stays_the_learner_s(tmp_path):
    path = adopt(tmp_path)
    path.write_text(path.read_text() + "# mine\n")
    [mine] = read_parts(tmp_path).values()
    assert mine.edited
    assert list_sources(tmp_path)["gelu"].text.endswith("# mine\n")
    adopt(tmp_path)  # passing again brings back what passed, and keeps the other
    assert not read_parts(tmp_path)["gelu"].edited
    assert (tmp_path / "mygpt/.history/gelu-1.py").read_text().endswith("# mine\n")


def test_a_part_written_by_hand_counts_too(tmp_path):
    (tmp_path / "mygpt").mkdir()
    (tmp_path / "mygpt/rope.py").write_text("def apply_rope(x, cos, sin): ...\n")
    (tmp_path / "mygpt/unknown.py").write_text("x = 1\n")
    [mine] = read_parts(tmp_path).values()
    assert (mine.part.name, mine.source.slug, mine.adopted_at, mine.edited) == ("rope", None, None, True)


def test_windows_line_endings_are_no_change(tmp_path):
    path = adopt(tmp_path, GELU.replace("\n", "\r\n"))
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert not read_parts(tmp_path)["gelu"].edited


@pytest.mark.parametrize("damage", ["{", "[]", '{"gelu": 3}', None])
def test_a_damaged_manifest_does_not_lose_the_code(tmp_path, damage):
    adopt(tmp_path)
    path = tmp_path / "mygpt/parts.json"
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage)
    assert read_parts(tmp_path)["gelu"].edited
    adopt(tmp_path)
    assert not read_parts(tmp_path)["gelu"].edited


def test_no_home_has_no_parts(tmp_path):
    assert read_parts(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("part", "text", "words"),
    [
        ("gello", GELU, "is marked `part: gello`. There is no part 'gello' of a GPT. Did you mean 'gelu'"),
        ("gelu", "def GELU(x): ...", r"`part: gelu`, which needs gelu; its code has none. Name .* gelu\(x\)"),
        ("heads", "def split_heads(x, n_head): ...", "which needs merge_heads"),
        ("gelu", "def gelu(x:", "cannot become a part: .*never closed"),
    ],
)
def test_what_is_no_part_is_refused_and_nothing_is_written(tmp_path, part, text, words):
    with pytest.raises(LessonError, match=words):
        adopt(tmp_path, text, part=part)
    assert not (tmp_path / "mygpt").exists()


def test_the_code_is_not_run(tmp_path):
    adopt(tmp_path, GELU + "raise SystemExit\n")


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "mygpt").write_text("in the way")
    with pytest.raises(StorageError, match="mygpt"):
        adopt(tmp_path)


def test_processes_that_add_parts_at_once_lose_none(tmp_path):
    code = (
        "import sys; from pathlib import Path; from nn2llm.course.mygpt import adopt_part\n"
        "for n in range(5):\n    name, function = sys.argv[2:]\n"
        "    adopt_part(Path(sys.argv[1]), name, f'def {function}(x): return {n}', slug='a', exercise='b')\n"
    )
    parts = {"gelu": "gelu", "swiglu": "swiglu", "rope": "apply_rope"}
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name, function])
        for name, function in parts.items()
    ]
    assert [process.wait(timeout=60) for process in started] == [0, 0, 0]
    assert set(manifest(tmp_path)) == set(parts)
    assert not any(mine.edited for mine in read_parts(tmp_path).values())


def test_a_process_that_does_not_let_go_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("nn2llm.course.mygpt._WAIT_S", 0.0)
    with hold_folder(tmp_path / "mygpt"), pytest.raises(LessonError, match="Another nn2llm has been writing"):
        adopt(tmp_path)
