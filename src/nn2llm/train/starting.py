"""The first minute of a run: every `auto` resolved, tokenizer and machine written down, the text tokenised.

Used by train/pretrain.py.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from nn2llm.core.config_io import save_config
from nn2llm.core.device import choose_device, choose_num_threads, choose_precision, measure_matmul_speed
from nn2llm.core.errors import ConfigError, DataError
from nn2llm.core.files import write_json_atomic
from nn2llm.core.run_folder import RunFolder
from nn2llm.data.batches import PackedLoader
from nn2llm.data.corpora import load_corpus
from nn2llm.data.downloads import get_home
from nn2llm.data.prepare import TokenDataset, prepare_dataset
from nn2llm.data.prepared_corpus import PreparedCorpus
from nn2llm.data.tokenizer_choice import build_tokenizer
from nn2llm.models.accounting import compute_flops_per_token
from nn2llm.models.gpt import GPT
from nn2llm.models.gpt_config import GPTConfig
from nn2llm.tokenizers import Tokenizer
from nn2llm.train.checkpoint import load_trained_model
from nn2llm.train.distributed import Processes
from nn2llm.train.pretrain_config import PretrainConfig, load_pretrain_config

__all__ = ["build_trial", "check_rows", "check_text", "describe_run", "prepare_data", "start_run"]


def start_run(config: PretrainConfig, run: RunFolder, processes: Processes) -> PretrainConfig:
    """Resolve every `auto`, and write tokenizer, machine and config; the config last, since it marks a run.

    The main process does; the others read what it wrote, so that all agree on what was measured.

    Raises:
        Nn2llmError: for a corpus, tokenizer, parent run, device or disk that does not work.
    """
    if processes.is_main:
        check_rows(config, processes)
        _write_start(config, run, processes)
    processes.wait()
    return load_pretrain_config(run.config_path)


def check_rows(config: PretrainConfig, processes: Processes) -> None:
    """Whether a step's rows can be shared out among the processes, and theirs into micro-batches.

    Raises:
        ConfigError: if they cannot.
    """
    if config.batch_size % processes.world_size:
        raise ConfigError(
            f"batch_size must be a multiple of the {processes.world_size} processes, got {config.batch_size}."
        )
    rows = config.batch_size // processes.world_size
    if config.micro_batch_size is not None and rows % config.micro_batch_size:
        raise ConfigError(
            f"micro_batch_size must divide the {rows} rows of each of the {processes.world_size} processes, "
            f"got {config.micro_batch_size}."
        )


def _write_start(config: PretrainConfig, run: RunFolder, processes: Processes) -> None:
    model_config, tokenizer = _choose_model(config)
    num_threads = config.num_threads or choose_num_threads()
    torch.set_num_threads(num_threads)
    device = choose_device(config.device)
    rows = config.micro_batch_size or config.batch_size // processes.world_size
    forward = build_trial(model_config, num_tokens=rows * config.num_tokens_in_row, device=device)
    precision = choose_precision(device, config.precision, forward=forward)
    tokenizer.save(run.tokenizer_path)
    check_text(_open_data(config, tokenizer), seq_len=config.seq_len or model_config.max_seq_len)
    machine = {
        "torch": torch.__version__,
        "device": str(device),
        "num_threads": num_threads,
        "precision": f"{precision.name}: {precision.why}",
        "matmul_flops_per_s": measure_matmul_speed(device, precision.autocast_dtype or torch.float32),
        "corpus_fingerprint": load_corpus(config.corpus).fingerprint(),
    }
    write_json_atomic(run.path / "machine.json", machine)
    resolved = dataclasses.replace(
        config,
        model=model_config,
        device=str(device),
        precision=precision.name,
        num_threads=num_threads,
    )
    save_config(resolved, run.config_path)


def build_trial(config: GPTConfig, *, num_tokens: int, device: torch.device) -> Callable[[], Tensor]:
    """One layer of this model on so many tokens: what precision is measured on. The work is capped."""
    max_flops = 1e9 if device.type == "cpu" else 1e13
    # drawn as GPT-2's: the zeros of "scaled" would hide rounding
    trial = dataclasses.replace(config, n_layer=1, vocab_size=256, init="gpt2", dropout=0.0)
    length = config.max_seq_len
    cost = compute_flops_per_token(trial, length)
    num_rows = max(1, min(num_tokens // length, int(max_flops / (cost * length))))
    model = GPT(trial).to(device)
    input_ids = torch.randint(256, (num_rows, length)).to(device)
    return lambda: model.compute_hidden(input_ids)


def _choose_model(config: PretrainConfig) -> tuple[GPTConfig, Tokenizer]:
    """The model's shape with its vocabulary, and the tokenizer: the parent's, or those of the config."""
    if config.init_from is not None:
        parent, tokenizer = load_trained_model(config.init_from)
        if config.seq_len is not None and config.seq_len > parent.config.max_seq_len:
            raise ConfigError(
                f"seq_len {config.seq_len} is longer than the {parent.config.max_seq_len} positions of "
                f"{config.init_from}. Set --seq-len {parent.config.max_seq_len}."
            )
        return parent.config, tokenizer
    tokenizer = _choose_tokenizer(config)
    if config.model.vocab_size not in {0, tokenizer.vocab_size}:
        raise ConfigError(
            f"model.vocab_size is {config.model.vocab_size}, but the tokenizer's is {tokenizer.vocab_size}. "
            "Leave out --model.vocab-size."
        )
    return dataclasses.replace(config.model, vocab_size=tokenizer.vocab_size), tokenizer


def _choose_tokenizer(config: PretrainConfig) -> Tokenizer:
    """That of the config; of a prepared folder its own, unless another one on disk is named."""
    corpus = load_corpus(config.corpus)
    if isinstance(corpus, PreparedCorpus) and config.tokenizer in {"bpe", "char"}:
        return corpus.tokenizer
    return build_tokenizer(config.tokenizer, corpus, vocab_size=config.vocab_size)


def prepare_data(config: PretrainConfig, tokenizer: Tokenizer, processes: Processes) -> TokenDataset:
    """The corpus as tokens; the main process makes them, where they are not there yet."""
    if processes.is_main:
        _open_data(config, tokenizer)
    processes.wait()
    return _open_data(config, tokenizer)


def _open_data(config: PretrainConfig, tokenizer: Tokenizer) -> TokenDataset:
    """Cached under NN2LLM_HOME by corpus and tokenizer; a prepared folder of this tokenizer as it is."""
    corpus = load_corpus(config.corpus)
    if isinstance(corpus, PreparedCorpus) and (
        corpus.dataset.tokenizer_fingerprint == tokenizer.fingerprint()
    ):
        return corpus.dataset
    name = f"{corpus.fingerprint()[:16]}-{tokenizer.fingerprint()[:16]}"
    return prepare_dataset(corpus, tokenizer, get_home() / "datasets" / name)


def check_text(dataset: TokenDataset, *, seq_len: int) -> None:
    """Whether the text is enough to train and to evaluate on: said before the run exists, not in its midst.

    Raises:
        DataError: if no row can be filled, or fewer than two tokens are held out.
    """
    PackedLoader(dataset.train, batch_size=1, seq_len=seq_len, seed=0)
    if dataset.val_num_tokens < 2 or dataset.val_num_bytes < 1:
        raise DataError(
            f"The held-out part of {dataset.corpus_name} has {dataset.val_num_tokens} tokens; "
            "two are needed to predict one. Give more text."
        )


def describe_run(config: PretrainConfig, dataset: TokenDataset, *, step: int, num_parameters: int) -> str:
    """One line: what is trained, how long, on what text, where. Every `auto` of `config` is resolved."""
    counts = dataset.counts["train"]
    tokens = config.steps * config.batch_size * config.num_tokens_in_row
    verb = f"going on at step {step}" if step else "training"
    return (
        f"{verb}: {num_parameters:,} parameters, {config.steps:,} steps of {config.batch_size} × "
        f"{config.num_tokens_in_row} tokens ({tokens / counts.num_tokens:.1f} times through "
        f"{counts.num_tokens:,} tokens of {dataset.corpus_name}), {config.device}, {config.precision}"
    )
