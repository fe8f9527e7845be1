"""`nn2llm eval` on a tiny run: the tables, the file it leaves, and what it answers to mistakes."""

import itertools
import json
from pathlib import Path

import pytest
import torch

from nn2llm.cli.eval import main
from nn2llm.core.errors import CheckpointError, ConfigError, DataError, TokenizerError
from nn2llm.core.run_folder import RunFolder
from nn2llm.data.corpora import load_corpus
from nn2llm.evals.perplexity import score_text
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.tokenizers import Tokenizer, train_tokenizer
from nn2llm.train.checkpoint import load_trained_model, save_checkpoint

TEXT = "To be, or not to be: that is the question. Whether 'tis nobler in the mind to suffer.\n" * 30


def write_run(folder: Path, tokenizer: Tokenizer, settings: dict, *, max_seq_len: int = 16) -> Path:
    """A run folder with a random model, as training leaves it."""
    torch.manual_seed(0)
    config = GPTConfig(
        vocab_size=tokenizer.vocab_size, max_seq_len=max_seq_len, n_layer=1, n_head=2, n_embd=16
    )
    model = GPT(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    run = RunFolder(folder)
    folder.mkdir()
    run.config_path.write_text(json.dumps(settings))
    run.metrics_path.write_text('{"step": 7, "loss": 3.0}\n')
    tokenizer.save(run.tokenizer_path)
    save_checkpoint(
        run,
        step=7,
        model_config=config,
        weights=model.state_dict(),
        training_state={},
        best_step=7,
        keep=1,
    )
    return folder


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NN2LLM_RUNS", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture
def corpus(tmp_path) -> Path:
    path = tmp_path / "hamlet.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def run(tmp_path, corpus) -> Path:
    tokenizer = train_tokenizer("char", [TEXT])
    return write_run(tmp_path / "hamlet", tokenizer, {"corpus": str(corpus), "seq_len": 12})


def evaluate(*argv: str) -> int:
    return main([*argv, "--device", "cpu"])


def test_the_tables_of_a_text(run, capsys):
    assert evaluate("hamlet") == 0
    printed = capsys.readouterr().out
    assert all(len(line) <= 80 for line in printed.splitlines() if not line.startswith("Written to"))
    assert "hamlet, step 7, on the held-out text of" in printed
    for row in ("no knowledge", "gzip", "xz, after the same training text", "the model, in rows of 12"):
        assert row in printed
    assert "6 tokens or more" in printed
    assert f"Written to {run / 'evals' / 'hamlet-txt-step-7.json'}." in printed


def test_the_file_says_what_was_evaluated_and_holds_the_figures(run, corpus, capsys):
    assert evaluate("hamlet", "--json", "--seed", "3") == 0
    printed = json.loads(capsys.readouterr().out)
    record = json.loads((run / "evals" / "hamlet-txt-step-7.json").read_text())
    assert printed == record
    assert record["run"] == "hamlet"
    assert record["step"] == 7
    assert record["corpus"] == str(corpus)
    assert record["corpus_fingerprint"] == load_corpus(str(corpus)).fingerprint()
    assert record["is_own_corpus"] is True
    assert (record["split"], record["seed"], record["seq_len"]) == ("val", 3, 12)
    assert record["microworld"] is None
    model, tokenizer = load_trained_model(run)
    texts = list(load_corpus(str(corpus)).documents("val"))
    scores = score_text(model, tokenizer, texts, separate_documents=False, seq_len=12)
    rows, sliding = record["text"]["figures"]
    assert rows["bits_per_byte"]["estimate"] == pytest.approx(scores.bits_per_byte, rel=1e-6)
    assert rows["num_tokens"] == scores.total_tokens == len(texts[0])
    assert (sliding["way"], sliding["stride"]) == ("sliding", 6)
    assert [path.name for path in (run / "evals").iterdir()] == ["hamlet-txt-step-7.json"]  # nothing half


def test_the_same_command_gives_the_same_file(run, capsys):
    for _ in range(2):
        assert evaluate("hamlet", "--name", "once") == 0
        first, path = capsys.readouterr().out, run / "evals" / "once.json"
    contents = path.read_bytes()
    assert evaluate("hamlet", "--name", "once") == 0
    assert path.read_bytes() == contents
    assert capsys.readouterr().out == first


def test_a_text_that_has_changed_since_training_is_said(run, corpus, capsys):
    (run / "machine.json").write_text(
        json.dumps({"corpus_fingerprint": load_corpus(str(corpus)).fingerprint()})
    )
    assert evaluate(str(run)) == 0
    assert "has changed since" not in capsys.readouterr().err
    corpus.write_text(TEXT + TEXT)
    assert evaluate(str(run)) == 0
    assert "has changed since this model was trained" in capsys.readouterr().err


def test_another_text_another_part_and_limits(run, tmp_path, capsys):
    other = tmp_path / "other.txt"
    other.write_text("To suffer or not to suffer. " * 50)
    assert evaluate("hamlet", "--corpus", str(other), "--split", "all", "--max-tokens", "90") == 0
    printed = capsys.readouterr().out
    assert "on the text of" in printed
    assert "90 bytes, its beginning" in " ".join(printed.split())
    assert "after the same training text" not in printed  # it was not trained on that
    record = json.loads((run / "evals" / "other-txt-all-step-7.json").read_text())
    assert record["is_own_corpus"] is False
    assert (record["text"]["num_bytes"], record["text"]["is_cut"], record["max_tokens"]) == (90, True, 90)


def test_rows_are_left_out_where_documents_were_masked(tmp_path, capsys):
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": f"document {n}"}) + "\n" for n in range(300)))
    tokenizer = train_tokenizer("char", ["document 0123456789"])
    write_run(tmp_path / "masked", tokenizer, {"corpus": str(texts), "document_mask": True})
    assert evaluate("masked", "--json") == 0
    figures = json.loads(capsys.readouterr().out)["text"]["figures"]
    assert [figure["way"] for figure in figures] == ["alone"]


@pytest.fixture
def village(tmp_path) -> Path:
    """A run on a micro-world."""
    spec = "microworld:name=Ada,trade=clockmaker"
    texts = itertools.islice(load_corpus(spec).documents("val"), 60)
    tokenizer = train_tokenizer("bpe", texts, vocab_size=300)
    return write_run(tmp_path / "village", tokenizer, {"corpus": spec}, max_seq_len=32)


def test_a_micro_world_has_a_floor_and_probes(village, capsys):
    assert evaluate("village", "--max-documents", "24", "--num-items", "6") == 0
    printed = capsys.readouterr().out
    assert all(len(line) <= 80 for line in printed.splitlines() if not line.startswith("Written to"))
    for words in ("Loss against the floor", "above it", "What it knows", "by chance", "recall:", "grammar:"):
        assert words in printed
    path = village / "evals" / "microworld-name-Ada-trade-clockmaker-step-7.json"
    record = json.loads(path.read_text())
    world = record["microworld"]
    line = world["floor"][-1]
    assert (line["genre"], line["num_documents"]) == ("all", 24)
    [alone] = [figures for figures in record["text"]["figures"] if figures["way"] == "alone"]
    model = line["model_bits_per_byte"]["estimate"]
    assert model == pytest.approx(alone["bits_per_byte"]["estimate"], rel=1e-5)
    assert model > line["floor_bits_per_byte"]["estimate"] > 0
    assert [probe["probe"] for probe in world["probes"]] == ["grammar", "recall", "context", "few_shot"]
    assert {probe["kinds"][-1]["num_items"] for probe in world["probes"]} == {6}
    assert (world["seed"], world["num_items"]) == (0, 6)


def test_probes_can_be_left_out(village, capsys):
    assert evaluate("village", "--max-documents", "24", "--no-probes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["microworld"] is None


def test_a_missing_run_or_checkpoint(run):
    with pytest.raises(CheckpointError, match=r"There is no run 'hamlte'.* Nearest: hamlet"):
        evaluate("hamlte")
    for path in sorted((run / "checkpoints").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    with pytest.raises(CheckpointError, match="has no checkpoint yet"):
        evaluate("hamlet")
    assert not (run / "evals").exists()


def test_a_missing_corpus(run, corpus):
    with pytest.raises(DataError, match=r"There is no file .*hamlte\.txt'\. Did you mean"):
        evaluate("hamlet", "--corpus", str(corpus.with_name("hamlte.txt")))
    corpus.unlink()
    with pytest.raises(DataError, match=r"The corpus of .*hamlet cannot be opened.* another with --corpus"):
        evaluate("hamlet")


def test_a_run_that_does_not_name_its_corpus(tmp_path):
    write_run(tmp_path / "imported", train_tokenizer("char", [TEXT]), {"kind": "imported"})
    with pytest.raises(ConfigError, match=r"imported does not say on which text .* with --corpus"):
        evaluate("imported")


def test_text_of_another_alphabet(run, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("Быть или не быть, вот в чём вопрос. " * 20)
    with pytest.raises(TokenizerError, match=r"The character '.' \(U\+04..\) is not among the"):
        evaluate("hamlet", "--corpus", str(other))
    assert not (run / "evals").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stride", "0"], "stride must be at least 1, got 0"),
        (["--stride", "13"], "stride must be at most 12, the tokens of a row of this run, got 13"),
        (["--max-documents", "1"], "max_documents must be at least 2, got 1"),
        (["--max-tokens", "1"], "max_tokens must be at least 2, got 1"),
        (["--num-items", "0"], "num_items must be at least 1, got 0"),
        (["--batch-size", "0"], "batch_size must be at least 1, got 0"),
        (["--seed", "-1"], "seed must be between 0 and 4294967295, got -1"),
        (["--name", "../x"], "'../x' cannot be the name of a file"),
    ],
)
def test_settings_that_cannot_work(run, options, message):
    with pytest.raises(ConfigError, match=message):
        evaluate("hamlet", *options)
    assert not (run / "evals").exists()
