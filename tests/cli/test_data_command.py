import json

import pytest

from nn2llm.cli.main import main


@pytest.fixture
def stories(tmp_path):
    path = tmp_path / "stories.jsonl"
    rows = [{"text": f"Story {number}: [bold] the cat sat on the mat."} for number in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(capsys, *argv):
    code = main(["data", *map(str, argv)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def find_row(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f"│ {name} ")]
    return [cell.strip() for cell in line.split("│")[2:-1]]


def test_prepare_then_inspect_show_the_same_counts_and_the_text(stories, tmp_path, capsys):
    code, out, _ = run(capsys, "prepare", "--corpus", stories, "--tokenizer", "char", "--out", tmp_path / "d")
    assert code == 0
    train, val = (int(cell) for cell in find_row(out, "documents"))
    assert (train + val, val) == (40, 4)
    num_bytes, num_tokens = (
        int(find_row(out, name)[0].replace(",", "")) for name in ("bytes of text", "tokens")
    )
    assert num_tokens == num_bytes + train  # a character is a byte here, and each document has its mark
    code, again, _ = run(capsys, "inspect", tmp_path / "d", "--sample-chars", "60")
    assert code == 0
    assert find_row(again, "tokens") == find_row(out, "tokens")
    assert "All checksums fit." in again
    assert "[bold] the cat sat" in again


def test_inspect_a_corpus_shows_sizes_and_a_sample(stories, capsys):
    code, out, _ = run(capsys, "inspect", stories)
    assert code == 0
    assert find_row(out, "documents") == ["36", "4"]
    assert find_row(out, "longest")[0] == "40 B"
    assert "[bold] the cat sat on the mat." in out
    code, out, _ = run(capsys, "inspect", stories, "--sample-chars", "0")
    assert "cat" not in out


def test_inspect_says_when_a_corpus_is_one_running_text(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("0123456789")
    code, out, _ = run(capsys, "inspect", tmp_path / "a.txt")
    assert code == 0
    assert "One running text" in out
    assert find_row(out, "bytes") == ["9", "1"]


def test_preparing_again_does_not_replace_another_dataset_unasked(stories, tmp_path, capsys):
    arguments = ["prepare", "--corpus", stories, "--out", tmp_path / "d", "--tokenizer"]
    assert run(capsys, *arguments, "char")[0] == 0
    assert run(capsys, *arguments, "char")[0] == 0
    code, _, err = run(capsys, *arguments, "bpe", "--vocab-size", "260")
    assert code == 1
    assert "holds another dataset" in err
    assert run(capsys, *arguments, "bpe", "--vocab-size", "260", "--replace")[0] == 0


def test_the_field_of_a_json_line_can_be_chosen(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"body": "one text"}\n{"body": "another"}\n')
    code, _, err = run(capsys, "inspect", tmp_path / "a.jsonl")
    assert code == 1
    assert "line 1 has no field 'text' (fields: 'body')" in err
    assert run(capsys, "inspect", tmp_path / "a.jsonl", "--text-field", "body")[0] == 0


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["inspect", "shakespare"], 1, "Did you mean 'shakespeare'?"),
        (
            ["prepare", "--corpus", "python-docs", "--out", "HERE", "--tokenizer", "char"],
            1,
            "not a token dataset",
        ),
        (
            ["prepare", "--corpus", "python-docs", "--out", "HERE/d", "--tokenizer", "bpee"],
            2,
            "no tokenizer 'bpee'",
        ),
        (["prepare", "--corpus", "python-docs", "--out", "HERE/d", "--vocab-size", "9"], 1, "got 9"),
    ],
)
def test_wrong_input_is_one_sentence_and_an_exit_code(stories, tmp_path, capsys, argv, code, message):
    got, _, err = run(capsys, *(argument.replace("HERE", str(tmp_path)) for argument in argv))
    assert got == code
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "message"), [("train/shard_00000.bin", "checksum"), ("tokenizer/tokenizer.json", "tokenizer")]
)
def test_inspect_finds_damage(stories, tmp_path, capsys, file, message):
    run(capsys, "prepare", "--corpus", stories, "--tokenizer", "char", "--out", tmp_path / "d")
    path = tmp_path / "d" / file
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    code, _, err = run(capsys, "inspect", tmp_path / "d")
    assert code == 1
    assert message in err


def test_inspect_finds_the_tokenizer_of_another_dataset(stories, tmp_path, capsys):
    run(capsys, "prepare", "--corpus", stories, "--tokenizer", "char", "--out", tmp_path / "a")
    run(capsys, "prepare", "--corpus", stories, "--vocab-size", "260", "--out", tmp_path / "b")
    (tmp_path / "a" / "tokenizer" / "tokenizer.json").replace(tmp_path / "b" / "tokenizer" / "tokenizer.json")
    code, _, err = run(capsys, "inspect", tmp_path / "b")
    assert code == 1
    assert "is not the tokenizer these tokens were made with" in err


def test_a_negative_number_of_characters_is_refused(capsys):
    code, _, err = run(capsys, "inspect", "python-docs", "--sample-chars", "-1")
    assert code == 2
    assert err.startswith("error: ")
    assert "-1" in err


@pytest.mark.parametrize("argv", [[], ["prepare"], ["inspect"], ["prepere"]])
def test_wrong_usage_exits_with_2(argv):
    with pytest.raises(SystemExit) as stop:
        main(["data", *argv])
    assert stop.value.code == 2
