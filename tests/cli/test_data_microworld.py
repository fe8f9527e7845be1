import re

import pytest

from nn2llm.cli.main import main
from nn2llm.microworld import FACT_KINDS, GENRES, WorldConfig, build_world

SPEC = "microworld:seed=1,people=16,name=Ada,trade=software engineer"


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")


def inspect(capsys, *argv):
    code = main(["data", "inspect", *argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def world():
    return build_world(WorldConfig(seed=1, num_people=16, name="Ada", trade="software engineer"))


def test_inspect_shows_facts_statistics_and_documents(capsys, world):
    code, out, err = inspect(capsys, SPEC)
    assert (code, err) == (0, "")
    assert "A village of 17 people, Ada the software engineer among them" in out
    assert f"{len(world.facts)} facts" in out
    for kind, summary in FACT_KINDS.items():
        (row,) = [line for line in out.splitlines() if re.match(rf"│ {kind} ", line)]
        count = str(len(world.village.list_facts(kind)))
        assert summary in row
        assert count in [cell.strip() for cell in row.split("│")]
    for genre in (*GENRES, "all"):
        (row,) = [line for line in out.splitlines() if re.match(rf"│ {genre} ", line)]
        share, *numbers = [cell.strip() for cell in row.split("│")[2:-1]]
        assert share.endswith("%")
        assert all(float(number.replace(",", "")) > 0 for number in numbers)
    shares = {genre: int(re.search(rf"│ {genre} +│ +(\d+)%", out)[1]) for genre in GENRES}
    for genre, weight in GENRES.items():
        assert shares[genre] == pytest.approx(100 * weight, abs=4)
    titles = re.findall(rf"({'|'.join(GENRES)}), (\d+\.\d) nats", out)
    assert {title[0] for title in titles} == set(GENRES)
    # the documents that are shown have the nats that stand above them
    shown = re.findall(rf"╭─ (?:{'|'.join(GENRES)}), (\d+\.\d) nats ─+╮\n((?:│ .* │\n)+)╰", out)
    assert len(shown) == len(titles) >= len(GENRES)
    checked = 0
    for nats, box in shown:
        lines = [line[2:-2].rstrip() for line in box.splitlines()]
        if all(len(line) < 110 for line in lines):  # none was wrapped, so the text stands here as it is
            checked += 1
            assert world.compute_nats("\n".join(lines)) == pytest.approx(float(nats), abs=0.051)
    assert checked


def test_the_same_world_is_shown_the_same_way(capsys):
    assert inspect(capsys, SPEC, "--facts", "lane") == inspect(capsys, SPEC, "--facts", "lane")


def test_facts_of_a_kind_are_listed(capsys, world):
    code, out, _ = inspect(capsys, SPEC, "--facts", "trade")
    assert code == 0
    assert out.splitlines() == [fact.sentence for fact in world.village.list_facts("trade")]
    assert "Ada is a software engineer." in out


def test_all_facts_are_listed(capsys, world):
    code, out, _ = inspect(capsys, SPEC, "--facts", "all")
    assert code == 0
    assert out.splitlines() == [fact.sentence for fact in world.facts]


def test_an_unknown_kind_of_fact_is_refused_in_a_sentence(capsys):
    code, out, err = inspect(capsys, "microworld", "--facts", "nonsense")
    assert (code, out) == (2, "")
    assert "no kind of fact 'nonsense'. Choose one of all, trade, helper" in " ".join(err.split())
    assert "Traceback" not in err


def test_a_bad_world_is_refused_in_a_sentence(capsys):
    code, _, err = inspect(capsys, "microworld:name=Ada")
    assert code == 2
    assert "the trade is missing" in " ".join(err.split())


@pytest.mark.parametrize("target", ["python-docs", "stories.txt"])
def test_facts_are_for_a_microworld_alone(capsys, target):
    code, out, err = inspect(capsys, target, "--facts", "trade")
    assert (code, out) == (2, "")
    message = " ".join(err.split())
    assert "--facts is for a micro-world" in message
    assert target in message


def test_facts_of_a_dataset_folder_are_refused_too(capsys, tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("A cat sat on the mat. " * 20)
    assert (
        main(["data", "prepare", "--corpus", str(text), "--tokenizer", "char", "--out", str(tmp_path / "d")])
        == 0
    )
    capsys.readouterr()
    code, _, err = inspect(capsys, str(tmp_path / "d"), "--facts", "trade")
    assert code == 2
    assert "--facts is for a micro-world" in " ".join(err.split())
