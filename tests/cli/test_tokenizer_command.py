import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from nn2llm.cli import tokenizer as command
from nn2llm.cli.main import main
from nn2llm.tokenizers import BPETokenizer, CharTokenizer, load_tokenizer

TEXT = "The cat sat on the mat, and the cat isn't there. " * 40


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "cats.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    # "he" is 256, " c" 257, "at" 258 and "<|endoftext|>" 259
    BPETokenizer([(104, 101), (32, 99), (97, 116)]).save(tmp_path / "tok")
    return tmp_path / "tok"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["tokenizer", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def run_wrong(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = main(["tokenizer", *map(str, arguments)])
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    return code, captured.err


def test_train_saves_a_tokenizer_and_says_what_it_did(text_file: Path, tmp_path: Path, capsys):
    out = tmp_path / "new" / "tok"
    printed = run(capsys, "train", "--corpus", text_file, "--vocab-size", 280, "--out", out)
    tokenizer = load_tokenizer(out)
    assert (tokenizer.kind, tokenizer.vocab_size) == ("bpe", 280)
    assert re.search(r"bpe tokenizer of 280 ids \(23 merges\) in \d+\.\d s", printed)
    held_out = TEXT[int(len(TEXT) * 0.9) :]
    num_tokens = len(tokenizer.encode(held_out))
    assert f"{num_tokens:,} tokens, {len(held_out)} characters" in printed
    assert f"{len(held_out) / num_tokens:.2f} bytes a token" in printed


def test_train_char_knows_the_held_out_characters_too(tmp_path: Path, capsys):
    (tmp_path / "text.txt").write_text("ab" * 50 + "z")
    run(capsys, "train", "--corpus", tmp_path / "text.txt", "--kind", "char", "--out", tmp_path / "tok")
    assert load_tokenizer(tmp_path / "tok").encode("abz") == [0, 1, 2]


def test_train_says_when_the_text_has_too_few_pairs(text_file: Path, tmp_path: Path, capsys):
    printed = run(capsys, "train", "--corpus", text_file, "--vocab-size", 5000, "--out", tmp_path / "tok")
    assert "fewer than the 5,000 asked for: no pair occurs twice any more" in printed


def test_train_learns_from_no_more_text_than_asked(text_file: Path, tmp_path: Path, capsys):
    run(capsys, "train", "--corpus", text_file, "--train-mb", 0.000049, "--out", tmp_path / "tok")
    few = load_tokenizer(tmp_path / "tok")
    assert few.fingerprint() == BPETokenizer.train([TEXT[:49]], vocab_size=1024).fingerprint()


def test_train_replaces_a_tokenizer_only_when_told(text_file: Path, trained: Path, capsys):
    before = (trained / "tokenizer.json").read_text()
    code, error = run_wrong(capsys, "train", "--corpus", text_file, "--out", trained)
    assert code == 2
    assert "holds a tokenizer already" in error
    assert (trained / "tokenizer.json").read_text() == before
    run(capsys, "train", "--corpus", text_file, "--out", trained, "--replace")
    assert (trained / "tokenizer.json").read_text() != before


def test_inspect_shows_tokens_ids_and_figures(trained: Path, capsys):
    printed = run(capsys, "inspect", trained, "--text", "the cat")
    assert "│t│he│ c│at│" in printed
    assert "116 256 257 258" in printed
    assert "this text: 4 tokens, 7 characters, 7 bytes" in printed
    assert "1.75 bytes a token, 0.571 tokens a character, 4 of 260 ids used (2%)" in printed


def test_inspect_shows_what_cannot_be_printed_as_escapes(trained: Path, capsys):
    printed = run(capsys, "inspect", trained, "--text", "é\x1b[2J\t[red]\n.")
    assert "│\\xc3│\\xa9│\\x1b│[│2│J│\\t│[│r│e│d│]│\\n\n│.│" in printed
    assert "14 tokens, 13 characters, 14 bytes" in printed


def test_inspect_without_a_text_describes_the_tokenizer(trained: Path, capsys):
    printed = run(capsys, "inspect", trained)
    assert "bpe tokenizer of 260 ids; special: <|endoftext|> = 259" in printed
    assert "│he│ c│at│" in printed or "│he│at│" in printed
    assert "--text" in printed


def test_inspect_of_a_file_equals_that_of_its_text(trained: Path, text_file: Path, capsys):
    of_file = run(capsys, "inspect", trained, "--file", text_file, "--show", 5)
    of_text = run(capsys, "inspect", trained, "--text", TEXT, "--show", 5)
    assert of_file.replace(str(text_file), "this text") == of_text
    num_tokens = len(load_tokenizer(trained).encode(TEXT))
    assert f"… and {num_tokens - 5:,} more tokens" in of_text


def test_inspect_of_a_corpus_measures_its_held_out_part(trained: Path, text_file: Path, capsys):
    held_out = len(TEXT) - int(len(TEXT) * 0.9)
    printed = run(capsys, "inspect", trained, "--corpus", text_file, "--show", 0)
    assert f"{held_out} bytes" in printed
    assert "│" not in printed


def test_compare_agrees_with_training_each_size(text_file: Path, capsys):
    printed = run(capsys, "inspect", "--compare", "280,260", "--corpus", text_file, "--width", 100)
    cut = int(len(TEXT) * 0.9)
    rows = re.findall(r"│ +([\d,]+) │ +([\d.]+) │ +([\d,]+) │ +([\d.]+) │ +(\d+)% │ +([\d,]+) │", printed)
    assert [row[0] for row in rows] == ["260", "280"]
    for size, row in zip((260, 280), rows, strict=True):
        ids = BPETokenizer.train([TEXT[:cut]], vocab_size=size).encode(TEXT[cut:])
        assert row[1] == f"{(len(TEXT) - cut) / len(ids):.2f}"
        assert row[2] == str(len(ids))
        assert row[4] == f"{len(set(ids)) / size:.0%}"[:-1]
        assert row[5] == f"{size * 100:,}"


def test_compare_truncates_a_tokenizer_and_leaves_out_what_it_lacks(trained: Path, capsys):
    printed = run(capsys, "inspect", trained, "--compare", "258,260,512", "--text", "the cat")
    assert "Left out: 512; this tokenizer has 260 ids." in printed
    assert re.search(r"│ +258 │ +1\.17 │ +6 │", printed)  # only "he" is merged: t, he, " ", c, a, t
    assert re.search(r"│ +260 │ +1\.75 │ +4 │", printed)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["train", "--corpus", "{text}", "--vocab-size", "200", "--out", "{new}"],
            1,
            r"at least 257.*got 200",
        ),
        (["train", "--corpus", "absent.txt", "--out", "{new}"], 1, r"no file 'absent\.txt'"),
        (["train", "--corpus", "{text}", "--out", "{text}"], 2, r"is a file\. Name a folder"),
        (["inspect", "{new}"], 1, r"does not exist.*tokenizer train"),
        (["inspect", "{text}", "--text", "a"], 1, r"cats\.txt is not valid JSON"),
        (["inspect", "{tok}", "--text", ""], 1, r"The text is empty"),
        (["inspect", "{tok}", "--file", "{new}"], 1, r"Cannot read .*No such file"),
        (["inspect", "{tok}", "--file", "{tok}"], 1, r"Cannot read .*directory"),
        (["inspect", "{tok}", "--compare", "300,x", "--text", "a"], 2, r"commas between.*got '300,x'"),
        (["inspect", "{tok}", "--compare", "100", "--text", "a"], 2, r"at least 257.*got 100"),
        (
            ["inspect", "{tok}", "--compare", "300", "--text", "a"],
            2,
            r"has 260 ids, so none of --compare 300",
        ),
        (["inspect", "{char}", "--compare", "300", "--text", "a"], 2, r"this is a char tokenizer"),
        (["inspect", "{char}", "--text", "a?"], 1, r"'\?' \(U\+003F\) is not among the 2"),
    ],
)
def test_wrong_input_is_one_sentence(
    arguments: list[str], code: int, message: str, trained: Path, text_file: Path, tmp_path: Path, capsys
):
    CharTokenizer("ab").save(tmp_path / "char")
    places = {"text": text_file, "tok": trained, "char": tmp_path / "char", "new": tmp_path / "absent"}
    found_code, error = run_wrong(capsys, *(argument.format(**places) for argument in arguments))
    assert re.search(message, error)
    assert found_code == code
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--corpus", "text.txt", "--train-mb", "0", "--out", "new"], "more than 0, got 0"),
        (["train", "--corpus", "text.txt", "--train-mb", "nan", "--out", "new"], "more than 0, got nan"),
        (["inspect"], "Name a TOKENIZER to inspect"),
        (["inspect", "--text", "a"], "Name a TOKENIZER to inspect"),
        (["inspect", "tok", "--text", "a", "--file", "b"], "Give one text, not --text and --file"),
        (["inspect", "tok", "--text", "a", "--show", "-1"], "--show must be 0 or more, got -1"),
        (["inspect", "tok", "--text", "a", "--width", "0"], "--width must be at least 1, got 0"),
        (["inspect", "tok", "--compare", "300"], "--compare needs a text"),
    ],
)
def test_options_that_cannot_work_are_a_wrong_usage(arguments: list[str], message: str, capsys):
    assert main(["tokenizer", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


@pytest.mark.parametrize("arguments", [["inspect", "--bogus"], ["bogus"], ["train"]])
def test_unknown_options_are_a_wrong_usage(arguments: list[str], capsys):
    with pytest.raises(SystemExit) as caught:
        main(["tokenizer", *arguments])
    assert caught.value.code == 2


def make_console(encoding: str, width: int = 20) -> Console:
    return Console(file=io.TextIOWrapper(io.BytesIO(), encoding=encoding), width=width)


def test_lines_break_between_tokens_and_keep_spaces(trained: Path):
    tokenizer = load_tokenizer(trained)
    shown = command._join_tokens(
        tokenizer, tokenizer.encode("  cat  the cat  x  "), make_console("utf-8")
    ).plain
    assert max(map(len, shown.split("\n"))) <= 20
    assert shown.replace("\n│", "") == "│ │ c│at│ │ │t│he│ c│at│ │ │x│ │ │"


def test_a_terminal_without_unicode_gets_escapes(trained: Path):
    tokenizer = CharTokenizer("é🙂a")
    shown = command._join_tokens(tokenizer, tokenizer.encode("aé🙂"), make_console("ascii")).plain
    assert shown == "|a|\\xe9|\\U0001f642|"
