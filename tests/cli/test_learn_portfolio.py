"""`nn2llm learn portfolio`: both files, what is missing, and nothing lost."""

from pathlib import Path

import pytest

from nn2llm.cli.main import main
from tests.course.learning_course import write_learning_course


@pytest.fixture(autouse=True)
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NN2LLM_RUNS", raising=False)
    write_learning_course(tmp_path / "lessons")


def test_it_writes_both_files_and_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", "portfolio", "--lessons", "lessons", "--out", "mine", "--name", "Ada"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["mine/portfolio.html", "mine/portfolio.md"]
    assert said[2] == "1. Explain end-to-end how GPT-style models are built and aligned: not yet"
    assert sum(line.startswith("   - ") for line in said) >= 4
    assert Path("mine/portfolio.md").read_text().startswith("# Ada: what I can show\n")
    assert "<h1>Ada: what I can show</h1>" in Path("mine/portfolio.html").read_text()


def test_a_changed_file_is_kept_unless_it_may_be_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["learn", "portfolio", "--lessons", "lessons"]
    assert main(command) == 0
    path = Path("portfolio/portfolio.html")
    path.write_text("mine now")
    capsys.readouterr()
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "portfolio.html was changed since it was written" in said
    assert "--overwrite" in said
    assert path.read_text() == "mine now"
    assert main([*command, "--overwrite"]) == 0
    assert "What I can show" in path.read_text()


def test_a_new_checkpoint_is_written_by_lesson_new(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("lessons/01_foundations/checkpoint/lesson.md")
    for file in path.parent.iterdir():
        file.unlink()
    assert main(["lesson", "new", "checkpoint-1", "--lessons", "lessons"]) == 0
    assert "<!-- quiz: mixed 6 -->" in path.read_text()
    assert 'number: "1.C"' in path.read_text()
    assert main(["lesson", "new", "1.C", "--lessons", "lessons"]) == 1
    assert "is there already" in capsys.readouterr().err
