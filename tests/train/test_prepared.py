"""Pretraining on what `nn2llm data prepare` made: its tokens and its tokenizer, nothing tokenised anew."""

import dataclasses
from pathlib import Path

import pytest
from rich.console import Console

from nn2llm.core.run_folder import RunFolder
from nn2llm.data.corpora import TextCorpus
from nn2llm.data.prepare import prepare_dataset
from nn2llm.tokenizers import load_tokenizer, train_tokenizer
from nn2llm.train import starting
from nn2llm.train.presets import build_preset
from nn2llm.train.pretrain import pretrain


def test_a_prepared_folder_is_read_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NN2LLM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(starting, "measure_matmul_speed", lambda device, dtype: 1e11)
    texts = [f"The hen of number {number} finds the old mill. " * 8 for number in range(40)]
    tokenizer = train_tokenizer("bpe", texts, vocab_size=290)
    prepare_dataset(TextCorpus(texts), tokenizer, tmp_path / "tokens")
    config = dataclasses.replace(
        build_preset("smoke"), corpus=str(tmp_path / "tokens"), steps=2, eval_every=2, sample_every=0
    )
    result = pretrain(config, RunFolder(tmp_path / "run"), console=Console(quiet=True))
    assert result.step == 2
    assert load_tokenizer(tmp_path / "run" / "tokenizer").fingerprint() == tokenizer.fingerprint()
    assert not (tmp_path / "home" / "datasets").exists()
